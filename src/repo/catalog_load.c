/*
 * catalog_load.c — fills a catalogue from listings.
 *
 *   load   START -> each wanted step in turn -> done
 *            LISTING_HISTORIES -> READING (one after the other)
 *            LISTING_WAL       everything below wal/
 *            LISTING_TIMELINES the folders in wal/ -> TAILING (the end of each)
 *            LISTING_BACKUPS
 *   tail   START -> FOLDERS -> FILES (from the last folder back until a segment is found) -> done
 *
 * The histories are listed before the WAL: a timeline that begins in between has its WAL listed and
 * its history not, which proves nothing and is tried again; the other way round it would be missed.
 */
#include "internal.h"

#include <string.h>

#include "repo/catalog.h"
#include "repo/object.h"

#include "base/poison.h"

/* ---- names from a listing ---- */

struct found {
	struct walname name;
	char digest[2 * SEALED_DIGEST_BYTES + 1]; /* of a .partial */
};

/* Strict: only what name_wal() would print again. */
static bool found_parse(const char *generation, const char *name, struct found *ret)
{
	char again[NAME_BYTES];
	struct digest digest;

	ret->digest[0] = '\0';
	if (!name_wal_parse(name, &ret->name))
		return false;
	if (ret->name.kind == WALNAME_PARTIAL) {
		if (!str_hex_to(strrchr(name, '/') + 1, digest.bytes, sizeof(digest.bytes)))
			return false;
		digest_text(&digest, ret->digest);
	}
	name_wal(again, generation, &ret->name, ret->digest[0] ? &digest : NULL);
	return strcmp(name, again) == 0;
}

/* A part of a segment that exceeds one object: "<segment>.<attempt>.<number>". */
static bool is_part(const char *name)
{
	const char *last = strrchr(name, '/');
	uint64_t ignored;

	last = last ? last + 1 : name;
	return strlen(last) > SEGMENT_NAME_BYTES + 16 && str_hex(last, 16, true, &ignored) &&
	       str_hex(last + 16, 8, true, &ignored) && last[24] == '.' &&
	       str_hex(last + 25, 16, false, &ignored) && last[41] == '.';
}

/* The timeline of "<prefix><8 hex><behind>". */
static bool tli_parse(const char *name, const char *prefix, const char *behind, uint32_t *ret)
{
	uint64_t tli;

	name += strlen(prefix);
	if (!str_hex(name, 8, true, &tli) || tli == 0 || !str_starts(name + 8, behind))
		return false;
	*ret = (uint32_t)tli;
	return true;
}

/* ---- tail ---- */

enum tail_state { TAIL_START, TAIL_FOLDERS, TAIL_FILES };

static void tail_folder(struct store_walk *walk, const struct store_entry *entry)
{
	struct catalog_tail *tail = container_of(walk, struct catalog_tail, walk);

	if (str_ends(entry->name, "/"))
		strs_add(&tail->folders, entry->name);
}

static void tail_file(struct store_walk *walk, const struct store_entry *entry)
{
	struct catalog_tail *tail = container_of(walk, struct catalog_tail, walk);
	struct found found;
	uint64_t segno;

	if (!found_parse(tail->generation, entry->name, &found) || found.name.tli != tail->tli ||
	    !walname_fits(&found.name, tail->segment_bytes))
		return;
	segno = walname_segno(&found.name, tail->segment_bytes);
	if (found.name.kind != WALNAME_SEGMENT) {
		tail->files_to = MAX(tail->files_to, segno + 1);
	} else if (!tail->found || segno > tail->segno) {
		tail->found = true;
		tail->segno = segno;
	}
}

static void tail_walk(struct catalog_tail *tail, const char *prefix, int state)
{
	tail->walk = (struct store_walk){.store = tail->repo->store,
	                                 .prefix = prefix,
	                                 .folders = state == TAIL_FOLDERS,
	                                 .each = state == TAIL_FOLDERS ? tail_folder : tail_file};
	store_walk_start(&tail->op, &tail->walk);
	op_wait(&tail->op, state);
}

static void tail_step(struct op *op)
{
	struct catalog_tail *tail = container_of(op, struct catalog_tail, op);
	struct strs *folders = &tail->folders;

	if (op->state == TAIL_START) {
		tail->found = false;
		tail->files_to = 0;
		*folders = (struct strs){0};
		name_wal_timeline(tail->prefix, tail->generation, tail->tli);
		return tail_walk(tail, tail->prefix, TAIL_FOLDERS);
	}
	if (op_failed(&tail->walk.op)) {
		strs_release(folders);
		op->err = tail->walk.op.err;
		return op_fail_own(op);
	}
	if (op->state == TAIL_FILES) /* the one that was just looked at */
		free(folders->item[--folders->count]);
	if (tail->found || folders->count == 0) {
		strs_release(folders);
		return op_done(op);
	}
	tail_walk(tail, folders->item[folders->count - 1], TAIL_FILES);
}

