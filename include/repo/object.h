/*
 * object.h — sealed objects in a repository, written and read whole, small and big, as operations.
 *
 * Names are relative to the store; the name that is sealed in is the part after "<cluster>/"
 * (name_sealed in names.h), the whole name for what lies outside of a cluster's folder. A big thing
 * is written as parts under a random attempt id, its head last: it exists if and only if its head
 * exists.
 */
#ifndef REPO_OBJECT_H
#define REPO_OBJECT_H

#include "base/buf.h"
#include "codec/sealed.h"
#include "loop/work.h"
#include "repo/repo.h"

/* ---- writing ---- */

/*
 * Fills room with the next bytes of the content; runs on a worker, one call after the other.
 * *ret_length 0: the content has ended. Failing ends the write with that error, wrapped.
 */
struct object_write;
typedef bool object_produce(struct object_write *write, uint8_t *room, size_t room_bytes,
                            size_t *ret_length, struct err *err);
/* Called on a worker after the last byte, before anything is visible: a last word on whether the
 * content is good. May be NULL. */
typedef bool object_accept(struct object_write *write, struct err *err);

struct object_write {
	struct op op; /* ERR_EXISTS: there is other content under this name; see existing */
	/* in; must stay */
	struct repo *repo;
	const char *name;
	enum sealed_kind kind;
	struct compression compression;
	uint32_t frame_bytes;    /* 0: SEALED_FRAME_BYTES_WAL */
	enum gate_class class;   /* for memory and workers */
	object_produce *produce; /* content of any length: beyond SEALED_FRAMES_BYTES_MAX it becomes
	                            parts */
	object_accept *accept;
	void *context; /* the caller's */
	/* or, instead of produce: content in memory */
	const void *bytes;
	size_t length;
	/* out */
	struct digest digest; /* of the content (valid also with ERR_EXISTS) */
	uint64_t logical_bytes, stored_bytes;
	bool repeated;          /* success, and it was there already with this digest */
	struct digest existing; /* ERR_EXISTS: what is there */
	int64_t existing_created_us;
	void *detail; /* private */
};
/* The caller has zero-filled it and set the inputs. */
void object_write_start(struct op *parent, struct object_write *write);
/* By what content is known to other writers of the same name (store_put.content): of everybody who
 * stores it, the same. */
void object_claim(const struct repo *repo, const struct digest *digest, struct digest *ret);

/*
 * A big thing whose parts come piece by piece, as a story finds them, and whose own frames are
 * written at the end (a manifest: body and head). Parts hold SEALED_PART_BYTES each but the last.
 * One part is built at a time: what is added beyond it waits in `pending`, so the caller adds at
 * most OBJECT_STREAM_ADD_MAX bytes between two ends of object_stream_add.
 */
enum { OBJECT_STREAM_ADD_MAX = 1024 * 1024 };
struct object_builder;
struct object_builder *object_builder_new(struct repo *repo, const char *name,
                                          enum sealed_kind kind,
                                          const struct compression *compression,
                                          enum gate_class class);
struct object_builder_add {
	struct op op;
	struct object_builder *builder;
	const void *bytes; /* must stay until the end */
	size_t length;
};
void object_builder_add_start(struct op *parent, struct object_builder_add *add);
/* Completes the last part and writes the head with its own frames. */
struct object_builder_end {
	struct op op;
	struct object_builder *builder;
	const void *bytes; /* content of the own frames */
	size_t length;
	uint64_t stored_bytes; /* out: of all parts and the head */
};
void object_builder_end_start(struct op *parent, struct object_builder_end *end);
/* Also half-way: parts already written stay behind as leftovers of a lost attempt, which disturb
 * nobody. */
void object_builder_free(struct object_builder *builder);

/* ---- reading ---- */

/* Header only: does it exist, what is it, its digest. ERR_NOTFOUND is proven. */
struct object_stat {
	struct op op;
	struct repo *repo;
	const char *name;
	enum sealed_kind kind; /* 0: any */
	struct sealed sealed;  /* out, without the frame list */
	uint64_t object_bytes; /* out: of the head object, as stored */
	void *detail;
};
void object_stat_start(struct op *parent, struct object_stat *stat);

/* A whole small thing into memory, every frame checked. With own_frames, the parts are left out. */
struct object_read {
	struct op op;
	struct repo *repo;
	const char *name;
	enum sealed_kind kind; /* 0: any */
	size_t bytes_max;      /* more is ERR_DAMAGED */
	bool own_frames;
	struct buf content;   /* out; the caller releases it */
	struct sealed sealed; /* out, without the frame list */
	void *detail;
};
void object_read_start(struct op *parent, struct object_read *read);

/* Content of any size, in order, in bounded memory (one object at a time): consume runs on a
 * worker. At the end, with everything checked (frames, digest over all parts), op ends without
 * error. */
struct object_stream;
typedef bool object_consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                            size_t length, struct err *err);
struct object_stream {
	struct op op;
	struct repo *repo;
	const char *name;
	enum sealed_kind kind;
	enum gate_class class;
	uint64_t likely_bytes; /* how big the object is, if one may guess: tried with so much
	                          memory first; 0: with as much as any needs */
	uint64_t expect_bytes; /* the same for the way only, which is wider for what is large; 0:
	                          as likely_bytes */
	bool own_only;   /* without the parts (a manifest's head); the digest is not checked */
	bool parts_only; /* a manifest's body without its head; then the digest is not checked */
	uint64_t from, length; /* only this range of the logical content (no digest check); length
	                          0: all */
	int64_t stall_ms;      /* as struct store_get has it, of each object */
	object_consume *consume;
	void *context;
	struct sealed sealed;  /* out, without the frame list; valid in consume */
	uint64_t stored_bytes; /* out: read from the store */
	void *detail;
};
void object_stream_start(struct op *parent, struct object_stream *stream);

#endif
