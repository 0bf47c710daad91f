/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What Open vSwitch has on Linux alone and its programs need where openvswitch.ko is: compiled with its own headers, for
 * versions 2.17 to 3.x.
 *
 * An internal port is an interface like others on FreeBSD, so its class is that of the system's. Tunnels' classes are
 * registered too, so that probes for them get the datapath's answer.
 */
#include <config.h>
#include <errno.h>
#include "netdev-provider.h"
#include "netdev-vport.h"
#include "openvswitch/compiler.h"

int netdev_linux_ethtool_set_flag(struct netdev *, uint32_t flag, const char *name, bool enable);

/* openvswitch.ko itself switches an interface's LRO off when it becomes a port. */
int
netdev_linux_ethtool_set_flag(struct netdev *netdev OVS_UNUSED, uint32_t flag OVS_UNUSED, const char *name OVS_UNUSED,
    bool enable OVS_UNUSED)
{
	return (EOPNOTSUPP);
}

static struct netdev_class internal;

__attribute__((__constructor__)) static void
ovs_register(void)
{
	internal = netdev_bsd_class;
	internal.type = "internal";
	netdev_register_provider(&internal);
	netdev_vport_tunnel_register();
}
