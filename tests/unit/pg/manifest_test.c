/* manifest_test.c — PostgreSQL's backup_manifest, byte for byte. */
#include "pg/manifest.h"
#include "base/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static bool buf_append(void *context, const void *bytes, size_t length, struct err *err)
{
	if (!buf_add(context, bytes, length))
		return err_set(err, ERR_FULL, "no more room");
	return true;
}

static void a_manifest_is_written_as_the_server_writes_it(void **state)
{
	uint8_t sha256[32] = {0xAB, 0x01};
	const struct backup_manifest_file files[] = {
	        {.path = "backup_label",
	         .size_bytes = 225,
	         .modified_us = 1700000000999999,
	         .checksum = BACKUP_CHECKSUM_CRC32C,
	         .crc32c = 0xE27B4E99},
	        {.path = "a \"b\\c", .checksum = BACKUP_CHECKSUM_SHA256, .sha256 = sha256},
	        {.path = "\xFFx", .size_bytes = 1, .modified_us = -1},
	};
	static const char body[] =
	        "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n"
	        "{ \"Path\": \"backup_label\", \"Size\": 225, \"Last-Modified\": \"2023-11-14 "
	        "22:13:20 GMT\", "
	        "\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"994e7be2\" },\n"
	        "{ \"Path\": \"a \\\"b\\\\c\", \"Size\": 0, \"Last-Modified\": \"1970-01-01 "
	        "00:00:00 GMT\", "
	        "\"Checksum-Algorithm\": \"SHA256\", \"Checksum\": "
	        "\"ab01000000000000000000000000000000000000000000000000000000000000\" },\n"
	        "{ \"Encoded-Path\": \"ff78\", \"Size\": 1, \"Last-Modified\": \"1969-12-31 "
	        "23:59:59 GMT\" }\n"
	        "],\n\"WAL-Ranges\": [\n"
	        "{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/3000000\" },\n"
	        "{ \"Timeline\": 2, \"Start-LSN\": \"0/3000000\", \"End-LSN\": \"0/3000100\" }\n"
	        "],\n";
	struct backup_manifest manifest;
	struct err err = {0};
	struct buf text;

	(void)state;
	buf_init(&text, 65536);
	assert_true(backup_manifest_begin(&manifest, buf_append, &text, &err));
	for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
		assert_true(backup_manifest_file(&manifest, &files[i], &err));
	assert_true(backup_manifest_range(&manifest, 1, 0x2000028, 0x3000000, &err));
	assert_true(backup_manifest_range(&manifest, 2, 0x3000000, 0x3000100, &err));
	assert_true(backup_manifest_end(&manifest, &err));
	assert_true(text.length > sizeof(body));
	assert_memory_equal(text.data, body, sizeof(body) - 1);
	{
		uint8_t digest[32];
		char last[128] = "\"Manifest-Checksum\": \"";
		size_t at = strlen(last);

		sha256_of(body, sizeof(body) - 1, digest);
		for (size_t i = 0; i < 32; i++)
			at += (size_t)snprintf(last + at, sizeof(last) - at, "%02x", digest[i]);
		snprintf(last + at, sizeof(last) - at, "\"}\n");
		assert_string_equal(buf_text(&text) + sizeof(body) - 1, last);
	}
	backup_manifest_release(&manifest);
	buf_release(&text);
}

static void a_failing_append_fails_the_call_and_leaks_nothing(void **state)
{
	(void)state;
	for (size_t room = 1; room < 200; room += 20) {
		const struct backup_manifest_file file = {.path = "base/5/1259"};
		struct backup_manifest manifest;
		struct err err = {0};
		struct buf text;

		buf_init(&text, room);
		assert_false(backup_manifest_begin(&manifest, buf_append, &text, &err) &&
		             backup_manifest_file(&manifest, &file, &err) &&
		             backup_manifest_end(&manifest, &err));
		assert_int_equal(err.code, ERR_FULL);
		backup_manifest_release(&manifest);
		buf_release(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_manifest_is_written_as_the_server_writes_it),
	        cmocka_unit_test(a_failing_append_fails_the_call_and_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
