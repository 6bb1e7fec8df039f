/* page_test.c — page checksums, on pages that a server wrote. */
#include "pg/page.h"
#include "base/bytes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* What is not zero in two pages of a server of version 15. */
struct sparse {
	uint16_t offset;
	uint8_t value;
};
static const struct sparse map_page[] = {{8, 95},  {9, 101}, {12, 24}, {15, 32},
                                         {17, 32}, {18, 4},  {19, 32}};
static const struct sparse hash_page[] = {
        {4, 160},   {5, 222},   {6, 18},     {7, 8},      {8, 247},    {9, 211},
        {12, 24},   {14, 240},  {15, 31},    {16, 240},   {17, 31},    {18, 4},
        {19, 32},   {8176, 63}, {8180, 255}, {8181, 255}, {8182, 255}, {8183, 255},
        {8184, 12}, {8188, 2},  {8190, 128}, {8191, 255},
};
enum { MAP_BLOCK = 1, HASH_BLOCK = 13 };
#define HASH_LSN UINT64_C(0x0812DEA0)

static void page_make(uint8_t page[PAGE_BYTES], const struct sparse *sparse, size_t count)
{
	memset(page, 0, PAGE_BYTES);
	for (size_t i = 0; i < count; i++)
		page[sparse[i].offset] = sparse[i].value;
}

static void checksums_are_those_of_the_server(void **state)
{
	uint8_t page[PAGE_BYTES];

	(void)state;
	page_make(page, map_page, ARRAY_LENGTH(map_page));
	assert_int_equal(page_checksum(page, MAP_BLOCK), get_u16(page + 8));
	assert_int_equal(page_judge(page, MAP_BLOCK, LSN_MAX), PAGE_OK);
	page_make(page, hash_page, ARRAY_LENGTH(hash_page));
	assert_int_equal(page_checksum(page, HASH_BLOCK), get_u16(page + 8));
	assert_int_equal(page_judge(page, HASH_BLOCK, LSN_MAX), PAGE_OK);
	assert_int_equal(page_lsn(page), HASH_LSN);
}

static void a_page_at_another_place_is_bad(void **state)
{
	uint8_t page[PAGE_BYTES];

	(void)state;
	page_make(page, hash_page, ARRAY_LENGTH(hash_page));
	assert_int_equal(page_judge(page, HASH_BLOCK + 1, LSN_MAX), PAGE_BAD);
	assert_int_equal(page_judge(page, HASH_BLOCK + 131072, LSN_MAX), PAGE_BAD);
}

static void every_flipped_bit_is_bad(void **state)
{
	uint8_t page[PAGE_BYTES];

	(void)state;
	page_make(page, hash_page, ARRAY_LENGTH(hash_page));
	for (size_t at = 0; at < PAGE_BYTES; at++) {
		page[at] ^= (uint8_t)(1 << at % 8);
		assert_int_equal(page_judge(page, HASH_BLOCK, LSN_MAX), PAGE_BAD);
		page[at] ^= (uint8_t)(1 << at % 8);
	}
}

static void any_alignment_will_do(void **state)
{
	uint8_t room[PAGE_BYTES + 64];

	(void)state;
	for (size_t at = 0; at < 64; at++) {
		page_make(room + at, hash_page, ARRAY_LENGTH(hash_page));
		assert_int_equal(page_judge(room + at, HASH_BLOCK, LSN_MAX), PAGE_OK);
	}
}

static void a_page_newer_than_the_backup_is_skipped(void **state)
{
	uint8_t page[PAGE_BYTES];

	(void)state;
	page_make(page, hash_page, ARRAY_LENGTH(hash_page));
	page[5000] ^= 1;
	assert_int_equal(page_judge(page, HASH_BLOCK, HASH_LSN), PAGE_SKIPPED);
	assert_int_equal(page_judge(page, HASH_BLOCK, HASH_LSN + 1), PAGE_BAD);
}

static void a_page_of_zeros_is_new_and_one_that_only_says_so_is_odd(void **state)
{
	uint8_t page[PAGE_BYTES] = {0};

	(void)state;
	assert_int_equal(page_judge(page, 0, 0), PAGE_NEW);
	assert_true(page_is_zero(page));
	page[PAGE_BYTES - 1] = 1;
	assert_false(page_is_zero(page));
	assert_int_equal(page_judge(page, 0, 0), PAGE_ODD);
	memset(page, 1, sizeof(page));
	assert_false(page_is_zero(page));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(checksums_are_those_of_the_server),
	        cmocka_unit_test(a_page_at_another_place_is_bad),
	        cmocka_unit_test(every_flipped_bit_is_bad),
	        cmocka_unit_test(any_alignment_will_do),
	        cmocka_unit_test(a_page_newer_than_the_backup_is_skipped),
	        cmocka_unit_test(a_page_of_zeros_is_new_and_one_that_only_says_so_is_odd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
