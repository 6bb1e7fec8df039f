/* find_names.h — the names that tables had, for `seawall find`. */
#ifndef CLI_FIND_NAMES_H
#define CLI_FIND_NAMES_H

#include "repo/relnames.h"
#include "repo/walfind.h"

enum { FIND_NAMES_MAX = 256 }; /* times at which they were taken; older ones are left out */

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
};
/* Never fails: what cannot be read has no names. */
void find_names_start(struct op *parent, struct find_names *find);
void find_names_release(struct find_names *find);

#endif
