/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * pfnl.ko's C side: what linker sets, static tables and macros force to be C. All else is Rust.
 */
#include "pfnl.h"
#include <sys/poll.h>
#include <sys/resourcevar.h>
#include <sys/sysent.h>

static MALLOC_DEFINE(M_PFNL, "pfnl", "pfnl: netlink sockets");

/* Levels and types of control messages, as the compat headers have them. */
#define	PFNL_SOL_NETLINK	270
#define	PFNL_PKTINFO		3	/* NETLINK_PKTINFO */

/* ---- services for Rust ---- */

/* For tests: every how manyth allocation of memory or of an mbuf fails, 0 = none. */
static u_int pfnl_fail_every;
static volatile u_int pfnl_allocations;

bool
pfnl_fails(void)
{
	u_int every = pfnl_fail_every;

	return (__predict_false(every != 0) && atomic_fetchadd_int(&pfnl_allocations, 1) % every == 0);
}

void *
pfnl_malloc(size_t size, size_t align, int zero)
{
	int flags = M_NOWAIT | (zero ? M_ZERO : 0);

	if (pfnl_fails())
		return (NULL);
	return (align <= 16 ? malloc(size, M_PFNL, flags) : malloc_aligned(size, align, M_PFNL, flags));
}

void
pfnl_free(void *place)
{
	free(place, M_PFNL);
}

void
pfnl_panic(const char *text, size_t len)
{
	panic("%.*s", (int)len, text);
}

struct thread *
pfnl_curthread(void)
{
	return (curthread);
}

u_int
pfnl_curcpu(void)
{
	return (curcpu);
}

u_int
pfnl_cpus(void)
{
	return (mp_maxid + 1);
}

void
pfnl_epoch_run(void (*work)(void *), void *arg)
{
	struct epoch_tracker et;

	NET_EPOCH_ENTER(et);
	work(arg);
	NET_EPOCH_EXIT(et);
}

bool
pfnl_epoch_held(void)
{
	return (in_epoch(net_epoch_preempt) != 0);
}

void
pfnl_epoch_call(epoch_callback_t callback, epoch_context_t context)
{
	NET_EPOCH_CALL(callback, context);
}

uint64_t
pfnl_uptime(void)
{
	struct timespec now;

	/* Of the last tick, as Linux's jiffies: each packet asks, and the hardware may take microseconds to answer. */
	getnanouptime(&now);
	return ((uint64_t)now.tv_sec * 1000000000 + now.tv_nsec);
}

bool
pfnl_is_linux(struct thread *td)
{
	return ((td->td_proc->p_sysent->sv_flags & SV_ABI_MASK) == SV_ABI_LINUX);
}

pid_t
pfnl_pid(struct thread *td)
{
	return (td->td_proc->p_pid);
}

bool
pfnl_is_honest(struct thread *td, uint32_t pid, uint32_t uid, uint32_t gid)
{
	const struct ucred *cred = td->td_ucred;

	return (cred->cr_uid == 0 || (pid == (uint32_t)td->td_proc->p_pid &&
	    (uid == cred->cr_uid || uid == cred->cr_ruid) && (gid == cred->cr_gid || gid == cred->cr_rgid)));
}

bool
pfnl_append(struct socket *so, const struct pfnl_name *from, void *bytes, u_int len, m_ext_free_t done, void *context)
{
	struct mbuf *m, *name;
	struct sockbuf *sb = &so->so_rcv;

	m = pfnl_fails() ? NULL : m_gethdr(M_NOWAIT, MT_DATA);
	name = pfnl_fails() ? NULL : m_get(M_NOWAIT, MT_SONAME);
	if (m == NULL || name == NULL) {
		m_freem(m);
		m_freem(name);
		return (false);
	}
	memcpy(mtod(name, void *), from, sizeof(*from));
	name->m_len = sizeof(*from);
	m_extadd(m, bytes, len, done, context, NULL, M_RDONLY, EXT_MOD_TYPE);
	m->m_len = m->m_pkthdr.len = len;
	name->m_next = m;
	SOCKBUF_LOCK(sb);
	sbappendrecord_locked(sb, name);
	SOCKBUF_UNLOCK(sb);
	return (true);
}

