/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * compat-headers/lib/epoll.c, as epoll(7) describes it. It also runs on Linux, against Linux's own epoll.
 */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int checks, failures;
#define CHECK(so) do { \
	checks++; \
	if (!(so)) { \
		failures++; \
		printf("epoll.c:%d: not so: %s (errno %d)\n", __LINE__, #so, errno); \
	} \
} while (0)

static struct epoll_event got[8];

static int
ctl(int ep, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	return epoll_ctl(ep, op, fd, &event);
}

static long
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
errors(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), file = open("/dev/null", O_RDONLY), s[2];

	CHECK(ep >= 0 && fcntl(ep, F_GETFD) == FD_CLOEXEC);
	CHECK(epoll_create(0) == -1 && errno == EINVAL);
	CHECK(epoll_create1(77) == -1 && errno == EINVAL);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN, 1) == -1 && errno == ENOENT);
	CHECK(ctl(ep, EPOLL_CTL_DEL, s[0], EPOLLIN, 1) == -1 && errno == ENOENT);
	CHECK(ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN, 1) == 0);
	CHECK(ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN, 1) == -1 && errno == EEXIST);
	CHECK(ctl(ep, EPOLL_CTL_ADD, ep, EPOLLIN, 1) == -1 && errno == EINVAL);
	CHECK(ctl(ep, EPOLL_CTL_ADD, 77, EPOLLIN, 1) == -1 && errno == EBADF);
	CHECK(ctl(ep, 9, s[1], EPOLLIN, 1) == -1 && errno == EINVAL);
	CHECK(epoll_wait(ep, got, 0, 0) == -1 && errno == EINVAL);
	CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, s[0], NULL) == 0);
	int regular = open("/tmp/epoll-test", O_RDWR | O_CREAT, 0600);
	CHECK(ctl(ep, EPOLL_CTL_ADD, regular, EPOLLIN, 1) == -1 && errno == EPERM);
	close(regular); unlink("/tmp/epoll-test");
	close(s[0]); close(s[1]); close(file); close(ep);
}

static void
levels(void)
{
	int ep = epoll_create(1), s[2];
	char c;
	long before;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN, 0x1234567890abcdef) == 0);
	before = now();
	CHECK(epoll_wait(ep, got, 8, 0) == 0);
	CHECK(epoll_wait(ep, got, 8, 150) == 0 && now() - before >= 150);
	CHECK(write(s[1], "ab", 2) == 2);
	/* Again and again, as long as something is there. */
	for (int i = 0; i < 2; i++) {
		CHECK(epoll_wait(ep, got, 8, 1000) == 1);
		CHECK(got[0].events == EPOLLIN && got[0].data.u64 == 0x1234567890abcdef);
		CHECK(read(s[0], &c, 1) == 1);
	}
	CHECK(epoll_wait(ep, got, 8, 0) == 0);
	/* Both ways in one event. */
	CHECK(write(s[1], "a", 1) == 1);
	CHECK(ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLOUT, 7) == 0);
	CHECK(epoll_wait(ep, got, 8, 1000) == 1 && got[0].events == (EPOLLIN | EPOLLOUT) && got[0].data.u64 == 7);
	CHECK(ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLOUT, 8) == 0);
	CHECK(epoll_wait(ep, got, 8, 1000) == 1 && got[0].events == EPOLLOUT && got[0].data.u64 == 8);
	CHECK(ctl(ep, EPOLL_CTL_MOD, s[0], 0, 9) == 0);
	CHECK(epoll_wait(ep, got, 8, 50) == 0);
	CHECK(ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN, 10) == 0);
	CHECK(epoll_wait(ep, got, 8, 1000) == 1 && got[0].events == EPOLLIN && got[0].data.u64 == 10);
	CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, s[0], NULL) == 0);
	CHECK(epoll_wait(ep, got, 8, 50) == 0);
	/* What is closed is forgotten. */
	CHECK(ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN, 1) == 0);
	close(s[0]);
	CHECK(epoll_wait(ep, got, 8, 50) == 0);
	close(s[1]); close(ep);
}

static void
edges(void)
{
	int ep = epoll_create(1), s[2];
	char c[8];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN | EPOLLET, 1) == 0);
	CHECK(write(s[1], "ab", 2) == 2);
	CHECK(epoll_wait(ep, got, 8, 1000) == 1 && got[0].events == EPOLLIN);
	CHECK(epoll_wait(ep, got, 8, 50) == 0);
	CHECK(write(s[1], "c", 1) == 1);
	CHECK(epoll_wait(ep, got, 8, 1000) == 1);
	CHECK(read(s[0], c, 8) == 3);
	/* Once, until it is asked for again; the other way rests too. */
	CHECK(write(s[1], "d", 1) == 1);
	CHECK(ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLOUT | EPOLLONESHOT, 2) == 0);
	CHECK(epoll_wait(ep, got, 8, 1000) == 1);
	CHECK(epoll_wait(ep, got, 8, 50) == 0);
	CHECK(ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN, 2) == -1 && errno == EEXIST);
	CHECK(ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLONESHOT, 3) == 0);
	CHECK(epoll_wait(ep, got, 8, 1000) == 1 && got[0].events == EPOLLIN && got[0].data.u64 == 3);
	CHECK(epoll_wait(ep, got, 8, 50) == 0);
	close(s[0]); close(s[1]); close(ep);
}

