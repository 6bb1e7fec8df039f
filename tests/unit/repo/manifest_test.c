/* Records of a manifest in pieces of every size, the order of paths, what a reader must refuse, and
 * the head. */
#include "repo/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

struct seen {
	struct buf text;
	uint64_t extents;
};

static bool seen_add(void *context, const struct manifest_entry *entry, struct err *err)
{
	struct seen *seen = context;

	(void)err;
	buf_addf(&seen->text, "%d %s>%s %ju %o %jd %x\n", (int)entry->kind, entry->path,
	         entry->target, (uintmax_t)entry->size_bytes, entry->mode,
	         (intmax_t)entry->modified_us, entry->crc32c);
	for (uint32_t i = 0; i < entry->extents; i++) {
		const struct extent *extent = &entry->extent[i];

		buf_addf(&seen->text, " %ju+%ju %u/%u@%u\n", (uintmax_t)extent->offset,
		         (uintmax_t)extent->length, extent->source, extent->pack,
		         extent->pack_offset);
		seen->extents++;
	}
	return true;
}

static struct manifest_entry folder_of(const char *path)
{
	return (struct manifest_entry){.kind = MANIFEST_FOLDER, .path = path, .mode = 0700};
}

static struct manifest_entry file_of(const char *path, const struct extent *extent)
{
	return (struct manifest_entry){
	        .kind = MANIFEST_FILE,
	        .path = path,
	        .size_bytes = extent ? extent->length : 0,
	        .mode = 0600,
	        .modified_us = 1700000000123456,
	        .crc32c = extent ? 0xCAFEBABE : 0,
	        .extent = extent,
	        .extents = extent ? 1 : 0,
	};
}

static struct manifest_entry link_of(const char *path, const char *target)
{
	return (struct manifest_entry){
	        .kind = MANIFEST_LINK, .path = path, .target = target, .mode = 0777};
}

static const struct extent page = {.length = 8192, .pack = 1, .pack_offset = 100};

/* A body with one of everything. */
static void body_make(struct buf *out)
{
	static const struct extent several[] = {
	        {0, 8192, 0, 1, 8292},
	        {8192, 1 << 20, 0, MANIFEST_ZEROS, 0},
	        {8192 + (1 << 20), 5, 2, 7, 0},
	};
	struct manifest_entry entry;
	const char *const folders[] = {"base", "base/1", "global", "pg_tblspc"};

	buf_init(out, 1 << 20);
	for (size_t i = 0; i < 2; i++) {
		entry = folder_of(folders[i]);
		manifest_entry_encode(&entry, out);
	}
	entry = file_of("base/1/1259", &page);
	manifest_entry_encode(&entry, out);
	entry = file_of("base/1/1260", NULL);
	manifest_entry_encode(&entry, out);
	entry = file_of("base/1/2000", several);
	entry.extents = 3;
	entry.size_bytes = several[2].offset + several[2].length;
	manifest_entry_encode(&entry, out);
	for (size_t i = 2; i < 4; i++) {
		entry = folder_of(folders[i]);
		manifest_entry_encode(&entry, out);
	}
	entry = link_of("pg_tblspc/16400", "/srv/fast");
	manifest_entry_encode(&entry, out);
	entry = folder_of("pg_tblspc/16400/PG_15_202209061");
	manifest_entry_encode(&entry, out);
	entry = link_of("pg_wal", "/srv/wal");
	manifest_entry_encode(&entry, out);
	entry = file_of("postgresql.conf", &page);
	manifest_entry_encode(&entry, out);
	entry = file_of("/etc/postgresql/15/main/pg_hba.conf", &page);
	entry.kind = MANIFEST_OUTSIDE;
	manifest_entry_encode(&entry, out);
	entry = file_of("backup_label", &page);
	manifest_entry_encode(&entry, out);
	entry = file_of("global/pg_control", &page);
	manifest_entry_encode(&entry, out);
	assert_false(out->overflow);
}

static bool read_in_pieces(const struct buf *body, size_t piece, struct seen *seen, struct err *err)
{
	struct manifest_reader *reader = manifest_reader_new(seen_add, seen);
	bool good = true;

	buf_init(&seen->text, 1 << 20);
	for (size_t at = 0; good && at < body->length; at += piece)
		good = manifest_reader_feed(reader, body->data + at, MIN(piece, body->length - at),
		                            err);
	good = good && manifest_reader_end(reader, err);
	manifest_reader_free(reader);
	return good;
}

