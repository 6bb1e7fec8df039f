/*
 * credentials_fuzz.c — what those say who are asked for keys: JSON of a container, an instance or a
 * program, XML of STS; and the URL that the environment gives for it. What is accepted can stand in
 * a header, what is refused leaves nothing behind, and the JSON is wiped in both cases.
 */
#include "fuzz/fuzz.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "../../src/net/credentials_plan.h"

static void result_check(bool good, struct credentials *credentials, const struct err *err)
{
	assert(good == (credentials != NULL));
	assert(good != err_is(err));
	if (!good) {
		assert(err->code == ERR_DAMAGED || err->code == ERR_FAILED ||
		       err->code == ERR_CONFIG);
		return;
	}
	assert(credentials_visible(credentials->access_key, CREDENTIALS_ACCESS_KEY_MAX));
	assert(credentials_visible(credentials->secret_key, CREDENTIALS_SECRET_KEY_MAX));
	assert(!credentials->session_token ||
	       credentials_visible(credentials->session_token, CREDENTIALS_TOKEN_MAX));
	assert(credentials->expires_us >= 0);
	credentials_release(credentials);
}

static void read_json(const uint8_t *data, size_t length)
{
	struct credentials *credentials = NULL;
	char *text = xmalloc(length + 1);
	struct err err = {0};
	bool good;

	memcpy(text, data, length);
	text[length] = '\0';
	good = credentials_from_json(text, length, &credentials, &err);
	for (size_t i = 0; i < length; i++)
		assert(text[i] == '\0');
	result_check(good, credentials, &err);
	free(text);
}

static void read_sts(const uint8_t *data, size_t length)
{
	struct credentials *credentials = NULL;
	struct err err = {0};
	bool good = sts_answer((const char *)data, length, &credentials, &err);

	assert(!good || credentials->expires_us > 0);
	result_check(good, credentials, &err);
}

static void read_url(const uint8_t *data, size_t length)
{
	char *url = xstrndup((const char *)data, length);

	if (container_url_allowed(url))
		assert(strncasecmp(url, "https://", 8) == 0 || strncasecmp(url, "http://", 7) == 0);
	free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	if (length > SECRET_FILE_MAX)
		return 0;
	read_json(data, length);
	read_sts(data, length);
	read_url(data, length);
	return 0;
}
