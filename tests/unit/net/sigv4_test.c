/* sigv4_test.c — the examples of AWS's documentation and of its published test suite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "net/sigv4.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* "Examples: Signature Calculations in AWS Signature Version 4" of the S3 API reference. */
static const struct sigv4 s3_example = {
        .access_key = "AKIAIOSFODNN7EXAMPLE",
        .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        .region = "us-east-1",
        .service = "s3",
        .query = "",
        .payload = EMPTY,
        .date = "20130524T000000Z",
};

/* aws-sig-v4-test-suite. */
static const struct sigv4 suite = {
        .access_key = "AKIDEXAMPLE",
        .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        .region = "us-east-1",
        .service = "service",
        .method = "GET",
        .path = "/",
        .query = "",
        .payload = EMPTY,
        .date = "20150830T123600Z",
};

static void assert_signed(const struct sigv4 *sigv4, const char *names, const char *signature)
{
	AUTO_BUF struct buf out = {0}, wanted = {0};

	buf_init(&out, SIGV4_AUTHORIZATION_MAX);
	buf_init(&wanted, SIGV4_AUTHORIZATION_MAX);
	sigv4_sign(sigv4, &out);
	buf_addf(&wanted,
	         "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request,SignedHeaders=%s,"
	         "Signature=%s",
	         sigv4->access_key, sigv4->date, sigv4->region, sigv4->service, names, signature);
	assert_string_equal(buf_text(&out), buf_text(&wanted));
}

static void a_get_of_a_range_is_signed_as_documented(void **state)
{
	const char *const header[] = {"Host: examplebucket.s3.amazonaws.com", "Range: bytes=0-9",
	                              "x-amz-content-sha256: " EMPTY,
	                              "x-amz-date: 20130524T000000Z", NULL};
	struct sigv4 get = s3_example;

	(void)state;
	get.method = "GET";
	get.path = "/test.txt";
	get.header = header;
	assert_signed(&get, "host;range;x-amz-content-sha256;x-amz-date",
	              "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void a_put_with_its_hash_is_signed_as_documented(void **state)
{
	char hash[SIGV4_HASH_BYTES], line[128];
	const char *const header[] = {"Host: examplebucket.s3.amazonaws.com",
	                              "Date: Fri, 24 May 2013 00:00:00 GMT",
	                              "x-amz-date: 20130524T000000Z",
	                              "x-amz-storage-class: REDUCED_REDUNDANCY",
	                              line,
	                              NULL};
	struct sigv4 put = s3_example;

	(void)state;
	sigv4_hash("Welcome to Amazon S3.", 21, hash);
	assert_string_equal(hash,
	                    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
	snprintf(line, sizeof(line), "x-amz-content-sha256: %s", hash);
	put.method = "PUT";
	put.path = "/test%24file.text";
	put.payload = hash;
	put.header = header;
	assert_signed(&put, "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	              "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void queries_are_signed_as_documented(void **state)
{
	const char *const header[] = {"Host: examplebucket.s3.amazonaws.com",
	                              "x-amz-content-sha256: " EMPTY,
	                              "x-amz-date: 20130524T000000Z", NULL};
	struct sigv4 get = s3_example;

	(void)state;
	get.method = "GET";
	get.path = "/";
	get.header = header;
	get.query = "lifecycle"; /* a name without a value */
	assert_signed(&get, "host;x-amz-content-sha256;x-amz-date",
	              "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	get.query = "max-keys=2&prefix=J";
	assert_signed(&get, "host;x-amz-content-sha256;x-amz-date",
	              "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void the_published_suite_is_met(void **state)
{
	const char *const plain[] = {"Host:example.amazonaws.com", "X-Amz-Date:20150830T123600Z",
	                             NULL};
	const char *const blanks[] = {"Host:example.amazonaws.com", "My-Header1: value1",
	                              "My-Header2: \"a   b   c\"", "X-Amz-Date:20150830T123600Z",
	                              NULL};
	struct sigv4 get = suite;

	(void)state;
	get.header = plain; /* get-vanilla */
	assert_signed(&get, "host;x-amz-date",
	              "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
	get.method = "POST"; /* post-vanilla */
	assert_signed(&get, "host;x-amz-date",
	              "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
	get.method = "GET"; /* get-header-value-trim */
	get.header = blanks;
	assert_signed(&get, "host;my-header1;my-header2;x-amz-date",
	              "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");
}

/* By name: "a" stands before "a-b", though ':' sorts after '-'. */
static void headers_are_in_the_order_of_their_names(void **state)
{
	const char *const one[] = {"Host:h", "a-b:2", "a:1", NULL};
	const char *const other[] = {"a:1", "a-b:2", "Host:h", NULL};
	AUTO_BUF struct buf first = {0}, second = {0};
	struct sigv4 get = suite;

	(void)state;
	buf_init(&first, SIGV4_AUTHORIZATION_MAX);
	buf_init(&second, SIGV4_AUTHORIZATION_MAX);
	get.header = one;
	sigv4_sign(&get, &first);
	get.header = other;
	sigv4_sign(&get, &second);
	assert_non_null(strstr(buf_text(&first), "SignedHeaders=a;a-b;host,"));
	assert_string_equal(buf_text(&first), buf_text(&second));
}

static void a_date_is_written_without_punctuation(void **state)
{
	char date[SIGV4_DATE_BYTES];

	(void)state;
	sigv4_date(INT64_C(1369353600) * 1000000, date);
	assert_string_equal(date, "20130524T000000Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_get_of_a_range_is_signed_as_documented),
	        cmocka_unit_test(a_put_with_its_hash_is_signed_as_documented),
	        cmocka_unit_test(queries_are_signed_as_documented),
	        cmocka_unit_test(the_published_suite_is_met),
	        cmocka_unit_test(headers_are_in_the_order_of_their_names),
	        cmocka_unit_test(a_date_is_written_without_punctuation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
