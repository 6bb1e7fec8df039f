/* object_test.c — sealed objects of every size, in and out of a repository. */
#include "unit/repo/place.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "repo/object.h"

#define NAME "main/7-15-1/thing/one"
enum { MIB = 1 << 20 };

enum { PAGE = 4096, TABLE = 1 << 20 };

static uint8_t table[TABLE]; /* random bytes, the same in each run */

static void table_fill(void)
{
	uint32_t x = 1;

	for (size_t i = 0; i < TABLE; i++)
		table[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
}

/* Bytes [offset, offset + length) of the test content: every other page of it compresses. */
static void content(uint64_t seed, uint64_t offset, uint8_t *out, size_t length)
{
	while (length > 0) {
		uint64_t page = offset / PAGE, at = offset % PAGE;
		size_t part = (size_t)MIN((uint64_t)length, PAGE - at);

		if (page % 2)
			memset(out, (int)((page + seed) & 0xff), part);
		else
			memcpy(out, table + (page * 4099 + seed * 977) % (TABLE - PAGE) + at, part);
		out += part;
		offset += part;
		length -= part;
	}
}

static bool is_content(uint64_t seed, uint64_t offset, const uint8_t *bytes, size_t length)
{
	uint8_t wanted[PAGE];

	for (size_t at = 0, part; at < length; at += part) {
		part = MIN(length - at, sizeof(wanted));
		content(seed, offset + at, wanted, part);
		if (memcmp(wanted, bytes + at, part) != 0)
			return false;
	}
	return true;
}

struct source {
	uint64_t seed, length, at;
	size_t piece_max; /* at most so much at once; 0: what there is room for */
	unsigned accepts;
	bool refuse;
	uint64_t fail_at;
};

static bool source_produce(struct object_write *write, uint8_t *room, size_t room_bytes,
                           size_t *ret_length, struct err *err)
{
	struct source *source = write->context;
	size_t length = source->piece_max ? MIN(room_bytes, source->piece_max) : room_bytes;

	if (source->fail_at && source->at >= source->fail_at)
		return err_set(err, ERR_IO, "the source failed");
	length = (size_t)MIN((uint64_t)length, source->length - source->at);
	content(source->seed, source->at, room, length);
	source->at += length;
	*ret_length = length;
	return true;
}

static bool source_accept(struct object_write *write, struct err *err)
{
	struct source *source = write->context;

	source->accepts++;
	return !source->refuse || err_set(err, ERR_REFUSED, "it is not good");
}

static void write_source(struct fixture *f, const char *name, struct source *source,
                         struct object_write *write)
{
	*write = (struct object_write){
	        .repo = f->repo,
	        .name = name,
	        .kind = SEALED_WAL,
	        .compression = {SEALED_LZ4, 0},
	        .class = GATE_WAL,
	        .produce = source_produce,
	        .accept = source_accept,
	        .context = source,
	};
	RUN(f->loop, object_write_start, write);
}

struct sink {
	uint64_t seed, next, bytes;
	bool wrong;
	uint64_t fail_at;
};

static bool sink_consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                         size_t length, struct err *err)
{
	struct sink *sink = stream->context;

	if (sink->bytes && offset != sink->next)
		sink->wrong = true;
	if (!is_content(sink->seed, offset, bytes, length))
		sink->wrong = true;
	sink->next = offset + length;
	sink->bytes += length;
	if (sink->fail_at && sink->bytes >= sink->fail_at)
		return err_set(err, ERR_FULL, "the sink is full");
	return true;
}

static void stream_range(struct fixture *f, struct object_stream *stream, struct sink *sink)
{
	stream->repo = f->repo;
	stream->name = NAME;
	stream->class = GATE_RESTORE;
	stream->consume = sink_consume;
	stream->context = sink;
	RUN(f->loop, object_stream_start, stream);
}

