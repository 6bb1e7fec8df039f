/*
 * key.c — `seawall key list | add | rotate`: the keys of an encrypted repository.
 *
 * All work in this process: no server needs to run, and one that runs sees within a minute what is
 * new.
 */
#include "base/clock.h"
#include "codec/json.h"
#include "repo/keys.h"
#include "story.h"
#include "table.h"
#include "base/poison.h"

enum { KEY_OUTPUT_MAX = 1024 * 1024 };

struct keying {
	struct runtime runtime;
	const struct config_repository *config;
	struct repo *repo;
	struct keys_load load;
	struct keys_wrap wrap;
	struct wrapper *wrapper; /* NULL: the repository's own */
};

static bool find_repository(const struct config *config, const char *name, size_t *ret,
                            struct err *err)
{
	if (!name && config->repositories > 1) {
		err_set(err, ERR_USAGE, "there are %zu repositories in the configuration",
		        config->repositories);
		err_hint(err, "Name one of them, such as \"%s\".", config->repository[0].name);
		return false;
	}
	for (*ret = 0; name && *ret < config->repositories; (*ret)++)
		if (strcmp(config->repository[*ret].name, name) == 0)
			return true;
	if (!name)
		return true;
	return err_set(err, ERR_USAGE, "there is no repository \"%s\" in the configuration", name);
}

/* The number of a cluster that is archived there. */
static bool find_user(const struct config *config, size_t repository, size_t *ret, struct err *err)
{
	for (*ret = 0; *ret < config->clusters; (*ret)++)
		if (config->cluster[*ret].repository == &config->repository[repository])
			return true;
	return err_set(err, ERR_CONFIG, "no cluster uses repository \"%s\"",
	               config->repository[repository].name);
}

static void start_loading(struct op *parent, void *context)
{
	keys_load_start(parent, context);
}

static bool keying_open(struct cli *cli, struct keying *keying, struct err *err)
{
	size_t repository, cluster;

	if (!find_repository(cli->config, argument_at(cli->arguments, 0), &repository, err) ||
	    !find_user(cli->config, repository, &cluster, err) ||
	    !story_runtime(cli, &keying->runtime, err))
		return false;
	keying->config = &cli->config->repository[repository];
	if (!runtime_open(&keying->runtime, cluster, err))
		return false;
	keying->repo = keying->runtime.site[cluster].repo;
	if (!keying->repo->keys) {
		err_set(err, ERR_REFUSED, "repository \"%s\" is not encrypted",
		        keying->config->name);
		err_hint(err, "Set \"key_file\" in [repository %s], then \"seawall init\".",
		         keying->config->name);
		return false;
	}
	keying->load.repo = keying->repo;
	return story_run(&keying->runtime, start_loading, &keying->load.op, &keying->load, err);
}

static void keying_close(struct keying *keying)
{
	keys_load_release(&keying->load);
	wrapper_free(keying->wrapper);
	runtime_release(&keying->runtime);
	free(keying);
}

/* ---- list ---- */

static const char *outcome_text(const struct key_found *found)
{
	if (!found->readable)
		return "unreadable";
	switch (found->outcome) {
	case UNWRAP_OPENED:
		return "opens it";
	case UNWRAP_OTHER:
		return "another key";
	case UNWRAP_DAMAGED:
		return "changed";
	}
	return "";
}

static void time_text(int64_t time_us, char out[TIME_TEXT_BYTES])
{
	clock_text_utc(time_us / US_PER_S * US_PER_S, out);
}

static void list_text(const struct keying *keying, struct buf *out)
{
	static const char *const titles[] = {"DATA KEY", "NUMBER", "CREATED",        "",
	                                     "WRAPPED",  "BY",     "KEY THAT IS SET"};
	const struct keyring *ring = keying->repo->keys;
	struct key_about newest = {0};
	char id[KEY_ID_BYTES], time[TIME_TEXT_BYTES];
	struct table table;

	(void)keyring_newest(ring, &newest);
	table_init(&table, ARRAY_LENGTH(titles), titles, 1u << 1);
	for (unsigned i = 0; i < keying->load.count; i++) {
		const struct key_found *found = &keying->load.found[i];

		key_id_text(found->id, id);
		table_add(&table, id);
		table_addf(&table, "%u", found->wrapped.number);
		time_text(found->wrapped.created_us, time);
		table_add(&table, found->readable ? time : "");
		table_add(&table, found->id == newest.id ? "newest" : "");
		time_text(found->wrapped.wrapped_us, time);
		table_add(&table, found->readable ? time : "");
		key_id_text(found->wrapped.wrapper, id);
		table_addf(&table, "%s %s", wrap_method_name(found->wrapped.method), id);
		table_add(&table, outcome_text(found));
	}
	table_print(&table, 0, out);
	table_release(&table);
}

