/* restore_shown.h — how a restore's plan and its end look. */
#ifndef CLI_RESTORE_SHOWN_H
#define CLI_RESTORE_SHOWN_H

#include "job/restore.h"
#include "shown.h"

/* What was reached, in a line or two. */
void restore_shown_end(const struct restore *restore, struct buf *out);
/* The plan, and the end when there was one. */
void restore_shown_json(const struct restore *restore, struct buf *out);

#endif
