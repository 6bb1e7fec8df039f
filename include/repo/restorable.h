/*
 * restorable.h — what can be restored from an archive, and what cannot: intervals, and every hole
 * with its segments, its cause as far as the repository tells, and its window on the clock.
 *
 * Read from listings, the heads of backups and the WAL index; of the WAL itself only segments that
 * are marked as damaged (repo/harm.h), or that the index left out although there is more behind
 * them, and few of those. A segment that is there and damaged is a hole: a recovery does not come
 * past it.
 */
#ifndef REPO_RESTORABLE_H
#define REPO_RESTORABLE_H

#include "repo/heads.h"
#include "repo/holdings.h"

struct jval;

enum hole_cause {
	HOLE_UNKNOWN,   /* never archived, or deleted: nothing tells which */
	HOLE_NEVER,     /* missing already when the WAL behind it was indexed */
	HOLE_DELETED,   /* the index has it: it was archived */
	HOLE_SET_ASIDE, /* refused: other content came under its name, see conflict/ */
	HOLE_DAMAGED,   /* it is there, and cannot be read or proven */
	HOLE_FORK,      /* from the fork on the new timeline's first WAL was never archived */
	HOLE_ACCEPTED,  /* it was damaged when it was archived, and archived all the same */
};
struct hole {
	uint32_t tli;
	uint64_t first, last; /* segments */
	enum hole_cause cause;
	uint64_t aside;   /* objects below conflict/ under its names */
	int64_t from_us;  /* the last transaction before it; 0: not known */
	int64_t until_us; /* the first one behind it; 0: not known */
};
enum { HOLES_TOLD_MAX = 64, HOLES_PROVED_MAX = 8 };

/* Between the segments of each timeline, and from the fork to its first one; what is damaged is a
 * hole of its own, also behind the last. Pure; the caller frees *ret. */
void holes_find(const struct catalog *catalog, struct hole **ret, size_t *ret_count);
/* By what the index and the histories tell; pure. */
enum hole_cause hole_cause_of(const struct hole *hole, const struct catalog *catalog,
                              const struct walpieces *pieces);
const char *hole_cause_name(enum hole_cause cause); /* in JSON */
const char *hole_cause_text(enum hole_cause cause); /* for people */

struct restorable {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	/* out; restorable_release also after a failure */
	struct catalog catalog; /* without what is damaged */
	struct walpieces pieces;
	struct heads heads;
	struct intervals intervals;
	struct hole *hole; /* by timeline and position */
	size_t holes;
	/* private */
	struct holdings_load load;
	struct heads_load heads_load;
	struct intervals_times times;
	struct harm harm;
	struct catalog_gap suspect[HOLES_PROVED_MAX];
	size_t suspects, at;
	struct harm_proof proof;
	char prefix[NAME_BYTES], after[NAME_BYTES];
	struct store_list list;
	struct walpieces_read piece;
};
void restorable_start(struct op *parent, struct restorable *restorable);
void restorable_release(struct restorable *restorable);

/* When the last transaction that is safe ended; 0: not known. */
int64_t restorable_safe_us(const struct restorable *restorable);
/* Fields "last_transaction", "rpo_seconds", "intervals" and "holes". */
void restorable_json(const struct restorable *restorable, int64_t now_us, struct jval *object);

#endif
