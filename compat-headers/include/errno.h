/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * FreeBSD's, and names of Linux's that FreeBSD has not: each is the error that pfnl.ko and linux(4) take for it.
 */
#ifndef PFNL_COMPAT_ERRNO_H
#define PFNL_COMPAT_ERRNO_H

#include_next <errno.h>

/* libc++ makes a number up; the kernel's is ENOATTR, as linux(4) has it. */
#undef ENODATA
#define ENODATA ENOATTR
#ifndef ETIME
#define ETIME ETIMEDOUT
#endif
#ifndef ENOTUNIQ
#define ENOTUNIQ EADDRINUSE
#endif
#ifndef EREMOTEIO
#define EREMOTEIO EIO
#endif
#ifndef EBADFD
#define EBADFD EBADF
#endif
#ifndef ENONET
#define ENONET ENETDOWN
#endif
#ifndef ECOMM
#define ECOMM ENETDOWN
#endif
#ifndef ENOMEDIUM
#define ENOMEDIUM ENXIO
#endif

#endif
