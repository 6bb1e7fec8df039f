/*
 * verify.h — every object of a cluster's archive opened and proven: `seawall verify`.
 *
 * A note in the repository says what was verified when (src/job/verify_map.h). What was never
 * verified comes first, then what was verified longest ago. While a run goes on it notes now and
 * then what it has done, so that one which is killed loses little. Memory does not grow with the
 * archive but for the findings.
 */
#ifndef JOB_VERIFY_H
#define JOB_VERIFY_H

#include "job/site.h"
#include "loop/nap.h"
#include "repo/heads.h"
#include "repo/intervals.h"
#include "repo/lost.h"

enum { VERIFY_FINDINGS_MAX = 10000, VERIFY_LANES_MAX = 8 };

struct verify_finding {
	char *object; /* its name in the repository; owned */
	struct err err;
};

struct verify_lane;
struct verify {
	struct op op; /* well, too, when something is damaged: see findings */
	/* in; must stay */
	struct site *site; /* at one repository */
	uint64_t rate;     /* bytes per second as stored; 0: as fast as it goes */
	uint64_t budget;   /* bytes, then it stops; 0: once round */
	bool anew;         /* from the first name on, wherever the last run stopped */
	bool dry_run;      /* writes no note */
	/* out */
	uint64_t objects, bytes, segments, backups; /* that were verified; bytes as stored */
	uint64_t bytes_total;                       /* of all objects, as far as was listed */
	char from[NAME_BYTES], to[NAME_BYTES]; /* behind which, and the last; to: "" when it went
	                                          round */
	int64_t before_us;                     /* the last run; 0: none is known */
	struct verify_finding *finding;
	size_t findings, findings_size;
	uint64_t findings_total;
	/* private */
	struct site_ready ready;
	struct generation_open generation;
	struct catalog catalog;
	struct catalog_load load;
	struct harm harm; /* segments that are marked as damaged */
	struct lost lost;
	struct lost_load lost_load;
	struct heads heads;
	struct heads_load heads_load;
	char prefix[NAME_BYTES], note[NAME_BYTES];
	int64_t note_us, bad_note_us; /* bad: the newest that could not be read */
	struct store_walk walk;
	struct object_read read;
	struct object_stat stat;
	struct verify_round *round;
	int64_t begun_ms, begun_us, noted_ms, note_again_ms;
	struct verify_lane *lane[VERIFY_LANES_MAX];
	unsigned lanes, busy;
	struct buf text;
	struct object_write write;
	size_t sized; /* so many segments were asked for their size */
	struct err failed;
};
void verify_start(struct op *parent, struct verify *verify);
void verify_release(struct verify *verify);

#endif