static void d32_records_come_back_from_pieces_of_every_size(void **state)
{
	struct seen whole = {0}, seen = {0};
	struct err err = {0};
	struct buf body;

	(void)state;
	body_make(&body);
	assert_true(read_in_pieces(&body, body.length, &whole, &err));
	assert_non_null(strstr(buf_text(&whole.text), "1 base/1/2000> 1056773 600 1700000000123456"
	                                              " cafebabe\n 0+8192 0/1@8292\n"
	                                              " 8192+1048576 0/4294967295@0\n"
	                                              " 1056768+5 2/7@0\n"));
	assert_non_null(strstr(buf_text(&whole.text), "3 pg_wal>/srv/wal"));
	assert_non_null(strstr(buf_text(&whole.text), "4 /etc/postgresql/15/main/pg_hba.conf>"));
	for (size_t piece = 1; piece < 200; piece++) {
		assert_true(read_in_pieces(&body, piece, &seen, &err));
		assert_string_equal(buf_text(&seen.text), buf_text(&whole.text));
		buf_release(&seen.text);
	}
	buf_release(&whole.text);
	buf_release(&body);
}

static void a_body_that_is_cut_anywhere_inside_a_record_is_damaged(void **state)
{
	struct buf body;
	size_t ends = 0;

	(void)state;
	body_make(&body);
	for (size_t length = 0; length <= body.length; length++) {
		struct buf cut = {.data = body.data, .length = length};
		struct seen seen = {0};
		struct err err = {0};

		if (read_in_pieces(&cut, 64, &seen, &err))
			ends++;
		else
			assert_int_equal(err.code, ERR_DAMAGED);
		buf_release(&seen.text);
	}
	assert_int_equal(ends, 15); /* between two of the 14 records, and at both ends */
	buf_release(&body);
}

static void components_are_compared_not_bytes(void **state)
{
	static const char *const sorted[] = {
	        "",       "base",     "base/1", "base/1/2", "base/1.5",     "base/10",
	        "base/2", "base.old", "base1",  "global",   "glob\xc3\xa9",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(sorted); i++)
		for (size_t k = 0; k < ARRAY_LENGTH(sorted); k++) {
			int order = manifest_path_compare(sorted[i], sorted[k]);

			assert_int_equal(order < 0, i < k);
			assert_int_equal(order == 0, i == k);
		}
}

static void refuses(const struct manifest_entry *entry, size_t entries, const char *why)
{
	struct seen seen = {0};
	struct err err = {0};
	struct buf body;

	buf_init(&body, 1 << 20);
	for (size_t i = 0; i < entries; i++)
		manifest_entry_encode(&entry[i], &body);
	if (read_in_pieces(&body, body.length, &seen, &err))
		fail_msg("accepted, though %s", why);
	assert_int_equal(err.code, ERR_DAMAGED);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say: %s", err.text, why);
	buf_release(&seen.text);
	buf_release(&body);
}

static void paths_that_leave_the_data_directory_are_refused(void **state)
{
	static const char *const bad[] = {"../x", "a/../b", "/etc/passwd", "a//b",
	                                  "a/",   ".",      "a/."};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		struct manifest_entry entry[] = {folder_of("a"), file_of(bad[i], &page)};

		refuses(entry + (bad[i][0] != 'a'), bad[i][0] == 'a' ? 2 : 1, "leaves its place");
	}
	struct manifest_entry outside = file_of("/etc/../x", &page);

	outside.kind = MANIFEST_OUTSIDE;
	refuses(&outside, 1, "leaves its place");
	outside.path = "etc/x";
	refuses(&outside, 1, "leaves its place");
}

static void order_and_folders_are_checked(void **state)
{
	struct manifest_entry twice[] = {folder_of("a"), folder_of("a")};
	struct manifest_entry back[] = {folder_of("b"), folder_of("a")};
	struct manifest_entry orphan[] = {folder_of("a"), file_of("b/c", &page)};
	struct manifest_entry prefix[] = {folder_of("base/1"), file_of("base/10/x", &page)};
	struct manifest_entry file[] = {file_of("a", &page), file_of("a/b", &page)};
	struct manifest_entry wal[] = {link_of("pg_wal", "/w"), file_of("pg_wal/x", &page)};
	struct manifest_entry walked[] = {file_of("backup_label", &page), file_of("c", &page)};

	(void)state;
	refuses(twice, 2, "not in order, or twice");
	refuses(back, 2, "not in order, or twice");
	refuses(orphan, 2, "its folder is missing");
	refuses(prefix, 1, "its folder is missing");
	refuses(file, 2, "its folder is missing");
	refuses(wal, 2, "its folder is missing");
	refuses(walked, 2, "wrong section");
}

