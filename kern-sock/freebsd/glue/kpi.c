/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Families in C: Linux's generic netlink interface (compat-headers/kernel) on top of family.h.
 *
 * A genl_family is registered in every vnet (netnsok) or in the host's alone, with one id and the same groups
 * everywhere, as Linux has it. Attributes are validated twice: by the core, whose errors name the broken policy, and here
 * for what its tables do not hold: policies of nests, masks, functions.
 */
#include <sys/param.h>
#include <sys/systm.h>
#include <sys/kernel.h>
#include <sys/malloc.h>
#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/sx.h>
#include <sys/endian.h>
#include <net/vnet.h>
#include <net/genetlink.h>
#include <linux/module.h>
#include "family.h"

MALLOC_DEFINE(M_PFNL_KPI, "pfnlkpi", "pfnl: families in C");

void	*pfnl_malloc(size_t size, size_t align, int zero);
void	 pfnl_free(void *place);

/* How deep nests of policies are followed. */
#define	PFNL_DEPTH	8

/* A command, from whichever of the three forms of tables. */
struct kpi_op {
	struct genl_split_ops	 run;
	struct genl_split_ops	 dump;
	int	(*doit)(struct sk_buff *, struct genl_info *);
	int	(*dumpit)(struct sk_buff *, struct netlink_callback *);
	const struct nla_policy	*policy;
	const struct nla_policy	*dump_policy;
	unsigned int		 maxattr;
	unsigned int		 dump_maxattr;
	uint8_t			 cmd;
	uint8_t			 flags;
	uint8_t			 validate;
	uint8_t			 dump_validate;
};

/* A family in a vnet. */
struct kpi_bound {
	LIST_ENTRY(kpi_bound)	 link;
	struct genl_family	*family;
	struct kpi_vnet		*vnet;	/* held */
	/* The text of the request being handled, when it was made for it. One is handled at a time. */
	char			 text[80];
};

/* A family, as long as it is registered. */
struct pfnl_kpi_family {
	LIST_ENTRY(pfnl_kpi_family) link;
	LIST_HEAD(, kpi_bound)	 bound;
	struct genl_family	*family;
	struct kpi_op		*ops;
	unsigned int		 count;
	struct pfnl_info	 info;
	volatile u_int		 dumps;
};

/* A vnet, while it is listed or somebody holds it; its domain is there as long. */
struct kpi_vnet {
	LIST_ENTRY(kpi_vnet)	 link;
	struct vnet		*vnet;
	void			*domain;
	u_int			 holds;
	bool			 gone;
};

/* What a handler is given of a request: a copy, that a dump can keep. */
struct kpi_request {
	struct sk_buff		 skb;
	struct genl_info	 info;
	struct netlink_ext_ack	 extack;
	struct nlattr		*attrs[];
	/* Behind them the message. */
};

struct kpi_dump {
	struct pfnl_kpi_family	*family;
	struct kpi_request	*request;
	struct genl_dumpit_info	 info;
	struct netlink_callback	 cb;
	int	(*dumpit)(struct sk_buff *, struct netlink_callback *);
	int	(*done)(struct netlink_callback *);
};

/* Held while a family comes or goes, and while a vnet comes; never while requests are waited for. */
static struct sx kpi_lock;
SX_SYSINIT(pfnl_kpi, &kpi_lock, "pfnl kpi");
/*
 * For the list of vnets and those of families' bounds. A vnet goes under a lock that handlers of requests may want
 * (ifnet_detach_sxlock), so nothing that waits for requests may be waited for there: it takes this one alone.
 */
static struct mtx kpi_lists;
MTX_SYSINIT(pfnl_kpi_lists, &kpi_lists, "pfnl kpi lists", MTX_DEF);
static LIST_HEAD(, pfnl_kpi_family) kpi_families = LIST_HEAD_INITIALIZER(kpi_families);
static LIST_HEAD(, kpi_vnet) kpi_vnets = LIST_HEAD_INITIALIZER(kpi_vnets);

/* The vnet's domain, for messages: read without a lock, as long as the vnet is there. */
VNET_DEFINE_STATIC(void *, pfnl_kpi_domain);
#define	KPI_DOMAIN(net)	VNET_VNET((struct vnet *)(void *)(net), pfnl_kpi_domain)

/* ---- messages ---- */

struct sk_buff *
pfnl_kpi_alloc(unsigned int size)
{
	struct sk_buff *skb = pfnl_malloc(sizeof(*skb), 8, 1);

	if (skb == NULL)
		return (NULL);
	skb->head = skb->data = pfnl_malloc(MAX(size, 1), 8, 0);
	if (skb->head == NULL) {
		pfnl_free(skb);
		return (NULL);
	}
	skb->size = MAX(size, 1);
	return (skb);
}

void
pfnl_kpi_free(struct sk_buff *skb)
{
	if (skb == NULL)
		return;
	if (skb->head != NULL)
		pfnl_free(skb->head);
	pfnl_free(skb);
}

int
pfnl_kpi_unicast(struct net *net, struct sk_buff *skb, uint32_t portid)
{
	struct pfnl_bytes bytes = { skb->head, skb->len, skb->size };
	void *domain = KPI_DOMAIN(net);
	int error;

	if (domain == NULL) {
		pfnl_kpi_free(skb);
		return (-ECONNREFUSED);
	}
	/* The bytes have a new owner. */
	skb->head = NULL;
	pfnl_kpi_free(skb);
	error = pfnl_unicast(domain, portid, bytes);
	return (error == 0 ? 0 : -pfnl_errno_to_freebsd(error));
}

