/*
 * show.c — `seawall show BACKUP`: one backup, its files, its packs.
 *
 * The body of a manifest may have millions of records: it streams, and each file is one line.
 */
#include "base/log.h"
#include "base/units.h"
#include "repo/heads.h"
#include "server/presence.h"
#include "shown.h"
#include "story.h"
#include "table.h"
#include "base/poison.h"

enum { SHOW_BYTES_MAX = 4 * 1024 * 1024, LINES_BYTES_MAX = 256 * 1024 };

struct showing {
	struct op op;
	struct archive archive;
	const char *id;
	bool files, json, first;
	struct presence presence;
	unsigned next;          /* of its places */
	struct repo *repo;      /* that it is read from */
	const char *generation; /* there */
	struct head_read read;
	uint64_t taken; /* of the manifest's body, and printed */
	bool refused;   /* what was read is no manifest, or could not be printed */
	struct object_stream stream;
	struct manifest_reader *reader;
	struct buf lines;
	char name[NAME_BYTES];
};

enum { SHOWING_START, SHOWING_PLACES, SHOWING_HEAD, SHOWING_FILES };

static const char *kind_text(enum manifest_kind kind)
{
	switch (kind) {
	case MANIFEST_FILE:
		return "file";
	case MANIFEST_FOLDER:
		return "folder";
	case MANIFEST_LINK:
		return "link";
	case MANIFEST_OUTSIDE:
		return "outside";
	}
	return "?";
}

static uint64_t zero_bytes(const struct manifest_entry *entry)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < entry->extents; i++)
		if (entry->extent[i].pack == MANIFEST_ZEROS)
			bytes += entry->extent[i].length;
	return bytes;
}

static uint32_t first_pack(const struct manifest_entry *entry)
{
	for (uint32_t i = 0; i < entry->extents; i++)
		if (entry->extent[i].pack != MANIFEST_ZEROS)
			return entry->extent[i].pack;
	return 0;
}

static void file_json(struct showing *showing, const struct manifest_entry *entry)
{
	struct jval *item = jobject_new();

	jset_str(item, "kind", kind_text(entry->kind));
	jset_str(item, "path", entry->path);
	if (entry->kind == MANIFEST_LINK)
		jset_str(item, "target", entry->target);
	if (entry->kind == MANIFEST_FILE || entry->kind == MANIFEST_OUTSIDE) {
		jset_u64(item, "bytes", entry->size_bytes);
		jset_u64(item, "zero_bytes", zero_bytes(entry));
		jset_int(item, "crc32c", entry->crc32c);
		jset_int(item, "pack", first_pack(entry));
	}
	jset_int(item, "mode", entry->mode);
	shown_json_time(item, "modified", entry->modified_us);
	buf_addstr(&showing->lines, showing->first ? "\n    " : ",\n    ");
	showing->first = false;
	json_print(item, false, &showing->lines);
	jval_free(item);
}

/* On the worker that reads: prints, since what is printed may be long. */
static bool show_file(void *context, const struct manifest_entry *entry, struct err *err)
{
	struct showing *showing = context;
	AUTO_FREE char *path = xstrdup(entry->path);

	if (showing->json) {
		file_json(showing, entry);
	} else {
		str_clean(path);
		buf_addf(&showing->lines, "%-7s %12llu %4o %6u  %s\n", kind_text(entry->kind),
		         (unsigned long long)entry->size_bytes, (unsigned)entry->mode,
		         (unsigned)first_pack(entry), path);
	}
	if (showing->lines.length < LINES_BYTES_MAX / 2)
		return true;
	if (!print(buf_text(&showing->lines), err))
		return false;
	buf_clear(&showing->lines);
	return true;
}

static bool consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                    size_t length, struct err *err)
{
	struct showing *showing = stream->context;

	if (!digest_equal(&stream->sealed.digest, &showing->read.read.sealed.digest))
		return err_set(err, ERR_DAMAGED,
		               "object \"%s\" in repository \"%s\" is not the manifest whose head "
		               "was shown",
		               stream->name, store_label(stream->repo->store));
	showing->refused = !manifest_reader_feed(showing->reader, bytes, length, err);
	showing->taken = offset + length;
	return !showing->refused;
}