static void links_stand_only_where_postgresql_has_them(void **state)
{
	static const char *const bad[] = {"base", "pg_tblspc/x", "pg_tblspc/1/2", "pg_wal2"};
	struct manifest_entry entry[3] = {folder_of("pg_tblspc")};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		entry[0] = link_of(bad[i], "/x");
		refuses(entry, 1, "a link at a place that has none");
	}
}

static void extents_must_make_up_the_file(void **state)
{
	struct extent extent[] = {{0, 10, 0, 1, 0}, {10, 10, 0, 1, 10}};
	struct manifest_entry entry = file_of("a", extent);

	(void)state;
	entry.size_bytes = 11;
	refuses(&entry, 1, "do not make up its size");
	entry.size_bytes = 9;
	refuses(&entry, 1, "an extent that cannot be");
	entry.size_bytes = 10;
	extent[0].pack = 0;
	refuses(&entry, 1, "an extent that cannot be");
	extent[0].pack = 1;
	extent[0].pack_offset = SEALED_FRAMES_BYTES_MAX - 9;
	refuses(&entry, 1, "an extent that cannot be");
	extent[0] = (struct extent){.length = UINT64_MAX, .pack = MANIFEST_ZEROS};
	refuses(&entry, 1, "an extent that cannot be");
	entry.size_bytes = 0;
	entry.extents = 0;
	entry.kind = MANIFEST_FOLDER;
	refuses(&entry, 1, "a folder or link with content"); /* it has a checksum */
}

static void lengths_that_lie_are_refused(void **state)
{
	static const struct {
		size_t offset;
		uint32_t value;
	} lie[] = {{0, 39}, {0, UINT32_MAX}, {6, 0xFFFF}, {8, 1}, {10, 1}, {36, 1 << 19}, {36, 2}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(lie); i++) {
		struct manifest_entry entry = file_of("abc", &page);
		struct seen seen = {0};
		struct err err = {0};
		struct buf body;

		buf_init(&body, 1 << 20);
		manifest_entry_encode(&entry, &body);
		if (lie[i].offset % 4 == 0 && lie[i].offset != 8)
			put_u32(body.data + lie[i].offset, lie[i].value);
		else
			put_u16(body.data + lie[i].offset, (uint16_t)lie[i].value);
		assert_false(read_in_pieces(&body, 7, &seen, &err));
		assert_int_equal(err.code, ERR_DAMAGED);
		buf_release(&seen.text);
		buf_release(&body);
	}
}

/* ---- the head ---- */

static struct manifest_head head_make(void)
{
	struct manifest_head head = {
	        .id = "20261120T140200Z-00af",
	        .tool_version = xstrdup("0.1.0"),
	        .label_text = xstrdup("nightly \xff"),
	        .begun_us = 1,
	        .ended_us = 1763647320123456,
	        .system_identifier = UINT64_MAX,
	        .major = 15,
	        .server_version_num = 150020,
	        .catalog_version = 202209061,
	        .segment_bytes = 16 << 20,
	        .checksums = true,
	        .group_known = true,
	        .group_access = true,
	        .start_tli = 2,
	        .stop_tli = 2,
	        .start_lsn = 0x1000000028,
	        .stop_lsn = 0x1000000128,
	        .stop_time_us = 1763647320123457,
	        .from = xstrdup("primary"),
	        .pgdata = xstrdup("/pg \"data\""),
	        .pg_bin = xstrdup("/usr/lib/postgresql/15/bin"),
	        .time_zone = xstrdup("Europe/Berlin"),
	        .config_file = xstrdup(""),
	        .hba_file = xstrdup("/etc/hba"),
	        .ident_file = xstrdup(""),
	        .files = 1,
	        .folders = 2,
	        .logical_bytes = UINT64_C(1) << 60,
	        .stored_bytes = 4,
	        .packs = 5,
	        .body_bytes = 6,
	        .findings_total = 1,
	};

	head.source = xcalloc(1, sizeof(*head.source));
	head.source[head.sources++] = xstrdup(head.id);
	head.tablespace = xcalloc(1, sizeof(*head.tablespace));
	head.tablespace[head.tablespaces++] = (struct manifest_tablespace){
	        .oid = 16400, .name = xstrdup("fast"), .path = xstrdup("/srv/\xe4")};
	head.finding = xcalloc(1, sizeof(*head.finding));
	head.finding[head.findings++] =
	        (struct manifest_finding){.path = xstrdup("base/1/1259"), .block = 131073};
	return head;
}

