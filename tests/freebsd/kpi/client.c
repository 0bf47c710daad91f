/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Asks the example family, as a program written for Linux would: built with the compat headers, it has no change for
 * FreeBSD. "client hold" leaves a dump half read and waits; "client count" prints how many cities a dump gives,
 * "client forget" deletes them.
 */
#include <sys/socket.h>
#include <linux/netlink.h>
#include <linux/genetlink.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "weather.h"

static int checks, failures, seq;
static char buf[65536];
static struct nlmsghdr *const nlh = (struct nlmsghdr *)buf;

#define CHECK(so) do { \
	checks++; \
	if (!(so)) { \
		failures++; \
		printf("client.c:%d: not so: %s (errno %d)\n", __LINE__, #so, errno); \
	} \
} while (0)

static struct {
	struct nlmsghdr nlh;
	struct genlmsghdr genl;
	char attrs[512];
} request;

static void
begin(int type, int flags, int cmd)
{
	memset(&request, 0, sizeof(request));
	request.nlh.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	request.nlh.nlmsg_type = type;
	request.nlh.nlmsg_flags = NLM_F_REQUEST | flags;
	request.nlh.nlmsg_seq = ++seq;
	request.genl.cmd = cmd;
	request.genl.version = 1;
}

static struct nlattr *
put(int type, const void *data, int len)
{
	struct nlattr *nla = (struct nlattr *)((char *)&request + NLMSG_ALIGN(request.nlh.nlmsg_len));

	nla->nla_type = type;
	nla->nla_len = NLA_HDRLEN + len;
	if (len > 0)
		memcpy((char *)nla + NLA_HDRLEN, data, len);
	request.nlh.nlmsg_len = NLMSG_ALIGN(request.nlh.nlmsg_len) + NLA_ALIGN(nla->nla_len);
	return nla;
}

static void
transmit(int s)
{
	if (send(s, &request, request.nlh.nlmsg_len, 0) == -1)
		printf("send: %s\n", strerror(errno));
}

static int
receive(int s)
{
	ssize_t n = recv(s, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < (ssize_t)sizeof(*nlh))
		return -1;
	return (int)n;
}

static const struct nlattr *
find(const void *head, int len, int type)
{
	for (const char *at = head; len >= NLA_HDRLEN;) {
		const struct nlattr *nla = (const struct nlattr *)at;
		int step = NLA_ALIGN(nla->nla_len);

		if (nla->nla_len < NLA_HDRLEN)
			break;
		if ((nla->nla_type & NLA_TYPE_MASK) == type)
			return nla;
		at += step;
		len -= step;
	}
	return NULL;
}

static const struct nlattr *
attr(const struct nlmsghdr *from, int type)
{
	return find((const char *)NLMSG_DATA(from) + GENL_HDRLEN, from->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN), type);
}

static const void *
data(const struct nlattr *nla)
{
	return (const char *)nla + NLA_HDRLEN;
}

/* The next answer's error, 1 if it is none, and its text. */
static int
error_of(int s, const char **text)
{
	const struct nlmsgerr *err = NLMSG_DATA(nlh);
	const struct nlattr *nla = NULL;

	if (receive(s) < 0 || nlh->nlmsg_type != NLMSG_ERROR)
		return 1;
	if (nlh->nlmsg_flags & NLM_F_ACK_TLVS) {
		size_t skip = sizeof(*err);

		if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
			skip += err->msg.nlmsg_len - sizeof(err->msg);
		nla = find((const char *)err + NLMSG_ALIGN(skip), nlh->nlmsg_len - NLMSG_HDRLEN - NLMSG_ALIGN(skip),
		    NLMSGERR_ATTR_MSG);
	}
	if (text != NULL)
		*text = nla != NULL ? data(nla) : "";
	return err->error;
}

static int
open_socket(void)
{
	struct sockaddr_nl address;
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC), one = 1;

	memset(&address, 0, sizeof(address));
	address.nl_family = AF_NETLINK;
	if (s == -1 || bind(s, (struct sockaddr *)&address, sizeof(address)) == -1) {
		printf("socket: %s\n", strerror(errno));
		exit(1);
	}
	setsockopt(s, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	return s;
}

static int
family(int s, int *group)
{
	const struct nlattr *id, *groups, *inner;

	begin(GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY);
	put(CTRL_ATTR_FAMILY_NAME, WEATHER_FAMILY, sizeof(WEATHER_FAMILY));
	transmit(s);
	if (receive(s) < 0 || nlh->nlmsg_type != GENL_ID_CTRL || (id = attr(nlh, CTRL_ATTR_FAMILY_ID)) == NULL)
		return -1;
	groups = attr(nlh, CTRL_ATTR_MCAST_GROUPS);
	inner = groups != NULL ? find(data(groups), groups->nla_len - NLA_HDRLEN, 1) : NULL;
	inner = inner != NULL ? find(data(inner), inner->nla_len - NLA_HDRLEN, CTRL_ATTR_MCAST_GRP_ID) : NULL;
	if (group != NULL && inner != NULL)
		memcpy(group, data(inner), sizeof(*group));
	return *(const __u16 *)data(id);
}

