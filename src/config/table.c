/*
 * table.c — the rows of options.h as arrays, and the words around them.
 */
#include "repo/names.h"
#include "internal.h"
#include "base/poison.h"

#define ROW(section_name, struct_name, option_type, field, first, sample, low, high, bits, shape,  \
            text)                                                                                  \
	{.section = section_name,                                                                  \
	 .type = OPTION_##option_type,                                                             \
	 .name = #field,                                                                           \
	 .initial = first,                                                                         \
	 .example = sample,                                                                        \
	 .min = low,                                                                               \
	 .max = high,                                                                              \
	 .flags = bits,                                                                            \
	 .form = shape,                                                                            \
	 .help = text,                                                                             \
	 .offset = offsetof(struct_name, field)},
#define ROW_SERVER(type, name, ...) ROW("server", struct config_server, type, name, __VA_ARGS__)
#define ROW_REPOSITORY(type, name, ...)                                                            \
	ROW("repository", struct config_repository, type, name, __VA_ARGS__)
#define ROW_CLUSTER(type, name, ...) ROW("cluster", struct config_cluster, type, name, __VA_ARGS__)

static const struct option server_options[] = {OPTIONS_SERVER(ROW_SERVER)};
static const struct option repository_options[] = {OPTIONS_REPOSITORY(ROW_REPOSITORY)};
static const struct option cluster_options[] = {OPTIONS_CLUSTER(ROW_CLUSTER)};

_Static_assert(ARRAY_LENGTH(server_options) <= CONFIG_OPTIONS_MAX, "room in config_source");
_Static_assert(ARRAY_LENGTH(repository_options) <= CONFIG_OPTIONS_MAX, "room in config_source");
_Static_assert(ARRAY_LENGTH(cluster_options) <= CONFIG_OPTIONS_MAX, "room in config_source");

const char *const config_section_names[3] = {"server", "repository", "cluster"};

const struct option *config_options(const char *section, size_t *ret_count)
{
	if (strcmp(section, "server") == 0) {
		*ret_count = ARRAY_LENGTH(server_options);
		return server_options;
	}
	if (strcmp(section, "repository") == 0) {
		*ret_count = ARRAY_LENGTH(repository_options);
		return repository_options;
	}
	if (strcmp(section, "cluster") == 0) {
		*ret_count = ARRAY_LENGTH(cluster_options);
		return cluster_options;
	}
	return NULL;
}

bool option_is_later(const char *section, const char *name)
{
	static const struct {
		const char *section, *name;
	} later[] = {
#define X(part, key) {#part, #key},
	        OPTIONS_LATER(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_LENGTH(later); i++)
		if (strcmp(later[i].section, section) == 0 && strcmp(later[i].name, name) == 0)
			return true;
	return false;
}

struct section section_server(struct config *config)
{
	return (struct section){.kind = "server",
	                        .fields = &config->server,
	                        .source = &config->server.source,
	                        .option = server_options,
	                        .options = ARRAY_LENGTH(server_options)};
}

struct section section_repository(struct config *config, size_t number)
{
	struct config_repository *repository = &config->repository[number];

	return (struct section){.kind = "repository",
	                        .name = repository->name,
	                        .fields = repository,
	                        .source = &repository->source,
	                        .option = repository_options,
	                        .options = ARRAY_LENGTH(repository_options)};
}

struct section section_cluster(struct config *config, size_t number)
{
	struct config_cluster *cluster = &config->cluster[number];

	return (struct section){.kind = "cluster",
	                        .name = cluster->name,
	                        .fields = cluster,
	                        .source = &cluster->source,
	                        .option = cluster_options,
	                        .options = ARRAY_LENGTH(cluster_options)};
}

void section_title(const struct section *section, char out[CONFIG_NAME_MAX + 32])
{
	snprintf(out, CONFIG_NAME_MAX + 32, "[%s%s%s]", section->kind, section->name ? " " : "",
	         section->name ? section->name : "");
}

bool config_name_valid(const char *name)
{
	/* What a repository calls its own folders (doc/format.md): a cluster is a folder beside
	 * them. */
	static const char *const taken[] = {"claim", "probe", "keys", "lease"};

	if (strlen(name) > CONFIG_NAME_MAX || !name_cluster_valid(name))
		return false;
	for (size_t i = 0; i < ARRAY_LENGTH(taken); i++)
		if (strcmp(name, taken[i]) == 0)
			return false;
	return true;
}

/* The number of letters to change, add, remove or swap; more than max is max + 1. */
static unsigned distance(const char *a, const char *b, unsigned max)
{
	enum { LETTERS_MAX = 40 };
	unsigned row[3][LETTERS_MAX + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > LETTERS_MAX || nb > LETTERS_MAX)
		return max + 1;
	for (size_t j = 0; j <= nb; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);

			best = MIN(best, MIN(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN(best, before[j - 2] + 1);
			now[j] = best;
		}
	}
	return MIN(row[na % 3][nb], max + 1);
}

const char *config_suggest(const char *given, const char *const *names, size_t count)
{
	/* A third of the letters may be wrong: then it is more likely meant than not. */
	unsigned best = (unsigned)MIN(strlen(given) / 3 + 1, 3);
	const char *found = NULL;

	for (size_t i = 0; i < count; i++) {
		unsigned d = distance(given, names[i], best);

		if (d > best || (d == best && found))
			continue;
		best = d;
		found = names[i];
	}
	return found;
}

const char *config_url_folder(const char *url)
{
	return str_starts(url, "file:///") ? url + strlen("file://") : NULL;
}
