/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Traffic to measure by. Small frames: a UDP payload of 18 bytes makes a frame of 64 with its checksum.
 *   blast udp ADDRESS SECONDS   sends as fast as it can
 *   blast tcp ADDRESS SECONDS
 *   blast count SECONDS         takes either and prints packets and bytes a second, between its first and last
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define	PORT	5009

static char bytes[65536];

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (t.tv_sec + t.tv_nsec / 1e9);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_len = sizeof(to), .sin_family = AF_INET, .sin_port = htons(PORT) };
	int large = 256 * 1024;

	if (argc == 4) {
		int tcp = strcmp(argv[1], "tcp") == 0, s = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
		double end = now() + atof(argv[3]);

		to.sin_addr.s_addr = inet_addr(argv[2]);
		if (connect(s, (void *)&to, sizeof(to)) != 0) {
			perror("connect");
			return (1);
		}
		while (now() < end)
			for (int i = 0; i < 64; i++)
				(void)send(s, bytes, tcp ? sizeof(bytes) : 18, 0);
		return (0);
	}
	if (argc == 3) {
		int u = socket(AF_INET, SOCK_DGRAM, 0), l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
		struct pollfd ready[3] = { { u, POLLIN, 0 }, { l, POLLIN, 0 }, { -1, POLLIN, 0 } };
		double end = now() + atof(argv[2]), first = 0, last = 0;
		long packets = 0, total = 0;

		setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(u, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large));
		if (bind(u, (void *)&to, sizeof(to)) != 0 || bind(l, (void *)&to, sizeof(to)) != 0 || listen(l, 1) != 0) {
			perror("bind");
			return (1);
		}
		puts("ready");
		fflush(stdout);
		while (now() < end) {
			if (poll(ready, 3, 200) <= 0)
				continue;
			if (ready[1].revents != 0 && ready[2].fd < 0)
				ready[2].fd = accept(l, NULL, NULL);
			for (int i = 0; i < 3; i += 2) {
				ssize_t n = 0;

				while (ready[i].revents != 0 &&
				    (n = recv(ready[i].fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
					packets++;
					total += n;
				}
				if (ready[i].revents != 0)
					last = now();
				if (first == 0 && packets > 0)
					first = last;
				if (i == 2 && n == 0 && ready[i].revents != 0)
					ready[i].fd = -2;
			}
			if (ready[2].fd == -2)
				break;
		}
		if (last <= first)
			last = first + 1;
		printf("%.0f packets/s %.2f Mbit/s\n", packets / (last - first), total * 8 / 1e6 / (last - first));
		return (packets == 0);
	}
	return (2);
}
