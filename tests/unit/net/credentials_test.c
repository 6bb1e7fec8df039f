/* Credentials from each place, against a scripted peer in a thread: good ones, refused ones, late
 * ones, broken ones; kept, renewed, and read again. */
#include "credentials_world.h"

static void the_configuration_comes_first(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	write_file(world.secret, "hush-config\n", 0600);
	setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "hush-env", 1);
	world.options.access_key = "CONFIGKEY";
	world.options.secret_key_file = world.secret;
	expect_key(&world, "CONFIGKEY", "hush-config");
	expect_said(&world, "the configuration", true, "CONFIGKEY");
	world_end(&world);
}

static void a_secret_key_file_that_everybody_may_read_is_refused(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	write_file(world.secret, "hush\n", 0644);
	world.options.access_key = "CONFIGKEY";
	world.options.secret_key_file = world.secret;
	expect_failure(&world, ERR_REFUSED, "may be read by everybody");
	world_end(&world);
}

static void a_credentials_file_holds_both_keys(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	write_file(world.secret,
	           "[default]\naws_access_key_id = FILEKEY\naws_secret_access_key = hush-file\n",
	           0600);
	world.options.credentials_file = world.secret;
	expect_key(&world, "FILEKEY", "hush-file");
	world_end(&world);
}

static void the_environment_comes_second(void **state)
{
	struct world world;
	struct story story = {0};

	(void)state;
	world_begin(&world);
	setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "hush-env", 1);
	setenv("AWS_SESSION_TOKEN", "hush-token", 1);
	story_run(&world, &story, GETS);
	for (unsigned i = 0; i < GETS; i++)
		assert_string_equal(story.get[i].credentials->session_token, "hush-token");
	story_end(&story);
	expect_said(&world, "the configuration", false, "access_key");
	expect_said(&world, "the environment", true, "ENVKEY");
	world_end(&world);
}

static void half_an_environment_is_an_error(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	setenv("AWS_SECRET_ACCESS_KEY", "hush-env", 1);
	expect_failure(&world, ERR_CONFIG, "belong together");
	world_end(&world);
}

static void a_key_with_a_line_break_is_refused(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	setenv("AWS_ACCESS_KEY_ID", "KEY", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "hush\r\nx: y", 1);
	expect_failure(&world, ERR_CONFIG, "secret key");
	world_end(&world);
}

static void nothing_anywhere_is_said_of_everyone(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	expect_failure(&world, ERR_CONFIG, "there are no credentials");
	expect_said(&world, "a web identity token", false, "AWS_WEB_IDENTITY_TOKEN_FILE");
	expect_said(&world, "the shared files", false, "no default profile");
	expect_said(&world, "the container's metadata", false, "RELATIVE_URI");
	expect_said(&world, "the instance's metadata", false, "AWS_EC2_METADATA_DISABLED");
	world_end(&world);
}

static const char shared_text[] = "# keys\n[default]\naws_access_key_id = D\n"
                                  "aws_secret_access_key = hush-d\n\n[other]\n"
                                  "aws_access_key_id=O\naws_secret_access_key=hush-o\n"
                                  "aws_session_token=hush-t\n";

static void profiles_are_read_from_the_shared_files(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	write_file(world.shared, shared_text, 0600);
	write_file(world.config, "[default]\nregion = x\ns3 =\n  max = 1\n", 0600);
	expect_key(&world, "D", "hush-d");
	credentials_close(world.source);
	world.source = NULL;
	setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "hush-env", 1);
	world.options.profile = "other";
	expect_key(&world, "O", "hush-o");
	expect_said(&world, "the environment", false, "names a profile");
	expect_said(&world, "the shared files", true, "profile \"other\"");
	credentials_close(world.source);
	world.source = NULL;
	world.options.profile = "none";
	expect_failure(&world, ERR_CONFIG, "there is no profile \"none\"");
	world_end(&world);
}

