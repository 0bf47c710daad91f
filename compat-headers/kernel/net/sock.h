/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * As much of a socket as families ask for: the network it is in.
 */
#ifndef PFNL_KERNEL_NET_SOCK_H
#define PFNL_KERNEL_NET_SOCK_H

#include <net/net_namespace.h>

#define sock_net(sk) ((struct net *)(void *)(sk))

#endif
