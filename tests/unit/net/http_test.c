/* The HTTP client against a scripted peer in a thread: good answers, and peers that are slow, close
 * early, say too much, or nothing. */
#include "net/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

enum peer_kind {
	PEER_ANSWERS, /* text, then the connection is closed */
	PEER_ECHOES,  /* the body that came */
	PEER_STAYS,   /* text, then nothing, the connection stays open */
	PEER_DRIPS,   /* text, one byte every 10 ms */
	PEER_REPEATS, /* text, again and again, without end */
	PEER_TIRES,   /* text, and on the same connection no answer to the request that follows */
};

struct peer {
	enum peer_kind kind;
	const char *text;
	char folder[64], path[96];
	int listener, stop[2];
	pthread_t thread;
	char seen[65536];
	size_t seen_bytes;
	unsigned requests;
};

static bool peer_stopped(struct peer *peer, int wait_ms)
{
	struct pollfd poll_fd = {.fd = peer->stop[0], .events = POLLIN};

	return poll(&poll_fd, 1, wait_ms) > 0;
}

/* The head, and the body as its Content-Length says; false when the client is gone. */
static bool peer_read(struct peer *peer, int fd)
{
	for (;;) {
		char *end, *length;
		ssize_t got;

		peer->seen[peer->seen_bytes] = '\0';
		end = strstr(peer->seen, "\r\n\r\n");
		length = strcasestr(peer->seen, "content-length: ");
		if (end &&
		    peer->seen_bytes >= (size_t)(end + 4 - peer->seen) +
		                                (length ? strtoul(length + 16, NULL, 10) : 0))
			return true;
		got = read(fd, peer->seen + peer->seen_bytes,
		           sizeof(peer->seen) - 1 - peer->seen_bytes);
		if (got <= 0)
			return false;
		peer->seen_bytes += (size_t)got;
	}
}

static void peer_send(struct peer *peer, int fd)
{
	const char *body = strstr(peer->seen, "\r\n\r\n") + 4;

	switch (peer->kind) {
	case PEER_ECHOES:
		dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
		break;
	case PEER_DRIPS:
		for (const char *at = peer->text; *at && !peer_stopped(peer, 10); at++)
			if (send(fd, at, 1, MSG_NOSIGNAL) != 1)
				break;
		break;
	case PEER_REPEATS:
		while (!peer_stopped(peer, 0) &&
		       send(fd, peer->text, strlen(peer->text), MSG_NOSIGNAL) > 0)
			;
		break;
	case PEER_TIRES:
		(void)send(fd, peer->text, strlen(peer->text), MSG_NOSIGNAL);
		peer->seen_bytes = 0;
		peer->requests += peer_read(peer, fd);
		break;
	case PEER_ANSWERS:
	case PEER_STAYS:
		(void)send(fd, peer->text, strlen(peer->text), MSG_NOSIGNAL);
		if (peer->kind == PEER_STAYS)
			peer_stopped(peer, -1);
	}
}

static void *peer_main(void *context)
{
	struct peer *peer = context;

	for (;;) {
		struct pollfd polls[] = {{.fd = peer->listener, .events = POLLIN},
		                         {.fd = peer->stop[0], .events = POLLIN}};
		int fd;

		poll(polls, 2, -1);
		if (polls[1].revents)
			return NULL;
		fd = accept(peer->listener, NULL, NULL);
		peer->seen_bytes = 0;
		if (peer_read(peer, fd)) {
			peer->requests++;
			peer_send(peer, fd);
		}
		close(fd);
	}
}

static void peer_start(struct peer *peer, enum peer_kind kind, const char *text)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*peer = (struct peer){.kind = kind, .text = text};
	strcpy(peer->folder, "/tmp/seawall-http.XXXXXX");
	assert_non_null(mkdtemp(peer->folder));
	snprintf(peer->path, sizeof(peer->path), "%s/peer", peer->folder);
	strcpy(address.sun_path, peer->path);
	peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(peer->listener, 64), 0);
	assert_int_equal(pipe(peer->stop), 0);
	assert_int_equal(pthread_create(&peer->thread, NULL, peer_main, peer), 0);
}

static void peer_end(struct peer *peer)
{
	assert_int_equal(write(peer->stop[1], "x", 1), 1);
	pthread_join(peer->thread, NULL);
	close(peer->listener);
	close(peer->stop[0]);
	close(peer->stop[1]);
	unlink(peer->path);
	rmdir(peer->folder);
}

/* One request as a story of its own. */
struct story {
	struct op op;
	struct http *http;
	struct http_request request;
	struct timer cancel;
};

