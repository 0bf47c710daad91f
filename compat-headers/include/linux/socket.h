/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For programs that include it by name.
 */
#ifndef PFNL_COMPAT_LINUX_SOCKET_H
#define PFNL_COMPAT_LINUX_SOCKET_H

#include <sys/socket.h>

#endif
