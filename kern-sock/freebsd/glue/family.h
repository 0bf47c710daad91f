/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What pfnl.ko offers to other modules of pfnl (openvswitch.ko): a vnet's domain, and families in it whose handlers live
 * in the other module. Plain C on both sides, so that neither depends on how Rust lays things out; both are built from
 * one tree, and PFNL_FAMILY_ABI refuses what is not. A family in C uses the interface named as Linux's instead.
 *
 * Memory: pfnl_malloc() and pfnl_free() are pfnl.ko's for both, so a buffer made in one can be freed in the other.
 * Errors are Linux's numbers.
 */
#ifndef PFNL_FAMILY_H
#define PFNL_FAMILY_H

#define	PFNL_FAMILY_ABI		2

struct pfnl_str {
	const char	*text;		/* not terminated */
	size_t		 len;
};

/* A row of an attribute table, as far as validation and GETPOLICY go. */
struct pfnl_row {
	uint64_t	 least;
	uint64_t	 most;
	uint16_t	 number;
	uint8_t		 policy;	/* PFNL_POLICY_* */
	uint8_t		 width;
};
#define	PFNL_POLICY_NONE	0
#define	PFNL_POLICY_MIN		1
#define	PFNL_POLICY_REJECT	2
#define	PFNL_POLICY_FLAG	3
#define	PFNL_POLICY_UINT	4
#define	PFNL_POLICY_SINT	5
#define	PFNL_POLICY_STRING	6
#define	PFNL_POLICY_NUL_STRING	7
#define	PFNL_POLICY_BINARY	8
#define	PFNL_POLICY_NESTED	9

struct pfnl_table {
	const struct pfnl_row	*rows;	/* in number order */
	size_t			 count;
};

struct pfnl_op {
	uint32_t	 flags;		/* GENL_*_PERM, GENL_CMD_CAP_* */
	uint32_t	 table;		/* index, PFNL_NO_TABLE */
	uint8_t		 cmd;
	bool		 strict;
	bool		 dump_validated;
};
#define	PFNL_NO_TABLE		UINT32_MAX

/* What a domain has given a family. */
struct pfnl_info {
	uint32_t	 first_group;
	uint16_t	 id;
	uint8_t		 version;
};

/* A request that is validated. The bytes are there until its handler returns. */
struct pfnl_request {
	struct pfnl_info info;
	uint16_t	 kind;
	uint16_t	 flags;
	uint32_t	 len;
	uint32_t	 seq;
	uint32_t	 header_portid;
	uint8_t		 cmd;
	uint8_t		 version;
	uint16_t	 reserved;
	const void	*user_header;
	size_t		 user_header_len;
	const void	*attrs;
	size_t		 attrs_len;
	uint32_t	 attrs_at;	/* in the message */
	uint32_t	 portid;	/* of the socket */
	uint32_t	 pid;
	uint32_t	 uid;
	uint32_t	 gid;
	bool		 net_admin;
	bool		 net_broadcast;
};

/* What becomes of it; the texts are there as long as the family is. */
struct pfnl_outcome {
	int32_t		 error;		/* positive; 0 = success */
	uint32_t	 has;		/* PFNL_HAS_* */
	struct pfnl_str	 text;
	struct pfnl_str	 warning;	/* goes out with success too */
	uint32_t	 offset;
	uint32_t	 missing_in;
	uint32_t	 table;		/* of the row that was broken */
	uint16_t	 row;
	uint16_t	 missing;
	uint8_t		 cookie[20];
	uint8_t		 cookie_len;
	uint16_t	 dump_flags;	/* of every message of a dump that has begun */
};
#define	PFNL_HAS_OFFSET		0x01
#define	PFNL_HAS_MISSING	0x02
#define	PFNL_HAS_MISSING_IN	0x04
#define	PFNL_HAS_ROW		0x08

/* Bytes of pfnl_malloc(), with their new owner. */
struct pfnl_bytes {
	uint8_t		*place;
	size_t		 len;
	size_t		 capacity;
};

/* A dump goes on: where it stands, how much room there is, and what its records carry. */
struct pfnl_block {
	struct pfnl_info info;
	uint32_t	 seq;
	uint32_t	 portid;
	size_t		 room;
	struct pfnl_bytes records;
};
#define	PFNL_DUMP_MORE		0
#define	PFNL_DUMP_DONE		1
#define	PFNL_DUMP_END		2

/*
 * A family. Everything but the functions and the state is copied. Handlers are called one at a time; a dump is freed
 * wherever its socket is closed, and until then the module must not go.
 */
