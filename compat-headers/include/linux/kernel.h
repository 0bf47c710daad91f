/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What programs take from it.
 */
#ifndef PFNL_COMPAT_LINUX_KERNEL_H
#define PFNL_COMPAT_LINUX_KERNEL_H

#define __ALIGN_KERNEL_MASK(x, mask) (((x) + (mask)) & ~(mask))
#define __ALIGN_KERNEL(x, a) __ALIGN_KERNEL_MASK(x, (__typeof__(x))(a) - 1)
#define __KERNEL_DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))

#endif
