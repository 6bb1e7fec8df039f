/*
 * restore_sketch.h — when transactions ended in each segment, by the WAL index: where a moment is.
 * Private to this layer.
 */
#ifndef JOB_RESTORE_SKETCH_H
#define JOB_RESTORE_SKETCH_H

#include "repo/plan.h"
#include "repo/walpieces.h"

struct sketch_segment {
	uint32_t tli;
	bool xacts; /* commits or aborts */
	uint64_t segno;
	int64_t max_us;  /* the latest of them; they are not in order */
	int64_t seen_us; /* of the last record that has a time; 0: none has */
};

struct restore_sketch {
	struct op op;
	/* in; must stay */
	struct repo *repo;
	const char *generation;
	uint32_t segment_bytes;
	uint64_t first; /* nothing below it is wanted */
	/* out; restore_sketch_release */
	struct sketch_segment *segment; /* by timeline and number */
	size_t segments, size;
	/* private */
	struct walpieces pieces;
	struct walpieces_load load;
	struct walpieces_read read;
	size_t timeline;
	uint64_t next; /* of that timeline: the first segment that was not looked at */
};
/* An index that is not there, or cannot be read, leaves it empty: then all is read. */
void restore_sketch_start(struct op *parent, struct restore_sketch *sketch);
void restore_sketch_release(struct restore_sketch *sketch);

/* The first segment of the plan's range in which a commit or abort ends that lies beyond the
 * target's time, 0: there is none. False: the index does not cover the range. */
bool restore_sketch_beyond(const struct restore_sketch *sketch, const struct restore_plan *plan,
                           uint64_t *ret_segno);
/* The newest segment of the plan's range in which a transaction ended, 0: none; and the time of the
 * newest record that has one, but for those of the last segment, INT64_MIN: none. False: the index
 * does not cover what would have to be read for that. */
bool restore_sketch_newest(const struct restore_sketch *sketch, const struct restore_plan *plan,
                           uint64_t *ret_segno, int64_t *ret_us);

#endif
