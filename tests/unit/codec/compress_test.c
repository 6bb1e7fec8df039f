/* compress_test.c — the text of the compression setting. */
#include "codec/sealed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void settings_that_exist_are_read_and_printed(void **state)
{
	static const struct {
		const char *text;
		enum sealed_compression kind;
		int level;
		const char *printed;
	} rows[] = {
	        {"none", SEALED_NONE, 0, "none"},        {"lz4", SEALED_LZ4, 0, "lz4"},
	        {"zstd", SEALED_ZSTD, 3, "zstd:3"},      {"zstd:1", SEALED_ZSTD, 1, "zstd:1"},
	        {"zstd:19", SEALED_ZSTD, 19, "zstd:19"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		struct compression compression;
		char text[16];

		assert_true(compression_parse(rows[i].text, &compression));
		assert_int_equal(compression.kind, rows[i].kind);
		assert_int_equal(compression.level, rows[i].level);
		compression_text(&compression, text);
		assert_string_equal(text, rows[i].printed);
	}
}

static void settings_that_do_not_exist_are_refused(void **state)
{
	static const char *const rows[] = {"",
	                                   "LZ4",
	                                   "lz4:1",
	                                   "zstd:",
	                                   "zstd:0",
	                                   "zstd:20",
	                                   "zstd:-1",
	                                   "zstd:3x",
	                                   "zstd 3",
	                                   "none:1",
	                                   "zstd:99999999999999999999"};
	struct compression compression;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
		assert_false(compression_parse(rows[i], &compression));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(settings_that_exist_are_read_and_printed),
	        cmocka_unit_test(settings_that_do_not_exist_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
