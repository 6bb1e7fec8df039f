/*
 * indexer.h — the WAL index of a cluster at one repository is made complete: what is archived and
 * not indexed is read, in order, and written as pieces (architecture.md 8).
 *
 * It needs nothing from before: what is there and what is missing is seen in the repository, so
 * that any moment is a good one to be killed. Between two passes it keeps where it was, so that
 * new segments cost nothing but themselves. What the push of a segment has left for it (walparts.h)
 * is all that is needed of it; else segments come from pg_wal while they are there, else from the
 * repository. The pieces are the same, whichever way.
 */
#ifndef JOB_INDEXER_H
#define JOB_INDEXER_H

#include "job/site.h"
#include "repo/walpieces.h"

struct indexer;
struct indexer_figures {
	uint64_t segments, from_pg_wal; /* indexed, since the beginning */
	uint64_t from_push;             /* of segments: what their push left was enough */
	uint64_t written, repeated;     /* pieces; that were there with the same content */
	uint64_t bytes, stored_bytes;   /* of WAL; of pieces */
	uint64_t left;                  /* segments that are still to be indexed */
	uint64_t cpu_us;                /* spent on reading WAL */
};

/* site must stay. rebuild: nothing that is there counts. */
struct indexer *indexer_new(struct site *site, bool rebuild);
/* No pass may be running. */
void indexer_free(struct indexer *indexer);
const struct indexer_figures *indexer_figures(const struct indexer *indexer);
/* What it knows, after a pass; NULL: nothing of this cluster is archived there. */
const struct walpieces *indexer_pieces(const struct indexer *indexer);
const struct catalog *indexer_catalog(const struct indexer *indexer);
/* When it wants the next pass, because a segment lacks that was pushed beside the ones behind it;
 * INT64_MAX: nothing of the kind. Loop clock; indexer may be NULL. */
int64_t indexer_look_at_ms(const struct indexer *indexer);
/* The newest segments, which are in no whole piece yet: a copy that the caller releases. False:
 * there are none. */
bool indexer_newest(const struct indexer *indexer, struct walindex_piece *ret);

/* One pass: everything that is archived now. flush: also what does not fill a piece yet is written.
 * ERR_DAMAGED, ERR_REFUSED: a segment cannot be read; what is behind it is indexed all the same. */
struct indexer_pass {
	struct op op;
	struct indexer *indexer; /* in */
	bool flush;              /* in */
	bool whole;              /* in: it looks at everything again, also at what was filled in */
	bool look; /* in: what is in the archive is compared with what was there, on about two pages
	              of a listing: the newest one, and the next of what is older */
	bool only; /* in: and nothing is indexed */
};
void indexer_pass_start(struct op *parent, struct indexer_pass *pass);
void indexer_pass_start_root(struct loop *loop, struct indexer_pass *pass,
                             void (*on_done)(struct op *op));

#endif
