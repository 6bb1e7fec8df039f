/* Jobs: their numbers and ends, who watches them, how many are kept. */
#include "server/jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loop/nap.h"
#include "net/http.h"
#include "server/listener.h"

static unsigned stories_freed;

struct slow {
	struct op op;
	struct nap nap;
	int64_t ms;
	bool fails;
};

static void slow_step(struct op *op)
{
	struct slow *slow = container_of(op, struct slow, op);

	if (op->state == 0) {
		nap_start(op, &slow->nap, slow->ms);
		return op_wait(op, 1);
	}
	if (op_failed(&slow->nap.op)) {
		op->err = slow->nap.op.err;
		return op_fail_own(op);
	}
	if (slow->fails)
		return op_fail_as(op, ERR_POSTGRES, "it said no");
	op_done(op);
}

static const struct op_type slow_type = {.name = "slow", .step = slow_step};

static void slow_start(struct op *parent, void *story)
{
	op_start(parent, &((struct slow *)story)->op, &slow_type);
}

static struct op *slow_op(void *story)
{
	return &((struct slow *)story)->op;
}

static void slow_progress(void *story, struct job_progress *ret)
{
	*ret = (struct job_progress){.phase = "waiting", .bytes_total = 10};
	if (((struct slow *)story)->op.done)
		ret->bytes_done = 10;
}

static void slow_free(void *story)
{
	stories_freed++;
	free(story);
}

static const struct job_kind slow_kind = {.name = "slow",
                                          .start = slow_start,
                                          .op = slow_op,
                                          .progress = slow_progress,
                                          .free = slow_free};

static struct job *begin(struct jobs *jobs, int64_t ms, bool fails)
{
	struct slow *slow = xcalloc(1, sizeof(*slow));
	struct err err = {.code = ERR_NONE};

	slow->ms = ms;
	slow->fails = fails;
	return jobs_start(jobs, &slow_kind, "main", slow, &err);
}

static bool shows(const struct job *job, const char *text)
{
	struct jval *object = jobject_new();
	struct buf out;
	bool found;

	buf_init(&out, 10000);
	job_json(job, object);
	assert_true(json_print(object, false, &out));
	found = strstr(buf_text(&out), text);
	if (!found)
		print_message("%s\n", buf_text(&out));
	buf_release(&out);
	jval_free(object);
	return found;
}

static void each_end_is_told_apart(void **state)
{
	struct loop *loop = loop_new(&(struct loop_options){.workers = 1});
	struct jobs *jobs = jobs_new(loop);
	struct job *done = begin(jobs, 1, false), *fails = begin(jobs, 1, true);
	struct job *stopped = begin(jobs, 60000, false);

	(void)state;
	stories_freed = 0;
	assert_int_equal(jobs_running(jobs), 3);
	assert_int_equal(jobs_find_running(jobs, "slow", "main"), 3);
	assert_int_equal(jobs_find_running(jobs, "slow", "other"), 0);
	assert_ptr_equal(jobs_find(jobs, "2"), fails);
	assert_null(jobs_find(jobs, "4"));
	assert_null(jobs_find(jobs, "2x"));
	assert_true(shows(done, "\"state\":\"running\""));
	job_cancel(stopped);
	loop_run(loop);
	assert_int_equal(jobs_running(jobs), 0);
	assert_true(shows(done, "\"state\":\"done\""));
	assert_true(shows(done, "\"bytes_done\":\"10\""));
	assert_true(shows(done, "\"exit\":0"));
	assert_true(shows(fails, "\"state\":\"failed\""));
	assert_true(shows(fails, "\"exit\":6"));
	assert_true(shows(fails, "it said no"));
	assert_true(shows(stopped, "\"state\":\"cancelled\""));
	assert_int_equal(stories_freed, 3);
	job_cancel(done); /* too late: nothing happens */
	jobs_free(jobs);
	loop_free(loop);
}

static void the_number_that_run_and_that_are_kept_is_limited(void **state)
{
	struct loop *loop = loop_new(&(struct loop_options){.workers = 1});
	struct jobs *jobs = jobs_new(loop);
	struct job *last = NULL;

	(void)state;
	stories_freed = 0;
	for (unsigned i = 0; i < JOBS_RUNNING_MAX; i++)
		assert_non_null(begin(jobs, 1, false));
	assert_null(begin(jobs, 1, false));
	assert_int_equal(stories_freed, 1);
	loop_run(loop);
	for (unsigned i = 0; i < 2 * JOBS_ENDED_MAX; i++) {
		last = begin(jobs, 0, false);
		loop_run(loop);
	}
	assert_int_equal(job_id(last), JOBS_RUNNING_MAX + 2 * JOBS_ENDED_MAX);
	assert_null(jobs_find(jobs, "1"));
	assert_ptr_equal(jobs_find(jobs, "216"), last);
	assert_non_null(jobs_find(jobs, "117"));
	assert_null(jobs_find(jobs, "116"));
	jobs_free(jobs);
	loop_free(loop);
}

/* One watcher over HTTP. */
struct watching {
	struct op op;
	struct http *http;
	struct http_request request;
};

static void watching_step(struct op *op)
{
	struct watching *watching = container_of(op, struct watching, op);

	if (op->state == 0) {
		http_start(op, &watching->request, watching->http);
		return op_wait(op, 1);
	}
	op_done(op);
}

static const struct op_type watching_type = {.name = "watching", .step = watching_step};

static void serve_watch(struct exchange *exchange)
{
	struct jobs *jobs = exchange->context;

	job_watch(jobs_find(jobs, exchange->part[0]), exchange);
}

static const struct route routes[] = {{"GET", "/*", serve_watch, 0}, {NULL}};

static void a_watcher_hears_of_progress_and_of_the_end(void **state)
{
	struct loop *loop = loop_new(&(struct loop_options){.workers = 1});
	struct jobs *jobs = jobs_new(loop);
	struct listener *listener = listener_new(loop, routes, jobs);
	struct watching watching = {.http = http_new(loop, 2)};
	char folder[] = "/tmp/seawall-jobs.XXXXXX", path[64];
	struct err err = {.code = ERR_NONE};
	const char *answer;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
	assert_true(listener_add_unix(listener, path, &err));
	assert_non_null(begin(jobs, 300, false));
	watching.request.url = "http://x/1";
	watching.request.unix_socket = path;
	loop_run_op(loop, &watching.op, &watching_type);
	answer = buf_text(&watching.request.answer);
	assert_non_null(strstr(answer, "event: progress\ndata: {"));
	assert_non_null(strstr(answer, "event: end\ndata: {"));
	assert_non_null(strstr(answer, "\"state\":\"done\""));
	http_release(&watching.request);
	http_free(watching.http);
	listener_free(listener);
	jobs_free(jobs);
	loop_free(loop);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_end_is_told_apart),
	        cmocka_unit_test(the_number_that_run_and_that_are_kept_is_limited),
	        cmocka_unit_test(a_watcher_hears_of_progress_and_of_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
