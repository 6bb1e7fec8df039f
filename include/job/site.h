/*
 * site.h — one cluster and its repositories, as the stories need it: values only, no configuration.
 *
 * A site is a cluster at one repository. The others of the same cluster hang behind it in `next`,
 * in the order of the setting "repositories", the nearest first; a story that is about one
 * repository takes the site it was given, a story that is about the cluster walks the chain.
 *
 * Made by the server or a command from its settings (server/site_make.c); lives as long as the
 * process. A story borrows it.
 */
#ifndef JOB_SITE_H
#define JOB_SITE_H

#include "codec/sealed.h"
#include "loop/blocks.h"
#include "loop/gate.h"
#include "repo/repo.h"

struct haste;
struct site {
	struct loop *loop;
	struct blocks *blocks;
	struct gate *transfers; /* store operations in flight, over all stories */
	struct repo *repo;      /* repo/repo.h; NULL: its place could not be opened yet */
	const char *repository; /* its name in the configuration */
	struct site *next;      /* the same cluster at its next repository; NULL: the last */
	struct site *first;     /* of the chain; NULL: this one */
	unsigned acks; /* how many of the chain must have a WAL file before it is archived */
	/* Opens the place (sets repo); quick. NULL: repo is open. */
	bool (*open_place)(struct site *site, struct err *err);
	void *context; /* of who made the site */
	/* It did not answer: until then it is not asked where another one may do (loop clock). */
	int64_t away_until_ms, away_since_us; /* since: wall clock */
	struct err away;
	/* The processes of this host that have the same state folder, each for one question, tell
	 * each other that it does not answer (site_hint.c). */
	bool hints, hint_taken;
	/* The newest generation that was seen there: site_saw(), site_newest(). */
	uint64_t seen_system_identifier;
	uint32_t seen_n;
	const char *cluster; /* its name in configuration and repository */
	const char *pgdata;  /* absolute; NULL when the configuration has none */
	/* The archive was begun anew by another server: pg_wal is not where its WAL comes from. */
	bool left_behind;
	const char *connect; /* libpq connection string, or NULL for the default */
	const char *pg_bin;  /* folder of PostgreSQL's programs, or NULL: find it */
	const char *state; /* folder of our local state (a cache that may be deleted at any time) */
	const char *config_path; /* for restore_command; NULL when the embedded default is in use */
	const char *program;     /* absolute path of the running seawall */
	struct compression wal_compression, pack_compression;
	unsigned workers;
	struct haste *haste; /* job/rest.h; NULL: nobody hurries */
	/* What pushes leave for the index, job/walparts.h; NULL: nobody wants it. */
	struct walparts *parts;
};

enum {
	SITE_CHAIN_MAX = 4,
	SITE_AWAY_MS = 5000,
	SITE_STALL_MS = 10 * 1000, /* of a read, while another repository can be asked instead */
	SITE_PROBE_MS = 30 * 1000, /* between two reads that find out whether one answers again */
};

/* Its repository opened unless it is open; it may not be reachable now and be later. */
struct site_ready {
	struct op op;
	struct site *site;
	int64_t stall_ms; /* as struct repo_open has it; set after site_ready_start(); or 0 */
	struct repo_open open;
};
void site_ready_start(struct op *parent, struct site_ready *ready, struct site *site);

/* An operation on it ended so (NULL: well): remembers whether it can be reached. */
void site_note(struct site *site, const struct err *err);
/* Whether it was not to be reached a moment ago. */
bool site_is_away(const struct site *site);
/* Whether a read may ask it where others can be asked first: not when it is away; and when that
 * was some time ago, one read finds out for all. */
bool site_try(struct site *site);
/* A generation of a system identifier is there. */
void site_saw(struct site *site, uint64_t system_identifier, uint32_t n);
/* The highest that was seen at any repository of the cluster; 0: none yet. */
uint32_t site_newest(const struct site *site, uint64_t system_identifier);
struct site *site_first(struct site *site);
/* How long it may be silent before a read goes on to the next one of the chain (struct store_get);
 * 0, as long as ever: there is no other. */
int64_t site_stall_ms(const struct site *first);

#endif