static void roundtrip(struct fixture *f, uint64_t length, size_t piece_max, unsigned parts)
{
	static const char *const names[] = {NAME};
	struct source source = {.seed = 5, .length = length, .piece_max = piece_max};
	struct object_write write;
	struct object_stream stream = {.kind = SEALED_WAL};
	struct object_stat stat = {.repo = f->repo, .name = NAME, .kind = SEALED_WAL};
	struct sink sink = {.seed = 5};

	write_source(f, NAME, &source, &write);
	assert_int_equal(write.op.err.code, ERR_NONE);
	assert_false(write.repeated);
	assert_int_equal(write.logical_bytes, length);
	assert_int_equal(source.accepts, 1);
	stream_range(f, &stream, &sink);
	assert_int_equal(stream.op.err.code, ERR_NONE);
	assert_int_equal(sink.bytes, length);
	assert_false(sink.wrong);
	assert_int_equal(stream.sealed.parts, parts);
	assert_true(digest_equal(&stream.sealed.digest, &write.digest));
	assert_true(RUN(f->loop, object_stat_start, &stat));
	assert_true(digest_equal(&stat.sealed.digest, &write.digest));
	assert_int_equal(stat.sealed.parts_bytes + stat.sealed.logical_bytes, length);
	source.at = 0;
	write_source(f, NAME, &source, &write); /* the same again is success */
	assert_int_equal(write.op.err.code, ERR_NONE);
	assert_true(write.repeated);
	source.at = 0;
	source.seed = 6;
	write_source(f, NAME, &source, &write);
	if (length > 0) {
		assert_int_equal(write.op.err.code, ERR_EXISTS);
		assert_true(digest_equal(&write.existing, &stat.sealed.digest));
		assert_false(digest_equal(&write.existing, &write.digest));
	}
	assert_int_equal(remove_names(f->store, names, 1), ERR_NONE);
}

static void content_of_every_size_comes_back(void **state)
{
	struct fixture *f = *state;

	roundtrip(f, 0, 0, 0);
	roundtrip(f, 1, 0, 0);
	roundtrip(f, 128 * 1024, 1000, 0);
	roundtrip(f, 3 * MIB + 17, 5000, 0);
	roundtrip(f, 16 * MIB, 0, 0);
	roundtrip(f, 16 * MIB + 1, 0, 1);
	roundtrip(f, 32 * MIB, 100000, 1);
	roundtrip(f, 40 * MIB + 12345, 0, 2);
}

static unsigned count_objects(struct fixture *f)
{
	struct store_list list = {.store = f->store, .prefix = "main/"};
	unsigned count;

	assert_true(RUN(f->loop, store_list_start, &list));
	count = list.count;
	store_list_release(&list);
	return count;
}

static void a_big_thing_that_is_there_already_leaves_no_parts(void **state)
{
	struct fixture *f = *state;
	struct source source = {.seed = 1, .length = 33 * MIB};
	struct object_write write;
	unsigned before;

	write_source(f, NAME, &source, &write);
	assert_int_equal(write.op.err.code, ERR_NONE);
	before = count_objects(f);
	assert_int_equal(before, 3);
	source.at = 0;
	write_source(f, NAME, &source, &write);
	assert_true(write.repeated);
	source = (struct source){.seed = 2, .length = 33 * MIB};
	write_source(f, NAME, &source, &write);
	assert_int_equal(write.op.err.code, ERR_EXISTS);
	assert_int_equal(count_objects(f), before);
}

/* Points that fail when told so, passed while a big thing is written that is there already. */
static unsigned points_of_a_repetition(struct fixture *f)
{
	struct source source = {.seed = 1, .length = 33 * MIB};
	struct object_write write;
	unsigned before;

	write_source(f, NAME, &source, &write);
	assert_int_equal(write.op.err.code, ERR_NONE);
	source.at = 0;
	before = fault_count();
	write_source(f, NAME, &source, &write);
	assert_true(write.repeated);
	return fault_count() - before;
}

