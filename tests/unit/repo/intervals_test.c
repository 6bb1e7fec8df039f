/* intervals_test.c — what can be restored, from runs of segments and heads of backups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "repo/intervals.h"

enum { SEGMENT = 16 << 20 };

static struct catalog catalog;
static struct manifest_head head[8];
static size_t heads;
static struct intervals found;

static int begin(void **state)
{
	(void)state;
	catalog = (struct catalog){.segment_bytes = SEGMENT};
	memset(head, 0, sizeof(head));
	heads = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	intervals_release(&found);
	catalog_release(&catalog);
	return 0;
}

static void archived(uint32_t tli, uint64_t first, uint64_t last)
{
	for (uint64_t segno = first; segno <= last; segno++)
		catalog_add_segment(&catalog, tli, segno);
}

/* tli forked from parent at the start of a segment. */
static void forked(uint32_t tli, uint32_t parent, lsn at)
{
	struct history history;

	history_init(&history, tli);
	history_add(&history, parent, at, "test");
	catalog_add_history(&catalog, &history);
	history_release(&history);
}

/* A backup within one segment. */
static void backed_up(uint32_t tli, uint64_t segno, int64_t time_s)
{
	struct manifest_head *new = &head[heads++];

	snprintf(new->id, sizeof(new->id), "20261120T14020%zuZ-1a2b", heads);
	new->start_tli = new->stop_tli = tli;
	new->start_lsn = lsn_of_segno(segno, SEGMENT) + 40;
	new->stop_lsn = new->start_lsn + 1000;
	new->stop_time_us = time_s * 1000000;
}

static void find(void)
{
	intervals_find(&catalog, head, heads, &found);
}

static void nothing_is_restorable_without_a_backup(void **state)
{
	(void)state;
	archived(1, 1, 9);
	find();
	assert_int_equal(found.count, 0);
	assert_int_equal(found.brokens, 0);
}

static void an_interval_goes_from_the_backup_to_the_last_segment(void **state)
{
	(void)state;
	archived(1, 1, 9);
	backed_up(1, 3, 100);
	find();
	assert_int_equal(found.count, 1);
	assert_int_equal(found.item[0].tli, 1);
	assert_int_equal(found.item[0].from_lsn, head[0].stop_lsn);
	assert_int_equal(found.item[0].to_lsn, lsn_of_segno(10, SEGMENT));
	assert_int_equal(found.item[0].from_us, 100000000);
	assert_false(found.item[0].hole);
	assert_string_equal(found.item[0].backup, head[0].id);
}

static void backups_of_one_run_share_an_interval(void **state)
{
	(void)state;
	archived(1, 1, 9);
	backed_up(1, 7, 300);
	backed_up(1, 3, 100);
	find();
	assert_int_equal(found.count, 1);
	assert_int_equal(found.item[0].backups, 2);
	assert_string_equal(found.item[0].backup, head[1].id);
	assert_int_equal(found.item[0].from_us, 100000000);
	assert_int_equal(found.item[0].to_us, 300000000);
}

static void a_hole_ends_an_interval_and_is_named(void **state)
{
	(void)state;
	archived(1, 1, 4);
	archived(1, 6, 9);
	backed_up(1, 2, 100);
	backed_up(1, 7, 200);
	find();
	assert_int_equal(found.count, 2);
	assert_int_equal(found.item[0].to_lsn, lsn_of_segno(5, SEGMENT));
	assert_true(found.item[0].hole);
	assert_int_equal(found.item[0].hole_tli, 1);
	assert_int_equal(found.item[0].hole_segno, 5);
	assert_int_equal(found.item[1].from_lsn, head[1].stop_lsn);
	assert_false(found.item[1].hole);
}

static void a_backup_without_its_own_wal_is_broken(void **state)
{
	(void)state;
	archived(1, 1, 2);
	archived(1, 4, 9);
	backed_up(1, 3, 100);
	find();
	assert_int_equal(found.count, 0);
	assert_int_equal(found.brokens, 1);
	assert_string_equal(found.broken[0], head[0].id);
}

static void a_backup_that_stops_in_a_missing_segment_is_broken(void **state)
{
	(void)state;
	archived(1, 1, 3);
	backed_up(1, 3, 100);
	head[0].stop_lsn = lsn_of_segno(4, SEGMENT) + 500;
	find();
	assert_int_equal(found.count, 0);
	assert_int_equal(found.brokens, 1);
}

static void one_that_stops_at_a_boundary_needs_nothing_behind_it(void **state)
{
	(void)state;
	archived(1, 1, 3);
	backed_up(1, 3, 100);
	head[0].stop_lsn = lsn_of_segno(4, SEGMENT);
	find();
	assert_int_equal(found.count, 1);
	assert_int_equal(found.brokens, 0);
}

static void a_branch_goes_on_from_its_parents_backup(void **state)
{
	(void)state;
	archived(1, 1, 9);
	archived(2, 5, 7);
	forked(2, 1, lsn_of_segno(5, SEGMENT) + 100);
	backed_up(1, 3, 100);
	find();
	assert_int_equal(found.count, 2);
	assert_int_equal(found.item[0].tli, 1);
	assert_int_equal(found.item[0].to_lsn, lsn_of_segno(10, SEGMENT));
	assert_int_equal(found.item[1].tli, 2);
	assert_int_equal(found.item[1].to_lsn, lsn_of_segno(8, SEGMENT));
	assert_string_equal(found.item[1].backup, head[0].id);
}

