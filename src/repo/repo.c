/*
 * repo.c — opening a repository, and making one.
 *
 *   open   START -> GETTING -> KEYS -> done
 *   init   START -> OPENING -> LISTING -> the probe's steps -> NOTING -> WRITING -> REOPENING ->
 * ENCRYPTING -> done
 *
 * seawall.json is written last: a repository exists when all was tried. A killed init leaves at
 * most objects under probe/, which the next one knows as its own.
 */
#include "repo/repo.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "codec/json.h"
#include "internal.h"
#include "repo/keys.h"
#include "repo/object.h"

#include "base/poison.h"

enum {
	SEAWALL_JSON_MAX = 64 * 1024,
	REPO_ID_BYTES = 16,
	PROBE_BYTES = 4096,
	PROBE_NAME_BYTES = 48,
};

struct repo *repo_new(struct store *store, struct blocks *blocks)
{
	struct repo *repo = xcalloc(1, sizeof(*repo));

	repo->store = store;
	repo->blocks = blocks;
	return repo;
}

void repo_free(struct repo *repo)
{
	if (!repo)
		return;
	store_close(repo->store);
	wrapper_free(repo->wrapper);
	keyring_free(repo->keys);
	free(repo);
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

static void seawall_write(struct buf *out)
{
	struct jval *root = jobject_new();
	uint8_t id[REPO_ID_BYTES];
	char text[2 * REPO_ID_BYTES + 1];

	repo_random(id, sizeof(id));
	str_hex_of(id, sizeof(id), text);
	jset_int(root, "format", REPO_FORMAT_VERSION);
	jset_str(root, "id", text);
	jset_u64(root, "created", (uint64_t)clock_now_us());
	json_print(root, true, out);
	jval_free(root);
}

/* ---- open ---- */

enum open_state { OPEN_START, OPEN_GETTING, OPEN_KEYS };

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
		err_hint(err, "`seawall init` makes one.");
	} else if (!err_is(err) &&
	           !seawall_read(repo, (const char *)open->block, (size_t)open->get.got, err)) {
		err_wrap(err, "object \"%s\" in repository \"%s\" is not valid", NAME_REPOSITORY,
		         store_label(repo->store));
	}
	if (!err_is(err))
		store_anchor(repo->store, NAME_REPOSITORY, open->block, (size_t)open->get.got);
	free(STEAL(open->block));
	if (err_is(err))
		return op_done(&open->op);
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
		return open_get(open);

	case OPEN_GETTING:
		return open_got(open);

	case OPEN_KEYS:
		op->err = open->keys->op.err;
		open->repo->opened = !err_is(&op->err);
		keys_load_release(open->keys);
		free(STEAL(open->keys));
		return op_done(op);
	}
}

static const struct op_type open_type = {.name = "repository open", .step = open_step};

void repo_open_start(struct op *parent, struct repo_open *open)
{
	op_start(parent, &open->op, &open_type);
}

/* ---- init ---- */

#define INIT_STATES(X)                                                                             \
	X(START)                                                                                   \
	X(OPENING)                                                                                 \
	X(LISTING)                                                                                 \
	X(PROBE_PUT)                                                                               \
	X(PROBE_GET)                                                                               \
	X(PROBE_AGAIN)                                                                             \
	X(PROBE_LIST)                                                                              \
	X(PROBE_REMOVE)                                                                            \
	X(PROBE_HEAD)                                                                              \
	X(NOTING)                                                                                  \
	X(WRITING)                                                                                 \
	X(REOPENING)                                                                               \
	X(ENCRYPTING)

enum init_state {
#define X(name) INIT_##name,
	INIT_STATES(X)
#undef X
};

static const char *init_state_name(int state)
{
#define X(name) #name,
	static const char *const names[] = {INIT_STATES(X)};
#undef X

	return names[state];
}

struct repo_init {
	struct op op;
	struct repo *repo;
	struct repo_open open;
	struct store_list list;
	struct store_put put;
	struct store_get get;
	struct store_head head;
	struct store_remove remove;
	struct object_write note;
	struct keys_begin keys;
	struct iovec piece;
	uint8_t bytes[PROBE_BYTES];
	uint8_t *block;
	char probe_name[PROBE_NAME_BYTES], note_name[NAME_BYTES];
	const char *remove_name;
	struct buf text;
	bool removes, encrypted;
};

struct repo_init *repo_init_new(struct repo *repo)
{
	struct repo_init *init = xcalloc(1, sizeof(*init));

