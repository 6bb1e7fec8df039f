/* site_test.c — that a repository is silent, told by one process of a host to those after it. */
#include "store/place.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../../src/job/nearest.h"
#include "../base/scratch.h"
#include "base/clock.h"
#include "codec/sealed.h"
#include "job/site.h"
#include "store/mem.h"

static struct loop *loop;

static int setup(void **state)
{
	(void)state;
	loop = loop_new(&(struct loop_options){.workers = 1, .worker_end = codec_thread_end});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

/* The cluster "main" at repositories "a" and "b", as a process has it that asks once. */
struct process {
	struct site a, b;
};

static void process_begin(struct process *process, const char *folder)
{
	const struct site site = {.loop = loop, .cluster = "main", .state = folder, .hints = true};

	process->a = process->b = site;
	process->a.repository = "a";
	process->b.repository = "b";
	process->a.next = &process->b;
}

static bool tries(const char *folder, struct err *ret_why)
{
	struct process process;
	bool tried;

	process_begin(&process, folder);
	tried = site_try(&process.a);
	if (ret_why)
		*ret_why = process.a.away;
	return tried;
}

/* A process asks it, and that is how it ends. */
static void asked(const char *folder, enum err_code code)
{
	struct process process;
	struct err err = {0};

	process_begin(&process, folder);
	assert_true(site_try(&process.a));
	if (code)
		err_set(&err, code, "nothing came for 10000 ms");
	site_note(&process.a, code ? &err : NULL);
}

static char *hint_of(const char *folder)
{
	return path_join(folder, "silent.main@a");
}

static void hint_write(const char *folder, int64_t until_us)
{
	AUTO_FREE char *path = hint_of(folder);
	AUTO_FREE char *text =
	        xasprintf("{\"since_us\": %lld, \"until_us\": %lld, \"error\": "
	                  "\"it was gone\"}",
	                  (long long)(clock_now_us() - US_PER_S), (long long)until_us);
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(file_write_full(fd, text, strlen(text)));
}

static bool hint_is_there(const char *folder)
{
	AUTO_FREE char *path = hint_of(folder);

	return access(path, F_OK) == 0;
}

static void what_one_process_waited_for_the_next_one_passes_over(void **state)
{
	struct process other;
	struct err why;

	assert_true(tries(*state, NULL));
	assert_false(hint_is_there(*state));
	asked(*state, ERR_NETWORK);
	assert_false(tries(*state, &why));
	assert_int_equal(why.code, ERR_NETWORK);
	assert_string_equal(why.text, "nothing came for 10000 ms");
	assert_false(tries(*state, NULL));
	process_begin(&other, *state); /* it is that one only, */
	assert_true(site_try(&other.b));
	other.a.cluster = "second"; /* of that cluster, */
	assert_true(site_try(&other.a));
	process_begin(&other, *state);
	other.a.hints = false; /* and nothing to a process that lives and finds out by itself */
	assert_true(site_try(&other.a));
}

static void later_one_process_finds_out_for_all(void **state)
{
	struct process one;
	struct err why;

	hint_write(*state, clock_now_us() - 1);
	process_begin(&one, *state);
	assert_true(site_try(&one.a));
	assert_false(tries(*state, &why));
	assert_string_equal(why.text, "it was gone");
	err_set(&why, ERR_TIMEOUT, "still nothing");
	site_note(&one.a, &why);
	assert_false(tries(*state, &why));
	assert_string_equal(why.text, "still nothing");
	site_note(&one.a, NULL);
	assert_false(hint_is_there(*state));
	assert_true(tries(*state, NULL));
}

static void any_answer_is_one_and_what_may_be_wrong_here_alone_is_not_told(void **state)
{
	static const enum err_code alone[] = {ERR_IO, ERR_FULL, ERR_STORE, ERR_CONFIG,
	                                      ERR_INTERNAL};
	static const enum err_code answers[] = {ERR_NONE, ERR_NOTFOUND, ERR_DAMAGED};

	for (size_t i = 0; i < ARRAY_LENGTH(alone); i++) {
		asked(*state, alone[i]);
		assert_false(hint_is_there(*state));
	}
	for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
		hint_write(*state, clock_now_us() - 1);
		asked(*state, answers[i]);
		assert_false(hint_is_there(*state));
	}
}

