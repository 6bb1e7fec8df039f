/*
 * walquery.h — where in the WAL of a path something can be: the segments that have to be read for a
 * transaction or a restore point, newest first, by the index. Segments that the index does not know
 * can hold anything.
 */
#ifndef REPO_WALQUERY_H
#define REPO_WALQUERY_H

#include "repo/plan.h"
#include "repo/walpieces.h"

struct walquery {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	struct walpieces *pieces; /* what cannot be read is spoilt in it */
	const struct history *path;
	uint64_t first, last; /* from last downwards */
	uint32_t xid;
	const char *point;         /* name of a restore point; NULL: the transaction xid */
	struct restore_near *near; /* gets what is there instead, from `possible` on; or NULL */
	lsn possible;
	/* out; the caller frees it */
	uint64_t *segno; /* descending */
	size_t count;
	bool more; /* not all was looked at: ask again with last = next */
	uint64_t next;
	/* private */
	struct walpieces_read read;
};
/* Ends with the first that are found, or none at all. A piece that cannot be read is as if it were
 * not there: the levels below it are asked. */
void walquery_start(struct op *parent, struct walquery *query);

#endif
