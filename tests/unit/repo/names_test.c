/* names_test.c — what objects are called, and what names say. */
#include "store/place.h"

#include <stdio.h>

#include "repo/names.h"

#define GENERATION "main/7400000000000000001-15-1"

static struct walname wal_of(const char *name)
{
	struct walname wal;

	assert_true(walname_parse(name, &wal));
	return wal;
}

static struct digest digest_of(const char *hex)
{
	struct digest digest;

	assert_true(str_hex_to(hex, digest.bytes, sizeof(digest.bytes)));
	return digest;
}

static void names_are_those_of_the_format(void **state)
{
	const char *hex = "00112233445566778899aabbccddeeff";
	struct digest digest = digest_of(hex);
	struct walname segment = wal_of("0000000A00000123000000FE");
	struct walname partial = wal_of("0000000A00000123000000FE.partial");
	struct walname backup = wal_of("0000000A00000123000000FE.00000028.backup");
	struct walname history = wal_of("0000000A.history");
	char name[NAME_BYTES], generation[NAME_GENERATION_MAX];

	(void)state;
	name_generation(generation, "main", UINT64_C(7400000000000000001), 15, 1);
	assert_string_equal(generation, GENERATION);
	name_cluster(name, "main");
	assert_string_equal(name, "main/cluster");
	name_system(name, generation);
	assert_string_equal(name, GENERATION "/system");
	name_history(name, generation, 0xFF);
	assert_string_equal(name, GENERATION "/timeline/000000FF.history");
	name_wal(name, generation, &history, NULL);
	assert_string_equal(name, GENERATION "/timeline/0000000A.history");
	name_wal(name, generation, &segment, NULL);
	assert_string_equal(name, GENERATION "/wal/0000000A/00000123/0000000A00000123000000FE");
	name_wal_segment(name, generation, segment.tli, walname_segno(&segment, 16 << 20),
	                 16 << 20);
	assert_string_equal(name, GENERATION "/wal/0000000A/00000123/0000000A00000123000000FE");
	name_wal(name, generation, &backup, NULL);
	assert_string_equal(name, GENERATION
	                    "/wal/0000000A/00000123/0000000A00000123000000FE.00000028.backup");
	name_wal(name, generation, &partial, &digest);
	assert_string_equal(name,
	                    GENERATION "/wal/0000000A/00000123/0000000A00000123000000FE.partial/"
	                               "00112233445566778899aabbccddeeff");
	name_conflict(name, generation, "0000000A00000123000000FE", &digest);
	assert_string_equal(name, GENERATION "/conflict/0000000A00000123000000FE/"
	                                     "00112233445566778899aabbccddeeff");
	name_pack(name, generation, "20261120T140200Z-1f3a", 7);
	assert_string_equal(name, GENERATION "/pack/20261120T140200Z-1f3a/000007");
	name_backup(name, generation, "20261120T140200Z-1f3a");
	assert_string_equal(name, GENERATION "/backup/20261120T140200Z-1f3a");
	name_note(name, generation, INT64_C(1793887320000000), "drill", 0xAB);
	assert_true(str_starts(name, GENERATION "/note/2026"));
	assert_true(str_ends(name, "Z-drill-000000ab"));
	name_probe(name, 12);
	assert_string_equal(name, "probe/000012");
}

static void a_piece_of_the_index_is_named_by_its_segments(void **state)
{
	static const char *const wrong[] = {
	        GENERATION "/index/0000000A/0/00000001000000FE-0000000200000001.1",
	        GENERATION "/index/0000000A/0/0000000200000001-00000001000000FE.000001",
	        GENERATION "/index/00000000/0/00000001000000FE-0000000200000001.000001",
	        GENERATION "/index/0000000A/0/00000001000001FE-0000000200000001.000001",
	        GENERATION "/index/0000000A/0/00000001000000FE-00000002",
	        GENERATION "/wal/0000000A/0/00000001000000FE-0000000200000001.000001",
	        "other/index/0000000A/0/00000001000000FE-0000000200000001.000001",
	};
	struct name_index piece = {.tli = 10, .level = 2, .n = 7, .first = 510, .last = 513}, back;
	char name[NAME_BYTES];

	(void)state;
	name_index(name, GENERATION, &piece, 16 << 20);
	assert_string_equal(name, GENERATION
	                    "/index/0000000A/2/00000001000000FE-0000000200000001.000007");
	assert_true(name_index_parse(name, GENERATION, 16 << 20, &back));
	assert_int_equal(back.tli, 10);
	assert_int_equal(back.level, 2);
	assert_int_equal(back.n, 7);
	assert_int_equal(back.first, 510);
	assert_int_equal(back.last, 513);
	for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
		assert_false(name_index_parse(wrong[i], GENERATION, 16 << 20, &back));
	name_index_level(name, GENERATION, 10, 2);
	assert_string_equal(name, GENERATION "/index/0000000A/2/");
}

