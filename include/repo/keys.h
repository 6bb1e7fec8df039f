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
#include "loop/nap.h"
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
	bool again;              /* it is open: what is new is added, see keys_look */
	struct key_found *found; /* out: in the order of their names; keys_load_release */
	unsigned count;
	struct store_walk walk; /* private, all below */
	struct object_read read;
	struct work work;
	unsigned at;
	uint32_t *marker;
	unsigned markers;
	bool too_many;
	int64_t begun_us, since_us; /* since: when the oldest of what is there was written */
	uint64_t seen;
	struct key_source source; /* its text is owned */
	bool reread;
	struct keyring *ring; /* that of the repository, or one that becomes it */
	struct repo sight;    /* the repository as this ring sees it */
	char name[NAME_BYTES];
	struct err damaged;
};
void keys_load_start(struct op *parent, struct keys_load *load);
void keys_load_release(struct keys_load *load);

/*
 * The first data key of a repository that has none, and the marker with all that is in it now.
 *
 * Others may be storing in it, unencrypted, and what they hear to be stored must be in the marker.
 * So with wait_ms a first marker, of nothing, says that it is about to be encrypted, and the list
 * is made when nobody believes any more that it is not: KEYS_WAIT_MS after KEYS_FRESH_MS would do.
 */
struct keys_begin {
	struct op op;
	struct repo *repo;
	int64_t wait_ms; /* 0: nobody stores there */
	uint64_t plain;  /* out: how many objects stay unencrypted */
	bool others;     /* somebody else encrypted it meanwhile */
	struct nap nap;
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

enum {
	KEYS_FRESH_MS = 90 * 1000,        /* how long a look that found no keys is believed */
	KEYS_WAIT_MS = 120 * 1000,        /* how long `init` waits: longer than that */
	KEYS_LOOK_MS = 30 * 1000,         /* between two looks without a cause */
	KEYS_AGAIN_MS = 5 * 1000,         /* between two looks of one that is shut out */
	KEYS_COMMAND_MS = 10 * 60 * 1000, /* between two runs of a command that did not help */
};

/*
 * One look below keys/ in a repository that is open: one listing while nothing has changed. A data
 * key that is new is opened and seals from then on; one that the key at hand does not open (lags)
 * leaves the one before in use, and the source is asked again. A repository that was not encrypted
 * and is now gets its ring, or is shut (repo->shut), which is no error of the look. At most one
 * look at a time; one that another story began meanwhile counts for all.
 */
struct keys_look {
	struct op op;
	struct repo *repo;
	struct ticket ticket;
	int64_t begun_us;
	struct keys_load *load;
};
void keys_look_start(struct op *parent, struct keys_look *look);

/*
 * Whether something may be stored in a repository, by one that may not know that it was encrypted:
 * before, and after (stored) when it was not encrypted and is there now. ERR_REFUSED: it is
 * encrypted, or about to be, and was not then. Without a look as long as the last one is fresh.
 *
 * That nothing is lost rests on this: whoever says "stored" of what is not encrypted has it in the
 * store no later than KEYS_FRESH_MS after a look began that found no marker; the marker's list is
 * made KEYS_WAIT_MS after the first marker was there.
 */
struct keys_guard {
	struct op op;
	struct repo *repo;
	bool stored;
	struct keys_look look;
};
void keys_guard_start(struct op *parent, struct keys_guard *guard);
/* Whether there is nothing to wait for; then all is well. */
bool keys_guard_idle(const struct repo *repo, bool stored);
/* In short, for those who tell of it. */
struct keys_state {
	bool known;   /* it was looked */
	bool shut;    /* repo->shut says why */
	bool lags;    /* struct repo */
	uint64_t key; /* the id of the data key that seals; 0: nothing is encrypted */
};
struct keys_state keys_state(const struct repo *repo);
/* Whether the last look was not a short time ago: several stories look at one repository. */
bool keys_look_due(const struct repo *repo);
/* Whether one more look may find the data key of an object that could not be opened. */
bool keys_look_helps(const struct repo *repo);

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
