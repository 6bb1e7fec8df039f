/*
 * credentials_env.c — where the environment says that credentials can be asked for: STS with a web
 * identity token, the container's metadata, the instance's.
 *
 * A URL for credentials from the environment is believed only for https, for this host, and for the
 * addresses of ECS and EKS: over plain http anybody on the way could answer, and would be sent the
 * authorization token.
 */
#include <arpa/inet.h>
#include <strings.h>

#include "base/str.h"
#include "credentials_plan.h"

#include "base/poison.h"

static const char *set_in_env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* ---- web identity ---- */

static bool region_good(const char *region)
{
	size_t length = strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return length > 0 && length < 64 && region[length] == '\0';
}

void plan_sts(struct plan *plan, const char *region)
{
	const char *url = set_in_env("AWS_ENDPOINT_URL_STS");

	if (!region)
		region = plan->options->region;
	if (!region)
		region = set_in_env("AWS_REGION");
	if (!region)
		region = set_in_env("AWS_DEFAULT_REGION");
	if (region && !region_good(region))
		region = NULL;
	plan->region = xstrdup(region ? region : "us-east-1");
	if (url)
		plan->url = xstrdup(url);
	else if (!region)
		plan->url = xstrdup("https://sts.amazonaws.com/");
	else
		plan->url = xasprintf("https://sts.%s.amazonaws.com%s/", region,
		                      str_starts(region, "cn-") ? ".cn" : "");
}

bool plan_web_identity(struct plan *plan, const char *token_path, const char *role_arn,
                       const char *session_name, struct err *err)
{
	if (!plan_read(plan, token_path, true, &plan->token, err))
		return err_wrap_as(err, ERR_CONFIG, "could not read the web identity token");
	while (plan->token.length > 0 && plan->token.data[plan->token.length - 1] <= ' ')
		plan->token.data[--plan->token.length] = '\0';
	if (!credentials_visible(buf_text(&plan->token), CREDENTIALS_TOKEN_MAX))
		return err_set(err, ERR_CONFIG, "file \"%s\" holds no web identity token",
		               token_path);
	plan_sts(plan, NULL);
	plan->role_arn = xstrdup(role_arn);
	plan->session_name = xstrdup(session_name ? session_name : "seawall");
	plan->next = PLAN_STS;
	return true;
}

/* ---- container ---- */

static bool address_is_local(const char *host)
{
	char bare[INET6_ADDRSTRLEN + 2];
	struct in_addr v4;
	struct in6_addr v6, eks;
	size_t length = strlen(host);

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1) {
		uint32_t address = ntohl(v4.s_addr);

		return address >> 24 == 127 || address == 0xA9FEAA02 || address == 0xA9FEAA17;
	}
	if (length < 3 || host[0] != '[' || host[length - 1] != ']' || length >= sizeof(bare))
		return false;
	memcpy(bare, host + 1, length - 2);
	bare[length - 2] = '\0';
	return inet_pton(AF_INET6, bare, &v6) == 1 &&
	       inet_pton(AF_INET6, "fd00:ec2::23", &eks) == 1 &&
	       (IN6_IS_ADDR_LOOPBACK(&v6) || memcmp(&v6, &eks, sizeof(v6)) == 0);
}

/* The host of "http://host:port/path"; what else could be read in two ways is refused. */
static bool url_host(const char *url, char *host, size_t host_bytes)
{
	const char *at = url + strlen("http://");
	size_t all = strcspn(at, "/?#"), length;

	if (memchr(at, '@', all) || memchr(at, '\\', all) || memchr(at, '%', all))
		return false;
	length = *at == '[' ? strcspn(at, "]") + 1 : strcspn(at, ":/?#");
	if (length == 0 || length > all || length >= host_bytes)
		return false;
	memcpy(host, at, length);
	host[length] = '\0';
	at += length;
	return all == length || (*at == ':' && strspn(at + 1, "0123456789") == all - length - 1);
}

bool container_url_allowed(const char *url)
{
	char host[256];

	if (!credentials_visible(url, CREDENTIALS_TOKEN_MAX))
		return false;
	if (strncasecmp(url, "https://", strlen("https://")) == 0)
		return true;
	return strncasecmp(url, "http://", strlen("http://")) == 0 &&
	       url_host(url, host, sizeof(host)) && address_is_local(host);
}

static bool container_token(struct plan *plan, struct err *err)
{
	const char *path = set_in_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = set_in_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");

	if (path) {
		if (!plan_read(plan, path, true, &plan->token, err))
			return err_wrap_as(err, ERR_CONFIG,
			                   "could not read the authorization token");
		while (plan->token.length > 0 && plan->token.data[plan->token.length - 1] <= ' ')
			plan->token.data[--plan->token.length] = '\0';
	} else if (token) {
		buf_init(&plan->token, SECRET_FILE_MAX);
		buf_addstr(&plan->token, token);
	} else {
		return true;
	}
	if (strpbrk(buf_text(&plan->token), "\r\n") || plan->token.length == 0 ||
	    strlen(buf_text(&plan->token)) != plan->token.length ||
	    plan->token.length > CREDENTIALS_TOKEN_MAX)
		return err_set(err, ERR_CONFIG, "the authorization token cannot be sent");
	return true;
}

bool plan_container(struct plan *plan, struct err *err)
{
	const char *relative = set_in_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = set_in_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");

	if (!relative && !full) {
		plan_say(plan, plan->provider, false,
		         "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor "
		         "AWS_CONTAINER_CREDENTIALS_FULL_URI is set");
		return true;
	}
	if (relative && *relative != '/')
		return err_set(err, ERR_CONFIG,
		               "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with \"/\"");
	plan->url = relative ? xasprintf("http://169.254.170.2%s", relative) : xstrdup(full);
	if (!container_url_allowed(plan->url)) {
		err_set(err, ERR_CONFIG,
		        "AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL that keys may come from");
		err_hint(err, "Use https, or http to localhost, 169.254.170.2, 169.254.170.23 or "
		              "[fd00:ec2::23].");
		return false;
	}
	plan->next = PLAN_CONTAINER;
	return container_token(plan, err);
}

/* ---- instance ---- */

void plan_instance(struct plan *plan)
{
	const char *off = getenv("AWS_EC2_METADATA_DISABLED");
	const char *url = set_in_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = set_in_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	size_t length;

	if (off && strcasecmp(off, "true") == 0) {
		plan_say(plan, plan->provider, false, "AWS_EC2_METADATA_DISABLED is \"true\"");
		return;
	}
	if (!url)
		url = mode && strcasecmp(mode, "ipv6") == 0 ? "http://[fd00:ec2::254]"
		                                            : "http://169.254.169.254";
	length = strlen(url);
	while (length > 0 && url[length - 1] == '/')
		length--;
	plan->url = xstrndup(url, length);
	plan->next = PLAN_INSTANCE;
}
