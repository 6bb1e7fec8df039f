/*
 * The seam between two segments: a record that goes on into the next one is proven when its end
 * arrives, whatever was there before; and the only way past what does not prove. And the seam
 * between two generations: who wrote in the one does not go on in the other.
 */
#include "fault/world.h"
#include "job/indexer.h"
#include "repo/lost.h"
#include "../../src/job/owner_watch.h"

/* ---- helpers ---- */

/* Each answer from an archiver of its own: nothing is known from the one before. */
static enum answer push_as(struct world *world, const char *name, bool accept_damaged,
                           struct err *ret)
{
	struct archiver *archiver = archiver_new(&world->site, 0);
	struct err err = {0};
	enum answer answer = archive_as(world, archiver, name, accept_damaged, &err);

	if (ret)
		*ret = err;
	archiver_end(world, archiver);
	return answer;
}

static enum answer push(struct world *world, unsigned i, struct err *ret)
{
	return push_as(world, segment_text(i), false, ret);
}

static void refuses(struct world *world, unsigned i)
{
	struct err err;

	assert_int_equal(push(world, i, &err), ANSWER_FAILED);
	assert_int_equal(err.code, ERR_DAMAGED);
	assert_non_null(strstr(err.text, "does not go on as the WAL before it"));
	assert_non_null(strstr(err.hint, "--accept-damaged"));
}

static void write_segment(struct world *world, unsigned i)
{
	folder_ready(world->folder, segment_text(i), craft_segment(&world->craft, i),
	             CRAFT_SEGMENT_BYTES);
}

static void flip(struct world *world, unsigned i, size_t offset)
{
	craft_segment(&world->craft, i)[offset] ^= 1;
	write_segment(world, i);
}

static void forget_file(struct world *world, unsigned i)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/pg_wal/%s", world->folder, segment_text(i));
	assert_int_equal(unlink(path), 0);
}

static void start_marks(struct op *parent, void *context)
{
	lost_load_start(parent, context);
}

/* What the repository says of a segment. */
static enum harm_word mark_of(struct world *world, unsigned i)
{
	struct harm harm = {0};
	struct lost lost = {0};
	char generation[NAME_GENERATION_MAX];
	struct lost_load load = {.repo = world->repo,
	                         .generation = generation,
	                         .segment_bytes = CRAFT_SEGMENT_BYTES,
	                         .ret = &lost,
	                         .harm = &harm};
	const struct harm_mark *mark;
	enum harm_word word;

	name_generation(generation, "main", CRAFT_SYSTEM, 15, 1);
	run(world, start_marks, &load);
	assert_false(op_failed(&load.op));
	mark = harm_at(&harm, world->repo, 1, FIRST_SEGNO + i);
	word = mark ? mark->name.word : HARM_GOOD;
	if (mark)
		assert_int_equal(mark->name.n, 1);
	harm_release(&harm);
	lost_release(&lost);
	return word;
}

enum { LAST_BYTE = CRAFT_SEGMENT_BYTES - 1, TAIL_BYTE = 40 + 3 };

/* ---- tests ---- */

static void a_record_damaged_where_it_begins_is_found_when_its_end_arrives(void **state)
{
	struct world *world = world_new();

	(void)state;
	flip(world, 0, LAST_BYTE);
	assert_int_equal(push(world, 0, NULL), ANSWER_STORED); /* nobody can know yet */
	refuses(world, 1);
	refuses(world, 1);
	assert_int_equal(push(world, 2, NULL), ANSWER_STORED); /* its own seam is good */
	flip(world, 0, LAST_BYTE);
	assert_int_equal(push(world, 1, NULL), ANSWER_STORED);
	world_free(world);
}

static void a_record_damaged_where_it_ends_is_found_in_any_order(void **state)
{
	struct world *world = world_new();

	(void)state;
	flip(world, 1, TAIL_BYTE);
	refuses(world, 1);
	assert_int_equal(push(world, 0, NULL), ANSWER_STORED);
	refuses(world, 1);
	flip(world, 1, TAIL_BYTE);
	assert_int_equal(push(world, 1, NULL), ANSWER_STORED);
	world_free(world);
}

