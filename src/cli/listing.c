/*
 * listing.c — see listing.h. It reads listings and the heads of backups, nothing else.
 */
#include "listing.h"
#include "shown.h"
#include "table.h"
#include "base/poison.h"

enum { LISTING_START, LISTING_LOOKING, LISTING_PLACES };

static void listing_step(struct op *op)
{
	struct listing *listing = container_of(op, struct listing, op);

	switch (op->state) {
	case LISTING_START:
		listing->can.repo = listing->site->repo;
		listing->can.generation = listing->generation.generation;
		listing->can.segment_bytes = listing->generation.facts.segment_bytes;
		restorable_start(op, &listing->can);
		return op_wait(op, LISTING_LOOKING);
	case LISTING_LOOKING:
		if (op_failed(&listing->can.op)) {
			op->err = listing->can.op.err;
			return op_fail_own(op);
		}
		if (!listing->list_places)
			return op_done(op);
		listing->presence = (struct presence){
		        .first = listing->site,
		        .system_identifier = listing->generation.facts.system_identifier,
		        .have = &listing->can.catalog};
		presence_start(op, &listing->presence);
		return op_wait(op, LISTING_PLACES);
	case LISTING_PLACES:
		if (!op_failed(&listing->presence.op))
			return op_done(op);
		op->err = listing->presence.op.err;
		return op_fail_own(op);
	}
}

static const struct op_type listing_type = {.name = "list", .step = listing_step};

static void start_listing(struct op *parent, void *context)
{
	struct listing *listing = context;

	op_start(parent, &listing->op, &listing_type);
}

bool listing_load(struct runtime *runtime, size_t cluster, struct listing *ret, struct err *err)
{
	ret->site = &runtime->site[cluster];
	return story_generation(runtime, cluster, &ret->generation, err) &&
	       story_run(runtime, start_listing, &ret->op, ret, err);
}

bool listing_load_at(struct runtime *runtime, struct site *site, struct listing *ret,
                     struct err *err)
{
	ret->site = site;
	return story_generation_at(runtime, site, &ret->generation, err) &&
	       story_run(runtime, start_listing, &ret->op, ret, err);
}

void listing_release(struct listing *listing)
{
	restorable_release(&listing->can);
	presence_release(&listing->presence);
}

bool listing_is_broken(const struct listing *listing, const char *id)
{
	for (size_t i = 0; i < listing->can.intervals.brokens; i++)
		if (strcmp(listing->can.intervals.broken[i], id) == 0)
			return true;
	return false;
}

static void add_end(const struct listing *listing, const struct interval *interval,
                    struct table *table)
{
	uint32_t segment_bytes = listing->can.catalog.segment_bytes;
	char from[SEGMENT_NAME_BYTES], to[SEGMENT_NAME_BYTES], time[TIME_TEXT_BYTES];

	if (!interval->hole) {
		table_add(table, "");
		return;
	}
	segment_name(interval->hole_tli, interval->hole_segno, segment_bytes, from);
	segment_name(interval->hole_tli, MAX(interval->hole_last_segno, interval->hole_segno),
	             segment_bytes, to);
	shown_time(interval->behind_us, time);
	table_addf(table, "then a HOLE at %s%s%s%s%s", from, strcmp(from, to) ? " to " : "",
	           strcmp(from, to) ? to : "", interval->behind_us ? ", until " : "",
	           interval->behind_us ? time : "");
}

/* Branches that both went on, and those that were left behind. */
static void listing_branches(const struct listing *listing, struct buf *out)
{
	const struct catalog *catalog = &listing->can.catalog;
	const struct owner_note *note;

	for (size_t i = 0; (note = owner_contest(catalog, i)); i++) {
		buf_addstr(out, "CONTESTED: ");
		owner_contest_text(catalog, note, out);
		buf_addstr(out, "\n  A restore behind the fork needs --timeline, until `seawall "
		                "adopt` on the right server settles it.\n");
	}
	for (size_t i = 0; i < catalog->notes; i++) {
		note = &catalog->note[i];
		if (note->kind != OWNER_FENCE || owner_fence(catalog, note->tli, LSN_MAX) != note)
			continue;
		buf_addf(out, "Fenced: timeline %u from " LSN_FORMAT ", for timeline %u, by ",
		         note->tli, LSN_ARGS(note->position), note->other);
		owner_note_who(note, out);
		buf_addc(out, '\n');
	}
}

