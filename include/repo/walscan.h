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

/* One record into the builder. Private but for tests. */
void walscan_record(struct walindex_builder *builder, const struct wal_decoded *record);

#endif
