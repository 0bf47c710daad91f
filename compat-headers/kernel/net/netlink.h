/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Attributes, messages, policies and extended acks, named and shaped as in Linux's kernel.
 */
#ifndef PFNL_KERNEL_NET_NETLINK_H
#define PFNL_KERNEL_NET_NETLINK_H

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/endian.h>
#include <sys/libkern.h>
#include <netinet/in.h>
#include <linux/types.h>
#include <linux/errno.h>
#include <linux/slab.h>
#include <linux/netlink.h>
#include <linux/skbuff.h>
#include <net/net_namespace.h>

#define NETLINK_CB(skb) ((skb)->netlink)

/* ---- extended acks ---- */

#define NL_SET_ERR_MSG(extack, text) do { \
	static const char pfnl_text[] = text; \
	struct netlink_ext_ack *pfnl_extack = (extack); \
	if (pfnl_extack != NULL) \
		pfnl_extack->_msg = pfnl_text; \
} while (0)
#define NL_SET_ERR_MSG_FMT(extack, format, ...) do { \
	struct netlink_ext_ack *pfnl_extack = (extack); \
	if (pfnl_extack != NULL) { \
		snprintf(pfnl_extack->_msg_buf, sizeof(pfnl_extack->_msg_buf), format, ##__VA_ARGS__); \
		pfnl_extack->_msg = pfnl_extack->_msg_buf; \
	} \
} while (0)
#define PFNL_QUOTED(name) #name
#define PFNL_MODULE_TEXT(name, text) PFNL_QUOTED(name) ": " text
#define NL_SET_ERR_MSG_MOD(extack, text) NL_SET_ERR_MSG(extack, PFNL_MODULE_TEXT(PFNL_MODNAME, text))
#define NL_SET_ERR_MSG_FMT_MOD(extack, format, ...) \
	NL_SET_ERR_MSG_FMT(extack, PFNL_MODULE_TEXT(PFNL_MODNAME, format), ##__VA_ARGS__)
#define NL_SET_BAD_ATTR(extack, attr) do { \
	if ((extack) != NULL) \
		(extack)->bad_attr = (attr); \
} while (0)
#define NL_SET_ERR_MSG_ATTR(extack, attr, text) do { \
	NL_SET_ERR_MSG(extack, text); \
	NL_SET_BAD_ATTR(extack, attr); \
} while (0)
#define NL_SET_ERR_MSG_ATTR_FMT(extack, attr, format, ...) do { \
	NL_SET_ERR_MSG_FMT(extack, format, ##__VA_ARGS__); \
	NL_SET_BAD_ATTR(extack, attr); \
} while (0)
#define NL_SET_ERR_ATTR_MISS(extack, nest, type) do { \
	if ((extack) != NULL) { \
		(extack)->miss_nest = (nest); \
		(extack)->miss_type = (type); \
	} \
} while (0)
/* Gives true, and says so, when an attribute is not there. */
#define NL_REQ_ATTR_CHECK(extack, nest, tb, type) \
	((tb)[type] == NULL ? ({ NL_SET_ERR_ATTR_MISS(extack, nest, type); true; }) : false)

static __inline void
nl_set_extack_cookie_u64(struct netlink_ext_ack *extack, u64 cookie)
{
	if (extack == NULL)
		return;
	memcpy(extack->cookie, &cookie, sizeof(cookie));
	extack->cookie_len = sizeof(cookie);
}

/* ---- policies ---- */

#define NLA_POLICY_NESTED(table) \
	{ .type = NLA_NESTED, .nested_policy = (table), .len = PFNL_COUNT(table) - 1 }
#define NLA_POLICY_NESTED_ARRAY(table) \
	{ .type = NLA_NESTED_ARRAY, .nested_policy = (table), .len = PFNL_COUNT(table) - 1 }
