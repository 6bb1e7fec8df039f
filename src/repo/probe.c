/*
 * probe.c — finding out what a store does.
 *
 *   probe  START -> PUT -> GET -> HEAD -> AGAIN -> [RACE -> WINNER] … -> LIST
 *            -> REMOVE -> GONE -> LIST_AGAIN -> done
 *   note   START -> LISTING -> WRITING (again, when the number was taken) -> done
 *   load   START -> LISTING -> READING -> done
 *
 * Several puts at once: RACERS of one name, in RACES names, each with bytes of its own. Exactly one
 * of each name must succeed, and its bytes be there. That nothing went wrong in a few tries is no
 * proof: a store that claims to honour If-None-Match and fails now and then is not found out; one
 * that looks first and then writes, or ignores it, is.
 *
 * All puts here are raw: what is measured is the store, not what we build on it.
 */
#include "repo/probe.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "codec/json.h"
#include "internal.h"
#include "repo/object.h"

#include "base/poison.h"

enum {
	RACERS = 8,
	RACES = 4,
	PROBE_BYTES = 4096,
	RANGE_AT = 100,
	RANGE_BYTES = 1000,
	PROBE_NAME_BYTES = 64,
	NOTE_BYTES_MAX = 64 * 1024,
};

static const char probe_folder[] = "probe/", try_prefix[] = "probe/try-";

/* clang-format off */
#define PROBE_STATES(X) \
	X(PROBE_START) X(PROBE_PUT) X(PROBE_GET) X(PROBE_HEAD) X(PROBE_AGAIN) X(PROBE_RACE) \
	X(PROBE_WINNER) X(PROBE_LIST) X(PROBE_REMOVE) X(PROBE_GONE) X(PROBE_LIST_AGAIN)
/* clang-format on */

OP_STATES(probe_state, PROBE_STATES)

struct racer {
	struct store_put put;
	struct iovec piece;
	char bytes[PROBE_NAME_BYTES];
};

struct probe_detail {
	char name[RACES + 1][PROBE_NAME_BYTES]; /* the first, and those of the races */
	const char *names[RACES + 1];
	char number[17]; /* random, hex */
	unsigned count;  /* of names that were written */
	struct store_put put;
	struct store_get get;
	struct store_head head;
	struct store_list list;
	struct store_remove batch;
	struct racer racer[RACERS];
	const struct racer *winner;
	struct iovec piece;
	uint8_t bytes[PROBE_BYTES], read[PROBE_BYTES];
	uint8_t *block;
	int64_t before_us, after_us; /* of the first put */
	struct err failure;
};

static struct store *store_of(const struct probe *probe)
{
	return probe->repo->store;
}

/* ---- asking ---- */

static void ask_put(struct probe *probe, size_t length, int state)
{
	struct probe_detail *d = probe->detail;

	d->piece = (struct iovec){d->bytes, length};
	d->put = (struct store_put){.store = store_of(probe),
	                            .name = d->name[0],
	                            .piece = &d->piece,
	                            .pieces = 1,
	                            .raw = true};
	store_put_start(&probe->op, &d->put);
	op_wait(&probe->op, state);
}

static void ask_get(struct probe *probe, const char *name, uint64_t offset, uint64_t length,
                    int state)
{
	struct probe_detail *d = probe->detail;

	assert(length <= sizeof(d->read));
	d->block = d->read;
	d->get = (struct store_get){.store = store_of(probe),
	                            .name = name,
	                            .offset = offset,
	                            .length = length,
	                            .block = &d->block,
	                            .blocks = 1};
	store_get_start(&probe->op, &d->get);
	op_wait(&probe->op, state);
}

static void ask_head(struct probe *probe, int state)
{
	struct probe_detail *d = probe->detail;

	d->head = (struct store_head){.store = store_of(probe), .name = d->name[0]};
	store_head_start(&probe->op, &d->head);
	op_wait(&probe->op, state);
}

static void ask_race(struct probe *probe)
{
	struct probe_detail *d = probe->detail;
	char *name = d->name[d->count];

	snprintf(name, PROBE_NAME_BYTES, "%s%s.%u", try_prefix, d->number, d->count);
	d->names[d->count] = name;
	d->count++;
	for (unsigned i = 0; i < RACERS; i++) {
		struct racer *racer = &d->racer[i];

		snprintf(racer->bytes, sizeof(racer->bytes), "writer %u of %u\n", i + 1, RACERS);
		racer->piece = (struct iovec){racer->bytes, strlen(racer->bytes)};
		racer->put = (struct store_put){.store = store_of(probe),
		                                .name = name,
		                                .piece = &racer->piece,
		                                .pieces = 1,
		                                .raw = true};
		store_put_start(&probe->op, &racer->put);
	}
	op_wait(&probe->op, PROBE_RACE);
}