static void a_big_thing_that_is_there_already_is_synced_before_it_counts(void **state)
{
	struct fixture *f = *state, files = *f;
	char folder[] = "/tmp/seawall-object.XXXXXX", url[64];
	struct source source = {.seed = 1, .length = 33 * MIB};
	struct object_write write;
	struct err err = {0};
	unsigned in_memory = points_of_a_repetition(f), in_files;

	assert_non_null(mkdtemp(folder));
	snprintf(url, sizeof(url), "file://%s/repo", folder);
	files.store = open_place(f->loop, url, true);
	files.repo = repo_new(files.store, f->blocks);
	in_files = points_of_a_repetition(&files);
	/* Syncs of the file and of each folder up to the root. */
	assert_true(in_files >= in_memory + 2 * 5);
	fault_plan_fail(in_files);
	write_source(&files, NAME, &source, &write);
	fault_plan_fail(0);
	assert_int_not_equal(write.op.err.code, ERR_NONE);
	repo_free(files.repo);
	assert_true(file_remove_tree(folder, &err));
}

static void what_is_not_accepted_is_not_visible(void **state)
{
	struct fixture *f = *state;
	struct source source = {.length = 20 * MIB, .refuse = true};
	struct object_stat stat = {.repo = f->repo, .name = NAME};
	struct object_write write;

	write_source(f, NAME, &source, &write);
	assert_int_equal(write.op.err.code, ERR_REFUSED);
	RUN(f->loop, object_stat_start, &stat);
	assert_int_equal(stat.op.err.code, ERR_NOTFOUND);
	source = (struct source){.length = 2 * MIB, .fail_at = MIB};
	write_source(f, NAME, &source, &write);
	assert_int_equal(write.op.err.code, ERR_IO);
	RUN(f->loop, object_stat_start, &stat);
	assert_int_equal(stat.op.err.code, ERR_NOTFOUND);
}

static void ranges_touch_only_what_they_need(void **state)
{
	static const struct {
		uint64_t from, length, wanted;
		unsigned gets;
	} cases[] = {
	        {0, 0, 40 * MIB, 4},
	        {10, 20, 20, 2},
	        {16 * MIB - 5, 10, 10, 3},
	        {16 * MIB, 100, 100, 2},
	        {31 * MIB, 3 * MIB, 3 * MIB, 3},
	        {39 * MIB, 5 * MIB, MIB, 1},
	        {32 * MIB, 8 * MIB, 8 * MIB, 1},
	        {50 * MIB, 5, 0, 1},
	};
	struct fixture *f = *state;
	struct source source = {.seed = 9, .length = 40 * MIB};
	struct object_write write;

	write_source(f, NAME, &source, &write);
	assert_int_equal(write.op.err.code, ERR_NONE);
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct object_stream stream = {.from = cases[i].from, .length = cases[i].length};
		struct sink sink = {.seed = 9};
		unsigned before = store_mem_calls("repo", STORE_GET);

		stream_range(f, &stream, &sink);
		assert_int_equal(stream.op.err.code, ERR_NONE);
		assert_int_equal(sink.bytes, cases[i].wanted);
		assert_false(sink.wrong);
		assert_int_equal(store_mem_calls("repo", STORE_GET) - before, cases[i].gets);
	}
}

static void each_damaged_byte_is_found_and_the_object_named(void **state)
{
	static const uint64_t offsets[] = {0, 9, 40, 119, 125, 300, 5000, 100000};
	struct fixture *f = *state;
	struct source source = {.seed = 3, .length = 2 * MIB};
	struct object_write write;

	write_source(f, NAME, &source, &write);
	for (size_t i = 0; i < ARRAY_LENGTH(offsets); i++) {
		struct object_stream stream = {.kind = SEALED_WAL};
		struct sink sink = {.seed = 3};

		assert_true(store_mem_damage("repo", NAME, offsets[i]));
		stream_range(f, &stream, &sink);
		assert_true(op_failed(&stream.op));
		assert_int_equal(stream.op.err.code, ERR_DAMAGED);
		assert_non_null(strstr(stream.op.err.text, NAME));
		assert_true(store_mem_damage("repo", NAME, offsets[i]));
	}
}

