/*
 * walpieces.c — the pieces of the WAL index: found, read, written.
 *
 *   load:  START -> FOLDERS (the timelines) -> for each timeline, from the highest level down, and
 *          for each gap that the levels above leave: LISTING, page by page -> done
 *   read:  START -> READING
 *   read what covers a segment: START -> READING -> (it is bad) LOADING (what lies below) ->
 * READING … write: START -> WRITING -> (another content has the name: the next n) WRITING …
 *                          -> CHECKING (it was there: can it be read) -> the next n, or done
 */
#include "repo/walpieces.h"

#include <string.h>

#include "base/search.h"
#include "base/str.h"

#include "base/poison.h"

enum { TRIES_MAX = 1000 };

/* ---- pure ---- */

void walpieces_release(struct walpieces *pieces)
{
	for (size_t i = 0; i < pieces->timelines; i++)
		free(pieces->timeline[i].piece);
	free(pieces->timeline);
	free(pieces->bad);
	*pieces = (struct walpieces){0};
}

const struct walpieces_timeline *walpieces_timeline(const struct walpieces *pieces, uint32_t tli)
{
	for (size_t i = 0; i < pieces->timelines; i++)
		if (pieces->timeline[i].tli == tli)
			return &pieces->timeline[i];
	return NULL;
}

struct piece_wanted {
	const struct walpieces_timeline *timeline;
	uint64_t segno;
};

static bool piece_below(const void *context, size_t i)
{
	const struct piece_wanted *wanted = context;

	return wanted->timeline->piece[i].last < wanted->segno;
}

/* The first piece that ends at or above segno; count: none does. */
static size_t piece_from(const struct walpieces_timeline *timeline, uint64_t segno)
{
	struct piece_wanted wanted = {timeline, segno};

	return search_sorted(timeline->count, piece_below, &wanted);
}

const struct name_index *walpieces_at(const struct walpieces *pieces, uint32_t tli, uint64_t segno)
{
	const struct walpieces_timeline *timeline = walpieces_timeline(pieces, tli);
	size_t at = timeline ? piece_from(timeline, segno) : 0;

	if (!timeline || at == timeline->count || timeline->piece[at].first > segno)
		return NULL;
	return &timeline->piece[at];
}

const struct name_index *walpieces_from(const struct walpieces *pieces, uint32_t tli,
                                        uint64_t segno)
{
	const struct walpieces_timeline *timeline = walpieces_timeline(pieces, tli);
	size_t at = timeline ? piece_from(timeline, segno) : 0;

	return timeline && at < timeline->count ? &timeline->piece[at] : NULL;
}

static bool is_same(const struct name_index *a, const struct name_index *b)
{
	return a->tli == b->tli && a->level == b->level && a->first == b->first &&
	       a->last == b->last && a->n == b->n;
}

static bool is_spoilt(const struct walpieces *pieces, const struct name_index *which)
{
	for (size_t i = 0; i < pieces->bads; i++)
		if (is_same(&pieces->bad[i].which, which))
			return true;
	return false;
}

void walpieces_spoil(struct walpieces *pieces, const struct name_index *which, enum err_code code)
{
	struct walpieces_bad bad = {*which, code};
	size_t kept = 0;

	if (!is_spoilt(pieces, &bad.which)) {
		pieces->bad = xrealloc(pieces->bad, (pieces->bads + 1) * sizeof(*pieces->bad));
		pieces->bad[pieces->bads++] = bad;
	}
	for (size_t i = 0; i < pieces->timelines; i++) {
		struct walpieces_timeline *timeline = &pieces->timeline[i];

		if (timeline->tli != bad.which.tli)
			continue;
		for (size_t n = 0; n < timeline->count; n++)
			if (!is_same(&timeline->piece[n], &bad.which))
				timeline->piece[kept++] = timeline->piece[n];
		timeline->count = kept;
	}
}

const struct walpieces_bad *walpieces_bad_in(const struct walpieces *pieces, uint32_t tli,
                                             uint64_t first, uint64_t last)
{
	for (size_t i = 0; i < pieces->bads; i++) {
		const struct name_index *which = &pieces->bad[i].which;

		if (which->tli == tli && which->first <= last && which->last >= first)
			return &pieces->bad[i];
	}
	return NULL;
}

static struct walpieces_timeline *timeline_of(struct walpieces *pieces, uint32_t tli)
{
	size_t at = 0;

