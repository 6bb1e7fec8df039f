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

/* One request; body NULL: none. The answer is JSON, the caller's. A refusal is the server's own
 * words, with a code that fits. */
enum client_outcome client_ask(struct client *client, const char *method, const char *path,
                               const struct jval *body, struct jval **ret, struct err *err);

/* Watches a job until its end: each(context, job) for every news of it. The last one, with its end,
 * is in *ret. False: the server went away, or we were cancelled. */
MUST_USE bool client_watch(struct client *client, const char *job,
                           void (*each)(void *context, const struct jval *job), void *context,
                           struct jval **ret, struct err *err);

#endif
