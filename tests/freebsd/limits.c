/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * limits BYTES: the most that SO_RCVBUF gives is twice that, as Linux shows it.
 */
#include "netlink.h"

int
main(int argc, char **argv)
{
	int s = nlsocket(), size = 1 << 28;
	socklen_t len = sizeof(size);

	if (argc != 2)
		return (2);
	CHECK(setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0);
	CHECK(getsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, &len) == 0 && size == 2 * atoi(argv[1]));
	return (failures != 0);
}
