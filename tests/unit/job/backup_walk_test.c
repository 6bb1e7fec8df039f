/* The walk through a data directory, its plans, and what becomes of files that vanish, grow, shrink
 * and are replaced between the plan and the copy. */
#include "../../../src/job/backup_fill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "pg/crc32c.h"
#include "pg/page.h"

#define VERSION_FOLDER "PG_15_202209061"
enum { START_LSN = 0x1000 };

struct place {
	char *root, *pgdata;
};

static int place_make(void **state)
{
	struct place *place = xcalloc(1, sizeof(*place));
	static const char *const folders[] = {"",        "/base",    "/base/1",
	                                      "/base/5", "/global",  "/pg_tblspc",
	                                      "/pg_wal", "/pg_xact", "/pg_stat_tmp"};

	place->root = xstrdup("/tmp/seawall-walk.XXXXXX");
	if (!mkdtemp(place->root))
		return -1;
	place->pgdata = path_join(place->root, "pg");
	for (size_t i = 0; i < ARRAY_LENGTH(folders); i++) {
		AUTO_FREE char *path = xasprintf("%s%s", place->pgdata, folders[i]);

		if (mkdir(path, 0700) != 0)
			return -1;
	}
	*state = place;
	return 0;
}

static int place_remove(void **state)
{
	struct place *place = *state;
	struct err err = {0};
	bool ok = file_remove_tree(place->root, &err);

	free(place->root);
	free(place->pgdata);
	free(place);
	return ok ? 0 : -1;
}

#define in_place(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

/* A file of length bytes; each says where it is. */
static void put(const struct place *place, const char *path, size_t length)
{
	AUTO_FREE char *full = path_join(place->pgdata, path);
	FILE *file = fopen(full, "w");

	assert_non_null(file);
	for (size_t i = 0; i < length; i++)
		fputc((int)(i * 7 + i / 251), file);
	assert_int_equal(fclose(file), 0);
}

