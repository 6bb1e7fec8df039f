/* rest_test.c — what may wait lets a recovery go first, and is not starved by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../../src/job/fetch_item.h"
#include "../../../src/job/indexer_segment.h"
#include "job/rest.h"
#include "loop/loop.h"
#include "../base/scratch.h"

static struct loop *loop;

static int setup(void **state)
{
	(void)state;
	loop = loop_new(&(struct loop_options){.workers = 1});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

static void nothing_rests_without_a_recovery(void **state)
{
	struct haste haste = {0};

	(void)state;
	assert_false(haste_rests(&haste, 0));
	assert_false(haste_rests(&haste, 1000000));
	assert_false(haste_rests(NULL, 5));
	haste_note(NULL, 5);
}

static void the_background_rests_until_a_moment_after_the_last_delivery(void **state)
{
	struct haste haste = {0};

	(void)state;
	haste_note(&haste, 1000);
	assert_true(haste_rests(&haste, 1000));
	assert_true(haste_rests(&haste, 1000 + HASTE_MS - 1));
	haste_note(&haste, 1000 + HASTE_MS - 1);
	assert_true(haste_rests(&haste, 1000 + 2 * HASTE_MS - 2));
	assert_false(haste_rests(&haste, 1000 + 2 * HASTE_MS - 1));
}

/* A standby that catches up for an hour, a segment each second. */
static void a_recovery_without_end_leaves_a_share_to_the_background(void **state)
{
	struct haste haste = {0};
	int64_t rested_ms = 0, longest_ms = 0, worked = 0;

	(void)state;
	for (int64_t now_ms = 1; now_ms < 3600 * 1000; now_ms += 100) {
		if (now_ms % 1000 == 1)
			haste_note(&haste, now_ms);
		if (haste_rests(&haste, now_ms)) {
			rested_ms += 100;
			longest_ms = MAX(longest_ms, rested_ms);
		} else {
			rested_ms = 0;
			worked++;
		}
	}
	assert_int_equal(longest_ms, HASTE_REST_MS);
	assert_in_range(worked * 100, 3600 * 1000 / 12, 3600 * 1000 / 10);
}

/* ---- two processes of one host ---- */

static struct haste in_folder(const char *folder)
{
	struct haste haste = {0};

	haste_share(&haste, folder);
	return haste;
}

static void who_recovers_in_one_process_lets_those_of_another_rest(void **state)
{
	struct haste restore = in_folder(*state), server = in_folder(*state);

	assert_false(haste_rests(&server, 1000)); /* the first look only sees how it is */
	haste_note(&restore, 77);                 /* each process has a clock of its own */
	assert_false(haste_rests(&server, 1000 + HASTE_TELL_MS - 1));
	assert_true(haste_rests(&server, 1000 + HASTE_TELL_MS));
	assert_true(haste_rests(&server, 1000 + HASTE_TELL_MS + HASTE_MS - 1));
	assert_false(haste_rests(&server, 1000 + HASTE_TELL_MS + HASTE_MS));
	assert_false(haste_rests(&server, 1000 + 10 * HASTE_MS));
	haste_release(&restore);
	haste_release(&server);
}

static void what_a_process_told_itself_is_no_news_to_it(void **state)
{
	struct haste server = in_folder(*state);

	assert_false(haste_rests(&server, 1000));
	haste_note(&server, 5000);
	assert_true(haste_rests(&server, 5000 + HASTE_MS - 1));
	assert_false(haste_rests(&server, 5000 + HASTE_MS));
	assert_false(haste_rests(&server, 5000 + 2 * HASTE_MS));
	haste_release(&server);
}

