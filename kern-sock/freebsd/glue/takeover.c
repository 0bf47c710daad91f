/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * net.pfnl.takeover: AF_NETLINK too. The native domain steps aside; sockets of its other protocols become its own when
 * they are attached, and know nothing of us from then on.
 *
 * A socket of NETLINK_GENERIC is ours until it asks nlctrl, as the first thing it sends, for a family that we have not
 * and the native netlink has: then it becomes the native netlink's, with what it has been told so far. Its protocol
 * changes under it, so no other call may be under way: each call of such a socket is counted, and while the change
 * lasts (busy protocols below) calls fail with EAGAIN. If another is under way, the socket stays ours.
 */
#include "pfnl.h"

static struct domain *native;
/* Who asks the native netlink on our behalf: its socket is not ours. */
static struct thread *asker;
static struct sx asker_lock;
SX_SYSINIT(pfnl_asker, &asker_lock, "pfnl asker");

static struct protosw taken_raw, taken_dgram, busy_raw, busy_dgram;

static struct protosw *
native_of(struct socket *so)
{
	for (u_int i = 0; i < native->dom_nprotosw; i++)
		if (native->dom_protosw[i] != NULL && native->dom_protosw[i]->pr_type == so->so_type)
			return (native->dom_protosw[i]);
	return (NULL);
}

/* Whether a call may go to our functions; then leave() follows. */
static bool
enter(struct socket *so)
{
	bool ours;

	SOCK_LOCK(so);
	ours = so->so_proto == &taken_raw || so->so_proto == &taken_dgram;
	if (ours)
		atomic_add_int(pfnl_calls(so), 1);
	SOCK_UNLOCK(so);
	return (ours);
}

static void
leave(struct socket *so)
{
	atomic_subtract_int(pfnl_calls(so), 1);
}

/* A call that is ours, or whose it has become. */
#define	TAKEN(function, so, ...) __extension__ ({				\
	int result;								\
	if (enter(so)) {							\
		result = pfnl_##function(so, ##__VA_ARGS__);			\
		leave(so);							\
	} else									\
		result = (so)->so_proto->pr_##function(so, ##__VA_ARGS__);	\
	result;									\
})

static int
taken_bind(struct socket *so, struct sockaddr *sa, struct thread *td)
{
	return (TAKEN(bind, so, sa, td));
}

static int
taken_connect(struct socket *so, struct sockaddr *sa, struct thread *td)
{
	return (TAKEN(connect, so, sa, td));
}

static int
taken_disconnect(struct socket *so)
{
	return (TAKEN(disconnect, so));
}

static int
taken_sockaddr(struct socket *so, struct sockaddr *sa)
{
	return (TAKEN(sockaddr, so, sa));
}

static int
taken_peeraddr(struct socket *so, struct sockaddr *sa)
{
	return (TAKEN(peeraddr, so, sa));
}

static int
taken_soreceive(struct socket *so, struct sockaddr **from, struct uio *uio, struct mbuf **top, struct mbuf **control,
    int *flags)
{
	return (TAKEN(soreceive, so, from, uio, top, control, flags));
}

static int
taken_ctloutput(struct socket *so, struct sockopt *sopt)
{
	return (TAKEN(ctloutput, so, sopt));
}

static int
taken_setsbopt(struct socket *so, struct sockopt *sopt)
{
	return (TAKEN(setsbopt, so, sopt));
}

/* ---- to the native netlink ---- */

static int
transfer(struct socket *so, void *bytes, size_t len, struct thread *td, bool receive)
{
	struct iovec iov = { bytes, len };
	struct uio uio = { .uio_iov = &iov, .uio_iovcnt = 1, .uio_resid = len, .uio_segflg = UIO_SYSSPACE,
	    .uio_rw = receive ? UIO_READ : UIO_WRITE, .uio_td = td };

	return (receive ? soreceive(so, NULL, &uio, NULL, NULL, NULL) : sosend(so, NULL, &uio, NULL, NULL, 0, td));
}