static void a_credential_process_is_run(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	write_file(world.config,
	           "[default]\ncredential_process = echo noise >&2; echo '{\"Version\": 1, "
	           "\"AccessKeyId\": \"P\", \"SecretAccessKey\": \"hush-p\"}'\n",
	           0600);
	expect_key(&world, "P", "hush-p");
	credentials_close(world.source);
	world.source = NULL;
	write_file(world.config, "[default]\ncredential_process = echo hush; exit 3\n", 0600);
	expect_failure(&world, ERR_CONFIG, "status 3");
	world_end(&world);
}

static void a_shared_file_that_changes_is_read_again(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	write_file(world.shared, shared_text, 0600);
	expect_key(&world, "D", "hush-d");
	write_file(world.shared,
	           "[default]\naws_access_key_id = NEW\naws_secret_access_key = hush-new\n", 0600);
	AWAIT(gives(&world, "NEW"));
	expect_key(&world, "NEW", "hush-new");
	/* half a file: what is known stays */
	write_file(world.shared, "[default]\naws_access_key_id = HALF\n", 0600);
	AWAIT(gives(&world, "NEW") && said(&world, "secret key is missing"));
	expect_said(&world, "the shared files", false, "secret key is missing");
	world_end(&world);
}

static void json(struct world *world, const char *begins, const char *key, int64_t life_s)
{
	peer_says(&world->peer, begins, "200 OK",
	          "{\"Code\":\"Success\",\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"hush-%s\","
	          "\"Token\":\"hush-token\",\"Expiration\":\"%s\"}",
	          key, key, in_s(life_s));
}

static void a_container_is_asked_with_its_token(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	set_peer("AWS_CONTAINER_CREDENTIALS_FULL_URI", &world, "/hush/keys");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer hush-auth", 1);
	json(&world, "GET /hush/keys ", "C", 3600);
	expect_key(&world, "C", "hush-C");
	assert_non_null(strstr(world.peer.seen, "Authorization: Bearer hush-auth\r\n"));
	credentials_close(world.source);
	world.source = NULL;
	write_file(world.token, "hush-from-file\n", 0600);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", world.token, 1);
	expect_key(&world, "C", "hush-C");
	assert_non_null(strstr(world.peer.seen, "Authorization: hush-from-file\r\n"));
	world_end(&world);
}

static void what_a_container_answers_is_not_trusted(void **state)
{
	static const struct {
		const char *status, *body, *part;
		enum err_code code;
	} all[] = {
	        {"200 OK", "{\"AccessKeyId\": \"hush", "no JSON document", ERR_NETWORK},
	        {"200 OK", "", "no JSON document", ERR_NETWORK},
	        {"200 OK", "[]", "no JSON object", ERR_NETWORK},
	        {"200 OK", "{\"AccessKeyId\": 1}", "AccessKeyId", ERR_NETWORK},
	        {"200 OK", "{\"AccessKeyId\":\"A\"}", "secret key is missing", ERR_NETWORK},
	        {"200 OK", "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"hush b\"}", "secret key",
	         ERR_NETWORK},
	        {"200 OK",
	         "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"b\",\"Expiration\":\"hush\"}",
	         "is no time", ERR_NETWORK},
	        {"200 OK", "{\"Code\":\"AssumeRoleUnauthorizedAccess\"}",
	         "AssumeRoleUnauthorizedAccess", ERR_FAILED},
	        {"403 Forbidden", "hush", "HTTP status 403", ERR_CONFIG},
	        {"500 Oops", "hush", "HTTP status 500", ERR_NETWORK},
	        {"429 Slow", "hush", "HTTP status 429", ERR_NETWORK},
	};
	struct world world;

	(void)state;
	world_begin(&world);
	set_peer("AWS_CONTAINER_CREDENTIALS_FULL_URI", &world, "/hush/keys");
	for (size_t i = 0; i < ARRAY_LENGTH(all); i++) {
		peer_says(&world.peer, "GET /hush/keys ", all[i].status, "%s", all[i].body);
		expect_failure(&world, all[i].code, all[i].part);
		expect_said(&world, "the container's metadata", false, all[i].part);
	}
	/* and a good one after all these */
	json(&world, "GET /hush/keys ", "C", 3600);
	expect_key(&world, "C", "hush-C");
	world_end(&world);
}

