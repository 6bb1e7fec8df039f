/*
 * sealed.h — sealed objects: compressed, checksummed byte arrays with random access
 * (doc/format.md).
 *
 * Logical content = the content of its parts in order (each SEALED_PART_BYTES long but the last;
 * other objects, named "<name>.<attempt>.<0001…>"), then that of its own frames. Most objects have
 * no parts. A header is built when all frames are known and stands in front of them, so an object
 * is made whole in memory: header in a buffer of its own, frames in a chain of blocks.
 *
 * Sealing and opening are plain blocking functions for workers. With a key ring (codec/keys.h),
 * objects are sealed with its newest data key, and opened with the one that they name; an
 * unencrypted one is then refused unless the ring's marker has its name.
 */
#ifndef CODEC_SEALED_H
#define CODEC_SEALED_H

#include <sys/uio.h>

#include "base/err.h"
#include "loop/blocks.h"

#include <assert.h>

struct keyring;
struct crypt;

enum {
	SEALED_VERSION = 1,
	SEALED_FRAMES_BYTES_MAX = 16 * 1024 * 1024, /* logical bytes in an object's own frames */
	SEALED_PART_BYTES = SEALED_FRAMES_BYTES_MAX,
	SEALED_HEADER_BYTES_MAX =
	        64 * 1024, /* a reader asks for this much first when it wants only the header */
	SEALED_OBJECT_BYTES_MAX = SEALED_FRAMES_BYTES_MAX + SEALED_HEADER_BYTES_MAX,
	SEALED_FRAME_BYTES_MIN = 8 * 1024,
	SEALED_FRAME_BYTES_MAX =
	        256 * 1024, /* so that one frame and its compressed form fit half a block */
	SEALED_SCRATCH_BYTES = 2 * SEALED_FRAME_BYTES_MAX,
	SEALED_FRAME_BYTES_WAL = 128 * 1024,
	/*
	 * Measured with zstd:3 on pgbench -s 20 after updates, stored / content at 64, 128, 256,
	 * 512 KiB: table 0.0323 0.0312 0.0307 0.0302, indexes 0.179 0.176 0.169 0.168, catalogs
	 * 0.134 0.130 0.126 0.124; speed is highest at 128 and 256 and falls by a tenth at 512. lz4
	 * does not care (0.371 0.399 0.395 at 64, 128, 256, the same speed). WAL neither: 0.269
	 * 0.270 0.274.
	 */
	SEALED_FRAME_BYTES_PACK = 256 * 1024,
	SEALED_PARTS_MAX = 1 << 20,
	SEALED_NAME_MAX = 400,
	SEALED_DIGEST_BYTES = 16,
};

enum sealed_kind { /* numbers are in the format: never change one */
	           SEALED_WAL = 1,
	           SEALED_HISTORY = 2,
	           SEALED_WAL_BACKUP = 3, /* "<segment>.<offset>.backup" */
	           SEALED_PARTIAL = 4,
	           SEALED_PACK = 5,
	           SEALED_MANIFEST = 6,
	           SEALED_PART = 7,
	           SEALED_SYSTEM = 8,
	           SEALED_CLUSTER = 9,
	           SEALED_NOTE = 10,
	           SEALED_PROBE = 11,
	           SEALED_KEY = 12,    /* a wrapped data key: never encrypted */
	           SEALED_MARKER = 13, /* the names that may be unencrypted */
	           SEALED_INDEX = 14,  /* a piece of the WAL index */
	           SEALED_NAMES = 15,  /* names for numbers: what relations are called */
};

enum sealed_compression { SEALED_NONE = 0, SEALED_LZ4 = 1, SEALED_ZSTD = 2 };

/* "lz4", "zstd:3", "none" (a setting): level is 0 but for zstd (1..19, default 3). */
struct compression {
	enum sealed_compression kind;
	int level;
};
bool compression_parse(const char *text, struct compression *ret);
void compression_text(const struct compression *compression, char out[16]);

