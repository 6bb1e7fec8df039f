/*
 * s3_conformance_test.c — the S3 driver on a real store, over http and https, with the bucket in
 * the path; over http also with the bucket in the host, as far as that makes names. Its settings
 * come from the environment, as tests/services/ceph-rgw.sh writes them: S3_ENDPOINT,
 * S3_ENDPOINT_TLS, S3_CA, S3_ACCESS_KEY, S3_SECRET_KEY, S3_REGION, S3_BUCKET.
 */
#include "store/conformance.h"

static int s3_begin_as(void **state, const char *endpoint, const char *ca_file, bool virtual_host)
{
	static unsigned number;
	struct fixture *f = *state = xcalloc(1, sizeof(*f));

	f->driver = "s3";
	f->s3.endpoint = endpoint;
	f->s3.ca_file = ca_file;
	f->s3.virtual_host = virtual_host;
	f->s3.region = getenv("S3_REGION");
	snprintf(f->url, sizeof(f->url), "s3://%s/conformance-%lld/%u", getenv("S3_BUCKET"),
	         (long long)clock_now_us(), number++);
	return place_begin(f);
}

static int s3_begin(void **state)
{
	return s3_begin_as(state, getenv("S3_ENDPOINT"), NULL, false);
}

static int s3_tls_begin(void **state)
{
	return s3_begin_as(state, getenv("S3_ENDPOINT_TLS"), getenv("S3_CA"), false);
}

/* "http://bucket.localhost:PORT": whatever ends in ".localhost" is this host. */
static int s3_virtual_begin(void **state)
{
	static char endpoint[64];
	const char *port = strrchr(getenv("S3_ENDPOINT"), ':');

	snprintf(endpoint, sizeof(endpoint), "http://localhost%s", port ? port : "");
	return s3_begin_as(state, endpoint, NULL, true);
}

int main(void)
{
	const struct CMUnitTest s3_virtual[] = {
	        TEST(what_was_put_is_there, s3_virtual_begin),
	        TEST(a_taken_name_is_refused_and_nothing_changes, s3_virtual_begin),
	        TEST(odd_names, s3_virtual_begin),
	        TEST(folders_stand_once_with_a_slash, s3_virtual_begin),
	        TEST(what_was_removed_is_gone_and_may_come_again, s3_virtual_begin),
	};
	const struct CMUnitTest s3[] = {TESTS_ALL(s3_begin)}, s3_tls[] = {TESTS_ALL(s3_tls_begin)};
	int failed;

	if (!getenv("S3_ENDPOINT") || !getenv("S3_ENDPOINT_TLS") || !getenv("S3_CA") ||
	    !getenv("S3_ACCESS_KEY") || !getenv("S3_SECRET_KEY") || !getenv("S3_BUCKET")) {
		fprintf(stderr, "S3_ENDPOINT and its companions are not set\n");
		return 1;
	}
	setenv("AWS_ACCESS_KEY_ID", getenv("S3_ACCESS_KEY"), 1);
	setenv("AWS_SECRET_ACCESS_KEY", getenv("S3_SECRET_KEY"), 1);
	failed = cmocka_run_group_tests_name("s3 over http", s3, NULL, NULL);
	failed += cmocka_run_group_tests_name("s3 over https", s3_tls, NULL, NULL);
	return failed + cmocka_run_group_tests_name("s3 by host", s3_virtual, NULL, NULL);
}