static void list_json(const struct keying *keying, struct buf *out)
{
	const struct keyring *ring = keying->repo->keys;
	struct jval *root = jobject_new(), *list;
	struct key_about newest = {0};
	char id[KEY_ID_BYTES];

	jset_int(root, "version", 1);
	jset_str(root, "repository", keying->config->name);
	if (keyring_newest(ring, &newest)) {
		key_id_text(newest.id, id);
		jset_str(root, "newest", id);
	}
	list = jset_array(root, "keys");
	for (unsigned i = 0; i < keying->load.count; i++) {
		const struct key_found *found = &keying->load.found[i];
		struct jval *item = jadd_object(list);

		key_id_text(found->id, id);
		jset_str(item, "data_key", id);
		jset_int(item, "n", found->n);
		jset_bool(item, "readable", found->readable);
		jset_bool(item, "opened", found->readable && found->outcome == UNWRAP_OPENED);
		if (!found->readable)
			continue;
		jset_int(item, "number", found->wrapped.number);
		jset_u64(item, "created_us", (uint64_t)found->wrapped.created_us);
		jset_u64(item, "wrapped_us", (uint64_t)found->wrapped.wrapped_us);
		jset_str(item, "method", wrap_method_name(found->wrapped.method));
		key_id_text(found->wrapped.wrapper, id);
		jset_str(item, "wrapping_key", id);
	}
	json_print(root, true, out);
	jval_free(root);
}

static bool key_list_run(struct cli *cli, struct err *err)
{
	struct keying *keying = xcalloc(1, sizeof(*keying));
	AUTO_BUF struct buf out = {0};
	bool done = keying_open(cli, keying, err);

	buf_init(&out, KEY_OUTPUT_MAX);
	if (done) {
		if (cli->json)
			list_json(keying, &out);
		else
			list_text(keying, &out);
		done = print(buf_text(&out), err);
	}
	keying_close(keying);
	return done;
}

/* ---- add, rotate ---- */

/* The wrapping key that the command line names; kind NONE: it names none. */
static bool given_source(const struct arguments *arguments, struct key_source *ret, struct err *err)
{
	static const struct {
		const char *option;
		enum key_source_kind kind;
	} ways[] = {
	        {"key-file", KEY_SOURCE_FILE},
	        {"passphrase-file", KEY_SOURCE_PASSPHRASE_FILE},
	        {"key-command", KEY_SOURCE_COMMAND},
	};

	*ret = (struct key_source){.kind = KEY_SOURCE_NONE};
	for (size_t i = 0; i < ARRAY_LENGTH(ways); i++) {
		const char *value = option_value(arguments, ways[i].option);

		if (!value)
			continue;
		if (ret->kind != KEY_SOURCE_NONE)
			return err_set(err, ERR_USAGE, "more than one new key is named");
		*ret = (struct key_source){ways[i].kind, value};
	}
	return true;
}

static void start_wrapping(struct op *parent, void *context)
{
	keys_wrap_start(parent, context);
}

static bool keying_wrap(struct cli *cli, struct keying *keying, const struct key_source *source,
                        struct err *err)
{
	struct key_about newest;

	if (source->kind != KEY_SOURCE_NONE) {
		keying->wrapper = key_source_read(source, err);
		if (!keying->wrapper)
			return false;
	}
	if (!keyring_newest(keying->repo->keys, &newest) || !newest.opened) {
		err_set(err, ERR_STORE,
		        "the key that is set does not open the newest data key of repository "
		        "\"%s\"",
		        keying->config->name);
		err_hint(err, "The key was rotated: set the new one.");
		return false;
	}
	keying->wrap = (struct keys_wrap){
	        .repo = keying->repo,
	        .load = &keying->load,
	        .wrapper = keying->wrapper ? keying->wrapper : keying->repo->wrapper,
	        .make = strcmp(cli->arguments->command->name, "key rotate") == 0,
	};
	if (cli->dry_run)
		return true;
	return story_run(&keying->runtime, start_wrapping, &keying->wrap.op, &keying->wrap, err);
}

static bool wrapped_json(const struct keying *keying, struct err *err)
{
	struct jval *root = jobject_new();
	AUTO_BUF struct buf out = {0};
	char id[KEY_ID_BYTES];

	jset_int(root, "version", 1);
	jset_str(root, "repository", keying->config->name);
	jset_int(root, "wrapped", keying->wrap.wrapped);
	key_id_text(keying->wrap.made, id);
	jset_str(root, "made", keying->wrap.made ? id : NULL);
	buf_init(&out, KEY_OUTPUT_MAX);
	json_print(root, true, &out);
	jval_free(root);
	return print(buf_text(&out), err);
}