static void a_backup_behind_the_fork_is_not_the_branchs(void **state)
{
	(void)state;
	archived(1, 1, 9);
	archived(2, 5, 7);
	forked(2, 1, lsn_of_segno(5, SEGMENT) + 100);
	backed_up(1, 6, 100);
	find();
	assert_int_equal(found.count, 1);
	assert_int_equal(found.item[0].tli, 1);
}

static void a_branch_whose_first_segment_is_missing_ends_at_the_fork(void **state)
{
	(void)state;
	archived(1, 1, 9);
	archived(2, 6, 7);
	forked(2, 1, lsn_of_segno(5, SEGMENT) + 100);
	backed_up(1, 3, 100);
	find();
	assert_int_equal(found.count, 2);
	assert_int_equal(found.item[1].tli, 2);
	assert_true(found.item[1].hole);
	assert_int_equal(found.item[1].hole_tli, 2);
	assert_int_equal(found.item[1].hole_segno, 5);
}

static void a_branch_without_its_history_is_not_judged(void **state)
{
	(void)state;
	archived(1, 1, 3);
	archived(2, 3, 7);
	backed_up(1, 2, 100);
	backed_up(2, 5, 200);
	find();
	assert_int_equal(found.count, 1);
	assert_int_equal(found.item[0].tli, 1);
	assert_int_equal(found.brokens, 1);
	assert_string_equal(found.broken[0], head[1].id);
}

static void timelines_that_end_at_the_same_position_are_told_apart(void **state)
{
	(void)state;
	archived(1, 1, 10);
	archived(2, 5, 10);
	forked(2, 1, lsn_of_segno(5, SEGMENT) + 100);
	backed_up(1, 3, 100);
	backed_up(2, 7, 200);
	find();
	assert_int_equal(found.count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(found.item[i].tli, i + 1);
		assert_int_equal(found.item[i].to_lsn, lsn_of_segno(11, SEGMENT));
		assert_false(found.item[i].hole);
		assert_string_equal(found.item[i].backup, head[0].id);
	}
	assert_int_equal(found.item[0].backups, 1);
	assert_int_equal(found.item[1].backups, 2);
}

static void a_timeline_that_was_forked_twice_leads_to_both(void **state)
{
	(void)state;
	archived(1, 1, 10);
	archived(2, 5, 8);
	archived(3, 7, 9);
	archived(4, 8, 12);
	forked(2, 1, lsn_of_segno(5, SEGMENT) + 100);
	forked(3, 1, lsn_of_segno(7, SEGMENT) + 100);
	forked(4, 1, lsn_of_segno(8, SEGMENT)); /* where a segment begins */
	backed_up(1, 3, 100);
	backed_up(1, 6, 200); /* behind the first fork, before the others */
	find();
	assert_int_equal(found.count, 4);
	assert_int_equal(found.item[1].to_lsn, lsn_of_segno(9, SEGMENT));
	assert_int_equal(found.item[1].backups, 1);
	assert_int_equal(found.item[2].to_lsn, lsn_of_segno(10, SEGMENT));
	assert_int_equal(found.item[2].backups, 2);
	assert_int_equal(found.item[3].to_lsn, lsn_of_segno(13, SEGMENT));
	assert_int_equal(found.item[3].backups, 2);
	for (size_t i = 0; i < 4; i++)
		assert_false(found.item[i].hole);
}

static void an_archive_that_begins_in_the_middle_has_no_hole_before_it(void **state)
{
	(void)state;
	archived(3, 1000, 1010);
	backed_up(3, 1004, 100);
	forked(3, 2, lsn_of_segno(500, SEGMENT) + 100);
	find();
	assert_int_equal(found.count, 1);
	assert_int_equal(found.item[0].tli, 3);
	assert_int_equal(found.item[0].to_lsn, lsn_of_segno(1011, SEGMENT));
	assert_false(found.item[0].hole);
	assert_int_equal(found.brokens, 0);
}

static void an_empty_archive_has_no_interval(void **state)
{
	(void)state;
	find();
	assert_int_equal(found.count, 0);
	backed_up(1, 3, 100); /* all of its WAL was taken away */
	find();
	assert_int_equal(found.count, 0);
	assert_int_equal(found.brokens, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	        T(nothing_is_restorable_without_a_backup),
	        T(an_interval_goes_from_the_backup_to_the_last_segment),
	        T(backups_of_one_run_share_an_interval),
	        T(a_hole_ends_an_interval_and_is_named),
	        T(a_backup_without_its_own_wal_is_broken),
	        T(a_backup_that_stops_in_a_missing_segment_is_broken),
	        T(one_that_stops_at_a_boundary_needs_nothing_behind_it),
	        T(a_branch_goes_on_from_its_parents_backup),
	        T(a_backup_behind_the_fork_is_not_the_branchs),
	        T(a_branch_whose_first_segment_is_missing_ends_at_the_fork),
	        T(a_branch_without_its_history_is_not_judged),
	        T(timelines_that_end_at_the_same_position_are_told_apart),
	        T(a_timeline_that_was_forked_twice_leads_to_both),
	        T(an_archive_that_begins_in_the_middle_has_no_hole_before_it),
	        T(an_empty_archive_has_no_interval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
