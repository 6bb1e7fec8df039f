/*
 * repo.c — opening a repository, and making one.
 *
 *   open   START -> GETTING -> KEYS -> FEATURES -> done
 *   init   START -> OPENING -> [LISTING] -> PROBING -> [NOTING] -> [WRITING -> REOPENING]
 *            -> [ENCRYPTING] -> done
 *
 * seawall.json is written last: a repository exists when all was tried. A killed init leaves at
 * most objects under probe/ and claim/, which the next one knows as its own. In a repository that
 * is there already only what has changed is noted.
 */
#include "repo/repo.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "codec/json.h"
#include "internal.h"
#include "repo/keys.h"
#include "repo/probe.h"

#include "base/poison.h"

enum {
	SEAWALL_JSON_MAX = 64 * 1024,
	REPO_ID_BYTES = 16,
};

struct repo *repo_new(struct store *store, struct blocks *blocks)
{
	struct repo *repo = xcalloc(1, sizeof(*repo));

	repo->store = store;
	repo->blocks = blocks;
	gate_init(&repo->opening, 1, 0);
	return repo;
}

void repo_free(struct repo *repo)
{
	if (!repo)
		return;
	store_close(repo->store);
	free(repo->source_text);
	wrapper_free(repo->wrapper);
	keyring_free(repo->keys);
	free(repo);
}

void repo_set_key_source(struct repo *repo, const struct key_source *source)
{
	const char *before = repo->key_source.what, *after = source->what;
	bool same = repo->key_source.kind == source->kind &&
	            (before ? after && strcmp(before, after) == 0 : !after);
	char *text = after ? xstrdup(after) : NULL;

	repo->source_new = !same || repo->lags || !repo->keys;
	free(repo->source_text);
	repo->source_text = text;
	repo->reread_us = 0;
	repo->key_source = (struct key_source){.kind = source->kind, .what = text};
	repo->looked_us = 0;
}

/* ---- seawall.json ---- */

static bool seawall_take(struct repo *repo, const struct jval *root, struct err *err)
{
	uint8_t id[REPO_ID_BYTES];
	uint64_t created_us;
	uint32_t version;
	const char *text;

	if (!jget_u32(root, "format", &version, err))
		return false;
	if (version != REPO_FORMAT_VERSION) {
		err_set(err, ERR_STORE,
		        "it has format version %u, this program reads and writes version %d",
		        version, REPO_FORMAT_VERSION);
		err_hint(err, "Use a version of seawall that knows it.");
		return false;
	}
	if (!jget_str(root, "id", &text, err) || !jget_u64(root, "created", &created_us, err))
		return false;
	if (!str_hex_to(text, id, sizeof(id)))
		return err_set(err, ERR_DAMAGED, "its id is not 32 hex digits");
	repo->made_encrypted = false;
	if (jhas(root, "encrypted") && !jget_bool(root, "encrypted", &repo->made_encrypted, err))
		return false;
	str_hex_of(id, sizeof(id), repo->id);
	repo->created_us = (int64_t)created_us;
	return true;
}

static bool seawall_read(struct repo *repo, const char *text, size_t length, struct err *err)
{
	struct jval *root;
	bool ok;

	if (!json_parse(text, length, &root, err))
		return false;
	ok = seawall_take(repo, root, err);
	jval_free(root);
	return ok;
}

/* That it is encrypted stands there from its first moment, before its first key can. */
static void seawall_write(bool encrypted, struct buf *out)
{
	struct jval *root = jobject_new();
	uint8_t id[REPO_ID_BYTES];
	char text[2 * REPO_ID_BYTES + 1];

	repo_random(id, sizeof(id));
	str_hex_of(id, sizeof(id), text);
	jset_int(root, "format", REPO_FORMAT_VERSION);
	jset_str(root, "id", text);
	jset_u64(root, "created", (uint64_t)clock_now_us());
	if (encrypted)
		jset_bool(root, "encrypted", true);
	json_print(root, true, out);
	jval_free(root);
}

/* ---- open ---- */

enum open_state { OPEN_START, OPEN_TURN, OPEN_GETTING, OPEN_KEYS, OPEN_FEATURES };

static void open_end(struct repo_open *open)
{
	gate_leave(&open->ticket);
	op_done(&open->op);
}

static void open_get(struct repo_open *open)
{
	open->missing = false;
	open->block = xmalloc(SEAWALL_JSON_MAX);
	open->get = (struct store_get){
	        .store = open->repo->store,
	        .name = NAME_REPOSITORY,
	        .length = SEAWALL_JSON_MAX,
	        .block = &open->block,
	        .blocks = 1,
	        .stall_ms = open->stall_ms,
	};
	store_get_start(&open->op, &open->get);
	op_wait(&open->op, OPEN_GETTING);
}