static void a_container_url_to_anywhere_is_refused(void **state)
{
	static const char *const all[] = {
	        "http://example.com/keys",
	        "http://169.254.170.3/",
	        "http://127.0.0.1@example.com/",
	        "http://localhost.example.com/",
	        "http://[::2]/",
	        "http://127.0.0.1:80@example.com/",
	        "http://example.com#@127.0.0.1/",
	        "http://",
	        "http://example.com\\@127.0.0.1/",
	        "ftp://127.0.0.1/",
	        "http://127.0.0.1:80.example.com/",
	        "http://0x7f.1/",
	        "file:///etc/passwd",
	};
	struct world world;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(all); i++) {
		world_begin(&world);
		setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", all[i], 1);
		expect_failure(&world, ERR_CONFIG, "not a URL that keys may come from");
		world_end(&world);
	}
}

static void instance_world(struct world *world)
{
	world_begin(world);
	unsetenv("AWS_EC2_METADATA_DISABLED");
	set_peer("AWS_EC2_METADATA_SERVICE_ENDPOINT", world, "/");
	peer_says(&world->peer, "PUT /latest/api/token ", "200 OK", "hush-session");
	json(world, "GET /latest/meta-data/iam/security-credentials/my-role ", "I", 3600);
	peer_says(&world->peer, "GET /latest/meta-data/iam/security-credentials/ ", "200 OK",
	          "my-role\n");
}

static void an_instance_is_asked_for_session_role_and_keys(void **state)
{
	struct world world;
	struct story story = {0};

	(void)state;
	instance_world(&world);
	story_run(&world, &story, GETS);
	for (unsigned i = 0; i < GETS; i++)
		assert_string_equal(story.get[i].credentials->access_key, "I");
	story_end(&story);
	assert_non_null(strstr(world.peer.seen, "X-aws-ec2-metadata-token: hush-session\r\n"));
	assert_int_equal(world.peer.route[1].hits, 1);
	expect_said(&world, "the instance's metadata", true, "role \"my-role\"");
	world_end(&world);
}

static void a_session_is_asked_for_with_its_length(void **state)
{
	struct world world;

	(void)state;
	instance_world(&world);
	peer_says(&world.peer, "PUT /latest/api/token ", "403 Forbidden", "%s", "");
	assert_false(gives(&world, "I"));
	assert_non_null(strstr(world.peer.seen, "X-aws-ec2-metadata-token-ttl-seconds: "));
	world_end(&world);
}

static void an_instance_without_a_role_gives_none(void **state)
{
	struct world world;

	(void)state;
	instance_world(&world);
	peer_says(&world.peer, "GET /latest/meta-data/iam/security-credentials/ ", "404 No", "%s",
	          "");
	expect_failure(&world, ERR_CONFIG, "there are no credentials");
	expect_said(&world, "the instance's metadata", false, "has no role");
	world_end(&world);
}

static void a_role_that_is_a_path_is_not_asked_for(void **state)
{
	struct world world;

	(void)state;
	instance_world(&world);
	peer_says(&world.peer, "GET /latest/meta-data/iam/security-credentials/ ", "200 OK",
	          "../../user");
	expect_failure(&world, ERR_NETWORK, "no name of a role");
	world_end(&world);
}

static void metadata_that_hangs_ends_in_time(void **state)
{
	struct world world;
	int64_t begun_us = clock_mono_us();

	(void)state;
	instance_world(&world);
	peer_says(&world.peer, "PUT /latest/api/token ", NULL, "%s", "");
	expect_failure(&world, ERR_TIMEOUT, "no answer");
	assert_true(clock_mono_us() - begun_us < 15 * US_PER_S);
	world_end(&world);
}

static void nobody_at_the_metadata_address_is_no_instance(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	unsetenv("AWS_EC2_METADATA_DISABLED");
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
	expect_failure(&world, ERR_CONFIG, "there are no credentials");
	expect_said(&world, "the instance's metadata", false, "nobody answers");
	world_end(&world);
}