static const struct op_type tail_type = {.name = "catalogue tail", .step = tail_step};

void catalog_tail_start(struct op *parent, struct catalog_tail *tail)
{
	op_start(parent, &tail->op, &tail_type);
}

/* ---- head ---- */

static void head_step(struct op *op)
{
	struct catalog_head *head = container_of(op, struct catalog_head, op);
	char name[SEGMENT_NAME_BYTES];
	struct walname wal;

	if (op->state == 0) {
		segment_name(head->tli, head->segno, head->segment_bytes, name);
		if (!walname_parse(name, &wal))
			return op_fail_as(op, ERR_INTERNAL, "\"%s\" is not a segment", name);
		name_wal(head->name, head->generation, &wal, NULL);
		head->head = (struct store_head){.store = head->repo->store, .name = head->name};
		store_head_start(op, &head->head);
		return op_wait(op, 1);
	}
	head->found = !op_failed(&head->head.op);
	if (head->found || head->head.op.err.code == ERR_NOTFOUND)
		return op_done(op);
	op->err = head->head.op.err;
	op_fail_own(op);
}

static const struct op_type head_type = {.name = "catalogue head", .step = head_step};

void catalog_head_start(struct op *parent, struct catalog_head *head)
{
	head->found = false;
	op_start(parent, &head->op, &head_type);
}

/* ---- load ---- */

/* clang-format off */
#define LOAD_STATES(X) \
	X(LOAD_START) X(LOAD_LISTING_HISTORIES) X(LOAD_READING) X(LOAD_NOTING) \
	X(LOAD_LISTING_WAL) X(LOAD_LISTING_TIMELINES) X(LOAD_TAILING) X(LOAD_LISTING_BACKUPS)
/* clang-format on */

OP_STATES(load_state, LOAD_STATES)

struct catalog_detail {
	struct catalog_load *load;
	unsigned todo; /* of load->what */
	struct store_walk walk;
	char prefix[NAME_BYTES], name[NAME_BYTES];
	struct object_read read;
	struct catalog_tail tail;
	uint32_t *note_n, *note_tli; /* owner notes to read */
	size_t notes, notes_size;
	uint32_t *tli; /* histories to read, timelines to look at */
	size_t tlis, size, at;
};

static void tli_add(struct catalog_detail *d, uint32_t tli)
{
	if (d->tlis == d->size) {
		d->size = d->size ? 2 * d->size : 16;
		d->tli = xrealloc(d->tli, d->size * sizeof(*d->tli));
	}
	d->tli[d->tlis++] = tli;
}

static void note_add(struct catalog_detail *d, uint32_t tli, uint32_t n)
{
	if (d->notes == d->notes_size) {
		d->notes_size = d->notes_size ? 2 * d->notes_size : 16;
		d->note_tli = xrealloc(d->note_tli, d->notes_size * sizeof(*d->note_tli));
		d->note_n = xrealloc(d->note_n, d->notes_size * sizeof(*d->note_n));
	}
	d->note_tli[d->notes] = tli;
	d->note_n[d->notes++] = n;
}

static void each_history(struct store_walk *walk, const struct store_entry *entry)
{
	struct catalog_detail *d = container_of(walk, struct catalog_detail, walk);
	uint32_t tli, n;

	if (tli_parse(entry->name, d->prefix, ".history", &tli) &&
	    strlen(entry->name) == strlen(d->prefix) + 8 + strlen(".history"))
		tli_add(d, tli);
	else if (name_owner_parse(entry->name, d->load->generation, &tli, &n))
		note_add(d, tli, n);
	else if (tli_parse(entry->name, d->prefix, ".owner/", &tli))
		catalog_add_timeline(d->load->ret, tli);
	else
		d->load->ret->ignored++;
}

static void each_wal(struct store_walk *walk, const struct store_entry *entry)
{
	struct catalog_detail *d = container_of(walk, struct catalog_detail, walk);
	struct catalog *catalog = d->load->ret;
	struct found found;

	if (is_part(entry->name)) {
		catalog->segment_stored_bytes += entry->bytes;
	} else if (!found_parse(d->load->generation, entry->name, &found) ||
	           !walname_fits(&found.name, catalog->segment_bytes)) {
		catalog->ignored++;
	} else if (found.name.kind != WALNAME_SEGMENT) {
		catalog_add_file(catalog, &found.name, found.digest, entry->bytes);
	} else {
		catalog_add_segment(catalog, found.name.tli,
		                    walname_segno(&found.name, catalog->segment_bytes));
		catalog->segment_stored_bytes += entry->bytes;
		catalog->newest_us = MAX(catalog->newest_us, entry->modified_us);
	}
}

