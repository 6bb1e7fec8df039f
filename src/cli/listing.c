/*
 * listing.c — see listing.h. It reads listings and the heads of backups, nothing else.
 */
#include "listing.h"
#include "shown.h"
#include "table.h"
#include "base/poison.h"

enum { LISTING_START, LISTING_WAL, LISTING_HEADS };

static void listing_step(struct op *op)
{
	struct listing *listing = container_of(op, struct listing, op);

	switch (op->state) {
	case LISTING_START:
		listing->load = (struct catalog_load){
		        .repo = listing->site->repo,
		        .generation = listing->generation.generation,
		        .segment_bytes = listing->generation.facts.segment_bytes,
		        .what = CATALOG_HISTORIES | CATALOG_WAL | CATALOG_BACKUPS,
		        .class = GATE_VERIFY,
		        .ret = &listing->catalog};
		catalog_load_start(op, &listing->load);
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
		return op_done(op);
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
}

bool listing_is_broken(const struct listing *listing, const char *id)
{
	for (size_t i = 0; i < listing->intervals.brokens; i++)
		if (strcmp(listing->intervals.broken[i], id) == 0)
			return true;
	return false;
}

void listing_intervals(const struct listing *listing, struct buf *out)
{
	const struct intervals *intervals = &listing->intervals;
	char segment[SEGMENT_NAME_BYTES];
	struct table table;

	if (!intervals->count) {
		buf_addstr(out, "Nothing can be restored: there is no backup with complete WAL.\n");
		return;
	}
	buf_addstr(out, "Restorable:\n");
	table_init(&table, 6, NULL, 0);
	for (size_t i = 0; i < intervals->count; i++) {
		const struct interval *interval = &intervals->item[i];
		char from[TIME_TEXT_BYTES];

		shown_time(interval->from_us, from);
		table_addf(&table, "timeline %u", interval->tli);
		table_addf(&table, "from %s", from);
		table_addf(&table, LSN_FORMAT, LSN_ARGS(interval->from_lsn));
		table_addf(&table, "to " LSN_FORMAT, LSN_ARGS(interval->to_lsn));
		table_addf(&table, "%u %s", interval->backups,
		           interval->backups == 1 ? "backup" : "backups");
		if (interval->hole) {
			segment_name(interval->hole_tli, interval->hole_segno,
			             listing->catalog.segment_bytes, segment);
			table_addf(&table, "then a HOLE at %s", segment);
		} else {
			table_add(&table, "");
		}
	}
	table_print(&table, 2, out);
	table_release(&table);
}
