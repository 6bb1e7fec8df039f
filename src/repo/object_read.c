/*
 * object_read.c — objects looked at, read whole, and streamed part by part, all verified.
 *
 *   stat    START -> GETTING [-> LOOKING -> GETTING] -> done
 *   stream  START -> HOLDING -> GETTING -> READING -> done         one object
 *                                  ^----------'                    parts in order, then the head
 * again
 *
 * What is found damaged is fetched once more, from the first byte that was not handed over yet: the
 * bytes may have been spoilt on their way, and a recovery should not end because of that. Damaged
 * twice is damaged.
 *
 * The head comes first and says whether there are parts; then its own frames, which are the end of
 * the content, are fetched a second time when it is their turn, so that never more than one object
 * is in memory. A part that is not there is damage, never "not found": the head says that it
 * exists.
 */
#include "internal.h"

#include <assert.h>
#include <string.h>

#include "repo/keys.h"
#include "repo/object.h"

#include "base/poison.h"

/* ---- stat ---- */

struct stat_detail {
	struct store_get get;
	struct keys_look look;
	bool again, looked;
	uint8_t *block; /* a header needs no whole block, and no place at the gate */
};

enum stat_state { STAT_START, STAT_GETTING, STAT_LOOKING };

/* Its data key may be newer than what was read of keys/. True: that is looked up now. */
static bool stat_look(struct object_stat *stat)
{
	struct stat_detail *d = stat->detail;

	if (d->looked || !stat->sealed.key_missing || !keys_look_helps(stat->repo))
		return false;
	d->looked = true;
	d->look = (struct keys_look){.repo = stat->repo};
	keys_look_start(&stat->op, &d->look);
	op_wait(&stat->op, STAT_LOOKING);
	return true;
}

static bool stat_open(struct object_stat *stat, const struct stat_detail *d, struct err *err)
{
	const struct sealed_want want = {
	        .name = name_sealed(stat->name), .kind = stat->kind, .keys = stat->repo->keys};

	if (!sealed_open(d->block, (size_t)d->get.got, &want, &stat->sealed, err))
		return false;
	sealed_release_frames(&stat->sealed);
	stat->object_bytes = d->get.object_bytes;
	if (stat->object_bytes == stat->sealed.stored_bytes)
		return true;
	return err_set(err, ERR_DAMAGED, "it has %llu bytes instead of %llu",
	               (unsigned long long)stat->object_bytes,
	               (unsigned long long)stat->sealed.stored_bytes);
}

static void stat_get(struct object_stat *stat)
{
	struct stat_detail *d = stat->detail;

	d->get = (struct store_get){
	        .store = stat->repo->store,
	        .name = stat->name,
	        .length = SEALED_HEADER_BYTES_MAX,
	        .block = &d->block,
	        .blocks = 1,
	};
	store_get_start(&stat->op, &d->get);
	op_wait(&stat->op, STAT_GETTING);
}

static void stat_step(struct op *op)
{
	struct object_stat *stat = container_of(op, struct object_stat, op);
	struct stat_detail *d = stat->detail;
	bool good;

	if (op->state == STAT_START) {
		d = stat->detail = xcalloc(1, sizeof(*d));
		d->block = xmalloc(SEALED_HEADER_BYTES_MAX);
		return stat_get(stat);
	}
	if (op->state == STAT_LOOKING) {
		err_clear(&op->err);
		return stat_get(stat);
	}
	op->err = d->get.op.err;
	good = err_is(&op->err) || stat_open(stat, d, &op->err);
	if (!good && stat_look(stat))
		return;
	if (!good && !d->again && op->err.code == ERR_DAMAGED) {
		d->again = true;
		err_clear(&op->err);
		return stat_get(stat);
	}
	if (!good)
		err_wrap(&op->err, "could not read object \"%s\" in repository \"%s\"", stat->name,
		         store_label(stat->repo->store));
	free(d->block);
	free(d);
	stat->detail = NULL;
	op_done(op);
}

static const struct op_type stat_type = {.name = "object stat", .step = stat_step};

void object_stat_start(struct op *parent, struct object_stat *stat)
{
	stat->detail = NULL;
	stat->sealed = (struct sealed){0};
	op_start(parent, &stat->op, &stat_type);
}

/* ---- stream ---- */

