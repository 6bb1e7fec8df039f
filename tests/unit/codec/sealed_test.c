/* sealed_test.c — objects that were made are read again; whatever changed in them is found. */
#include "codec/sealed.h"
#include "hold.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <xxhash.h>
#include <cmocka.h>

static const char name[] = "main/wal/00000001/0000000A/000000010000000A000000FE";

enum content { ZEROS, TEXT, NOISE };

static uint8_t *content_new(size_t length, enum content kind)
{
	uint8_t *bytes = xcalloc(length + 1, 1);
	uint64_t seed = 88172645463325252ULL + length;

	for (size_t i = 0; i < length && kind != ZEROS; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		bytes[i] =
		        (uint8_t)(kind == NOISE ? seed >> 24 : (uint8_t) "INSERT INTO "[seed % 12]);
	}
	return bytes;
}

static struct sealed_spec spec_of(const char *compression)
{
	struct sealed_spec spec = {.kind = SEALED_WAL,
	                           .frame_bytes = SEALED_FRAME_BYTES_WAL,
	                           .name = name,
	                           .created_us = 1700000000000000};

	assert_true(compression_parse(compression, &spec.compression));
	return spec;
}

/* Made with sealer_add in two pieces, as one array. */
static uint8_t *object_new(const struct sealed_spec *spec, const uint8_t *content, size_t length,
                           size_t *ret_length)
{
	struct blocks_hold *hold = hold_new();
	struct sealer *sealer = sealer_new(spec, hold, NULL);
	struct err err = {0};
	uint8_t *object;

	assert_true(sealer_add(sealer, content, length / 3, &err));
	assert_true(sealer_add(sealer, content + length / 3, length - length / 3, &err));
	assert_int_equal(sealer_logical_bytes(sealer), length);
	assert_true(sealer_end(sealer, &err));
	object = object_bytes(sealer, ret_length);
	assert_int_equal(*ret_length, sealer_stored_bytes(sealer));
	sealer_free(sealer);
	hold_free(hold);
	return object;
}

struct collect {
	uint8_t *bytes;
	uint64_t from, length;
};

static bool collect_each(void *context, uint64_t offset, const uint8_t *bytes, size_t length,
                         struct err *err)
{
	struct collect *collect = context;

	(void)err;
	assert_int_equal(offset, collect->from + collect->length);
	memcpy(collect->bytes + collect->length, bytes, length);
	collect->length += length;
	return true;
}

/* Opens and reads all or a range of an object; false with err. */
static bool object_read(const uint8_t *object, size_t object_length, const struct sealed_want *want,
                        struct collect *collect, struct err *err)
{
	struct blocks_hold *hold = hold_new();
	struct chain chain = chain_of(hold, BLOCKS_SEAL);
	struct sealed_reading reading = {.object = &chain,
	                                 .scratch = sealed_scratch(hold),
	                                 .from = collect->from,
	                                 .length = collect->length,
	                                 .each = collect_each,
	                                 .context = collect};
	struct sealed sealed;
	bool ok;

	collect->length = 0;
	assert_true(chain_add(&chain, object, object_length));
	ok = sealed_open(object, object_length, want, &sealed, err) &&
	     sealed_read(&sealed, &reading, err);
	sealed_release(&sealed);
	hold_free(hold);
	return ok;
}

static void check_round_trip(const char *compression, uint32_t frame_bytes, size_t length,
                             enum content kind)
{
	struct sealed_spec spec = spec_of(compression);
	struct sealed_want want = {.name = name, .kind = SEALED_WAL};
	uint8_t *content = content_new(length, kind), *object;
	struct collect all = {.bytes = xmalloc(length + 1), .length = UINT64_MAX};
	struct err err = {0};
	size_t object_length;

	spec.frame_bytes = frame_bytes;
	object = object_new(&spec, content, length, &object_length);
	if (!object_read(object, object_length, &want, &all, &err))
		fail_msg("%s %zu: %s", compression, length, err.text);
	assert_int_equal(all.length, length);
	assert_memory_equal(all.bytes, content, length);
	if (kind == ZEROS && length > 10000 && spec.compression.kind != SEALED_NONE)
		assert_true(object_length < length / 10);
	if (kind == NOISE)
		assert_true(object_length < length + SEALED_HEADER_BYTES_MAX);
	free(all.bytes);
	free(object);
	free(content);
}