/* Nothing about the seam is open then, and the repository is not asked about it. */
static void a_segment_that_is_damaged_in_its_middle_is_refused_whatever_is_before_it(void **state)
{
	struct world *world = world_new();
	struct err err;

	(void)state;
	for (unsigned before = 0; before < 2; before++) {
		flip(world, 1, CRAFT_SEGMENT_BYTES / 2 + 100);
		assert_int_equal(push(world, 1, &err), ANSWER_FAILED);
		assert_int_equal(err.code, ERR_DAMAGED);
		assert_non_null(strstr(err.hint, "Look for what damages it"));
		flip(world, 1, CRAFT_SEGMENT_BYTES / 2 + 100);
		assert_int_equal(push(world, 0, NULL), ANSWER_STORED);
	}
	world_free(world);
}

static void a_segment_before_that_was_recycled_is_read_from_the_repository(void **state)
{
	struct world *world = world_new();

	(void)state;
	assert_int_equal(push(world, 0, NULL), ANSWER_STORED);
	forget_file(world, 0);
	flip(world, 1, TAIL_BYTE);
	refuses(world, 1);
	flip(world, 1, TAIL_BYTE);
	assert_int_equal(push(world, 1, NULL), ANSWER_STORED);
	world_free(world);
}

static void a_segment_that_was_damaged_here_after_it_was_archived_stops_nothing(void **state)
{
	struct world *world = world_new();
	struct archiver *archiver = archiver_new(&world->site, 0);
	struct archiver_figures figures;
	struct err err;

	(void)state;
	assert_int_equal(push(world, 0, NULL), ANSWER_STORED);
	flip(world, 0, LAST_BYTE);
	assert_int_equal(archive(world, archiver, segment_text(1), NULL), ANSWER_STORED);
	archiver_figures(archiver, &figures);
	assert_string_equal(figures.suspect, segment_text(0));
	forget_file(world, 0); /* it was recycled: nobody has to care any more */
	archiver_figures(archiver, &figures);
	assert_string_equal(figures.suspect, "");
	archiver_end(world, archiver);
	/* the segment itself is the damaged one */
	assert_int_equal(push(world, 2, NULL), ANSWER_STORED);
	flip(world, 1, LAST_BYTE);
	flip(world, 2, TAIL_BYTE);
	assert_int_equal(push(world, 2, &err), ANSWER_FAILED);
	assert_int_equal(err.code, ERR_DAMAGED);
	assert_non_null(strstr(err.text, "neither in pg_wal nor in the repository"));
	world_free(world);
}

static void a_segment_before_that_cannot_be_opened_is_read_from_the_repository(void **state)
{
	struct world *world = world_new();
	char path[256], elsewhere[256];

	(void)state;
	assert_int_equal(push(world, 0, NULL), ANSWER_STORED);
	snprintf(path, sizeof(path), "%s/pg_wal/%s", world->folder, segment_text(0));
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", world->folder);
	assert_int_equal(rename(path, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, path), 0); /* O_NOFOLLOW */
	assert_int_equal(push(world, 1, NULL), ANSWER_STORED);
	world_free(world);
}

static void what_the_repository_has_before_is_damaged_is_refused_and_said(void **state)
{
	struct world *world = world_new();
	char object[NAME_BYTES];
	uint64_t at = 4000;
	struct err err;

	(void)state;
	/* damaged already when it was stored: nobody could know */
	flip(world, 0, LAST_BYTE);
	assert_int_equal(push(world, 0, NULL), ANSWER_STORED);
	forget_file(world, 0);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(push(world, 1, &err), ANSWER_FAILED);
		assert_int_equal(err.code, ERR_DAMAGED);
		assert_non_null(strstr(err.text, "as the WAL before it in the repository, from"));
		assert_non_null(strstr(err.hint, "seawall verify"));
	}
	assert_int_equal(mark_of(world, 0), HARM_GOOD); /* it may as well be the other */
	/* with a damaged one here as well, each is named */
	write_segment(world, 0);
	refuses(world, 1);
	/* stored bytes rot */
	assert_int_equal(push_as(world, segment_text(1), true, NULL), ANSWER_STORED);
	assert_int_equal(push(world, 2, NULL), ANSWER_STORED);
	forget_file(world, 1);
	snprintf(object, sizeof(object), "main/%llu-15-1/wal/00000001/00000000/%s",
	         (unsigned long long)CRAFT_SYSTEM, segment_text(1));
	while (store_mem_damage(store_name, object, at))
		at += 4000;
	flip(world, 2, CRAFT_SEGMENT_BYTES / 2 + 1000); /* not what is stored */
	assert_int_equal(push(world, 2, &err), ANSWER_FAILED);
	assert_int_equal(err.code, ERR_DAMAGED);
	assert_non_null(strstr(err.text, "the segment before it is damaged in the repository"));
	assert_non_null(strstr(err.text, object));
	world_free(world);
}