static void places_text(const struct manifest_head *head, struct table *table)
{
	const char *const outside[] = {head->config_file, head->hba_file, head->ident_file};

	table_add(table, "data directory");
	table_add(table, head->pgdata);
	for (size_t i = 0; i < ARRAY_LENGTH(outside); i++) {
		if (!outside[i][0])
			continue;
		table_add(table, "outside of it");
		table_add(table, outside[i]);
	}
	for (size_t i = 0; i < head->tablespaces; i++) {
		table_addf(table, "tablespace %u", head->tablespace[i].oid);
		table_addf(table, "%s at %s", head->tablespace[i].name, head->tablespace[i].path);
	}
}

static void repositories_text(const struct presence *presence, const char *id, struct table *table)
{
	char places[PRESENCE_TEXT_BYTES], line[ERR_TEXT_MAX];

	if (!presence->places)
		return;
	presence_text(presence, id, places);
	table_add(table, "repositories");
	table_add(table, places);
	for (unsigned i = 0; i < presence->places; i++) {
		if (presence->place[i].known)
			continue;
		err_line(&presence->place[i].err, line, sizeof(line));
		table_add(table, "");
		table_addf(table, "%s did not answer: %s", presence->place[i].site->repository,
		           line);
	}
}

static void head_text(const struct showing *showing, struct buf *out)
{
	const struct manifest_head *head = &showing->read.head;
	char time[TIME_TEXT_BYTES], size[UNITS_TEXT_BYTES], stored[UNITS_TEXT_BYTES];
	struct table table;

	table_init(&table, 2, NULL, 0);
	table_add(&table, "backup");
	table_add(&table, head->id);
	if (*head->label_text) {
		table_add(&table, "label");
		table_add(&table, head->label_text);
	}
	shown_time(head->begun_us, time);
	table_add(&table, "begun");
	table_addf(&table, "%s UTC", time);
	shown_time(head->stop_time_us, time);
	table_add(&table, "ended");
	table_addf(&table, "%s UTC", time);
	table_add(&table, "WAL");
	table_addf(&table, "timeline %u " LSN_FORMAT " to timeline %u " LSN_FORMAT, head->start_tli,
	           LSN_ARGS(head->start_lsn), head->stop_tli, LSN_ARGS(head->stop_lsn));
	units_size(head->logical_bytes, size);
	units_size(head->stored_bytes, stored);
	table_add(&table, "files");
	table_addf(&table, "%llu in %llu folders, %s", (unsigned long long)head->files,
	           (unsigned long long)head->folders, size);
	table_add(&table, "stored");
	table_addf(&table, "%s in %llu packs", stored, (unsigned long long)head->packs);
	repositories_text(&showing->presence, head->id, &table);
	table_add(&table, "PostgreSQL");
	table_addf(&table, "%u.%u, %s, system identifier %llu", head->major,
	           head->server_version_num % 10000, head->from,
	           (unsigned long long)head->system_identifier);
	places_text(head, &table);
	table_add(&table, "page checksums");
	if (!head->checksums)
		table_add(&table, "none in this cluster");
	else if (!head->findings_total)
		table_add(&table, "all good");
	else
		table_addf(&table, "%llu DAMAGED pages", (unsigned long long)head->findings_total);
	for (size_t i = 0; i < head->findings; i++) {
		table_add(&table, "");
		table_addf(&table, "file %s, block %u%s", head->finding[i].path,
		           head->finding[i].block,
		           head->finding[i].warning ? " (a map, heals itself)" : "");
	}
	table_add(&table, "made by");
	table_addf(&table, "seawall %s", head->tool_version);
	table_print(&table, 0, out);
	table_release(&table);
}

