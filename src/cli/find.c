/*
 * find.c — `seawall find`: what happened and when, from the WAL index, and the command that goes
 * back to the moment before.
 */
#include "base/clock.h"
#include "base/zone.h"
#include "codec/json.h"
#include "find_names.h"
#include "repo/walfind.h"
#include "repo/walpieces.h"
#include "shown.h"
#include "story.h"
#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

enum {
	FIND_BYTES_MAX = 16 * 1024 * 1024,
	COMMANDS_MAX = 10, /* restores that are written out; more are not read by anybody */
};
#define AROUND_US (INT64_C(10) * 60 * US_PER_S)

/* Reads one piece after the other. */
struct finding {
	struct archive archive;
	struct walfind_question question;
	struct walfind find;
	struct walpieces pieces;
	struct zone *zone; /* the cluster's; NULL: UTC */
	struct op op;
	struct walpieces_load load;
	struct walpiece_read read;
	struct find_names names;
	size_t timeline, next;
};

enum finding_state { FINDING_START, FINDING_NAMES, FINDING_PIECES, FINDING_READING };

static void finding_next(struct finding *finding)
{
	const struct walpieces *pieces = &finding->pieces;
	const struct generation_open *generation = &finding->archive.generation;

	while (finding->timeline < pieces->timelines &&
	       finding->next == pieces->timeline[finding->timeline].count) {
		finding->timeline++;
		finding->next = 0;
	}
	if (finding->timeline == pieces->timelines)
		return op_done(&finding->op);
	finding->read = (struct walpiece_read){
	        .repo = finding->archive.repo,
	        .generation = generation->generation,
	        .segment_bytes = generation->facts.segment_bytes,
	        .which = pieces->timeline[finding->timeline].piece[finding->next++]};
	walpiece_read_start(&finding->op, &finding->read);
	op_wait(&finding->op, FINDING_READING);
}

static void finding_step(struct op *op)
{
	struct finding *finding = container_of(op, struct finding, op);
	const struct generation_open *generation = &finding->archive.generation;

	switch ((enum finding_state)op->state) {
	case FINDING_START:
		finding->names = (struct find_names){.repo = finding->archive.repo,
		                                     .generation = generation->generation};
		find_names_start(op, &finding->names);
		return op_wait(op, FINDING_NAMES);
	case FINDING_NAMES:
		finding->find.names = &finding->names.names;
		finding->load =
		        (struct walpieces_load){.repo = finding->archive.repo,
		                                .generation = generation->generation,
		                                .segment_bytes = generation->facts.segment_bytes,
		                                .ret = &finding->pieces};
		walpieces_load_start(op, &finding->load);
		return op_wait(op, FINDING_PIECES);
	case FINDING_PIECES:
		if (op_failed(&finding->load.op))
			return op_fail(op, &finding->load.op.err,
			               "could not look for the WAL index");
		return finding_next(finding);
	case FINDING_READING:
		if (op_failed(&finding->read.op))
			return op_fail(op, &finding->read.op.err, "could not read the WAL index");
		walfind_add(&finding->find, &finding->read.piece);
		walindex_release(&finding->read.piece);
		return finding_next(finding);
	}
}

static const struct op_type finding_type = {.name = "find", .step = finding_step};

static void finding_start(struct op *parent, void *context)
{
	struct finding *finding = context;

	op_start(parent, &finding->op, &finding_type);
}

/* ---- the question ---- */

static bool time_read(const struct cli *cli, const struct finding *finding, const char *option,
                      int64_t *ret, struct err *err)
{
	const char *text = option_value(cli->arguments, option);

	if (!text || zone_parse_time(text, finding->archive.generation.facts.time_zone,
	                             clock_now_us(), ret, err))
		return true;
	return err_wrap(err, "--%s cannot be understood", option);
}

static bool times_read(const struct cli *cli, struct finding *finding, struct err *err)
{
	struct walfind_question *question = &finding->question;
	int64_t around_us = 0;

	question->since_us = INT64_MIN;
	question->until_us = INT64_MAX;
	if (!time_read(cli, finding, "since", &question->since_us, err) ||
	    !time_read(cli, finding, "until", &question->until_us, err) ||
	    !time_read(cli, finding, "around", &around_us, err))
		return false;
	if (!option_given(cli->arguments, "around"))
		return true;
	if (option_given(cli->arguments, "since") || option_given(cli->arguments, "until"))
		return err_set(err, ERR_USAGE, "--around stands beside --since or --until");
	question->since_us = around_us - AROUND_US;
	question->until_us = around_us + AROUND_US;
	return true;
}

/* "1000" or "1000+". */
static bool number_read(const char *option, const char *text, uint64_t max, uint64_t *ret,
                        struct err *err)
{
	char *end;

