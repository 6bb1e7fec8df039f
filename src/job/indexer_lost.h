/* indexer_lost.h — WAL that the index tells of and that is not archived any more: it is told, and
 * marked in the repository (repo/lost.h). And what is marked as damaged is looked at once more
 * (repo/harm.h). Private to this layer. */
#ifndef JOB_INDEXER_LOST_H
#define JOB_INDEXER_LOST_H

#include "job/site.h"
#include "repo/lost.h"

struct indexer_lost {
	struct op op;
	/* in; must stay */
	struct site *site;
	const char *generation;
	const struct walpieces *pieces;
	const struct catalog *catalog; /* listed after the pieces were */
	struct lost gone;              /* instead of comparing the two; it takes them over */
	struct catalog *skip;          /* in and out: what could not be read */
	/* private */
	struct lost known, found;
	struct harm harm;
	struct harm_look look;
	struct lost_load load;
	struct lost_write write;
};
void indexer_lost_start(struct op *parent, struct indexer_lost *lost);
#endif
