/* restore_follow.h — PostgreSQL started and followed until its recovery has ended. Private to this
 * layer. */
#ifndef JOB_RESTORE_FOLLOW_H
#define JOB_RESTORE_FOLLOW_H

#include "loop/child.h"
#include "loop/nap.h"
#include "loop/work.h"
#include "pg/control.h"
#include "pg/session.h"

struct restore;

/* What a worker saw of the server. */
struct server_sight {
	const char *pgdata; /* in */
	pid_t expected;     /* in: the process that we started; 0: not known */
	bool running;
	pid_t pid;       /* of the lock file */
	char status[16]; /* "starting", "ready", "standby" … */
	char socket_folder[1024];
	uint32_t port;
	bool control_known;
	struct control control;
	/* asked for with `page_of`: the timeline of the page that holds the byte before it, in the
	 * segment of the plan's path; 0: there is none */
	lsn page_of;
	uint32_t page_tli;
	lsn page_at;      /* its start: of the last page that has a header */
	bool parent_copy; /* an ancestor's file of the same segment lies there too */
};

struct restore_follow {
	struct op op;
	struct restore *restore;
	/* private */
	struct child child;
	const char *argv[12];
	const char *env[2];
	char *program, *config, *log, *log_env, *connect;
	struct work work;
	struct server_sight sight;
	struct nap nap;
	struct session session;
	struct session_open open;
	struct query query;
	pid_t pid;
	bool served, ending, checked;
	unsigned absent_polls, refused_polls;
	uint64_t log_from;
	bool raised; /* out of the worker: settings were raised, it is to be started again */
	unsigned restarts;
	struct err bad_end; /* it paused where it should not */
	struct err last;    /* why no session could be opened */
};
void restore_follow_start(struct op *parent, struct restore_follow *follow);
void restore_follow_release(struct restore_follow *follow);

/* Blocks. */
void restore_sight(struct restore_follow *follow);
/* Where the timeline that was begun says that the replay ended: into reached_lsn and reached_tli.
 * False: that is not the plan's path. Blocks. */
MUST_USE bool restore_sight_end(struct restore *restore, struct err *err);
/* The end of the server's log since it was started, as far as it says why. Blocks. */
void restore_log_tail(const struct restore_follow *follow, struct buf *out,
                      bool *ret_target_missed);

#endif