struct stream_detail {
	struct object_stream *stream;
	struct blocks_hold hold;
	struct store_get get;
	struct work work;
	struct digester *digester; /* over all parts; NULL when the digest cannot be checked */
	uint64_t from, to;         /* of the logical content: what is wanted */
	uint64_t base;             /* where the object at hand begins in it */
	uint32_t part;             /* 0: the head; then the one at hand */
	bool tight;                /* less memory than any object needs: a guess */
	bool opened;               /* the head was, stream->sealed is set */
	bool own;                  /* the head's own frames are being read */
	bool consumer_failed;
	bool again; /* the object at hand is read a second time */
	struct keys_look look;
	uint64_t key_missing; /* why it could not be opened, or 0 */
	bool looked;          /* for that key, in keys/ */
	uint64_t given, end;  /* where what was handed over ends, and where its content does */
	char part_name[SEALED_NAME_MAX];
};

static uint64_t whole_bytes(const struct sealed *sealed)
{
	return sealed->parts_bytes + sealed->logical_bytes;
}

/* ---- on a worker ---- */

static bool stream_each(void *context, uint64_t offset, const uint8_t *bytes, size_t length,
                        struct err *err)
{
	struct stream_detail *d = context;

	if (work_cancelled(&d->work))
		return err_set(err, ERR_CANCELLED, "cancelled");
	if (d->digester)
		digester_add(d->digester, bytes, length);
	if (!d->stream->consume(d->stream, d->base + offset, bytes, length, err)) {
		d->consumer_failed = true;
		return false;
	}
	d->given = d->base + offset + length;
	return true;
}

/* The frames of the object at hand that are wanted. */
static bool frames_run(struct stream_detail *d, const struct sealed *sealed, struct err *err)
{
	struct chain object = {
	        .block = d->hold.block, .count = d->hold.count, .length = d->get.got};
	struct sealed_reading reading = {
	        .object = &object,
	        .scratch = d->tight ? d->hold.block[d->hold.count - 1] : sealed_scratch(&d->hold),
	        .length = UINT64_MAX,
	        .each = stream_each,
	        .context = d,
	};
	uint64_t end = d->end = d->base + sealed->logical_bytes;

	if (d->from > d->base || d->to < end) {
		reading.from = d->from > d->base ? d->from - d->base : 0;
		reading.length =
		        d->to > d->base + reading.from ? d->to - d->base - reading.from : 0;
	}
	return sealed_read(sealed, &reading, err);
}

static bool part_run(struct stream_detail *d, struct err *err)
{
	const struct sealed_want want = {.name = name_sealed(d->part_name),
	                                 .kind = SEALED_PART,
	                                 .keys = d->stream->repo->keys};
	uint64_t wanted = MIN(d->stream->sealed.parts_bytes - d->base, (uint64_t)SEALED_PART_BYTES);
	struct sealed sealed;
	bool ok;

	if (!sealed_open(d->hold.block[0], (size_t)MIN(d->get.got, (uint64_t)BLOCK_BYTES), &want,
	                 &sealed, err)) {
		d->key_missing = sealed.key_missing;
		return false;
	}
	ok = sealed.parts == 0 && sealed.logical_bytes == wanted;
	if (!ok)
		err_set(err, ERR_DAMAGED, "part %u has %llu bytes instead of %llu", d->part,
		        (unsigned long long)sealed.logical_bytes, (unsigned long long)wanted);
	ok = ok && frames_run(d, &sealed, err);
	sealed_release(&sealed);
	return ok;
}

static bool whole_digest_check(struct stream_detail *d, struct err *err)
{
	struct digest digest;

	if (!d->digester)
		return true;
	digester_end(d->digester, &digest);
	if (digest_equal(&digest, &d->stream->sealed.digest))
		return true;
	return err_set(err, ERR_DAMAGED, "its content does not have the digest in its header");
}

/* The head as it comes the first time: what is wanted of the whole? */
static void range_find(struct stream_detail *d, const struct sealed *sealed)
{
	const struct object_stream *stream = d->stream;
	uint64_t whole = whole_bytes(sealed);

	d->from = MIN(stream->from, whole);
	d->to = stream->length && stream->length < whole - d->from ? d->from + stream->length
	                                                           : whole;
	if (stream->own_only)
		d->from = sealed->parts_bytes;
	if (stream->parts_only)
		d->to = MIN(d->to, sealed->parts_bytes);
	if (sealed->parts > 0 && d->from == 0 && d->to == whole)
		d->digester = digester_new();
}