	while (at < pieces->timelines && pieces->timeline[at].tli < tli)
		at++;
	if (at < pieces->timelines && pieces->timeline[at].tli == tli)
		return &pieces->timeline[at];
	pieces->timeline =
	        xrealloc(pieces->timeline, (pieces->timelines + 1) * sizeof(*pieces->timeline));
	memmove(&pieces->timeline[at + 1], &pieces->timeline[at],
	        (pieces->timelines - at) * sizeof(*pieces->timeline));
	pieces->timeline[at] = (struct walpieces_timeline){.tli = tli};
	pieces->timelines++;
	return &pieces->timeline[at];
}

static void timeline_add(struct walpieces_timeline *timeline, const struct name_index *piece)
{
	size_t at = piece_from(timeline, piece->first);

	if (at < timeline->count && timeline->piece[at].first <= piece->last)
		return; /* it overlaps one that is there */
	if (timeline->count == timeline->size) {
		timeline->size = timeline->size ? 2 * timeline->size : 16;
		timeline->piece =
		        xrealloc(timeline->piece, timeline->size * sizeof(*timeline->piece));
	}
	memmove(&timeline->piece[at + 1], &timeline->piece[at],
	        (timeline->count - at) * sizeof(*timeline->piece));
	timeline->piece[at] = *piece;
	timeline->count++;
}

void walpieces_add(struct walpieces *pieces, uint32_t tli, const struct name_index *name,
                   size_t names)
{
	struct walpieces_timeline *timeline = timeline_of(pieces, tli);

	/* of those that begin at the same segment, the last one reaches furthest and is newest */
	for (size_t i = 0; i < names; i++)
		if (i + 1 == names || name[i + 1].first != name[i].first)
			timeline_add(timeline, &name[i]);
}

size_t walpieces_group(const struct walpieces *pieces, size_t which, size_t from, uint32_t level,
                       const struct catalog *catalog)
{
	const struct walpieces_timeline *timeline = &pieces->timeline[which];
	uint64_t span = walindex_span(level, pieces->segment_bytes);
	const struct name_index *piece = &timeline->piece[from];
	uint64_t end = piece->first - piece->first % span + span - 1;
	size_t count = 1;

	if (piece->level != level - 1)
		return 0;
	if (piece->first % span != 0 && piece->first > 0 &&
	    catalog_has(catalog, timeline->tli, piece->first - 1))
		return 0; /* it is not the first of its group */
	while (piece->last < end) {
		if (from + count == timeline->count || piece[1].first != piece->last + 1 ||
		    piece[1].level != level - 1)
			return 0;
		piece++;
		count++;
	}
	return piece->last == end && count > 1 ? count : 0;
}

void walpieces_drop(struct walpieces *pieces, const struct name_index *new)
{
	struct walpieces_timeline *timeline = NULL;
	size_t kept = 0;

	for (size_t i = 0; i < pieces->timelines; i++)
		if (pieces->timeline[i].tli == new->tli)
			timeline = &pieces->timeline[i];
	for (size_t i = 0; timeline && i < timeline->count; i++)
		if (timeline->piece[i].last < new->first || timeline->piece[i].first > new->last)
			timeline->piece[kept++] = timeline->piece[i];
	if (timeline)
		timeline->count = kept;
}

void walpieces_into_catalog(const struct walpieces *pieces, struct catalog *catalog)
{
	for (size_t i = 0; i < pieces->timelines; i++) {
		const struct walpieces_timeline *timeline = &pieces->timeline[i];

		for (size_t n = 0; n < timeline->count; n++)
			catalog_add_segments(catalog, timeline->tli, timeline->piece[n].first,
			                     timeline->piece[n].last);
	}
}

/* ---- load ---- */

enum load_state { LOAD_START, LOAD_FOLDERS, LOAD_LISTING };

struct gap {
	uint64_t first, last; /* last: UINT64_MAX without an end */
};

struct walpieces_detail {
	char prefix[NAME_BYTES], after[NAME_BYTES + SEGMENT_NAME_BYTES];
	struct store_walk walk;
	struct store_list list;
	struct walpieces_load *load;
	uint32_t *tli;
	size_t tlis, at;
	uint32_t level;
	struct gap *gap;
	size_t gaps, gap_at;
	struct name_index *found; /* of the gap at hand */
	size_t founds, founds_size;
};

