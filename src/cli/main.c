/*
 * main.c — the program seawall: finds the command, becomes the right user, runs it, says what went
 * wrong.
 */
#include <malloc.h>
#include <signal.h>
#include <unistd.h>
#include "base/place.h"
#include "list.h"
#include "user.h"
#include "base/poison.h"

enum {
	HELP_BYTES_MAX = 64 * 1024,
	EXIT_USAGE = 2,
	/* Neither "safe" nor "absent": for a wrong `seawall wal …` that may stand in
	   postgresql.conf. */
	EXIT_WAL_UNKNOWN = 255,
};

static int complain(const struct err *err, int status)
{
	char lines[ERR_TEXT_MAX + ERR_HINT_MAX + 64];
	AUTO_FREE char *all = NULL;

	err_lines(err, lines, sizeof(lines));
	all = xasprintf("error: %s", lines);
	if (write(STDERR_FILENO, all, strlen(all)) < 0)
		return status; /* there is nobody to tell */
	return status;
}

static int exit_of(const struct command *command, const struct err *err)
{
	return command->exit_of ? command->exit_of(err) : err_code_exit(err->code);
}

/* The owner's folders, made while we are root, and what the command itself must do then. */
static bool prepare_as_root(struct cli *cli, struct err *err)
{
	const struct command *command = cli->arguments->command;
	struct owner owner = {0};
	bool done;

	if (!owner_find(cli, &owner, err))
		return false;
	done = (!command->as_root || command->as_root(cli, &owner, err)) &&
	       owner_become(&owner, err);
	owner_release(&owner);
	return done;
}

static bool prepare(struct cli *cli, struct err *err)
{
	const struct command *command = cli->arguments->command;
	const char *pgdata;

	if (command->user == USER_ANY)
		return true;
	if (geteuid() == 0 && !prepare_as_root(cli, err))
		return false;
	if (command->before && !command->before(cli, err))
		return false;
	if (!cli->config)
		cli->config = config_load(option_value(cli->arguments, "config"), err);
	if (!cli->config)
		return false;
	if (!owner_check(cli, err))
		return false;
	pgdata = command->pgdata ? command->pgdata(cli) : NULL;
	if (pgdata && cli->config->clusters == 1 && !cli->config->cluster[0].pgdata)
		config_set_pgdata(cli->config, 0, pgdata);
	return true;
}

static void setup_log(const struct cli *cli)
{
	log_setup(cli->verbose ? LOG_INFO : cli->quiet ? LOG_ERROR : LOG_WARNING, LOG_TEXT);
}

static int run(struct cli *cli)
{
	const struct arguments *arguments = cli->arguments;
	const struct command *command = arguments->command;
	AUTO_BUF struct buf help = {0};
	struct err err = {0};
	bool done;

	cli->json = option_given(arguments, "json");
	cli->verbose = option_given(arguments, "verbose");
	cli->quiet = option_given(arguments, "quiet");
	cli->dry_run = option_given(arguments, "dry-run");
	setup_log(cli);
	buf_init(&help, HELP_BYTES_MAX);
	if (option_given(arguments, "help")) {
		help_command(command, &help);
		done = print(buf_text(&help), &err);
	} else {
		done = prepare(cli, &err) && command->run(cli, &err);
	}
	config_free(cli->config);
	return done ? 0 : complain(&err, exit_of(command, &err));
}

/* `seawall --help`, `--version`, and nothing at all. */
static int run_alone(int argc, char **argv)
{
	AUTO_BUF struct buf out = {0};
	struct err err = {0};
	bool done;

	buf_init(&out, HELP_BYTES_MAX);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		done = printf_out(&err, "seawall %s\n", SEAWALL_VERSION);
	} else if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		help_program(&out);
		done = print(buf_text(&out), &err);
	} else {
		done = err_set(&err, ERR_USAGE,
		               argc < 2 ? "there is no command" : "the command is missing");
		err_hint(&err, "\"seawall --help\" lists the commands.");
	}
	return done ? 0 : complain(&err, err_code_exit(err.code));
}

/* Options in front of the command go behind it: `seawall --config FILE wal push PATH`. Returns how
 * many words they are. */
static unsigned leading_options(const char *const *words, unsigned count)
{
	unsigned used = 0;

	while (used < count && words[used][0] == '-')
		used += strcmp(words[used], "--config") == 0 ? 2 : 1;
	return used;
}

/* What is large goes back to the system when it is freed. Else glibc learns from the first such
 * piece to keep all that follow, each thread its own: some 8 MB in a server with uploads. */
static void keep_memory_small(void)
{
#ifdef M_MMAP_THRESHOLD
	enum { LARGE_BYTES = 128 * 1024 };

	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
#endif
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned)argc - 1 : 0, leading, used = 0;
	const char *const *words = (const char *const *)argv + 1;
	const char **behind;
	struct arguments arguments;
	struct cli cli = {.arguments = &arguments, .argc = argc, .argv = argv};
	const struct command *command;
	struct err err = {0};
	int status;

	keep_memory_small();
	leading = leading_options(words, count);
	if (leading >= count)
		return run_alone(argc, argv);
	command = command_of_words(words + leading, count - leading, &used, &err);
	if (!command)
		return complain(&err,
		                strcmp(words[leading], "wal") == 0 ? EXIT_WAL_UNKNOWN : EXIT_USAGE);
	if (command->exit_of) {
		struct err memory = {.code = ERR_INTERNAL};

		mem_set_exit(command->exit_of(&memory));
	}
	behind = xcalloc(count, sizeof(*behind));
	memcpy(behind, words, leading * sizeof(*behind));
	memcpy(behind + leading, words + leading + used,
	       (count - leading - used) * sizeof(*behind));
	if (arguments_parse(command, behind, count - used, &arguments, &err))
		status = run(&cli);
	else
		status = complain(&err, exit_of(command, &err));
	free(behind);
	return status;
}
