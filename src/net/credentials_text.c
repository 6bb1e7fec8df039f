/*
 * credentials_text.c — the values, and the texts that they come in: INI and JSON.
 *
 * None of it is trusted: a key with a line break in it would write a header of its own. What is
 * wrong is named by its line or field, never by its content.
 *
 * The shared files of AWS are no files of base/ini.h: they are nested by indenting, and sections
 * that mean nothing here may hold anything.
 */
#include <assert.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/zone.h"
#include "codec/json.h"
#include "credentials_plan.h"

#include "base/poison.h"

bool credentials_visible(const char *text, size_t max)
{
	size_t length = 0;

	for (; text[length]; length++)
		if (length >= max || text[length] <= ' ' || text[length] > '~')
			return false;
	return length > 0;
}

static bool value_check(const char *text, size_t max, const char *what, struct err *err)
{
	if (!text || !*text)
		return err_set(err, ERR_CONFIG, "the %s is missing", what);
	if (!credentials_visible(text, max))
		return err_set(err, ERR_CONFIG,
		               "the %s has a character that cannot be in one, or is too long",
		               what);
	return true;
}

static const char *place(char **at, const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *to = *at;

	memcpy(to, text, bytes);
	*at += bytes;
	return to;
}

struct credentials *credentials_new(const char *access_key, const char *secret_key,
                                    const char *session_token, int64_t expires_us, struct err *err)
{
	struct credentials *credentials;
	size_t bytes = sizeof(*credentials);
	char *at;

	if (session_token && !*session_token)
		session_token = NULL;
	if (!value_check(access_key, CREDENTIALS_ACCESS_KEY_MAX, "access key", err) ||
	    !value_check(secret_key, CREDENTIALS_SECRET_KEY_MAX, "secret key", err) ||
	    (session_token &&
	     !value_check(session_token, CREDENTIALS_TOKEN_MAX, "session token", err)))
		return NULL;
	bytes += strlen(access_key) + strlen(secret_key) + 2;
	bytes += session_token ? strlen(session_token) + 1 : 0;
	credentials = secret_new(bytes, err);
	if (!credentials)
		return NULL;
	at = (char *)(credentials + 1);
	credentials->access_key = place(&at, access_key);
	credentials->secret_key = place(&at, secret_key);
	credentials->session_token = session_token ? place(&at, session_token) : NULL;
	credentials->expires_us = expires_us;
	credentials->bytes = bytes;
	credentials->holders = 1;
	return credentials;
}

void credentials_release(struct credentials *credentials)
{
	if (!credentials)
		return;
	assert(credentials->holders > 0);
	if (--credentials->holders == 0)
		secret_free(credentials, credentials->bytes);
}

/* ---- JSON ---- */

/* The first of the two that is there. */
static bool field_of(const struct jval *object, const char *name, const char *other,
                     const char **ret, struct err *err)
{
	*ret = NULL;
	if (jhas(object, name))
		return jget_str(object, name, ret, err);
	return !other || !jhas(object, other) || jget_str(object, other, ret, err);
}

static bool ends_at(const struct jval *object, int64_t *ret_us, struct err *err)
{
	const char *text;
	struct err why = {0};

	*ret_us = 0;
	if (!field_of(object, "Expiration", NULL, &text, err))
		return false;
	if (!text || !*text)
		return true;
	if (!zone_parse_time(text, "UTC", clock_now_us(), ret_us, &why) || *ret_us <= 0)
		return err_set(err, ERR_DAMAGED, "\"Expiration\" is no time");
	return true;
}

