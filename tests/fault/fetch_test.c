/*
 * fetch_test.c — questions of a recovery that come, go, and meet each other; spools that vanish;
 * standbys.
 */
#include "fault/world.h"

#include "base/clock.h"
#include "job/rest.h"
#include "loop/nap.h"

static void archive_all(struct world *world)
{
	struct archiver *archiver = archiver_new(&world->site, 0);

	for (unsigned i = 0; i < SEGMENTS; i++)
		assert_int_equal(archive(world, archiver, segment_text(i), NULL), ANSWER_STORED);
	archiver_end(world, archiver);
}

static void archive_history(struct world *world, const char *name, const char *text)
{
	struct archiver *archiver = archiver_new(&world->site, 0);

	folder_ready(world->folder, name, text, strlen(text));
	assert_int_equal(archive(world, archiver, name, NULL), ANSWER_STORED);
	archiver_end(world, archiver);
}

/* One or two questions, side by side; an early end lets the second go first. */
struct pair {
	struct op op;
	struct fetch_ask ask[2];
	struct nap nap;
};

static void pair_step(struct op *op)
{
	struct pair *pair = container_of(op, struct pair, op);

	switch (op->state) {
	case 0:
		fetch_ask_start(op, &pair->ask[0]);
		fetch_ask_start(op, &pair->ask[1]);
		return op_wait(op, 1);
	default:
		op_done(op);
	}
}

static const struct op_type pair_type = {.name = "pair", .step = pair_step};

static struct fetch_ask question(struct world *world, struct fetcher *fetcher, unsigned i,
                                 const char *path)
{
	return (struct fetch_ask){.fetcher = fetcher,
	                          .folder = world->folder,
	                          .name = segment_text(i),
	                          .path = path,
	                          .wait_ms = WAIT_MS};
}

static void assert_segment(struct world *world, const char *file, unsigned i)
{
	AUTO_FREE char *path = path_join(world->folder, file);
	AUTO_BUF struct buf bytes;
	struct err err = {0};

	buf_init(&bytes, 2 * CRAFT_SEGMENT_BYTES);
	assert_true(file_read_all(path, &bytes, &err));
	assert_int_equal(bytes.length, CRAFT_SEGMENT_BYTES);
	assert_memory_equal(bytes.data, craft_segment(&world->craft, i), CRAFT_SEGMENT_BYTES);
}

static void start_nap(struct op *parent, void *what)
{
	nap_start(parent, what, 10);
}

static void wait_for_prefetched(struct world *world, struct fetcher *fetcher, unsigned count)
{
	int64_t deadline_us = clock_mono_us() + 30 * US_PER_S;
	struct fetcher_figures figures;
	struct nap nap;

	for (;;) {
		fetcher_figures(fetcher, &figures);
		if (figures.prefetched >= count)
			return;
		assert_true(clock_mono_us() < deadline_us);
		run(world, start_nap, &nap);
	}
}

static void a_spool_that_was_removed_is_filled_again(void **state)
{
	struct world *world = world_new();
	struct fetcher *fetcher = fetcher_make(world);
	AUTO_FREE char *spool = path_join(world->folder, "pg_wal/seawall.spool");
	struct err err = {0};

	(void)state;
	archive_all(world);
	folder_write(world->folder, "recovery.signal", "", 0);
	assert_int_equal(fetch(world, fetcher, 0, &err), ANSWER_DELIVERED);
	wait_for_prefetched(world, fetcher, 2);
	assert_true(file_remove_tree(spool, &err));
	assert_int_equal(fetch(world, fetcher, 1, &err), ANSWER_DELIVERED);
	assert_int_equal(fetch(world, fetcher, 2, &err), ANSWER_DELIVERED);
	fetcher_end(world, fetcher);
	world_free(world);
}

static void only_what_was_prefetched_says_that_a_recovery_catches_up(void **state)
{
	struct world *world = world_new();
	struct haste haste = {0};
	struct fetcher *fetcher;
	struct err err = {0};

	(void)state;
	world->site.haste = &haste;
	fetcher = fetcher_make(world);
	archive_all(world);
	folder_write(world->folder, "recovery.signal", "", 0);
	assert_int_equal(fetch(world, fetcher, 0, &err), ANSWER_DELIVERED);
	assert_int_equal(haste.until_ms, 0);
	wait_for_prefetched(world, fetcher, 1);
	assert_int_equal(fetch(world, fetcher, 1, &err), ANSWER_DELIVERED);
	assert_true(haste.until_ms > 0);
	fetcher_end(world, fetcher);
	world_free(world);
}

