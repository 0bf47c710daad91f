/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * FreeBSD's, and what Linux programs expect there beside it.
 *
 * AF_NETLINK is pfnl's address family, which stands beside FreeBSD's own AF_NETLINK (38) and has Linux's semantics.
 * Where pfnl has taken 38 over (net.pfnl.takeover=1), build with -DPFNL_AF_NETLINK=38; -DPFNL_NATIVE_AF_NETLINK leaves
 * the name to FreeBSD's family.
 */
#ifndef PFNL_COMPAT_SYS_SOCKET_H
#define PFNL_COMPAT_SYS_SOCKET_H

#include_next <sys/socket.h>

#ifndef _KERNEL

#ifndef PFNL_AF_NETLINK
#define PFNL_AF_NETLINK 39	/* AF_VENDOR00 */
#endif

#ifndef PFNL_NATIVE_AF_NETLINK
#undef AF_NETLINK
#undef PF_NETLINK
#define AF_NETLINK PFNL_AF_NETLINK
#define PF_NETLINK AF_NETLINK
#endif

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

#ifndef CMSG_ALIGN
#define CMSG_ALIGN(n) _ALIGN(n)
#endif

/* What SCM_CREDENTIALS carries. */
struct ucred {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/*
 * Linux has these at SOL_SOCKET, where FreeBSD's kernel asks no protocol. The functions below take them to
 * SOL_NETLINK, where pfnl.ko knows them: 0x10000 and Linux's number.
 */
#define SO_PASSCRED 0x10010
#define SO_SNDBUFFORCE 0x10020
#define SO_RCVBUFFORCE 0x10021
#define SO_MEMINFO 0x10037
#define SCM_CREDENTIALS 0x10002

static __inline int
pfnl_setsockopt(int s, int level, int name, const void *value, socklen_t len)
{
	return (setsockopt(s, level == SOL_SOCKET && (name & 0x10000) != 0 ? SOL_NETLINK : level, name, value, len));
}

static __inline int
pfnl_getsockopt(int s, int level, int name, void *value, socklen_t *len)
{
	return (getsockopt(s, level == SOL_SOCKET && (name & 0x10000) != 0 ? SOL_NETLINK : level, name, value, len));
}

#define setsockopt pfnl_setsockopt
#define getsockopt pfnl_getsockopt

#endif /* !_KERNEL */

#endif
