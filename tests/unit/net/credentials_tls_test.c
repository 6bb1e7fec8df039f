/* STS over https, with an authority that only ca_file names. */
#include "credentials_world.h"

#include "tls.h"

struct tls_peer {
	SSL_CTX *context;
	struct loopback net;
	unsigned served;
	char path[96], body[1024], seen[8192];
};

static void tls_serve(struct tls_peer *peer, SSL *ssl)
{
	size_t have = 0;
	char out[2048];
	int got;

	if (SSL_accept(ssl) != 1)
		return;
	for (;;) {
		char *end, *size;

		got = SSL_read(ssl, peer->seen + have, (int)(sizeof(peer->seen) - 1 - have));
		if (got <= 0)
			return;
		have += (size_t)got;
		peer->seen[have] = '\0';
		end = strstr(peer->seen, "\r\n\r\n");
		size = strcasestr(peer->seen, "content-length: ");
		if (end && have >= (size_t)(end + 4 - peer->seen) +
		                           (size ? strtoul(size + 16, NULL, 10) : 0))
			break;
	}
	got = snprintf(out, sizeof(out),
	               "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
	               strlen(peer->body), peer->body);
	peer->served++;
	SSL_write(ssl, out, got);
	SSL_shutdown(ssl);
}

static void *tls_main(void *context)
{
	struct tls_peer *peer = context;

	for (int fd; (fd = loopback_accept(&peer->net)) >= 0; close(fd)) {
		SSL *ssl = SSL_new(peer->context);

		SSL_set_fd(ssl, fd);
		tls_serve(peer, ssl);
		SSL_free(ssl);
	}
	return NULL;
}

static void tls_begin(struct tls_peer *peer, struct world *world)
{
	char url[64];

	world_begin(world);
	*peer = (struct tls_peer){0};
	snprintf(peer->path, sizeof(peer->path), "%s/ca.pem", world->folder);
	peer->context = tls_context(peer->path);
	signal(SIGPIPE, SIG_IGN);
	loopback_open(&peer->net);
	loopback_serve(&peer->net, tls_main, peer);
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", peer->net.port);
	setenv("AWS_ENDPOINT_URL_STS", url, 1);
	setenv("no_proxy", "127.0.0.1", 1);
}

static void tls_end(struct tls_peer *peer, struct world *world)
{
	loopback_close(&peer->net);
	SSL_CTX_free(peer->context);
	world_end(world);
}

static void tls_says(struct tls_peer *peer, const char *action, const char *key)
{
	snprintf(peer->body, sizeof(peer->body),
	         "<%sResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><%sResult>"
	         "<Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>hush-%s"
	         "</SecretAccessKey><SessionToken>hush-t</SessionToken><Expiration>%s</Expiration>"
	         "</Credentials></%sResult></%sResponse>",
	         action, action, key, key, in_s(3600), action, action);
}

static void a_role_is_taken_from_an_sts_that_the_ca_file_vouches_for(void **state)
{
	struct world world;
	struct tls_peer peer;

	(void)state;
	tls_begin(&peer, &world);
	write_file(world.config,
	           "[profile r]\nrole_arn = arn:aws:iam::1:role/wal\nsource_profile = r\n"
	           "aws_access_key_id = B\naws_secret_access_key = hush-b\n",
	           0600);
	setenv("AWS_PROFILE", "r", 1);
	tls_says(&peer, "AssumeRole", "R");
	world.options.ca_file = peer.path;
	expect_key(&world, "R", "hush-R");
	loopback_stop(&peer.net);
	assert_non_null(strstr(peer.seen, "Action=AssumeRole&"));
	assert_int_equal(peer.served, 1);
	tls_end(&peer, &world);
}

/* A token in a file, and a peer that gives a key for it. */
static void identity_begin(struct tls_peer *peer, struct world *world)
{
	tls_begin(peer, world);
	write_file(world->token, "hush-jwt\n", 0644);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", world->token, 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/wal", 1);
	tls_says(peer, "AssumeRoleWithWebIdentity", "W");
}

static void a_web_identity_is_exchanged_at_an_sts_that_the_ca_file_vouches_for(void **state)
{
	struct world world;
	struct tls_peer peer;

	(void)state;
	identity_begin(&peer, &world);
	world.options.ca_file = peer.path;
	expect_key(&world, "W", "hush-W");
	loopback_stop(&peer.net);
	assert_non_null(strstr(peer.seen, "WebIdentityToken=hush-jwt"));
	assert_int_equal(peer.served, 1);
	tls_end(&peer, &world);
}

/* The token is sent to nobody whom the system does not know. */
static void without_the_ca_file_it_is_told_nothing(void **state)
{
	struct world world;
	struct tls_peer peer;

	(void)state;
	identity_begin(&peer, &world);
	expect_failure(&world, ERR_STORE, "certificate");
	loopback_stop(&peer.net);
	assert_int_equal(peer.served, 0);
	assert_string_equal(peer.seen, "");
	tls_end(&peer, &world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_role_is_taken_from_an_sts_that_the_ca_file_vouches_for),
	        cmocka_unit_test(
	                a_web_identity_is_exchanged_at_an_sts_that_the_ca_file_vouches_for),
	        cmocka_unit_test(without_the_ca_file_it_is_told_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