static void what_does_not_open_before_is_marked_and_once(void **state)
{
	struct world *world = world_new();
	char object[NAME_BYTES];
	uint64_t at = 4000;
	struct err err;

	(void)state;
	assert_int_equal(push(world, 0, NULL), ANSWER_STORED);
	forget_file(world, 0);
	snprintf(object, sizeof(object), "main/%llu-15-1/wal/00000001/00000000/%s",
	         (unsigned long long)CRAFT_SYSTEM, segment_text(0));
	while (store_mem_damage(store_name, object, at))
		at += 4000;
	for (int round = 0; round < 2; round++) {
		assert_int_equal(push(world, 1, &err), ANSWER_FAILED);
		assert_non_null(
		        strstr(err.text, "the segment before it is damaged in the repository"));
		assert_int_equal(mark_of(world, 0), HARM_DAMAGED);
	}
	assert_int_equal(mark_of(world, 1), HARM_GOOD); /* it is not there */
	world_free(world);
}

static void where_archiving_begins_nothing_can_be_said_of_the_seam(void **state)
{
	struct world *world = world_new();

	(void)state;
	forget_file(world, 0);
	assert_int_equal(push(world, 1, NULL), ANSWER_STORED);
	world_free(world);
}

/* The beginning of another record of the same length: all is right but the chain. */
static void a_segment_of_another_branch_is_not_taken_for_the_next(void **state)
{
	struct world *world = world_new();
	struct craft other;

	(void)state;
	craft_init(&other, FIRST_SEGNO, 1 + 1);
	craft_filler(&other, 77);
	craft_fill(&other, 0);
	folder_ready(world->folder, segment_text(0), craft_segment(&other, 0), CRAFT_SEGMENT_BYTES);
	craft_release(&other);
	refuses(world, 1);
	world_free(world);
}

static void what_was_accepted_damaged_is_success_ever_after(void **state)
{
	struct world *world = world_new();
	struct fetcher *fetcher;
	struct err err;

	(void)state;
	flip(world, 0, CRAFT_SEGMENT_BYTES / 2 + 1000);
	flip(world, 2, TAIL_BYTE);
	assert_int_equal(push(world, 0, &err), ANSWER_FAILED);
	refuses(world, 2);
	for (unsigned i = 0; i < 3; i += 2) {
		assert_int_equal(push_as(world, segment_text(i), true, NULL), ANSWER_STORED);
		for (int round = 0; round < 2; round++)
			assert_int_equal(push(world, i, NULL), ANSWER_STORED);
		assert_int_equal(mark_of(world, i), HARM_ACCEPTED);
	}
	assert_int_equal(mark_of(world, 1), HARM_GOOD);
	/* but no recovery is given it as good, and no other content is */
	fetcher = fetcher_make(world);
	assert_int_not_equal(fetch(world, fetcher, 0, &err), ANSWER_DELIVERED);
	assert_int_equal(err.code, ERR_DAMAGED);
	fetcher_end(world, fetcher);
	assert_int_equal(mark_of(world, 0), HARM_ACCEPTED); /* and not only damaged */
	flip(world, 0, CRAFT_SEGMENT_BYTES / 2 + 3000);
	assert_int_equal(push(world, 0, &err), ANSWER_FAILED);
	assert_int_equal(err.code, ERR_DAMAGED);
	assert_int_equal(push_as(world, segment_text(0), true, &err), ANSWER_FAILED);
	assert_int_equal(err.code, ERR_EXISTS);
	world_free(world);
}

static void another_clusters_wal_is_never_accepted(void **state)
{
	struct world *world = world_new();
	struct err err;

	(void)state;
	folder_control(world->folder, CRAFT_SYSTEM + 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(push_as(world, segment_text(i), true, &err), ANSWER_FAILED);
		assert_int_equal(err.code, ERR_REFUSED);
	}
	world_free(world);
}

/* ---- crafted seams ---- */

static void put_both(struct world *world, const struct craft *craft, const char *first,
                     const char *second)
{
	folder_ready(world->folder, first, craft->bytes, CRAFT_SEGMENT_BYTES);
	folder_ready(world->folder, second, craft->bytes + CRAFT_SEGMENT_BYTES,
	             CRAFT_SEGMENT_BYTES);
}

