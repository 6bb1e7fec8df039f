/*
 * indexer_gap.h — pushes run side by side, so that a segment may be listed before the one before
 * it: the index waits for that a while. Pure; private to the indexer.
 */
#ifndef JOB_INDEXER_GAP_H
#define JOB_INDEXER_GAP_H

#include "repo/catalog.h"

enum {
	GAP_SEGMENTS = 64,       /* before the newest one: what lacks below is a hole */
	GAP_WAIT_MS = 10 * 1000, /* as long a gap is not taken for a hole */
	GAP_LOOK_FIRST_MS = 500, /* between two looks at it, first and at most */
	GAP_LOOK_MS = 4000,
};

/* Zero-filled: none was seen. */
struct indexer_gap {
	bool waits; /* nothing behind segno is to be indexed yet */
	uint32_t tli;
	uint64_t segno;   /* that lacks */
	uint64_t seen;    /* the highest one that was archived when it was seen first */
	uint64_t settled; /* what lacks below is a hole */
	int64_t since_ms, look_at_ms, pause_ms;
};
/* After a look at the archive. */
void gap_update(struct indexer_gap *gap, const struct catalog *catalog, int64_t now_ms);

#endif
