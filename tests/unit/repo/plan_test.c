/* plan_test.c — which backup, which path, which WAL; and what is refused. */
#include "base/clock.h"
#include "base/file.h"
#include "repo/plan.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "plan_world.h"

/* ---- targets ---- */

static void targets_are_read(void **state)
{
	static const char *const bad[] = {
	        "",      "latst",  "lsn:",  "lsn:0/0", "lsn:0/g",   "xid:0",    "xid:2",
	        "xid:x", "xid:-5", "name:", "Latest",  "backupend", "name:a\nb"};
	struct restore_target target;
	struct err err = {0};

	(void)state;
	assert_true(restore_target_parse("lsn:0/3000148", &target, &err));
	assert_int_equal(target.position, 0x3000148);
	assert_true(restore_target_parse("xid:74123", &target, &err));
	assert_int_equal(target.xid, 74123);
	assert_true(restore_target_parse("name:before migration", &target, &err));
	assert_string_equal(target.name, "before migration");
	assert_true(restore_target_parse("latest", &target, &err));
	assert_true(restore_target_parse("backup-end", &target, &err));
	assert_int_equal(target.kind, RESTORE_BACKUP_END);
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		err_clear(&err);
		if (restore_target_parse(bad[i], &target, &err))
			fail_msg("\"%s\" was taken", bad[i]);
		assert_int_equal(err.code, ERR_USAGE);
	}
}

static void a_time_in_the_future_is_refused(void **state)
{
	struct restore_target target;
	struct err err = {0};

	(void)state;
	assert_true(restore_target_parse("2026-11-20 14:02:00+01", &target, &err));
	assert_true(restore_target_resolve(&target, "", T(300000), &err));
	assert_int_equal(target.time_us, INT64_C(1795179720000000));
	assert_false(restore_target_resolve(&target, "", target.time_us - 1, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.text, "in the future"));
}

/* ---- one timeline ---- */

static void the_newest_backup_before_the_target_is_taken(void **state)
{
	struct world w;

	(void)state;
	simple(&w);
	chosen(&w, "latest", 0, "bbbb", 1);
	assert_int_equal(w.plan.first_segno, 8);
	assert_int_equal(w.plan.last_segno, 20);
	assert_false(w.plan.hole.found);
	chosen(&w, "lsn:0/5000000", 0, "aaaa", 1);
	chosen(&w, "lsn:0/9002328", 0, "bbbb", 1); /* exactly its end */
	chosen(&w, "lsn:0/9002327", 0, "aaaa", 1);
	chosen(&w, "T150", 0, "aaaa", 1);
	chosen(&w, "T200", 0, "bbbb", 1);
	chosen(&w, "T300", 0, "bbbb", 1);
	chosen(&w, "backup-end", 0, "bbbb", 1);
	assert_int_equal(w.plan.last_segno, 9);
	world_release(&w);
}

static void a_transaction_is_looked_for_behind_every_backup_that_leads_to_the_end(void **state)
{
	struct world w;

	(void)state;
	simple(&w);
	assert_true(choose(&w, "xid:4711", false, 0));
	assert_int_equal(w.need, RESTORE_NEEDS_SEARCH);
	assert_int_equal(w.plan.first_segno, 2);
	assert_int_equal(w.plan.last_segno, 20);
	world_release(&w);
	/* not across a hole: there is nothing to read */
	world_init(&w);
	wal(&w, 1, 1, 4);
	wal(&w, 1, 6, 20);
	backup(&w, "aaaa", 1, 2, T(100));
	backup(&w, "bbbb", 1, 8, T(200));
	backup(&w, "cccc", 1, 12, T(300));
	assert_true(choose(&w, "name:before", false, 0));
	assert_int_equal(w.need, RESTORE_NEEDS_SEARCH);
	assert_int_equal(w.plan.first_segno, 8);
	world_release(&w);
}