static void each_timeline(struct store_walk *walk, const struct store_entry *entry)
{
	struct catalog_detail *d = container_of(walk, struct catalog_detail, walk);
	uint32_t tli;

	if (tli_parse(entry->name, d->prefix, "/", &tli))
		tli_add(d, tli);
	else
		d->load->ret->ignored++;
}

static void each_backup(struct store_walk *walk, const struct store_entry *entry)
{
	struct catalog_detail *d = container_of(walk, struct catalog_detail, walk);
	struct catalog *catalog = d->load->ret;
	char id[NAME_BACKUP_ID_BYTES];

	if (!name_backup_parse(entry->name, id))
		return; /* a manifest's part */
	if (catalog->backups == catalog->backups_size) {
		catalog->backups_size = catalog->backups_size ? 2 * catalog->backups_size : 16;
		catalog->backup =
		        xrealloc(catalog->backup, catalog->backups_size * sizeof(*catalog->backup));
	}
	memcpy(catalog->backup[catalog->backups++], id, sizeof(id));
}

static void load_end(struct catalog_load *load, const struct err *cause)
{
	struct catalog_detail *d = load->detail;

	if (cause)
		load->op.err = *cause;
	buf_release(&d->read.content);
	free(d->tli);
	free(d->note_tli);
	free(d->note_n);
	free(d);
	load->detail = NULL;
	op_done(&load->op);
}

/* The prefix stands in d->prefix. */
static void load_walk(struct catalog_load *load, int state)
{
	static void (*const each[])(struct store_walk *, const struct store_entry *) = {
	        [LOAD_LISTING_HISTORIES] = each_history,
	        [LOAD_LISTING_WAL] = each_wal,
	        [LOAD_LISTING_TIMELINES] = each_timeline,
	        [LOAD_LISTING_BACKUPS] = each_backup,
	};
	struct catalog_detail *d = load->detail;

	d->tlis = d->at = 0;
	d->walk = (struct store_walk){.store = load->repo->store,
	                              .prefix = d->prefix,
	                              .folders = state == LOAD_LISTING_TIMELINES,
	                              .each = each[state]};
	store_walk_start(&load->op, &d->walk);
	op_wait(&load->op, state);
}

/* The next thing that is wanted, or the end. */
static void load_next(struct catalog_load *load)
{
	struct catalog_detail *d = load->detail;

	if (d->todo & CATALOG_HISTORIES) {
		d->todo &= ~(unsigned)CATALOG_HISTORIES;
		name_history_folder(d->prefix, load->generation);
		return load_walk(load, LOAD_LISTING_HISTORIES);
	}
	if (d->todo & (CATALOG_WAL | CATALOG_TIMELINES)) {
		bool all = d->todo & CATALOG_WAL; /* that holds the ends, too */

		d->todo &= ~(unsigned)(CATALOG_WAL | CATALOG_TIMELINES);
		name_wal_folder(d->prefix, load->generation);
		return load_walk(load, all ? LOAD_LISTING_WAL : LOAD_LISTING_TIMELINES);
	}
	if (d->todo & CATALOG_BACKUPS) {
		d->todo &= ~(unsigned)CATALOG_BACKUPS;
		name_backup_folder(d->prefix, load->generation);
		return load_walk(load, LOAD_LISTING_BACKUPS);
	}
	load_end(load, NULL);
}

static bool load_passes_over(const struct catalog_load *load, const struct err *err)
{
	return load->tolerant && err->code == ERR_DAMAGED;
}

static void load_note(struct catalog_load *load)
{
	struct catalog_detail *d = load->detail;

	if (d->at == d->notes)
		return load_next(load);
	name_owner(d->name, load->generation, d->note_tli[d->at], d->note_n[d->at]);
	buf_release(&d->read.content);
	d->read = (struct object_read){.repo = load->repo,
	                               .name = d->name,
	                               .kind = SEALED_NOTE,
	                               .bytes_max = OWNER_JSON_MAX};
	object_read_start(&load->op, &d->read);
	op_wait(&load->op, LOAD_NOTING);
}

