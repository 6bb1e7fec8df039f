/* archiver_internal.h — the archiver's own state: what archiver.c and archiver_fill.c share.
 * Private to this layer. */
#ifndef JOB_ARCHIVER_INTERNAL_H
#define JOB_ARCHIVER_INTERNAL_H

#include "wal_fill.h"
#include "job/archiver.h"
#include "owner_watch.h"
#include "push.h"
#include "ready.h"

enum {
	REMEMBERED_MAX = 1024,
	AHEAD_UNCLAIMED = 64,
};

struct remembered {
	struct walname name;
	struct file_identity identity;
	char *folder, *object; /* owned */
	unsigned changes;      /* of the destinations, when it was stored */
	bool claimed;          /* somebody asked for it */
};

struct archive_wanted {
	struct walname name;
	struct file_identity identity;
	char *path;                /* absolute; owned */
	char *object;              /* that of an earlier push, or NULL; owned */
	bool there;                /* it still is */
	bool slow[SITE_CHAIN_MAX]; /* places that may not answer */
};

/* One file on its way to one repository. */
struct archive_copy {
	struct op op;
	struct archive_item *item;
	struct site *site;
	unsigned place;
	struct site_ready ready;
	struct push push;
	struct owner_watch watch; /* without a server */
};

/*
 * A file under way: a copy for each repository. It is decided as soon as enough of them have it, or
 * too few can; copies that are late go on, and the last one's end is the item's.
 */
struct archive_item {
	struct archiver *archiver;
	struct walname name;
	char text[WALNAME_BYTES];
	char *folder, *path; /* owned */
	struct archive_copy copy[SITE_CHAIN_MAX];
	unsigned copies, running, good, bad;
	unsigned failed; /* bits: the places that did not get it */
	/* of the good copies: which file they read, and that (mixed) it is not the same for all, or
	 * does not lie where WAL goes now */
	struct file_identity identity;
	unsigned changes;
	bool mixed;
	bool decided, accept_damaged;
	struct err err; /* why it cannot be archived */
	struct archive_ask *asks;
	struct archive_item *next;
};

/* What the archiver knows of one repository. */
struct archive_place {
	struct push_destination destination;
	struct site *site;
	unsigned late; /* copies under way whose items are decided */
	bool behind;   /* it lacks what others have: until it is filled up */
	int64_t behind_since_us;
	uint64_t lacks, filled;    /* segments, as far as is known; files since the start */
	uint32_t segment_bytes;    /* 0: not known yet */
	struct wal_fill *fill;     /* under way, or NULL */
	uint64_t lacked;           /* when that began */
	int64_t unsure_ms;         /* the last one could not ask all; 0: it could */
	struct owner_watch *watch; /* under way, or NULL */
	struct owner_wrote wrote;
	uint32_t gap_tli;       /* the timeline before which nothing is left out */
	size_t contests;        /* that were told */
	bool watch_failed;      /* the last look; it was told */
	struct keys_state keys; /* that was told */
	char *folder;           /* that pushed last; owned */
	int64_t watched_ms;
	struct archiver *archiver;
};

struct archiver {
	struct site *site;
	unsigned ahead;
	struct archive_place place[SITE_CHAIN_MAX]; /* as the chain of site */
	struct archive_item *items;
	unsigned items_count; /* that are not decided */
	struct remembered remembered[REMEMBERED_MAX];
	unsigned remembered_next, unclaimed;
	struct op scan; /* a root operation: at most one look at archive_status at a time */
	struct work scan_work;
	struct ready ready;
	unsigned ready_next;
	char *folder;            /* the data directory that asked last; owned */
	char *suspect;           /* the path of figures.suspect; owned */
	struct timer fill_timer; /* with several repositories, in the server */
	struct timer owners_timer;
	struct archiver_close *closing;
	struct archiver_figures figures;
};

/* archiver_fill.c: repositories that lack what others have are filled up. */
void archiver_fills_begin(struct archiver *archiver);
void archiver_fills_cancel(struct archiver *archiver);
bool archiver_fills_run(const struct archiver *archiver);
/* So many more segments did not get there. */
void archive_place_is_behind(struct archive_place *place, uint64_t segments);

/* archiver_owners.c: who else writes the cluster. */
void archiver_owners_begin(struct archiver *archiver);
void archiver_owners_end(struct archiver *archiver);
void archiver_owners_cancel(struct archiver *archiver);
bool archiver_owners_run(const struct archiver *archiver);
/* After a push; true: the copy is to look now, by itself. */
bool archiver_owners_after(struct archive_copy *copy);
void archiver_owners_watch(struct archive_copy *copy);

#endif
