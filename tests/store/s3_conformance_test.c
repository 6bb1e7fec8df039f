/*
 * s3_conformance_test.c — the S3 driver on a real store, over http and https. Its settings come
 * from the environment, as tests/services/ceph-rgw.sh writes them: S3_ENDPOINT, S3_ENDPOINT_TLS,
 * S3_CA, S3_ACCESS_KEY, S3_SECRET_KEY, S3_REGION, S3_BUCKET.
 */
#include "store/conformance.h"

static int s3_begin_at(void **state, const char *endpoint, const char *ca_file)
{
	static unsigned number;
	struct fixture *f = *state = xcalloc(1, sizeof(*f));

	f->driver = "s3";
	f->s3.endpoint = endpoint;
	f->s3.ca_file = ca_file;
	f->s3.region = getenv("S3_REGION");
	snprintf(f->url, sizeof(f->url), "s3://%s/conformance-%lld/%u", getenv("S3_BUCKET"),
	         (long long)clock_now_us(), number++);
	return place_begin(f);
}

static int s3_begin(void **state)
{
	return s3_begin_at(state, getenv("S3_ENDPOINT"), NULL);
}

static int s3_tls_begin(void **state)
{
	return s3_begin_at(state, getenv("S3_ENDPOINT_TLS"), getenv("S3_CA"));
}

int main(void)
{
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
	return failed + cmocka_run_group_tests_name("s3 over https", s3_tls, NULL, NULL);
}