static void
endings(void)
{
	int ep = epoll_create(1), s[2], p[2];
	char c;

	/* The peer sends no more. */
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN | EPOLLRDHUP, 1) == 0);
	CHECK(shutdown(s[1], SHUT_WR) == 0);
	CHECK(epoll_wait(ep, got, 8, 1000) == 1 && got[0].events == (EPOLLIN | EPOLLRDHUP));
	CHECK(ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN, 1) == 0);
	CHECK(epoll_wait(ep, got, 8, 1000) == 1 && got[0].events == EPOLLIN);
	CHECK(read(s[0], &c, 1) == 0);
	close(s[0]); close(s[1]);
	/* A pipe whose writer is gone. */
	CHECK(pipe(p) == 0 && ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 2) == 0);
	close(p[1]);
	CHECK(epoll_wait(ep, got, 8, 1000) == 1 && (got[0].events & EPOLLHUP) && got[0].data.u64 == 2);
	close(p[0]);
	close(ep);
}

static void *
later(void *arg)
{
	usleep(200000);
	return write(*(int *)arg, "x", 1) == 1 ? NULL : arg;
}

static void
on_alarm(int signal)
{
	(void)signal;
}

static void
waiting(void)
{
	int ep = epoll_create(1), many[20][2], n, seen = 0;
	struct sigaction action = { .sa_handler = on_alarm };
	sigset_t none, alarm_only, old;
	pthread_t thread;
	void *result;

	for (int i = 0; i < 20; i++) {
		CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, many[i]) == 0);
		CHECK(ctl(ep, EPOLL_CTL_ADD, many[i][0], EPOLLIN, 100 + i) == 0);
	}
	CHECK(pthread_create(&thread, NULL, later, &many[5][1]) == 0);
	CHECK(epoll_wait(ep, got, 8, -1) == 1 && got[0].data.u64 == 105);
	CHECK(pthread_join(thread, &result) == 0 && result == NULL);
	/* More than fit into one answer: nobody starves. */
	for (int i = 0; i < 20; i++)
		CHECK(write(many[i][1], "x", 1) == 1);
	for (int round = 0; round < 40 && seen != 0xfffff; round++) {
		n = epoll_wait(ep, got, 8, 1000);
		for (int i = 0; i < n; i++) {
			char c[4];
			int which = (int)got[i].data.u64 - 100;

			while (recv(many[which][0], c, 4, MSG_DONTWAIT) > 0)
				;
			seen |= 1 << which;
		}
	}
	CHECK(seen == 0xfffff);
	/* An epoll descriptor is itself readable; kqueue(2) looks whether what happened is still so only when asked. */
	CHECK(epoll_wait(ep, got, 8, 0) == 0);
	int outer = epoll_create(1);
	CHECK(ctl(outer, EPOLL_CTL_ADD, ep, EPOLLIN, 1) == 0);
	CHECK(epoll_wait(outer, got, 8, 0) == 0);
	CHECK(write(many[3][1], "x", 1) == 1);
	CHECK(epoll_wait(outer, got, 8, 1000) == 1);
	close(outer);
	for (int i = 0; i < 20; i++) {
		close(many[i][0]);
		close(many[i][1]);
	}
	/* A signal ends the wait; one that the mask keeps out waits for its end. */
	sigaction(SIGALRM, &action, NULL);
	sigemptyset(&none);
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	alarm(1);
	CHECK(epoll_wait(ep, got, 8, 3000) == -1 && errno == EINTR);
	sigprocmask(SIG_BLOCK, &alarm_only, &old);
	alarm(1);
	CHECK(epoll_pwait(ep, got, 8, 3000, &none) == -1 && errno == EINTR);
	sigprocmask(SIG_SETMASK, &old, NULL);
	alarm(1);
	CHECK(epoll_pwait(ep, got, 8, 1500, &alarm_only) == 0);
	close(ep);
}

int
main(void)
{
	errors();
	levels();
	edges();
	endings();
	waiting();
	printf("epoll: %d checks, %d failed\n", checks, failures);
	return failures != 0;
}
