/* restore_outside.h — the configuration files of a restored directory. Private to this layer. */
#ifndef JOB_RESTORE_OUTSIDE_H
#define JOB_RESTORE_OUTSIDE_H

#include "restore_copy.h"

/* After the copy: recovery settings out of the way; in a clone also all that leads out. Blocks. */
MUST_USE bool restore_outside_settle(const struct restore_copy *copy, struct err *err);

#endif
