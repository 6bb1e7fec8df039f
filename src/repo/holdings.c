/*
 * holdings.c — what is archived, by the index; and what the index says of the ends.
 *
 *   load:   START -> PIECES -> LOST (what the pieces are wrong about; what is damaged)
 *                 -> [HARM (is it still)] -> HISTORIES (and backups)
 *                 -> FOLDERS (the timelines of the WAL)
 *                 -> GAPS (for each timeline, what the pieces leave open, page by page)
 *                 -> AGAIN (what was lost and may be there again, page by page) -> done
 *   path:   LISTING (the WAL of a stretch, timeline after timeline, page by page) -> done
 *   times:  for each interval: READING the piece at its end, and behind its hole
 */
#include "repo/holdings.h"

#include <string.h>

#include "base/poison.h"

enum holdings_state {
	HOLDINGS_START,
	HOLDINGS_PIECES,
	HOLDINGS_LOST,
	HOLDINGS_HARM,
	HOLDINGS_HISTORIES,
	HOLDINGS_FOLDERS,
	HOLDINGS_GAPS,
	HOLDINGS_AGAIN
};

static void holdings_end(struct holdings_load *load, const struct err *cause)
{
	free(load->tli);
	load->tli = NULL;
	lost_release(&load->lost);
	if (cause)
		load->op.err = *cause;
	op_done(&load->op);
}

static void each_folder(struct store_walk *walk, const struct store_entry *entry)
{
	struct holdings_load *load = container_of(walk, struct holdings_load, walk);
	const char *name = entry->name + strlen(load->prefix);
	uint64_t tli;

	if (strlen(name) != 9 || name[8] != '/' || !str_hex(name, 8, true, &tli) || tli == 0)
		return;
	load->tli = xrealloc(load->tli, (load->tlis + 1) * sizeof(*load->tli));
	load->tli[load->tlis++] = (uint32_t)tli;
	catalog_add_timeline(load->catalog, (uint32_t)tli);
}

static void list_page(struct holdings_load *load, enum holdings_state state)
{
	load->list = (struct store_list){.store = load->repo->store,
	                                 .prefix = load->prefix,
	                                 .after = load->after[0] ? load->after : NULL};
	store_list_start(&load->op, &load->list);
	op_wait(&load->op, state);
}

/* load->after: the last segment that is known below the gap. The last gap begins one segment
 * earlier, for the time of the newest one. */
static void gap_begin(struct holdings_load *load, uint64_t last, bool has_last)
{
	uint32_t tli = load->tli[load->at];

	name_wal_timeline(load->prefix, load->generation, tli);
	load->after[0] = '\0';
	if (has_last && load->until == UINT64_MAX && last > 0)
		last--;
	if (has_last)
		name_wal_segment(load->after, load->generation, tli, last, load->segment_bytes);
	list_page(load, HOLDINGS_GAPS);
}

/* Where the pieces were wrong once: what is there now. */
static void again_next(struct holdings_load *load)
{
	const struct lost_range *range = &load->lost.range[load->gap];

	if (load->gap == load->lost.count)
		return holdings_end(load, NULL);
	name_wal_timeline(load->prefix, load->generation, range->tli);
	load->after[0] = '\0';
	if (range->first > 0)
		name_wal_segment(load->after, load->generation, range->tli, range->first - 1,
		                 load->segment_bytes);
	load->until = range->last + 1;
	list_page(load, HOLDINGS_AGAIN);
}

/* Gap number load->gap of the timeline at hand: below its first piece, between two that do not
 * touch, behind the last. */
static void gap_next(struct holdings_load *load)
{
	for (; load->at < load->tlis; load->at++, load->gap = 0) {
		const struct walpieces_timeline *timeline =
		        walpieces_timeline(load->pieces, load->tli[load->at]);
		size_t count = timeline ? timeline->count : 0;

		for (; load->gap <= count; load->gap++) {
			uint64_t last = load->gap ? timeline->piece[load->gap - 1].last : 0;

			load->until =
			        load->gap < count ? timeline->piece[load->gap].first : UINT64_MAX;
			if (load->gap > 0 && load->until == last + 1)
				continue;
			if (load->until == 0)
				continue;
			return gap_begin(load, last, load->gap > 0);
		}
	}
	load->gap = 0;
	again_next(load);
}

/* What is listed and can be read, as far as is known: one that was cut tells it by its size. */
static bool is_whole(struct harm *harm, const struct repo *repo, const struct store_entry *entry,
                     uint32_t tli, uint64_t segno)
{
	if (harm && entry->bytes < HARM_OBJECT_BYTES_MIN)
		harm_found(harm, repo, tli, segno);
	return !harm_at(harm, repo, tli, segno);
}

