/* hmac_test.c — RFC 4231, RFC 1321, RFC 4648. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "codec/hmac.h"

static void assert_hmac(const void *key, size_t key_bytes, const char *text, const char *wanted)
{
	uint8_t digest[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1];

	hmac_sha256(key, key_bytes, text, strlen(text), digest);
	str_hex_of(digest, sizeof(digest), hex);
	assert_string_equal(hex, wanted);
}

static void hmac_of_the_rfc(void **state)
{
	uint8_t key[131];

	(void)state;
	memset(key, 0x0b, 20);
	assert_hmac(key, 20, "Hi There",
	            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_hmac("Jefe", 4, "what do ya want for nothing?",
	            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key)); /* longer than a block */
	assert_hmac(key, sizeof(key), "Test Using Larger Than Block-Size Key - Hash Key First",
	            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void md5_of_the_rfc(void **state)
{
	uint8_t digest[MD5_BYTES];
	char hex[2 * MD5_BYTES + 1];
	struct md5 md5;

	(void)state;
	if (!md5_init(&md5))
		skip();
	md5_update(&md5, "message ", 8);
	md5_update(&md5, "digest", 6);
	md5_final(&md5, digest);
	str_hex_of(digest, sizeof(digest), hex);
	assert_string_equal(hex, "f96b697d7cb7938d525a2f31aaf161d0");
}

static void base64_of_the_rfc(void **state)
{
	static const char *const wanted[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
	                                     "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
	char out[BASE64_BYTES(6)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(wanted); i++) {
		base64_of("foobar", i, out);
		assert_string_equal(out, wanted[i]);
	}
	base64_of("\xff\xfe\xfb", 3, out);
	assert_string_equal(out, "//77");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(hmac_of_the_rfc),
	        cmocka_unit_test(md5_of_the_rfc),
	        cmocka_unit_test(base64_of_the_rfc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
