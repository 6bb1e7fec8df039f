/*
 * Archiving and fetching with every store call and every durable call failing once.
 *
 * Whatever fails: "stored" is said only of what can be read back whole, "absent" only of what was
 * never stored, a delivered file is the archived one, and the next try without the fault succeeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/job/push.h"
#include "base/fault.h"
#include "fault/world.h"
#include "job/adopt.h"
#include "repo/object.h"

/* ---- tests ---- */

static void segments_are_archived_ahead_and_answered_from_memory(void **state)
{
	struct world *world = world_new();
	struct archiver *archiver = archiver_new(&world->site, 4);
	struct archiver_figures figures;
	unsigned puts;

	(void)state;
	for (unsigned i = 0; i < SEGMENTS; i++)
		assert_int_equal(archive(world, archiver, segment_text(i), NULL), ANSWER_STORED);
	world_settle(world); /* an owner note is put, too */
	puts = store_mem_calls(store_name, STORE_PUT);
	for (unsigned i = 0; i < SEGMENTS; i++)
		assert_int_equal(archive(world, archiver, segment_text(i), NULL), ANSWER_STORED);
	world_settle(world);
	assert_int_equal(store_mem_calls(store_name, STORE_PUT), puts);
	archiver_figures(archiver, &figures);
	assert_int_equal(figures.stored, SEGMENTS);
	archiver_end(world, archiver);
	world_free(world);
}

