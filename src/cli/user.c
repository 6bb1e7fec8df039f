/*
 * user.c — root becomes the owner of the data directory, everybody else must be it.
 *
 * As root only two things are done: reading the configuration, to learn who the owner is, and
 * making a missing folder where the owner may not. The rest happens after the change, so that a
 * link that the owner plants cannot lead root anywhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/place.h"
#include "user.h"
#include "base/poison.h"

enum { FOLDER_MODE = 0700 };

void owner_release(struct owner *owner)
{
	free(owner->name);
	free(owner->home);
	*owner = (struct owner){0};
}

static bool owner_of_user(const struct passwd *user, struct owner *ret)
{
	*ret = (struct owner){.uid = user->pw_uid,
	                      .gid = user->pw_gid,
	                      .name = xstrdup(user->pw_name),
	                      .home = xstrdup(user->pw_dir)};
	return true;
}

static bool owner_by_uid(uid_t uid, const char *path, struct owner *ret, struct err *err)
{
	const struct passwd *user;

	if (uid == 0) {
		err_set(err, ERR_REFUSED,
		        "\"%s\" belongs to root, and PostgreSQL does not run as root", path);
		return false;
	}
	user = getpwuid(uid);
	if (!user)
		return err_set(err, ERR_REFUSED,
		               "\"%s\" belongs to user %u, who is not in the password database",
		               path, (unsigned)uid);
	return owner_of_user(user, ret);
}

/* The nearest part of path that exists; caller frees. */
static char *existing_part(const char *path, struct stat *ret_status)
{
	char *part = xstrdup(path);

	while (stat(part, ret_status) != 0) {
		char *folder = path_folder(part);

		free(part);
		part = folder;
		if (strcmp(part, "/") == 0 || strcmp(part, ".") == 0) {
			if (stat(part, ret_status) != 0)
				*ret_status = (struct stat){0};
			break;
		}
	}
	return part;
}

static bool owner_of_path(const char *path, struct owner *ret, struct err *err)
{
	struct stat status;
	AUTO_FREE char *part = existing_part(path, &status);

	return owner_by_uid(status.st_uid, part, ret, err);
}

char *find_only_pgdata(void)
{
	glob_t found = {0};
	char *only = NULL;

	if (glob("/var/lib/postgresql/*/*/PG_VERSION", 0, NULL, &found) == 0 && found.gl_pathc == 1)
		only = path_folder(found.gl_pathv[0]);
	globfree(&found);
	return only;
}

/* The data directory that the command is about, as far as it is known: caller frees. */
static char *known_pgdata(const struct cli *cli, const struct config *config)
{
	const struct command *command = cli->arguments->command;
	const char *named = command->pgdata ? command->pgdata(cli) : NULL;

	if (named)
		return xstrdup(named);
	for (size_t i = 0; config && i < config->clusters; i++)
		if (config->cluster[i].pgdata)
			return xstrdup(config->cluster[i].pgdata);
	return NULL;
}

static bool owner_by_places(const struct config *config, struct owner *ret, struct err *err)
{
	const char *base = config ? config->server.state : PLACE_BASE;
	AUTO_FREE char *pgdata = NULL;
	struct stat status;

	if (stat(base, &status) == 0 && status.st_uid != 0)
		return owner_by_uid(status.st_uid, base, ret, err);
	pgdata = find_only_pgdata();
	if (pgdata)
		return owner_of_path(pgdata, ret, err);
	err_set(err, ERR_USAGE, "could not tell which user owns the data directory");
	err_hint(err,
	         "Start the command as that user: sudo -u postgres seawall …, or set \"pgdata\" "
	         "in the configuration.");
	return false;
}

static bool takes_owner(const struct command *command)
{
	for (const struct cli_option *option = command->options; option && option->name; option++)
		if (strcmp(option->name, "owner") == 0)
			return true;
	return false;
}

bool owner_find(const struct cli *cli, struct owner *ret, struct err *err)
{
	const char *given = option_value(cli->arguments, "config");
	const char *name = option_value(cli->arguments, "owner");
	AUTO_FREE char *path = place_config_path(given);
	AUTO_FREE char *pgdata = NULL;
	struct config *config = NULL;
	bool done;

	if (name) {
		const struct passwd *user = getpwnam(name);

		if (!user)
			return err_set(err, ERR_USAGE, "there is no user \"%s\"", name);
		if (user->pw_uid == 0)
			return err_set(err, ERR_USAGE, "PostgreSQL does not run as root");
		return owner_of_user(user, ret);
	}
	/* A file that init is about to write is not there yet. */
	if (path && (access(path, F_OK) == 0 || !cli->arguments->command->makes_config)) {
		config = config_load(given, err);
		if (!config)
			return false;
	}
	pgdata = known_pgdata(cli, config);
	done = pgdata ? owner_of_path(pgdata, ret, err) : owner_by_places(config, ret, err);
	if (!done)
		err_hint(err, "%s",
		         takes_owner(cli->arguments->command)
		                 ? "Name the user with --owner."
		                 : "Start the command as the owner of the data directory: "
		                   "sudo -u postgres seawall …");
	config_free(config);
	return done;
}