static void a_mark_of_a_damaged_segment_says_all_by_its_name(void **state)
{
	static const char *const wrong[] = {
	        GENERATION "/lost/0000000A/00000123000000FE.000012.bad",
	        GENERATION "/lost/0000000A/00000123000000FE.12.damaged",
	        GENERATION "/lost/0000000A/00000123000000FE.000000.damaged",
	        GENERATION "/lost/0000000A/00000123000000FE.000012.damaged.",
	        GENERATION "/lost/0000000A/00000123000000FE.99999999999999.good",
	        GENERATION "/lost/0000000A/00000123000000FE..good",
	        GENERATION "/lost/0000000a/00000123000000FE.000012.damaged",
	        GENERATION "/lost/00000000/00000123000000FE.000012.damaged",
	        GENERATION "/lost/0000000A/000001230000FFFE.000012.damaged",
	        GENERATION "/lost/0000000A/00000123000000FE-00000123000000FE",
	        GENERATION "/index/0000000A/00000123000000FE.000012.damaged",
	        GENERATION "/lost/",
	        "main/lost",
	};
	struct name_harm mark = {.tli = 10, .segno = 0x123FE, .n = 12}, back;
	struct name_index range;
	char name[NAME_BYTES];

	(void)state;
	for (mark.word = HARM_GOOD; mark.word <= HARM_ACCEPTED; mark.word++) {
		name_harm(name, GENERATION, &mark, 16 << 20);
		assert_true(name_harm_parse(name, GENERATION, 16 << 20, &back));
		assert_true(back.tli == 10 && back.segno == 0x123FE && back.n == 12 &&
		            back.word == mark.word);
		assert_false(name_lost_parse(name, GENERATION, 16 << 20, &range));
	}
	assert_string_equal(name, GENERATION "/lost/0000000A/00000123000000FE.000012.accepted");
	for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
		assert_false(name_harm_parse(wrong[i], GENERATION, 16 << 20, &back));
}

static void the_longest_names_fit_and_are_valid(void **state)
{
	const char *hex = "00112233445566778899aabbccddeeff";
	struct digest digest = digest_of(hex);
	struct walname partial = wal_of("FFFFFFFFFFFFFFFFFFFFFFFF.partial");
	char cluster[NAME_CLUSTER_MAX + 1], generation[NAME_GENERATION_MAX], name[NAME_BYTES];
	char part[SEALED_NAME_MAX];

	(void)state;
	memset(cluster, 'c', NAME_CLUSTER_MAX);
	cluster[NAME_CLUSTER_MAX] = '\0';
	assert_true(name_cluster_valid(cluster));
	name_generation(generation, cluster, UINT64_MAX, UINT32_MAX, UINT32_MAX);
	name_wal(name, generation, &partial, &digest);
	assert_true(store_name_valid(name));
	sealed_part_name(name, UINT64_MAX, SEALED_PARTS_MAX, part);
	assert_true(store_name_valid(part));
}

static void names_under_which_objects_are_sealed(void **state)
{
	(void)state;
	assert_string_equal(name_sealed("main/7-15-1/system"), "7-15-1/system");
	assert_string_equal(name_sealed("main/cluster"), "cluster");
	assert_string_equal(name_sealed("probe/000001"), "probe/000001");
	assert_string_equal(name_sealed("seawall.json"), "seawall.json");
	assert_string_equal(name_sealed("lease/expire/1"), "lease/expire/1");
	assert_int_equal(name_store_kind("main/7-15-1/wal/00000001/00000000/0000000100000000000000"
	                                 "01.00000000000000aa.0001"),
	                 STORE_WAL);
	assert_int_equal(name_store_kind("wal/7-15-1/pack/20260101T000000Z-abcd/000001"),
	                 STORE_PACK);
	assert_int_equal(name_store_kind("pack/7-15-1/wal/00000001/00000000/000000010000000000000"
	                                 "001"),
	                 STORE_WAL);
	assert_int_equal(name_store_kind("wal/7-15-1/backup/20260101T000000Z-abcd"), STORE_OTHER);
	assert_int_equal(name_store_kind("pack/cluster"), STORE_OTHER);
	assert_int_equal(name_store_kind("keys/wal/pack/1"), STORE_OTHER);
	assert_int_equal(name_store_kind("seawall.json"), STORE_OTHER);
}

