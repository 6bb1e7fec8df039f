/* datadir_test.c — what of a data directory belongs into a backup. */
#include "pg/datadir.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define VERSION_FOLDER "PG_15_202209061"

static const struct {
	const char *path;
	bool is_folder;
	enum datadir_verdict verdict;
} known[] = {
        {"PG_VERSION", false, DATADIR_COPY},
        {"global", true, DATADIR_COPY},
        {"global/pg_control", false, DATADIR_COPY},
        {"global/1262", false, DATADIR_COPY},
        {"global/pg_internal.init", false, DATADIR_SKIP},
        {"base/5/pg_internal.init.1234", false, DATADIR_SKIP},
        {"base/5/1259", false, DATADIR_COPY},
        {"base/5/t3_16400", false, DATADIR_SKIP},
        {"base/5/t0_16400_fsm.1", false, DATADIR_SKIP},
        {"t3_16400", false, DATADIR_COPY},
        {"base/pgsql_tmp", true, DATADIR_SKIP},
        {"base/pgsql_tmp/pgsql_tmp123.0", false, DATADIR_SKIP},
        {"base/5/.DS_Store", false, DATADIR_SKIP},
        {"pg_wal", true, DATADIR_EMPTY},
        {"pg_wal/archive_status", true, DATADIR_SKIP},
        {"pg_wal/000000010000000000000001", false, DATADIR_SKIP},
        {"pg_replslot", true, DATADIR_EMPTY},
        {"pg_replslot/slot/state", false, DATADIR_SKIP},
        {"pg_dynshmem", true, DATADIR_EMPTY},
        {"pg_notify", true, DATADIR_EMPTY},
        {"pg_serial", true, DATADIR_EMPTY},
        {"pg_snapshots", true, DATADIR_EMPTY},
        {"pg_stat_tmp", true, DATADIR_EMPTY},
        {"pg_subtrans", true, DATADIR_EMPTY},
        {"pg_subtrans/0000", false, DATADIR_SKIP},
        {"pg_stat", true, DATADIR_COPY},
        {"pg_twophase", true, DATADIR_COPY},
        {"pg_walx", true, DATADIR_COPY},
        {"postmaster.pid", false, DATADIR_SKIP},
        {"postmaster.opts", false, DATADIR_SKIP},
        {"postgresql.auto.conf", false, DATADIR_COPY},
        {"postgresql.auto.conf.tmp", false, DATADIR_SKIP},
        {"current_logfiles.tmp", false, DATADIR_SKIP},
        {"backup_label", false, DATADIR_SKIP},
        {"backup_label.old", false, DATADIR_COPY},
        {"tablespace_map", false, DATADIR_SKIP},
        {"backup_manifest", false, DATADIR_SKIP},
        {"pg_tblspc", true, DATADIR_COPY},
        {"pg_tblspc/16400", true, DATADIR_COPY},
        {"pg_tblspc/16400/" VERSION_FOLDER, true, DATADIR_COPY},
        {"pg_tblspc/16400/" VERSION_FOLDER "/5/16401", false, DATADIR_COPY},
        {"pg_tblspc/16400/" VERSION_FOLDER "/5/t1_16401", false, DATADIR_SKIP},
        {"pg_tblspc/16400/" VERSION_FOLDER "/pgsql_tmp", true, DATADIR_SKIP},
        {"pg_tblspc/16400/PG_14_202107181", true, DATADIR_SKIP},
        {"pg_tblspc/16400/PG_14_202107181/5/16401", false, DATADIR_SKIP},
        {"pg_tblspc/16400/lost+found", true, DATADIR_SKIP},
};

static void each_path_is_judged_as_the_server_does(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(known); i++)
		if (datadir_judge(known[i].path, known[i].is_folder, VERSION_FOLDER) !=
		    known[i].verdict)
			fail_msg("\"%s\" is judged wrongly", known[i].path);
}

