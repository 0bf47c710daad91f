/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * FreeBSD's, and a name that Linux programs ask sysconf(3) for.
 */
#ifndef PFNL_COMPAT_UNISTD_H
#define PFNL_COMPAT_UNISTD_H

#include_next <unistd.h>

#ifndef _SC_UIO_MAXIOV
#define _SC_UIO_MAXIOV _SC_IOV_MAX
#endif

#endif