/* The other process goes on for an hour; what it leaves to the background is the same share. */
static void a_recovery_of_another_process_without_end_leaves_a_share_too(void **state)
{
	struct haste restore = in_folder(*state), server = in_folder(*state);
	int64_t rested_ms = 0, longest_ms = 0, worked = 0;

	for (int64_t now_ms = 1; now_ms < 600 * 1000; now_ms += 100) {
		if (now_ms % 1000 == 1) {
			struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = now_ms}};

			haste_note(&restore, now_ms);
			assert_int_equal(utimensat(AT_FDCWD, restore.file, times, 0), 0);
		}
		if (haste_rests(&server, now_ms)) {
			rested_ms += 100;
			longest_ms = MAX(longest_ms, rested_ms);
		} else {
			rested_ms = 0;
			worked++;
		}
	}
	assert_int_equal(longest_ms, HASTE_REST_MS);
	assert_in_range(worked * 100, 600 * 1000 / 12, 600 * 1000 / 10);
	haste_release(&restore);
	haste_release(&server);
}

static void set_time(const char *file, int64_t seconds)
{
	struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

	assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
}

static void a_file_that_was_left_behind_or_is_of_the_future_makes_nobody_rest_for_long(void **state)
{
	struct haste restore = in_folder(*state), server = in_folder(*state);
	int64_t now_ms = 1000;

	haste_note(&restore, 1);
	for (int round = 0; round < 2; round++) {
		assert_false(haste_rests(&server, now_ms));
		set_time(restore.file, round ? 1 : INT64_C(1) << 33); /* 2242, then 1970 */
		assert_true(haste_rests(&server, now_ms + HASTE_TELL_MS));
		for (now_ms += HASTE_TELL_MS + HASTE_MS; now_ms < 60 * 1000; now_ms += 100)
			assert_false(haste_rests(&server, now_ms));
		now_ms = 100 * 1000;
	}
	haste_note(&restore, 10 * HASTE_TELL_MS); /* the clock is right again */
	assert_true(haste_rests(&server, 200 * 1000));
	haste_release(&restore);
	haste_release(&server);
}

/* Neither a missing nor a spoiled place is anybody's error; each process still knows of itself. */
static void without_a_file_every_process_knows_of_itself(void **state)
{
	AUTO_FREE char *missing = path_join(*state, "missing"),
	               *spoiled = path_join(*state, "spoiled");
	AUTO_FREE char *place = path_join(spoiled, "recovering");

	assert_int_equal(mkdir(spoiled, 0700), 0);
	for (int kind = 0; kind < 3; kind++) {
		const char *folder = kind ? spoiled : missing;
		struct haste restore = in_folder(folder), server = in_folder(folder);

		if (kind == 1)
			assert_int_equal(mkdir(place, 0700), 0);
		if (kind == 2) {
			assert_int_equal(rmdir(place), 0);
			assert_int_equal(mkfifo(place, 0600), 0);
		}
		assert_false(haste_rests(&server, 1000));
		haste_note(&restore, 1000);
		assert_true(haste_rests(&restore, 1000));
		assert_false(haste_rests(&server, 1000 + HASTE_TELL_MS));
		haste_release(&restore);
		haste_release(&server);
	}
}

/* ---- as an operation ---- */

struct sleeper {
	struct op op;
	struct rest rest;
	struct haste haste;
	bool ended, cancel;
};

static void sleeper_step(struct op *op)
{
	struct sleeper *sleeper = container_of(op, struct sleeper, op);

	if (op->state == 0) {
		int64_t now_ms = loop_now_ms(op->loop);

		sleeper->haste =
		        (struct haste){.begun_ms = now_ms, .until_ms = now_ms + 3600 * 1000};
		sleeper->rest.haste = &sleeper->haste;
		rest_start(op, &sleeper->rest);
		return op_wait(op, 1);
	}
	sleeper->ended = true;
	op_done(op);
}

static const struct op_type sleeper_type = {.name = "sleeper", .step = sleeper_step};

/* While the other one rests, it ends what that waits for. */
struct clockwork {
	struct timer timer;
	struct sleeper *sleeper;
};

static void clockwork_fired(struct timer *timer)
{
	struct clockwork *clockwork = container_of(timer, struct clockwork, timer);

	assert_false(clockwork->sleeper->ended);
	if (clockwork->sleeper->cancel)
		op_cancel(&clockwork->sleeper->rest.op);
	else
		clockwork->sleeper->haste = (struct haste){0};
}

