/* internal.h — the server's own state, shared by its files: one struct, all of it the loop's. */
#ifndef SERVER_INTERNAL_H
#define SERVER_INTERNAL_H

#include "config/config.h"
#include "job/archiver.h"
#include "job/fetcher.h"
#include "loop/loop.h"
#include "repo/plan.h"
#include "server/backups.h"
#include "server/jobs.h"
#include "server/listener.h"
#include "server/runtime.h"
#include "space.h"

/* One cluster of the configuration, at work. */
struct member {
	struct server *server;
	size_t number; /* in the configuration */
	struct site *site;
	struct archiver *archiver;
	struct fetcher *fetcher;
	struct archiver_close archiver_close;
	struct fetcher_close fetcher_close;
	struct indexing *indexing; /* index.c */
	/* seen by the last look (look.c) */
	bool looked;
	struct err look_error;
	uint64_t backups;
	char last_backup[NAME_BACKUP_ID_BYTES];
	int64_t last_backup_us;
	char last_backup_in[PRESENCE_TEXT_BYTES], last_backup_lacked[PRESENCE_TEXT_BYTES];
};

/* A fetcher for one restore's plan (`seawall-wal --restore FILE fetch`): it knows the branch and
 * prefetches. */
enum { PLANNED_MAX = 8 };
struct planned {
	struct op op; /* its end, when another takes its place */
	struct restore_plan plan;
	struct fetcher *fetcher;
	struct fetcher_close close;
	unsigned asks; /* questions that are open */
	int64_t used_ms;
};

struct server {
	struct op op; /* the whole story of serving (serve.c) */
	struct runtime *runtime;
	struct config *config;
	const char *config_given; /* --config, for reading it again; NULL: none */
	struct listener *listener;
	struct jobs *jobs;
	struct member *member; /* as config->cluster */
	struct space *space;   /* as config->repository */
	bool *writers_told;    /* likewise */
	int64_t begun_us;
	bool draining; /* no new work */
	struct wal_ask *asks;
	struct planned *planned[PLANNED_MAX];
	unsigned planned_count;
	int lock_fd;
	dev_t lock_device;
	ino_t lock_inode;
	bool http_failed; /* the TCP address could not be had */
	struct err http_error;
	struct err state_error, socket_error; /* that were told, while they last */
	struct timer tick, look_timer;
	struct look *look; /* under way, or NULL */
	bool stop_asked, reload_asked, hurry;
	int64_t drain_until_ms;
	struct buf reload_wants; /* what a reload changed that needs a restart */
};

/* wal.c */
void serve_push(struct exchange *exchange);
void serve_fetch(struct exchange *exchange);
void asks_cancel(struct server *server);
/* views.c */
void serve_status(struct exchange *exchange);
void serve_backups(struct exchange *exchange);
/* Takes the value. */
struct jval;
void reply_json(struct exchange *exchange, unsigned status, struct jval *value);
/* The cluster that the path names; NULL: there is none, and that was replied. */
struct member *member_of(struct exchange *exchange);
/* intervals.c */
void serve_intervals(struct exchange *exchange);
/* views.c */
void serve_backup_start(struct exchange *exchange);
void serve_jobs(struct exchange *exchange);
void serve_job(struct exchange *exchange);
void serve_job_cancel(struct exchange *exchange);
/* look.c: what status shows of the repositories, looked up now and then */
void look_start(struct server *server);
void look_cancel(struct server *server);
/* index.c: the WAL index is kept complete */
void index_begin(struct member *member);
void index_cancel(struct member *member);
bool index_is_quiet(const struct member *member);
void index_end(struct member *member);
/* After a backup: names for numbers are taken now. */
void index_names_soon(struct member *member);
/* What it knows of the first repository, or NULL; and why it is not complete, or NULL. */
struct indexer;
const struct indexer *index_of(const struct member *member, const struct err **ret_error);
/* lock.c: the state folder and the lock in it */
MUST_USE bool lock_take(struct server *server, struct err *err);
bool lock_intact(const struct server *server);
void lock_release(struct server *server);
/* notify.c: tells systemd, when it asked for that */
void notify(const char *state);

#endif
