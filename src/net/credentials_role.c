/*
 * credentials_role.c — a role that is taken with the keys of another profile: what the shared files
 * say of it, and the signed question to STS (AssumeRole).
 *
 * One step and no more: a source that takes a role itself would be a chain of lifetimes, and each
 * link another way to fail at three in the morning.
 */
#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"
#include "credentials_plan.h"
#include "net/sigv4.h"

#include "base/poison.h"

enum { DURATION_MIN_S = 900, DURATION_MAX_S = 43200, HOST_MAX = 256 };

/* ---- the plan, on a worker ---- */

static bool source_keys(struct plan *plan, const struct profile *source, const char *name,
                        struct err *err)
{
	if (!source->found)
		return err_set(err, ERR_CONFIG,
		               "there is no profile \"%s\", the \"source_profile\"", name);
	if (!source->aws_access_key_id && !source->aws_secret_access_key)
		return err_set(err, ERR_CONFIG,
		               "profile \"%s\", the \"source_profile\", has no keys of its own, "
		               "which is not supported",
		               name);
	plan->source = credentials_new(source->aws_access_key_id, source->aws_secret_access_key,
	                               source->aws_session_token, 0, err);
	return plan->source || err_wrap(err,
	                                "profile \"%s\", the \"source_profile\", cannot be "
	                                "used",
	                                name);
}

static bool role_valid(const struct profile *profile, const char *name, struct err *err)
{
	uint32_t seconds;

	if (profile->credential_source)
		return err_set(err, ERR_CONFIG,
		               "profile \"%s\" takes a role by \"credential_source\", which is not "
		               "supported",
		               name);
	if (profile->mfa_serial)
		return err_set(
		        err, ERR_CONFIG,
		        "profile \"%s\" takes a role with \"mfa_serial\": there is nobody to "
		        "ask for a code",
		        name);
	if (profile->duration_seconds && (!str_u32(profile->duration_seconds, &seconds) ||
	                                  seconds < DURATION_MIN_S || seconds > DURATION_MAX_S))
		return err_set(err, ERR_CONFIG,
		               "profile \"%s\": \"duration_seconds\" is no number from %d to %d",
		               name, DURATION_MIN_S, DURATION_MAX_S);
	return true;
}

bool plan_role(struct plan *plan, const struct profile *profile, const char *name, struct err *err)
{
	const char *source_name = profile->source_profile;
	struct profile source = {0};

	if (!role_valid(profile, name, err))
		return false;
	if (strcmp(source_name, name) == 0)
		source = *profile;
	else if (!plan_profile(plan, source_name, &plan->text[2], &source, err))
		return false;
	if (!source_keys(plan, &source, source_name, err))
		return false;
	plan_sts(plan, profile->region);
	plan->role_arn = xstrdup(profile->role_arn);
	plan->session_name =
	        xstrdup(profile->role_session_name ? profile->role_session_name : "seawall");
	plan->external_id = profile->external_id ? xstrdup(profile->external_id) : NULL;
	plan->duration = profile->duration_seconds ? xstrdup(profile->duration_seconds) : NULL;
	plan->next = PLAN_ROLE;
	return true;
}

/* ---- the question ---- */

/* Of "https://HOST:PORT/PATH", as libcurl will send it. */
static bool split_url(const char *url, char host[HOST_MAX], const char **ret_path)
{
	const char *at = strstr(url, "://"), *port;
	size_t length;

	if (!at)
		return false;
	at += strlen("://");
	length = strcspn(at, "/?#");
	if (length == 0 || length >= HOST_MAX || memchr(at, '@', length) || strpbrk(at, "?#"))
		return false;
	memcpy(host, at, length);
	host[length] = '\0';
	port = str_starts(url, "https://") ? ":443" : ":80";
	if (str_ends(host, port))
		host[length - strlen(port)] = '\0';
	*ret_path = at[length] ? at + length : "/";
	return true;
}

static void add(struct buf *buf, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addstr(buf, name);
	http_escape(buf, value);
}

static void write_body(struct remote *remote)
{
	const struct plan *plan = remote->plan;

	buf_init(&remote->text, SECRET_FILE_MAX);
	add(&remote->text, "Action=AssumeRole&Version=2011-06-15&RoleArn=", plan->role_arn);
	add(&remote->text, "&RoleSessionName=", plan->session_name);
	add(&remote->text, "&ExternalId=", plan->external_id);
	add(&remote->text, "&DurationSeconds=", plan->duration);
}

bool role_sign(struct remote *remote)
{
	static const char form[] = "Content-Type: application/x-www-form-urlencoded";
	const struct plan *plan = remote->plan;
	char date[SIGV4_DATE_BYTES], hash[SIGV4_HASH_BYTES], host[HOST_MAX];
	char host_line[HOST_MAX + 8];
	const char *path, *header[] = {host_line, form, remote->date, NULL, NULL};
	struct sigv4 sigv4 = {.access_key = plan->source->access_key,
	                      .secret_key = plan->source->secret_key,
	                      .region = plan->region,
	                      .service = "sts",
	                      .method = "POST",
	                      .query = "",
	                      .header = header,
	                      .payload = hash,
	                      .date = date};

	if (!split_url(plan->url, host, &path))
		return false;
	write_body(remote);
	sigv4.path = path;
	sigv4_date(clock_now_us(), date);
	sigv4_hash(remote->text.data, remote->text.length, hash);
	snprintf(host_line, sizeof(host_line), "Host: %s", host);
	snprintf(remote->date, sizeof(remote->date), "X-Amz-Date: %s", date);
	if (plan->source->session_token) {
		remote_text(&remote->first, "X-Amz-Security-Token: ", plan->source->session_token);
		header[3] = buf_text(&remote->first);
	}
	buf_init(&remote->second, SIGV4_AUTHORIZATION_MAX + 64);
	buf_addstr(&remote->second, "Authorization: ");
	sigv4_sign(&sigv4, &remote->second);
	remote_text(&remote->url, plan->url, "");
	remote->header[0] = form;
	remote->header[1] = remote->date;
	remote->header[2] = buf_text(&remote->second);
	remote->header[3] = header[3];
	return true;
}
