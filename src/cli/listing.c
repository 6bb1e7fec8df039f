/*
 * listing.c — see listing.h. It reads listings and the heads of backups, nothing else.
 */
#include "listing.h"
#include "shown.h"
#include "table.h"
#include "base/poison.h"

enum { LISTING_START, LISTING_WAL, LISTING_HEADS, LISTING_TIMES, LISTING_PLACES };

static void listing_places(struct op *op, struct listing *listing)
{
	listing->presence =
	        (struct presence){.first = listing->site,
	                          .system_identifier = listing->generation.facts.system_identifier,
	                          .have = &listing->catalog};
	presence_start(op, &listing->presence);
}

static void listing_step(struct op *op)
{
	struct listing *listing = container_of(op, struct listing, op);

	switch (op->state) {
	case LISTING_START:
		listing->load = (struct holdings_load){
		        .repo = listing->site->repo,
		        .generation = listing->generation.generation,
		        .segment_bytes = listing->generation.facts.segment_bytes,
		        .list_wal = listing->list_wal,
		        .class = GATE_VERIFY,
		        .catalog = &listing->catalog,
		        .pieces = &listing->pieces};
		holdings_load_start(op, &listing->load);
		return op_wait(op, LISTING_WAL);
	case LISTING_WAL:
		if (op_failed(&listing->load.op)) {
			op->err = listing->load.op.err;
			return op_fail_own(op);
		}
		listing->heads_load =
		        (struct heads_load){.repo = listing->site->repo,
		                            .generation = listing->generation.generation,
		                            .catalog = &listing->catalog,
		                            .ret = &listing->heads};
		heads_load_start(op, &listing->heads_load);
		return op_wait(op, LISTING_HEADS);
	case LISTING_HEADS:
		if (op_failed(&listing->heads_load.op)) {
			op->err = listing->heads_load.op.err;
			return op_fail_own(op);
		}
		intervals_find(&listing->catalog, listing->heads.head, listing->heads.count,
		               &listing->intervals);
		listing->times =
		        (struct intervals_times){.repo = listing->site->repo,
		                                 .generation = listing->generation.generation,
		                                 .pieces = &listing->pieces,
		                                 .catalog = &listing->catalog,
		                                 .intervals = &listing->intervals};
		intervals_times_start(op, &listing->times);
		return op_wait(op, LISTING_TIMES);
	case LISTING_TIMES:
		if (op_failed(&listing->times.op)) {
			op->err = listing->times.op.err;
			return op_fail_own(op);
		}
		if (!listing->list_places)
			return op_done(op);
		listing_places(op, listing);
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

void listing_release(struct listing *listing)
{
	intervals_release(&listing->intervals);
	heads_release(&listing->heads);
	catalog_release(&listing->catalog);
	walpieces_release(&listing->pieces);
	presence_release(&listing->presence);
}

bool listing_is_broken(const struct listing *listing, const char *id)
{
	for (size_t i = 0; i < listing->intervals.brokens; i++)
		if (strcmp(listing->intervals.broken[i], id) == 0)
			return true;
	return false;
}

int64_t listing_safe_us(const struct listing *listing)
{
	int64_t newest = 0;

	for (size_t i = 0; i < listing->intervals.count; i++)
		newest = MAX(newest, listing->intervals.item[i].last_us);
	return newest;
}

static void add_end(const struct listing *listing, const struct interval *interval,
                    struct table *table)
{
	uint32_t segment_bytes = listing->catalog.segment_bytes;
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
	const struct catalog *catalog = &listing->catalog;
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
	const struct catalog *catalog = &listing->catalog;
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

void listing_intervals(const struct listing *listing, struct buf *out)
{
	const struct intervals *intervals = &listing->intervals;
	struct table table;

	if (!intervals->count) {
		buf_addstr(out, "Nothing can be restored: there is no backup with complete WAL.\n");
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
	listing_branches(listing, out);
}
