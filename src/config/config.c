/*
 * config.c — reads the configuration file line by line into struct config.
 *
 * What a line says by itself is judged while it is read (the line reader puts file and line in
 * front of the error); what several settings say together comes afterwards, in check.c.
 */
#include <errno.h>
#include <limits.h>
#include <unistd.h>
#include "base/file.h"
#include "base/ini.h"
#include "base/place.h"
#include "internal.h"
#include "base/poison.h"

_Static_assert(LOG_TEXT == 0 && LOG_JSON == 1, "the order of the words of \"log\"");
_Static_assert(LOG_ERROR == 0 && LOG_WARNING == 1 && LOG_INFO == 2 && LOG_DEBUG == 3,
               "the order of the words of \"log_level\"");

struct reading {
	struct config *config;
	struct section section; /* kind NULL: none yet */
};

static bool unknown_section(const char *text, struct err *err)
{
	AUTO_FREE
	char *kind = xstrndup(text, strcspn(text, " "));
	const char *meant =
	        config_suggest(kind, config_section_names, ARRAY_LENGTH(config_section_names));

	err_set(err, ERR_CONFIG, "section [%s] is unknown", text);
	if (meant)
		err_hint(err, "Did you mean [%s%s]?", meant,
		         strcmp(meant, "server") == 0 ? "" : " NAME");
	else
		err_hint(err, "Sections are [server], [repository NAME] and [cluster NAME].");
	return false;
}

/* The second word of a section; NULL with err. */
static const char *section_name(const char *kind, const char *text, struct err *err)
{
	const char *name = text + strlen(kind);

	if (*name != ' ') {
		err_set(err, ERR_CONFIG, "section [%s] has no name", kind);
		err_hint(err, "Write [%s NAME].", kind);
		return NULL;
	}
	name++;
	if (config_name_valid(name))
		return name;
	err_set(err, ERR_CONFIG, "section [%s] has a name that is not allowed", text);
	err_hint(err,
	         "Names have a to z, digits, \"_\" and \"-\", at most %d of them, begin with a "
	         "letter, and are not \"claim\", \"probe\", \"keys\" or \"lease\".",
	         CONFIG_NAME_MAX);
	return NULL;
}

static bool given_twice(const char *text, unsigned line, struct err *err)
{
	return err_set(err, ERR_CONFIG, "section [%s] is given twice, first in line %u", text,
	               line);
}

static bool begin_server(struct reading *reading, const struct ini_line *line, struct err *err)
{
	struct config *config = reading->config;

	if (config->server.source.line)
		return given_twice(line->section, config->server.source.line, err);
	reading->section = section_server(config);
	reading->section.source->line = line->number;
	return true;
}

static bool begin_repository(struct reading *reading, const struct ini_line *line, struct err *err)
{
	struct config *config = reading->config;
	const char *name = section_name("repository", line->section, err);

	if (!name)
		return false;
	for (size_t i = 0; i < config->repositories; i++)
		if (strcmp(config->repository[i].name, name) == 0)
			return given_twice(line->section, config->repository[i].source.line, err);
	config->repository = xrealloc(config->repository,
	                              (config->repositories + 1) * sizeof(*config->repository));
	config->repository[config->repositories] =
	        (struct config_repository){.name = xstrdup(name)};
	reading->section = section_repository(config, config->repositories++);
	reading->section.source->line = line->number;
	return true;
}

static bool begin_cluster(struct reading *reading, const struct ini_line *line, struct err *err)
{
	struct config *config = reading->config;
	const char *name = section_name("cluster", line->section, err);

	if (!name)
		return false;
	for (size_t i = 0; i < config->clusters; i++)
		if (strcmp(config->cluster[i].name, name) == 0)
			return given_twice(line->section, config->cluster[i].source.line, err);
	config->cluster =
	        xrealloc(config->cluster, (config->clusters + 1) * sizeof(*config->cluster));
	config->cluster[config->clusters] = (struct config_cluster){.name = xstrdup(name)};
	reading->section = section_cluster(config, config->clusters++);
	reading->section.source->line = line->number;
	return true;
}

static bool begin_section(struct reading *reading, const struct ini_line *line, struct err *err)
{
	const struct config *config = reading->config;
	size_t word = strcspn(line->section, " ");

	if (config->repositories + config->clusters >= CONFIG_SECTIONS_MAX)
		return err_set(err, ERR_CONFIG, "there are more than %d sections",
		               CONFIG_SECTIONS_MAX);
	if (strcmp(line->section, "server") == 0)
		return begin_server(reading, line, err);
	if (word == strlen("repository") && str_starts(line->section, "repository"))
		return begin_repository(reading, line, err);
	if (word == strlen("cluster") && str_starts(line->section, "cluster"))
		return begin_cluster(reading, line, err);
	return unknown_section(line->section, err);
}

