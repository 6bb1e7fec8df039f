/*
 * client.h — asking the running server of this configuration, over its Unix socket.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "codec/json.h"
#include "net/http.h"
#include "story.h"

struct client {
	struct runtime *runtime;
	struct http *http;
	const char *socket;
};
void client_init(struct client *client, struct runtime *runtime);
void client_release(struct client *client);

enum client_outcome {
	CLIENT_ANSWERED,
	CLIENT_NO_SERVER, /* nobody listens there: work alone */
	CLIENT_FAILED,    /* err says why: it refused, or it does not answer */
};

struct client_request {
	const char *method, *path;
	const struct jval *body; /* NULL: none */
};
/* One request. The answer is JSON, the caller's. A refusal is the server's own words, with a code
 * that fits. */
enum client_outcome client_ask(struct client *client, const struct client_request *what,
                               struct jval **ret, struct err *err);

struct client_watcher {
	const char *job;
	void (*each)(void *context, const struct jval *job); /* for every news of it */
	void *context;
};
/* Watches a job until its end; the last news, with its end, is in *ret. False: the server went
 * away, or we were cancelled. */
MUST_USE bool client_watch(struct client *client, const struct client_watcher *watcher,
                           struct jval **ret, struct err *err);

#endif