/* On the way from the store, in the object or in a part of it: a second look finds all of it. */
static void a_byte_that_was_spoilt_on_its_way_does_no_harm(void **state)
{
	static const uint64_t offsets[] = {0, 40, 125, 300, 5000, 100000, 1000000};
	struct fixture *f = *state;
	struct source source = {.seed = 3, .length = 19 * MIB};
	struct object_write write;
	unsigned calls;

	write_source(f, NAME, &source, &write);
	for (size_t i = 0; i < ARRAY_LENGTH(offsets); i++)
		for (unsigned nth = 1; nth <= 3; nth++) { /* the head, a part, the head's own */
			struct mem_fault fault = {.verb = STORE_GET,
			                          .effect = MEM_FLIP,
			                          .nth = nth,
			                          .bytes = offsets[i]};
			struct object_stream stream = {.kind = SEALED_WAL};
			struct sink sink = {.seed = 3};

			store_mem_plan("repo", &fault);
			calls = store_mem_calls("repo", STORE_GET);
			stream_range(f, &stream, &sink);
			store_mem_plan_clear("repo");
			assert_int_equal(stream.op.err.code, ERR_NONE);
			assert_int_equal(sink.bytes, source.length);
			assert_false(sink.wrong);
			calls = store_mem_calls("repo", STORE_GET) - calls;
			assert_in_range(calls, 3, 4);
			assert_true(calls == 4 || nth == 1); /* of the head only the front counts */
		}
}

static void a_missing_part_is_damage_and_never_not_found(void **state)
{
	struct fixture *f = *state;
	struct source source = {.seed = 3, .length = 20 * MIB};
	struct object_stream stream = {0};
	struct sink sink = {.seed = 3};
	struct object_write write;
	struct store_list list = {.store = f->store, .prefix = NAME "."};
	const char *part;

	write_source(f, NAME, &source, &write);
	assert_true(RUN(f->loop, store_list_start, &list));
	assert_int_equal(list.count, 1);
	part = list.entry[0].name;
	assert_int_equal(remove_names(f->store, &part, 1), ERR_NONE);
	stream_range(f, &stream, &sink);
	assert_int_equal(stream.op.err.code, ERR_DAMAGED);
	assert_non_null(strstr(stream.op.err.text, part));
	store_list_release(&list);
}

static void what_the_consumer_says_is_not_called_damage(void **state)
{
	struct fixture *f = *state;
	struct source source = {.length = 2 * MIB};
	struct object_stream stream = {0};
	struct sink sink = {.fail_at = MIB};
	struct object_write write;

	write_source(f, NAME, &source, &write);
	stream_range(f, &stream, &sink);
	assert_int_equal(stream.op.err.code, ERR_FULL);
	assert_string_equal(stream.op.err.text, "the sink is full");
}

static void a_renamed_object_does_not_open(void **state)
{
	struct fixture *f = *state;
	struct source source = {.length = 1000};
	struct object_write write;
	struct object_read read = {.repo = f->repo, .name = "main/other", .bytes_max = 10000};
	AUTO_BUF struct buf raw;

	write_source(f, NAME, &source, &write);
	buf_init(&raw, BLOCK_BYTES);
	assert_int_equal(get_range(f->store, NAME, 0, BLOCK_BYTES, &raw), ERR_NONE);
	assert_int_equal(put_bytes(f->store, "main/other", raw.data, raw.length), ERR_NONE);
	assert_false(RUN(f->loop, object_read_start, &read));
	assert_int_equal(read.op.err.code, ERR_DAMAGED);
	buf_release(&read.content);
}

static void small_things_are_read_into_a_buffer_with_a_limit(void **state)
{
	struct fixture *f = *state;
	struct source source = {.length = 3 * MIB};
	struct object_write write = {.repo = f->repo,
	                             .name = "main/text",
	                             .kind = SEALED_NOTE,
	                             .class = GATE_WAL,
	                             .bytes = "hello",
	                             .length = 5};
	struct object_read read = {.repo = f->repo, .name = "main/text", .bytes_max = 5};

	assert_true(RUN(f->loop, object_write_start, &write));
	assert_true(RUN(f->loop, object_read_start, &read));
	assert_string_equal(buf_text(&read.content), "hello");
	buf_release(&read.content);
	read.bytes_max = 4;
	assert_false(RUN(f->loop, object_read_start, &read));
	assert_int_equal(read.op.err.code, ERR_DAMAGED);
	buf_release(&read.content);
	write_source(f, NAME, &source, &write);
	read = (struct object_read){.repo = f->repo, .name = NAME, .bytes_max = 3 * MIB};
	assert_true(RUN(f->loop, object_read_start, &read)); /* does not fit two blocks */
	assert_int_equal(read.content.length, 3 * MIB);
	buf_release(&read.content);
	read = (struct object_read){.repo = f->repo, .name = "main/none", .bytes_max = 9};
	assert_false(RUN(f->loop, object_read_start, &read));
	assert_int_equal(read.op.err.code, ERR_NOTFOUND);
	buf_release(&read.content);
}

