/* restore_load.h — what a plan is made from: listings, heads of backups, and looks into the WAL.
 * Private to this layer. */
#ifndef JOB_RESTORE_LOAD_H
#define JOB_RESTORE_LOAD_H

#include "job/site.h"
#include "nearest.h"
#include "pg/walwalk.h"
#include "repo/object.h"
#include "restore_backups.h"
#include "repo/plan.h"
#include "repo/walquery.h"

struct restore_load {
	struct op op;
	/* in */
	struct site *site;
	/* out; restore_load_release */
	struct generation_facts facts;
	char generation[NAME_GENERATION_MAX];
	struct catalog catalog; /* WAL: of all repositories together */
	struct harm harm;       /* copies that are damaged; what is so in all repositories is
	                           not in the catalogue's runs */
	struct restore_backups backups; /* of all repositories */
	/* private */
	struct nearest_generation open;
	struct nearest_catalog listing;
};
void restore_load_start(struct op *parent, struct restore_load *load);
/* One line for people about one of the heads that could not be read. */
void restore_load_warning(const struct restore_load *load, size_t which, char *out,
                          size_t out_bytes);
void restore_load_release(struct restore_load *load);

/* Whether the WAL that a plan needs is there: listed, in all repositories. What is not is taken out
 * of the catalogue. */
struct restore_check {
	struct op op;
	/* in */
	struct restore_load *load;
	const struct restore_plan *plan; /* its path and range; must stay */
	uint64_t last;                   /* of the range: no more is needed */
	/* out */
	uint64_t missing; /* segments */
	/* private */
	struct site *at;
	struct catalog found;
	struct holdings_path path;
};
void restore_check_start(struct op *parent, struct restore_check *check);

enum find_what {
	FIND_BEGIN,  /* begun_us of timeline tli */
	FIND_END,    /* the last record and the last commit of the plan's path */
	FIND_TARGET, /* the plan's xid or restore point on its path, the newest */
	FIND_AGAIN,  /* the plan's restore point once more: the newest that starts before `below` */
	FIND_MOMENT, /* the first commit or abort beyond the plan's time, which ends in `moment` */
};
struct restore_find {
	struct op op;
	/* in; must stay */
	struct site *site;
	const struct restore_plan
	        *plan;           /* path and range; FIND_BEGIN: only path and segment_bytes */
	const struct harm *harm; /* copies that need not be tried; or NULL */
	const char *generation;
	uint64_t system_identifier;
	enum find_what what;
	uint32_t tli;    /* FIND_BEGIN */
	lsn below;       /* FIND_AGAIN; else LSN_MAX */
	lsn possible;    /* FIND_TARGET: the end of the first backup; near is from there on */
	uint64_t moment; /* FIND_MOMENT: a segment */
	/* FIND_END, by the WAL index: what lies between the newest segment and the one where the
	 * last transaction ended need not be read. */
	bool sketched;
	uint64_t xacts_segno; /* 0: none did */
	int64_t sketched_us;  /* as proven_us, of all but the newest segment */
	const char *local; /* FIND_END: a data directory whose last segment counts too; or NULL */
	/* out */
	bool found;                                 /* FIND_TARGET, FIND_AGAIN, FIND_MOMENT */
	lsn found_start, found_end, found_previous; /* of its record; start of the one before it */
	uint32_t found_tli;
	int64_t found_us;         /* its time */
	struct restore_near near; /* FIND_TARGET: also in, from the search before */
	int64_t begun_us;         /* INT64_MAX: it has no WAL */
	lsn end_start, end_lsn;   /* of the last complete record; 0: none */
	uint32_t end_tli;
	int64_t last_commit_us; /* the latest time in the newest segment with any; INT64_MIN: none
	                         */
	lsn last_commit_lsn;    /* end of its last commit */
	int64_t proven_us;      /* FIND_END: of the newest record with a time; INT64_MIN: none */
	uint64_t segments;      /* looked at */
	bool local_found;       /* the end lies in the local segment, the one after last_segno */
	struct find_damage {    /* ERR_DAMAGED: which copy; site NULL: it is not known */
		struct site *site;
		uint32_t tli;
		uint64_t segno;
	} damage;
	/* private */
	struct object_stream stream;
	struct site *at; /* where it is being read from */
	bool consumed;
	struct err worse; /* one that was damaged, when another one might have it */
	struct find_damage worse_at;
	struct walwalk *walk;
	struct work look;
	uint64_t segno, from; /* being read; where the walk began */
	bool have_end;
	int64_t seen_us; /* of the walk, as proven_us */
	struct find_head {
		uint8_t *bytes; /* owned: what a segment begins with */
		struct site *site;
		uint64_t segno;
		size_t length;
		bool whole; /* no more is taken */
	} head, next;       /* of the segment being read, and of the one behind it */
	char name[NAME_BYTES];
	/* FIND_TARGET, FIND_AGAIN: where it can be, by the WAL index */
	struct walpieces pieces;
	struct walpieces_load pieces_load;
	struct walquery query;
	size_t candidate;
};
void restore_find_start(struct op *parent, struct restore_find *find);

#endif
