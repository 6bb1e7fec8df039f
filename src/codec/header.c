/*
 * header.c — the bytes in front of a sealed object's frames: encode and decode, side by side
 * (doc/format.md, "Header" and "Frame index").
 *
 * The first 12 bytes and "the last 8 of the fixed part are the hash of the rest of it" hold for
 * every version, so that a newer object is told from a damaged one. decode believes nothing: what
 * the hash lets through is still compared with the limits, since a hash is no signature.
 */
#include "internal.h"

#include "base/bytes.h"

#include <inttypes.h>
#include <string.h>

#include "base/poison.h"

enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_HEADER_BYTES = 10,
	AT_KIND = 12,
	AT_COMPRESSION = 13,
	AT_ENCRYPTION = 14,
	AT_RESERVED_1 = 15,
	AT_FRAME_BYTES = 16,
	AT_FRAMES = 20,
	AT_LOGICAL_BYTES = 24,
	AT_CREATED = 32,
	AT_SALT = 40,
	AT_KEY_CHECK = 56,
	AT_NAME_HASH = 64,
	AT_ATTEMPT = 72,
	AT_PARTS_BYTES = 80,
	AT_PARTS = 88,
	AT_RESERVED_2 = 92,
	RESERVED_2_BYTES = 20,
	AT_HASH = 112,

	MAGIC_BYTES = 8,
	COMMON_BYTES = AT_KIND, /* what every version has at this place */
	HASH_BYTES = 8,
	AS_IS_BIT = 31, /* of a frame's stored length */
};
_Static_assert(AT_RESERVED_2 + RESERVED_2_BYTES == AT_HASH, "no gap in the header");
_Static_assert(AT_HASH + HASH_BYTES == HEADER_BYTES, "the hash ends the header");
_Static_assert(AT_SALT + SALT_BYTES == AT_KEY_CHECK, "128 bits of salt");
_Static_assert(INDEX_FRAME_BYTES == 4 + 8, "length and hash of a frame");
_Static_assert(INDEX_FRAME_BYTES_ENCRYPTED == 4 + KEY_TAG_BYTES, "length and tag of a frame");

static const uint8_t magic[MAGIC_BYTES] = {'S', 'E', 'A', 'W', 'A', 'L', 'L', 0x1A};

static const char *const kind_names[] = {
        [SEALED_WAL] = "WAL segment",    [SEALED_HISTORY] = "timeline history",
        [SEALED_WAL_BACKUP] = ".backup", [SEALED_PARTIAL] = "partial segment",
        [SEALED_PACK] = "pack",          [SEALED_MANIFEST] = "manifest",
        [SEALED_PART] = "part",          [SEALED_SYSTEM] = "system",
        [SEALED_CLUSTER] = "cluster",    [SEALED_NOTE] = "note",
        [SEALED_PROBE] = "probe",        [SEALED_KEY] = "wrapped key",
        [SEALED_MARKER] = "marker",      [SEALED_INDEX] = "index",
        [SEALED_NAMES] = "names",
};

const char *sealed_kind_name(unsigned kind)
{
	return kind < ARRAY_LENGTH(kind_names) ? kind_names[kind] : NULL;
}

/* What holds in every valid header, and the sentence when it does not; NULL when it does. */
static const char *header_fault(const struct header *h)
{
	uint64_t frames, first_parts_bytes;

	if (h->frame_bytes < SEALED_FRAME_BYTES_MIN || h->frame_bytes > SEALED_FRAME_BYTES_MAX)
		return "its frame size is out of range";
	if (h->logical_bytes > SEALED_FRAMES_BYTES_MAX)
		return "its content is longer than an object can be";
	frames = (h->logical_bytes + h->frame_bytes - 1) / h->frame_bytes;
	if (h->frames != frames)
		return "its number of frames does not fit its size";
	if (h->parts > SEALED_PARTS_MAX)
		return "it has too many parts";
	if (h->parts == 0)
		return h->attempt || h->parts_bytes ? "it has no parts, but describes them" : NULL;
	first_parts_bytes = (uint64_t)(h->parts - 1) * SEALED_PART_BYTES;
	if (h->parts_bytes <= first_parts_bytes ||
	    h->parts_bytes > first_parts_bytes + SEALED_PART_BYTES)
		return "its number of parts does not fit their size";
	return NULL;
}