static void every_compression_and_size_comes_back(void **state)
{
	static const char *const compressions[] = {"none", "lz4", "zstd:1", "zstd:3", "zstd:19"};
	static const uint32_t frames[] = {SEALED_FRAME_BYTES_MIN, 100000, SEALED_FRAME_BYTES_WAL,
	                                  SEALED_FRAME_BYTES_MAX};

	(void)state;
	for (size_t c = 0; c < ARRAY_LENGTH(compressions); c++) {
		for (size_t f = 0; f < ARRAY_LENGTH(frames); f++) {
			const size_t lengths[] = {0,
			                          1,
			                          frames[f] - 1,
			                          frames[f],
			                          frames[f] + 1,
			                          3 * (size_t)frames[f] + 7};

			for (size_t l = 0; l < ARRAY_LENGTH(lengths); l++)
				for (enum content kind = ZEROS; kind <= NOISE; kind++)
					check_round_trip(compressions[c], frames[f], lengths[l],
					                 kind);
		}
	}
}

static void the_largest_object_comes_back(void **state)
{
	(void)state;
	check_round_trip("none", SEALED_FRAME_BYTES_MIN, SEALED_FRAMES_BYTES_MAX, NOISE);
	check_round_trip("lz4", SEALED_FRAME_BYTES_MIN, SEALED_FRAMES_BYTES_MAX, NOISE);
	check_round_trip("lz4", SEALED_FRAME_BYTES_WAL, SEALED_FRAMES_BYTES_MAX, NOISE);
	check_round_trip("lz4", 100001, SEALED_FRAMES_BYTES_MAX, TEXT);
	check_round_trip("zstd", SEALED_FRAME_BYTES_MAX, SEALED_FRAMES_BYTES_MAX, NOISE);
	check_round_trip("zstd", SEALED_FRAME_BYTES_WAL, SEALED_FRAMES_BYTES_MAX, TEXT);
}

static void one_byte_too_much_is_refused(void **state)
{
	struct sealed_spec spec = spec_of("lz4");
	struct blocks_hold *hold = hold_new();
	struct sealer *sealer = sealer_new(&spec, hold, NULL);
	uint8_t *content = content_new(SEALED_FRAMES_BYTES_MAX, NOISE);
	struct err err = {0};
	size_t room;

	(void)state;
	assert_true(sealer_add(sealer, content, SEALED_FRAMES_BYTES_MAX, &err));
	assert_non_null(sealer_room(sealer, &room));
	assert_int_equal(room, 0);
	assert_false(sealer_add(sealer, content, 1, &err));
	assert_true(sealer_end(sealer, &err));
	assert_int_equal(sealer_blocks_used(sealer), BLOCKS_SEAL - 1);
	sealer_free(sealer);
	hold_free(hold);
	free(content);
}

/* As a file is read: into the room, in whatever pieces read() returns. */
static void what_is_filled_into_the_room_equals_what_is_added(void **state)
{
	static const char *const compressions[] = {"none", "lz4", "zstd:3"};
	static const size_t length = 2 * BLOCK_BYTES + 12345;
	uint8_t *content = content_new(length, TEXT);

	(void)state;
	for (size_t c = 0; c < ARRAY_LENGTH(compressions); c++) {
		struct sealed_spec spec = spec_of(compressions[c]);
		struct blocks_hold *hold = hold_new();
		struct sealer *sealer = sealer_new(&spec, hold, NULL);
		struct err err = {0};
		size_t at = 0, made_length, added_length;
		uint8_t *made, *added = object_new(&spec, content, length, &added_length);

		for (size_t step = 1; at < length; step = step * 7 % 65537) {
			size_t room, part;
			uint8_t *to = sealer_room(sealer, &room);

			part = MIN(MIN(step, room), length - at);
			memcpy(to, content + at, part);
			assert_true(sealer_filled(sealer, part, &err));
			at += part;
		}
		assert_true(sealer_end(sealer, &err));
		made = object_bytes(sealer, &made_length);
		assert_int_equal(made_length, added_length);
		/* But for the salt the headers are the same, and so are all frames. */
		assert_memory_equal(made + 120, added + 120, 16 + 12);
		assert_memory_equal(made + 2048, added + 2048, made_length - 2048);
		sealer_free(sealer);
		hold_free(hold);
		free(made);
		free(added);
	}
	free(content);
}

