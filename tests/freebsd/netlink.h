/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the test programs need of netlink, with checks that print and count.
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Our own family; a program's argument may name another (AF_NETLINK, 38). */
static int family = 39;
#define	PFNL_AF		family
#define	GENERIC		16
#define	SOL_NL		270
#define	GENL_CTRL	16
#define	F_REQUEST	1
#define	F_ACK		4
#define	F_DUMP		0x300
#define	NL_ERROR	2
#define	NL_DONE		3

struct addr { uint8_t len, family; uint16_t pad; uint32_t pid, groups; };
struct msg { uint32_t len; uint16_t type, flags; uint32_t seq, pid; };
struct request { struct msg h; uint8_t cmd, version; uint16_t reserved; uint16_t alen, atype; char name[16]; };

static int failures, checks;

#define	CHECK(what, ...) do {							\
	checks++;								\
	if (!(what)) {								\
		failures++;							\
		printf("%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #what, errno);	\
	}									\
} while (0)

/* GETFAMILY by name, or a dump of all. */
static inline size_t
getfamily(struct request *q, const char *name, uint16_t flags)
{
	memset(q, 0, sizeof(*q));
	q->h.len = 20;
	q->h.type = GENL_CTRL;
	q->h.flags = F_REQUEST | flags;
	q->h.seq = 7;
	q->cmd = 3;
	q->version = 1;
	if (name != NULL) {
		q->atype = 2;
		q->alen = 4 + strlen(name) + 1;
		strcpy(q->name, name);
		q->h.len += (q->alen + 3) & ~3;
	}
	return (q->h.len);
}

static inline int
nlsocket(void)
{
	return (socket(PFNL_AF, SOCK_RAW, GENERIC));
}