/* Whether the native netlink has a family: it is asked, by a socket of our own. */
static bool
native_has(const struct pfnl_str *name, struct thread *td)
{
	struct {
		struct nlmsghdr h;
		uint8_t cmd, version;
		uint16_t reserved;
		uint16_t attr_len, attr_type;
		char name[16];
	} request = {
		.h = { .nlmsg_type = 16 /* GENL_ID_CTRL */, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = 1 },
		.cmd = 3 /* CTRL_CMD_GETFAMILY */,
		.version = 1,
		.attr_type = 2 /* CTRL_ATTR_FAMILY_NAME */,
	};
	struct nlmsghdr *answer;
	struct socket *so;
	bool has = false;
	int error;

	/* All that there are: only the native netlink takes that for a question. */
	if (name->len == 0)
		return (true);
	if (name->len >= sizeof(request.name))
		return (false);
	memcpy(request.name, name->text, name->len);
	request.attr_len = 4 + name->len + 1;
	request.h.nlmsg_len = 20 + roundup2(request.attr_len, 4);
	sx_xlock(&asker_lock);
	asker = td;
	error = socreate(PF_NETLINK, &so, SOCK_RAW, PFNL_PROTOCOL, td->td_ucred, td);
	asker = NULL;
	sx_xunlock(&asker_lock);
	if (error != 0)
		return (false);
	so->so_rcv.sb_timeo = SBT_1S;
	answer = pfnl_malloc(4096, 8, 1);
	if (answer != NULL && transfer(so, &request, request.h.nlmsg_len, td, false) == 0 &&
	    transfer(so, answer, 4096, td, true) == 0)
		has = answer->nlmsg_type == 16;
	if (answer != NULL)
		pfnl_free(answer);
	soclose(so);
	return (has);
}

static void
native_option(struct socket *so, struct protosw *proto, int name)
{
	int on = 1;
	struct sockopt sopt = { .sopt_dir = SOPT_SET, .sopt_level = 270 /* SOL_NETLINK */, .sopt_name = name,
	    .sopt_val = &on, .sopt_valsize = sizeof(on) };

	(void)proto->pr_ctloutput(so, &sopt);
}

/* Makes a socket the native netlink's; -1 if other calls than this one are under way, else 0 or an errno. */
static int
hand_over(struct socket *so, struct thread *td)
{
	struct protosw *proto = native_of(so);
	struct pfnl_settings settings;
	struct sockaddr_nl address = { .nl_len = sizeof(address), .nl_family = PF_NETLINK };
	int error = -1;

	SOCK_LOCK(so);
	if (proto != NULL && *pfnl_calls(so) == 1) {
		so->so_proto = so->so_type == SOCK_RAW ? &busy_raw : &busy_dgram;
		error = 0;
	}
	SOCK_UNLOCK(so);
	if (error != 0)
		return (error);
	pfnl_settings(so, &settings);
	pfnl_detach(so);
	error = proto->pr_attach(so, PFNL_PROTOCOL, td);
	/* A socket without either of us fails all calls but close. */
	if (error != 0)
		return (error);
	if (settings.portid != 0) {
		address.nl_pid = settings.portid;
		(void)proto->pr_bind(so, (struct sockaddr *)&address, td);
	}
	if (settings.ext_ack)
		native_option(so, proto, NETLINK_EXT_ACK);
	if (settings.cap_ack)
		native_option(so, proto, NETLINK_CAP_ACK);
	if (settings.strict_check)
		native_option(so, proto, NETLINK_GET_STRICT_CHK);
	SOCK_LOCK(so);
	so->so_proto = proto;
	SOCK_UNLOCK(so);
	return (0);
}

static int
taken_sosend(struct socket *so, struct sockaddr *addr, struct uio *uio, struct mbuf *top, struct mbuf *control, int flags,
    struct thread *td)
{
	struct pfnl_str foreign = { NULL, 0 };
	struct pfnl_bytes bytes;
	int error;

	if (!enter(so))
		return (so->so_proto->pr_sosend(so, addr, uio, top, control, flags, td));
	error = pfnl_check(control, td);
	m_freem(control);
	if (error == 0)
		error = pfnl_gather(so, uio, top, &bytes, &foreign);
	m_freem(top);
	if (error == 0 && foreign.text != NULL && native_has(&foreign, td)) {
		/* Our side of the socket goes; the module must not, until this is done. */
		atomic_add_int(&pfnl_sockets, 1);
		error = hand_over(so, td);
		if (error == 0)
			error = transfer(so, bytes.place, bytes.len, td, false);
		atomic_subtract_int(&pfnl_sockets, 1);
		/* What was counted is gone with our side of the socket, unless others use it. */
		if (error != -1) {
			pfnl_free(bytes.place);
			return (error);
		}
		error = 0;
	}
	if (error == 0)
		error = pfnl_send_bytes(so, addr, bytes, flags, td);
	leave(so);
	return (error);
}

