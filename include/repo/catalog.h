/*
 * catalog.h — what the archive of one generation holds, from listings, and what follows from it.
 *
 * Segments are kept as runs, so millions take little memory. The functions below the operation are
 * pure: the rule for "absent" (architecture.md 7, "Fetch") is decided here and nowhere else.
 */
#ifndef REPO_CATALOG_H
#define REPO_CATALOG_H

#include "base/str.h"
#include "pg/timeline.h"
#include "repo/owner.h"
#include "repo/repo.h"

struct catalog_run {
	uint64_t first, last; /* segment numbers, both archived */
};
struct catalog_timeline {
	uint32_t tli;
	struct catalog_run *run; /* ascending, a hole between any two */
	size_t runs, size;
	bool history_archived; /* <tli>.history is there and was read */
	struct history history;
	uint64_t files_to; /* the segment number behind the highest .backup or .partial; 0: none */
};
/* Archived, and known to be damaged wherever it is: no run holds it. */
struct catalog_harm {
	uint32_t tli;
	uint64_t segno;
	bool accepted; /* as it was, by `seawall wal push --accept-damaged` */
};
struct catalog_file { /* .backup or .partial */
	struct walname name;
	char digest[2 * SEALED_DIGEST_BYTES + 1]; /* .partial; "" else */
	uint64_t bytes;
};
struct catalog {
	uint32_t segment_bytes;
	struct catalog_timeline *timeline; /* ascending */
	size_t timelines, timelines_size;
	struct catalog_file *file;
	size_t files, files_size;
	struct owner_note *note; /* of all timelines (repo/owner.h), ascending */
	size_t notes, notes_size;
	char (*backup)[NAME_BACKUP_ID_BYTES]; /* ids, in the order of their names (not of LSNs) */
	size_t backups, backups_size;
	struct catalog_harm *harm; /* by timeline and position */
	size_t harms;
	uint64_t segments, segment_stored_bytes; /* all timelines; parts counted in the bytes */
	int64_t newest_us;                       /* store's time of the newest segment, 0: none */
	uint64_t ignored;                        /* names that are none of ours */
};

enum {
	CATALOG_HISTORIES = 1, /* list and read all history files and owner notes */
	CATALOG_WAL = 2,       /* list all WAL */
	CATALOG_BACKUPS = 4,   /* list the ids of backups */
	CATALOG_TIMELINES = 8, /* only the highest segment of each timeline: a run of one */
};

/* Lists; ret is released with catalog_release also after a failure. */
struct catalog_load {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation; /* prefix, as in names.h */
	uint32_t segment_bytes;
	unsigned what;
	enum gate_class class;
	bool tolerant;       /* a history or note that is damaged is passed over: where nothing is
	                        proven by its absence */
	struct catalog *ret; /* zero-filled by the caller, or what another repository holds */
	/* private */
	struct catalog_detail *detail;
};
void catalog_load_start(struct op *parent, struct catalog_load *load);
void catalog_release(struct catalog *catalog);

/* The highest archived segment of one timeline, with few requests. */
struct catalog_tail {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes, tli;
	/* out */
	bool found;
	uint64_t segno;
	uint64_t files_to; /* as in struct catalog_timeline, of the folders that were looked at */
	/* private */
	char prefix[NAME_BYTES];
	struct store_walk walk;
	struct strs folders;
};
void catalog_tail_start(struct op *parent, struct catalog_tail *tail);

/* Is one segment there. */
struct catalog_head {
	struct op op;
	/* in */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes, tli;
	uint64_t segno;
	/* out */
	bool found;
	/* private */
	char name[NAME_BYTES];
	struct store_head head;
};
void catalog_head_start(struct op *parent, struct catalog_head *head);

/* ---- pure ---- */
/* NULL: nothing of it is known. */
const struct catalog_timeline *catalog_timeline(const struct catalog *catalog, uint32_t tli);
/* For builders (the loader, tests): in any order, twice is once. */
void catalog_add_segment(struct catalog *catalog, uint32_t tli, uint64_t segno);
/* All of first to last. */
void catalog_add_segments(struct catalog *catalog, uint32_t tli, uint64_t first, uint64_t last);
void catalog_remove_segments(struct catalog *catalog, uint32_t tli, uint64_t first, uint64_t last);
/* Nothing, if a run holds it: it is good somewhere. */
void catalog_add_harm(struct catalog *catalog, const struct catalog_harm *harm);
/* NULL: it is not known to be damaged. */
const struct catalog_harm *catalog_harm_at(const struct catalog *catalog, uint32_t tli,
                                           uint64_t segno);
/* A .backup or .partial; digest: text, "" for .backup. */
void catalog_add_file(struct catalog *catalog, const struct walname *name, const char *digest,
                      uint64_t bytes);
/* Only that there is something of the timeline. */
void catalog_add_timeline(struct catalog *catalog, uint32_t tli);
void catalog_add_note(struct catalog *catalog, const struct owner_note *note);
/* Takes over the content of history. */
void catalog_add_history(struct catalog *catalog, struct history *history);

bool catalog_has(const struct catalog *catalog, uint32_t tli, uint64_t segno);
/* False: none of the timeline is archived. */
bool catalog_highest(const struct catalog *catalog, uint32_t tli, uint64_t *ret_segno);
bool catalog_lowest(const struct catalog *catalog, uint32_t tli, uint64_t *ret_segno);
/* The last segment of the unbroken run that begins at or contains segno; false: segno is not there.
 */
bool catalog_contiguous(const struct catalog *catalog, uint32_t tli, uint64_t segno,
                        uint64_t *ret_last);
uint32_t catalog_highest_tli(const struct catalog *catalog); /* known in any way; 0: none */

struct catalog_gap {
	uint32_t tli;
	uint64_t segno;
};
/* Whether all segments that hold bytes [from, until) of a timeline path are archived, each under
 * the timeline that the path says. False: *ret is the first one that is not. */
bool catalog_path_complete(const struct catalog *catalog, const struct history *path, lsn from,
                           lsn until, struct catalog_gap *ret);

enum absence {
	ABSENCE_PRESENT,      /* it is there */
	ABSENCE_ABOVE,        /* absent: above everything that is known of its timeline */
	ABSENCE_BEFORE_BEGIN, /* absent: its timeline begins later */
	ABSENCE_HOLE,         /* not there, and there is more behind it: no end */
	ABSENCE_BELOW_FORK,   /* not there, but a timeline forked behind it: no end */
	ABSENCE_UNPROVEN, /* N.history: other things say that timeline N exists, or a higher one; a
	                     segment: a later timeline without history may have begun behind it */
};
/* What the catalog (CATALOG_HISTORIES and CATALOG_WAL or CATALOG_TIMELINES) proves about a segment
 * that could not be fetched, about <tli>.history. */
enum absence absent_verdict(const struct catalog *catalog, uint32_t tli, uint64_t segno);
enum absence absent_history_verdict(const struct catalog *catalog, uint32_t tli);
/* Only these may be reported to PostgreSQL as "not there". */
static inline bool absence_proven(enum absence absence)
{
	return absence == ABSENCE_ABOVE || absence == ABSENCE_BEFORE_BEGIN;
}
const char *absence_text(enum absence absence);

#endif