static void fill_to(struct craft *craft, size_t offset)
{
	while (craft->at < craft->start + offset)
		craft_filler(craft, 1500);
}

/* A server that crashed inside a record gives its beginning up at the next segment's first page. */
static void a_record_that_was_given_up_after_a_crash_is_no_damage(void **state)
{
	struct world *world = world_new();
	struct craft craft;
	uint8_t main[16] = {0};
	lsn previous, given_up;

	(void)state;
	craft_init(&craft, FIRST_SEGNO, 4);
	fill_to(&craft, CRAFT_SEGMENT_BYTES - 6000);
	previous = craft.previous;
	given_up = craft_filler(&craft, 20000);
	memset(craft_segment(&craft, 1), 0, 3 * CRAFT_SEGMENT_BYTES);
	craft.at = craft.start + CRAFT_SEGMENT_BYTES;
	craft.previous = previous;
	craft_page(&craft, 8, 0);
	put_u64(main, given_up);
	craft_record(&craft, 0, 0xD0, main, sizeof(main));
	craft_fill(&craft, 1);
	put_both(world, &craft, segment_text(0), segment_text(1));
	assert_int_equal(push(world, 0, NULL), ANSWER_STORED);
	assert_int_equal(push(world, 1, NULL), ANSWER_STORED);
	craft_release(&craft);
	world_free(world);
}

static void after_a_switch_the_next_segment_names_it(void **state)
{
	struct world *world = world_new();
	struct craft craft;

	(void)state;
	craft_init(&craft, FIRST_SEGNO, 3);
	fill_to(&craft, CRAFT_SEGMENT_BYTES / 2);
	craft_switch(&craft);
	craft_fill(&craft, 1);
	put_both(world, &craft, segment_text(0), segment_text(1));
	assert_int_equal(push(world, 1, NULL), ANSWER_STORED);
	/* a switch of another place is not it */
	craft_release(&craft);
	craft_init(&craft, FIRST_SEGNO, 3);
	fill_to(&craft, CRAFT_SEGMENT_BYTES / 4);
	craft_switch(&craft);
	folder_ready(world->folder, segment_text(0), craft.bytes, CRAFT_SEGMENT_BYTES);
	write_segment(world, 1); /* goes on with a record that is open */
	refuses(world, 1);
	craft_release(&craft);
	world_free(world);
}

/* The first segment of a timeline begins with its parent's pages: so does the seam before it. */
static void a_timeline_goes_on_from_its_parents_segment(void **state)
{
	struct world *world = world_new();
	char child[SEGMENT_NAME_BYTES];

	(void)state;
	segment_name(2, FIRST_SEGNO + 1, CRAFT_SEGMENT_BYTES, child);
	folder_ready(world->folder, child, craft_segment(&world->craft, 1), CRAFT_SEGMENT_BYTES);
	assert_int_equal(push_as(world, child, false, NULL), ANSWER_STORED);
	flip(world, 0, LAST_BYTE);
	craft_segment(&world->craft, 1)[CRAFT_SEGMENT_BYTES - 1] ^= 1; /* other content */
	segment_name(3, FIRST_SEGNO + 1, CRAFT_SEGMENT_BYTES, child);
	folder_ready(world->folder, child, craft_segment(&world->craft, 1), CRAFT_SEGMENT_BYTES);
	assert_int_equal(push_as(world, child, false, NULL), ANSWER_FAILED);
	world_free(world);
}

/* Longer than a segment: the segment in its middle says nothing, its end says all. */
static void a_record_over_three_segments_is_proven_with_the_last(void **state)
{
	struct world *world = world_new();
	struct craft craft;

	(void)state;
	craft_init(&craft, FIRST_SEGNO, 4);
	fill_to(&craft, CRAFT_SEGMENT_BYTES / 2);
	craft_filler(&craft, CRAFT_SEGMENT_BYTES * 3 / 2);
	craft_fill(&craft, 2);
	for (unsigned round = 0; round < 2; round++) {
		craft.bytes[CRAFT_SEGMENT_BYTES * 3 / 2 + 100] ^= round == 0;
		for (unsigned i = 0; i < 3; i++)
			folder_ready(world->folder, segment_text(i), craft_segment(&craft, i),
			             CRAFT_SEGMENT_BYTES);
		assert_int_equal(push(world, 1, NULL), round ? ANSWER_FAILED : ANSWER_STORED);
		if (round == 0)
			refuses(world, 2);
		craft.bytes[CRAFT_SEGMENT_BYTES * 3 / 2 + 100] ^= round == 0;
	}
	/* what is stored under the second's name is the damaged one; the third is good */
	assert_int_equal(push(world, 2, NULL), ANSWER_STORED);
	craft_release(&craft);
	world_free(world);
}