int
pfnl_kpi_multicast(struct net *net, struct sk_buff *skb, uint32_t exclude, uint32_t group)
{
	void *domain = KPI_DOMAIN(net);
	bool heard = domain != NULL && pfnl_has_listeners(domain, group);

	if (heard)
		pfnl_multicast(domain, group, skb->data, skb->len, exclude);
	pfnl_kpi_free(skb);
	return (heard ? 0 : -ESRCH);
}

int
pfnl_kpi_multicast_all(struct sk_buff *skb, uint32_t exclude, uint32_t group)
{
	struct kpi_vnet *vnet;
	bool heard = false;

	mtx_lock(&kpi_lists);
	LIST_FOREACH(vnet, &kpi_vnets, link)
		if (pfnl_has_listeners(vnet->domain, group)) {
			pfnl_multicast(vnet->domain, group, skb->data, skb->len, exclude);
			heard = true;
		}
	mtx_unlock(&kpi_lists);
	pfnl_kpi_free(skb);
	return (heard ? 0 : -ESRCH);
}

bool
pfnl_kpi_has_listeners(struct net *net, uint32_t group)
{
	void *domain = KPI_DOMAIN(net);

	return (domain != NULL && pfnl_has_listeners(domain, group));
}

/* ---- attributes ---- */

static int kpi_parse(struct nlattr **, int, const struct nlattr *, int, const struct nla_policy *, bool,
    struct netlink_ext_ack *, int depth);

/* The width of an integer, 0 for what is none. */
static unsigned int
kpi_width(uint8_t type)
{
	switch (type) {
	case NLA_U8: case NLA_S8:
		return (1);
	case NLA_U16: case NLA_S16: case NLA_BE16:
		return (2);
	case NLA_U32: case NLA_S32: case NLA_BE32:
		return (4);
	case NLA_U64: case NLA_S64: case NLA_MSECS:
		return (8);
	default:
		return (0);
	}
}

static bool
kpi_signed(uint8_t type)
{
	return (type == NLA_S8 || type == NLA_S16 || type == NLA_S32 || type == NLA_S64 || type == NLA_SINT);
}

/* The values that a policy lets through, as they are or as two's complement. */
static void
kpi_range(const struct nla_policy *policy, unsigned int width, uint64_t *least, uint64_t *most)
{
	bool sign = kpi_signed(policy->type);

	*most = width >= 8 ? UINT64_MAX : ((uint64_t)1 << width * 8) - 1;
	*least = 0;
	if (sign) {
		*most >>= 1;
		*least = ~*most;
	}
	switch (policy->validation_type) {
	case NLA_VALIDATE_RANGE:
		*least = (uint64_t)(int64_t)policy->min;
		*most = (uint64_t)(int64_t)policy->max;
		break;
	case NLA_VALIDATE_MIN:
		*least = (uint64_t)(int64_t)policy->min;
		break;
	case NLA_VALIDATE_MAX:
		*most = (uint64_t)(int64_t)policy->max;
		break;
	case NLA_VALIDATE_RANGE_PTR:
		*least = sign ? (uint64_t)policy->range_signed->min : policy->range->min;
		*most = sign ? (uint64_t)policy->range_signed->max : policy->range->max;
		break;
	}
}

static uint64_t
kpi_value(const struct nlattr *nla, const struct nla_policy *policy, unsigned int width)
{
	switch (policy->type) {
	case NLA_BE16:
		return (be16toh(nla_get_be16(nla)));
	case NLA_BE32:
		return (be32toh(nla_get_be32(nla)));
	}
	switch (width) {
	case 1:
		return (kpi_signed(policy->type) ? (uint64_t)(int64_t)nla_get_s8(nla) : nla_get_u8(nla));
	case 2:
		return (kpi_signed(policy->type) ? (uint64_t)(int64_t)nla_get_s16(nla) : nla_get_u16(nla));
	case 4:
		return (kpi_signed(policy->type) ? (uint64_t)(int64_t)nla_get_s32(nla) : nla_get_u32(nla));
	default:
		return (nla_get_u64(nla));
	}
}

#define	KPI_REFUSE(errno, text) do {						\
	NL_SET_ERR_MSG_ATTR(extack, nla, text);					\
	return (-(errno));							\
} while (0)
#define	KPI_FAILED	"Attribute failed policy validation"

static int
kpi_integer(const struct nlattr *nla, const struct nla_policy *policy, unsigned int width, bool strict,
    struct netlink_ext_ack *extack)
{
	uint64_t value, least, most;

	if (strict && nla_len(nla) != width)
		KPI_REFUSE(EINVAL, "invalid attribute length");
	if (nla_len(nla) < width)
		KPI_REFUSE(ERANGE, KPI_FAILED);
	value = kpi_value(nla, policy, width);
	if (policy->validation_type == NLA_VALIDATE_MASK) {
		if ((value & ~(uint64_t)policy->mask) != 0)
			KPI_REFUSE(EINVAL, "reserved bit set");
		return (0);
	}
	kpi_range(policy, width, &least, &most);
	if (kpi_signed(policy->type) ? (int64_t)value < (int64_t)least || (int64_t)value > (int64_t)most :
	    value < least || value > most)
		KPI_REFUSE(ERANGE, "integer out of range");
	return (0);
}

