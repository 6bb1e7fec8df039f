/*
 * keys.c — the keys that lie in a repository, read and written.
 *
 *   load    START -> LISTING -> READING (each) … -> OPENING -> MARKER (from the highest) … -> done
 *   begin   START -> LOOKING -> MAKING -> [ANNOUNCING -> WAITING] -> LISTING -> SORTING -> MARKING
 *             -> WRITING -> done
 *   wrap    START -> SEALING -> WRITING -> (the next key) … -> done
 *
 * What lies below keys/ was written by anybody who may write there: a wrapped key counts when it
 * opens, a marker when it is sealed with a data key of ours; what else is there is passed over, and
 * spoken of only when nothing opens.
 */
#include "repo/keys.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/str.h"
#include "internal.h"

#include "base/poison.h"

static const char keys_folder[] = "keys/";
#define SEEN_FACTOR UINT64_C(0x9E3779B97F4A7C15)

/* ---- load ---- */

#define LOAD_STATES(X) X(LOAD_START) X(LOAD_LISTING) X(LOAD_READING) X(LOAD_OPENING) X(LOAD_MARKER)
OP_STATES(load_state, LOAD_STATES)

void keys_load_release(struct keys_load *load)
{
	if (load->ring && load->ring != load->repo->keys)
		keyring_free(load->ring);
	load->ring = NULL;
	free((char *)load->source.what);
	load->source.what = NULL;
	free(STEAL(load->found));
	free(STEAL(load->marker));
	load->count = load->markers = 0;
}

static void load_each(struct store_walk *walk, const struct store_entry *entry)
{
	struct keys_load *load = container_of(walk, struct keys_load, walk);
	struct key_found found = {0};

	load->seen = load->seen * SEEN_FACTOR + key_name_hash(entry->name);
	if (load->since_us == 0 || entry->modified_us < load->since_us)
		load->since_us = entry->modified_us;
	if (name_key_marker_parse(entry->name, &found.n)) {
		load->marker = xrealloc(load->marker, (load->markers + 1) * sizeof(*load->marker));
		load->marker[load->markers++] = found.n;
	} else if (name_key_parse(entry->name, &found.id, &found.n)) {
		load->too_many = load->too_many || load->count == KEYS_FOUND_MAX;
		if (load->too_many)
			return;
		load->found = xrealloc(load->found, (load->count + 1) * sizeof(*load->found));
		load->found[load->count++] = found;
	}
	load->too_many = load->too_many || load->markers > KEYS_FOUND_MAX;
}

static void load_end(struct keys_load *load, const struct err *cause)
{
	struct repo *repo = load->repo;

	if (!cause) {
		repo->looked_us = load->begun_us;
		repo->seen = load->seen;
		if (repo->keys)
			err_clear(&repo->shut);
		return op_done(&load->op);
	}
	load->op.err = *cause;
	err_wrap(&load->op.err, "could not open the keys of repository \"%s\"",
	         store_label(repo->store));
	if (load->again && !repo->keys && load->count > 0) {
		repo->looked_us = load->begun_us;
		repo->shut = load->op.err;
	}
	op_fail_own(&load->op);
}

static void load_fail(struct keys_load *load, const char *hint, const char *what)
{
	struct err err = {0};

	err_set(&err, ERR_STORE, "%s", what);
	err_hint(&err, "%s", hint);
	load_end(load, &err);
}

/* Nothing that is not encrypted may be stored there any more, and nothing can be encrypted here. */
static void load_shut(struct keys_load *load)
{
	struct repo *repo = load->repo;
	const char *label = store_label(repo->store);
	char since[TIME_TEXT_BYTES];

	if (load->since_us == 0) /* since it was made */
		load->since_us = repo->created_us;
	clock_text_utc(load->since_us / US_PER_S * US_PER_S, since);
	err_clear(&repo->shut);
	if (load->count == 0) {
		err_set(&repo->shut, ERR_REFUSED,
		        "repository \"%s\" is being encrypted, since %s: nothing is stored until "
		        "that is done",
		        label, since);
		err_hint(&repo->shut,
		         "\"seawall init\" does that, within some minutes. If it was broken off: "
		         "run it again. Each host needs the key.");
	} else {
		err_set(&repo->shut, ERR_REFUSED,
		        "repository \"%s\" was encrypted (%s), and no key is set here: nothing is "
		        "stored unencrypted",
		        label, since);
		err_hint(&repo->shut,
		         "Set \"key_file\" (or \"key_passphrase_file\", \"key_command\") in "
		         "[repository "
		         "%s], then reload the server.",
		         label);
	}
	load_end(load, NULL);
}