/* 1 to 4, 6 to 10 and 12 to 20 with a backup in each. */
static void holes(struct world *w)
{
	world_init(w);
	wal(w, 1, 1, 4);
	wal(w, 1, 6, 10);
	wal(w, 1, 12, 20);
	backup(w, "aaaa", 1, 2, T(100));
	backup(w, "bbbb", 1, 7, T(200));
	backup(w, "cccc", 1, 14, T(300));
}

static void below_a_hole_an_older_backup_may_lead_to_it(void **state)
{
	struct world w;

	(void)state;
	holes(&w);
	searches(&w, "xid:4711", 14, 20);
	searches(&w, "xid:4711", 7, 10);
	w.searched.found = true;
	w.searched.start = S(9);
	chosen(&w, "xid:4711", 0, "bbbb", 1);
	assert_int_equal(w.plan.last_segno, 10);
	/* below the end of that backup, and behind what the one before leads to */
	w.searched.start = S(7) + 100;
	refused(&w, "xid:4711", 0, ERR_REFUSED, "transaction 4711 lies behind a hole");
	assert_non_null(strstr(w.err.text, "000000010000000000000005"));
	world_release(&w);
}

static void what_is_nowhere_is_refused_with_what_was_searched(void **state)
{
	struct world w;

	(void)state;
	holes(&w);
	searches(&w, "name:x", 14, 20);
	searches(&w, "name:x", 7, 10);
	searches(&w, "name:x", 2, 4);
	refused(&w, "name:x", 0, ERR_NOTFOUND, "is not in the WAL of the path to timeline 1");
	assert_non_null(strstr(w.err.hint,
	                       "00000001000000000000000E to 000000010000000000000014, and "
	                       "000000010000000000000007 to 00000001000000000000000A "
	                       "(00000001000000000000000B is missing)"));
	assert_non_null(strstr(w.err.hint, "out of reach"));
	/* in place, what was not archived may hold it */
	w.local = true;
	chosen(&w, "name:x", 0, "cccc", 1);
	world_release(&w);
}

static void a_restore_point_that_the_backup_meets_twice_is_refused(void **state)
{
	struct world w;

	(void)state;
	simple(&w);
	searches(&w, "name:nightly", 2, 20);
	w.searched.found = true;
	w.searched.start = S(12) + 0x100;
	w.searched.time_us = T(400);
	assert_true(choose(&w, "name:nightly", false, 0));
	assert_int_equal(w.need, RESTORE_NEEDS_AGAIN);
	assert_string_equal(w.plan.backup + 17, "bbbb");
	w.searched.again_searched = true;
	chosen(&w, "name:nightly", 0, "bbbb", 1);
	w.searched.again = true;
	w.searched.again_start = S(10) + 0x80;
	w.searched.again_us = T(350);
	refused(&w, "name:nightly", 0, ERR_REFUSED, "more than one restore point \"nightly\"");
	assert_non_null(strstr(w.err.text, "0/A000080"));
	assert_non_null(strstr(w.err.hint, "--to lsn:0/A000080\" or \"--to lsn:0/C000100"));
	world_release(&w);
}

static void d13_what_cannot_be_reached_is_refused_and_never_becomes_the_latest(void **state)
{
	struct world w;

	(void)state;
	simple(&w);
	refused(&w, "lsn:0/1000028", 0, ERR_REFUSED, "before the end of every backup");
	assert_non_null(strstr(w.err.hint, "lsn:0/2002328"));
	refused(&w, "T99", 0, ERR_REFUSED, "before the end of every backup");
	refused(&w, "T301", 0, ERR_REFUSED, "after the last archived commit");
	refused(&w, "lsn:0/15000000", 0, ERR_REFUSED, "behind the end of the archive");
	refused(&w, "latest", 7, ERR_NOTFOUND, "timeline 7");
	w.heads = 0;
	refused(&w, "latest", 0, ERR_NOTFOUND, "there is no backup");
	world_release(&w);
}

