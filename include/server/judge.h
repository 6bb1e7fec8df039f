/* judge.h — may this file of this data directory be asked for, and whose is it. Blocks: for
 * workers. */
#ifndef SERVER_JUDGE_H
#define SERVER_JUDGE_H

#include "base/err.h"

enum { JUDGE_NOBODY = -1 };

struct judge {
	/* in */
	const char *data, *path;
	const char *const *pgdata; /* of the clusters; an item may be NULL */
	unsigned clusters;
	bool identifiers; /* when no directory fits: look at the system identifiers */
	/* out */
	int cluster; /* index, or JUDGE_NOBODY */
	char *file;  /* the absolute path; owned by the caller */
};

/* data must be a directory, and path lie directly in its pg_wal (which may be a symbolic link):
 * ERR_REFUSED. Whose it is: the cluster whose pgdata is the very same directory, or the only one
 * with its system identifier. */
MUST_USE bool judge_run(struct judge *judge, struct err *err);

#endif
