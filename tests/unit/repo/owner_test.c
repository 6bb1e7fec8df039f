/* owner_test.c — owner notes, contested branches and fences, as values and in a repository. */
#include "unit/repo/place.h"

#include <stdio.h>

#include "repo/owner.h"
#include "unit/repo/branches.h"

#define GENERATION "main/7-15-1"
enum { SEGMENT = 16 << 20 };

static void add_note(struct catalog *catalog, enum owner_kind kind, uint32_t tli, uint32_t other,
                     lsn position)
{
	struct owner_note note = {.tli = tli,
	                          .kind = kind,
	                          .other = other,
	                          .position = position,
	                          .host = "db1",
	                          .directory = "/data"};

	note.n = owner_next(catalog, tli);
	note.time_us = (int64_t)(1000 + catalog->notes);
	catalog_add_note(catalog, &note);
}

/* 1 -> 2 at 500, 2 -> 3 at 800. */
static struct catalog family(void)
{
	struct catalog catalog = {.segment_bytes = SEGMENT};

	catalog_add_timeline(&catalog, 1);
	add_history(&catalog, 2, 1, 500);
	add_history(&catalog, 3, 2, 800);
	return catalog;
}

static void a_note_comes_back_as_it_was_written(void **state)
{
	struct owner_note note = {.kind = OWNER_FENCE,
	                          .system_identifier = UINT64_MAX,
	                          .other = 7,
	                          .position = UINT64_C(0x12300000045),
	                          .end = 9,
	                          .host = "db1",
	                          .directory = "/data/\xff\xfe"};
	struct owner_note again;
	AUTO_BUF struct buf text = {0};
	struct err err = {0};
	bool known;

	(void)state;
	note.time_us = 1795252000000000;
	buf_init(&text, OWNER_JSON_MAX);
	owner_note_write(&note, &text);
	assert_true(owner_note_read(buf_text(&text), text.length, &again, &known, &err));
	assert_true(known);
	assert_int_equal(again.kind, OWNER_FENCE);
	assert_true(again.system_identifier == note.system_identifier);
	assert_int_equal(again.other, 7);
	assert_true(again.position == note.position && again.end == note.end);
	assert_true(again.time_us == note.time_us);
	assert_string_equal(again.directory, note.directory);
	/* Cut anywhere it is no note, and never one of a kind that is passed over. */
	for (size_t length = 0; length + 2 < text.length; length++) {
		assert_false(owner_note_read(buf_text(&text), length, &again, &known, &err));
		assert_false(known);
		err_clear(&err);
	}
}

static void a_kind_of_a_newer_version_is_passed_over(void **state)
{
	static const char text[] = "{\"kind\": \"blessing\"}", wrong[] = "{\"kind\": \"fence\"}";
	struct owner_note note;
	struct err err = {0};
	bool known;

	(void)state;
	assert_true(owner_note_read(text, sizeof(text) - 1, &note, &known, &err));
	assert_false(known);
	assert_false(owner_note_read(wrong, sizeof(wrong) - 1, &note, &known, &err));
	assert_false(known);
}

static void a_fence_holds_for_what_comes_from_behind_it(void **state)
{
	struct catalog catalog = family();

	(void)state;
	add_note(&catalog, OWNER_FENCE, 2, 1, 700);
	assert_null(owner_fence(&catalog, 1, LSN_MAX));
	assert_null(owner_fence(&catalog, 2, 700));
	assert_non_null(owner_fence(&catalog, 2, 701));
	assert_null(owner_fence_whole(&catalog, 2));
	assert_non_null(owner_fence_whole(&catalog, 3)); /* it left 2 at 800 */
	add_note(&catalog, OWNER_LIFT, 2, 2, 0);
	assert_null(owner_fence(&catalog, 2, LSN_MAX));
	assert_null(owner_fence_whole(&catalog, 3));
	add_note(&catalog, OWNER_FENCE, 2, 1, 900); /* said after the lift */
	assert_non_null(owner_fence(&catalog, 2, 901));
	assert_null(owner_fence_whole(&catalog, 3));
	catalog_release(&catalog);
}

static void a_quarrel_is_one_until_a_fence_settles_it(void **state)
{
	struct catalog catalog = family();
	struct history first, third;

	(void)state;
	history_init(&first, 1);
	third = (struct history){0};
	history_copy(&third, &catalog_timeline(&catalog, 3)->history);
	add_note(&catalog, OWNER_CONTESTED, 2, 1, 500);
	add_note(&catalog, OWNER_CONTESTED, 2, 1, 500); /* another repository says the same */
	assert_non_null(owner_contest(&catalog, 0));
	assert_null(owner_contest(&catalog, 1));
	assert_true(owner_contest_marked(&catalog, 2, 1));
	assert_false(owner_contest_marked(&catalog, 3, 2));
	/* Both sides, and what came from one of them; but nothing up to the fork. */
	assert_non_null(owner_contest_on(&catalog, &first, LSN_MAX));
	assert_non_null(owner_contest_on(&catalog, &third, LSN_MAX));
	assert_null(owner_contest_on(&catalog, &first, 500));
	assert_null(owner_contest_on(&catalog, &third, 500));
	assert_non_null(owner_contest_on(&catalog, &third, 501));
	add_note(&catalog, OWNER_FENCE, 1, 2, 500);
	assert_null(owner_contest(&catalog, 0));
	assert_null(owner_contest_on(&catalog, &first, LSN_MAX));
	assert_true(owner_contest_marked(&catalog, 2, 1));
	history_release(&first);
	history_release(&third);
	catalog_release(&catalog);
}

