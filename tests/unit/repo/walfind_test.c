/* walfind_test.c — which events of the WAL index answer which question. */
#include "repo/walfind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { ORDERS = 16400, ORDERS_INDEX = 16403, ITEMS = 16410, NEW_FILE = 16500 };

static struct walindex_touched dropped[] = {
        {.rel = {1663, 5, ORDERS}, .flags = WALINDEX_DROPPED},
        {.rel = {1663, 5, ORDERS_INDEX}, .flags = WALINDEX_DROPPED}};
static struct walindex_touched rewritten[] = {
        {.rel = {1663, 5, ITEMS}, .flags = WALINDEX_DROPPED},
        {.rel = {1663, 5, NEW_FILE}, .flags = WALINDEX_CREATED}};
static struct walindex_touched emptied[] = {{.rel = {1663, 5, ORDERS}, .deleted = 1500}};
static struct walindex_touched changed[] = {{.rel = {1663, 5, ITEMS}, .updated = 900}};
static struct walindex_touched gone[] = {{.rel = {1663, 9, 0}, .flags = WALINDEX_DROPPED}};

static struct walindex_event event[] = {
        {.kind = WALINDEX_TRANSACTION,
         .start = 100,
         .end = 200,
         .tli = 1,
         .time_us = 1000,
         .xid = 701,
         .number = 2,
         .touched = dropped,
         .toucheds = 2},
        {.kind = WALINDEX_TRANSACTION,
         .start = 300,
         .end = 400,
         .tli = 1,
         .time_us = 3000,
         .xid = 702,
         .position = 1,
         .touched = rewritten,
         .toucheds = 2},
        {.kind = WALINDEX_TRANSACTION,
         .start = 500,
         .end = 600,
         .tli = 1,
         .time_us = 2000, /* the clock ran backwards */
         .xid = 703,
         .touched = emptied,
         .toucheds = 1},
        {.kind = WALINDEX_RESTORE_POINT,
         .start = 700,
         .end = 800,
         .tli = 1,
         .time_us = 4000,
         .text = (char *)"before"},
        {.kind = WALINDEX_CHECKPOINT, .start = 800, .end = 900, .tli = 1, .time_us = 4100},
        {.kind = WALINDEX_TRANSACTION,
         .start = 900,
         .end = 950,
         .tli = 1,
         .time_us = 5000,
         .xid = 704,
         .touched = changed,
         .toucheds = 1},
        {.kind = WALINDEX_DATABASE_DROPPED,
         .start = 960,
         .end = 980,
         .tli = 1,
         .xid = 705,
         .touched = gone,
         .toucheds = 1},
};
static struct walindex_segment segment[] = {{.commits = 5, .min_us = 1000, .max_us = 5000}};
static const struct walindex_piece piece = {.tli = 1,
                                            .segment_bytes = 1 << 20,
                                            .segment = segment,
                                            .event = event,
                                            .events = sizeof(event) / sizeof(event[0])};

static bool name_of(const struct walfind_names *names, const struct walindex_rel *rel, lsn position,
                    struct walfind_name *ret)
{
	(void)names;
	(void)position;
	snprintf(ret->database, 64, "shop");
	snprintf(ret->schema, 64, "public");
	snprintf(ret->table, 64, "%s", rel->number == ORDERS ? "orders" : "items");
	return rel->number == ORDERS || rel->number == ITEMS;
}
static const struct walfind_names names = {.name = name_of};

static struct walfind find(struct walfind_question *question)
{
	struct walfind find = {.question = question, .names = &names};

	if (!question->since_us && !question->until_us) {
		question->since_us = INT64_MIN;
		question->until_us = INT64_MAX;
	}
	walfind_add(&find, &piece);
	return find;
}

