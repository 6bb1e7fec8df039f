/*
 * check.c — fills in the defaults, and looks at what several settings say together.
 *
 * The folder rules are about losing data: the state may be deleted at any time, so nothing that
 * must stay may lie in it; a backup copies the data directory, so it must not hold the repository.
 */
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/place.h"
#include "internal.h"
#include "base/poison.h"

bool config_refuse(const struct config *config, unsigned line, struct err *err, const char *format,
                   ...)
{
	char sentence[ERR_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	if (!config->path)
		return err_set(err, ERR_CONFIG, "%s", sentence);
	if (line)
		return err_set(err, ERR_CONFIG, "file \"%s\", line %u: %s", config->path, line,
		               sentence);
	return err_set(err, ERR_CONFIG, "file \"%s\": %s", config->path, sentence);
}

/* The line of a setting, else of its section. */
static unsigned line_of(const struct section *section, const char *name)
{
	for (size_t i = 0; i < section->options; i++)
		if (strcmp(section->option[i].name, name) == 0 && section->source->text[i])
			return section->source->text_line[i];
	return section->source->line;
}

static bool fill_section(const struct config *config, const struct section *section,
                         struct err *err)
{
	char title[CONFIG_NAME_MAX + 32];

	for (size_t i = 0; i < section->options; i++) {
		const struct option *option = &section->option[i];

		if (section->source->text[i])
			continue;
		if (option->flags & OPTION_REQUIRED) {
			section_title(section, title);
			config_refuse(config, section->source->line, err,
			              "section %s has no \"%s\"", title, option->name);
			err_hint(err, "Add a line \"%s = %s\".", option->name,
			         option->example ? option->example : option->form);
			return false;
		}
		if (option->initial && !(option->flags & OPTION_DERIVED) &&
		    !option_set(option, option->initial, section->fields, err))
			return false;
	}
	return true;
}

/* Without any file: one repository and one cluster. */
static bool embed_default(struct config *config, struct err *err)
{
	struct section section;
	AUTO_FREE
	char *folder = NULL;

	config->base = place_base_folder(err);
	if (!config->base)
		return false;
	config->repository = xcalloc(1, sizeof(*config->repository));
	config->repositories = 1;
	config->repository->name = xstrdup("local");
	folder = place_repository(config->base);
	section = section_repository(config, 0);
	section.source->text[0] = xasprintf("file://%s", folder);
	config->repository->url = xstrdup(section.source->text[0]);
	config->cluster = xcalloc(1, sizeof(*config->cluster));
	config->clusters = 1;
	config->cluster->name = xstrdup("main");
	return true;
}

static bool fill_all(struct config *config, struct err *err)
{
	struct section section = section_server(config);

	if (!fill_section(config, &section, err))
		return false;
	for (size_t i = 0; i < config->repositories; i++) {
		section = section_repository(config, i);
		if (!fill_section(config, &section, err))
			return false;
	}
	for (size_t i = 0; i < config->clusters; i++) {
		section = section_cluster(config, i);
		if (!fill_section(config, &section, err))
			return false;
	}
	return true;
}

/* The same places that the hook finds by itself (place_find). */
static bool fill_places(struct config *config, struct err *err)
{
	struct config_server *server = &config->server;
	struct section section = section_server(config);
	struct err why = {0};

	if (!server->state) {
		AUTO_FREE
		char *base = config->base ? xstrdup(config->base) : place_base_folder(err);

		if (!base)
			return false;
		server->state = place_state(base);
	}
	if (!server->socket)
		server->socket = place_socket(server->state);
	if (place_socket_check(server->socket, &why))
		return true;
	config_refuse(config, line_of(&section, "socket"), err, "%s", why.text);
	err_hint(err, "%s", why.hint);
	return false;
}

static bool need_sections(struct config *config, struct err *err)
{
	if (config->repositories == 0) {
		config_refuse(config, 0, err, "there is no section [repository NAME]");
		err_hint(err, "Add \"[repository local]\" and a line \"url = file:///FOLDER\".");
		return false;
	}
	if (config->clusters == 0) {
		config_refuse(config, 0, err, "there is no section [cluster NAME]");
		err_hint(err, "Add \"[cluster main]\" and a line \"pgdata = FOLDER\".");
		return false;
	}
	return true;
}

/* A name of `repositories` becomes the section that it means. */
static bool find_place(struct config *config, size_t number, const char *wanted, struct err *err)
{
	struct config_cluster *cluster = &config->cluster[number];
	struct section section = section_cluster(config, number);
	const char *names[CONFIG_SECTIONS_MAX], *meant;

	for (unsigned i = 0; i < cluster->places; i++)
		if (strcmp(cluster->place[i]->name, wanted) == 0)
			return config_refuse(config, line_of(&section, "repositories"), err,
			                     "\"%s\" is twice in \"repositories\"", wanted);
	for (size_t i = 0; i < config->repositories; i++) {
		names[i] = config->repository[i].name;
		if (strcmp(names[i], wanted) == 0) {
			cluster->place[cluster->places++] = &config->repository[i];
			return true;
		}
	}
	config_refuse(config, line_of(&section, "repositories"), err,
	              "there is no section [repository %s]", wanted);
	meant = config_suggest(wanted, names, config->repositories);
	if (meant)
		err_hint(err, "Did you mean \"%s\"?", meant);
	else
		err_hint(err, "The first repository is \"%s\".", names[0]);
	return false;
}

static bool check_ack(struct config *config, size_t number, struct err *err)
{
	struct config_cluster *cluster = &config->cluster[number];
	struct section section = section_cluster(config, number);
	uint32_t count = 1;

	if (!cluster->ack || strcmp(cluster->ack, "all") == 0)
		count = cluster->places;
	else if (strcmp(cluster->ack, "any") != 0 &&
	         (!str_u32(cluster->ack, &count) || count == 0 || count > cluster->places)) {
		config_refuse(config, line_of(&section, "ack"), err,
		              "\"ack = %s\" is not possible with %u repositor%s", cluster->ack,
		              cluster->places, cluster->places == 1 ? "y" : "ies");
		err_hint(err, "Allowed is all, any, or a number from 1 to %u.", cluster->places);
		return false;
	}
	cluster->acks = count;
	return true;
}

static bool find_repository(struct config *config, size_t number, struct err *err)
{
	struct config_cluster *cluster = &config->cluster[number];
	struct section section = section_cluster(config, number);

	if (cluster->repositories.count == 0) {
		if (config->repositories > 1) {
			config_refuse(config, section.source->line, err,
			              "section [cluster %s] has no \"repositories\", and there are "
			              "%zu of them",
			              cluster->name, config->repositories);
			err_hint(err, "Add a line \"repositories = %s\".",
			         config->repository[0].name);
			return false;
		}
		strs_add(&cluster->repositories, config->repository[0].name);
	}
	for (size_t i = 0; i < cluster->repositories.count; i++)
		if (!find_place(config, number, cluster->repositories.item[i], err))
			return false;
	cluster->repository = cluster->place[0];
	return check_ack(config, number, err);
}

/* The path with the symbolic links of its existing part resolved; caller frees. */
static char *path_resolved(const char *path)
{
	AUTO_FREE
	char *part = xstrdup(path);
	char real[PATH_MAX];

	for (size_t length = strlen(part); length > 0; length--) {
		if (path[length] != '/' && path[length] != '\0')
			continue;
		part[length] = '\0';
		if (realpath(part, real))
			return xasprintf("%s%s", strcmp(real, "/") == 0 ? "" : real, path + length);
	}
	return xstrdup(path);
}

static bool path_inside(const char *path, const char *folder)
{
	AUTO_FREE
	char *inner = path_resolved(path);
	AUTO_FREE
	char *outer = path_resolved(folder);
	size_t length = strlen(outer);

	return strncmp(inner, outer, length) == 0 &&
	       (inner[length] == '/' || inner[length] == '\0');
}

/* What is given for a store that has no such thing, or lacks its other half. */
static bool check_s3(struct config *config, size_t number, struct err *err)
{
	const struct config_repository *repository = &config->repository[number];
	struct section section = section_repository(config, number);
	bool s3 = str_starts(repository->url, "s3://");

	for (size_t i = 0; i < section.options; i++)
		if (!s3 && section.source->text[i] && str_starts(section.option[i].help, "s3: "))
			return config_refuse(config, section.source->text_line[i], err,
			                     "\"%s\" is for a repository at s3:// only",
			                     section.option[i].name);
	if (!repository->access_key != !repository->secret_key_file)
		return config_refuse(config, section.source->line, err,
		                     "\"access_key\" and \"secret_key_file\" belong together");
	if (repository->credentials_file && repository->access_key)
		return config_refuse(config, line_of(&section, "credentials_file"), err,
		                     "\"credentials_file\" stands beside \"access_key\"");
	if (repository->sse_key && repository->sse != SSE_KMS)
		return config_refuse(config, line_of(&section, "sse_key"), err,
		                     "\"sse_key\" needs \"sse = aws:kms\"");
	if (!repository->object_lock_days != (repository->object_lock == OBJECT_LOCK_NONE))
		return config_refuse(config, section.source->line, err,
		                     "\"object_lock\" and \"object_lock_days\" belong "
		                     "together");
	return true;
}

static bool check_repository_place(struct config *config, size_t number, struct err *err)
{
	const struct config_repository *repository = &config->repository[number];
	struct section section = section_repository(config, number);
	const char *folder = config_url_folder(repository->url), *state = config->server.state;
	unsigned line = line_of(&section, "url");

	if (!folder)
		return true;
	if (path_inside(folder, state)) {
		config_refuse(config, line, err,
		              "repository \"%s\" lies inside the state folder \"%s\"",
		              repository->name, state);
		err_hint(err, "The state may be deleted at any time; choose another folder for "
		              "one of them.");
		return false;
	}
	if (path_inside(state, folder))
		return config_refuse(config, line, err,
		                     "the state folder \"%s\" lies inside repository \"%s\"", state,
		                     repository->name);
	for (size_t i = 0; i < config->clusters; i++) {
		const struct config_cluster *cluster = &config->cluster[i];

		if (cluster->pgdata && path_inside(folder, cluster->pgdata))
			return config_refuse(config, line, err,
			                     "repository \"%s\" lies inside the data directory "
			                     "\"%s\"",
			                     repository->name, cluster->pgdata);
	}
	return true;
}

static bool check_clusters(struct config *config, struct err *err)
{
	for (size_t i = 0; i < config->clusters; i++) {
		struct section section = section_cluster(config, i);
		const char *pgdata = config->cluster[i].pgdata;

		if (!find_repository(config, i, err))
			return false;
		if (pgdata && path_inside(config->server.state, pgdata))
			return config_refuse(config, line_of(&section, "pgdata"), err,
			                     "the state folder \"%s\" lies inside the data "
			                     "directory \"%s\"",
			                     config->server.state, pgdata);
		for (size_t j = 0; j < i && pgdata; j++)
			if (config->cluster[j].pgdata &&
			    strcmp(config->cluster[j].pgdata, pgdata) == 0)
				return config_refuse(config, line_of(&section, "pgdata"), err,
				                     "clusters \"%s\" and \"%s\" have the same "
				                     "data directory",
				                     config->cluster[j].name,
				                     config->cluster[i].name);
	}
	return true;
}

/* A password in a connection string, in either of libpq's forms; "passfile=" is fine. */
static bool holds_password(const char *connect)
{
	const char *scheme = strstr(connect, "://"), *at, *colon;

	for (at = strstr(connect, "password"); at; at = strstr(at + 1, "password"))
		if (at[strlen("password") + strspn(at + strlen("password"), " ")] == '=')
			return true;
	if (!scheme)
		return false;
	scheme += strlen("://");
	at = strchr(scheme, '@');
	colon = strchr(scheme, ':');
	return at && colon && colon < at;
}

static bool check_secrets(struct config *config, struct err *err)
{
	struct stat status;

	for (size_t i = 0; i < config->clusters; i++) {
		struct section section = section_cluster(config, i);
		const char *connect = config->cluster[i].connect;

		if (!connect || !holds_password(connect))
			continue;
		if (stat(config->path, &status) != 0)
			return err_sys(err, "could not look at file \"%s\"", config->path);
		if (!(status.st_mode & S_IROTH))
			continue;
		config_refuse(config, line_of(&section, "connect"), err,
		              "\"connect\" holds a password, and everybody may read the file");
		err_hint(err,
		         "chmod o-r %s, or keep the password in the file that \"passfile\" names.",
		         config->path);
		return false;
	}
	return true;
}

/* One key opens a repository; it must not be beside what it opens. */
static bool check_keys(struct config *config, size_t number, struct err *err)
{
	const struct config_repository *repository = &config->repository[number];
	const char *const files[] = {repository->key_file, repository->key_passphrase_file};
	struct section section = section_repository(config, number);
	const char *folder = config_url_folder(repository->url);
	unsigned given = repository->key_command != NULL;

	for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
		given += files[i] != NULL;
		if (!files[i] || !folder || !path_inside(files[i], folder))
			continue;
		config_refuse(config,
		              line_of(&section, i == 0 ? "key_file" : "key_passphrase_file"), err,
		              "the key of repository \"%s\" lies inside it", repository->name);
		err_hint(err, "Who has the repository must not have the key.");
		return false;
	}
	if (given <= 1)
		return true;
	return config_refuse(config, section.source->line, err,
	                     "section [repository %s] has more than one of \"key_file\", "
	                     "\"key_passphrase_file\" and \"key_command\"",
	                     repository->name);
}

bool config_complete(struct config *config, struct err *err)
{
	if (!config->path && !embed_default(config, err))
		return false;
	if (!need_sections(config, err) || !fill_all(config, err) || !fill_places(config, err) ||
	    !check_clusters(config, err) || !check_secrets(config, err))
		return false;
	for (size_t i = 0; i < config->repositories; i++)
		if (!check_s3(config, i, err) || !check_repository_place(config, i, err) ||
		    !check_keys(config, i, err))
			return false;
	return true;
}
