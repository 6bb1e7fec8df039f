/*
 * restore.h — a backup and its WAL become a data directory again (architecture.md 10).
 *
 * A plan first; then a journal, the files by pack straight to their place, pg_control last,
 * recovery settings with an explicit end; with `start` PostgreSQL is run, followed to the end,
 * checked, and only then promoted, left paused or shut down. Killed anywhere, the same command
 * again completes it.
 *
 * Runs in its own process. The socket on which that process serves fetch belongs to the command
 * (src/job must not know the server): see `serve`.
 */
#ifndef JOB_RESTORE_H
#define JOB_RESTORE_H

#include "base/str.h"
#include "job/site.h"
#include "loop/op.h"
#include "repo/plan.h"

enum restore_then { RESTORE_PROMOTE, RESTORE_PAUSE, RESTORE_SHUTDOWN };
bool restore_then_parse(const char *text, enum restore_then *ret);

struct restore_options {
	const char *to; /* NULL: latest */
	bool before;
	const char *timeline; /* "3", "latest" or NULL */
	const char *pgdata;   /* absolute; NULL: the cluster's own */
	bool in_place, start, plan_only;
	enum restore_then then;
	const char *link_pgwal; /* absolute, or NULL */
	unsigned port;          /* 0: as it is */
	struct strs tablespace; /* "NAME=DIR" */
	struct strs option;     /* "NAME=VALUE" */
};

enum restore_phase {
	RESTORE_PLANNING,  /* listings, heads, looking into WAL */
	RESTORE_CHECKING,  /* directory, disks, tablespaces */
	RESTORE_SAVING,    /* in place: what pg_wal has and the archive lacks */
	RESTORE_COMPARING, /* what is there already */
	RESTORE_COPYING,
	RESTORE_SYNCING,
	RESTORE_SETTING, /* recovery settings, pg_control */
	RESTORE_STARTING,
	RESTORE_REPLAYING,
	RESTORE_FINISHING, /* the end was checked: promote, pause, shut down */
	RESTORE_DONE,
};
const char *restore_phase_text(enum restore_phase phase); /* "copying files" */

struct restore_progress {
	enum restore_phase phase;
	int64_t begun_us;
	uint64_t bytes_total, bytes_done; /* of files */
	uint64_t files_total, files_done;
	uint64_t bytes_read, bytes_kept; /* from the repository; found in place */
	/* RESTORE_REPLAYING */
	lsn replay_from, replay_at, replay_to; /* replay_to 0: not known */
	uint32_t replay_tli;
	int64_t replay_commit_us; /* of the last transaction replayed, 0: none */
	int64_t replay_begun_ms;  /* loop clock */
	int64_t replay_ms;        /* how long it took, when it has ended */
};

/* How long it will take, by the rates that were measured on this host; 0: not known. */
struct restore_estimate {
	int64_t files_ms, replay_ms;
	bool of_backup; /* files: no restore was measured yet, the backup's rate stands for it */
};

struct restore {
	struct op
	        op; /* a target that never came: ERR_FAILED, with the last commit in the sentence */
	/* in; must stay */
	struct site *site;
	const struct restore_options *options;
	/* On the loop: the plan is made (before anything is written); the phase changed; a sentence
	 * for people (warnings, what is done next). `changed` and `said` may be NULL. */
	void (*planned)(struct restore *restore);
	void (*changed)(struct restore *restore);
	void (*said)(struct restore *restore, const char *line);
	/* With `start`: begins to answer fetch for this plan on a socket of its own (fills
	 * plan->socket), and ends that. NULL: PostgreSQL's hooks do without. */
	bool (*serve)(struct restore *restore, struct err *err);
	void (*unserve)(struct restore *restore);
	void *context;
	/* out */
	struct restore_plan plan;
	struct site *from; /* whose repository the backup is taken from, unless it fails */
	struct restore_progress progress;
	struct restore_estimate estimate; /* with the plan */
	uint32_t new_tli;                 /* after a promotion */
	lsn reached_lsn;                  /* end of the last record replayed, and its timeline */
	uint32_t reached_tli;
	int64_t reached_commit_us;
	bool resumed; /* the journal of an earlier run was there */
	/* private */
	struct restore_detail *detail;
};
/* The caller has zero-filled it and set the inputs. */
void restore_start(struct op *parent, struct restore *restore);
void restore_release(struct restore *restore);
/* The plan as lines for people, and what is to be typed next when it was not started. */
void restore_plan_lines(const struct restore *restore, struct buf *out);
void restore_next_lines(const struct restore *restore, struct buf *out);

/* Whether a server runs in the directory: its lock file, and /proc. ret_pid: which. */
bool restore_place_in_use(const char *path, pid_t *ret_pid);

#endif
