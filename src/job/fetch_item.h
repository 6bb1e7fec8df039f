/* fetch_item.h — one file on its way to a data directory: what fetcher.c and fetch_item.c share.
 * Private to this layer. */
#ifndef JOB_FETCH_ITEM_H
#define JOB_FETCH_ITEM_H

#include "branch.h"
#include "nearest.h"
#include "job/fetcher.h"
#include "job/rest.h"
#include "loop/nap.h"
#include "repo/catalog.h"

enum {
	WINDOW_MIN = 4,  /* segments ahead, before a replay had to wait */
	FLIGHT_MAX = 16, /* of them on their way at once, while none waits ready */
	FLIGHT_MIN = 2,  /* and while many do: one is decompressed, another one read or synced */
};

/* clang-format off */
#define ITEM_STATES(X) \
	X(ITEM_START) X(ITEM_LOOKING) X(ITEM_OPENING) X(ITEM_MAPPING) X(ITEM_FETCHING) \
	X(ITEM_READY) X(ITEM_PROVING) X(ITEM_RESTING) X(ITEM_DELIVERING) X(ITEM_TOLD)
/* clang-format on */
OP_STATES_ENUM(item_state, ITEM_STATES)

/* What is known about the recovery that asks. */
struct fetch_guide {
	char *folder; /* owned */
	bool standby, recovery;
	struct branch_aim aim;
	uint64_t system_identifier;
	uint32_t segment_bytes;
	char generation[NAME_GENERATION_MAX];
	bool has_path;
	struct history path;
	uint64_t room_bytes; /* free on the disk of its pg_wal when a file was delivered last */
};

struct fetch_item {
	struct op op;
	struct fetcher *fetcher;
	struct fetch_item *next;
	struct fetch_ask *asks;
	struct fetch_guide guide;
	struct walname name;
	char text[WALNAME_BYTES];
	char *path, *spool; /* where it is wanted; where it waits. Owned */
	bool wanted, hole;
	bool ahead; /* it was begun before anybody asked for it */
	int64_t begun_ms;
	unsigned tries;
	enum answer answer;
	struct err warning;
	struct work work;
	struct nearest_generation opening;
	struct catalog catalog;
	struct nearest_catalog load;
	struct nearest_file file;
	struct nap nap;
	struct timer keep;
};

struct fetcher {
	struct site *site;
	const struct restore_plan *plan;
	char *restore_id; /* owned; NULL: none */
	unsigned ahead_max, window;
	uint64_t likely_bytes; /* of a segment's object, from those before; 0: not known */
	struct fetch_item *items;
	/* prefetch goes on from the last wanted segment */
	struct fetch_guide guide;
	struct walname from;
	char *from_path; /* owned; NULL: none yet */
	struct fetcher_close *closing;
	struct fetcher_figures figures;
};

struct fetch_item *fetch_item_begin(struct fetcher *fetcher, const struct walname *name,
                                    const char *path);
/* Answers those who wait; the item goes on. */
void fetch_item_tell(struct fetch_item *item, enum answer answer);
void guide_copy(struct fetch_guide *to, const struct fetch_guide *from);
void guide_release(struct fetch_guide *guide);

/* fetch_ahead.c: a wanted segment was delivered, the replay goes on behind it. */
void ahead_from(const struct fetch_item *wanted);
/* Begins what the window wants and may be on its way now. */
void ahead_pump(struct fetcher *fetcher);
/* How many may be on their way while so many wait ready. */
unsigned ahead_flight(unsigned ready);

#endif
