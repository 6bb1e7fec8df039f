/*
 * sealer.c — makes a sealed object in memory: frames in a chain of blocks, the header in a buffer
 * of its own, since it can only be written when all frames are known.
 *
 * The last block of the hold is the scratch: input of the frame at hand in its lower half, its
 * compressed form in the upper half when the chain's current block has no room for the worst case.
 * A frame is never longer than its content, so 16 blocks hold every object. Frames are encrypted
 * where they lie, at the end, since the header goes with each of them. After sealer_end() nothing
 * changes any more: a retry sends the very same bytes.
 */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>

#include "base/poison.h"

enum { CHAIN_BLOCKS = BLOCKS_SEAL - 1 };
_Static_assert((uint64_t)CHAIN_BLOCKS *BLOCK_BYTES >= SEALED_FRAMES_BYTES_MAX,
               "frames that do not shrink fit the chain");
_Static_assert(2 * SEALED_FRAME_BYTES_MAX <= BLOCK_BYTES, "two frames fit the scratch");

struct sealer {
	struct header head;
	struct compression compression;
	const struct keyring *keys; /* NULL: not encrypted */
	char name[SEALED_NAME_MAX];
	uint8_t *scratch;   /* the hold's last block; not touched after sealer_end() */
	struct chain chain; /* frames, behind `base` other bytes */
	uint64_t base;      /* of an object that was read: its old header lies there */
	uint8_t *input;     /* where the frame at hand is collected: scratch, or the chain itself */
	size_t filled;      /* bytes of it that are there */
	struct digester *digester;
	struct digest digest;
	bool digest_given;          /* by sealer_become() */
	struct sealed_frame *frame; /* offset is not set */
	uint32_t frame_size;
	uint8_t *header; /* NULL until sealer_end() */
	size_t header_bytes;
};

static void name_set(struct sealer *sealer, const char *name)
{
	size_t length = strlen(name);

	assert(length < SEALED_NAME_MAX);
	memcpy(sealer->name, name, length + 1);
	sealer->head.name_hash = hash64(name, length);
}

struct sealer *sealer_new(const struct sealed_spec *spec, const struct blocks_hold *hold,
                          const struct digester *whole)
{
	struct sealer *sealer = xcalloc(1, sizeof(*sealer));

	assert(hold->count == BLOCKS_SEAL);
	assert(sealed_kind_name(spec->kind));
	assert(spec->frame_bytes >= SEALED_FRAME_BYTES_MIN &&
	       spec->frame_bytes <= SEALED_FRAME_BYTES_MAX);
	sealer->head = (struct header){
	        .kind = (uint8_t)spec->kind,
	        .compression = (uint8_t)spec->compression.kind,
	        .frame_bytes = spec->frame_bytes,
	        .created_us = spec->created_us,
	        .attempt = spec->attempt,
	        .parts = spec->parts,
	        .parts_bytes = spec->parts_bytes,
	};
	name_set(sealer, spec->name);
	sealer->keys = spec->keys;
	sealer->compression = spec->compression;
	sealer->scratch = hold->block[BLOCKS_SEAL - 1];
	sealer->chain = chain_of(hold, CHAIN_BLOCKS);
	sealer->digester = whole ? digester_copy(whole) : digester_new();
	return sealer;
}

void sealer_free(struct sealer *sealer)
{
	if (!sealer)
		return;
	digester_free(sealer->digester);
	free(sealer->frame);
	free(sealer->header);
	free(sealer);
}

/* The end of the chain and how much room follows it in the same block. */
static uint8_t *chain_tail(const struct chain *chain, size_t *ret_room)
{
	size_t at = chain->length % BLOCK_BYTES;
	uint64_t block = chain->length / BLOCK_BYTES;

	*ret_room = block < chain->count ? BLOCK_BYTES - at : 0;
	return *ret_room ? chain->block[block] + at : NULL;
}

static struct sealed_frame *frame_new(struct sealer *sealer)
{
	if (sealer->head.frames == sealer->frame_size) {
		sealer->frame_size = MAX(2 * sealer->frame_size, 16U);
		sealer->frame =
		        xrealloc(sealer->frame, sealer->frame_size * sizeof(*sealer->frame));
	}
	return &sealer->frame[sealer->head.frames++];
}

/* Compresses straight into the chain when the worst case fits there; else a copy is cheap beside
 * it. */
