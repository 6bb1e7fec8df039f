/*
 * segment.h — the names of WAL files, and what they say.
 *
 * Strict: upper-case hex, the right length, timeline at least 1. A name cannot be turned into a
 * position without the segment size of its cluster: see walname_segno.
 */
#ifndef PG_SEGMENT_H
#define PG_SEGMENT_H

#include "base/err.h"
#include "pg/lsn.h"

enum {
	SEGMENT_BYTES_MIN = 1 << 20,
	SEGMENT_BYTES_DEFAULT = 16 << 20,
	SEGMENT_BYTES_MAX = 1 << 30,
	SEGMENT_NAME_BYTES = 25, /* 24 digits and the NUL */
	WALNAME_BYTES = 41,      /* the longest, "<24>.<8>.backup", is 40 */
};

enum walname_kind {
	WALNAME_SEGMENT, /* 24 digits */
	WALNAME_PARTIAL, /* 24 digits ".partial" */
	WALNAME_BACKUP,  /* 24 digits "." 8 digits ".backup" */
	WALNAME_HISTORY, /* 8 digits ".history" */
};

struct walname {
	enum walname_kind kind;
	uint32_t tli;
	uint32_t log, seg; /* the second and third group of digits; 0 for a history file */
	uint32_t offset;   /* WALNAME_BACKUP: of the backup's start in the segment */
};

/* A power of two from 1 MB to 1 GB. */
bool segment_bytes_valid(uint64_t segment_bytes);

/* Without a folder. False: it is no name of a WAL file. */
bool walname_parse(const char *name, struct walname *ret);
void walname_format(const struct walname *name, char out[WALNAME_BYTES]);
/* Whether log, seg and offset are possible with this segment size. A history file fits any. */
bool walname_fits(const struct walname *name, uint32_t segment_bytes);
/* The segment number; the name must fit and not be a history file's. */
uint64_t walname_segno(const struct walname *name, uint32_t segment_bytes);
lsn walname_start(const struct walname *name, uint32_t segment_bytes);
/* The name of segment segno of a timeline. */
void segment_name(uint32_t tli, uint64_t segno, uint32_t segment_bytes,
                  char out[SEGMENT_NAME_BYTES]);
/* The two together: a whole segment's name with this size, as timeline and number. */
bool segment_parse(const char *name, uint32_t segment_bytes, uint32_t *ret_tli,
                   uint64_t *ret_segno);
/* The order of listing and archiving: timeline, position, then segment < backup < partial; a
 * timeline's history file comes before its segments. Below, equal to or above 0. */
int walname_compare(const struct walname *a, const struct walname *b);

#endif