static void a_head_is_the_same_when_it_comes_back(void **state)
{
	struct manifest_head head = head_make(), back = {0};
	struct buf text, again;
	struct err err = {0};

	(void)state;
	buf_init(&text, MANIFEST_HEAD_BYTES_MAX);
	buf_init(&again, MANIFEST_HEAD_BYTES_MAX);
	manifest_head_write(&head, &text);
	if (!manifest_head_parse(text.data, text.length, &back, &err))
		fail_msg("%s", err.text);
	assert_string_equal(back.label_text, "nightly \xff");
	assert_string_equal(back.tablespace[0].path, "/srv/\xe4");
	assert_int_equal(back.stop_lsn, head.stop_lsn);
	assert_true(back.group_known && back.group_access);
	assert_true(back.system_identifier == UINT64_MAX);
	manifest_head_write(&back, &again);
	assert_string_equal(buf_text(&text), buf_text(&again));
	manifest_head_release(&head);
	manifest_head_release(&back);
	buf_release(&text);
	buf_release(&again);
}

static void a_head_that_was_changed_is_refused_with_the_field(void **state)
{
	static const struct {
		const char *from, *to, *says;
	} change[] = {
	        {"\"format\": 1", "\"format\": 2", "format 2"},
	        {"00af\"", "00ag\"", "backup id"},
	        {"\"10/128\"", "\"10/27\"", "stops before"},
	        {"\"10/28\"", "\"10/28 \"", "start_lsn"},
	        {"16777216", "16777217", "segment size"},
	        {"\"tablespaces\"", "\"tablespacex\"", "tablespaces"},
	        {"\"start_tli\": 2", "\"start_tli\": 3", "timelines"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(change); i++) {
		struct manifest_head head = head_make(), back = {0};
		struct buf text, changed;
		struct err err = {0};
		char *at;

		buf_init(&text, MANIFEST_HEAD_BYTES_MAX);
		buf_init(&changed, MANIFEST_HEAD_BYTES_MAX);
		manifest_head_write(&head, &text);
		at = strstr(text.data, change[i].from);
		assert_non_null(at);
		buf_add(&changed, text.data, (size_t)(at - text.data));
		buf_addf(&changed, "%s%s", change[i].to, at + strlen(change[i].from));
		assert_false(manifest_head_parse(changed.data, changed.length, &back, &err));
		if (!strstr(err.text, change[i].says))
			fail_msg("\"%s\" does not say \"%s\"", err.text, change[i].says);
		manifest_head_release(&head);
		buf_release(&text);
		buf_release(&changed);
	}
}

static void backups_of_one_second_are_in_order_of_their_positions(void **state)
{
	struct manifest_head head[] = {
	        {.id = "20261121T130453Z-0fcf", .stop_tli = 2, .stop_lsn = 100},
	        {.id = "20261121T130453Z-0fce", .stop_tli = 1, .stop_lsn = 300},
	        {.id = "20261121T130453Z-ffff", .stop_tli = 1, .stop_lsn = 200},
	        {.id = "20261121T130453Z-0000", .stop_tli = 1, .stop_lsn = 300},
	};

	(void)state;
	qsort(head, ARRAY_LENGTH(head), sizeof(head[0]), manifest_head_order);
	assert_string_equal(head[0].id, "20261121T130453Z-ffff");
	assert_string_equal(head[1].id, "20261121T130453Z-0000");
	assert_string_equal(head[2].id, "20261121T130453Z-0fce");
	assert_string_equal(head[3].id, "20261121T130453Z-0fcf");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(d32_records_come_back_from_pieces_of_every_size),
	        cmocka_unit_test(a_body_that_is_cut_anywhere_inside_a_record_is_damaged),
	        cmocka_unit_test(components_are_compared_not_bytes),
	        cmocka_unit_test(paths_that_leave_the_data_directory_are_refused),
	        cmocka_unit_test(order_and_folders_are_checked),
	        cmocka_unit_test(links_stand_only_where_postgresql_has_them),
	        cmocka_unit_test(extents_must_make_up_the_file),
	        cmocka_unit_test(lengths_that_lie_are_refused),
	        cmocka_unit_test(a_head_is_the_same_when_it_comes_back),
	        cmocka_unit_test(a_head_that_was_changed_is_refused_with_the_field),
	        cmocka_unit_test(backups_of_one_second_are_in_order_of_their_positions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
