/* find_names.h — the names that tables had, for `seawall find`. */
#ifndef CLI_FIND_NAMES_H
#define CLI_FIND_NAMES_H

#include "repo/relnames.h"
#include "repo/walfind.h"

enum { FIND_NAMES_MAX = 256 }; /* times at which they were taken; of more: see find_names.c */

struct find_names {
	struct op op;
	struct walfind_names names; /* out: for walfind */
	/* in */
	struct repo *repo;
	const char *generation;
	/* private; find_names_release */
	struct relnames_list list;
	struct relnames_read read;
	struct relnames *taken; /* by position */
	size_t count, next;
	size_t unreadable; /* out: so many could not be read */
};
/* Fails only when the repository does: what is damaged has no names, and is counted. */
void find_names_start(struct op *parent, struct find_names *find);
void find_names_release(struct find_names *find);

#endif
