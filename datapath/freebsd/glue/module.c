/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * openvswitch.ko: the module, its sysctls, and a state for each vnet.
 */
#include "ovs.h"
#include <sys/kernel.h>
#include <sys/module.h>
#include <sys/epoch.h>
#include <sys/sysctl.h>
#include <sys/taskqueue.h>
#include "glue.h"

/* Of the interface with pfnl.ko; its own version is refused there if it is another. */
#define	OVS_PFNL	1

/* ---- one state per vnet ---- */

VNET_DEFINE_STATIC(void *, ovs_state);

void **
ovs_vnet_slot(void)
{
	return (&VNET(ovs_state));
}

static void
vnet_ovs_init(const void *unused __unused)
{
	int error = ovs_vnet_init();

	if (error != 0)
		printf("openvswitch: no families in a vnet: error %d\n", error);
}
/* After pfnl.ko's, and gone before it. */
VNET_SYSINIT(ovs_state, SI_SUB_PROTO_END, SI_ORDER_FIRST, vnet_ovs_init, NULL);

static void
vnet_ovs_uninit(const void *unused __unused)
{
	ovs_vnet_uninit();
}
VNET_SYSUNINIT(ovs_state, SI_SUB_PROTO_END, SI_ORDER_FIRST, vnet_ovs_uninit, NULL);

/* Last of all: what was retired is freed while our code is there. */
static void
ovs_drain(const void *unused __unused)
{
	/* What the first round frees may retire something in its turn. */
	NET_EPOCH_DRAIN_CALLBACKS();
	NET_EPOCH_DRAIN_CALLBACKS();
	ovs_pages_free();
}
SYSUNINIT(ovs_drain, SI_SUB_PROTO_BEGIN, SI_ORDER_FIRST, ovs_drain, NULL);

/* ---- sysctls ---- */

SYSCTL_NODE(_net, OID_AUTO, ovs, CTLFLAG_RW | CTLFLAG_MPSAFE, 0, "Open vSwitch datapath");
SYSCTL_UINT(_net_ovs, OID_AUTO, ports, CTLFLAG_RD, &ovs_ports, 0, "Open ports, internal ones included");
SYSCTL_UINT(_net_ovs, OID_AUTO, dumps, CTLFLAG_RD, &ovs_dumps, 0, "Dumps in progress");

/* ---- the module ---- */

static struct timeout_task ovs_ticker;

static void
ovs_second(void *arg __unused, int pending __unused)
{
	ovs_tick();
	/* Refused once the task is being drained. */
	(void)taskqueue_enqueue_timeout(taskqueue_thread, &ovs_ticker, hz);
}

static int
ovs_modevent(module_t module __unused, int event, void *arg __unused)
{
	switch (event) {
	case MOD_LOAD:
		if (*ovs_vnet_slot() == NULL)
			return (ENOMEM);
		ovs_events_start();
		TIMEOUT_TASK_INIT(taskqueue_thread, &ovs_ticker, 0, ovs_second, NULL);
		(void)taskqueue_enqueue_timeout(taskqueue_thread, &ovs_ticker, hz);
		return (0);
	case MOD_QUIESCE:
		if (!ovs_stop())
			return (EBUSY);
		ovs_resume();
		return (0);
	case MOD_UNLOAD:
		if (!ovs_stop())
			return (EBUSY);
		taskqueue_drain_timeout(taskqueue_thread, &ovs_ticker);
		ovs_retreat();
		ovs_events_stop();
		return (0);
	default:
		return (EOPNOTSUPP);
	}
}

static moduledata_t ovs_module = { "openvswitch", ovs_modevent, NULL };
/* For the kernels of one minor release, as pfnl.ko. */
DECLARE_MODULE_WITH_MAXVER(openvswitch, ovs_module, SI_SUB_PROTO_END, SI_ORDER_ANY,
    rounddown(__FreeBSD_version, 1000) + 999);
MODULE_VERSION(openvswitch, 1);
MODULE_DEPEND(openvswitch, pfnl, OVS_PFNL, OVS_PFNL, OVS_PFNL);