static void open_got(struct repo_open *open)
{
	struct repo *repo = open->repo;
	struct err *err = &open->op.err;

	*err = open->get.op.err;
	open->missing = err->code == ERR_NOTFOUND;
	if (open->missing) {
		err_set(err, ERR_STORE, "there is no repository at \"%s\" (\"%s\")",
		        store_url(repo->store), store_label(repo->store));
		err_hint(err, "If one was here before: is its disk mounted, is the address right? "
		              "Only for a new one: `seawall init`.");
	} else if (!err_is(err) &&
	           !seawall_read(repo, (const char *)open->block, (size_t)open->get.got, err)) {
		err_wrap(err, "could not read object \"%s\" in repository \"%s\"", NAME_REPOSITORY,
		         store_label(repo->store));
	}
	if (!err_is(err))
		store_anchor(repo->store, NAME_REPOSITORY, open->block, (size_t)open->get.got);
	free(STEAL(open->block));
	if (err_is(err))
		return open_end(open);
	open->keys = xcalloc(1, sizeof(*open->keys));
	open->keys->repo = repo;
	open->keys->none_is_fine = open->unencrypted_is_fine;
	keys_load_start(&open->op, open->keys);
	op_wait(&open->op, OPEN_KEYS);
}

static void open_step(struct op *op)
{
	struct repo_open *open = container_of(op, struct repo_open, op);

	switch ((enum open_state)op->state) {
	case OPEN_START:
		open->was_opened = open->repo->opened;
		gate_enter(op, &open->ticket, &open->repo->opening, GATE_RESTORE, 1);
		return op_wait(op, OPEN_TURN);

	case OPEN_TURN:
		op->err = open->ticket.op.err;
		if (err_is(&op->err) || (open->repo->opened && !open->was_opened))
			return open_end(open); /* somebody else opened it meanwhile */
		return open_get(open);

	case OPEN_GETTING:
		return open_got(open);

	case OPEN_KEYS:
		op->err = open->keys->op.err;
		keys_load_release(open->keys);
		free(STEAL(open->keys));
		if (err_is(&op->err))
			return open_end(open);
		open->probe = xcalloc(1, sizeof(*open->probe));
		open->probe->repo = open->repo;
		probe_load_start(op, open->probe);
		return op_wait(op, OPEN_FEATURES);

	case OPEN_FEATURES:
		op->err = open->probe->op.err;
		open->repo->opened = !err_is(&op->err);
		free(STEAL(open->probe));
		return open_end(open);
	}
}

static const struct op_type open_type = {.name = "repository open", .step = open_step};

void repo_open_start(struct op *parent, struct repo_open *open)
{
	op_start(parent, &open->op, &open_type);
}

/* ---- init ---- */

/* clang-format off */
#define INIT_STATES(X) \
	X(INIT_START) X(INIT_OPENING) X(INIT_LISTING) X(INIT_PROBING) X(INIT_NOTING) \
	X(INIT_WRITING) X(INIT_REOPENING) X(INIT_ENCRYPTING)
/* clang-format on */

OP_STATES(init_state, INIT_STATES)

struct repo_init {
	struct op op;
	struct repo *repo;
	struct repo_open open;
	struct store_list list;
	struct probe probe;
	struct probe_note note;
	struct store_put put;
	struct keys_begin keys;
	struct iovec piece;
	struct buf text;
	bool made, differs, encrypted;
	int64_t wait_ms;
};

struct repo_init *repo_init_new(struct repo *repo)
{
	struct repo_init *init = xcalloc(1, sizeof(*init));

	init->repo = repo;
	buf_init(&init->text, SEAWALL_JSON_MAX);
	return init;
}

void repo_init_free(struct repo_init *init)
{
	if (!init)
		return;
	store_list_release(&init->list);
	buf_release(&init->text);
	free(init);
}

struct op *repo_init_op(struct repo_init *init)
{
	return &init->op;
}

void repo_init_wait(struct repo_init *init, int64_t ms)
{
	init->wait_ms = ms;
}

static void init_open(struct repo_init *init, int state)
{
	init->open = (struct repo_open){.repo = init->repo, .unencrypted_is_fine = true};
	repo_open_start(&init->op, &init->open);
	op_wait(&init->op, state);
}

/* The repository is there, open, and its store was tried. */
static void init_encrypt(struct repo_init *init)
{
	struct repo *repo = init->repo;

	if (repo->key_source.kind == KEY_SOURCE_NONE || repo->keys)
		return op_done(&init->op);
	/* In what was made just now nobody has stored anything without a key: seawall_write. */
	init->keys = (struct keys_begin){.repo = repo, .wait_ms = init->made ? 0 : init->wait_ms};
	keys_begin_start(&init->op, &init->keys);
	op_wait(&init->op, INIT_ENCRYPTING);
}

