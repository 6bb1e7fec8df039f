/*
 * find.c — `seawall find`: what happened and when, from the WAL index, and the command that goes
 * back to the moment before.
 */
#include "base/clock.h"
#include "base/str.h"
#include "base/zone.h"
#include "codec/json.h"
#include "find_read.h"
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
	GAPS_MAX = 20,     /* the same, of what was not searched */
};
#define AROUND_US (INT64_C(10) * 60 * US_PER_S)

struct finding {
	const struct cli *cli;
	struct archive archive;
	struct walfind_question question;
	struct walfind find;
	struct zone *zone; /* the cluster's; NULL: UTC */
	struct find_read read;
};

static void finding_start(struct op *parent, void *context)
{
	struct finding *finding = context;

	find_read_start(parent, &finding->read);
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
	if (question->since_us > question->until_us)
		return err_set(err, ERR_USAGE, "--since is later than --until");
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
	if (xid && (number == 0 || strchr(xid, '+'))) {
		err_set(err, ERR_USAGE, "--xid \"%s\" is no transaction", xid);
		err_hint(err, "Give its number, such as 74123.");
		return false;
	}
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
		table_addf(&table, "%u%s", row->tli, row->aside ? " (set aside)" : "");
	}
	table_print(&table, 0, out);
	table_release(&table);
}

/* As a word of a shell: quoted where it must be. */
static void word_text(const char *word, struct buf *out)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	                            "_-./:=,+@%";
	AUTO_FREE char *quoted = str_shell(word);

	buf_addstr(out, *word && word[strspn(word, plain)] == '\0' ? word : quoted);
}

static void config_text(const struct finding *finding, struct buf *out)
{
	const char *config = option_value(finding->cli->arguments, "config");

	if (!config)
		return;
	buf_addstr(out, " --config ");
	word_text(config, out);
}

/* The restore to the moment before a row's record. Before a fork its position is on several
 * timelines, and behind it perhaps only on one: the one where it was found is named. */
static void command_text(const struct finding *finding, const struct walfind_row *row,
                         struct buf *out)
{
	buf_addf(out, "seawall restore %s", finding->archive.site->cluster);
	config_text(finding, out);
	buf_addf(out, " --to lsn:" LSN_FORMAT " --before", LSN_ARGS(row->start));
	if (finding->read.catalog.timelines > 1)
		buf_addf(out, " --timeline %u", row->stored_tli);
	buf_addstr(out, " --pgdata NEW_DIRECTORY");
}

static const char *aside_name(const struct finding *finding, const struct walfind_row *row)
{
	return finding->read.aside.segment[row->aside - 1].name;
}

/* No restore leads there; whoever wants to see it takes the segment out. */
static void aside_text(const struct finding *finding, const struct walfind_row *row,
                       struct buf *out)
{
	char text[SEGMENT_NAME_BYTES];
	const struct aside_segment *segment = &finding->read.aside.segment[row->aside - 1];

	segment_name(segment->tli, segment->segno, finding->read.segment_bytes, text);
	buf_addstr(out, "seawall cat");
	config_text(finding, out);
	buf_addc(out, ' ');
	word_text(segment->name, out);
	buf_addf(out, " > %s", text);
}

/* It lies before the end of every backup. */
static bool is_too_old(const struct finding *finding, const struct walfind_row *row)
{
	return row->start < finding->read.restorable_lsn;
}

typedef void row_text(const struct finding *finding, const struct walfind_row *row,
                      struct buf *out);