/* The world's repository is in files from now on, below its data directory's neighbour. */
static char *repository_in_files(struct world *world, char root[64])
{
	char url[96];
	struct err err = {0};
	struct store *store;
	struct repo_init *init;

	snprintf(root, 64, "/tmp/seawall-wal.XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(url, sizeof(url), "file://%s/repo", root);
	repo_free(world->repo);
	assert_true(store_open(world->loop,
	                       &(struct store_options){.url = url, .label = "test", .create = true},
	                       &store, &err));
	world->site.repo = world->repo = repo_new(store, world->site.blocks);
	init = repo_init_new(world->repo);
	run(world, start_init, init);
	assert_false(op_failed(repo_init_op(init)));
	repo_init_free(init);
	return xasprintf("%s/repo", root);
}

/* "Stored" is not said from memory of a repository that does not hold it. */
static void memory_answers_only_for_what_the_repository_still_holds(void **state)
{
	struct world *world = world_new();
	struct archiver *archiver = archiver_new(&world->site, 2);
	char base[64];
	AUTO_FREE char *root = repository_in_files(world, base);
	AUTO_FREE char *away = path_join(base, "away");
	AUTO_FREE char *cluster = path_join(root, "main");
	struct archiver_figures figures;
	struct fetcher *fetcher;
	struct err err = {0};

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(archive(world, archiver, segment_text(0), NULL), ANSWER_STORED);
	archiver_figures(archiver, &figures);
	assert_int_equal(figures.repeated, 0); /* the second time was from memory */
	world_settle(world); /* whoever puts something meanwhile makes folders at the old place */
	assert_int_equal(rename(root, away), 0);
	assert_int_equal(archive(world, archiver, segment_text(0), &err), ANSWER_FAILED);
	world_settle(world);
	assert_int_equal(mkdir(root, 0700), 0);
	assert_int_equal(archive(world, archiver, segment_text(0), &err), ANSWER_FAILED);
	assert_int_equal(err.code, ERR_STORE);
	world_settle(world);
	assert_int_equal(rmdir(root), 0);
	assert_int_equal(rename(away, root), 0);
	assert_int_equal(archive(world, archiver, segment_text(0), NULL), ANSWER_STORED);
	world_settle(world);
	assert_true(file_remove_tree(cluster, &err));
	assert_int_equal(archive(world, archiver, segment_text(0), NULL), ANSWER_STORED);
	fetcher = fetcher_make(world);
	assert_int_equal(fetch(world, fetcher, 0, &err), ANSWER_DELIVERED);
	fetcher_end(world, fetcher);
	archiver_end(world, archiver);
	world_free(world);
	assert_true(file_remove_tree(base, &err));
}

/* Whoever stored it may have been killed before its folder was synced. */
static void what_was_accepted_damaged_is_on_disk_before_it_is_success(void **state)
{
	struct world *world = world_new();
	uint8_t *bytes = craft_segment(&world->craft, 0);
	char base[64];
	AUTO_FREE char *root = repository_in_files(world, base);
	unsigned synced = 0, passed = 1;
	struct err err;

	(void)state;
	bytes[CRAFT_SEGMENT_BYTES / 2 + 1000] ^= 1;
	folder_ready(world->folder, segment_text(0), bytes, CRAFT_SEGMENT_BYTES);
	for (unsigned n = 0; n <= passed; n++) {
		struct archiver *archiver = archiver_new(&world->site, 0);
		unsigned begun = fault_count();
		bool stored;

		fault_plan_fail(n);
		stored =
		        archive_as(world, archiver, segment_text(0), n == 0, &err) == ANSWER_STORED;
		fault_plan_fail(0);
		passed = MAX(passed, fault_count() - begun);
		synced += !stored && strstr(err.text, "could not sync folder");
		archiver_end(world, archiver);
	}
	assert_true(synced > 0);
	world_free(world);
	assert_true(file_remove_tree(base, &err));
}

/* Until the store was asked for so many puts. */
struct putting {
	struct op op;
	unsigned puts;
};

static void putting_step(struct op *op)
{
	struct putting *putting = container_of(op, struct putting, op);

	if (store_mem_calls(store_name, STORE_PUT) < putting->puts)
		return op_wait(op, 0); /* one turn of the loop */
	op_done(op);
}

/* What lies under the name now is not what is on its way. */
static void a_file_that_was_exchanged_while_it_was_stored_is_not_answered_for(void **state)
{
	static const struct op_type putting_type = {.name = "putting", .step = putting_step};
	struct world *world = world_new();
	struct archiver *archiver = archiver_new(&world->site, 0);
	struct archive_ask first = {.archiver = archiver, .folder = world->folder, .wait_ms = 1};
	struct putting putting = {0};
	char path[256];
	struct craft other;
	enum answer answer;
	struct err err;

	(void)state;
	assert_int_equal(archive(world, archiver, segment_text(1), NULL), ANSWER_STORED);
	store_mem_plan(store_name, &(struct mem_fault){.verb = STORE_PUT,
	                                               .effect = MEM_DELAY,
	                                               .nth = 1,
	                                               .part = segment_text(0),
	                                               .ms = 200});
	putting.puts = store_mem_calls(store_name, STORE_PUT) + 1;
	snprintf(path, sizeof(path), "pg_wal/%s", segment_text(0));
	first.path = path;
	run(world, start_ask, &first);
	assert_int_equal(first.answer, ANSWER_WORKING);
	loop_run_op(world->loop, &putting.op, &putting_type);
	craft_init(&other, FIRST_SEGNO, 2);
	craft_filler(&other, 77);
	craft_fill(&other, 0);
	folder_ready(world->folder, segment_text(0), craft_segment(&other, 0), CRAFT_SEGMENT_BYTES);
	craft_release(&other);
	do
		answer = archive(world, archiver, segment_text(0), &err);
	while (answer == ANSWER_WORKING);
	assert_int_equal(answer, ANSWER_FAILED);
	archiver_end(world, archiver);
	world_free(world);
}

static void start_adopt(struct op *parent, void *what)
{
	adopt_start(parent, what);
}

/* What was stored before it, ahead of PostgreSQL's question, is in the archive that has ended. */
static void what_is_remembered_is_not_in_a_generation_that_was_begun_since(void **state)
{
	struct world *world = world_new();
	struct archiver *archiver = archiver_new(&world->site, 2);
	struct adopt adopt = {
	        .site = &world->site, .folder = world->folder, .new_generation = true};
	struct fetcher *fetcher = fetcher_make(world);
	struct err err;

	(void)state;
	folder_ready(world->folder, "00000002.history", "1\t0/500000\tone\n", 15);
	assert_int_equal(archive(world, archiver, "00000002.history", NULL), ANSWER_STORED);
	assert_int_equal(archive(world, archiver, segment_text(0), NULL), ANSWER_STORED);
	world_settle(world);
	folder_ready(world->folder, "00000002.history", "1\t0/600000\tother\n", 17);
	assert_int_equal(archive(world, archiver, "00000002.history", &err), ANSWER_FAILED);
	assert_int_equal(err.code, ERR_EXISTS);
	world_settle(world);
	run(world, start_adopt, &adopt);
	assert_false(op_failed(&adopt.op));
	adopt_release(&adopt);
	for (unsigned i = 1; i < SEGMENTS; i++) {
		assert_int_equal(archive(world, archiver, segment_text(i), NULL), ANSWER_STORED);
		assert_int_equal(fetch(world, fetcher, i, &err), ANSWER_DELIVERED);
	}
	world_settle(world);
	fetcher_end(world, fetcher);
	archiver_end(world, archiver);
	world_free(world);
}

/* Doubts a destination while the catalog of its generation is listed. */
struct doubter {
	struct op op;
	struct push_destination *destination;
	unsigned lists;
};

static void doubter_step(struct op *op)
{
	struct doubter *doubter = container_of(op, struct doubter, op);

	if (store_mem_calls(store_name, STORE_LIST) < doubter->lists)
		return op_wait(op, 0); /* one turn of the loop */
	push_destination_doubt(doubter->destination);
	op_done(op);
}

static void start_push(struct op *parent, void *what)
{
	push_start(parent, what);
}

static void a_destination_that_is_doubted_during_its_look_up_is_looked_up_again(void **state)
{
	static const struct op_type doubter_type = {.name = "doubter", .step = doubter_step};
	struct world *world = world_new();
	AUTO_FREE char *path = path_join(world->folder, "pg_wal");
	AUTO_FREE char *file = path_join(path, segment_text(0));
	struct push_destination destination;
	struct push push = {.site = &world->site,
	                    .destination = &destination,
	                    .folder = world->folder,
	                    .path = file};
	unsigned before = store_mem_calls(store_name, STORE_LIST);
	struct doubter doubter = {.destination = &destination, .lists = before + 2};

	(void)state;
	push_destination_init(&destination);
	assert_true(walname_parse(segment_text(0), &push.name));
	store_mem_plan(store_name, &(struct mem_fault){.verb = STORE_LIST,
	                                               .effect = MEM_DELAY,
	                                               .nth = 1,
	                                               .part = "/timeline/",
	                                               .ms = 100});
	op_start_root(world->loop, &doubter.op, &doubter_type, NULL);
	run(world, start_push, &push);
	world_settle(world);
	assert_false(op_failed(&push.op));
	assert_true(destination.known);
	/* the generations of the cluster and the histories of the one, twice */
	assert_int_equal(store_mem_calls(store_name, STORE_LIST) - before, 2 * 2);
	push_destination_release(&destination);
	world_free(world);
}

static void d51_the_same_content_again_is_success_after_a_restart(void **state)
{
	struct world *world = world_new();

	(void)state;
	for (int round = 0; round < 2; round++) {
		struct archiver *archiver = archiver_new(&world->site, 0);
		struct archiver_figures figures;

		assert_int_equal(archive(world, archiver, segment_text(0), NULL), ANSWER_STORED);
		archiver_figures(archiver, &figures);
		assert_int_equal(figures.repeated, round);
		archiver_end(world, archiver);
	}
	world_free(world);
}

static void d19_other_content_is_refused_and_set_aside_and_the_first_stays(void **state)
{
	struct world *world = world_new();
	struct archiver *archiver = archiver_new(&world->site, 0);
	struct fetcher *fetcher = fetcher_make(world);
	struct craft other;
	struct err err;

	(void)state;
	assert_int_equal(archive(world, archiver, segment_text(0), NULL), ANSWER_STORED);
	craft_init(&other, FIRST_SEGNO, 2);
	craft_filler(&other, 77);
	craft_fill(&other, 0);
	folder_ready(world->folder, segment_text(0), craft_segment(&other, 0), CRAFT_SEGMENT_BYTES);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(archive(world, archiver, segment_text(0), &err), ANSWER_FAILED);
		assert_int_equal(err.code, ERR_EXISTS);
		assert_non_null(strstr(err.text, "other content"));
	}
	craft_release(&other);
	assert_int_equal(fetch(world, fetcher, 0, &err), ANSWER_DELIVERED);
	fetcher_end(world, fetcher);
	archiver_end(world, archiver);
	world_free(world);
}