static void sts_says(struct world *world, const char *key, int64_t life_s)
{
	peer_says(&world->peer, "POST / ", "200 OK",
	          "<AssumeRoleWithWebIdentityResponse "
	          "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
	          "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId>"
	          "<SecretAccessKey>hush-%s</SecretAccessKey><SessionToken>hush-t</SessionToken>"
	          "<Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
	          "</AssumeRoleWithWebIdentityResponse>",
	          key, key, in_s(life_s));
}

static void sts_world(struct world *world)
{
	world_begin(world);
	write_file(world->token, "hush-jwt-1\n", 0644);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", world->token, 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/wal", 1);
	set_peer("AWS_ENDPOINT_URL_STS", world, "/");
}

static void a_web_identity_token_is_exchanged(void **state)
{
	struct world world;

	(void)state;
	sts_world(&world);
	sts_says(&world, "W", 3600);
	expect_key(&world, "W", "hush-W");
	assert_non_null(
	        strstr(world.peer.seen, "RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole/wal"));
	assert_non_null(strstr(world.peer.seen, "WebIdentityToken=hush-jwt-1"));
	expect_said(&world, "a web identity token", true, "role/wal");
	/* rotated: exchanged again, with the new one */
	write_file(world.token, "hush-jwt-2\n", 0644);
	sts_says(&world, "W2", 3600);
	AWAIT(gives(&world, "W2"));
	assert_non_null(strstr(world.peer.seen, "WebIdentityToken=hush-jwt-2"));
	world_end(&world);
}

static void next_key(struct world *world, const char *key)
{
	AUTO_FREE char *secret = xasprintf("hush-%s", key);

	credentials_close(world->source);
	world->source = NULL;
	expect_key(world, key, secret);
}

static void each_place_counts_when_those_before_it_have_none(void **state)
{
	struct world world;

	(void)state;
	instance_world(&world);
	set_peer("AWS_CONTAINER_CREDENTIALS_FULL_URI", &world, "/hush/keys");
	json(&world, "GET /hush/keys ", "C", 3600);
	write_file(world.shared, shared_text, 0600);
	write_file(world.token, "hush-jwt-1\n", 0644);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", world.token, 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/wal", 1);
	set_peer("AWS_ENDPOINT_URL_STS", &world, "/");
	sts_says(&world, "W", 3600);
	setenv("AWS_ACCESS_KEY_ID", "E", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "hush-E", 1);
	write_file(world.secret, "hush-S\n", 0600);
	world.options.access_key = "S";
	world.options.secret_key_file = world.secret;
	next_key(&world, "S");
	world.options.access_key = world.options.secret_key_file = NULL;
	next_key(&world, "E");
	unsetenv("AWS_ACCESS_KEY_ID");
	unsetenv("AWS_SECRET_ACCESS_KEY");
	next_key(&world, "W");
	unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE");
	credentials_close(STEAL(world.source));
	expect_key(&world, "D", "hush-d");
	assert_int_equal(unlink(world.shared), 0);
	next_key(&world, "C");
	unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	next_key(&world, "I");
	world_end(&world);
}

/* What is asked of the host itself does not go through the proxy to the world. */
static void metadata_is_asked_past_the_proxy(void **state)
{
	struct world world;

	(void)state;
	instance_world(&world);
	unsetenv("no_proxy");
	setenv("http_proxy", "http://127.0.0.1:1", 1); /* nobody is there */
	expect_key(&world, "I", "hush-I");
	unsetenv("http_proxy");
	world_end(&world);
}

static void a_wrong_role_is_said_with_the_code_of_sts(void **state)
{
	struct world world;

	(void)state;
	sts_world(&world);
	peer_says(&world.peer, "POST / ", "403 Forbidden",
	          "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
	          "<Message>hush</Message></Error></ErrorResponse>");
	expect_failure(&world, ERR_CONFIG, "HTTP status 403: it says \"AccessDenied\"");
	peer_says(&world.peer, "POST / ", "200 OK", "<Assume");
	expect_failure(&world, ERR_NETWORK, "no XML document");
	sts_says(&world, "", 3600);
	expect_failure(&world, ERR_NETWORK, "access key is missing");
	world_end(&world);
}

