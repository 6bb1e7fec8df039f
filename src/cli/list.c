/*
 * list.c — `seawall list`: the backups of a cluster, and what can be restored.
 */
#include "base/clock.h"
#include "base/units.h"
#include "codec/json.h"
#include "repo/heads.h"
#include "repo/intervals.h"
#include "shown.h"
#include "story.h"
#include "table.h"
#include "base/poison.h"

enum { LIST_BYTES_MAX = 16 * 1024 * 1024 };

struct listing {
	struct op op;
	struct archive archive;
	struct catalog catalog;
	struct catalog_load load;
	struct heads heads;
	struct heads_load heads_load;
	struct intervals intervals;
};

enum { LISTING_START, LISTING_WAL, LISTING_HEADS };

static void listing_step(struct op *op)
{
	struct listing *listing = container_of(op, struct listing, op);
	struct archive *archive = &listing->archive;

	switch (op->state) {
	case LISTING_START:
		listing->load = (struct catalog_load){
		        .repo = archive->repo,
		        .generation = archive->generation.generation,
		        .segment_bytes = archive->generation.facts.segment_bytes,
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
		        (struct heads_load){.repo = archive->repo,
		                            .generation = archive->generation.generation,
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

static const char *findings(const struct manifest_head *head)
{
	if (!head->checksums)
		return "none";
	return head->findings_total ? "DAMAGED" : "good";
}

static bool is_broken(const struct intervals *intervals, const char *id)
{
	for (size_t i = 0; i < intervals->brokens; i++)
		if (strcmp(intervals->broken[i], id) == 0)
			return true;
	return false;
}

static void backups_text(const struct listing *listing, struct buf *out)
{
	static const char *const titles[] = {"BACKUP", "ENDED (UTC)", "TIMELINE", "SIZE",
	                                     "STORED", "CHECKSUMS",   "WAL",      "LABEL"};
	struct table table;

	table_init(&table, ARRAY_LENGTH(titles), titles, 1u << 2 | 1u << 3 | 1u << 4);
	for (size_t i = 0; i < listing->heads.count; i++) {
		const struct manifest_head *head = &listing->heads.head[i];
		char time[TIME_TEXT_BYTES], size[UNITS_TEXT_BYTES], stored[UNITS_TEXT_BYTES];

		shown_time(head->stop_time_us, time);
		units_size(head->logical_bytes, size);
		units_size(head->stored_bytes, stored);
		table_add(&table, head->id);
		table_add(&table, time);
		table_addf(&table, "%u", head->stop_tli);
		table_add(&table, size);
		table_add(&table, stored);
		table_add(&table, findings(head));
		table_add(&table,
		          is_broken(&listing->intervals, head->id) ? "MISSING" : "complete");
		table_add(&table, head->label_text);
	}
	table_print(&table, 0, out);
	table_release(&table);
	for (size_t i = 0; i < listing->heads.unreadables; i++) {
		char line[ERR_TEXT_MAX];

		err_line(&listing->heads.unreadable[i].err, line, sizeof(line));
		buf_addf(out, "%s\n", line);
	}
}

static void intervals_text(const struct listing *listing, struct buf *out)
{
	const struct intervals *intervals = &listing->intervals;
	char segment[SEGMENT_NAME_BYTES];
	struct table table;

	if (!intervals->count) {
		buf_addstr(out,
		           "\nNothing can be restored: there is no backup with complete WAL.\n");
		return;
	}
	buf_addstr(out, "\nRestorable:\n");
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

static void list_text(const struct listing *listing, struct buf *out)
{
	const struct archive *archive = &listing->archive;
	const struct generation_facts *facts = &archive->generation.facts;

	buf_addf(out, "Cluster %s, PostgreSQL %u, system identifier %llu, repository %s\n\n",
	         archive->site->cluster, facts->major, (unsigned long long)facts->system_identifier,
	         store_label(archive->repo->store));
	if (listing->heads.count + listing->heads.unreadables)
		backups_text(listing, out);
	else
		buf_addstr(out, "There is no backup yet: \"seawall backup\" makes one.\n");
	intervals_text(listing, out);
}

static void list_json(const struct listing *listing, struct buf *out)
{
	const struct archive *archive = &listing->archive;
	struct jval *root = jobject_new(), *list;

	jset_int(root, "version", 1);
	jset_str(root, "cluster", archive->site->cluster);
	jset_str(root, "repository", store_label(archive->repo->store));
	jset_u64(root, "system_identifier", archive->generation.facts.system_identifier);
	jset_int(root, "postgresql", archive->generation.facts.major);
	list = jset_array(root, "backups");
	for (size_t i = 0; i < listing->heads.count; i++) {
		struct jval *item = jadd_object(list);

		shown_backup(&listing->heads.head[i], item);
		jset_bool(item, "wal_complete",
		          !is_broken(&listing->intervals, listing->heads.head[i].id));
	}
	list = jset_array(root, "unreadable");
	for (size_t i = 0; i < listing->heads.unreadables; i++) {
		struct jval *item = jadd_object(list);
		char line[ERR_TEXT_MAX];

		err_line(&listing->heads.unreadable[i].err, line, sizeof(line));
		jset_str(item, "id", listing->heads.unreadable[i].id);
		jset_str(item, "error", line);
	}
	list = jset_array(root, "intervals");
	for (size_t i = 0; i < listing->intervals.count; i++)
		shown_interval(&listing->intervals.item[i], listing->catalog.segment_bytes,
		               jadd_object(list));
	json_print(root, true, out);
	jval_free(root);
}

static bool list_run(struct cli *cli, struct err *err)
{
	struct listing *listing = xcalloc(1, sizeof(*listing));
	AUTO_BUF struct buf out = {0};
	bool done = archive_open(cli, argument_at(cli->arguments, 0), &listing->archive, err) &&
	            story_run(&listing->archive.runtime, start_listing, &listing->op, listing, err);

	buf_init(&out, LIST_BYTES_MAX);
	if (done) {
		if (cli->json)
			list_json(listing, &out);
		else
			list_text(listing, &out);
		done = print(buf_text(&out), err);
	}
	if (done && listing->heads.unreadables)
		done = err_set(err, ERR_DAMAGED, "%zu backups could not be read",
		               listing->heads.unreadables);
	intervals_release(&listing->intervals);
	heads_release(&listing->heads);
	catalog_release(&listing->catalog);
	archive_close(&listing->archive);
	free(listing);
	return done;
}

const struct command command_list = {
        .name = "list",
        .usage = "[CLUSTER]",
        .help = "show the backups and what can be restored",
        .about = "Shows each backup of a cluster, and the intervals that can be restored: from the "
                 "end of a "
                 "backup on, as\nfar as the WAL behind it is in the repository without a hole. It "
                 "reads "
                 "listings and the heads of the\nbackups, nothing else.",
        .example = "seawall list main",
        .arguments_max = 1,
        .user = USER_OWNER,
        .run = list_run,
};
