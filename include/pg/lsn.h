/*
 * lsn.h — positions in the WAL: 64-bit byte addresses, printed "%X/%X" without padding.
 *
 * Since the type is called lsn, a variable is not (gcc's -Wshadow); a member of a struct may be.
 * Compare the numbers, never the texts. An end position often lies exactly on a segment boundary:
 * the segment that holds what ends there is lsn_segno_before.
 */
#ifndef PG_LSN_H
#define PG_LSN_H

#include "base/mem.h"

typedef uint64_t lsn;

enum { LSN_TEXT_BYTES = 18 };
#define LSN_MAX     UINT64_MAX
#define LSN_FORMAT  "%X/%X"
#define LSN_ARGS(l) (unsigned)((uint64_t)(l) >> 32), (unsigned)(uint64_t)(l)

/* The whole text: one to eight hex digits of either case, '/', one to eight hex digits. */
bool lsn_parse(const char *text, lsn *ret);
void lsn_text(lsn position, char out[LSN_TEXT_BYTES]);

/* segment_bytes must be valid (segment_bytes_valid). */
static inline uint64_t lsn_segno(lsn position, uint32_t segment_bytes)
{
	return position / segment_bytes;
}
/* Of the byte before position, which must not be 0. */
static inline uint64_t lsn_segno_before(lsn position, uint32_t segment_bytes)
{
	return (position - 1) / segment_bytes;
}
static inline lsn lsn_of_segno(uint64_t segno, uint32_t segment_bytes)
{
	return segno * segment_bytes;
}

#endif
