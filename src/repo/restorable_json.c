/*
 * restorable_json.c — what can be restored, as programs read it: the same for commands and for the
 * server.
 */
#include "base/clock.h"
#include "codec/json.h"
#include "repo/restorable.h"
#include "base/poison.h"

static void json_time(struct jval *object, const char *field, int64_t unix_us)
{
	char text[TIME_TEXT_BYTES];

	if (unix_us == 0)
		return jset_null(object, field);
	clock_text_utc(unix_us, text);
	jset_str(object, field, text);
}

static void json_lsn(struct jval *object, const char *field, lsn position)
{
	char text[LSN_TEXT_BYTES];

	lsn_text(position, text);
	jset_str(object, field, text);
}

static void json_segment(struct jval *object, const char *field, const struct restorable *of,
                         const struct catalog_gap *segment)
{
	char text[SEGMENT_NAME_BYTES];

	segment_name(segment->tli, segment->segno, of->segment_bytes, text);
	jset_str(object, field, text);
}

static enum hole_cause cause_at(const struct restorable *restorable, uint32_t tli, uint64_t segno)
{
	for (size_t i = 0; i < restorable->holes; i++) {
		const struct hole *hole = &restorable->hole[i];

		if (hole->tli == tli && hole->first <= segno && hole->last >= segno)
			return hole->cause;
	}
	return HOLE_UNKNOWN;
}

static void interval_json(const struct restorable *restorable, const struct interval *interval,
                          struct jval *object)
{
	struct catalog_gap first = {interval->hole_tli, interval->hole_segno}, last = first;

	jset_int(object, "timeline", interval->tli);
	json_lsn(object, "from_lsn", interval->from_lsn);
	json_time(object, "from", interval->from_us);
	json_lsn(object, "to_lsn", interval->to_lsn);
	json_time(object, "at_least_to", interval->to_us);
	jset_str(object, "first_backup", interval->backup);
	jset_int(object, "backups", interval->backups);
	json_time(object, "last_transaction", interval->last_us);
	json_lsn(object, "last_transaction_lsn", interval->last_lsn);
	jset_u64(object, "unindexed_segments", interval->unindexed);
	if (!interval->hole)
		return;
	last.segno = MAX(interval->hole_last_segno, first.segno);
	json_segment(object, "hole", restorable, &first);
	json_segment(object, "hole_last", restorable, &last);
	jset_str(object, "hole_cause",
	         hole_cause_name(cause_at(restorable, first.tli, first.segno)));
	json_time(object, "hole_from", interval->last_us);
	json_time(object, "hole_until", interval->behind_us);
}

static void hole_json(const struct restorable *restorable, const struct hole *hole,
                      struct jval *object)
{
	struct catalog_gap first = {hole->tli, hole->first}, last = {hole->tli, hole->last};

	jset_int(object, "timeline", hole->tli);
	json_segment(object, "first", restorable, &first);
	json_segment(object, "last", restorable, &last);
	jset_u64(object, "segments", hole->last - hole->first + 1);
	jset_str(object, "cause", hole_cause_name(hole->cause));
	jset_u64(object, "set_aside", hole->aside);
	json_time(object, "from", hole->from_us);
	json_time(object, "until", hole->until_us);
}

void restorable_json(const struct restorable *restorable, int64_t now_us, struct jval *object)
{
	int64_t safe_us = restorable_safe_us(restorable);
	struct jval *list;

	json_time(object, "last_transaction", safe_us);
	if (safe_us)
		jset_int(object, "rpo_seconds", (now_us - safe_us) / US_PER_S);
	list = jset_array(object, "intervals");
	for (size_t i = 0; i < restorable->intervals.count; i++)
		interval_json(restorable, &restorable->intervals.item[i], jadd_object(list));
	list = jset_array(object, "holes");
	for (size_t i = 0; i < MIN(restorable->holes, (size_t)HOLES_TOLD_MAX); i++)
		hole_json(restorable, &restorable->hole[i], jadd_object(list));
	if (restorable->holes > HOLES_TOLD_MAX)
		jset_u64(object, "holes_more", restorable->holes - HOLES_TOLD_MAX);
}
