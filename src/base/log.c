/*
 * log.c — one line for each thing that happened.
 *
 * A line is built on the stack and written by one write(2), so lines of several threads and of
 * child processes do not mix. When standard error is gone or full there is nobody to tell: the line
 * is lost.
 */
#include "base/log.h"
#include "base/clock.h"
#include "base/str.h"
#include <errno.h>
#include <stdatomic.h>
#include "base/poison.h"

enum {
	MESSAGE_MAX = ERR_TEXT_MAX + ERR_HINT_MAX + 512,
	/* A cleaned message at most doubles in JSON (quote and backslash); the frame around it is
	   short. */
	LINE_MAX_BYTES = 2 * MESSAGE_MAX + 128,
};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static atomic_int setup_level = LOG_INFO;
static atomic_int setup_format = LOG_TEXT;

void log_setup(enum log_level level, enum log_format format)
{
	atomic_store(&setup_level, (int)level);
	atomic_store(&setup_format, (int)format);
}

bool log_on(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&setup_level, memory_order_relaxed);
}

bool log_level_parse(const char *text, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_LENGTH(level_names); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	return false;
}

/* "2026-11-20 14:02:00.123", and the 'T' instead of the blank for JSON. */
static void stamp(char separator, char out[TIME_TEXT_BYTES])
{
	int64_t now_us = clock_now_us();
	int ms = (int)(now_us / 1000 % 1000);
	char *end;

	clock_text_utc(now_us - now_us % US_PER_S, out);
	end = strrchr(out, '+');
	snprintf(end, (size_t)(out + TIME_TEXT_BYTES - end), ".%03d", ms);
	*strchr(out, ' ') = separator;
}

/* Escapes a cleaned text (no control character, valid UTF-8): what is left is the quote and the
 * backslash. */
static void json_escape(const char *text, char *out)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			*out++ = '\\';
		*out++ = *text;
	}
	*out = '\0';
}

static void emit(enum log_level level, const char *message)
{
	char line[LINE_MAX_BYTES], escaped[2 * MESSAGE_MAX], time_text[TIME_TEXT_BYTES];
	bool json = atomic_load(&setup_format) == LOG_JSON;
	int length;
	ssize_t written;

	stamp(json ? 'T' : ' ', time_text);
	if (json) {
		json_escape(message, escaped);
		length = snprintf(line, sizeof(line),
		                  "{\"time\":\"%sZ\",\"level\":\"%s\",\"message\":\"%s\"}\n",
		                  time_text, level_names[level], escaped);
	} else {
		length = snprintf(line, sizeof(line), "%s+00 %s: %s\n", time_text,
		                  level_names[level], message);
	}
	do
		written = write(STDERR_FILENO, line, (size_t)length);
	while (written < 0 && errno == EINTR);
}

void log_line(enum log_level level, const char *format, ...)
{
	int saved = errno, needed;
	char message[MESSAGE_MAX];
	va_list args;

	if (!log_on(level))
		return;
	va_start(args, format);
	needed = vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (needed < 0)
		message[0] = '\0';
	else
		str_cut(message, sizeof(message), (size_t)needed);
	str_clean(message);
	emit(level, message);
	errno = saved;
}

void log_err(enum log_level level, const struct err *err, const char *then)
{
	char line[ERR_TEXT_MAX + 64];

	err_line(err, line, sizeof(line));
	log_line(level, "%s%s%s%s%s", line, then ? then : "", err->hint[0] ? " (hint: " : "",
	         err->hint, err->hint[0] ? ")" : "");
}