#define PFNL_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NLA_POLICY_ETH_ADDR NLA_POLICY_EXACT_LEN(6)
#define NLA_POLICY_EXACT_LEN(n) \
	{ .type = NLA_BINARY, .validation_type = NLA_VALIDATE_RANGE, .min = (n), .max = (n) }
#define NLA_POLICY_MIN_LEN(n) { .type = NLA_BINARY, .validation_type = NLA_VALIDATE_MIN, .min = (n) }
#define NLA_POLICY_MAX_LEN(n) { .type = NLA_BINARY, .validation_type = NLA_VALIDATE_MAX, .max = (n) }
#define NLA_POLICY_RANGE(kind, least, most) \
	{ .type = (kind), .validation_type = NLA_VALIDATE_RANGE, .min = (least), .max = (most) }
#define NLA_POLICY_FULL_RANGE(kind, place) \
	{ .type = (kind), .validation_type = NLA_VALIDATE_RANGE_PTR, .range = (place) }
#define NLA_POLICY_FULL_RANGE_SIGNED(kind, place) \
	{ .type = (kind), .validation_type = NLA_VALIDATE_RANGE_PTR, .range_signed = (place) }
#define NLA_POLICY_MIN(kind, least) { .type = (kind), .validation_type = NLA_VALIDATE_MIN, .min = (least) }
#define NLA_POLICY_MAX(kind, most) { .type = (kind), .validation_type = NLA_VALIDATE_MAX, .max = (most) }
#define NLA_POLICY_MASK(kind, bits) { .type = (kind), .validation_type = NLA_VALIDATE_MASK, .mask = (bits) }
#define NLA_POLICY_VALIDATE_FN(kind, function, ...) \
	{ .type = (kind), .validation_type = NLA_VALIDATE_FUNCTION, .validate = (function), .len = __VA_ARGS__ + 0 }
#define NLA_POLICY_BITFIELD32(bits) { .type = NLA_BITFIELD32, .bitfield32_valid = (bits) }

/* ---- attributes ---- */

static __inline int nla_attr_size(int payload) { return (NLA_HDRLEN + payload); }
static __inline int nla_total_size(int payload) { return (NLA_ALIGN(nla_attr_size(payload))); }
static __inline int nla_total_size_64bit(int payload) { return (nla_total_size(payload)); }
static __inline int nla_padlen(int payload) { return (nla_total_size(payload) - nla_attr_size(payload)); }
static __inline int nla_type(const struct nlattr *nla) { return (nla->nla_type & NLA_TYPE_MASK); }
static __inline void *nla_data(const struct nlattr *nla) { return (__DECONST(char *, nla) + NLA_HDRLEN); }
static __inline u16 nla_len(const struct nlattr *nla) { return (nla->nla_len - NLA_HDRLEN); }
static __inline bool nla_is_nested(const struct nlattr *nla) { return ((nla->nla_type & NLA_F_NESTED) != 0); }

static __inline int
nla_ok(const struct nlattr *nla, int remaining)
{
	return (remaining >= (int)sizeof(*nla) && nla->nla_len >= sizeof(*nla) && nla->nla_len <= remaining);
}

static __inline struct nlattr *
nla_next(const struct nlattr *nla, int *remaining)
{
	unsigned int total = NLA_ALIGN(nla->nla_len);

	*remaining -= total;
	return ((struct nlattr *)(void *)(__DECONST(char *, nla) + total));
}

#define nla_for_each_attr(pos, head, len, rem) \
	for (pos = (head), rem = (len); nla_ok(pos, rem); pos = nla_next(pos, &(rem)))
#define nla_for_each_nested(pos, nla, rem) nla_for_each_attr(pos, nla_data(nla), nla_len(nla), rem)
#define nla_for_each_nested_type(pos, type, nla, rem) \
	nla_for_each_nested(pos, nla, rem) if (nla_type(pos) == (type))

static __inline struct nlattr *
nla_find(const struct nlattr *head, int len, int type)
{
	const struct nlattr *nla;
	int rem;

	nla_for_each_attr(nla, head, len, rem)
		if (nla_type(nla) == type)
			return (__DECONST(struct nlattr *, nla));
	return (NULL);
}