	init->repo = repo;
	init->block = xmalloc(BLOCK_BYTES);
	buf_init(&init->text, SEAWALL_JSON_MAX);
	return init;
}

void repo_init_free(struct repo_init *init)
{
	if (!init)
		return;
	store_list_release(&init->list);
	buf_release(&init->text);
	free(init->block);
	free(init);
}

struct op *repo_init_op(struct repo_init *init)
{
	return &init->op;
}

static void init_open(struct repo_init *init, int state)
{
	init->open = (struct repo_open){.repo = init->repo, .unencrypted_is_fine = true};
	repo_open_start(&init->op, &init->open);
	op_wait(&init->op, state);
}

/* The repository is there, and open. */
static void init_opened(struct repo_init *init)
{
	struct repo *repo = init->repo;

	if (repo->key_source.kind == KEY_SOURCE_NONE || repo->keys)
		return op_done(&init->op);
	init->keys = (struct keys_begin){.repo = repo};
	keys_begin_start(&init->op, &init->keys);
	op_wait(&init->op, INIT_ENCRYPTING);
}

bool repo_init_encrypted(const struct repo_init *init, uint64_t *ret_plain)
{
	*ret_plain = init->keys.plain;
	return init->encrypted;
}

static void init_list(struct repo_init *init, const char *prefix, int state)
{
	store_list_release(&init->list);
	init->list = (struct store_list){
	        .store = init->repo->store, .prefix = prefix, .folders = prefix[0] == '\0'};
	store_list_start(&init->op, &init->list);
	op_wait(&init->op, state);
}

static void init_put(struct repo_init *init, const char *name, void *bytes, size_t length,
                     int state)
{
	init->piece = (struct iovec){bytes, length};
	init->put = (struct store_put){
	        .store = init->repo->store, .name = name, .piece = &init->piece, .pieces = 1};
	store_put_start(&init->op, &init->put);
	op_wait(&init->op, state);
}

static void init_refuse(struct repo_init *init, const char *what)
{
	op_fail_as(&init->op, ERR_STORE, "the store of repository \"%s\" cannot be used: %s",
	           store_label(init->repo->store), what);
}

/* Only what a killed init may have left is allowed beside a repository that is to come. */
static void init_listed(struct repo_init *init)
{
	char hex[17];
	uint64_t number = repo_random_id();

	for (unsigned i = 0; i < init->list.count; i++) {
		if (strcmp(init->list.entry[i].name, "probe/") == 0)
			continue;
		op_fail_as(&init->op, ERR_REFUSED,
		           "\"%s\" is not empty (it holds \"%s\") and is no repository",
		           store_url(init->repo->store), init->list.entry[i].name);
		err_hint(&init->op.err, "Give the repository a place of its own.");
		return;
	}
	str_hex_of(&number, sizeof(number), hex);
	snprintf(init->probe_name, sizeof(init->probe_name), "probe/try-%s", hex);
	repo_random(init->bytes, sizeof(init->bytes));
	init_put(init, init->probe_name, init->bytes, sizeof(init->bytes), INIT_PROBE_PUT);
}

static void init_probe_get(struct repo_init *init)
{
	init->get = (struct store_get){
	        .store = init->repo->store,
	        .name = init->probe_name,
	        .offset = 100,
	        .length = 1000,
	        .block = &init->block,
	        .blocks = 1,
	};
	store_get_start(&init->op, &init->get);
	op_wait(&init->op, INIT_PROBE_GET);
}

static void init_probe_remove(struct repo_init *init)
{
	init->remove_name = init->probe_name;
	init->remove = (struct store_remove){
	        .store = init->repo->store, .name = &init->remove_name, .names = 1};
	store_remove_start(&init->op, &init->remove);
	op_wait(&init->op, INIT_PROBE_REMOVE);
}

static void init_probe_head(struct repo_init *init)
{
	init->head = (struct store_head){.store = init->repo->store, .name = init->probe_name};
	store_head_start(&init->op, &init->head);
	op_wait(&init->op, INIT_PROBE_HEAD);
}

/* What was found out, under the next free number. */
static void init_note(struct repo_init *init)
{
	struct jval *root = jobject_new();
	uint32_t next = 1, n;

	for (unsigned i = 0; i < init->list.count; i++)
		if (str_u32(init->list.entry[i].name + strlen("probe/"), &n) && n >= next)
			next = n + 1;
	name_probe(init->note_name, next);
	jset_bool(root, "create_only", true);
	jset_bool(root, "range", true);
	jset_bool(root, "list_after_put", true);
	jset_bool(root, "remove", init->removes);
	buf_clear(&init->text);
	json_print(root, true, &init->text);
	jval_free(root);
	init->note = (struct object_write){
	        .repo = init->repo,
	        .name = init->note_name,
	        .kind = SEALED_PROBE,
	        .class = GATE_BACKUP,
	        .bytes = init->text.data,
	        .length = init->text.length,
	};
	object_write_start(&init->op, &init->note);
	op_wait(&init->op, INIT_NOTING);
}