static void ask_list(struct probe *probe, int state)
{
	struct probe_detail *d = probe->detail;

	store_list_release(&d->list);
	d->list = (struct store_list){.store = store_of(probe), .prefix = d->name[0]};
	store_list_start(&probe->op, &d->list);
	op_wait(&probe->op, state);
}

static void ask_remove(struct probe *probe)
{
	struct probe_detail *d = probe->detail;

	d->batch = (struct store_remove){
	        .store = store_of(probe), .name = d->names, .names = d->count};
	store_remove_start(&probe->op, &d->batch);
	op_wait(&probe->op, PROBE_REMOVE);
}

/* ---- ends ---- */

static void probe_end(struct probe *probe)
{
	struct probe_detail *d = probe->detail;
	struct err failure = d->failure;

	store_list_release(&d->list);
	free(STEAL(probe->detail));
	if (!err_is(&failure)) {
		probe->features.known = true;
		probe->features.measured_us = clock_now_us();
		return op_done(&probe->op);
	}
	probe->op.err = failure;
	op_fail_own(&probe->op);
}

/* The first failure is what is told; what was written goes away in any case. */
static void probe_fail(struct probe *probe, const struct err *cause, const char *what)
{
	struct probe_detail *d = probe->detail;

	d->failure = *cause;
	err_wrap(&d->failure, "%s", what);
	if (probe->op.cancelled || d->count == 0)
		return probe_end(probe);
	ask_remove(probe);
}

static void probe_refuse(struct probe *probe, const char *what)
{
	struct err err = {0};

	err_set(&err, ERR_DAMAGED, "%s", what);
	probe_fail(probe, &err, "what was read is not what was written");
}

/* ---- answers ---- */

static void probe_begin(struct probe *probe)
{
	struct probe_detail *d = probe->detail = xcalloc(1, sizeof(*d));
	uint64_t number = repo_random_id();

	str_hex_of(&number, sizeof(number), d->number);
	snprintf(d->name[0], PROBE_NAME_BYTES, "%s%s", try_prefix, d->number);
	d->names[0] = d->name[0];
	d->count = 1;
	repo_random(d->bytes, sizeof(d->bytes));
	probe->features = (struct features){.known = false};
	d->before_us = clock_now_us();
	ask_put(probe, sizeof(d->bytes), PROBE_PUT);
}

static void probe_put(struct probe *probe)
{
	struct probe_detail *d = probe->detail;

	d->after_us = clock_now_us();
	probe->features.versioned = d->put.versioned;
	if (op_failed(&d->put.op))
		return probe_fail(probe, &d->put.op.err, "could not write an object");
	ask_get(probe, d->name[0], RANGE_AT, RANGE_BYTES, PROBE_GET);
}

static void probe_got(struct probe *probe)
{
	struct probe_detail *d = probe->detail;

	if (op_failed(&d->get.op))
		return probe_fail(probe, &d->get.op.err, "could not read an object");
	if (d->get.got != RANGE_BYTES || d->get.object_bytes != PROBE_BYTES ||
	    memcmp(d->read, d->bytes + RANGE_AT, RANGE_BYTES) != 0)
		return probe_refuse(probe, "a range of an object is another one");
	probe->features.range = true;
	ask_head(probe, PROBE_HEAD);
}

/* Between which times the store took it for written: in whole seconds, perhaps. What of the
 * difference to our own clock cannot be explained by that is its being off. */
static int64_t clock_off(const struct probe_detail *d)
{
	int64_t modified_us = d->head.modified_us;
	int64_t least_us = modified_us - d->after_us;
	int64_t most_us = modified_us - d->before_us;

	if (modified_us % US_PER_S == 0)
		most_us += US_PER_S;
	return least_us > 0 ? least_us : most_us < 0 ? most_us : 0;
}

static void probe_headed(struct probe *probe)
{
	struct probe_detail *d = probe->detail;

	if (op_failed(&d->head.op))
		return probe_fail(probe, &d->head.op.err, "could not look at an object");
	probe->features.clock_off_us = clock_off(d);
	ask_put(probe, sizeof(d->bytes) / 2, PROBE_AGAIN);
}

static void probe_again(struct probe *probe)
{
	struct probe_detail *d = probe->detail;
	enum err_code code = d->put.op.err.code;

	if (code != ERR_NONE && code != ERR_EXISTS)
		return probe_fail(probe, &d->put.op.err, "could not try to overwrite an object");
	probe->features.create_only = code == ERR_EXISTS;
	probe->features.create_only_at_once =
	        code == ERR_EXISTS && (!probe->quick || probe->repo->features.create_only_at_once);
	if (probe->features.create_only && !probe->quick)
		return ask_race(probe);
	ask_list(probe, PROBE_LIST);
}

