/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Linux's names of integer types, for programs that are built for FreeBSD.
 */
#ifndef PFNL_COMPAT_LINUX_TYPES_H
#define PFNL_COMPAT_LINUX_TYPES_H

#include <sys/types.h>
#ifndef _KERNEL
#include <stdint.h>
#endif

typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef int8_t __s8;
typedef int16_t __s16;
typedef int32_t __s32;
/* As on Linux/amd64, where printf takes them as long long. */
__extension__ typedef unsigned long long __u64;
__extension__ typedef long long __s64;

typedef __u16 __le16;
typedef __u16 __be16;
typedef __u32 __le32;
typedef __u32 __be32;
typedef __u64 __le64;
typedef __u64 __be64;
typedef __u16 __sum16;
typedef __u32 __wsum;

#define __aligned_u64 __u64 __attribute__((aligned(8)))
#define __aligned_be64 __be64 __attribute__((aligned(8)))
#define __aligned_le64 __le64 __attribute__((aligned(8)))
#ifndef __bitwise
#define __bitwise
#endif
#ifndef __force
#define __force
#endif

#endif
