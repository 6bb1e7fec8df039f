/* restorable_test.c — every hole of an archive, and what the repository knows of its cause. */
#include "codec/json.h"
#include "repo/restorable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SEGMENT = 16 << 20 };

static struct catalog catalog;
static struct walpieces pieces;
static struct hole *hole;
static size_t holes;

static int begin(void **state)
{
	(void)state;
	catalog = (struct catalog){.segment_bytes = SEGMENT};
	pieces = (struct walpieces){.segment_bytes = SEGMENT};
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(hole);
	hole = NULL;
	catalog_release(&catalog);
	walpieces_release(&pieces);
	return 0;
}

static void forked(uint32_t tli, uint32_t parent, lsn at)
{
	struct history history;

	history_init(&history, tli);
	history_add(&history, parent, at, "test");
	catalog_add_history(&catalog, &history);
	history_release(&history);
}

static void indexed(uint32_t tli, uint64_t first, uint64_t last)
{
	struct name_index piece = {.tli = tli, .first = first, .last = last};

	walpieces_add(&pieces, tli, &piece, 1);
}

static void is_hole(size_t which, uint32_t tli, uint64_t first, uint64_t last,
                    enum hole_cause cause)
{
	assert_int_equal(hole[which].tli, tli);
	assert_int_equal(hole[which].first, first);
	assert_int_equal(hole[which].last, last);
	assert_int_equal(hole_cause_of(&hole[which], &catalog, &pieces), cause);
}

static void every_hole_of_every_timeline_is_found_also_between_two_backups(void **state)
{
	(void)state;
	catalog_add_segments(&catalog, 1, 1, 4);
	catalog_add_segments(&catalog, 1, 6, 10);
	catalog_add_segments(&catalog, 1, 13, 20);
	forked(2, 1, lsn_of_segno(15, SEGMENT) + 100);
	catalog_add_segments(&catalog, 2, 15, 17); /* begins where it forked */
	forked(3, 1, lsn_of_segno(18, SEGMENT) + 100);
	catalog_add_segments(&catalog, 3, 20, 22);
	holes_find(&catalog, &hole, &holes);
	assert_int_equal(holes, 3);
	is_hole(0, 1, 5, 5, HOLE_UNKNOWN);
	is_hole(1, 1, 11, 12, HOLE_UNKNOWN);
	is_hole(2, 3, 18, 19, HOLE_FORK);
}

static void the_index_tells_what_was_archived_and_what_never_was(void **state)
{
	(void)state;
	catalog_add_segments(&catalog, 1, 1, 4);
	catalog_add_segments(&catalog, 1, 6, 10);
	catalog_add_segments(&catalog, 1, 12, 20);
	catalog_add_segments(&catalog, 1, 22, 23);
	indexed(1, 1, 4);
	indexed(1, 6, 16); /* 11 was there when the piece was made */
	indexed(1, 17, 20);
	holes_find(&catalog, &hole, &holes);
	assert_int_equal(holes, 3);
	is_hole(0, 1, 5, 5, HOLE_NEVER);
	is_hole(1, 1, 11, 11, HOLE_DELETED);
	is_hole(2, 1, 21, 21, HOLE_UNKNOWN); /* nothing behind it is indexed yet */
}

static void harmed(uint32_t tli, uint64_t segno, bool accepted)
{
	catalog_add_harm(&catalog, &(struct catalog_harm){tli, segno, accepted});
}

static void what_is_damaged_is_a_hole_of_its_own_also_at_the_end(void **state)
{
	(void)state;
	catalog_add_segments(&catalog, 1, 1, 4);
	catalog_add_segments(&catalog, 1, 10, 12);
	indexed(1, 1, 7); /* one of them was good when it was indexed */
	harmed(1, 14, false);
	harmed(1, 8, true);
	harmed(1, 6, false);
	harmed(1, 7, false);
	harmed(2, 3, false); /* all that there is of its timeline */
	holes_find(&catalog, &hole, &holes);
	assert_int_equal(holes, 7);
	is_hole(0, 1, 5, 5, HOLE_DELETED);
	is_hole(1, 1, 6, 7, HOLE_DAMAGED);
	is_hole(2, 1, 8, 8, HOLE_ACCEPTED);
	is_hole(3, 1, 9, 9, HOLE_UNKNOWN);
	is_hole(4, 1, 13, 13, HOLE_UNKNOWN);
	is_hole(5, 1, 14, 14, HOLE_DAMAGED);
	is_hole(6, 2, 3, 3, HOLE_DAMAGED);
	assert_string_equal(hole_cause_name(HOLE_ACCEPTED), "accepted_damaged");
	assert_non_null(strstr(hole_cause_text(HOLE_ACCEPTED), "--accept-damaged"));
}

static void an_archive_without_holes_has_none(void **state)
{
	(void)state;
	holes_find(&catalog, &hole, &holes);
	assert_int_equal(holes, 0);
	catalog_add_segments(&catalog, 1, 7, 9); /* begun in the middle of a timeline */
	holes_find(&catalog, &hole, &holes);
	assert_int_equal(holes, 0);
}

static void programs_read_each_hole_with_its_cause_and_window(void **state)
{
	static struct hole told[] = {{.tli = 1,
	                              .first = 5,
	                              .last = 6,
	                              .cause = HOLE_SET_ASIDE,
	                              .aside = 2,
	                              .from_us = INT64_C(1795183320000000)}};
	struct restorable can = {.segment_bytes = SEGMENT, .hole = told, .holes = 1};
	struct jval *object = jobject_new();
	const struct jval *list = NULL, *item;
	const char *text = "";
	struct err err = {0};

	(void)state;
	restorable_json(&can, 0, object);
	assert_true(jget_array(object, "holes", &list, &err));
	item = jarray_at(list, 0);
	assert_true(jget_str(item, "first", &text, &err));
	assert_string_equal(text, "000000010000000000000005");
	assert_true(jget_str(item, "last", &text, &err));
	assert_string_equal(text, "000000010000000000000006");
	assert_true(jget_str(item, "cause", &text, &err));
	assert_string_equal(text, "set_aside");
	assert_true(jget_str(item, "from", &text, &err));
	assert_string_equal(text, "2026-11-20 14:02:00+00");
	assert_true(jget_array(object, "intervals", &list, &err));
	assert_int_equal(jarray_length(list), 0);
	jval_free(object);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	        T(every_hole_of_every_timeline_is_found_also_between_two_backups),
	        T(the_index_tells_what_was_archived_and_what_never_was),
	        T(what_is_damaged_is_a_hole_of_its_own_also_at_the_end),
	        T(an_archive_without_holes_has_none),
	        T(programs_read_each_hole_with_its_cause_and_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