static bool page_take(struct holdings_load *load)
{
	for (unsigned i = 0; i < load->list.count; i++) {
		const struct store_entry *entry = &load->list.entry[i];
		struct walname name;
		uint64_t segno;

		if (!name_wal_parse(entry->name, &name) || name.kind != WALNAME_SEGMENT ||
		    !walname_fits(&name, load->segment_bytes))
			continue;
		segno = walname_segno(&name, load->segment_bytes);
		if (segno >= load->until)
			return false;
		if (is_whole(load->harm, load->repo, entry, name.tli, segno))
			catalog_add_segment(load->catalog, name.tli, segno);
		load->catalog->newest_us = MAX(load->catalog->newest_us, entry->modified_us);
	}
	return load->list.more;
}

static void page_listed(struct holdings_load *load)
{
	enum holdings_state state = (enum holdings_state)load->op.state;
	bool more;

	if (op_failed(&load->list.op)) {
		struct err err = load->list.op.err;

		store_list_release(&load->list);
		return holdings_end(load, &err);
	}
	more = page_take(load);
	if (more)
		snprintf(load->after, sizeof(load->after), "%s",
		         load->list.entry[load->list.count - 1].name);
	store_list_release(&load->list);
	if (more)
		return list_page(load, state);
	load->gap++;
	if (state == HOLDINGS_AGAIN)
		return again_next(load);
	gap_next(load);
}

static void load_lost(struct holdings_load *load)
{
	load->lost_load = (struct lost_load){.repo = load->repo,
	                                     .generation = load->generation,
	                                     .segment_bytes = load->segment_bytes,
	                                     .ret = &load->lost,
	                                     .harm = load->harm};
	lost_load_start(&load->op, &load->lost_load);
	op_wait(&load->op, HOLDINGS_LOST);
}

/* Nothing is left out on the word of a mark alone. */
static void look_at_harm(struct holdings_load *load)
{
	load->look = (struct harm_look){.repo = load->repo,
	                                .generation = load->generation,
	                                .segment_bytes = load->segment_bytes,
	                                .class = load->class,
	                                .max = load->proofs_max,
	                                .heal = load->heal,
	                                .harm = load->harm};
	harm_look_start(&load->op, &load->look);
	op_wait(&load->op, HOLDINGS_HARM);
}

static void load_rest(struct holdings_load *load)
{
	load->load = (struct catalog_load){.repo = load->repo,
	                                   .generation = load->generation,
	                                   .segment_bytes = load->segment_bytes,
	                                   .what = CATALOG_HISTORIES |
	                                           (load->no_backups ? 0 : CATALOG_BACKUPS),
	                                   .class = load->class,
	                                   .tolerant = load->tolerant,
	                                   .ret = load->catalog};
	catalog_load_start(&load->op, &load->load);
	op_wait(&load->op, HOLDINGS_HISTORIES);
}

static void remove_harmed(const struct holdings_load *load, struct catalog *own)
{
	for (size_t i = 0; load->harm && i < load->harm->count; i++) {
		const struct harm_mark *mark = &load->harm->mark[i];

		if (mark->repo == load->repo && mark->name.word != HARM_GOOD)
			catalog_remove_segments(own, mark->name.tli, mark->name.segno,
			                        mark->name.segno);
	}
}

/* A segment that another repository has as well is there, whatever this one lost. */
static void take_pieces(struct holdings_load *load)
{
	struct catalog own = {.segment_bytes = load->segment_bytes};

	walpieces_into_catalog(load->pieces, &own);
	for (size_t i = 0; i < load->lost.count; i++)
		catalog_remove_segments(&own, load->lost.range[i].tli, load->lost.range[i].first,
		                        load->lost.range[i].last);
	remove_harmed(load, &own);
	for (size_t i = 0; i < own.timelines; i++)
		for (size_t r = 0; r < own.timeline[i].runs; r++)
			catalog_add_segments(load->catalog, own.timeline[i].tli,
			                     own.timeline[i].run[r].first,
			                     own.timeline[i].run[r].last);
	catalog_release(&own);
}