static void probe_raced(struct probe *probe)
{
	struct probe_detail *d = probe->detail;
	unsigned winners = 0;

	for (unsigned i = 0; i < RACERS; i++) {
		const struct op *op = &d->racer[i].put.op;

		if (!op_failed(op)) {
			winners++;
			d->winner = &d->racer[i];
		} else if (op->err.code != ERR_EXISTS) {
			return probe_fail(probe, &op->err,
			                  "could not write an object by several puts at once");
		}
	}
	if (winners == 1)
		return ask_get(probe, d->name[d->count - 1], 0, PROBE_NAME_BYTES, PROBE_WINNER);
	probe->features.create_only_at_once = false;
	ask_list(probe, PROBE_LIST);
}

static void probe_winner(struct probe *probe)
{
	struct probe_detail *d = probe->detail;
	size_t length = strlen(d->winner->bytes);

	if (op_failed(&d->get.op))
		return probe_fail(probe, &d->get.op.err, "could not read an object");
	if (d->get.got != length || memcmp(d->read, d->winner->bytes, length) != 0)
		probe->features.create_only_at_once = false;
	else if (d->count < RACES + 1)
		return ask_race(probe);
	ask_list(probe, PROBE_LIST);
}

static void probe_listed(struct probe *probe)
{
	struct probe_detail *d = probe->detail;

	if (op_failed(&d->list.op))
		return probe_fail(probe, &d->list.op.err, "could not list what was written");
	probe->features.list_after_put = d->list.count == d->count;
	for (unsigned i = 0; i < d->list.count && i < d->count; i++)
		if (strcmp(d->list.entry[i].name, d->names[i]) != 0)
			probe->features.list_after_put = false;
	ask_remove(probe);
}

static void probe_removed(struct probe *probe)
{
	struct probe_detail *d = probe->detail;
	const struct err *err = &d->batch.op.err;

	if (err_is(&d->failure) || probe->op.cancelled ||
	    (err_is(err) && err_code_retry(err->code))) {
		if (!err_is(&d->failure))
			d->failure = *err;
		return probe_end(probe);
	}
	probe->not_removed = *err;
	ask_head(probe, PROBE_GONE);
}

/* A store that keeps everything (object lock) is fine. */
static void probe_gone(struct probe *probe)
{
	struct probe_detail *d = probe->detail;
	enum err_code code = d->head.op.err.code;

	if (code != ERR_NONE && code != ERR_NOTFOUND) {
		d->failure = d->head.op.err;
		return probe_end(probe);
	}
	probe->features.removes = code == ERR_NOTFOUND && !err_is(&probe->not_removed);
	probe->features.list_after_remove = probe->features.list_after_put;
	if (!probe->features.removes)
		return probe_end(probe);
	ask_list(probe, PROBE_LIST_AGAIN);
}

static void probe_listed_again(struct probe *probe)
{
	struct probe_detail *d = probe->detail;

	if (op_failed(&d->list.op))
		d->failure = d->list.op.err;
	probe->features.list_after_remove = d->list.count == 0;
	probe_end(probe);
}

static void probe_step(struct op *op)
{
	struct probe *probe = container_of(op, struct probe, op);

	switch ((enum probe_state)op->state) {
	case PROBE_START:
		return probe_begin(probe);
	case PROBE_PUT:
		return probe_put(probe);
	case PROBE_GET:
		return probe_got(probe);
	case PROBE_HEAD:
		return probe_headed(probe);
	case PROBE_AGAIN:
		return probe_again(probe);
	case PROBE_RACE:
		return probe_raced(probe);
	case PROBE_WINNER:
		return probe_winner(probe);
	case PROBE_LIST:
		return probe_listed(probe);
	case PROBE_REMOVE:
		return probe_removed(probe);
	case PROBE_GONE:
		return probe_gone(probe);
	case PROBE_LIST_AGAIN:
		return probe_listed_again(probe);
	}
}

static const struct op_type probe_type = {
        .name = "probe", .step = probe_step, .state_name = probe_state_name};

void probe_start(struct op *parent, struct probe *probe)
{
	op_start(parent, &probe->op, &probe_type);
}

/* ---- the note ---- */

enum note_state { NOTE_START, NOTE_LISTING, NOTE_WRITING };

/* The highest number of a page of probe/; 0: none. Numbers sort before tries, which a store that
 * keeps everything may have many of. */
static uint32_t newest_note(const struct store_list *list)
{
	uint32_t newest = 0, n;

	for (unsigned i = 0; i < list->count; i++)
		if (str_u32(list->entry[i].name + strlen(probe_folder), &n) && n > newest)
			newest = n;
	return newest;
}

static void list_notes(struct op *op, const struct repo *repo, struct store_list *list)
{
	*list = (struct store_list){.store = repo->store, .prefix = probe_folder};
	store_list_start(op, list);
}

