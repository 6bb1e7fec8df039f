/* restore_sweep.h — in place: what the backup does not have. Private to this layer. */
#ifndef JOB_RESTORE_SWEEP_H
#define JOB_RESTORE_SWEEP_H

#include "base/err.h"
#include "repo/manifest.h"

enum { SWEEP_NAMES_MAX = 5 };

/* Goes through the directory in the order of the manifest, beside it. */
struct sweep;
/* remove: else it only counts. version_folder: the one of ours inside tablespaces. */
struct sweep *sweep_new(const char *pgdata, const char *version_folder, bool remove);
/* The manifest's next entry of the walk (not the late ones): what sorts before it and is there, is
 * not in the backup. Blocks. */
MUST_USE bool sweep_reach(struct sweep *sweep, const char *path, struct err *err);
/* The manifest has ended: the rest is not in it either. */
MUST_USE bool sweep_end(struct sweep *sweep, struct err *err);
uint64_t sweep_count(const struct sweep *sweep);
/* The first of them, at most SWEEP_NAMES_MAX; NULL: no more. */
const char *sweep_name(const struct sweep *sweep, unsigned n);
void sweep_free(struct sweep *sweep);

#endif
