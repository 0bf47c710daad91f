/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For programs that include it by name.
 */
#ifndef PFNL_COMPAT_LINUX_ERRNO_H
#define PFNL_COMPAT_LINUX_ERRNO_H

#include <errno.h>

#endif
