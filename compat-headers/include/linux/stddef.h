/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For programs that include it by name.
 */
#ifndef PFNL_COMPAT_LINUX_STDDEF_H
#define PFNL_COMPAT_LINUX_STDDEF_H

#include <stddef.h>

#endif
