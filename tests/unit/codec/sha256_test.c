/* sha256_test.c — SHA-256 against the published examples (FIPS 180-4). */
#include "codec/sha256.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void assert_digest(const char *text, const char *expected)
{
	uint8_t digest[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1];

	sha256_of(text, strlen(text), digest);
	str_hex_of(digest, sizeof(digest), hex);
	assert_string_equal(hex, expected);
}

static void the_published_examples_come_out(void **state)
{
	(void)state;
	assert_digest("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_digest("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void pieces_give_the_digest_of_the_whole(void **state)
{
	uint8_t bytes[1000], whole[SHA256_BYTES], pieces[SHA256_BYTES];
	struct sha256 sha256;

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	sha256_of(bytes, sizeof(bytes), whole);
	sha256_init(&sha256);
	for (size_t at = 0; at < sizeof(bytes); at += 10)
		sha256_update(&sha256, bytes + at, 10);
	sha256_final(&sha256, pieces);
	assert_memory_equal(pieces, whole, sizeof(whole));
	sha256_release(&sha256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_published_examples_come_out),
	        cmocka_unit_test(pieces_give_the_digest_of_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
