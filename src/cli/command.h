/*
 * command.h — what a command is: one file, one constant. Parsing, help, man pages and completion
 * walk the list in commands.c; nothing else knows the commands.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "base/buf.h"
#include "base/err.h"
#include "config/config.h"

enum {
	ARGUMENTS_MAX = 8, /* words after the options */
	OPTIONS_MAX = 32,  /* rows of one command, the shared ones included */
	VALUES_MAX = 64,   /* how often an option may be given that may be given more than once */
	EXITS_MAX = 12,
};

struct cli_option {
	const char *name;     /* without the dashes */
	const char *argument; /* "FILE"; NULL: it takes none */
	const char *help;
	bool many; /* may be given more than once */
};

struct cli_exit {
	int status;
	const char *help;
};

/* What a command works as. */
enum command_user {
	USER_ANY,   /* looks at nothing of a cluster: whoever started it */
	USER_OWNER, /* the owner of the data directory: root becomes it, others are refused */
};

struct cli;
struct owner;

struct command {
	const char *name;  /* "backup", "wal push" */
	const char *usage; /* what follows the name and the options: "[CLUSTER]" */
	const char *help;  /* one line, no full stop */
	const char *about; /* paragraphs */
	const char *example;
	const struct cli_option *options; /* its own; ends with a row without a name */
	unsigned arguments_min, arguments_max;
	bool changes; /* changes something: takes --dry-run */
	bool hidden;  /* not in lists, help and documents */
	enum command_user user;
	bool makes_config;            /* the configuration file may be missing (init) */
	const struct cli_exit *exits; /* its own exit statuses, ended by a row without help; NULL:
	                                 those of errors */
	/* Run by root, before it becomes the owner: folders and files that only root can make. */
	bool (*as_root)(struct cli *cli, const struct owner *owner, struct err *err);
	/* As the owner, before the configuration is read. */
	bool (*before)(struct cli *cli, struct err *err);
	/* The status for an error, where it is not that of its code; also for errors of usage. */
	int (*exit_of)(const struct err *err);
	/* The data directory as the command line names it, before the configuration is read; NULL:
	 * it does not. May be NULL. */
	const char *(*pgdata)(const struct cli *cli);
	bool (*run)(struct cli *cli, struct err *err);
};

/* A command line, taken apart and judged. */
struct arguments {
	const struct command *command;
	const char *argument[ARGUMENTS_MAX];
	unsigned count;
	struct {
		const struct cli_option *option;
		const char *value; /* "" for one without an argument */
	} given[VALUES_MAX];
	unsigned givens;
};

/* All that a command gets. */
struct cli {
	const struct arguments *arguments;
	struct config *config; /* NULL for USER_ANY */
	int argc;              /* as it was typed, for messages */
	char **argv;
	bool json, verbose, quiet, dry_run;
};

/* The value of an option, the last one given; NULL: not given. */
const char *option_value(const struct arguments *arguments, const char *name);
bool option_given(const struct arguments *arguments, const char *name);
/* The values of one that may be given more than once, in order; fills at most max. */
unsigned option_values(const struct arguments *arguments, const char *name, const char **values,
                       unsigned max);
const char *argument_at(const struct arguments *arguments, unsigned number); /* NULL: not given */

/* words: without the program's name and the command's. ERR_USAGE with a hint. */
MUST_USE bool arguments_parse(const struct command *command, const char *const *words,
                              unsigned count, struct arguments *ret, struct err *err);

/* The options of a command: its own, then the shared ones. Returns how many. */
unsigned command_options(const struct command *command, const struct cli_option **ret);

/* The list, in the order of help; ends with NULL. */
extern const struct command *const commands[];
/* Finds the command in words (one or two of them); NULL with err. *ret_words: how many were it. */
const struct command *command_of_words(const char *const *words, unsigned count,
                                       unsigned *ret_words, struct err *err);

/* Help, as printed by --help. */
void help_program(struct buf *out);
void help_command(const struct command *command, struct buf *out);
/* The exit statuses of a command, in order. Returns how many. */
unsigned command_exits(const struct command *command, struct cli_exit ret[EXITS_MAX]);

/* To standard output, at once; the only way that commands print, so that a full disk is seen. */
MUST_USE bool print(const char *text, struct err *err);
MUST_USE bool printf_out(struct err *err, const char *format, ...) PRINTF(2, 3);

#endif