void header_encode(const struct header *h, uint8_t out[HEADER_BYTES])
{
	assert(!header_fault(h)); /* header_decode() refuses the same */
	memset(out, 0, HEADER_BYTES);
	memcpy(out + AT_MAGIC, magic, MAGIC_BYTES);
	put_u16(out + AT_VERSION, SEALED_VERSION);
	put_u16(out + AT_HEADER_BYTES, HEADER_BYTES);
	put_u8(out + AT_KIND, h->kind);
	put_u8(out + AT_COMPRESSION, h->compression);
	put_u8(out + AT_ENCRYPTION, h->encryption);
	put_u32(out + AT_FRAME_BYTES, h->frame_bytes);
	put_u32(out + AT_FRAMES, h->frames);
	put_u64(out + AT_LOGICAL_BYTES, h->logical_bytes);
	put_u64(out + AT_CREATED, (uint64_t)h->created_us);
	memcpy(out + AT_SALT, h->salt, SALT_BYTES);
	put_u64(out + AT_KEY_CHECK, h->key_check);
	put_u64(out + AT_NAME_HASH, h->name_hash);
	put_u64(out + AT_ATTEMPT, h->attempt);
	put_u64(out + AT_PARTS_BYTES, h->parts_bytes);
	put_u32(out + AT_PARTS, h->parts);
	put_u64(out + AT_HASH, hash64(out, AT_HASH));
}

static void header_take(const uint8_t *p, struct header *ret)
{
	*ret = (struct header){
	        .kind = p[AT_KIND],
	        .compression = p[AT_COMPRESSION],
	        .encryption = p[AT_ENCRYPTION],
	        .frame_bytes = get_u32(p + AT_FRAME_BYTES),
	        .frames = get_u32(p + AT_FRAMES),
	        .logical_bytes = get_u64(p + AT_LOGICAL_BYTES),
	        .created_us = (int64_t)get_u64(p + AT_CREATED),
	        .key_check = get_u64(p + AT_KEY_CHECK),
	        .name_hash = get_u64(p + AT_NAME_HASH),
	        .attempt = get_u64(p + AT_ATTEMPT),
	        .parts_bytes = get_u64(p + AT_PARTS_BYTES),
	        .parts = get_u32(p + AT_PARTS),
	};
	memcpy(ret->salt, p + AT_SALT, SALT_BYTES);
}

bool header_short(size_t length, size_t wanted, size_t *ret_wanted, struct err *err)
{
	*ret_wanted = wanted;
	return err_set(err, ERR_DAMAGED,
	               "it is cut short: it has %zu bytes, its header alone needs %zu", length,
	               wanted);
}

/* Magic, length and hash of the fixed part, whatever its version. */
static bool header_check(const uint8_t *p, size_t length, size_t *ret_wanted, struct err *err)
{
	size_t bytes;

	if (memcmp(p, magic, MIN(length, (size_t)MAGIC_BYTES)) != 0)
		return err_set(err, ERR_DAMAGED, "it is not a sealed object");
	if (length < COMMON_BYTES)
		return header_short(length, HEADER_BYTES, ret_wanted, err);
	bytes = get_u16(p + AT_HEADER_BYTES);
	if (bytes < HEADER_BYTES_MIN || bytes > HEADER_BYTES_NEWER_MAX)
		return err_set(err, ERR_DAMAGED, "its header is damaged: length %zu is impossible",
		               bytes);
	if (length < bytes)
		return header_short(length, bytes, ret_wanted, err);
	if (hash64(p, bytes - HASH_BYTES) != get_u64(p + bytes - HASH_BYTES))
		return err_set(err, ERR_DAMAGED, "its header is damaged: the checksum is wrong");
	return true;
}