static void each_folder(struct store_walk *walk, const struct store_entry *entry)
{
	struct walpieces_detail *d = container_of(walk, struct walpieces_detail, walk);
	const char *name = entry->name + strlen(d->prefix);
	uint64_t tli;

	if (strlen(name) != 9 || name[8] != '/' || !str_hex(name, 8, true, &tli) || tli == 0)
		return;
	d->tli = xrealloc(d->tli, (d->tlis + 1) * sizeof(*d->tli));
	d->tli[d->tlis++] = (uint32_t)tli;
}

static void load_end(struct walpieces_load *load, const struct err *cause)
{
	struct walpieces_detail *d = load->detail;

	free(d->tli);
	free(d->gap);
	free(d->found);
	if (cause)
		load->op.err = *cause;
	free(d);
	load->detail = NULL;
	op_done(&load->op);
}

static void gap_add(struct walpieces_detail *d, uint64_t first, uint64_t last)
{
	d->gap = xrealloc(d->gap, (d->gaps + 1) * sizeof(*d->gap));
	d->gap[d->gaps++] = (struct gap){first, last};
}

/* What the pieces found so far leave open. */
static void gaps_find(struct walpieces_detail *d)
{
	const struct walpieces_timeline *timeline = walpieces_timeline(d->load->ret, d->tli[d->at]);
	const struct name_index *below = d->load->below;
	uint64_t from = below ? below->first : 0, to = below ? below->last : UINT64_MAX;

	d->gaps = d->gap_at = 0;
	for (size_t i = timeline ? piece_from(timeline, from) : 0;
	     timeline && i < timeline->count && timeline->piece[i].first <= to; i++) {
		if (timeline->piece[i].first > from)
			gap_add(d, from, timeline->piece[i].first - 1);
		from = timeline->piece[i].last + 1;
	}
	if (from <= to)
		gap_add(d, from, to);
}

/* The level to begin with, on each timeline. */
static uint32_t level_first(const struct walpieces_load *load)
{
	if (load->below)
		return load->below->level;
	return load->lowest ? 0 : WALINDEX_LEVELS - 1;
}

static void load_page(struct walpieces_detail *d)
{
	d->list = (struct store_list){
	        .store = d->load->repo->store, .prefix = d->prefix, .after = d->after};
	store_list_start(&d->load->op, &d->list);
	op_wait(&d->load->op, LOAD_LISTING);
}

static void load_gap(struct walpieces_detail *d)
{
	struct walpieces_load *load = d->load;
	char name[SEGMENT_NAME_BYTES];

	while (d->gap_at == d->gaps) {
		if (d->level == 0) {
			if (++d->at == d->tlis)
				return load_end(load, NULL);
			d->level = level_first(load);
		} else {
			d->level--;
		}
		gaps_find(d);
	}
	d->founds = 0;
	name_index_level(d->prefix, load->generation, d->tli[d->at], d->level);
	segment_name(d->tli[d->at], d->gap[d->gap_at].first, load->segment_bytes, name);
	snprintf(d->after, sizeof(d->after), "%s%s", d->prefix, name + 8);
	load_page(d);
}

/* False: the gap's end was reached. */
static bool page_take(struct walpieces_detail *d)
{
	const struct gap *gap = &d->gap[d->gap_at];

	for (unsigned i = 0; i < d->list.count; i++) {
		struct name_index piece;

		if (!name_index_parse(d->list.entry[i].name, d->load->generation,
		                      d->load->segment_bytes, &piece))
			continue;
		if (piece.first > gap->last)
			return false;
		if (piece.last > gap->last || piece.last - piece.first >= WALINDEX_SPAN_MAX ||
		    is_spoilt(d->load->ret, &piece))
			continue;
		if (d->founds == d->founds_size) {
			d->founds_size = d->founds_size ? 2 * d->founds_size : 64;
			d->found = xrealloc(d->found, d->founds_size * sizeof(*d->found));
		}
		d->found[d->founds++] = piece;
	}
	return d->list.more;
}

static void load_listed(struct walpieces_detail *d)
{
	struct walpieces_load *load = d->load;
	bool more;

	if (op_failed(&d->list.op)) {
		struct err err = d->list.op.err;

		store_list_release(&d->list);
		return load_end(load, &err);
	}
	more = page_take(d);
	if (more)
		snprintf(d->after, sizeof(d->after), "%s", d->list.entry[d->list.count - 1].name);
	store_list_release(&d->list);
	if (more)
		return load_page(d);
	walpieces_add(load->ret, d->tli[d->at], d->found, d->founds);
	d->gap_at++;
	load_gap(d);
}