/* Whether somebody but root may change what lies in this folder. */
static bool open_to_others(const struct stat *status)
{
	return status->st_uid != 0 || (status->st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

/* Whether only root decides where this path leads: no folder on the way is open to others, but for
 * one like /tmp, whose entries only their owner can replace. */
static bool only_root_leads(const char *path)
{
	AUTO_FREE char *part = xstrdup("/");
	struct stat folder, entry;

	for (const char *at = path; *at == '/';) {
		size_t length = strcspn(at + 1, "/");

		if (stat(part, &folder) != 0)
			return false;
		free(part);
		at += 1 + length;
		part = xstrndup(path, (size_t)(at - path));
		if (lstat(part, &entry) != 0)
			return false;
		if (open_to_others(&folder) &&
		    !(folder.st_uid == 0 && (folder.st_mode & S_ISVTX) && entry.st_uid == 0))
			return false;
	}
	return stat(part, &folder) == 0 && !open_to_others(&folder);
}

bool owner_give_folder(const struct owner *owner, const char *path, struct err *err)
{
	struct stat status;
	AUTO_FREE char *part = existing_part(path, &status);
	AUTO_FREE char *folder = NULL;
	size_t length = strlen(part);
	const char *next = path + (strcmp(part, "/") == 0 ? 1 : length + 1);
	AUTO_FD int fd = -1;

	if (strcmp(part, path) == 0 || !only_root_leads(part))
		return true; /* it is there, or the owner makes it */
	folder = xstrndup(path, (size_t)(next - path) + strcspn(next, "/"));
	if (mkdir(folder, FOLDER_MODE) != 0 && errno != EEXIST)
		return err_sys(err, "could not make folder \"%s\"", folder);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, owner->uid, owner->gid) != 0)
		return err_sys(err, "could not give folder \"%s\" to user \"%s\"", folder,
		               owner->name);
	return true;
}

bool owner_become(const struct owner *owner, struct err *err)
{
	if (initgroups(owner->name, owner->gid) != 0 || setgid(owner->gid) != 0 ||
	    setuid(owner->uid) != 0)
		return err_sys(err, "could not become user \"%s\"", owner->name);
	if (geteuid() != owner->uid || setuid(0) == 0)
		return err_set(err, ERR_INTERNAL, "could not give up the rights of root");
	/* libpq looks for .pgpass and certificates there. */
	setenv("HOME", owner->home, 1);
	setenv("USER", owner->name, 1);
	setenv("LOGNAME", owner->name, 1);
	return true;
}

/* The command line as typed, quoted where a shell needs it. */
static void add_command_line(const struct cli *cli, struct buf *out)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                            "0123456789_-./:=+,@%";

	for (int i = 0; i < cli->argc; i++) {
		AUTO_FREE char *quoted = str_shell(cli->argv[i]);
		bool simple = cli->argv[i][0] && !cli->argv[i][strspn(cli->argv[i], plain)];

		buf_addf(out, " %s", simple ? cli->argv[i] : quoted);
	}
}

/* sudo leaves the environment behind, and with it the configuration that is meant. */
static void add_environment(const struct cli *cli, struct buf *out)
{
	const char *config = getenv("SEAWALL_CONFIG");
	AUTO_FREE char *quoted = NULL;

	if (!config || !*config || option_value(cli->arguments, "config"))
		return;
	quoted = str_shell(config);
	buf_addf(out, " env SEAWALL_CONFIG=%s", quoted);
}

static bool refuse_user(const struct cli *cli, const char *path, uid_t uid, struct err *err)
{
	const struct passwd *user = getpwuid(geteuid());
	AUTO_FREE char *me = user ? xstrdup(user->pw_name) : xasprintf("%u", (unsigned)geteuid());
	AUTO_FREE char *owner = NULL;
	AUTO_BUF struct buf line = {0};

	user = getpwuid(uid);
	owner = user ? xstrdup(user->pw_name) : xasprintf("#%u", (unsigned)uid);
	buf_init(&line, ERR_HINT_MAX);
	add_environment(cli, &line);
	add_command_line(cli, &line);
	err_set(err, ERR_REFUSED,
	        "the data directory \"%s\" belongs to user \"%s\", and this is user \"%s\"", path,
	        owner, me);
	err_hint(err, "Type: sudo -u %s%s", owner, buf_text(&line));
	return false;
}

bool owner_check(const struct cli *cli, struct err *err)
{
	AUTO_FREE char *pgdata = known_pgdata(cli, cli->config);
	struct stat status;

	if (!pgdata)
		return true;
	if (stat(pgdata, &status) != 0) {
		/* A folder that is not there yet belongs to whoever makes it. */
		if (errno == ENOENT || errno == ENOTDIR)
			return true;
		err_sys(err, "could not look at the data directory \"%s\"", pgdata);
		err_hint(err, "Start the command as its owner, or as root.");
		return false;
	}
	return status.st_uid == geteuid() || refuse_user(cli, pgdata, status.st_uid, err);
}
