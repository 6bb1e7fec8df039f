/*
 * plan.h — what a restore is going to do, decided before anything is written: which backup, which
 * timeline path, which WAL, up to where. Pure functions over listings and heads, and the file that
 * carries the plan to whoever delivers WAL.
 *
 * The file is "<data directory>/seawall.restore", ini text with the one section [restore]. It is
 * read by the hook (key socket only), by `seawall wal fetch --restore FILE`, by the server and by
 * the restore itself. A segment of timeline T that starts at or after the point where the path
 * leaves T, or that holds it, is never delivered to a recovery with this plan: restore_plan_judge
 * decides.
 */
#ifndef REPO_PLAN_H
#define REPO_PLAN_H

#include "pg/label.h"
#include "repo/catalog.h"
#include "repo/manifest.h"

enum {
	RESTORE_ID_BYTES = 17,    /* 16 hex digits and NUL */
	RESTORE_NAME_BYTES = 64,  /* of a restore point, with NUL */
	RESTORE_TEXT_BYTES = 128, /* of a target as it was given, with NUL */
	RESTORE_SOCKET_BYTES = 108,
};
#define RESTORE_PLAN_FILE "seawall.restore" /* in the data directory */

enum restore_target_kind {
	RESTORE_LATEST,
	RESTORE_TIME,
	RESTORE_LSN,
	RESTORE_XID,
	RESTORE_NAME,
	RESTORE_BACKUP_END,
};

struct restore_target {
	enum restore_target_kind kind;
	bool before; /* stop before it; else after it */
	char text[RESTORE_TEXT_BYTES];
	int64_t time_us; /* RESTORE_TIME, after restore_target_resolve */
	lsn position;
	uint32_t xid;
	char name[RESTORE_NAME_BYTES];
};
/* "latest", "lsn:0/3000148", "xid:74123", "name:before_migration", "backup-end", else a time (which
 * is judged by restore_target_resolve). ERR_USAGE. */
MUST_USE bool restore_target_parse(const char *text, struct restore_target *ret, struct err *err);
/* Reads the time; zone: the cluster's, "" when it is not known (then the text must have an offset).
 * Refuses a time that is later than now. Does nothing for the other kinds. */
MUST_USE bool restore_target_resolve(struct restore_target *target, const char *zone,
                                     int64_t now_us, struct err *err);
/* One line for people: "time 2026-11-20 14:02:00+01 (2026-11-20 13:02:00 UTC), including it". zone
 * as above. */
void restore_target_text(const struct restore_target *target, const char *zone, struct buf *out);

struct restore_hole {
	bool found;
	uint32_t tli; /* the first segment that is missing on the path, or damaged */
	uint64_t segno;
	bool damaged, accepted; /* it is there; and was archived so, with --accept-damaged */
	uint32_t
	        behind_tli; /* the last one that is archived behind it, or the damaged one itself */
	uint64_t behind_segno;
};

struct restore_tablespace {
	uint32_t oid;
	char *name, *original, *path; /* path: where it goes now */
};

/* Strings are owned; zero-filled is empty. */
struct restore_plan {
	char id[RESTORE_ID_BYTES];         /* random, names the spool */
	char *cluster, *generation;        /* generation: the prefix of all names (names.h) */
	char *pgdata;                      /* the directory being restored, absolute */
	char *config;                      /* NULL: the embedded default */
	char socket[RESTORE_SOCKET_BYTES]; /* that of the restore itself while it runs; "": none */
	uint64_t system_identifier;
	uint32_t major, segment_bytes;
	bool clone, in_place;

	char backup[NAME_BACKUP_ID_BYTES];
	lsn start_lsn, stop_lsn; /* of the backup */
	uint32_t start_tli, stop_tli;
	int64_t backup_stop_us; /* commits before it are in the backup; the server's clock */

	struct restore_target target;
	char time_zone[64];   /* the cluster's */
	uint32_t known_tli;   /* the highest that any repository knew; 0: not noted */
	struct history path;  /* path.tli: the timeline at its end (recovery_target_timeline) */
	uint64_t first_segno; /* the first that the recovery needs */
	uint64_t last_segno;  /* the last archived without a hole on the path; no one needs more */
	struct restore_hole hole;
	uint64_t kept_segno; /* in place: the unfinished last segment, of path.tli, that stays in
	                        pg_wal; 0: none */

	/* What is known of the end before the replay; 0 when it is not. */
	lsn end_start;          /* start of the last record that is to be replayed (latest) */
	lsn end_lsn;            /* its end */
	uint32_t end_tli;       /* timeline of its page */
	int64_t last_commit_us; /* of the last commit of the path that was found */
	lsn last_commit_lsn;

	uint64_t files, logical_bytes, stored_bytes; /* of the backup */
	struct restore_tablespace *tablespace;
	size_t tablespaces;
};
void restore_plan_release(struct restore_plan *plan);

/* ---- deciding ---- */

/* What has to be looked up in the WAL before a path can be chosen for a time: see
 * restore_choose. Facts of one timeline. */
