/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the C and the Rust side of pfnl.ko know of each other. bindgen reads this file too, so that neither side can
 * drift from the other or from the kernel's headers.
 */
#ifndef PFNL_GLUE_H
#define PFNL_GLUE_H

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/kernel.h>
#include <sys/module.h>
#include <sys/malloc.h>
#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/sx.h>
#include <sys/epoch.h>
#include <sys/domain.h>
#include <sys/protosw.h>
#include <sys/mbuf.h>
#include <sys/priv.h>
#include <sys/proc.h>
#include <sys/smp.h>
#include <sys/socket.h>
#include <sys/socketvar.h>
#include <sys/sysctl.h>
#include <sys/time.h>
#include <sys/ucred.h>
#include <sys/uio.h>
#include <net/vnet.h>
#include <netlink/netlink.h>

#include "family.h"

/*
 * The address family of pfnl's sockets: one of those that sys/socket.h sets aside for third parties. The compat
 * headers define AF_NETLINK as this number.
 */
#define	PFNL_AF		AF_VENDOR00
#define	PFNL_PROTOCOL	16	/* NETLINK_GENERIC */
#define	PFNL_NETFILTER	12	/* NETLINK_NETFILTER */

#define	PFNL_SCM_CREDENTIALS	0x10002	/* as compat-headers' sys/socket.h */

/* ---- C for Rust: what the kernel offers only as macros, inlines or by section ---- */

void	*pfnl_malloc(size_t size, size_t align, int zero);
void	 pfnl_free(void *place);
void	 pfnl_panic(const char *text, size_t len) __dead2;
struct thread *pfnl_curthread(void);
u_int	 pfnl_curcpu(void);
u_int	 pfnl_cpus(void);
/* Calls the function inside the net epoch. */
void	 pfnl_epoch_run(void (*)(void *), void *);
bool	 pfnl_epoch_held(void);
void	 pfnl_epoch_call(epoch_callback_t, epoch_context_t);
uint64_t pfnl_uptime(void);
/* The current vnet's pointer for Rust; pfnl_vnet_init() sets it. */
void	**pfnl_vnet_slot(void);
bool	 pfnl_is_linux(struct thread *);
pid_t	 pfnl_pid(struct thread *);
/* Whether the ids are the thread's own, or it may take any. */
bool	 pfnl_is_honest(struct thread *, uint32_t pid, uint32_t uid, uint32_t gid);
/* Whom a datagram is from, as it stands in the receive buffer: the address, and what control messages may tell. */
struct pfnl_name {
	struct sockaddr_nl name;
	uint32_t	 group;
	uint32_t	 pid;
	uint32_t	 uid;
	uint32_t	 gid;
};
/* A datagram to the receive buffer, without a copy; false = no memory, and nothing was taken. */
bool	 pfnl_append(struct socket *, const struct pfnl_name *, void *bytes, u_int len, m_ext_free_t done, void *context);
/*
 * The end of a soreceive: the name goes to *from without what is ours, and to *control as control messages what the
 * options ask for; all of them may be null.
 */
void	 pfnl_tell(struct sockaddr *name, struct sockaddr **from, struct mbuf **control, int *flags, bool pktinfo,
	    bool passcred);
/* Wakes readers; error (if not 0) is what the next recv fails with. */
void	 pfnl_wake(struct socket *, int error);
int	 pfnl_take_error(struct socket *);
int	 pfnl_buffers(struct socket *);
void	 pfnl_set_buffer(struct socket *, bool receive, u_int size);
void	 pfnl_flush(struct socket *);
/* The family a socket was opened with: PFNL_AF, or AF_NETLINK when that is taken over. */
sa_family_t pfnl_family_of(struct socket *);
int	 pfnl_pause(void);
/* For who waits to send since a time of pfnl_uptime(): a moment's sleep, or EWOULDBLOCK, EINTR and the like. */
int	 pfnl_wait(struct socket *, uint64_t since);
/* What pfnl_append() was given for its mbuf. */
void	*pfnl_context(struct mbuf *);

/* ---- Rust for C ---- */

pr_attach_t	pfnl_attach;
pr_detach_t	pfnl_detach;
pr_close_t	pfnl_close;
pr_abort_t	pfnl_abort;
pr_bind_t	pfnl_bind;
pr_connect_t	pfnl_connect;
pr_disconnect_t	pfnl_disconnect;
pr_sockaddr_t	pfnl_sockaddr;
pr_peeraddr_t	pfnl_peeraddr;
pr_sosend_t	pfnl_sosend;
pr_soreceive_t	pfnl_soreceive;
pr_ctloutput_t	pfnl_ctloutput;
pr_setsbopt_t	pfnl_setsbopt;
/* glue/module.c */
pr_sopoll_t	pfnl_sopoll;
pr_control_t	pfnl_ioctl;
/* How many calls of a socket of AF_NETLINK are under way (glue/takeover.c counts). */
volatile u_int	*pfnl_calls(struct socket *);
/*
 * pr_sosend for such a socket: takes the datagram's bytes from uio or top, and says whether they ask for a family that
 * this vnet has not, on a socket that has not been used yet; then they are the caller's, who may give them to
 * pfnl_send_bytes() after all. They are pfnl_malloc()'s.
 */
/* What a control message of a send may say. */
int	 pfnl_check(struct mbuf *control, struct thread *);
int	 pfnl_gather(struct socket *, struct uio *, struct mbuf *top, struct pfnl_bytes *, struct pfnl_str *foreign);
int	 pfnl_send_bytes(struct socket *, struct sockaddr *, struct pfnl_bytes, int flags, struct thread *);
/* What a socket has been told so far. */
struct pfnl_settings {
	uint32_t	 portid;
	bool		 ext_ack;
	bool		 cap_ack;
	bool		 strict_check;
};
void	 pfnl_settings(struct socket *, struct pfnl_settings *);
/* glue/takeover.c */
void	 pfnl_takeover_add(void);
void	 pfnl_takeover_remove(void);
/* 0, or an errno: the vnet then has no sockets of ours. */
int	 pfnl_vnet_init(void);
void	 pfnl_vnet_uninit(void);
/* The current vnet's buffer sizes: which of PFNL_LIMIT_*; setting gives 0 or an errno. */
#define	PFNL_LIMIT_RECEIVE_DEFAULT	0
#define	PFNL_LIMIT_RECEIVE_MAX		1
#define	PFNL_LIMIT_SEND_DEFAULT		2
#define	PFNL_LIMIT_SEND_MAX		3
#define	PFNL_LIMIT_CHARGE		4
u_int	 pfnl_limit(u_int which);
int	 pfnl_set_limit(u_int which, u_int bytes);
/* Whether unloading may begin (then no socket opens any more); pfnl_resume() takes that back. */
bool	 pfnl_stop(void);
void	 pfnl_resume(void);

extern u_int pfnl_sockets;	/* open */
extern u_int pfnl_datagrams;	/* in receive buffers */
extern u_int pfnl_nomem;	/* lost for want of memory */

#endif
