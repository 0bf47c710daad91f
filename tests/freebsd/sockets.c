/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The socket calls, one after the other, as Linux answers them (with FreeBSD's error numbers).
 */
#include "netlink.h"
#include <sys/event.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <poll.h>

static char buf[65536];
static struct msg *const m = (struct msg *)buf;

static int32_t
error_of(ssize_t n)
{
	return (n >= 20 && m->type == NL_ERROR ? *(int32_t *)(buf + 16) : 1);
}

static void
addresses(void)
{
	int a = nlsocket(), b = nlsocket();
	struct addr at = { sizeof(at), PFNL_AF, 0, 0, 0 }, other = at;
	socklen_t len = sizeof(at);

	CHECK(a >= 0 && b >= 0);
	/* Others are the native netlink's, where that is taken over. */
	if (family != 38)
		CHECK(socket(PFNL_AF, SOCK_RAW, 15) == -1 && errno == EPROTONOSUPPORT);
	CHECK(socket(PFNL_AF, SOCK_STREAM, GENERIC) == -1);
	CHECK(getsockname(a, (void *)&at, &len) == 0 && len == 12 && at.pid == 0 && at.family == PFNL_AF);
	CHECK(bind(a, (void *)&at, sizeof(at)) == 0);
	CHECK(getsockname(a, (void *)&at, &len) == 0 && at.pid == (uint32_t)getpid());
	other.pid = at.pid;
	CHECK(bind(b, (void *)&other, sizeof(other)) == -1 && errno == EADDRINUSE);
	CHECK(bind(b, (void *)&other, 8) == -1 && errno == EINVAL);
	other.pid = 0;
	CHECK(bind(b, (void *)&other, sizeof(other)) == 0);
	CHECK(getsockname(b, (void *)&other, &len) == 0 && other.pid != at.pid && (int32_t)other.pid < 0);
	other.pid++;
	CHECK(bind(b, (void *)&other, sizeof(other)) == -1 && errno == EINVAL);
	/* From one user to another, with the sender's address. */
	CHECK(getpeername(b, (void *)&other, &len) == 0 && other.pid == 0);
	CHECK(connect(b, (void *)&at, sizeof(at)) == 0);
	CHECK(getpeername(b, (void *)&other, &len) == 0 && other.pid == at.pid);
	CHECK(send(b, "hello", 5, 0) == 5);
	len = sizeof(other);
	CHECK(recvfrom(a, buf, sizeof(buf), 0, (void *)&other, &len) == 5 && len == 12 && (int32_t)other.pid < 0);
	CHECK(memcmp(buf, "hello", 5) == 0);
	close(a);
	CHECK(send(b, "hello", 5, 0) == -1 && errno == ECONNREFUSED);
	CHECK(shutdown(b, SHUT_RDWR) == -1 && errno == EOPNOTSUPP);
	CHECK(listen(b, 1) == -1 && errno == EOPNOTSUPP);
	close(b);
}

static void
requests(void)
{
	struct request q;
	struct iovec iov = { buf, 8 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	int s = nlsocket(), pending = 0;
	ssize_t n;

	CHECK(recv(s, buf, sizeof(buf), MSG_DONTWAIT) == -1 && errno == EAGAIN);
	CHECK(send(s, &q, getfamily(&q, "nlctrl", F_ACK), 0) == 32);
	CHECK(ioctl(s, FIONREAD, &pending) == 0 && pending > 100);
	CHECK(recv(s, buf, 8, MSG_PEEK) == 8);
	CHECK(recv(s, buf, 8, MSG_PEEK | MSG_TRUNC) == (ssize_t)m->len);
	CHECK(recvmsg(s, &mh, MSG_PEEK) == 8 && (mh.msg_flags & MSG_TRUNC));
	n = recv(s, buf, sizeof(buf), 0);
	CHECK(n == (ssize_t)m->len && m->type == GENL_CTRL && m->seq == 7 && m->pid == (uint32_t)getpid());
	n = recv(s, buf, sizeof(buf), 0);
	CHECK(n == 36 && error_of(n) == 0);
	CHECK(send(s, &q, getfamily(&q, "no such", F_ACK), 0) > 0);
	CHECK(error_of(recv(s, buf, sizeof(buf), 0)) == -ENOENT);
	q.cmd = 99;
	CHECK(send(s, &q, q.h.len, 0) > 0 && error_of(recv(s, buf, sizeof(buf), 0)) == -EOPNOTSUPP);
	/* Cut: what does not fit is lost, the next datagram is whole. */
	send(s, &q, getfamily(&q, "nlctrl", F_ACK), 0);
	CHECK(recv(s, buf, 20, 0) == 20);
	CHECK(error_of(recv(s, buf, sizeof(buf), 0)) == 0);
	/* A dump ends with DONE. */
	CHECK(send(s, &q, getfamily(&q, NULL, F_DUMP), 0) == 20);
	int done = 0, families = 0;
	while (!done && (n = recv(s, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		for (char *at = buf; at < buf + n; at += (((struct msg *)at)->len + 3) & ~3) {
			done |= ((struct msg *)at)->type == NL_DONE;
			families += ((struct msg *)at)->type == GENL_CTRL;
		}
	CHECK(done && families >= 1);
	CHECK(send(s, buf, 0, 0) == -1 && errno == ENOATTR);	/* ENODATA */
	CHECK(send(s, buf, sizeof(buf), 0) == sizeof(buf) || errno == EMSGSIZE);
	close(s);
}

static void
options(void)
{
	int s = nlsocket(), v, big[8];
	socklen_t len = sizeof(v);
	struct request q;
	char control[64];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

	CHECK(getsockopt(s, SOL_SOCKET, SO_RCVBUF, &v, &len) == 0 && v == 212992);
	v = 10000;
	CHECK(setsockopt(s, SOL_SOCKET, SO_RCVBUF, &v, sizeof(v)) == 0);
	CHECK(getsockopt(s, SOL_SOCKET, SO_RCVBUF, &v, &len) == 0 && v == 20000);
	if (family != 38)
		CHECK(getsockopt(s, SOL_SOCKET, SO_PROTOCOL, &v, &len) == 0 && v == GENERIC);
	CHECK(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, &len) == 0 && v == SOCK_RAW);
	for (int name = 10; name <= 12; name++) {	/* CAP_ACK, EXT_ACK, GET_STRICT_CHK */
		v = 1;
		CHECK(setsockopt(s, SOL_NL, name, &v, sizeof(v)) == 0);
		v = 0;
		CHECK(getsockopt(s, SOL_NL, name, &v, &len) == 0 && v == 1 && len == 4);
	}
	CHECK(setsockopt(s, SOL_NL, 77, &v, sizeof(v)) == -1 && errno == ENOPROTOOPT);
	v = 0;
	CHECK(setsockopt(s, SOL_NL, 1, &v, sizeof(v)) == -1 && errno == EINVAL);
	v = 16;		/* nlctrl's own group */
	CHECK(setsockopt(s, SOL_NL, 1, &v, sizeof(v)) == 0);
	len = sizeof(big);
	CHECK(getsockopt(s, SOL_NL, 9, big, &len) == 0 && len >= 4 && big[0] == 1 << 15);
	/* SOL_SOCKET's of Linux: 0x10000 and Linux's number, at SOL_NETLINK. */
	v = 1 << 20;
	CHECK(setsockopt(s, SOL_NL, 0x10021, &v, sizeof(v)) == 0);	/* SO_RCVBUFFORCE */
	len = sizeof(v);
	CHECK(getsockopt(s, SOL_SOCKET, SO_RCVBUF, &v, &len) == 0 && v == 2 << 20);
	len = sizeof(big) + 4;
	CHECK(getsockopt(s, SOL_NL, 0x10037, buf, &len) == 0 && len == 36 && ((uint32_t *)buf)[1] == 2 << 20);	/* SO_MEMINFO */
	CHECK(setsockopt(s, SOL_NL, 0x10003, &v, sizeof(v)) == -1 && errno == ENOPROTOOPT);
	/* PKTINFO comes as a control message, and so does who has sent. */
	v = 1;
	CHECK(setsockopt(s, SOL_NL, 3, &v, sizeof(v)) == 0);
	send(s, &q, getfamily(&q, "nlctrl", 0), 0);
	CHECK(recvmsg(s, &mh, 0) > 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	CHECK(c != NULL && c->cmsg_level == SOL_NL && c->cmsg_type == 3 && c->cmsg_len == CMSG_LEN(4));
	CHECK(CMSG_NXTHDR(&mh, c) == NULL);
	CHECK(setsockopt(s, SOL_NL, 0x10010, &v, sizeof(v)) == 0);	/* SO_PASSCRED */
	struct addr me;
	int t = nlsocket();
	len = sizeof(me);
	CHECK(getsockname(s, (void *)&me, &len) == 0);
	CHECK(sendto(t, "hello", 5, 0, (void *)&me, sizeof(me)) == 5);
	mh.msg_controllen = sizeof(control);
	CHECK(recvmsg(s, &mh, 0) == 5);
	c = CMSG_FIRSTHDR(&mh);
	CHECK(c != NULL && c->cmsg_level == SOL_NL && c->cmsg_type == 3);
	c = CMSG_NXTHDR(&mh, c);
	CHECK(c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == 0x10002 && c->cmsg_len == CMSG_LEN(12));
	uint32_t who[3] = { 0, 1, 1 };
	if (c != NULL)
		memcpy(who, CMSG_DATA(c), sizeof(who));
	CHECK(who[0] == (uint32_t)getpid() && who[1] == getuid() && who[2] == getegid());
	close(t);
	close(s);
}

static void
waiting(void)
{
	int s = nlsocket(), t = nlsocket(), kq = kqueue();
	struct pollfd p = { s, POLLIN | POLLOUT, 0 };
	struct addr at = { sizeof(at), PFNL_AF, 0, 0, 0 };
	socklen_t len = sizeof(at);
	struct kevent e;
	struct timespec none = { 0, 0 }, second = { 5, 0 };
	struct timeval tv = { 0, 100000 };

	bind(s, (void *)&at, sizeof(at));
	getsockname(s, (void *)&at, &len);
	CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLOUT);
	EV_SET(&e, s, EVFILT_READ, EV_ADD, 0, 0, NULL);
	CHECK(kevent(kq, &e, 1, NULL, 0, NULL) == 0);
	CHECK(kevent(kq, NULL, 0, &e, 1, &none) == 0);
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	CHECK(recv(s, buf, sizeof(buf), 0) == -1 && errno == EAGAIN);
	tv.tv_sec = 10;
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (fork() == 0) {
		usleep(200000);
		sendto(t, "x", 1, 0, (void *)&at, sizeof(at));
		usleep(200000);
		sendto(t, "y", 1, 0, (void *)&at, sizeof(at));
		_exit(0);
	}
	CHECK(recv(s, buf, sizeof(buf), 0) == 1 && buf[0] == 'x');	/* sleeps until it comes */
	CHECK(kevent(kq, NULL, 0, &e, 1, &second) == 1 && e.ident == (uintptr_t)s);
	p.events = POLLIN;
	CHECK(poll(&p, 1, 5000) == 1 && p.revents == POLLIN);
	CHECK(recv(s, buf, sizeof(buf), 0) == 1 && buf[0] == 'y');
	fcntl(s, F_SETFL, O_NONBLOCK);
	CHECK(recv(s, buf, sizeof(buf), 0) == -1 && errno == EAGAIN);
	close(s); close(t); close(kq);
}

static void
overflow(void)
{
	struct request q;
	int s = nlsocket(), v = 1, got = 0, lost = 0;

	setsockopt(s, SOL_SOCKET, SO_RCVBUF, &v, sizeof(v));
	getfamily(&q, "no such", F_ACK);
	for (int i = 0; i < 30; i++)
		CHECK(send(s, &q, q.h.len, 0) == (ssize_t)q.h.len);
	CHECK(recv(s, buf, sizeof(buf), MSG_DONTWAIT) == -1 && errno == ENOBUFS);	/* first, and once */
	for (;;) {
		ssize_t n = recv(s, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0) {
			lost += errno == ENOBUFS;
			break;
		}
		got++;
	}
	CHECK(got >= 1 && got < 30 && lost == 0);
	/* Empty again: it receives again. */
	CHECK(send(s, &q, q.h.len, 0) > 0 && error_of(recv(s, buf, sizeof(buf), MSG_DONTWAIT)) == -ENOENT);
	close(s);
}

static void
rights(void)
{
	struct addr group = { sizeof(group), PFNL_AF, 0, 0, 1 };
	pid_t child = fork();
	int status;

	if (child == 0) {
		int s;
		failures = 0;
		CHECK(setgid(65534) == 0 && setuid(65534) == 0);
		s = nlsocket();
		CHECK(s >= 0);
		CHECK(sendto(s, "x", 1, 0, (void *)&group, sizeof(group)) == -1 && errno == EPERM);
		CHECK(connect(s, (void *)&group, sizeof(group)) == -1 && errno == EPERM);
		_exit(failures);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	int s = nlsocket();
	CHECK(connect(s, (void *)&group, sizeof(group)) == 0);
	close(s);
}

int
main(int argc, char **argv)
{
	if (argc > 1)
		family = atoi(argv[1]);
	addresses();
	requests();
	options();
	waiting();
	overflow();
	rights();
	printf("sockets: %d checks, %d failed\n", checks, failures);
	return (failures != 0);
}
