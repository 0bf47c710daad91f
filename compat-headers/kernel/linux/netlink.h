/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Netlink in the kernel: the numbers and layouts, and what net/netlink.h adds.
 */
#ifndef PFNL_KERNEL_LINUX_NETLINK_H
#define PFNL_KERNEL_LINUX_NETLINK_H

#include_next <linux/netlink.h>
#include <linux/skbuff.h>

#endif
