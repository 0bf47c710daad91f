/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A network namespace is a vnet(9).
 */
#ifndef PFNL_KERNEL_NET_NET_NAMESPACE_H
#define PFNL_KERNEL_NET_NET_NAMESPACE_H

#include <sys/param.h>
#include <sys/proc.h>
#include <sys/jail.h>
#include <net/vnet.h>

struct net;
#define init_net (*(struct net *)(void *)vnet0)
#define net_eq(a, b) ((a) == (b))
#define current_net() ((struct net *)(void *)curvnet)

#endif