static void
city(int id, int flags, int cmd, const char *name)
{
	begin(id, flags, cmd);
	if (name != NULL)
		put(WEATHER_ATTR_CITY, name, strlen(name) + 1);
}

/* Counts a dump's cities; -1 without an end, -2 if it says that it was interrupted. */
static int
dump(int s, int id)
{
	int cities = 0, len, interrupted = 0;

	begin(id, NLM_F_DUMP, WEATHER_CMD_GET);
	transmit(s);
	while ((len = receive(s)) > 0)
		for (struct nlmsghdr *at = nlh; NLMSG_OK(at, len); at = NLMSG_NEXT(at, len)) {
			interrupted |= at->nlmsg_flags & NLM_F_DUMP_INTR;
			if (at->nlmsg_type == NLMSG_DONE)
				return interrupted ? -2 : cities;
			cities += at->nlmsg_type == id && attr(at, WEATHER_ATTR_CITY) != NULL;
		}
	return -1;
}

static void
tests(int s, int id, int group)
{
	int t = open_socket(), degrees = 21;
	const struct nlattr *nla, *wind;
	const char *text;
	__u16 knots = 120, from = 0x5a00;
	char inner[16];
	__u32 flags = 2;
	__u64 seen = 0;

	CHECK(setsockopt(t, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == 0);
	/* Not there yet: the text was made for this request. */
	city(id, NLM_F_ACK, WEATHER_CMD_GET, "Pisa");
	transmit(s);
	CHECK(error_of(s, &text) == -ENOENT && strcmp(text, "Pisa is not among 0 cities") == 0);
	/* What is missing is named. */
	city(id, NLM_F_ACK, WEATHER_CMD_GET, NULL);
	transmit(s);
	CHECK(error_of(s, NULL) == -EINVAL);
	/* Policies: a range, a mask, a text of its own, a nest's. */
	degrees = 100;
	city(id, NLM_F_ACK, WEATHER_CMD_SET, "Pisa");
	put(WEATHER_ATTR_DEGREES, &degrees, 4);
	transmit(s);
	CHECK(error_of(s, &text) == -ERANGE && strcmp(text, "integer out of range") == 0);
	degrees = -5;
	flags = 8;
	city(id, NLM_F_ACK, WEATHER_CMD_SET, "Pisa");
	put(WEATHER_ATTR_FLAGS, &flags, 4);
	transmit(s);
	CHECK(error_of(s, &text) == -EINVAL && strcmp(text, "reserved bit set") == 0);
	city(id, NLM_F_ACK, WEATHER_CMD_SET, "Pisa");
	put(WEATHER_ATTR_SEEN, &seen, 8);
	transmit(s);
	CHECK(error_of(s, &text) == -EINVAL && strcmp(text, "SEEN is counted here") == 0);
	struct { struct nlattr a; __u16 v; __u16 pad; struct nlattr b; __u16 w; __u16 pad2; } nest = {
		{ 6, WEATHER_WIND_KNOTS }, 300, 0, { 6, WEATHER_WIND_FROM }, from, 0 };
	city(id, NLM_F_ACK, WEATHER_CMD_SET, "Pisa");
	put(WEATHER_ATTR_WIND | NLA_F_NESTED, &nest, sizeof(nest));
	transmit(s);
	CHECK(error_of(s, &text) == -ERANGE);
	memcpy(inner, "0123456789abcdef", 16);
	city(id, NLM_F_ACK, WEATHER_CMD_SET, "a name that is a good deal longer than a city's may be");
	transmit(s);
	CHECK(error_of(s, NULL) < 0);
	/* Nothing of all this has changed anything. */
	CHECK(dump(s, id) == 0 && receive(t) == -1);
	/* Set, with a warning in the acknowledgement, an echo, and news for the group. */
	nest.v = knots;
	flags = 2;
	city(id, NLM_F_ACK | NLM_F_ECHO, WEATHER_CMD_SET, "Pisa");
	put(WEATHER_ATTR_DEGREES, &degrees, 4);
	put(WEATHER_ATTR_WIND | NLA_F_NESTED, &nest, sizeof(nest));
	put(WEATHER_ATTR_FLAGS, &flags, 4);
	transmit(s);
	CHECK(receive(s) > 0 && nlh->nlmsg_type == id && attr(nlh, WEATHER_ATTR_CITY) != NULL);
	CHECK(error_of(s, &text) == 0 && strcmp(text, "hold on to your hat") == 0);
	CHECK(receive(t) > 0 && nlh->nlmsg_type == id && nlh->nlmsg_seq == (__u32)seq);
	city(id, NLM_F_ACK, WEATHER_CMD_GET, "Pisa");
	transmit(s);
	CHECK(receive(s) > 0 && nlh->nlmsg_type == id && nlh->nlmsg_seq == (__u32)seq);
	nla = attr(nlh, WEATHER_ATTR_DEGREES);
	CHECK(nla != NULL && *(const int *)data(nla) == -5);
	wind = attr(nlh, WEATHER_ATTR_WIND);
	CHECK(wind != NULL && (wind->nla_type & NLA_F_NESTED));
	nla = wind != NULL ? find(data(wind), wind->nla_len - NLA_HDRLEN, WEATHER_WIND_KNOTS) : NULL;
	CHECK(nla != NULL && *(const __u16 *)data(nla) == 120);
	nla = attr(nlh, WEATHER_ATTR_SEEN);
	CHECK(nla != NULL && memcpy(&seen, data(nla), 8) && seen == 1);
	CHECK(error_of(s, NULL) == 0);
	/* A dump of many blocks. */
	for (int i = 0; i < 1500; i++) {
		char name[16];

		snprintf(name, sizeof(name), "city %d", i);
		city(id, 0, WEATHER_CMD_SET, name);
		transmit(s);
	}
	CHECK(dump(s, id) == 1501);
	/* Something changes in the middle: it says so. */
	begin(id, NLM_F_DUMP, WEATHER_CMD_GET);
	transmit(s);
	CHECK(receive(s) > 0);
	city(id, 0, WEATHER_CMD_SET, "Lucca");
	transmit(s);
	int interrupted = 0, done = 0;
	while (!done && receive(s) > 0) {
		interrupted |= nlh->nlmsg_flags & NLM_F_DUMP_INTR;
		done = nlh->nlmsg_type == NLMSG_DONE;
	}
	CHECK(done && interrupted);
	/* What the family does not have. */
	begin(id, NLM_F_ACK, 77);
	transmit(s);
	CHECK(error_of(s, NULL) == -EOPNOTSUPP);
	begin(id, NLM_F_DUMP, WEATHER_CMD_SET);
	transmit(s);
	CHECK(error_of(s, NULL) == -EOPNOTSUPP);
	city(id, NLM_F_ACK, WEATHER_CMD_FORGET, NULL);
	transmit(s);
	CHECK(error_of(s, NULL) == 0 && dump(s, id) == 0);
	/* Privilege: both the opener's and the sender's. */
	if (getuid() == 0) {
		CHECK(setuid(65534) == 0);
		city(id, NLM_F_ACK, WEATHER_CMD_SET, "Pisa");
		transmit(s);
		CHECK(error_of(s, NULL) == -EPERM);
		city(id, NLM_F_ACK, WEATHER_CMD_GET, "Pisa");
		transmit(s);
		CHECK(error_of(s, NULL) == -ENOENT);
	}
	close(t);
}

int
main(int argc, char **argv)
{
	int s = open_socket(), group = 0, id = family(s, &group);
	const char *what = argc > 1 ? argv[1] : "";

	if (id < 0) {
		printf("there is no family %s\n", WEATHER_FAMILY);
		return 1;
	}
	if (strcmp(what, "forget") == 0) {
		city(id, NLM_F_ACK, WEATHER_CMD_FORGET, NULL);
		transmit(s);
		return error_of(s, NULL) != 0;
	} else if (strcmp(what, "count") == 0) {
		printf("%d\n", dump(s, id));
	} else if (strcmp(what, "hold") == 0) {
		for (int i = 0; i < 1500; i++) {
			char name[16];

			snprintf(name, sizeof(name), "city %d", i);
			city(id, 0, WEATHER_CMD_SET, name);
			transmit(s);
		}
		begin(id, NLM_F_DUMP, WEATHER_CMD_GET);
		transmit(s);
		if (receive(s) < 0)
			return 1;
		printf("held\n");
		fflush(stdout);
		sleep(5);
		/* The rest, or its end with an error: in any case it ends. */
		for (;;) {
			int len = receive(s);

			if (len < 0)
				return 2;
			for (struct nlmsghdr *at = nlh; NLMSG_OK(at, len); at = NLMSG_NEXT(at, len))
				if (at->nlmsg_type == NLMSG_DONE) {
					printf("ended with %d\n", *(int *)NLMSG_DATA(at));
					return 0;
				}
		}
	} else {
		tests(s, id, group);
		printf("family: %d checks, %d failed\n", checks, failures);
	}
	return failures != 0;
}