static void put_bytes(const struct place *place, const char *path, uint64_t offset,
                      const void *bytes, size_t length)
{
	AUTO_FREE char *full = path_join(place->pgdata, path);
	int fd = open(full, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_true(file_pwrite_full(fd, bytes, length, offset));
	close(fd);
}

static void put_folder(const struct place *place, const char *path)
{
	AUTO_FREE char *full = path_join(place->pgdata, path);

	assert_int_equal(mkdir(full, 0700), 0);
}

static void put_link(const struct place *place, const char *path, const char *target)
{
	AUTO_FREE char *full = path_join(place->pgdata, path);

	assert_int_equal(symlink(target, full), 0);
}

static void drop(const struct place *place, const char *path)
{
	AUTO_FREE char *full = path_join(place->pgdata, path);

	assert_int_equal(unlink(full), 0);
}

/* All paths of the walk, with kinds and pieces, one on each line; plans end in "--". */
static char *walk_text(struct walk *walk)
{
	struct err err = {0};
	struct buf text;

	buf_init(&text, 1 << 20);
	if (!walk_begin(walk, &err))
		fail_msg("%s", err.text);
	while (true) {
		struct plan plan = {0};

		if (!walk_plan(walk, &plan, &err))
			fail_msg("%s", err.text);
		if (plan.count == 0)
			break;
		for (size_t i = 0; i < plan.count; i++) {
			const struct plan_item *item = &plan.item[i];

			buf_addf(&text, "%d %s", (int)item->kind, item->path);
			if (item->target)
				buf_addf(&text, ">%s", strrchr(item->target, '/') + 1);
			if (item->kind == MANIFEST_FILE)
				buf_addf(&text, " %ju+%u%s%s%s", (uintmax_t)item->offset,
				         item->length, item->first ? " first" : "",
				         item->last ? " last" : "", item->pages ? " pages" : "");
			buf_addc(&text, '\n');
		}
		assert_true(plan.bytes + plan.slack <= PLAN_BYTES_MAX);
		plan_release(&plan);
	}
	return buf_steal(&text);
}

static struct walk *walk_of(const struct place *place)
{
	return walk_new(place->pgdata, VERSION_FOLDER, true);
}

static void expect_walk(const struct place *place, const char *expected)
{
	struct walk *walk = walk_of(place);
	AUTO_FREE char *text = walk_text(walk);

	walk_free(walk);
	assert_string_equal(text, expected);
}

static void folders_stand_before_what_is_in_them_in_the_order_of_components(void **state)
{
	struct place *place = *state;

	put(place, "base/1/2", 8192);
	put(place, "base/1/10", 8192);
	put(place, "base.x", 3);
	put(place, "PG_VERSION", 3);
	put(place, "postmaster.pid", 3);
	put(place, "pg_wal/000000010000000000000001", 100);
	put(place, "pg_stat_tmp/x", 100);
	put(place, "global/pg_control", 8192);
	put(place, "global/1262", 8192);
	put(place, "backup_label", 10);
	put(place, "seawall.journal", 10);
	put(place, ".postgresql.auto.conf.12.3.draft", 10);
	expect_walk(place, "1 PG_VERSION 0+3 first last\n2 base\n2 base/1\n"
	                   "1 base/1/10 0+8192 first last pages\n"
	                   "1 base/1/2 0+8192 first last pages\n2 base/5\n1 base.x 0+3 first last\n"
	                   "2 global\n1 global/1262 0+8192 first last pages\n2 pg_stat_tmp\n"
	                   "2 pg_tblspc\n2 pg_wal\n2 pg_xact\n");
}

static void of_unlogged_relations_only_the_init_fork_is_copied(void **state)
{
	struct place *place = *state;

	put(place, "base/5/100", 8192);
	put(place, "base/5/100_init", 8192);
	put(place, "base/5/100_fsm", 8192);
	put(place, "base/5/100.1", 8192);
	put(place, "base/5/101", 8192);
	put(place, "base/5/t3_102", 8192);
	put(place, "base/1/100", 8192); /* another database's */
	expect_walk(place, "2 base\n2 base/1\n1 base/1/100 0+8192 first last pages\n2 base/5\n"
	                   "1 base/5/100_init 0+8192 first last pages\n"
	                   "1 base/5/101 0+8192 first last pages\n"
	                   "2 global\n2 pg_stat_tmp\n2 pg_tblspc\n2 pg_wal\n2 pg_xact\n");
}

/* D16: links to links, names that begin alike, a tablespace inside the data directory. */
static void tablespaces_are_followed_and_never_copied_twice(void **state)
{
	struct place *place = *state;
	AUTO_FREE char *far = path_join(place->root, "far");
	AUTO_FREE char *alike = path_join(place->root, "far2");
	AUTO_FREE char *hop = path_join(place->root, "hop");
	AUTO_FREE char *inside = path_join(place->pgdata, "inside");

	assert_int_equal(mkdir(far, 0700), 0);
	assert_int_equal(mkdir(alike, 0700), 0);
	assert_int_equal(symlink(far, hop), 0);
	put_folder(place, "inside");
	put_folder(place, "inside/" VERSION_FOLDER);
	put_folder(place, "inside/" VERSION_FOLDER "/5");
	put(place, "inside/" VERSION_FOLDER "/5/7", 8192);
	put_link(place, "pg_tblspc/16400", hop);
	put_link(place, "pg_tblspc/16401", alike);
	put_link(place, "pg_tblspc/16402", inside);
	put_folder(place, "pg_tblspc/16403");
	put_folder(place, "pg_tblspc/16403/" VERSION_FOLDER);
	put_folder(place, "pg_tblspc/16400/" VERSION_FOLDER);
	put_folder(place, "pg_tblspc/16400/PG_14_202107181");
	put(place, "pg_tblspc/16400/" VERSION_FOLDER "/7", 5);
	expect_walk(place, "2 base\n2 base/1\n2 base/5\n2 global\n2 inside\n2 pg_stat_tmp\n"
	                   "2 pg_tblspc\n3 pg_tblspc/16400>hop\n"
	                   "2 pg_tblspc/16400/" VERSION_FOLDER "\n"
	                   "1 pg_tblspc/16400/" VERSION_FOLDER "/7 0+5 first last\n"
	                   "3 pg_tblspc/16401>far2\n3 pg_tblspc/16402>inside\n"
	                   "2 pg_tblspc/16402/" VERSION_FOLDER "\n"
	                   "2 pg_tblspc/16402/" VERSION_FOLDER "/5\n"
	                   "1 pg_tblspc/16402/" VERSION_FOLDER "/5/7 0+8192 first last pages\n"
	                   "2 pg_tblspc/16403\n2 pg_tblspc/16403/" VERSION_FOLDER "\n"
	                   "2 pg_wal\n2 pg_xact\n");
}

static void expect_refusal(const struct place *place, const char *why)
{
	struct walk *walk = walk_of(place);
	struct err err = {0};
	bool good = walk_begin(walk, &err);

	while (good) {
		struct plan plan = {0};
		bool ended;

		good = walk_plan(walk, &plan, &err);
		ended = plan.count == 0;
		plan_release(&plan);
		if (good && ended)
			fail_msg("the walk ended, though %s", why);
	}
	walk_free(walk);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say: %s", err.text, why);
}

static void links_are_followed_where_postgresql_makes_them(void **state)
{
	struct place *place = *state;
	AUTO_FREE char *conf = path_join(place->root, "conf");
	AUTO_FREE char *wal = path_join(place->pgdata, "pg_wal");

	assert_int_equal(rmdir(wal), 0);
	put_link(place, "pg_wal", "/tmp/wal");
	put_bytes(place, "../conf", 0, "x = 1\n", 6);
	put_link(place, "postgresql.conf", conf);
	put_link(place, "base/5/x.conf", conf);
	put_link(place, "nowhere", "/does/not/exist");
	expect_walk(place, "2 base\n2 base/1\n2 base/5\n1 base/5/x.conf 0+6 first last\n"
	                   "2 global\n2 pg_stat_tmp\n2 pg_tblspc\n"
	                   "3 pg_wal>wal\n2 pg_xact\n1 postgresql.conf 0+6 first last\n");
}

static void a_linked_folder_elsewhere_and_a_lost_tablespace_are_refused(void **state)
{
	struct place *place = *state;

	put_link(place, "pg_multixact", "/tmp");
	expect_refusal(place, "is a symbolic link");
	drop(place, "pg_multixact");
	put_link(place, "pg_tblspc/16400", "/does/not/exist");
	expect_refusal(place, "pg_tblspc/16400");
}

static void big_files_span_plans_and_small_ones_share_them(void **state)
{
	struct place *place = *state;
	AUTO_FREE char *big = path_join(place->pgdata, "base/5/20");
	AUTO_FREE char *text = NULL;
	struct walk *walk = walk_of(place);
	uint64_t bytes = 0, files = 0;
	bool more;
	struct err err = {0};
	struct walk *count = walk_of(place);

	put(place, "base/5/1", 8192);
	put(place, "base/5/20", 0);
	assert_int_equal(truncate(big, 40 << 20), 0);
	put(place, "base/5/21", 8192);
	put(place, "pg_xact/0000", 8192);
	text = walk_text(walk);
	walk_free(walk);
	assert_non_null(strstr(text, "1 base/5/20 0+16769024 first pages\n"
	                             "1 base/5/20 16769024+16777216 pages\n"
	                             "1 base/5/20 33546240+8396800 last pages\n"
	                             "1 base/5/21 0+8192 first last pages\n"));
	assert_true(walk_begin(count, &err));
	assert_true(walk_count(count, &bytes, &files, &more, &err));
	assert_false(more);
	assert_int_equal(files, 4);
	assert_int_equal(bytes, (40 << 20) + 3 * 8192);
	walk_free(count);
}

/* ---- copies ---- */

struct copied {
	struct plan plan;
	struct fill fill;
	struct blocks *blocks;
	struct blocks_hold hold;
	struct sealer *sealer;
	struct sealed sealed;
	struct buf content; /* of the pack */
};

static bool content_add(void *context, uint64_t offset, const uint8_t *bytes, size_t length,
                        struct err *err)
{
	struct copied *copied = context;

	(void)err;
	assert_int_equal(offset, copied->content.length);
	return buf_add(&copied->content, bytes, length);
}

/* The pack's bytes, opened again by the reader of sealed objects. */
static void copied_open(struct copied *copied)
{
	struct iovec piece[1 + BLOCKS_SEAL];
	uint8_t *scratch = xmalloc(BLOCK_BYTES);
	struct buf object;
	struct err err = {0};
	uint8_t *block[BLOCKS_SEAL + 1];
	struct chain chain = {.block = block};
	unsigned pieces;

	if (!sealer_end(copied->sealer, &err))
		fail_msg("%s", err.text);
	pieces = sealer_pieces(copied->sealer, piece);
	buf_init(&object, 32 << 20);
	for (unsigned i = 0; i < pieces; i++)
		buf_add(&object, piece[i].iov_base, piece[i].iov_len);
	if (!sealed_open(object.data, object.length,
	                 &(struct sealed_want){.name = "g/pack", .kind = SEALED_PACK},
	                 &copied->sealed, &err))
		fail_msg("%s", err.text);
	for (size_t at = 0; at < object.length; at += BLOCK_BYTES)
		block[chain.count++] = (uint8_t *)object.data + at;
	chain.length = object.length;
	buf_init(&copied->content, PLAN_BYTES_MAX);
	if (!sealed_read(&copied->sealed,
	                 &(struct sealed_reading){.object = &chain,
	                                          .scratch = scratch,
	                                          .length = UINT64_MAX,
	                                          .each = content_add,
	                                          .context = copied},
	                 &err))
		fail_msg("%s", err.text);
	free(scratch);
	buf_release(&object);
}

static bool fill_all(struct fill *fill, struct err *err)
{
	bool ended = false;

	while (!ended)
		if (!fill_slice(fill, &ended, err))
			return false;
	return true;
}

static struct copied *copy_plan(const struct place *place, struct plan *plan)
{
	static struct sealed_spec spec = {.kind = SEALED_PACK,
	                                  .compression = {.kind = SEALED_LZ4},
	                                  .frame_bytes = 64 * 1024,
	                                  .name = "g/pack"};
	struct copied *copied = xcalloc(1, sizeof(*copied));
	struct err err = {0};

	for (unsigned i = 0; i < BLOCKS_SEAL; i++)
		copied->hold.block[i] = xmalloc(BLOCK_BYTES);
	copied->hold.count = BLOCKS_SEAL;
	copied->sealer = sealer_new(&spec, &copied->hold, NULL);
	copied->plan = *plan;
	copied->fill = (struct fill){.pgdata = place->pgdata,
	                             .start_lsn = START_LSN,
	                             .plan = &copied->plan,
	                             .sealer = copied->sealer};
	if (!fill_all(&copied->fill, &err))
		fail_msg("%s", err.text);
	copied_open(copied);
	return copied;
}

static void copied_free(struct copied *copied)
{
	sealer_free(copied->sealer);
	sealed_release(&copied->sealed);
	for (unsigned i = 0; i < BLOCKS_SEAL; i++)
		free(copied->hold.block[i]);
	buf_release(&copied->content);
	fill_release(&copied->fill);
	plan_release(&copied->plan);
	free(copied);
}

static struct plan plan_of(const struct place *place)
{
	struct walk *walk = walk_of(place);
	struct plan plan = {0};
	struct err err = {0};

	assert_true(walk_begin(walk, &err));
	assert_true(walk_plan(walk, &plan, &err));
	walk_free(walk);
	return plan;
}

static const struct plan_item *item_of(const struct copied *copied, const char *path)
{
	for (size_t i = 0; i < copied->plan.count; i++)
		if (strcmp(copied->plan.item[i].path, path) == 0)
			return &copied->plan.item[i];
	fail_msg("no item %s", path);
	return NULL;
}

/* Its bytes in the pack are the first `length` of what put() writes, and so is its checksum. */
static void expect_copied(const struct copied *copied, const char *path, size_t length)
{
	const struct plan_item *item = item_of(copied, path);
	uint8_t *expected = xmalloc(length + 1);

	for (size_t i = 0; i < length; i++)
		expected[i] = (uint8_t)(i * 7 + i / 251);
	assert_false(item->missing);
	assert_int_equal(item->got, length);
	assert_true(item->pack_offset + length <= copied->content.length);
	assert_memory_equal(copied->content.data + item->pack_offset, expected, length);
	assert_int_equal(item->crc32c, crc32c(CRC32C_EMPTY, expected, length));
	free(expected);
}

/* D9: the file behind a vanished one is copied. */
static void files_that_vanish_shrink_and_grow_leave_the_others_whole(void **state)
{
	struct place *place = *state;
	struct copied *copied;
	struct plan plan;
	AUTO_FREE char *shrinks = path_join(place->pgdata, "base/5/102");

	put(place, "base/5/100", 8192 * 3);
	put(place, "base/5/101", 8192 * 3);
	put(place, "base/5/102", 8192 * 3);
	put(place, "base/5/103", 8192 * 3);
	put(place, "base/5/104", 8192 * 20);
	put(place, "small.conf", 100);
	plan = plan_of(place);
	for (size_t i = 0; i < plan.count; i++)
		plan.item[i].pages = false; /* the content is no pages */
	drop(place, "base/5/101");
	assert_int_equal(truncate(shrinks, 5000), 0);
	put(place, "base/5/103", 8192 * 9);
	drop(place, "small.conf"); /* replaced by a longer one */
	put(place, "small.conf", 70000);
	copied = copy_plan(place, &plan);
	assert_true(item_of(copied, "base/5/101")->missing);
	expect_copied(copied, "base/5/100", 8192 * 3);
	expect_copied(copied, "base/5/102", 5000);
	expect_copied(copied, "base/5/103", 8192 * 3);
	expect_copied(copied, "base/5/104", 8192 * 20);
	expect_copied(copied, "small.conf", 70000);
	assert_int_equal(copied->fill.bytes, copied->content.length);
	copied_free(copied);
}

static void page_make(uint8_t page[PAGE_BYTES], uint32_t block, uint64_t position)
{
	memset(page, (int)(block + 1), PAGE_BYTES);
	put_u32(page, (uint32_t)(position >> 32));
	put_u32(page + 4, (uint32_t)position);
	put_u16(page + 14, 100);
	put_u16(page + 8, page_checksum(page, block));
}

static void a_damaged_page_is_found_with_its_block_and_others_are_not(void **state)
{
	struct place *place = *state;
	uint8_t page[PAGE_BYTES];
	struct copied *copied;
	struct plan plan;

	for (uint32_t i = 0; i < 40; i++) {
		page_make(page, RELATION_FILE_BLOCKS + i, i == 8 ? START_LSN : START_LSN - 1);
		if (i == 7 || i == 8 || i == 31) /* 8 is replayed anyway, if its LSN is one */
			page[5000] ^= 1;
		if (i == 9)
			memset(page, 0, sizeof(page));
		put_bytes(place, "base/5/100.1", i * PAGE_BYTES, page, sizeof(page));
	}
	put(place, "base/5/099", 4); /* so that pages do not lie at the frames' borders */
	page_make(page, 0, 1);
	page[6000] ^= 1;
	put_bytes(place, "base/5/100_vm", 0, page, sizeof(page));
	plan = plan_of(place);
	copied = copy_plan(place, &plan);
	assert_int_equal(copied->fill.findings_total, 4);
	for (size_t i = 0; i < 4; i++) {
		const struct page_finding *finding = &copied->fill.finding[i];
		static const uint32_t blocks[] = {RELATION_FILE_BLOCKS + 7,
		                                  RELATION_FILE_BLOCKS + 8,
		                                  RELATION_FILE_BLOCKS + 31, 0};

		assert_int_equal(finding->block, blocks[i]);
		assert_int_equal(finding->warning, i == 3);
		assert_int_equal(finding->position, i == 1 ? START_LSN : 0);
		assert_string_equal(copied->plan.item[finding->item].path,
		                    i == 3 ? "base/5/100_vm" : "base/5/100.1");
	}
	copied_free(copied);
}

static void cannot_be_read_is_an_error_not_a_hole(void **state)
{
	struct place *place = *state;
	struct plan plan = {0};
	struct plan_item *item;
	struct blocks_hold hold = {.count = BLOCKS_SEAL};
	struct sealed_spec spec = {.kind = SEALED_PACK, .frame_bytes = 64 * 1024, .name = "g/pack"};
	struct err err = {0};
	struct fill fill = {.pgdata = place->pgdata, .start_lsn = START_LSN, .plan = &plan};

	for (unsigned i = 0; i < BLOCKS_SEAL; i++)
		hold.block[i] = xmalloc(BLOCK_BYTES);
	fill.sealer = sealer_new(&spec, &hold, NULL);
	put_folder(place, "base/5/200"); /* a folder where a file was */
	put_link(place, "base/5/201", "/etc/passwd");
	for (int i = 0; i < 2; i++) {
		item = plan_add(&plan);
		*item = (struct plan_item){.kind = MANIFEST_FILE,
		                           .path = xstrdup(i ? "base/5/201" : "base/5/200"),
		                           .length = 10,
		                           .first = true,
		                           .last = true};
		plan.bytes = 10;
		err_clear(&err);
		assert_false(fill_all(&fill, &err));
		assert_true(err_is(&err));
		fill_release(&fill);
		fill.next = 0;
		plan_release(&plan);
	}
	sealer_free(fill.sealer);
	for (unsigned i = 0; i < BLOCKS_SEAL; i++)
		free(hold.block[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        in_place(folders_stand_before_what_is_in_them_in_the_order_of_components),
	        in_place(of_unlogged_relations_only_the_init_fork_is_copied),
	        in_place(tablespaces_are_followed_and_never_copied_twice),
	        in_place(links_are_followed_where_postgresql_makes_them),
	        in_place(a_linked_folder_elsewhere_and_a_lost_tablespace_are_refused),
	        in_place(big_files_span_plans_and_small_ones_share_them),
	        in_place(files_that_vanish_shrink_and_grow_leave_the_others_whole),
	        in_place(a_damaged_page_is_found_with_its_block_and_others_are_not),
	        in_place(cannot_be_read_is_an_error_not_a_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