static __inline struct nlattr *
nla_find_nested(const struct nlattr *nla, int type)
{
	return (nla_find(nla_data(nla), nla_len(nla), type));
}

static __inline int
nla_parse(struct nlattr **tb, int maxtype, const struct nlattr *head, int len, const struct nla_policy *policy,
    struct netlink_ext_ack *extack)
{
	return (pfnl_kpi_parse(tb, maxtype, head, len, policy, PFNL_KPI_STRICT, extack));
}
#define nla_parse_strict nla_parse

static __inline int
nla_parse_deprecated(struct nlattr **tb, int maxtype, const struct nlattr *head, int len,
    const struct nla_policy *policy, struct netlink_ext_ack *extack)
{
	return (pfnl_kpi_parse(tb, maxtype, head, len, policy, 0, extack));
}

static __inline int
nla_parse_nested(struct nlattr **tb, int maxtype, const struct nlattr *nla, const struct nla_policy *policy,
    struct netlink_ext_ack *extack)
{
	if (!nla_is_nested(nla)) {
		NL_SET_ERR_MSG_ATTR(extack, nla, "NLA_F_NESTED is missing");
		return (-EINVAL);
	}
	return (pfnl_kpi_parse(tb, maxtype, nla_data(nla), nla_len(nla), policy, PFNL_KPI_STRICT, extack));
}

static __inline int
nla_parse_nested_deprecated(struct nlattr **tb, int maxtype, const struct nlattr *nla,
    const struct nla_policy *policy, struct netlink_ext_ack *extack)
{
	return (pfnl_kpi_parse(tb, maxtype, nla_data(nla), nla_len(nla), policy, 0, extack));
}

static __inline int
nla_validate(const struct nlattr *head, int len, int maxtype, const struct nla_policy *policy,
    struct netlink_ext_ack *extack)
{
	return (pfnl_kpi_parse(NULL, maxtype, head, len, policy, PFNL_KPI_STRICT, extack));
}

static __inline int
nla_validate_nested(const struct nlattr *nla, int maxtype, const struct nla_policy *policy,
    struct netlink_ext_ack *extack)
{
	return (nla_validate(nla_data(nla), nla_len(nla), maxtype, policy, extack));
}

static __inline int
nla_memcpy(void *to, const struct nlattr *from, int count)
{
	int least = min(count, nla_len(from));

	memcpy(to, nla_data(from), least);
	if (count > least)
		memset((char *)to + least, 0, count - least);
	return (least);
}

static __inline int
nla_memcmp(const struct nlattr *nla, const void *data, size_t size)
{
	int differ = (int)nla_len(nla) - (int)size;

	return (differ != 0 ? differ : memcmp(nla_data(nla), data, size));
}

/* Copies a text, cut if need be and always ended; its length, or -E2BIG when it was cut. */
static __inline ssize_t
nla_strscpy(char *to, const struct nlattr *nla, size_t size)
{
	size_t len = strnlen(nla_data(nla), nla_len(nla)), copied;

	if (size == 0)
		return (-E2BIG);
	copied = len < size ? len : size - 1;
	memcpy(to, nla_data(nla), copied);
	memset(to + copied, 0, size - copied);
	return (len < size ? (ssize_t)len : -E2BIG);
}

static __inline int
nla_strcmp(const struct nlattr *nla, const char *text)
{
	size_t len = strlen(text), there = strnlen(nla_data(nla), nla_len(nla));

	return (there != len ? (int)there - (int)len : memcmp(nla_data(nla), text, len));
}

static __inline char *
nla_strdup(const struct nlattr *nla, gfp_t flags)
{
	size_t len = strnlen(nla_data(nla), nla_len(nla));
	char *text = kmalloc(len + 1, flags);

	if (text != NULL) {
		memcpy(text, nla_data(nla), len);
		text[len] = 0;
	}
	return (text);
}