static void generations_are_read_back_strictly(void **state)
{
	static const char *const bad[] = {"",       "7",       "7-15",    "7-15-",
	                                  "-15-1",  "7--1",    "7-15-1x", "7-15-1-2",
	                                  "x-15-1", "7-15-1/", " 7-15-1", "7-15-4294967296"};
	uint64_t identifier;
	uint32_t major, n;

	(void)state;
	assert_true(name_generation_parse("7400000000000000001-15-12", &identifier, &major, &n));
	assert_int_equal(identifier, UINT64_C(7400000000000000001));
	assert_int_equal(major, 15);
	assert_int_equal(n, 12);
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		if (name_generation_parse(bad[i], &identifier, &major, &n))
			fail_msg("\"%s\" was taken", bad[i]);
}

static void wal_names_are_read_back_and_parts_are_none(void **state)
{
	static const char *const bad[] = {
	        GENERATION "/wal/00000001/00000000/000000010000000000000001.0123456789abcdef.0001",
	        GENERATION "/wal/00000001/00000000/000000010000000000000001.partial",
	        GENERATION "/wal/00000001/00000000/000000010000000000000001.partial/12",
	        GENERATION "/wal/00000001/00000000/00000001000000000000000a",
	        GENERATION "/wal/00000001/00000000/notes",
	        GENERATION "/wal/00000001/00000000/",
	};
	struct walname wal;

	(void)state;
	assert_true(
	        name_wal_parse(GENERATION "/wal/00000001/00000000/000000010000000000000001", &wal));
	assert_int_equal(wal.kind, WALNAME_SEGMENT);
	assert_true(name_wal_parse(GENERATION
	                           "/wal/00000001/00000000/000000010000000000000001.partial/"
	                           "00112233445566778899aabbccddeeff",
	                           &wal));
	assert_int_equal(wal.kind, WALNAME_PARTIAL);
	assert_true(name_wal_parse(GENERATION "/timeline/00000002.history", &wal));
	assert_int_equal(wal.kind, WALNAME_HISTORY);
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		if (name_wal_parse(bad[i], &wal))
			fail_msg("\"%s\" was taken", bad[i]);
}

static void backup_ids(void **state)
{
	static const char *const bad[] = {"",
	                                  "20261120T140200Z",
	                                  "20261120T140200Z-1f3",
	                                  "20261120T140200Z-1F3A",
	                                  "20261120T140200Z-1f3ab",
	                                  "2026-120T140200Z-1f3a",
	                                  "20261120t140200Z-1f3a",
	                                  "../../../../etc/passwd"};
	char id[NAME_BACKUP_ID_BYTES];

	(void)state;
	backup_id_make(id, INT64_C(1793887320123456), 0x1f3a);
	assert_true(backup_id_valid(id));
	assert_true(str_ends(id, "Z-1f3a"));
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		assert_false(backup_id_valid(bad[i]));
	assert_true(name_backup_parse(GENERATION "/backup/20261120T140200Z-1f3a", id));
	assert_string_equal(id, "20261120T140200Z-1f3a");
	assert_false(name_backup_parse(GENERATION "/backup/20261120T140200Z-1f3a.00.0001", id));
	assert_false(name_backup_parse(GENERATION "/pack/20261120T140200Z-1f3a/000001", id));
	assert_false(name_backup_parse(GENERATION "/pack/20261120T140200Z-1f3a", id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(names_are_those_of_the_format),
	        cmocka_unit_test(a_piece_of_the_index_is_named_by_its_segments),
	        cmocka_unit_test(a_mark_of_a_damaged_segment_says_all_by_its_name),
	        cmocka_unit_test(the_longest_names_fit_and_are_valid),
	        cmocka_unit_test(names_under_which_objects_are_sealed),
	        cmocka_unit_test(generations_are_read_back_strictly),
	        cmocka_unit_test(wal_names_are_read_back_and_parts_are_none),
	        cmocka_unit_test(backup_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
