/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Linux's names of integer types.
 */
#ifndef PFNL_COMPAT_ASM_TYPES_H
#define PFNL_COMPAT_ASM_TYPES_H

#include <linux/types.h>

#endif