static void load_read(struct keys_load *load, const char *name, enum sealed_kind kind,
                      size_t bytes_max, int state)
{
	load->sight = (struct repo){
	        .store = load->repo->store, .blocks = load->repo->blocks, .keys = load->ring};
	load->read = (struct object_read){
	        .repo = &load->sight, .name = name, .kind = kind, .bytes_max = bytes_max};
	object_read_start(&load->op, &load->read);
	op_wait(&load->op, state);
}

static void load_open(struct work *work);

static void load_next(struct keys_load *load)
{
	if (load->at < load->count) {
		const struct key_found *found = &load->found[load->at];

		name_key(load->name, found->id, found->n);
		return load_read(load, load->name, SEALED_KEY, WRAPPED_TEXT_MAX, LOAD_READING);
	}
	work_start_class(&load->op, &load->work, WORK_WAL, load_open);
	op_wait(&load->op, LOAD_OPENING);
}

/* Whether the source is to be asked for its key again: it may open what is there now. */
static bool load_rereads(const struct keys_load *load)
{
	const struct repo *repo = load->repo;

	if (!load->again)
		return repo->source_new;
	return (repo->source_new || repo->lags || !repo->keys) &&
	       (repo->key_source.kind != KEY_SOURCE_COMMAND || repo->reread_us == 0 ||
	        load->begun_us - repo->reread_us >= (int64_t)KEYS_COMMAND_MS * 1000);
}

static void load_none(struct keys_load *load)
{
	struct repo *repo = load->repo;
	bool set = repo->key_source.kind != KEY_SOURCE_NONE;
	bool begun = load->markers > 0 || repo->made_encrypted;

	if (repo->keys && load->again)
		return load_fail(load,
		                 "Find out who deleted them, before a server here ends: it has "
		                 "them in its memory.",
		                 "its data keys are gone");
	if (begun && (load->again || !set))
		return load_shut(load);
	if (set && !load->none_is_fine && begun)
		return load_fail(
		        load,
		        "\"seawall init\" does that, within some minutes. If it was broken "
		        "off: run it again.",
		        "it is being encrypted");
	if (set && !load->none_is_fine)
		return load_fail(load, "\"seawall init\" encrypts what comes from then on.",
		                 "a key is set, and the repository is not encrypted");
	err_clear(&repo->shut);
	load_end(load, NULL);
}

static void load_listed(struct keys_load *load)
{
	struct repo *repo = load->repo;

	if (load->too_many)
		return load_fail(load, "Remove what does not belong there.",
		                 "there are too many objects below \"keys/\"");
	load->reread = load_rereads(load);
	if (load->again && load->seen == repo->seen && repo->keys && !load->reread)
		return load_end(load, NULL); /* as it was */
	repo->no_keys = load->count == 0;
	if (load->count == 0)
		return load_none(load);
	if (repo->key_source.kind == KEY_SOURCE_NONE && load->again && !repo->keys)
		return load_shut(load);
	if (repo->key_source.kind == KEY_SOURCE_NONE)
		return load_fail(load,
		                 "Set \"key_file\", \"key_passphrase_file\" or \"key_command\" in "
		                 "its section.",
		                 "it is encrypted, and no key is set");
	load->at = 0;
	load->ring = repo->keys;
	load->source = repo->key_source; /* which a reload may change under a worker */
	load->source.what = xstrdup(repo->key_source.what);
	repo->source_new = false;
	if (load->reread)
		repo->reread_us = load->begun_us;
	load_next(load);
}

/* What cannot be read is passed over; what may be readable the next time is not. */
static bool load_took(struct keys_load *load, struct err *ret_err)
{
	struct key_found *found = &load->found[load->at];
	struct err err = load->read.op.err;
	const struct buf *content = &load->read.content;

	if (!err_is(&err) &&
	    wrapped_parse(buf_text(content), content->length, &found->wrapped, &err)) {
		found->readable = found->wrapped.id == found->id;
		if (!found->readable)
			err_set(&err, ERR_DAMAGED, "object \"%s\" holds another key", load->name);
	} else if (err.code != ERR_DAMAGED && err.code != ERR_STORE) {
		*ret_err = err;
		return false;
	}
	if (err_is(&err) && !err_is(&load->damaged))
		load->damaged = err;
	return true;
}

/* On a worker. What goes on sealing with the data key before a rotation is not told of one that it
 * cannot open: it would be the newest. */
