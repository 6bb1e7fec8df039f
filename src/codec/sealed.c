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

/* Encrypted, and with which key? All of it is said before a key is used. */
static bool header_key(const struct header *header, const struct sealed_want *want, struct err *err)
{
	char id[KEY_ID_BYTES];

	if (header->encryption == ENCRYPTION_NONE && header->key_check != 0)
		return err_set(err, ERR_DAMAGED,
		               "its header is wrong: not encrypted, but with a key");
	if (header->encryption == ENCRYPTION_NONE) {
		if (!want->keys || header->kind == SEALED_KEY ||
		    keyring_accepts_plain(want->keys, want->name))
			return true;
		err_set(err, ERR_DAMAGED,
		        "it is not encrypted, and appeared after the repository was");
		err_hint(err, "Somebody stored it without a key: an old version with an old "
		              "configuration, or an intruder. Where PostgreSQL still has the "
		              "file, remove this object, and it is archived again.");
		return false;
	}
	key_id_text(header->key_check, id);
	if (!want->keys) {
		err_set(err, ERR_STORE, "it is encrypted: it needs a key (data key %s)", id);
		err_hint(err, "Set \"key_file\" in the section of its repository.");
		return false;
	}
	if (keyring_key(want->keys, header->key_check))
		return true;
	err_set(err, ERR_STORE,
	        "it is encrypted with data key %s, which the key at hand does not open", id);
	err_hint(err,
	         "\"seawall key list\" shows the data keys. After a rotation, set the new key, "
	         "and reload a running server.");
	return false;
}

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
	return header_key(header, want, err);
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
	        .encrypted = header->encryption == ENCRYPTION_AES_256_GCM,
	        .key = header->key_check,
	};
}

static bool object_open(const void *bytes, size_t length, const struct sealed_want *want,
                        struct sealed *ret, struct err *err)
{
	struct header header;
	size_t wanted;

	if (!header_decode(bytes, length, &header, &ret->wanted, err))
		return false;
	if (header.encryption != ENCRYPTION_NONE &&
	    (!want->keys || !keyring_key(want->keys, header.key_check)))
		ret->key_missing = header.key_check;
	if (!header_wanted(&header, want, err))
		return false;
	header_copy(&header, ret);
	wanted = header_bytes_of(ret->frames, ret->encrypted);
	if (length < wanted)
		return header_short(length, wanted, &ret->wanted, err);
	if (ret->encrypted)
		ret->crypt = crypt_new(&(struct crypt_about){.ring = want->keys,
		                                             .id = ret->key,
		                                             .name = want->name,
		                                             .header = bytes,
		                                             .header_bytes = HEADER_BYTES,
		                                             .salt = header.salt});
	return index_decode(bytes, ret, err);
}

bool sealed_open(const void *bytes, size_t length, const struct sealed_want *want,
                 struct sealed *ret, struct err *err)
{
	uint64_t key_missing;
	size_t wanted;

	*ret = (struct sealed){0};
	if (object_open(bytes, length, want, ret, err))
		return true;
	wanted = ret->wanted;
	key_missing = ret->key_missing;
	sealed_release(ret);
	ret->wanted = wanted;
	ret->key_missing = key_missing;
	return err_wrap(err, "could not open object \"%s\"", want->name);
}

void sealed_release_frames(struct sealed *sealed)
{
	free(STEAL(sealed->frame));
	crypt_free(STEAL(sealed->crypt));
}

void sealed_release(struct sealed *sealed)
{
	sealed_release_frames(sealed);
	*sealed = (struct sealed){0};
}

static bool frame_damaged(const struct sealed *sealed, uint32_t number, const char *why,
                          struct err *err)
{
	const struct sealed_frame *frame = &sealed->frame[number];

	return err_set(err, ERR_DAMAGED,
	               "frame %" PRIu32 " (%" PRIu32 " bytes at offset %" PRIu64 ") is damaged: %s",
	               number, frame->stored_bytes, frame->offset, why);
}

/* The stored bytes, checked, as they went into the object: themselves, or decrypted into clear. */
static const uint8_t *frame_clear(const struct sealed *sealed, uint32_t number, const void *stored,
                                  uint8_t *clear, struct err *err)
{
	const struct sealed_frame *frame = &sealed->frame[number];

	if (sealed->encrypted) {
		crypt_begin(sealed->crypt, number);
		crypt_go_on(sealed->crypt, stored, clear, frame->stored_bytes);
		if (crypt_open_end(sealed->crypt, frame->tag))
			return clear;
		frame_damaged(sealed, number, "its seal is wrong", err);
		return NULL;
	}
	if (hash64(stored, frame->stored_bytes) == frame->hash)
		return stored;
	frame_damaged(sealed, number, "the checksum is wrong", err);
	return NULL;
}

bool sealed_frame_open(const struct sealed *sealed, uint32_t number, const void *stored, void *out,
                       struct err *err)
{
	const struct sealed_frame *frame = &sealed->frame[number];
	const uint8_t *clear;

	assert(number < sealed->frames);
	if (frame->as_is) {
		clear = frame_clear(sealed, number, stored, out, err);
		if (clear && clear != out)
			memcpy(out, clear, frame->stored_bytes);
		return clear != NULL;
	}
	clear = frame_clear(sealed, number, stored,
	                    sealed->encrypted ? codec_thread_scratch() : NULL, err);
	if (!clear)
		return false;
	if (frame_expand(sealed->compression, clear, frame->stored_bytes, out,
	                 frame->logical_bytes))
		return true;
	return frame_damaged(sealed, number, "it cannot be decompressed", err);
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
		return frame_clear(sealed, number, stored, r->scratch, err);
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
