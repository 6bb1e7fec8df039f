/*
 * walfind.c — which events of a piece of the WAL index answer a question.
 *
 * What a transaction did is told apart as PostgreSQL writes it (postgres-facts.md A.9): DROP
 * deletes rows of pg_class and removes files; TRUNCATE gives a table a new file and removes the old
 * one, without a row of pg_class deleted; VACUUM FULL, CLUSTER and ALTER TABLE do both. Of the
 * files that go, those of indexes and of TOAST have no name and no rows of their own: they are told
 * only if nothing else is.
 */
#include "repo/walfind.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/poison.h"

const char *walfind_what_name(enum walfind_what what)
{
	static const char *const name[] = {
	        [WALFIND_DROPPED] = "dropped",
	        [WALFIND_TRUNCATED] = "truncated or rewritten",
	        [WALFIND_REPLACED] = "dropped or rewritten",
	        [WALFIND_DELETED] = "rows deleted",
	        [WALFIND_UPDATED] = "rows updated",
	        [WALFIND_CREATED] = "created",
	        [WALFIND_RESTORE_POINT] = "restore point",
	        [WALFIND_TIMELINE] = "timeline begins",
	        [WALFIND_ENDED] = "committed",
	};

	return name[what];
}

void walfind_release(struct walfind *find)
{
	free(find->row);
	free(find->followed);
	find->row = NULL;
	find->followed = NULL;
	find->rows = find->size = find->follows = 0;
}

/* ---- does a row answer? ---- */

static bool kinds_asked(const struct walfind_question *question)
{
	return question->dropped || question->truncated || question->deleted ||
	       question->restore_points;
}

static bool kind_fits(const struct walfind_question *question, const struct walfind_row *row)
{
	if (!kinds_asked(question))
		return true;
	switch (row->what) {
	case WALFIND_DROPPED:
		return question->dropped;
	case WALFIND_TRUNCATED:
		return question->truncated;
	case WALFIND_REPLACED:
		return question->dropped || question->truncated;
	case WALFIND_DELETED:
		return question->deleted && row->rows >= question->deleted_min;
	case WALFIND_RESTORE_POINT:
		return question->restore_points;
	default:
		return false;
	}
}

/* NAME or SCHEMA.NAME or DATABASE.SCHEMA.NAME; a file number where no name is known. */
static bool table_fits(const char *pattern, const struct walfind_row *row)
{
	char name[WALFIND_NAME_BYTES];

	if (!row->named) {
		snprintf(name, sizeof(name), "%u", row->rel.number);
		return fnmatch(pattern, name, 0) == 0;
	}
	if (fnmatch(pattern, row->name.table, 0) == 0)
		return true;
	snprintf(name, sizeof(name), "%s.%s", row->name.schema, row->name.table);
	if (fnmatch(pattern, name, 0) == 0)
		return true;
	snprintf(name, sizeof(name), "%s.%s.%s", row->name.database, row->name.schema,
	         row->name.table);
	return fnmatch(pattern, name, 0) == 0;
}

static bool time_fits(const struct walfind_question *question, int64_t time_us)
{
	if (!time_us)
		return question->since_us == INT64_MIN && question->until_us == INT64_MAX;
	return time_us >= question->since_us && time_us <= question->until_us;
}

/* Only what comes from the beginning of a timeline, or from a server that was fenced, can be. */
static bool is_told(const struct walfind *find, const struct walfind_row *row)
{
	if (row->tli == row->stored_tli && !row->aside)
		return false;
	for (size_t i = find->rows; i-- > 0;) {
		const struct walfind_row *told = &find->row[i];

		if (told->start == row->start && told->end == row->end && told->tli == row->tli &&
		    told->xid == row->xid && told->time_us == row->time_us &&
		    told->what == row->what && walindex_rel_compare(&told->rel, &row->rel) == 0)
			return true;
	}
	return false;
}

static void row_offer(struct walfind *find, const struct walfind_row *row)
{
	const struct walfind_question *question = find->question;

	if (!kind_fits(question, row) || (question->xid && row->xid != question->xid) ||
	    !time_fits(question, row->time_us) || is_told(find, row))
		return;
	if (question->table && !table_fits(question->table, row)) {
		find->unnamed += !row->named && row->rel.database && row->start != find->unnamed_at;
		find->unnamed_at = row->start;
		return;
	}
	if (find->rows == WALFIND_ROWS_MAX) {
		find->more = true;
		return;
	}
	if (find->rows == find->size) {
		find->size = MAX(2 * find->size, (size_t)64);
		find->row = xrealloc(find->row, find->size * sizeof(*find->row));
	}
	find->row[find->rows++] = *row;
}

/* ---- rows of an event ---- */

static struct walfind_row row_of(const struct walfind *find, const struct walindex_event *event)
{
	const struct walindex_piece *piece = find->piece;
	uint64_t segno = event->end ? lsn_segno_before(event->end, piece->segment_bytes) : 0;

	return (struct walfind_row){.start = event->start,
	                            .end = event->end,
	                            .tli = event->tli,
	                            .stored_tli = piece->tli,
	                            .aside = find->aside && segno >= piece->first
	                                             ? find->aside + (size_t)(segno - piece->first)
	                                             : find->aside,
	                            .time_us = event->time_us,
	                            .xid = event->xid};
}

static bool name_followed(const struct walfind *find, struct walfind_row *row)
{
	for (size_t i = find->follows; row->rel.number && i-- > 0;)
		if (walindex_rel_compare(&find->followed[i].rel, &row->rel) == 0) {
			row->name = find->followed[i].name;
			return true;
		}
	return false;
}

