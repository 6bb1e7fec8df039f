/* The listener with a client on the same loop: routes, late replies, streams, limits, two servers
 * on one socket. */
#include "server/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/nap.h"
#include "loop/watch.h"
#include "net/http.h"

struct world {
	struct loop *loop;
	struct http *http;
	struct listener *listener;
	char folder[64], path[96];
	struct timer timer;
	struct exchange *later;
	unsigned streams_ended, pieces;
};

static void serve_echo(struct exchange *exchange)
{
	AUTO_BUF struct buf body;
	const char *query = exchange_query(exchange, "q");

	buf_init(&body, EXCHANGE_BODY_MAX + 100);
	buf_addf(&body, "%s|%s|%s|", exchange->part[0], exchange->part[1], query ? query : "-");
	buf_add(&body, buf_text(&exchange->body), exchange->body.length);
	exchange_add_header(exchange, "Seawall-Result", "sto\r\nred");
	exchange_reply(exchange, 201, "text/plain", &body);
}

static void later_fired(struct timer *timer)
{
	struct world *world = container_of(timer, struct world, timer);
	AUTO_BUF struct buf body;

	buf_init(&body, 100);
	buf_addstr(&body, "late");
	exchange_reply(world->later, 200, "text/plain", &body);
	world->later = NULL;
}

static void serve_later(struct exchange *exchange)
{
	struct world *world = exchange->context;

	world->later = exchange;
	timer_set(&world->timer, 100);
}

static void stream_fired(struct timer *timer)
{
	struct world *world = container_of(timer, struct world, timer);
	AUTO_BUF struct buf piece;

	if (!world->later)
		return;
	buf_init(&piece, 100);
	buf_addf(&piece, "piece %u\n", world->pieces++);
	exchange_stream_send(world->later, &piece);
	if (world->pieces == 3)
		exchange_stream_end(world->later);
	else
		timer_set(timer, 20);
}

static void stream_ended(struct exchange *exchange)
{
	struct world *world = exchange->context;

	world->streams_ended++;
	world->later = NULL;
}

static void serve_stream(struct exchange *exchange)
{
	struct world *world = exchange->context;

	world->later = exchange;
	exchange->stream_ended = stream_ended;
	world->timer.fired = stream_fired;
	exchange_stream(exchange, "text/event-stream");
	timer_set(&world->timer, 20);
}

static void serve_never(struct exchange *exchange)
{
	((struct world *)exchange->context)->later = exchange;
}

static const struct route routes[] = {
        {"GET", "/v1/view", serve_echo, ROUTE_VIEW},
        {"POST", "/v1/things/*/parts/*", serve_echo, 0},
        {"GET", "/v1/later", serve_later, 0},
        {"GET", "/v1/stream", serve_stream, ROUTE_VIEW},
        {"GET", "/v1/never", serve_never, 0},
        {NULL},
};

static void world_begin(struct world *world)
{
	struct err err = {0};

	*world = (struct world){.folder = "/tmp/seawall-listen.XXXXXX"};
	assert_non_null(mkdtemp(world->folder));
	snprintf(world->path, sizeof(world->path), "%s/sock", world->folder);
	world->loop = loop_new(&(struct loop_options){.workers = 1});
	world->http = http_new(world->loop, 4);
	world->listener = listener_new(world->loop, routes, world);
	timer_init(&world->timer, world->loop, later_fired);
	assert_true(listener_add_unix(world->listener, world->path, &err));
}

static void world_end(struct world *world)
{
	timer_release(&world->timer);
	http_free(world->http);
	listener_free(world->listener);
	loop_free(world->loop);
	assert_int_not_equal(access(world->path, F_OK), 0);
	assert_int_equal(rmdir(world->folder), 0);
}

struct story {
	struct op op;
	struct http *http;
	struct http_request request;
	struct nap nap;
};

static void story_step(struct op *op)
{
	struct story *story = container_of(op, struct story, op);

	if (op->state == 0) {
		http_start(op, &story->request, story->http);
		return op_wait(op, 1);
	}
	if (op_failed(&story->request.op))
		op->err = story->request.op.err;
	op_done(op);
}

static const struct op_type story_type = {.name = "story", .step = story_step};

/* One request; the caller releases story->request. */
static void ask(struct world *world, struct story *story, const char *method, const char *path)
{
	char url[256];

	snprintf(url, sizeof(url), "http://seawall%s", path);
	story->http = world->http;
	story->request.url = url;
	story->request.method = method;
	if (!story->request.unix_socket)
		story->request.unix_socket = world->path;
	loop_run_op(world->loop, &story->op, &story_type);
}

