/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * epoll(7) on kqueue(2): link with compat-headers/lib/epoll.c.
 *
 * A descriptor of epoll_create is a kqueue's: it can be waited on itself, and close(2) ends it. What is not there:
 * EPOLLPRI, EPOLLEXCLUSIVE and EPOLLWAKEUP are taken and have no effect.
 */
#ifndef PFNL_COMPAT_SYS_EPOLL_H
#define PFNL_COMPAT_SYS_EPOLL_H

#include <sys/types.h>
#include <signal.h>
#include <stdint.h>
#include <fcntl.h>

#define EPOLL_CLOEXEC O_CLOEXEC

enum EPOLL_EVENTS {
	EPOLLIN = 0x001,
#define EPOLLIN EPOLLIN
	EPOLLPRI = 0x002,
#define EPOLLPRI EPOLLPRI
	EPOLLOUT = 0x004,
#define EPOLLOUT EPOLLOUT
	EPOLLERR = 0x008,
#define EPOLLERR EPOLLERR
	EPOLLHUP = 0x010,
#define EPOLLHUP EPOLLHUP
	EPOLLRDNORM = 0x040,
#define EPOLLRDNORM EPOLLRDNORM
	EPOLLRDBAND = 0x080,
#define EPOLLRDBAND EPOLLRDBAND
	EPOLLWRNORM = 0x100,
#define EPOLLWRNORM EPOLLWRNORM
	EPOLLWRBAND = 0x200,
#define EPOLLWRBAND EPOLLWRBAND
	EPOLLMSG = 0x400,
#define EPOLLMSG EPOLLMSG
	EPOLLRDHUP = 0x2000,
#define EPOLLRDHUP EPOLLRDHUP
	EPOLLEXCLUSIVE = 1 << 28,
#define EPOLLEXCLUSIVE EPOLLEXCLUSIVE
	EPOLLWAKEUP = 1 << 29,
#define EPOLLWAKEUP EPOLLWAKEUP
	EPOLLONESHOT = 1 << 30,
#define EPOLLONESHOT EPOLLONESHOT
	EPOLLET = -2147483647 - 1
#define EPOLLET (1U << 31)
};

#define EPOLL_CTL_ADD 1
#define EPOLL_CTL_DEL 2
#define EPOLL_CTL_MOD 3

typedef union epoll_data {
	void *ptr;
	int fd;
	uint32_t u32;
	uint64_t u64;
} epoll_data_t;

/* Packed, as on Linux/amd64. */
struct epoll_event {
	uint32_t events;
	epoll_data_t data;
} __attribute__((packed));

#ifdef __cplusplus
extern "C" {
#endif
int epoll_create(int size);
int epoll_create1(int flags);
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout);
int epoll_pwait(int epfd, struct epoll_event *events, int maxevents, int timeout, const sigset_t *mask);
#ifdef __cplusplus
}
#endif

#endif