/* Of one timeline alone. */
static void load_below(struct walpieces_detail *d)
{
	d->tli = xmalloc(sizeof(*d->tli));
	d->tli[d->tlis++] = d->load->below->tli;
	d->level = level_first(d->load);
	gaps_find(d);
	load_gap(d);
}

static void load_step(struct op *op)
{
	struct walpieces_load *load = container_of(op, struct walpieces_load, op);
	struct walpieces_detail *d = load->detail;

	switch ((enum load_state)op->state) {
	case LOAD_START:
		d = load->detail = xcalloc(1, sizeof(*d));
		d->load = load;
		load->ret->segment_bytes = load->segment_bytes;
		if (load->below)
			return load_below(d);
		name_index_folder(d->prefix, load->generation);
		d->walk = (struct store_walk){.store = load->repo->store,
		                              .prefix = d->prefix,
		                              .folders = true,
		                              .each = each_folder};
		store_walk_start(op, &d->walk);
		return op_wait(op, LOAD_FOLDERS);
	case LOAD_FOLDERS:
		if (op_failed(&d->walk.op))
			return load_end(load, &d->walk.op.err);
		if (d->tlis == 0)
			return load_end(load, NULL);
		d->level = level_first(load);
		gaps_find(d);
		return load_gap(d);
	case LOAD_LISTING:
		return load_listed(d);
	}
}

static const struct op_type load_type = {.name = "index load", .step = load_step};

void walpieces_load_start(struct op *parent, struct walpieces_load *load)
{
	load->detail = NULL;
	op_start(parent, &load->op, &load_type);
}

/* ---- read ---- */

static bool read_take(struct walpiece_read *read, struct err *err)
{
	const struct buf *content = &read->read.content;
	const struct walindex_piece *piece = &read->piece;

	if (!walindex_decode(content->data, content->length, &read->piece, err))
		return false;
	if (piece->tli == read->which.tli && piece->level == read->which.level &&
	    piece->first == read->which.first && piece->last == read->which.last &&
	    piece->segment_bytes == read->segment_bytes)
		return true;
	walindex_release(&read->piece);
	return err_set(err, ERR_DAMAGED, "it says that it is another one");
}

static void read_step(struct op *op)
{
	struct walpiece_read *read = container_of(op, struct walpiece_read, op);
	bool good;

	if (op->state == 0) {
		name_index(read->name, read->generation, &read->which, read->segment_bytes);
		read->read = (struct object_read){.repo = read->repo,
		                                  .name = read->name,
		                                  .kind = SEALED_INDEX,
		                                  .bytes_max = WALINDEX_BYTES_MAX};
		object_read_start(op, &read->read);
		return op_wait(op, 1);
	}
	good = !op_failed(&read->read.op);
	if (good) {
		good = read_take(read, &op->err);
		if (!good)
			err_wrap(&op->err, "could not read object \"%s\" in repository \"%s\"",
			         read->name, store_label(read->repo->store));
	} else {
		op->err = read->read.op.err;
	}
	read->stored_bytes = read->read.sealed.stored_bytes;
	buf_release(&read->read.content);
	if (!good)
		return op_fail_own(op);
	op_done(op);
}

static const struct op_type read_type = {.name = "index read", .step = read_step};

void walpiece_read_start(struct op *parent, struct walpiece_read *read)
{
	op_start(parent, &read->op, &read_type);
}

/* ---- read what covers a segment ---- */

enum cover_state { COVER_START, COVER_READING, COVER_LOADING };

bool walpiece_is_bad(const struct err *err)
{
	return err->code == ERR_DAMAGED || err->code == ERR_REFUSED || err->code == ERR_NOTFOUND;
}

static void cover_read(struct walpieces_read *read)
{
	const struct name_index *which = walpieces_at(read->pieces, read->tli, read->segno);

	if (!which && !err_is(&read->first))
		return op_fail_as(&read->op, ERR_NOTFOUND, "no piece of the index covers it");
	if (!which) {
		read->op.err = read->first;
		return op_fail_own(&read->op);
	}
	read->which = *which;
	read->read = (struct walpiece_read){.repo = read->repo,
	                                    .generation = read->generation,
	                                    .segment_bytes = read->pieces->segment_bytes,
	                                    .which = *which};
	walpiece_read_start(&read->op, &read->read);
	op_wait(&read->op, COVER_READING);
}

