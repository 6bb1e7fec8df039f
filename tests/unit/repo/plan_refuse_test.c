/* plan_refuse_test.c — what cannot be restored to, and the nearest that can. */
#include "plan_world.h"

/* Timeline 1: 2 to 9, 11 to 14, 17 to 19; backups in 3, 12 and 18. Its end is told for the stretch
 * that a row is about. */
static void stretches(struct world *w)
{
	world_init(w);
	wal(w, 1, 2, 9);
	wal(w, 1, 11, 14);
	wal(w, 1, 17, 19);
	backup(w, "aaaa", 1, 3, T(100));
	backup(w, "bbbb", 1, 12, T(200));
	backup(w, "cccc", 1, 18, T(300));
}

static const struct {
	const char *target;
	uint32_t timeline;
	uint64_t end; /* segment where the WAL before the target ends, 0: it is not known */
	int64_t commit, proven; /* of that stretch, 0: none */
	const char *says, *hint, *also;
} impossible[] = {
        /* before every backup */
        {"T99", 0, 0, 0, 0, "before the end of every backup",
         "The first possible is \"--to lsn:0/3002328\", the end of backup "
         "20261120T140200Z-aaaa at 2026-11-18",
         ""},
        {"lsn:0/3002327", 0, 0, 0, 0, "before the end of every backup",
         "The first possible is \"--to lsn:0/3002328\"", ""},
        {"lsn:0/3002327", 1, 0, 0, 0, "before the end of every backup",
         "\"--to lsn:0/3002328 --timeline 1\"", ""},
        /* in the first hole */
        {"T160", 0, 9, T(150), 0, "lies behind a hole: segment \"00000001000000000000000A\"",
         "The last possible before it is \"--to '@150'\" (the last transaction), ",
         "the first behind it \"--to lsn:0/C002328\" (the end of backup "
         "20261120T140200Z-bbbb at @200)."},
        {"T160", 0, 9, T(150), T(155), "lies behind a hole",
         "\"--to '@155'\" (the last transaction ended at @150), the first behind it",
         "lsn:0/C002328"},
        {"T160", 1, 9, T(150), 0, "lies behind a hole", "\"--to '@150' --timeline 1\"",
         "\"--to lsn:0/C002328 --timeline 1\""},
        /* nothing ended since the backup: a position, for no time is proven */
        {"T160", 0, 9, 0, 0, "lies behind a hole",
         "\"--to lsn:0/9000500\" (no transaction ended since the backup)", "lsn:0/C002328"},
        {"lsn:0/A000028", 0, 9, T(150), 0, "segment \"00000001000000000000000A\"",
         "The last possible before it is \"--to lsn:0/9000500\" (the last transaction "
         "ended "
         "at @150), the first behind it \"--to lsn:0/C002328\"",
         ""},
        {"lsn:0/C002327", 0, 9, T(150), 0, "lies behind a hole", "\"--to lsn:0/9000500\"",
         "\"--to lsn:0/C002328\""},
        /* as long as the end of the WAL is not known, one side is */
        {"lsn:0/A000028", 0, 0, 0, 0, "lies behind a hole",
         "The first possible behind it is \"--to lsn:0/C002328\"", ""},
        /* in the second, which is two segments long */
        {"T260", 0, 14, T(250), 0, "segment \"00000001000000000000000F\"", "\"--to '@250'\"",
         "\"--to lsn:0/12002328\" (the end of backup 20261120T140200Z-cccc at @300)"},
        {"lsn:0/10000100", 0, 14, T(250), 0, "segment \"00000001000000000000000F\"",
         "\"--to lsn:0/E000500\"", "\"--to lsn:0/12002328\""},
        {"lsn:0/11000100", 0, 14, T(250), 0, "behind it up to \"000000010000000000000013\"",
         "\"--to lsn:0/E000500\"", "\"--to lsn:0/12002328\""},
        /* beyond the end */
        {"T400", 0, 19, T(350), 0, "after the last archived commit of timeline 1",
         "The last possible is \"--to '@350'\" (the last transaction).", ""},
        {"T400", 0, 19, T(350), T(390), "and no other record is as late",
         "The last possible is \"--to '@390'\" (the last transaction ended at @350).", ""},
        {"lsn:0/14000028", 0, 19, T(350), 0, "behind the end of the archive",
         "The last possible is \"--to lsn:0/13000500\" (the last transaction ended at "
         "@350).",
         ""},
        {"lsn:7/28", 0, 19, 0, 0, "behind the end of the archive",
         "\"--to lsn:0/13000500\" (no transaction ended since the backup).", ""},
};

