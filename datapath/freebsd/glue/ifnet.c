/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Interfaces as ports. What an interface that is a port receives comes to us by its if_input, as netmap does it; the
 * host's stack does not see it. A datapath's own interfaces are plain Ethernet ones whose wire is the datapath.
 */
#include "ovs.h"
#include <sys/eventhandler.h>
#include <sys/malloc.h>
#include <sys/proc.h>
#include <sys/epoch.h>
#include <sys/sockio.h>
#include <machine/stack.h>
#include <net/bpf.h>
#include <net/ethernet.h>
#include <net/if_private.h>
#include <net/if_types.h>
#include <net/if_vlan_var.h>
#include <net/netisr.h>
#include "glue.h"

static MALLOC_DEFINE(M_OVS, "openvswitch", "openvswitch: which interface is which port");

/* ---- which device an interface is ---- */

/* By ifindex, which no two interfaces share, whatever their vnets. Pages stay until the module goes. */
#define	OVS_PAGE	256
static struct ovs_device **ovs_pages[OVS_PAGE];

static struct ovs_device **
ovs_place(u_int index)
{
	struct ovs_device **page;

	if (index >= OVS_PAGE * OVS_PAGE)
		return (NULL);
	page = (void *)atomic_load_acq_ptr((uintptr_t *)&ovs_pages[index / OVS_PAGE]);
	return (page != NULL ? &page[index % OVS_PAGE] : NULL);
}

static struct ovs_device *
ovs_lookup(if_t ifp)
{
	struct ovs_device **place = ovs_place(ifp->if_index);

	/* Pairs with the release that puts it there: what is behind the pointer is whole. */
	return (place == NULL ? NULL : (void *)atomic_load_acq_ptr((uintptr_t *)place));
}

static bool
ovs_page_for(u_int index)
{
	struct ovs_device ***slot = &ovs_pages[(index / OVS_PAGE) % OVS_PAGE], **page;

	if (*slot != NULL)
		return (true);
	page = malloc(OVS_PAGE * sizeof(*page), M_OVS, M_WAITOK | M_ZERO);
	if (!atomic_cmpset_rel_ptr((uintptr_t *)slot, 0, (uintptr_t)page))
		free(page, M_OVS);
	return (true);
}

void
ovs_pages_free(void)
{
	for (u_int i = 0; i < OVS_PAGE; i++) {
		free(ovs_pages[i], M_OVS);
		ovs_pages[i] = NULL;
	}
}

/* ---- in ---- */

/* What every Ethernet interface has as its if_input; the first interface of our own shows it. */
static if_input_fn_t ovs_ether_input;

/* As ether_input_internal() begins. */
static void
ovs_input_one(if_t ifp, struct ovs_device *device, struct mbuf *m)
{
	if (__predict_false((ifp->if_flags & IFF_UP) == 0)) {
		m_freem(m);
		return;
	}
	if (__predict_false(m->m_len < ETHER_HDR_LEN)) {
		if (m->m_pkthdr.len < ETHER_HDR_LEN || (m = m_pullup(m, ETHER_HDR_LEN)) == NULL) {
			if_inc_counter(ifp, IFCOUNTER_IERRORS, 1);
			m_freem(m);
			return;
		}
	}
	if (__predict_false(ETHER_IS_MULTICAST(mtod(m, struct ether_header *)->ether_dhost)))
		if_inc_counter(ifp, IFCOUNTER_IMCASTS, 1);
	ETHER_BPF_MTAP(ifp, m);
	if ((ifp->if_capenable & IFCAP_HWSTATS) == 0)
		if_inc_counter(ifp, IFCOUNTER_IBYTES, m->m_pkthdr.len);
	if (__predict_false((ifp->if_flags & IFF_MONITOR) != 0)) {
		m_freem(m);
		return;
	}
	/* The datapath reads tags where they stand on the wire. */
	if ((m->m_flags & M_VLANTAG) != 0) {
		m->m_flags &= ~M_VLANTAG;
		m = ether_vlanencap(m, m->m_pkthdr.ether_vtag);
		if (m == NULL) {
			if_inc_counter(ifp, IFCOUNTER_IQDROPS, 1);
			return;
		}
	}
	ovs_receive(device, m);
}

