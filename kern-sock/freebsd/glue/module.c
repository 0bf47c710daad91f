/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * pfnl.ko's C side: what linker sets, static tables and macros force to be C. All else is Rust.
 */
#include "pfnl.h"
#include <sys/resourcevar.h>
#include <sys/sysent.h>

static MALLOC_DEFINE(M_PFNL, "pfnl", "pfnl: netlink sockets");

/* ---- services for Rust ---- */

void *
pfnl_malloc(size_t size, size_t align, int zero)
{
	int flags = M_NOWAIT | (zero ? M_ZERO : 0);

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
pfnl_epoch_enter(struct epoch_tracker *tracker)
{
	NET_EPOCH_ENTER(*tracker);
}

void
pfnl_epoch_exit(struct epoch_tracker *tracker)
{
	NET_EPOCH_EXIT(*tracker);
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

	nanouptime(&now);
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
pfnl_append(struct socket *so, const struct sockaddr_nl *from, void *bytes, u_int len, m_ext_free_t done,
    void *context, const void *control, u_int control_len, int control_type)
{
	struct mbuf *m, *name, *cm = NULL;
	struct sockbuf *sb = &so->so_rcv;

	m = m_gethdr(M_NOWAIT, MT_DATA);
	name = m_get(M_NOWAIT, MT_SONAME);
	if (control != NULL)
		cm = sbcreatecontrol(control, control_len, control_type, 270 /* SOL_NETLINK */, M_NOWAIT);
	if (m == NULL || name == NULL || (control != NULL && cm == NULL)) {
		m_freem(m);
		m_freem(name);
		m_freem(cm);
		return (false);
	}
	memcpy(mtod(name, void *), from, sizeof(*from));
	name->m_len = sizeof(*from);
	m_extadd(m, bytes, len, done, context, NULL, M_RDONLY, EXT_MOD_TYPE);
	m->m_len = m->m_pkthdr.len = len;
	if (cm != NULL)
		cm->m_next = m;
	name->m_next = cm != NULL ? cm : m;
	SOCKBUF_LOCK(sb);
	sbappendrecord_locked(sb, name);
	SOCKBUF_UNLOCK(sb);
	return (true);
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

/* ---- the domain ---- */

#define	PFNL_PROTOSW(type) {							\
	.pr_type = (type),							\
	.pr_protocol = PFNL_PROTOCOL,						\
	.pr_flags = PR_ATOMIC | PR_ADDR,					\
	.pr_attach = pfnl_attach,						\
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
}
static struct protosw pfnl_raw = PFNL_PROTOSW(SOCK_RAW);
static struct protosw pfnl_dgram = PFNL_PROTOSW(SOCK_DGRAM);

static struct domain pfnl_domain = {
	.dom_family = PFNL_AF,
	.dom_name = "pfnl",
	.dom_flags = DOMF_UNLOADABLE,
	.dom_nprotosw = 2,
	.dom_protosw = { &pfnl_raw, &pfnl_dgram },
};

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

static const u_int pfnl_family = PFNL_AF;

SYSCTL_NODE(_net, OID_AUTO, pfnl, CTLFLAG_RW | CTLFLAG_MPSAFE, 0, "Linux's netlink sockets");
SYSCTL_UINT(_net_pfnl, OID_AUTO, family, CTLFLAG_RD, __DECONST(u_int *, &pfnl_family), 0,
    "Address family of pfnl's sockets");
SYSCTL_UINT(_net_pfnl, OID_AUTO, sockets, CTLFLAG_RD, &pfnl_sockets, 0, "Open sockets");
SYSCTL_UINT(_net_pfnl, OID_AUTO, datagrams, CTLFLAG_RD, &pfnl_datagrams, 0, "Datagrams in receive buffers");
SYSCTL_UINT(_net_pfnl, OID_AUTO, nomem, CTLFLAG_RD, &pfnl_nomem, 0, "Datagrams lost for want of memory");

/* ---- the module ---- */

static int
pfnl_modevent(module_t module __unused, int event, void *arg __unused)
{
	switch (event) {
	case MOD_LOAD:
		if (*pfnl_vnet_slot() == NULL)
			return (ENOMEM);
		domain_add(&pfnl_domain);
		return (0);
	case MOD_QUIESCE:
		if (!pfnl_stop())
			return (EBUSY);
		pfnl_resume();
		return (0);
	case MOD_UNLOAD:
		if (!pfnl_stop())
			return (EBUSY);
		domain_remove(&pfnl_domain);
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
