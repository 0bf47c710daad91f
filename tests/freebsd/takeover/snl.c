/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A program of FreeBSD's own, written with snl(3) as pfctl is: asks the native family. With "threads" it does so while
 * other threads use the same sockets.
 */
#include <sys/types.h>
#include <netlink/netlink.h>
#include <netlink/netlink_generic.h>
#include <netlink/netlink_snl.h>
#include <netlink/netlink_snl_generic.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static int
ask(struct snl_state *ss)
{
	struct snl_writer nw;
	struct nlmsghdr *hdr;
	uint32_t value = 0;
	uint16_t id = snl_get_genl_family(ss, "nativetest");

	if (id == 0)
		return (-1);
	snl_init_writer(ss, &nw);
	hdr = snl_create_genl_msg_request(&nw, id, 1);
	if ((hdr = snl_finalize_msg(&nw)) == NULL || !snl_send_message(ss, hdr))
		return (-2);
	hdr = snl_read_reply(ss, hdr->nlmsg_seq);
	if (hdr == NULL || hdr->nlmsg_type != id || hdr->nlmsg_len != 28)
		return (-3);
	memcpy(&value, (char *)hdr + 24, 4);
	return (value);
}

static volatile int stop;

static void *
disturb(void *arg)
{
	struct snl_state *ss = arg;
	struct sockaddr_nl sa = { .nl_len = sizeof(sa), .nl_family = AF_NETLINK };
	socklen_t len;
	int v = 1;
	char c[64];

	while (!stop) {
		len = sizeof(sa);
		getsockname(ss->fd, (struct sockaddr *)&sa, &len);
		setsockopt(ss->fd, SOL_NETLINK, NETLINK_EXT_ACK, &v, sizeof(v));
		getpeername(ss->fd, (struct sockaddr *)&sa, &len);
		recv(ss->fd, c, sizeof(c), MSG_DONTWAIT | MSG_PEEK);
	}
	return (NULL);
}

int
main(int argc, char **argv)
{
	struct snl_state ss;
	int answered = 0;

	if (argc > 1 && strcmp(argv[1], "threads") == 0) {
		for (int i = 0; i < 200; i++) {
			pthread_t thread[2];

			if (!snl_init(&ss, NETLINK_GENERIC))
				return (1);
			stop = 0;
			for (int t = 0; t < 2; t++)
				pthread_create(&thread[t], NULL, disturb, &ss);
			/* Each outcome will do: the family's answer, or that there is none for a socket that others use. */
			answered += ask(&ss) == 42;
			stop = 1;
			for (int t = 0; t < 2; t++)
				pthread_join(thread[t], NULL);
			snl_free(&ss);
		}
		printf("answered %d times of 200\n", answered);
		return (0);
	}
	if (!snl_init(&ss, NETLINK_GENERIC))
		return (1);
	answered = ask(&ss);
	printf("native: %d\n", answered);
	snl_free(&ss);
	return (answered == 42 ? 0 : 2);
}