static void the_pieces_stay_the_same_for_a_retry(void **state)
{
	struct sealed_spec spec = spec_of("lz4");
	struct blocks_hold *hold = hold_new();
	struct sealer *sealer = sealer_new(&spec, hold, NULL);
	uint8_t *content = content_new(300000, TEXT), *first, *second;
	struct err err = {0};
	size_t first_length, second_length;

	(void)state;
	assert_true(sealer_add(sealer, content, 300000, &err));
	assert_true(sealer_end(sealer, &err));
	first = object_bytes(sealer, &first_length);
	/* What is not used may be given back and used by others. */
	for (unsigned i = sealer_blocks_used(sealer); i < BLOCKS_SEAL; i++)
		memset(hold->block[i], 0xAA, BLOCK_BYTES);
	second = object_bytes(sealer, &second_length);
	assert_int_equal(first_length, second_length);
	assert_memory_equal(first, second, first_length);
	sealer_free(sealer);
	hold_free(hold);
	free(first);
	free(second);
	free(content);
}

static void a_range_gives_just_its_bytes(void **state)
{
	static const size_t length = 5 * SEALED_FRAME_BYTES_MIN + 100;
	static const uint64_t edges[] = {0,
	                                 1,
	                                 SEALED_FRAME_BYTES_MIN - 1,
	                                 SEALED_FRAME_BYTES_MIN,
	                                 SEALED_FRAME_BYTES_MIN + 1,
	                                 4 * SEALED_FRAME_BYTES_MIN,
	                                 5 * SEALED_FRAME_BYTES_MIN + 99,
	                                 5 * SEALED_FRAME_BYTES_MIN + 100,
	                                 1 << 20,
	                                 UINT64_MAX};
	struct sealed_spec spec = spec_of("lz4");
	struct sealed_want want = {.name = name, .kind = SEALED_WAL};
	uint8_t *content = content_new(length, TEXT), *object;
	uint8_t *out = xmalloc(length);
	struct err err = {0};
	size_t object_length;

	(void)state;
	spec.frame_bytes = SEALED_FRAME_BYTES_MIN;
	object = object_new(&spec, content, length, &object_length);
	for (size_t a = 0; a < ARRAY_LENGTH(edges); a++) {
		for (size_t b = 0; b < ARRAY_LENGTH(edges); b++) {
			uint64_t from = MIN(edges[a], length);
			uint64_t wanted = MIN(edges[b], length - from);
			struct collect range = {.bytes = out, .from = edges[a], .length = edges[b]};

			assert_true(object_read(object, object_length, &want, &range, &err));
			assert_int_equal(range.length, wanted);
			assert_memory_equal(out, content + from, wanted);
		}
	}
	free(out);
	free(object);
	free(content);
}

