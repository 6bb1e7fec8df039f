/*
 * s3_open.c — from an URL and settings to a store: which host, which bucket, whose key.
 *
 * Nothing is asked of the store here: that a bucket is missing is said by the first request.
 */
#include "s3.h"

#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

enum { CONNECTIONS_MAX = 32, BUCKET_MIN = 3, BUCKET_MAX = 63 };

static char *copy(const char *text)
{
	return text && text[0] ? xstrdup(text) : NULL;
}

static void set(char **field, char *value)
{
	free(*field);
	*field = value;
}

void s3_set_region(struct s3_store *s3, const char *region)
{
	set(&s3->region, xstrdup(region));
	if (s3->given)
		return;
	set(&s3->endpoint, xasprintf("https://s3.%s.amazonaws.com%s", region,
	                             str_starts(region, "cn-") ? ".cn" : ""));
}

void s3_set_endpoint(struct s3_store *s3, const char *host)
{
	set(&s3->endpoint, xasprintf("%s://%s", s3->tls ? "https" : "http", host));
}

/* "s3://bucket/some/prefix": no empty part, no "." and "..", nothing that needs a guess. */
static bool read_url(struct s3_store *s3, const char *url, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
	const char *bucket = url + strlen("s3://");
	size_t length = strcspn(bucket, "/");
	AUTO_FREE char *root = xstrdup(bucket[length] ? bucket + length + 1 : "");

	if (length < BUCKET_MIN || length > BUCKET_MAX || strspn(bucket, allowed) < length)
		return err_set(err, ERR_CONFIG, "\"%s\" does not name a bucket", url);
	s3->bucket = xstrndup(bucket, length);
	if (root[0] && root[strlen(root) - 1] == '/')
		root[strlen(root) - 1] = '\0';
	if (root[0] && (strlen(root) >= S3_KEY_MAX - STORE_NAME_MAX || !store_name_valid(root)))
		return err_set(err, ERR_CONFIG, "\"%s\" is not a valid prefix of names", root);
	s3->root = root[0] ? xasprintf("%s/", root) : xstrdup("");
	return true;
}

static bool read_endpoint(struct s3_store *s3, const struct store_s3 *options, struct err *err)
{
	const char *endpoint = options->endpoint;
	size_t length = endpoint ? strlen(endpoint) : 0;

	if (!endpoint) {
		s3->tls = true;
		s3->virtual_host = !options->path_style && !strchr(s3->bucket, '.');
		return true;
	}
	s3->given = true;
	s3->tls = str_starts(endpoint, "https://");
	s3->virtual_host = options->virtual_host;
	if (length > 0 && endpoint[length - 1] == '/')
		length--;
	set(&s3->endpoint, xstrndup(endpoint, length));
	if ((!s3->tls && !str_starts(endpoint, "http://")) ||
	    strpbrk(strstr(s3->endpoint, "://") + 3, "/?#@ "))
		return err_set(err, ERR_CONFIG, "\"%s\" is not an endpoint", endpoint);
	if (str_ends(s3->endpoint, s3->tls ? ":443" : ":80")) /* as libcurl names the host */
		*strrchr(s3->endpoint, ':') = '\0';
	return true;
}

static bool read_key(const struct store_s3 *options, struct err *err)
{
	if (!options->access_key == !options->secret_key_file)
		return true;
	return err_set(err, ERR_CONFIG, "\"access_key\" and \"secret_key_file\" belong together");
}

static void read_rest(struct s3_store *s3, const struct store_s3 *options)
{
	const char *region = options->region;

	s3->region_given = region && region[0];
	if (!region)
		region = getenv("AWS_REGION");
	if (!region || !region[0])
		region = getenv("AWS_DEFAULT_REGION");
	s3_set_region(s3, region && region[0] ? region : "us-east-1");
	s3->asked = xstrdup(s3->endpoint);
	s3->ca_file = copy(options->ca_file);
	for (size_t i = 0; i < STORE_KINDS; i++)
		s3->storage_class[i] = copy(options->storage_class[i]);
	s3->sse = copy(options->sse);
	s3->sse_key = copy(options->sse_key);
	s3->lock_mode = copy(options->lock_mode);
	s3->lock_days = options->lock_days;
}

void s3_close(struct store *store)
{
	struct s3_store *s3 = container_of(store, struct s3_store, store);

	credentials_close(s3->credentials);
	http_free(s3->http);
	free(s3->bucket);
	free(s3->root);
	free(s3->endpoint);
	free(s3->asked);
	free(s3->region);
	free(s3->ca_file);
	for (size_t i = 0; i < STORE_KINDS; i++)
		free(s3->storage_class[i]);
	free(s3->sse);
	free(s3->sse_key);
	free(s3->lock_mode);
	free(s3->anchor_name);
	free(s3->anchor);
	free(s3);
}

struct store *s3_open(struct loop *loop, const struct store_options *options, struct err *err)
{
	struct s3_store *s3 = xcalloc(1, sizeof(*s3));
	struct credentials_options key = {.access_key = options->s3.access_key,
	                                  .secret_key_file = options->s3.secret_key_file,
	                                  .credentials_file = options->s3.credentials_file,
	                                  .profile = options->s3.profile};

	if (!read_url(s3, options->url, err) || !read_endpoint(s3, &options->s3, err) ||
	    !read_key(&options->s3, err)) {
		s3_close(&s3->store);
		return NULL;
	}
	read_rest(s3, &options->s3);
	s3->store.pins = true;
	s3->stall_ms = S3_STALL_MS;
	s3->http = http_new(loop, CONNECTIONS_MAX);
	key.region = s3->region;
	key.ca_file = s3->ca_file;
	s3->credentials = credentials_open(s3->http, &key);
	return &s3->store;
}

void s3_anchor(struct store *store, const char *name, const void *bytes, size_t length)
{
	struct s3_store *s3 = container_of(store, struct s3_store, store);

	if (length > S3_ANCHOR_MAX)
		return;
	set(&s3->anchor_name, xstrdup(name));
	free(s3->anchor);
	s3->anchor = xmalloc(MAX(length, 1));
	memcpy(s3->anchor, bytes, length);
	s3->anchor_bytes = length;
	s3->placed_us = clock_mono_us();
	s3->lost = false;
}

struct credentials_source *s3_credentials(struct store *store)
{
	return container_of(store, struct s3_store, store)->credentials;
}

void s3_limit(struct store *store, uint64_t upload_bytes, uint64_t download_bytes)
{
	http_limit(container_of(store, struct s3_store, store)->http, upload_bytes, download_bytes);
}