static void a_damaged_segment_is_refused_and_nothing_is_stored(void **state)
{
	struct world *world = world_new();
	struct archiver *archiver = archiver_new(&world->site, 0);
	uint8_t *bytes = craft_segment(&world->craft, 0);
	struct err err;

	(void)state;
	bytes[CRAFT_SEGMENT_BYTES / 2 + 1000] ^= 1;
	folder_ready(world->folder, segment_text(0), bytes, CRAFT_SEGMENT_BYTES);
	assert_int_equal(archive(world, archiver, segment_text(0), &err), ANSWER_FAILED);
	assert_int_equal(err.code, ERR_DAMAGED);
	bytes[CRAFT_SEGMENT_BYTES / 2 + 1000] ^= 1;
	folder_ready(world->folder, segment_text(0), bytes, CRAFT_SEGMENT_BYTES - 1);
	assert_int_equal(archive(world, archiver, segment_text(0), &err), ANSWER_FAILED);
	assert_non_null(strstr(err.text, "bytes"));
	folder_ready(world->folder, segment_text(0), bytes, CRAFT_SEGMENT_BYTES);
	assert_int_equal(archive(world, archiver, segment_text(0), &err), ANSWER_STORED);
	archiver_end(world, archiver);
	world_free(world);
}

static void d40_a_foreign_segment_and_a_clone_are_refused(void **state)
{
	struct world *world = world_new();
	struct archiver *archiver = archiver_new(&world->site, 0);
	struct err err;

	(void)state;
	folder_control(world->folder, CRAFT_SYSTEM + 1);
	assert_int_equal(archive(world, archiver, segment_text(0), &err), ANSWER_FAILED);
	assert_int_equal(err.code, ERR_REFUSED);
	folder_control(world->folder, CRAFT_SYSTEM);
	folder_write(world->folder, "seawall.clone", "", 0);
	assert_int_equal(archive(world, archiver, segment_text(0), &err), ANSWER_FAILED);
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.text, "clone"));
	archiver_end(world, archiver);
	world_free(world);
}