/* ---- builder ---- */

static void build(struct fixture *f, uint64_t body, const char *head)
{
	struct compression zstd = {SEALED_ZSTD, 3};
	struct object_builder *builder =
	        object_builder_new(f->repo, NAME, SEALED_MANIFEST, &zstd, GATE_BACKUP);
	struct object_builder_end end = {.builder = builder, .bytes = head, .length = strlen(head)};
	uint8_t *bytes = xmalloc(OBJECT_STREAM_ADD_MAX);

	for (uint64_t at = 0, part; at < body; at += part) {
		struct object_builder_add add = {.builder = builder, .bytes = bytes};

		part = MIN(body - at, at % 3 ? 1000003 : OBJECT_STREAM_ADD_MAX);
		add.length = (size_t)part;
		content(4, at, bytes, (size_t)part);
		assert_true(RUN(f->loop, object_builder_add_start, &add));
	}
	assert_true(RUN(f->loop, object_builder_end_start, &end));
	assert_true(end.stored_bytes > 0);
	object_builder_free(builder);
	free(bytes);
}

static void a_thing_is_built_piece_by_piece(void **state)
{
	static const uint64_t bodies[] = {0, 1, 100000, 16 * MIB, 16 * MIB + 1, 35 * MIB + 7};
	static const char *const names[] = {NAME};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LENGTH(bodies); i++) {
		struct object_read read = {.repo = f->repo,
		                           .name = NAME,
		                           .kind = SEALED_MANIFEST,
		                           .bytes_max = 100,
		                           .own_frames = true};
		struct object_stream body = {.parts_only = true}, all = {0};
		struct sink sink = {.seed = 4};
		struct sink any = {0};

		build(f, bodies[i], "the head");
		assert_true(RUN(f->loop, object_read_start, &read));
		assert_string_equal(buf_text(&read.content), "the head");
		buf_release(&read.content);
		stream_range(f, &body, &sink);
		assert_int_equal(body.op.err.code, ERR_NONE);
		assert_int_equal(sink.bytes, bodies[i]);
		assert_false(sink.wrong);
		stream_range(f, &all, &any); /* with the digest over everything */
		assert_int_equal(all.op.err.code, ERR_NONE);
		assert_int_equal(any.bytes, bodies[i] + 8);
		assert_int_equal(remove_names(f->store, names, 1), ERR_NONE);
	}
}

static void a_lost_answer_does_not_matter(void **state)
{
	struct fixture *f = *state;
	struct mem_fault fault = {.verb = STORE_PUT, .effect = MEM_LOSE_ANSWER, .nth = 1};
	struct source source = {.length = 3 * MIB};
	struct object_write write;

	store_mem_plan("repo", &fault);
	write_source(f, NAME, &source, &write);
	assert_int_equal(write.op.err.code, ERR_NONE);
	assert_false(write.repeated);
	assert_int_equal(store_mem_calls("repo", STORE_PUT), 2);
}

/* Whatever call fails, nothing is held afterwards, and again is success. */
static void any_call_may_fail(void **state)
{
	static const enum store_verb verbs[] = {STORE_PUT, STORE_GET};
	struct fixture *f = *state;

	for (unsigned v = 0; v < ARRAY_LENGTH(verbs); v++)
		for (unsigned n = 1; n <= 4; n++) {
			struct mem_fault fault = {
			        .verb = verbs[v], .effect = MEM_FAIL, .nth = n, .code = ERR_STORE};
			struct source source = {.seed = v * 10 + n, .length = 17 * MIB};
			struct object_write write;
			char name[64];

			snprintf(name, sizeof(name), "main/7-15-1/thing/%u-%u", v, n);
			store_mem_plan("repo", &fault);
			write_source(f, name, &source, &write);
			assert_int_equal(blocks_taken(f->blocks), 0);
			store_mem_plan_clear("repo");
			source.at = 0;
			write_source(f, name, &source, &write);
			assert_int_equal(write.op.err.code, ERR_NONE);
		}
}

