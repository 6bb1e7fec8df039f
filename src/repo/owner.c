/*
 * owner.c — owner notes: as values, as JSON, and what follows from them; writing one.
 *
 * A fence at position F of timeline T holds for every byte of T from F on, and for every timeline
 * whose path has such a byte. A quarrel between a parent P and its child C is settled as soon as
 * one of the two sides is fenced at the fork.
 */
#include "repo/owner.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "codec/json.h"
#include "repo/catalog.h"

#include "base/poison.h"

static const char *const kinds[] = {
        [OWNER_WROTE] = "owner",
        [OWNER_CONTESTED] = "contested",
        [OWNER_FENCE] = "fence",
        [OWNER_LIFT] = "lift",
};

void owner_note_here(struct owner_note *note, const char *directory)
{
	if (gethostname(note->host, sizeof(note->host)) != 0)
		snprintf(note->host, sizeof(note->host), "unknown");
	note->host[sizeof(note->host) - 1] = '\0';
	snprintf(note->directory, sizeof(note->directory), "%s", directory);
	note->time_us = clock_now_us();
}

static void set_position(struct jval *root, const char *field, lsn position)
{
	char text[LSN_TEXT_BYTES];

	lsn_text(position, text);
	jset_str(root, field, text);
}

void owner_note_write(const struct owner_note *note, struct buf *out)
{
	struct jval *root = jobject_new();

	jset_str(root, "kind", kinds[note->kind]);
	jset_u64(root, "system_identifier", note->system_identifier);
	jset_str(root, "host", note->host);
	jset_str(root, "directory", note->directory);
	jset_u64(root, "time_us", (uint64_t)note->time_us);
	jset_int(root, "other_timeline", note->other);
	set_position(root, "position", note->position);
	set_position(root, "end", note->end);
	json_print(root, true, out);
	jval_free(root);
}

static bool get_position(const struct jval *root, const char *field, lsn *ret, struct err *err)
{
	const char *text;

	if (!jget_str(root, field, &text, err))
		return false;
	return lsn_parse(text, ret) ||
	       err_set(err, ERR_DAMAGED, "field \"%s\" is not a position in WAL", field);
}

static bool get_text(const struct jval *root, const char *field, char *out, size_t out_bytes,
                     struct err *err)
{
	AUTO_FREE char *text = NULL;

	if (!jget_bytes(root, field, &text, err))
		return false;
	return str_copy(out, out_bytes, text) ||
	       err_set(err, ERR_DAMAGED, "field \"%s\" is too long", field);
}

static bool note_take(const struct jval *root, struct owner_note *ret, bool *ret_known,
                      struct err *err)
{
	const char *kind;
	uint64_t time_us;

	if (!jget_str(root, "kind", &kind, err))
		return false;
	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
		if (strcmp(kind, kinds[i]) == 0) {
			ret->kind = (enum owner_kind)i;
			*ret_known = true;
		}
	if (!*ret_known)
		return true;
	if (!jget_u64(root, "system_identifier", &ret->system_identifier, err) ||
	    !get_text(root, "host", ret->host, sizeof(ret->host), err) ||
	    !get_text(root, "directory", ret->directory, sizeof(ret->directory), err) ||
	    !jget_u64(root, "time_us", &time_us, err) ||
	    !jget_u32(root, "other_timeline", &ret->other, err) ||
	    !get_position(root, "position", &ret->position, err) ||
	    !get_position(root, "end", &ret->end, err))
		return false;
	if (time_us > INT64_MAX)
		return err_set(err, ERR_DAMAGED, "its time is out of range");
	ret->time_us = (int64_t)time_us;
	return true;
}

bool owner_note_read(const void *text, size_t length, struct owner_note *ret, bool *ret_known,
                     struct err *err)
{
	struct jval *root;
	bool ok;

	*ret = (struct owner_note){0};
	*ret_known = false;
	if (!json_parse(text, length, &root, err))
		return false;
	ok = note_take(root, ret, ret_known, err);
	if (!ok)
		*ret_known = false;
	jval_free(root);
	return ok;
}

void owner_note_who(const struct owner_note *note, struct buf *out)
{
	char time[TIME_TEXT_BYTES];

	clock_text_utc(note->time_us, time);
	buf_addf(out, "host \"%s\", directory \"%s\", at %s", note->host, note->directory, time);
}

/* ---- questions ---- */

static bool is_lifted(const struct catalog *catalog, const struct owner_note *fence)
{
	for (size_t i = 0; i < catalog->notes; i++)
		if (catalog->note[i].kind == OWNER_LIFT && catalog->note[i].tli == fence->tli &&
		    catalog->note[i].time_us > fence->time_us)
			return true;
	return false;
}

static const struct owner_note *fence_on(const struct catalog *catalog, uint32_t tli, lsn end)
{
	for (size_t i = 0; i < catalog->notes; i++) {
		const struct owner_note *note = &catalog->note[i];

		if (note->kind == OWNER_FENCE && note->tli == tli && note->position < end &&
		    !is_lifted(catalog, note))
			return note;
	}
	return NULL;
}

const struct owner_note *owner_fence(const struct catalog *catalog, uint32_t tli, lsn end)
{
	const struct catalog_timeline *timeline = catalog_timeline(catalog, tli);
	const struct owner_note *note = fence_on(catalog, tli, end);

	if (note || !timeline)
		return note;
	for (size_t i = 0; i < timeline->history.count; i++) {
		lsn begin, left;

		if (history_span(&timeline->history, timeline->history.entry[i].tli, &begin, &left))
			note = fence_on(catalog, timeline->history.entry[i].tli, MIN(left, end));
		if (note)
			return note;
	}
	return NULL;
}