static void
ovs_input(if_t ifp, struct mbuf *m)
{
	struct epoch_tracker et;
	struct ovs_device *device;
	struct mbuf *next;
	bool enter = (ifp->if_flags & IFF_NEEDSEPOCH) != 0;

	CURVNET_SET_QUIET(ifp->if_vnet);
	if (__predict_false(enter))
		NET_EPOCH_ENTER(et);
	device = ovs_lookup(ifp);
	if (__predict_false(device == NULL)) {
		/* A port a moment ago; or a vlan(4), which has copied its parent's if_input. */
		ovs_ether_input(ifp, m);
	} else {
		for (; m != NULL; m = next) {
			next = m->m_nextpkt;
			m->m_nextpkt = NULL;
			ovs_input_one(ifp, device, m);
		}
	}
	if (__predict_false(enter))
		NET_EPOCH_EXIT(et);
	CURVNET_RESTORE();
}

/* ---- out ---- */

/* What a packet was in one place is of no meaning in the other. */
static void
ovs_launder(struct mbuf *m)
{
	const u_char *dst = mtod(m, const u_char *);

	if (m->m_pkthdr.csum_flags & CSUM_SND_TAG) {
		m_snd_tag_rele(m->m_pkthdr.snd_tag);
		m->m_pkthdr.snd_tag = NULL;
		m->m_pkthdr.csum_flags &= ~CSUM_SND_TAG;
	}
	if (__predict_false(!SLIST_EMPTY(&m->m_pkthdr.tags)))
		m_tag_delete_nonpersistent(m);
	m_clrprotoflags(m);
	m->m_flags &= ~(M_BCAST | M_MCAST | M_PROMISC | M_VLANTAG);
	if (__predict_false(ETHER_IS_MULTICAST(dst)))
		m->m_flags |= ETHER_IS_BROADCAST(dst) ? M_BCAST : M_MCAST;
}

void
ovs_if_send(if_t ifp, struct mbuf *m)
{
	ovs_launder(m);
	/* Counts what it drops. */
	(void)ifp->if_transmit(ifp, m);
}

void
ovs_if_up(if_t ifp, struct mbuf *m)
{
	ovs_launder(m);
	m->m_pkthdr.rcvif = ifp;
	M_SETFIB(m, ifp->if_fib);
	CURVNET_SET_QUIET(ifp->if_vnet);
	if_inc_counter(ifp, IFCOUNTER_IPACKETS, 1);
	/* Later, on a stack of its own: what the host answers comes back to the datapath that we are in. */
	if (netisr_queue(NETISR_ETHER, m) != 0)
		if_inc_counter(ifp, IFCOUNTER_IQDROPS, 1);
	CURVNET_RESTORE();
}

/* ---- interfaces of our own ---- */

/* What a packet may need of the kernel's stack on its way through the datapath and out of another interface. */
#define	OVS_STACK	(8 * 1024)

static int
ovs_own_transmit(if_t ifp, struct mbuf *m)
{
	struct ovs_device *device;
	size_t total, used;
	u_int len = m->m_pkthdr.len;
	bool multicast = (m->m_flags & (M_BCAST | M_MCAST)) != 0;

	NET_EPOCH_ASSERT();
	device = ovs_lookup(ifp);
	GET_STACK_USAGE(total, used);
	if ((ifp->if_flags & IFF_UP) == 0 || device == NULL || total - used < OVS_STACK) {
		/* Down; or interfaces stand on each other so that a packet goes round in circles. */
		m_freem(m);
		if_inc_counter(ifp, IFCOUNTER_OQDROPS, 1);
		return (ENETDOWN);
	}
	BPF_MTAP(ifp, m);
	if ((m->m_flags & M_VLANTAG) != 0) {
		m->m_flags &= ~M_VLANTAG;
		m = ether_vlanencap(m, m->m_pkthdr.ether_vtag);
	}
	if (m == NULL || (m->m_len < ETHER_HDR_LEN && (m = m_pullup(m, ETHER_HDR_LEN)) == NULL)) {
		if_inc_counter(ifp, IFCOUNTER_OQDROPS, 1);
		return (ENOBUFS);
	}
	if_inc_counter(ifp, IFCOUNTER_OPACKETS, 1);
	if_inc_counter(ifp, IFCOUNTER_OBYTES, len);
	if (multicast)
		if_inc_counter(ifp, IFCOUNTER_OMCASTS, 1);
	ovs_receive(device, m);
	return (0);
}

