/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Verdicts and protocol families of netfilter.
 */
#ifndef PFNL_COMPAT_LINUX_NETFILTER_H
#define PFNL_COMPAT_LINUX_NETFILTER_H

#include <linux/types.h>
#include <netinet/in.h>

#define NF_DROP 0
#define NF_ACCEPT 1
#define NF_STOLEN 2
#define NF_QUEUE 3
#define NF_REPEAT 4
#define NF_STOP 5
#define NF_MAX_VERDICT NF_STOP

enum {
	NFPROTO_UNSPEC = 0,
	NFPROTO_INET = 1,
	NFPROTO_IPV4 = 2,
	NFPROTO_ARP = 3,
	NFPROTO_NETDEV = 5,
	NFPROTO_BRIDGE = 7,
	NFPROTO_IPV6 = 10
};

union nf_inet_addr {
	__u32 all[4];
	__be32 ip;
	__be32 ip6[4];
	struct in_addr in;
	struct in6_addr in6;
};

#endif
