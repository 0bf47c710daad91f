/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * epoll(7) on kqueue(2).
 *
 * An epoll descriptor is a kqueue. A watched descriptor has an EVFILT_READ, an EVFILT_WRITE or both there; the events
 * asked for and the user's data travel with them in ext[2] and ext[3], which the kernel hands back as they are, so
 * that nothing is kept here: descriptors can be closed, and epoll descriptors used by many threads, without care.
 *
 * Where it differs from Linux: a registration ends when its descriptor is closed, also if a duplicate is open; an epoll
 * descriptor is not inherited by fork(2); EPOLLPRI is never reported.
 */
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* How many events one epoll_wait() takes at most; what is left comes with the next. */
#define BATCH 64

#define READABLE (EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLPRI | EPOLLRDBAND)
#define WRITABLE (EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND)

int
epoll_create1(int flags)
{
	int kq;

	if ((flags & ~EPOLL_CLOEXEC) != 0) {
		errno = EINVAL;
		return (-1);
	}
	kq = kqueue();
	if (kq != -1 && (flags & EPOLL_CLOEXEC) != 0 && fcntl(kq, F_SETFD, FD_CLOEXEC) == -1) {
		close(kq);
		return (-1);
	}
	return (kq);
}

int
epoll_create(int size)
{
	if (size <= 0) {
		errno = EINVAL;
		return (-1);
	}
	return (epoll_create1(0));
}

/* Makes one change; 0 or an errno. */
static int
change(int kq, struct kevent *event)
{
	struct kevent receipt;
	struct timespec none = { 0, 0 };

	event->flags |= EV_RECEIPT;
	if (kevent(kq, event, 1, &receipt, 1, &none) == -1)
		return (errno);
	return ((int)receipt.data);
}

static int
delete_filter(int kq, int fd, short filter)
{
	struct kevent event;

	EV_SET(&event, (uintptr_t)fd, filter, EV_DELETE, 0, 0, NULL);
	return (change(kq, &event));
}

/* Whether a descriptor has a filter. */
static int
has_filter(int kq, int fd, short filter)
{
	struct kevent event;

	/* Disabling and enabling touch nothing else of it; what is disabled after EPOLLONESHOT must stay so. */
	EV_SET(&event, (uintptr_t)fd, filter, EV_KEEPUDATA, 0, 0, NULL);
	return (change(kq, &event) == 0);
}

static int
add_filter(int kq, int fd, short filter, const struct epoll_event *wanted)
{
	struct kevent event;
	unsigned short flags = EV_ADD | EV_ENABLE;

	if ((wanted->events & (uint32_t)EPOLLET) != 0)
		flags |= EV_CLEAR;
	if ((wanted->events & EPOLLONESHOT) != 0)
		flags |= EV_DISPATCH;
	EV_SET(&event, (uintptr_t)fd, filter, flags, 0, 0, NULL);
	/* Who asks for neither still hears of errors and of the end: when more can be read than ever will be. */
	if (filter == EVFILT_READ && (wanted->events & READABLE) == 0) {
		event.fflags = NOTE_LOWAT;
		event.data = INT_MAX;
	}
	event.ext[2] = wanted->events;
	event.ext[3] = wanted->data.u64;
	return (change(kq, &event));
}

static int
control(int kq, int op, int fd, const struct epoll_event *wanted)
{
	struct stat st;
	int reads, writes, error;

	if (fd == kq || (op != EPOLL_CTL_DEL && wanted == NULL))
		return (fd == kq ? EINVAL : EFAULT);
	if (fstat(fd, &st) == -1 || fcntl(kq, F_GETFD) == -1)
		return (errno);
	if (op == EPOLL_CTL_ADD && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return (EPERM);
	reads = has_filter(kq, fd, EVFILT_READ);
	writes = has_filter(kq, fd, EVFILT_WRITE);
	switch (op) {
	case EPOLL_CTL_ADD:
		if (reads || writes)
			return (EEXIST);
		break;
	case EPOLL_CTL_MOD:
		if (!reads && !writes)
			return (ENOENT);
		break;
	case EPOLL_CTL_DEL:
		if (!reads && !writes)
			return (ENOENT);
		if (reads)
			(void)delete_filter(kq, fd, EVFILT_READ);
		if (writes)
			(void)delete_filter(kq, fd, EVFILT_WRITE);
		return (0);
	default:
		return (EINVAL);
	}
	/* To change how a filter is triggered it must be made anew. */
	if (reads)
		(void)delete_filter(kq, fd, EVFILT_READ);
	if (writes)
		(void)delete_filter(kq, fd, EVFILT_WRITE);
	error = 0;
	if ((wanted->events & WRITABLE) != 0)
		error = add_filter(kq, fd, EVFILT_WRITE, wanted);
	if (error == 0 && ((wanted->events & READABLE) != 0 || (wanted->events & WRITABLE) == 0)) {
		error = add_filter(kq, fd, EVFILT_READ, wanted);
		if (error != 0 && (wanted->events & WRITABLE) != 0)
			(void)delete_filter(kq, fd, EVFILT_WRITE);
	}
	return (error);
}

int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int saved = errno, error = control(epfd, op, fd, event);

	if (error != 0) {
		errno = error;
		return (-1);
	}
	errno = saved;
	return (0);
}

