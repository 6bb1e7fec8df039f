/*
 * doc.c — `seawall doc`: man pages, sample configuration, bash completion and the list of commands,
 * printed from the tables. What it prints is committed, and a test compares.
 */
#include "base/durable.h"
#include "base/file.h"
#include "base/place.h"
#include "doc.h"
#include "list.h"
#include "base/poison.h"

enum { DOC_BYTES_MAX = 256 * 1024 };

/* "seawall-wal-push" for "wal push"; caller frees. */
char *doc_page_name(const struct command *command)
{
	char *name = xasprintf("seawall-%s", command->name);

	for (char *at = name; *at; at++)
		if (*at == ' ')
			*at = '-';
	return name;
}

static bool man_page(const char *name, struct buf *out)
{
	if (strcmp(name, "seawall") == 0) {
		man_program(out);
		return true;
	}
	if (strcmp(name, "seawall-wal") == 0) {
		man_hook(out);
		return true;
	}
	for (size_t i = 0; commands[i]; i++) {
		AUTO_FREE char *page = doc_page_name(commands[i]);

		if (commands[i]->hidden || strcmp(page, name) != 0)
			continue;
		man_command(commands[i], out);
		return true;
	}
	return false;
}

static bool man_one(const char *name, struct err *err)
{
	AUTO_BUF struct buf out = {0};

	buf_init(&out, DOC_BYTES_MAX);
	if (!man_page(name, &out))
		return err_set(err, ERR_USAGE, "there is no page \"%s\"", name);
	return print(buf_text(&out), err);
}

static bool man_write(const char *name, const char *folder, struct err *err)
{
	AUTO_FREE char *file = xasprintf("%s.1", name);
	AUTO_FREE char *path = path_join(folder, file);
	AUTO_BUF struct buf out = {0};

	buf_init(&out, DOC_BYTES_MAX);
	return man_page(name, &out) && durable_write(path, 0644, out.data, out.length, err);
}

static bool man_all(const char *folder, struct err *err)
{
	if (!durable_mkdir(folder, 0755, err) || !man_write("seawall", folder, err) ||
	    !man_write("seawall-wal", folder, err))
		return false;
	for (size_t i = 0; commands[i]; i++) {
		AUTO_FREE char *page = doc_page_name(commands[i]);

		if (!commands[i]->hidden && !man_write(page, folder, err))
			return false;
	}
	return true;
}

static bool sample(struct err *err)
{
	const struct config_sample values = {.url = "file:///var/lib/seawall/repository"};
	AUTO_BUF struct buf out = {0};

	buf_init(&out, DOC_BYTES_MAX);
	config_sample(&values, &out);
	return print(buf_text(&out), err);
}

/* The words of the options of one command, in one line of the case. */
static void completion_case(const struct command *command, struct buf *out)
{
	const struct cli_option *options[OPTIONS_MAX];
	unsigned count = command_options(command, options);

	buf_addf(out, "\t'%s') options='", command->name);
	for (unsigned i = 0; i < count; i++)
		buf_addf(out, "%s--%s", i ? " " : "", options[i]->name);
	buf_addstr(out, "' ;;\n");
}

static void completion_words(const char *first, struct buf *out)
{
	bool any = false;

	for (size_t i = 0; commands[i]; i++) {
		const char *name = commands[i]->name, *blank = strchr(name, ' ');
		size_t length = blank ? (size_t)(blank - name) : strlen(name);

		if (commands[i]->hidden)
			continue;
		if (!first &&
		    (i == 0 || strncmp(commands[i - 1]->name, name, length) != 0 || !blank))
			buf_addf(out, "%s%.*s", any ? " " : "", (int)length, name);
		else if (first && blank && strlen(first) == length &&
		         strncmp(first, name, length) == 0)
			buf_addf(out, "%s%s", any ? " " : "", blank + 1);
		else
			continue;
		any = true;
	}
}

static bool completion(struct err *err)
{
	AUTO_BUF struct buf out = {0};

	buf_init(&out, DOC_BYTES_MAX);
	buf_addstr(&out,
	           "# bash completion for seawall; printed by `seawall doc completion`\n"
	           "_seawall() {\n"
	           "\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
	           "\tlocal command=${COMP_WORDS[1]} options=''\n\n"
	           "\tCOMPREPLY=()\n"
	           "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
	           "\t\tmapfile -t COMPREPLY < <(compgen -W '");
	completion_words(NULL, &out);
	buf_addstr(&out, " --help --version' -- \"$word\")\n"
	                 "\t\treturn\n"
	                 "\tfi\n"
	                 "\tif [ \"$command\" = wal ]; then\n"
	                 "\t\tif [ \"$COMP_CWORD\" -eq 2 ]; then\n"
	                 "\t\t\tmapfile -t COMPREPLY < <(compgen -W '");
	completion_words("wal", &out);
	buf_addstr(&out, "' -- \"$word\")\n"
	                 "\t\t\treturn\n"
	                 "\t\tfi\n"
	                 "\t\tcommand=\"wal ${COMP_WORDS[2]}\"\n"
	                 "\tfi\n"
	                 "\tcase $before in\n"
	                 "\t--config | --pgdata | --link-pgwal)\n"
	                 "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
	                 "\t\treturn\n"
	                 "\t\t;;\n"
	                 "\tesac\n"
	                 "\tcase $command in\n");
	for (size_t i = 0; commands[i]; i++)
		if (!commands[i]->hidden)
			completion_case(commands[i], &out);
	buf_addstr(&out, "\tesac\n"
	                 "\tmapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
	                 "}\n"
	                 "complete -o default -F _seawall seawall\n");
	return print(buf_text(&out), err);
}

static bool commands_md(struct err *err)
{
	AUTO_BUF struct buf out = {0};

	buf_init(&out, DOC_BYTES_MAX);
	buf_addstr(&out, "# Commands\n\nPrinted by `seawall doc commands-md`; the same text as "
	                 "`seawall help COMMAND`.\n");
	for (size_t i = 0; commands[i]; i++) {
		if (commands[i]->hidden)
			continue;
		buf_addf(&out, "\n## seawall %s\n\n```\n", commands[i]->name);
		help_command(commands[i], &out);
		buf_addstr(&out, "```\n");
	}
	return print(buf_text(&out), err);
}

static bool doc_run(struct cli *cli, struct err *err)
{
	const struct arguments *arguments = cli->arguments;
	const char *what = argument_at(arguments, 0), *name = argument_at(arguments, 1);
	const char *folder = argument_at(arguments, 2);

	if (strcmp(what, "man") == 0 && name && strcmp(name, "all") == 0 && folder)
		return man_all(folder, err);
	if (strcmp(what, "man") == 0 && name && !folder)
		return man_one(name, err);
	if (name)
		return err_set(err, ERR_USAGE,
		               "expected man NAME, man all FOLDER, sample, completion or "
		               "commands-md");
	if (strcmp(what, "sample") == 0)
		return sample(err);
	if (strcmp(what, "completion") == 0)
		return completion(err);
	if (strcmp(what, "commands-md") == 0)
		return commands_md(err);
	return err_set(err, ERR_USAGE, "there is no document \"%s\"", what);
}

const struct command command_doc = {
        .name = "doc",
        .usage = "man NAME | man all FOLDER | sample | completion | commands-md",
        .help = "print the documents that are made from the tables",
        .about = "For building Seawall.",
        .example = "seawall doc sample",
        .arguments_min = 1,
        .arguments_max = 3,
        .hidden = true,
        .user = USER_ANY,
        .run = doc_run,
};
