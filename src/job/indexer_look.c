/*
 * indexer_look.c — START -> LISTING (page after page, with `all`) -> done
 *
 * Names sort by timeline and position, so a page tells of all from the end of the page before to
 * its own last segment: what the catalogue has there and the page lacks was taken away.
 */
#include "indexer_look.h"

#include <stdio.h>
#include <string.h>

#include "base/poison.h"

/* A page without what is not a segment; a segment that is larger than an object has parts, too. */
enum { PAGE_NAMES = STORE_LIST_MAX - STORE_LIST_MAX / 10, PART_BYTES = 16 * 1024 * 1024 };

/* ---- pure ---- */

uint64_t look_page(const struct catalog *catalog)
{
	uint32_t parts = catalog->segment_bytes / PART_BYTES;

	return PAGE_NAMES / (parts > 1 ? parts + 1 : 1);
}

void look_place_newest(const struct catalog *catalog, uint64_t segments, struct look_place *ret)
{
	*ret = (struct look_place){0};
	for (size_t t = catalog->timelines; t-- > 0;) {
		const struct catalog_timeline *timeline = &catalog->timeline[t];

		for (size_t r = timeline->runs; r-- > 0;) {
			const struct catalog_run *run = &timeline->run[r];
			uint64_t count = run->last - run->first + 1;

			if (count >= segments) {
				ret->tli = timeline->tli;
				ret->segno = run->last + 1 - segments;
				return;
			}
			segments -= count;
		}
	}
}

bool look_place_is_behind(const struct look_place *place, const struct look_place *other)
{
	return place->tli > other->tli ||
	       (place->tli == other->tli && place->segno >= other->segno);
}

bool look_place_is_first(const struct look_place *place, const struct catalog *catalog)
{
	for (size_t t = 0; t < catalog->timelines; t++) {
		const struct catalog_timeline *timeline = &catalog->timeline[t];

		if (timeline->runs > 0)
			return place->tli < timeline->tli ||
			       (place->tli == timeline->tli &&
			        place->segno <= timeline->run[0].first);
	}
	return true;
}

/* What of [first, last] the catalogue has and the page has not. */
static void gone_in(const struct catalog_timeline *timeline, const struct lost_range *range,
                    const struct catalog *page, struct lost *gone)
{
	for (size_t r = 0; r < timeline->runs; r++) {
		uint64_t segno = MAX(timeline->run[r].first, range->first), to;
		uint64_t last = MIN(timeline->run[r].last, range->last);

		while (segno <= last) {
			if (catalog_contiguous(page, timeline->tli, segno, &to)) {
				segno = to + 1;
				continue;
			}
			lost_add(gone, &(struct lost_range){timeline->tli, segno, segno});
			segno++;
		}
	}
}

static void catalog_correct(struct indexer_look *look, const struct catalog *page, uint32_t tli,
                            uint64_t last)
{
	struct catalog *catalog = look->catalog;
	struct lost gone = {0};

	for (size_t t = 0; t < catalog->timelines; t++) {
		const struct catalog_timeline *timeline = &catalog->timeline[t];
		struct lost_range range = {timeline->tli, 0, UINT64_MAX};

		if (timeline->tli < look->from.tli || timeline->tli > tli)
			continue;
		if (timeline->tli == look->from.tli)
			range.first = look->from.segno;
		if (timeline->tli == tli)
			range.last = last;
		gone_in(timeline, &range, page, &gone);
	}
	for (size_t i = 0; i < gone.count; i++) {
		catalog_remove_segments(catalog, gone.range[i].tli, gone.range[i].first,
		                        gone.range[i].last);
		lost_add(&look->gone, &gone.range[i]);
	}
	lost_release(&gone);
	for (size_t t = 0; t < page->timelines; t++)
		for (size_t r = 0; r < page->timeline[t].runs; r++)
			catalog_add_segments(catalog, page->timeline[t].tli,
			                     page->timeline[t].run[r].first,
			                     page->timeline[t].run[r].last);
}

/* ---- the story ---- */

static void look_list(struct indexer_look *look)
{
	struct look_place *from = &look->from;

	if (!from->after[0] && from->tli > 0 && from->segno == 0)
		name_wal_timeline(from->after, look->generation, from->tli);
	if (!from->after[0] && from->tli > 0)
		name_wal_segment(from->after, look->generation, from->tli, from->segno - 1,
		                 look->catalog->segment_bytes);
	look->list = (struct store_list){.store = look->repo->store,
	                                 .prefix = look->prefix,
	                                 .after = from->after[0] ? from->after : NULL};
	store_list_start(&look->op, &look->list);
	op_wait(&look->op, 1);
}

/* Strict, as catalog_load.c is: only what name_wal() would print again. */
static bool name_parse_strictly(const struct indexer_look *look, const char *text,
                                struct walname *ret)
{
	char again[NAME_BYTES];

	if (!name_wal_parse(text, ret) || ret->kind != WALNAME_SEGMENT ||
	    !walname_fits(ret, look->catalog->segment_bytes))
		return false;
	name_wal(again, look->generation, ret, NULL);
	return strcmp(text, again) == 0;
}

static void page_take(struct indexer_look *look)
{
	struct catalog page = {.segment_bytes = look->catalog->segment_bytes};
	uint32_t tli = 0;
	uint64_t last = 0;

	for (unsigned i = 0; i < look->list.count; i++) {
		struct walname name;

		if (!name_parse_strictly(look, look->list.entry[i].name, &name))
			continue;
		tli = name.tli;
		last = walname_segno(&name, page.segment_bytes);
		if (catalog_timeline(look->catalog, tli))
			catalog_add_segment(&page, tli, last);
		else
			look->strange = true;
	}
	look->ended = !look->list.more;
	if (look->ended) {
		tli = UINT32_MAX;
		last = UINT64_MAX;
	}
	if (tli > 0)
		catalog_correct(look, &page, tli, last);
	catalog_release(&page);
	if (tli > 0)
		look->from = (struct look_place){.tli = tli, .segno = last + !look->ended};
	if (!look->ended)
		snprintf(look->from.after, sizeof(look->from.after), "%s",
		         look->list.entry[look->list.count - 1].name);
}

static void look_step(struct op *op)
{
	struct indexer_look *look = container_of(op, struct indexer_look, op);

	if (op->state == 0) {
		name_wal_folder(look->prefix, look->generation);
		return look_list(look);
	}
	if (op_failed(&look->list.op)) {
		op->err = look->list.op.err;
		store_list_release(&look->list);
		return op_fail_own(op);
	}
	page_take(look);
	store_list_release(&look->list);
	if (look->all && !look->ended)
		return look_list(look);
	op_done(op);
}

static const struct op_type look_type = {.name = "index look", .step = look_step};

void indexer_look_start(struct op *parent, struct indexer_look *look)
{
	op_start(parent, &look->op, &look_type);
}
