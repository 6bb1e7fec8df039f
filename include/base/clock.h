/*
 * clock.h — time. Wall clock times are microseconds since 1970 (int64_t, UTC); durations on the
 * monotonic clock. PostgreSQL's TimestampTz counts from 2000 (src/include/datatype/timestamp.h).
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/mem.h"

enum { TIME_TEXT_BYTES = 40 };
#define US_PER_S          INT64_C(1000000)
#define PG_EPOCH_OFFSET_S INT64_C(946684800) /* 2000-01-01 in seconds since 1970 */

int64_t clock_now_us(void);  /* wall clock */
int64_t clock_mono_us(void); /* monotonic */
int64_t clock_boot_us(void); /* the same, and it goes on while the machine sleeps */

static inline int64_t clock_from_pg(int64_t timestamptz_us)
{
	return timestamptz_us + PG_EPOCH_OFFSET_S * US_PER_S;
}
static inline int64_t clock_to_pg(int64_t unix_us)
{
	return unix_us - PG_EPOCH_OFFSET_S * US_PER_S;
}

/* "2026-11-20 14:02:00+00", with ".123456" when there is a fraction. */
void clock_text_utc(int64_t unix_us, char out[TIME_TEXT_BYTES]);
/* "20261120T140200Z" */
void clock_compact(int64_t unix_us, char out[TIME_TEXT_BYTES]);
/* Days since 1970 of a proleptic Gregorian date, and back. */
int64_t clock_days(int year, int month, int day);
void clock_civil(int64_t days, int *ret_year, int *ret_month, int *ret_day);

#endif
