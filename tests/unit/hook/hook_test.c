/*
 * hook_test.c — the hook against a scripted server: a thread that plays lines like "read a
 * request", "send these bytes", "close". The limits are fields of the request, so a hung server
 * costs a moment.
 */
#include "hook/hook.h"
#include "base/clock.h"
#include "base/file.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

enum { STEPS_MAX = 40, DEADLINE_MS = 10 * 1000, LONG_MS = 8000, SHORT_MS = 150 };

enum step_kind {
	END,
	ACCEPT,
	READ, /* one request, up to its empty line */
	SEND, /* bytes */
	DRIP, /* bytes, one write each */
	CLOSE,
	HOLD,  /* until the hook closes */
	LEAVE, /* remove the socket and stop listening, as a server that ends */
};

struct step {
	enum step_kind kind;
	const char *bytes;
};

struct peer {
	char folder[64], socket[96];
	int listener;
	const struct step *steps;
	pthread_t thread;
	bool running;
	struct buf requests; /* all of them, one after another */
	unsigned accepted;
};

static bool ready(int fd, short events)
{
	struct pollfd watch = {.fd = fd, .events = events};

	return poll(&watch, 1, DEADLINE_MS) == 1;
}

static void read_request(struct peer *peer, int fd)
{
	size_t from = peer->requests.length;
	char c;

	while (ready(fd, POLLIN) && read(fd, &c, 1) == 1) {
		buf_addc(&peer->requests, c);
		if (peer->requests.length - from >= 4 &&
		    memcmp(peer->requests.data + peer->requests.length - 4, "\r\n\r\n", 4) == 0)
			return;
	}
}

static void send_bytes(int fd, const char *bytes, size_t piece)
{
	size_t length = strlen(bytes);

	for (size_t at = 0; at < length; at += piece)
		if (send(fd, bytes + at, MIN(piece, length - at), MSG_NOSIGNAL) < 0)
			return;
}

static void peer_leave(struct peer *peer)
{
	if (peer->listener < 0)
		return;
	unlink(peer->socket);
	close(peer->listener);
	peer->listener = -1;
}

static void play(struct peer *peer, const struct step *step, int *fd)
{
	char byte;

	switch (step->kind) {
	case ACCEPT:
		if (ready(peer->listener, POLLIN)) {
			*fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
			peer->accepted++;
		}
		break;
	case READ:
		read_request(peer, *fd);
		break;
	case SEND:
		send_bytes(*fd, step->bytes, SIZE_MAX / 2);
		break;
	case DRIP:
		send_bytes(*fd, step->bytes, 1);
		break;
	case CLOSE:
		close(*fd);
		*fd = -1;
		break;
	case HOLD:
		while (ready(*fd, POLLIN) && read(*fd, &byte, 1) == 1)
			;
		break;
	case LEAVE:
		peer_leave(peer);
		break;
	case END:
		break;
	}
}

static void *peer_main(void *argument)
{
	struct peer *peer = argument;
	int fd = -1;

	for (const struct step *step = peer->steps; step->kind != END; step++)
		play(peer, step, &fd);
	if (fd >= 0)
		close(fd);
	return NULL;
}

static int peer_setup(void **state)
{
	struct peer *peer = xcalloc(1, sizeof(*peer));
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(peer->folder, sizeof(peer->folder), "/tmp/hook.XXXXXX");
	assert_non_null(mkdtemp(peer->folder));
	snprintf(peer->socket, sizeof(peer->socket), "%s/s", peer->folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", peer->socket);
	buf_init(&peer->requests, 1024 * 1024);
	peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(peer->listener, 1), 0);
	*state = peer;
	return 0;
}

static int peer_teardown(void **state)
{
	struct peer *peer = *state;

	if (peer->running)
		pthread_join(peer->thread, NULL);
	peer_leave(peer);
	rmdir(peer->folder);
	buf_release(&peer->requests);
	free(peer);
	return 0;
}

static void peer_play(struct peer *peer, const struct step *steps)
{
	peer->steps = steps;
	assert_int_equal(pthread_create(&peer->thread, NULL, peer_main, peer), 0);
	peer->running = true;
}

/* Waits for the end of the script, so that what it noted may be looked at. */
static void peer_join(struct peer *peer)
{
	pthread_join(peer->thread, NULL);
	peer->running = false;
}

