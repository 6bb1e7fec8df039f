/* control_test.c — pg_control of 13 to 18, whole, torn and foreign. */
#include "pg/control.h"
#include "base/bytes.h"
#include "base/file.h"
#include "pg/crc32c.h"
#include "pg/version.h"
#include "real_control.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void pg_control_of_every_version_is_decoded(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(real_control); i++) {
		struct control control;
		struct err err = {0};

		if (!control_decode(real_control[i].bytes, 296, &control, &err))
			fail_msg("%s", err.text);
		assert_int_equal(control.major, real_control[i].major);
		assert_int_equal(control.state, CONTROL_SHUTDOWNED);
		assert_int_equal(control.segment_bytes, 1 << 20);
		assert_int_equal(control.wal_block_bytes, 8192);
		assert_int_equal(control.block_bytes, 8192);
		assert_int_equal(control.checksum_version, 1);
		assert_int_equal(control.checkpoint.tli, 1);
		assert_int_equal(control.checkpoint.previous_tli, 1);
		assert_int_equal(control.checkpoint.redo, control.checkpoint_lsn);
		assert_true(control.checkpoint.full_page_writes);
		assert_int_equal(control.parameters.max_connections, 100);
		assert_int_equal(control.parameters.max_prepared_transactions, 10);
		assert_int_equal(control.parameters.max_locks_per_transaction, 64);
		assert_int_equal(control.parameters.wal_level, 2);
		assert_true(control.parameters.track_commit_timestamp);
		assert_false(control.parameters.wal_log_hints);
		assert_int_equal(control.min_recovery_lsn, 0);
		assert_false(control.backup_end_required);
	}
}

/* What pg_controldata printed of the server of version 15. */
static void the_fields_are_those_of_pg_controldata(void **state)
{
	struct control control;
	struct err err = {0};

	(void)state;
	assert_true(control_decode(real_control[2].bytes, 296, &control, &err));
	assert_int_equal(control.system_identifier, UINT64_C(7710404878330151374));
	assert_int_equal(control.catalog_version, 202209061);
	assert_int_equal(control.checkpoint_lsn, 0xA900028);
	assert_int_equal(control.checkpoint.next_xid, 18877);
	assert_int_equal(control.updated_us / 1000000, 1795218543); /* Fri Nov 20 23:49:03 2026 */
	assert_int_equal(control.checkpoint.time_us / 1000000, 1795218543);
	assert_string_equal(control_state_name(control.state), "shut down");
	assert_string_equal(control_state_name(CONTROL_IN_PRODUCTION), "in production");
	assert_string_equal(control_state_name((enum control_state)99), "unrecognized status code");
}

static void a_flipped_byte_is_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(real_control); i++)
		for (size_t at = 0; at < (real_control[i].major < 18 ? 292 : 296); at++) {
			struct real_control copy = real_control[i];
			struct control control;
			struct err err = {0};

			copy.bytes[at] ^= 0x10;
			if (control_decode(copy.bytes, 296, &control, &err))
				fail_msg("%u: byte %zu", copy.major, at);
		}
}

static void assert_refused(const uint8_t bytes[296], enum err_code code, const char *said)
{
	struct control control;
	struct err err = {0};

	assert_false(control_decode(bytes, 296, &control, &err));
	assert_int_equal(err.code, code);
	if (!strstr(err.text, said))
		fail_msg("\"%s\" does not say \"%s\"", err.text, said);
}

static void sign(uint8_t bytes[296])
{
	put_u32(bytes + 288, crc32c(CRC32C_EMPTY, bytes, 288));
}

static void what_is_not_supported_is_refused_with_its_version(void **state)
{
	struct real_control copy = real_control[2];
	struct control control;
	struct err err = {0};

	(void)state;
	put_u32(copy.bytes + 12, 201909212);
	sign(copy.bytes);
	assert_refused(copy.bytes, ERR_REFUSED, "control version 1300, catalog version 201909212");
	copy = real_control[2];
	put_u32(copy.bytes + 216, 4096);
	sign(copy.bytes);
	assert_refused(copy.bytes, ERR_REFUSED, "blocks of 4096 bytes");
	copy = real_control[2];
	put_u32(copy.bytes + 228, 3 << 20);
	sign(copy.bytes);
	assert_refused(copy.bytes, ERR_DAMAGED, "segment size is 3145728");
	copy = real_control[2];
	put_u32(copy.bytes + 208, 1);
	sign(copy.bytes);
	assert_refused(copy.bytes, ERR_REFUSED, "another kind of machine");
	copy = real_control[2];
	put_u32(copy.bytes + 8, 2100); /* its checksum may be anywhere */
	assert_false(control_decode(copy.bytes, sizeof(copy.bytes), &control, &err));
	assert_non_null(strstr(err.hint, "control version, 2100, is none that Seawall knows"));
	err_clear(&err);
	assert_false(control_decode(copy.bytes, 295, &control, &err));
	assert_int_equal(err.code, ERR_DAMAGED);
}

static void file_put(const char *path, const void *bytes, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_true(file_write_full(fd, bytes, length));
	close(fd);
}

static void the_file_is_read_and_a_bad_one_is_named(void **state)
{
	char folder[] = "/tmp/control_test.XXXXXX";
	struct real_control copy = real_control[0];
	struct control control;
	struct err err = {0};
	AUTO_FREE
	char *global = NULL;
	AUTO_FREE
	char *path = NULL;

	(void)state;
	assert_non_null(mkdtemp(folder));
	global = path_join(folder, "global");
	path = path_join(global, "pg_control");
	assert_false(control_read(folder, &control, &err));
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_int_equal(mkdir(global, 0700), 0);
	file_put(path, copy.bytes, sizeof(copy.bytes));
	assert_true(control_read(folder, &control, &err));
	assert_int_equal(control.major, 13);
	copy.bytes[40] ^= 1;
	file_put(path, copy.bytes, sizeof(copy.bytes));
	err_clear(&err);
	assert_false(control_read(folder, &control, &err));
	assert_int_equal(err.code, ERR_DAMAGED);
	assert_non_null(strstr(err.text, path));
	file_put(path, copy.bytes, 100);
	err_clear(&err);
	assert_false(control_read(folder, &control, &err));
	assert_int_equal(err.code, ERR_DAMAGED);
	assert_true(file_remove_tree(folder, &err));
}

static void versions_are_found_by_each_of_their_marks(void **state)
{
	char folder[PG_VERSION_FOLDER_BYTES];

	(void)state;
	for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major++) {
		const struct pg_version *version = pg_version_of_major(major);

		assert_non_null(version);
		assert_ptr_equal(pg_version_of_magic(version->page_magic), version);
		assert_ptr_equal(
		        pg_version_of_control(version->control_version, version->catalog_version),
		        version);
	}
	assert_null(pg_version_of_major(12));
	assert_null(pg_version_of_major(19));
	assert_null(pg_version_of_magic(0xD101));
	pg_version_folder(pg_version_of_major(15), folder);
	assert_string_equal(folder, "PG_15_202209061");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(pg_control_of_every_version_is_decoded),
	        cmocka_unit_test(the_fields_are_those_of_pg_controldata),
	        cmocka_unit_test(a_flipped_byte_is_damage),
	        cmocka_unit_test(what_is_not_supported_is_refused_with_its_version),
	        cmocka_unit_test(the_file_is_read_and_a_bad_one_is_named),
	        cmocka_unit_test(versions_are_found_by_each_of_their_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
