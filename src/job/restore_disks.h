/* restore_disks.h — the file systems below a data directory. Private to this layer. */
#ifndef JOB_RESTORE_DISKS_H
#define JOB_RESTORE_DISKS_H

#include "base/err.h"
#include "base/str.h"

/* Folders, relative to the data directory, that lie on another file system than the folder above
 * them (something is mounted there), or behind a symbolic link. */
struct restore_disks {
	struct strs path;
};
/* Every folder that something may be written to is shown, each once. Blocks. */
MUST_USE bool restore_disks_see(struct restore_disks *disks, int folder, const char *path,
                                struct err *err);
/* The data directory and all that was noted. Blocks. */
MUST_USE bool restore_disks_sync(const struct restore_disks *disks, const char *pgdata,
                                 struct err *err);
void restore_disks_release(struct restore_disks *disks);

#endif
