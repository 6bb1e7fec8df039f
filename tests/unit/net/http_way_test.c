/*
 * http_way_test.c — how a request comes to its peer: in HTTP/2 where both can, through the proxies
 * of the environment, and past them where it must not leave the host.
 *
 * The peer speaks TLS where it is spoken to, or is asked to be a tunnel to itself. What it says in
 * HTTP/2 is written by hand: a status of 200 is one byte of HPACK.
 */
#include "net/http.h"
#include "tls.h"

#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "unit/base/loopback.h"

enum {
	SEEN_BYTES = 4096,
	CONNECTIONS_MAX = 8,
	WAITERS = 8, /* more than wait for a listener that wants none */
	FRAME_BYTES = 9,
	FRAME_MAX = 16384, /* what a peer that says nothing else takes */
	/* more than the window that a connection begins with */
	BODY_BYTES = 300 * 1000,
};

enum frame_type { FRAME_DATA, FRAME_HEADERS, FRAME_SETTINGS = 4, FRAME_PING = 6, FRAME_WINDOW = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

struct peer {
	SSL_CTX *context;
	struct loopback net;
	char folder[64], *ca;
	char seen[SEEN_BYTES]; /* of the last connection: what was asked before TLS, or without */
	bool offers_h2, refuses;
	unsigned connections;
	pthread_t thread[CONNECTIONS_MAX];
	_Atomic unsigned tunnels, h2_requests, h1_requests;
	_Atomic uint64_t h2_body_bytes;
};

struct served {
	struct peer *peer;
	int fd;
};

static bool ssl_all(SSL *ssl, uint8_t *bytes, int length)
{
	for (int done = 0, got; done < length; done += got)
		if ((got = SSL_read(ssl, bytes + done, length - done)) <= 0)
			return false;
	return true;
}

static void put_be(uint8_t *out, uint32_t value, unsigned bytes)
{
	while (bytes-- > 0) {
		out[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

static void frame_send(SSL *ssl, enum frame_type type, uint8_t flags, uint32_t stream,
                       const char *payload)
{
	uint8_t frame[64] = {0};
	size_t length = type == FRAME_WINDOW ? 4 : type == FRAME_PING ? 8 : strlen(payload);

	put_be(frame, (uint32_t)length, 3);
	frame[3] = (uint8_t)type;
	frame[4] = flags;
	put_be(frame + 5, stream, 4);
	memcpy(frame + FRAME_BYTES, payload, length);
	SSL_write(ssl, frame, (int)(FRAME_BYTES + length));
}

static void window_send(SSL *ssl, uint32_t stream, uint32_t bytes)
{
	char increment[4];

	put_be((uint8_t *)increment, bytes, 4);
	frame_send(ssl, FRAME_WINDOW, 0, stream, increment);
}

/* Each request gets "hello", on the connection where it came. */
static void serve_h2(struct peer *peer, SSL *ssl)
{
	uint8_t head[FRAME_BYTES], payload[FRAME_MAX], preface[24];

	if (!ssl_all(ssl, preface, sizeof(preface)) ||
	    memcmp(preface, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", sizeof(preface)) != 0)
		return;
	frame_send(ssl, FRAME_SETTINGS, 0, 0, "");
	while (ssl_all(ssl, head, sizeof(head))) {
		uint32_t length = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
		uint32_t stream = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 |
		                  (uint32_t)head[7] << 8 | head[8];

		if (length > sizeof(payload) || !ssl_all(ssl, payload, (int)length))
			return;
		if (head[3] == FRAME_SETTINGS && !(head[4] & ACK))
			frame_send(ssl, FRAME_SETTINGS, ACK, 0, "");
		if (head[3] == FRAME_DATA && length > 0) {
			peer->h2_body_bytes += length;
			window_send(ssl, 0, length);
			if (!(head[4] & END_STREAM))
				window_send(ssl, stream, length);
		}
		if ((head[3] != FRAME_DATA && head[3] != FRAME_HEADERS) || !(head[4] & END_STREAM))
			continue;
		peer->h2_requests++;
		frame_send(ssl, FRAME_HEADERS, END_HEADERS, stream, "\x88");
		frame_send(ssl, FRAME_DATA, END_STREAM, stream, "hello");
	}
}

static void serve_h1(struct peer *peer, SSL *ssl)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
	char seen[SEEN_BYTES];
	int have = 0, got;

	do {
		got = SSL_read(ssl, seen + have, (int)sizeof(seen) - 1 - have);
		if (got <= 0)
			return;
		have += got;
		seen[have] = '\0';
	} while (!strstr(seen, "\r\n\r\n"));
	peer->h1_requests++;
	SSL_write(ssl, answer, (int)strlen(answer));
	SSL_shutdown(ssl);
}

static void serve_tls(struct peer *peer, int fd)
{
	SSL *ssl = SSL_new(peer->context);
	const unsigned char *chosen;
	unsigned length;

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1) {
		SSL_get0_alpn_selected(ssl, &chosen, &length);
		if (length == 2 && memcmp(chosen, "h2", 2) == 0)
			serve_h2(peer, ssl);
		else
			serve_h1(peer, ssl);
	}
	SSL_free(ssl);
}

static bool head_read(struct peer *peer, int fd)
{
	size_t have = 0;

	do {
		ssize_t got = read(fd, peer->seen + have, sizeof(peer->seen) - 1 - have);

		if (got <= 0)
			return false;
		have += (size_t)got;
		peer->seen[have] = '\0';
	} while (!strstr(peer->seen, "\r\n\r\n"));
	return true;
}

static void serve_plain(struct peer *peer, int fd)
{
	static const char hello[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
	                            "Connection: close\r\n\r\nhello";
	static const char open[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	static const char no[] = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
	const char *answer = hello;
	bool tunnel;

	if (!head_read(peer, fd))
		return;
	tunnel = strncmp(peer->seen, "CONNECT ", 8) == 0;
	if (tunnel)
		answer = peer->refuses ? no : open;
	(void)send(fd, answer, strlen(answer), MSG_NOSIGNAL);
	if (answer != open)
		return;
	peer->tunnels++;
	serve_tls(peer, fd);
}

static void *serve(void *context)
{
	struct served *served = context;
	char first = 0;

	if (recv(served->fd, &first, 1, MSG_PEEK) == 1 && first == 0x16) /* a TLS handshake */
		serve_tls(served->peer, served->fd);
	else
		serve_plain(served->peer, served->fd);
	close(served->fd);
	free(served);
	return NULL;
}

/* Each connection as long as it is kept, beside the others. */
static void *peer_main(void *context)
{
	struct peer *peer = context;

	for (int fd; (fd = loopback_accept(&peer->net)) >= 0;) {
		struct served *served = xcalloc(1, sizeof(*served));

		assert_true(peer->connections < CONNECTIONS_MAX);
		*served = (struct served){.peer = peer, .fd = fd};
		pthread_create(&peer->thread[peer->connections++], NULL, serve, served);
	}
	for (unsigned i = 0; i < peer->connections; i++)
		pthread_join(peer->thread[i], NULL);
	return NULL;
}

static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                  const unsigned char *in, unsigned in_length, void *context)
{
	const struct peer *peer = context;
	static const unsigned char h2[] = "\x02h2";

	(void)ssl;
	if (!peer->offers_h2 ||
	    SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_length, h2, 3, in,
	                          in_length) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

static const char *const variables[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY",  "no_proxy",    "NO_PROXY"};

struct world {
	struct peer peer;
	struct loop *loop;
	struct http *http;
	char url[128], proxy[64];
};

static void world_begin(struct world *world)
{
	*world = (struct world){0};
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LENGTH(variables); i++)
		unsetenv(variables[i]);
	strcpy(world->peer.folder, "/tmp/seawall-way.XXXXXX");
	assert_non_null(mkdtemp(world->peer.folder));
	world->peer.ca = path_join(world->peer.folder, "ca.pem");
	world->peer.context = tls_context(world->peer.ca);
	SSL_CTX_set_alpn_select_cb(world->peer.context, choose, &world->peer);
	loopback_open(&world->peer.net);
	loopback_serve(&world->peer.net, peer_main, &world->peer);
	snprintf(world->proxy, sizeof(world->proxy), "http://127.0.0.1:%u", world->peer.net.port);
	snprintf(world->url, sizeof(world->url), "https://127.0.0.1:%u/thing",
	         world->peer.net.port);
	world->loop = loop_new(&(struct loop_options){.workers = 1});
	world->http = http_new(world->loop, 4);
}

/* Now what the peer has seen may be looked at. */
static void world_stop(struct world *world)
{
	http_free(STEAL(world->http)); /* its kept connections end, and with them their serving */
	loopback_stop(&world->peer.net);
}

static void world_end(struct world *world)
{
	struct err err = {0};

	loopback_close(&world->peer.net);
	loop_free(world->loop);
	SSL_CTX_free(world->peer.context);
	assert_true(file_remove_tree(world->peer.folder, &err));
	free(world->peer.ca);
}

/* One request as a story of its own. */
struct story {
	struct op op;
	struct http *http;
	struct http_request request;
};

static void story_step(struct op *op)
{
	struct story *story = container_of(op, struct story, op);

	if (op->state == 0) {
		http_start(op, &story->request, story->http);
		return op_wait(op, 1);
	}
	op_done(op);
}

static const struct op_type story_type = {.name = "story", .step = story_step};

/* The answer's status; 0: none, and why in ret_err. */
static unsigned ask_or(struct world *world, struct http_request request, struct err *ret_err)
{
	struct story story = {.http = world->http, .request = request};
	unsigned status;

	story.request.ca_file = world->peer.ca;
	loop_run_op(world->loop, &story.op, &story_type);
	status = op_failed(&story.request.op) ? 0 : story.request.status;
	if (status == 200)
		assert_string_equal(buf_text(&story.request.answer), "hello");
	*ret_err = story.request.op.err;
	http_release(&story.request);
	return status;
}

static unsigned ask(struct world *world, struct http_request request)
{
	struct err err;

	return ask_or(world, request, &err);
}

static void http_2_is_spoken_with_a_peer_that_can(void **state)
{
	struct world world;
	AUTO_FREE char *body = xcalloc(1, BODY_BYTES);

	(void)state;
	world_begin(&world);
	world.peer.offers_h2 = true;
	assert_int_equal(ask(&world, (struct http_request){.url = world.url}), 200);
	assert_int_equal(ask(&world, (struct http_request){.url = world.url,
	                                                   .method = "PUT",
	                                                   .body = body,
	                                                   .body_bytes = BODY_BYTES}),
	                 200);
	world_stop(&world);
	assert_int_equal(world.peer.connections, 1); /* kept */
	assert_int_equal(world.peer.h2_requests, 2);
	assert_int_equal(world.peer.h2_body_bytes, BODY_BYTES);
	assert_int_equal(world.peer.h1_requests, 0);
	world_end(&world);
}

/* What stalled is asked for again on another connection, also where one carries many requests. */
static void a_fresh_request_takes_none_of_the_kept_connections(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	world.peer.offers_h2 = true;
	assert_int_equal(ask(&world, (struct http_request){.url = world.url}), 200);
	assert_int_equal(ask(&world, (struct http_request){.url = world.url, .fresh = true}), 200);
	world_stop(&world);
	assert_int_equal(world.peer.connections, 2);
	assert_int_equal(world.peer.h2_requests, 2);
	world_end(&world);
}

static void http_1_is_spoken_with_a_peer_that_knows_no_other(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	assert_int_equal(ask(&world, (struct http_request){.url = world.url}), 200);
	world_stop(&world);
	assert_int_equal(world.peer.h1_requests, 1);
	assert_int_equal(world.peer.h2_requests, 0);
	world_end(&world);
}

static void what_is_asked_for_goes_through_the_proxy_of_the_environment(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	setenv("http_proxy", world.proxy, 1);
	assert_int_equal(ask(&world, (struct http_request){.url = "http://store.invalid/b/k"}),
	                 200);
	world_stop(&world);
	assert_int_equal(world.peer.connections, 1);
	assert_ptr_equal(strstr(world.peer.seen, "GET http://store.invalid/b/k HTTP/1.1\r\n"),
	                 world.peer.seen);
	world_end(&world);
}

static void tls_goes_through_a_tunnel_and_its_peer_is_still_looked_at(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	setenv("https_proxy", world.proxy, 1);
	assert_int_equal(ask(&world, (struct http_request){.url = world.url}), 200);
	/* its certificate is of 127.0.0.1 */
	assert_int_equal(ask(&world, (struct http_request){.url = "https://store.invalid/"}), 0);
	world_stop(&world);
	assert_int_equal(world.peer.tunnels, 2);
	assert_int_equal(world.peer.h1_requests, 1);
	assert_ptr_equal(strstr(world.peer.seen, "CONNECT store.invalid:443 HTTP/1.1\r\n"),
	                 world.peer.seen);
	world_end(&world);
}

static void a_proxy_that_refuses_is_no_answer_of_the_store(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	world.peer.refuses = true;
	setenv("https_proxy", world.proxy, 1);
	assert_int_equal(ask(&world, (struct http_request){.url = world.url}), 0);
	world_stop(&world);
	assert_int_equal(world.peer.tunnels, 0);
	world_end(&world);
}

static void no_proxy_and_what_must_stay_on_the_host_go_past_it(void **state)
{
	struct world world;
	char url[64];

	(void)state;
	world_begin(&world);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/thing", world.peer.net.port);
	setenv("http_proxy", "http://127.0.0.1:1", 1); /* nobody is there */
	assert_int_equal(ask(&world, (struct http_request){.url = url}), 0);
	assert_int_equal(ask(&world, (struct http_request){.url = url, .direct = true}), 200);
	setenv("no_proxy", "127.0.0.1", 1);
	assert_int_equal(ask(&world, (struct http_request){.url = url}), 200);
	world_stop(&world);
	assert_int_equal(world.peer.connections, 2);
	world_end(&world);
}

/* A listener with as many in its queue as it wants drops whoever comes next, without a word. */
static void a_connection_that_is_not_made_is_given_up_in_time(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener, waiter[WAITERS];
	struct world world;
	struct err err;
	unsigned port;
	char url[64];

	(void)state;
	world_begin(&world);
	listener = loopback_listen(&port);
	assert_int_equal(listen(listener, 0), 0);
	address.sin_port = htons((uint16_t)port);
	for (int i = 0; i < WAITERS; i++) {
		waiter[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(waiter[i], (struct sockaddr *)&address, sizeof(address));
	}
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
	assert_int_equal(
	        ask_or(&world,
	               (struct http_request){.url = url, .connect_ms = 200, .stall_ms = 20000},
	               &err),
	        0);
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_null(strstr(err.text, "no byte")); /* not the other deadline */
	for (int i = 0; i < WAITERS; i++)
		close(waiter[i]);
	close(listener);
	world_stop(&world);
	world_end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(http_2_is_spoken_with_a_peer_that_can),
	        cmocka_unit_test(a_fresh_request_takes_none_of_the_kept_connections),
	        cmocka_unit_test(http_1_is_spoken_with_a_peer_that_knows_no_other),
	        cmocka_unit_test(what_is_asked_for_goes_through_the_proxy_of_the_environment),
	        cmocka_unit_test(tls_goes_through_a_tunnel_and_its_peer_is_still_looked_at),
	        cmocka_unit_test(a_proxy_that_refuses_is_no_answer_of_the_store),
	        cmocka_unit_test(no_proxy_and_what_must_stay_on_the_host_go_past_it),
	        cmocka_unit_test(a_connection_that_is_not_made_is_given_up_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
