/* Connections, as far as they go without a server: wrong strings, nobody there, a peer that is
 * silent, a cancel. The rest is in tests/pg and tests/versions. */
#include "pg/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "unit/base/loopback.h"

struct story {
	struct op op;
	struct session session;
	struct session_open open;
	struct query query;
	const char *connect;
	int64_t timeout_ms;
	struct timer cancel;
};

static void story_step(struct op *op)
{
	struct story *story = container_of(op, struct story, op);

	if (op->state == 0) {
		session_open_start(op, &story->open, &story->session, story->connect,
		                   story->timeout_ms);
		return op_wait(op, 1);
	}
	if (op_failed(&story->open.op)) {
		op->err = story->open.op.err;
		return op_fail_own(op);
	}
	session_close(&story->session);
	op_done(op);
}

static const struct op_type story_type = {.name = "story", .step = story_step};

static void open_fails(const char *connect, int64_t timeout_ms, enum err_code code)
{
	struct loop *loop = loop_new(&(struct loop_options){.workers = 1});
	struct story story = {.connect = connect, .timeout_ms = timeout_ms};

	loop_run_op(loop, &story.op, &story_type);
	if (story.op.err.code != code)
		print_message("%s\n", story.op.err.text);
	assert_int_equal(story.op.err.code, code);
	assert_null(story.session.conn);
	session_close(&story.session);
	assert_true(loop_turns(loop) < 100);
	loop_free(loop);
}

static void a_wrong_connection_string_is_a_configuration_error(void **state)
{
	(void)state;
	open_fails("nonsense", 0, ERR_CONFIG);
	open_fails("hots=localhost", 0, ERR_CONFIG);
	open_fails("host='open", 0, ERR_CONFIG);
}

static void nobody_at_the_socket_is_a_network_error_with_a_hint(void **state)
{
	(void)state;
	open_fails("host=/nonexistent", 0, ERR_NETWORK);
	open_fails("host=/nonexistent,/also-nonexistent port=1,2", 0, ERR_NETWORK);
}

static void a_refused_port_is_a_network_error_for_every_address_of_the_name(void **state)
{
	char connect[128];
	unsigned port;
	int fd = loopback_listen(&port);

	(void)state;
	close(fd);
	snprintf(connect, sizeof(connect), "host=localhost,127.0.0.1 port=%u", port);
	open_fails(connect, 0, ERR_NETWORK);
	snprintf(connect, sizeof(connect), "host=localhost,/nonexistent port=%u,5432", port);
	open_fails(connect, 0, ERR_NETWORK);
}

static void a_silent_server_ends_in_time_and_the_loop_sleeps_meanwhile(void **state)
{
	char connect[128];
	unsigned port;
	int fd = loopback_listen(&port); /* accepts by its backlog, and never answers */
	int64_t before = clock_mono_us();

	(void)state;
	snprintf(connect, sizeof(connect), "host=127.0.0.1 port=%u", port);
	open_fails(connect, 200, ERR_TIMEOUT);
	assert_true(clock_mono_us() - before >= 200000);
	close(fd);
}

static void cancel_fired(struct timer *timer)
{
	op_cancel(&container_of(timer, struct story, cancel)->op);
}

static void a_cancel_ends_the_connecting(void **state)
{
	struct loop *loop = loop_new(&(struct loop_options){.workers = 1});
	struct story story = {.timeout_ms = 60000};
	char connect[128];
	unsigned port;
	int fd = loopback_listen(&port);

	(void)state;
	snprintf(connect, sizeof(connect), "host=localhost port=%u", port);
	story.connect = connect;
	timer_init(&story.cancel, loop, cancel_fired);
	timer_set(&story.cancel, 50);
	loop_run_op(loop, &story.op, &story_type);
	assert_int_equal(story.op.err.code, ERR_CANCELLED);
	timer_release(&story.cancel);
	close(fd);
	loop_free(loop);
}

static void ask_step(struct op *op)
{
	struct story *story = container_of(op, struct story, op);

	if (op->state == 0) {
		query_start(op, &story->query, &story->session,
		            &(struct query_text){.sql = "SELECT 1"});
		return op_wait(op, 1);
	}
	if (op_failed(&story->query.op)) {
		op->err = story->query.op.err;
		return op_fail_own(op);
	}
	op_done(op);
}

static const struct op_type ask_type = {.name = "ask", .step = ask_step};

static void a_query_on_a_closed_session_is_a_network_error(void **state)
{
	struct loop *loop = loop_new(&(struct loop_options){.workers = 1});
	struct story story = {.connect = ""};

	(void)state;
	loop_run_op(loop, &story.op, &ask_type);
	assert_int_equal(story.op.err.code, ERR_NETWORK);
	query_release(&story.query);
	session_close(&story.session);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_wrong_connection_string_is_a_configuration_error),
	        cmocka_unit_test(nobody_at_the_socket_is_a_network_error_with_a_hint),
	        cmocka_unit_test(a_refused_port_is_a_network_error_for_every_address_of_the_name),
	        cmocka_unit_test(a_silent_server_ends_in_time_and_the_loop_sleeps_meanwhile),
	        cmocka_unit_test(a_cancel_ends_the_connecting),
	        cmocka_unit_test(a_query_on_a_closed_session_is_a_network_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