/* Lengths of bytes and texts that a policy lets through; 0 = no most. */
static void
kpi_lengths(const struct nla_policy *policy, unsigned int *least, unsigned int *most)
{
	*least = 0;
	*most = policy->len;
	if (policy->validation_type == NLA_VALIDATE_RANGE || policy->validation_type == NLA_VALIDATE_MIN)
		*least = (uint16_t)policy->min;
	if (policy->validation_type == NLA_VALIDATE_RANGE || policy->validation_type == NLA_VALIDATE_MAX)
		*most = (uint16_t)policy->max;
	if (policy->validation_type == NLA_VALIDATE_RANGE_PTR) {
		*least = (unsigned int)policy->range->min;
		*most = (unsigned int)policy->range->max;
	}
}

static int
kpi_array(const struct nlattr *nla, const struct nla_policy *policy, bool strict, struct netlink_ext_ack *extack,
    int depth)
{
	const struct nlattr *entry;
	int rem, error;

	nla_for_each_nested(entry, nla, rem) {
		if (nla_len(entry) == 0)
			continue;
		if (nla_len(entry) < NLA_HDRLEN) {
			NL_SET_ERR_MSG_ATTR(extack, entry, "Array element too short");
			return (-ERANGE);
		}
		error = kpi_parse(NULL, policy->len, nla_data(entry), nla_len(entry), policy->nested_policy, strict,
		    extack, depth);
		if (error != 0)
			return (error);
	}
	return (0);
}

/* An attribute by its policy. */
static int
kpi_check(const struct nlattr *nla, const struct nla_policy *policy, bool strict, struct netlink_ext_ack *extack,
    int depth)
{
	unsigned int len = nla_len(nla), least, most, width = kpi_width(policy->type);
	const char *end;
	int error;

	if (strict && nla_is_nested(nla) && policy->type != NLA_NESTED && policy->type != NLA_NESTED_ARRAY &&
	    policy->type != NLA_UNSPEC)
		KPI_REFUSE(EINVAL, "NLA_F_NESTED not expected");
	if (policy->type == NLA_SINT || policy->type == NLA_UINT) {
		if (len != 4 && len != 8)
			KPI_REFUSE(EINVAL, "invalid attribute length");
		width = len;
	}
	if (width != 0 && (error = kpi_integer(nla, policy, width, strict, extack)) != 0)
		return (error);
	kpi_lengths(policy, &least, &most);
	switch (policy->type) {
	case NLA_FLAG:
		if (len > 0)
			KPI_REFUSE(ERANGE, KPI_FAILED);
		break;
	case NLA_REJECT:
		if (extack != NULL && policy->reject_message != NULL) {
			extack->_msg = policy->reject_message;
			extack->bad_attr = nla;
			return (-EINVAL);
		}
		KPI_REFUSE(EINVAL, KPI_FAILED);
	case NLA_BITFIELD32:
		if (len != sizeof(struct nla_bitfield32))
			KPI_REFUSE(ERANGE, KPI_FAILED);
		if (((nla_get_bitfield32(nla).selector | nla_get_bitfield32(nla).value) &
		    ~policy->bitfield32_valid) != 0 ||
		    (nla_get_bitfield32(nla).value & ~nla_get_bitfield32(nla).selector) != 0)
			KPI_REFUSE(EINVAL, KPI_FAILED);
		break;
	case NLA_NUL_STRING:
		end = memchr(nla_data(nla), 0, most != 0 ? MIN(len, most + 1) : len);
		if (end == NULL)
			KPI_REFUSE(EINVAL, KPI_FAILED);
		/* FALLTHROUGH */
	case NLA_STRING:
		if (len == 0)
			KPI_REFUSE(ERANGE, KPI_FAILED);
		if (((const char *)nla_data(nla))[len - 1] == 0)
			len--;
		if (most != 0 && len > most)
			KPI_REFUSE(ERANGE, KPI_FAILED);
		break;
	case NLA_BINARY:
		if (len < least || (most != 0 && len > most))
			KPI_REFUSE(ERANGE, KPI_FAILED);
		break;
	case NLA_UNSPEC:
		if (len < policy->len)
			KPI_REFUSE(ERANGE, KPI_FAILED);
		break;
	case NLA_NESTED:
	case NLA_NESTED_ARRAY:
		if (strict && !nla_is_nested(nla))
			KPI_REFUSE(EINVAL, "NLA_F_NESTED is missing");
		if (len == 0)
			break;
		if (len < NLA_HDRLEN)
			KPI_REFUSE(ERANGE, KPI_FAILED);
		if (policy->nested_policy == NULL || policy->validation_type == NLA_VALIDATE_FUNCTION)
			break;
		if (depth >= PFNL_DEPTH)
			KPI_REFUSE(EINVAL, "allowed policy recursion depth exceeded");
		if (policy->type == NLA_NESTED_ARRAY)
			error = kpi_array(nla, policy, strict, extack, depth + 1);
		else
			error = kpi_parse(NULL, policy->len, nla_data(nla), len, policy->nested_policy, strict, extack,
			    depth + 1);
		if (error != 0)
			return (error);
		break;
	}
	if (policy->validation_type == NLA_VALIDATE_FUNCTION && policy->validate != NULL)
		return (policy->validate(nla, extack));
	return (0);
}