/* One for each record, of those rows that are set aside, or of those that are not. */
static void each_text(const struct finding *finding, bool aside, row_text *write, struct buf *out)
{
	lsn last = 0;
	uint32_t last_tli = 0;
	unsigned shown = 0, old = 0;

	for (size_t i = 0; i < finding->find.rows; i++) {
		const struct walfind_row *row = &finding->find.row[i];

		if ((row->aside > 0) != aside ||
		    (row->start == last && row->stored_tli == last_tli))
			continue;
		last = row->start;
		last_tli = row->stored_tli;
		if (!aside && is_too_old(finding, row)) {
			old++;
			continue;
		}
		if (shown++ == 0)
			buf_addstr(out, aside ? "\nWhat was set aside is on no timeline that is "
			                        "restored. Its segment, for pg_waldump:\n"
			                      : "\nTo restore the moment before it:\n");
		if (shown > COMMANDS_MAX)
			continue;
		buf_addstr(out, "  ");
		write(finding, row, out);
		buf_addc(out, '\n');
	}
	if (shown > COMMANDS_MAX)
		buf_addf(out, "  and %u more%s\n", shown - COMMANDS_MAX,
		         aside ? "" : ", by their LSN in the same way");
	if (old && finding->read.restorable_lsn == LSN_MAX)
		buf_addstr(out, "\nThere is no backup yet: none of it can be restored.\n");
	else if (old)
		buf_addf(out,
		         "\nWhat lies before the end of the oldest backup, at " LSN_FORMAT
		         ", cannot be restored.\n",
		         LSN_ARGS(finding->read.restorable_lsn));
}

/* ---- what was not searched ---- */

static void stretch_text(const struct finding *finding, const struct find_gap *gap, struct buf *out)
{
	uint32_t segment_bytes = finding->read.segment_bytes;
	char first[SEGMENT_NAME_BYTES], last[SEGMENT_NAME_BYTES];

	segment_name(gap->tli, gap->first, segment_bytes, first);
	segment_name(gap->tli, gap->last, segment_bytes, last);
	buf_addf(out, "%s", first);
	if (gap->last > gap->first)
		buf_addf(out, " to %s (%llu segments)", last,
		         (unsigned long long)(gap->last - gap->first + 1));
	buf_addf(out, ", " LSN_FORMAT " to " LSN_FORMAT,
	         LSN_ARGS(lsn_of_segno(gap->first, segment_bytes)),
	         LSN_ARGS(lsn_of_segno(gap->last + 1, segment_bytes)));
}

static void gap_text(const struct finding *finding, const struct find_gap *gap, struct buf *out)
{
	char from[ZONE_TEXT_BYTES], until[ZONE_TEXT_BYTES];

	zone_text(gap->from_us, finding->zone, from);
	zone_text(gap->until_us, finding->zone, until);
	buf_addstr(out, gap->cause == FIND_NOT_YET ? "Not searched yet: " : "NOT SEARCHED: ");
	stretch_text(finding, gap, out);
	if (gap->from_us)
		buf_addf(out, ", after %s", from);
	if (gap->until_us)
		buf_addf(out, ", before %s", until);
	buf_addf(out, ": %s\n", find_cause_text(gap->cause));
}

static void gaps_text(const struct finding *finding, struct buf *out)
{
	const struct find_read *read = &finding->read;

	for (size_t i = 0; i < MIN(read->gaps, (size_t)GAPS_MAX); i++)
		gap_text(finding, &read->gap[i], out);
	if (read->gaps > GAPS_MAX)
		buf_addf(out, "NOT SEARCHED: %zu more stretches, see --json\n",
		         read->gaps - GAPS_MAX);
	for (size_t i = 0; i < read->aside.segments; i++)
		if (!read->aside.segment[i].read)
			buf_addf(out, "NOT SEARCHED: \"%s\", which was set aside%s\n",
			         read->aside.segment[i].name,
			         i < FIND_ASIDE_MAX ? " and cannot be read"
			                            : ": there is more of it than is read");
}

