/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A generic netlink family written for Linux's kernel interface: cities and their weather. On Linux it would include the
 * same headers.
 */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <net/netlink.h>
#include <net/sock.h>
#include "weather.h"

#define CITIES 2000

struct city {
	char name[32];
	s32 degrees;
	u16 knots;
	__be16 from;
	u32 flags;
	u64 seen;
};

static DEFINE_MUTEX(weather_lock);
static struct city *cities;
static unsigned int count, changes = 1;
static int dumps_open;
static struct genl_family weather_family;

static const struct nla_policy wind_policy[WEATHER_WIND_MAX + 1] = {
	[WEATHER_WIND_KNOTS] = NLA_POLICY_MAX(NLA_U16, 200),
	[WEATHER_WIND_FROM] = { .type = NLA_BE16 },
};

static const struct nla_policy weather_policy[WEATHER_ATTR_MAX + 1] = {
	[WEATHER_ATTR_CITY] = { .type = NLA_NUL_STRING, .len = 31 },
	[WEATHER_ATTR_DEGREES] = NLA_POLICY_RANGE(NLA_S32, -90, 60),
	[WEATHER_ATTR_WIND] = NLA_POLICY_NESTED(wind_policy),
	[WEATHER_ATTR_FLAGS] = NLA_POLICY_MASK(NLA_U32, 0x3),
	[WEATHER_ATTR_SEEN] = { .type = NLA_REJECT, .reject_message = "SEEN is counted here" },
};

static struct city *
city_find(const struct nlattr *name)
{
	for (unsigned int i = 0; i < count; i++)
		if (nla_strcmp(name, cities[i].name) == 0)
			return &cities[i];
	return NULL;
}

static int
city_put(struct sk_buff *skb, u32 portid, u32 seq, int flags, const struct city *city, struct netlink_callback *cb)
{
	struct nlattr *wind;
	void *hdr;

	hdr = genlmsg_put(skb, portid, seq, &weather_family, flags, WEATHER_CMD_GET);
	if (!hdr)
		return -EMSGSIZE;
	if (cb)
		genl_dump_check_consistent(cb, hdr);
	if (nla_put_string(skb, WEATHER_ATTR_CITY, city->name) ||
	    nla_put_s32(skb, WEATHER_ATTR_DEGREES, city->degrees) ||
	    nla_put_u32(skb, WEATHER_ATTR_FLAGS, city->flags) ||
	    nla_put_u64_64bit(skb, WEATHER_ATTR_SEEN, city->seen, WEATHER_ATTR_UNSPEC))
		goto cancel;
	wind = nla_nest_start(skb, WEATHER_ATTR_WIND);
	if (!wind)
		goto cancel;
	if (nla_put_u16(skb, WEATHER_WIND_KNOTS, city->knots) || nla_put_be16(skb, WEATHER_WIND_FROM, city->from))
		goto cancel;
	nla_nest_end(skb, wind);
	genlmsg_end(skb, hdr);
	return 0;

cancel:
	genlmsg_cancel(skb, hdr);
	return -EMSGSIZE;
}

static int
weather_get(struct sk_buff *skb, struct genl_info *info)
{
	struct city *city;
	struct sk_buff *msg;
	int err;

	if (GENL_REQ_ATTR_CHECK(info, WEATHER_ATTR_CITY))
		return -EINVAL;
	mutex_lock(&weather_lock);
	city = city_find(info->attrs[WEATHER_ATTR_CITY]);
	if (!city) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, info->attrs[WEATHER_ATTR_CITY], "%s is not among %u cities",
		    (char *)nla_data(info->attrs[WEATHER_ATTR_CITY]), count);
		err = -ENOENT;
		goto out;
	}
	city->seen++;
	msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg) {
		err = -ENOMEM;
		goto out;
	}
	err = city_put(msg, info->snd_portid, info->snd_seq, 0, city, NULL);
	if (err) {
		nlmsg_free(msg);
		goto out;
	}
	mutex_unlock(&weather_lock);
	return genlmsg_reply(msg, info);
out:
	mutex_unlock(&weather_lock);
	return err;
}