void
pfnl_tell(struct sockaddr *sa, struct sockaddr **from, struct mbuf **control, int *flags, bool pktinfo, bool passcred)
{
	struct pfnl_name *name = (struct pfnl_name *)sa;

	if (control != NULL)
		*control = NULL;
	/* As on Linux a datagram is no record, and options count that are set when it is received. */
	if (flags != NULL)
		*flags &= ~MSG_EOR;
	if (name != NULL && control != NULL) {
		if (pktinfo)
			*control = sbcreatecontrol(&name->group, sizeof(name->group), PFNL_PKTINFO, PFNL_SOL_NETLINK,
			    M_WAITOK);
		if (passcred)
			*(pktinfo ? &(*control)->m_next : control) = sbcreatecontrol(&name->pid,
			    3 * sizeof(uint32_t), PFNL_SCM_CREDENTIALS, SOL_SOCKET, M_WAITOK);
	} else if (name != NULL && flags != NULL && (pktinfo || passcred)) {
		*flags |= MSG_CTRUNC;
	}
	if (name != NULL)
		name->name.nl_len = sizeof(name->name);
	if (from != NULL)
		*from = sa;
	else
		free(sa, M_SONAME);
}

void *
pfnl_context(struct mbuf *m)
{
	return (m->m_ext.ext_arg1);
}

void
pfnl_wake(struct socket *so, int error)
{
	SOCKBUF_LOCK(&so->so_rcv);
	if (error != 0)
		so->so_error = error;
	sorwakeup_locked(so);
}

int
pfnl_take_error(struct socket *so)
{
	int error;

	SOCKBUF_LOCK(&so->so_rcv);
	error = so->so_error;
	so->so_error = 0;
	SOCKBUF_UNLOCK(&so->so_rcv);
	return (error);
}

int
pfnl_buffers(struct socket *so)
{
	int error = soreserve(so, 212992, 212992);

	/* Netlink sockets can be asked for their peer and told to forget it at any time. */
	if (error == 0)
		so->so_state |= SS_ISCONNECTED;
	return (error);
}

void
pfnl_set_buffer(struct socket *so, bool receive, u_int size)
{
	struct sockbuf *sb = receive ? &so->so_rcv : &so->so_snd;

	SOCKBUF_LOCK(sb);
	(void)chgsbsize(so->so_cred->cr_uidinfo, &sb->sb_hiwat, size, RLIM_INFINITY);
	sb->sb_mbmax = size * 2;
	SOCKBUF_UNLOCK(sb);
}

sa_family_t
pfnl_family_of(struct socket *so)
{
	return (so->so_proto->pr_domain->dom_family);
}

void
pfnl_flush(struct socket *so)
{
	sbflush(&so->so_rcv);
}

int
pfnl_pause(void)
{
	int error = pause_sig("pfnlsnd", hz > 100 ? hz / 100 : 1);

	return (error == EWOULDBLOCK ? 0 : error);
}

int
pfnl_wait(struct socket *so, uint64_t since)
{
	sbintime_t limit = so->so_snd.sb_timeo;

	if (limit != 0 && pfnl_uptime() - since >= (uint64_t)sbttons(limit))
		return (EWOULDBLOCK);
	return (pfnl_pause());
}

/* ---- calls that need nothing of Rust ---- */

/* Linux shows a pending error. */
int
pfnl_sopoll(struct socket *so, int events, struct thread *td)
{
	int ready = sopoll_generic(so, events, td);

	return (so->so_error != 0 ? ready | POLLERR : ready);
}

int
pfnl_ioctl(struct socket *so __unused, u_long command __unused, void *data __unused, struct ifnet *ifp __unused,
    struct thread *td __unused)
{
	return (ENOTTY);
}

static int
pfnl_no_such_type(struct socket *so __unused, int protocol __unused, struct thread *td __unused)
{
	return (ESOCKTNOSUPPORT);
}

/* ---- the domains ---- */

