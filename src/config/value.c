/*
 * value.c — from the text of a setting to its value, by type.
 *
 * Each refusal names what was written; the hint says what is allowed, from the option's own row.
 */
#include <arpa/inet.h>
#include "internal.h"
#include "base/file.h"
#include "base/place.h"
#include "base/units.h"
#include "base/poison.h"

static bool refuse(const struct option *option, const char *text, struct err *err)
{
	char low[UNITS_TEXT_BYTES], high[UNITS_TEXT_BYTES];

	err_set(err, ERR_CONFIG, "\"%s\" cannot be \"%s\"", option->name, text);
	if (option->type == OPTION_SIZE) {
		units_size(option->min, low);
		units_size(option->max, high);
		err_hint(err, "Allowed is %s, from %s to %s.", option->form, low, high);
	} else if (option->type == OPTION_COUNT) {
		err_hint(err, "Allowed is %s from %llu to %llu.", option->form,
		         (unsigned long long)option->min, (unsigned long long)option->max);
	} else {
		err_hint(err, "Allowed is %s.", option->form);
	}
	return false;
}

static bool set_text(const struct option *option, const char *text, char **field, struct err *err)
{
	if (option->max && strlen(text) > option->max)
		return err_set(err, ERR_CONFIG, "\"%s\" is longer than %llu bytes", option->name,
		               (unsigned long long)option->max);
	free(*field);
	*field = xstrdup(text);
	return true;
}

/* An absolute path without "." and ".." and double slashes, so that two can be compared. */
static bool path_is_plain(const char *path)
{
	if (path[0] != '/')
		return false;
	for (const char *at = path; *at == '/';) {
		size_t length = strcspn(at + 1, "/");

		if (length == 0)
			return at[1] == '\0' && at != path; /* a slash at the end */
		if (strncmp(at + 1, "..", length) == 0)
			return false;
		at += 1 + length;
	}
	return true;
}

static bool set_path(const struct option *option, const char *text, char **field, struct err *err)
{
	if (!path_is_plain(text))
		return refuse(option, text, err);
	if (!set_text(option, text, field, err))
		return false;
	if ((*field)[strlen(*field) - 1] == '/')
		(*field)[strlen(*field) - 1] = '\0';
	return true;
}

static bool set_url(const struct option *option, const char *text, char **field, struct err *err)
{
	static const char *const later[] = {"azure://", "sftp://"};

	for (size_t i = 0; i < ARRAY_LENGTH(later); i++)
		if (str_starts(text, later[i]))
			return err_set(err, ERR_CONFIG,
			               "a repository at \"%s\" is not in this version", later[i]);
	if (str_starts(text, "s3://")) /* the store reads the rest of it */
		return text[strlen("s3://")] ? set_text(option, text, field, err)
		                             : refuse(option, text, err);
	if (!config_url_folder(text) || !path_is_plain(config_url_folder(text)))
		return refuse(option, text, err);
	if (!set_text(option, text, field, err))
		return false;
	if ((*field)[strlen(*field) - 1] == '/')
		(*field)[strlen(*field) - 1] = '\0';
	return true;
}

/* "127.0.0.1:7413", "[::1]:7413", "localhost:7413". Nothing protects the views in this version, so
 * other hosts are kept out. */
static bool set_address(const struct option *option, const char *text, char **field,
                        struct err *err)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	struct in_addr v4;
	uint32_t port;

	if (!colon || !str_u32(colon + 1, &port) || port == 0 || port > 65535 ||
	    (size_t)(colon - text) >= sizeof(host))
		return refuse(option, text, err);
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
	    (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127))
		return set_text(option, text, field, err);
	return refuse(option, text, err);
}

/* One of the words in "text | json", as its place there. */
static bool set_choice(const struct option *option, const char *text, int *field, struct err *err)
{
	size_t length = strlen(text);
	const char *at = option->form;

	for (int place = 0;; place++) {
		size_t word = strcspn(at, " ");

		if (word == length && memcmp(at, text, length) == 0) {
			*field = place;
			return true;
		}
		at += word;
		if (!*at)
			return refuse(option, text, err);
		at += strlen(" | ");
	}
}

static bool set_list(const struct option *option, const char *text, struct strs *field,
                     struct err *err)
{
	AUTO_FREE
	char *copy = xstrdup(text);
	struct strs items = {0};
	char *at = copy;

	while (at) {
		char *comma = strchr(at, ','), *item;

		if (comma)
			*comma = '\0';
		item = str_trim(at);
		if (!config_name_valid(item)) {
			strs_release(&items);
			return refuse(option, text, err);
		}
		strs_add(&items, item);
		at = comma ? comma + 1 : NULL;
	}
	if (items.count > option->max) {
		strs_release(&items);
		return err_set(err, ERR_CONFIG, "there are more than %llu names in \"%s\"",
		               (unsigned long long)option->max, option->name);
	}
	strs_release(field);
	*field = items;
	return true;
}

static bool set_size(const struct option *option, const char *text, uint64_t *field,
                     struct err *err)
{
	uint64_t bytes;

	if (!units_parse_size(text, &bytes) || bytes < option->min || bytes > option->max)
		return refuse(option, text, err);
	*field = bytes;
	return true;
}

static bool set_count(const struct option *option, const char *text, unsigned *field,
                      struct err *err)
{
	uint32_t count;

	if (!str_u32(text, &count) || count < option->min || count > option->max)
		return refuse(option, text, err);
	*field = count;
	return true;
}

bool option_set(const struct option *option, const char *text, void *fields, struct err *err)
{
	void *field = (char *)fields + option->offset;

	if (!*text) {
		err_set(err, ERR_CONFIG, "\"%s\" has no value", option->name);
		err_hint(err, "Allowed is %s.", option->form);
		return false;
	}
	if (!str_is_text(text, strlen(text)))
		return err_set(err, ERR_CONFIG,
		               "\"%s\" holds control characters or is no valid UTF-8",
		               option->name);
	switch (option->type) {
	case OPTION_STRING:
		return set_text(option, text, field, err);
	case OPTION_PATH:
		return set_path(option, text, field, err);
	case OPTION_SIZE:
		return set_size(option, text, field, err);
	case OPTION_COUNT:
		return set_count(option, text, field, err);
	case OPTION_CHOICE:
		return set_choice(option, text, field, err);
	case OPTION_ADDRESS:
		return set_address(option, text, field, err);
	case OPTION_URL:
		return set_url(option, text, field, err);
	case OPTION_COMPRESSION:
		return compression_parse(text, field) || refuse(option, text, err);
	case OPTION_LIST:
		return set_list(option, text, field, err);
	}
	abort();
}

void option_free(const struct option *option, void *fields)
{
	void *field = (char *)fields + option->offset;

	switch (option->type) {
	case OPTION_STRING:
	case OPTION_PATH:
	case OPTION_ADDRESS:
	case OPTION_URL:
		free(*(char **)field);
		break;
	case OPTION_LIST:
		strs_release(field);
		break;
	case OPTION_SIZE:
	case OPTION_COUNT:
	case OPTION_CHOICE:
	case OPTION_COMPRESSION:
		break;
	}
}
