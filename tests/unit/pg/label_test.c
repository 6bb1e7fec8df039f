/* label_test.c — backup_label, backup history files and tablespace_map. */
#include "pg/label.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char real_label[] = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n"
                                 "CHECKPOINT LOCATION: 0/2000060\n"
                                 "BACKUP METHOD: streamed\n"
                                 "BACKUP FROM: primary\n"
                                 "START TIME: 2026-11-20 23:48:20 UTC\n"
                                 "LABEL: lab el\n"
                                 "START TIMELINE: 1\n";

static const char real_history[] =
        "START WAL LOCATION: 0/1D000028 (file 00000001000000000000001D)\n"
        "STOP WAL LOCATION: 0/1D000100 (file 00000001000000000000001D)\n"
        "CHECKPOINT LOCATION: 0/1D000060\n"
        "BACKUP METHOD: streamed\n"
        "BACKUP FROM: primary\n"
        "START TIME: 2026-11-20 23:48:19 UTC\n"
        "LABEL: lab el\n"
        "START TIMELINE: 1\n"
        "STOP TIME: 2026-11-20 23:48:20 UTC\n"
        "STOP TIMELINE: 1\n";

static void a_label_is_read_and_written_again(void **state)
{
	struct label label;
	struct err err = {0};
	struct buf text;

	(void)state;
	assert_true(label_parse(real_label, sizeof(real_label) - 1, &label, &err));
	assert_int_equal(label.start_lsn, 0x2000028);
	assert_string_equal(label.start_file, "000000010000000000000002");
	assert_int_equal(label.checkpoint_lsn, 0x2000060);
	assert_string_equal(label.method, "streamed");
	assert_string_equal(label.from, "primary");
	assert_string_equal(label.start_time, "2026-11-20 23:48:20 UTC");
	assert_string_equal(label.text, "lab el");
	assert_int_equal(label.start_tli, 1);
	assert_int_equal(label.stop_lsn, 0);
	buf_init(&text, LABEL_BYTES_MAX);
	label_write(&label, &text);
	assert_string_equal(buf_text(&text), real_label);
	buf_release(&text);
}

static void a_backup_history_file_is_read(void **state)
{
	struct label label;
	struct err err = {0};

	(void)state;
	assert_true(label_parse(real_history, sizeof(real_history) - 1, &label, &err));
	assert_int_equal(label.stop_lsn, 0x1D000100);
	assert_string_equal(label.stop_file, "00000001000000000000001D");
	assert_string_equal(label.stop_time, "2026-11-20 23:48:20 UTC");
	assert_int_equal(label.stop_tli, 1);
}

static void an_incremental_label_names_its_parent(void **state)
{
	char text[1024];
	struct label label;
	struct err err = {0};

	(void)state;
	snprintf(text, sizeof(text), "%sINCREMENTAL FROM LSN: 0/1000028\nINCREMENTAL FROM TLI: 1\n",
	         real_label);
	assert_true(label_parse(text, strlen(text), &label, &err));
	assert_int_equal(label.incremental_from_lsn, 0x1000028);
}

static void what_is_no_label_is_refused(void **state)
{
	static const char start[] =
	        "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n";
	static const char *const bad[] = {
	        "",
	        "nonsense\n",
	        "%sCHECKPOINT LOCATION: 0/2000060\n",
	        "%sBACKUP METHOD: streamed\n",
	        "CHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\n",
	        "%sCHECKPOINT LOCATION: 0-2000060\nBACKUP METHOD: streamed\n",
	        "%sCHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\nSTART TIMELINE: x\n",
	        "%sCHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\nSTART TIMELINE: 2\n",
	        "%sCHECKPOINT LOCATION: 0/2000060\r\nBACKUP METHOD: streamed\n",
	        "START WAL LOCATION: 0/2000028 (file 00000001000000000000000)\n"
	        "CHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\n",
	        "START WAL LOCATION: 0/2000028\n"
	        "CHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		const char *rest = bad[i][0] == '%' ? bad[i] + 2 : bad[i];
		struct label label;
		struct err err = {0};
		char text[1024];

		snprintf(text, sizeof(text), "%s%s", rest == bad[i] ? "" : start, rest);
		if (label_parse(text, strlen(text), &label, &err))
			fail_msg("taken: %s", text);
		assert_int_equal(err.code, ERR_DAMAGED);
	}
}

static void a_tablespace_map_is_read_and_written_again(void **state)
{
	static const char text[] = "16400 /srv/fast disk\n16401 /srv/back\\\\slash\n"
	                           "16402 /srv/line\\\nfeed\\\rcr\n";
	struct tablespace_map map;
	struct err err = {0};
	struct buf out;

	(void)state;
	assert_true(tablespace_map_parse(text, sizeof(text) - 1, &map, &err));
	assert_int_equal(map.count, 3);
	assert_string_equal(tablespace_map_path(&map, 16400), "/srv/fast disk");
	assert_string_equal(tablespace_map_path(&map, 16401), "/srv/back\\slash");
	assert_string_equal(tablespace_map_path(&map, 16402), "/srv/line\nfeed\rcr");
	assert_null(tablespace_map_path(&map, 1));
	buf_init(&out, TABLESPACE_MAP_BYTES_MAX);
	tablespace_map_write(&map, &out);
	assert_string_equal(buf_text(&out), text);
	buf_release(&out);
	tablespace_map_release(&map);
}

static void what_is_no_tablespace_map_is_refused(void **state)
{
	static const char *const bad[] = {"16400\n",
	                                  "x /srv\n",
	                                  "0 /srv\n",
	                                  "16400 srv\n",
	                                  "16400  /srv\n",
	                                  "16400 /a\n16400 /b\n",
	                                  "99999999999 /srv\n",
	                                  "\n"};
	struct tablespace_map map;
	struct err err = {0};

	(void)state;
	assert_true(tablespace_map_parse("", 0, &map, &err));
	assert_int_equal(map.count, 0);
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		if (tablespace_map_parse(bad[i], strlen(bad[i]), &map, &err))
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(map.count, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_label_is_read_and_written_again),
	        cmocka_unit_test(a_backup_history_file_is_read),
	        cmocka_unit_test(an_incremental_label_names_its_parent),
	        cmocka_unit_test(what_is_no_label_is_refused),
	        cmocka_unit_test(a_tablespace_map_is_read_and_written_again),
	        cmocka_unit_test(what_is_no_tablespace_map_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
