/* fetch_item.h — one file on its way to a data directory: what fetcher.c and fetch_item.c share.
 * Private to this layer. */
#ifndef JOB_FETCH_ITEM_H
#define JOB_FETCH_ITEM_H

#include "branch.h"
#include "nearest.h"
#include "job/fetcher.h"
#include "loop/nap.h"
#include "repo/catalog.h"

enum { WINDOW_MIN = 4 }; /* segments ahead, before a replay had to wait */

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
	struct fetch_guide guide; /* of the last wanted segment: prefetch goes on from there */
	struct fetcher_close *closing;
	struct fetcher_figures figures;
};

struct fetch_item *fetch_item_begin(struct fetcher *fetcher, const struct walname *name,
                                    const char *path);
/* Answers those who wait; the item goes on. */
void fetch_item_tell(struct fetch_item *item, enum answer answer);
void guide_release(struct fetch_guide *guide);

#endif