static int
kpi_parse(struct nlattr **places, int maxtype, const struct nlattr *head, int len, const struct nla_policy *policy,
    bool strict, struct netlink_ext_ack *extack, int depth)
{
	const struct nlattr *nla;
	int rem, error;

	if (places != NULL)
		memset(places, 0, sizeof(places[0]) * (maxtype + 1));
	nla_for_each_attr(nla, head, len, rem) {
		int type = nla_type(nla);

		if (type == 0 || type > maxtype) {
			if (strict)
				KPI_REFUSE(EINVAL, "Unknown attribute type");
			continue;
		}
		if (policy != NULL) {
			if (strict && policy[type].type == NLA_UNSPEC && policy[type].len == 0)
				KPI_REFUSE(EINVAL, "Unsupported attribute");
			error = kpi_check(nla, &policy[type], strict, extack, depth);
			if (error != 0)
				return (error);
		}
		if (places != NULL)
			places[type] = __DECONST(struct nlattr *, nla);
	}
	if (rem > 0 && strict) {
		NL_SET_ERR_MSG(extack, "bytes leftover after parsing attributes");
		return (-EINVAL);
	}
	return (0);
}

int
pfnl_kpi_parse(struct nlattr **places, int maxtype, const struct nlattr *head, int len,
    const struct nla_policy *policy, unsigned int how, struct netlink_ext_ack *extack)
{
	return (kpi_parse(places, maxtype, head, len, policy, (how & PFNL_KPI_STRICT) != 0, extack, 0));
}

/* ---- requests ---- */

/* A request as handlers see it; null without memory. */
static struct kpi_request *
kpi_request_new(struct kpi_bound *bound, const struct pfnl_request *from, unsigned int maxattr)
{
	unsigned int hdrlen = NLMSG_HDRLEN + GENL_HDRLEN + NLMSG_ALIGN(bound->family->hdrsize);
	size_t places = sizeof(struct nlattr *) * (maxattr + 1);
	struct kpi_request *request;
	struct genlmsghdr *genl;
	struct nlmsghdr *nlh;

	request = pfnl_malloc(sizeof(*request) + places + hdrlen + from->attrs_len, 8, 1);
	if (request == NULL)
		return (NULL);
	nlh = (struct nlmsghdr *)((char *)(request + 1) + places);
	nlh->nlmsg_len = hdrlen + from->attrs_len;
	nlh->nlmsg_type = from->kind;
	nlh->nlmsg_flags = from->flags;
	nlh->nlmsg_seq = from->seq;
	nlh->nlmsg_pid = from->header_portid;
	genl = nlmsg_data(nlh);
	genl->cmd = from->cmd;
	genl->version = from->version;
	genl->reserved = from->reserved;
	if (from->user_header_len > 0)
		memcpy((char *)genl + GENL_HDRLEN, from->user_header, from->user_header_len);
	if (from->attrs_len > 0)
		memcpy((char *)nlh + hdrlen, from->attrs, from->attrs_len);
	request->skb = (struct sk_buff) {
		.data = (unsigned char *)nlh,
		.len = nlh->nlmsg_len,
		.size = nlh->nlmsg_len,
		.sk = bound->vnet->vnet,
		.netlink.portid = from->portid,
	};
	request->info = (struct genl_info) {
		.snd_seq = from->seq,
		.snd_portid = from->portid,
		.family = bound->family,
		.nlhdr = nlh,
		.genlhdr = genl,
		.userhdr = (char *)genl + GENL_HDRLEN,
		.attrs = request->attrs,
		._net = (struct net *)(void *)bound->vnet->vnet,
		.extack = &request->extack,
	};
	return (request);
}

static int
kpi_request_parse(struct kpi_request *request, const struct nla_policy *policy, unsigned int maxattr, bool strict)
{
	int hdrlen = GENL_HDRLEN + NLMSG_ALIGN(request->info.family->hdrsize);
	const struct nlmsghdr *nlh = request->info.nlhdr;

	return (kpi_parse(request->attrs, maxattr, nlmsg_attrdata(nlh, hdrlen), nlmsg_attrlen(nlh, hdrlen), policy,
	    strict, &request->extack, 0));
}

/* What a handler has returned and left, in family.h's terms. */
static void
kpi_outcome(struct kpi_bound *bound, const struct kpi_request *request, int error, struct pfnl_outcome *outcome)
{
	const struct netlink_ext_ack *extack = &request->extack;
	const char *message = (const char *)request->info.nlhdr, *text = extack->_msg;
	size_t len = request->info.nlhdr->nlmsg_len;

	if (text == extack->_msg_buf) {
		strlcpy(bound->text, text, sizeof(bound->text));
		text = bound->text;
	}
	if (text != NULL && error != 0)
		outcome->text = (struct pfnl_str){ text, strlen(text) };
	else if (text != NULL)
		outcome->warning = (struct pfnl_str){ text, strlen(text) };
	if ((const char *)extack->bad_attr >= message && (const char *)extack->bad_attr < message + len) {
		outcome->has |= PFNL_HAS_OFFSET;
		outcome->offset = (const char *)extack->bad_attr - message;
	}
	if (extack->miss_type != 0) {
		outcome->has |= PFNL_HAS_MISSING;
		outcome->missing = extack->miss_type;
		if ((const char *)extack->miss_nest >= message && (const char *)extack->miss_nest < message + len) {
			outcome->has |= PFNL_HAS_MISSING_IN;
			outcome->missing_in = (const char *)extack->miss_nest - message;
		}
	}
	outcome->cookie_len = MIN(extack->cookie_len, sizeof(outcome->cookie));
	memcpy(outcome->cookie, extack->cookie, outcome->cookie_len);
	outcome->error = error < 0 ? pfnl_errno_to_linux(-error) : 0;
}