static void a_request_finds_its_route_with_its_parts_query_and_body(void **state)
{
	struct world world;
	struct story story = {.request = {.body = "hello", .body_bytes = 5}};

	(void)state;
	world_begin(&world);
	ask(&world, &story, "POST", "/v1/things/a%20b/parts/c?q=x%26y%2Bz");
	assert_int_equal(story.request.status, 201);
	assert_string_equal(buf_text(&story.request.answer), "a b|c|x&y+z|hello");
	assert_string_equal(http_header(&story.request, "Seawall-Result"), "sto  red");
	http_release(&story.request);
	world_end(&world);
}

static unsigned status_of(struct world *world, const char *method, const char *path)
{
	struct story story = {.http = NULL};
	unsigned status;

	ask(world, &story, method, path);
	status = story.request.status;
	http_release(&story.request);
	return status;
}

static void what_is_no_route_is_404_and_a_wrong_method_405(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	assert_int_equal(status_of(&world, "GET", "/"), 404);
	assert_int_equal(status_of(&world, "GET", "/v1/views"), 404);
	assert_int_equal(status_of(&world, "GET", "/v1/vie"), 404);
	assert_int_equal(status_of(&world, "POST", "/v1/things//parts/c"), 404);
	assert_int_equal(status_of(&world, "POST", "/v1/things/a/b/parts/c"), 404);
	assert_int_equal(status_of(&world, "DELETE", "/v1/view"), 405);
	assert_int_equal(status_of(&world, "GET", "/v1/view?q=a%00b"), 201);
	world_end(&world);
}

static void a_reply_may_come_later_and_the_loop_sleeps_meanwhile(void **state)
{
	struct world world;
	struct story story = {.http = NULL};

	(void)state;
	world_begin(&world);
	ask(&world, &story, "GET", "/v1/later");
	assert_int_equal(story.request.status, 200);
	assert_string_equal(buf_text(&story.request.answer), "late");
	assert_true(loop_turns(world.loop) < 60);
	assert_int_equal(listener_open(world.listener), 0);
	http_release(&story.request);
	world_end(&world);
}

static void a_stream_comes_in_pieces_and_ends(void **state)
{
	struct world world;
	struct story story = {.http = NULL};

	(void)state;
	world_begin(&world);
	ask(&world, &story, "GET", "/v1/stream");
	assert_int_equal(story.request.status, 200);
	assert_string_equal(buf_text(&story.request.answer), "piece 0\npiece 1\npiece 2\n");
	assert_true(loop_turns(world.loop) < 100);
	http_release(&story.request);
	world_end(&world);
	assert_int_equal(world.streams_ended, 1);
}

static bool take_one(struct http_request *request, const void *bytes, size_t length,
                     struct err *err)
{
	(void)request;
	(void)bytes;
	(void)length;
	return err_set(err, ERR_FAILED, "enough");
}

static void a_stream_whose_reader_left_is_ended(void **state)
{
	struct world world;
	struct story story = {.request = {.take = take_one}};

	(void)state;
	world_begin(&world);
	ask(&world, &story, "GET", "/v1/stream");
	assert_int_equal(story.op.err.code, ERR_FAILED);
	http_release(&story.request);
	world_end(&world);
	assert_int_equal(world.streams_ended, 1);
}

static void a_client_that_left_leaves_the_exchange_to_its_handler(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	/* a client that leaves before it was heard shows nothing */
	for (int64_t whole_ms = 50; !world.later; whole_ms *= 4) {
		struct story story = {.request = {.whole_ms = whole_ms}};

		assert_true(whole_ms < 60 * 1000);
		ask(&world, &story, "GET", "/v1/never");
		assert_int_equal(story.op.err.code, ERR_TIMEOUT);
		http_release(&story.request);
	}
	assert_int_equal(listener_open(world.listener), 1);
	assert_int_equal(status_of(&world, "GET", "/v1/view"), 201); /* others go on */
	exchange_reply(world.later, 200, "text/plain", NULL);
	assert_int_equal(listener_open(world.listener), 0);
	world_end(&world);
}

