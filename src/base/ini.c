/*
 * ini.c — the line reader of the configuration file.
 *
 * The file is read whole and cut into lines in place: the hook uses this too and must start fast. A
 * callback's error gets file and line in front of its first sentence, so that no caller forgets
 * them.
 */
#include "base/ini.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/str.h"
#include "base/poison.h"

enum { INI_BYTES_MAX = 1024 * 1024 };

struct reader {
	const char *path;
	unsigned number;
	char *section; /* in the file's own text; NULL before the first */
	ini_each *each;
	void *context;
};

static bool refuse(const struct reader *reader, const char *why, struct err *err)
{
	return err_set(err, ERR_CONFIG, "file \"%s\", line %u: %s", reader->path, reader->number,
	               why);
}

static bool call(const struct reader *reader, const char *key, const char *value, struct err *err)
{
	const struct ini_line line = {
	        .number = reader->number, .section = reader->section, .key = key, .value = value};
	char why[ERR_TEXT_MAX], hint[ERR_HINT_MAX];

	if (reader->each(reader->context, &line, err))
		return true;
	if (!err_is(err))
		return false; /* it wanted no more */
	err_line(err, why, sizeof(why));
	memcpy(hint, err->hint, sizeof(hint));
	err_set(err, err->code, "file \"%s\", line %u: %s", reader->path, reader->number, why);
	memcpy(err->hint, hint, sizeof(hint));
	return false;
}

/* "cluster   main" becomes "cluster main", in place. */
static void one_blank(char *text)
{
	char *out = text;

	for (; *text; text++) {
		bool blank = *text == ' ' || *text == '\t';

		if (blank && out[-1] == ' ')
			continue; /* the text was trimmed: it does not begin with a blank */
		*out++ = blank ? ' ' : *text;
	}
	*out = '\0';
}

static bool section(struct reader *reader, char *text, struct err *err)
{
	char *end = strchr(text, ']');

	if (!end)
		return refuse(reader, "the section has no closing bracket", err);
	*end = '\0';
	if (*str_trim(end + 1))
		return refuse(reader, "something follows the section's bracket", err);
	text = str_trim(text + 1);
	if (!*text)
		return refuse(reader, "the section has no name", err);
	one_blank(text);
	reader->section = text;
	return call(reader, NULL, NULL, err);
}

static bool one_line(struct reader *reader, char *text, struct err *err)
{
	bool indented = *text == ' ' || *text == '\t';
	char *equals, *key;

	text = str_trim(text);
	if (!*text)
		return true;
	if (indented)
		return refuse(reader, "the line is indented", err);
	if (*text == '#' || *text == ';')
		return true;
	if (*text == '[')
		return section(reader, text, err);
	equals = strchr(text, '=');
	if (!equals)
		return refuse(reader, "the line is neither \"[section]\" nor \"key = value\"", err);
	*equals = '\0';
	key = str_trim(text);
	if (!*key)
		return refuse(reader, "there is no key before \"=\"", err);
	if (!reader->section)
		return refuse(reader, "the setting stands before the first \"[section]\"", err);
	return call(reader, key, str_trim(equals + 1), err);
}

bool ini_read(const char *path, ini_each *each, void *context, struct err *err)
{
	struct reader reader = {.path = path, .each = each, .context = context};
	AUTO_BUF struct buf buf;
	char *line, *end;

	buf_init(&buf, INI_BYTES_MAX);
	if (!file_read_all(path, &buf, err))
		return false;
	end = buf.data + buf.length;
	for (line = buf.data; line < end;) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		char *stop = newline ? newline : end;

		reader.number++;
		if (memchr(line, '\0', (size_t)(stop - line)))
			return refuse(&reader, "the line holds a NUL byte", err);
		*stop = '\0'; /* at the end it is the buffer's own NUL */
		if (!one_line(&reader, line, err))
			return false;
		line = stop + 1;
	}
	return true;
}
