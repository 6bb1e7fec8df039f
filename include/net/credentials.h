/*
 * credentials.h — with which keys requests to an object store are signed, and where they come from.
 *
 * A source asks its providers in this order and stays with the first that is set up: the
 * configuration, the environment, a web identity token (STS), the shared files with their profiles,
 * the container's metadata, the instance's metadata (IMDSv2). One that is set up and fails is an
 * error, not a reason to go on with another identity.
 *
 * What was found is kept, and asked for again in time before it ends, when one of its files
 *changes, and after credentials_refused(). A renewal that fails leaves the old ones in use as long
 *as they are valid. However many wait, one renewal runs.
 *
 *	credentials_get_start(op, &attempt->get, store->credentials);
 *	…
 *	sign with attempt->get.credentials
 *	credentials_get_release(&attempt->get);
 *
 * Keys lie in locked memory (base/secret.h) and are in no log, error or argument of a process.
 */
#ifndef NET_CREDENTIALS_H
#define NET_CREDENTIALS_H

#include "net/http.h"

enum {
	CREDENTIALS_ACCESS_KEY_MAX = 256,
	CREDENTIALS_SECRET_KEY_MAX = 1024,
	CREDENTIALS_TOKEN_MAX = 16 * 1024,
	CREDENTIALS_SENTENCE_BYTES = 512,
};

/* Constant, and there until the last holder has released it. */
struct credentials {
	const char *access_key, *secret_key;
	const char *session_token; /* NULL: there is none */
	int64_t expires_us;        /* 0: they do not end */
	/* private */
	size_t bytes;
	unsigned holders;
};

/* What the configuration says; every one may be NULL. Copied. */
struct credentials_options {
	const char *access_key, *secret_key_file; /* both or none */
	const char *credentials_file;             /* instead of these two */
	const char *profile;                      /* of the files; then only they are asked */
	const char *region;                       /* for STS */
	const char *ca_file;                      /* for STS, beside the system's */
};

struct credentials_source;
/* http must live longer. Asks nobody yet. */
struct credentials_source *credentials_open(struct http *http,
                                            const struct credentials_options *options);
/* No get may be running, and all be released. NULL is fine. */
void credentials_close(struct credentials_source *source);

struct credentials_look;
struct credentials_renewal;
struct credentials_get {
	struct op op;
	/* out: valid now; NULL when it failed (ERR_CONFIG: there are none, or they are wrongly set
	 * up; ERR_NETWORK, ERR_TIMEOUT: who has them did not answer; …) */
	struct credentials *credentials;
	/* private */
	struct credentials_source *source;
	struct credentials_get *next;
	struct credentials_look *look;
	struct credentials_renewal *renewal;
	unsigned round;
};
/* get is zero-filled, or released. */
void credentials_get_start(struct op *parent, struct credentials_get *get,
                           struct credentials_source *source);
/* Safe on one that never started, and twice; not while it runs. */
void credentials_get_release(struct credentials_get *get);
/* The store said that these are no longer good: the next get asks for new ones, at once when it was
 * not done for half a minute. */
void credentials_refused(struct credentials_source *source, const struct credentials *credentials);

/* What the last search said of each provider, in its order: why it was passed over, or what it
 * gave. The last one is the one that was used, unless none was. Empty before the first get. */
struct credentials_outcome {
	const char *provider; /* "the environment" */
	bool used;
	char sentence[CREDENTIALS_SENTENCE_BYTES]; /* "AWS_ACCESS_KEY_ID is not set" */
};
size_t credentials_outcomes(const struct credentials_source *source,
                            const struct credentials_outcome **ret);

#endif
