/*
 * The index follows the archive in whatever order segments come, and notices what was taken away,
 * with few requests.
 */
#include "fault/world.h"
#include "job/indexer.h"
#include "job/walparts.h"
#include "repo/lost.h"
#include "../../src/job/indexer_gap.h"

enum { MANY = 2300, MANY_FIRST = 100, TLI = 1 };

/* ---- helpers ---- */

static void start_pass(struct op *parent, void *what)
{
	indexer_pass_start(parent, what);
}
static void start_put(struct op *parent, void *what)
{
	store_put_start(parent, what);
}
static void start_remove(struct op *parent, void *what)
{
	store_remove_start(parent, what);
}
static void start_lost(struct op *parent, void *what)
{
	lost_load_start(parent, what);
}
static void start_generation(struct op *parent, void *what)
{
	generation_open_start(parent, what);
}

static void push(struct world *world, unsigned i)
{
	struct archiver *archiver = archiver_new(&world->site, 0);

	assert_int_equal(archive(world, archiver, segment_text(i), NULL), ANSWER_STORED);
	archiver_end(world, archiver);
}

static void pass_as(struct world *world, struct indexer *indexer, struct indexer_pass how)
{
	struct indexer_pass pass = how;

	pass.indexer = indexer;
	run(world, start_pass, &pass);
	if (op_failed(&pass.op))
		fail_msg("%s", pass.op.err.text);
}

static void pass(struct world *world, struct indexer *indexer)
{
	pass_as(world, indexer, (struct indexer_pass){.flush = false});
}

/* Of a generation that is there. */
static void generation_of(struct world *world, struct generation_open *ret)
{
	*ret = (struct generation_open){.repo = world->repo, .cluster = "main"};
	run(world, start_generation, ret);
	assert_false(op_failed(&ret->op));
}

static void name_of(const struct generation_open *open, uint64_t segno, char out[NAME_BYTES])
{
	char text[SEGMENT_NAME_BYTES];
	struct walname name;

	segment_name(TLI, segno, CRAFT_SEGMENT_BYTES, text);
	assert_true(walname_parse(text, &name));
	name_wal(out, open->generation, &name, NULL);
}

static void take_away(struct world *world, const struct generation_open *open, uint64_t segno)
{
	char name[NAME_BYTES];
	const char *const names[] = {name};
	struct store_remove removal = {.store = world->repo->store, .name = names, .names = 1};

	name_of(open, segno, name);
	run(world, start_remove, &removal);
	assert_false(op_failed(&removal.op));
}

static void put_back(struct world *world, const struct generation_open *open, uint64_t segno)
{
	char name[NAME_BYTES], content[] = "not read";
	const struct iovec piece = {.iov_base = content, .iov_len = sizeof(content)};
	struct store_put put = {
	        .store = world->repo->store, .name = name, .piece = &piece, .pieces = 1};

	name_of(open, segno, name);
	run(world, start_put, &put);
	assert_false(op_failed(&put.op));
}

static bool is_marked(struct world *world, const struct generation_open *open, uint64_t segno)
{
	struct lost lost = {0};
	struct lost_load load = {.repo = world->repo,
	                         .generation = open->generation,
	                         .segment_bytes = CRAFT_SEGMENT_BYTES,
	                         .ret = &lost};
	bool marked = false;

	run(world, start_lost, &load);
	assert_false(op_failed(&load.op));
	for (size_t i = 0; i < lost.count; i++)
		marked = marked || (lost.range[i].tli == TLI && lost.range[i].first <= segno &&
		                    segno <= lost.range[i].last);
	lost_release(&lost);
	return marked;
}

/* ---- in whatever order ---- */

static void a_segment_that_comes_after_the_next_one_is_indexed_when_it_comes(void **state)
{
	struct world *world = world_new();
	struct indexer *indexer = indexer_new(&world->site, false);
	const struct indexer_figures *figures = indexer_figures(indexer);

	(void)state;
	world->site.parts = walparts_new(NULL, NULL);
	push(world, 0);
	pass(world, indexer);
	assert_int_equal(figures->segments, 1);
	assert_true(indexer_look_at_ms(indexer) == INT64_MAX);
	push(world, 2);
	pass(world, indexer);
	assert_int_equal(figures->segments, 1); /* it waits for what is before it … */
	assert_true(indexer_look_at_ms(indexer) < loop_now_ms(world->loop) + GAP_WAIT_MS);
	push(world, 1);
	pass(world, indexer);
	assert_int_equal(figures->segments, 3);
	assert_int_equal(figures->from_push, 3); /* … and nothing is read for that */
	assert_int_equal(figures->written, 0);
	assert_true(indexer_look_at_ms(indexer) == INT64_MAX);
	indexer_free(indexer);
	walparts_free(world->site.parts);
	world_free(world);
}

/* Without parts (`seawall wal index`) a pass is to be complete. */
static void what_comes_late_into_an_index_that_did_not_wait_is_taken_in(void **state)
{
	struct world *world = world_new();
	struct indexer *indexer = indexer_new(&world->site, false);
	struct generation_open open;
	const struct name_index *piece;

	(void)state;
	push(world, 0);
	push(world, 2);
	pass_as(world, indexer, (struct indexer_pass){.flush = true});
	assert_int_equal(indexer_figures(indexer)->segments, 2);
	push(world, 1);
	pass_as(world, indexer, (struct indexer_pass){.flush = true});
	piece = walpieces_at(indexer_pieces(indexer), 1, FIRST_SEGNO + 1);
	assert_non_null(piece);
	assert_int_equal(piece->first, FIRST_SEGNO);
	generation_of(world, &open);
	assert_false(is_marked(world, &open, FIRST_SEGNO + 1));
	indexer_free(indexer);
	world_free(world);
}

