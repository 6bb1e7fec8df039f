/*
 * credentials_plan.c — a search through the providers, as far as it goes without the network.
 *
 * Runs on a worker: it reads files. It ends with keys, with whom to ask for them, or with an error;
 * and with a sentence for each provider that was looked at, for `seawall check`.
 *
 * All files that were read (or were missing) are remembered as they were, so that the source sees
 * when one becomes another.
 */
#include "credentials_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"

#include "base/poison.h"

static const char by_config[] = "the configuration", by_env[] = "the environment",
                  by_web[] = "a web identity token", by_files[] = "the shared files",
                  by_container[] = "the container's metadata",
                  by_instance[] = "the instance's metadata";

void secret_buf_release(struct buf *buf)
{
	if (buf->data)
		secret_wipe(buf->data, buf->size);
	buf_release(buf);
}

void plan_init(struct plan *plan, const struct credentials_options *options)
{
	*plan = (struct plan){.options = options};
}

void credentials_plan_release(struct plan *plan)
{
	while (plan->files > 0)
		free(plan->file[--plan->files].path);
	credentials_release(STEAL(plan->credentials));
	credentials_release(STEAL(plan->source));
	free(STEAL(plan->external_id));
	free(STEAL(plan->duration));
	free(STEAL(plan->region));
	free(STEAL(plan->url));
	free(STEAL(plan->role_arn));
	free(STEAL(plan->session_name));
	free(STEAL(plan->command));
	secret_buf_release(&plan->token);
	for (size_t i = 0; i < ARRAY_LENGTH(plan->text); i++)
		secret_buf_release(&plan->text[i]);
}

void plan_say(struct plan *plan, const char *provider, bool used, const char *format, ...)
{
	struct credentials_outcome *outcome;
	va_list args;
	int needed;

	if (plan->outcomes == PLAN_OUTCOMES_MAX)
		return;
	outcome = &plan->outcome[plan->outcomes++];
	outcome->provider = provider;
	outcome->used = used;
	va_start(args, format);
	needed = vsnprintf(outcome->sentence, sizeof(outcome->sentence), format, args);
	va_end(args);
	str_cut(outcome->sentence, sizeof(outcome->sentence), (size_t)MAX(needed, 0));
	str_clean(outcome->sentence);
}

/* ---- files ---- */

bool plan_file_changed(const struct plan_file *file)
{
	struct stat now;
	bool there = stat(file->path, &now) == 0;

	if (there != file->there)
		return true;
	return there && (now.st_ino != file->status.st_ino || now.st_dev != file->status.st_dev ||
	                 now.st_size != file->status.st_size ||
	                 now.st_mtim.tv_sec != file->status.st_mtim.tv_sec ||
	                 now.st_mtim.tv_nsec != file->status.st_mtim.tv_nsec);
}

static void remember(struct plan *plan, const char *path, const struct stat *status)
{
	struct plan_file *file;

	if (plan->files == PLAN_FILES_MAX)
		return;
	file = &plan->file[plan->files++];
	*file = (struct plan_file){.path = xstrdup(path), .there = status != NULL};
	if (status)
		file->status = *status;
}

bool plan_read(struct plan *plan, const char *path, bool others, struct buf *ret, struct err *err)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	ssize_t got;

	if (fd < 0 || fstat(fd, &status) != 0) {
		err_sys(err, "could not open file \"%s\"", path);
		remember(plan, path, NULL);
		return false;
	}
	remember(plan, path, &status);
	if (!S_ISREG(status.st_mode))
		return err_set(err, ERR_CONFIG, "\"%s\" is no regular file", path);
	if (!others && status.st_mode & S_IRWXO) {
		err_set(err, ERR_REFUSED, "file \"%s\" may be read by everybody", path);
		err_hint(err, "Run: chmod 600 %s", path);
		return false;
	}
	if (status.st_size > SECRET_FILE_MAX - 2)
		return err_set(err, ERR_CONFIG, "file \"%s\" is longer than %d bytes", path,
		               SECRET_FILE_MAX - 2);
	/* once for all: what grows leaves copies behind */
	buf_init(ret, SECRET_FILE_MAX);
	if (!buf_reserve(ret, (size_t)status.st_size + 1))
		return err_set(err, ERR_INTERNAL, "no room for file \"%s\"", path);
	got = file_read_full(fd, ret->data, (size_t)status.st_size);
	if (got < 0)
		return err_sys(err, "could not read file \"%s\"", path);
	ret->length = (size_t)got;
	ret->data[got] = '\0';
	return true;
}