/* What a kevent says, in epoll's words. */
static uint32_t
translate(const struct kevent *event)
{
	uint32_t wanted = (uint32_t)event->ext[2], happened = 0;

	if (event->filter == EVFILT_READ) {
		if (event->data > 0 || (event->flags & EV_EOF) != 0 || (wanted & READABLE) != 0)
			happened |= EPOLLIN | EPOLLRDNORM;
		if ((event->flags & EV_EOF) != 0)
			happened |= EPOLLRDHUP;
	} else {
		if ((event->flags & EV_EOF) != 0)
			happened |= EPOLLHUP;
		else
			happened |= EPOLLOUT | EPOLLWRNORM;
	}
	if ((event->flags & EV_EOF) != 0 && event->fflags != 0)
		happened |= EPOLLERR | EPOLLHUP;
	/* A pipe or a FIFO without writers is hung up; a socket may still be written to. */
	if (event->filter == EVFILT_READ && (event->flags & EV_EOF) != 0) {
		struct stat st;

		if (fstat((int)event->ident, &st) == 0 && !S_ISSOCK(st.st_mode))
			happened |= EPOLLHUP;
	}
	return (happened & (wanted | EPOLLERR | EPOLLHUP));
}

static int
collect(int kq, struct epoll_event *out, int most, const struct timespec *limit)
{
	struct kevent events[BATCH];
	uintptr_t whose[BATCH];
	int got, n = 0;

	if (most <= 0) {
		errno = EINVAL;
		return (-1);
	}
	got = kevent(kq, NULL, 0, events, most < BATCH ? most : BATCH, limit);
	if (got == -1)
		return (-1);
	for (int i = 0; i < got; i++) {
		uint32_t happened = translate(&events[i]);
		int at;

		if (happened == 0)
			continue;
		/* Of one descriptor there is one event, whatever filters it has. */
		for (at = 0; at < n; at++)
			if (whose[at] == events[i].ident)
				break;
		if (at == n) {
			whose[n] = events[i].ident;
			out[n].events = 0;
			out[n].data.u64 = events[i].ext[3];
			n++;
		}
		out[at].events |= happened;
		/* EPOLLONESHOT: the kernel has disabled this filter, and the other one shall rest too. */
		if ((events[i].ext[2] & EPOLLONESHOT) != 0) {
			struct kevent other = events[i];

			other.filter = events[i].filter == EVFILT_READ ? EVFILT_WRITE : EVFILT_READ;
			other.flags = EV_DISABLE | EV_KEEPUDATA;
			other.fflags = 0;
			other.data = 0;
			(void)change(kq, &other);
		}
	}
	return (n);
}

int
epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
{
	struct timespec start, now, left;
	int got;

	if (timeout < 0) {
		/* What was not wanted after all is no reason to return. */
		do
			got = collect(epfd, events, maxevents, NULL);
		while (got == 0);
		return (got);
	}
	left.tv_sec = timeout / 1000;
	left.tv_nsec = timeout % 1000 * 1000000L;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		struct timespec limit = left;

		got = collect(epfd, events, maxevents, &limit);
		if (got != 0 || timeout == 0)
			return (got);
		clock_gettime(CLOCK_MONOTONIC, &now);
		timespecsub(&now, &start, &now);
		left.tv_sec = timeout / 1000;
		left.tv_nsec = timeout % 1000 * 1000000L;
		if (!timespeccmp(&now, &left, <))
			return (0);
		timespecsub(&left, &now, &left);
	}
}

int
epoll_pwait(int epfd, struct epoll_event *events, int maxevents, int timeout, const sigset_t *mask)
{
	struct pollfd ready = { epfd, POLLIN, 0 };
	struct timespec limit = { timeout / 1000, timeout % 1000 * 1000000L };

	if (mask == NULL)
		return (epoll_wait(epfd, events, maxevents, timeout));
	if (maxevents <= 0) {
		errno = EINVAL;
		return (-1);
	}
	if (ppoll(&ready, 1, timeout < 0 ? NULL : &limit, mask) == -1)
		return (-1);
	return (epoll_wait(epfd, events, maxevents, 0));
}