static void a_gap_is_waited_for_a_while_and_is_a_hole_then(void **state)
{
	struct catalog catalog = {.segment_bytes = CRAFT_SEGMENT_BYTES};
	struct indexer_gap gap = {0};
	int64_t now_ms = 1000000, begun_ms;

	(void)state;
	catalog_add_segments(&catalog, 1, 1, 10);
	catalog_add_segments(&catalog, 1, 100, 200); /* an old hole */
	gap_update(&gap, &catalog, now_ms);
	assert_false(gap.waits);
	catalog_add_segments(&catalog, 1, 203, 204);
	gap_update(&gap, &catalog, now_ms);
	assert_true(gap.waits);
	assert_int_equal(gap.segno, 201);
	begun_ms = now_ms;
	catalog_add_segment(&catalog, 1, 201); /* the lowest one counts */
	gap_update(&gap, &catalog, now_ms);
	assert_int_equal(gap.segno, 202);
	for (unsigned looks = 0; gap.waits; looks++) {
		assert_in_range(gap.look_at_ms - now_ms, 1, GAP_LOOK_MS);
		assert_true(looks < 8);
		now_ms = gap.look_at_ms;
		gap_update(&gap, &catalog, now_ms);
	}
	assert_in_range(now_ms - begun_ms, GAP_WAIT_MS, GAP_WAIT_MS + GAP_LOOK_MS);
	catalog_add_segment(&catalog, 1, 206); /* another one is waited for again */
	gap_update(&gap, &catalog, now_ms);
	assert_true(gap.waits);
	assert_int_equal(gap.segno, 205);
	catalog_add_segment(&catalog, 1, 205);
	gap_update(&gap, &catalog, now_ms);
	assert_false(gap.waits);
	catalog_add_segments(&catalog, 2, 204, 205); /* on another timeline, too */
	catalog_add_segment(&catalog, 2, 207);
	gap_update(&gap, &catalog, now_ms);
	assert_true(gap.waits);
	assert_int_equal(gap.tli, 2);
	catalog_release(&catalog);
}

/* ---- what was taken away ---- */

static void what_was_taken_away_of_late_is_known_with_the_next_segment(void **state)
{
	struct world *world = world_new();
	struct indexer *indexer = indexer_new(&world->site, false);
	struct generation_open open;

	(void)state;
	push(world, 0);
	push(world, 1);
	pass_as(world, indexer, (struct indexer_pass){.flush = true});
	generation_of(world, &open);
	take_away(world, &open, FIRST_SEGNO);
	push(world, 2);
	pass(world, indexer);
	assert_true(is_marked(world, &open, FIRST_SEGNO));
	assert_false(is_marked(world, &open, FIRST_SEGNO + 1));
	assert_false(catalog_has(indexer_catalog(indexer), 1, FIRST_SEGNO));
	push(world, 0); /* and is there again */
	pass(world, indexer);
	assert_true(catalog_has(indexer_catalog(indexer), 1, FIRST_SEGNO));
	indexer_free(indexer);
	world_free(world);
}

/* One look; the requests for listings that it made beside that of the markers. */
static unsigned look(struct world *world, struct indexer *indexer)
{
	unsigned before = store_mem_calls(store_name, STORE_LIST);

	pass_as(world, indexer, (struct indexer_pass){.look = true, .only = true});
	return store_mem_calls(store_name, STORE_LIST) - before;
}

static void what_was_taken_away_of_a_long_archive_is_known_after_few_looks(void **state)
{
	static const uint64_t old[] = {MANY_FIRST + MANY / 2, MANY_FIRST + 1, FIRST_SEGNO};
	struct world *world = world_new();
	struct indexer *indexer = indexer_new(&world->site, false);
	struct generation_open open;

	(void)state;
	push(world, 0);
	generation_of(world, &open);
	for (unsigned i = 0; i < MANY; i++)
		put_back(world, &open, MANY_FIRST + i);
	pass_as(world, indexer, (struct indexer_pass){.whole = true, .only = true});
	assert_int_equal(indexer_catalog(indexer)->segments, MANY + 1);
	for (unsigned i = 0; i < 2 * MANY / STORE_LIST_MAX; i++)
		assert_in_range(look(world, indexer), 1, 2);
	take_away(world, &open, MANY_FIRST + MANY - 10);
	assert_in_range(look(world, indexer), 2, 3);
	assert_true(is_marked(world, &open, MANY_FIRST + MANY - 10));
	for (unsigned n = 0; n < ARRAY_LENGTH(old); n++) {
		unsigned looks = 0;

		take_away(world, &open, old[n]);
		for (; !is_marked(world, &open, old[n]); looks++) {
			assert_true(looks <= MANY / STORE_LIST_MAX);
			assert_in_range(look(world, indexer), 2, 3);
		}
	}
	assert_int_equal(indexer_catalog(indexer)->segments, MANY + 1 - 4);
	assert_int_equal(indexer_figures(indexer)->segments, 0);
	/* what was put there meanwhile is seen, too */
	put_back(world, &open, MANY_FIRST - 10);
	for (unsigned i = 0; i <= MANY / STORE_LIST_MAX; i++)
		look(world, indexer);
	assert_true(catalog_has(indexer_catalog(indexer), 1, MANY_FIRST - 10));
	indexer_free(indexer);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_segment_that_comes_after_the_next_one_is_indexed_when_it_comes),
	        cmocka_unit_test(what_comes_late_into_an_index_that_did_not_wait_is_taken_in),
	        cmocka_unit_test(a_gap_is_waited_for_a_while_and_is_a_hole_then),
	        cmocka_unit_test(what_was_taken_away_of_late_is_known_with_the_next_segment),
	        cmocka_unit_test(what_was_taken_away_of_a_long_archive_is_known_after_few_looks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
