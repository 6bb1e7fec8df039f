/*
 * man.c — the tables as manual pages (roff with the man macros).
 */
#include "base/place.h"
#include "doc.h"
#include "list.h"
#include "base/poison.h"

/* Text with roff's own signs made harmless. */
static void roff(struct buf *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\\')
			buf_addstr(out, "\\e");
		else if (text[i] == '-')
			buf_addstr(out, "\\-");
		else if ((text[i] == '.' || text[i] == '\'') && (i == 0 || text[i - 1] == '\n'))
			buf_addf(out, "\\&%c", text[i]);
		else
			buf_addc(out, text[i]);
	}
}

static void roff_text(struct buf *out, const char *text)
{
	roff(out, text, strlen(text));
}

/* Paragraphs: an empty line begins one, lines that begin with blanks stay as they are. */
static void paragraphs(struct buf *out, const char *text)
{
	bool verbatim = false;

	for (const char *at = text; *at;) {
		size_t length = strcspn(at, "\n");
		bool indented = *at == ' ';

		if (indented != verbatim && length > 0) {
			buf_addstr(out, indented ? ".RS 4\n.nf\n" : ".fi\n.RE\n");
			verbatim = indented;
		}
		if (length == 0)
			buf_addstr(out, verbatim ? "\n" : ".PP\n");
		else if (verbatim)
			roff(out, at + strspn(at, " "), length - strspn(at, " "));
		else
			roff(out, at, length);
		if (length > 0)
			buf_addc(out, '\n');
		at += length + (at[length] == '\n');
	}
	if (verbatim)
		buf_addstr(out, ".fi\n.RE\n");
}

static void title(struct buf *out, const char *name, const char *help)
{
	buf_addstr(out, ".TH ");
	for (const char *at = name; *at; at++)
		buf_addc(out, *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at);
	buf_addf(out, " 1 \"\" \"Seawall %s\" \"Seawall\"\n.SH NAME\n", SEAWALL_VERSION);
	roff_text(out, name);
	buf_addstr(out, " \\- ");
	roff_text(out, help);
	buf_addc(out, '\n');
}

static void item(struct buf *out, const char *left, const char *right)
{
	buf_addstr(out, ".TP\n.B ");
	roff_text(out, left);
	buf_addc(out, '\n');
	roff_text(out, right);
	buf_addc(out, '\n');
}

static void example(struct buf *out, const char *text)
{
	buf_addstr(out, ".SH EXAMPLE\n.nf\n");
	roff_text(out, text);
	buf_addstr(out, "\n.fi\n");
}

static void exits(struct buf *out, const struct command *command)
{
	struct cli_exit list[EXITS_MAX];
	unsigned count = command_exits(command, list);
	char status[16];

	buf_addstr(out, ".SH EXIT STATUS\n");
	for (unsigned i = 0; i < count; i++) {
		snprintf(status, sizeof(status), "%d", list[i].status);
		item(out, status, list[i].help);
	}
}

void man_command(const struct command *command, struct buf *out)
{
	const struct cli_option *options[OPTIONS_MAX];
	unsigned count = command_options(command, options);
	AUTO_FREE char *page = doc_page_name(command);

	title(out, page, command->help);
	buf_addf(out, ".SH SYNOPSIS\n.B seawall %s\n", command->name);
	buf_addstr(out, "[OPTION]...");
	buf_addf(out, "%s", *command->usage ? " " : "");
	roff_text(out, command->usage);
	buf_addstr(out, "\n.SH DESCRIPTION\n");
	paragraphs(out, command->about);
	buf_addstr(out, ".SH OPTIONS\n");
	for (unsigned i = 0; i < count; i++) {
		AUTO_FREE char *left =
		        xasprintf("--%s%s%s", options[i]->name, options[i]->argument ? " " : "",
		                  options[i]->argument ? options[i]->argument : "");

		item(out, left, options[i]->help);
	}
	example(out, command->example);
	exits(out, command);
	buf_addstr(out, ".SH SEE ALSO\n.BR seawall (1)\n");
}

