/*
 * init.c — `seawall init`: writes a configuration to start with, makes the repository, says what to
 * put into postgresql.conf. Nothing else ever makes a repository: an unmounted disk must not become
 * a new one.
 *
 * An existing configuration is kept, an existing repository is opened: running it again is success.
 * PostgreSQL need not run.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/durable.h"
#include "base/file.h"
#include "base/str.h"
#include "base/place.h"
#include "codec/json.h"
#include "codec/keys.h"
#include "repo/keys.h"
#include "init.h"
#include "setup.h"
#include "story.h"
#include "base/poison.h"

enum { CONFIG_MODE = 0640, CONFIG_FOLDER_MODE = 0755, CONFIG_BYTES_MAX = 64 * 1024 };

/* Between the steps of one `init`, which is all that such a process does. */
static bool config_written;

static const char *init_pgdata(const struct cli *cli)
{
	return option_value(cli->arguments, "pgdata");
}

/* The file to write when there is none: the one that was named, else the usual one. */
static char *wanted_path(const struct cli *cli)
{
	char *path = place_config_path(option_value(cli->arguments, "config"));

	return path ? path : xstrdup(PLACE_CONFIG);
}

/* The data directory to put into it: given, or the only one of this user in Debian's place. */
static char *wanted_pgdata(const struct cli *cli, uid_t uid)
{
	const char *given = init_pgdata(cli);
	AUTO_FREE char *only = NULL;
	struct stat status;

	if (given)
		return xstrdup(given);
	only = find_only_pgdata();
	if (only && stat(only, &status) == 0 && status.st_uid == uid)
		return STEAL(only);
	return NULL;
}

/* Where the server that runs in pgdata listens, when that is not the default. Its postmaster.pid
 * (src/include/utils/pidfile.h): port in line 4, folder of the socket in line 5. */
static char *running_connect(const char *pgdata)
{
	AUTO_FREE char *path = path_join(pgdata, "postmaster.pid");
	AUTO_BUF struct buf text = {0};
	struct err ignored = {0};
	char *line[5] = {0}, *rest;
	uint32_t port;

	buf_init(&text, CONFIG_BYTES_MAX);
	if (!file_read_all(path, &text, &ignored))
		return NULL;
	rest = text.data;
	for (size_t i = 0; i < ARRAY_LENGTH(line) && rest; i++)
		line[i] = strsep(&rest, "\n");
	if (!line[4] || !str_u32(line[3], &port) || port > UINT16_MAX || line[4][0] != '/' ||
	    strpbrk(line[4], " \t'\\"))
		return NULL;
	if (port == 5432 && strcmp(line[4], "/var/run/postgresql") == 0)
		return NULL;
	return xasprintf("host=%s port=%u dbname=postgres", line[4], (unsigned)port);
}

static void write_sample(const struct cli *cli, const char *base, uid_t uid, struct buf *out)
{
	AUTO_FREE char *state = place_state(base);
	AUTO_FREE char *repository = place_repository(base);
	AUTO_FREE char *url = xasprintf("file://%s", repository);
	AUTO_FREE char *pgdata = wanted_pgdata(cli, uid);
	AUTO_FREE char *connect = pgdata ? running_connect(pgdata) : NULL;
	const struct config_sample sample = {
	        .state = state, .url = url, .pgdata = pgdata, .connect = connect};

	config_sample(&sample, out);
}

/* Root: the usual place of the configuration, readable by the owner. Only where nobody else may
 * change folders: elsewhere the owner writes it. */
static bool write_as_root(const struct cli *cli, const char *path, const struct owner *owner,
                          struct err *err)
{
	AUTO_FREE char *folder = path_folder(path);
	AUTO_BUF struct buf text = {0};
	struct draft draft;

	if (strcmp(folder, "/etc/seawall") != 0)
		return true;
	buf_init(&text, CONFIG_BYTES_MAX);
	write_sample(cli, PLACE_BASE, owner->uid, &text);
	if (!durable_mkdir(folder, CONFIG_FOLDER_MODE, err) ||
	    !draft_open(&draft, path, CONFIG_MODE, err))
		return false;
	if (fchown(draft.fd, 0, owner->gid) != 0 || fchmod(draft.fd, CONFIG_MODE) != 0) {
		err_sys(err, "could not give file \"%s\" to the group of user \"%s\"", path,
		        owner->name);
		draft_drop(&draft);
		return false;
	}
	if (!draft_write(&draft, text.data, text.length, err)) {
		draft_drop(&draft);
		return false;
	}
	config_written = true;
	return draft_publish_new(&draft, err);
}