static void d41_a_history_file_that_failed_once_is_stored_by_the_next_try(void **state)
{
	static const char history[] = "1\t0/500000\tno recovery target specified\n";
	struct world *world = world_new();
	struct archiver *archiver = archiver_new(&world->site, 2);
	struct err err;

	(void)state;
	folder_ready(world->folder, "00000002.history", history, sizeof(history) - 1);
	store_mem_plan(store_name, &(struct mem_fault){.verb = STORE_PUT,
	                                               .effect = MEM_FAIL,
	                                               .nth = 1,
	                                               .part = "00000002.history",
	                                               .code = ERR_STORE});
	assert_int_equal(archive(world, archiver, "00000002.history", &err), ANSWER_FAILED);
	assert_non_null(strstr(err.text, "00000002.history"));
	assert_int_equal(archive(world, archiver, "00000002.history", &err), ANSWER_STORED);
	/* another timeline 2: never over the first */
	folder_ready(world->folder, "00000002.history", "1\t0/600000\tother\n", 16);
	assert_int_equal(archive(world, archiver, "00000002.history", &err), ANSWER_FAILED);
	assert_int_equal(err.code, ERR_EXISTS);
	archiver_end(world, archiver);
	world_free(world);
}

static void what_is_no_wal_file_is_a_clear_error(void **state)
{
	struct world *world = world_new();
	struct archiver *archiver = archiver_new(&world->site, 0);
	static const char *const bad[] = {"postgresql.conf", "00000001000000000000000",
	                                  "00000000000000000000000A", "00000001000000000000000g"};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		assert_int_equal(archive(world, archiver, bad[i], &err), ANSWER_FAILED);
		assert_int_equal(err.code, ERR_USAGE);
	}
	archiver_end(world, archiver);
	world_free(world);
}

