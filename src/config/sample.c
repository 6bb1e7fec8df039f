/*
 * sample.c — a configuration file to start with, printed from the rows of options.h.
 */
#include "internal.h"
#include "base/poison.h"

static const char *given(const struct config_sample *sample, const char *section, const char *name)
{
	const struct {
		const char *section, *name, *value;
	} values[] = {{"server", "state", sample->state},
	              {"server", "socket", sample->socket},
	              {"repository", "url", sample->url},
	              {"cluster", "pgdata", sample->pgdata},
	              {"cluster", "connect", sample->connect}};

	for (size_t i = 0; i < ARRAY_LENGTH(values); i++)
		if (strcmp(values[i].section, section) == 0 && strcmp(values[i].name, name) == 0)
			return values[i].value;
	return NULL;
}

static void write_option(const struct option *option, const char *value, struct buf *out)
{
	const char *example = option->example ? option->example : option->initial;
	bool derived = option->flags & OPTION_DERIVED;

	buf_addf(out, "\n# %s: %s", option->name, option->help);
	buf_addf(out, "\n#   %s", option->form);
	if (option->initial)
		buf_addf(out, "; default: %s", option->initial);
	else if (option->flags & OPTION_REQUIRED)
		buf_addstr(out, "; required");
	buf_addc(out, '\n');
	if (value)
		buf_addf(out, "%s = %s\n", option->name, value);
	else if (example && !(derived && !option->example))
		buf_addf(out, "#%s = %s\n", option->name, example);
	else
		buf_addf(out, "#%s =\n", option->name);
}

void config_sample(const struct config_sample *sample, struct buf *out)
{
	buf_addstr(
	        out,
	        "# Configuration of Seawall. Lines that begin with \"#\" are comments; a setting "
	        "that is not\n# given has its default. `seawall check` tries all of it.\n");
	for (size_t s = 0; s < ARRAY_LENGTH(config_section_names); s++) {
		const char *section = config_section_names[s];
		size_t count;
		const struct option *option = config_options(section, &count);

		if (strcmp(section, "repository") == 0)
			buf_addf(out, "\n[repository %s]\n",
			         sample->repository ? sample->repository : "local");
		else if (strcmp(section, "cluster") == 0)
			buf_addf(out, "\n[cluster %s]\n",
			         sample->cluster ? sample->cluster : "main");
		else
			buf_addstr(out, "\n[server]\n");
		for (size_t i = 0; i < count; i++)
			write_option(&option[i], given(sample, section, option[i].name), out);
	}
}
