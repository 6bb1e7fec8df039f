/*
 * delay.c — a TCP proxy that holds back the beginning of each answer: the latency of a store far
 *away.
 *
 *	delay TARGET_PORT MILLISECONDS [BYTES_PER_S]
 *
 * With BYTES_PER_S no connection gives more than so many in a second, as one to such a store does.
 *
 * Both ends are on 127.0.0.1. Prints its own port. Costs next to nothing: the bytes do not pass
 *through it (splice), so that what is measured is the client.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MOVED_MAX = 1 << 20, SLOW_MAX = 1 << 16, NS_PER_S = 1000000000, BACKLOG = 64 };

static int target_port;
static long delay_ms, bytes_s;

static int reached(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_port = htons((uint16_t)port),
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		exit(1);
	return fd;
}

/* What is there now; false at the end. slow: as fast as bytes_s allows. */
static bool moved(int from, int to, const int hold[2], bool slow)
{
	size_t most = slow && bytes_s ? SLOW_MAX : MOVED_MAX;
	ssize_t got = splice(from, NULL, hold[1], NULL, most, SPLICE_F_MOVE);

	if (slow && bytes_s && got > 0)
		nanosleep(&(struct timespec){.tv_nsec = got * NS_PER_S / bytes_s}, NULL);

	for (ssize_t put; got > 0; got -= put) {
		put = splice(hold[0], NULL, to, NULL, (size_t)got, SPLICE_F_MOVE);
		if (put <= 0)
			return false;
		if (put == got)
			return true;
	}
	return false;
}

static void *serve(void *context)
{
	int client = (int)(long)context, store = reached(target_port), hold[2], on = 1;
	struct pollfd polls[] = {{.fd = client, .events = POLLIN}, {.fd = store, .events = POLLIN}};
	bool asked = false, good = pipe2(hold, O_CLOEXEC) == 0;

	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(store, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)fcntl(hold[1], F_SETPIPE_SZ, MOVED_MAX);
	while (good && poll(polls, 2, -1) > 0) {
		if (polls[0].revents) {
			good = moved(client, store, hold, false);
			asked = true;
			continue;
		}
		if (asked)
			nanosleep(&(struct timespec){.tv_sec = delay_ms / 1000,
			                             .tv_nsec = delay_ms % 1000 * 1000000},
			          NULL);
		asked = false;
		good = moved(store, client, hold, true);
	}
	close(client);
	close(store);
	close(hold[0]);
	close(hold[1]);
	return NULL;
}

int main(int count, char **argument)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_t thread;

	if (count < 3 || count > 4 || bind(listener, (struct sockaddr *)&address, length) < 0 ||
	    listen(listener, BACKLOG) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		return 2;
	target_port = atoi(argument[1]);
	delay_ms = atol(argument[2]);
	bytes_s = count > 3 ? atol(argument[3]) : 0;
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	for (;;) {
		int client = accept(listener, NULL, NULL);

		if (client < 0 || pthread_create(&thread, NULL, serve, (void *)(long)client) != 0)
			return 1;
		pthread_detach(thread);
	}
}