static void of_a_long_record_each_segment_is_read_where_it_is_whole(void **state)
{
	struct world *world = world_new();
	struct craft craft;

	(void)state;
	craft_init(&craft, FIRST_SEGNO, 4);
	fill_to(&craft, CRAFT_SEGMENT_BYTES / 2);
	craft_filler(&craft, CRAFT_SEGMENT_BYTES * 3 / 2);
	craft_fill(&craft, 2);
	for (unsigned i = 0; i < 3; i++)
		folder_ready(world->folder, segment_text(i), craft_segment(&craft, i),
		             CRAFT_SEGMENT_BYTES);
	assert_int_equal(push(world, 0, NULL), ANSWER_STORED);
	forget_file(world, 0);
	/* the second is here alone: it is not archived yet */
	assert_int_equal(push(world, 2, NULL), ANSWER_STORED);
	/* and is damaged here when it is archived */
	assert_int_equal(push(world, 1, NULL), ANSWER_STORED);
	craft.bytes[CRAFT_SEGMENT_BYTES * 3 / 2 + 100] ^= 1;
	folder_ready(world->folder, segment_text(1), craft_segment(&craft, 1), CRAFT_SEGMENT_BYTES);
	assert_int_equal(push(world, 2, NULL), ANSWER_STORED);
	craft_release(&craft);
	world_free(world);
}

/* ---- a new generation ---- */

static void start_push(struct op *parent, void *what)
{
	push_start(parent, what);
}
static void start_watch(struct op *parent, void *what)
{
	owner_watch_start(parent, what);
}
static void start_generation(struct op *parent, void *what)
{
	generation_open_start(parent, what);
}

static enum err_code push_to(struct world *world, struct push_destination *destination, unsigned i,
                             const char *folder)
{
	char path[256];
	struct push push = {
	        .site = &world->site, .destination = destination, .folder = folder, .path = path};

	snprintf(path, sizeof(path), "%s/pg_wal/%s", world->folder, segment_text(i));
	assert_true(walname_parse(segment_text(i), &push.name));
	run(world, start_push, &push);
	if (op_failed(&push.op))
		assert_non_null(strstr(push.op.err.text, "the archive was begun anew, as"));
	return push.op.err.code;
}

static void watch_from(struct world *world, struct push_destination *destination)
{
	struct owner_watch watch = {.site = &world->site,
	                            .destination = destination,
	                            .folder = world->folder,
	                            .wrote = {.tli = 1}};

	run(world, start_watch, &watch);
	assert_false(op_failed(&watch.op));
}

/* After a promotion: pg_wal has the timeline before it, and one of its files cannot be archived. */
static void a_damaged_file_does_not_keep_back_those_behind_it(void **state)
{
	struct world *world = world_new();
	struct push_destination destination;
	struct owner_watch watch = {.site = &world->site,
	                            .destination = &destination,
	                            .folder = world->folder,
	                            .wrote = {.tli = 2},
	                            .gap = true};
	lsn fork = lsn_of_segno(FIRST_SEGNO + 3, CRAFT_SEGMENT_BYTES);
	char history[64];

	(void)state;
	snprintf(history, sizeof(history), "1\t" LSN_FORMAT "\tno recovery target specified\n",
	         LSN_ARGS(fork));
	folder_ready(world->folder, "00000002.history", history, strlen(history));
	assert_int_equal(push_as(world, "00000002.history", false, NULL), ANSWER_STORED);
	flip(world, 1, CRAFT_SEGMENT_BYTES / 2 + 100);
	push_destination_init(&destination);
	assert_int_equal(push_to(world, &destination, 0, world->folder), ERR_NONE);
	run(world, start_watch, &watch);
	assert_int_equal(watch.op.err.code, ERR_DAMAGED);
	assert_non_null(strstr(watch.op.err.text, segment_text(1)));
	assert_int_equal(watch.filled, 1);
	push_destination_release(&destination);
	world_free(world);
}