static void a_hole_ends_the_latest_and_refuses_what_lies_behind_it(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	wal(&w, 1, 1, 12);
	wal(&w, 1, 14, 20);
	backup(&w, "aaaa", 1, 2, T(100));
	chosen(&w, "latest", 0, "aaaa", 1);
	assert_int_equal(w.plan.last_segno, 12);
	assert_true(w.plan.hole.found);
	assert_int_equal(w.plan.hole.segno, 13);
	assert_int_equal(w.plan.hole.behind_segno, 20);
	refused(&w, "lsn:0/F000000", 0, ERR_REFUSED, "behind a hole");
	assert_non_null(strstr(w.err.text, "00000001000000000000000D"));
	fact(&w, 1, INT64_MIN, T(150), S(12) + 500);
	refused(&w, "T200", 0, ERR_REFUSED, "behind a hole");
	/* a backup behind it makes it harmless */
	backup(&w, "bbbb", 1, 15, T(180));
	chosen(&w, "latest", 0, "bbbb", 1);
	assert_int_equal(w.plan.last_segno, 20);
	chosen(&w, "lsn:0/F009000", 0, "bbbb", 1);
	world_release(&w);
}

static void a_backup_whose_own_wal_is_missing_is_not_taken(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	wal(&w, 1, 1, 8);
	wal(&w, 1, 10, 20);
	backup(&w, "bbbb", 1, 8, T(200));
	w.head[w.heads - 1].stop_lsn = S(9) + 9000;
	refused(&w, "latest", 0, ERR_REFUSED, "the end of the backup");
	backup(&w, "aaaa", 1, 2, T(100));
	chosen(&w, "latest", 0, "aaaa", 1);
	assert_int_equal(w.plan.last_segno, 8);
	world_release(&w);
}

/* ---- many timelines ---- */

static void d53_the_branch_of_an_earlier_restore_does_not_decide(void **state)
{
	struct world w;

	(void)state;
	branches(&w);
	chosen(&w, "latest", 0, "aaaa", 3);
	chosen(&w, "latest", 2, "bbbb", 2);
	chosen(&w, "latest", 1, "aaaa", 1);
	assert_int_equal(w.plan.last_segno, 20);
	/* what time it was says which branch was alive */
	chosen(&w, "T250", 0, "aaaa", 1);
	chosen(&w, "T420", 0, "bbbb", 2);
	chosen(&w, "T550", 0, "aaaa", 3);
	/* the same point again and again */
	chosen(&w, "lsn:0/6000000", 0, "aaaa", 3);
	chosen(&w, "lsn:0/6000000", 1, "aaaa", 1);
	/* only on a branch that nobody named */
	refused(&w, "lsn:0/E000000", 0, ERR_REFUSED, "behind the end of the archive");
	assert_non_null(strstr(w.err.hint, "Timeline 2, 1 leads there"));
	chosen(&w, "lsn:0/E000000", 2, "bbbb", 2);
	/* after the end of one branch and before the begin of the next that forked below it */
	refused(&w, "T350", 0, ERR_REFUSED, "after the last archived commit of timeline 1");
	refused(&w, "T470", 0, ERR_REFUSED, "after the last archived commit of timeline 2");
	world_release(&w);
}

static void a_time_between_a_crash_and_the_promotion_is_on_the_heirs_path(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	wal(&w, 1, 1, 10);
	history(&w, 2, "1:0/A800000");
	wal(&w, 2, 10, 15);
	backup(&w, "aaaa", 1, 2, T(100));
	fact(&w, 1, INT64_MIN, T(300), S(10) + 0x700000);
	fact(&w, 2, T(400), T(450), S(15) + 500);
	chosen(&w, "T350", 0, "aaaa", 2);
	chosen(&w, "T290", 0, "aaaa", 1);
	world_release(&w);
}

