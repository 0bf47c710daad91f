/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What pfnl.ko offers to families in C: the structures of Linux's generic netlink interface, and the few functions behind
 * them. Families include net/genetlink.h, which gives all of this Linux's names.
 *
 * The names of functions are pfnl's, as FreeBSD's kernel has a genl_register_family() of its own.
 */
#ifndef PFNL_KERNEL_PFNL_KPI_H
#define PFNL_KERNEL_PFNL_KPI_H

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/queue.h>
#include <sys/stdint.h>

struct module;
struct net;		/* a vnet */
struct nlattr;
struct nlmsghdr;
struct genlmsghdr;
struct genl_info;
struct genl_split_ops;
struct netlink_callback;
struct pfnl_kpi_family;

#define PFNL_KPI_NAMSIZ 16

struct sk_buff {
	unsigned char *head;
	unsigned char *data;
	unsigned int len;
	unsigned int size;	/* of the place at data */
	void *sk;		/* the network it came from */
	union {
		struct {
			uint32_t portid;
		} netlink;
		char cb[48];
		uint64_t align;
	};
};

struct netlink_ext_ack {
	const char *_msg;
	const struct nlattr *bad_attr;
	const struct nlattr *miss_nest;
	uint16_t miss_type;
	uint8_t cookie[20];
	uint8_t cookie_len;
	char _msg_buf[80];
};

struct netlink_range_validation {
	uint64_t min, max;
};

struct netlink_range_validation_signed {
	int64_t min, max;
};

enum {
	NLA_UNSPEC,
	NLA_U8,
	NLA_U16,
	NLA_U32,
	NLA_U64,
	NLA_STRING,
	NLA_FLAG,
	NLA_MSECS,
	NLA_NESTED,
	NLA_NESTED_ARRAY,
	NLA_NUL_STRING,
	NLA_BINARY,
	NLA_S8,
	NLA_S16,
	NLA_S32,
	NLA_S64,
	NLA_BITFIELD32,
	NLA_REJECT,
	NLA_BE16,
	NLA_BE32,
	NLA_SINT,
	NLA_UINT,
	__NLA_TYPE_MAX
};
#define NLA_TYPE_MAX (__NLA_TYPE_MAX - 1)

enum nla_policy_validation {
	NLA_VALIDATE_NONE,
	NLA_VALIDATE_RANGE,
	NLA_VALIDATE_RANGE_PTR,
	NLA_VALIDATE_MIN,
	NLA_VALIDATE_MAX,
	NLA_VALIDATE_MASK,
	NLA_VALIDATE_FUNCTION
};

struct nla_policy {
	uint8_t type;
	uint8_t validation_type;
	uint16_t len;
	union {
		uint16_t strict_start_type;
		uint32_t bitfield32_valid;
		uint32_t mask;
		const char *reject_message;
		const struct nla_policy *nested_policy;
		const struct netlink_range_validation *range;
		const struct netlink_range_validation_signed *range_signed;
		struct {
			int16_t min, max;
		};
		int (*validate)(const struct nlattr *, struct netlink_ext_ack *);
	};
};

/* For genl_ops' validate. */
enum genl_validate_flags {
	GENL_DONT_VALIDATE_STRICT = 1 << 0,
	GENL_DONT_VALIDATE_DUMP = 1 << 1,
	GENL_DONT_VALIDATE_DUMP_STRICT = 1 << 2
};

struct genl_multicast_group {
	char name[PFNL_KPI_NAMSIZ];
	uint8_t flags;
};

struct genl_ops {
	int (*doit)(struct sk_buff *, struct genl_info *);
	int (*start)(struct netlink_callback *);
	int (*dumpit)(struct sk_buff *, struct netlink_callback *);
	int (*done)(struct netlink_callback *);
	const struct nla_policy *policy;
	unsigned int maxattr;
	uint8_t cmd;
	uint8_t internal_flags;
	uint8_t flags;
	uint8_t validate;
};

struct genl_small_ops {
	int (*doit)(struct sk_buff *, struct genl_info *);
	int (*dumpit)(struct sk_buff *, struct netlink_callback *);
	uint8_t cmd;
	uint8_t internal_flags;
	uint8_t flags;
	uint8_t validate;
};