struct sealed_spec {
	enum sealed_kind kind;
	struct compression compression;
	uint32_t frame_bytes;
	const char *name; /* relative to the cluster's folder, or to the repository for what lies
	                     outside of one */
	int64_t created_us;
	/* of a head with parts; else zero */
	uint64_t attempt;
	uint32_t parts;
	uint64_t parts_bytes; /* logical bytes in all parts */
	/* NULL: not encrypted. Must stay until sealer_end; sealer_become does not look at it. */
	const struct keyring *keys;
};

struct digest {
	uint8_t bytes[SEALED_DIGEST_BYTES]; /* XXH3-128, canonical (big-endian) */
};
bool digest_equal(const struct digest *a, const struct digest *b);
void digest_text(const struct digest *digest, char out[2 * SEALED_DIGEST_BYTES + 1]);

/* ---- a running digest of content that goes through several objects (a head and its parts) ---- */
struct digester;
struct digester *digester_new(void);
void digester_add(struct digester *digester, const void *bytes, size_t length);
/* The content of a file from its beginning on. False: errno says why. */
MUST_USE bool digester_add_file(struct digester *digester, int fd);
void digester_end(const struct digester *digester, struct digest *ret);
void digester_free(struct digester *digester);

/* ---- sealing ---- */
struct sealer; /* on the heap, one for each object; needs BLOCKS_SEAL blocks: the last one is its
                  scratch */

/* hold must have BLOCKS_SEAL blocks and outlive the sealer. whole: the digest goes on from there
 * (head of parts), or NULL. */
struct sealer *sealer_new(const struct sealed_spec *spec, const struct blocks_hold *hold,
                          const struct digester *whole);
/* Where the next bytes go: *ret_room of them (up to one frame) may be written there, then
 * sealer_filled() says how many were. Reading a file straight into its frame costs no copy. */
uint8_t *sealer_room(struct sealer *sealer, size_t *ret_room);
MUST_USE bool sealer_filled(struct sealer *sealer, size_t length, struct err *err);
/* The same with a copy; any length that still fits SEALED_FRAMES_BYTES_MAX. */
MUST_USE bool sealer_add(struct sealer *sealer, const void *bytes, size_t length, struct err *err);
/* Before sealer_end: it turns out to be a part, or the head of parts: kind, name and parts are
 * those of spec; whole (may be NULL): the digest of the whole content. */
void sealer_become(struct sealer *sealer, const struct sealed_spec *spec,
                   const struct digest *whole);
/* Completes the last frame and builds the header. */
MUST_USE bool sealer_end(struct sealer *sealer, struct err *err);
/* After sealer_end, until sealer_free: what is to be stored, in order; at most 1 + BLOCKS_SEAL
 * pieces. */
unsigned sealer_pieces(const struct sealer *sealer, struct iovec piece[1 + BLOCKS_SEAL]);
unsigned sealer_blocks_used(
        const struct sealer *sealer); /* of hold, from its first: the rest may be given back */
const struct digest *sealer_digest(const struct sealer *sealer);
/* After sealer_end: a copy of the running digest, for content that goes on in other objects. */
struct digester *sealer_digester(const struct sealer *sealer);
uint64_t sealer_stored_bytes(const struct sealer *sealer);
uint64_t sealer_logical_bytes(const struct sealer *sealer); /* own frames only */
void sealer_free(struct sealer *sealer);

/* Sealed anew in its place, for another name or another repository's keys, without a second look at
 * the content: frames stay compressed as they are and of the same length. After sealer_end;
 * pieces that were taken before are not valid any more. keys NULL: not encrypted. */
struct sealed_again {
	const char *name;
	const struct keyring *keys;
};
MUST_USE bool sealer_again(struct sealer *sealer, const struct sealed_again *again,
                           struct err *err);
/* Whether it would be other bytes. */
bool sealer_differs(const struct sealer *sealer, const struct sealed_again *again);