static void frame_write(struct sealer *sealer, const uint8_t *in, size_t length)
{
	struct sealed_frame *frame = frame_new(sealer);
	struct chain *chain = &sealer->chain;
	size_t room, made = 0;
	uint8_t *tail = chain_tail(chain, &room), *out = tail;
	bool fits = true;

	digester_add(sealer->digester, in, length);
	if (sealer->compression.kind != SEALED_NONE) {
		if (room < frame_compress_bound(&sealer->compression, length)) {
			out = sealer->scratch + SEALED_FRAME_BYTES_MAX;
			room = BLOCK_BYTES - SEALED_FRAME_BYTES_MAX;
		}
		made = frame_compress(&sealer->compression, in, length, out, room);
	}
	*frame = (struct sealed_frame){.as_is = made == 0, .logical_bytes = (uint32_t)length};
	frame->stored_bytes = (uint32_t)(made ? made : length);
	if (!sealer->keys)
		frame->hash = hash64(made ? out : in, frame->stored_bytes);
	if (made ? out == tail : in == tail)
		chain->length += frame->stored_bytes;
	else
		fits = chain_add(chain, made ? out : in, frame->stored_bytes);
	assert(fits);
	sealer->head.logical_bytes += length;
}

uint8_t *sealer_room(struct sealer *sealer, size_t *ret_room)
{
	uint64_t left = SEALED_FRAMES_BYTES_MAX - sealer->head.logical_bytes - sealer->filled;
	size_t tail_room;
	uint8_t *tail;

	assert(!sealer->header);
	if (sealer->filled == 0) {
		sealer->input = sealer->scratch;
		tail = chain_tail(&sealer->chain, &tail_room);
		if (sealer->compression.kind == SEALED_NONE &&
		    tail_room >= sealer->head.frame_bytes)
			sealer->input = tail;
	}
	*ret_room = (size_t)MIN((uint64_t)(sealer->head.frame_bytes - sealer->filled), left);
	return sealer->input + sealer->filled;
}

bool sealer_filled(struct sealer *sealer, size_t length, struct err *err)
{
	(void)err;
	assert(!sealer->header && length <= sealer->head.frame_bytes - sealer->filled);
	sealer->filled += length;
	if (sealer->filled == sealer->head.frame_bytes) {
		frame_write(sealer, sealer->input, sealer->filled);
		sealer->filled = 0;
	}
	return true;
}

bool sealer_add(struct sealer *sealer, const void *bytes, size_t length, struct err *err)
{
	const uint8_t *from = bytes;

	if (length > SEALED_FRAMES_BYTES_MAX - sealer->head.logical_bytes - sealer->filled)
		return err_set(err, ERR_INTERNAL, "an object cannot hold more than %d bytes",
		               SEALED_FRAMES_BYTES_MAX);
	while (length > 0) {
		size_t room, part;
		uint8_t *to = sealer_room(sealer, &room);

		part = MIN(room, length);
		if (sealer->filled == 0 && part == sealer->head.frame_bytes) {
			frame_write(sealer, from, part);
		} else {
			memcpy(to, from, part);
			if (!sealer_filled(sealer, part, err))
				return false;
		}
		from += part;
		length -= part;
	}
	return true;
}

void sealer_become(struct sealer *sealer, const struct sealed_spec *spec,
                   const struct digest *whole)
{
	struct header *head = &sealer->head;

	assert(!sealer->header && sealed_kind_name(spec->kind));
	head->kind = (uint8_t)spec->kind;
	name_set(sealer, spec->name);
	head->attempt = spec->attempt;
	head->parts = spec->parts;
	head->parts_bytes = spec->parts_bytes;
	sealer->digest_given = whole != NULL;
	if (whole)
		sealer->digest = *whole;
}

/* The newest data key of all that there are: none but that may seal. */
static bool key_choose(struct sealer *sealer, struct err *err)
{
	struct key_about newest;
	char id[KEY_ID_BYTES];

	if (!sealer->keys)
		return true;
	if (!keyring_newest(sealer->keys, &newest))
		return err_set(err, ERR_INTERNAL, "there is no data key to encrypt with");
	if (!newest.opened) {
		key_id_text(newest.id, id);
		err_set(err, ERR_STORE,
		        "the repository's newest data key, %s, is not opened by the key at hand",
		        id);
		err_hint(err, "The key was rotated: use the new one.");
		return false;
	}
	sealer->head.encryption = ENCRYPTION_AES_256_GCM;
	sealer->head.key_check = newest.id;
	return true;
}

