/* internal.h — what the files of codec share: the header's bytes, and one frame's compression. */
#ifndef CODEC_INTERNAL_H
#define CODEC_INTERNAL_H

#include "codec/keys.h"
#include "codec/sealed.h"
#include "crypt.h"

enum { ENCRYPTION_NONE = 0, ENCRYPTION_AES_256_GCM = 1 };

enum {
	HEADER_BYTES = 120, /* the part of fixed size, with its hash */
	HEADER_BYTES_MIN = 24,
	HEADER_BYTES_NEWER_MAX = 4096, /* a later version's may be longer, up to this */
	SALT_BYTES = 16,
	INDEX_FRAME_BYTES = 12,
	INDEX_FRAME_BYTES_ENCRYPTED = 20, /* with a tag in the place of the hash */
	INDEX_SEAL_BYTES = 16,            /* XXH3-128, or the tag when encrypted */
	FRAMES_MAX = SEALED_FRAMES_BYTES_MAX / SEALED_FRAME_BYTES_MIN,
};
_Static_assert(HEADER_BYTES + SEALED_DIGEST_BYTES + FRAMES_MAX * INDEX_FRAME_BYTES_ENCRYPTED +
                               INDEX_SEAL_BYTES <=
                       SEALED_HEADER_BYTES_MAX,
               "the longest header, also an encrypted one, is what a reader asks for");

struct header {
	uint8_t kind, compression, encryption;
	uint32_t frame_bytes, frames, parts;
	uint64_t logical_bytes;
	int64_t created_us;
	uint8_t salt[SALT_BYTES];
	uint64_t key_check, name_hash, attempt, parts_bytes;
};
void header_encode(const struct header *header, uint8_t out[HEADER_BYTES]);
/* Everything but name, kind and key, which are the caller's question. */
MUST_USE bool header_decode(const uint8_t *bytes, size_t length, struct header *ret,
                            size_t *ret_wanted, struct err *err);

/* Fails with "it is cut short". */
bool header_short(size_t length, size_t wanted, size_t *ret_wanted, struct err *err);

/* Header and index together: header_bytes_of() of them. */
size_t header_bytes_of(uint32_t frames, bool encrypted);
/* crypt NULL: not encrypted. */
void index_encode(const struct digest *digest, const struct sealed_frame *frame, uint32_t frames,
                  struct crypt *crypt, uint8_t *object);
/* object: header_bytes_of() bytes that are there. Fills digest and frame (xmalloc). */
MUST_USE bool index_decode(const uint8_t *object, struct sealed *sealed, struct err *err);

uint64_t hash64(const void *bytes, size_t length);
struct digester *digester_copy(const struct digester *digester);

/* The frame's compressed length; 0 when it would not be shorter than it is, or not fit. */
size_t frame_compress(const struct compression *how, const void *in, size_t length, void *out,
                      size_t room);
/* The largest room that frame_compress() can use (it is fastest with that much). */
size_t frame_compress_bound(const struct compression *how, size_t length);
/* Exactly length bytes must come out. */
bool frame_expand(enum sealed_compression how, const void *in, size_t in_length, void *out,
                  size_t length);

/* SEALED_FRAME_BYTES_MAX that the thread keeps until codec_thread_end(): a frame between decrypting
 * and decompressing. */
uint8_t *codec_thread_scratch(void);

const char *sealed_kind_name(unsigned kind); /* NULL: no such kind */

#endif
