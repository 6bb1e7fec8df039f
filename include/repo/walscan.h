/*
 * walscan.h — whole segments, one after the other, into a builder of the WAL index: the walker, the
 * decoder and the rules for what a record changes (postgres-facts.md B.6) in one.
 *
 * Consecutive segments, also across a timeline switch, are one walk: a record that goes on in the
 * next segment is told there. For any thread, one at a time.
 */
#ifndef REPO_WALSCAN_H
#define REPO_WALSCAN_H

#include "pg/waldecode.h"
#include "repo/walindex.h"

struct walscan;
struct walscan *walscan_new(uint64_t system_identifier, uint32_t segment_bytes);
void walscan_free(struct walscan *scan);
/* Where it goes from the next segment on, still the caller's; NULL: nowhere (to get the record that
 * an earlier segment begins). */
void walscan_into(struct walscan *scan, struct walindex_builder *builder);
MUST_USE bool walscan_begin(struct walscan *scan, uint32_t tli, uint64_t segno, struct err *err);
MUST_USE bool walscan_feed(struct walscan *scan, const void *bytes, size_t length, struct err *err);
/* *ret_full: the builder's piece must be taken now. */
MUST_USE bool walscan_end(struct walscan *scan, bool *ret_full, struct err *err);
/* Whether a record begins in what was fed: else an earlier segment is needed, too. */
bool walscan_has_start(const struct walscan *scan);

/* ---- a segment that is walked alone, by who has its bytes in memory anyway ---- */

/*
 * What its walk leaves for a scan, a few kilobytes, so that the scan need not read it again: what
 * its records mean for the index, and the bytes of the two records at its edges that may be whole
 * only with the segments around it. Made on any thread, in any order; taken in the order of WAL,
 * each once. The scan sees the same in it as in the segment.
 *
 *	part = walpart_new(); options.sink = walpart_sink(part); walwalk_init(&walk, &options);
 *	walwalk_begin(…) && walwalk_feed(…), walpart_fed(part, &walk, …) … && walwalk_end(…)
 *	if (!walpart_end(part, &walk)) walpart_free(part);
 */
struct walpart;
struct walpart *walpart_new(void);
void walpart_free(struct walpart *part);
struct walwalk_sink *walpart_sink(struct walpart *part);
/* After each walwalk_feed, with the same bytes. */
void walpart_fed(struct walpart *part, const struct walwalk *walk, const void *bytes,
                 size_t length);
/* After walwalk_end. False: what it would leave is too much, or not all that is needed. */
MUST_USE bool walpart_end(struct walpart *part, const struct walwalk *walk);
size_t walpart_bytes(const struct walpart *part);

/* Instead of begin, feed and end. ERR_DAMAGED: it does not go on where the segment before ended. */
MUST_USE bool walscan_part(struct walscan *scan, struct walpart *part, bool *ret_full,
                           struct err *err);

#endif
