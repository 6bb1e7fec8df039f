/* ready.h — what PostgreSQL waits to have archived: the .ready entries of archive_status. Private
 * to this layer. */
#ifndef JOB_READY_H
#define JOB_READY_H

#include "base/err.h"
#include "pg/segment.h"

enum { READY_MAX = 512 }; /* names that a look brings back: the first in PostgreSQL's order */

struct ready {
	struct walname name[READY_MAX];
	unsigned count;
	uint64_t found;   /* .ready entries with a valid name, all of them */
	uint64_t ignored; /* entries that are no valid name */
};

/* Reads <folder>/pg_wal/archive_status; it is never changed by us. Blocks: for workers. */
MUST_USE bool ready_read(const char *folder, struct ready *ret, struct err *err);
/* Only how many there are. Blocks. */
MUST_USE bool ready_count(const char *folder, uint64_t *ret_found, struct err *err);
/* PostgreSQL's own order: history files first, then as text. */
int ready_compare(const struct walname *a, const struct walname *b);

#endif
