/* internal.h — what the files of this folder share. */
#ifndef CONFIG_INTERNAL_H
#define CONFIG_INTERNAL_H

#include "config/config.h"

/* A section's struct, seen through its rows. */
struct section {
	const char *kind; /* "server", "repository", "cluster" */
	const char *name; /* NULL for [server] */
	void *fields;
	struct config_source *source;
	const struct option *option;
	size_t options;
};

struct section section_server(struct config *config);
struct section section_repository(struct config *config, size_t number);
struct section section_cluster(struct config *config, size_t number);
/* "[server]", "[cluster main]" */
void section_title(const struct section *section, char out[CONFIG_NAME_MAX + 32]);

/* Whether this setting does not exist yet in this version. */
bool option_is_later(const char *section, const char *name);

/* Reads text into the option's field below fields; the error says what is allowed, without file and
 * line. */
MUST_USE bool option_set(const struct option *option, const char *text, void *fields,
                         struct err *err);
void option_free(const struct option *option, void *fields);

/* Fills what was not given, then looks at what several settings say together. */
MUST_USE bool config_complete(struct config *config, struct err *err);
/* Fails with file and line in front (line 0: the file alone; no file: neither). */
bool config_refuse(const struct config *config, unsigned line, struct err *err, const char *format,
                   ...) PRINTF(4, 5);

#endif