static void the_facts_of_a_time_are_asked_for_one_by_one(void **state)
{
	struct world w;

	(void)state;
	branches(&w);
	w.facts = 0;
	assert_true(choose(&w, "T250", false, 0));
	assert_int_equal(w.need, RESTORE_NEEDS_BEGIN);
	assert_int_equal(w.asked, 3);
	fact(&w, 3, T(500), 0, 0);
	assert_true(choose(&w, "T250", false, 0));
	assert_int_equal(w.need, RESTORE_NEEDS_BEGIN);
	assert_int_equal(w.asked, 2);
	fact(&w, 2, T(400), 0, 0);
	assert_true(choose(&w, "T250", false, 0));
	assert_int_equal(w.need, RESTORE_NEEDS_END);
	assert_int_equal(w.asked, 1);
	fact(&w, 1, INT64_MIN, T(300), S(20) + 500);
	chosen(&w, "T250", 0, "aaaa", 1);
	world_release(&w);
}

static void the_dead_branch_is_not_taken_for_the_missing_child(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	wal(&w, 1, 1, 20);
	history(&w, 2, "1:0/A800000"); /* only its history was archived */
	backup(&w, "aaaa", 1, 2, T(100));
	refused(&w, "latest", 0, ERR_REFUSED, "timeline 2 cannot be reached");
	assert_non_null(strstr(w.err.text, "00000002000000000000000A"));
	refused(&w, "latest", 2, ERR_REFUSED, "timeline 2 cannot be reached");
	refused(&w, "name:x", 0, ERR_REFUSED, "timeline 2 cannot be reached");
	chosen(&w, "latest", 1, "aaaa", 1);
	/* what both have in common is no question */
	chosen(&w, "lsn:0/9000000", 0, "aaaa", 2);
	chosen(&w, "lsn:0/A000000", 0, "aaaa", 1);
	refused(&w, "lsn:0/B000000", 0, ERR_REFUSED, "behind the end of the archive");
	world_release(&w);
}

static void a_path_without_its_history_is_not_known(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	wal(&w, 1, 1, 20);
	wal(&w, 2, 10, 12);
	backup(&w, "aaaa", 1, 2, T(100));
	refused(&w, "latest", 0, ERR_REFUSED, "00000002.history is not in the archive");
	world_release(&w);
}

static void d14_timelines_are_hexadecimal_in_names_only(void **state)
{
	static const uint32_t rows[] = {9, 10, 15, 16, 255, 256};
	struct world w;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		char path[64], name[16];

		world_init(&w);
		wal(&w, rows[i], 1, 10);
		snprintf(path, sizeof(path), "%u:0/A800000", rows[i]);
		history(&w, rows[i], "");
		history(&w, rows[i] + 1, path);
		wal(&w, rows[i] + 1, 10, 15);
		backup(&w, "aaaa", rows[i], 2, T(100));
		chosen(&w, "latest", 0, "aaaa", rows[i] + 1);
		assert_int_equal(w.plan.last_segno, 15);
		catalog_release(&w.catalog);
		w.catalog = (struct catalog){.segment_bytes = MB16};
		history(&w, rows[i], "");
		wal(&w, rows[i], 1, 10);
		history(&w, rows[i] + 1, path);
		snprintf(name, sizeof(name), "%08X", rows[i] + 1);
		refused(&w, "latest", 0, ERR_REFUSED, name);
		world_release(&w);
	}
}

static void a_backup_of_a_left_branch_is_not_on_the_path(void **state)
{
	struct world w;

	(void)state;
	branches(&w);
	backup(&w, "cccc", 1, 7, T(250));
	chosen(&w, "latest", 0, "aaaa", 3); /* 3 left 1 in segment 6 */
	chosen(&w, "latest", 1, "cccc", 1);
	/* one that the fork cuts through */
	w.head[2].start_lsn = S(6) + 0x700000;
	w.head[2].stop_lsn = S(6) + 0x900000;
	chosen(&w, "latest", 0, "aaaa", 3);
	world_release(&w);
}

/* ---- delivering ---- */

