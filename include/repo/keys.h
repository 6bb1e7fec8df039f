/*
 * keys.h — the keys that lie in a repository: found, opened, made, wrapped again
 * (codec/keys.h, doc/format.md "Encryption").
 *
 * "keys/<key id>/<n>" is a data key wrapped by some wrapping key; any of them that can be opened
 * will do. "keys/plain/<n>" is the marker: the objects that were there, unencrypted, when the
 * repository was encrypted. A repository with a data key is encrypted: without a wrapping key it
 * is not opened, and with one that opens none of them neither.
 */
#ifndef REPO_KEYS_H
#define REPO_KEYS_H

#include "codec/keys.h"
#include "repo/object.h"
#include "repo/repo.h"

enum {
	KEYS_FOUND_MAX = 1024,                    /* wrapped keys in one repository */
	KEYS_MARKER_BYTES_MAX = 64 * 1024 * 1024, /* 8 million names */
};

/* Blocking, for a worker; a command has a minute. NULL with err. */
struct wrapper *key_source_read(const struct key_source *source, struct err *err);

struct key_found {
	uint64_t id;
	uint32_t n;
	bool readable; /* then wrapped is set */
	enum unwrap outcome;
	struct wrapped_key wrapped;
};

/*
 * Reads all of them and fills repo->keys; keys of a ring that is there already stay in it.
 * ERR_STORE: it is encrypted and no key is set, the key opens none of its data keys, or (unless
 * none_is_fine) a key is set and it is not encrypted. ERR_DAMAGED: what the key should open was
 * changed.
 */
struct keys_load {
	struct op op;
	struct repo *repo;
	bool none_is_fine;
	struct key_found *found; /* out: in the order of their names; keys_load_release */
	unsigned count;
	struct store_walk walk; /* private, all below */
	struct object_read read;
	struct work work;
	unsigned at;
	uint32_t *marker;
	unsigned markers;
	bool too_many;
	char name[NAME_BYTES];
	struct err damaged;
};
void keys_load_start(struct op *parent, struct keys_load *load);
void keys_load_release(struct keys_load *load);

/* The first data key of a repository that has none, and the marker with all that is in it now. */
struct keys_begin {
	struct op op;
	struct repo *repo;
	uint64_t plain; /* out: how many objects stay unencrypted */
	struct store_walk walk;
	struct object_write write;
	struct work work;
	struct keyring *ring;
	uint64_t *hash;
	size_t size;
	uint32_t marker;
	struct buf text;
	char name[NAME_BYTES];
};
void keys_begin_start(struct op *parent, struct keys_begin *begin);

/* All data keys of repo->keys wrapped by one more wrapping key; with make, also a new data key,
 * wrapped by it alone, and the newest from then on. */
struct keys_wrap {
	struct op op;
	struct repo *repo;
	const struct keys_load *load; /* of just now */
	struct wrapper *wrapper;
	bool make;
	unsigned wrapped; /* out: how many were */
	uint64_t made;    /* out: id of the new data key, or 0 */
	struct object_write write;
	struct work work;
	unsigned at, tries;
	bool skip;
	struct buf text;
	char name[NAME_BYTES];
};
void keys_wrap_start(struct op *parent, struct keys_wrap *wrap);

#endif
