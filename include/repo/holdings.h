/*
 * holdings.h — what the archive of a generation holds, found with the WAL index and therefore at a
 * cost that does not grow with it: pieces of the index are segments that are there, and only what
 * they leave open is listed. What was taken away behind the index's back is not seen; `seawall
 * list` and `verify` look at the WAL itself.
 */
#ifndef REPO_HOLDINGS_H
#define REPO_HOLDINGS_H

#include "repo/intervals.h"
#include "repo/walpieces.h"

struct holdings_load {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	bool list_wal; /* all of it is listed all the same; the pieces only tell times */
	enum gate_class class;
	struct catalog *catalog; /* zero-filled by the caller; WAL, histories and backups */
	struct walpieces *pieces;
	/* private */
	struct walpieces_load pieces_load;
	struct catalog_load load;
	struct store_walk walk;
	struct store_list list;
	char prefix[NAME_BYTES], after[NAME_BYTES];
	uint32_t *tli;
	size_t tlis, at, gap;
	uint64_t until; /* of the gap at hand: behind its last segment */
};
/* catalog and pieces are released by the caller also after a failure. */
void holdings_load_start(struct op *parent, struct holdings_load *load);

/* What the index knows of the ends of intervals: `told` and what follows it in each. A piece that
 * cannot be read leaves them unknown. */
struct intervals_times {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	const struct walpieces *pieces;
	const struct catalog *catalog;
	struct intervals *intervals;
	/* private */
	size_t at;
	bool behind;
	struct walpiece_read read;
};
void intervals_times_start(struct op *parent, struct intervals_times *times);

#endif
