/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A family of FreeBSD's own generic netlink, as pfctl's and nfs's are, for the test of net.pfnl.takeover.
 */
#include <sys/param.h>
#include <sys/systm.h>
#include <sys/kernel.h>
#include <sys/malloc.h>
#include <sys/module.h>
#include <netlink/netlink.h>
#include <netlink/netlink_ctl.h>
#include <netlink/netlink_generic.h>
#include <netlink/netlink_message_writer.h>

static uint16_t family;

static int
answer(struct nlmsghdr *hdr, struct nl_pstate *npt)
{
	struct genlmsghdr *reply;

	if (!nlmsg_reply(npt->nw, hdr, sizeof(struct genlmsghdr)))
		return (ENOMEM);
	reply = nlmsg_reserve_object(npt->nw, struct genlmsghdr);
	reply->cmd = 1;
	reply->version = 1;
	nlattr_add_u32(npt->nw, 1, 42);
	return (nlmsg_end(npt->nw) ? 0 : ENOMEM);
}

static const struct genl_cmd commands[] = {
	{ .cmd_num = 1, .cmd_name = "ASK", .cmd_cb = answer, .cmd_flags = GENL_CMD_CAP_DO },
};

static int
event(module_t module __unused, int what, void *arg __unused)
{
	switch (what) {
	case MOD_LOAD:
		family = genl_register_family("nativetest", 0, 1, 1);
		if (family == 0)
			return (EEXIST);
		return (genl_register_cmds(family, commands, nitems(commands)) ? 0 : ENOMEM);
	case MOD_UNLOAD:
		genl_unregister_family(family);
		return (0);
	default:
		return (EOPNOTSUPP);
	}
}

static moduledata_t native = { "native", event, NULL };
DECLARE_MODULE(native, native, SI_SUB_PSEUDO, SI_ORDER_ANY);
MODULE_VERSION(native, 1);
