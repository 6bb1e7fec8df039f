/*
 * child.h — a child process, as an operation: started, its output collected, its end awaited.
 *
 * The child gets /dev/null as standard input and, unless told otherwise, writes into a bounded
 * buffer (the rest is read and dropped). A cancel sends SIGTERM, and SIGKILL after 5 s.
 */
#ifndef LOOP_CHILD_H
#define LOOP_CHILD_H

#include "base/buf.h"
#include "loop/loop.h"

enum { CHILD_OUTPUT_MAX = 64 * 1024, CHILD_KILL_AFTER_MS = 5000 };

struct child {
	struct op op;
	/* in, set before child_start; must stay until the end */
	const char *const *argv;    /* argv[0]: absolute path, or looked up in PATH */
	const char *folder;         /* working directory, or NULL */
	const char *const *env_add; /* "NAME=value" …, NULL-terminated, or NULL */
	bool own_output;            /* leave stdout and stderr as ours */
	bool own_group;             /* setpgid: our terminal's Ctrl-C does not reach it */
	int64_t timeout_ms;         /* 0: none; then it is ended and the error is ERR_TIMEOUT */
	/* out */
	struct buf output; /* stdout and stderr; released by child_release */
	int exit_status;   /* 0..255, or -signal */
	/* private */
	pid_t pid;
	struct fd_watch pipe_watch;
	struct timer timer;
	int pipe_fd;
	bool exited, timed_out;
	struct child *next;
};

/* Ends when the process has ended: op.err is set when it could not be started or was ended by us;
 * an exit status other than 0 is no error here. */
void child_start(struct op *parent, struct child *child);
void child_release(struct child *child);

#endif