static void load_unwrap(struct keys_load *load)
{
	struct wrapper *wrapper = load->repo->wrapper;
	bool known = load->again && keyring_opened(load->ring) > 0;

	for (unsigned i = 0; i < load->count; i++) {
		struct key_found *found = &load->found[i];

		if (!found->readable)
			continue;
		found->outcome = UNWRAP_OTHER;
		if (!known || wrapper_opens(wrapper, &found->wrapped))
			found->outcome = keyring_unwrap(load->ring, &found->wrapped, wrapper);
		if (found->outcome != UNWRAP_DAMAGED || err_is(&load->damaged))
			continue;
		name_key(load->name, found->id, found->n);
		err_set(&load->damaged, ERR_DAMAGED,
		        "wrapped key \"%s\" was changed: it does not open with the key that made "
		        "it",
		        load->name);
	}
}

static bool load_lags(const struct keys_load *load)
{
	for (unsigned i = 0; i < load->count; i++)
		if (load->found[i].readable && !keyring_opens(load->ring, load->found[i].id))
			return true;
	return false;
}

/* On a worker. The lock on repo->wrapper is the gate of whoever opens or looks. */
static void load_open(struct work *work)
{
	struct keys_load *load = container_of(work, struct keys_load, work);
	struct repo *repo = load->repo;
	struct err *err = &work->op.err;
	struct wrapper *wrapper;

	if (!load->ring)
		load->ring = keyring_new(repo->id, err);
	if (!load->ring)
		return;
	if (repo->wrapper && !load->reread)
		return load_unwrap(load);
	wrapper = key_source_read(&load->source, err);
	if (!wrapper)
		return;
	wrapper_free(repo->wrapper);
	repo->wrapper = wrapper;
	load_unwrap(load);
}

