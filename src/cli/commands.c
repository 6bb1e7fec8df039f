/*
 * commands.c — the list of commands, and finding one of them.
 */
#include "list.h"
#include "base/poison.h"

const struct command *const commands[] = {
#define X(name) &command_##name,
        COMMANDS(X)
#undef X
                NULL,
};

/* Of the design, to come with their features: asked for by name, they say so. */
static const char *const later[] = {
#define X(name) name,
        COMMANDS_LATER(X)
#undef X
};

static bool is_named(const char *name, const char *const *words, unsigned count,
                     unsigned *ret_words)
{
	const char *blank = strchr(name, ' ');
	size_t first = blank ? (size_t)(blank - name) : strlen(name);

	if (count == 0 || strlen(words[0]) != first || memcmp(words[0], name, first) != 0)
		return false;
	*ret_words = blank ? 2 : 1;
	return !blank || (count > 1 && strcmp(words[1], blank + 1) == 0);
}

static void hint_names(const char *given, struct err *err)
{
	const char *names[64], *meant;
	size_t count = 0;

	for (size_t i = 0; commands[i] && count < ARRAY_LENGTH(names); i++)
		if (!commands[i]->hidden)
			names[count++] = commands[i]->name;
	meant = config_suggest(given, names, count);
	if (meant)
		err_hint(err, "Did you mean \"seawall %s\"?", meant);
	else
		err_hint(err, "\"seawall --help\" lists the commands.");
}

/* "wal" alone, or "wal pusj". */
static bool begins_one(const char *word)
{
	size_t length = strlen(word);

	for (size_t i = 0; commands[i]; i++)
		if (strncmp(commands[i]->name, word, length) == 0 &&
		    commands[i]->name[length] == ' ')
			return true;
	return false;
}

const struct command *command_of_words(const char *const *words, unsigned count,
                                       unsigned *ret_words, struct err *err)
{
	AUTO_FREE char *both = NULL;
	unsigned used;

	for (size_t i = 0; commands[i]; i++)
		if (is_named(commands[i]->name, words, count, ret_words))
			return commands[i];
	for (size_t i = 0; i < ARRAY_LENGTH(later); i++) {
		if (!is_named(later[i], words, count, &used))
			continue;
		err_set(err, ERR_USAGE, "command \"%s\" is not in this version", later[i]);
		err_hint(err, "\"seawall --help\" lists the commands.");
		return NULL;
	}
	if (begins_one(words[0])) {
		bool alone = count < 2 || words[1][0] == '-';

		both = alone ? xstrdup(words[0]) : xasprintf("%s %s", words[0], words[1]);
		if (alone) {
			err_set(err, ERR_USAGE, "command \"%s\" needs a second word", words[0]);
			err_hint(err, "\"seawall --help\" lists the commands.");
			return NULL;
		}
		err_set(err, ERR_USAGE, "there is no command \"%s\"", both);
	} else {
		both = xstrdup(words[0]);
		err_set(err, ERR_USAGE, "there is no command \"%s\"", words[0]);
	}
	hint_names(both, err);
	return NULL;
}