static void
ovs_own_qflush(if_t ifp __unused)
{
}

static void
ovs_own_init(void *arg __unused)
{
}

#define	OVS_CAPABILITIES	(IFCAP_VLAN_MTU | IFCAP_JUMBO_MTU | IFCAP_TXCSUM | IFCAP_TXCSUM_IPV6 | IFCAP_TSO |	\
				    IFCAP_LINKSTATE)

static void
ovs_own_capabilities(if_t ifp, int enable)
{
	ifp->if_capenable = enable & OVS_CAPABILITIES;
	ifp->if_hwassist = 0;
	if (enable & IFCAP_TXCSUM)
		ifp->if_hwassist |= CSUM_IP_TCP | CSUM_IP_UDP;
	if (enable & IFCAP_TXCSUM_IPV6)
		ifp->if_hwassist |= CSUM_IP6_TCP | CSUM_IP6_UDP;
	if (enable & IFCAP_TSO4)
		ifp->if_hwassist |= CSUM_IP_TSO;
	if (enable & IFCAP_TSO6)
		ifp->if_hwassist |= CSUM_IP6_TSO;
}

static int
ovs_own_ioctl(if_t ifp, u_long command, caddr_t data)
{
	struct ifreq *ifr = (struct ifreq *)data;

	switch (command) {
	case SIOCSIFFLAGS:
		if_link_state_change(ifp, (ifp->if_flags & IFF_UP) != 0 ? LINK_STATE_UP : LINK_STATE_DOWN);
		return (0);
	case SIOCADDMULTI:
	case SIOCDELMULTI:
		return (0);
	case SIOCSIFMTU:
		/* As on Linux. */
		if (ifr->ifr_mtu < 68 || ifr->ifr_mtu > 65535)
			return (EINVAL);
		ifp->if_mtu = ifr->ifr_mtu;
		return (0);
	case SIOCSIFCAP:
		ovs_own_capabilities(ifp, ifr->ifr_reqcap);
		return (0);
	default:
		return (ether_ioctl(ifp, command, data));
	}
}

int
ovs_if_create(const char *name, if_t *out)
{
	struct ether_addr address;
	if_t ifp;

	if (ifunit(name) != NULL)
		return (EEXIST);
	ifp = if_alloc(IFT_ETHER);
	if_initname(ifp, "ovs", IF_DUNIT_NONE);
	strlcpy(ifp->if_xname, name, sizeof(ifp->if_xname));
	ifp->if_flags = IFF_BROADCAST | IFF_SIMPLEX | IFF_MULTICAST;
	ifp->if_drv_flags = IFF_DRV_RUNNING;
	ifp->if_transmit = ovs_own_transmit;
	ifp->if_qflush = ovs_own_qflush;
	ifp->if_init = ovs_own_init;
	ifp->if_ioctl = ovs_own_ioctl;
	ifp->if_capabilities = OVS_CAPABILITIES;
	ovs_own_capabilities(ifp, OVS_CAPABILITIES);
	ifp->if_baudrate = IF_Gbps(10);
	ether_gen_addr(ifp, &address);
	ether_ifattach(ifp, address.octet);
	if (ovs_ether_input == NULL)
		ovs_ether_input = ifp->if_input;
	(void)if_addgroup(ifp, "ovs");
	if_ref(ifp);
	*out = ifp;
	return (0);
}

