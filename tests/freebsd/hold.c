/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Holds a socket with something unread in it until it is killed.
 */
#include "netlink.h"

int
main(void)
{
	struct request q;
	int s = nlsocket();

	send(s, &q, getfamily(&q, "nlctrl", F_ACK), 0);
	for (;;)
		pause();
}
