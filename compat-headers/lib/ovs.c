/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What dpif-netlink.c of Open vSwitch asks of netdev-linux.c, which is not built for FreeBSD. openvswitch.ko itself
 * switches an interface's LRO off when it becomes a port.
 */
#include <errno.h>

struct netdev;
int netdev_linux_ethtool_set_flag(struct netdev *, unsigned int flag, const char *name, int enable);

int
netdev_linux_ethtool_set_flag(struct netdev *netdev, unsigned int flag, const char *name, int enable)
{
	(void)netdev;
	(void)flag;
	(void)name;
	(void)enable;
	return (EOPNOTSUPP);
}