#define	PFNL_PROTOSW(type, protocol, attach) {					\
	.pr_type = (type),							\
	.pr_protocol = (protocol),						\
	.pr_flags = PR_ATOMIC | PR_ADDR,					\
	.pr_attach = (attach),							\
	.pr_detach = pfnl_detach,						\
	.pr_close = pfnl_close,							\
	.pr_abort = pfnl_abort,							\
	.pr_bind = pfnl_bind,							\
	.pr_connect = pfnl_connect,						\
	.pr_disconnect = pfnl_disconnect,					\
	.pr_sockaddr = pfnl_sockaddr,						\
	.pr_peeraddr = pfnl_peeraddr,						\
	.pr_sosend = pfnl_sosend,						\
	.pr_soreceive = pfnl_soreceive,						\
	.pr_ctloutput = pfnl_ctloutput,						\
	.pr_setsbopt = pfnl_setsbopt,						\
	.pr_sopoll = pfnl_sopoll,						\
	.pr_control = pfnl_ioctl,						\
}
static struct protosw pfnl_raw = PFNL_PROTOSW(SOCK_RAW, PFNL_PROTOCOL, pfnl_attach);
static struct protosw pfnl_dgram = PFNL_PROTOSW(SOCK_DGRAM, PFNL_PROTOCOL, pfnl_attach);
/* Served while openvswitch.ko is there. */
static struct protosw netfilter_raw = PFNL_PROTOSW(SOCK_RAW, PFNL_NETFILTER, pfnl_attach);
static struct protosw netfilter_dgram = PFNL_PROTOSW(SOCK_DGRAM, PFNL_NETFILTER, pfnl_attach);

/* Other types: without these, socket(2) would blame the protocol. */
#define	PFNL_NO_TYPE(type)	{ .pr_type = (type), .pr_attach = pfnl_no_such_type }
static struct protosw pfnl_none = PFNL_NO_TYPE(0);
static struct protosw pfnl_stream = PFNL_NO_TYPE(SOCK_STREAM);
static struct protosw pfnl_rdm = PFNL_NO_TYPE(SOCK_RDM);
static struct protosw pfnl_seqpacket = PFNL_NO_TYPE(SOCK_SEQPACKET);
static struct protosw pfnl_packet = PFNL_NO_TYPE(10 /* Linux's SOCK_PACKET */);

static struct domain pfnl_domain = {
	.dom_family = PFNL_AF,
	.dom_name = "pfnl",
	.dom_flags = DOMF_UNLOADABLE,
	.dom_nprotosw = 9,
	.dom_protosw = { &pfnl_raw, &pfnl_dgram, &netfilter_raw, &netfilter_dgram, &pfnl_none, &pfnl_stream, &pfnl_rdm, &pfnl_seqpacket, &pfnl_packet },
};

static int pfnl_takeover;

static void
pfnl_domains_add(void)
{
	domain_add(&pfnl_domain);
	if (pfnl_takeover)
		pfnl_takeover_add();
}

static void
pfnl_domains_remove(void)
{
	pfnl_takeover_remove();
	domain_remove(&pfnl_domain);
}

/* ---- one state per vnet ---- */

VNET_DEFINE_STATIC(void *, pfnl_state);

void **
pfnl_vnet_slot(void)
{
	return (&VNET(pfnl_state));
}

static void
vnet_pfnl_init(const void *unused __unused)
{
	int error = pfnl_vnet_init();

	if (error != 0)
		printf("pfnl: no netlink sockets in a vnet: error %d\n", error);
}
VNET_SYSINIT(pfnl_state, SI_SUB_PROTO_DOMAIN, SI_ORDER_FIRST, vnet_pfnl_init, NULL);

static void
vnet_pfnl_uninit(const void *unused __unused)
{
	pfnl_vnet_uninit();
}
VNET_SYSUNINIT(pfnl_state, SI_SUB_PROTO_DOMAIN, SI_ORDER_FIRST, vnet_pfnl_uninit, NULL);

/* ---- sysctls ---- */

static u_int pfnl_family = PFNL_AF;