static bool head_run(struct stream_detail *d, struct err *err)
{
	struct object_stream *stream = d->stream;
	const struct sealed_want want = {.name = name_sealed(stream->name),
	                                 .kind = stream->kind,
	                                 .keys = stream->repo->keys};
	struct sealed sealed;
	bool ok = true;

	if (!sealed_open(d->hold.block[0], (size_t)MIN(d->get.got, (uint64_t)BLOCK_BYTES), &want,
	                 &sealed, err)) {
		d->key_missing = sealed.key_missing;
		return false;
	}
	if (!d->opened)
		range_find(d, &sealed);
	else if (!digest_equal(&sealed.digest, &stream->sealed.digest))
		ok = err_set(err, ERR_DAMAGED, "it changed while it was read");
	stream->sealed = sealed;
	stream->sealed.frame = NULL;
	stream->sealed.crypt = NULL;
	d->opened = true;
	if (d->from >= sealed.parts_bytes)
		d->own = true; /* no part is wanted */
	d->base = d->own ? sealed.parts_bytes : 0;
	if (ok && d->own)
		ok = frames_run(d, &sealed, err) && whole_digest_check(d, err);
	sealed_release(&sealed);
	return ok;
}

static void object_run(struct work *work)
{
	struct stream_detail *d = container_of(work, struct stream_detail, work);

	(void)(d->part ? part_run(d, &work->op.err) : head_run(d, &work->op.err));
}

/* ---- the story ---- */

#define STREAM_STATES(X)                                                                           \
	X(STREAM_START) X(STREAM_HOLDING) X(STREAM_GETTING) X(STREAM_READING) X(STREAM_LOOKING)
OP_STATES(stream_state, STREAM_STATES)

static void stream_end(struct object_stream *stream, const struct err *cause)
{
	struct stream_detail *d = stream->detail;

	if (cause)
		stream->op.err = *cause;
	blocks_keep(&d->hold, 0);
	digester_free(d->digester);
	free(d);
	stream->detail = NULL;
	op_done(&stream->op);
}