/* "WHAT TABLE ROWS" of each row that was found. */
static void assert_found(struct walfind_question question, const char *expected)
{
	struct walfind found = find(&question);
	char text[512] = "";

	for (size_t i = 0; i < found.rows; i++) {
		const struct walfind_row *row = &found.row[i];
		size_t length = strlen(text);

		snprintf(text + length, sizeof(text) - length, "%s %s %llu; ",
		         walfind_what_name(row->what), row->named ? row->name.table : "-",
		         (unsigned long long)row->rows);
	}
	assert_string_equal(text, expected);
	walfind_release(&found);
}

static void a_dropped_table_is_found_by_its_name_and_not_its_indexes(void **state)
{
	(void)state;
	assert_found((struct walfind_question){.dropped = true, .table = "orders"},
	             "dropped orders 0; ");
	assert_found((struct walfind_question){.dropped = true, .table = "public.ord*"},
	             "dropped orders 0; ");
	assert_found((struct walfind_question){.dropped = true, .table = "shop.public.orders"},
	             "dropped orders 0; ");
	assert_found((struct walfind_question){.dropped = true, .table = "items"}, "");
}

static void a_truncated_table_is_not_a_dropped_one(void **state)
{
	(void)state;
	assert_found((struct walfind_question){.truncated = true},
	             "truncated or rewritten items 0; ");
	assert_found((struct walfind_question){.dropped = true}, "dropped orders 0; dropped - 0; ");
}

static void deleted_rows_are_found_from_a_number_on(void **state)
{
	(void)state;
	assert_found((struct walfind_question){.deleted = true, .deleted_min = 1500},
	             "rows deleted orders 1500; ");
	assert_found((struct walfind_question){.deleted = true, .deleted_min = 1501}, "");
}

static void times_are_those_of_each_event_whatever_their_order(void **state)
{
	(void)state;
	assert_found((struct walfind_question){.since_us = 1500, .until_us = 2500},
	             "rows deleted orders 1500; ");
	assert_found((struct walfind_question){.since_us = 3500, .until_us = INT64_MAX},
	             "restore point before 0; rows updated items 900; ");
}

static void a_transaction_is_found_by_its_number(void **state)
{
	(void)state;
	assert_found((struct walfind_question){.xid = 703}, "rows deleted orders 1500; ");
	assert_found((struct walfind_question){.xid = 9}, "");
}

static void restore_points_are_found(void **state)
{
	(void)state;
	assert_found((struct walfind_question){.restore_points = true}, "restore point before 0; ");
}

static void a_file_without_a_name_is_found_by_its_number(void **state)
{
	struct walfind_question question = {
	        .dropped = true, .table = "16400", .since_us = INT64_MIN, .until_us = INT64_MAX};
	struct walfind found = {.question = &question};

	(void)state;
	walfind_add(&found, &piece);
	assert_int_equal(found.rows, 1);
	assert_false(found.row[0].named);
	walfind_release(&found);
}

static void no_more_is_kept_than_the_limit(void **state)
{
	struct walfind_question question = {.since_us = INT64_MIN, .until_us = INT64_MAX};
	struct walfind found = {.question = &question};

	(void)state;
	while (!found.more)
		walfind_add(&found, &piece);
	assert_int_equal(found.rows, WALFIND_ROWS_MAX);
	walfind_release(&found);
}