SYSCTL_NODE(_net, OID_AUTO, pfnl, CTLFLAG_RW | CTLFLAG_MPSAFE, 0, "Linux's netlink sockets");
SYSCTL_UINT(_net_pfnl, OID_AUTO, family, CTLFLAG_RD, &pfnl_family, 0,
    "Address family of pfnl's sockets");
SYSCTL_INT(_net_pfnl, OID_AUTO, takeover, CTLFLAG_RDTUN, &pfnl_takeover, 0,
    "Serve AF_NETLINK's NETLINK_GENERIC as well (set before loading)");
SYSCTL_UINT(_net_pfnl, OID_AUTO, sockets, CTLFLAG_RD, &pfnl_sockets, 0, "Open sockets");
SYSCTL_UINT(_net_pfnl, OID_AUTO, datagrams, CTLFLAG_RD, &pfnl_datagrams, 0, "Datagrams in receive buffers");
SYSCTL_UINT(_net_pfnl, OID_AUTO, fail_every, CTLFLAG_RW, &pfnl_fail_every, 0,
    "For tests: every how manyth allocation fails, 0 = none");
SYSCTL_UINT(_net_pfnl, OID_AUTO, nomem, CTLFLAG_RD, &pfnl_nomem, 0, "Datagrams lost for want of memory");

static int
pfnl_sysctl_limit(SYSCTL_HANDLER_ARGS)
{
	u_int bytes = pfnl_limit(arg2);
	int error = sysctl_handle_int(oidp, &bytes, 0, req);

	return (error != 0 || req->newptr == NULL ? error : pfnl_set_limit(arg2, bytes));
}

#define	PFNL_SYSCTL_LIMIT(name, which, text)					\
	SYSCTL_PROC(_net_pfnl, OID_AUTO, name, CTLTYPE_UINT | CTLFLAG_RW | CTLFLAG_VNET | CTLFLAG_MPSAFE,	\
	    NULL, (which), pfnl_sysctl_limit, "IU", text)
PFNL_SYSCTL_LIMIT(rcvbuf_default, PFNL_LIMIT_RECEIVE_DEFAULT, "Receive buffer of a new socket");
PFNL_SYSCTL_LIMIT(rcvbuf_max, PFNL_LIMIT_RECEIVE_MAX, "The most that SO_RCVBUF may ask for");
PFNL_SYSCTL_LIMIT(sndbuf_default, PFNL_LIMIT_SEND_DEFAULT, "Send buffer of a new socket");
PFNL_SYSCTL_LIMIT(sndbuf_max, PFNL_LIMIT_SEND_MAX, "The most that SO_SNDBUF may ask for");
PFNL_SYSCTL_LIMIT(least_charge, PFNL_LIMIT_CHARGE, "What the shortest datagram takes of a receive buffer");

/* ---- the module ---- */

static int
pfnl_modevent(module_t module __unused, int event, void *arg __unused)
{
	switch (event) {
	case MOD_LOAD:
		if (*pfnl_vnet_slot() == NULL)
			return (ENOMEM);
		pfnl_domains_add();
		return (0);
	case MOD_QUIESCE:
		if (!pfnl_stop())
			return (EBUSY);
		pfnl_resume();
		return (0);
	case MOD_UNLOAD:
		if (!pfnl_stop())
			return (EBUSY);
		pfnl_domains_remove();
		/* A socket(2) that had found the domain a moment ago has been refused when this is over. */
		pause("pfnlun", hz > 10 ? hz / 10 : 1);
		NET_EPOCH_DRAIN_CALLBACKS();
		return (0);
	default:
		return (EOPNOTSUPP);
	}
}

static moduledata_t pfnl_module = { "pfnl", pfnl_modevent, NULL };
/*
 * struct protosw differs between minor releases, so the loader shall refuse every kernel but those of the one this
 * was built for: "depends on kernel - not available or version mismatch" in dmesg.
 */
DECLARE_MODULE_WITH_MAXVER(pfnl, pfnl_module, SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY,
    rounddown(__FreeBSD_version, 1000) + 999);
MODULE_VERSION(pfnl, 1);
