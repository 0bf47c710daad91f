/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the C and the Rust side of openvswitch.ko know of each other; bindgen reads it too. What both modules need of
 * the kernel (memory, locks, epochs, the clock) is pfnl.ko's, in ../../../kern-sock/freebsd/glue.
 */
#ifndef OVS_GLUE_H
#define OVS_GLUE_H

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/mbuf.h>
#include <sys/socket.h>
#include <net/if.h>
#include <net/if_var.h>
#include <net/vnet.h>

/* A port's device: Rust's. */
struct ovs_device;

/* ---- C for Rust: packets. A function that takes a struct mbuf ** may put another chain, or null, in its place. ---- */

/* The first n bytes contiguous; false = there is no memory, and the packet is gone. */
bool	 ovs_pull(struct mbuf **, u_int n);
/* Also writable without anyone else seeing it. */
bool	 ovs_own(struct mbuf **, u_int n);
/* n bytes more in front, zeroed. */
bool	 ovs_push(struct mbuf **, u_int n);
/* n bytes less; cannot fail but for want of memory to keep headers contiguous. */
bool	 ovs_pop(struct mbuf **, u_int n);
struct mbuf *ovs_packet(const void *bytes, u_int len);
uint16_t ovs_segment(const struct pkthdr *);
void	 ovs_set_segment(struct pkthdr *, uint16_t size);
void	 ovs_set_csum_data(struct pkthdr *, uint32_t data);
/* Another of the same bytes, which are shared until one side writes. */
struct mbuf *ovs_share(struct mbuf *);
/* Where the packet header is in a struct mbuf. */
enum { OVS_PKTHDR = offsetof(struct mbuf, m_pkthdr) };

/* ---- C for Rust: interfaces ---- */

/* What the datapath asks of a port for each packet. */
bool	 ovs_if_is_up(if_t);
u_int	 ovs_if_mtu(if_t);
/* What need not be done before a packet is sent. */
struct ovs_features {
	bool	 csum;
	bool	 tso4;
	bool	 tso6;
};
struct ovs_features ovs_if_features(if_t);
/* As struct ovs_vport_stats. */
struct ovs_counts {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped;
};
void	 ovs_if_counts(if_t, struct ovs_counts *);
void	 ovs_if_name(if_t, char out[IFNAMSIZ]);
u_int	 ovs_if_index(if_t);

/* An interface of this name in the current vnet, referenced; Linux's error if it cannot be a port. May sleep. */
int	 ovs_if_find(const char *name, if_t *);
/* Makes an interface of the datapath's own. May sleep. */
int	 ovs_if_create(const char *name, if_t *);
/* What comes in is the device's from now on. False: it is going away. May sleep. */
bool	 ovs_if_enter(if_t, struct ovs_device *);
void	 ovs_if_hook(if_t);
/* Ends that; when it returns no thread is inside, and one of our own is gone. May sleep. */
void	 ovs_if_leave(if_t, bool own, bool going, bool hooked);
/* Out of the interface. */
void	 ovs_if_send(if_t, struct mbuf *);
/* Up the host's stack, as if the interface had received it. */
void	 ovs_if_up(if_t, struct mbuf *);

/* The current vnet's pointer for Rust. */
void	**ovs_vnet_slot(void);

/* ---- Rust for C ---- */

void	 ovs_receive(struct ovs_device *, struct mbuf *);
/* 0, or an errno: the vnet then has no Open vSwitch families. */
int	 ovs_vnet_init(void);
void	 ovs_vnet_uninit(void);
/* Periodic work; may sleep. */
void	 ovs_tick(void);
/* Takes the families out of all vnets. May sleep; no lock may be held. */
void	 ovs_retreat(void);
/* The interface of a device is about to vanish from its vnet, whose state this is. */
void	 ovs_departed(void *state, struct ovs_device *, u_int ifindex);
/* Whether unloading may begin (then nothing is opened any more). */
bool	 ovs_stop(void);
void	 ovs_resume(void);

extern u_int ovs_ports;		/* open */
extern u_int ovs_dumps;		/* in progress */

#endif