static void a_table_that_was_written_anew_keeps_its_name(void **state)
{
	static struct walindex_touched again[] = {
	        {.rel = {1663, 5, NEW_FILE}, .flags = WALINDEX_DROPPED},
	        {.rel = {1663, 5, NEW_FILE + 1}, .flags = WALINDEX_CREATED},
	        {.rel = {1663, 5, NEW_FILE + 2}, .flags = WALINDEX_CREATED}};
	static struct walindex_touched last[] = {
	        {.rel = {1663, 5, NEW_FILE + 1}, .flags = WALINDEX_DROPPED},
	        {.rel = {1663, 5, NEW_FILE + 2}, .flags = WALINDEX_DROPPED}};
	static struct walindex_event more[] = {{.kind = WALINDEX_TRANSACTION,
	                                        .start = 2000,
	                                        .end = 2100,
	                                        .tli = 1,
	                                        .touched = again,
	                                        .toucheds = 3},
	                                       {.kind = WALINDEX_TRANSACTION,
	                                        .start = 2200,
	                                        .end = 2300,
	                                        .tli = 1,
	                                        .number = 1,
	                                        .touched = last,
	                                        .toucheds = 2}};
	static const struct walindex_piece behind = {
	        .tli = 1, .segment_bytes = 1 << 20, .segment = segment, .event = more, .events = 2};
	struct walfind_question question = {.dropped = true, .table = "items"};
	struct walfind found = find(&question);

	(void)state;
	assert_int_equal(found.rows, 0);
	walfind_add(&found, &behind);
	assert_int_equal(found.rows, 1);
	assert_int_equal(found.row[0].rel.number, NEW_FILE + 1);
	assert_string_equal(found.row[0].name.table, "items");
	assert_int_equal(found.unnamed, 1); /* the database */
	walfind_release(&found);
}

static void what_may_have_been_dropped_answers_both_questions(void **state)
{
	static struct walindex_event full = {.kind = WALINDEX_TRANSACTION,
	                                     .start = 100,
	                                     .end = 200,
	                                     .tli = 1,
	                                     .number = 3, /* rows of what it made itself */
	                                     .touched = rewritten,
	                                     .toucheds = 2};
	struct walindex_piece vacuumed = piece;

	(void)state;
	vacuumed.event = &full;
	vacuumed.events = 1;
	for (unsigned i = 0; i < 4; i++) {
		struct walfind_question question = {.dropped = i & 1,
		                                    .truncated = i & 2,
		                                    .restore_points = i == 0,
		                                    .since_us = INT64_MIN,
		                                    .until_us = INT64_MAX};
		struct walfind found = {.question = &question, .names = &names};

		walfind_add(&found, &vacuumed);
		assert_int_equal(found.rows, i != 0);
		if (i)
			assert_int_equal(found.row[0].what, WALFIND_REPLACED);
		walfind_release(&found);
	}
}

static void what_two_timelines_have_is_told_once(void **state)
{
	struct walindex_piece copy = piece;
	struct walfind_question question = {.deleted = true};
	struct walfind found = find(&question);

	(void)state;
	copy.tli = 2; /* it begins with its parent's records */
	walfind_add(&found, &copy);
	assert_int_equal(found.rows, 1);
	assert_int_equal(found.row[0].stored_tli, 1);
	copy.tli = 1;
	found.aside = 3; /* a server that was fenced begins with what was archived, too */
	walfind_add(&found, &copy);
	assert_int_equal(found.rows, 1);
	event[2].xid++;
	walfind_add(&found, &copy);
	event[2].xid--;
	assert_int_equal(found.rows, 2);
	assert_int_equal(found.row[0].aside, 0);
	assert_int_equal(found.row[1].aside, 3);
	walfind_release(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_dropped_table_is_found_by_its_name_and_not_its_indexes),
	        cmocka_unit_test(a_truncated_table_is_not_a_dropped_one),
	        cmocka_unit_test(deleted_rows_are_found_from_a_number_on),
	        cmocka_unit_test(times_are_those_of_each_event_whatever_their_order),
	        cmocka_unit_test(a_transaction_is_found_by_its_number),
	        cmocka_unit_test(restore_points_are_found),
	        cmocka_unit_test(a_file_without_a_name_is_found_by_its_number),
	        cmocka_unit_test(no_more_is_kept_than_the_limit),
	        cmocka_unit_test(a_table_that_was_written_anew_keeps_its_name),
	        cmocka_unit_test(what_may_have_been_dropped_answers_both_questions),
	        cmocka_unit_test(what_two_timelines_have_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