static int
weather_set(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *wind[WEATHER_WIND_MAX + 1];
	struct sk_buff *msg;
	struct city *city;
	int err = 0;

	if (GENL_REQ_ATTR_CHECK(info, WEATHER_ATTR_CITY))
		return -EINVAL;
	mutex_lock(&weather_lock);
	city = city_find(info->attrs[WEATHER_ATTR_CITY]);
	if (!city) {
		if (count == CITIES) {
			GENL_SET_ERR_MSG(info, "no room for another city");
			err = -ENOSPC;
			goto out;
		}
		city = &cities[count++];
		memset(city, 0, sizeof(*city));
		nla_strscpy(city->name, info->attrs[WEATHER_ATTR_CITY], sizeof(city->name));
	}
	if (info->attrs[WEATHER_ATTR_DEGREES])
		city->degrees = nla_get_s32(info->attrs[WEATHER_ATTR_DEGREES]);
	if (info->attrs[WEATHER_ATTR_FLAGS])
		city->flags = nla_get_u32(info->attrs[WEATHER_ATTR_FLAGS]);
	if (info->attrs[WEATHER_ATTR_WIND]) {
		err = nla_parse_nested(wind, WEATHER_WIND_MAX, info->attrs[WEATHER_ATTR_WIND], wind_policy, info->extack);
		if (err)
			goto out;
		city->knots = nla_get_u16_default(wind[WEATHER_WIND_KNOTS], 0);
		if (wind[WEATHER_WIND_FROM])
			city->from = nla_get_be16(wind[WEATHER_WIND_FROM]);
		if (city->knots > 100)
			NL_SET_ERR_MSG(info->extack, "hold on to your hat");
	}
	changes++;
	msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (msg && city_put(msg, info->snd_portid, info->snd_seq, 0, city, NULL) == 0)
		genl_notify(&weather_family, msg, info, 0, GFP_KERNEL);
	else if (msg)
		nlmsg_free(msg);
out:
	mutex_unlock(&weather_lock);
	return err;
}

static int
weather_forget(struct sk_buff *skb, struct genl_info *info)
{
	mutex_lock(&weather_lock);
	count = 0;
	changes++;
	mutex_unlock(&weather_lock);
	return 0;
}

static int
weather_start(struct netlink_callback *cb)
{
	mutex_lock(&weather_lock);
	dumps_open++;
	mutex_unlock(&weather_lock);
	return 0;
}

static int
weather_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	const struct genl_info *info = genl_info_dump(cb);
	unsigned int at = cb->args[0];

	mutex_lock(&weather_lock);
	cb->seq = changes;
	for (; at < count; at++)
		if (city_put(skb, NETLINK_CB(cb->skb).portid, info->snd_seq, NLM_F_MULTI, &cities[at], cb))
			break;
	mutex_unlock(&weather_lock);
	cb->args[0] = at;
	return skb->len;
}

static int
weather_done(struct netlink_callback *cb)
{
	mutex_lock(&weather_lock);
	dumps_open--;
	mutex_unlock(&weather_lock);
	return 0;
}

static const struct genl_ops weather_ops[] = {
	{
		.cmd = WEATHER_CMD_GET,
		.doit = weather_get,
		.start = weather_start,
		.dumpit = weather_dump,
		.done = weather_done,
	},
	{
		.cmd = WEATHER_CMD_SET,
		.flags = GENL_ADMIN_PERM,
		.doit = weather_set,
	},
};

static const struct genl_small_ops weather_small_ops[] = {
	{
		.cmd = WEATHER_CMD_FORGET,
		.flags = GENL_ADMIN_PERM,
		.doit = weather_forget,
	},
};

static const struct genl_multicast_group weather_groups[] = {
	{ .name = WEATHER_GROUP },
};

static struct genl_family weather_family __ro_after_init = {
	.name = WEATHER_FAMILY,
	.version = 1,
	.maxattr = WEATHER_ATTR_MAX,
	.policy = weather_policy,
	.netnsok = true,
	.module = THIS_MODULE,
	.ops = weather_ops,
	.n_ops = ARRAY_SIZE(weather_ops),
	.small_ops = weather_small_ops,
	.n_small_ops = ARRAY_SIZE(weather_small_ops),
	.mcgrps = weather_groups,
	.n_mcgrps = ARRAY_SIZE(weather_groups),
	.resv_start_op = WEATHER_CMD_FORGET + 1,
};

static int __init
weather_init(void)
{
	int err;

	cities = kcalloc(CITIES, sizeof(*cities), GFP_KERNEL);
	if (!cities)
		return -ENOMEM;
	err = genl_register_family(&weather_family);
	if (err)
		kfree(cities);
	else
		pr_info("weather: family %d\n", weather_family.id);
	return err;
}

static void __exit
weather_exit(void)
{
	genl_unregister_family(&weather_family);
	WARN_ON(dumps_open != 0);
	if (dumps_open != 0)
		pr_err("weather: %d dumps were not ended\n", dumps_open);
	kfree(cities);
}

module_init(weather_init);
module_exit(weather_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("pfnl's example family");