static void a_hint_holds_for_half_a_minute_whatever_stands_in_it(void **state)
{
	int64_t probe_us = 1000 * (int64_t)SITE_PROBE_MS;

	hint_write(*state, clock_now_us() + probe_us - 5 * US_PER_S);
	assert_false(tries(*state, NULL));
	hint_write(*state,
	           clock_now_us() + probe_us + 60 * US_PER_S); /* a clock that was set back */
	assert_true(tries(*state, NULL));
	hint_write(*state, INT64_MAX);
	assert_true(tries(*state, NULL));
	hint_write(*state, INT64_MIN);
	assert_true(tries(*state, NULL));
	assert_false(tries(*state, NULL)); /* who was the first finds out now */
}

static void what_cannot_be_read_is_no_hint(void **state)
{
	static const char *const texts[] = {
	        "",
	        "{",
	        "nothing",
	        "[]",
	        "{}",
	        "{\"since_us\": 1, \"until_us\": 2}",
	        "{\"since_us\": \"1\", \"until_us\": 9223372036854775807, \"error\": \"x\"}",
	        "{\"since_us\": 1, \"until_us\": 99999999999999999999, \"error\": \"x\"}"};
	AUTO_FREE char *path = hint_of(*state), *missing = path_join(*state, "missing");
	AUTO_FREE char *long_text = xcalloc(1, 100001);

	for (size_t i = 0; i <= ARRAY_LENGTH(texts); i++) {
		const char *text =
		        i < ARRAY_LENGTH(texts) ? texts[i] : memset(long_text, '1', 100000);
		AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		assert_true(file_write_full(fd, text, strlen(text)));
		assert_true(tries(*state, NULL));
	}
	asked(*state, ERR_NETWORK); /* and it is written over */
	assert_false(tries(*state, NULL));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	asked(*state, ERR_NETWORK);
	assert_true(tries(*state, NULL));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	asked(*state, ERR_NETWORK);
	assert_true(tries(*state, NULL));
	asked("/dev/null/state", ERR_NETWORK); /* a folder that cannot be made */
	assert_true(tries("/dev/null/state", NULL));
	asked(missing, ERR_NETWORK); /* and one that was not there yet */
	assert_false(tries(missing, NULL));
}

/* ---- what a hint means to a reader ---- */

static void start_init(struct op *parent, void *init)
{
	repo_init_start(parent, init);
}

static void make_empty(struct site *site, const char *url)
{
	struct store *store = open_place(loop, url, true);
	struct repo_init *init;

	site->blocks = blocks_new(loop, 2 * BLOCKS_SEAL * (uint64_t)BLOCK_BYTES);
	site->repo = repo_new(store, site->blocks);
	init = repo_init_new(site->repo);
	assert_true(run_child(loop, start_init, repo_init_op(init)));
	repo_init_free(init);
}

static void remove_place(struct site *site, const char *name)
{
	repo_free(site->repo);
	blocks_free(site->blocks);
	store_mem_forget(name);
}

static enum err_code look(struct process *process)
{
	struct nearest_generation look = {.nearest.first = &process->a, .system_identifier = 77};

	RUN(loop, nearest_generation_start, &look);
	return look.nearest.op.err.code;
}

static void a_hint_is_never_the_word_that_something_is_not_there(void **state)
{
	struct process process;

	process_begin(&process, *state);
	make_empty(&process.a, "mem:a");
	make_empty(&process.b, "mem:b");
	hint_write(*state, clock_now_us() + 20 * US_PER_S);
	assert_int_equal(look(&process), ERR_NETWORK);
	process.a.away_until_ms = loop_now_ms(loop);
	assert_int_equal(look(&process), ERR_NOTFOUND);
	assert_false(hint_is_there(*state));
	remove_place(&process.a, "a");
	remove_place(&process.b, "b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        in_scratch(what_one_process_waited_for_the_next_one_passes_over),
	        in_scratch(later_one_process_finds_out_for_all),
	        in_scratch(any_answer_is_one_and_what_may_be_wrong_here_alone_is_not_told),
	        in_scratch(a_hint_holds_for_half_a_minute_whatever_stands_in_it),
	        in_scratch(what_cannot_be_read_is_no_hint),
	        in_scratch(a_hint_is_never_the_word_that_something_is_not_there),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