static bool wrapped_text(const struct keying *keying, struct err *err)
{
	const char *name = keying->config->name;
	char id[KEY_ID_BYTES];

	if (!keying->wrap.made && keying->wrap.wrapped == 0)
		return printf_out(err, "Repository \"%s\": that key opens all of it already.\n",
		                  name);
	if (!keying->wrap.made)
		return printf_out(err, "Repository \"%s\": that key opens it too, from now on.\n",
		                  name);
	key_id_text(keying->wrap.made, id);
	if (!printf_out(err, "Repository \"%s\": new data key %s.\n", name, id))
		return false;
	if (keying->wrapper &&
	    !printf_out(
	            err,
	            "Only the new key opens it. Set it in [repository %s], and keep a copy of it "
	            "in another place.\nKeep the old one as long as something needs it: a host "
	            "that has not got the new one yet.\n",
	            name))
		return false;
	if (keying->wrapper)
		return printf_out(err, "Then reload a running server: until it has the new key it "
		                       "seals with the data key before.\n");
	return printf_out(err, "A running server takes it within a minute.\n");
}

static bool key_wrap_run(struct cli *cli, struct err *err)
{
	struct keying *keying = xcalloc(1, sizeof(*keying));
	bool add = strcmp(cli->arguments->command->name, "key add") == 0;
	struct key_source source;
	bool done = given_source(cli->arguments, &source, err);

	if (done && add && source.kind == KEY_SOURCE_NONE) {
		done = err_set(err, ERR_USAGE, "no new key is named");
		err_hint(err, "Name it with --key-file, --passphrase-file or --key-command.");
	}
	done = done && keying_open(cli, keying, err) && keying_wrap(cli, keying, &source, err);
	if (done && cli->dry_run)
		done = cli->quiet ||
		       printf_out(err, "Repository \"%s\": %s.\n", keying->config->name,
		                  add ? "that key would open it too"
		                      : "it would get a new data key");
	else if (done && cli->json)
		done = wrapped_json(keying, err);
	else if (done && !cli->quiet)
		done = wrapped_text(keying, err);
	keying_close(keying);
	return done;
}

#define NEW_KEY_OPTIONS                                                                            \
	{"key-file", "FILE", "the new key: file that holds it"},                                   \
	        {"passphrase-file", "FILE", "the new key is a passphrase: file that holds it"},    \
	        {"key-command", "COMMAND", "the new key: shell command that prints it"},           \
	{                                                                                          \
		0                                                                                  \
	}

static const struct cli_option add_options[] = {NEW_KEY_OPTIONS};
static const struct cli_option rotate_options[] = {NEW_KEY_OPTIONS};

const struct command command_key_list = {
        .name = "key list",
        .usage = "[REPOSITORY]",
        .help = "show the data keys of an encrypted repository, and what opens them",
        .about = "Shows each data key with the keys that it is wrapped by, as ids: a key itself is "
                 "never shown.\nThe newest seals what is written; the others keep what they "
                 "sealed readable.",
        .example = "seawall key list",
        .arguments_max = 1,
        .user = USER_OWNER,
        .run = key_list_run,
};

const struct command command_key_add = {
        .name = "key add",
        .usage = "[REPOSITORY]",
        .help = "let another key open an encrypted repository",
        .about =
                "Wraps all data keys once more, by another key, which opens the repository as "
                "well from then on: a\ncopy for the safe, or a passphrase beside a key file. A "
                "key file has one key on a line; a later\ndata key (\"seawall key rotate\") has to "
                "be added again.",
        .example = "seawall key add --passphrase-file /root/passphrase",
        .options = add_options,
        .arguments_max = 1,
        .changes = true,
        .user = USER_OWNER,
        .run = key_wrap_run,
};

const struct command command_key_rotate = {
        .name = "key rotate",
        .usage = "[REPOSITORY]",
        .help = "make a new data key for what comes, and take a new key",
        .about = "Makes a new data key, which seals what is written from then on. Nothing is "
                 "written again: older data\nkeys go on opening what they sealed. With a new key "
                 "(--key-file and the like), all data keys are\nwrapped by it, and it alone "
                 "opens the new one: then put it into the configuration. Without one, the\nkey "
                 "that is set does.\n\nA server that runs uses the new data key within a minute, "
                 "or once it was reloaded "
                 "with the new key.",
        .example = "seawall key rotate --key-file /etc/seawall/key.new",
        .options = rotate_options,
        .arguments_max = 1,
        .changes = true,
        .user = USER_OWNER,
        .run = key_wrap_run,
};
