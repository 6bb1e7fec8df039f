/* restore_copy.h — the files of a backup, from its packs straight to their place. Private to this
 * layer. */
#ifndef JOB_RESTORE_COPY_H
#define JOB_RESTORE_COPY_H

#include "base/durable.h"
#include "job/site.h"
#include "loop/loop.h"
#include "loop/work.h"
#include "pg/manifest.h"
#include "repo/object.h"
#include "repo/plan.h"
#include "restore_disks.h"
#include "turn.h"

/* Names in the data directory that are ours. */
#define RESTORE_JOURNAL_FILE "seawall.journal"
#define RESTORE_CLONE_FILE   "seawall.clone"
#define RESTORE_LOG_FILE     "seawall.log"
#define RESTORE_CONTROL_OLD  "seawall.pg_control"        /* the old one, moved away */
#define RESTORE_CONTROL_NEW  "global/pg_control.seawall" /* until all else is durable */
/* Whether a relative path is one of these: in no backup, and of the restore at hand. */
bool restore_file_is_ours(const char *path);

enum { COPY_LANES_MAX = 8 };

enum { COPY_MIRROR_BYTES = 32 };
#define COPY_MIRROR "conf.outside"

struct copy_window;
struct copy_lane {
	struct op op;
	struct restore_copy *copy;
	struct object_stream stream;
	char name[NAME_BYTES];
	size_t first, end, at; /* extents of the pack being read; the first that is not written */
	struct turn turn;      /* whose repository the pack is read from */
	bool local;            /* what failed was a file here */
	int fd;                /* of the file written last */
	size_t fd_file;
};
struct copy_job { /* prepares or checks every n-th file of a window */
	struct work work;
	struct restore_copy *copy;
	unsigned number, of;
	uint64_t kept_bytes, kept_files;
};

struct restore_copy {
	struct op op;
	/* in; must stay */
	struct site *site, *home; /* the chain; who is asked first */
	struct digest digest;     /* of the manifest, wherever it is read */
	const struct restore_plan *plan;
	const struct manifest_head *head;
	int folder; /* the data directory */
	const char *pgdata;
	bool compare;           /* something is there already: keep what is right */
	bool outside;           /* bring the configuration files from outside along */
	const char *link_pgwal; /* or NULL: a plain folder */
	void (*moved)(struct restore_copy *copy); /* progress changed; on the loop; may be NULL */
	void *context;
	/* out */
	uint64_t files, bytes, bytes_kept, bytes_read; /* done so far */
	struct restore_disks disks; /* file systems that it wrote to, besides the directory's own */
	struct strs brought; /* files that came from outside, as they are named in the directory */
	char mirror[COPY_MIRROR_BYTES]; /* the folder of those that have no name of their own */
	/* private */
	struct site *from; /* who is asked first; after an outage another one */
	struct turn turn;  /* of the stretch */
	bool body_refused; /* what was read of it, whoever gave it */
	struct object_stream body;
	struct manifest_reader *reader;
	char name[NAME_BYTES];
	uint64_t body_at, stretch_bytes, stretch_taken; /* of the body; of the stretch */
	struct copy_window *window;
	struct sweep *sweep; /* in place: removes what the backup does not have */
	struct copy_job job[WORKERS_MAX];
	unsigned jobs;
	struct copy_lane lane[COPY_LANES_MAX];
	size_t next_extent, order_count;
	bool failed;
	struct backup_manifest manifest;
	struct draft draft; /* of backup_manifest */
};
/* The caller has zero-filled it and set the inputs. At the end all files but pg_control (which lies
 * beside its place) are there, not yet synced; backup_manifest is a draft. */
void restore_copy_start(struct op *parent, struct restore_copy *copy);
/* One more file for backup_manifest, from what lies on the disk. Blocks. */
MUST_USE bool restore_copy_list(struct restore_copy *copy, const char *path, struct err *err);
/* Ends backup_manifest and gives it its name. Blocks. */
MUST_USE bool restore_copy_publish(struct restore_copy *copy, struct err *err);
void restore_copy_release(struct restore_copy *copy);

/* CRC-32C of a whole file. Blocks. */
MUST_USE bool restore_file_crc(int folder, const char *path, uint64_t *ret_bytes, uint32_t *ret_crc,
                               struct err *err);

#endif