static void
kpi_run(void *state, uint32_t index, const struct pfnl_request *from, struct pfnl_outcome *outcome)
{
	struct kpi_bound *bound = state;
	struct genl_family *family = bound->family;
	struct kpi_op *op = &family->pfnl->ops[index];
	struct kpi_request *request = kpi_request_new(bound, from, op->maxattr);
	int error;

	if (request == NULL) {
		outcome->error = pfnl_errno_to_linux(ENOMEM);
		return;
	}
	error = kpi_request_parse(request, op->policy, op->maxattr, (op->validate & GENL_DONT_VALIDATE_STRICT) == 0);
	if (error == 0) {
		int (*before)(const struct genl_split_ops *, struct sk_buff *, struct genl_info *) =
		    op->run.pre_doit != NULL ? op->run.pre_doit : family->pre_doit;
		void (*after)(const struct genl_split_ops *, struct sk_buff *, struct genl_info *) =
		    op->run.post_doit != NULL ? op->run.post_doit : family->post_doit;

		error = before != NULL ? before(&op->run, &request->skb, &request->info) : 0;
		if (error == 0) {
			error = op->doit(&request->skb, &request->info);
			if (after != NULL)
				after(&op->run, &request->skb, &request->info);
		}
	}
	kpi_outcome(bound, request, error, outcome);
	pfnl_free(request);
}

/* ---- dumps ---- */

static void
kpi_dump_free(void *place)
{
	struct kpi_dump *dump = place;

	if (dump->done != NULL)
		(void)dump->done(&dump->cb);
	atomic_subtract_int(&dump->family->dumps, 1);
	pfnl_free(dump->request);
	pfnl_free(dump);
}

static void *
kpi_dump(void *state, uint32_t index, const struct pfnl_request *from, struct pfnl_outcome *outcome)
{
	struct kpi_bound *bound = state;
	struct pfnl_kpi_family *family = bound->family->pfnl;
	struct kpi_op *op = &family->ops[index];
	struct kpi_request *request = kpi_request_new(bound, from, op->dump_maxattr);
	struct kpi_dump *dump = pfnl_malloc(sizeof(*dump), 8, 1);
	int error = 0;

	if (request == NULL || dump == NULL) {
		if (request != NULL)
			pfnl_free(request);
		if (dump != NULL)
			pfnl_free(dump);
		outcome->error = pfnl_errno_to_linux(ENOMEM);
		return (NULL);
	}
	/* Unvalidated dumps have their attributes found all the same. */
	error = kpi_request_parse(request, (op->dump_validate & GENL_DONT_VALIDATE_DUMP) != 0 ? NULL : op->dump_policy,
	    op->dump_maxattr, (op->dump_validate & (GENL_DONT_VALIDATE_DUMP | GENL_DONT_VALIDATE_DUMP_STRICT)) == 0);
	dump->family = family;
	dump->request = request;
	dump->info.op = op->dump;
	dump->info.info = request->info;
	dump->cb.skb = &request->skb;
	dump->cb.nlh = request->info.nlhdr;
	dump->cb.data = &dump->info;
	dump->cb.module = bound->family->module;
	dump->cb.family = bound->family->id;
	dump->cb.extack = &request->extack;
	dump->dumpit = op->dumpit;
	atomic_add_int(&family->dumps, 1);
	if (error == 0 && op->dump.start != NULL)
		error = op->dump.start(&dump->cb);
	if (error != 0) {
		kpi_outcome(bound, request, error, outcome);
		kpi_dump_free(dump);
		return (NULL);
	}
	dump->done = op->dump.done;
	return (dump);
}

static int
kpi_dump_next(void *place, struct pfnl_block *block, struct pfnl_outcome *outcome)
{
	struct kpi_dump *dump = place;
	struct sk_buff *skb = pfnl_kpi_alloc(MIN(block->room, 65536));
	int got;

	if (skb == NULL) {
		outcome->error = pfnl_errno_to_linux(ENOMEM);
		return (PFNL_DUMP_DONE);
	}
	skb->sk = dump->request->skb.sk;
	got = dump->dumpit(skb, &dump->cb);
	/* One that did not fit is no error as long as others did. */
	if (got == -EMSGSIZE && skb->len > 0)
		got = skb->len;
	block->records = (struct pfnl_bytes){ skb->head, skb->len, skb->size };
	skb->head = NULL;
	pfnl_kpi_free(skb);
	if (got < 0)
		outcome->error = pfnl_errno_to_linux(-got);
	return (got > 0 ? PFNL_DUMP_MORE : PFNL_DUMP_END);
}

/* ---- registration ---- */