/* The parts' digest goes on in the head: it is that of the whole content. */
static void a_head_has_the_digest_of_its_parts_and_itself(void **state)
{
	struct sealed_spec spec = spec_of("zstd:3");
	struct blocks_hold *hold = hold_new();
	uint8_t *content = content_new(70000, TEXT), *object;
	struct digester *whole = digester_new();
	struct collect own = {.bytes = xmalloc(70000), .length = UINT64_MAX};
	struct sealed_want want = {.name = name, .kind = SEALED_WAL};
	struct err err = {0};
	struct digest digest;
	struct sealed sealed;
	struct sealer *sealer;
	size_t length;

	(void)state;
	digester_add(whole, content, 60000);
	spec.attempt = 0x0123456789abcdef;
	spec.parts = 2;
	spec.parts_bytes = SEALED_PART_BYTES + 1;
	sealer = sealer_new(&spec, hold, whole);
	assert_true(sealer_add(sealer, content + 60000, 10000, &err));
	assert_true(sealer_end(sealer, &err));
	object = object_bytes(sealer, &length);
	digester_add(whole, content + 60000, 10000);
	digester_end(whole, &digest);
	assert_true(digest_equal(sealer_digest(sealer), &digest));

	assert_true(sealed_open(object, length, &want, &sealed, &err));
	assert_true(digest_equal(&sealed.digest, &digest));
	assert_int_equal(sealed.attempt, spec.attempt);
	assert_int_equal(sealed.parts, 2);
	assert_int_equal(sealed.parts_bytes, SEALED_PART_BYTES + 1);
	assert_int_equal(sealed.created_us, spec.created_us);
	assert_true(object_read(object, length, &want, &own, &err));
	assert_int_equal(own.length, 10000);
	sealed_release(&sealed);
	sealer_free(sealer);
	digester_free(whole);
	hold_free(hold);
	free(own.bytes);
	free(object);
	free(content);
}

/* Full before anybody knew that more would come: it becomes a part, and the digest goes on. */
static void what_was_collected_may_become_a_part(void **state)
{
	struct sealed_spec spec = spec_of("lz4");
	struct blocks_hold *hold = hold_new();
	struct sealer *sealer = sealer_new(&spec, hold, NULL);
	uint8_t *content = content_new(50000, TEXT), *object;
	struct sealed_want part = {.name = "p", .kind = SEALED_PART}, head = {.name = name};
	struct digest own, whole = {{1, 2, 3}};
	struct digester *digester;
	struct sealed sealed;
	struct err err = {0};
	size_t length;

	(void)state;
	assert_true(sealer_add(sealer, content, 50000, &err));
	sealer_become(sealer, &(struct sealed_spec){.kind = SEALED_PART, .name = "p"}, NULL);
	assert_true(sealer_end(sealer, &err));
	digester = sealer_digester(sealer);
	digester_end(digester, &own);
	digester_free(digester);
	object = object_bytes(sealer, &length);
	assert_true(sealed_open(object, length, &part, &sealed, &err));
	assert_true(digest_equal(&sealed.digest, &own));
	sealed_release(&sealed);
	free(object);
	sealer_free(sealer);

	spec.attempt = 7;
	spec.parts = 1;
	spec.parts_bytes = SEALED_PART_BYTES;
	sealer = sealer_new(&(struct sealed_spec){.kind = SEALED_PART,
	                                          .compression = spec.compression,
	                                          .frame_bytes = spec.frame_bytes,
	                                          .name = "p"},
	                    hold, NULL);
	assert_true(sealer_add(sealer, content, 10, &err));
	sealer_become(sealer, &spec, &whole);
	assert_true(sealer_end(sealer, &err));
	object = object_bytes(sealer, &length);
	assert_true(sealed_open(object, length, &head, &sealed, &err));
	assert_true(digest_equal(&sealed.digest, &whole));
	assert_int_equal(sealed.kind, SEALED_WAL);
	assert_int_equal(sealed.parts, 1);
	sealed_release(&sealed);
	free(object);
	sealer_free(sealer);
	hold_free(hold);
	free(content);
}

static void parts_have_names_that_sort(void **state)
{
	char out[SEALED_NAME_MAX];

	(void)state;
	sealed_part_name("a/b", 0xfeed, 1, out);
	assert_string_equal(out, "a/b.000000000000feed.0001");
	sealed_part_name("a/b", UINT64_MAX, 12345, out);
	assert_string_equal(out, "a/b.ffffffffffffffff.12345");
}

/* Where byte `at` of a small object lies decides which sentence must be there. */
static const char *sentence_for(size_t at, size_t header_bytes)
{
	if (at < 8)
		return "not a sealed object";
	if (at < 120)
		return "header is damaged";
	return at < header_bytes ? "frame index is damaged" : "is damaged: the checksum is wrong";
}