static void names_of_notes_are_strict(void **state)
{
	static const char *const wrong[] = {GENERATION "/timeline/00000002.owner/1",
	                                    GENERATION "/timeline/00000002.owner/",
	                                    GENERATION "/timeline/00000000.owner/000001",
	                                    GENERATION "/timeline/2.owner/000001",
	                                    GENERATION "/timeline/0000000a.owner/000001",
	                                    GENERATION "/timeline/00000002.owner/000001x",
	                                    GENERATION "/timeline/",
	                                    GENERATION};
	char name[NAME_BYTES];
	uint32_t tli, n;

	(void)state;
	name_owner(name, GENERATION, 0xFF, 12);
	assert_string_equal(name, GENERATION "/timeline/000000FF.owner/000012");
	assert_true(name_owner_parse(name, GENERATION, &tli, &n));
	assert_int_equal(tli, 0xFF);
	assert_int_equal(n, 12);
	for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
		if (name_owner_parse(wrong[i], GENERATION, &tli, &n))
			fail_msg("%s", wrong[i]);
}

static struct catalog_load load_of(struct fixture *f, struct catalog *catalog)
{
	return (struct catalog_load){.repo = f->repo,
	                             .generation = GENERATION,
	                             .segment_bytes = SEGMENT,
	                             .what = CATALOG_HISTORIES,
	                             .ret = catalog};
}

static void two_writers_of_a_note_get_two_numbers(void **state)
{
	struct fixture *f = *state;
	struct catalog catalog = {0};
	struct catalog_load load = load_of(f, &catalog);

	for (unsigned i = 0; i < 3; i++) {
		struct owner_write write = {
		        .repo = f->repo,
		        .generation = GENERATION,
		        .compression = {.kind = SEALED_NONE},
		        .note = {.tli = 2, .n = 1, .kind = OWNER_WROTE, .time_us = i}};

		snprintf(write.note.directory, sizeof(write.note.directory), "/data%u", i);
		assert_true(RUN(f->loop, owner_write_start, &write));
		assert_int_equal(write.note.n, i + 1);
	}
	assert_true(RUN(f->loop, catalog_load_start, &load));
	assert_int_equal(catalog.notes, 3);
	assert_int_equal(catalog.note[2].n, 3);
	assert_string_equal(owner_first(&catalog, 2)->directory, "/data0");
	assert_int_equal(owner_next(&catalog, 2), 4);
	assert_int_equal(owner_next(&catalog, 3), 1);
	assert_true(owner_said(&catalog, 2, &catalog.note[1]));
	assert_false(owner_said(&catalog, 3, &catalog.note[1]));
	catalog_release(&catalog);
}

static void a_damaged_note_is_passed_over_only_where_that_is_said(void **state)
{
	struct fixture *f = *state;
	struct catalog catalog = {0};
	struct catalog_load load = load_of(f, &catalog);
	struct object_write write = {.repo = f->repo,
	                             .name = GENERATION "/timeline/00000002.owner/000001",
	                             .kind = SEALED_NOTE,
	                             .compression = {.kind = SEALED_NONE},
	                             .bytes = "no JSON",
	                             .length = 7};

	assert_true(RUN(f->loop, object_write_start, &write));
	assert_false(RUN(f->loop, catalog_load_start, &load));
	assert_int_equal(load.op.err.code, ERR_DAMAGED);
	catalog_release(&catalog);
	load.tolerant = true;
	assert_true(RUN(f->loop, catalog_load_start, &load));
	assert_int_equal(catalog.notes, 0);
	assert_int_equal(catalog.timelines, 1); /* something of it is known all the same */
	catalog_release(&catalog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_note_comes_back_as_it_was_written),
	        cmocka_unit_test(a_kind_of_a_newer_version_is_passed_over),
	        cmocka_unit_test(a_fence_holds_for_what_comes_from_behind_it),
	        cmocka_unit_test(a_quarrel_is_one_until_a_fence_settles_it),
	        cmocka_unit_test(names_of_notes_are_strict),
	        TEST(two_writers_of_a_note_get_two_numbers),
	        TEST(a_damaged_note_is_passed_over_only_where_that_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
