/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Marks of code that Linux frees after boot.
 */
#ifndef PFNL_KERNEL_LINUX_INIT_H
#define PFNL_KERNEL_LINUX_INIT_H

#define __init
#define __exit
#define __initdata

#endif
