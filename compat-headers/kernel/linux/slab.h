/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * kmalloc() and its like on malloc(9).
 */
#ifndef PFNL_KERNEL_LINUX_SLAB_H
#define PFNL_KERNEL_LINUX_SLAB_H

#include <sys/param.h>
#include <sys/malloc.h>
#include <linux/types.h>

MALLOC_DECLARE(M_PFNL_KPI);

#define GFP_KERNEL M_WAITOK
#define GFP_ATOMIC M_NOWAIT
#define GFP_NOWAIT M_NOWAIT
#define kmalloc(size, flags) malloc((size), M_PFNL_KPI, (flags))
#define kzalloc(size, flags) malloc((size), M_PFNL_KPI, (flags) | M_ZERO)
#define kcalloc(n, size, flags) mallocarray((n), (size), M_PFNL_KPI, (flags) | M_ZERO)
#define kfree(place) free(__DECONST(void *, (place)), M_PFNL_KPI)

#endif