struct pfnl_family {
	uint32_t		 abi;	/* PFNL_FAMILY_ABI */
	uint32_t		 hdrsize;
	struct pfnl_str		 name;
	const struct pfnl_table	*tables;
	size_t			 table_count;
	const struct pfnl_op	*ops;
	size_t			 op_count;
	const struct pfnl_str	*groups;
	size_t			 group_count;
	uint64_t		 admin_groups;	/* a bit for each that needs CAP_NET_ADMIN to join */
	uint32_t		 own_table;
	uint8_t			 version;
	void			*state;
	void	(*run)(void *state, uint32_t op, const struct pfnl_request *, struct pfnl_outcome *);
	void	*(*dump)(void *state, uint32_t op, const struct pfnl_request *, struct pfnl_outcome *);
	int	(*dump_next)(void *dump, struct pfnl_block *, struct pfnl_outcome *);
	void	(*dump_free)(void *dump);
};

/* A request of a protocol beside generic netlink, as it came. All of it is there until its handler returns. */
struct pfnl_call {
	const void	*message;	/* whole */
	size_t		 len;
	const void	*bus;		/* for pfnl_call_unicast() */
	uint32_t	 portid;	/* of the socket */
	uint32_t	 pid;
	uint32_t	 uid;
	uint32_t	 gid;
	bool		 net_admin;
	bool		 net_broadcast;
};

/*
 * Such a protocol. Everything but the functions and the state is copied; handlers are called one at a time. admit() looks
 * at the first message of a datagram: PFNL_ADMIT_RUN, PFNL_ADMIT_IGNORE, or the error that it gets. request() gives a
 * dump, or null.
 */
struct pfnl_protocol {
	uint32_t	 abi;		/* PFNL_FAMILY_ABI */
	int32_t		 number;
	uint32_t	 groups;	/* the highest */
	bool		 groups_are_public;
	void		*state;
	int	(*admit)(void *state, const void *message, size_t len, bool privileged);
	void	*(*request)(void *state, const struct pfnl_call *, struct pfnl_outcome *);
	int	(*dump_next)(void *dump, struct pfnl_block *, struct pfnl_outcome *);
	void	(*dump_free)(void *dump);
};
#define	PFNL_ADMIT_RUN		0
#define	PFNL_ADMIT_IGNORE	(-1)

/* For tests (net.pfnl.fail_every): whether what is about to be allocated is not to be had. */
bool	 pfnl_fails(void);

/* The current vnet's domain, held until it is given back; null without one. */
void	*pfnl_domain_hold(void);
void	 pfnl_domain_release(void *domain);
/* 0 and the info, or an error. May sleep. */
int	 pfnl_family_register(void *domain, const struct pfnl_family *, struct pfnl_info *);
/*
 * As pfnl_family_register(), with the id and the groups of *info: for a family that has the same in every vnet.
 * pfnl_family_place() moves *info up to what a domain has free for so many groups; false = nothing is.
 */
int	 pfnl_family_register_at(void *domain, const struct pfnl_family *, const struct pfnl_info *);
bool	 pfnl_family_place(void *domain, size_t groups, struct pfnl_info *);
/* When this returns no handler runs, and dumps have been freed. May sleep; not to be called (nor needed) while the vnet is being destroyed. */
void	 pfnl_family_unregister(void *domain, const struct pfnl_info *);
/*
 * Serves a protocol: its own domain for pfnl_multicast() and the like, held until it is given back; or null, and an error.
 * pfnl_protocol_end() as pfnl_family_unregister(); it gives nothing back.
 */
void	*pfnl_protocol_serve(void *domain, const struct pfnl_protocol *, int *error);
void	 pfnl_protocol_end(void *domain, void *own_domain);
/* As pfnl_unicast(), while a request is being handled. */
int	 pfnl_call_unicast(const struct pfnl_call *, uint32_t portid, struct pfnl_bytes);
/* Takes the bytes, whatever it returns. Never sleeps. */
int	 pfnl_unicast(void *domain, uint32_t portid, struct pfnl_bytes);
void	 pfnl_multicast(void *domain, uint32_t group, const void *bytes, size_t len, uint32_t exclude);
bool	 pfnl_has_listeners(void *domain, uint32_t group);
/* Error numbers, positive; EINVAL for what the other system does not know. */
int	 pfnl_errno_to_linux(int freebsd);
int	 pfnl_errno_to_freebsd(int linux_number);

#endif
