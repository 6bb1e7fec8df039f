/* indexer_check.h — can the index be read. Private to the indexer. */
#ifndef JOB_INDEXER_CHECK_H
#define JOB_INDEXER_CHECK_H

#include "repo/walpieces.h"

struct indexer_check {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	struct walpieces *pieces; /* what cannot be read is spoilt, what stands for it is loaded */
	/* private */
	struct walpieces_read read;
	size_t timeline;
	uint64_t next;
};
/* Fails only when the repository does. */
void indexer_check_start(struct op *parent, struct indexer_check *check);

#endif
