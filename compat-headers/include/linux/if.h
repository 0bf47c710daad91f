/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Interface flags by Linux's numbers stand in linux/rtnetlink.h's messages; names and structures are FreeBSD's.
 */
#ifndef PFNL_COMPAT_LINUX_IF_H
#define PFNL_COMPAT_LINUX_IF_H

#include <sys/socket.h>
#include <net/if.h>

#ifndef IFALIASZ
#define IFALIASZ 256
#endif

/* RFC 2863's states of operation, as IFLA_OPERSTATE has them. */
enum {
	IF_OPER_UNKNOWN,
	IF_OPER_NOTPRESENT,
	IF_OPER_DOWN,
	IF_OPER_LOWERLAYERDOWN,
	IF_OPER_TESTING,
	IF_OPER_DORMANT,
	IF_OPER_UP
};

enum {
	IF_LINK_MODE_DEFAULT,
	IF_LINK_MODE_DORMANT,
	IF_LINK_MODE_TESTING
};

#endif