static void story_step(struct op *op)
{
	struct story *story = container_of(op, struct story, op);

	if (op->state == 0) {
		http_start(op, &story->request, story->http);
		return op_wait(op, 1);
	}
	if (op_failed(&story->request.op)) {
		op->err = story->request.op.err;
		return op_fail_own(op);
	}
	op_done(op);
}

static const struct op_type story_type = {.name = "story", .step = story_step};

struct world {
	struct peer peer;
	struct loop *loop;
	struct http *http;
	struct story story;
};

static void world_begin(struct world *world, enum peer_kind kind, const char *text)
{
	peer_start(&world->peer, kind, text);
	world->loop = loop_new(&(struct loop_options){.workers = 1});
	world->http = http_new(world->loop, 4);
	world->story = (struct story){.http = world->http};
	world->story.request.url = "http://peer/v1/thing?a=b";
	world->story.request.unix_socket = world->peer.path;
}

static enum err_code world_run(struct world *world)
{
	loop_run_op(world->loop, &world->story.op, &story_type);
	return world->story.op.err.code;
}

static void world_end(struct world *world)
{
	http_release(&world->story.request);
	http_free(world->http);
	loop_free(world->loop);
	peer_end(&world->peer);
}

static void an_answer_has_its_status_headers_and_body(void **state)
{
	struct world world;
	struct http_request *request = &world.story.request;
	const char *const headers[] = {"X-Mine: yes", NULL};

	(void)state;
	world_begin(&world, PEER_ANSWERS,
	            "HTTP/1.1 404 Not Found\r\nSeawall-Result:  absent \r\nContent-Length: "
	            "4\r\n\r\nnope");
	request->method = "POST";
	request->header = headers;
	assert_int_equal(world_run(&world), ERR_NONE);
	assert_int_equal(request->status, 404);
	assert_true(request->reached);
	assert_string_equal(buf_text(&request->answer), "nope");
	assert_non_null(http_header(request, "seawall-result"));
	assert_memory_equal(http_header(request, "seawall-result"), "absent", 6);
	assert_null(http_header(request, "seawall"));
	assert_null(http_header(request, "other"));
	assert_non_null(strstr(world.peer.seen, "POST /v1/thing?a=b HTTP/1.1\r\n"));
	assert_non_null(strstr(world.peer.seen, "X-Mine: yes\r\n"));
	assert_null(strstr(world.peer.seen, "Expect:"));
	world_end(&world);
}

static size_t give_letters(struct http_request *request, uint64_t offset, void *out, size_t length)
{
	(void)request;
	length = MIN(length, 7u);
	for (size_t i = 0; i < length; i++)
		((char *)out)[i] = (char)('a' + (offset + i) % 26);
	return length;
}

static void a_body_is_sent_from_memory_or_from_a_function(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world, PEER_ECHOES, NULL);
	world.story.request.method = "PUT";
	world.story.request.body = "some bytes";
	world.story.request.body_bytes = 10;
	assert_int_equal(world_run(&world), ERR_NONE);
	assert_string_equal(buf_text(&world.story.request.answer), "some bytes");
	http_release(&world.story.request);

	world.story = (struct story){.http = world.http};
	world.story.request = (struct http_request){.url = "http://peer/",
	                                            .unix_socket = world.peer.path,
	                                            .method = "POST",
	                                            .give = give_letters,
	                                            .body_bytes = 30};
	assert_int_equal(world_run(&world), ERR_NONE);
	assert_string_equal(buf_text(&world.story.request.answer),
	                    "abcdefghijklmnopqrstuvwxyzabcd");
	world_end(&world);
}

/* It may have taken effect: whoever asked decides, and looks before it asks again. */
static void a_body_is_not_sent_again_behind_the_back_of_who_asked(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world, PEER_TIRES, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (int i = 0; i < 2; i++) {
		world.story = (struct story){.http = world.http};
		world.story.request = (struct http_request){.url = "http://peer/",
		                                            .unix_socket = world.peer.path,
		                                            .method = "PUT",
		                                            .body = "some bytes",
		                                            .body_bytes = 10};
		assert_int_equal(world_run(&world), i == 0 ? ERR_NONE : ERR_NETWORK);
		http_release(&world.story.request);
	}
	assert_non_null(strstr(world.story.op.err.text, "the connection ended before the answer"));
	world_end(&world); /* which joins the peer's thread */
	assert_int_equal(world.peer.requests, 2);
}

static bool take_until_three(struct http_request *request, const void *bytes, size_t length,
                             struct err *err)
{
	size_t *taken = request->context;

