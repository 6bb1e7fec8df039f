/*
 * durable.h — the one module that makes files durable: write beside, sync, rename, sync the folder.
 *
 * Nobody else calls rename, link, fsync or unlink on what must survive. Every call passes a fault
 * point (fault.h), so that the tests can end the process, or fail the call, at each of them.
 */
#ifndef BASE_DURABLE_H
#define BASE_DURABLE_H

#include "base/err.h"

/* A file being made: it has a name beside its target, ".<name>.<pid>.<n>.draft", until it is
 * published. */
struct draft {
	int fd;
	char *path; /* of the target */
	char *beside;
};

/* Opens a new file beside path (mode 0600 and the given bits, less the umask). Draft must be
 * published or dropped. */
MUST_USE bool draft_open(struct draft *draft, const char *path, mode_t mode, struct err *err);
/* The same for a file of a data directory: the folder's mode decides, whatever the umask, as
 * PostgreSQL has it. 0640 where the group may read the folder and nobody else may (0750); else
 * 0600. */
MUST_USE bool draft_open_inside(struct draft *draft, const char *path, struct err *err);
/* Whether a folder is such a one. */
bool durable_group_reads(const char *folder);
MUST_USE bool draft_write(struct draft *draft, const void *bytes, size_t length, struct err *err);
/* Syncs, renames over whatever is there, syncs the folder. The draft is released in any case. */
MUST_USE bool draft_publish(struct draft *draft, struct err *err);
/* As draft_publish, but an existing target is ERR_EXISTS and stays as it is (link(2)); its folder
 * is synced then too, so that "it is there already" is as durable as "done". */
MUST_USE bool draft_publish_new(struct draft *draft, struct err *err);
/* As draft_publish, but the folder is not synced: for what may be missing after a crash, never half
 * there. */
MUST_USE bool draft_place(struct draft *draft, struct err *err);
/* Throws the draft away; safe on a zero-filled or released one. */
void draft_drop(struct draft *draft);

/* A whole small file, replaced durably. */
MUST_USE bool durable_write(const char *path, mode_t mode, const void *bytes, size_t length,
                            struct err *err);
/* The same as draft_open_inside has it. */
MUST_USE bool durable_write_inside(const char *path, const void *bytes, size_t length,
                                   struct err *err);
MUST_USE bool durable_rename(const char *from, const char *to,
                             struct err *err); /* both folders synced */
/* Renames without syncing the folders: the same. */
MUST_USE bool durable_move(const char *from, const char *to, struct err *err);
MUST_USE bool durable_unlink(const char *path,
                             struct err *err); /* not there is success; folder synced */
MUST_USE bool durable_sync_fd(int fd, const char *path, struct err *err);
MUST_USE bool durable_sync_file(const char *path, struct err *err);
MUST_USE bool durable_sync_dir(const char *path, struct err *err);
/* Syncs the whole file system that holds the folder path (syncfs(2)); where there is no such call,
 * each file and folder in it. */
MUST_USE bool durable_sync_filesystem(const char *path, struct err *err);
/* Makes path and what is missing above it, each synced into its parent; existing is success. */
MUST_USE bool durable_mkdir(const char *path, mode_t mode, struct err *err);
/* The same for a path below root, which is never made: when it has gone meanwhile (renamed,
 * unmounted), that is the error, and nothing appears where it was. */
MUST_USE bool durable_mkdir_below(const char *root, const char *path, mode_t mode, struct err *err);
/* Whether a file name (without folder) is one of our drafts: left over from a killed process. */
bool durable_is_draft(const char *name);

#endif
