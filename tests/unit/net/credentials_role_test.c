/* A role of the shared files, taken from a scripted STS with the keys of another profile. */
#include "credentials_world.h"

#define ROLE "[profile r]\nrole_arn = arn:aws:iam::1:role/wal\n"

static void role_says(struct world *world, const char *key, int64_t life_s)
{
	peer_says(&world->peer, "POST / ", "200 OK",
	          "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
	          "<AssumeRoleResult><Credentials><AccessKeyId>%s</AccessKeyId>"
	          "<SecretAccessKey>hush-%s</SecretAccessKey><SessionToken>hush-t</SessionToken>"
	          "<Expiration>%s</Expiration></Credentials></AssumeRoleResult>"
	          "</AssumeRoleResponse>",
	          key, key, in_s(life_s));
}

static void role_world(struct world *world, const char *config)
{
	world_begin(world);
	write_file(world->config, config, 0600);
	setenv("AWS_PROFILE", "r", 1);
	set_peer("AWS_ENDPOINT_URL_STS", world, "");
}

static void a_role_is_taken_with_the_keys_of_the_source_profile(void **state)
{
	struct world world;

	(void)state;
	role_world(&world, ROLE "source_profile = base\nexternal_id = a b\nduration_seconds = 900\n"
	                        "region = moon-1\n");
	write_file(world.shared,
	           "[base]\naws_access_key_id = B\naws_secret_access_key = hush-b\n"
	           "aws_session_token = hush-base\n",
	           0600);
	role_says(&world, "R", 3600);
	expect_key(&world, "R", "hush-R");
	assert_non_null(strstr(world.peer.seen,
	                       "\r\n\r\nAction=AssumeRole&Version=2011-06-15&RoleArn="
	                       "arn%3Aaws%3Aiam%3A%3A1%3Arole/wal&RoleSessionName=seawall"
	                       "&ExternalId=a%20b&DurationSeconds=900"));
	assert_non_null(strstr(world.peer.seen, "Authorization: AWS4-HMAC-SHA256 Credential=B/"));
	assert_non_null(strstr(world.peer.seen,
	                       "/moon-1/sts/aws4_request,SignedHeaders="
	                       "content-type;host;x-amz-date;x-amz-security-token,"));
	assert_non_null(strstr(world.peer.seen, "X-Amz-Security-Token: hush-base\r\n"));
	expect_said(&world, "the shared files", true, "role/wal\", taken with access key \"B\"");
	/* another key in the file: the role is taken again, with that */
	write_file(world.shared, "[base]\naws_access_key_id = B2\naws_secret_access_key = hush-b\n",
	           0600);
	role_says(&world, "R2", 3600);
	AWAIT(gives(&world, "R2"));
	assert_non_null(strstr(world.peer.seen, "Credential=B2/"));
	assert_null(strstr(world.peer.seen, "X-Amz-Security-Token"));
	world_end(&world);
}

static void a_role_that_is_not_given_is_said_with_whom_it_should_trust(void **state)
{
	struct world world;
	struct story story = {0};

	(void)state;
	role_world(&world, ROLE "source_profile = r\naws_access_key_id = B\n"
	                        "aws_secret_access_key = hush-b\n");
	peer_says(&world.peer, "POST / ", "403 Forbidden",
	          "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>");
	expect_failure(&world, ERR_CONFIG, "HTTP status 403: it says \"AccessDenied\"");
	story_run(&world, &story, 1);
	assert_non_null(strstr(story.get[0].op.err.hint, "its trust in access key \"B\""));
	story_end(&story);
	world_end(&world);
}

static void a_role_that_cannot_be_taken_is_refused_in_words(void **state)
{
	static const char *const rows[][2] = {
	        {ROLE "source_profile = default\n", "there is no profile \"default\""},
	        {ROLE "source_profile = r\n", "no keys of its own"},
	        {ROLE "source_profile = s\n[profile s]\nrole_arn = x\nsource_profile = r\n",
	         "no keys of its own, which is not supported"},
	        {ROLE "credential_source = Environment\n", "not supported"},
	        {ROLE "source_profile = s\nmfa_serial = m\n", "nobody to ask for a code"},
	        {ROLE "source_profile = s\nduration_seconds = 60\n", "from 900 to 43200"},
	        {ROLE "source_profile = s\n[profile s]\naws_access_key_id = B\n",
	         "secret key is missing"},
	        {"[profile r]\nhush without equals\n", "line 2"},
	};
	struct world world;

	(void)state;
	role_world(&world, "");
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		write_file(world.config, rows[i][0], 0600);
		expect_failure(&world, ERR_CONFIG, rows[i][1]);
		credentials_close(world.source);
		world.source = NULL;
	}
	assert_int_equal(world.peer.seen[0], '\0'); /* nobody was asked */
	world_end(&world);
}

static void sts_is_trusted_by_the_ca_file(void **state)
{
	struct world world;
	char url[64];

	(void)state;
	role_world(&world, ROLE "source_profile = r\naws_access_key_id = B\n"
	                        "aws_secret_access_key = hush-b\n");
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", world.peer.net.port);
	setenv("AWS_ENDPOINT_URL_STS", url, 1);
	world.options.ca_file = "/nonexistent/ca.pem";
	expect_failure(&world, ERR_STORE, "/nonexistent/ca.pem");
	world_end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_role_is_taken_with_the_keys_of_the_source_profile),
	        cmocka_unit_test(a_role_that_is_not_given_is_said_with_whom_it_should_trust),
	        cmocka_unit_test(a_role_that_cannot_be_taken_is_refused_in_words),
	        cmocka_unit_test(sts_is_trusted_by_the_ca_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