	(void)bytes;
	assert_int_equal(request->status, 200);
	assert_non_null(http_header(request, "Kind"));
	*taken += length;
	return *taken < 3 || err_set(err, ERR_DAMAGED, "enough");
}

static void a_body_can_be_taken_piece_by_piece_and_refused(void **state)
{
	struct world world;
	size_t taken = 0;

	(void)state;
	world_begin(&world, PEER_DRIPS,
	            "HTTP/1.1 200 OK\r\nKind: x\r\nContent-Length: 9\r\n\r\n123456789");
	world.story.request.take = take_until_three;
	world.story.request.context = &taken;
	assert_int_equal(world_run(&world), ERR_DAMAGED);
	assert_true(taken >= 3 && taken < 9);
	world_end(&world);
}

static void nobody_there_is_not_reached(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world, PEER_ANSWERS, "");
	world.story.request.unix_socket = "/nonexistent/socket";
	assert_int_equal(world_run(&world), ERR_NETWORK);
	assert_false(world.story.request.reached);
	world_end(&world);
}

static void fails(enum peer_kind kind, const char *text)
{
	struct world world;

	world_begin(&world, kind, text);
	world.story.request.answer_max = 1000;
	if (world_run(&world) != ERR_NETWORK)
		print_message("for \"%.40s\": %s\n", text, world.story.op.err.text);
	assert_int_equal(world.story.op.err.code, ERR_NETWORK);
	assert_true(world.story.request.reached);
	world_end(&world);
}