static void a_segment_that_the_path_has_left_is_never_delivered(void **state)
{
	struct restore_plan plan = {.segment_bytes = MB16, .last_segno = 15};

	(void)state;
	history_init(&plan.path, 3);
	history_add(&plan.path, 1, 0x6800000, "");
	history_add(&plan.path, 2, S(12), ""); /* exactly at a boundary */
	assert_int_equal(restore_plan_judge(&plan, 1, 5), RESTORE_MAY);
	assert_int_equal(restore_plan_judge(&plan, 1, 6), RESTORE_LEFT);
	assert_int_equal(restore_plan_judge(&plan, 1, 7), RESTORE_LEFT);
	assert_int_equal(restore_plan_judge(&plan, 2, 6), RESTORE_MAY);
	assert_int_equal(restore_plan_judge(&plan, 2, 5), RESTORE_OTHER);
	assert_int_equal(restore_plan_judge(&plan, 2, 11), RESTORE_MAY);
	assert_int_equal(restore_plan_judge(&plan, 2, 12), RESTORE_LEFT);
	assert_int_equal(restore_plan_judge(&plan, 3, 12), RESTORE_MAY);
	assert_int_equal(restore_plan_judge(&plan, 3, 11), RESTORE_OTHER);
	assert_int_equal(restore_plan_judge(&plan, 3, 15), RESTORE_MAY);
	assert_int_equal(restore_plan_judge(&plan, 3, 16), RESTORE_BEYOND);
	assert_int_equal(restore_plan_judge(&plan, 4, 13), RESTORE_OTHER);
	assert_true(restore_plan_has_history(&plan, 1));
	assert_true(restore_plan_has_history(&plan, 3));
	assert_false(restore_plan_has_history(&plan, 4));
	history_release(&plan.path);
}

/* ---- the file ---- */

static void a_plan_survives_its_file(void **state)
{
	char path[] = "/tmp/plan_test.XXXXXX";
	struct restore_plan plan = {.id = "0123456789abcdef",
	                            .system_identifier = UINT64_C(7300000000000000001),
	                            .major = 15,
	                            .segment_bytes = MB16,
	                            .clone = true,
	                            .backup = "20261120T140200Z-aaaa",
	                            .first_segno = 2,
	                            .last_segno = 20,
	                            .socket = "/run/x y/s.sock",
	                            .end_lsn = 0x5000000,
	                            .end_tli = 3,
	                            .last_commit_us = T(7)};
	struct restore_plan back;
	struct err err = {0};
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	plan.cluster = xstrdup("main");
	plan.generation = xstrdup("main/7300000000000000001-15-1");
	plan.pgdata = xstrdup("/tmp/a \"b' %20\t#;c ");
	plan.config = xstrdup("/etc/ä");
	assert_true(restore_target_parse("name:x = y", &plan.target, &err));
	plan.target.before = true;
	plan.known_tli = 5;
	history_init(&plan.path, 3);
	history_add(&plan.path, 1, 0x6800000, "");
	plan.tablespace = xcalloc(1, sizeof(plan.tablespace[0]));
	plan.tablespace[0] = (struct restore_tablespace){.oid = 16400,
	                                                 .name = xstrdup("fast disk"),
	                                                 .original = xstrdup("/mnt/a b"),
	                                                 .path = xstrdup("/mnt/c\td")};
	plan.tablespaces = 1;
	if (!restore_plan_write(&plan, path, &err) || !restore_plan_read(path, &back, &err))
		fail_msg("%s", err.text);
	assert_string_equal(back.pgdata, plan.pgdata);
	assert_string_equal(back.config, plan.config);
	assert_string_equal(back.socket, plan.socket);
	assert_string_equal(back.target.name, "x = y");
	assert_true(back.target.before && back.clone);
	assert_int_equal(back.known_tli, 5);
	assert_int_equal(back.path.tli, 3);
	assert_int_equal(back.path.count, 1);
	assert_int_equal(back.path.entry[0].switch_lsn, 0x6800000);
	assert_int_equal(back.end_lsn, 0x5000000);
	assert_int_equal(back.last_commit_us, T(7));
	assert_string_equal(back.tablespace[0].name, "fast disk");
	assert_string_equal(back.tablespace[0].path, "/mnt/c\td");
	restore_plan_release(&back);
	restore_plan_release(&plan);
	unlink(path);
}

