/*
 * backup_yield.h — a backup lets WAL go first. Private to this layer.
 *
 * Before each pack the backup looks how many segments wait to be archived. While more than a few
 * do, it begins no new pack; but it never stands still for good, since what keeps archiving behind
 * may be something else than the backup.
 */
#ifndef JOB_BACKUP_YIELD_H
#define JOB_BACKUP_YIELD_H

#include "job/backup.h"
#include "loop/nap.h"
#include "loop/work.h"

enum {
	/* A server that archives as fast as it writes has one to four .ready at a look (pgbench on
	 * two cores); twice as many are a backlog. */
	YIELD_BEHIND = 8,
	YIELD_LOOK_MS = 200,
	YIELD_MS_MAX = 10 * 1000, /* then one pack is made all the same */
};

struct yield {
	struct op op;
	/* in; must stay */
	const char *pgdata;
	struct backup_progress *progress; /* waiting_for says for how many */
	/* private */
	struct work work;
	struct nap nap;
	uint64_t behind;
	int64_t begun_ms;
	bool held;
};
/* Ends when a pack may be begun: never with an error but ERR_CANCELLED. */
void yield_start(struct op *parent, struct yield *yield);

#endif
