/*
 * clock.c — time.
 *
 * The calendar is computed here, not by libc: no time zone, no locale, no lock, and any int64_t is
 * a date. The arithmetic counts years from March, so that the leap day is the last of its year; an
 * era is 400 years and always has the same number of days.
 */
#include "base/clock.h"
#include "base/poison.h"

enum {
	DAYS_PER_ERA = 146097,
	DAYS_TO_1970 = 719468, /* from 0000-03-01 */
	S_PER_DAY = 86400,
};

static int64_t read_clock(clockid_t id)
{
	struct timespec now = {0};

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_us(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_boot_us(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

/* Division that rounds down, also below zero. */
static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

int64_t clock_days(int year, int month, int day)
{
	int64_t y = (int64_t)year - (month <= 2);
	int64_t era = floor_div(y, 400), year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970;
}

void clock_civil(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
	int64_t z = days + DAYS_TO_1970;
	int64_t era = floor_div(z, DAYS_PER_ERA), doe = z - era * DAYS_PER_ERA;
	int64_t year_of_era = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t day_of_year = doe - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t march_month = (5 * day_of_year + 2) / 153;
	int month = (int)(march_month < 10 ? march_month + 3 : march_month - 9);

	*ret_day = (int)(day_of_year - (153 * march_month + 2) / 5 + 1);
	*ret_month = month;
	*ret_year = (int)(year_of_era + era * 400 + (month <= 2));
}

struct moment {
	int year, month, day, hour, minute, second, us;
};

static struct moment moment_of(int64_t unix_us)
{
	int64_t seconds = floor_div(unix_us, US_PER_S), days = floor_div(seconds, S_PER_DAY);
	int64_t of_day = seconds - days * S_PER_DAY;
	struct moment m = {.us = (int)((unix_us % US_PER_S + US_PER_S) % US_PER_S),
	                   .hour = (int)(of_day / 3600),
	                   .minute = (int)(of_day / 60 % 60),
	                   .second = (int)(of_day % 60)};

	clock_civil(days, &m.year, &m.month, &m.day);
	return m;
}

void clock_text_utc(int64_t unix_us, char out[TIME_TEXT_BYTES])
{
	struct moment m = moment_of(unix_us);
	char fraction[16] = "";

	if (m.us)
		snprintf(fraction, sizeof(fraction), ".%06d", m.us);
	snprintf(out, TIME_TEXT_BYTES, "%04d-%02d-%02d %02d:%02d:%02d%s+00", m.year, m.month, m.day,
	         m.hour, m.minute, m.second, fraction);
}

void clock_compact(int64_t unix_us, char out[TIME_TEXT_BYTES])
{
	struct moment m = moment_of(unix_us);

	snprintf(out, TIME_TEXT_BYTES, "%04d%02d%02dT%02d%02d%02dZ", m.year, m.month, m.day, m.hour,
	         m.minute, m.second);
}