static void a_damaged_plan_is_refused(void **state)
{
	static const char *const rows[] = {"",
	                                   "[restore]\n",
	                                   "[other]\nid = x\n",
	                                   "[restore]\nid = 0123456789abcdef\nnonsense = 1\n",
	                                   "[restore]\npath = 1\n",
	                                   "[restore]\nsegment_bytes = 5x\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		char path[] = "/tmp/plan_test.XXXXXX";
		struct restore_plan plan;
		struct err err = {0};
		int fd = mkstemp(path);

		assert_true(fd >= 0 && file_write_full(fd, rows[i], strlen(rows[i])));
		close(fd);
		assert_false(restore_plan_read(path, &plan, &err));
		unlink(path);
	}
}

static void on_a_contested_path_what_lies_before_the_fork_is_searched_and_decided(void **state)
{
	struct world w;
	struct owner_note quarrel = {
	        .tli = 2, .n = 1, .kind = OWNER_CONTESTED, .position = S(10) + 100, .other = 1};

	(void)state;
	world_init(&w);
	wal(&w, 1, 1, 15);
	wal(&w, 2, 10, 20);
	history(&w, 2, "1:0/A000064");
	catalog_add_note(&w.catalog, &quarrel);
	backup(&w, "aaaa", 1, 2, T(100));
	backup(&w, "bbbb", 2, 12, T(200));
	/* nobody knows yet where it is: it is looked for, and not refused unsearched */
	assert_true(choose(&w, "xid:4711", false, 0));
	assert_int_equal(w.need, RESTORE_NEEDS_SEARCH);
	assert_true(choose(&w, "name:before", false, 0));
	assert_int_equal(w.need, RESTORE_NEEDS_SEARCH);
	w.searched =
	        (struct restore_searched){.stretches = 1, .from = 2, .found = true, .start = S(7)};
	chosen(&w, "xid:4711", 0, "aaaa", 2);
	w.searched.start = S(11); /* behind the fork both sides may have one of that number */
	refused(&w, "xid:4711", 0, ERR_REFUSED, "contested");
	hinted(&w, "xid:4711", "--timeline 1 or --timeline 2");
	chosen(&w, "xid:4711", 2, "aaaa", 2);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(targets_are_read),
	        cmocka_unit_test(
	                a_transaction_is_looked_for_behind_every_backup_that_leads_to_the_end),
	        cmocka_unit_test(below_a_hole_an_older_backup_may_lead_to_it),
	        cmocka_unit_test(what_is_nowhere_is_refused_with_what_was_searched),
	        cmocka_unit_test(a_restore_point_that_the_backup_meets_twice_is_refused),
	        cmocka_unit_test(a_time_in_the_future_is_refused),
	        cmocka_unit_test(the_newest_backup_before_the_target_is_taken),
	        cmocka_unit_test(
	                d13_what_cannot_be_reached_is_refused_and_never_becomes_the_latest),
	        cmocka_unit_test(a_hole_ends_the_latest_and_refuses_what_lies_behind_it),
	        cmocka_unit_test(a_backup_whose_own_wal_is_missing_is_not_taken),
	        cmocka_unit_test(d53_the_branch_of_an_earlier_restore_does_not_decide),
	        cmocka_unit_test(a_time_between_a_crash_and_the_promotion_is_on_the_heirs_path),
	        cmocka_unit_test(the_facts_of_a_time_are_asked_for_one_by_one),
	        cmocka_unit_test(the_dead_branch_is_not_taken_for_the_missing_child),
	        cmocka_unit_test(a_path_without_its_history_is_not_known),
	        cmocka_unit_test(d14_timelines_are_hexadecimal_in_names_only),
	        cmocka_unit_test(a_backup_of_a_left_branch_is_not_on_the_path),
	        cmocka_unit_test(a_segment_that_the_path_has_left_is_never_delivered),
	        cmocka_unit_test(a_plan_survives_its_file),
	        cmocka_unit_test(a_damaged_plan_is_refused),
	        cmocka_unit_test(
	                on_a_contested_path_what_lies_before_the_fork_is_searched_and_decided),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