/* A policy as a row of the core's tables. */
static struct pfnl_row
kpi_row(uint16_t number, const struct nla_policy *policy)
{
	struct pfnl_row row = { .number = number, .width = kpi_width(policy->type) };
	unsigned int least, most;

	kpi_lengths(policy, &least, &most);
	row.least = least;
	row.most = most;
	switch (policy->type) {
	case NLA_UNSPEC:
		row.policy = PFNL_POLICY_MIN;
		row.least = policy->len;
		break;
	case NLA_FLAG:
		row.policy = PFNL_POLICY_FLAG;
		break;
	case NLA_REJECT:
		/* Refused here, with its own text. */
		row.policy = policy->reject_message != NULL ? PFNL_POLICY_NONE : PFNL_POLICY_REJECT;
		break;
	case NLA_NESTED: case NLA_NESTED_ARRAY:
		row.policy = PFNL_POLICY_NESTED;
		break;
	case NLA_STRING:
		row.policy = PFNL_POLICY_STRING;
		break;
	case NLA_NUL_STRING:
		row.policy = PFNL_POLICY_NUL_STRING;
		break;
	case NLA_BINARY:
		row.policy = PFNL_POLICY_BINARY;
		break;
	case NLA_BITFIELD32:
		row.policy = PFNL_POLICY_BINARY;
		row.least = row.most = sizeof(struct nla_bitfield32);
		break;
	case NLA_SINT: case NLA_UINT:
		row.policy = PFNL_POLICY_MIN;
		row.least = 4;
		break;
	default:
		row.policy = kpi_signed(policy->type) ? PFNL_POLICY_SINT : PFNL_POLICY_UINT;
		kpi_range(policy, row.width, &row.least, &row.most);
		/* The core compares in host order, and knows ranges alone: those are looked at here. */
		if (policy->type == NLA_BE16 || policy->type == NLA_BE32) {
			row.least = 0;
			row.most = row.width == 2 ? UINT16_MAX : UINT32_MAX;
		}
		break;
	}
	return (row);
}

/* The rows of a policy; a place that says nothing is a gap. */
static int
kpi_table(const struct nla_policy *policy, unsigned int maxattr, struct pfnl_table *table)
{
	struct pfnl_row *rows;
	size_t count = 0;

	rows = kcalloc(maxattr + 1, sizeof(*rows), GFP_KERNEL);
	for (unsigned int number = 1; number <= maxattr; number++)
		if (policy != NULL && (policy[number].type != NLA_UNSPEC || policy[number].len != 0))
			rows[count++] = kpi_row(number, &policy[number]);
	*table = (struct pfnl_table){ rows, count };
	return (0);
}

static struct kpi_op *
kpi_op_of(struct pfnl_kpi_family *family, uint8_t cmd)
{
	for (unsigned int i = 0; i < family->count; i++)
		if (family->ops[i].cmd == cmd)
			return (&family->ops[i]);
	family->ops[family->count].cmd = cmd;
	return (&family->ops[family->count++]);
}

/* A command's do and dump, out of the form it is written in. */
static void
kpi_op_set(struct pfnl_kpi_family *family, const struct genl_ops *from)
{
	const struct genl_family *def = family->family;
	struct kpi_op *op = kpi_op_of(family, from->cmd);

	op->flags = from->flags;
	op->validate = op->dump_validate = from->validate;
	op->policy = op->dump_policy = from->policy != NULL ? from->policy : def->policy;
	op->maxattr = op->dump_maxattr = from->policy != NULL ? from->maxattr : def->maxattr;
	op->doit = from->doit;
	op->dumpit = from->dumpit;
	op->run = (struct genl_split_ops){ .doit = from->doit, .policy = op->policy, .maxattr = op->maxattr,
	    .cmd = from->cmd, .internal_flags = from->internal_flags, .flags = from->flags | GENL_CMD_CAP_DO,
	    .validate = from->validate };
	op->dump = (struct genl_split_ops){ .start = from->start, .dumpit = from->dumpit, .done = from->done,
	    .policy = op->policy, .maxattr = op->maxattr, .cmd = from->cmd,
	    .internal_flags = from->internal_flags, .flags = from->flags | GENL_CMD_CAP_DUMP,
	    .validate = from->validate };
}

static void
kpi_ops(struct pfnl_kpi_family *family)
{
	const struct genl_family *def = family->family;

	for (unsigned int i = 0; i < def->n_ops; i++)
		kpi_op_set(family, &def->ops[i]);
	for (unsigned int i = 0; i < def->n_small_ops; i++) {
		const struct genl_small_ops *small = &def->small_ops[i];
		struct genl_ops op = { .doit = small->doit, .dumpit = small->dumpit, .cmd = small->cmd,
		    .internal_flags = small->internal_flags, .flags = small->flags, .validate = small->validate };

		kpi_op_set(family, &op);
	}
	for (unsigned int i = 0; i < def->n_split_ops; i++) {
		const struct genl_split_ops *split = &def->split_ops[i];
		struct kpi_op *op = kpi_op_of(family, split->cmd);
		uint8_t flags = split->flags & ~(GENL_CMD_CAP_DO | GENL_CMD_CAP_DUMP);

		op->flags |= flags;
		if ((split->flags & GENL_CMD_CAP_DUMP) != 0) {
			op->dump = *split;
			op->dumpit = split->dumpit;
			op->dump_policy = split->policy;
			op->dump_maxattr = split->maxattr;
			op->dump_validate = split->validate;
		} else {
			op->run = *split;
			op->doit = split->doit;
			op->policy = split->policy;
			op->maxattr = split->maxattr;
			op->validate = split->validate;
		}
	}
}

static void
kpi_vnet_release(struct kpi_vnet *vnet)
{
	bool last;

	mtx_lock(&kpi_lists);
	last = --vnet->holds == 0;
	mtx_unlock(&kpi_lists);
	if (last) {
		pfnl_domain_release(vnet->domain);
		kfree(vnet);
	}
}