const struct owner_note *owner_fence_whole(const struct catalog *catalog, uint32_t tli)
{
	const struct catalog_timeline *timeline = catalog_timeline(catalog, tli);
	size_t count = timeline ? timeline->history.count : 0;
	lsn begin = count ? timeline->history.entry[count - 1].switch_lsn : 0;

	return owner_fence(catalog, tli, begin + 1);
}

const struct owner_note *owner_first(const struct catalog *catalog, uint32_t tli)
{
	for (size_t i = 0; i < catalog->notes; i++)
		if (catalog->note[i].kind == OWNER_WROTE && catalog->note[i].tli == tli)
			return &catalog->note[i];
	return NULL;
}

const struct owner_note *owner_any(const struct catalog *catalog)
{
	const struct owner_note *first = NULL;

	for (size_t i = 0; i < catalog->notes; i++)
		if (catalog->note[i].kind == OWNER_WROTE &&
		    (!first || catalog->note[i].time_us < first->time_us))
			first = &catalog->note[i];
	return first;
}

bool owner_said(const struct catalog *catalog, uint32_t tli, const struct owner_note *who)
{
	for (size_t i = 0; i < catalog->notes; i++) {
		const struct owner_note *note = &catalog->note[i];

		if (note->kind == OWNER_WROTE && note->tli == tli &&
		    strcmp(note->host, who->host) == 0 &&
		    strcmp(note->directory, who->directory) == 0)
			return true;
	}
	return false;
}

static bool contest_settled(const struct catalog *catalog, const struct owner_note *note)
{
	return owner_fence(catalog, note->other, note->position + 1) ||
	       owner_fence(catalog, note->tli, note->position + 1);
}

/* The same quarrel may be marked by both sides, and in several repositories. */
static bool contest_repeated(const struct catalog *catalog, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (catalog->note[i].kind == OWNER_CONTESTED &&
		    catalog->note[i].tli == catalog->note[at].tli &&
		    catalog->note[i].other == catalog->note[at].other)
			return true;
	return false;
}

const struct owner_note *owner_contest(const struct catalog *catalog, size_t number)
{
	for (size_t i = 0; i < catalog->notes; i++)
		if (catalog->note[i].kind == OWNER_CONTESTED && !contest_repeated(catalog, i) &&
		    !contest_settled(catalog, &catalog->note[i]) && number-- == 0)
			return &catalog->note[i];
	return NULL;
}

bool owner_contest_marked(const struct catalog *catalog, uint32_t child, uint32_t parent)
{
	for (size_t i = 0; i < catalog->notes; i++)
		if (catalog->note[i].kind == OWNER_CONTESTED && catalog->note[i].tli == child &&
		    catalog->note[i].other == parent)
			return true;
	return false;
}

const struct owner_note *owner_contest_on(const struct catalog *catalog, const struct history *path,
                                          lsn until)
{
	const struct owner_note *note;

	for (size_t i = 0; (note = owner_contest(catalog, i)); i++) {
		lsn begin, end;

		if (until <= note->position)
			continue;
		if (history_span(path, note->tli, &begin, &end) ||
		    (history_span(path, note->other, &begin, &end) && end > note->position))
			return note;
	}
	return NULL;
}

void owner_contest_text(const struct catalog *catalog, const struct owner_note *note,
                        struct buf *out)
{
	const struct owner_note *child = owner_first(catalog, note->tli);

	buf_addf(out,
	         "timelines %u and %u are contested: %u went on after %u had forked from it "
	         "at " LSN_FORMAT "; timeline %u: ",
	         note->other, note->tli, note->other, note->tli, LSN_ARGS(note->position),
	         note->other);
	owner_note_who(note, out);
	if (!child)
		return;
	buf_addf(out, "; timeline %u: ", note->tli);
	owner_note_who(child, out);
}

uint32_t owner_next(const struct catalog *catalog, uint32_t tli)
{
	uint32_t next = 1;

	for (size_t i = 0; i < catalog->notes; i++)
		if (catalog->note[i].tli == tli)
			next = MAX(next, catalog->note[i].n + 1);
	return next;
}

/* ---- writing ---- */

enum owner_write_state { OWNER_WRITE_START, OWNER_WRITE_WRITING };

static void owner_write_step(struct op *op)
{
	struct owner_write *write = container_of(op, struct owner_write, op);

	if (op->state == OWNER_WRITE_WRITING) {
		const struct err *err = &write->write.op.err;

		if (!op_failed(&write->write.op) || err->code != ERR_EXISTS ||
		    write->note.n >= OWNER_NUMBER_MAX) {
			buf_release(&write->text);
			op->err = *err;
			return op_failed(&write->write.op) ? op_fail_own(op) : op_done(op);
		}
		write->note.n++; /* somebody else's */
	} else {
		buf_init(&write->text, OWNER_JSON_MAX);
		owner_note_write(&write->note, &write->text);
	}
	name_owner(write->name, write->generation, write->note.tli, write->note.n);
	write->write = (struct object_write){.repo = write->repo,
	                                     .name = write->name,
	                                     .kind = SEALED_NOTE,
	                                     .compression = write->compression,
	                                     .class = GATE_WAL,
	                                     .bytes = buf_text(&write->text),
	                                     .length = write->text.length};
	object_write_start(op, &write->write);
	op_wait(op, OWNER_WRITE_WRITING);
}

static const struct op_type owner_write_type = {.name = "owner note", .step = owner_write_step};

void owner_write_start(struct op *parent, struct owner_write *write)
{
	write->note.n = MAX(write->note.n, 1U);
	op_start(parent, &write->op, &owner_write_type);
}
