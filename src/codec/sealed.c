/*
 * sealed.c — opens sealed objects: the header, one frame, or all frames in order.
 *
 * Each check has a sentence of its own, because "damaged" leads to another repository and "another
 * name" to the one who moved files. A frame is compared with its hash before it reaches a
 * decompressor.
 */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/poison.h"

/* Is it what was asked for? */
static bool header_wanted(const struct header *header, const struct sealed_want *want,
                          struct err *err)
{
	if (header->name_hash != hash64(want->name, strlen(want->name)))
		return err_set(err, ERR_DAMAGED, "it was made under another name");
	if (want->kind != 0 && header->kind != want->kind)
		return err_set(err, ERR_DAMAGED,
		               "it is of the wrong kind: \"%s\" instead of \"%s\"",
		               sealed_kind_name(header->kind), sealed_kind_name(want->kind));
	if (header->encryption != 0)
		return err_set(err, ERR_STORE, "it is encrypted: it needs a key");
	if (header->key_check != 0)
		return err_set(err, ERR_DAMAGED,
		               "its header is wrong: not encrypted, but with a key");
	return true;
}

static void header_copy(const struct header *header, struct sealed *ret)
{
	*ret = (struct sealed){
	        .kind = header->kind,
	        .compression = header->compression,
	        .frame_bytes = header->frame_bytes,
	        .frames = header->frames,
	        .logical_bytes = header->logical_bytes,
	        .created_us = header->created_us,
	        .attempt = header->attempt,
	        .parts = header->parts,
	        .parts_bytes = header->parts_bytes,
	};
}

static bool object_open(const void *bytes, size_t length, const struct sealed_want *want,
                        struct sealed *ret, struct err *err)
{
	struct header header;

	if (!header_decode(bytes, length, &header, &ret->wanted, err) ||
	    !header_wanted(&header, want, err))
		return false;
	header_copy(&header, ret);
	if (length < header_bytes_of(ret->frames))
		return header_short(length, header_bytes_of(ret->frames), &ret->wanted, err);
	return index_decode(bytes, ret, err);
}

bool sealed_open(const void *bytes, size_t length, const struct sealed_want *want,
                 struct sealed *ret, struct err *err)
{
	size_t wanted;

	*ret = (struct sealed){0};
	if (object_open(bytes, length, want, ret, err))
		return true;
	wanted = ret->wanted;
	sealed_release(ret);
	ret->wanted = wanted;
	return err_wrap(err, "could not open object \"%s\"", want->name);
}

void sealed_release(struct sealed *sealed)
{
	free(sealed->frame);
	*sealed = (struct sealed){0};
}

static bool frame_check(const struct sealed *sealed, uint32_t number, const void *stored,
                        struct err *err)
{
	const struct sealed_frame *frame = &sealed->frame[number];

	if (hash64(stored, frame->stored_bytes) == frame->hash)
		return true;
	return err_set(err, ERR_DAMAGED,
	               "frame %" PRIu32 " (%" PRIu32 " bytes at offset %" PRIu64
	               ") is damaged: the checksum is wrong",
	               number, frame->stored_bytes, frame->offset);
}

bool sealed_frame_open(const struct sealed *sealed, uint32_t number, const void *stored, void *out,
                       struct err *err)
{
	const struct sealed_frame *frame = &sealed->frame[number];

	assert(number < sealed->frames);
	if (!frame_check(sealed, number, stored, err))
		return false;
	if (frame->as_is) {
		memcpy(out, stored, frame->stored_bytes);
		return true;
	}
	if (frame_expand(sealed->compression, stored, frame->stored_bytes, out,
	                 frame->logical_bytes))
		return true;
	return err_set(err, ERR_DAMAGED,
	               "frame %" PRIu32 " (%" PRIu32 " bytes at offset %" PRIu64
	               ") is damaged: it cannot be decompressed",
	               number, frame->stored_bytes, frame->offset);
}

/* The frame's content: in the chain itself when it lies there as it is and in one piece. */
static const uint8_t *frame_content(const struct sealed *sealed, uint32_t number,
                                    const struct sealed_reading *r, struct err *err)
{
	const struct sealed_frame *frame = &sealed->frame[number];
	const struct chain *object = r->object;
	uint8_t *copy = r->scratch + SEALED_FRAME_BYTES_MAX;
	const uint8_t *stored;

	if (frame->offset + frame->stored_bytes > object->length) {
		err_set(err, ERR_DAMAGED,
		        "it is cut short: it has %" PRIu64 " bytes instead of %" PRIu64,
		        object->length, sealed->stored_bytes);
		return NULL;
	}
	stored = chain_at(object, frame->offset, frame->stored_bytes);
	if (!stored) {
		chain_copy(object, frame->offset, copy, frame->stored_bytes);
		stored = copy;
	}
	if (frame->as_is)
		return frame_check(sealed, number, stored, err) ? stored : NULL;
	return sealed_frame_open(sealed, number, stored, r->scratch, err) ? r->scratch : NULL;
}

/* Hands over what of frame number touches the range. */
static bool frame_hand(const struct sealed_reading *r, uint64_t frame_from, const uint8_t *content,
                       uint32_t length, struct err *err)
{
	uint64_t to = r->length > UINT64_MAX - r->from ? UINT64_MAX : r->from + r->length;
	uint64_t from = MAX(r->from, frame_from);

	to = MIN(to, frame_from + length);
	return r->each(r->context, from, content + (from - frame_from), (size_t)(to - from), err);
}

static bool frames_read(const struct sealed *sealed, const struct sealed_reading *r,
                        struct digester *digester, struct err *err)
{
	uint64_t at;

	for (uint32_t i = (uint32_t)MIN(r->from / sealed->frame_bytes, (uint64_t)sealed->frames);
	     i < sealed->frames; i++) {
		const uint8_t *content;

		at = (uint64_t)i * sealed->frame_bytes;
		if (at >= r->from && at - r->from >= r->length)
			break;
		content = frame_content(sealed, i, r, err);
		if (!content)
			return false;
		if (digester)
			digester_add(digester, content, sealed->frame[i].logical_bytes);
		if (!frame_hand(r, at, content, sealed->frame[i].logical_bytes, err))
			return false;
	}
	return true;
}

static bool all_read(const struct sealed *sealed, const struct sealed_reading *r, struct err *err)
{
	struct digester *digester = digester_new();
	struct digest digest;
	bool ok;

	if (r->object->length > sealed->stored_bytes)
		ok = err_set(err, ERR_DAMAGED,
		             "it is too long: it has %" PRIu64 " bytes instead of %" PRIu64,
		             r->object->length, sealed->stored_bytes);
	else
		ok = frames_read(sealed, r, digester, err);
	digester_end(digester, &digest);
	digester_free(digester);
	if (!ok || sealed->parts > 0 || digest_equal(&digest, &sealed->digest))
		return ok;
	return err_set(err, ERR_DAMAGED, "its content does not have the digest in its header");
}

bool sealed_read(const struct sealed *sealed, const struct sealed_reading *reading, struct err *err)
{
	if (reading->from == 0 && reading->length == UINT64_MAX)
		return all_read(sealed, reading, err);
	return frames_read(sealed, reading, NULL, err);
}

void sealed_part_name(const char *name, uint64_t attempt, uint32_t number,
                      char out[SEALED_NAME_MAX])
{
	int length = snprintf(out, SEALED_NAME_MAX, "%s.%016" PRIx64 ".%04" PRIu32, name, attempt,
	                      number);

	assert(number >= 1 && length > 0 && length < SEALED_NAME_MAX);
}