static void holdings_step(struct op *op)
{
	struct holdings_load *load = container_of(op, struct holdings_load, op);

	switch ((enum holdings_state)op->state) {
	case HOLDINGS_START:
		load->pieces_load = (struct walpieces_load){.repo = load->repo,
		                                            .generation = load->generation,
		                                            .segment_bytes = load->segment_bytes,
		                                            .ret = load->pieces};
		walpieces_load_start(op, &load->pieces_load);
		return op_wait(op, HOLDINGS_PIECES);
	case HOLDINGS_PIECES:
		if (op_failed(&load->pieces_load.op))
			return holdings_end(load, &load->pieces_load.op.err);
		return load_lost(load);
	case HOLDINGS_LOST:
		if (op_failed(&load->lost_load.op))
			return holdings_end(load, &load->lost_load.op.err);
		if (load->harm)
			return look_at_harm(load);
		return load_rest(load);
	case HOLDINGS_HARM:
		if (op_failed(&load->look.op))
			return holdings_end(load, &load->look.op.err);
		return load_rest(load);
	case HOLDINGS_HISTORIES:
		if (op_failed(&load->load.op))
			return holdings_end(load, &load->load.op.err);
		take_pieces(load);
		name_wal_folder(load->prefix, load->generation);
		load->walk = (struct store_walk){.store = load->repo->store,
		                                 .prefix = load->prefix,
		                                 .folders = true,
		                                 .each = each_folder};
		store_walk_start(op, &load->walk);
		return op_wait(op, HOLDINGS_FOLDERS);
	case HOLDINGS_FOLDERS:
		if (op_failed(&load->walk.op))
			return holdings_end(load, &load->walk.op.err);
		return gap_next(load);
	case HOLDINGS_GAPS:
	case HOLDINGS_AGAIN:
		return page_listed(load);
	}
}

static const struct op_type holdings_type = {.name = "holdings", .step = holdings_step};

void holdings_load_start(struct op *parent, struct holdings_load *load)
{
	load->tli = NULL;
	load->tlis = load->at = load->gap = 0;
	load->lost = (struct lost){0};
	op_start(parent, &load->op, &holdings_type);
}

/* ---- path ---- */

/* From path->segno on, as far as one timeline goes. */
static void path_stretch(struct holdings_path *path)
{
	lsn begin, end;
	uint64_t own;

	path->tli = history_tli_of_segment(path->path, path->segno, path->segment_bytes);
	path->until = path->last + 1;
	if (history_span(path->path, path->tli, &begin, &end) && end != LSN_MAX) {
		own = lsn_segno(end, path->segment_bytes);
		path->until = MIN(path->until, MAX(own, path->segno + 1));
	}
	name_wal_timeline(path->prefix, path->generation, path->tli);
	path->after[0] = '\0';
	if (path->segno > 0)
		name_wal_segment(path->after, path->generation, path->tli, path->segno - 1,
		                 path->segment_bytes);
}

static void path_page(struct holdings_path *path)
{
	path->list = (struct store_list){.store = path->repo->store,
	                                 .prefix = path->prefix,
	                                 .after = path->after[0] ? path->after : NULL};
	store_list_start(&path->op, &path->list);
	op_wait(&path->op, 1);
}

static bool path_take(struct holdings_path *path)
{
	for (unsigned i = 0; i < path->list.count; i++) {
		struct walname name;
		uint64_t segno;

		if (!name_wal_parse(path->list.entry[i].name, &name) ||
		    name.kind != WALNAME_SEGMENT || !walname_fits(&name, path->segment_bytes))
			continue;
		segno = walname_segno(&name, path->segment_bytes);
		if (segno >= path->until)
			return false;
		if (is_whole(path->harm, path->repo, &path->list.entry[i], name.tli, segno))
			catalog_add_segment(path->found, name.tli, segno);
	}
	return path->list.more;
}

static void path_step(struct op *op)
{
	struct holdings_path *path = container_of(op, struct holdings_path, op);
	bool failed = op->state == 1 && op_failed(&path->list.op), more;

	if (op->state == 0) {
		path->segno = path->first;
		path_stretch(path);
		return path_page(path);
	}
	if (failed)
		op->err = path->list.op.err;
	more = !failed && path_take(path);
	if (more)
		snprintf(path->after, sizeof(path->after), "%s",
		         path->list.entry[path->list.count - 1].name);
	store_list_release(&path->list);
	if (failed)
		return op_fail_own(op);
	if (!more) {
		path->segno = path->until;
		if (path->segno > path->last)
			return op_done(op);
		path_stretch(path);
	}
	path_page(path);
}

static const struct op_type path_type = {.name = "path listing", .step = path_step};

void holdings_path_start(struct op *parent, struct holdings_path *path)
{
	op_start(parent, &path->op, &path_type);
}

/* ---- times ---- */

/* The piece that has the newest knowledge at or below segno, on one timeline. */
static const struct name_index *piece_below(const struct walpieces *pieces, uint32_t tli,
                                            uint64_t segno)
{
	const struct walpieces_timeline *timeline = walpieces_timeline(pieces, tli);

	for (size_t i = timeline ? timeline->count : 0; i-- > 0;)
		if (timeline->piece[i].first <= segno)
			return &timeline->piece[i];
	return NULL;
}