static bool give_folders(const struct config *config, const struct owner *owner, struct err *err)
{
	AUTO_FREE char *socket_folder = path_folder(config->server.socket);

	if (!owner_give_folder(owner, config->server.state, err) ||
	    !owner_give_folder(owner, socket_folder, err))
		return false;
	for (size_t i = 0; i < config->repositories; i++)
		if (config_url_folder(config->repository[i].url) &&
		    !owner_give_folder(owner, config_url_folder(config->repository[i].url), err))
			return false;
	return true;
}

bool init_give_folders(struct cli *cli, const struct owner *owner, struct err *err)
{
	const char *given = option_value(cli->arguments, "config");
	AUTO_FREE char *path = place_config_path(given);
	struct config *config;
	bool done;

	if (!path) /* the embedded default, of the owner */
		return owner_give_folder(owner, PLACE_BASE, err);
	config = config_load(given, err);
	if (!config)
		return false;
	done = give_folders(config, owner, err);
	config_free(config);
	return done;
}

static bool init_as_root(struct cli *cli, const struct owner *owner, struct err *err)
{
	AUTO_FREE char *path = wanted_path(cli);

	if (cli->dry_run)
		return true;
	if (access(path, F_OK) != 0) {
		if (!write_as_root(cli, path, owner, err))
			return err_wrap(err, "could not write configuration file \"%s\"", path);
		if (!config_written) /* the owner writes it; the default places must be there */
			return owner_give_folder(owner, PLACE_BASE, err);
	}
	return init_give_folders(cli, owner, err);
}

/* The configuration that would be, without a file: read from memory. */
static bool load_from_memory(struct cli *cli, const char *path, const struct buf *text,
                             struct err *err)
{
	AUTO_FD int fd = memfd_create("seawall.conf", MFD_CLOEXEC);
	AUTO_FREE char *place = xasprintf("/proc/self/fd/%d", fd);

	if (fd < 0 || !file_write_full(fd, text->data, text->length))
		return err_sys(err, "could not make a file in memory");
	cli->config = config_load(place, err);
	if (!cli->config)
		return false;
	free(cli->config->path);
	cli->config->path = xstrdup(path);
	return true;
}

/* As the owner: the file, when it is missing and may be written. */
static bool init_before(struct cli *cli, struct err *err)
{
	AUTO_FREE char *path = wanted_path(cli);
	AUTO_FREE char *folder = path_folder(path);
	AUTO_FREE char *base = NULL;
	AUTO_BUF struct buf text = {0};
	bool named = strcmp(path, PLACE_CONFIG) != 0;

	if (access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR))
		return true; /* config_load says what is wrong with it */
	/* Without a right to write in /etc, and no other file named, the embedded default holds:
	 * the hook would not find a file elsewhere. */
	if (!named && access(folder, W_OK) != 0)
		return true;
	base = place_base_folder(err);
	if (!base)
		return false;
	buf_init(&text, CONFIG_BYTES_MAX);
	write_sample(cli, base, geteuid(), &text);
	config_written = true;
	if (cli->dry_run)
		return load_from_memory(cli, path, &text, err);
	if (durable_mkdir(folder, CONFIG_FOLDER_MODE, err) &&
	    durable_write(path, CONFIG_MODE, text.data, text.length, err))
		return true;
	return err_wrap(err, "could not write configuration file \"%s\"", path);
}

struct initiation {
	struct repo_init *init;
};

static void start_init(struct op *parent, void *context)
{
	struct initiation *initiation = context;

	repo_init_start(parent, initiation->init);
}

/* What was done to a repository. */
struct made {
	bool made, encrypted; /* now; else it was there, or was encrypted, already */
	bool differs;         /* it was there, and the store was another one when it was tried */
	uint64_t plain;       /* objects that stay unencrypted */
};

struct report {
	const char *config; /* "written", "kept", "none" */
	char *command;      /* of archive_command; owned */
	struct made made[CONFIG_SECTIONS_MAX];
};

/* How long one waits who encrypts what others store in; said, since it is minutes. */
static int64_t encrypt_wait(const struct cli *cli, const struct site *site)
{
	if (option_given(cli->arguments, "now") || !site->repo->no_keys ||
	    site->repo->key_source.kind == KEY_SOURCE_NONE)
		return 0;
	if (!cli->quiet)
		log_warning(
		        "repository \"%s\" is being encrypted: waiting %d s until all who store in "
		        "it know of that",
		        site->repository, KEYS_WAIT_MS / 1000);
	return KEYS_WAIT_MS;
}

static bool is_no_answer(const struct err *err)
{
	return err_code_retry(err->code) || err->code == ERR_CANCELLED;
}

static bool make_repository(const struct cli *cli, struct runtime *runtime, struct site *site,
                            struct made *ret, struct err *err)
{
	struct initiation initiation;
	struct err before = {0};
	struct repo *repo;
	bool there = runtime_open_site(runtime, site, &before), done;

