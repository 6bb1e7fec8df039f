/*
 * intervals.h — what can be restored: from the end of a backup on, as far as the WAL behind it is
 * complete, timeline by timeline. Pure.
 *
 * An interval of a timeline is that of its whole path: it may begin with a backup of an ancestor.
 * What two timelines share is named for both, because a restore names one of them.
 */
#ifndef REPO_INTERVALS_H
#define REPO_INTERVALS_H

#include "repo/catalog.h"
#include "repo/manifest.h"

struct interval {
	uint32_t tli;                      /* the path's timeline */
	lsn from_lsn;                      /* end of its first backup */
	int64_t from_us;                   /* the server's clock there */
	char backup[NAME_BACKUP_ID_BYTES]; /* the first one */
	unsigned backups;                  /* that lie in it */
	lsn to_lsn;                        /* end of the last segment without a hole */
	int64_t to_us;                     /* the end of its last backup: at least to then */
	bool hole;                         /* WAL is missing there, and there is more behind it */
	uint32_t hole_tli;
	uint64_t hole_segno;
	/* What the WAL index knows of its end (holdings.h); 0 when it does not. */
	bool told;
	int64_t last_us;          /* of the last transaction that is safe */
	lsn last_lsn;             /* its record's start */
	uint64_t unindexed;       /* segments at the end that the index does not know yet */
	uint64_t hole_last_segno; /* the last that is missing; 0: there is nothing behind it */
	int64_t behind_us;        /* the first transaction behind the hole */
};

struct intervals {
	struct interval *item; /* timelines ascending, positions ascending */
	size_t count;
	/* Backups that no interval holds: their own WAL is not complete. */
	char (*broken)[NAME_BACKUP_ID_BYTES];
	size_t brokens;
};

/* catalog with CATALOG_WAL and CATALOG_HISTORIES; head in any order. */
void intervals_find(const struct catalog *catalog, const struct manifest_head *head, size_t heads,
                    struct intervals *ret);
void intervals_release(struct intervals *intervals);

#endif
