/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Linux's names of integer types in the kernel.
 */
#ifndef PFNL_KERNEL_LINUX_TYPES_H
#define PFNL_KERNEL_LINUX_TYPES_H

#include <sys/param.h>
#include <sys/systm.h>
#include_next <linux/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef __u64 u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef __s64 s64;
typedef int gfp_t;

#endif
