/* restore_save.h — in place: what is there is made safe before it is changed. Private to this
 * layer. */
#ifndef JOB_RESTORE_SAVE_H
#define JOB_RESTORE_SAVE_H

#include "base/str.h"
#include "loop/work.h"

#include "push.h"
#include "repo/catalog.h"

struct restore;

struct restore_save {
	struct op op;
	/* private */
	struct restore *restore;
	struct work look;
	struct strs names; /* of files in pg_wal that the archive lacks */
	size_t next;
	struct push push;
	struct push_destination destination;
	char *path;
};
void restore_save_start(struct op *parent, struct restore_save *save, struct restore *restore);
void restore_save_release(struct restore_save *save);

/* Moves pg_control away durably, and removes what lies in pg_wal, but for the unfinished last
 * segment when the path leads through it. Blocks. */
MUST_USE bool restore_clear(struct restore *restore, struct err *err);
/* After pg_control has its name again. */
MUST_USE bool restore_clear_end(const struct restore *restore, struct err *err);

#endif
