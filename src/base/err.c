/*
 * err.c — errors are values.
 *
 * Sentences are formatted into a local first, so that an argument may point into the very error
 * that is being written. What comes from outside (file names, answers of servers) cannot forge a
 * line: control characters become blanks, and only this file puts the newline between two
 * sentences.
 */
#include "base/err.h"
#include "base/str.h"
#include <errno.h>
#include "base/poison.h"

enum {
	/* What err_sys() keeps free, so that a long file name does not push the reason out. */
	REASON_MAX = 128,
};

struct code_row {
	const char *name;
	int exit;
	bool retry;
};

static const struct code_row code_rows[] = {
#define X(code, name_, exit_, retry_, help) [ERR_##code] = {name_, exit_, retry_},
        ERR_CODES(X)
#undef X
};

static const struct code_row *code_row(enum err_code code)
{
	return &code_rows[(size_t)code < ARRAY_LENGTH(code_rows) ? code : ERR_INTERNAL];
}

const char *err_code_name(enum err_code code)
{
	return code_row(code)->name;
}

int err_code_exit(enum err_code code)
{
	return code_row(code)->exit;
}

bool err_code_retry(enum err_code code)
{
	return code_row(code)->retry;
}

static void sentence(char *out, size_t out_bytes, const char *format, va_list args) PRINTF(3, 0);

static void sentence(char *out, size_t out_bytes, const char *format, va_list args)
{
	int needed = vsnprintf(out, out_bytes, format, args);

	if (needed < 0)
		out[0] = '\0';
	else
		str_cut(out, out_bytes, (size_t)needed);
	str_clean(out);
}

/* Puts the new sentence in front of those that are there; the end of the innermost is what gets
 * cut. */
static void put_front(struct err *err, const char *front)
{
	char both[ERR_TEXT_MAX];
	int needed =
	        snprintf(both, sizeof(both), "%s%s%s", front, err->text[0] ? "\n" : "", err->text);

	str_cut(both, sizeof(both), (size_t)needed);
	memcpy(err->text, both, sizeof(both));
}

static void put_only(struct err *err, enum err_code code, const char *only)
{
	err->code = code == ERR_NONE ? ERR_INTERNAL : code;
	err->text[0] = '\0';
	err->hint[0] = '\0';
	put_front(err, only);
}

bool err_set(struct err *err, enum err_code code, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;

	va_start(args, format);
	sentence(text, sizeof(text), format, args);
	va_end(args);
	put_only(err, code, text);
	return false;
}

bool err_set_text(struct err *err, enum err_code code, const char *text)
{
	AUTO_FREE char *copy = xstrdup(text);
	char *line = strrchr(copy, '\n');

	err_set(err, code, "%s", line ? line + 1 : copy);
	while (line) {
		*line = '\0';
		line = strrchr(copy, '\n');
		err_wrap(err, "%s", line ? line + 1 : copy);
	}
	return false;
}

static enum err_code code_of_errno(int number)
{
	switch (number) {
	case ENOSPC:
	case EDQUOT:
		return ERR_FULL;
	case ENOENT:
		return ERR_NOTFOUND;
	default:
		return ERR_IO;
	}
}

bool err_sys(struct err *err, const char *format, ...)
{
	int number = errno;
	char text[ERR_TEXT_MAX], reason[REASON_MAX];
	size_t length;
	va_list args;

	va_start(args, format);
	sentence(text, sizeof(text) - sizeof(reason) - 2, format, args);
	va_end(args);
	length = strlen(text);
	snprintf(text + length, sizeof(text) - length, ": %s",
	         strerror_r(number, reason, sizeof(reason)));
	put_only(err, code_of_errno(number), text);
	return false;
}

bool err_wrap(struct err *err, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;

	va_start(args, format);
	sentence(text, sizeof(text), format, args);
	va_end(args);
	/* To wrap "no error" is a mistake of the caller; it must not turn a failure into success.
	 */
	if (err->code == ERR_NONE)
		err->code = ERR_INTERNAL;
	put_front(err, text);
	return false;
}

bool err_wrap_as(struct err *err, enum err_code code, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;

	va_start(args, format);
	sentence(text, sizeof(text), format, args);
	va_end(args);
	err->code = code == ERR_NONE ? ERR_INTERNAL : code;
	put_front(err, text);
	return false;
}

void err_hint(struct err *err, const char *format, ...)
{
	char text[ERR_HINT_MAX];
	va_list args;

	if (err->hint[0])
		return;
	va_start(args, format);
	sentence(text, sizeof(text), format, args);
	va_end(args);
	memcpy(err->hint, text, strlen(text) + 1);
}

void err_clear(struct err *err)
{
	err->code = ERR_NONE;
	err->text[0] = '\0';
	err->hint[0] = '\0';
}

/* Sentences joined by ": ", cut where out ends; returns the length that was needed. */
static size_t join(const char *text, char *out, size_t out_bytes)
{
	size_t needed = 0;

	for (; *text; text++) {
		const char *piece = *text == '\n' ? ": " : (const char[]){*text, '\0'};

		for (; *piece; piece++) {
			if (needed + 1 < out_bytes)
				out[needed] = *piece;
			needed++;
		}
	}
	if (out_bytes > 0)
		out[MIN(needed, out_bytes - 1)] = '\0';
	return needed;
}

void err_line(const struct err *err, char *out, size_t out_bytes)
{
	str_cut(out, out_bytes, join(err->text, out, out_bytes));
}

void err_lines(const struct err *err, char *out, size_t out_bytes)
{
	char why[2 * ERR_TEXT_MAX];
	const char *newline = strchr(err->text, '\n');
	int first = newline ? (int)(newline - err->text) : (int)strlen(err->text);
	int needed;

	join(newline ? newline + 1 : "", why, sizeof(why));
	needed = snprintf(out, out_bytes, "%.*s\n%s%s%s%s%s", first, err->text, why,
	                  why[0] ? "\n" : "", err->hint[0] ? "hint: " : "", err->hint,
	                  err->hint[0] ? "\n" : "");
	if ((size_t)needed < out_bytes || out_bytes < 2)
		return;
	str_cut(out, out_bytes - 1, (size_t)needed); /* and the newline still has its place */
	memcpy(out + strlen(out), "\n", 2);
}
