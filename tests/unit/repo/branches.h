/* branches.h — for tests: timelines of a catalog. */
#ifndef TESTS_UNIT_REPO_BRANCHES_H
#define TESTS_UNIT_REPO_BRANCHES_H

#include "repo/catalog.h"

/* A timeline that left its parent, which was added before (or is 1), at fork. */
static inline void add_history(struct catalog *catalog, uint32_t tli, uint32_t parent, lsn fork)
{
	struct history history;

	history_init(&history, tli);
	if (parent > 1)
		history_copy(&history, &catalog_timeline(catalog, parent)->history);
	history.tli = tli;
	history_add(&history, parent, fork, "test");
	catalog_add_history(catalog, &history);
	history_release(&history);
}

#endif
