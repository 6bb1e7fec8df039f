/*
 * str.c — what libc lacks for text.
 *
 * Numbers are parsed whole or not at all: strtoul() takes blanks, signs and a good beginning, and a
 * WAL file name or a setting must have none of these. Nothing here looks at the locale.
 */
#include "base/str.h"
#include "base/poison.h"

enum { STRS_MIN = 16 };

bool str_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *text, const char *suffix)
{
	size_t text_length = strlen(text), length = strlen(suffix);

	return text_length >= length && memcmp(text + text_length - length, suffix, length) == 0;
}

bool str_copy(char *out, size_t out_bytes, const char *text)
{
	size_t length = strlen(text);

	if (out_bytes == 0)
		return false;
	if (length >= out_bytes) {
		out[0] = '\0';
		return false;
	}
	memcpy(out, text, length + 1);
	return true;
}

bool str_u64(const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10U, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return false;
	}
	*ret = value;
	return true;
}

bool str_u32(const char *text, uint32_t *ret)
{
	uint64_t value;

	if (!str_u64(text, &value) || value > UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

/* The value of a hex digit, or -1. */
static int hex_digit(char c, bool upper_only)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (!upper_only && c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool str_hex(const char *text, unsigned digits, bool upper_only, uint64_t *ret)
{
	uint64_t value = 0;

	if (digits == 0 || digits > 16)
		return false;
	for (unsigned i = 0; i < digits; i++) {
		int digit =
		        hex_digit(text[i], upper_only); /* the NUL is none: never read past it */

		if (digit < 0)
			return false;
		value = value << 4 | (uint64_t)digit;
	}
	*ret = value;
	return true;
}

void str_hex_of(const void *bytes, size_t length, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < length; i++) {
		*out++ = digits[byte[i] >> 4];
		*out++ = digits[byte[i] & 15];
	}
	*out = '\0';
}

bool str_hex_to(const char *text, void *bytes, size_t length)
{
	uint8_t *byte = bytes;

	if (strlen(text) != 2 * length)
		return false;
	for (size_t i = 0; i < length; i++) {
		uint64_t value;

		if (!str_hex(text + 2 * i, 2, false, &value))
			return false;
		byte[i] = (uint8_t)value;
	}
	return true;
}

/* The length of the UTF-8 character at s (1 to 4) and its code point, or 0 when it is none. */
static size_t utf8_character(const uint8_t *s, size_t left, uint32_t *ret_point)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = s[0] < 0x80       ? 1
	                : s[0] >> 5 == 6  ? 2
	                : s[0] >> 4 == 14 ? 3
	                : s[0] >> 3 == 30 ? 4
	                                  : 0;
	uint32_t point;

	if (length == 0 || length > left)
		return 0;
	point = length == 1 ? s[0] : s[0] & (0x7fU >> length);
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (s[i] & 0x3fU);
	}
	if (point < smallest[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*ret_point = point;
	return length;
}

static bool is_control(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point < 0xa0);
}

bool str_is_text(const char *text, size_t length)
{
	const uint8_t *s = (const uint8_t *)text;

	for (size_t at = 0; at < length;) {
		uint32_t point;
		size_t bytes = utf8_character(s + at, length - at, &point);

		if (bytes == 0 || is_control(point))
			return false;
		at += bytes;
	}
	return true;
}

void str_clean(char *text)
{
	size_t length = strlen(text);

	for (size_t at = 0; at < length;) {
		uint32_t point;
		size_t bytes = utf8_character((uint8_t *)text + at, length - at, &point);

		if (bytes == 0)
			text[at] = '?';
		else if (is_control(point))
			memset(text + at, ' ', bytes);
		at += MAX(bytes, (size_t)1);
	}
}

void str_cut(char *out, size_t out_bytes, size_t needed)
{
	size_t end;

	if (needed < out_bytes || out_bytes < 4)
		return;
	end = out_bytes - 4;
	for (int back = 0; back < 3 && end > 0 && ((uint8_t)out[end] & 0xc0) == 0x80; back++)
		end--;
	memcpy(out + end, "...", 4);
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

char *str_trim(char *text)
{
	size_t length;

	while (is_blank(*text))
		text++;
	length = strlen(text);
	while (length > 0 && is_blank(text[length - 1]))
		length--;
	text[length] = '\0';
	return text;
}

char *str_shell(const char *text)
{
	char *quoted = xmalloc(4 * strlen(text) + 3), *out = quoted;

	*out++ = '\'';
	for (; *text; text++) {
		if (*text == '\'') {
			memcpy(out, "'\\''", 4);
			out += 4;
		} else {
			*out++ = *text;
		}
	}
	memcpy(out, "'", 2);
	return quoted;
}

void strs_add(struct strs *strs, const char *text)
{
	if (strs->count == strs->size) {
		strs->size = strs->size ? 2 * strs->size : STRS_MIN;
		strs->item = xrealloc(strs->item, strs->size * sizeof(*strs->item));
	}
	strs->item[strs->count++] = xstrdup(text);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strs_sort(struct strs *strs)
{
	if (strs->count > 1)
		qsort(strs->item, strs->count, sizeof(*strs->item), compare);
}

bool strs_has(const struct strs *strs, const char *text)
{
	for (size_t i = 0; i < strs->count; i++) {
		if (strcmp(strs->item[i], text) == 0)
			return true;
	}
	return false;
}

void strs_release(struct strs *strs)
{
	for (size_t i = 0; i < strs->count; i++)
		free(strs->item[i]);
	free(strs->item);
	*strs = (struct strs){0};
}