static void credentials_that_end_are_renewed(void **state)
{
	struct world world;

	(void)state;
	sts_world(&world);
	sts_says(&world, "W", 2);
	expect_key(&world, "W", "hush-W");
	sts_says(&world, "W2", 3600);
	AWAIT(gives(&world, "W2"));
	assert_int_equal(hits(&world), 2);
	expect_key(&world, "W2", "hush-W2");
	assert_int_equal(hits(&world), 2);
	world_end(&world);
}

static void a_renewal_that_fails_leaves_the_old_while_they_are_valid(void **state)
{
	struct world world;

	(void)state;
	sts_world(&world);
	sts_says(&world, "W", 10);
	expect_key(&world, "W", "hush-W");
	peer_says(&world.peer, "POST / ", "503 Busy", "%s", "");
	AWAIT(hits(&world) > 1 || !gives(&world, "W"));
	expect_key(&world, "W", "hush-W");
	AWAIT(!gives(&world, "W"));
	expect_failure(&world, ERR_NETWORK, "HTTP status 503");
	world_end(&world);
}

static void refused_credentials_are_asked_for_again(void **state)
{
	struct world world;
	struct story story = {0};

	(void)state;
	sts_world(&world);
	sts_says(&world, "W", 60);
	story_run(&world, &story, 1);
	sts_says(&world, "W2", 60);
	credentials_refused(world.source, story.get[0].credentials);
	AWAIT(gives(&world, "W2"));
	/* whoever holds the old ones still has them */
	assert_string_equal(story.get[0].credentials->secret_key, "hush-W");
	story_end(&story);
	world_end(&world);
}

static void when_the_first_is_cancelled_another_goes_on(void **state)
{
	struct world world;
	struct story story = {.cancel_first = true};

	(void)state;
	instance_world(&world);
	story_run(&world, &story, GETS);
	assert_int_equal(story.get[0].op.err.code, ERR_CANCELLED);
	for (unsigned i = 1; i < GETS; i++)
		assert_string_equal(story.get[i].credentials->access_key, "I");
	story_end(&story);
	world_end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_configuration_comes_first),
	        cmocka_unit_test(a_secret_key_file_that_everybody_may_read_is_refused),
	        cmocka_unit_test(a_credentials_file_holds_both_keys),
	        cmocka_unit_test(the_environment_comes_second),
	        cmocka_unit_test(half_an_environment_is_an_error),
	        cmocka_unit_test(a_key_with_a_line_break_is_refused),
	        cmocka_unit_test(nothing_anywhere_is_said_of_everyone),
	        cmocka_unit_test(profiles_are_read_from_the_shared_files),
	        cmocka_unit_test(a_credential_process_is_run),
	        cmocka_unit_test(a_shared_file_that_changes_is_read_again),
	        cmocka_unit_test(a_container_is_asked_with_its_token),
	        cmocka_unit_test(what_a_container_answers_is_not_trusted),
	        cmocka_unit_test(a_container_url_to_anywhere_is_refused),
	        cmocka_unit_test(an_instance_is_asked_for_session_role_and_keys),
	        cmocka_unit_test(a_session_is_asked_for_with_its_length),
	        cmocka_unit_test(each_place_counts_when_those_before_it_have_none),
	        cmocka_unit_test(metadata_is_asked_past_the_proxy),
	        cmocka_unit_test(an_instance_without_a_role_gives_none),
	        cmocka_unit_test(a_role_that_is_a_path_is_not_asked_for),
	        cmocka_unit_test(metadata_that_hangs_ends_in_time),
	        cmocka_unit_test(nobody_at_the_metadata_address_is_no_instance),
	        cmocka_unit_test(a_web_identity_token_is_exchanged),
	        cmocka_unit_test(a_wrong_role_is_said_with_the_code_of_sts),
	        cmocka_unit_test(credentials_that_end_are_renewed),
	        cmocka_unit_test(a_renewal_that_fails_leaves_the_old_while_they_are_valid),
	        cmocka_unit_test(refused_credentials_are_asked_for_again),
	        cmocka_unit_test(when_the_first_is_cancelled_another_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
