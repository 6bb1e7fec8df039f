/*
 * units.c — sizes and durations, as people write and read them.
 *
 * A unit is spelt exactly as PostgreSQL spells it: "mb" could be meant as bits or as milli, and a
 * setting that is understood otherwise than meant is worse than one that is refused.
 */
#include "base/units.h"
#include "base/str.h"
#include "base/poison.h"

enum { DIGITS_MAX = 20 };

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit sizes[] = {{"B", 1},
                                    {"kB", UINT64_C(1) << 10},
                                    {"MB", UINT64_C(1) << 20},
                                    {"GB", UINT64_C(1) << 30},
                                    {"TB", UINT64_C(1) << 40}};
static const struct unit durations[] = {
        {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};

static bool parse(const char *text, const struct unit *units, size_t count, uint64_t *ret)
{
	size_t digits = strspn(text, "0123456789");
	char number[DIGITS_MAX + 1];
	uint64_t value;

	if (digits > DIGITS_MAX)
		return false;
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (!str_u64(number, &value))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text + digits, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(value, units[i].factor, &value))
			return false;
		*ret = value;
		return true;
	}
	return false;
}

bool units_parse_size(const char *text, uint64_t *ret_bytes)
{
	return str_u64(text, ret_bytes) || parse(text, sizes, ARRAY_LENGTH(sizes), ret_bytes);
}

bool units_parse_duration(const char *text, uint64_t *ret_ms)
{
	uint64_t bare;

	if (str_u64(text, &bare)) {
		if (bare == 0)
			*ret_ms = 0;
		return bare == 0;
	}
	return parse(text, durations, ARRAY_LENGTH(durations), ret_ms);
}

void units_size(uint64_t bytes, char out[UNITS_TEXT_BYTES])
{
	if (bytes < 1024) {
		snprintf(out, UNITS_TEXT_BYTES, "%u B", (unsigned)bytes);
		return;
	}
	for (size_t i = 1; i < ARRAY_LENGTH(sizes); i++) {
		uint64_t unit = sizes[i].factor, rest = bytes % unit;
		uint64_t tenths = bytes / unit * 10 + (rest * 10 + unit / 2) / unit;
		uint64_t whole = bytes / unit + (rest >= unit / 2);

		/* 1023.7 kB is "1.0 MB": the next unit is taken by what would be printed. */
		if (whole >= 1024 && i + 1 < ARRAY_LENGTH(sizes))
			continue;
		if (tenths < 100)
			snprintf(out, UNITS_TEXT_BYTES, "%u.%u %s", (unsigned)(tenths / 10),
			         (unsigned)(tenths % 10), sizes[i].name);
		else
			snprintf(out, UNITS_TEXT_BYTES, "%llu %s", (unsigned long long)whole,
			         sizes[i].name);
		return;
	}
}

void units_duration(int64_t ms, char out[UNITS_TEXT_BYTES])
{
	const char *sign = ms < 0 ? "-" : "";
	unsigned long long left = ms < 0 ? 0 - (unsigned long long)ms : (unsigned long long)ms;
	unsigned long long s = left / 1000 + (left % 1000 >= 500), minutes = s / 60;

	if (left == 0)
		snprintf(out, UNITS_TEXT_BYTES, "0 s");
	else if (left < 1000)
		snprintf(out, UNITS_TEXT_BYTES, "%s%llu ms", sign, left);
	else if (left < 59950)
		snprintf(out, UNITS_TEXT_BYTES, "%s%llu.%llu s", sign, (left + 50) / 1000,
		         (left + 50) % 1000 / 100);
	else if (s < 3600)
		snprintf(out, UNITS_TEXT_BYTES, "%s%llu min %llu s", sign, minutes, s % 60);
	else if (minutes < 24 * 60)
		snprintf(out, UNITS_TEXT_BYTES, "%s%llu h %llu min", sign, minutes / 60,
		         minutes % 60);
	else
		snprintf(out, UNITS_TEXT_BYTES, "%s%llu d %llu h", sign, minutes / 1440,
		         minutes / 60 % 24);
}