/* One of scratch comes to what is likely; 0: as much as any needs. */
static void stream_hold(struct object_stream *stream, uint64_t likely_bytes)
{
	struct stream_detail *d = stream->detail;
	uint64_t blocks = (likely_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES + 1;

	blocks_keep(&d->hold, 0);
	d->tight = likely_bytes > 0 && blocks < BLOCKS_SEAL;
	blocks_hold(&stream->op, &d->hold, stream->repo->blocks, stream->class,
	            d->tight ? (unsigned)blocks : BLOCKS_SEAL);
	op_wait(&stream->op, STREAM_HOLDING);
}

static void stream_get(struct object_stream *stream)
{
	struct stream_detail *d = stream->detail;
	bool ended = d->opened && d->base >= d->to;
	unsigned room = d->hold.count - d->tight;

	if (ended)
		return stream_end(stream, NULL);
	d->end = UINT64_MAX;
	d->get = (struct store_get){
	        .store = stream->repo->store,
	        .name = d->part ? d->part_name : stream->name,
	        .expect_bytes = d->part ? 0 : MAX(stream->expect_bytes, stream->likely_bytes),
	        /* One more than can be: what is too long is seen to be. */
	        .length = d->tight ? (uint64_t)room * BLOCK_BYTES : SEALED_OBJECT_BYTES_MAX + 1,
	        .block = d->hold.block,
	        .blocks = room,
	        .stall_ms = stream->stall_ms,
	        .class = repo_work_class(stream->class),
	};
	store_get_start(&stream->op, &d->get);
	op_wait(&stream->op, STREAM_GETTING);
}

static void stream_run(struct object_stream *stream)
{
	struct stream_detail *d = stream->detail;

	d->key_missing = 0;
	work_start_class(&stream->op, &d->work, repo_work_class(stream->class), object_run);
	op_wait(&stream->op, STREAM_READING);
}

static void stream_got(struct object_stream *stream)
{
	struct stream_detail *d = stream->detail;
	struct err err = d->get.op.err;

	if (d->part && err.code == ERR_NOTFOUND)
		err_wrap_as(&err, ERR_DAMAGED, "a part of object \"%s\" is missing", stream->name);
	if (err_is(&err))
		return stream_end(stream, &err);
	if (d->tight && d->get.object_bytes > d->get.length)
		return stream_hold(stream, 0);
	stream_run(stream);
}

/* As stat_look. */
static bool stream_look(struct object_stream *stream)
{
	struct stream_detail *d = stream->detail;

	if (d->looked || !d->key_missing || !keys_look_helps(stream->repo))
		return false;
	d->looked = true;
	d->look = (struct keys_look){.repo = stream->repo};
	keys_look_start(&stream->op, &d->look);
	op_wait(&stream->op, STREAM_LOOKING);
	return true;
}

/* Whether the object at hand, which is damaged, is worth a second look: not when all of its content
 * was good and handed over, and only the digest of the whole is wrong. */
static bool stream_again(struct stream_detail *d, const struct err *why)
{
	if (why->code != ERR_DAMAGED || d->again || d->consumer_failed ||
	    (d->opened && d->given >= d->end))
		return false;
	d->again = true;
	d->from = MAX(d->from, d->given);
	return true;
}

/* The object at hand is done: the next part, the head's own frames, or the end. */
static void stream_next(struct object_stream *stream)
{
	struct stream_detail *d = stream->detail;
	const struct sealed *sealed = &stream->sealed;
	struct err err = d->work.op.err;

	if (stream_look(stream))
		return;
	stream->stored_bytes += d->get.got;
	if (stream_again(d, &err))
		return stream_get(stream);
	if (err_is(&err)) {
		if (!d->consumer_failed && err.code != ERR_CANCELLED)
			err_wrap(&err, "could not read object \"%s\" in repository \"%s\"",
			         d->part ? d->part_name : stream->name,
			         store_label(stream->repo->store));
		return stream_end(stream, &err);
	}
	d->again = false;
	if (d->own)
		return stream_end(stream, NULL);
	if (d->part == 0) /* the first time: begin with the part that is wanted first */
		d->part = (uint32_t)(d->from / SEALED_PART_BYTES);
	d->base = (uint64_t)d->part * SEALED_PART_BYTES;
	d->part++;
	if (d->base >= sealed->parts_bytes) {
		d->part = 0;
		d->own = true;
		d->base = sealed->parts_bytes;
	} else {
		sealed_part_name(stream->name, sealed->attempt, d->part, d->part_name);
	}
	/* Own frames without bytes: the digest over the parts still has to be looked at. */
	if (d->own && d->digester)
		d->to = UINT64_MAX;
	if (d->tight)
		return stream_hold(stream, 0);
	stream_get(stream);
}

static void stream_step(struct op *op)
{
	struct object_stream *stream = container_of(op, struct object_stream, op);
	struct stream_detail *d = stream->detail;

	switch ((enum stream_state)op->state) {
	case STREAM_START:
		d = stream->detail = xcalloc(1, sizeof(*d));
		d->stream = stream;
		return stream_hold(stream, stream->likely_bytes);

	case STREAM_HOLDING:
		if (op_failed(&d->hold.op))
			return stream_end(stream, &d->hold.op.err);
		return stream_get(stream);

	case STREAM_GETTING:
		return stream_got(stream);

	case STREAM_READING:
		return stream_next(stream);

	case STREAM_LOOKING:
		return stream_run(stream);
	}
}

static const struct op_type stream_type = {
        .name = "object stream", .step = stream_step, .state_name = stream_state_name};

void object_stream_start(struct op *parent, struct object_stream *stream)
{
	stream->detail = NULL;
	stream->sealed = (struct sealed){0};
	stream->stored_bytes = 0;
	op_start(parent, &stream->op, &stream_type);
}

/* ---- read ---- */

struct read_detail {
	struct object_read *read;
	struct object_stream stream;
};

static bool read_consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                         size_t length, struct err *err)
{
	struct object_read *read = ((struct read_detail *)stream->context)->read;

	(void)offset;
	if (buf_add(&read->content, bytes, length))
		return true;
	return err_set(err, ERR_DAMAGED,
	               "object \"%s\" in repository \"%s\" has more than %zu bytes of content",
	               read->name, store_label(read->repo->store), read->bytes_max);
}

static void read_step(struct op *op)
{
	struct object_read *read = container_of(op, struct object_read, op);
	struct read_detail *d = read->detail;

	if (op->state == 0) {
		d = read->detail = xcalloc(1, sizeof(*d));
		d->read = read;
		d->stream = (struct object_stream){
		        .repo = read->repo,
		        .name = read->name,
		        .kind = read->kind,
		        .class = GATE_RESTORE,
		        .likely_bytes = BLOCK_BYTES,
		        .own_only = read->own_frames,
		        .consume = read_consume,
		        .context = d,
		};
		object_stream_start(op, &d->stream);
		return op_wait(op, 1);
	}
	op->err = d->stream.op.err;
	read->sealed = d->stream.sealed;
	free(d);
	read->detail = NULL;
	op_done(op);
}

static const struct op_type read_type = {.name = "object read", .step = read_step};

void object_read_start(struct op *parent, struct object_read *read)
{
	read->detail = NULL;
	read->sealed = (struct sealed){0};
	buf_init(&read->content, read->bytes_max);
	op_start(parent, &read->op, &read_type);
}