static void head_json(const struct showing *showing, struct buf *out)
{
	const struct manifest_head *head = &showing->read.head;
	struct jval *root = jobject_new(), *list;
	size_t end;

	jset_int(root, "version", 1);
	shown_backup(head, root);
	presence_json(&showing->presence, head->id, root);
	presence_unknown_json(&showing->presence, root);
	jset_str(root, "data_directory", head->pgdata);
	list = jset_array(root, "tablespaces");
	for (size_t i = 0; i < head->tablespaces; i++) {
		struct jval *item = jadd_object(list);

		jset_int(item, "oid", head->tablespace[i].oid);
		jset_str(item, "name", head->tablespace[i].name);
		jset_str(item, "path", head->tablespace[i].path);
	}
	list = jset_array(root, "damaged");
	for (size_t i = 0; i < head->findings; i++) {
		struct jval *item = jadd_object(list);

		jset_str(item, "path", head->finding[i].path);
		jset_int(item, "block", head->finding[i].block);
		jset_bool(item, "warning", head->finding[i].warning);
	}
	json_print(root, true, out);
	jval_free(root);
	/* The files follow, one after the other: the object stays open. */
	for (end = out->length; end > 0 && out->data[end - 1] != '}'; end--)
		continue;
	for (end--; end > 0 && out->data[end - 1] == '\n'; end--)
		continue;
	out->length = end;
}

static bool print_head(struct showing *showing, struct err *err)
{
	AUTO_BUF struct buf out = {0};

	buf_init(&out, SHOW_BYTES_MAX);
	if (!showing->json) {
		head_text(showing, &out);
		if (showing->files)
			buf_addf(&out, "\n%-7s %12s %4s %6s  %s\n", "KIND", "BYTES", "MODE", "PACK",
			         "PATH");
		return print(buf_text(&out), err);
	}
	head_json(showing, &out);
	buf_addstr(&out, showing->files ? ",\n  \"files_list\": [" : "\n}\n");
	return print(buf_text(&out), err);
}

/* The next nearest repository that has it; NULL: none is left. */
static const struct presence_place *showing_place(struct showing *showing)
{
	const struct presence *presence = &showing->presence;

	while (showing->next < presence->places) {
		const struct presence_place *place = &presence->place[showing->next++];

		if (presence_has(place, showing->id))
			return place;
	}
	return NULL;
}

/* place NULL: the nearest repository, whose error it then is. */
static void showing_read(struct showing *showing, const struct presence_place *place)
{
	showing->repo = place ? place->site->repo : showing->archive.repo;
	showing->generation = place ? place->generation : showing->archive.generation.generation;
	showing->read = (struct head_read){
	        .repo = showing->repo, .generation = showing->generation, .id = showing->id};
	head_read_start(&showing->op, &showing->read);
	op_wait(&showing->op, SHOWING_HEAD);
}

/* What is damaged in one may be good in the next. */
static bool showing_elsewhere(struct showing *showing)
{
	const struct presence_place *place;

	if (showing->op.cancelled || !(place = showing_place(showing)))
		return false;
	log_err(LOG_WARNING, &showing->read.op.err, ", reading it from another repository");
	showing_read(showing, place);
	return true;
}

/* What is printed stays: another repository goes on behind it. */
static void files_read(struct showing *showing)
{
	name_backup(showing->name, showing->generation, showing->id);
	showing->stream =
	        (struct object_stream){.repo = showing->repo,
	                               .name = showing->name,
	                               .kind = SEALED_MANIFEST,
	                               .class = GATE_VERIFY,
	                               .parts_only = true,
	                               .from = showing->taken,
	                               .length = showing->read.head.body_bytes - showing->taken,
	                               .consume = consume,
	                               .context = showing};
	object_stream_start(&showing->op, &showing->stream);
	op_wait(&showing->op, SHOWING_FILES);
}

static bool files_elsewhere(struct showing *showing)
{
	const struct presence_place *place;

	if (showing->op.cancelled || showing->refused ||
	    showing->taken >= showing->read.head.body_bytes || !(place = showing_place(showing)))
		return false;
	log_err(LOG_WARNING, &showing->stream.op.err, ", reading it from another repository");
	showing->repo = place->site->repo;
	showing->generation = place->generation;
	files_read(showing);
	return true;
}

static void files_end(struct showing *showing)
{
	struct op *op = &showing->op;

	if (op_failed(&showing->stream.op) && files_elsewhere(showing))
		return;
	if (op_failed(&showing->stream.op))
		return op_fail(op, &showing->stream.op.err,
		               "could not read the files of backup \"%s\"", showing->id);
	if (!manifest_reader_end(showing->reader, &op->err))
		return op_fail_own(op);
	if (showing->json)
		buf_addstr(&showing->lines, "\n  ]\n}\n");
	if (!print(buf_text(&showing->lines), &op->err))
		return op_fail_own(op);
	op_done(op);
}

