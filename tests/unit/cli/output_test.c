/* output_test.c — tables, progress, and the command for postgresql.conf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "../../../src/cli/progress.h"
#include "../../../src/cli/setup.h"
#include "../../../src/cli/table.h"
#include "base/str.h"

static void a_table_has_columns_of_one_width(void **state)
{
	static const char *const titles[] = {"NAME", "SIZE", "NOTE"};
	struct table table;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	table_init(&table, 3, titles, 1u << 1);
	table_add(&table, "a");
	table_addf(&table, "%d MB", 120);
	table_add(&table, "");
	table_add(&table, "gr\xc3\xb6\xc3\x9f"
	                  "er");
	table_add(&table, "");
	table_add(&table, "x");
	table_print(&table, 1, &out);
	assert_string_equal(buf_text(&out), " NAME      SIZE  NOTE\n"
	                                    " a       120 MB\n"
	                                    " gr\xc3\xb6\xc3\x9f"
	                                    "er          x\n");
	table_release(&table);
	buf_release(&out);
}

static const char *shown(const struct progress *progress, const struct progress_figures *figures)
{
	static struct buf out;

	buf_release(&out);
	buf_init(&out, 1024);
	progress_text(progress, figures, &out);
	return buf_text(&out);
}

static void progress_shows_bytes_rate_and_time_left(void **state)
{
	struct progress progress = {.bytes_per_s = 10 << 20};
	struct progress_figures figures = {
	        .what = "copying files", .done = 100 << 20, .total = 300 << 20};

	(void)state;
	assert_string_equal(shown(&progress, &figures),
	                    "copying files: 100 MB of 300 MB (33 %), 10 MB/s, 20.0 s left");
	figures.total = 0;
	assert_string_equal(shown(&progress, &figures), "copying files: 100 MB, 10 MB/s");
	figures.done = 0;
	assert_string_equal(shown(&progress, &figures), "copying files");
	figures = (struct progress_figures){.what = "x", .done = 5 << 20, .total = 4 << 20};
	progress.bytes_per_s = 0;
	assert_string_equal(shown(&progress, &figures), "x: 5.0 MB of 4.0 MB (100 %)");
}

static void the_archive_command_survives_three_readers(void **state)
{
	char odd[] = "/srv/it's 100% mine/seawall.conf", usual[] = "/etc/seawall/seawall.conf";
	struct config config = {.path = odd};
	struct err err = {0};
	char *command = setup_archive_command(&config, &err);

	(void)state;
	assert_non_null(command);
	assert_true(str_ends(command, " push %p"));
	/* For the shell 'it'\''s 100%', with each quote and each % doubled. */
	assert_non_null(strstr(command, "/seawall-wal --config "
	                                "''/srv/it''\\''''s 100%% mine/seawall.conf'' push %p"));
	free(command);
	config.path = usual;
	command = setup_archive_command(&config, &err);
	assert_null(strstr(command, "--config"));
	free(command);
	config.path = NULL;
	command = setup_archive_command(&config, &err);
	assert_null(strstr(command, "--config"));
	free(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_table_has_columns_of_one_width),
	        cmocka_unit_test(progress_shows_bytes_rate_and_time_left),
	        cmocka_unit_test(the_archive_command_survives_three_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
