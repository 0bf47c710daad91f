/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Malformed requests by the thousand, processes killed with queues full and dumps half read, threads on one socket.
 */
#include "netlink.h"
#include <sys/wait.h>
#include <pthread.h>
#include <signal.h>

static char buf[65536];

/* A fixed sequence (xorshift): what fails once fails again. */
static uint32_t
chance(void)
{
	static uint32_t x = 2463534242;

	x ^= x << 13;
	x ^= x >> 17;
	return (x ^= x << 5);
}

static void
malformed(void)
{
	struct request q;
	int s = nlsocket();

	for (int i = 0; i < 5000; i++) {
		size_t len = getfamily(&q, chance() % 2 ? "nlctrl" : "no such", chance() % 2 ? F_ACK : F_DUMP);
		for (unsigned hits = chance() % 6; hits > 0; hits--)
			((char *)&q)[chance() % len] = chance();
		if (chance() % 8 == 0)
			len = chance() % (len + 1);
		(void)send(s, &q, len, 0);
		if (chance() % 4 == 0)
			while (recv(s, buf, chance() % 300, MSG_DONTWAIT | (chance() % 8 ? 0 : MSG_PEEK)) > 0)
				if (chance() % 4 == 0)
					break;
	}
	close(s);
	/* It serves as before. */
	s = nlsocket();
	CHECK(send(s, &q, getfamily(&q, "nlctrl", 0), 0) > 0 && recv(s, buf, sizeof(buf), 0) > 100);
	close(s);
}

static void
killed(void)
{
	struct request q;

	for (int i = 0; i < 20; i++) {
		pid_t child = fork();
		if (child == 0)
			for (int s = nlsocket();;) {
				send(s, &q, getfamily(&q, NULL, F_DUMP), 0);
				send(s, &q, getfamily(&q, "nlctrl", F_ACK), 0);
				if (chance() % 2)
					recv(s, buf, sizeof(buf), MSG_DONTWAIT);
			}
		usleep(20000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
}

static void *
talk(void *arg)
{
	int s = *(int *)arg;
	char mine[4096];
	struct request q;

	for (int i = 0; i < 1000; i++) {
		send(s, &q, getfamily(&q, i % 2 ? "nlctrl" : NULL, i % 2 ? F_ACK : F_DUMP), 0);
		recv(s, mine, sizeof(mine), MSG_DONTWAIT);
	}
	return (NULL);
}

static void
threads(void)
{
	pthread_t thread[4];
	int s = nlsocket();

	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&thread[i], NULL, talk, &s) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	close(s);
}

int
main(void)
{
	malformed();
	killed();
	threads();
	printf("trouble: %d checks, %d failed\n", checks, failures);
	return (failures != 0);
}