static void who_wrote_before_a_new_generation_notices_it_and_does_not_go_on_in_it(void **state)
{
	struct world *world = world_new();
	struct push_destination destination;
	struct generation_open next = {
	        .repo = world->repo, .cluster = "main", .make = true, .at_least = 2};
	struct control control;
	struct err err = {0};

	(void)state;
	push_destination_init(&destination);
	assert_int_equal(push_to(world, &destination, 0, world->folder), ERR_NONE);
	watch_from(world, &destination);
	assert_true(destination.known);
	assert_true(control_read(world->folder, &control, &err));
	next.facts = generation_facts_of(&control);
	run(world, start_generation, &next);
	assert_false(op_failed(&next.op));
	watch_from(world, &destination);
	assert_false(destination.known);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(push_to(world, &destination, 1, world->folder), ERR_REFUSED);
		watch_from(world, &destination); /* does not say that it writes there */
	}
	push_destination_release(&destination);
	world_free(world);
}

static void start_pass(struct op *parent, void *what)
{
	indexer_pass_start(parent, what);
}

/* Its pg_wal may have other WAL under the same names, which goes on from the same segment. */
static void who_was_left_behind_indexes_nothing_of_its_own(void **state)
{
	struct world *world = world_new();
	struct push_destination mine, other;
	struct generation_open next = {
	        .repo = world->repo, .cluster = "main", .make = true, .at_least = 2};
	struct indexer_pass pass = {.indexer = indexer_new(&world->site, false), .flush = true};
	char *elsewhere = folder_new(CRAFT_SYSTEM);
	struct control control;
	struct err err = {0};

	(void)state;
	push_destination_init(&mine);
	push_destination_init(&other);
	assert_int_equal(push_to(world, &mine, 0, world->folder), ERR_NONE);
	watch_from(world, &mine);
	assert_true(control_read(world->folder, &control, &err));
	next.facts = generation_facts_of(&control);
	run(world, start_generation, &next);
	assert_int_equal(push_to(world, &other, 0, elsewhere), ERR_NONE);
	assert_false(world->site.left_behind);
	watch_from(world, &mine);
	assert_int_equal(push_to(world, &mine, 1, world->folder), ERR_REFUSED);
	world->site.pgdata = world->folder;
	run(world, start_pass, &pass);
	assert_false(op_failed(&pass.op));
	assert_int_equal(indexer_figures(pass.indexer)->segments, 1);
	assert_int_equal(indexer_figures(pass.indexer)->from_pg_wal, 0);
	indexer_free(pass.indexer);
	push_destination_release(&mine);
	push_destination_release(&other);
	folder_free(elsewhere);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_record_damaged_where_it_begins_is_found_when_its_end_arrives),
	        cmocka_unit_test(a_record_damaged_where_it_ends_is_found_in_any_order),
	        cmocka_unit_test(
	                a_segment_that_is_damaged_in_its_middle_is_refused_whatever_is_before_it),
	        cmocka_unit_test(a_segment_before_that_was_recycled_is_read_from_the_repository),
	        cmocka_unit_test(
	                a_segment_that_was_damaged_here_after_it_was_archived_stops_nothing),
	        cmocka_unit_test(
	                a_segment_before_that_cannot_be_opened_is_read_from_the_repository),
	        cmocka_unit_test(what_the_repository_has_before_is_damaged_is_refused_and_said),
	        cmocka_unit_test(what_does_not_open_before_is_marked_and_once),
	        cmocka_unit_test(where_archiving_begins_nothing_can_be_said_of_the_seam),
	        cmocka_unit_test(a_segment_of_another_branch_is_not_taken_for_the_next),
	        cmocka_unit_test(what_was_accepted_damaged_is_success_ever_after),
	        cmocka_unit_test(another_clusters_wal_is_never_accepted),
	        cmocka_unit_test(a_record_that_was_given_up_after_a_crash_is_no_damage),
	        cmocka_unit_test(after_a_switch_the_next_segment_names_it),
	        cmocka_unit_test(a_timeline_goes_on_from_its_parents_segment),
	        cmocka_unit_test(a_record_over_three_segments_is_proven_with_the_last),
	        cmocka_unit_test(a_damaged_file_does_not_keep_back_those_behind_it),
	        cmocka_unit_test(
	                who_wrote_before_a_new_generation_notices_it_and_does_not_go_on_in_it),
	        cmocka_unit_test(who_was_left_behind_indexes_nothing_of_its_own),
	        cmocka_unit_test(of_a_long_record_each_segment_is_read_where_it_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