static void man_settings(struct buf *out)
{
	buf_addstr(out, ".SH CONFIGURATION\n");
	paragraphs(out, "The file that --config names, else $SEAWALL_CONFIG, else " PLACE_CONFIG
	                ". Lines are "
	                "\"[section]\", \"key = value\", comments that begin with \"#\", or empty. "
	                "Whatever "
	                "is not known or not allowed is refused with file and line.\n\nWithout a "
	                "file there is "
	                "one repository and one cluster, \"main\", in " PLACE_BASE
	                " if this user may write "
	                "there, else in the folder \"seawall\" of the user's home.\n");
	for (size_t s = 0; s < ARRAY_LENGTH(config_section_names); s++) {
		const char *section = config_section_names[s];
		size_t count;
		const struct option *option = config_options(section, &count);

		buf_addf(out, ".SS [%s%s]\n", section, strcmp(section, "server") ? " NAME" : "");
		for (size_t i = 0; i < count; i++) {
			AUTO_FREE char *help = xasprintf(
			        "%s. Allowed: %s. %s%s%s%s", option[i].help, option[i].form,
			        option[i].initial ? "Default: " : "",
			        option[i].initial ? option[i].initial : "",
			        option[i].initial                   ? ". "
			        : option[i].flags & OPTION_REQUIRED ? "Required. "
			                                            : "",
			        option[i].flags & OPTION_RELOAD ? "A reload applies it." : "");

			item(out, option[i].name, help);
		}
	}
}

void man_program(struct buf *out)
{
	title(out, "seawall", "archive, back up and restore PostgreSQL");
	buf_addstr(out, ".SH SYNOPSIS\n.B seawall\nCOMMAND [OPTION]... [ARGUMENT]...\n"
	                ".SH DESCRIPTION\n");
	paragraphs(
	        out,
	        "Seawall keeps a PostgreSQL cluster recoverable: it archives WAL, takes base "
	        "backups "
	        "and restores to any moment. Everything runs as the owner of the data directory: a "
	        "command started by root becomes that user, any other user is refused.\n");
	buf_addstr(out, ".SH COMMANDS\n");
	for (size_t i = 0; commands[i]; i++)
		if (!commands[i]->hidden)
			item(out, commands[i]->name, commands[i]->help);
	man_settings(out);
	exits(out, &command_help);
	buf_addstr(out,
	           ".SH FILES\n.TP\n.I " PLACE_CONFIG "\nThe configuration.\n.TP\n.I " PLACE_BASE
	           "\nThe base folder of the defaults: repository and state.\n"
	           ".SH SEE ALSO\n.BR seawall\\-wal (1)");
	for (size_t i = 0; commands[i]; i++) {
		AUTO_FREE char *page = doc_page_name(commands[i]);

		if (commands[i]->hidden)
			continue;
		buf_addstr(out, ",\n.BR ");
		roff_text(out, page);
		buf_addstr(out, " (1)");
	}
	buf_addc(out, '\n');
}

void man_hook(struct buf *out)
{
	static const struct cli_option options[] = {
	        {"config", "FILE",
	         "the configuration file; only \"socket\" and \"state\" of [server] are read"},
	        {"socket", "PATH", "the server's socket, instead of the configured one"},
	        {"cluster", "NAME",
	         "fetch: the cluster to fetch for, instead of that of the data directory"},
	        {"restore", "FILE", "fetch: the plan of the restore that asks"},
	};

	title(out, "seawall-wal", "what PostgreSQL runs to archive its WAL and to get it back");
	buf_addstr(out,
	           ".SH SYNOPSIS\n.B seawall\\-wal\n[OPTION]... push PATH\n.br\n.B seawall\\-wal\n"
	           "[OPTION]... fetch NAME PATH\n.SH DESCRIPTION\n");
	paragraphs(out, "Asks the server over its Unix socket. Without a server, or when it is "
	                "silent for 10 "
	                "seconds, it becomes \"seawall wal push\" or \"seawall wal fetch\" of the "
	                "program that lies "
	                "beside it.\n\nA push succeeds only when the file is durable in the "
	                "repository. A fetch "
	                "says \"absent\" only when that is proven.\n");
	buf_addstr(out, ".SH OPTIONS\n");
	for (size_t i = 0; i < ARRAY_LENGTH(options); i++) {
		AUTO_FREE char *left = xasprintf("--%s %s", options[i].name, options[i].argument);

		item(out, left, options[i].help);
	}
	example(out, "archive_command = 'seawall-wal push %p'\nrestore_command = 'seawall-wal "
	             "fetch %f %p'");
	buf_addstr(out, ".SH EXIT STATUS\n");
	item(out, "push", "0: the file is safe. 1: anything else.");
	item(out, "fetch",
	     "0: delivered. 1: proven absent. 255: unknown, damaged or foreign; with "
	     "standby.signal, what is not there yet and unknown are 1.");
	buf_addstr(out, ".SH SEE ALSO\n.BR seawall (1)\n");
}
