/*
 * client.c — see client.h. Events come as "event: NAME", "data: JSON" and an empty line; a line
 * that begins with ":" only says that the server is alive.
 */
#include "client.h"
#include "base/poison.h"

enum {
	ASK_MS = 10 * 1000, /* the server answers these from memory */
	SILENT_MS = 60 * 1000,
	REQUEST_BYTES_MAX = 64 * 1024,
	EVENT_BYTES_MAX = 1024 * 1024,
};

void client_init(struct client *client, struct runtime *runtime)
{
	*client = (struct client){.runtime = runtime,
	                          .http = http_new(runtime->loop, 2),
	                          .socket = runtime->config->server.socket};
}

void client_release(struct client *client)
{
	http_free(client->http);
	*client = (struct client){0};
}

struct asking {
	struct http_request request;
	struct client *client;
	void (*each)(void *context, const struct jval *job);
	void *context;
	struct buf line;
	struct jval *last; /* the job as it was told last */
	bool ended;
};

static void start_asking(struct op *parent, void *context)
{
	struct asking *asking = context;

	http_start(parent, &asking->request, asking->client->http);
}

/* The server's words as an error: "what\nwhy\nhint: …". */
static void refusal(const struct http_request *request, struct err *err)
{
	static const struct {
		unsigned status;
		enum err_code code;
	} codes[] = {{400, ERR_USAGE},   {403, ERR_REFUSED},   {404, ERR_NOTFOUND},
	             {409, ERR_REFUSED}, {499, ERR_CANCELLED}, {503, ERR_STORE},
	             {504, ERR_TIMEOUT}};
	const char *text = buf_text(&request->answer), *hint = strstr(text, "hint: ");
	AUTO_FREE char *words = xstrndup(text, hint ? (size_t)(hint - text) : strlen(text));
	enum err_code code = ERR_FAILED;
	char *end = words + strlen(words);

	for (size_t i = 0; i < ARRAY_LENGTH(codes); i++)
		if (codes[i].status == request->status)
			code = codes[i].code;
	while (end > words && end[-1] == '\n')
		*--end = '\0';
	if (*words)
		err_set(err, code, "%s", words);
	else
		err_set(err, code, "the server answered %u", request->status);
	if (hint) {
		AUTO_FREE char *line =
		        xstrndup(hint + strlen("hint: "), strcspn(hint + strlen("hint: "), "\n"));

		err_hint(err, "%s", line);
	}
}

static enum client_outcome run(struct asking *asking, struct err *err)
{
	struct http_request *request = &asking->request;

	if (!story_run(asking->client->runtime, start_asking, &request->op, asking, err)) {
		if (!request->reached && err->code == ERR_NETWORK)
			return CLIENT_NO_SERVER;
		err_wrap(err, "could not talk to the server at \"%s\"", asking->client->socket);
		return CLIENT_FAILED;
	}
	if (request->status >= 200 && request->status < 300)
		return CLIENT_ANSWERED;
	refusal(request, err);
	return CLIENT_FAILED;
}

enum client_outcome client_ask(struct client *client, const struct client_request *what,
                               struct jval **ret, struct err *err)
{
	AUTO_FREE char *url = xasprintf("http://seawall%s", what->path);
	AUTO_BUF struct buf text = {0};
	struct asking asking = {.client = client,
	                        .request = {.method = what->method,
	                                    .url = url,
	                                    .unix_socket = client->socket,
	                                    .answer_max = EVENT_BYTES_MAX * 16,
	                                    .whole_ms = ASK_MS}};
	enum client_outcome outcome;

	buf_init(&text, REQUEST_BYTES_MAX);
	if (what->body) {
		json_print(what->body, false, &text);
		asking.request.body = text.data;
		asking.request.body_bytes = text.length;
	}
	outcome = run(&asking, err);
	if (outcome == CLIENT_NO_SERVER)
		err_clear(err);
	if (outcome == CLIENT_ANSWERED &&
	    !json_parse(asking.request.answer.data, asking.request.answer.length, ret, err)) {
		err_wrap(err, "could not understand the server at \"%s\"", client->socket);
		outcome = CLIENT_FAILED;
	}
	http_release(&asking.request);
	return outcome;
}

static bool take_line(struct asking *asking, struct err *err)
{
	const char *line = buf_text(&asking->line);
	struct jval *job;

	if (str_starts(line, "event: "))
		asking->ended = strcmp(line, "event: end") == 0;
	if (*line == ':' && asking->last && asking->each) /* nothing changed: that is news, too */
		asking->each(asking->context, asking->last);
	if (!str_starts(line, "data: "))
		return true;
	line += strlen("data: ");
	if (!json_parse(line, strlen(line), &job, err))
		return err_wrap(err, "could not understand the server");
	jval_free(asking->last);
	asking->last = job;
	if (asking->each)
		asking->each(asking->context, job);
	return true;
}

static bool take(struct http_request *request, const void *bytes, size_t length, struct err *err)
{
	struct asking *asking = request->context;
	const char *at = bytes, *end = at + length;

	if (request->status != 200)
		return buf_add(&asking->line, bytes, length);
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		if (!buf_add(&asking->line, at, (size_t)((newline ? newline : end) - at)))
			return err_set(err, ERR_NETWORK, "the server sends too long a line");
		if (!newline)
			return true;
		if (!take_line(asking, err))
			return false;
		buf_clear(&asking->line);
		at = newline + 1;
	}
	return true;
}

bool client_watch(struct client *client, const struct client_watcher *watcher, struct jval **ret,
                  struct err *err)
{
	static const char *const header[] = {"Accept: text/event-stream", NULL};
	AUTO_FREE char *url = xasprintf("http://seawall/v1/jobs/%s", watcher->job);
	struct asking asking = {.client = client,
	                        .each = watcher->each,
	                        .context = watcher->context,
	                        .request = {.url = url,
	                                    .unix_socket = client->socket,
	                                    .header = header,
	                                    .take = take,
	                                    .stall_ms = SILENT_MS}};
	enum client_outcome outcome;

	asking.request.context = &asking;
	buf_init(&asking.line, EVENT_BYTES_MAX);
	outcome = run(&asking, err);
	if (outcome == CLIENT_ANSWERED && !asking.ended) {
		err_set(err, ERR_NETWORK, "the server went away");
		outcome = CLIENT_FAILED;
	}
	if (outcome == CLIENT_NO_SERVER)
		err_wrap(err, "the server went away");
	if (outcome == CLIENT_ANSWERED)
		*ret = STEAL(asking.last);
	jval_free(asking.last);
	buf_release(&asking.line);
	http_release(&asking.request);
	return outcome == CLIENT_ANSWERED;
}