struct timeline_facts {
	uint32_t tli;
	bool begun_known, end_known;
	int64_t begun_us;       /* wall clock at its first record; INT64_MIN: always there */
	int64_t last_commit_us; /* of commits and aborts in its archived WAL; INT64_MIN: none */
	lsn last_commit_lsn;
	int64_t proven_us; /* of the newest record with a time: no transaction that ended before it
	                      is missing; INT64_MIN: none */
	lsn end_start, end_lsn; /* the last record; 0: not known */
};

enum { RESTORE_NEAR_POINTS = 3 };
/* What was met on the search for a transaction or a restore point, and can be a target itself. */
struct restore_near {
	uint32_t below, above; /* the nearest transactions; 0: none */
	struct restore_near_point {
		char name[RESTORE_NAME_BYTES];
		lsn start;
		int64_t time_us;
	} point[RESTORE_NEAR_POINTS]; /* the newest first */
	unsigned points;
};
void restore_near_xid(struct restore_near *near, uint32_t wanted, uint32_t xid);
void restore_near_point(struct restore_near *near, const char *name, lsn start, int64_t time_us);

/* What the WAL was searched for so far; zero-filled is nothing. Each stretch of it without a hole
 * is a search of its own, newest first. */
struct restore_searched {
	unsigned stretches;
	uint64_t from; /* the first segment of the last stretch */
	bool found;
	lsn start;       /* of the newest record that is the target */
	int64_t time_us; /* of a restore point */
	/* A restore point: whether the chosen backup meets another one of that name before it,
	 * where PostgreSQL would stop. */
	bool again_searched, again;
	lsn again_start;
	int64_t again_us;
	struct restore_near near;
};

struct restore_ask {
	const struct catalog *catalog;    /* everything of the generation */
	const struct manifest_head *head; /* all backups, in any order */
	size_t heads;
	const struct restore_target *target; /* resolved */
	uint32_t timeline;                   /* --timeline N; 0: the one that leads to the target */
	const struct timeline_facts *fact;
	size_t facts;
	struct restore_searched searched; /* RESTORE_XID, RESTORE_NAME */
	lsn beyond; /* RESTORE_TIME: a commit beyond it; the backup must end before. 0: not known */
	bool local; /* in place: the segment behind the last archived one may be in pg_wal */
};

enum restore_need {
	RESTORE_NEEDS_NOTHING,
	RESTORE_NEEDS_BEGIN,  /* when timeline *ret_tli was begun */
	RESTORE_NEEDS_END,    /* the last commit of the path in plan */
	RESTORE_NEEDS_SEARCH, /* where the target is, from first_segno to last_segno of plan */
	RESTORE_NEEDS_AGAIN,  /* whether it is there once more, behind plan's start_lsn */
};

/* Chooses path, backup and range of WAL into plan (its backup…, path, first_segno, last_segno,
 * hole, sizes). With *ret_need the facts of timeline *ret_tli are missing: look them up and ask
 * again. Refusals: ERR_REFUSED (before every backup, behind a hole, a timeline that does not lead
 * there), ERR_NOTFOUND (no backup, unknown timeline), each with the nearest possible on both sides
 * in the hint; with *ret_need, asked again with those facts the hint knows more.
 */
MUST_USE bool restore_choose(const struct restore_ask *ask, struct restore_plan *plan,
                             enum restore_need *ret_need, uint32_t *ret_tli, struct err *err);

/* The target position lies behind the last record of the plan's WAL. Returns false. */
bool restore_refuse_end(const struct restore_ask *ask, const struct restore_plan *plan, lsn end_lsn,
                        struct err *err);

/* ---- delivering ---- */

/* Of a hole whose segment is called `name`: "is not in the archive", or what else is wrong. */
const char *restore_hole_text(const struct restore_hole *hole);

enum restore_verdict {
	RESTORE_MAY,    /* the path holds this segment under this timeline */
	RESTORE_OTHER,  /* not of the path: another timeline's copy is (or none): never delivered,
	                   but the question is harmless, PostgreSQL goes on with the next */
	RESTORE_LEFT,   /* of a timeline that the path has left: its child's copy or nothing */
	RESTORE_BEYOND, /* of the path, behind the last segment that the plan needs */
};
/* About segment segno of timeline tli. */
enum restore_verdict restore_plan_judge(const struct restore_plan *plan, uint32_t tli,
                                        uint64_t segno);
/* Whether a recovery with this plan may replay a record that starts there, as far as its end is
 * known. */
bool restore_plan_replays(const struct restore_plan *plan, lsn start);
/* Whether path is where one of the plan's own tablespaces is now. */
bool restore_plan_owns(const struct restore_plan *plan, const char *path);
/* Whether <tli>.history belongs to the path (an ancestor or its end). The histories of other
 * timelines are delivered too: recovery_target_timeline is explicit, so they mislead nobody, and at
 * its end the server needs them to choose a number that nobody has. */
bool restore_plan_has_history(const struct restore_plan *plan, uint32_t tli);

/* ---- the file ---- */

MUST_USE bool restore_plan_write(const struct restore_plan *plan, const char *path,
                                 struct err *err);
MUST_USE bool restore_plan_read(const char *path, struct restore_plan *ret, struct err *err);

#endif
