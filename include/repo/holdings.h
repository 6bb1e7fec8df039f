/*
 * holdings.h — what the archive of a generation holds, found with the WAL index and therefore at a
 * cost that does not grow with it: pieces of the index are segments that are there, and only what
 * they leave open is listed. What was taken away behind the index's back is seen when the indexer
 * has looked at all of the archive (repo/lost.h); `seawall verify` and a restore, for the WAL that
 * it is going to replay (struct holdings_path), look at the WAL itself.
 */
#ifndef REPO_HOLDINGS_H
#define REPO_HOLDINGS_H

#include "repo/intervals.h"
#include "repo/lost.h"
#include "repo/walpieces.h"

struct holdings_load {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	bool no_backups;
	bool tolerant; /* as in struct catalog_load */
	enum gate_class class;
	struct catalog *catalog; /* zero-filled by the caller, or what another repository holds;
	                            WAL, histories and backups */
	struct walpieces *pieces;
	struct harm *harm; /* in and out, maybe of other repositories as well: what is damaged does
	                      not get into the catalogue; NULL: nobody asks */
	unsigned proofs_max; /* as in struct harm_look */
	bool heal;
	/* private */
	struct walpieces_load pieces_load;
	struct lost lost;
	struct lost_load lost_load;
	struct harm_look look;
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

/* The WAL of one stretch of a path, listed: what a restore is going to need. */
struct holdings_path {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	const struct history *path;
	uint64_t first, last;
	struct catalog *found; /* gets what is there, and maybe more of those timelines */
	struct harm *harm;     /* as in struct holdings_load */
	/* private */
	struct store_list list;
	char prefix[NAME_BYTES], after[NAME_BYTES];
	uint32_t tli;
	uint64_t segno, until;
};
void holdings_path_start(struct op *parent, struct holdings_path *path);

/* What the index knows of the ends of intervals: `told` and what follows it in each. A piece that
 * cannot be read is as if it were not there: the levels below it say it, or an older piece. */
struct intervals_times {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	struct walpieces *pieces; /* what cannot be read is spoilt in it */
	const struct catalog *catalog;
	struct intervals *intervals;
	/* private */
	size_t at;
	bool behind;
	struct walpieces_read read;
};
void intervals_times_start(struct op *parent, struct intervals_times *times);

#endif