/* ---- while a socket changes hands ---- */

static int busy_address(struct socket *so __unused, struct sockaddr *sa __unused, struct thread *td __unused) { return (EAGAIN); }
static int busy_disconnect(struct socket *so __unused) { return (EAGAIN); }
static int busy_name(struct socket *so __unused, struct sockaddr *sa __unused) { return (EAGAIN); }
static int busy_option(struct socket *so __unused, struct sockopt *sopt __unused) { return (EAGAIN); }
static void busy_end(struct socket *so __unused) { }

static int
busy_sosend(struct socket *so __unused, struct sockaddr *addr __unused, struct uio *uio __unused, struct mbuf *top,
    struct mbuf *control, int flags __unused, struct thread *td __unused)
{
	m_freem(top);
	m_freem(control);
	return (EAGAIN);
}

static int
busy_soreceive(struct socket *so __unused, struct sockaddr **from, struct uio *uio __unused, struct mbuf **top,
    struct mbuf **control, int *flags __unused)
{
	if (from != NULL)
		*from = NULL;
	if (top != NULL)
		*top = NULL;
	if (control != NULL)
		*control = NULL;
	return (EAGAIN);
}

/* ---- the domain ---- */

static int
taken_attach(struct socket *so, int protocol, struct thread *td)
{
	struct protosw *proto;

	if (protocol == PFNL_PROTOCOL && asker != curthread)
		return (pfnl_attach(so, protocol, td));
	proto = native_of(so);
	if (proto == NULL)
		return (EPROTONOSUPPORT);
	so->so_proto = proto;
	return (proto->pr_attach(so, protocol, td));
}

#define	TAKEN_PROTOSW(type) {							\
	.pr_type = (type),							\
	.pr_flags = PR_ATOMIC | PR_ADDR,					\
	.pr_attach = taken_attach,						\
	.pr_detach = pfnl_detach,						\
	.pr_close = pfnl_close,							\
	.pr_abort = pfnl_abort,							\
	.pr_bind = taken_bind,							\
	.pr_connect = taken_connect,						\
	.pr_disconnect = taken_disconnect,					\
	.pr_sockaddr = taken_sockaddr,						\
	.pr_peeraddr = taken_peeraddr,						\
	.pr_sosend = taken_sosend,						\
	.pr_soreceive = taken_soreceive,					\
	.pr_ctloutput = taken_ctloutput,					\
	.pr_setsbopt = taken_setsbopt,						\
	.pr_sopoll = pfnl_sopoll,						\
	.pr_control = pfnl_ioctl,						\
}
static struct protosw taken_raw = TAKEN_PROTOSW(SOCK_RAW);
static struct protosw taken_dgram = TAKEN_PROTOSW(SOCK_DGRAM);
static struct domain taken_domain = {
	.dom_family = PF_NETLINK,
	.dom_name = "pfnl netlink",
	.dom_flags = DOMF_UNLOADABLE,
	.dom_nprotosw = 2,
	.dom_protosw = { &taken_raw, &taken_dgram },
};

/* domain_add() has filled in what a protocol leaves out, so the busy ones begin as copies. */
static void
make_busy(struct protosw *busy, const struct protosw *taken)
{
	*busy = *taken;
	busy->pr_detach = busy_end;
	busy->pr_close = busy_end;
	busy->pr_abort = busy_end;
	busy->pr_bind = busy_address;
	busy->pr_connect = busy_address;
	busy->pr_disconnect = busy_disconnect;
	busy->pr_sockaddr = busy_name;
	busy->pr_peeraddr = busy_name;
	busy->pr_sosend = busy_sosend;
	busy->pr_soreceive = busy_soreceive;
	busy->pr_ctloutput = busy_option;
	busy->pr_setsbopt = busy_option;
}

void
pfnl_takeover_add(void)
{
	native = pffinddomain(PF_NETLINK);
	if (native == NULL || (native->dom_flags & DOMF_UNLOADABLE) == 0) {
		printf("pfnl: AF_NETLINK cannot be taken over: the native domain does not step aside\n");
		native = NULL;
		return;
	}
	domain_remove(native);
	domain_add(&taken_domain);
	make_busy(&busy_raw, &taken_raw);
	make_busy(&busy_dgram, &taken_dgram);
}

void
pfnl_takeover_remove(void)
{
	if (native == NULL)
		return;
	domain_remove(&taken_domain);
	domain_add(native);
	native = NULL;
}