/* One that cannot be read may be a fence: that is no smaller a matter than a history. */
static void load_has_note(struct catalog_load *load)
{
	struct catalog_detail *d = load->detail;
	struct err err = d->read.op.err;
	struct owner_note note;
	bool known = false;

	catalog_add_timeline(load->ret, d->note_tli[d->at]);
	if (!err_is(&err) && !owner_note_read(buf_text(&d->read.content), d->read.content.length,
	                                      &note, &known, &err))
		err_wrap(&err, "object \"%s\" in repository \"%s\" is not valid", d->name,
		         store_label(load->repo->store));
	if (err_is(&err) && err.code != ERR_NOTFOUND && !load_passes_over(load, &err))
		return load_end(load, &err);
	note.tli = d->note_tli[d->at];
	note.n = d->note_n[d->at];
	if (known)
		catalog_add_note(load->ret, &note);
	d->at++;
	load_note(load);
}

static void load_read(struct catalog_load *load)
{
	struct catalog_detail *d = load->detail;

	if (d->at == d->tlis) {
		d->at = 0;
		return load_note(load);
	}
	name_history(d->name, load->generation, d->tli[d->at]);
	buf_release(&d->read.content);
	d->read = (struct object_read){.repo = load->repo,
	                               .name = d->name,
	                               .kind = SEALED_HISTORY,
	                               .bytes_max = HISTORY_BYTES_MAX};
	object_read_start(&load->op, &d->read);
	op_wait(&load->op, LOAD_READING);
}

static void load_has_read(struct catalog_load *load)
{
	struct catalog_detail *d = load->detail;
	struct err err = d->read.op.err;
	struct history history;

	if (err.code == ERR_NOTFOUND) { /* removed meanwhile */
		d->at++;
		return load_read(load);
	}
	if (!err_is(&err) && !history_parse(d->tli[d->at], buf_text(&d->read.content),
	                                    d->read.content.length, &history, &err))
		err_wrap(&err, "could not read object \"%s\" in repository \"%s\"", d->name,
		         store_label(load->repo->store));
	if (load_passes_over(load, &err)) {
		catalog_add_timeline(load->ret, d->tli[d->at++]);
		return load_read(load);
	}
	if (err_is(&err))
		return load_end(load, &err);
	catalog_add_history(load->ret, &history);
	history_release(&history);
	d->at++;
	load_read(load);
}

static void load_tail(struct catalog_load *load)
{
	struct catalog_detail *d = load->detail;

	if (d->at == d->tlis)
		return load_next(load);
	catalog_add_timeline(load->ret, d->tli[d->at]);
	d->tail = (struct catalog_tail){.repo = load->repo,
	                                .generation = load->generation,
	                                .segment_bytes = load->segment_bytes,
	                                .tli = d->tli[d->at]};
	catalog_tail_start(&load->op, &d->tail);
	op_wait(&load->op, LOAD_TAILING);
}

static void load_has_tail(struct catalog_load *load)
{
	struct catalog_detail *d = load->detail;
	const struct catalog_timeline *timeline;
	uint64_t *files_to;

	if (op_failed(&d->tail.op))
		return load_end(load, &d->tail.op.err);
	if (d->tail.found)
		catalog_add_segment(load->ret, d->tail.tli, d->tail.segno);
	timeline = catalog_timeline(load->ret, d->tail.tli);
	files_to = &load->ret->timeline[timeline - load->ret->timeline].files_to;
	*files_to = MAX(*files_to, d->tail.files_to); /* of several repositories */
	d->at++;
	load_tail(load);
}

static void load_step(struct op *op)
{
	struct catalog_load *load = container_of(op, struct catalog_load, op);
	struct catalog_detail *d = load->detail;
	bool walked = op->state != LOAD_START && op->state != LOAD_READING &&
	              op->state != LOAD_NOTING && op->state != LOAD_TAILING;

	if (walked && op_failed(&d->walk.op))
		return load_end(load, &d->walk.op.err);
	switch ((enum load_state)op->state) {
	case LOAD_START:
		d = load->detail = xcalloc(1, sizeof(*d));
		d->load = load;
		d->todo = load->what;
		load->ret->segment_bytes = load->segment_bytes;
		return load_next(load);

	case LOAD_LISTING_HISTORIES:
		return load_read(load);

	case LOAD_READING:
		return load_has_read(load);

	case LOAD_NOTING:
		return load_has_note(load);

	case LOAD_LISTING_TIMELINES:
		return load_tail(load);

	case LOAD_TAILING:
		return load_has_tail(load);

	case LOAD_LISTING_WAL:
	case LOAD_LISTING_BACKUPS:
		return load_next(load);
	}
}

static const struct op_type load_type = {
        .name = "catalogue load", .step = load_step, .state_name = load_state_name};

void catalog_load_start(struct op *parent, struct catalog_load *load)
{
	load->detail = NULL;
	op_start(parent, &load->op, &load_type);
}
