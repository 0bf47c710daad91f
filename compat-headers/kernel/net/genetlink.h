/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Generic netlink families in C, named and shaped as in Linux's kernel; pfnl.ko serves them.
 *
 * A request's handlers run one at a time in each network, may sleep, and have been waited for when
 * genl_unregister_family() returns. Dumps that are still in progress end then with ENOENT.
 */
#ifndef PFNL_KERNEL_NET_GENETLINK_H
#define PFNL_KERNEL_NET_GENETLINK_H

#include <linux/genetlink.h>
#include <net/netlink.h>

#define genl_register_family pfnl_kpi_register
#define genl_unregister_family pfnl_kpi_unregister

#define genl_info_net(info) ((info)->_net)
#define genl_info_userhdr(info) ((info)->userhdr)
#define GENL_CB(skb) ((skb)->cb)
#define GENL_REQ_ATTR_CHECK(info, attr) NL_REQ_ATTR_CHECK((info)->extack, NULL, (info)->attrs, (attr))
#define GENL_SET_ERR_MSG(info, text) NL_SET_ERR_MSG((info)->extack, text)
#define GENL_SET_ERR_MSG_FMT(info, format, ...) NL_SET_ERR_MSG_FMT((info)->extack, format, ##__VA_ARGS__)

static __inline bool genl_info_is_ntf(const struct genl_info *info) { return (info->nlhdr == NULL); }

static __inline const struct genl_dumpit_info *
genl_dumpit_info(struct netlink_callback *cb)
{
	return (cb->data);
}

static __inline const struct genl_info *
genl_info_dump(struct netlink_callback *cb)
{
	return (&genl_dumpit_info(cb)->info);
}


static __inline int genlmsg_msg_size(int payload) { return (GENL_HDRLEN + payload); }
static __inline int genlmsg_total_size(int payload) { return (NLMSG_ALIGN(genlmsg_msg_size(payload))); }
static __inline void *genlmsg_data(const struct genlmsghdr *gnlh) { return (__DECONST(char *, gnlh) + GENL_HDRLEN); }

static __inline struct nlmsghdr *
genlmsg_nlhdr(void *user_hdr)
{
	return ((struct nlmsghdr *)(void *)((char *)user_hdr - GENL_HDRLEN - NLMSG_HDRLEN));
}

static __inline int
genlmsg_len(const struct genlmsghdr *gnlh)
{
	const struct nlmsghdr *nlh = (const void *)((const char *)gnlh - NLMSG_HDRLEN);

	return (nlh->nlmsg_len - GENL_HDRLEN - NLMSG_HDRLEN);
}

static __inline struct sk_buff *
genlmsg_new(size_t payload, gfp_t flags)
{
	return (nlmsg_new(genlmsg_total_size(payload), flags));
}

/* Begins a message; the place of its user header, null when there is no room. */
static __inline void *
genlmsg_put(struct sk_buff *skb, u32 portid, u32 seq, const struct genl_family *family, int flags, u8 cmd)
{
	struct nlmsghdr *nlh = nlmsg_put(skb, portid, seq, family->id, GENL_HDRLEN + family->hdrsize, flags);
	struct genlmsghdr *hdr;

	if (nlh == NULL)
		return (NULL);
	hdr = nlmsg_data(nlh);
	hdr->cmd = cmd;
	hdr->version = family->version;
	hdr->reserved = 0;
	return ((char *)hdr + GENL_HDRLEN);
}

static __inline void *
genlmsg_put_reply(struct sk_buff *skb, struct genl_info *info, const struct genl_family *family, int flags, u8 cmd)
{
	return (genlmsg_put(skb, info->snd_portid, info->snd_seq, family, flags, cmd));
}

static __inline void *
genlmsg_iput(struct sk_buff *skb, const struct genl_info *info)
{
	return (genlmsg_put(skb, info->snd_portid, info->snd_seq, info->family, 0, info->genlhdr->cmd));
}

static __inline void genlmsg_end(struct sk_buff *skb, void *hdr) { nlmsg_end(skb, genlmsg_nlhdr(hdr)); }

static __inline void
genlmsg_cancel(struct sk_buff *skb, void *hdr)
{
	if (hdr != NULL)
		nlmsg_cancel(skb, genlmsg_nlhdr(hdr));
}

static __inline void
genl_dump_check_consistent(struct netlink_callback *cb, void *user_hdr)
{
	nl_dump_check_consistent(cb, genlmsg_nlhdr(user_hdr));
}

static __inline int
genlmsg_parse(const struct nlmsghdr *nlh, const struct genl_family *family, struct nlattr **tb, int maxtype,
    const struct nla_policy *policy, struct netlink_ext_ack *extack)
{
	int hdrlen = GENL_HDRLEN + family->hdrsize;

	if (nlmsg_len(nlh) < hdrlen)
		return (-EINVAL);
	return (nla_parse(tb, maxtype, nlmsg_attrdata(nlh, hdrlen), nlmsg_attrlen(nlh, hdrlen), policy, extack));
}

static __inline int
genlmsg_unicast(struct net *net, struct sk_buff *skb, u32 portid)
{
	return (pfnl_kpi_unicast(net, skb, portid));
}

static __inline int
genlmsg_reply(struct sk_buff *skb, struct genl_info *info)
{
	return (genlmsg_unicast(genl_info_net(info), skb, info->snd_portid));
}

/* group is an index of the family's. */
static __inline int
genlmsg_multicast_netns(const struct genl_family *family, struct net *net, struct sk_buff *skb, u32 portid,
    unsigned int group, gfp_t flags)
{
	(void)flags;
	if (group >= family->n_mcgrps) {
		nlmsg_free(skb);
		return (-EINVAL);
	}
	return (pfnl_kpi_multicast(net, skb, portid, family->mcgrp_offset + group));
}

static __inline int
genlmsg_multicast(const struct genl_family *family, struct sk_buff *skb, u32 portid, unsigned int group, gfp_t flags)
{
	return (genlmsg_multicast_netns(family, &init_net, skb, portid, group, flags));
}

static __inline int
genlmsg_multicast_allns(const struct genl_family *family, struct sk_buff *skb, u32 portid, unsigned int group,
    gfp_t flags)
{
	(void)flags;
	if (group >= family->n_mcgrps) {
		nlmsg_free(skb);
		return (-EINVAL);
	}
	return (pfnl_kpi_multicast_all(skb, portid, family->mcgrp_offset + group));
}

static __inline int
genl_has_listeners(const struct genl_family *family, struct net *net, unsigned int group)
{
	return (group < family->n_mcgrps && pfnl_kpi_has_listeners(net, family->mcgrp_offset + group));
}

/* Tells a group what a request brought about, and the requester if it asked for an echo. */
static __inline void
genl_notify(const struct genl_family *family, struct sk_buff *skb, struct genl_info *info, u32 group, gfp_t flags)
{
	bool echo = nlmsg_report(info->nlhdr);
	struct sk_buff *copy = NULL;

	if (echo && (copy = pfnl_kpi_alloc(skb->len)) != NULL)
		memcpy(skb_put(copy, skb->len), skb->data, skb->len);
	(void)genlmsg_multicast_netns(family, genl_info_net(info), skb, echo ? info->snd_portid : 0, group, flags);
	if (copy != NULL)
		(void)genlmsg_unicast(genl_info_net(info), copy, info->snd_portid);
}

#endif
