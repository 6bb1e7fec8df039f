/* scripted.h — an HTTP peer in a thread that says what it is told to, for tests of those who ask.
 */
#ifndef TESTS_UNIT_NET_SCRIPTED_H
#define TESTS_UNIT_NET_SCRIPTED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "unit/base/loopback.h"

enum { ROUTES = 6 };

/* What begins a request, and the answer's status line and body; NULL: the peer stays silent. */
struct route {
	const char *begins, *status;
	char body[2048];
	unsigned hits;
};

struct peer {
	pthread_mutex_t lock;
	struct route route[ROUTES + 1]; /* the last stays empty */
	struct loopback net;
	char seen[65536];
};

static void peer_answer(struct peer *peer, int fd)
{
	char out[4096];
	struct pollfd stop = {.fd = peer->net.stop[0], .events = POLLIN};
	const char *status = "404 Not Found", *body = "";

	pthread_mutex_lock(&peer->lock);
	for (size_t i = 0; i < ROUTES; i++) {
		struct route *route = &peer->route[i];

		if (!route->begins ||
		    strncmp(peer->seen, route->begins, strlen(route->begins)) != 0)
			continue;
		route->hits++;
		status = route->status;
		body = route->body;
		break;
	}
	snprintf(out, sizeof(out),
	         "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
	         status ? status : "", strlen(body), body);
	pthread_mutex_unlock(&peer->lock);
	if (status)
		(void)send(fd, out, strlen(out), MSG_NOSIGNAL);
	else
		poll(&stop, 1, -1);
}

static void *peer_main(void *context)
{
	struct peer *peer = context;

	for (int fd; (fd = loopback_accept(&peer->net)) >= 0; close(fd)) {
		size_t length = 0;

		for (;;) {
			char *end, *size;
			ssize_t got =
			        read(fd, peer->seen + length, sizeof(peer->seen) - 1 - length);

			if (got <= 0)
				break;
			length += (size_t)got;
			peer->seen[length] = '\0';
			end = strstr(peer->seen, "\r\n\r\n");
			size = strcasestr(peer->seen, "content-length: ");
			if (end && length >= (size_t)(end + 4 - peer->seen) +
			                             (size ? strtoul(size + 16, NULL, 10) : 0)) {
				peer_answer(peer, fd);
				break;
			}
		}
	}
	return NULL;
}

static void peer_start(struct peer *peer)
{
	pthread_mutex_init(&peer->lock, NULL);
	loopback_open(&peer->net);
	loopback_serve(&peer->net, peer_main, peer);
}

static void peer_end(struct peer *peer)
{
	loopback_stop(&peer->net);
	loopback_close(&peer->net);
}

/* What is said from now on to requests that begin so; the first that fits counts. */
static inline void peer_says(struct peer *peer, const char *begins, const char *status,
                             const char *format, ...) PRINTF(4, 5);
static inline void peer_says(struct peer *peer, const char *begins, const char *status,
                             const char *format, ...)
{
	struct route *one = peer->route;
	va_list args;

	pthread_mutex_lock(&peer->lock);
	while (one->begins && strcmp(one->begins, begins) != 0)
		one++;
	assert_true(one < peer->route + ROUTES);
	one->begins = begins;
	one->status = status;
	va_start(args, format);
	vsnprintf(one->body, sizeof(one->body), format, args);
	va_end(args);
	pthread_mutex_unlock(&peer->lock);
}

#endif