struct note_detail {
	struct store_list list;
	struct object_write write;
	uint32_t number;
	char name[NAME_BYTES];
	struct buf text;
};

static void note_end(struct probe_note *note, const struct op *child)
{
	struct note_detail *d = note->detail;

	if (op_failed(child))
		note->op.err = child->err;
	store_list_release(&d->list);
	buf_release(&d->text);
	free(STEAL(note->detail));
	if (err_is(&note->op.err))
		return op_fail_own(&note->op);
	op_done(&note->op);
}

static void note_write(struct probe_note *note)
{
	struct note_detail *d = note->detail;

	name_probe(d->name, ++d->number);
	d->write = (struct object_write){
	        .repo = note->repo,
	        .name = d->name,
	        .kind = SEALED_PROBE,
	        .class = GATE_BACKUP,
	        .bytes = d->text.data,
	        .length = d->text.length,
	};
	object_write_start(&note->op, &d->write);
	op_wait(&note->op, NOTE_WRITING);
}

static void note_begin(struct probe_note *note)
{
	struct note_detail *d = note->detail = xcalloc(1, sizeof(*d));
	struct jval *root = jobject_new();

	features_json(&note->repo->features, root);
	buf_init(&d->text, NOTE_BYTES_MAX);
	json_print(root, true, &d->text);
	jval_free(root);
	list_notes(&note->op, note->repo, &d->list);
	op_wait(&note->op, NOTE_LISTING);
}

static void note_step(struct op *op)
{
	struct probe_note *note = container_of(op, struct probe_note, op);
	struct note_detail *d = note->detail;

	switch ((enum note_state)op->state) {
	case NOTE_START:
		return note_begin(note);

	case NOTE_LISTING:
		if (op_failed(&d->list.op))
			return note_end(note, &d->list.op);
		d->number = newest_note(&d->list);
		return note_write(note);

	case NOTE_WRITING: /* somebody else measured at the same time */
		if (d->write.op.err.code == ERR_EXISTS && !op->cancelled)
			return note_write(note);
		return note_end(note, &d->write.op);
	}
}

static const struct op_type note_type = {.name = "probe note", .step = note_step};

void probe_note_start(struct op *parent, struct probe_note *note)
{
	op_start(parent, &note->op, &note_type);
}

/* ---- reading it ---- */

enum load_state { LOAD_START, LOAD_LISTING, LOAD_READING };

struct load_detail {
	struct store_list list;
	struct object_read read;
	char name[NAME_BYTES];
};

static void load_end(struct probe_load *load, const struct op *failed)
{
	struct load_detail *d = load->detail;

	store_set_safety(load->repo->store, features_safety(&load->repo->features));
	if (failed)
		load->op.err = failed->err;
	store_list_release(&d->list);
	buf_release(&d->read.content);
	free(STEAL(load->detail));
	if (failed)
		return op_fail_own(&load->op);
	op_done(&load->op);
}

static void load_listed(struct probe_load *load)
{
	struct load_detail *d = load->detail;
	uint32_t number = newest_note(&d->list);

	if (op_failed(&d->list.op))
		return load_end(load, &d->list.op);
	if (number == 0)
		return load_end(load, NULL);
	name_probe(d->name, number);
	d->read = (struct object_read){.repo = load->repo,
	                               .name = d->name,
	                               .kind = SEALED_PROBE,
	                               .bytes_max = NOTE_BYTES_MAX};
	object_read_start(&load->op, &d->read);
	op_wait(&load->op, LOAD_READING);
}

static void load_have_read(struct probe_load *load)
{
	struct load_detail *d = load->detail;
	struct err *err = &d->read.op.err, ignored = {0};

	if (err->code == ERR_CANCELLED || err_code_retry(err->code))
		return load_end(load, &d->read.op);
	if (!err_is(err))
		(void)!features_read(&load->repo->features, buf_text(&d->read.content),
		                     d->read.content.length, &ignored);
	load_end(load, NULL);
}

static void load_step(struct op *op)
{
	struct probe_load *load = container_of(op, struct probe_load, op);
	struct load_detail *d;

	switch ((enum load_state)op->state) {
	case LOAD_START:
		load->repo->features = (struct features){.known = false};
		load->detail = d = xcalloc(1, sizeof(*d));
		list_notes(op, load->repo, &d->list);
		return op_wait(op, LOAD_LISTING);

	case LOAD_LISTING:
		return load_listed(load);

	case LOAD_READING:
		return load_have_read(load);
	}
}

static const struct op_type load_type = {.name = "probe load", .step = load_step};

void probe_load_start(struct op *parent, struct probe_load *load)
{
	op_start(parent, &load->op, &load_type);
}
