/* units.h — sizes, durations and rates, as people write and read them. */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include "base/mem.h"

enum { UNITS_TEXT_BYTES = 32 };

/* "96MB", "1GB", "512kB", "0": B kB MB GB TB, powers of 1024 as in PostgreSQL. A bare number is
 * bytes. */
bool units_parse_size(const char *text, uint64_t *ret_bytes);
/* "500ms" "10s" "5min" "2h" "1d"; a unit is required, except for 0. */
bool units_parse_duration(const char *text, uint64_t *ret_ms);
/* "3.2 GB", "812 kB", "0 B" */
void units_size(uint64_t bytes, char out[UNITS_TEXT_BYTES]);
/* "5.2 s", "3 min 20 s", "2 h 5 min", "3 d 4 h" */
void units_duration(int64_t ms, char out[UNITS_TEXT_BYTES]);

#endif
