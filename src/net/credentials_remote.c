/*
 * credentials_remote.c — asking: STS, a program, the container's metadata, the instance's.
 *
 *   START -> PROCESS -> done
 *         -> ANSWER -> done                      STS, a role, container
 *         -> TOKEN -> ROLE -> ANSWER -> done     instance (IMDSv2)
 *
 * One connection attempt of a second to the metadata services: where there are none, nobody answers
 * at all. Nothing of an answer is in an error but its status, and of STS its code; nor is the URL
 * of a container, which is as good as a key.
 */
#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/zone.h"
#include "codec/xml.h"
#include "credentials_plan.h"

#include "base/poison.h"

enum {
	METADATA_CONNECT_MS = 1000,
	METADATA_WHOLE_MS = 3000,
	STS_CONNECT_MS = 5000,
	STS_WHOLE_MS = 20000,
	PROCESS_MS = 60000,
	ANSWER_MAX = 64 * 1024,
	ROLE_MAX = 256,
	TRIES_MAX = 2, /* of the metadata services */
};

/* clang-format off */
#define REMOTE_STATES(X) \
	X(REMOTE_START) X(REMOTE_PROCESS) X(REMOTE_TOKEN) X(REMOTE_ROLE) X(REMOTE_ANSWER)
/* clang-format on */
OP_STATES(remote_state, REMOTE_STATES)

static void request_clear(struct remote *remote)
{
	if (remote->request.answer.data)
		secret_wipe(remote->request.answer.data, remote->request.answer.size);
	http_release(&remote->request);
	remote->request = (struct http_request){0};
}

void remote_release(struct remote *remote)
{
	request_clear(remote);
	if (remote->child.output.data)
		secret_wipe(remote->child.output.data, remote->child.output.size);
	if (remote->child.op.type)
		child_release(&remote->child);
	credentials_release(STEAL(remote->credentials));
	secret_buf_release(&remote->text);
	secret_buf_release(&remote->url);
	secret_buf_release(&remote->first);
	secret_buf_release(&remote->second);
}

void remote_text(struct buf *buf, const char *name, const char *value)
{
	secret_buf_release(buf);
	buf_init(buf, SECRET_FILE_MAX * 4);
	buf_reserve(buf, strlen(name) + strlen(value) + 1);
	buf_addstr(buf, name);
	buf_addstr(buf, value);
}

static bool asks_sts(const struct remote *remote)
{
	return remote->plan->next == PLAN_STS || remote->plan->next == PLAN_ROLE;
}

static void ask(struct remote *remote, const char *method, enum remote_state state)
{
	bool sts = asks_sts(remote);

	request_clear(remote);
	remote->request = (struct http_request){
	        .method = method,
	        .url = buf_text(&remote->url),
	        .direct = !sts,
	        .ca_file = sts ? remote->plan->options->ca_file : NULL,
	        .header = remote->header,
	        .body = remote->text.length ? remote->text.data : NULL,
	        .body_bytes = remote->text.length,
	        .answer_max = ANSWER_MAX,
	        .connect_ms = sts ? STS_CONNECT_MS : METADATA_CONNECT_MS,
	        .stall_ms = STS_WHOLE_MS + 1,
	        .whole_ms = sts ? STS_WHOLE_MS : METADATA_WHOLE_MS,
	};
	http_start(&remote->op, &remote->request, remote->http);
	op_wait(&remote->op, state);
}

/* ---- whom and what ---- */