/* The branches that both go on, and what is known only as a number. */
static void notes_text(const struct finding *finding, struct buf *out)
{
	const struct catalog *catalog = &finding->read.catalog;
	const struct owner_note *note;

	for (size_t i = 0; (note = owner_contest(catalog, i)); i++) {
		buf_addstr(out, "CONTESTED: ");
		owner_contest_text(catalog, note, out);
		buf_addstr(out, ". Both were searched; TIMELINE says which it is.\n");
	}
	if (finding->find.unnamed)
		buf_addf(out,
		         "%llu more of the kind happened to tables whose names nobody knows: "
		         "--%s '*' shows them.\n",
		         (unsigned long long)finding->find.unnamed,
		         finding->question.dropped ? "dropped" : "table");
	if (finding->question.deleted && finding->question.deleted_min < WALINDEX_ROWS_MIN)
		buf_addf(out,
		         "The index knows of transactions that deleted %d rows of a table or "
		         "more.\n",
		         WALINDEX_ROWS_MIN);
	if (finding->read.names.unreadable)
		buf_addf(out,
		         "%zu lists of the names of tables cannot be read: some names may be "
		         "missing.\n",
		         finding->read.names.unreadable);
}

static void find_text(const struct finding *finding, struct buf *out)
{
	const struct walfind *find = &finding->find;

	if (find->rows) {
		rows_text(finding, out);
		each_text(finding, false, command_text, out);
		each_text(finding, true, aside_text, out);
	}
	if (find->more)
		buf_addf(out, "There is more than %d rows: give --since and --until.\n",
		         WALFIND_ROWS_MAX);
	if (find->crowded)
		buf_addstr(out, "In some stretches more happened than the index keeps: what "
		                "is missing here may still have happened.\n");
	notes_text(finding, out);
	gaps_text(finding, out);
	if (!finding->read.spans)
		buf_addstr(out, "There is no WAL index yet: \"seawall wal index\" makes "
		                "it from the archive.\n");
}

static void gaps_json(const struct finding *finding, struct jval *root)
{
	const struct find_read *read = &finding->read;
	struct jval *list = jset_array(root, "not_searched");
	char text[SEGMENT_NAME_BYTES];

	for (size_t i = 0; i < read->gaps; i++) {
		const struct find_gap *gap = &read->gap[i];
		struct jval *item = jadd_object(list);

		jset_str(item, "cause", find_cause_name(gap->cause));
		jset_int(item, "timeline", gap->tli);
		segment_name(gap->tli, gap->first, read->segment_bytes, text);
		jset_str(item, "first", text);
		segment_name(gap->tli, gap->last, read->segment_bytes, text);
		jset_str(item, "last", text);
		shown_json_lsn(item, "from_lsn", lsn_of_segno(gap->first, read->segment_bytes));
		shown_json_lsn(item, "to_lsn", lsn_of_segno(gap->last + 1, read->segment_bytes));
		shown_json_time(item, "from", gap->from_us);
		shown_json_time(item, "until", gap->until_us);
	}
	list = jset_array(root, "set_aside_not_searched");
	for (size_t i = 0; i < read->aside.segments; i++)
		if (!read->aside.segment[i].read)
			jset_str(jadd_object(list), "object", read->aside.segment[i].name);
	jset_u64(root, "unnamed", finding->find.unnamed);
	jset_u64(root, "unreadable_names", read->names.unreadable);
}

