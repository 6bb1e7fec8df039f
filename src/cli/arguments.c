/*
 * arguments.c — takes a command line apart, strictly: an option that is not known, a value that is
 * missing, a word too many are errors, since a command that guesses may restore the wrong thing.
 */
#include "command.h"
#include "base/poison.h"

static const struct cli_option shared_options[] = {
        {"config", "FILE",
         "the configuration file (else $SEAWALL_CONFIG, else /etc/seawall/seawall.conf)"},
        {"json", NULL, "print JSON"},
        {"verbose", NULL, "say more"},
        {"quiet", NULL, "say nothing but errors"},
        {"help", NULL, "show this help"},
};
static const struct cli_option dry_run_option = {"dry-run", NULL,
                                                 "say what would be done, and change nothing"};

unsigned command_options(const struct command *command, const struct cli_option **ret)
{
	unsigned count = 0;

	for (const struct cli_option *option = command->options; option && option->name; option++)
		ret[count++] = option;
	if (command->changes)
		ret[count++] = &dry_run_option;
	for (size_t i = 0; i < ARRAY_LENGTH(shared_options); i++)
		ret[count++] = &shared_options[i];
	return count;
}

const char *option_value(const struct arguments *arguments, const char *name)
{
	for (unsigned i = arguments->givens; i-- > 0;)
		if (strcmp(arguments->given[i].option->name, name) == 0)
			return arguments->given[i].value;
	return NULL;
}

bool option_given(const struct arguments *arguments, const char *name)
{
	return option_value(arguments, name) != NULL;
}

unsigned option_values(const struct arguments *arguments, const char *name, const char **values,
                       unsigned max)
{
	unsigned count = 0;

	for (unsigned i = 0; i < arguments->givens && count < max; i++)
		if (strcmp(arguments->given[i].option->name, name) == 0)
			values[count++] = arguments->given[i].value;
	return count;
}

const char *argument_at(const struct arguments *arguments, unsigned number)
{
	return number < arguments->count ? arguments->argument[number] : NULL;
}

static void hint_help(const struct command *command, struct err *err)
{
	err_hint(err, "\"seawall %s --help\" shows what is allowed.", command->name);
}

static bool unknown_option(const struct command *command, const char *name, struct err *err)
{
	const struct cli_option *options[OPTIONS_MAX];
	const char *names[OPTIONS_MAX], *meant;
	unsigned count = command_options(command, options);

	for (unsigned i = 0; i < count; i++)
		names[i] = options[i]->name;
	err_set(err, ERR_USAGE, "option \"%s\" is unknown to \"seawall %s\"", name, command->name);
	name += strspn(name, "-");
	meant = strcmp(name, "h") == 0 ? "help" : config_suggest(name, names, count);
	if (meant)
		err_hint(err, "Did you mean \"--%s\"?", meant);
	else
		hint_help(command, err);
	return false;
}

static const struct cli_option *find_option(const struct command *command, const char *name,
                                            size_t length)
{
	const struct cli_option *options[OPTIONS_MAX];
	unsigned count = command_options(command, options);

	for (unsigned i = 0; i < count; i++)
		if (strlen(options[i]->name) == length &&
		    memcmp(options[i]->name, name, length) == 0)
			return options[i];
	return NULL;
}

/* words[at] begins with "--". Returns how many words it took; 0 with err. */
static unsigned take_option(struct arguments *arguments, const char *const *words, unsigned left,
                            struct err *err)
{
	const struct command *command = arguments->command;
	const char *name = words[0] + 2, *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	const struct cli_option *option = find_option(command, name, length);
	const char *value = "";
	unsigned used = 1;

	if (!option) {
		AUTO_FREE char *whole = xstrndup(words[0], 2 + length);

		unknown_option(command, whole, err);
		return 0;
	}
	if (option->argument && equals) {
		value = equals + 1;
	} else if (option->argument) {
		if (left < 2) {
			err_set(err, ERR_USAGE, "option \"--%s\" needs a value", option->name);
			err_hint(err, "Write \"--%s %s\".", option->name, option->argument);
			return 0;
		}
		value = words[1];
		used = 2;
	} else if (equals) {
		err_set(err, ERR_USAGE, "option \"--%s\" takes no value", option->name);
		hint_help(command, err);
		return 0;
	}
	if (option->argument && !*value) {
		err_set(err, ERR_USAGE, "the value of option \"--%s\" is empty", option->name);
		hint_help(command, err);
		return 0;
	}
	if (!option->many && option_given(arguments, option->name)) {
		err_set(err, ERR_USAGE, "option \"--%s\" is given twice", option->name);
		return 0;
	}
	if (arguments->givens == VALUES_MAX) {
		err_set(err, ERR_USAGE, "there are more than %d options", VALUES_MAX);
		return 0;
	}
	arguments->given[arguments->givens].option = option;
	arguments->given[arguments->givens++].value = value;
	return used;
}

static bool take_argument(struct arguments *arguments, const char *word, struct err *err)
{
	const struct command *command = arguments->command;

	if (arguments->count < MIN(command->arguments_max, (unsigned)ARGUMENTS_MAX)) {
		arguments->argument[arguments->count++] = word;
		return true;
	}
	err_set(err, ERR_USAGE, "\"%s\" is one argument too many for \"seawall %s\"", word,
	        command->name);
	hint_help(command, err);
	return false;
}

static bool check_counts(const struct arguments *arguments, struct err *err)
{
	const struct command *command = arguments->command;

	if (option_given(arguments, "help"))
		return true;
	if (option_given(arguments, "verbose") && option_given(arguments, "quiet"))
		return err_set(err, ERR_USAGE,
		               "options \"--verbose\" and \"--quiet\" exclude each other");
	if (arguments->count >= command->arguments_min)
		return true;
	err_set(err, ERR_USAGE, "\"seawall %s\" needs %s", command->name, command->usage);
	hint_help(command, err);
	return false;
}

bool arguments_parse(const struct command *command, const char *const *words, unsigned count,
                     struct arguments *ret, struct err *err)
{
	struct arguments arguments = {.command = command};
	bool only_arguments = false;

	for (unsigned i = 0; i < count;) {
		const char *word = words[i];
		unsigned used = 1;

		if (only_arguments || word[0] != '-' || !word[1]) {
			if (!take_argument(&arguments, word, err))
				return false;
		} else if (strcmp(word, "--") == 0) {
			only_arguments = true;
		} else if (word[1] == '-') {
			used = take_option(&arguments, words + i, count - i, err);
			if (!used)
				return false;
		} else {
			return unknown_option(command, word, err);
		}
		i += used;
	}
	if (!check_counts(&arguments, err))
		return false;
	*ret = arguments;
	return true;
}
