/*
 * session.h — SQL connections to PostgreSQL, as operations (libpq behind, not seen).
 *
 * A session is opened, asked one query at a time, and closed. Every session has the timeouts of the
 * server switched off, search_path = pg_catalog, ISO dates and UTF-8, TCP keepalives, and
 * application_name seawall, so that a backup may stay in it for hours and no setting of the role
 * changes what a query means. Times out by our own clock, never by the server's.
 *
 * Errors: ERR_NETWORK when the server cannot be reached or breaks off, ERR_POSTGRES when it says
 * no: its own message and SQLSTATE.
 */
#ifndef PG_SESSION_H
#define PG_SESSION_H

#include "base/buf.h"
#include "loop/loop.h"
#include "loop/work.h"
#include "pg/lsn.h"

enum {
	SESSION_OPEN_MS = 10000, /* default for session_open.timeout_ms */
	SESSION_NOTICES_MAX = 8192,
	SESSION_CANCEL_MS =
	        10000, /* a cancelled query that does not end by then breaks the session */
	QUERY_PARAMS_MAX = 8,
	SQLSTATE_BYTES = 6,
};

/* A connection. Zero-filled is a closed one. */
struct session {
	struct loop *loop;
	void *conn;         /* NULL: closed */
	int server_version; /* 150020 */
	bool broken;        /* lost; only session_close helps */
	struct buf notices; /* what the server said beside its answers, one line each; buf_clear at
	                     * will
	                     */
	/* private */
	struct fd_watch watch;
	struct op *waiting;
};

struct query {
	struct op op;
	char sqlstate[SQLSTATE_BYTES]; /* of the error; "" when there is none from the server */
	/* private */
	struct session *session;
	const char *sql;
	const char *param[QUERY_PARAMS_MAX];
	unsigned params;
	int64_t timeout_ms;
	void *result;
	struct query_cancel *cancel;
	struct timer timer;
	bool timed_out, gave_up, sent, answered;
};

struct session_open {
	struct op op;
	struct session *session;
	/* private */
	const char *connect;
	int64_t timeout_ms;
	void *options; /* the connection string in pieces */
	struct work lookup;
	struct buf host, hostaddr, port; /* looked up */
	struct query setup;
	struct timer timer;
	bool timed_out;
};

/* connect: a libpq connection string; NULL or "" is the local socket. What it does not name:
 * host=/var/run/postgresql, dbname=postgres, user = the OS user. timeout_ms: 0 is its
 * connect_timeout, else SESSION_OPEN_MS. Host names are looked up on a worker, since libpq would
 * block in it. session must be closed; it is open if and only if the operation succeeds. */
void session_open_start(struct op *parent, struct session_open *open, struct session *session,
                        const char *connect, int64_t timeout_ms);
/* No query may be running. Safe on a closed one. A backup in progress is given up by the server. */
void session_close(struct session *session);

/* One statement; its parameters are text ($1 …), NULL is SQL's NULL; they and sql must stay until
 * the end. timeout_ms: 0 is none. A cancel asks the server to cancel, and waits for its answer. */
struct query_text {
	const char *sql;
	const char *param[QUERY_PARAMS_MAX];
	unsigned params;
	int64_t timeout_ms;
};
void query_start(struct op *parent, struct query *query, struct session *session,
                 const struct query_text *text);
/* The answer, until query_release: rows, columns, and a value (NULL is SQL's NULL). The whole
 * answer is in memory: ask for few rows. */
unsigned query_rows(const struct query *query);
unsigned query_columns(const struct query *query);
const char *query_value(const struct query *query, unsigned row, unsigned column);
/* Safe on a zero-filled, failed or released one; not while it runs. */
void query_release(struct query *query);

enum { FACTS_TEXT_BYTES = 1024, FACTS_NAME_BYTES = 64 };

/* What Seawall wants to know about a running server, in one query that works on 13 to 18. Texts are
 * "" where the role may not see them (may_read_settings is false then) or the version has none. */
struct facts {
	int server_version; /* 150020 */
	unsigned major;
	uint64_t system_identifier;
	uint32_t catalog_version;
	uint32_t segment_bytes, block_bytes, wal_block_bytes;
	uint32_t checkpoint_timeline; /* of the last checkpoint */
	bool checksums, full_page_writes, in_recovery, superuser;
	bool may_read_settings; /* data_directory and the file names are visible */
	lsn position;           /* written, or on a standby replayed; 0: unknown */
	char wal_level[FACTS_NAME_BYTES], archive_mode[FACTS_NAME_BYTES];
	char archive_command[FACTS_TEXT_BYTES], archive_library[FACTS_TEXT_BYTES];
	char data_directory[FACTS_TEXT_BYTES];
	char config_file[FACTS_TEXT_BYTES], hba_file[FACTS_TEXT_BYTES],
	        ident_file[FACTS_TEXT_BYTES];
	char time_zone[FACTS_NAME_BYTES];
	char role[FACTS_NAME_BYTES];
};
struct facts_ask {
	struct op op;
	struct session *session;
	struct facts facts; /* out */
	struct query query;
};
/* Refuses a version that Seawall does not know (ERR_REFUSED). */
void facts_ask_start(struct op *parent, struct facts_ask *ask, struct session *session);

#endif
