/*
 * serve.c — `seawall serve`: the server, in the foreground.
 */
#include <errno.h>
#include <unistd.h>
#include "base/file.h"
#include "init.h"
#include "server/server.h"
#include "story.h"
#include "user.h"
#include "base/poison.h"

static const char *serve_pgdata(const struct cli *cli)
{
	return option_value(cli->arguments, "pgdata");
}

/* Root: the folders that the owner could not make, as /run/seawall after a start of the machine. */
static bool serve_as_root(struct cli *cli, const struct owner *owner, struct err *err)
{
	return cli->dry_run || init_give_folders(cli, owner, err);
}

/* Without any configuration and without a base folder, this is the first start of all. */
static bool nothing_is_there(const struct cli *cli)
{
	return !cli->config->path && access(cli->config->base, F_OK) != 0;
}

static bool begin_from_nothing(struct cli *cli, struct err *err)
{
	if (!nothing_is_there(cli))
		return true;
	log_warning("there is no configuration and no folder \"%s\": beginning with the defaults",
	            cli->config->base);
	return init_repositories(cli, err);
}

/* --dry-run: all that is looked at before the first request. */
static bool serve_try(struct cli *cli, struct runtime *runtime, struct err *err)
{
	const struct config *config = cli->config;

	runtime->pretend = true;
	if (!server_could_run(config, err))
		return false;
	for (size_t i = 0; i < config->clusters; i++)
		if (!runtime_open(runtime, i, err) ||
		    !printf_out(err, "cluster \"%s\": its repository \"%s\" is there\n",
		                config->cluster[i].name, config->cluster[i].repository->name))
			return false;
	return printf_out(err, "would serve %zu cluster%s on socket \"%s\"; nothing was changed\n",
	                  config->clusters, config->clusters == 1 ? "" : "s",
	                  config->server.socket);
}

static bool serve_run(struct cli *cli, struct err *err)
{
	struct runtime runtime = {0};
	const struct server_options options = {.runtime = &runtime,
	                                       .config = cli->config,
	                                       .config_given =
	                                               option_value(cli->arguments, "config")};
	bool done;

	log_setup(cli->verbose ? LOG_DEBUG
	          : cli->quiet ? LOG_WARNING
	                       : (enum log_level)cli->config->server.log_level,
	          (enum log_format)cli->config->server.log);
	if (cli->dry_run && nothing_is_there(cli))
		return begin_from_nothing(cli, err);
	done = begin_from_nothing(cli, err) && runtime_init(&runtime, cli->config, err) &&
	       (cli->dry_run ? serve_try(cli, &runtime, err) : server_run(&options, err));
	runtime_release(&runtime);
	return done;
}

static const struct cli_option serve_options[] = {
        {"pgdata", "FOLDER",
         "the data directory of the only cluster, when the configuration has none"},
        {0},
};

const struct command command_serve = {
        .name = "serve",
        .usage = "",
        .help = "run the server",
        .about = "Archives for \"seawall-wal\", delivers WAL to recoveries, runs backups, and "
                 "answers on the Unix "
                 "socket of\nthe configuration. It stays in the foreground and logs to standard "
                 "error; "
                 "systemd or you run it. SIGHUP\nreads the configuration again, SIGTERM ends it: "
                 "pushes that "
                 "are under way may end. PostgreSQL goes on\nwithout it, only slower.",
        .example = "sudo -u postgres seawall serve",
        .options = serve_options,
        .changes = true,
        .user = USER_OWNER,
        .as_root = serve_as_root,
        .pgdata = serve_pgdata,
        .run = serve_run,
};
