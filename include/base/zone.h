/*
 * zone.h — moments as people write them, with a time zone, and the zone files of the system.
 *
 * Reads TZif files (RFC 9636) below /usr/share/zoneinfo itself, so that neither TZ nor the time
 * zone of this process has any part in it. A local time that a clock showed twice, or never, is
 * refused with both readings; abbreviations (IST, CST, EST) are refused, since they mean several
 * offsets.
 */
#ifndef BASE_ZONE_H
#define BASE_ZONE_H

#include "base/clock.h"
#include "base/err.h"

enum {
	ZONE_FILE_BYTES_MAX = 256 * 1024,
	ZONE_NAME_BYTES = 64,
	ZONE_TEXT_BYTES = 64,
};

struct zone; /* where it is, what offset holds when */

/* "Europe/Berlin", "UTC", "Japan", or a rule such as "<+03>-3". ERR_NOTFOUND: no such zone, or the
 * system has no zone files. The caller frees. */
MUST_USE bool zone_load(const char *name, struct zone **ret, struct err *err);
/* The content of a TZif file. */
MUST_USE bool zone_decode(const void *bytes, size_t length, struct zone **ret, struct err *err);
void zone_free(struct zone *zone);
/* Seconds east of Greenwich at a moment. */
int32_t zone_offset(const struct zone *zone, int64_t unix_s);

/* "2026-11-20 14:02:00.5+01", "2026-11-20T14:02Z", "2026-11-20 14:02 Europe/Berlin", "14:02"
 * (today). Without a zone in the text, fallback is it; NULL or "" refuses such a text. ERR_USAGE
 * with a hint.
 */
MUST_USE bool zone_parse_time(const char *text, const char *fallback, int64_t now_us,
                              int64_t *ret_us, struct err *err);
/* "2026-11-20 14:02:00.5+01"; zone NULL is UTC ("+00"). */
void zone_text(int64_t unix_us, const struct zone *zone, char out[ZONE_TEXT_BYTES]);

#endif
