/* crc32c_test.c — CRC-32C, each way to do it, and joining. */
#include "pg/crc32c.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static uint8_t bytes[20000];

static int fill(void **state)
{
	uint32_t x = 12345;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(x >> 24);
	}
	return 0;
}

static void known_values_come_out(void **state)
{
	uint8_t zeros[32] = {0}, ones[32];

	(void)state;
	memset(ones, 0xFF, sizeof(ones));
	assert_int_equal(crc32c(CRC32C_EMPTY, "123456789", 9), 0xE3069283);
	assert_int_equal(crc32c(CRC32C_EMPTY, zeros, 32), 0x8A9136AA); /* RFC 3720, B.4 */
	assert_int_equal(crc32c(CRC32C_EMPTY, ones, 32), 0x62A8AB43);
	assert_int_equal(crc32c(CRC32C_EMPTY, "", 0), CRC32C_EMPTY);
	assert_int_equal(crc32c_portable(CRC32C_EMPTY, "123456789", 9), 0xE3069283);
}

/* Each byte beside what is asked for is outside, which the address sanitizer sees. */
static void every_way_agrees(size_t length, size_t at)
{
	uint8_t *room = malloc(length + at + 1);
	uint32_t start = (uint32_t)length * 2654435761U, expected;
	const struct crc32c_way *way;
	size_t ways;

	assert_non_null(room);
	memcpy(room + at, bytes, length);
	expected = crc32c_portable(start, room + at, length);
	way = crc32c_ways(&ways);
	for (size_t i = 0; i < ways; i++)
		if (way[i].crc(start, room + at, length) != expected)
			fail_msg("%s: %zu bytes at %zu", way[i].name, length, at);
	assert_int_equal(crc32c(start, room + at, length), expected);
	free(room);
}

static void every_way_of_this_machine_agrees_for_every_length_and_place(void **state)
{
	(void)state;
	for (size_t length = 0; length < 700; length++)
		for (size_t at = 0; at < 16; at++)
			every_way_agrees(length, at);
	for (size_t length = 700; length < 9000; length += 61)
		for (size_t at = 0; at < 16; at += 5)
			every_way_agrees(length, at);
	every_way_agrees(sizeof(bytes), 0);
}

static void a_record_is_its_body_and_then_its_header(void **state)
{
	(void)state;
	for (size_t length = 24; length < 1000; length++)
		for (size_t at = 0; at < 8; at++) {
			uint32_t body = crc32c_portable(CRC32C_EMPTY, bytes + at + 24, length - 24);

			assert_int_equal(crc32c_record(bytes + at, length),
			                 crc32c_portable(body, bytes + at, 20));
		}
}

static void pieces_give_the_crc_of_the_whole(void **state)
{
	uint32_t whole = crc32c(CRC32C_EMPTY, bytes, sizeof(bytes));

	(void)state;
	for (size_t at = 0; at <= sizeof(bytes); at += 617) {
		uint32_t a = crc32c(CRC32C_EMPTY, bytes, at);
		uint32_t b = crc32c(CRC32C_EMPTY, bytes + at, sizeof(bytes) - at);

		assert_int_equal(crc32c(a, bytes + at, sizeof(bytes) - at), whole);
		assert_int_equal(crc32c_combine(a, b, sizeof(bytes) - at), whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(known_values_come_out),
	        cmocka_unit_test(every_way_of_this_machine_agrees_for_every_length_and_place),
	        cmocka_unit_test(a_record_is_its_body_and_then_its_header),
	        cmocka_unit_test(pieces_give_the_crc_of_the_whole),
	};

	return cmocka_run_group_tests(tests, fill, NULL);
}