/* A do or a dump, as flags say (GENL_CMD_CAP_DO, GENL_CMD_CAP_DUMP). */
struct genl_split_ops {
	union {
		struct {
			int (*pre_doit)(const struct genl_split_ops *, struct sk_buff *, struct genl_info *);
			int (*doit)(struct sk_buff *, struct genl_info *);
			void (*post_doit)(const struct genl_split_ops *, struct sk_buff *, struct genl_info *);
		};
		struct {
			int (*start)(struct netlink_callback *);
			int (*dumpit)(struct sk_buff *, struct netlink_callback *);
			int (*done)(struct netlink_callback *);
		};
	};
	const struct nla_policy *policy;
	unsigned int maxattr;
	uint8_t cmd;
	uint8_t internal_flags;
	uint8_t flags;
	uint8_t validate;
};

struct genl_family {
	unsigned int hdrsize;
	char name[PFNL_KPI_NAMSIZ];
	unsigned int version;
	unsigned int maxattr;
	uint8_t netnsok:1;	/* in every vnet, and not only in the host's */
	uint8_t parallel_ops:1;	/* taken and not used: a network's requests come one after the other */
	uint8_t n_ops;
	uint8_t n_small_ops;
	uint8_t n_split_ops;
	uint8_t n_mcgrps;
	uint8_t resv_start_op;
	const struct nla_policy *policy;
	int (*pre_doit)(const struct genl_split_ops *, struct sk_buff *, struct genl_info *);
	void (*post_doit)(const struct genl_split_ops *, struct sk_buff *, struct genl_info *);
	const struct genl_ops *ops;
	const struct genl_small_ops *small_ops;
	const struct genl_split_ops *split_ops;
	const struct genl_multicast_group *mcgrps;
	struct module *module;

	/* pfnl's, from registration on. */
	int id;
	unsigned int mcgrp_offset;
	struct pfnl_kpi_family *pfnl;
};

struct genl_info {
	uint32_t snd_seq;
	uint32_t snd_portid;
	const struct genl_family *family;
	const struct nlmsghdr *nlhdr;
	struct genlmsghdr *genlhdr;
	void *userhdr;
	struct nlattr **attrs;
	struct net *_net;
	union {
		uint8_t ctx[48];
		void *user_ptr[2];
	};
	struct netlink_ext_ack *extack;
};

struct netlink_callback {
	struct sk_buff *skb;		/* the request */
	const struct nlmsghdr *nlh;
	void *data;			/* struct genl_dumpit_info */
	struct module *module;
	struct netlink_ext_ack *extack;
	uint16_t family;
	uint16_t answer_flags;
	uint32_t min_dump_alloc;
	unsigned int prev_seq;
	unsigned int seq;
	bool strict_check;
	union {
		uint8_t ctx[48];
		long args[6];
	};
};

struct genl_dumpit_info {
	struct genl_split_ops op;
	struct genl_info info;
};

/* Errors are negated errnos of FreeBSD's, as everywhere in this interface. */
int pfnl_kpi_register(struct genl_family *);
int pfnl_kpi_unregister(const struct genl_family *);
/* Whether something of a module's families is in use that would be broken off by unloading it. */
bool pfnl_kpi_busy(const struct module *);
struct sk_buff *pfnl_kpi_alloc(unsigned int size);
void pfnl_kpi_free(struct sk_buff *);
/* Both take the message, whatever they return. Multicast gives ESRCH when nobody listens. */
int pfnl_kpi_unicast(struct net *, struct sk_buff *, uint32_t portid);
int pfnl_kpi_multicast(struct net *, struct sk_buff *, uint32_t exclude, uint32_t group);
int pfnl_kpi_multicast_all(struct sk_buff *, uint32_t exclude, uint32_t group);
bool pfnl_kpi_has_listeners(struct net *, uint32_t group);

#define PFNL_KPI_STRICT 0x01
#define PFNL_KPI_NESTED 0x02	/* the attribute around them must be marked as a nest */
/*
 * Validates attributes by a policy and finds them: places is null or has room for maxtype + 1. An error's place is
 * left in extack.
 */
int pfnl_kpi_parse(struct nlattr **places, int maxtype, const struct nlattr *head, int len,
    const struct nla_policy *, unsigned int how, struct netlink_ext_ack *);

#endif