	*ret = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || (*end && strcmp(end, "+") != 0) || *ret > max) {
		err_set(err, ERR_USAGE, "--%s \"%s\" is no number", option, text);
		err_hint(err, "Give a number, such as 1000.");
		return false;
	}
	return true;
}

static bool question_read(const struct cli *cli, struct finding *finding, struct err *err)
{
	const struct arguments *arguments = cli->arguments;
	struct walfind_question *question = &finding->question;
	const char *deleted = option_value(arguments, "deleted");
	const char *xid = option_value(arguments, "xid");
	uint64_t number = 0;

	question->dropped = option_given(arguments, "dropped");
	question->truncated = option_given(arguments, "truncated");
	question->deleted = deleted != NULL;
	question->restore_points = option_given(arguments, "restore-points");
	question->table = option_value(arguments, "table");
	if (question->dropped && question->table)
		return err_set(err, ERR_USAGE, "--dropped names the table, and --table too");
	if (question->dropped)
		question->table = option_value(arguments, "dropped");
	if (deleted && !number_read("deleted", deleted, INT64_MAX, &question->deleted_min, err))
		return false;
	if (xid && !number_read("xid", xid, UINT32_MAX, &number, err))
		return false;
	question->xid = (uint32_t)number;
	return times_read(cli, finding, err);
}

/* ---- the answer ---- */

static void row_table(const struct walfind_row *row, char out[WALFIND_NAME_BYTES])
{
	if (row->what == WALFIND_RESTORE_POINT)
		snprintf(out, WALFIND_NAME_BYTES, "\"%s\"", row->name.table);
	else if (row->named && *row->name.schema)
		snprintf(out, WALFIND_NAME_BYTES, "%s.%s", row->name.schema, row->name.table);
	else if (row->named)
		snprintf(out, WALFIND_NAME_BYTES, "%s", row->name.table);
	else if (row->rel.number)
		snprintf(out, WALFIND_NAME_BYTES, "file %u", row->rel.number);
	else
		snprintf(out, WALFIND_NAME_BYTES, "-");
}

static void row_database(const struct walfind_row *row, char out[WALFIND_NAME_BYTES])
{
	if (row->named && *row->name.database)
		snprintf(out, WALFIND_NAME_BYTES, "%s", row->name.database);
	else if (row->rel.database)
		snprintf(out, WALFIND_NAME_BYTES, "oid %u", row->rel.database);
	else
		snprintf(out, WALFIND_NAME_BYTES, "-");
}

static void rows_text(const struct finding *finding, struct buf *out)
{
	static const char *const titles[] = {"TIME",     "LSN",   "XID",  "WHAT",
	                                     "DATABASE", "TABLE", "ROWS", "TIMELINE"};
	struct table table;

	table_init(&table, ARRAY_LENGTH(titles), titles, 1u << 2 | 1u << 6 | 1u << 7);
	for (size_t i = 0; i < finding->find.rows; i++) {
		const struct walfind_row *row = &finding->find.row[i];
		char time[ZONE_TEXT_BYTES] = "-", name[WALFIND_NAME_BYTES];

		if (row->time_us)
			zone_text(row->time_us, finding->zone, time);
		table_add(&table, time);
		table_addf(&table, LSN_FORMAT, LSN_ARGS(row->start));
		table_addf(&table, row->xid ? "%u" : "-", row->xid);
		table_add(&table, walfind_what_name(row->what));
		row_database(row, name);
		table_add(&table, name);
		row_table(row, name);
		table_add(&table, name);
		table_addf(&table, row->rows ? "%llu" : "-", (unsigned long long)row->rows);
		table_addf(&table, "%u", row->tli);
	}
	table_print(&table, 0, out);
	table_release(&table);
}

/* The restore to the moment before a row's record. */
static void command_text(const struct finding *finding, const struct walfind_row *row,
                         struct buf *out)
{
	buf_addf(out, "seawall restore %s --to lsn:" LSN_FORMAT " --before",
	         finding->archive.site->cluster, LSN_ARGS(row->start));
	if (finding->pieces.timelines > 1)
		buf_addf(out, " --timeline %u", row->tli);
	buf_addstr(out, " --pgdata NEW_DIRECTORY");
}

static void commands_text(const struct finding *finding, struct buf *out)
{
	lsn last = 0;
	unsigned shown = 0, more = 0;

	buf_addstr(out, "\nTo restore the moment before it:\n");
	for (size_t i = 0; i < finding->find.rows; i++) {
		const struct walfind_row *row = &finding->find.row[i];

		if (row->start == last)
			continue;
		last = row->start;
		if (shown++ >= COMMANDS_MAX) {
			more++;
			continue;
		}
		buf_addstr(out, "  ");
		command_text(finding, row, out);
		buf_addc(out, '\n');
	}
	if (more)
		buf_addf(out, "  and %u more, by their LSN in the same way\n", more);
}

