/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * FreeBSD's numbers, and Linux's names that FreeBSD has not.
 *
 * Handlers return them negated, as on Linux; a FreeBSD program sees FreeBSD's number, one of linux(4) Linux's.
 */
#ifndef PFNL_KERNEL_LINUX_ERRNO_H
#define PFNL_KERNEL_LINUX_ERRNO_H

#include <sys/errno.h>

#ifndef ENODATA
#define ENODATA ENOATTR
#endif
#define ENOTSUPP EOPNOTSUPP

#endif
