/* crc32c_test.c — CRC-32C, its two implementations, and joining. */
#include "pg/crc32c.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

static void both_implementations_agree_for_every_length_and_place(void **state)
{
	(void)state;
	for (size_t length = 0; length < 9000; length += length < 800 ? 1 : 131)
		for (size_t at = 0; at < 3; at++)
			assert_int_equal(crc32c(length * 7u, bytes + at, length),
			                 crc32c_portable(length * 7u, bytes + at, length));
	assert_int_equal(crc32c(1, bytes, sizeof(bytes)), crc32c_portable(1, bytes, sizeof(bytes)));
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
	        cmocka_unit_test(both_implementations_agree_for_every_length_and_place),
	        cmocka_unit_test(pieces_give_the_crc_of_the_whole),
	};

	return cmocka_run_group_tests(tests, fill, NULL);
}