bool repo_init_encrypted(const struct repo_init *init, uint64_t *ret_plain)
{
	*ret_plain = init->keys.plain;
	return init->encrypted;
}

bool repo_init_differs(const struct repo_init *init)
{
	return init->differs;
}

static void init_list(struct repo_init *init)
{
	init->list = (struct store_list){.store = init->repo->store, .prefix = "", .folders = true};
	store_list_start(&init->op, &init->list);
	op_wait(&init->op, INIT_LISTING);
}

static void init_probe(struct repo_init *init)
{
	init->probe = (struct probe){.repo = init->repo};
	probe_start(&init->op, &init->probe);
	op_wait(&init->op, INIT_PROBING);
}

/* Only what a killed init may have left is allowed beside a repository that is to come. */
static void init_listed(struct repo_init *init)
{
	for (unsigned i = 0; i < init->list.count; i++) {
		const char *name = init->list.entry[i].name;

		if (strcmp(name, "probe/") == 0 || strcmp(name, NAME_CLAIMS) == 0)
			continue;
		if (strcmp(name, NAME_REPOSITORY) == 0) /* another init was faster */
			return init_open(init, INIT_REOPENING);
		op_fail_as(&init->op, ERR_REFUSED,
		           "\"%s\" is not empty (it holds \"%s\") and is no repository",
		           store_url(init->repo->store), name);
		err_hint(&init->op.err, "Give the repository a place of its own.");
		return;
	}
	init_probe(init);
}

/* From now on we write as the store that was found wants it. */
static void init_probed(struct repo_init *init)
{
	struct repo *repo = init->repo;

	init->differs = !repo->opened || !features_equal(&repo->features, &init->probe.features);
	repo->features = init->probe.features;
	store_set_safety(repo->store, features_safety(&repo->features));
	if (!init->differs && !store_takes_over(repo->store))
		return init_encrypt(init);
	init->note = (struct probe_note){.repo = repo};
	probe_note_start(&init->op, &init->note);
	op_wait(&init->op, INIT_NOTING);
}

static void init_write(struct repo_init *init)
{
	buf_clear(&init->text);
	seawall_write(init->repo->key_source.kind != KEY_SOURCE_NONE, &init->text);
	init->piece = (struct iovec){init->text.data, init->text.length};
	init->put = (struct store_put){.store = init->repo->store,
	                               .name = NAME_REPOSITORY,
	                               .piece = &init->piece,
	                               .pieces = 1};
	store_put_start(&init->op, &init->put);
	op_wait(&init->op, INIT_WRITING);
}

static void init_fail(struct repo_init *init, const struct err *cause)
{
	init->op.err = *cause;
	op_fail_own(&init->op);
}

static void init_step(struct op *op)
{
	struct repo_init *init = container_of(op, struct repo_init, op);

	switch ((enum init_state)op->state) {
	case INIT_START:
		if (init->repo->opened)
			return init_probe(init);
		return init_open(init, INIT_OPENING);

	case INIT_OPENING:
		if (!op_failed(&init->open.op))
			return init_probe(init);
		if (!init->open.missing)
			return init_fail(init, &init->open.op.err);
		return init_list(init);

	case INIT_LISTING:
		if (op_failed(&init->list.op))
			return op_fail(op, &init->list.op.err, "the repository cannot be listed");
		return init_listed(init);

	case INIT_PROBING:
		if (op_failed(&init->probe.op))
			return op_fail(op, &init->probe.op.err, "the repository cannot be used");
		return init_probed(init);

	case INIT_NOTING:
		if (op_failed(&init->note.op))
			return op_fail(op, &init->note.op.err, "the repository cannot be written");
		if (init->repo->opened)
			return init_encrypt(init);
		return init_write(init);

	case INIT_WRITING: /* taken meanwhile: by another init, whose repository is as good */
		if (op_failed(&init->put.op) && init->put.op.err.code != ERR_EXISTS)
			return op_fail(op, &init->put.op.err, "the repository cannot be written");
		init->made = !op_failed(&init->put.op);
		return init_open(init, INIT_REOPENING);

	case INIT_REOPENING:
		if (op_failed(&init->open.op))
			return init_fail(init, &init->open.op.err);
		return init_encrypt(init);

	case INIT_ENCRYPTING:
		if (op_failed(&init->keys.op))
			return init_fail(init, &init->keys.op.err);
		init->encrypted = true;
		return op_done(op);
	}
}

static const struct op_type init_type = {
        .name = "repository init", .step = init_step, .state_name = init_state_name};

void repo_init_start(struct op *parent, struct repo_init *init)
{
	op_start(parent, &init->op, &init_type);
}