static void times_next(struct intervals_times *times);

static void times_read(struct intervals_times *times, uint32_t tli, uint64_t segno, bool behind)
{
	times->behind = behind;
	times->read = (struct walpieces_read){.repo = times->repo,
	                                      .generation = times->generation,
	                                      .pieces = times->pieces,
	                                      .tli = tli,
	                                      .segno = segno};
	walpieces_read_start(&times->op, &times->read);
	op_wait(&times->op, 1);
}

/* The last segment of an interval, and the timeline in whose folder it lies. */
static bool last_segment(const struct intervals_times *times, const struct interval *interval,
                         uint32_t *ret_tli, uint64_t *ret_segno)
{
	const struct catalog_timeline *timeline = catalog_timeline(times->catalog, interval->tli);
	uint32_t segment_bytes = times->pieces->segment_bytes;

	if (!timeline || interval->to_lsn == 0 || interval->to_lsn == LSN_MAX)
		return false;
	*ret_segno = lsn_segno_before(interval->to_lsn, segment_bytes);
	*ret_tli = timeline->history_archived
	                   ? history_tli_of_segment(&timeline->history, *ret_segno, segment_bytes)
	                   : interval->tli;
	return true;
}

static void take_end(struct intervals_times *times, struct interval *interval)
{
	const struct walindex_piece *piece = &times->read.piece;
	uint32_t tli;
	uint64_t segno;

	if (!last_segment(times, interval, &tli, &segno))
		return;
	interval->told = true;
	interval->unindexed = segno > piece->last ? segno - piece->last : 0;
	for (uint64_t n = MIN(segno, piece->last) + 1; n-- > piece->first;) {
		const struct walindex_segment *segment = walindex_segment(piece, n);

		if (segment->commits + segment->aborts == 0)
			continue;
		interval->last_us = segment->last_us;
		interval->last_lsn = segment->last_xact;
		return;
	}
}

static void take_behind(struct intervals_times *times, struct interval *interval)
{
	const struct walindex_piece *piece = &times->read.piece;

	/* The piece may be older than the hole, and cover what is before it too. */
	for (uint64_t n = MAX(piece->first, interval->hole_last_segno + 1); n <= piece->last; n++) {
		const struct walindex_segment *segment = walindex_segment(piece, n);

		if (segment->commits + segment->aborts == 0)
			continue;
		interval->behind_us = segment->first_us;
		return;
	}
}

/* The first archived segment behind the hole. */
static void find_behind(const struct intervals_times *times, struct interval *interval)
{
	const struct catalog_timeline *timeline =
	        catalog_timeline(times->catalog, interval->hole_tli);

	for (size_t i = 0; timeline && i < timeline->runs; i++) {
		if (timeline->run[i].first <= interval->hole_segno)
			continue;
		interval->hole_last_segno = timeline->run[i].first - 1;
		return;
	}
}

static void times_step(struct op *op)
{
	struct intervals_times *times = container_of(op, struct intervals_times, op);
	struct interval *interval = &times->intervals->item[times->at];
	bool read = op->state == 1 && !op_failed(&times->read.op);
	uint64_t behind;

	if (op->state == 0) /* there may be none */
		return times_next(times);
	behind = interval->hole_last_segno + 1;
	if (!read && times->read.op.err.code == ERR_CANCELLED) {
		op->err = times->read.op.err;
		return op_fail_own(op);
	}
	if (!read && !times->behind) /* the next one below, if there is any */
		return times_next(times);
	if (read && times->behind)
		take_behind(times, interval);
	else if (read)
		take_end(times, interval);
	walindex_release(&times->read.piece);
	if (!times->behind && interval->hole_last_segno &&
	    walpieces_at(times->pieces, interval->hole_tli, behind))
		return times_read(times, interval->hole_tli, behind, true);
	times->at++;
	times_next(times);
}

static void times_next(struct intervals_times *times)
{
	for (; times->at < times->intervals->count; times->at++) {
		struct interval *interval = &times->intervals->item[times->at];
		const struct name_index *piece;
		uint32_t tli;
		uint64_t segno;

		if (interval->hole)
			find_behind(times, interval);
		if (!last_segment(times, interval, &tli, &segno))
			continue;
		piece = piece_below(times->pieces, tli, segno);
		if (piece)
			return times_read(times, tli, MIN(segno, piece->last), false);
	}
	op_done(&times->op);
}

static const struct op_type times_type = {.name = "interval times", .step = times_step};

void intervals_times_start(struct op *parent, struct intervals_times *times)
{
	times->at = 0;
	op_start(parent, &times->op, &times_type);
}
