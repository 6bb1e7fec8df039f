/* To which hosts a redirect is followed: a request that goes there may carry a token. */
#include "../../../src/store/s3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct row {
	const char *endpoint, *host;
	bool vouched;
};

static const struct row rows[] = {
        {"http://store:9000", "store:9000", true},
        {"http://store:9000", "eu.store:9000", true},
        {"http://store:9000", "a.b.store:9000", true},
        {"http://store:9000", "store", false},
        {"http://store:9000", "eu.store:9001", false},
        {"http://store:9000", ".store:9000", false},
        {"http://store:9000", "evilstore:9000", false},
        {"http://store:9000", "store:9000.evil", false},
        {"http://store:9000", "s3.eu-west-1.amazonaws.com", false},
        {"http://store:9000", "", false},
        {"https://s3.us-east-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", true},
        {"https://s3.us-east-1.amazonaws.com", "s3-eu-west-1.amazonaws.com", true},
        {"https://s3.us-east-1.amazonaws.com", "s3.dualstack.eu-west-1.amazonaws.com", true},
        {"https://s3.us-east-1.amazonaws.com", "s3.amazonaws.com", true},
        {"https://s3.cn-north-1.amazonaws.com.cn", "s3.cn-northwest-1.amazonaws.com.cn", true},
        /* anybody's machine */
        {"https://s3.us-east-1.amazonaws.com", "ec2-1-2-3-4.compute-1.amazonaws.com", false},
        {"https://s3.us-east-1.amazonaws.com", "s3.compute-1.amazonaws.com.evil.com", false},
        {"https://s3.us-east-1.amazonaws.com", "s3.elb.us-east-1.amazonaws.com", false},
        {"https://s3.us-east-1.amazonaws.com", "s3..amazonaws.com", false},
        {"https://s3.us-east-1.amazonaws.com", "s3.eu-west-1.amazonaws.com:444", false},
        {"https://s3.us-east-1.amazonaws.com", "s3evil.amazonaws.com", false},
        {"https://s3.us-east-1.amazonaws.com", "amazonaws.com", false},
        {"https://s3.us-east-1.amazonaws.com", "evilamazonaws.com", false},
        {"http://s3.us-east-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", false},
};

static void a_host_counts_when_the_endpoints_owner_vouches_for_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
		if (s3_host_vouched(rows[i].endpoint, rows[i].host) != rows[i].vouched)
			fail_msg("%s, %s", rows[i].endpoint, rows[i].host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_host_counts_when_the_endpoints_owner_vouches_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