static struct hook_request request_of(const struct peer *peer, enum hook_verb verb)
{
	return (struct hook_request){.verb = verb,
	                             .socket = peer->socket,
	                             .data = "/data",
	                             .path = "/data/pg_wal/000000010000000000000001",
	                             .name = verb == HOOK_FETCH ? "000000010000000000000001" : NULL,
	                             .wait_s = 5,
	                             .silence_ms = LONG_MS,
	                             .total_ms = LONG_MS};
}

static enum hook_result ask(const struct hook_request *request)
{
	struct hook_answer answer;
	enum hook_result result;

	hook_ask(request, &answer);
	result = answer.result;
	hook_answer_release(&answer);
	return result;
}

#define ANSWER(result) "HTTP/1.1 200 OK\r\nSeawall-Result: " result "\r\nContent-Length: 0\r\n\r\n"

static enum hook_result ask_answered(void **state, enum hook_verb verb, const char *bytes)
{
	struct peer *peer = *state;
	const struct step steps[] = {{ACCEPT}, {READ}, {SEND, bytes}, {HOLD}, {END}};
	struct hook_request request = request_of(peer, verb);
	enum hook_result result;

	peer_play(peer, steps);
	result = ask(&request);
	peer_join(peer);
	return result;
}

static void each_answer_means_one_result_and_only_for_its_verb(void **state)
{
	static const struct {
		const char *bytes;
		enum hook_result push, fetch;
	} cases[] = {
	        {ANSWER("stored"), HOOK_STORED, HOOK_UNKNOWN},
	        {ANSWER("delivered"), HOOK_UNKNOWN, HOOK_DELIVERED},
	        {ANSWER("absent"), HOOK_UNKNOWN, HOOK_ABSENT},
	        {ANSWER("failed"), HOOK_FAILED, HOOK_FAILED},
	        {ANSWER("Stored"), HOOK_UNKNOWN, HOOK_UNKNOWN},
	        {ANSWER("stored!"), HOOK_UNKNOWN, HOOK_UNKNOWN},
	        {ANSWER(""), HOOK_UNKNOWN, HOOK_UNKNOWN},
	        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HOOK_UNKNOWN, HOOK_UNKNOWN},
	        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", HOOK_UNKNOWN, HOOK_UNKNOWN},
	        {"220 mail ESMTP\r\n\r\n", HOOK_UNKNOWN, HOOK_UNKNOWN},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		assert_int_equal(ask_answered(state, HOOK_PUSH, cases[i].bytes), cases[i].push);
		assert_int_equal(ask_answered(state, HOOK_FETCH, cases[i].bytes), cases[i].fetch);
	}
}

static void a_push_says_where_the_file_is_and_encodes_every_byte(void **state)
{
	static const struct step steps[] = {{ACCEPT}, {READ}, {SEND, ANSWER("stored")}, {END}};
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);

	request.data = "/a b&c=d?e#f%g+h\xc3\xa9\n";
	request.path = "/~x_y-z.0/pg_wal/1";
	peer_play(peer, steps);
	assert_int_equal(ask(&request), HOOK_STORED);
	peer_join(peer);
	assert_string_equal(buf_text(&peer->requests),
	                    "POST /v1/wal/push?data=/a%20b%26c%3Dd%3Fe%23f%25g%2Bh%C3%A9%0A"
	                    "&path=/~x_y-z.0/pg_wal/1&wait=5 HTTP/1.1\r\n"
	                    "Host: seawall\r\nContent-Length: 0\r\n\r\n");
}

static void a_fetch_says_what_is_wanted_and_by_which_restore(void **state)
{
	static const struct step steps[] = {{ACCEPT}, {READ}, {SEND, ANSWER("absent")}, {END}};
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_FETCH);

	request.cluster = "main";
	request.restore = "/r p";
	request.path = "/data/pg_wal/RECOVERYXLOG";
	peer_play(peer, steps);
	assert_int_equal(ask(&request), HOOK_ABSENT);
	peer_join(peer);
	assert_non_null(
	        strstr(buf_text(&peer->requests),
	               "POST /v1/wal/fetch?data=/data&name=000000010000000000000001"
	               "&path=/data/pg_wal/RECOVERYXLOG&wait=5&cluster=main&restore=/r%20p "));
}

