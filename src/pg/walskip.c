/*
 * walskip.c — a walk over the end of one segment and the beginning of the next, without what lies
 * between: that was proven by another walk, over that segment alone.
 *
 * The other walk knows nothing of the segment before. What depends on it is compared here: the
 * first record's pointer to the record before it, and whether a timeline had begun on a page that
 * still carried its parent's number.
 */
#include "pg/walwalk.h"
#include "walrecord.h"

#include "base/poison.h"

bool walwalk_stretch_of(const struct walwalk *walk, struct walwalk_stretch *ret)
{
	const struct walwalk_seen *seen = &walk->seen;

	*ret = (struct walwalk_stretch){
	        .from = seen->first_start,
	        .to = seen->last_end,
	        .previous = seen->first_previous,
	        .last_start = seen->last_start,
	        .records = seen->records,
	        .last_tli = seen->last_tli,
	        .page_tli = seen->open ? walk->record_tli : seen->tli,
	        .tli_floor = walk->tli_floor,
	        .switched = seen->switched,
	};
	return seen->records > 0 && !walk->in_segment && walk->carried &&
	       walk->run_start == walk->segment_start;
}

bool walwalk_skip(struct walwalk *walk, const struct walwalk_stretch *stretch, struct err *err)
{
	struct walwalk_seen *seen = &walk->seen;
	bool joins = walk->prev_start ? stretch->previous == walk->prev_start
	                              : stretch->previous < walk->run_start;

	if (!walk->in_segment || walk->state != WALK_HEADER || walk->header_have > 0 ||
	    walk->page_have > 0 || walk->at != stretch->from || walk->overwrite_expected ||
	    seen->ended || stretch->to > walk->segment_end || walk->tli_floor > seen->tli || !joins)
		return err_set(err, ERR_DAMAGED,
		               "WAL at " LSN_FORMAT " does not go on at " LSN_FORMAT,
		               LSN_ARGS(walk->at), LSN_ARGS(stretch->from));
	if (!seen->first_start) {
		seen->first_start = stretch->from;
		seen->first_previous = stretch->previous;
	}
	seen->records += stretch->records;
	seen->last_start = walk->prev_start = stretch->last_start;
	seen->last_end = seen->end_lsn = walk->at = stretch->to;
	seen->last_tli = stretch->last_tli;
	seen->tli = stretch->page_tli;
	walk->tli_floor = MAX(walk->tli_floor, stretch->tli_floor);
	seen->switched = stretch->switched;
	if (stretch->switched)
		walk->state = WALK_ZERO;
	return true;
}