static void a_body_or_a_head_that_is_too_long_is_refused(void **state)
{
	struct world world;
	static char big[200 * 1024];
	struct story story = {.request = {.body = big, .body_bytes = EXCHANGE_BODY_MAX}};
	static char header[40 * 1024];
	const char *const headers[] = {header, NULL};

	(void)state;
	memset(big, 'x', sizeof(big));
	world_begin(&world);
	ask(&world, &story, "POST", "/v1/things/a/parts/c");
	assert_int_equal(story.request.status, 201);
	http_release(&story.request);
	story = (struct story){.request = {.body = big, .body_bytes = sizeof(big)}};
	ask(&world, &story, "POST", "/v1/things/a/parts/c");
	assert_int_equal(story.request.status, 413);
	http_release(&story.request);
	memset(header, 'h', sizeof(header) - 1);
	memcpy(header, "X: ", 3);
	story = (struct story){.request = {.header = headers}};
	ask(&world, &story, "GET", "/v1/view");
	assert_true(story.request.status == 431 || story.request.status == 0);
	http_release(&story.request);
	assert_int_equal(status_of(&world, "GET", "/v1/view"), 201);
	world_end(&world);
}

static void the_socket_is_closed_to_others_and_served_by_one(void **state)
{
	struct world world;
	struct stat file;
	struct err err = {0};
	struct listener *second;

	(void)state;
	world_begin(&world);
	assert_int_equal(stat(world.path, &file), 0);
	assert_int_equal(file.st_mode & 0777, 0600);
	second = listener_new(world.loop, routes, NULL);
	assert_false(listener_add_unix(second, world.path, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.text, "another seawall serves socket"));
	listener_free(second);
	assert_int_equal(status_of(&world, "GET", "/v1/view"), 201);
	world_end(&world);
}

static void a_socket_file_that_nobody_serves_is_replaced_and_another_file_is_not(void **state)
{
	struct world world;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct err err = {0};
	char other[128];
	FILE *file;
	int fd;

	(void)state;
	world_begin(&world);
	snprintf(other, sizeof(other), "%s/stale", world.folder);
	strcpy(address.sun_path, other);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_true(listener_add_unix(world.listener, other, &err));
	snprintf(other, sizeof(other), "%s/file", world.folder);
	file = fopen(other, "w");
	assert_non_null(file);
	fclose(file);
	assert_false(listener_add_unix(world.listener, other, &err));
	assert_int_equal(err.code, ERR_CONFIG);
	unlink(other);
	world_end(&world);
}

static void a_socket_that_was_deleted_is_bound_again(void **state)
{
	struct world world;
	struct err err = {0};

	(void)state;
	world_begin(&world);
	assert_true(listener_unix_intact(world.listener));
	assert_int_equal(unlink(world.path), 0);
	assert_false(listener_unix_intact(world.listener));
	assert_true(listener_rebind_unix(world.listener, &err));
	assert_true(listener_unix_intact(world.listener));
	assert_int_equal(status_of(&world, "GET", "/v1/view"), 201);
	world_end(&world);
}

static void tcp_is_loopback_only_shows_views_only_and_a_port_in_use_is_an_error(void **state)
{
	struct world world;
	struct err err = {0};
	char url[128], address[64];
	struct story story;
	const char *const evil[] = {"Host: evil.example", NULL};

	(void)state;
	world_begin(&world);
	assert_false(listener_add_tcp(world.listener, "0.0.0.0:0", &err));
	assert_int_equal(err.code, ERR_CONFIG);
	err_clear(&err);
	assert_true(listener_add_tcp(world.listener, "127.0.0.1:0", &err));
	snprintf(address, sizeof(address), "127.0.0.1:%u", listener_port(world.listener));
	assert_false(listener_add_tcp(world.listener, address, &err));
	assert_int_equal(err.code, ERR_IO);
	for (unsigned i = 0; i < 3; i++) {
		story = (struct story){.http = world.http};
		snprintf(url, sizeof(url), "http://%s%s", address,
		         i == 1 ? "/v1/later" : "/v1/view");
		story.request.url = url;
		story.request.header = i == 2 ? evil : NULL;
		loop_run_op(world.loop, &story.op, &story_type);
		assert_int_equal(story.request.status, i == 0 ? 201 : 403);
		http_release(&story.request);
	}
	world_end(&world);
}