/* ---- keys that are there ---- */

static bool take(struct plan *plan, const char *access_key, const char *secret_key,
                 const char *token, struct err *err)
{
	plan->credentials = credentials_new(access_key, secret_key, token, 0, err);
	if (plan->credentials)
		plan->next = PLAN_FOUND;
	return plan->credentials != NULL;
}

/* text: of the file at path. */
static bool profile_in(const char *path, const struct buf *text, const char *section,
                       struct profile *profile, struct err *err)
{
	unsigned line;

	if (profile_read(text->data, text->length, section, profile, &line))
		return true;
	return err_set(err, ERR_CONFIG,
	               "file \"%s\", line %u: expected \"[section]\" or \"key = value\"", path,
	               line);
}

static bool from_credentials_file(struct plan *plan, struct err *err)
{
	const char *path = plan->options->credentials_file;
	const char *section = plan->options->profile ? plan->options->profile : "default";
	struct profile profile = {0};

	if (!plan_read(plan, path, false, &plan->text[0], err))
		return err_is(err) && err->code != ERR_REFUSED
		               ? err_wrap_as(err, ERR_CONFIG, "could not read \"credentials_file\"")
		               : false;
	if (!profile_in(path, &plan->text[0], section, &profile, err))
		return false;
	if (!profile.found)
		return err_set(err, ERR_CONFIG, "file \"%s\" has no section [%s]", path, section);
	if (!take(plan, profile.aws_access_key_id, profile.aws_secret_access_key,
	          profile.aws_session_token, err))
		return err_wrap(err, "file \"%s\" cannot be used", path);
	plan_say(plan, plan->provider, true, "access key \"%s\", from [%s] of file \"%s\"",
	         plan->credentials->access_key, section, path);
	return true;
}

static bool look_config(struct plan *plan, struct err *err)
{
	const struct credentials_options *options = plan->options;
	char *key;

	if (options->credentials_file && (options->access_key || options->secret_key_file))
		return err_set(
		        err, ERR_CONFIG,
		        "\"credentials_file\" stands beside \"access_key\" or \"secret_key_file\"");
	if (options->credentials_file)
		return from_credentials_file(plan, err);
	if (!options->access_key && !options->secret_key_file) {
		plan_say(plan, plan->provider, false,
		         "neither \"access_key\" nor \"credentials_file\" is set");
		return true;
	}
	if (!options->access_key || !options->secret_key_file)
		return err_set(err, ERR_CONFIG,
		               "\"access_key\" and \"secret_key_file\" belong together");
	if (!plan_read(plan, options->secret_key_file, false, &plan->text[0], err))
		return err->code == ERR_REFUSED
		               ? false
		               : err_wrap_as(err, ERR_CONFIG, "could not read \"secret_key_file\"");
	key = str_trim(plan->text[0].data);
	if (!take(plan, options->access_key, key, NULL, err))
		return err_wrap(err, "file \"%s\" cannot be used", options->secret_key_file);
	plan_say(plan, plan->provider, true, "access key \"%s\", secret key from file \"%s\"",
	         options->access_key, options->secret_key_file);
	return true;
}

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static bool look_env(struct plan *plan, struct err *err)
{
	const char *access_key = env("AWS_ACCESS_KEY_ID");
	const char *secret_key = env("AWS_SECRET_ACCESS_KEY");

	if (plan->options->profile) {
		plan_say(plan, plan->provider, false, "the repository names a profile");
		return true;
	}
	if (!access_key && !secret_key) {
		plan_say(plan, plan->provider, false, "AWS_ACCESS_KEY_ID is not set");
		return true;
	}
	if (!access_key || !secret_key)
		return err_set(err, ERR_CONFIG,
		               "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together");
	if (!take(plan, access_key, secret_key, env("AWS_SESSION_TOKEN"), err))
		return false;
	plan_say(plan, plan->provider, true, "access key \"%s\"%s", access_key,
	         plan->credentials->session_token ? ", with a session token" : "");
	return true;
}