static void names_of_relation_files_are_read(void **state)
{
	struct relation_file file;

	(void)state;
	assert_true(relation_file_parse("1259", &file));
	assert_int_equal(file.number, 1259);
	assert_int_equal(file.fork, FORK_MAIN);
	assert_int_equal(file.segment, 0);
	assert_true(relation_file_parse("4294967295_fsm.32767", &file));
	assert_int_equal(file.number, UINT32_MAX);
	assert_int_equal(file.fork, FORK_FSM);
	assert_int_equal(file.segment, 32767);
	assert_true(relation_file_parse("7_vm", &file));
	assert_int_equal(file.fork, FORK_VM);
	assert_true(relation_file_parse("7_init", &file));
	assert_int_equal(file.fork, FORK_INIT);
	assert_true(relation_file_parse("7.12", &file));
	assert_int_equal(file.segment, 12);
}

static void other_names_are_no_relations(void **state)
{
	static const char *const bad[] = {
	        "",       "01259",       "1259.",           "1259.0",   "1259.01",    "1259_",
	        "1259_x", "1259_fsm_vm", "1259 ",           "0",        "4294967296", "1259.32768",
	        "x1259",  "PG_VERSION",  "pg_filenode.map", "1259.1.1", "1259_fsm1"};
	struct relation_file file;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		if (relation_file_parse(bad[i], &file))
			fail_msg("\"%s\" is taken", bad[i]);
}

static void temporary_relations_are_known(void **state)
{
	static const char *const good[] = {"t3_16400", "t0_1", "t123_16400_fsm", "t1_2_vm.3"};
	static const char *const bad[] = {"t_1",     "t3",        "t3_",  "t3_x",
	                                  "3_16400", "t3_16400_", "tt3_1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
		assert_true(relation_file_is_temporary(good[i]));
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		assert_false(relation_file_is_temporary(bad[i]));
}

static void only_relation_files_have_pages(void **state)
{
	struct relation_file file;

	(void)state;
	assert_true(datadir_has_pages("global/1262", &file));
	assert_true(datadir_has_pages("base/5/16400.2", &file));
	assert_int_equal(file.segment, 2);
	assert_true(datadir_has_pages("pg_tblspc/16400/" VERSION_FOLDER "/5/16401_fsm", &file));
	assert_false(datadir_has_pages("base/16400", &file));
	assert_false(datadir_has_pages("1259", &file));
	assert_false(datadir_has_pages("pg_xact/0000", &file));
	assert_false(datadir_has_pages("pg_multixact/members/1", &file));
	assert_false(datadir_has_pages("global/pg_control", &file));
	assert_false(datadir_has_pages("base/pgsql_tmp/1", &file));
	assert_true(datadir_holds_relations("base/5"));
	assert_true(datadir_holds_relations("global"));
	assert_false(datadir_holds_relations("base"));
	assert_false(datadir_holds_relations(""));
}

static void forks_of_unlogged_relations_are_excluded_but_for_init(void **state)
{
	static const char *const names[] = {"300", "300_init", "300.1",
	                                    "100", "100_fsm",  "200_init",
	                                    "200", "200_vm",   "PG_VERSION"};
	struct unlogged_set set = {0};

	(void)state;
	assert_false(unlogged_set_excludes(&set, "300"));
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		unlogged_set_add(&set, names[i]);
	unlogged_set_sort(&set);
	assert_int_equal(set.count, 2);
	assert_true(unlogged_set_excludes(&set, "300"));
	assert_true(unlogged_set_excludes(&set, "300.1"));
	assert_true(unlogged_set_excludes(&set, "200_vm"));
	assert_false(unlogged_set_excludes(&set, "300_init"));
	assert_false(unlogged_set_excludes(&set, "100"));
	assert_false(unlogged_set_excludes(&set, "100_fsm"));
	assert_false(unlogged_set_excludes(&set, "PG_VERSION"));
	unlogged_set_release(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_path_is_judged_as_the_server_does),
	        cmocka_unit_test(names_of_relation_files_are_read),
	        cmocka_unit_test(other_names_are_no_relations),
	        cmocka_unit_test(temporary_relations_are_known),
	        cmocka_unit_test(only_relation_files_have_pages),
	        cmocka_unit_test(forks_of_unlogged_relations_are_excluded_but_for_init),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