void listing_json_branches(const struct listing *listing, struct jval *object)
{
	const struct catalog *catalog = &listing->can.catalog;
	struct jval *list = jset_array(object, "contested");
	const struct owner_note *note;

	for (size_t i = 0; (note = owner_contest(catalog, i)); i++) {
		struct jval *item = jadd_object(list);
		char text[LSN_TEXT_BYTES];

		lsn_text(note->position, text);
		jset_int(item, "parent", note->other);
		jset_int(item, "child", note->tli);
		jset_str(item, "fork", text);
	}
	list = jset_array(object, "fences");
	for (size_t i = 0; i < catalog->notes; i++) {
		struct jval *item;
		char text[LSN_TEXT_BYTES];

		note = &catalog->note[i];
		if (note->kind != OWNER_FENCE || owner_fence(catalog, note->tli, LSN_MAX) != note)
			continue;
		item = jadd_object(list);
		lsn_text(note->position, text);
		jset_int(item, "timeline", note->tli);
		jset_str(item, "from", text);
		jset_int(item, "for_timeline", note->other);
		jset_str(item, "host", note->host);
		jset_str(item, "directory", note->directory);
	}
}

static void listing_holes(const struct listing *listing, struct buf *out)
{
	const struct restorable *can = &listing->can;
	struct table table;

	if (!can->holes)
		return;
	buf_addstr(out, "Holes:\n");
	table_init(&table, 5, NULL, 0);
	for (size_t i = 0; i < MIN(can->holes, (size_t)HOLES_TOLD_MAX); i++) {
		const struct hole *hole = &can->hole[i];
		char first[SEGMENT_NAME_BYTES], last[SEGMENT_NAME_BYTES];
		char from[TIME_TEXT_BYTES], until[TIME_TEXT_BYTES];

		segment_name(hole->tli, hole->first, can->segment_bytes, first);
		segment_name(hole->tli, hole->last, can->segment_bytes, last);
		shown_time(hole->from_us, from);
		shown_time(hole->until_us, until);
		table_addf(&table, "%s%s%s", first, hole->first == hole->last ? "" : " to ",
		           hole->first == hole->last ? "" : last);
		table_addf(&table, "%llu %s", (unsigned long long)(hole->last - hole->first + 1),
		           hole->first == hole->last ? "segment" : "segments");
		table_addf(&table, "from %s", from);
		table_addf(&table, "until %s", until);
		table_add(&table, hole_cause_text(hole->cause));
	}
	table_print(&table, 2, out);
	table_release(&table);
	if (can->holes > HOLES_TOLD_MAX)
		buf_addf(out, "  and %zu more\n", can->holes - HOLES_TOLD_MAX);
}

void listing_intervals(const struct listing *listing, struct buf *out)
{
	const struct intervals *intervals = &listing->can.intervals;
	struct table table;

	if (!intervals->count) {
		buf_addstr(out, "Nothing can be restored: there is no backup with complete WAL.\n");
		listing_holes(listing, out);
		return listing_branches(listing, out);
	}
	buf_addstr(out, "Restorable:\n");
	table_init(&table, 7, NULL, 0);
	for (size_t i = 0; i < intervals->count; i++) {
		const struct interval *interval = &intervals->item[i];
		char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];

		shown_time(interval->from_us, from);
		shown_time(MAX(interval->last_us, interval->to_us), to);
		table_addf(&table, "timeline %u", interval->tli);
		table_addf(&table, "from %s", from);
		table_addf(&table, LSN_FORMAT, LSN_ARGS(interval->from_lsn));
		table_addf(&table, "%s %s",
		           interval->unindexed || !interval->told ? "to at least" : "to", to);
		table_addf(&table, LSN_FORMAT, LSN_ARGS(interval->to_lsn));
		table_addf(&table, "%u %s", interval->backups,
		           interval->backups == 1 ? "backup" : "backups");
		add_end(listing, interval, &table);
	}
	table_print(&table, 2, out);
	table_release(&table);
	listing_holes(listing, out);
	listing_branches(listing, out);
}