static void the_text_of_the_answer_is_kept(void **state)
{
	static const struct step steps[] = {{ACCEPT},
	                                    {READ},
	                                    {DRIP, "HTTP/1.1 500 No\r\nSeawall-Result: failed\r\n"
	                                           "Content-Length: 9\r\n\r\nwhy\nhint:"},
	                                    {END}};
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);
	struct hook_answer answer;

	peer_play(peer, steps);
	hook_ask(&request, &answer);
	assert_int_equal(answer.result, HOOK_FAILED);
	assert_string_equal(buf_text(&answer.text), "why\nhint:");
	hook_answer_release(&answer);
}

static void while_the_server_works_it_is_asked_again_on_the_same_connection(void **state)
{
	static const struct step steps[] = {{ACCEPT},
	                                    {READ},
	                                    {SEND, ANSWER("working")},
	                                    {READ},
	                                    {DRIP, ANSWER("working")},
	                                    {READ},
	                                    {SEND, ANSWER("working")},
	                                    {READ},
	                                    {SEND, ANSWER("stored")},
	                                    {END}};
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);

	peer_play(peer, steps);
	assert_int_equal(ask(&request), HOOK_STORED);
	peer_join(peer);
	assert_int_equal(peer->accepted, 1);
}

static void a_server_that_closes_after_its_answer_is_asked_on_a_new_connection(void **state)
{
	static const struct step steps[] = {
	        {ACCEPT},
	        {READ},
	        {SEND, "HTTP/1.1 202 Accepted\r\nSeawall-Result: working\r\nConnection: close\r\n"
	               "Content-Length: 0\r\n\r\n"},
	        {CLOSE},
	        {ACCEPT},
	        {READ},
	        {SEND, ANSWER("stored")},
	        {END}};
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);

	peer_play(peer, steps);
	assert_int_equal(ask(&request), HOOK_STORED);
	peer_join(peer);
	assert_int_equal(peer->accepted, 2);
}

static void a_server_that_works_for_too_long_is_late(void **state)
{
	static const struct step steps[] = {
	        {ACCEPT}, {READ}, {SEND, ANSWER("working")}, {HOLD}, {END}};
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);
	struct hook_answer answer;

	request.total_ms = 900;
	peer_play(peer, steps);
	hook_ask(&request, &answer);
	assert_int_equal(answer.result, HOOK_LATE);
	assert_int_equal(answer.err.code, ERR_TIMEOUT);
	hook_answer_release(&answer);
}

static void a_silent_server_hangs(void **state)
{
	static const struct step before[] = {{ACCEPT}, {READ}, {HOLD}, {END}};
	static const struct step amid[] = {{ACCEPT},
	                                   {READ},
	                                   {SEND, "HTTP/1.1 200 OK\r\nSeawall-Result: stored\r\n"},
	                                   {HOLD},
	                                   {END}};
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);

	request.silence_ms = SHORT_MS;
	peer_play(peer, before);
	assert_int_equal(ask(&request), HOOK_HUNG);
	peer_join(peer);
	peer_play(peer, amid);
	assert_int_equal(ask(&request), HOOK_HUNG);
}

static void a_server_that_accepts_nobody_hangs_too(void **state)
{
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);
	int64_t began_us = clock_mono_us();

	/* The queue takes two; the third connection has to wait. */
	request.silence_ms = SHORT_MS;
	for (int i = 0; i < 4; i++) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

		snprintf(address.sun_path, sizeof(address.sun_path), "%s", peer->socket);
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
			assert_int_equal(errno, EAGAIN);
	}
	assert_int_equal(ask(&request), HOOK_HUNG);
	assert_true(clock_mono_us() - began_us >= (int64_t)SHORT_MS * 1000);
}

static void a_dripping_server_cannot_hold_us_beyond_the_total(void **state)
{
	static const struct step steps[] = {{ACCEPT}, {READ}, {SEND, "HTTP/1.1 2"}, {HOLD}, {END}};
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_FETCH);

	request.total_ms = SHORT_MS;
	peer_play(peer, steps);
	assert_int_equal(ask(&request), HOOK_LATE);
}

static void a_server_that_is_restarted_is_asked_again(void **state)
{
	static const struct step steps[] = {
	        {ACCEPT}, {READ}, {CLOSE}, {ACCEPT}, {READ}, {SEND, ANSWER("stored")}, {END}};
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);

	peer_play(peer, steps);
	assert_int_equal(ask(&request), HOOK_STORED);
}