/* Starts a child, and cancels it when the given timer has fired. */
struct cancelling {
	struct op op;
	void (*start)(struct op *parent, void *child);
	struct op *child;
	struct timer timer;
};

static void cancel_now(struct timer *timer)
{
	op_cancel(container_of(timer, struct cancelling, timer)->child);
}

static void cancelling_step(struct op *op)
{
	struct cancelling *c = container_of(op, struct cancelling, op);

	if (op->state == 0) {
		timer_init(&c->timer, op->loop, cancel_now);
		timer_set(&c->timer, 20);
		c->start(op, c->child);
		return op_wait(op, 1);
	}
	timer_release(&c->timer);
	op_done(op);
}

static const struct op_type cancelling_type = {.name = "cancelling", .step = cancelling_step};

static void a_cancel_in_flight_gives_everything_back(void **state)
{
	static const enum store_verb verbs[] = {STORE_PUT, STORE_GET};
	struct fixture *f = *state;
	struct source source = {.length = 20 * MIB};
	struct sink sink = {0};
	struct object_write write;
	struct object_stream stream = {.repo = f->repo,
	                               .name = NAME,
	                               .class = GATE_RESTORE,
	                               .consume = sink_consume,
	                               .context = &sink};
	struct cancelling c = {
	        .start = (void (*)(struct op *, void *))(void (*)(void))object_write_start,
	        .child = &write.op};

	for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++)
		store_mem_plan("repo", &(struct mem_fault){.verb = verbs[i],
		                                           .effect = MEM_DELAY,
		                                           .nth = MEM_EVERY,
		                                           .ms = 3600 * 1000});
	write = (struct object_write){.repo = f->repo,
	                              .name = NAME,
	                              .kind = SEALED_WAL,
	                              .class = GATE_WAL,
	                              .produce = source_produce,
	                              .context = &source};
	loop_run_op(f->loop, &c.op, &cancelling_type);
	assert_int_equal(write.op.err.code, ERR_CANCELLED);
	assert_int_equal(blocks_taken(f->blocks), 0);
	c.start = (void (*)(struct op *, void *))(void (*)(void))object_stream_start;
	c.child = &stream.op;
	loop_run_op(f->loop, &c.op, &cancelling_type);
	assert_int_equal(stream.op.err.code, ERR_CANCELLED);
	assert_int_equal(blocks_taken(f->blocks), 0);
}

struct watching {
	struct op op;
	struct object_stream *stream;
	struct blocks *blocks;
	struct timer timer;
	unsigned taken;
};

static void watch_now(struct timer *timer)
{
	struct watching *w = container_of(timer, struct watching, timer);

	w->taken = blocks_taken(w->blocks);
}

static void watching_step(struct op *op)
{
	struct watching *w = container_of(op, struct watching, op);

	if (op->state == 0) {
		timer_init(&w->timer, op->loop, watch_now);
		timer_set(&w->timer, 10);
		object_stream_start(op, w->stream);
		return op_wait(op, 1);
	}
	timer_release(&w->timer);
	op_done(op);
}

static const struct op_type watching_type = {.name = "watching", .step = watching_step};