static void a_peer_that_closes_early_or_speaks_nonsense_is_a_network_error(void **state)
{
	(void)state;
	fails(PEER_ANSWERS, "");
	fails(PEER_ANSWERS, "HTTP/1.1 200 OK\r\nContent-Le");
	fails(PEER_ANSWERS, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
	fails(PEER_ANSWERS, "SSH-2.0-OpenSSH\r\n\r\n");
	fails(PEER_ANSWERS, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
}

static void headers_and_bodies_without_end_are_refused(void **state)
{
	(void)state;
	fails(PEER_REPEATS,
	      "HTTP/1.1 100 Continue\r\nX-Long: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
	fails(PEER_REPEATS, "HTTP/1.1 200 OK\r\n\r\nand so on and on and on and on and on");
	fails(PEER_REPEATS, "X");
}

static void a_silent_peer_ends_in_time_and_the_loop_sleeps_meanwhile(void **state)
{
	struct world world;
	int64_t before = clock_mono_us();

	(void)state;
	world_begin(&world, PEER_STAYS, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
	world.story.request.stall_ms = 900;
	assert_int_equal(world_run(&world), ERR_TIMEOUT);
	assert_true(world.story.request.reached);
	assert_true(clock_mono_us() - before >= 900000);
	/* a handful to send and receive; a loop that spins has thousands */
	assert_true(loop_turns(world.loop) < 30);
	world_end(&world);
}

static void the_deadline_for_the_whole_holds_while_bytes_trickle(void **state)
{
	struct world world;
	int64_t before = clock_mono_us(), took_ms;

	(void)state;
	world_begin(&world, PEER_DRIPS,
	            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nSlow: yes\r\n\r\n0123456789");
	world.story.request.whole_ms = 400;
	world.story.request.stall_ms = 300;
	assert_int_equal(world_run(&world), ERR_TIMEOUT);
	took_ms = (clock_mono_us() - before) / 1000;
	assert_true(took_ms >= 390);
	assert_true(loop_turns(world.loop) < 100);
	world_end(&world);
}

static void cancel_fired(struct timer *timer)
{
	op_cancel(&container_of(timer, struct story, cancel)->op);
}

static void a_cancel_ends_a_request_and_the_next_one_works(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world, PEER_STAYS, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	timer_init(&world.story.cancel, world.loop, cancel_fired);
	timer_set(&world.story.cancel, 50);
	assert_int_equal(world_run(&world), ERR_CANCELLED);
	timer_release(&world.story.cancel);
	world_end(&world);
	world_begin(&world, PEER_ANSWERS, "HTTP/1.1 204 No Content\r\n\r\n");
	assert_int_equal(world_run(&world), ERR_NONE);
	assert_int_equal(world.story.request.status, 204);
	world_end(&world);
}

static void an_idle_connection_costs_no_turns(void **state)
{
	struct world world;
	uint64_t before;

	(void)state;
	world_begin(&world, PEER_STAYS, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	assert_int_equal(world_run(&world), ERR_NONE);
	before = loop_turns(world.loop);
	http_release(&world.story.request);
	world.story = (struct story){.http = world.http};
	world.story.request = (struct http_request){
	        .url = "http://peer/", .unix_socket = world.peer.path, .stall_ms = 1000};
	assert_int_equal(world_run(&world), ERR_TIMEOUT); /* the peer is busy with the first */
	assert_true(loop_turns(world.loop) - before < 20);
	world_end(&world);
}

/* A limit so low that after one piece nothing more passes for hours, until it is lifted. */
enum { LIMIT_BYTES = 10, LIMITED_BODY_BYTES = 4 * 1024 * 1024, PIECE_MAX = 512 * 1024 };

static void lift_fired(struct timer *timer)
{
	struct story *story = container_of(timer, struct story, cancel);

	assert_true(op_running(&story->request.op));
	assert_true(story->request.got + story->request.sent <= PIECE_MAX);
	/* a piece has passed: this is the limit and not a peer that is slow to begin */
	if (story->request.got + story->request.sent == 0)
		return timer_set(timer, 20);
	http_limit(story->http, 0, 0);
}

/* With a limit for half as long again as a stall may last: waiting for one's turn is none. False:
 * the peer did not get on for so long, as on a busy machine. */
static bool run_limited(struct world *world, unsigned stall_ms)
{
	enum err_code code;

	world->story.request.stall_ms = stall_ms;
	http_limit(world->http, LIMIT_BYTES, LIMIT_BYTES);
	timer_init(&world->story.cancel, world->loop, lift_fired);
	timer_set(&world->story.cancel, stall_ms * 3 / 2);
	code = world_run(world);
	timer_release(&world->story.cancel);
	assert_true(code == ERR_NONE || code == ERR_TIMEOUT);
	return code == ERR_NONE;
}

enum { STALL_MS = 200, STALL_MS_MAX = 60 * 1000 };

static void what_is_received_is_limited_until_the_limit_is_lifted(void **state)
{
	char *text = xmalloc(LIMITED_BODY_BYTES + 128);
	struct world world;
	int head;

	(void)state;
	head = sprintf(text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LIMITED_BODY_BYTES);
	memset(text + head, 'x', LIMITED_BODY_BYTES);
	text[head + LIMITED_BODY_BYTES] = '\0';
	for (unsigned stall_ms = STALL_MS;; stall_ms *= 4) {
		assert_true(stall_ms < STALL_MS_MAX);
		world_begin(&world, PEER_ANSWERS, text);
		world.story.request.answer_max = LIMITED_BODY_BYTES;
		if (run_limited(&world, stall_ms))
			break;
		world_end(&world);
	}
	assert_int_equal(world.story.request.answer.length, LIMITED_BODY_BYTES);
	world_end(&world);
	free(text);
}

static size_t give_a_byte(struct http_request *request, uint64_t offset, void *out, size_t length)
{
	(void)request;
	(void)length;
	*(char *)out = (char)('a' + offset % 26);
	return 1;
}

static void what_is_sent_is_limited_until_the_limit_is_lifted(void **state)
{
	struct world world;

	(void)state;
	for (unsigned stall_ms = STALL_MS;; stall_ms *= 4) {
		assert_true(stall_ms < STALL_MS_MAX);
		world_begin(&world, PEER_ECHOES, NULL);
		world.story.request.method = "PUT";
		world.story.request.give = give_a_byte;
		world.story.request.body_bytes = 26 * 1000;
		if (run_limited(&world, stall_ms))
			break;
		world_end(&world);
	}
	assert_int_equal(world.story.request.answer.length, 26 * 1000);
	assert_memory_equal(buf_text(&world.story.request.answer) + 26 * 999,
	                    "abcdefghijklmnopqrstuvwxyz", 26);
	world_end(&world);
}

static void a_request_that_waits_for_its_turn_can_be_cancelled(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world, PEER_ANSWERS, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	http_limit(world.http, 1, 1);
	timer_init(&world.story.cancel, world.loop, cancel_fired);
	timer_set(&world.story.cancel, 100);
	assert_int_equal(world_run(&world), ERR_CANCELLED);
	timer_release(&world.story.cancel);
	http_release(&world.story.request);
	http_limit(world.http, 0, 0);
	world.story = (struct story){.http = world.http};
	world.story.request =
	        (struct http_request){.url = "http://peer/", .unix_socket = world.peer.path};
	assert_int_equal(world_run(&world), ERR_NONE);
	assert_string_equal(buf_text(&world.story.request.answer), "hello");
	world_end(&world);
}

static bool take_nothing(struct http_request *request, const void *bytes, size_t length,
                         struct err *err)
{
	(void)request;
	(void)bytes;
	(void)length;
	return err_set(err, ERR_DAMAGED, "nothing is taken");
}

static void lift_when_it_waits(struct timer *timer)
{
	struct story *story = container_of(timer, struct story, cancel);

	if (!story->request.paused)
		return timer_set(timer, 10);
	http_limit(story->http, 0, 0);
}

/* What was received before the pause is handed over when the pause ends. */
static void a_body_that_is_refused_after_a_pause_ends_at_once(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world, PEER_STAYS, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
	world.story.request.take = take_nothing;
	http_limit(world.http, 1, 1);
	timer_init(&world.story.cancel, world.loop, lift_when_it_waits);
	timer_set(&world.story.cancel, 10);
	assert_int_equal(world_run(&world), ERR_DAMAGED);
	timer_release(&world.story.cancel);
	world_end(&world);
}

/* A name server that is silent: whoever looks for this host waits until the test lets it go. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned waiting;
	bool released;
} names = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
	(void)host;
	(void)service;
	(void)hints;
	(void)ret;
	pthread_mutex_lock(&names.lock);
	names.waiting++;
	while (!names.released)
		pthread_cond_wait(&names.changed, &names.lock);
	names.waiting--;
	pthread_cond_broadcast(&names.changed);
	pthread_mutex_unlock(&names.lock);
	return EAI_AGAIN;
}

static void cancel_when_it_waits(struct timer *timer)
{
	pthread_mutex_lock(&names.lock);
	if (names.waiting > 0)
		op_cancel(&container_of(timer, struct story, cancel)->op);
	else
		timer_set(timer, 10);
	pthread_mutex_unlock(&names.lock);
}

/* Where libcurl waited for the thread this would never end. */
static void a_silent_name_server_does_not_stop_the_loop(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world, PEER_ANSWERS, "");
	world.story.request.url = "http://silent.invalid/";
	world.story.request.unix_socket = NULL;
	world.story.request.direct = true;
	world.story.request.connect_ms = 300;
	assert_int_equal(world_run(&world), ERR_TIMEOUT);
	assert_false(world.story.request.reached);
	http_release(&world.story.request);

	world.story = (struct story){.http = world.http};
	world.story.request =
	        (struct http_request){.url = "http://silent.invalid/", .direct = true};
	timer_init(&world.story.cancel, world.loop, cancel_when_it_waits);
	timer_set(&world.story.cancel, 10);
	assert_int_equal(world_run(&world), ERR_CANCELLED);
	timer_release(&world.story.cancel);

	pthread_mutex_lock(&names.lock);
	names.released = true;
	pthread_cond_broadcast(&names.changed);
	while (names.waiting > 0)
		pthread_cond_wait(&names.changed, &names.lock);
	pthread_mutex_unlock(&names.lock);
	world_end(&world);
}

static void a_query_value_is_escaped(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 100);
	http_escape(&buf, "/a b&c=\xc3\xa9%'~");
	assert_string_equal(buf_text(&buf), "/a%20b%26c%3D%C3%A9%25%27~");
	buf_release(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_answer_has_its_status_headers_and_body),
	        cmocka_unit_test(a_body_is_sent_from_memory_or_from_a_function),
	        cmocka_unit_test(a_body_is_not_sent_again_behind_the_back_of_who_asked),
	        cmocka_unit_test(a_body_can_be_taken_piece_by_piece_and_refused),
	        cmocka_unit_test(nobody_there_is_not_reached),
	        cmocka_unit_test(a_peer_that_closes_early_or_speaks_nonsense_is_a_network_error),
	        cmocka_unit_test(headers_and_bodies_without_end_are_refused),
	        cmocka_unit_test(a_silent_peer_ends_in_time_and_the_loop_sleeps_meanwhile),
	        cmocka_unit_test(the_deadline_for_the_whole_holds_while_bytes_trickle),
	        cmocka_unit_test(a_cancel_ends_a_request_and_the_next_one_works),
	        cmocka_unit_test(an_idle_connection_costs_no_turns),
	        cmocka_unit_test(what_is_received_is_limited_until_the_limit_is_lifted),
	        cmocka_unit_test(what_is_sent_is_limited_until_the_limit_is_lifted),
	        cmocka_unit_test(a_request_that_waits_for_its_turn_can_be_cancelled),
	        cmocka_unit_test(a_body_that_is_refused_after_a_pause_ends_at_once),
	        cmocka_unit_test(a_silent_name_server_does_not_stop_the_loop),
	        cmocka_unit_test(a_query_value_is_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