/* A family in a vnet that the caller holds; the hold is passed on. */
static int
kpi_bind(struct pfnl_kpi_family *family, struct kpi_vnet *vnet)
{
	struct genl_family *def = family->family;
	struct kpi_bound *bound = kzalloc(sizeof(*bound), GFP_KERNEL);
	struct pfnl_table *tables = kcalloc(family->count + 1, sizeof(*tables), GFP_KERNEL);
	struct pfnl_op *ops = kcalloc(family->count + 1, sizeof(*ops), GFP_KERNEL);
	struct pfnl_str *groups = kcalloc(def->n_mcgrps + 1, sizeof(*groups), GFP_KERNEL);
	struct pfnl_family remote = {
		.abi = PFNL_FAMILY_ABI,
		.hdrsize = def->hdrsize,
		.name = { def->name, strnlen(def->name, sizeof(def->name)) },
		.tables = tables,
		.table_count = family->count + 1,
		.ops = ops,
		.op_count = family->count,
		.groups = groups,
		.group_count = def->n_mcgrps,
		.own_table = family->count,
		.version = def->version,
		.state = bound,
		.run = kpi_run,
		.dump = kpi_dump,
		.dump_next = kpi_dump_next,
		.dump_free = kpi_dump_free,
	};
	int error = 0;

	for (unsigned int i = 0; i < family->count && error == 0; i++) {
		struct kpi_op *op = &family->ops[i];
		bool run = op->doit != NULL;
		unsigned int same;

		/* Commands with one policy share its table: GETPOLICY shows it once. */
		for (same = 0; same < i; same++)
			if (family->ops[same].policy == op->policy && family->ops[same].maxattr == op->maxattr)
				break;
		error = kpi_table(run ? op->policy : op->dump_policy, run ? op->maxattr : op->dump_maxattr, &tables[i]);
		ops[i] = (struct pfnl_op){
			.flags = op->flags | (run ? GENL_CMD_CAP_DO : 0) |
			    (op->dumpit != NULL ? GENL_CMD_CAP_DUMP : 0) | (op->policy != NULL ? GENL_CMD_CAP_HASPOL : 0),
			.table = op->policy != NULL ? same : PFNL_NO_TABLE,
			.cmd = op->cmd,
			.strict = (op->validate & GENL_DONT_VALIDATE_STRICT) == 0,
			/* Other ways to validate a dump are this file's. */
			.dump_validated = op->dump_policy == op->policy &&
			    (op->dump_validate & (GENL_DONT_VALIDATE_DUMP | GENL_DONT_VALIDATE_DUMP_STRICT)) == 0,
		};
	}
	if (error == 0)
		error = kpi_table(def->policy, def->maxattr, &tables[family->count]);
	for (unsigned int i = 0; i < def->n_mcgrps; i++)
		groups[i] = (struct pfnl_str){ def->mcgrps[i].name,
		    strnlen(def->mcgrps[i].name, sizeof(def->mcgrps[i].name)) };
	bound->family = def;
	bound->vnet = vnet;
	if (error == 0)
		error = pfnl_family_register_at(vnet->domain, &remote, &family->info);
	if (error > 0)
		error = pfnl_errno_to_freebsd(error);
	for (unsigned int i = 0; i <= family->count; i++)
		kfree(tables[i].rows);
	kfree(tables);
	kfree(ops);
	kfree(groups);
	if (error != 0) {
		kpi_vnet_release(vnet);
		kfree(bound);
		return (error);
	}
	/* A vnet that has gone meanwhile has no sockets, so this is only for unregistration to find. */
	mtx_lock(&kpi_lists);
	LIST_INSERT_HEAD(&family->bound, bound, link);
	mtx_unlock(&kpi_lists);
	return (0);
}

static void
kpi_family_free(struct pfnl_kpi_family *family)
{
	struct kpi_bound *bound;

	for (;;) {
		mtx_lock(&kpi_lists);
		if ((bound = LIST_FIRST(&family->bound)) != NULL)
			LIST_REMOVE(bound, link);
		mtx_unlock(&kpi_lists);
		if (bound == NULL)
			break;
		pfnl_family_unregister(bound->vnet->domain, &family->info);
		kpi_vnet_release(bound->vnet);
		kfree(bound);
	}
	kfree(family->ops);
	kfree(family);
}

/* Whether a family is to be in a vnet. */
static bool
kpi_belongs(const struct genl_family *family, const struct kpi_vnet *vnet)
{
	return (family->netnsok || vnet->vnet == vnet0);
}

/* An id and groups that are free in every vnet. */
static int
kpi_place(struct pfnl_kpi_family *family)
{
	struct kpi_vnet *vnet;
	struct pfnl_info before;
	int error = 0;

	family->info = (struct pfnl_info){ .version = family->family->version };
	mtx_lock(&kpi_lists);
	do {
		before = family->info;
		LIST_FOREACH(vnet, &kpi_vnets, link)
			if (!pfnl_family_place(vnet->domain, family->family->n_mcgrps, &family->info))
				error = ENOSPC;
	} while (error == 0 &&
	    (before.id != family->info.id || before.first_group != family->info.first_group));
	mtx_unlock(&kpi_lists);
	return (error);
}

/* A vnet that a family is to be in and is not, held. */
static struct kpi_vnet *
kpi_next(struct pfnl_kpi_family *family)
{
	struct kpi_bound *bound;
	struct kpi_vnet *vnet;

	mtx_lock(&kpi_lists);
	LIST_FOREACH(vnet, &kpi_vnets, link) {
		LIST_FOREACH(bound, &family->bound, link)
			if (bound->vnet == vnet)
				break;
		if (bound == NULL && kpi_belongs(family->family, vnet)) {
			vnet->holds++;
			break;
		}
	}
	mtx_unlock(&kpi_lists);
	return (vnet);
}