static bool from_object(const struct jval *object, struct credentials **ret, struct err *err)
{
	const char *access_key, *secret_key, *token, *code;
	int64_t expires_us;

	if (!jval_is_object(object))
		return err_set(err, ERR_DAMAGED, "it is no JSON object");
	if (!field_of(object, "Code", "code", &code, err))
		return false;
	if (code && strcmp(code, "Success") != 0) {
		char shown[64];

		if (!credentials_visible(code, sizeof(shown) - 1) ||
		    !str_copy(shown, sizeof(shown), code))
			return err_set(err, ERR_DAMAGED, "\"Code\" is not \"Success\"");
		return err_set(err, ERR_FAILED, "it says \"%s\"", shown);
	}
	if (!field_of(object, "AccessKeyId", NULL, &access_key, err) ||
	    !field_of(object, "SecretAccessKey", NULL, &secret_key, err) ||
	    !field_of(object, "SessionToken", "Token", &token, err) ||
	    !ends_at(object, &expires_us, err))
		return false;
	*ret = credentials_new(access_key, secret_key, token, expires_us, err);
	return *ret != NULL;
}

/* The parser's copies, before it frees them. */
static void wipe_strings(const struct jval *object)
{
	if (!jval_is_object(object))
		return;
	for (struct jfields f = jfields_of(object); jfields_next(&f);) {
		const char *text = jval_text(f.value);

		if (text)
			secret_wipe((char *)text, strlen(text));
	}
}

bool credentials_from_json(char *text, size_t length, struct credentials **ret, struct err *err)
{
	struct jval *document = NULL;
	struct err why = {0}; /* a parser's sentence may quote what it read */
	bool good;

	*ret = NULL;
	if (!json_parse(text, length, &document, &why)) {
		secret_wipe(text, length);
		return err_set(err, ERR_DAMAGED, "it is no JSON document");
	}
	good = from_object(document, ret, err);
	wipe_strings(document);
	jval_free(document);
	secret_wipe(text, length);
	return good;
}

/* ---- INI ---- */

static const char **profile_value(struct profile *profile, const char *key)
{
#define X(name)                                                                                    \
	if (strcmp(key, #name) == 0)                                                               \
		return &profile->name;
	PROFILE_KEYS(X)
#undef X
	return NULL;
}

/* "[profile  x]" is "profile x". */
static bool section_is(char *line, const char *section, bool *ret_is)
{
	char *end = strchr(line, ']'), *name = line + 1;

	if (!end)
		return false;
	*end = '\0';
	name = str_trim(name);
	if (str_starts(section, "profile ") && str_starts(name, "profile") &&
	    (name[7] == ' ' || name[7] == '\t')) {
		name = str_trim(name + 7);
		section += strlen("profile ");
	}
	*ret_is = strcmp(name, section) == 0;
	return true;
}

/* A comment begins after a blank. */
static void cut_comment(char *text)
{
	for (char *at = text; *at; at++)
		if ((*at == '#' || *at == ';') && at > text && (at[-1] == ' ' || at[-1] == '\t')) {
			*at = '\0';
			return;
		}
}

static bool profile_line(char *line, const char *section, struct profile *profile, bool *inside)
{
	bool nested = *line == ' ' || *line == '\t';
	char *text = str_trim(line), *equals;
	const char **value;

	if (!*text || *text == '#' || *text == ';')
		return true;
	if (*text == '[' && !nested) {
		if (!section_is(text, section, inside))
			return false;
		profile->found |= *inside;
		return true;
	}
	if (!*inside || nested)
		return true;
	equals = strchr(text, '=');
	if (!equals || equals == text)
		return false;
	*equals = '\0';
	cut_comment(equals + 1);
	value = profile_value(profile, str_trim(text));
	if (value)
		*value = str_trim(equals + 1);
	return true;
}

bool profile_read(char *text, size_t length, const char *section, struct profile *profile,
                  unsigned *ret_line)
{
	char *at = text, *end = text + length;
	bool inside = false;

	*ret_line = 0;
	if (length >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
		at += 3; /* an editor's mark */
	while (at < end) {
		char *line = at, *stop = memchr(at, '\n', (size_t)(end - at));

		++*ret_line;
		at = stop ? stop + 1 : end;
		if (stop)
			*stop = '\0';
		if (strlen(line) != (size_t)((stop ? stop : end) - line))
			return false; /* a NUL byte */
		if (!profile_line(line, section, profile, &inside))
			return false;
	}
	return true;
}
