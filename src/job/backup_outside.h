/* backup_outside.h — which configuration files lie outside of the data directory. Private to this
 * layer. */
#ifndef JOB_BACKUP_OUTSIDE_H
#define JOB_BACKUP_OUTSIDE_H

#include "pg/session.h"
#include "base/str.h"

/* Absolute paths. What cannot be read is told in the log. Blocks. */
void backup_outside(const char *pgdata, const struct facts *facts, struct strs *out);

#endif
