/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * jailed ONE TWO: the sockets of two vnet jails have nothing to do with each other, and their roots have rights.
 */
#include <sys/param.h>
#include "netlink.h"
#include <sys/jail.h>
#include <sys/uio.h>
#include <sys/wait.h>

static int
attach(char *name)
{
	struct iovec iov[] = { { "name", 5 }, { name, strlen(name) + 1 } };
	int jid = jail_get(iov, 2, 0);

	return (jid < 0 ? -1 : jail_attach(jid));
}

/* In a jail: binds a portid, says so, waits to be told, tries the other's. */
static int
inside(char *name, uint32_t mine, uint32_t others, int out, int in)
{
	struct addr at = { sizeof(at), PFNL_AF, 0, mine, 0 };
	struct request q;
	char buf[4096];
	int s;

	CHECK(attach(name) == 0);
	s = nlsocket();
	CHECK(s >= 0);
	CHECK(bind(s, (void *)&at, sizeof(at)) == 0);
	CHECK(write(out, "x", 1) == 1 && read(in, buf, 1) == 1);
	at.pid = others;
	CHECK(sendto(s, "x", 1, 0, (void *)&at, sizeof(at)) == -1 && errno == ECONNREFUSED);
	CHECK(send(s, &q, getfamily(&q, "nlctrl", 0), 0) > 0 && recv(s, buf, sizeof(buf), 0) > 100);
	at.pid = 0;
	at.groups = 1;
	CHECK(connect(s, (void *)&at, sizeof(at)) == 0);
	CHECK(write(out, "x", 1) == 1 && read(in, buf, 1) == 1);
	return (failures);
}

int
main(int argc, char **argv)
{
	int a[2], b[2], status;

	if (argc != 3 || pipe(a) != 0 || pipe(b) != 0)
		return (2);
	if (fork() == 0)
		_exit(inside(argv[1], 5, 6, a[1], b[0]));
	if (fork() == 0)
		_exit(inside(argv[2], 6, 5, b[1], a[0]));
	for (int i = 0; i < 2; i++)
		CHECK(wait(&status) > 0 && status == 0);
	printf("jailed: %d failed\n", failures);
	return (failures != 0);
}