static void ask_sts(struct remote *remote)
{
	struct plan *plan = remote->plan;

	buf_init(&remote->text, SECRET_FILE_MAX);
	buf_reserve(&remote->text, SECRET_FILE_MAX / 2);
	buf_addstr(&remote->text, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=");
	http_escape(&remote->text, plan->role_arn);
	buf_addstr(&remote->text, "&RoleSessionName=");
	http_escape(&remote->text, plan->session_name);
	buf_addstr(&remote->text, "&WebIdentityToken=");
	http_escape(&remote->text, buf_text(&plan->token));
	remote_text(&remote->url, plan->url, "");
	remote->header[0] = "Content-Type: application/x-www-form-urlencoded";
	ask(remote, "POST", REMOTE_ANSWER);
}

static void ask_role(struct remote *remote)
{
	if (!role_sign(remote))
		return op_fail_as(&remote->op, ERR_CONFIG, "\"%s\" is no URL of STS",
		                  remote->plan->url);
	ask(remote, "POST", REMOTE_ANSWER);
}

static void ask_container(struct remote *remote)
{
	struct plan *plan = remote->plan;

	remote_text(&remote->url, plan->url, "");
	remote->header[0] = "Accept: application/json";
	if (plan->token.length > 0) {
		remote_text(&remote->first, "Authorization: ", buf_text(&plan->token));
		remote->header[1] = buf_text(&remote->first);
	}
	ask(remote, "GET", REMOTE_ANSWER);
}

static void ask_instance(struct remote *remote)
{
	remote_text(&remote->url, remote->plan->url, "/latest/api/token");
	remote->header[0] = "X-aws-ec2-metadata-token-ttl-seconds: 21600";
	remote->header[1] = NULL;
	ask(remote, "PUT", REMOTE_TOKEN);
}

static void run_process(struct remote *remote)
{
	remote_text(&remote->text, "exec 2>/dev/null\n", remote->plan->command);
	remote->argv[0] = "/bin/sh";
	remote->argv[1] = "-c";
	remote->argv[2] = buf_text(&remote->text);
	remote->child = (struct child){.argv = remote->argv, .timeout_ms = PROCESS_MS};
	child_start(&remote->op, &remote->child);
	op_wait(&remote->op, REMOTE_PROCESS);
}

static void begin(struct remote *remote)
{
	switch (remote->plan->next) {
	case PLAN_STS:
		return ask_sts(remote);
	case PLAN_ROLE:
		return ask_role(remote);
	case PLAN_PROCESS:
		return run_process(remote);
	case PLAN_CONTAINER:
		return ask_container(remote);
	case PLAN_INSTANCE:
		return ask_instance(remote);
	case PLAN_NOTHING:
	case PLAN_FOUND:
		break;
	}
	op_fail_as(&remote->op, ERR_INTERNAL, "there is nobody to ask");
}

/* ---- answers ---- */

/* The innermost sentence, unless it names the URL. */
static void no_answer(struct remote *remote)
{
	const struct err *err = &remote->request.op.err;
	const char *why = strrchr(err->text, '\n');

	why = why && !strstr(why, "://") ? why + 1 : "it took too long";
	op_fail_as(&remote->op, err->code, "no answer: %s", why);
}

struct sts_found {
	struct buf access_key, secret_key, token, expiration, code;
};

static void sts_element(void *context, const char *path, const char *text)
{
	static const char *const insides[] = {
	        "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/",
	        "AssumeRoleResponse/AssumeRoleResult/Credentials/"};
	const char *inside = insides[str_starts(path, insides[1])];
	struct sts_found *found = context;
	struct buf *into = NULL;

	if (strcmp(path, "ErrorResponse/Error/Code") == 0)
		into = &found->code;
	if (str_starts(path, inside)) {
		const char *name = path + strlen(inside);

		into = strcmp(name, "AccessKeyId") == 0       ? &found->access_key
		       : strcmp(name, "SecretAccessKey") == 0 ? &found->secret_key
		       : strcmp(name, "SessionToken") == 0    ? &found->token
		       : strcmp(name, "Expiration") == 0      ? &found->expiration
		                                              : NULL;
	}
	if (into && into->length == 0) {
		buf_reserve(into, strlen(text) + 1);
		buf_addstr(into, text);
	}
}

bool sts_answer(const char *text, size_t length, struct credentials **ret, struct err *err)
{
	struct sts_found found = {0};
	struct buf *const all[] = {&found.access_key, &found.secret_key, &found.token,
	                           &found.expiration, &found.code};
	const struct xml_reader reader = {.element = sts_element, .context = &found};
	struct err why = {0};
	int64_t expires_us = 0;

	*ret = NULL;
	for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
		buf_init(all[i], CREDENTIALS_TOKEN_MAX + 2);
	if (!xml_read(text, length, &reader, &why))
		err_set(err, ERR_DAMAGED, "the answer is no XML document");
	else if (found.code.length > 0 && credentials_visible(buf_text(&found.code), 64))
		err_set(err, ERR_FAILED, "it says \"%s\"", buf_text(&found.code));
	else if (!zone_parse_time(buf_text(&found.expiration), "UTC", 0, &expires_us, &why) ||
	         expires_us <= 0)
		err_set(err, ERR_DAMAGED, "the answer has no time of expiration");
	else
		*ret = credentials_new(buf_text(&found.access_key), buf_text(&found.secret_key),
		                       buf_text(&found.token), expires_us, err);
	for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
		secret_buf_release(all[i]);
	return *ret != NULL;
}

/* 408, 429 and 5xx pass; another status is an answer. */
static void bad_status(struct remote *remote)
{
	unsigned status = remote->request.status;
	bool passes = status == 408 || status == 429 || status >= 500;
	struct credentials *none = NULL;
	struct err why = {0};
	struct buf *answer = &remote->request.answer;

	if (asks_sts(remote) && answer->length > 0 &&
	    !sts_answer(answer->data, answer->length, &none, &why) && why.code == ERR_FAILED) {
		op_fail_as(&remote->op, passes ? ERR_NETWORK : ERR_CONFIG, "HTTP status %u: %s",
		           status, why.text);
		if (!passes && remote->plan->next == PLAN_ROLE)
			err_hint(&remote->op.err,
			         "Look at \"role_arn\", its trust in access key \"%s\" of "
			         "\"source_profile\", and what that key may do.",
			         remote->plan->source->access_key);
		else if (!passes)
			err_hint(&remote->op.err, "Look at the role (AWS_ROLE_ARN), its trust in "
			                          "the token's issuer, and the age of the token.");
		return;
	}
	credentials_release(none);
	op_fail_as(&remote->op, passes ? ERR_NETWORK : ERR_CONFIG, "HTTP status %u", status);
}

static void say_used(struct remote *remote)
{
	struct plan *plan = remote->plan;
	const char *key = remote->credentials->access_key;

	if (plan->next == PLAN_STS)
		plan_say(plan, plan->provider, true, "access key \"%s\", role \"%s\"", key,
		         plan->role_arn);
	else if (plan->next == PLAN_ROLE)
		plan_say(plan, plan->provider, true,
		         "access key \"%s\", role \"%s\", taken with access key \"%s\"", key,
		         plan->role_arn, plan->source->access_key);
	else if (plan->next == PLAN_PROCESS)
		plan_say(plan, plan->provider, true, "access key \"%s\", from credential_process",
		         key);
	else if (plan->next == PLAN_INSTANCE)
		plan_say(plan, plan->provider, true, "access key \"%s\", role \"%s\"", key,
		         path_name(buf_text(&remote->url)));
	else
		plan_say(plan, plan->provider, true, "access key \"%s\"", key);
}

static void take(struct remote *remote, struct buf *text)
{
	struct err why = {0};
	char *data = text->data ? text->data : (char[1]){""};

	if (asks_sts(remote)
	            ? sts_answer(data, text->length, &remote->credentials, &why)
	            : credentials_from_json(data, text->length, &remote->credentials, &why)) {
		say_used(remote);
		return op_done(&remote->op);
	}
	if (why.code != ERR_FAILED) /* half an answer, perhaps: the next one may be whole */
		why.code = ERR_NETWORK;
	op_fail(&remote->op, &why, "the answer cannot be used");
}

static void process_ended(struct remote *remote)
{
	struct child *child = &remote->child;

	if (op_failed(&child->op))
		return op_fail(&remote->op, &child->op.err, "credential_process failed");
	if (child->exit_status != 0)
		return op_fail_as(&remote->op, ERR_CONFIG,
		                  "credential_process ended with status %d", child->exit_status);
	take(remote, &child->output);
}

/* Nobody is there: this is no instance. */
static void nobody(struct remote *remote)
{
	remote->absent = true;
	plan_say(remote->plan, remote->plan->provider, false, "nobody answers at \"%s\"",
	         remote->plan->url);
	op_fail_as(&remote->op, ERR_CONFIG, "this is no instance with metadata");
}

static void token_came(struct remote *remote)
{
	struct buf *answer = &remote->request.answer;
	char *token = str_trim(answer->data ? answer->data : (char[1]){""});

	if (!credentials_visible(token, CREDENTIALS_TOKEN_MAX))
		return op_fail_as(&remote->op, ERR_NETWORK, "the answer is no session token");
	remote_text(&remote->first, "X-aws-ec2-metadata-token: ", token);
	remote->header[0] = buf_text(&remote->first);
	remote_text(&remote->url, remote->plan->url, "/latest/meta-data/iam/security-credentials/");
	ask(remote, "GET", REMOTE_ROLE);
}

static void role_came(struct remote *remote)
{
	struct buf *answer = &remote->request.answer;
	char *text = answer->data ? answer->data : (char[1]){""};
	AUTO_FREE char *role = xstrndup(text, strcspn(text, "\r\n"));
	AUTO_BUF struct buf escaped = {0};

	if (!credentials_visible(role, ROLE_MAX) || strchr(role, '/'))
		return op_fail_as(&remote->op, ERR_NETWORK, "the answer is no name of a role");
	buf_init(&escaped, ROLE_MAX * 4);
	buf_addstr(&escaped, "/latest/meta-data/iam/security-credentials/");
	http_escape(&escaped, role);
	remote_text(&remote->url, remote->plan->url, buf_text(&escaped));
	ask(remote, "GET", REMOTE_ANSWER);
}

static void no_role(struct remote *remote)
{
	remote->absent = true;
	plan_say(remote->plan, remote->plan->provider, false, "the instance has no role");
	op_fail_as(&remote->op, ERR_CONFIG, "the instance has no role");
}

static void answered(struct remote *remote, enum remote_state state)
{
	struct http_request *request = &remote->request;

	if (op_failed(&request->op)) {
		bool metadata = !asks_sts(remote);

		if (metadata && !remote->op.cancelled && ++remote->tries < TRIES_MAX)
			return ask(remote, request->method, state);
		if (state == REMOTE_TOKEN && !request->reached && !remote->op.cancelled)
			return nobody(remote);
		return no_answer(remote);
	}
	if (state == REMOTE_ROLE && request->status == 404)
		return no_role(remote);
	if (request->status != 200)
		return bad_status(remote);
	switch (state) {
	case REMOTE_TOKEN:
		return token_came(remote);
	case REMOTE_ROLE:
		return role_came(remote);
	case REMOTE_START:
	case REMOTE_PROCESS:
	case REMOTE_ANSWER:
		break;
	}
	take(remote, &request->answer);
}

static void remote_step(struct op *op)
{
	struct remote *remote = container_of(op, struct remote, op);

	if (op->cancelled && op->state == REMOTE_START)
		return op_fail_as(op, ERR_CANCELLED, "cancelled");
	switch ((enum remote_state)op->state) {
	case REMOTE_START:
		return begin(remote);
	case REMOTE_PROCESS:
		return process_ended(remote);
	case REMOTE_TOKEN:
	case REMOTE_ROLE:
	case REMOTE_ANSWER:
		return answered(remote, (enum remote_state)op->state);
	}
}

static const struct op_type remote_type = {
        .name = "asking for credentials", .step = remote_step, .state_name = remote_state_name};

void remote_start(struct op *parent, struct remote *remote, struct http *http, struct plan *plan)
{
	remote->http = http;
	remote->plan = plan;
	op_start(parent, &remote->op, &remote_type);
}
