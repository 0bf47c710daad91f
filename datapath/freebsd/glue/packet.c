/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Packets: what mbuf(9) offers as macros, and what it offers for short headers only, made good for long ones.
 */
#include "ovs.h"
#include "../../../kern-sock/freebsd/glue/family.h"

struct mbuf *
ovs_share(struct mbuf *m)
{
	return (pfnl_fails() ? NULL : m_copypacket(m, M_NOWAIT));
}

/* For tests: there is no mbuf, and the packet is lost for it. */
static bool
ovs_no_mbuf(struct mbuf **mp)
{
	if (!pfnl_fails())
		return (false);
	m_freem(*mp);
	*mp = NULL;
	return (true);
}

bool
ovs_pull(struct mbuf **mp, u_int n)
{
	struct mbuf *m = *mp, *copy;

	if (m->m_len >= n)
		return (true);
	if (ovs_no_mbuf(mp))
		return (false);
	if (n <= MHLEN) {
		*mp = m_pullup(m, n);
		return (*mp != NULL);
	}
	/* m_pullup() is for headers; a copy begins with a cluster. */
	copy = m_dup(m, M_NOWAIT);
	m_freem(m);
	if (copy != NULL && copy->m_len < n) {
		m_freem(copy);
		copy = NULL;
	}
	*mp = copy;
	return (copy != NULL);
}

bool
ovs_own(struct mbuf **mp, u_int n)
{
	struct mbuf *m = *mp, *copy;

	if (M_WRITABLE(m))
		return (ovs_pull(mp, n));
	if (ovs_no_mbuf(mp))
		return (false);
	if (n <= MHLEN) {
		/* Only the headers; the rest stays shared. Takes the chain, also when it fails. */
		*mp = m_copyup(m, n, 0);
		return (*mp != NULL);
	}
	copy = m_dup(m, M_NOWAIT);
	m_freem(m);
	*mp = copy;
	return (copy != NULL && ovs_pull(mp, n));
}

bool
ovs_push(struct mbuf **mp, u_int n)
{
	struct mbuf *m = *mp;
	u_int len;

	if (n > MHLEN) {
		m_freem(m);
		*mp = NULL;
		return (false);
	}
	if (ovs_no_mbuf(mp))
		return (false);
	M_PREPEND(m, n, M_NOWAIT);
	*mp = m;
	if (m == NULL)
		return (false);
	memset(mtod(m, void *), 0, n);
	/* Whoever looks at the front expects the headers behind it as well. */
	len = MIN(m->m_pkthdr.len, 64);
	return (ovs_pull(mp, MAX(len, n)));
}

bool
ovs_pop(struct mbuf **mp, u_int n)
{
	m_adj(*mp, n);
	return (ovs_pull(mp, MIN((*mp)->m_pkthdr.len, 64)));
}

uint16_t
ovs_segment(const struct pkthdr *header)
{
	return (header->tso_segsz);
}

void
ovs_set_segment(struct pkthdr *header, uint16_t size)
{
	header->tso_segsz = size;
}

void
ovs_set_csum_data(struct pkthdr *header, uint32_t data)
{
	header->csum_data = data;
}

struct mbuf *
ovs_packet(const void *bytes, u_int len)
{
	const char *from = bytes;
	struct mbuf *m, *n;
	u_int part;

	m = pfnl_fails() ? NULL : m_getm2(NULL, len + max_linkhdr, M_NOWAIT, MT_DATA, M_PKTHDR);
	if (m == NULL)
		return (NULL);
	/* Room for what is pushed. */
	if (M_TRAILINGSPACE(m) > max_linkhdr)
		m->m_data += max_linkhdr;
	m->m_pkthdr.len = len;
	for (n = m; n != NULL && len > 0; n = n->m_next) {
		part = MIN(len, M_TRAILINGSPACE(n));
		memcpy(mtod(n, void *), from, part);
		n->m_len = part;
		from += part;
		len -= part;
	}
	if (len > 0) {
		m_freem(m);
		return (NULL);
	}
	return (m);
}
