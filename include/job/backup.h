/*
 * backup.h — a base backup of a running cluster, from its local data directory (architecture.md 9).
 *
 * One story: session, checkpoint, copy into packs, stop, wait until the WAL of the copy is in the
 * repository, manifest. With several repositories it goes to all of the site's chain: one that
 * fails is left out, and it is success when as many as "ack" says have all of it. The manifest is
 * written last: before that nothing of the backup is visible, and whatever ends the story earlier
 * (failure, cancel, a killed process) leaves PostgreSQL not in backup mode, because its session
 * ends, and packs that nobody refers to.
 *
 * Pages whose checksum is wrong do not fail it: they are in head.finding, the backup is complete,
 * and the command ends with exit status 7 (backup_exit).
 */
#ifndef JOB_BACKUP_H
#define JOB_BACKUP_H

#include "job/site.h"
#include "loop/op.h"
#include "repo/manifest.h"

enum {
	BACKUP_WAL_WAIT_MS = 10 * 60 * 1000, /* default of backup.wal_wait_ms */
	BACKUP_LABEL_MAX = 1024,             /* bytes; the server's own limit */
};

enum backup_phase {
	BACKUP_CHECKING, /* connects, looks whether a backup can be made */
	BACKUP_STARTING, /* the server makes its checkpoint; meanwhile the bytes are counted */
	BACKUP_COPYING,
	BACKUP_STOPPING,
	BACKUP_WAITING, /* for WAL in the repository: progress.waiting_for */
	BACKUP_WRITING, /* the manifest's head */
	BACKUP_DONE,
};
const char *backup_phase_text(enum backup_phase phase); /* "copying files" */

struct backup_progress {
	enum backup_phase phase;
	int64_t begun_us;      /* wall clock */
	uint64_t bytes_total;  /* an estimate: the cluster changes meanwhile; 0 until it is known */
	uint64_t bytes_done;   /* read */
	uint64_t bytes_stored; /* written to the repository */
	uint64_t files_total, files_done;
	uint64_t findings;
	char waiting_for[64]; /* BACKUP_WAITING: the first WAL file that is not in the repository */
	char left_out[256];   /* repositories that do not get it, "" none: "a, b" */
};

struct backup {
	struct op op;
	/* in; must stay */
	struct site *site;
	const char *label; /* the user's, or NULL */
	bool spread; /* let the server spread its checkpoint over minutes, instead of at once */
	int64_t wal_wait_ms; /* 0: BACKUP_WAL_WAIT_MS */
	/* Called on the loop when the phase changes (progress.phase); may be NULL. In between,
	 * progress may be read at any time. */
	void (*changed)(struct backup *backup);
	void *context; /* the caller's */
	/* out */
	struct backup_progress progress;
	char id[NAME_BACKUP_ID_BYTES]; /* "" until BACKUP_STARTING */
	struct manifest_head head;     /* complete when op ended without error */
	/* private */
	struct backup_detail *detail;
};
/* The caller has zero-filled it and set the inputs. */
void backup_start(struct op *parent, struct backup *backup);
/* After the end. */
void backup_release(struct backup *backup);
/* The exit status of a backup without error: 0, or 7 when damaged pages were found. */
int backup_exit(const struct manifest_head *head);

#endif
