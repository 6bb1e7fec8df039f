/* STS over https, with an authority that only ca_file names. */
#include "credentials_world.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct tls_peer {
	SSL_CTX *context;
	int listener, stop[2];
	unsigned port, served;
	char path[96], body[1024], seen[8192];
	pthread_t thread;
};

/* A certificate that vouches for itself and for 127.0.0.1. */
static void certify(struct tls_peer *peer)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	X509_EXTENSION *host =
	        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	FILE *file = fopen(peer->path, "w");

	assert_non_null(key);
	assert_non_null(host);
	assert_non_null(file);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"sts", -1, -1,
	                           0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	X509_add_ext(cert, host, -1);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509(file, cert), 1);
	fclose(file);
	peer->context = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(peer->context, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(peer->context, key), 1);
	X509_EXTENSION_free(host);
	X509_free(cert);
	EVP_PKEY_free(key);
}

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

	for (;;) {
		struct pollfd polls[] = {{.fd = peer->listener, .events = POLLIN},
		                         {.fd = peer->stop[0], .events = POLLIN}};
		int fd;
		SSL *ssl;

		poll(polls, 2, -1);
		if (polls[1].revents)
			return NULL;
		fd = accept(peer->listener, NULL, NULL);
		ssl = SSL_new(peer->context);
		SSL_set_fd(ssl, fd);
		tls_serve(peer, ssl);
		SSL_free(ssl);
		close(fd);
	}
}

static void tls_begin(struct tls_peer *peer, struct world *world)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	char url[64];
	sigset_t all, before;

	world_begin(world);
	*peer = (struct tls_peer){0};
	snprintf(peer->path, sizeof(peer->path), "%s/ca.pem", world->folder);
	certify(peer);
	peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(peer->listener, 64), 0);
	assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &length), 0);
	peer->port = ntohs(address.sin_port);
	assert_int_equal(pipe(peer->stop), 0);
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	assert_int_equal(pthread_create(&peer->thread, NULL, tls_main, peer), 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", peer->port);
	setenv("AWS_ENDPOINT_URL_STS", url, 1);
	setenv("no_proxy", "127.0.0.1", 1);
}

/* From then on what it saw may be looked at. */
static void tls_stop(struct tls_peer *peer)
{
	assert_int_equal(write(peer->stop[1], "x", 1), 1);
	pthread_join(peer->thread, NULL);
}

static void tls_end(struct tls_peer *peer, struct world *world)
{
	close(peer->listener);
	close(peer->stop[0]);
	close(peer->stop[1]);
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
	tls_stop(&peer);
	assert_non_null(strstr(peer.seen, "Action=AssumeRole&"));
	assert_int_equal(peer.served, 1);
	tls_end(&peer, &world);
}

static void a_web_identity_is_exchanged_at_an_sts_that_the_ca_file_vouches_for(void **state)
{
	struct world world;
	struct tls_peer peer;

	(void)state;
	tls_begin(&peer, &world);
	write_file(world.token, "hush-jwt\n", 0644);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", world.token, 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/wal", 1);
	tls_says(&peer, "AssumeRoleWithWebIdentity", "W");
	world.options.ca_file = peer.path;
	expect_key(&world, "W", "hush-W");
	tls_stop(&peer);
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
	tls_begin(&peer, &world);
	write_file(world.token, "hush-jwt\n", 0644);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", world.token, 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/wal", 1);
	tls_says(&peer, "AssumeRoleWithWebIdentity", "W");
	expect_failure(&world, ERR_STORE, "certificate");
	tls_stop(&peer);
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