static int by_number(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static void load_whole(struct keys_load *load)
{
	load->repo->keys = load->ring;
	load->repo->lags = load_lags(load);
	load_end(load, NULL);
}

static void load_marker(struct keys_load *load)
{
	if (load->markers == 0)
		return load_whole(load);
	name_key_marker(load->name, load->marker[--load->markers]);
	load_read(load, load->name, SEALED_MARKER, KEYS_MARKER_BYTES_MAX, LOAD_MARKER);
}

static void load_opened(struct keys_load *load)
{
	const struct key_source *source = &load->source;

	if (op_failed(&load->work.op)) {
		load->repo->source_new = load->repo->source_new || load->reread;
		return load_end(load, &load->work.op.err);
	}
	if (keyring_opened(load->ring) == 0) {
		if (err_is(&load->damaged))
			return load_end(load, &load->damaged);
		return load_fail(
		        load,
		        source->kind == KEY_SOURCE_PASSPHRASE_FILE
		                ? "Another passphrase encrypted it; see \"key_passphrase_file\"."
		                : "Another key encrypted it: find the one that was kept "
		                  "elsewhere.",
		        "the key that is set is the wrong one: it opens none of the data "
		        "keys");
	}
	if (load->repo->keys) /* its list of what is not encrypted stays: readers may be at it */
		return load_whole(load);
	if (load->markers > 1)
		qsort(load->marker, load->markers, sizeof(*load->marker), by_number);
	load_marker(load);
}

static void load_marker_read(struct keys_load *load)
{
	const struct err *err = &load->read.op.err;
	const struct buf *content = &load->read.content;
	size_t count = content->length / sizeof(uint64_t);
	uint64_t *hash;

	if (err_is(err) && err->code != ERR_DAMAGED && err->code != ERR_STORE)
		return load_end(load, err);
	if (err_is(err) || content->length % sizeof(uint64_t) != 0 ||
	    load->read.sealed.key == 0) { /* made by somebody without a data key */
		buf_release(&load->read.content);
		return load_marker(load);
	}
	hash = xcalloc(count + 1, sizeof(*hash));
	for (size_t i = 0; i < count; i++)
		hash[i] = get_u64((const uint8_t *)content->data + i * sizeof(uint64_t));
	keyring_plain(load->ring, hash, count);
	buf_release(&load->read.content);
	load_whole(load);
}

static void load_step(struct op *op)
{
	struct keys_load *load = container_of(op, struct keys_load, op);
	struct err err = {0};

	switch ((enum load_state)op->state) {
	case LOAD_START:
		load->begun_us = clock_boot_us();
		load->walk = (struct store_walk){
		        .store = load->repo->store, .prefix = keys_folder, .each = load_each};
		store_walk_start(op, &load->walk);
		return op_wait(op, LOAD_LISTING);

	case LOAD_LISTING:
		if (op_failed(&load->walk.op))
			return load_end(load, &load->walk.op.err);
		return load_listed(load);

	case LOAD_READING:
		if (!load_took(load, &err)) {
			buf_release(&load->read.content);
			return load_end(load, &err);
		}
		buf_release(&load->read.content);
		load->at++;
		return load_next(load);

	case LOAD_OPENING:
		return load_opened(load);

	case LOAD_MARKER:
		return load_marker_read(load);
	}
}

static const struct op_type load_type = {
        .name = "keys load", .step = load_step, .state_name = load_state_name};

void keys_load_start(struct op *parent, struct keys_load *load)
{
	op_start(parent, &load->op, &load_type);
}

/* ---- begin ---- */

/* clang-format off */
#define BEGIN_STATES(X) \
	X(BEGIN_START) X(BEGIN_LOOKING) X(BEGIN_MAKING) X(BEGIN_ANNOUNCING) X(BEGIN_WAITING) \
	X(BEGIN_LISTING) X(BEGIN_SORTING) X(BEGIN_MARKING) X(BEGIN_WRITING)
/* clang-format on */
OP_STATES(begin_state, BEGIN_STATES)

static void begin_each(struct store_walk *walk, const struct store_entry *entry)
{
	struct keys_begin *begin = container_of(walk, struct keys_begin, walk);
	uint64_t id;
	uint32_t n;

	if (name_key_marker_parse(entry->name, &n) && n >= begin->marker)
		begin->marker = n + 1;
	begin->others = begin->others || name_key_parse(entry->name, &id, &n);
	if (strcmp(entry->name, NAME_REPOSITORY) == 0 || str_starts(entry->name, keys_folder) ||
	    str_starts(entry->name, NAME_CLAIMS)) /* which are no sealed objects */
		return;
	if (begin->plain == begin->size) {
		begin->size = MAX(2 * begin->size, (size_t)1024);
		begin->hash = xrealloc(begin->hash, begin->size * sizeof(*begin->hash));
	}
	begin->hash[begin->plain++] = key_name_hash(name_sealed(entry->name));
}

static void begin_end(struct keys_begin *begin, const struct err *cause)
{
	struct repo *repo = begin->repo;

	free(STEAL(begin->hash));
	buf_release(&begin->text);
	if (!cause)
		return op_done(&begin->op);
	begin->op.err = *cause;
	keyring_free(repo->keys);
	repo->keys = NULL;
	err_wrap(&begin->op.err, "could not encrypt repository \"%s\"", store_label(repo->store));
	op_fail_own(&begin->op);
}

/* On a worker. */
static void begin_make(struct work *work)
{
	struct keys_begin *begin = container_of(work, struct keys_begin, work);
	struct repo *repo = begin->repo;
	struct err *err = &work->op.err;
	unsigned i;

	if (!repo->wrapper)
		repo->wrapper = key_source_read(&repo->key_source, err);
	if (!repo->wrapper)
		return;
	repo->keys = keyring_new(repo->id, err);
	if (repo->keys && !keyring_make(repo->keys, clock_now_us(), &i, err))
		return;
}

/* On a worker. */
static void begin_sort(struct work *work)
{
	struct keys_begin *begin = container_of(work, struct keys_begin, work);
	struct repo *repo = begin->repo;
	struct err *err = &work->op.err;
	uint8_t bytes[sizeof(uint64_t)];

	begin->hash = xrealloc(begin->hash, (begin->plain + 1) * sizeof(*begin->hash));
	keyring_plain(repo->keys, STEAL(begin->hash), begin->plain);
	for (size_t at = 0; at < begin->plain; at++) {
		put_u64(bytes, keyring_plain_at(repo->keys, at));
		buf_add(&begin->text, bytes, sizeof(bytes));
	}
	if (begin->text.overflow)
		err_set(err, ERR_REFUSED, "it has more than %d objects",
		        KEYS_MARKER_BYTES_MAX / (int)sizeof(uint64_t));
}

/* First the marker: it means nothing without the key, and the key without it would refuse all that
 * is there. */
static void begin_write(struct keys_begin *begin, enum sealed_kind kind, int state)
{
	begin->write = (struct object_write){
	        .repo = begin->repo,
	        .name = begin->name,
	        .kind = kind,
	        .class = GATE_BACKUP,
	        .bytes = begin->text.data,
	        .length = begin->text.length,
	};
	object_write_start(&begin->op, &begin->write);
	op_wait(&begin->op, state);
}

static void begin_mark(struct keys_begin *begin, int state)
{
	name_key_marker(begin->name, begin->marker);
	begin_write(begin, SEALED_MARKER, state);
}

static void begin_walk(struct keys_begin *begin, const char *prefix, int state)
{
	begin->walk = (struct store_walk){
	        .store = begin->repo->store, .prefix = prefix, .each = begin_each};
	store_walk_start(&begin->op, &begin->walk);
	op_wait(&begin->op, state);
}

/* Two lists by two that do not know of each other: the later one would have names that the first
 * one's servers encrypted. */
static bool begin_walked(struct keys_begin *begin)
{
	struct err err = begin->walk.op.err;

	if (!err_is(&err) && begin->others) {
		err_set(&err, ERR_REFUSED, "somebody else has encrypted it meanwhile");
		err_hint(&err, "With the same key: run it again, and all is done.");
	}
	if (!err_is(&err))
		return true;
	begin_end(begin, &err);
	return false;
}

static void begin_list(struct keys_begin *begin)
{
	begin_walk(begin, "", BEGIN_LISTING);
}

static void begin_made(struct keys_begin *begin)
{
	if (begin->wait_ms == 0)
		return begin_list(begin);
	begin_mark(begin, BEGIN_ANNOUNCING);
}

static void begin_announced(struct keys_begin *begin)
{
	begin->marker++;
	if (begin->write.op.err.code == ERR_EXISTS)
		return begin_made(begin);
	if (op_failed(&begin->write.op))
		return begin_end(begin, &begin->write.op.err);
	nap_start(&begin->op, &begin->nap, begin->wait_ms);
	op_wait(&begin->op, BEGIN_WAITING);
}

static void begin_wrap(struct keys_begin *begin)
{
	struct wrapped_key wrapped;

	keyring_wrap(begin->repo->keys, 0, begin->repo->wrapper, clock_now_us(), &wrapped);
	buf_clear(&begin->text);
	wrapped_print(&wrapped, &begin->text);
	name_key(begin->name, wrapped.id, 1);
	begin_write(begin, SEALED_KEY, BEGIN_WRITING);
}

static void begin_step(struct op *op)
{
	struct keys_begin *begin = container_of(op, struct keys_begin, op);

	switch ((enum begin_state)op->state) {
	case BEGIN_START:
		assert(!begin->repo->keys);
		begin->plain = 0;
		begin->marker = 1;
		buf_init(&begin->text, KEYS_MARKER_BYTES_MAX);
		return begin_walk(begin, keys_folder, BEGIN_LOOKING);

	case BEGIN_LOOKING:
		if (!begin_walked(begin))
			return;
		work_start_class(op, &begin->work, WORK_BACKUP, begin_make);
		return op_wait(op, BEGIN_MAKING);

	case BEGIN_MAKING:
		if (op_failed(&begin->work.op))
			return begin_end(begin, &begin->work.op.err);
		return begin_made(begin);

	case BEGIN_ANNOUNCING:
		return begin_announced(begin);

	case BEGIN_WAITING:
		if (op_failed(&begin->nap.op))
			return begin_end(begin, &begin->nap.op.err);
		return begin_list(begin);

	case BEGIN_LISTING:
		if (!begin_walked(begin))
			return;
		work_start_class(op, &begin->work, WORK_BACKUP, begin_sort);
		return op_wait(op, BEGIN_SORTING);

	case BEGIN_SORTING:
		if (op_failed(&begin->work.op))
			return begin_end(begin, &begin->work.op.err);
		return begin_mark(begin, BEGIN_MARKING);

	case BEGIN_MARKING:
		if (begin->write.op.err.code == ERR_EXISTS) {
			begin->marker++;
			return begin_mark(begin, BEGIN_MARKING);
		}
		if (op_failed(&begin->write.op))
			return begin_end(begin, &begin->write.op.err);
		return begin_wrap(begin);

	case BEGIN_WRITING:
		return begin_end(begin, op_failed(&begin->write.op) ? &begin->write.op.err : NULL);
	}
}

static const struct op_type begin_type = {
        .name = "keys begin", .step = begin_step, .state_name = begin_state_name};

void keys_begin_start(struct op *parent, struct keys_begin *begin)
{
	op_start(parent, &begin->op, &begin_type);
}

/* ---- wrap ---- */

#define WRAP_STATES(X) X(WRAP_START) X(WRAP_SEALING) X(WRAP_WRITING)
OP_STATES(wrap_state, WRAP_STATES)
enum { WRAP_TRIES = 16 };

static void wrap_end(struct keys_wrap *wrap, const struct err *cause)
{
	buf_release(&wrap->text);
	if (!cause)
		return op_done(&wrap->op);
	wrap->op.err = *cause;
	err_wrap(&wrap->op.err, "could not wrap the keys of repository \"%s\"",
	         store_label(wrap->repo->store));
	op_fail_own(&wrap->op);
}

/* The next number of a data key; *ret_there: this wrapping key opens it already. */
static uint32_t wrap_number(const struct keys_wrap *wrap, uint64_t id, bool *ret_there)
{
	uint32_t n = 0;

	*ret_there = false;
	for (unsigned i = 0; i < wrap->load->count; i++) {
		const struct key_found *found = &wrap->load->found[i];

		if (found->id != id)
			continue;
		n = MAX(n, found->n);
		*ret_there = *ret_there ||
		             (found->readable && wrapper_made(wrap->wrapper, &found->wrapped));
	}
	return n + 1;
}

/* On a worker: scrypt takes its time. */
static void wrap_seal(struct work *work)
{
	struct keys_wrap *wrap = container_of(work, struct keys_wrap, work);
	struct keyring *ring = wrap->repo->keys;
	bool last = wrap->at == keyring_count(ring);
	struct wrapped_key wrapped;
	uint32_t n;

	wrap->skip = true;
	if (last && !keyring_make(ring, clock_now_us(), &wrap->at, &work->op.err))
		return;
	if (!keyring_about(ring, wrap->at).opened)
		return;
	n = wrap_number(wrap, keyring_about(ring, wrap->at).id, &wrap->skip) + wrap->tries;
	if (wrap->skip)
		return;
	keyring_wrap(ring, wrap->at, wrap->wrapper, clock_now_us(), &wrapped);
	if (last)
		wrap->made = wrapped.id;
	buf_clear(&wrap->text);
	wrapped_print(&wrapped, &wrap->text);
	name_key(wrap->name, wrapped.id, n);
}

static void wrap_next(struct keys_wrap *wrap)
{
	if (wrap->made || (wrap->at == keyring_count(wrap->repo->keys) && !wrap->make))
		return wrap_end(wrap, NULL);
	work_start_class(&wrap->op, &wrap->work, WORK_BACKUP, wrap_seal);
	op_wait(&wrap->op, WRAP_SEALING);
}

static void wrap_sealed(struct keys_wrap *wrap)
{
	if (op_failed(&wrap->work.op))
		return wrap_end(wrap, &wrap->work.op.err);
	if (wrap->skip) {
		wrap->at++;
		return wrap_next(wrap);
	}
	wrap->write = (struct object_write){
	        .repo = wrap->repo,
	        .name = wrap->name,
	        .kind = SEALED_KEY,
	        .class = GATE_BACKUP,
	        .bytes = wrap->text.data,
	        .length = wrap->text.length,
	};
	object_write_start(&wrap->op, &wrap->write);
	op_wait(&wrap->op, WRAP_WRITING);
}

static void wrap_written(struct keys_wrap *wrap)
{
	const struct err *err = &wrap->write.op.err;

	if (err->code == ERR_EXISTS && !wrap->made && wrap->tries < WRAP_TRIES) {
		wrap->tries++; /* somebody else wrapped it meanwhile */
		return wrap_next(wrap);
	}
	if (err_is(err))
		return wrap_end(wrap, err);
	wrap->wrapped++;
	wrap->at++;
	wrap->tries = 0;
	wrap_next(wrap);
}

static void wrap_step(struct op *op)
{
	struct keys_wrap *wrap = container_of(op, struct keys_wrap, op);

	switch ((enum wrap_state)op->state) {
	case WRAP_START:
		buf_init(&wrap->text, WRAPPED_TEXT_MAX);
		wrap->at = wrap->tries = wrap->wrapped = 0;
		wrap->made = 0;
		return wrap_next(wrap);

	case WRAP_SEALING:
		return wrap_sealed(wrap);

	case WRAP_WRITING:
		return wrap_written(wrap);
	}
}

static const struct op_type wrap_type = {
        .name = "keys wrap", .step = wrap_step, .state_name = wrap_state_name};

void keys_wrap_start(struct op *parent, struct keys_wrap *wrap)
{
	op_start(parent, &wrap->op, &wrap_type);
}