static void one_file_asked_for_at_two_paths_is_delivered_at_both(void **state)
{
	struct world *world = world_new();
	struct fetcher *fetcher = fetcher_make(world);
	struct pair pair = {0};

	(void)state;
	archive_all(world);
	folder_write(world->folder, "recovery.signal", "", 0);
	pair.ask[0] = question(world, fetcher, 0, "pg_wal/RECOVERYXLOG");
	pair.ask[1] = question(world, fetcher, 0, "pg_wal/another");
	loop_run_op(world->loop, &pair.op, &pair_type);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pair.ask[i].answer, ANSWER_DELIVERED);
		assert_segment(world, pair.ask[i].path, 0);
	}
	fetcher_end(world, fetcher);
	world_free(world);
}

/* The hook of a server that was stopped still waits; the new server asks for another file. */
static void a_question_takes_its_path_from_the_one_before(void **state)
{
	struct world *world = world_new();
	struct fetcher *fetcher = fetcher_make(world);
	struct pair pair = {0};

	(void)state;
	archive_all(world);
	folder_write(world->folder, "recovery.signal", "", 0);
	pair.ask[0] = question(world, fetcher, 1, "pg_wal/RECOVERYXLOG");
	pair.ask[1] = question(world, fetcher, 0, "pg_wal/RECOVERYXLOG");
	loop_run_op(world->loop, &pair.op, &pair_type);
	/* the two begin in any order: one of them was the later, and that is what lies there */
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pair.ask[i].answer == ANSWER_DELIVERED,
		                 pair.ask[!i].answer == ANSWER_WORKING);
	assert_segment(world, "pg_wal/RECOVERYXLOG",
	               pair.ask[0].answer == ANSWER_DELIVERED ? 1 : 0);
	fetcher_end(world, fetcher);
	world_free(world);
}

static void a_standby_whose_archive_has_not_begun_asks_again(void **state)
{
	struct world *world = world_new();
	struct fetcher *fetcher = fetcher_make(world);
	struct err err = {0};

	(void)state;
	folder_write(world->folder, "standby.signal", "", 0);
	assert_int_equal(fetch(world, fetcher, 0, &err), ANSWER_ABSENT);
	fetcher_end(world, fetcher);
	world_free(world);
}

static void d03_the_dead_branch_is_never_delivered_and_a_standby_may_go_on(void **state)
{
	static const char *const signals[] = {"recovery.signal", "standby.signal"};

	(void)state;
	for (unsigned s = 0; s < ARRAY_LENGTH(signals); s++) {
		struct world *world = world_new();
		struct fetcher *fetcher = fetcher_make(world);
		struct err err = {0};

		archive_all(world);
		archive_history(world, "00000002.history", "1\t0/600100\tno reason\n");
		folder_write(world->folder, signals[s], "", 0);
		assert_int_equal(fetch(world, fetcher, 0, &err), ANSWER_DELIVERED);
		/* a standby hears "not there" and then looks for the newer timeline itself */
		assert_int_equal(fetch(world, fetcher, 1, &err), s ? ANSWER_ABSENT : ANSWER_FAILED);
		assert_int_equal(fetch(world, fetcher, 2, &err), s ? ANSWER_ABSENT : ANSWER_FAILED);
		fetcher_end(world, fetcher);
		world_free(world);
	}
}

/* The store is asked again each time: nothing negative is remembered. */
static void what_was_absent_is_delivered_as_soon_as_it_is_there(void **state)
{
	struct world *world = world_new();
	struct fetcher *fetcher = fetcher_make(world);
	struct archiver *archiver = archiver_new(&world->site, 0);
	struct err err = {0};

	(void)state;
	folder_write(world->folder, "recovery.signal", "", 0);
	assert_int_equal(archive(world, archiver, segment_text(0), NULL), ANSWER_STORED);
	assert_int_equal(fetch(world, fetcher, 1, &err), ANSWER_ABSENT);
	assert_int_equal(archive(world, archiver, segment_text(1), NULL), ANSWER_STORED);
	assert_int_equal(fetch(world, fetcher, 1, &err), ANSWER_DELIVERED);
	fetcher_end(world, fetcher);
	archiver_end(world, archiver);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_spool_that_was_removed_is_filled_again),
	        cmocka_unit_test(only_what_was_prefetched_says_that_a_recovery_catches_up),
	        cmocka_unit_test(one_file_asked_for_at_two_paths_is_delivered_at_both),
	        cmocka_unit_test(a_question_takes_its_path_from_the_one_before),
	        cmocka_unit_test(a_standby_whose_archive_has_not_begun_asks_again),
	        cmocka_unit_test(d03_the_dead_branch_is_never_delivered_and_a_standby_may_go_on),
	        cmocka_unit_test(what_was_absent_is_delivered_as_soon_as_it_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