static void row_name(const struct walfind *find, struct walfind_row *row)
{
	row->named =
	        find->names && (find->names->name(find->names, &row->rel, row->start, &row->name) ||
	                        name_followed(find, row));
}

/* TRUNCATE, and what writes a table anew, gives it a new file: the lowest of those that it makes.
 * Nobody may have asked the server for its name since, before the table was dropped. Not so with
 * several tables in one transaction: which file is whose is not told. */
static void follow(struct walfind *find, const struct walindex_event *event)
{
	const struct walindex_touched *fresh = NULL;
	struct walfind_row old = {0};

	for (size_t i = 0; event->number == 0 && i < event->toucheds; i++) {
		const struct walindex_touched *touched = &event->touched[i];
		struct walfind_row row = row_of(find, event);

		if (touched->flags & WALINDEX_CREATED) {
			if (!fresh && !(touched->flags & WALINDEX_DROPPED))
				fresh = touched;
			continue;
		}
		row.rel = touched->rel;
		row_name(find, &row);
		if (!(touched->flags & WALINDEX_DROPPED) || !row.named)
			continue;
		if (old.named)
			return;
		old = row;
	}
	if (!old.named || !fresh || fresh->rel.database != old.rel.database ||
	    find->follows == WALFIND_FOLLOWED_MAX)
		return;
	find->followed = xrealloc(find->followed, (find->follows + 1) * sizeof(*find->followed));
	find->followed[find->follows++] =
	        (struct walfind_followed){.rel = fresh->rel, .name = old.name};
}

/* A row of pg_class is deleted by a DROP; and by what writes a table anew through one that it makes
 * and drops again, which leaves new files. */
static enum walfind_what what_goes(const struct walindex_event *event)
{
	if (event->number == 0)
		return WALFIND_TRUNCATED;
	for (size_t i = 0; i < event->toucheds; i++)
		if ((event->touched[i].flags & (WALINDEX_CREATED | WALINDEX_DROPPED)) ==
		    WALINDEX_CREATED)
			return WALFIND_REPLACED;
	return WALFIND_DROPPED;
}

/* Of a relation that a transaction touched; what else it did is a row of its own. */
static unsigned touched_offer(struct walfind *find, const struct walindex_event *event,
                              const struct walindex_touched *touched)
{
	struct walfind_row row = row_of(find, event);
	bool goes = touched->flags & WALINDEX_DROPPED && !(touched->flags & WALINDEX_CREATED);
	size_t before = find->rows;

	row.rel = touched->rel;
	row_name(find, &row);
	if (goes || touched->flags & WALINDEX_TRUNCATED) {
		row.what = goes ? what_goes(event) : WALFIND_TRUNCATED;
		row_offer(find, &row);
	}
	if (touched->deleted >= WALINDEX_ROWS_MIN) {
		row.what = WALFIND_DELETED;
		row.rows = touched->deleted;
		row_offer(find, &row);
	}
	if (touched->updated >= WALINDEX_ROWS_MIN) {
		row.what = WALFIND_UPDATED;
		row.rows = touched->updated;
		row_offer(find, &row);
	}
	return (unsigned)(find->rows - before);
}

static bool touched_is_named(const struct walfind *find, const struct walindex_event *event,
                             const struct walindex_touched *touched)
{
	struct walfind_row row = row_of(find, event);

	row.rel = touched->rel;
	row_name(find, &row);
	return row.named;
}

static void transaction_offer(struct walfind *find, const struct walindex_event *event)
{
	bool named = false;
	unsigned offered = 0;

	for (size_t i = 0; i < event->toucheds && !named; i++)
		named = touched_is_named(find, event, &event->touched[i]);
	for (size_t i = 0; i < event->toucheds; i++)
		if (!named || touched_is_named(find, event, &event->touched[i]))
			offered += touched_offer(find, event, &event->touched[i]);
	follow(find, event);
	if (!offered && find->question->xid) {
		struct walfind_row row = row_of(find, event);

		row.what = WALFIND_ENDED;
		row_offer(find, &row);
	}
}

static void database_offer(struct walfind *find, const struct walindex_event *event,
                           enum walfind_what what)
{
	struct walfind_row row = row_of(find, event);

	row.what = what;
	if (event->toucheds)
		row.rel = event->touched[0].rel;
	row_name(find, &row);
	row_offer(find, &row);
}

static void event_offer(struct walfind *find, const struct walindex_event *event)
{
	struct walfind_row row = row_of(find, event);

	switch (event->kind) {
	case WALINDEX_TRANSACTION:
		transaction_offer(find, event);
		return;
	case WALINDEX_DATABASE_DROPPED:
		database_offer(find, event, WALFIND_DROPPED);
		return;
	case WALINDEX_DATABASE_CREATED:
		database_offer(find, event, WALFIND_CREATED);
		return;
	case WALINDEX_RESTORE_POINT:
		row.what = WALFIND_RESTORE_POINT;
		row.named = true;
		snprintf(row.name.table, sizeof(row.name.table), "%s",
		         event->text ? event->text : "");
		row_offer(find, &row);
		return;
	case WALINDEX_TIMELINE:
		row.what = WALFIND_TIMELINE;
		row_offer(find, &row);
		return;
	default:
		return;
	}
}

void walfind_add(struct walfind *find, const struct walindex_piece *piece)
{
	find->crowded |= piece->crowded;
	find->piece = piece;
	for (size_t i = 0; i < piece->events; i++)
		event_offer(find, &piece->event[i]);
}