/* ---- any interface ---- */

int
ovs_if_find(const char *name, if_t *out)
{
	if_t ifp = ifunit_ref(name);
	struct ovs_device *device;

	if (ifp == NULL)
		return (ENODEV);
	device = ovs_lookup(ifp);
	if (device != NULL || (ifp->if_type != IFT_ETHER && ifp->if_type != IFT_L2VLAN)) {
		/* Linux's words: an internal interface cannot be a port of another datapath, a port is one already. */
		bool busy = device != NULL && ifp->if_transmit != ovs_own_transmit;

		if_rele(ifp);
		return (busy ? EBUSY : EINVAL);
	}
	if (ifp->if_bridge != NULL || ifp->if_lagg != NULL ||
	    (ifp->if_input != ovs_ether_input && ifp->if_input != ovs_input)) {
		if_rele(ifp);
		return (EBUSY);
	}
	*out = ifp;
	return (0);
}

bool
ovs_if_enter(if_t ifp, struct ovs_device *device)
{
	struct ovs_device **place;

	if (!ovs_page_for(ifp->if_index) || (place = ovs_place(ifp->if_index)) == NULL)
		return (false);
	atomic_store_rel_ptr((uintptr_t *)place, (uintptr_t)device);
	/*
	 * Who detaches an interface takes it off the list before the departure event. If it is there still, the event
	 * is yet to come and finds the device.
	 */
	return (ifp->if_transmit == ovs_own_transmit || ifunit(ifp->if_xname) == ifp);
}

/* Asks the driver to have large receive offload on or off; it merges packets beyond what may be sent on. */
static void
ovs_lro(if_t ifp, bool on)
{
	struct ifreq ifr;

	if ((ifp->if_capabilities & IFCAP_LRO) == 0 || ((ifp->if_capenable & IFCAP_LRO) != 0) == on)
		return;
	memset(&ifr, 0, sizeof(ifr));
	ifr.ifr_reqcap = on ? ifp->if_capenable | IFCAP_LRO : ifp->if_capenable & ~IFCAP_LRO;
	if (ifp->if_ioctl(ifp, SIOCSIFCAP, (caddr_t)&ifr) != 0)
		if_printf(ifp, "openvswitch: large receive offload stays %s\n", on ? "off" : "on");
}

void
ovs_if_hook(if_t ifp)
{
	ovs_lro(ifp, false);
	if (ifpromisc(ifp, 1) != 0)
		if_printf(ifp, "openvswitch: not promiscuous; only its own frames come in\n");
	if_setinputfn(ifp, ovs_input);
}

/* A vlan(4) that was made on a port goes on as one that was not. */
static int
ovs_unhook_copy(if_t ifp, void *arg __unused)
{
	if (ifp->if_input == ovs_input && ovs_lookup(ifp) == NULL)
		ifp->if_input = ovs_ether_input;
	return (0);
}

void
ovs_if_leave(if_t ifp, bool own, bool going, bool hooked)
{
	struct ovs_device **place = ovs_place(ifp->if_index);

	if (hooked) {
		struct epoch_tracker et;

		if_setinputfn(ifp, ovs_ether_input);
		if (going) {
			/* Its driver is being taken apart, or it moves to another vnet: no word to the driver. */
			if (ifp->if_pcount > 0 && --ifp->if_pcount == 0)
				ifp->if_flags &= ~IFF_PROMISC;
		} else {
			(void)ifpromisc(ifp, 0);
			ovs_lro(ifp, true);
		}
		CURVNET_SET_QUIET(ifp->if_vnet);
		NET_EPOCH_ENTER(et);
		(void)if_foreach(ovs_unhook_copy, NULL);
		NET_EPOCH_EXIT(et);
		CURVNET_RESTORE();
	}
	if (place != NULL)
		atomic_store_rel_ptr((uintptr_t *)place, 0);
	if (own) {
		/* It may have moved to another vnet meanwhile. */
		CURVNET_SET_QUIET(ifp->if_vnet);
		ether_ifdetach(ifp);
		if_free(ifp);
		CURVNET_RESTORE();
	}
	/* Who has found the device is done with it when this returns. */
	NET_EPOCH_WAIT();
}