static void every_impossible_target_has_the_nearest_possible_ones_on_both_sides(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(impossible); i++) {
		struct world w;

		stretches(&w);
		if (impossible[i].end) {
			int64_t commit = impossible[i].commit ? impossible[i].commit : NO_END;

			fact(&w, 1, INT64_MIN, commit, S(impossible[i].end) + 0x400);
			w.fact[0].proven_us = impossible[i].proven ? impossible[i].proven : NO_END;
			w.fact[0].end_start = S(impossible[i].end) + 0x500;
			w.fact[0].end_lsn = S(impossible[i].end) + 0x530;
		}
		refused(&w, impossible[i].target, impossible[i].timeline, ERR_REFUSED,
		        impossible[i].says);
		hinted(&w, impossible[i].target, impossible[i].hint);
		hinted(&w, impossible[i].target, impossible[i].also);
		world_release(&w);
	}
}

/* It is there and not in any run; behind the last one it is no end of the archive either. */
static void what_is_damaged_is_a_hole_and_said_to_be(void **state)
{
	static const struct {
		uint64_t segno;
		bool accepted;
		const char *target, *says;
	} each[] = {
	        {10, false, "T160",
	         "segment \"00000001000000000000000A\" is damaged in the archive"},
	        {10, true, "lsn:0/B000028",
	         "segment \"00000001000000000000000A\" was archived as damaged, with "
	         "--accept-damaged, the WAL behind it up to \"000000010000000000000013\""},
	        {20, false, "lsn:0/14000028",
	         "lies behind a hole: segment \"000000010000000000000014\" is damaged in the "
	         "archive"},
	        {20, false, "T400", "\"000000010000000000000014\" is damaged in the archive"},
	        {20, false, "latest",
	         "the end of the archive lies behind a hole: segment "
	         "\"000000010000000000000014\" is damaged"},
	        {21, false, "lsn:0/15000028",
	         "segment \"000000010000000000000014\" is not in the archive, the WAL behind it "
	         "up to \"000000010000000000000015\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(each); i++) {
		struct world w;

		stretches(&w);
		catalog_add_harm(&w.catalog, &(struct catalog_harm){.tli = 1,
		                                                    .segno = each[i].segno,
		                                                    .accepted = each[i].accepted});
		fact(&w, 1, INT64_MIN, T(150), S(9) + 0x400);
		w.fact[0].end_start = S(9) + 0x500;
		refused(&w, each[i].target, 0, ERR_REFUSED, each[i].says);
		world_release(&w);
	}
}

/* Each target in a hint can be typed. */
static void the_nearest_ones_are_possible(void **state)
{
	struct world w;

	(void)state;
	stretches(&w);
	chosen(&w, "lsn:0/3002328", 0, "aaaa", 1);
	chosen(&w, "lsn:0/9000500", 0, "aaaa", 1);
	chosen(&w, "lsn:0/C002328", 0, "bbbb", 1);
	chosen(&w, "lsn:0/12002328", 0, "cccc", 1);
	fact(&w, 1, INT64_MIN, T(150), S(9) + 0x400);
	chosen(&w, "T150", 0, "aaaa", 1);
	world_release(&w);
}

static void between_two_timelines_the_next_one_is_the_nearest_behind(void **state)
{
	struct world w;

	(void)state;
	branches(&w);
	for (size_t i = 0; i < w.facts; i++)
		w.fact[i].proven_us = NO_END;
	refused(&w, "T350", 0, ERR_REFUSED, "after the last archived commit of timeline 1");
	hinted(&w, "T350", "\"--to '@400' --timeline 2\" (timeline 2 begins)");
	refused(&w, "T470", 0, ERR_REFUSED, "after the last archived commit of timeline 2");
	hinted(&w, "T470", "\"--to '@500' --timeline 3\" (timeline 3 begins)");
	w.fact[0].end_start = S(20) + 0x500;
	refused(&w, "T350", 0, ERR_REFUSED, "after the last archived commit of timeline 1");
	hinted(&w, "T350", "The last possible before it is \"--to '@300'\"");
	chosen(&w, "T300", 0, "aaaa", 1);
	chosen(&w, "T400", 2, "aaaa", 2);
	chosen(&w, "T500", 3, "aaaa", 3);
	world_release(&w);
}

static void a_record_that_is_as_late_proves_that_no_commit_is_missing(void **state)
{
	struct world w;

	(void)state;
	simple(&w);
	refused(&w, "T305", 0, ERR_REFUSED, "after the last archived commit");
	w.fact[0].proven_us = T(305);
	chosen(&w, "T305", 0, "bbbb", 1);
	refused(&w, "T306", 0, ERR_REFUSED, "after the last archived commit");
	/* also when no transaction ended at all */
	w.fact[0].last_commit_us = NO_END;
	chosen(&w, "T305", 0, "bbbb", 1);
	world_release(&w);
}

static void what_is_near_to_a_transaction_or_a_restore_point_is_told(void **state)
{
	static const uint32_t met[] = {4690, 4720, 2, 4709, 0, 4713, 4705, 4712, 4800};
	struct restore_near *near;
	struct world w;

	(void)state;
	simple(&w);
	searches(&w, "xid:4711", 2, 20);
	near = &w.searched.near;
	for (size_t i = 0; i < ARRAY_LENGTH(met); i++)
		restore_near_xid(near, 4711, met[i]);
	refused(&w, "xid:4711", 0, ERR_NOTFOUND, "is not in the WAL");
	hinted(&w, "xid:4711", "The nearest are \"--to xid:4709\" and \"--to xid:4712\".");
	near->above = 0;
	refused(&w, "xid:4711", 0, ERR_NOTFOUND, "is not in the WAL");
	hinted(&w, "xid:4711", "The last is \"--to xid:4709\".");
	/* numbers go round */
	*near = (struct restore_near){0};
	restore_near_xid(near, 5, 4294967290u);
	assert_int_equal(near->below, 4294967290u);
	restore_near_xid(near, 4294967290u, 7);
	assert_int_equal(near->above, 7);
	*near = (struct restore_near){0};
	for (unsigned i = 0; i < 5; i++) {
		char name[16];

		snprintf(name, sizeof(name), "point %u", i * 7 % 5);
		restore_near_point(near, name, S(10) + i * 7 % 5 * 100, T(400 + i * 7 % 5));
		restore_near_point(near, name, S(10) + i * 7 % 5 * 100, T(400 + i * 7 % 5));
	}
	refused(&w, "name:x", 0, ERR_NOTFOUND, "is not in the WAL");
	hinted(&w, "name:x",
	       "There are \"point 4\" (@404), \"point 3\" (@403), \"point 2\" (@402). ");
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(
	                every_impossible_target_has_the_nearest_possible_ones_on_both_sides),
	        cmocka_unit_test(what_is_damaged_is_a_hole_and_said_to_be),
	        cmocka_unit_test(the_nearest_ones_are_possible),
	        cmocka_unit_test(between_two_timelines_the_next_one_is_the_nearest_behind),
	        cmocka_unit_test(a_record_that_is_as_late_proves_that_no_commit_is_missing),
	        cmocka_unit_test(what_is_near_to_a_transaction_or_a_restore_point_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