/* A guess that was too small costs a second request, and nothing else. */
static void memory_follows_the_likely_size_of_an_object(void **state)
{
	static const struct {
		uint64_t length, likely;
		unsigned blocks;
		unsigned gets;
	} each[] = {{3 * MIB, 0, BLOCKS_SEAL, 1}, {3 * MIB, 3 * MIB + 4096, 5, 1},
	            {3 * MIB, 1, 2, 2},           {15 * MIB, 40 * MIB, BLOCKS_SEAL, 1},
	            {20 * MIB, 5 * MIB, 6, 3},    {100, 1, 2, 1}};
	struct fixture *f = *state;

	store_mem_plan("repo",
	               &(struct mem_fault){
	                       .verb = STORE_GET, .effect = MEM_DELAY, .nth = MEM_EVERY, .ms = 50});
	for (size_t i = 0; i < ARRAY_LENGTH(each); i++) {
		struct source source = {.seed = i, .length = each[i].length};
		struct sink sink = {.seed = i};
		struct object_write write;
		char name[64];
		struct object_stream stream = {.repo = f->repo,
		                               .name = name,
		                               .class = GATE_RESTORE,
		                               .likely_bytes = each[i].likely,
		                               .consume = sink_consume,
		                               .context = &sink};
		struct watching w = {.stream = &stream, .blocks = f->blocks};
		unsigned before;

		snprintf(name, sizeof(name), "main/7-15-1/likely/%zu", i);
		write_source(f, name, &source, &write);
		assert_int_equal(write.op.err.code, ERR_NONE);
		before = store_mem_calls("repo", STORE_GET);
		loop_run_op(f->loop, &w.op, &watching_type);
		assert_int_equal(stream.op.err.code, ERR_NONE);
		assert_false(sink.wrong);
		assert_int_equal(sink.bytes, each[i].length);
		assert_int_equal(w.taken, each[i].blocks);
		assert_int_equal(store_mem_calls("repo", STORE_GET) - before, each[i].gets);
	}
}

/* More writers than memory has room for: all come through, none waits for another for ever. */
enum { CROWD = 8 };
struct crowd {
	struct op op;
	struct object_write write[CROWD];
	struct source source[CROWD];
	char name[CROWD][64];
	struct fixture *f;
};

static void crowd_step(struct op *op)
{
	struct crowd *crowd = container_of(op, struct crowd, op);

	if (op->state != 0)
		return op_done(op);
	for (unsigned i = 0; i < CROWD; i++) {
		snprintf(crowd->name[i], sizeof(crowd->name[i]), "main/7-15-1/crowd/%u", i / 2);
		crowd->source[i] = (struct source){.seed = i / 2, .length = 18 * MIB};
		crowd->write[i] = (struct object_write){
		        .repo = crowd->f->repo,
		        .name = crowd->name[i],
		        .kind = SEALED_WAL,
		        .class = i % 2 ? GATE_WAL : GATE_BACKUP,
		        .produce = source_produce,
		        .context = &crowd->source[i],
		};
		object_write_start(op, &crowd->write[i]);
	}
	op_wait(op, 1);
}

static const struct op_type crowd_type = {.name = "crowd", .step = crowd_step};

static void many_at_once_come_through_little_memory(void **state)
{
	struct crowd *crowd = xcalloc(1, sizeof(*crowd));

	crowd->f = *state;
	loop_run_op(crowd->f->loop, &crowd->op, &crowd_type);
	for (unsigned i = 0; i < CROWD; i++) /* of two with the same content either may be first */
		assert_int_equal(crowd->write[i].op.err.code, ERR_NONE);
	free(crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(content_of_every_size_comes_back),
	        TEST(a_big_thing_that_is_there_already_leaves_no_parts),
	        TEST(a_big_thing_that_is_there_already_is_synced_before_it_counts),
	        TEST(what_is_not_accepted_is_not_visible),
	        TEST(ranges_touch_only_what_they_need),
	        TEST(each_damaged_byte_is_found_and_the_object_named),
	        TEST(a_byte_that_was_spoilt_on_its_way_does_no_harm),
	        TEST(a_missing_part_is_damage_and_never_not_found),
	        TEST(what_the_consumer_says_is_not_called_damage),
	        TEST(a_renamed_object_does_not_open),
	        TEST(small_things_are_read_into_a_buffer_with_a_limit),
	        TEST(memory_follows_the_likely_size_of_an_object),
	        TEST(a_thing_is_built_piece_by_piece),
	        TEST(a_lost_answer_does_not_matter),
	        TEST(any_call_may_fail),
	        TEST(a_cancel_in_flight_gives_everything_back),
	        TEST(many_at_once_come_through_little_memory),
	};

	table_fill();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
