/*
 * owner_fuzz.c — owner notes, which other hosts write. What is accepted comes back the same when it
 * is written again, and every question about who may write has an answer with such a note in the
 * catalogue.
 */
#include "fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "pg/timeline.h"
#include "repo/catalog.h"
#include "repo/owner.h"

enum { SEGMENT_BYTES = 16 << 20, TIMELINES = 3 };

static void add_child(struct catalog *catalog, uint32_t tli, lsn fork)
{
	struct history history;

	history_init(&history, tli);
	if (tli > 2)
		history_copy(&history, &catalog_timeline(catalog, tli - 1)->history);
	history.tli = tli;
	history_add(&history, tli - 1, fork, "fuzz");
	catalog_add_history(catalog, &history);
	history_release(&history);
}

static void ask_of_timeline(const struct catalog *catalog, uint32_t tli,
                            const struct owner_note *note)
{
	const struct owner_note *fence = owner_fence(catalog, tli, UINT64_MAX);
	const struct catalog_timeline *timeline = catalog_timeline(catalog, tli);

	assert(!fence || fence->kind == OWNER_FENCE);
	assert(!owner_fence_whole(catalog, tli) || fence);
	assert(!owner_first(catalog, tli) || owner_said(catalog, tli, note));
	assert(owner_next(catalog, tli) > 1);
	(void)owner_contest_on(catalog, &timeline->history, UINT64_MAX);
	(void)owner_contest_marked(catalog, tli, note->other);
}

static void ask(const struct owner_note *note)
{
	struct catalog catalog = {.segment_bytes = SEGMENT_BYTES};
	const struct owner_note *contest;
	struct buf text;

	catalog_add_timeline(&catalog, 1);
	add_child(&catalog, 2, 500);
	add_child(&catalog, 3, 800);
	for (uint32_t tli = 1; tli <= TIMELINES; tli++) {
		struct owner_note said = *note;

		said.tli = tli;
		said.n = 1;
		catalog_add_note(&catalog, &said);
	}
	for (uint32_t tli = 1; tli <= TIMELINES; tli++)
		ask_of_timeline(&catalog, tli, note);
	for (size_t i = 0; (contest = owner_contest(&catalog, i)); i++) {
		assert(contest->kind == OWNER_CONTESTED && i < TIMELINES);
		buf_init(&text, ERR_TEXT_MAX);
		owner_contest_text(&catalog, contest, &text);
		buf_release(&text);
	}
	catalog_release(&catalog);
}

static void check_again(const struct owner_note *note)
{
	struct owner_note again;
	struct buf text;
	struct err err = {0};
	bool known;

	assert(note->kind <= OWNER_LIFT && note->time_us >= 0);
	assert(note->tli == 0 && note->n == 0); /* these are the name's */
	buf_init(&text, OWNER_JSON_MAX);
	owner_note_write(note, &text);
	assert(!text.overflow);
	assert(owner_note_read(buf_text(&text), text.length, &again, &known, &err) && known);
	assert(again.kind == note->kind && again.system_identifier == note->system_identifier);
	assert(strcmp(again.host, note->host) == 0);
	assert(strcmp(again.directory, note->directory) == 0);
	assert(again.time_us == note->time_us && again.other == note->other);
	assert(again.position == note->position && again.end == note->end);
	buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct owner_note note;
	struct err err = {0};
	bool known;

	if (!owner_note_read(data, length, &note, &known, &err)) {
		assert(err.code == ERR_DAMAGED && !known);
		return 0;
	}
	assert(!err_is(&err));
	if (!known)
		return 0;
	check_again(&note);
	ask(&note);
	return 0;
}