static void a_server_that_only_closes_is_no_server(void **state)
{
	static const struct step steps[] = {
	        {ACCEPT}, {READ}, {CLOSE},
	        {ACCEPT}, {READ}, {SEND, "HTTP/1.1 200 OK\r\nSeawall-Result: stored\r\nContent-Le"},
	        {CLOSE},  {END}};
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);
	struct hook_answer answer;

	peer_play(peer, steps);
	hook_ask(&request, &answer);
	assert_int_equal(answer.result, HOOK_NO_SERVER);
	assert_int_equal(answer.err.code, ERR_NETWORK);
	hook_answer_release(&answer);
}

static void a_server_that_ends_while_it_works_is_no_server(void **state)
{
	static const struct step steps[] = {
	        {ACCEPT}, {READ}, {SEND, ANSWER("working")}, {READ}, {LEAVE}, {CLOSE}, {END}};
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);
	struct hook_answer answer;

	peer_play(peer, steps);
	hook_ask(&request, &answer);
	assert_int_equal(answer.result, HOOK_NO_SERVER);
	assert_int_equal(answer.err.code, ERR_NONE);
	hook_answer_release(&answer);
}

static void without_a_socket_or_a_listener_there_is_no_server_and_no_complaint(void **state)
{
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);
	struct hook_answer answer;

	close(peer->listener); /* the socket's file stays: refused */
	peer->listener = -1;
	for (int i = 0; i < 2; i++) {
		hook_ask(&request, &answer);
		assert_int_equal(answer.result, HOOK_NO_SERVER);
		assert_int_equal(answer.err.code, ERR_NONE);
		hook_answer_release(&answer);
		unlink(peer->socket);
	}
}

static void what_cannot_be_a_socket_is_said(void **state)
{
	char name[300];
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);
	struct hook_answer answer;

	memset(name, 'x', sizeof(name));
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	request.socket = name;
	hook_ask(&request, &answer);
	assert_int_equal(answer.result, HOOK_NO_SERVER);
	assert_int_equal(answer.err.code, ERR_CONFIG);
	hook_answer_release(&answer);
	request.socket = "/dev/null";
	assert_int_equal(ask(&request), HOOK_NO_SERVER);
}

static void a_request_that_is_too_long_is_not_sent_in_part(void **state)
{
	static const struct step steps[] = {{ACCEPT}, {HOLD}, {END}};
	enum { BYTES = 40 * 1024 };
	struct peer *peer = *state;
	struct hook_request request = request_of(peer, HOOK_PUSH);
	char *path = xmalloc(BYTES);

	memset(path, ' ', BYTES);
	path[BYTES - 1] = '\0';
	request.path = path;
	peer_play(peer, steps);
	assert_int_equal(ask(&request), HOOK_UNKNOWN);
	free(path);
}

#define ON_PEER(test) cmocka_unit_test_setup_teardown(test, peer_setup, peer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        ON_PEER(each_answer_means_one_result_and_only_for_its_verb),
	        ON_PEER(a_push_says_where_the_file_is_and_encodes_every_byte),
	        ON_PEER(a_fetch_says_what_is_wanted_and_by_which_restore),
	        ON_PEER(the_text_of_the_answer_is_kept),
	        ON_PEER(while_the_server_works_it_is_asked_again_on_the_same_connection),
	        ON_PEER(a_server_that_closes_after_its_answer_is_asked_on_a_new_connection),
	        ON_PEER(a_server_that_works_for_too_long_is_late),
	        ON_PEER(a_silent_server_hangs),
	        ON_PEER(a_server_that_accepts_nobody_hangs_too),
	        ON_PEER(a_dripping_server_cannot_hold_us_beyond_the_total),
	        ON_PEER(a_server_that_is_restarted_is_asked_again),
	        ON_PEER(a_server_that_only_closes_is_no_server),
	        ON_PEER(a_server_that_ends_while_it_works_is_no_server),
	        ON_PEER(without_a_socket_or_a_listener_there_is_no_server_and_no_complaint),
	        ON_PEER(what_cannot_be_a_socket_is_said),
	        ON_PEER(a_request_that_is_too_long_is_not_sent_in_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
