/*
 * config.h — the configuration: what the file says, checked, with the defaults filled in.
 *
 * Settings come from --config, else $SEAWALL_CONFIG, else /etc/seawall/seawall.conf, else from the
 * embedded default (base/place.h). Lower layers get values out of it, never the configuration.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "codec/sealed.h"
#include "config/options.h"

enum option_type {
	OPTION_STRING,
	OPTION_PATH,
	OPTION_SIZE,
	OPTION_COUNT,
	OPTION_CHOICE,
	OPTION_ADDRESS,
	OPTION_URL,
	OPTION_COMPRESSION,
	OPTION_LIST,
};

/* Texts are owned, NULL when not given and without a default. */
#define FIELD_STRING(name)      char *name;
#define FIELD_PATH(name)        char *name;
#define FIELD_SIZE(name)        uint64_t name;
#define FIELD_COUNT(name)       unsigned name; /* 0: the default */
#define FIELD_CHOICE(name)      int name;
#define FIELD_ADDRESS(name)     char *name;
#define FIELD_URL(name)         char *name;
#define FIELD_COMPRESSION(name) struct compression name;
#define FIELD_LIST(name)        struct strs name;
#define FIELD(type, name, ...)  FIELD_##type(name)

enum {
	CONFIG_NAME_MAX = 63,
	CONFIG_OPTIONS_MAX = 32,
	CONFIG_SECTIONS_MAX = 256,
	CONFIG_PLACES_MAX = 4, /* repositories of one cluster */
};

/* What was written, for messages, for config_diff and for people. */
struct config_source {
	unsigned line; /* of the section; 0: it is not in the file */
	char *text[CONFIG_OPTIONS_MAX];
	unsigned text_line[CONFIG_OPTIONS_MAX];
};

struct config_server {
	OPTIONS_SERVER(FIELD)
	struct config_source source;
};
struct config_repository {
	OPTIONS_REPOSITORY(FIELD)
	char *name;
	struct config_source source;
};
/* The words of url_style, sse, object_lock, in the order of their rows. */
enum { URL_STYLE_AUTOMATIC, URL_STYLE_PATH, URL_STYLE_VIRTUAL };
enum { SSE_NONE, SSE_AES256, SSE_KMS };
enum { OBJECT_LOCK_NONE, OBJECT_LOCK_GOVERNANCE, OBJECT_LOCK_COMPLIANCE };
struct config_cluster {
	OPTIONS_CLUSTER(FIELD)
	char *name;
	const struct config_repository *repository;               /* the first of `repositories` */
	const struct config_repository *place[CONFIG_PLACES_MAX]; /* all, in their order */
	unsigned places, acks; /* acks: `ack` as a number of them */
	struct config_source source;
};

struct config {
	char *path; /* absolute; NULL: the embedded default */
	char *base; /* base folder of the embedded default, else NULL */
	struct config_server server;
	struct config_repository *repository;
	size_t repositories;
	struct config_cluster *cluster;
	size_t clusters;
};

/* given: the value of --config, or NULL. NULL with err (ERR_CONFIG; file and line in it). */
MUST_USE struct config *config_load(const char *given, struct err *err);
void config_free(struct config *config);

/* The cluster of that name; NULL: the only one. Not there, or not the only one: ERR_USAGE. */
MUST_USE bool config_find_cluster(const struct config *config, const char *name,
                                  const struct config_cluster **ret, struct err *err);
/* The data directory of a cluster that has none in its settings (--pgdata, or the first push's). */
void config_set_pgdata(struct config *config, size_t cluster, const char *pgdata);

/* What differs between two readings of the file, one sentence for each; secrets are not shown.
 * Returns whether something of it needs a restart. */
bool config_diff(const struct config *old, const struct config *new, struct strs *ret);

/* Takes over into old what a reload may change (OPTION_RELOAD). */
void config_reload(struct config *old, const struct config *new);

/* A file as one would start with: every setting with its help, what is not given as a comment.
 * value: what stands in it, or NULL for an example. */
struct config_sample {
	/* NULL: stays a comment with an example */
	const char *state, *socket, *url, *pgdata, *connect;
	const char *cluster, *repository; /* names; NULL: main, local */
};
void config_sample(const struct config_sample *sample, struct buf *out);

/* The table, for those who print it. */
struct option {
	const char *section; /* "server", "repository", "cluster" */
	enum option_type type;
	const char *name, *initial, *example;
	uint64_t min, max;
	unsigned flags;
	const char *form, *help;
	size_t offset; /* of the field in its section's struct */
};
/* The rows of a section, in order; NULL for an unknown one. */
const struct option *config_options(const char *section, size_t *ret_count);
extern const char *const config_section_names[3];

/* As name_cluster_valid (repo/names.h), at most CONFIG_NAME_MAX, and no name that a repository
 * uses. */
bool config_name_valid(const char *name);

/* The folder of a file:// URL, in it; NULL for another kind. */
const char *config_url_folder(const char *url);

/* The name that was probably meant, or NULL. */
const char *config_suggest(const char *given, const char *const *names, size_t count);

#endif