/* ---- reading values: as many bytes as there are, whatever their place ---- */

#define PFNL_NLA_GET(type, name) \
	static __inline type nla_get_##name(const struct nlattr *nla) \
	{ type value = 0; nla_memcpy(&value, nla, sizeof(value)); return (value); } \
	static __inline type nla_get_##name##_default(const struct nlattr *nla, type otherwise) \
	{ return (nla != NULL ? nla_get_##name(nla) : otherwise); }
PFNL_NLA_GET(u8, u8)
PFNL_NLA_GET(u16, u16)
PFNL_NLA_GET(u32, u32)
PFNL_NLA_GET(u64, u64)
PFNL_NLA_GET(s8, s8)
PFNL_NLA_GET(s16, s16)
PFNL_NLA_GET(s32, s32)
PFNL_NLA_GET(s64, s64)
PFNL_NLA_GET(__be16, be16)
PFNL_NLA_GET(__be32, be32)
PFNL_NLA_GET(__be64, be64)
PFNL_NLA_GET(__le16, le16)
PFNL_NLA_GET(__le32, le32)
PFNL_NLA_GET(__le64, le64)

static __inline int nla_get_flag(const struct nlattr *nla) { return (nla != NULL); }
static __inline unsigned long nla_get_msecs(const struct nlattr *nla) { return (nla_get_u64(nla) * hz / 1000); }
static __inline __be32 nla_get_in_addr(const struct nlattr *nla) { return (nla_get_be32(nla)); }

static __inline u64
nla_get_uint(const struct nlattr *nla)
{
	return (nla_len(nla) == sizeof(u32) ? nla_get_u32(nla) : nla_get_u64(nla));
}

static __inline s64
nla_get_sint(const struct nlattr *nla)
{
	return (nla_len(nla) == sizeof(s32) ? nla_get_s32(nla) : nla_get_s64(nla));
}

static __inline struct in6_addr
nla_get_in6_addr(const struct nlattr *nla)
{
	struct in6_addr addr;

	nla_memcpy(&addr, nla, sizeof(addr));
	return (addr);
}

static __inline struct nla_bitfield32
nla_get_bitfield32(const struct nlattr *nla)
{
	struct nla_bitfield32 value;

	nla_memcpy(&value, nla, sizeof(value));
	return (value);
}

/* ---- writing ---- */

/* Room for an attribute's payload, its padding zeroed; null when there is none. */
static __inline struct nlattr *
nla_reserve(struct sk_buff *skb, int type, int len)
{
	struct nlattr *nla;

	if (len < 0 || len > 65535 - NLA_HDRLEN || skb_tailroom(skb) < nla_total_size(len))
		return (NULL);
	nla = skb_put(skb, nla_total_size(len));
	nla->nla_type = type;
	nla->nla_len = nla_attr_size(len);
	memset((char *)nla + nla->nla_len, 0, nla_padlen(len));
	return (nla);
}

static __inline int
nla_put(struct sk_buff *skb, int type, int len, const void *data)
{
	struct nlattr *nla = nla_reserve(skb, type, len);

	if (nla == NULL)
		return (-EMSGSIZE);
	if (len > 0)
		memcpy(nla_data(nla), data, len);
	return (0);
}

static __inline int
nla_put_nohdr(struct sk_buff *skb, int len, const void *data)
{
	void *place;

	if (skb_tailroom(skb) < NLA_ALIGN(len))
		return (-EMSGSIZE);
	place = skb_put(skb, NLA_ALIGN(len));
	memcpy(place, data, len);
	memset((char *)place + len, 0, NLA_ALIGN(len) - len);
	return (0);
}

/* amd64 reads unaligned integers: as on Linux there, nothing is padded. */
static __inline int
nla_put_64bit(struct sk_buff *skb, int type, int len, const void *data, int padattr)
{
	(void)padattr;
	return (nla_put(skb, type, len, data));
}

#define PFNL_NLA_PUT(type, name) \
	static __inline int nla_put_##name(struct sk_buff *skb, int attr, type value) \
	{ return (nla_put(skb, attr, sizeof(value), &value)); }
#define PFNL_NLA_PUT_64BIT(type, name) \
	static __inline int nla_put_##name(struct sk_buff *skb, int attr, type value, int padattr) \
	{ return (nla_put_64bit(skb, attr, sizeof(value), &value, padattr)); }
#define PFNL_NLA_PUT_NET(type, name) \
	static __inline int nla_put_##name(struct sk_buff *skb, int attr, type value) \
	{ return (nla_put(skb, attr | NLA_F_NET_BYTEORDER, sizeof(value), &value)); }
PFNL_NLA_PUT(u8, u8)
PFNL_NLA_PUT(u16, u16)
PFNL_NLA_PUT(u32, u32)
PFNL_NLA_PUT(s8, s8)
PFNL_NLA_PUT(s16, s16)
PFNL_NLA_PUT(s32, s32)
PFNL_NLA_PUT(__be16, be16)
PFNL_NLA_PUT(__be32, be32)
PFNL_NLA_PUT(__le16, le16)
PFNL_NLA_PUT(__le32, le32)
PFNL_NLA_PUT_64BIT(u64, u64_64bit)
PFNL_NLA_PUT_64BIT(s64, s64)
PFNL_NLA_PUT_64BIT(__be64, be64)
PFNL_NLA_PUT_64BIT(__le64, le64)
PFNL_NLA_PUT_NET(__be16, net16)
PFNL_NLA_PUT_NET(__be32, net32)

static __inline int
nla_put_uint(struct sk_buff *skb, int attr, u64 value)
{
	return (value == (u32)value ? nla_put_u32(skb, attr, (u32)value) : nla_put(skb, attr, sizeof(value), &value));
}

static __inline int
nla_put_sint(struct sk_buff *skb, int attr, s64 value)
{
	return (value == (s32)value ? nla_put_s32(skb, attr, (s32)value) : nla_put(skb, attr, sizeof(value), &value));
}

static __inline int nla_put_flag(struct sk_buff *skb, int attr) { return (nla_put(skb, attr, 0, NULL)); }

static __inline int
nla_put_string(struct sk_buff *skb, int attr, const char *text)
{
	return (nla_put(skb, attr, strlen(text) + 1, text));
}

static __inline int
nla_put_msecs(struct sk_buff *skb, int attr, unsigned long ticks, int padattr)
{
	return (nla_put_u64_64bit(skb, attr, (u64)ticks * 1000 / hz, padattr));
}

static __inline int nla_put_in_addr(struct sk_buff *skb, int attr, __be32 addr) { return (nla_put_be32(skb, attr, addr)); }

static __inline int
nla_put_in6_addr(struct sk_buff *skb, int attr, const struct in6_addr *addr)
{
	return (nla_put(skb, attr, sizeof(*addr), addr));
}

static __inline int
nla_put_bitfield32(struct sk_buff *skb, int attr, __u32 value, __u32 selector)
{
	struct nla_bitfield32 field = { value, selector };

	return (nla_put(skb, attr, sizeof(field), &field));
}

static __inline struct nlattr *
nla_nest_start_noflag(struct sk_buff *skb, int attr)
{
	struct nlattr *start = (struct nlattr *)(void *)skb_tail_pointer(skb);

	return (nla_put(skb, attr, 0, NULL) < 0 ? NULL : start);
}

static __inline struct nlattr *
nla_nest_start(struct sk_buff *skb, int attr)
{
	return (nla_nest_start_noflag(skb, attr | NLA_F_NESTED));
}

/* The length has 16 bits; what does not fit them is the sender's mistake, and is cut off as on Linux. */
static __inline int
nla_nest_end(struct sk_buff *skb, struct nlattr *start)
{
	start->nla_len = (u16)(skb_tail_pointer(skb) - (unsigned char *)start);
	return (skb->len);
}

static __inline int
nla_nest_end_safe(struct sk_buff *skb, struct nlattr *start)
{
	if (skb_tail_pointer(skb) - (unsigned char *)start > 65535)
		return (-EMSGSIZE);
	return (nla_nest_end(skb, start));
}

static __inline void
nlmsg_trim(struct sk_buff *skb, const void *mark)
{
	if (mark != NULL)
		skb_trim(skb, (const unsigned char *)mark - skb->data);
}

static __inline void nla_nest_cancel(struct sk_buff *skb, struct nlattr *start) { nlmsg_trim(skb, start); }

/* ---- messages ---- */

#define NLMSG_DEFAULT_SIZE ((size_t)(4096 - 320))
#define NLMSG_GOODSIZE NLMSG_DEFAULT_SIZE

static __inline int nlmsg_msg_size(int payload) { return (NLMSG_HDRLEN + payload); }
static __inline int nlmsg_total_size(int payload) { return (NLMSG_ALIGN(nlmsg_msg_size(payload))); }
static __inline void *nlmsg_data(const struct nlmsghdr *nlh) { return (__DECONST(char *, nlh) + NLMSG_HDRLEN); }
static __inline int nlmsg_len(const struct nlmsghdr *nlh) { return (nlh->nlmsg_len - NLMSG_HDRLEN); }
static __inline struct nlmsghdr *nlmsg_hdr(const struct sk_buff *skb) { return ((struct nlmsghdr *)(void *)skb->data); }
static __inline int nlmsg_report(const struct nlmsghdr *nlh) { return (nlh != NULL && (nlh->nlmsg_flags & NLM_F_ECHO) != 0); }

static __inline struct nlattr *
nlmsg_attrdata(const struct nlmsghdr *nlh, int hdrlen)
{
	return ((struct nlattr *)(void *)((char *)nlmsg_data(nlh) + NLMSG_ALIGN(hdrlen)));
}

static __inline int
nlmsg_attrlen(const struct nlmsghdr *nlh, int hdrlen)
{
	return (nlmsg_len(nlh) - NLMSG_ALIGN(hdrlen));
}

static __inline struct sk_buff *
nlmsg_new(size_t payload, gfp_t flags)
{
	(void)flags;
	return (pfnl_kpi_alloc(nlmsg_total_size(payload)));
}

static __inline void nlmsg_free(struct sk_buff *skb) { pfnl_kpi_free(skb); }

static __inline struct nlmsghdr *
nlmsg_put(struct sk_buff *skb, u32 portid, u32 seq, int type, int payload, int flags)
{
	struct nlmsghdr *nlh;

	if (skb_tailroom(skb) < nlmsg_total_size(payload))
		return (NULL);
	nlh = skb_put(skb, nlmsg_total_size(payload));
	memset(nlh, 0, nlmsg_total_size(payload));
	nlh->nlmsg_type = type;
	nlh->nlmsg_len = nlmsg_msg_size(payload);
	nlh->nlmsg_flags = flags;
	nlh->nlmsg_pid = portid;
	nlh->nlmsg_seq = seq;
	return (nlh);
}

static __inline void
nlmsg_end(struct sk_buff *skb, struct nlmsghdr *nlh)
{
	nlh->nlmsg_len = skb_tail_pointer(skb) - (unsigned char *)nlh;
}

static __inline void nlmsg_cancel(struct sk_buff *skb, struct nlmsghdr *nlh) { nlmsg_trim(skb, nlh); }

/* Says in a dump's record that what is dumped has changed since the last one: compare cb->seq. */
static __inline void
nl_dump_check_consistent(struct netlink_callback *cb, struct nlmsghdr *nlh)
{
	if (cb->prev_seq != 0 && cb->seq != cb->prev_seq)
		nlh->nlmsg_flags |= NLM_F_DUMP_INTR;
	cb->prev_seq = cb->seq;
}

#endif
