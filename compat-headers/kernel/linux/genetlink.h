/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Generic netlink's numbers and layouts.
 */
#ifndef PFNL_KERNEL_LINUX_GENETLINK_H
#define PFNL_KERNEL_LINUX_GENETLINK_H

#include <linux/netlink.h>
#include_next <linux/genetlink.h>

#endif