	if (!there && is_no_answer(&before)) { /* which a second try would only wait for again */
		*err = before;
		return false;
	}
	if (!there && !runtime_open_place(runtime, site, true, err))
		return false;
	repo = site->repo;
	ret->made = !there && repo->id[0] == '\0';
	initiation.init = repo_init_new(repo);
	if (!ret->made)
		repo_init_wait(initiation.init, encrypt_wait(cli, site));
	done = story_run(runtime, start_init, repo_init_op(initiation.init), &initiation, err);
	ret->differs = there && repo_init_differs(initiation.init);
	ret->encrypted = repo_init_encrypted(initiation.init, &ret->plain);
	repo_init_free(initiation.init);
	return done;
}

/* The same for --dry-run: what would be. */
static bool look_at_repository(struct runtime *runtime, struct site *site, size_t number,
                               struct made *ret, struct err *err)
{
	struct err why = {0};

	if (runtime_open_site(runtime, site, &why))
		return true;
	if (is_no_answer(&why)) {
		*err = why;
		return false;
	}
	ret->made = !site->repo || site->repo->id[0] == '\0';
	ret->encrypted =
	        (ret->made || site->repo->no_keys) &&
	        runtime_key_source(&runtime->config->repository[number]).kind != KEY_SOURCE_NONE;
	return true;
}

static bool newest_key(const struct repo *repo, char id[KEY_ID_BYTES])
{
	struct key_about newest;

	if (!repo || !repo->keys || !keyring_newest(repo->keys, &newest))
		return false;
	key_id_text(newest.id, id);
	return true;
}

static void report_store_json(const struct repo *repo, struct jval *item)
{
	struct jval *store;

	if (!repo || !repo->features.known)
		return;
	store = jset_object(item, "store");
	features_json(&repo->features, store);
	jset_str(store, "safety", features_safety_name(features_safety(&repo->features)));
}

static bool report_json(const struct cli *cli, const struct runtime *runtime,
                        const struct report *report, struct err *err)
{
	struct jval *root = jobject_new(), *list;
	AUTO_BUF struct buf out = {0};
	char key[KEY_ID_BYTES];
	bool done;

	jset_int(root, "version", 1);
	jset_str(root, "configuration", cli->config->path);
	jset_str(root, "configuration_file", report->config);
	jset_str(root, "archive_command", report->command);
	list = jset_array(root, "repositories");
	for (size_t i = 0; i < cli->config->repositories; i++) {
		struct jval *item = jadd_object(list);

		jset_str(item, "name", cli->config->repository[i].name);
		jset_str(item, "url", cli->config->repository[i].url);
		jset_bool(item, "made", report->made[i].made);
		jset_bool(item, "encrypted", report->made[i].encrypted);
		if (runtime->repo[i] && runtime->repo[i]->opened)
			jset_str(item, "id", runtime->repo[i]->id);
		if (newest_key(runtime->repo[i], key))
			jset_str(item, "data_key", key);
		report_store_json(runtime->repo[i], item);
	}
	buf_init(&out, CONFIG_BYTES_MAX);
	json_print(root, true, &out);
	jval_free(root);
	done = print(buf_text(&out), err);
	return done;
}

static void report_key(const struct repo *repo, const struct made *made, const char *would,
                       struct buf *out)
{
	char key[KEY_ID_BYTES];

	if (made->encrypted && *would)
		buf_addstr(out, "  It would be encrypted from then on.\n");
	else if (made->encrypted && newest_key(repo, key) && !made->made)
		buf_addf(out,
		         "  It is encrypted from now on, with data key %s; %llu objects that are "
		         "in it "
		         "stay as they are.\n",
		         key, (unsigned long long)made->plain);
	else if (newest_key(repo, key))
		buf_addf(out, "  It is encrypted, with data key %s.\n", key);
	if (made->encrypted)
		buf_addstr(out,
		           "  Keep a copy of the key in another place: without it nothing can be "
		           "read.\n");
}

static void report_store(const struct repo *repo, const struct made *made, struct buf *out)
{
	if (!repo || !repo->opened)
		return;
	features_tell(&repo->features, "  ", out);
	if (made->differs)
		buf_addstr(out, "  That is not what was noted before: restart the servers that use "
		                "it.\n");
}