/* All eight bits of all bytes, over two frames and an index. */
static void every_flipped_bit_is_found_and_named(void **state)
{
	static const char *const compressions[] = {"none", "lz4", "zstd:3"};
	static const size_t length = SEALED_FRAME_BYTES_MIN + 40;
	struct sealed_want want = {.name = name, .kind = SEALED_WAL};
	uint8_t *content = content_new(length, ZEROS);

	(void)state;
	for (size_t c = 0; c < ARRAY_LENGTH(compressions); c++) {
		struct sealed_spec spec = spec_of(compressions[c]);
		size_t object_length, header = 120 + 16 + 2 * 12 + 16;
		uint8_t *object;

		spec.frame_bytes = SEALED_FRAME_BYTES_MIN;
		object = object_new(&spec, content, length, &object_length);
		for (size_t bit = 0; bit < 8 * object_length; bit += bit < 8 * header ? 1 : 3) {
			uint8_t out[SEALED_FRAME_BYTES_MIN + 40];
			struct collect all = {.bytes = out, .length = UINT64_MAX};
			struct err err = {0};

			object[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_false(object_read(object, object_length, &want, &all, &err));
			object[bit / 8] ^= (uint8_t)(1 << bit % 8);
			/* The length of the header may point beyond the end: cut short. */
			if (!strstr(err.text, sentence_for(bit / 8, header)) &&
			    !(bit / 16 == 5 && strstr(err.text, "cut short")))
				fail_msg("bit %zu: %s", bit, err.text);
			assert_int_equal(err.code, ERR_DAMAGED);
		}
		free(object);
	}
	free(content);
}

static void every_cut_is_found(void **state)
{
	struct sealed_spec spec = spec_of("lz4");
	struct sealed_want want = {.name = name};
	uint8_t *content = content_new(300, TEXT), out[300];
	size_t length, wanted = 120 + 16 + 12 + 16;
	uint8_t *object = object_new(&spec, content, 300, &length);

	(void)state;
	for (size_t cut = 0; cut < length; cut++) {
		struct collect all = {.bytes = out, .length = UINT64_MAX};
		struct err err = {0};
		struct sealed sealed;
		uint8_t *piece = xmalloc(cut + !cut);

		memcpy(piece, object, cut);
		assert_false(object_read(piece, cut, &want, &all, &err));
		assert_non_null(strstr(err.text, "cut short"));
		if (cut < wanted) {
			assert_false(sealed_open(piece, cut, &want, &sealed, &err));
			assert_int_equal(sealed.wanted, cut < 120 ? 120 : wanted);
		}
		free(piece);
	}
	free(object);
	free(content);
}

static void bytes_after_the_end_are_found(void **state)
{
	struct sealed_spec spec = spec_of("lz4");
	struct sealed_want want = {.name = name};
	uint8_t *content = content_new(300, TEXT), out[300];
	struct collect all = {.bytes = out, .length = UINT64_MAX};
	struct err err = {0};
	size_t length;
	uint8_t *object = object_new(&spec, content, 300, &length);

	(void)state;
	object = xrealloc(object, length + 1);
	object[length] = 0;
	assert_false(object_read(object, length + 1, &want, &all, &err));
	assert_non_null(strstr(err.text, "too long"));
	free(object);
	free(content);
}

/* Changes bytes of a valid header and makes its checksums right again. */
static void check_changed(size_t at, const char *bytes, size_t count, enum err_code code,
                          const char *sentence)
{
	struct sealed_spec spec = spec_of("lz4");
	struct sealed_want want = {.name = name, .kind = SEALED_WAL};
	struct sealed sealed;
	struct err err = {0};
	XXH128_canonical_t seal;
	size_t length;
	uint8_t *content = content_new(300, TEXT);
	uint8_t *object = object_new(&spec, content, 300, &length);

	memcpy(object + at, bytes, count);
	put_u64(object + 112, XXH3_64bits(object, 112));
	XXH128_canonicalFromHash(&seal, XXH3_128bits(object, 120 + 16 + 12));
	memcpy(object + 120 + 16 + 12, seal.digest, 16);
	assert_false(sealed_open(object, length, &want, &sealed, &err));
	if (err.code != code || !strstr(err.text, sentence))
		fail_msg("byte %zu: %s", at, err.text);
	free(object);
	free(content);
}

static void a_header_that_lies_is_refused(void **state)
{
	(void)state;
	check_changed(8, "\2", 1, ERR_STORE, "format version 2, this program reads up to 1");
	check_changed(8, "\0", 1, ERR_DAMAGED, "version 0");
	check_changed(12, "\x63", 1, ERR_STORE, "kind 99");
	check_changed(12, "\0", 1, ERR_STORE, "kind 0");
	check_changed(13, "\3", 1, ERR_STORE, "compression 3");
	check_changed(14, "\1", 1, ERR_STORE, "needs a key");
	check_changed(14, "\2", 1, ERR_STORE, "encryption 2");
	check_changed(15, "\1", 1, ERR_DAMAGED, "reserved");
	check_changed(111, "\1", 1, ERR_DAMAGED, "reserved");
	check_changed(16, "\0\0\0\0", 4, ERR_DAMAGED, "frame size");
	check_changed(16, "\xff\xff\xff\xff", 4, ERR_DAMAGED, "frame size");
	check_changed(20, "\xff\xff\xff\xff", 4, ERR_DAMAGED, "number of frames");
	check_changed(20, "\0", 1, ERR_DAMAGED, "number of frames");
	check_changed(24, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, ERR_DAMAGED, "longer than");
	check_changed(56, "\1", 1, ERR_DAMAGED, "with a key");
	check_changed(64, "\xff\xff", 2, ERR_DAMAGED, "another name");
	check_changed(72, "\1", 1, ERR_DAMAGED, "no parts");
	check_changed(88, "\1", 1, ERR_DAMAGED, "number of parts");
	check_changed(88, "\xff\xff\xff\xff", 4, ERR_DAMAGED, "too many parts");
	check_changed(136, "\0\0\0\0", 4, ERR_DAMAGED, "frame 0 has 0 bytes");
	check_changed(136, "\x2d\1\0\0", 4, ERR_DAMAGED, "frame 0 has 301 bytes");
	check_changed(136, "\x2b\1\0\x80", 4, ERR_DAMAGED, "frame 0 has 299 bytes");
	check_changed(13, "\0", 1, ERR_DAMAGED, "frame 0 has");
}

static void another_name_and_another_kind_are_refused(void **state)
{
	struct sealed_spec spec = spec_of("lz4");
	struct sealed_want want = {.name = "main/wal/x"};
	struct sealed sealed;
	struct err err = {0};
	size_t length;
	uint8_t *object = object_new(&spec, (const uint8_t *)"abc", 3, &length);

	(void)state;
	assert_false(sealed_open(object, length, &want, &sealed, &err));
	assert_string_equal(err.text, "could not open object \"main/wal/x\"\n"
	                              "it was made under another name");
	err_clear(&err);
	want = (struct sealed_want){.name = name, .kind = SEALED_PACK};
	assert_false(sealed_open(object, length, &want, &sealed, &err));
	assert_non_null(strstr(err.text, "wrong kind: \"WAL segment\" instead of \"pack\""));
	want.kind = 0;
	assert_true(sealed_open(object, length, &want, &sealed, &err));
	assert_int_equal(sealed.kind, SEALED_WAL);
	sealed_release(&sealed);
	free(object);
}

/* A frame whose stored bytes have the right hash but decode to something else in length. */
static void a_frame_that_does_not_decode_is_named(void **state)
{
	static const char *const compressions[] = {"lz4", "zstd:3"};

	(void)state;
	for (size_t c = 0; c < ARRAY_LENGTH(compressions); c++) {
		struct sealed_spec spec = spec_of(compressions[c]);
		struct sealed_want want = {.name = name};
		uint8_t *content = content_new(3000, TEXT), out[3000];
		struct sealed sealed;
		struct err err = {0};
		size_t length;
		uint8_t *object = object_new(&spec, content, 3000, &length);

		assert_true(sealed_open(object, length, &want, &sealed, &err));
		assert_int_equal(sealed.frames, 1);
		assert_false(sealed.frame[0].as_is);
		assert_true(sealed_frame_open(&sealed, 0, object + sealed.header_bytes, out, &err));
		memset(object + sealed.header_bytes, 0x55, sealed.frame[0].stored_bytes);
		sealed.frame[0].hash =
		        XXH3_64bits(object + sealed.header_bytes, sealed.frame[0].stored_bytes);
		assert_false(
		        sealed_frame_open(&sealed, 0, object + sealed.header_bytes, out, &err));
		assert_non_null(strstr(err.text, "frame 0 ("));
		assert_non_null(strstr(err.text, "cannot be decompressed"));
		sealed_release(&sealed);
		free(object);
		free(content);
	}
}

static bool refuse_each(void *context, uint64_t offset, const uint8_t *bytes, size_t length,
                        struct err *err)
{
	(void)context, (void)offset, (void)bytes, (void)length;
	return err_set(err, ERR_FULL, "no room");
}

static void a_reader_may_end_the_reading(void **state)
{
	struct sealed_spec spec = spec_of("lz4");
	struct sealed_want want = {.name = name};
	struct blocks_hold *hold = hold_new();
	struct chain chain = chain_of(hold, BLOCKS_SEAL);
	struct sealed_reading reading = {.object = &chain,
	                                 .scratch = sealed_scratch(hold),
	                                 .length = UINT64_MAX,
	                                 .each = refuse_each};
	struct sealed sealed;
	struct err err = {0};
	size_t length;
	uint8_t *object = object_new(&spec, (const uint8_t *)"abc", 3, &length);

	(void)state;
	assert_true(chain_add(&chain, object, length));
	assert_true(sealed_open(object, length, &want, &sealed, &err));
	assert_false(sealed_read(&sealed, &reading, &err));
	assert_int_equal(err.code, ERR_FULL);
	sealed_release(&sealed);
	hold_free(hold);
	free(object);
}

/* Two sealings of the same content differ (salt), their digests do not. */
static void sealing_twice_gives_one_digest_and_two_salts(void **state)
{
	struct sealed_spec spec = spec_of("lz4");
	struct sealed_want want = {.name = name};
	struct sealed a, b;
	struct err err = {0};
	size_t length;
	uint8_t *first = object_new(&spec, (const uint8_t *)"abc", 3, &length);
	uint8_t *second = object_new(&spec, (const uint8_t *)"abc", 3, &length);

	(void)state;
	assert_true(sealed_open(first, length, &want, &a, &err));
	assert_true(sealed_open(second, length, &want, &b, &err));
	assert_true(digest_equal(&a.digest, &b.digest));
	assert_memory_not_equal(first + 40, second + 40, 16);
	sealed_release(&a);
	sealed_release(&b);
	free(first);
	free(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_compression_and_size_comes_back),
	        cmocka_unit_test(the_largest_object_comes_back),
	        cmocka_unit_test(one_byte_too_much_is_refused),
	        cmocka_unit_test(what_is_filled_into_the_room_equals_what_is_added),
	        cmocka_unit_test(the_pieces_stay_the_same_for_a_retry),
	        cmocka_unit_test(a_range_gives_just_its_bytes),
	        cmocka_unit_test(a_head_has_the_digest_of_its_parts_and_itself),
	        cmocka_unit_test(what_was_collected_may_become_a_part),
	        cmocka_unit_test(parts_have_names_that_sort),
	        cmocka_unit_test(every_flipped_bit_is_found_and_named),
	        cmocka_unit_test(every_cut_is_found),
	        cmocka_unit_test(bytes_after_the_end_are_found),
	        cmocka_unit_test(a_header_that_lies_is_refused),
	        cmocka_unit_test(another_name_and_another_kind_are_refused),
	        cmocka_unit_test(a_frame_that_does_not_decode_is_named),
	        cmocka_unit_test(a_reader_may_end_the_reading),
	        cmocka_unit_test(sealing_twice_gives_one_digest_and_two_salts),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	codec_thread_end();
	holds_end();
	return failed;
}
