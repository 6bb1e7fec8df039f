/* restore_internal.h — the parts of a restore, between its files. Private to this layer. */
#ifndef JOB_RESTORE_INTERNAL_H
#define JOB_RESTORE_INTERNAL_H

#include "job/restore.h"
#include "restore_copy.h"
#include "restore_follow.h"
#include "restore_load.h"
#include "restore_conf.h"
#include "restore_save.h"
#include "restore_scan.h"
#include "restore_sketch.h"

/* What lies at the target before anything is written. */
struct restore_place {
	/* in */
	const char *given;              /* absolute */
	const char *own;                /* the cluster's own data directory, or NULL */
	const char *repository, *state; /* folders that it must not touch; or NULL */
	bool in_place;
	const char *command; /* ours, to compare with that of a journal */
	/* out */
	char *path; /* owned: canonical */
	bool exists, empty, clone;
	bool journal;               /* a restore was not finished here, whichever */
	bool resume;                /* a journal of the same command is there */
	bool placed;                /* and all files were in their place */
	uint64_t system_identifier; /* in place: of what is there */
	struct strs notes;
};
/* Blocks. Refuses what must not be written to. */
MUST_USE bool restore_place_look(struct restore_place *place, struct err *err);
void restore_place_release(struct restore_place *place);
/* Whether a process runs; one that has ended and that nobody has waited for does not. */
bool restore_process_lives(pid_t pid);

/* What a killed run left of files that never got their name. */
MUST_USE bool restore_drafts_remove(const char *pgdata, struct err *err);

/* The tablespaces of the plan: mapped by "NAME=DIR", or where they were. */
MUST_USE bool restore_tablespaces(struct restore_plan *plan, const struct manifest_head *head,
                                  const struct strs *mapped, struct err *err);
/* Before the first byte: parents, rights, tablespaces' folders, room on each disk. Blocks. */
struct restore_room {
	const struct restore_plan *plan;
	const char *link_pgwal;
	bool exists, in_place, resume;
	bool group_access;                /* may the group read what is made */
	const uint64_t *tablespace_bytes; /* as plan->tablespace; NULL: not counted */
	uint64_t main_bytes;
};
MUST_USE bool restore_room_check(const struct restore_room *room, struct err *err);
/* Makes the folders that the copy needs. Blocks. */
MUST_USE bool restore_room_make(const struct restore_room *room, struct err *err);

/* The journal: "<pgdata>/seawall.journal". */
enum journal_phase { JOURNAL_COPYING, JOURNAL_PLACED };
MUST_USE bool restore_journal_write(const char *pgdata, const char *command,
                                    enum journal_phase phase, struct err *err);
/* ERR_NOTFOUND: there is none. */
MUST_USE bool restore_journal_read(const char *pgdata, char **ret_command,
                                   enum journal_phase *ret_phase, struct err *err);

/* Fills in restore->plan: backup, path, range of WAL, and the end as far as it is known. */
struct restore_choosing {
	struct op op;
	struct restore *restore; /* in: with its detail loaded */
	/* private */
	struct restore_sketch sketch;
	struct restore_find find;
	struct restore_find end;    /* the last FIND_END: what it found */
	struct restore_find record; /* the last FIND_TARGET */
	struct restore_check check;
	struct err not_found;     /* a segment that the catalogue has: is it there? */
	struct harm_write mark;   /* of one that was found damaged */
	struct restore_plan only; /* its path and range: that segment. Borrowed */
	bool again;               /* it is not believed any more: everything is chosen anew */
	uint32_t find_path_tli;   /* end is that of the path to this timeline; 0: it is not */
	struct timeline_facts *fact;
	size_t facts;
	struct restore_searched searched;
	uint64_t moment; /* the segment where the first transaction beyond the target's time ends */
	lsn beyond;      /* and its record, when that lay inside a backup; 0: it did not */
	struct err refusal;
};
void restore_choosing_start(struct op *parent, struct restore_choosing *choosing);
void restore_choosing_release(struct restore_choosing *choosing);

struct restore_detail {
	struct restore *restore;
	struct restore_target target;
	uint32_t timeline; /* --timeline, 0: none */
	char *command;     /* the options that make this restore what it is */
	struct restore_place place;
	struct err refused; /* plan_only: why the directory would be refused */
	struct restore_load load;
	struct restore_choosing choosing;
	const struct manifest_head *head;
	char *pg_bin;
	char *repository; /* folder of a file repository, or NULL */
	struct work work;
	int64_t copy_begun_us; /* monotonic; 0: a part of the files was there already */
	struct restore_copy copy;
	struct restore_follow follow;
	struct restore_save save;
	struct restore_scan scan;
	int folder; /* of the data directory, -1 */
};

/* The data directory's mode, which decides about that of everything made in it. Blocks. */
MUST_USE bool restore_mode_set(const struct restore_detail *detail, struct err *err);
/* From "all files are there" to "it can be started". Blocks. */
MUST_USE bool restore_settle(struct restore *restore, struct err *err);
/* The replay met a change of parameters: what pg_control says now becomes the least again. Blocks.
 */
MUST_USE bool restore_raise_floors(struct restore *restore, bool *ret_raised, struct err *err);
/* Removes the journal and, after a replay that was followed, the settings of the recovery. */
MUST_USE bool restore_finish(struct restore *restore, struct err *err);
/* Where pg_ctl and postgres are; the caller frees. NULL: not found. */
char *restore_pg_bin(const struct site *site, const struct manifest_head *head);
/* The configuration file that the server is started with, when it is not the one in the data
 * directory; else NULL. */
const char *restore_config_file(const struct restore *restore);

#endif