/* As another user, in a process of its own: connects and sends a request by hand. */
static void stranger(const char *path, int out)
{
	static const char request[] = "GET /v1/view HTTP/1.1\r\nHost: x\r\n\r\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char answer[64] = "";
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	if (setuid(65534) == 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    write(fd, request, strlen(request)) > 0 && read(fd, answer, sizeof(answer) - 1) > 0 &&
	    write(out, answer, strlen(answer)) > 0)
		_exit(0);
	_exit(1);
}

struct wait_story {
	struct op op;
	struct watch watch;
	int fd;
};

static void wait_step(struct op *op)
{
	struct wait_story *story = container_of(op, struct wait_story, op);

	if (op->state == 0) {
		watch_start(op, &story->watch, story->fd, WATCH_READ, 10000);
		return op_wait(op, 1);
	}
	op_done(op);
}

static const struct op_type wait_type = {.name = "wait", .step = wait_step};

static void nap_step(struct op *op)
{
	struct story *story = container_of(op, struct story, op);

	if (op->state == 0) {
		nap_start(op, &story->nap, 20);
		return op_wait(op, 1);
	}
	op_done(op);
}

static const struct op_type nap_op_type = {.name = "rest", .step = nap_step};

static unsigned connect_some(const struct world *world, int *fd, unsigned count)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	unsigned made = 0;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", world->path);
	for (; made < count; made++) {
		fd[made] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(fd[made] >= 0);
		if (connect(fd[made], (struct sockaddr *)&address, sizeof(address)) == 0)
			continue;
		close(fd[made]); /* the queue is full: the server has its turn first */
		break;
	}
	return made;
}

/* More than are let in; when they have left, the next one is heard. */
static void after_too_many_connections_it_listens_again(void **state)
{
	enum { CLIENTS = LISTENER_CONNECTIONS_MAX + 20 };
	struct world world;
	struct story story = {.http = NULL};
	int fd[CLIENTS];
	unsigned made = 0;

	(void)state;
	world_begin(&world);
	for (unsigned round = 0; round < 10; round++) {
		made += connect_some(&world, fd + made, CLIENTS - made);
		loop_run_op(world.loop, &story.op, &nap_op_type);
	}
	assert_int_equal(made, CLIENTS);
	for (unsigned i = 0; i < made; i++)
		close(fd[i]);
	loop_run_op(world.loop, &story.op, &nap_op_type);
	loop_run_op(world.loop, &story.op, &nap_op_type);
	story.request.whole_ms = 10000;
	ask(&world, &story, "GET", "/v1/view");
	assert_int_equal(story.request.status, 201);
	http_release(&story.request);
	world_end(&world);
}

static void another_user_gets_403_even_when_the_file_lets_it_in(void **state)
{
	struct world world;
	struct wait_story story;
	char answer[64] = "";
	int ends[2];
	pid_t child;

	(void)state;
	if (geteuid() != 0)
		skip();
	world_begin(&world);
	assert_int_equal(chmod(world.folder, 0755), 0);
	assert_int_equal(chmod(world.path, 0666), 0);
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0)
		stranger(world.path, ends[1]);
	story.fd = ends[0];
	loop_run_op(world.loop, &story.op, &wait_type);
	assert_true(read(ends[0], answer, sizeof(answer) - 1) > 0);
	assert_non_null(strstr(answer, " 403 "));
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(ends[0]);
	close(ends[1]);
	world_end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_request_finds_its_route_with_its_parts_query_and_body),
	        cmocka_unit_test(what_is_no_route_is_404_and_a_wrong_method_405),
	        cmocka_unit_test(a_reply_may_come_later_and_the_loop_sleeps_meanwhile),
	        cmocka_unit_test(a_stream_comes_in_pieces_and_ends),
	        cmocka_unit_test(a_stream_whose_reader_left_is_ended),
	        cmocka_unit_test(a_client_that_left_leaves_the_exchange_to_its_handler),
	        cmocka_unit_test(a_body_or_a_head_that_is_too_long_is_refused),
	        cmocka_unit_test(the_socket_is_closed_to_others_and_served_by_one),
	        cmocka_unit_test(
	                a_socket_file_that_nobody_serves_is_replaced_and_another_file_is_not),
	        cmocka_unit_test(a_socket_that_was_deleted_is_bound_again),
	        cmocka_unit_test(
	                tcp_is_loopback_only_shows_views_only_and_a_port_in_use_is_an_error),
	        cmocka_unit_test(after_too_many_connections_it_listens_again),
	        cmocka_unit_test(another_user_gets_403_even_when_the_file_lets_it_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