/* What a later minor change may bring: said apart from damage, since the hash was right. */
static bool header_known(const uint8_t *p, struct err *err)
{
	unsigned version = get_u16(p + AT_VERSION);

	if (version > SEALED_VERSION) {
		err_set(err, ERR_STORE, "it has format version %u, this program reads up to %d",
		        version, SEALED_VERSION);
		err_hint(err, "Use a newer version of seawall.");
		return false;
	}
	if (version < 1 || get_u16(p + AT_HEADER_BYTES) != HEADER_BYTES)
		return err_set(err, ERR_DAMAGED, "its header is wrong: version %u of %u bytes",
		               version, get_u16(p + AT_HEADER_BYTES));
	if (!sealed_kind_name(p[AT_KIND]))
		err_set(err, ERR_STORE, "it is of kind %u, which this program does not know",
		        p[AT_KIND]);
	else if (p[AT_COMPRESSION] > SEALED_ZSTD)
		err_set(err, ERR_STORE, "it has compression %u, which this program does not know",
		        p[AT_COMPRESSION]);
	else if (p[AT_ENCRYPTION] > ENCRYPTION_AES_256_GCM)
		err_set(err, ERR_STORE, "it has encryption %u, which this program does not know",
		        p[AT_ENCRYPTION]);
	else
		return true;
	err_hint(err, "Use a newer version of seawall.");
	return false;
}

bool header_decode(const uint8_t *bytes, size_t length, struct header *ret, size_t *ret_wanted,
                   struct err *err)
{
	static const uint8_t zero[RESERVED_2_BYTES];
	const char *fault;

	if (!header_check(bytes, length, ret_wanted, err) || !header_known(bytes, err))
		return false;
	header_take(bytes, ret);
	fault = header_fault(ret);
	if (bytes[AT_RESERVED_1] != 0 || memcmp(bytes + AT_RESERVED_2, zero, sizeof(zero)) != 0)
		fault = "reserved fields are not zero";
	if (fault)
		return err_set(err, ERR_DAMAGED, "its header is wrong: %s", fault);
	return true;
}

size_t header_bytes_of(uint32_t frames, bool encrypted)
{
	return HEADER_BYTES + SEALED_DIGEST_BYTES +
	       (size_t)frames * (encrypted ? INDEX_FRAME_BYTES_ENCRYPTED : INDEX_FRAME_BYTES) +
	       INDEX_SEAL_BYTES;
}

/* The seal: over header and index, so that they cannot be of two objects. */
static void index_seal(const uint8_t *object, size_t length, struct digest *ret)
{
	struct digester *digester = digester_new();

	digester_add(digester, object, length);
	digester_end(digester, ret);
	digester_free(digester);
}

/* As index_decode() refuses it: shorter when compressed, of its own length when not. */
static bool frame_valid(const struct sealed_frame *frame, bool compressed)
{
	if (frame->as_is)
		return frame->stored_bytes == frame->logical_bytes;
	return compressed && frame->stored_bytes > 0 && frame->stored_bytes < frame->logical_bytes;
}

void index_encode(const struct digest *digest, const struct sealed_frame *frame, uint32_t frames,
                  struct crypt *crypt, uint8_t *object)
{
	uint8_t *index = object + HEADER_BYTES, *p = index;
	struct digest seal;