static void find_text(const struct finding *finding, struct buf *out)
{
	const struct walfind *find = &finding->find;

	if (find->rows) {
		rows_text(finding, out);
		commands_text(finding, out);
	}
	if (find->more)
		buf_addf(out, "There is more than %d rows: give --since and --until.\n",
		         WALFIND_ROWS_MAX);
	if (find->crowded)
		buf_addstr(out, "In some stretches more happened than the index keeps: what "
		                "is missing here may still have happened.\n");
	if (!finding->pieces.timelines)
		buf_addstr(out, "There is no WAL index yet: \"seawall wal index --rebuild\" makes "
		                "it from the archive.\n");
}

static void find_json(const struct finding *finding, struct buf *out)
{
	struct jval *root = jobject_new(), *list;

	jset_int(root, "version", 1);
	jset_str(root, "cluster", finding->archive.site->cluster);
	jset_bool(root, "more", finding->find.more);
	jset_bool(root, "crowded", finding->find.crowded);
	list = jset_array(root, "events");
	for (size_t i = 0; i < finding->find.rows; i++) {
		const struct walfind_row *row = &finding->find.row[i];
		struct jval *item = jadd_object(list);
		AUTO_BUF struct buf command = {0};

		buf_init(&command, ERR_TEXT_MAX);
		command_text(finding, row, &command);
		jset_str(item, "what", walfind_what_name(row->what));
		shown_json_time(item, "time", row->time_us);
		shown_json_lsn(item, "lsn", row->start);
		shown_json_lsn(item, "end_lsn", row->end);
		jset_int(item, "timeline", row->tli);
		jset_int(item, "xid", row->xid);
		jset_int(item, "database_oid", row->rel.database);
		jset_int(item, "file_number", row->rel.number);
		jset_str(item, "database", row->name.database);
		jset_str(item, "schema", row->name.schema);
		jset_str(item, "name", row->name.table);
		jset_u64(item, "rows", row->rows);
		jset_str(item, "restore_before", buf_text(&command));
	}
	json_print(root, true, out);
	jval_free(root);
}

static bool finding_open(const struct cli *cli, struct finding *finding, struct err *err)
{
	struct err ignored = {0};
	const char *zone;

	if (!archive_open(cli, argument_at(cli->arguments, 0), &finding->archive, err))
		return false;
	zone = finding->archive.generation.facts.time_zone;
	if (*zone && !zone_load(zone, &finding->zone, &ignored))
		finding->zone = NULL;
	finding->find.question = &finding->question;
	return question_read(cli, finding, err);
}

static bool find_run(struct cli *cli, struct err *err)
{
	struct finding *finding = xcalloc(1, sizeof(*finding));
	AUTO_BUF struct buf out = {0};
	bool done = finding_open(cli, finding, err) &&
	            story_run(&finding->archive.runtime, finding_start, &finding->op, finding, err);

	buf_init(&out, FIND_BYTES_MAX);
	if (done) {
		if (cli->json)
			find_json(finding, &out);
		else
			find_text(finding, &out);
		done = print(buf_text(&out), err);
	}
	if (done && !finding->find.rows)
		done = err_set(err, ERR_NOTFOUND,
		               "nothing of the kind happened in the WAL that is indexed");
	walfind_release(&finding->find);
	walpieces_release(&finding->pieces);
	find_names_release(&finding->names);
	zone_free(finding->zone);
	archive_close(&finding->archive);
	free(finding);
	return done;
}

static const struct cli_option options[] = {
        {.name = "dropped",
         .argument = "NAME",
         .help = "tables (or databases) that were dropped: NAME, SCHEMA.NAME, also with * and ?"},
        {.name = "truncated", .help = "tables that were truncated, or written anew"},
        {.name = "deleted",
         .argument = "N+",
         .help = "transactions that deleted so many rows of a table, at least 200"},
        {.name = "table",
         .argument = "NAME",
         .help = "only those of a table, with --truncated and --deleted"},
        {.name = "restore-points", .help = "restore points"},
        {.name = "xid", .argument = "N", .help = "what a transaction did"},
        {.name = "around",
         .argument = "TIME",
         .help = "everything from ten minutes before to ten minutes after"},
        {.name = "since", .argument = "TIME", .help = "nothing before"},
        {.name = "until", .argument = "TIME", .help = "nothing after"},
        {0},
};

const struct command command_find = {
        .name = "find",
        .usage = "[CLUSTER]",
        .help = "find what happened, and the moment before it",
        .about = "Finds tables that were dropped, truncated or emptied, restore points, or "
                 "whatever happened around a "
                 "moment, and says\nhow to restore the moment before. It reads the WAL index, no "
                 "WAL: an answer takes "
                 "a second, also for tables whose\nrows of the catalog are long gone. A time "
                 "without an offset is "
                 "one of the cluster's own zone.",
        .example = "seawall find main --dropped orders",
        .options = options,
        .arguments_max = 1,
        .user = USER_OWNER,
        .run = find_run,
};