bool
ovs_if_is_up(if_t ifp)
{
	return ((ifp->if_flags & IFF_UP) != 0 && (ifp->if_drv_flags & IFF_DRV_RUNNING) != 0);
}

u_int
ovs_if_mtu(if_t ifp)
{
	return (ifp->if_mtu);
}

struct ovs_features
ovs_if_features(if_t ifp)
{
	const uint64_t all = CSUM_IP_TCP | CSUM_IP_UDP | CSUM_IP6_TCP | CSUM_IP6_UDP, can = ifp->if_hwassist;
	/* A packet that goes up waits with its checksum for the host, and is cut before. */
	const bool own = ifp->if_transmit == ovs_own_transmit, csum = own || (can & all) == all;

	return ((struct ovs_features){
		.csum = csum,
		.tso4 = !own && csum && (can & CSUM_IP_TSO) != 0,
		.tso6 = !own && csum && (can & CSUM_IP6_TSO) != 0,
	});
}

void
ovs_if_counts(if_t ifp, struct ovs_counts *counts)
{
	counts->rx_packets = if_getcounter(ifp, IFCOUNTER_IPACKETS);
	counts->tx_packets = if_getcounter(ifp, IFCOUNTER_OPACKETS);
	counts->rx_bytes = if_getcounter(ifp, IFCOUNTER_IBYTES);
	counts->tx_bytes = if_getcounter(ifp, IFCOUNTER_OBYTES);
	counts->rx_errors = if_getcounter(ifp, IFCOUNTER_IERRORS);
	counts->tx_errors = if_getcounter(ifp, IFCOUNTER_OERRORS);
	counts->rx_dropped = if_getcounter(ifp, IFCOUNTER_IQDROPS);
	counts->tx_dropped = if_getcounter(ifp, IFCOUNTER_OQDROPS);
}

void
ovs_if_name(if_t ifp, char out[IFNAMSIZ])
{
	strlcpy(out, ifp->if_xname, IFNAMSIZ);
}

u_int
ovs_if_index(if_t ifp)
{
	return (ifp->if_index);
}

/* ---- events ---- */

static eventhandler_tag ovs_departure_tag;

static void
ovs_departure(void *arg __unused, if_t ifp)
{
	struct ovs_device *device = ovs_lookup(ifp);

	/* A new name is no departure. An interface of ours only moves to another vnet, and stays a port. */
	if (device == NULL || (ifp->if_flags & IFF_RENAMING) != 0 || ifp->if_transmit == ovs_own_transmit)
		return;
	CURVNET_SET_QUIET(ifp->if_vnet);
	ovs_departed(*ovs_vnet_slot(), device, ifp->if_index);
	CURVNET_RESTORE();
}

void
ovs_events_start(void)
{
	ovs_departure_tag = EVENTHANDLER_REGISTER(ifnet_departure_event, ovs_departure, NULL, EVENTHANDLER_PRI_ANY);
}

void
ovs_events_stop(void)
{
	VNET_ITERATOR_DECL(vnet);
	struct epoch_tracker et;

	EVENTHANDLER_DEREGISTER(ifnet_departure_event, ovs_departure_tag);
	VNET_LIST_RLOCK();
	VNET_FOREACH(vnet) {
		CURVNET_SET_QUIET(vnet);
		NET_EPOCH_ENTER(et);
		(void)if_foreach(ovs_unhook_copy, NULL);
		NET_EPOCH_EXIT(et);
		CURVNET_RESTORE();
	}
	VNET_LIST_RUNLOCK();
	NET_EPOCH_WAIT();
}
