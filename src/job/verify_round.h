/*
 * verify_round.h — in which order a run of `seawall verify` takes the objects. Private to verify.c.
 */
#ifndef JOB_VERIFY_ROUND_H
#define JOB_VERIFY_ROUND_H

#include "verify_lane.h"
#include "verify_map.h"

/* A stretch of names, and what of it is taken. */
enum verify_which {
	VERIFY_TAKE_ALL,
	VERIFY_TAKE_NEW,   /* stored after their span was verified */
	VERIFY_TAKE_OLD,   /* verified before, at the span's time */
	VERIFY_TAKE_NOTES, /* notes of runs, which are young and come again and again: last of all
	                    */
};
struct verify_pass {
	enum verify_which which;
	char *after, *to; /* owned */
	int64_t at_us;
};

struct verify_round {
	struct verify_map before, now; /* what was verified when: at the begin, and by now */
	struct strs outside; /* small objects beside the cluster's folder, each run's first */
	/* private */
	struct verify_pass *pass;
	size_t passes, pass_at, outside_at;
	char prefix[NAME_BYTES], notes[NAME_BYTES];
	struct store_list list;
	int64_t listed_us;
	unsigned at;               /* in the page */
	char listed[NAME_BYTES];   /* the last name of the listing that was gone by */
	char previous[NAME_BYTES]; /* the same without parts: objects */
	char shown[NAME_BYTES];    /* … and without notes of runs */
	uint64_t assigned;         /* bytes that lanes have got */
	bool listing, stop, taken; /* taken: any */
	bool took;                 /* the last object that was gone by */
};

/* before and now are set; outside, too. */
void verify_round_begin(struct verify *verify);
/* Gives free lanes something to do, or begins to list (an operation of verify). False: neither. */
bool verify_round_go_on(struct verify *verify);
/* A lane has ended: what it did is marked. */
void verify_round_mark(struct verify *verify, const struct verify_lane *lane);
/* Nothing is left to be given. */
bool verify_round_is_over(const struct verify *verify);
void verify_round_free(struct verify_round *round);

#endif