static unsigned every_store_call_of_archiving_fails_once(const struct mem_lies *lies)
{
	static const enum mem_effect effects[] = {MEM_FAIL, MEM_LOSE_ANSWER};
	unsigned hit = 0;

	for (enum store_verb verb = STORE_PUT; verb <= STORE_HEAD; verb++)
		for (size_t e = 0; e < ARRAY_LENGTH(effects); e++)
			for (unsigned n = 1;; n++) {
				struct world *world = world_lying(lies);
				struct archiver *archiver = archiver_new(&world->site, 2);
				struct fetcher *fetcher = fetcher_make(world);
				unsigned before = store_mem_calls(store_name, verb);
				bool passed;
				struct err err;

				store_mem_plan(store_name, &(struct mem_fault){.verb = verb,
				                                               .effect = effects[e],
				                                               .nth = n,
				                                               .code = ERR_STORE});
				for (unsigned i = 0; i < SEGMENTS; i++) {
					enum answer answer =
					        archive(world, archiver, segment_text(i), &err);

					if (answer == ANSWER_STORED)
						continue;
					assert_int_equal(answer, ANSWER_FAILED);
					hit++;
					assert_int_equal(
					        archive(world, archiver, segment_text(i), &err),
					        ANSWER_STORED);
				}
				passed = store_mem_calls(store_name, verb) - before < n;
				store_mem_plan_clear(store_name);
				for (unsigned i = 0; i < SEGMENTS; i++)
					assert_int_equal(fetch(world, fetcher, i, &err),
					                 ANSWER_DELIVERED);
				fetcher_end(world, fetcher);
				archiver_end(world, archiver);
				world_free(world);
				if (passed)
					break;
			}
	return hit;
}

static void d04_every_store_call_of_archiving_fails_once_and_nothing_is_half_there(void **state)
{
	(void)state;
	assert_in_range(every_store_call_of_archiving_fails_once(&(struct mem_lies){0}), SEGMENTS,
	                1000); /* the plan was not missed */
}

/* The same with claims: each is written and listed before an object is. */
static void d04_also_in_a_store_that_overwrites(void **state)
{
	(void)state;
	assert_in_range(every_store_call_of_archiving_fails_once(
	                        &(struct mem_lies){.create_only = MEM_IGNORED}),
	                5 * SEGMENTS, 1000);
}

static void d01_every_store_call_of_fetching_fails_once_and_is_never_taken_for_the_end(void **state)
{
	(void)state;
	for (enum store_verb verb = STORE_GET; verb <= STORE_HEAD; verb++)
		for (unsigned n = 1;; n++) {
			struct world *world = world_new();
			struct archiver *archiver = archiver_new(&world->site, 2);
			struct fetcher *fetcher = fetcher_make(world);
			unsigned before;
			bool passed;
			struct err err;

			folder_write(world->folder, "recovery.signal", "", 0);
			for (unsigned i = 0; i < SEGMENTS; i++)
				assert_int_equal(archive(world, archiver, segment_text(i), NULL),
				                 ANSWER_STORED);
			before = store_mem_calls(store_name, verb);
			store_mem_plan(store_name, &(struct mem_fault){.verb = verb,
			                                               .effect = MEM_FAIL,
			                                               .nth = n,
			                                               .code = ERR_STORE});
			for (unsigned i = 0; i < SEGMENTS; i++)
				assert_int_equal(fetch(world, fetcher, i, &err), ANSWER_DELIVERED);
			assert_int_equal(fetch(world, fetcher, SEGMENTS, &err), ANSWER_ABSENT);
			passed = store_mem_calls(store_name, verb) - before < n;
			fetcher_end(world, fetcher);
			archiver_end(world, archiver);
			world_free(world);
			if (passed)
				break;
		}
}