	memcpy(p, digest->bytes, SEALED_DIGEST_BYTES);
	p += SEALED_DIGEST_BYTES;
	for (uint32_t i = 0; i < frames; i++) {
		assert(frame_valid(&frame[i], true));
		put_u32(p, frame[i].stored_bytes | (uint32_t)frame[i].as_is << AS_IS_BIT);
		if (crypt)
			memcpy(p + 4, frame[i].tag, KEY_TAG_BYTES);
		else
			put_u64(p + 4, frame[i].hash);
		p += crypt ? INDEX_FRAME_BYTES_ENCRYPTED : INDEX_FRAME_BYTES;
	}
	if (crypt) {
		crypt_begin(crypt, CRYPT_INDEX);
		crypt_go_on(crypt, index, index, (size_t)(p - index));
		crypt_seal_end(crypt, p);
		return;
	}
	index_seal(object, (size_t)(p - object), &seal);
	memcpy(p, seal.bytes, INDEX_SEAL_BYTES);
}

/* One entry and what follows from it. */
static bool frame_take(const uint8_t *p, uint32_t i, struct sealed *sealed, struct err *err)
{
	struct sealed_frame *frame = &sealed->frame[i];
	uint64_t before = (uint64_t)i * sealed->frame_bytes;

	frame->offset = sealed->stored_bytes;
	frame->stored_bytes = get_u32(p) & ~(1U << AS_IS_BIT);
	frame->as_is = get_u32(p) >> AS_IS_BIT;
	frame->logical_bytes =
	        (uint32_t)MIN(sealed->logical_bytes - before, (uint64_t)sealed->frame_bytes);
	if (sealed->encrypted)
		memcpy(frame->tag, p + 4, KEY_TAG_BYTES);
	else
		frame->hash = get_u64(p + 4);
	sealed->stored_bytes += frame->stored_bytes;
	if (frame_valid(frame, sealed->compression != SEALED_NONE))
		return true;
	return err_set(err, ERR_DAMAGED,
	               "its frame index is wrong: frame %" PRIu32 " has %" PRIu32 " bytes", i,
	               frame->stored_bytes);
}

/* What stands in clear: the object's own bytes, or what they were sealed from. */
static bool index_open(const uint8_t *object, size_t length, const struct sealed *sealed,
                       uint8_t *clear, struct err *err)
{
	size_t index_bytes = length - HEADER_BYTES - INDEX_SEAL_BYTES;
	const uint8_t *seal = object + length - INDEX_SEAL_BYTES;
	struct digest own;

	if (sealed->encrypted) {
		crypt_begin(sealed->crypt, CRYPT_INDEX);
		crypt_go_on(sealed->crypt, object + HEADER_BYTES, clear, index_bytes);
		return crypt_open_end(sealed->crypt, seal) ||
		       err_set(err, ERR_DAMAGED,
		               "its frame index is damaged or was changed: its seal is wrong");
	}
	memcpy(clear, object + HEADER_BYTES, index_bytes);
	index_seal(object, length - INDEX_SEAL_BYTES, &own);
	return memcmp(own.bytes, seal, INDEX_SEAL_BYTES) == 0 ||
	       err_set(err, ERR_DAMAGED, "its frame index is damaged: the checksum is wrong");
}

bool index_decode(const uint8_t *object, struct sealed *sealed, struct err *err)
{
	size_t length = header_bytes_of(sealed->frames, sealed->encrypted);
	size_t entry = sealed->encrypted ? INDEX_FRAME_BYTES_ENCRYPTED : INDEX_FRAME_BYTES;
	AUTO_FREE uint8_t *clear = xmalloc(length);
	const uint8_t *p = clear;

	if (!index_open(object, length, sealed, clear, err))
		return false;
	memcpy(sealed->digest.bytes, p, SEALED_DIGEST_BYTES);
	p += SEALED_DIGEST_BYTES;
	sealed->frame = xcalloc(sealed->frames + 1, sizeof(*sealed->frame));
	sealed->header_bytes = (uint32_t)length;
	sealed->stored_bytes = length;
	for (uint32_t i = 0; i < sealed->frames; i++, p += entry)
		if (!frame_take(p, i, sealed, err))
			return false;
	return true;
}
