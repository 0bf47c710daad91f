/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A Linux module's two functions as a module of FreeBSD's kernel.
 *
 * Its name comes from the build, -DPFNL_MODNAME=name, and module_init() stands before module_exit(). kldunload(8) is
 * refused with EBUSY while a dump of one of its families is in progress.
 */
#ifndef PFNL_KERNEL_LINUX_MODULE_H
#define PFNL_KERNEL_LINUX_MODULE_H

#include <sys/param.h>
#include <sys/kernel.h>
#include <sys/module.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <pfnl-kpi.h>

/* One for all files of a module. */
__attribute__((__weak__, __visibility__("hidden"))) char pfnl_this_module;
#define THIS_MODULE ((struct module *)(void *)&pfnl_this_module)

#define module_init(function) \
	static int pfnl_module_init(void) { return (function()); }

#define module_exit(function) \
	static int \
	pfnl_module_event(module_t module __unused, int event, void *arg __unused) \
	{ \
		switch (event) { \
		case MOD_LOAD: \
			return (-pfnl_module_init()); \
		case MOD_QUIESCE: \
			return (pfnl_kpi_busy(THIS_MODULE) ? EBUSY : 0); \
		case MOD_UNLOAD: \
			function(); \
			return (0); \
		default: \
			return (EOPNOTSUPP); \
		} \
	} \
	PFNL_MODULE(PFNL_MODNAME)

#define PFNL_MODULE(name) PFNL_MODULE_NAMED(name)
#define PFNL_MODULE_NAMED(name) \
	static moduledata_t pfnl_moduledata = { #name, pfnl_module_event, NULL }; \
	DECLARE_MODULE(name, pfnl_moduledata, SI_SUB_PSEUDO, SI_ORDER_ANY); \
	MODULE_VERSION(name, 1); \
	MODULE_DEPEND(name, pfnl, 1, 1, 1)

#define MODULE_LICENSE(text) struct pfnl_nothing
#define MODULE_AUTHOR(text) struct pfnl_nothing
#define MODULE_DESCRIPTION(text) struct pfnl_nothing
#define MODULE_ALIAS(text) struct pfnl_nothing
#define MODULE_ALIAS_GENL_FAMILY(text) struct pfnl_nothing
#define EXPORT_SYMBOL(name) struct pfnl_nothing
#define EXPORT_SYMBOL_GPL(name) struct pfnl_nothing

#endif