static void cover_taken(struct walpieces_read *read)
{
	const struct err *err = &read->read.op.err;

	if (!op_failed(&read->read.op)) {
		read->piece = read->read.piece;
		return op_done(&read->op);
	}
	if (!err_is(&read->first))
		read->first = *err;
	walpieces_spoil(read->pieces, &read->which, err->code);
	if (!walpiece_is_bad(err)) {
		read->op.err = *err;
		return op_fail_own(&read->op);
	}
	read->load = (struct walpieces_load){.repo = read->repo,
	                                     .generation = read->generation,
	                                     .segment_bytes = read->pieces->segment_bytes,
	                                     .below = &read->which,
	                                     .ret = read->pieces};
	walpieces_load_start(&read->op, &read->load);
	op_wait(&read->op, COVER_LOADING);
}

static void cover_step(struct op *op)
{
	struct walpieces_read *read = container_of(op, struct walpieces_read, op);

	switch ((enum cover_state)op->state) {
	case COVER_START:
		read->piece = (struct walindex_piece){0};
		err_clear(&read->first);
		return cover_read(read);
	case COVER_READING:
		return cover_taken(read);
	case COVER_LOADING:
		if (!op_failed(&read->load.op))
			return cover_read(read);
		op->err = read->load.op.err;
		return op_fail_own(op);
	}
}

static const struct op_type cover_type = {.name = "index read at", .step = cover_step};

void walpieces_read_start(struct op *parent, struct walpieces_read *read)
{
	op_start(parent, &read->op, &cover_type);
}

/* ---- write ---- */

static void write_next(struct walpiece_write *write)
{
	const struct walindex_piece *piece = write->piece;

	write->which.n++;
	name_index(write->name, write->generation, &write->which, piece->segment_bytes);
	write->write = (struct object_write){.repo = write->repo,
	                                     .name = write->name,
	                                     .kind = SEALED_INDEX,
	                                     .compression = {.kind = SEALED_ZSTD, .level = 3},
	                                     .class = write->class,
	                                     .bytes = write->bytes.data,
	                                     .length = write->bytes.length};
	object_write_start(&write->op, &write->write);
	op_wait(&write->op, 1);
}

static void write_end(struct walpiece_write *write, const struct err *cause)
{
	buf_release(&write->bytes);
	write->repeated = write->write.repeated;
	write->stored_bytes = write->write.stored_bytes;
	if (cause)
		write->op.err = *cause;
	op_done(&write->op);
}

static void write_written(struct walpiece_write *write)
{
	const struct err *err = &write->write.op.err;

	/* another one has the name, or what has it cannot even be told apart */
	if (op_failed(&write->write.op) && write->which.n < TRIES_MAX && !write->op.cancelled &&
	    (err->code == ERR_EXISTS || err->code == ERR_DAMAGED))
		return write_next(write);
	if (op_failed(&write->write.op))
		return write_end(write, err);
	if (!write->check || !write->write.repeated)
		return write_end(write, NULL);
	write->read = (struct object_read){.repo = write->repo,
	                                   .name = write->name,
	                                   .kind = SEALED_INDEX,
	                                   .bytes_max = WALINDEX_BYTES_MAX};
	object_read_start(&write->op, &write->read);
	op_wait(&write->op, 2);
}

static void write_checked(struct walpiece_write *write)
{
	bool good = !op_failed(&write->read.op);

	buf_release(&write->read.content);
	if (good || !walpiece_is_bad(&write->read.op.err))
		return write_end(write, good ? NULL : &write->read.op.err);
	write_next(write);
}

static void write_step(struct op *op)
{
	struct walpiece_write *write = container_of(op, struct walpiece_write, op);
	const struct walindex_piece *piece = write->piece;

	if (op->state == 1)
		return write_written(write);
	if (op->state == 2)
		return write_checked(write);
	write->which = (struct name_index){.tli = piece->tli,
	                                   .level = piece->level,
	                                   .first = piece->first,
	                                   .last = piece->last};
	buf_init(&write->bytes, WALINDEX_BYTES_MAX);
	if (!walindex_encode(piece, &write->bytes)) {
		buf_release(&write->bytes);
		return op_fail_as(op, ERR_INTERNAL, "a piece of the index is too long");
	}
	write_next(write);
}

static const struct op_type write_type = {.name = "index write", .step = write_step};

void walpiece_write_start(struct op *parent, struct walpiece_write *write)
{
	op_start(parent, &write->op, &write_type);
}