static bool probe_is_listed(const struct repo_init *init)
{
	for (unsigned i = 0; i < init->list.count; i++)
		if (strcmp(init->list.entry[i].name, init->probe_name) == 0)
			return true;
	return init->list.more; /* not on the first page of a place full of tries */
}

static bool probe_is_right(const struct repo_init *init)
{
	return init->get.got == 1000 && init->get.object_bytes == PROBE_BYTES &&
	       memcmp(init->block, init->bytes + 100, 1000) == 0;
}

/* One look at an answer of the probe, and the next question. */
static void init_probe(struct repo_init *init)
{
	struct op *op = &init->op;

	switch ((enum init_state)op->state) {
	case INIT_PROBE_PUT:
		if (op_failed(&init->put.op))
			return op_fail(op, &init->put.op.err, "the repository cannot be written");
		return init_probe_get(init);

	case INIT_PROBE_GET:
		if (op_failed(&init->get.op))
			return op_fail(op, &init->get.op.err, "what was written cannot be read");
		if (!probe_is_right(init))
			return init_refuse(init, "a range of an object is not what was written");
		return init_put(init, init->probe_name, init->bytes, 10, INIT_PROBE_AGAIN);

	case INIT_PROBE_AGAIN:
		if (!op_failed(&init->put.op))
			return init_refuse(init, "it overwrites an object that is there already");
		if (init->put.op.err.code != ERR_EXISTS)
			return op_fail(op, &init->put.op.err, "a second write could not be tried");
		return init_list(init, "probe/", INIT_PROBE_LIST);

	case INIT_PROBE_LIST:
		if (op_failed(&init->list.op))
			return op_fail(op, &init->list.op.err, "the repository cannot be listed");
		if (!probe_is_listed(init))
			return init_refuse(init, "a listing lacks what was written before it");
		return init_probe_remove(init);

	case INIT_PROBE_REMOVE: /* a store that keeps everything is fine */
		if (op->cancelled)
			return op_fail_as(op, ERR_CANCELLED, "cancelled");
		return init_probe_head(init);

	default:
		init->removes = init->head.op.err.code == ERR_NOTFOUND;
		return init_note(init);
	}
}

static void init_step(struct op *op)
{
	struct repo_init *init = container_of(op, struct repo_init, op);

	switch ((enum init_state)op->state) {
	case INIT_START:
		return init_open(init, INIT_OPENING);

	case INIT_OPENING:
		if (!op_failed(&init->open.op))
			return init_opened(init);
		if (!init->open.missing) {
			op->err = init->open.op.err;
			return op_fail_own(op);
		}
		return init_list(init, "", INIT_LISTING);

	case INIT_LISTING:
		if (op_failed(&init->list.op))
			return op_fail(op, &init->list.op.err, "the repository cannot be listed");
		return init_listed(init);

	case INIT_NOTING:
		if (op_failed(&init->note.op))
			return op_fail(op, &init->note.op.err, "the repository cannot be written");
		buf_clear(&init->text);
		seawall_write(&init->text);
		return init_put(init, NAME_REPOSITORY, init->text.data, init->text.length,
		                INIT_WRITING);

	case INIT_WRITING: /* taken meanwhile: by another init, whose repository is as good */
		if (op_failed(&init->put.op) && init->put.op.err.code != ERR_EXISTS)
			return op_fail(op, &init->put.op.err, "the repository cannot be written");
		return init_open(init, INIT_REOPENING);

	case INIT_REOPENING:
		if (!op_failed(&init->open.op))
			return init_opened(init);
		op->err = init->open.op.err;
		return op_fail_own(op);

	case INIT_ENCRYPTING:
		if (op_failed(&init->keys.op)) {
			op->err = init->keys.op.err;
			return op_fail_own(op);
		}
		init->encrypted = true;
		return op_done(op);

	default:
		return init_probe(init);
	}
}

static const struct op_type init_type = {
        .name = "repository init", .step = init_step, .state_name = init_state_name};

void repo_init_start(struct op *parent, struct repo_init *init)
{
	op_start(parent, &init->op, &init_type);
}