static bool unknown_key(const struct section *section, const char *key, struct err *err)
{
	const char *names[CONFIG_OPTIONS_MAX], *meant;
	char title[CONFIG_NAME_MAX + 32], list[ERR_HINT_MAX];
	size_t length = 0;

	if (option_is_later(section->kind, key))
		return err_set(err, ERR_CONFIG, "\"%s\" is not in this version", key);
	list[0] = '\0';
	for (size_t i = 0; i < section->options; i++) {
		names[i] = section->option[i].name;
		if (length < sizeof(list))
			length += (size_t)snprintf(list + length, sizeof(list) - length, "%s\"%s\"",
			                           i ? ", " : "", names[i]);
	}
	section_title(section, title);
	err_set(err, ERR_CONFIG, "setting \"%s\" is unknown in section %s", key, title);
	meant = config_suggest(key, names, section->options);
	if (meant)
		err_hint(err, "Did you mean \"%s\"?", meant);
	else
		err_hint(err, "Section %s has %s.", title, list);
	return false;
}

static bool read_line(void *context, const struct ini_line *line, struct err *err)
{
	struct reading *reading = context;
	struct section *section = &reading->section;
	size_t i = 0;

	if (!line->key)
		return begin_section(reading, line, err);
	while (i < section->options && strcmp(section->option[i].name, line->key) != 0)
		i++;
	if (i == section->options)
		return unknown_key(section, line->key, err);
	if (section->source->text[i])
		return err_set(err, ERR_CONFIG, "\"%s\" is given twice, first in line %u",
		               line->key, section->source->text_line[i]);
	if (!option_set(&section->option[i], line->value, section->fields, err))
		return false;
	section->source->text[i] = xstrdup(line->value);
	section->source->text_line[i] = line->number;
	return true;
}

/* restore_command needs the path whatever its working directory is. */
static char *path_absolute(const char *path, struct err *err)
{
	char here[PATH_MAX];

	if (path_is_absolute(path))
		return xstrdup(path);
	if (!getcwd(here, sizeof(here))) {
		err_sys(err, "could not find the working directory");
		return NULL;
	}
	return path_join(here, str_starts(path, "./") ? path + 2 : path);
}

static bool read_file(struct config *config, const char *given, struct err *err)
{
	AUTO_FREE
	char *path = place_config_path(given);
	struct reading reading = {.config = config};

	if (!path)
		return true;
	config->path = path_absolute(path, err);
	if (!config->path)
		return false;
	if (ini_read(config->path, read_line, &reading, err))
		return true;
	if (err->code != ERR_CONFIG)
		err_wrap_as(err, ERR_CONFIG, "could not read the configuration");
	return false;
}

struct config *config_load(const char *given, struct err *err)
{
	struct config *config = xcalloc(1, sizeof(*config));

	if (read_file(config, given, err) && config_complete(config, err))
		return config;
	config_free(config);
	return NULL;
}

static void section_free(const struct section *section)
{
	for (size_t i = 0; i < section->options; i++) {
		option_free(&section->option[i], section->fields);
		free(section->source->text[i]);
	}
}

void config_free(struct config *config)
{
	struct section section;

	if (!config)
		return;
	section = section_server(config);
	section_free(&section);
	for (size_t i = 0; i < config->repositories; i++) {
		section = section_repository(config, i);
		section_free(&section);
		free(config->repository[i].name);
	}
	for (size_t i = 0; i < config->clusters; i++) {
		section = section_cluster(config, i);
		section_free(&section);
		free(config->cluster[i].name);
	}
	free(config->repository);
	free(config->cluster);
	free(config->path);
	free(config->base);
	free(config);
}

bool config_find_cluster(const struct config *config, const char *name,
                         const struct config_cluster **ret, struct err *err)
{
	const char *names[CONFIG_SECTIONS_MAX], *meant;

	if (!name && config->clusters == 1) {
		*ret = &config->cluster[0];
		return true;
	}
	for (size_t i = 0; i < config->clusters; i++) {
		names[i] = config->cluster[i].name;
		if (name && strcmp(names[i], name) == 0) {
			*ret = &config->cluster[i];
			return true;
		}
	}
	if (!name) {
		err_set(err, ERR_USAGE, "there are %zu clusters in the configuration",
		        config->clusters);
		err_hint(err, "Name one of them, such as \"%s\".", names[0]);
		return false;
	}
	err_set(err, ERR_USAGE, "there is no cluster \"%s\" in the configuration", name);
	meant = config_suggest(name, names, config->clusters);
	if (meant)
		err_hint(err, "Did you mean \"%s\"?", meant);
	else
		err_hint(err, "The configuration has %s \"%s\".",
		         config->clusters == 1 ? "cluster" : "among others cluster", names[0]);
	return false;
}

void config_set_pgdata(struct config *config, size_t cluster, const char *pgdata)
{
	char **field = &config->cluster[cluster].pgdata;

	free(*field);
	*field = xstrdup(pgdata);
}