static void run_sleeper(struct sleeper *sleeper)
{
	struct clockwork clockwork = {.sleeper = sleeper};

	timer_init(&clockwork.timer, loop, clockwork_fired);
	timer_set(&clockwork.timer, 1);
	loop_run_op(loop, &sleeper->op, &sleeper_type);
	timer_release(&clockwork.timer);
	assert_true(sleeper->ended);
}

static void who_rests_goes_on_when_the_recovery_has_caught_up(void **state)
{
	struct sleeper sleeper = {0};

	(void)state;
	run_sleeper(&sleeper);
	assert_false(op_failed(&sleeper.rest.op));
}

static void who_rests_can_be_cancelled(void **state)
{
	struct sleeper sleeper = {.cancel = true};

	(void)state;
	run_sleeper(&sleeper);
	assert_int_equal(sleeper.rest.op.err.code, ERR_CANCELLED);
}

/* ---- the index ---- */

struct indexing {
	struct op op;
	struct timer timer;
	struct indexer_segment segment;
};

static void indexing_fired(struct timer *timer)
{
	op_cancel(&container_of(timer, struct indexing, timer)->segment.op);
}

static void indexing_step(struct op *op)
{
	struct indexing *indexing = container_of(op, struct indexing, op);

	if (op->state == 0) {
		indexer_segment_start(op, &indexing->segment);
		return op_wait(op, 1);
	}
	op_done(op);
}

static const struct op_type indexing_type = {.name = "indexing", .step = indexing_step};

/* The site has neither pg_wal nor a repository: going on would end the test. */
static void no_segment_is_indexed_while_a_recovery_catches_up(void **state)
{
	struct haste haste = {.begun_ms = loop_now_ms(loop),
	                      .until_ms = loop_now_ms(loop) + 3600 * 1000};
	struct site site = {.loop = loop, .haste = &haste, .cluster = "main"};
	struct indexing indexing = {
	        .segment = {.site = &site, .segment_bytes = 16 << 20, .tli = 1, .segno = 1}};

	(void)state;
	timer_init(&indexing.timer, loop, indexing_fired);
	timer_set(&indexing.timer, 1);
	loop_run_op(loop, &indexing.op, &indexing_type);
	timer_release(&indexing.timer);
	assert_int_equal(indexing.segment.op.err.code, ERR_CANCELLED);
}

/* ---- prefetch ---- */

static void the_more_segments_wait_ready_the_fewer_are_on_their_way(void **state)
{
	(void)state;
	assert_int_equal(ahead_flight(0), FLIGHT_MAX);
	for (unsigned ready = 0; ready < 64; ready++) {
		assert_true(ahead_flight(ready + 1) <= ahead_flight(ready));
		assert_true(ahead_flight(ready) >= FLIGHT_MIN);
	}
	assert_int_equal(ahead_flight(8), FLIGHT_MIN);
	assert_int_equal(ahead_flight(UINT32_MAX - 1), FLIGHT_MIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nothing_rests_without_a_recovery),
	        cmocka_unit_test(the_background_rests_until_a_moment_after_the_last_delivery),
	        cmocka_unit_test(a_recovery_without_end_leaves_a_share_to_the_background),
	        in_scratch(who_recovers_in_one_process_lets_those_of_another_rest),
	        in_scratch(what_a_process_told_itself_is_no_news_to_it),
	        in_scratch(a_recovery_of_another_process_without_end_leaves_a_share_too),
	        in_scratch(
	                a_file_that_was_left_behind_or_is_of_the_future_makes_nobody_rest_for_long),
	        in_scratch(without_a_file_every_process_knows_of_itself),
	        cmocka_unit_test(who_rests_goes_on_when_the_recovery_has_caught_up),
	        cmocka_unit_test(who_rests_can_be_cancelled),
	        cmocka_unit_test(no_segment_is_indexed_while_a_recovery_catches_up),
	        cmocka_unit_test(the_more_segments_wait_ready_the_fewer_are_on_their_way),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