static void find_json(const struct finding *finding, struct buf *out)
{
	struct jval *root = jobject_new(), *list;

	jset_int(root, "version", 1);
	jset_str(root, "cluster", finding->archive.site->cluster);
	jset_bool(root, "more", finding->find.more);
	jset_bool(root, "crowded", finding->find.crowded);
	gaps_json(finding, root);
	list = jset_array(root, "events");
	for (size_t i = 0; i < finding->find.rows; i++) {
		const struct walfind_row *row = &finding->find.row[i];
		struct jval *item = jadd_object(list);
		AUTO_BUF struct buf command = {0};

		buf_init(&command, ERR_TEXT_MAX);
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
		if (row->aside) {
			jset_str(item, "set_aside", aside_name(finding, row));
			continue;
		}
		if (is_too_old(finding, row)) {
			jset_null(item, "restore_before");
			continue;
		}
		command_text(finding, row, &command);
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
	finding->read.repo = finding->archive.repo;
	finding->read.generation = finding->archive.generation.generation;
	finding->read.segment_bytes = finding->archive.generation.facts.segment_bytes;
	finding->read.system_identifier = finding->archive.generation.facts.system_identifier;
	finding->read.find = &finding->find;
	finding->read.others = finding->archive.site->next != NULL;
	return question_read(cli, finding, err);
}

/* What was shown may not be all: an answer of its own, whatever was found. */
static bool find_lacks(const struct finding *finding, struct err *err)
{
	const struct find_read *read = &finding->read;
	const struct find_gap *gap = find_read_lacks(read);
	const char *cluster = finding->archive.site->cluster;

	if (gap) {
		if (err_is(&read->first))
			*err = read->first;
		else
			err_set(err, ERR_DAMAGED, "the WAL index has a hole");
		err_wrap_as(err, gap->cause == FIND_NEWER ? ERR_REFUSED : ERR_DAMAGED,
		            "a part of the WAL could not be searched");
		if (gap->cause == FIND_NEWER)
			err_hint(err,
			         "Ask with the version of Seawall that wrote it, or make the index "
			         "again with \"seawall wal index %s --rebuild\".",
			         cluster);
		else
			err_hint(err,
			         "\"seawall wal index %s\" makes these pieces again from the WAL, "
			         "and says what of it cannot be read; then ask again.",
			         cluster);
		return false;
	}
	if (find_aside_unread(&read->aside))
		return err_set(err, ERR_DAMAGED,
		               "WAL that was set aside could not be searched, %zu segments",
		               find_aside_unread(&read->aside));
	if (finding->question.table && read->names.unreadable)
		return err_set(err, ERR_DAMAGED,
		               "the names of tables could not all be read, %zu lists",
		               read->names.unreadable);
	return true;
}

static bool find_found(const struct finding *finding, struct err *err)
{
	if (finding->find.rows)
		return true;
	if (finding->find.unnamed)
		return err_set(err, ERR_NOTFOUND,
		               "nothing of the kind is known to have happened to \"%s\"",
		               finding->question.table);
	return err_set(err, ERR_NOTFOUND,
	               "nothing of the kind happened in the WAL that is indexed");
}

static bool find_run(struct cli *cli, struct err *err)
{
	struct finding *finding = xcalloc(1, sizeof(*finding));
	AUTO_BUF struct buf out = {0};
	bool done;

	finding->cli = cli;
	done = finding_open(cli, finding, err) &&
	       story_run(&finding->archive.runtime, finding_start, &finding->read.op, finding, err);
	buf_init(&out, FIND_BYTES_MAX);
	if (done) {
		if (cli->json)
			find_json(finding, &out);
		else
			find_text(finding, &out);
		done = print(buf_text(&out), err);
	}
	done = done && find_lacks(finding, err);
	done = done && find_found(finding, err);
	walfind_release(&finding->find);
	find_read_release(&finding->read);
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

static const struct cli_exit exits[] = {
        {0, "found"},
        {1, "nothing of the kind happened in the WAL that is indexed"},
        {2, "the command line is wrong"},
        {3, "the configuration is wrong"},
        {4, "the repository, a file or a server could not be reached"},
        {5, "a part of the WAL could not be searched: its index is of a newer version"},
        {7, "a part of the WAL could not be searched: what is shown may not be all"},
        {8, "cancelled or out of time"},
        {0, NULL},
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
                 "one of the cluster's own zone.\n\nA piece of the index that cannot be read is "
                 "replaced by the smaller ones below it. What none of them tells of is\nnamed at "
                 "the end, with its segments, its positions and the time around it, and the exit "
                 "status says so.\nBranches that both went on are searched, and so is WAL that was "
                 "refused and set aside: no restore leads there,\nbut what was lost in a split "
                 "brain is found.",
        .example = "seawall find main --dropped orders",
        .options = options,
        .arguments_max = 1,
        .user = USER_OWNER,
        .exits = exits,
        .run = find_run,
};