/* One frame where it lies, over the blocks that it touches; returns its end. */
static uint64_t frame_crypt(const struct sealer *sealer, uint64_t at, uint32_t length,
                            struct crypt *crypt)
{
	uint64_t end = at + length;

	while (at < end) {
		size_t in_block = (size_t)(at % BLOCK_BYTES);
		size_t part = (size_t)MIN(end - at, (uint64_t)(BLOCK_BYTES - in_block));
		uint8_t *bytes = sealer->chain.block[at / BLOCK_BYTES] + in_block;

		crypt_go_on(crypt, bytes, bytes, part);
		at += part;
	}
	return end;
}

static void frames_encrypt(struct sealer *sealer, struct crypt *crypt)
{
	uint64_t at = sealer->base;

	for (uint32_t i = 0; i < sealer->head.frames; i++) {
		crypt_begin(crypt, i);
		at = frame_crypt(sealer, at, sealer->frame[i].stored_bytes, crypt);
		crypt_seal_end(crypt, sealer->frame[i].tag);
	}
}

static void header_build(struct sealer *sealer)
{
	struct header *head = &sealer->head;
	struct crypt *crypt = NULL;

	sealer->header_bytes = header_bytes_of(head->frames, sealer->keys != NULL);
	sealer->header = xmalloc(sealer->header_bytes);
	header_encode(head, sealer->header);
	if (sealer->keys) {
		crypt = crypt_new(&(struct crypt_about){.ring = sealer->keys,
		                                        .id = head->key_check,
		                                        .name = sealer->name,
		                                        .header = sealer->header,
		                                        .header_bytes = HEADER_BYTES,
		                                        .salt = head->salt,
		                                        .seal = true});
		frames_encrypt(sealer, crypt);
	}
	index_encode(&sealer->digest, sealer->frame, head->frames, crypt, sealer->header);
	crypt_free(crypt);
}

bool sealer_end(struct sealer *sealer, struct err *err)
{
	assert(!sealer->header);
	if (!key_choose(sealer, err))
		return false;
	if (sealer->filled > 0)
		frame_write(sealer, sealer->input, sealer->filled);
	sealer->filled = 0;
	if (getrandom(sealer->head.salt, SALT_BYTES, 0) != SALT_BYTES)
		return err_sys(err, "could not get random bytes");
	if (!sealer->digest_given)
		digester_end(sealer->digester, &sealer->digest);
	header_build(sealer);
	return true;
}

unsigned sealer_pieces(const struct sealer *sealer, struct iovec piece[1 + BLOCKS_SEAL])
{
	unsigned count = 0;

	assert(sealer->header);
	piece[count++] = (struct iovec){sealer->header, sealer->header_bytes};
	for (uint64_t at = sealer->base; at < sealer->chain.length;) {
		size_t in_block = (size_t)(at % BLOCK_BYTES);
		size_t part =
		        (size_t)MIN(sealer->chain.length - at, (uint64_t)(BLOCK_BYTES - in_block));

		piece[count++] =
		        (struct iovec){sealer->chain.block[at / BLOCK_BYTES] + in_block, part};
		at += part;
	}
	return count;
}

unsigned sealer_blocks_used(const struct sealer *sealer)
{
	return (unsigned)((sealer->chain.length + BLOCK_BYTES - 1) / BLOCK_BYTES);
}

const struct digest *sealer_digest(const struct sealer *sealer)
{
	assert(sealer->header);
	return &sealer->digest;
}

struct digester *sealer_digester(const struct sealer *sealer)
{
	assert(sealer->header);
	return digester_copy(sealer->digester);
}

uint64_t sealer_stored_bytes(const struct sealer *sealer)
{
	return sealer->header_bytes + sealer->chain.length - sealer->base;
}

uint64_t sealer_logical_bytes(const struct sealer *sealer)
{
	return sealer->head.logical_bytes + sealer->filled;
}

/* ---- again ---- */

