/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * As much of an sk_buff as netlink messages need: one run of bytes.
 */
#ifndef PFNL_KERNEL_LINUX_SKBUFF_H
#define PFNL_KERNEL_LINUX_SKBUFF_H

#include <pfnl-kpi.h>

#define skb_tailroom(skb) ((int)((skb)->size - (skb)->len))
#define skb_tail_pointer(skb) ((skb)->data + (skb)->len)
#define kfree_skb(skb) pfnl_kpi_free(skb)
#define consume_skb(skb) pfnl_kpi_free(skb)

/* Room for more; the caller has looked whether there is any. */
static __inline void *
skb_put(struct sk_buff *skb, unsigned int len)
{
	void *place = skb_tail_pointer(skb);

	KASSERT((int)len <= skb_tailroom(skb), ("skb_put: no room"));
	skb->len += len;
	return (place);
}

static __inline void
skb_trim(struct sk_buff *skb, unsigned int len)
{
	if (len < skb->len)
		skb->len = len;
}

#endif