static void a_damaged_object_is_never_delivered(void **state)
{
	struct world *world = world_new();
	struct archiver *archiver = archiver_new(&world->site, 0);
	struct fetcher *fetcher = fetcher_make(world);
	struct err err;

	(void)state;
	assert_int_equal(archive(world, archiver, segment_text(0), NULL), ANSWER_STORED);
	store_mem_plan(store_name, &(struct mem_fault){.verb = STORE_GET,
	                                               .effect = MEM_FLIP,
	                                               .nth = MEM_EVERY,
	                                               .part = segment_text(0),
	                                               .bytes = 3000});
	assert_int_equal(fetch(world, fetcher, 0, &err), ANSWER_FAILED);
	assert_int_equal(err.code, ERR_DAMAGED);
	fetcher_end(world, fetcher);
	archiver_end(world, archiver);
	world_free(world);
}

static void every_durable_call_of_delivering_fails_once_and_nothing_half_is_delivered(void **state)
{
	(void)state;
	for (unsigned n = 1;; n++) {
		struct world *world = world_new();
		struct archiver *archiver = archiver_new(&world->site, 0);
		struct fetcher *fetcher = fetcher_new(
		        &(struct fetcher_options){.site = &world->site, .ahead_max = 0});
		unsigned begun, passed;
		struct err err;
		enum answer answer;

		assert_int_equal(archive(world, archiver, segment_text(0), NULL), ANSWER_STORED);
		begun = fault_count();
		fault_plan_fail(n);
		answer = fetch(world, fetcher, 0, &err);
		passed = fault_count() - begun;
		fault_plan_fail(0);
		if (answer != ANSWER_DELIVERED)
			assert_int_equal(answer, ANSWER_FAILED);
		assert_int_equal(fetch(world, fetcher, 0, &err), ANSWER_DELIVERED);
		fetcher_end(world, fetcher);
		archiver_end(world, archiver);
		world_free(world);
		if (passed < n)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(segments_are_archived_ahead_and_answered_from_memory),
	        cmocka_unit_test(memory_answers_only_for_what_the_repository_still_holds),
	        cmocka_unit_test(what_was_accepted_damaged_is_on_disk_before_it_is_success),
	        cmocka_unit_test(a_file_that_was_exchanged_while_it_was_stored_is_not_answered_for),
	        cmocka_unit_test(what_is_remembered_is_not_in_a_generation_that_was_begun_since),
	        cmocka_unit_test(
	                a_destination_that_is_doubted_during_its_look_up_is_looked_up_again),
	        cmocka_unit_test(d51_the_same_content_again_is_success_after_a_restart),
	        cmocka_unit_test(d19_other_content_is_refused_and_set_aside_and_the_first_stays),
	        cmocka_unit_test(a_damaged_segment_is_refused_and_nothing_is_stored),
	        cmocka_unit_test(d40_a_foreign_segment_and_a_clone_are_refused),
	        cmocka_unit_test(d41_a_history_file_that_failed_once_is_stored_by_the_next_try),
	        cmocka_unit_test(what_is_no_wal_file_is_a_clear_error),
	        cmocka_unit_test(
	                d04_every_store_call_of_archiving_fails_once_and_nothing_is_half_there),
	        cmocka_unit_test(d04_also_in_a_store_that_overwrites),
	        cmocka_unit_test(
	                d01_every_store_call_of_fetching_fails_once_and_is_never_taken_for_the_end),
	        cmocka_unit_test(a_damaged_object_is_never_delivered),
	        cmocka_unit_test(
	                every_durable_call_of_delivering_fails_once_and_nothing_half_is_delivered),
	};

	fault_hurry(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
