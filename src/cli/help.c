/*
 * help.c — `seawall --help`, `seawall COMMAND --help` and `seawall help COMMAND`: the tables, as
 * text.
 */
#include "list.h"
#include "base/poison.h"

enum { HELP_BYTES_MAX = 64 * 1024, COLUMN_MAX = 28 };

/* "  left        right" with the right side in one column. */
static void row(struct buf *out, const char *left, unsigned width, const char *right)
{
	if (strlen(left) > width)
		buf_addf(out, "  %s\n  %*s  %s\n", left, (int)width, "", right);
	else
		buf_addf(out, "  %-*s  %s\n", (int)width, left, right);
}

void help_program(struct buf *out)
{
	unsigned width = 0;

	buf_addstr(out,
	           "Seawall keeps a PostgreSQL cluster recoverable: it archives WAL, takes base "
	           "backups and\nrestores to any moment.\n\n"
	           "Usage: seawall COMMAND [OPTION]... [ARGUMENT]...\n\nCommands:\n");
	for (size_t i = 0; commands[i]; i++)
		if (!commands[i]->hidden)
			width = MAX(width, (unsigned)strlen(commands[i]->name));
	for (size_t i = 0; commands[i]; i++)
		if (!commands[i]->hidden)
			row(out, commands[i]->name, width, commands[i]->help);
	buf_addstr(out,
	           "\n\"seawall COMMAND --help\" says more about one of them, with an example.\n"
	           "\"seawall --version\" shows the version.\n");
}

/* The shared options stand in the same table: a reader wants all that may be typed. */
static void options(const struct command *command, struct buf *out)
{
	const struct cli_option *list[OPTIONS_MAX];
	unsigned count = command_options(command, list), width = 0;
	char left[OPTIONS_MAX][64];

	for (unsigned i = 0; i < count; i++) {
		snprintf(left[i], sizeof(left[i]), "--%s%s%s", list[i]->name,
		         list[i]->argument ? " " : "", list[i]->argument ? list[i]->argument : "");
		width = MAX(width, (unsigned)strlen(left[i]));
	}
	width = MIN(width, (unsigned)COLUMN_MAX);
	buf_addstr(out, "\nOptions:\n");
	for (unsigned i = 0; i < count; i++)
		row(out, left[i], width, list[i]->help);
}

unsigned command_exits(const struct command *command, struct cli_exit ret[EXITS_MAX])
{
	static const struct cli_exit common[] = {
	        {0, "done"},
	        {1, "the answer is no: not found, a check failed"},
	        {2, "the command line is wrong"},
	        {3, "the configuration is wrong"},
	        {4, "the repository, a file or a server could not be reached"},
	        {5, "refused for safety"},
	        {6, "PostgreSQL said no"},
	        {7, "damaged data was found"},
	        {8, "cancelled or out of time"},
	        {0, NULL},
	};
	unsigned count = 0;

	for (const struct cli_exit *exit = command->exits ? command->exits : common; exit->help;
	     exit++)
		ret[count++] = *exit;
	return count;
}

void help_command(const struct command *command, struct buf *out)
{
	struct cli_exit exits[EXITS_MAX];
	unsigned count = command_exits(command, exits);

	buf_addf(out, "seawall %s: %s\n\nUsage: seawall %s [OPTION]...%s%s\n\n%s\n", command->name,
	         command->help, command->name, *command->usage ? " " : "", command->usage,
	         command->about);
	options(command, out);
	buf_addf(out, "\nExample:\n  %s\n\nExit status:\n", command->example);
	for (unsigned i = 0; i < count; i++)
		buf_addf(out, "  %-3d  %s\n", exits[i].status, exits[i].help);
}

static bool help_run(struct cli *cli, struct err *err)
{
	const struct arguments *arguments = cli->arguments;
	const char *const words[2] = {argument_at(arguments, 0), argument_at(arguments, 1)};
	const struct command *command;
	unsigned used;
	AUTO_BUF struct buf out = {0};

	buf_init(&out, HELP_BYTES_MAX);
	if (arguments->count == 0) {
		help_program(&out);
		return print(buf_text(&out), err);
	}
	command = command_of_words(words, arguments->count, &used, err);
	if (!command)
		return false;
	if (used < arguments->count)
		return err_set(err, ERR_USAGE, "there is no command \"%s %s\"", words[0], words[1]);
	help_command(command, &out);
	return print(buf_text(&out), err);
}

const struct command command_help = {
        .name = "help",
        .usage = "[COMMAND]",
        .help = "explain a command",
        .about =
                "Shows what a command does, its options, an example and its exit statuses. Without "
                "a command, lists\nthem all.",
        .example = "seawall help wal push",
        .arguments_max = 2,
        .user = USER_ANY,
        .run = help_run,
};