static bool look_web(struct plan *plan, struct err *err)
{
	const char *path = env("AWS_WEB_IDENTITY_TOKEN_FILE"), *role = env("AWS_ROLE_ARN");

	if (plan->options->profile) {
		plan_say(plan, plan->provider, false, "the repository names a profile");
		return true;
	}
	if (!path) {
		plan_say(plan, plan->provider, false, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
		return true;
	}
	if (!role)
		return err_set(err, ERR_CONFIG,
		               "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not");
	return plan_web_identity(plan, path, role, env("AWS_ROLE_SESSION_NAME"), err);
}

/* ---- shared files ---- */

static char *shared_path(const char *variable, const char *name)
{
	const char *given = env(variable), *home = env("HOME");

	if (given)
		return xstrdup(given);
	return home ? xasprintf("%s/.aws/%s", home, name) : NULL;
}

/* What the profile says, beginning with the strongest word. */
static bool use_profile(struct plan *plan, const struct profile *profile, const char *name,
                        const char *path, struct err *err)
{
	if (profile->role_arn && (profile->source_profile || profile->credential_source))
		return plan_role(plan, profile, name, err);
	if (profile->role_arn && profile->web_identity_token_file)
		return plan_web_identity(plan, profile->web_identity_token_file, profile->role_arn,
		                         profile->role_session_name, err);
	if (profile->aws_access_key_id || profile->aws_secret_access_key) {
		if (!take(plan, profile->aws_access_key_id, profile->aws_secret_access_key,
		          profile->aws_session_token, err))
			return err_wrap(err, "profile \"%s\" cannot be used", name);
		plan_say(plan, plan->provider, true,
		         "access key \"%s\", profile \"%s\" of file \"%s\"",
		         plan->credentials->access_key, name, path);
		return true;
	}
	if (profile->credential_process) {
		plan->command = xstrdup(profile->credential_process);
		plan->next = PLAN_PROCESS;
		return true;
	}
	if (profile->sso_session || profile->sso_start_url)
		return err_set(err, ERR_CONFIG,
		               "profile \"%s\" signs in through SSO, which is not supported", name);
	if (plan->options->profile || env("AWS_PROFILE"))
		return err_set(err, ERR_CONFIG, "profile \"%s\" has no credentials", name);
	plan_say(plan, plan->provider, false, "profile \"%s\" has no credentials", name);
	return true;
}

struct shared {
	const char *path; /* NULL: there is none */
	struct buf *text; /* room for it, as long as the profile is used */
	const char *section;
};

/* False with err; a file that is not there, or may not be read, has no profile. */
static bool read_shared(struct plan *plan, const struct shared *shared, struct profile *profile,
                        struct err *err)
{
	struct err why = {0};

	if (!shared->path)
		return true;
	if (plan_read(plan, shared->path, true, shared->text, &why))
		return profile_in(shared->path, shared->text, shared->section, profile, err);
	if (why.code == ERR_NOTFOUND)
		return true;
	*err = why;
	return false;
}

/* The files, as the environment names them; NULL: there is none. */
struct shared_paths {
	char *credentials, *config;
};

/* A profile, and the file that its keys are from. */
struct profile_source {
	struct shared_paths paths;
	struct profile profile;
	const char *path;
};

static struct shared_paths shared_paths(void)
{
	return (struct shared_paths){
	        .credentials = shared_path("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
	        .config = shared_path("AWS_CONFIG_FILE", "config"),
	};
}

static void shared_paths_release(struct shared_paths *paths)
{
	free(paths->credentials);
	free(paths->config);
}

/* Keys of the credentials file are stronger. */
static bool profile_of(struct plan *plan, const char *name, struct buf *text,
                       struct profile_source *ret, struct err *err)
{
	AUTO_FREE char *section =
	        strcmp(name, "default") == 0 ? xstrdup(name) : xasprintf("profile %s", name);
	const struct shared from_config = {ret->paths.config, &text[0], section};
	const struct shared from_credentials = {ret->paths.credentials, &text[1], name};
	struct profile *profile = &ret->profile, keys = {0};

	if (!read_shared(plan, &from_config, profile, err) ||
	    !read_shared(plan, &from_credentials, &keys, err))
		return false;
	ret->path = ret->paths.config;
	if (keys.aws_access_key_id || keys.aws_secret_access_key) {
		profile->aws_access_key_id = keys.aws_access_key_id;
		profile->aws_secret_access_key = keys.aws_secret_access_key;
		profile->aws_session_token = keys.aws_session_token;
		profile->found = true;
		ret->path = ret->paths.credentials;
	} else if (keys.found && !profile->found) {
		*profile = keys;
	}
	return true;
}

bool plan_profile(struct plan *plan, const char *name, struct buf *text, struct profile *ret,
                  struct err *err)
{
	struct profile_source source = {.paths = shared_paths()};
	bool done = profile_of(plan, name, text, &source, err);

	*ret = source.profile;
	shared_paths_release(&source.paths);
	return done;
}

static bool nothing_found(struct plan *plan, const struct shared_paths *paths, const char *name,
                          struct err *err)
{
	const char *credentials = paths->credentials ? paths->credentials : "";
	const char *config = paths->config ? paths->config : "";

	if (name)
		return err_set(err, ERR_CONFIG, "there is no profile \"%s\" in \"%s\" or \"%s\"",
		               name, credentials, config);
	plan_say(plan, plan->provider, false, "there is no default profile in \"%s\" or \"%s\"",
	         credentials, config);
	return true;
}

static bool look_files(struct plan *plan, struct err *err)
{
	const char *name = plan->options->profile ? plan->options->profile : env("AWS_PROFILE");
	struct profile_source source = {.paths = shared_paths()};
	bool done = profile_of(plan, name ? name : "default", plan->text, &source, err);

	if (done && !source.profile.found)
		done = nothing_found(plan, &source.paths, name, err);
	else if (done)
		done = use_profile(plan, &source.profile, name ? name : "default", source.path,
		                   err);
	shared_paths_release(&source.paths);
	return done;
}

static bool look_container(struct plan *plan, struct err *err)
{
	if (!plan->options->profile)
		return plan_container(plan, err);
	plan_say(plan, plan->provider, false, "the repository names a profile");
	return true;
}

static bool look_instance(struct plan *plan, struct err *err)
{
	(void)err;
	plan_instance(plan);
	return true;
}

void plan_run(struct work *work)
{
	static const struct {
		const char *provider;
		bool (*look)(struct plan *plan, struct err *err);
	} all[] = {{by_config, look_config},
	           {by_env, look_env},
	           {by_web, look_web},
	           {by_files, look_files},
	           {by_container, look_container},
	           {by_instance, look_instance}};
	struct plan *plan = container_of(work, struct plan, work);

	for (size_t i = 0; i < ARRAY_LENGTH(all); i++) {
		plan->provider = all[i].provider;
		if (!all[i].look(plan, &work->op.err) || plan->next != PLAN_NOTHING)
			return;
	}
	plan->provider = NULL;
}
