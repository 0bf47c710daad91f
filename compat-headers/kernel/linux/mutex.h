/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Linux's mutex on sx(9): its holder may sleep.
 */
#ifndef PFNL_KERNEL_LINUX_MUTEX_H
#define PFNL_KERNEL_LINUX_MUTEX_H

#include <sys/param.h>
#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/sx.h>

struct mutex {
	struct sx sx;
};

#define DEFINE_MUTEX(name) struct mutex name; SX_SYSINIT(pfnl_##name, &name.sx, #name)
#define mutex_init(mutex) sx_init(&(mutex)->sx, #mutex)
#define mutex_destroy(mutex) sx_destroy(&(mutex)->sx)
#define mutex_lock(mutex) sx_xlock(&(mutex)->sx)
#define mutex_unlock(mutex) sx_xunlock(&(mutex)->sx)

#endif