/* Back to what compression made, each frame checked on the way. */
static bool frames_decrypt(struct sealer *sealer, struct err *err)
{
	struct crypt *crypt = crypt_new(&(struct crypt_about){.ring = sealer->keys,
	                                                      .id = sealer->head.key_check,
	                                                      .name = sealer->name,
	                                                      .header = sealer->header,
	                                                      .header_bytes = HEADER_BYTES,
	                                                      .salt = sealer->head.salt});
	uint64_t at = sealer->base;
	bool good = true;

	for (uint32_t i = 0; good && i < sealer->head.frames; i++) {
		crypt_begin(crypt, i);
		at = frame_crypt(sealer, at, sealer->frame[i].stored_bytes, crypt);
		good = crypt_open_end(crypt, sealer->frame[i].tag);
		if (!good)
			err_set(err, ERR_DAMAGED,
			        "frame %" PRIu32 " changed while it was in memory", i);
	}
	crypt_free(crypt);
	return good;
}

static void frames_hash(struct sealer *sealer)
{
	uint64_t at = sealer->base;

	for (uint32_t i = 0; i < sealer->head.frames; i++) {
		struct sealed_frame *frame = &sealer->frame[i];
		const uint8_t *bytes = chain_at(&sealer->chain, at, frame->stored_bytes);

		if (!bytes) {
			chain_copy(&sealer->chain, at, codec_thread_scratch(), frame->stored_bytes);
			bytes = codec_thread_scratch();
		}
		frame->hash = hash64(bytes, frame->stored_bytes);
		at += frame->stored_bytes;
	}
}

bool sealer_differs(const struct sealer *sealer, const struct sealed_again *again)
{
	return sealer->keys != again->keys || strcmp(sealer->name, again->name) != 0;
}

bool sealer_again(struct sealer *sealer, const struct sealed_again *again, struct err *err)
{
	bool was_encrypted = sealer->keys != NULL;

	assert(sealer->header);
	if (was_encrypted && !frames_decrypt(sealer, err))
		return false;
	sealer->keys = again->keys;
	name_set(sealer, again->name);
	sealer->head.encryption = ENCRYPTION_NONE;
	sealer->head.key_check = 0;
	if (!key_choose(sealer, err))
		return false;
	if (getrandom(sealer->head.salt, SALT_BYTES, 0) != SALT_BYTES)
		return err_sys(err, "could not get random bytes");
	if (was_encrypted && !sealer->keys)
		frames_hash(sealer);
	free(STEAL(sealer->header));
	header_build(sealer);
	return true;
}

static bool each_ignored(void *context, uint64_t offset, const uint8_t *bytes, size_t length,
                         struct err *err)
{
	(void)context, (void)offset, (void)bytes, (void)length, (void)err;
	return true;
}

static bool object_check(const struct sealed *sealed, const struct blocks_hold *hold,
                         uint64_t length, struct err *err)
{
	const struct chain object = {.block = hold->block, .count = hold->count, .length = length};

	return sealed_read(sealed,
	                   &(struct sealed_reading){.object = &object,
	                                            .scratch = sealed_scratch(hold),
	                                            .length = UINT64_MAX,
	                                            .each = each_ignored},
	                   err);
}

struct sealer *sealer_of_object(const struct blocks_hold *hold, uint64_t length,
                                const struct sealed_want *want, struct sealed *ret, struct err *err)
{
	struct sealer *sealer;
	struct sealed sealed;
	size_t ignored;

	if (!sealed_open(hold->block[0], (size_t)MIN(length, (uint64_t)BLOCK_BYTES), want, &sealed,
	                 err)) {
		if (ret)
			*ret = sealed; /* which key is missing */
		return NULL;
	}
	if (!object_check(&sealed, hold, length, err)) {
		sealed_release(&sealed);
		return NULL;
	}
	sealer = xcalloc(1, sizeof(*sealer));
	name_set(sealer, want->name);
	sealer->keys = sealed.encrypted ? want->keys : NULL;
	sealer->chain = chain_of(hold, hold->count);
	sealer->chain.length = sealed.stored_bytes;
	sealer->base = sealed.header_bytes;
	sealer->digest = sealed.digest;
	sealer->digester = digester_new();
	sealer->header_bytes = sealed.header_bytes;
	sealer->header = xmalloc(sealer->header_bytes);
	memcpy(sealer->header, hold->block[0], sealer->header_bytes);
	sealer->frame = STEAL(sealed.frame);
	if (!header_decode(sealer->header, sealer->header_bytes, &sealer->head, &ignored, err))
		sealer_free(STEAL(sealer));
	if (ret)
		*ret = sealed;
	sealed_release(&sealed);
	if (ret) {
		ret->frame = NULL;
		ret->crypt = NULL;
	}
	return sealer;
}