/* ---- opening ---- */
struct sealed_frame {
	uint64_t offset; /* in the object */
	uint32_t stored_bytes;
	uint32_t logical_bytes;
	bool as_is; /* not compressed */
	union {
		uint64_t hash;   /* xxh3-64 of the stored bytes */
		uint8_t tag[16]; /* when encrypted */
	};
};
struct sealed {
	enum sealed_kind kind;
	enum sealed_compression compression;
	uint32_t frame_bytes, frames;
	uint64_t logical_bytes; /* own frames */
	int64_t created_us;
	uint64_t attempt;
	uint32_t parts;
	uint64_t parts_bytes;
	struct digest digest;  /* of the whole logical content, parts first */
	uint32_t header_bytes; /* where the frames begin */
	uint64_t stored_bytes; /* of the whole object, as the index says */
	struct sealed_frame *frame;
	bool encrypted;
	uint64_t key;         /* id of the data key, when encrypted */
	struct crypt *crypt;  /* to read frames, when encrypted */
	uint64_t key_missing; /* after a failure because none of the keys at hand is this one; else
	                         0 */
	size_t wanted;        /* after a failure for too few bytes: how many are needed; else 0 */
};
struct sealed_want {
	const char *name;           /* the one it was read under: it must be its own */
	enum sealed_kind kind;      /* 0: any */
	const struct keyring *keys; /* NULL: an encrypted one is refused, another is not */
};
/* Reads the header from the first bytes of an object. Sentences tell apart: not a sealed object,
 * newer version, header damaged, another name, wrong kind, needs a key, another key, not encrypted
 * though it should be, cut short. After a failure there is nothing to release. */
MUST_USE bool sealed_open(const void *bytes, size_t length, const struct sealed_want *want,
                          struct sealed *ret, struct err *err);
void sealed_release(struct sealed *sealed);
/* Frees what is needed for frames only; the rest may be copied then. */
void sealed_release_frames(struct sealed *sealed);
/* One frame: stored bytes (contiguous) -> out (frame's logical_bytes). Checks its hash, then
 * decodes. Errors name frame and offset. One thread at a time for an encrypted object. */
MUST_USE bool sealed_frame_open(const struct sealed *sealed, uint32_t frame, const void *stored,
                                void *out, struct err *err);

/* A whole object that lies in a chain, in order: calls each with the decoded bytes, at most a frame
 * at a time. All (from 0, length UINT64_MAX): the chain must be exactly as long as the index says,
 * and the digest is checked at the end when the object has no parts. A range: only the frames that
 * touch logical [from, from + length) of the own frames are decoded, and each gets only what lies
 * in it; no digest check.
 * scratch: SEALED_SCRATCH_BYTES that are not part of the object. Errors do not know the name ("it
 * is cut short", "frame 3 … is damaged"): wrap them with it. */
typedef bool sealed_each(void *context, uint64_t offset, const uint8_t *bytes, size_t length,
                         struct err *err);
struct sealed_reading {
	const struct chain *object;
	uint8_t *scratch;
	uint64_t from, length;
	sealed_each *each; /* false ends the reading */
	void *context;
};
MUST_USE bool sealed_read(const struct sealed *sealed, const struct sealed_reading *reading,
                          struct err *err);

/* A whole object that was read into hold (BLOCKS_SEAL blocks, length bytes), every frame checked,
 * as if it had been sealed there just now: to be sealed again. The caller frees it; NULL: err says
 * why. ret, unless NULL: what the header says, without the frame list. */
struct sealer *sealer_of_object(const struct blocks_hold *hold, uint64_t length,
                                const struct sealed_want *want, struct sealed *ret,
                                struct err *err);

/* An object that did not shrink ends in the last of BLOCKS_SEAL blocks (16 MiB and its header): the
 * scratch for it is the upper half of that block. */
static inline uint8_t *sealed_scratch(const struct blocks_hold *hold)
{
	assert(hold->count == BLOCKS_SEAL);
	return hold->block[BLOCKS_SEAL - 1] + BLOCK_BYTES - SEALED_SCRATCH_BYTES;
}
_Static_assert((uint64_t)SEALED_OBJECT_BYTES_MAX + SEALED_SCRATCH_BYTES <=
                       (uint64_t)BLOCKS_SEAL * BLOCK_BYTES,
               "an object and the scratch to read it fit one hold");

/* The part's name: "<name>.<attempt 16 hex>.<number, 4 digits from 0001; more digits as needed>".
 */
void sealed_part_name(const char *name, uint64_t attempt, uint32_t number,
                      char out[SEALED_NAME_MAX]);

/* Frees what the calling thread keeps for compression (loop_options.worker_end). */
void codec_thread_end(void);

#endif
