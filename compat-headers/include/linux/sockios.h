/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * FreeBSD's requests; Linux's own numbers would mean nothing to its ioctl(2).
 */
#ifndef PFNL_COMPAT_LINUX_SOCKIOS_H
#define PFNL_COMPAT_LINUX_SOCKIOS_H

#include <sys/ioctl.h>
#include <sys/sockio.h>

#endif
