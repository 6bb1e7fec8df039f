/*
 * hook.h — the client of the server's Unix socket that PostgreSQL's hooks share: the program
 * seawall-wal, and an archive module. libc only; one request after another, blocking, no signals.
 *
 * What counts is the header Seawall-Result. Anything that is not understood is "unknown", and
 * unknown is never success and never "absent".
 */
#ifndef HOOK_HOOK_H
#define HOOK_HOOK_H

#include "base/buf.h"
#include "base/err.h"

enum hook_verb { HOOK_PUSH, HOOK_FETCH };

#define HOOK_RESULTS(X)                                                                            \
	X(STORED)    /* push: safe, in as many repositories as the policy wants */                 \
	X(DELIVERED) /* fetch: the file lies at its path */                                        \
	X(ABSENT)    /* fetch: proven not to exist */                                              \
	X(FAILED)    /* the server says no; the text says why */                                   \
	X(UNKNOWN)   /* an answer that means nothing to us */                                      \
	X(NO_SERVER) /* nobody there, or not one of ours: use the fallback */                      \
	X(HUNG)      /* the server took the request and is silent: the fallback */                 \
	X(LATE)      /* the server works on it beyond our patience */

enum hook_result {
#define X(name) HOOK_##name,
	HOOK_RESULTS(X)
#undef X
};

enum {
	HOOK_WAIT_S = 5,             /* the server answers at least this often */
	HOOK_SILENCE_MS = 10 * 1000, /* no byte for so long: the server hangs */
	HOOK_PUSH_TOTAL_MS = 60 * 1000,
	HOOK_FETCH_TOTAL_MS = 330 * 1000, /* the server itself gives up after 5 minutes */
	/* A standby polls the archive again and again and needs its answer within 10 s. */
	HOOK_STANDBY_WAIT_S = 3,
	HOOK_STANDBY_SILENCE_MS = 6 * 1000,
	HOOK_STANDBY_TOTAL_MS = 10 * 1000,
	HOOK_TEXT_BYTES_MAX = 64 * 1024, /* of what the server tells; the rest is dropped */
};

struct hook_request {
	enum hook_verb verb;
	const char *socket;
	const char *data;    /* the data directory, absolute */
	const char *path;    /* of the file to store or to deliver, absolute */
	const char *name;    /* fetch: the file that PostgreSQL wants */
	const char *cluster; /* fetch: may be NULL */
	const char *restore; /* fetch: the restore's plan, absolute, may be NULL */
	unsigned wait_s;
	unsigned silence_ms;
	unsigned total_ms;
};

struct hook_answer {
	enum hook_result result;
	struct buf text; /* what the server tells, for PostgreSQL's log; may be empty */
	struct err err;  /* why there is no answer; empty when plainly no server runs */
};

/* The limits that belong to the verb; the other fields stay. */
void hook_limits(struct hook_request *request, bool standby);
/* Asks, and asks again while the server works on it. Always an answer, within total_ms (and, once
 * the server is silent, within silence_ms). The caller releases ret. */
void hook_ask(const struct hook_request *request, struct hook_answer *ret);
void hook_answer_release(struct hook_answer *answer);
const char *hook_result_name(enum hook_result result);

/* The exit status for a final answer (after NO_SERVER and HUNG: when the fallback cannot be run). A
 * push never exceeds 125, since PostgreSQL's archiver would restart; an unknown fetch is 255, since
 * anything up to 125 would end the recovery short. A standby asks again, so there unknown is 1. */
int hook_exit(enum hook_verb verb, enum hook_result result, bool standby);

/* The file's absolute path, and the data directory: the folder above pg_wal, else for a relative
 * path the working directory (PostgreSQL runs its hooks in the data directory), else the folder
 * above the file's. The caller frees both. */
MUST_USE bool hook_locate(const char *path, char **ret_path, char **ret_data, struct err *err);
/* Whether PostgreSQL in this data directory runs as a standby. */
bool hook_is_standby(const char *data);
/* The socket that a restore's plan names, NULL if it names none. The caller frees. */
MUST_USE bool hook_restore_socket(const char *plan, char **ret_socket, struct err *err);

#endif