static bool
kpi_valid(const struct genl_family *def)
{
	unsigned int ops = def->n_ops + def->n_small_ops + def->n_split_ops;

	for (unsigned int i = 0; i < def->n_ops; i++)
		if (def->ops[i].doit == NULL && def->ops[i].dumpit == NULL)
			return (false);
	return (ops <= 255 && def->maxattr < 65535 && def->version <= 255);
}

int
pfnl_kpi_register(struct genl_family *def)
{
	unsigned int ops = def->n_ops + def->n_small_ops + def->n_split_ops;
	struct pfnl_kpi_family *family;
	struct kpi_vnet *vnet;
	int error;

	if (!kpi_valid(def))
		return (-EINVAL);
	family = kzalloc(sizeof(*family), GFP_KERNEL);
	family->ops = kcalloc(ops + 1, sizeof(family->ops[0]), GFP_KERNEL);
	family->family = def;
	LIST_INIT(&family->bound);
	kpi_ops(family);
	sx_xlock(&kpi_lock);
	error = kpi_place(family);
	/* Handlers may run before this returns, and use these. */
	def->pfnl = family;
	def->id = family->info.id;
	def->mcgrp_offset = family->info.first_group;
	while (error == 0 && (vnet = kpi_next(family)) != NULL)
		error = kpi_bind(family, vnet);
	if (error == 0)
		LIST_INSERT_HEAD(&kpi_families, family, link);
	sx_xunlock(&kpi_lock);
	if (error != 0)
		kpi_family_free(family);
	return (-error);
}

int
pfnl_kpi_unregister(const struct genl_family *def)
{
	struct pfnl_kpi_family *family;

	sx_xlock(&kpi_lock);
	LIST_FOREACH(family, &kpi_families, link)
		if (family->family == def)
			break;
	if (family != NULL)
		LIST_REMOVE(family, link);
	sx_xunlock(&kpi_lock);
	/* Waits for requests, so not under the lock that vnets come with. */
	if (family != NULL)
		kpi_family_free(family);
	return (family != NULL ? 0 : -ENOENT);
}

bool
pfnl_kpi_busy(const struct module *module)
{
	struct pfnl_kpi_family *family;
	bool busy = false;

	sx_slock(&kpi_lock);
	LIST_FOREACH(family, &kpi_families, link)
		busy |= family->family->module == module && atomic_load_int(&family->dumps) > 0;
	sx_sunlock(&kpi_lock);
	return (busy);
}

/* ---- vnets ---- */

/* Lets go of what was bound to a vnet that has gone; its domain has dropped the family by itself. */
static void
kpi_prune(struct pfnl_kpi_family *family)
{
	struct kpi_bound *bound;

	do {
		mtx_lock(&kpi_lists);
		LIST_FOREACH(bound, &family->bound, link)
			if (bound->vnet->gone)
				break;
		if (bound != NULL)
			LIST_REMOVE(bound, link);
		mtx_unlock(&kpi_lists);
		if (bound != NULL) {
			kpi_vnet_release(bound->vnet);
			kfree(bound);
		}
	} while (bound != NULL);
}

static void
vnet_pfnl_kpi_init(const void *unused __unused)
{
	struct kpi_vnet *vnet = kzalloc(sizeof(*vnet), GFP_KERNEL);
	struct pfnl_kpi_family *family;
	int error;

	vnet->vnet = curvnet;
	vnet->domain = pfnl_domain_hold();
	if (vnet->domain == NULL) {
		kfree(vnet);
		return;
	}
	vnet->holds = 1;
	sx_xlock(&kpi_lock);
	mtx_lock(&kpi_lists);
	LIST_INSERT_HEAD(&kpi_vnets, vnet, link);
	mtx_unlock(&kpi_lists);
	VNET(pfnl_kpi_domain) = vnet->domain;
	LIST_FOREACH(family, &kpi_families, link) {
		kpi_prune(family);
		if (!kpi_belongs(family->family, vnet))
			continue;
		mtx_lock(&kpi_lists);
		vnet->holds++;
		mtx_unlock(&kpi_lists);
		error = kpi_bind(family, vnet);
		if (error != 0)
			printf("pfnl: a vnet is without family %s: error %d\n", family->family->name, error);
	}
	sx_xunlock(&kpi_lock);
}
VNET_SYSINIT(pfnl_kpi, SI_SUB_PROTO_DOMAIN, SI_ORDER_SECOND, vnet_pfnl_kpi_init, NULL);

/*
 * The vnet has no sockets any more, so nobody calls its families, which the domain is about to drop by itself. What was
 * bound to it holds the domain until the next vnet comes, or the family goes.
 */
static void
vnet_pfnl_kpi_uninit(const void *unused __unused)
{
	struct kpi_vnet *vnet;

	mtx_lock(&kpi_lists);
	LIST_FOREACH(vnet, &kpi_vnets, link)
		if (vnet->vnet == curvnet)
			break;
	if (vnet != NULL) {
		LIST_REMOVE(vnet, link);
		vnet->gone = true;
	}
	mtx_unlock(&kpi_lists);
	VNET(pfnl_kpi_domain) = NULL;
	if (vnet != NULL)
		kpi_vnet_release(vnet);
}
VNET_SYSUNINIT(pfnl_kpi, SI_SUB_PROTO_DOMAIN, SI_ORDER_SECOND, vnet_pfnl_kpi_uninit, NULL);
