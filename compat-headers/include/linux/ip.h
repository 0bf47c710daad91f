/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The IPv4 header by Linux's names.
 */
#ifndef PFNL_COMPAT_LINUX_IP_H
#define PFNL_COMPAT_LINUX_IP_H

#include <linux/types.h>
#include <sys/endian.h>

#define IPTOS_TOS_MASK 0x1E
#define IPVERSION 4
#define MAXTTL 255
#define IPDEFTTL 64

struct iphdr {
#if BYTE_ORDER == LITTLE_ENDIAN
	__u8 ihl:4, version:4;
#else
	__u8 version:4, ihl:4;
#endif
	__u8 tos;
	__be16 tot_len;
	__be16 id;
	__be16 frag_off;
	__u8 ttl;
	__u8 protocol;
	__sum16 check;
	__be32 saddr;
	__be32 daddr;
};

#endif