static bool report_text(const struct cli *cli, const struct runtime *runtime,
                        const struct report *report, struct err *err)
{
	const struct config *config = cli->config;
	const char *would = cli->dry_run ? "would be " : "";
	AUTO_BUF struct buf out = {0};

	buf_init(&out, CONFIG_BYTES_MAX);
	if (!config->path)
		buf_addf(&out,
		         "No configuration file: this user may not write %s; the default "
		         "settings are used.\n",
		         PLACE_CONFIG);
	else if (config_written)
		buf_addf(&out, "Configuration file %s: %swritten.\n", config->path, would);
	else
		buf_addf(&out, "Configuration file %s: kept.\n", config->path);
	for (size_t i = 0; i < config->repositories; i++) {
		const struct made *made = &report->made[i];

		buf_addf(&out, "Repository \"%s\" at %s: %s%s.\n", config->repository[i].name,
		         config->repository[i].url, made->made ? would : "",
		         made->made ? "made" : "there already");
		report_key(runtime->repo[i], made, would, &out);
		report_store(runtime->repo[i], made, &out);
	}
	buf_addf(&out,
	         "\nPut these lines into postgresql.conf, and restart PostgreSQL once:\n\n"
	         "    archive_mode = on\n    archive_command = '%s'\n\n"
	         "Then start the server, \"seawall serve\", and try it all: \"seawall check\".\n",
	         report->command);
	return print(buf_text(&out), err);
}

static bool init_cluster(struct cli *cli, struct runtime *runtime, size_t cluster,
                         struct report *report, struct err *err)
{
	const struct config *config = cli->config;
	struct site *site = &runtime->site[cluster];

	for (unsigned i = 0; site; i++, site = site->next) {
		size_t number = (size_t)(config->cluster[cluster].place[i] - config->repository);

		if (runtime->repo[number] && runtime->repo[number]->opened)
			continue; /* another cluster's too */
		if (cli->dry_run
		            ? !look_at_repository(runtime, site, number, &report->made[number], err)
		            : !make_repository(cli, runtime, site, &report->made[number], err))
			return err_wrap(err, "could not make repository \"%s\"",
			                config->repository[number].name);
	}
	return true;
}

static bool init_all(struct cli *cli, struct runtime *runtime, struct report *report,
                     struct err *err)
{
	const struct config *config = cli->config;

	for (size_t i = 0; i < config->clusters; i++)
		if (!init_cluster(cli, runtime, i, report, err))
			return false;
	return true;
}

bool init_repositories(struct cli *cli, struct err *err)
{
	struct runtime runtime = {0};
	struct report report = {0};
	bool done = story_runtime(cli, &runtime, err) && init_all(cli, &runtime, &report, err);

	runtime_release(&runtime);
	return done;
}

static bool init_run(struct cli *cli, struct err *err)
{
	struct runtime runtime = {0};
	struct report report = {.config = !cli->config->path ? "none"
	                                  : config_written   ? "written"
	                                                     : "kept"};
	bool done = story_runtime(cli, &runtime, err);

	runtime.take_over = option_given(cli->arguments, "take-over");
	done = done && init_all(cli, &runtime, &report, err);
	if (done) {
		report.command = setup_archive_command(cli->config, err);
		done = report.command && (cli->json    ? report_json(cli, &runtime, &report, err)
		                          : cli->quiet ? true
		                                       : report_text(cli, &runtime, &report, err));
		free(report.command);
	}
	if (done && !setup_hook_is_there())
		log_warning("program \"seawall-wal\" is not beside this program: archive_command "
		            "would fail");
	runtime_release(&runtime);
	return done;
}

static const struct cli_option init_options[] = {
        {"pgdata", "FOLDER", "the cluster's data directory, for a new configuration file"},
        {"now", NULL, "encrypt at once: nothing and nobody stores in the repository just now"},
        {"take-over", NULL, "where only one may store, that is this host from now on"},
        {0},
};

const struct command command_init = {
        .name = "init",
        .usage = "",
        .help = "write a starting configuration, make the repository, say what to put in "
                "postgresql.conf",
        .about =
                "Writes a configuration file when there is none, makes the repository that it "
                "names and "
                "tries it (write,\nread, list, delete), and prints the lines for postgresql.conf. "
                "A file "
                "and a repository that are there\nare kept, so that running it again does no harm. "
                "PostgreSQL need not run.\n\n"
                "It finds out and says what the store can do: whether a name that is taken is "
                "refused, also to several\nwriters at once, whether listings are up to date, "
                "whether what was written can be deleted, and what time\nits clock shows. The "
                "result is kept in the repository, and decides how servers keep out of each "
                "other's\nway; run it again when the store was changed.\n\n"
                "With \"key_file\", \"key_passphrase_file\" or \"key_command\" in its section, "
                "the repository is encrypted: a new one from\nthe start, another from then on; "
                "what "
                "is in it stays readable, and what appears there unencrypted later is\nrefused. "
                "For "
                "that it waits two minutes (--now: not), in which all who store there notice "
                "and store nothing more:\nPostgreSQL keeps its WAL until then, or until they have "
                "the key as well.\n\n"
                "Only this command makes a repository: a disk that is not mounted never becomes a "
                "new one.",
        .example = "sudo seawall init --pgdata /var/lib/postgresql/15/main",
        .options = init_options,
        .changes = true,
        .makes_config = true,
        .user = USER_OWNER,
        .as_root = init_as_root,
        .before = init_before,
        .pgdata = init_pgdata,
        .run = init_run,
};