static void showing_step(struct op *op)
{
	struct showing *showing = container_of(op, struct showing, op);
	struct archive *archive = &showing->archive;

	switch (op->state) {
	case SHOWING_START:
		showing->presence = (struct presence){
		        .first = archive->site,
		        .system_identifier = archive->generation.facts.system_identifier};
		presence_start(op, &showing->presence);
		return op_wait(op, SHOWING_PLACES);
	case SHOWING_PLACES:
		if (op_failed(&showing->presence.op)) {
			op->err = showing->presence.op.err;
			return op_fail_own(op);
		}
		return showing_read(showing, showing_place(showing));
	case SHOWING_HEAD:
		if (op_failed(&showing->read.op) && showing_elsewhere(showing))
			return;
		if (op_failed(&showing->read.op)) {
			op->err = showing->read.op.err;
			return op_fail_own(op);
		}
		if (!print_head(showing, &op->err))
			return op_fail_own(op);
		if (!showing->files)
			return op_done(op);
		return files_read(showing);
	case SHOWING_FILES:
		return files_end(showing);
	}
}

static const struct op_type showing_type = {.name = "show", .step = showing_step};

static void start_showing(struct op *parent, void *context)
{
	struct showing *showing = context;

	op_start(parent, &showing->op, &showing_type);
}

/* One that did not answer may have it. */
static void showing_missing(const struct showing *showing, struct err *err)
{
	const struct presence *presence = &showing->presence;

	for (unsigned i = 0; i < presence->places; i++)
		if (!presence->place[i].known) {
			*err = presence->place[i].err;
			err_wrap(err, "could not find backup \"%s\" of cluster \"%s\"", showing->id,
			         showing->archive.site->cluster);
			return;
		}
	err_set(err, ERR_NOTFOUND, "there is no backup \"%s\" of cluster \"%s\"", showing->id,
	        showing->archive.site->cluster);
	err_hint(err, "\"seawall list\" shows them.");
}

static bool show_run(struct cli *cli, struct err *err)
{
	const char *id = argument_at(cli->arguments, 0);
	struct showing *showing = xcalloc(1, sizeof(*showing));
	bool done = false;

	showing->id = id;
	showing->json = cli->json;
	showing->files = option_given(cli->arguments, "files");
	showing->first = true;
	showing->reader = manifest_reader_new(show_file, showing);
	buf_init(&showing->lines, LINES_BYTES_MAX);
	if (!backup_id_valid(id)) {
		err_set(err, ERR_USAGE, "\"%s\" is no backup's name", id);
		err_hint(err, "\"seawall list\" shows them.");
	} else if (archive_open(cli, option_value(cli->arguments, "cluster"), &showing->archive,
	                        err)) {
		done = story_run(&showing->archive.runtime, start_showing, &showing->op, showing,
		                 err);
		if (!done && err->code == ERR_NOTFOUND)
			showing_missing(showing, err);
	}
	manifest_head_release(&showing->read.head);
	manifest_reader_free(showing->reader);
	buf_release(&showing->lines);
	presence_release(&showing->presence);
	archive_close(&showing->archive);
	free(showing);
	return done;
}

static const struct cli_option show_options[] = {
        {"cluster", "NAME", "the cluster, when there are several"},
        {"files", NULL, "also list its files: kind, bytes, mode, first pack, path"},
        {0},
};

const struct command command_show = {
        .name = "show",
        .usage = "BACKUP",
        .help = "show one backup",
        .about = "Shows what a backup is: its times and WAL positions, sizes, tablespaces, and the "
                 "pages whose "
                 "checksum\nwas wrong; and which repositories have it, when the cluster has "
                 "several. With --files, each of its files.",
        .example = "seawall show 20261120T140200Z-1a2b --files",
        .options = show_options,
        .arguments_min = 1,
        .arguments_max = 1,
        .user = USER_OWNER,
        .run = show_run,
};
