/* s3.h — what the files of the S3 driver share. */
#ifndef STORE_S3_PRIVATE_H
#define STORE_S3_PRIVATE_H

#include "base/str.h"
#include "net/credentials.h"
#include "net/sigv4.h"
#include "store/driver.h"

enum {
	S3_KEY_MAX = 1024,               /* of a key, bytes */
	S3_ANSWER_MAX = 8 * 1024 * 1024, /* a page of 1000 escaped keys */
	S3_ERROR_MAX = 64 * 1024,
	S3_ANCHOR_MAX = 64 * 1024,
	S3_REDIRECTS_MAX = 2,
	S3_TEXT_BYTES = 128,
	S3_STALL_MS = 15 * 1000, /* then on a new connection, inside STORE_DEADLINE_MS */
};

#define S3_HINT_NO_STORE                                                                           \
	"What answers there may be no S3 at all, or a proxy on the way: look at \"endpoint\"."

struct s3_store {
	struct store store;
	struct http *http;
	char *bucket;
	char *root;     /* what all keys begin with: "" or "some/prefix/" */
	char *endpoint; /* "https://host:port", nothing behind */
	char *region;
	char *asked;       /* the endpoint as it was before any answer named another */
	bool given;        /* it was, so another region keeps the host */
	bool region_given; /* in the configuration */
	unsigned moves;    /* how often an answer changed region or endpoint */
	bool tls, virtual_host;
	char *ca_file;
	struct credentials_source *credentials;
	char *storage_class[STORE_KINDS], *sse, *sse_key, *lock_mode;
	unsigned lock_days;
	int64_t stall_ms; /* S3_STALL_MS */
	char *anchor_name;
	uint8_t *anchor;
	size_t anchor_bytes;
	int64_t placed_us; /* when the anchor was seen last, or asked for (monotonic) */
	bool lost;         /* when it was asked for last, it was not there, or another one */
};

/* What to ask; all but method may be NULL or 0. */
struct s3_ask {
	const char *method;
	const char *key;   /* below the root; NULL: the bucket itself */
	const char *query; /* escaped, ascending */
	struct strs header;
	const char *body;
	uint64_t body_bytes;
	bool give;    /* the put's pieces */
	bool collect; /* the get's bytes go into its blocks */
};

struct s3_attempt {
	struct store_attempt base;
	struct credentials_get key;
	struct work hash; /* of what is put */
	char payload[SIGV4_HASH_BYTES], md5[32];
	bool hashed;
	struct http_request request;
	struct strs header;
	const char **header_list;
	struct buf url, text;      /* of the request: its address, its body */
	struct buf answer;         /* of a get: what is no object */
	unsigned redirects, moves; /* moves: the store's, when this was sent */
	bool fresh;
	int64_t waited_ms; /* for the limit, by the requests before this one */
	unsigned refused;  /* how often the store said that the token has ended */
	/* get */
	uint64_t position;
	int64_t moved_ms; /* when the last bytes came */
	/* list */
	char *token; /* of the next page, when this one had nothing for us */
};

static inline struct s3_store *s3_of(const struct s3_attempt *attempt)
{
	return container_of(attempt->base.store, struct s3_store, store);
}

/* s3_open.c */
struct store *s3_open(struct loop *loop, const struct store_options *options, struct err *err);
void s3_close(struct store *store);
void s3_anchor(struct store *store, const char *name, const void *bytes, size_t length);
struct credentials_source *s3_credentials(struct store *store);
void s3_limit(struct store *store, uint64_t upload_bytes, uint64_t download_bytes);
void s3_set_region(struct s3_store *s3, const char *region);
void s3_set_endpoint(struct s3_store *s3, const char *host);

/* s3_request.c: sends; the attempt's op is the parent. The lists of ask are taken over. */
void s3_send(struct s3_attempt *attempt, struct s3_ask *ask);
/* Adds text with all but unreserved characters escaped, '/' too. */
void s3_escape(struct buf *out, const char *text);
/* The body of the answer, whoever collected it. */
const struct buf *s3_answer(const struct s3_attempt *attempt);
/* Whether the answer's headers are those of the bytes that were asked for; fills object_bytes. */
MUST_USE bool s3_range_begins(struct s3_attempt *attempt, struct err *err);
/* The object is not the version that the get is pinned to. False. */
bool s3_replaced(struct s3_attempt *attempt, struct err *err);
/* Of a 416: the object's size, where it is said. */
bool s3_range_total(const struct s3_attempt *attempt, uint64_t *ret_total);
/* What a request kept. */
void s3_request_clear(struct s3_attempt *attempt);

/* s3_error.c: what the body of an answer that is no success says; texts are clean. */
struct s3_fault {
	char code[S3_TEXT_BYTES], message[2 * S3_TEXT_BYTES], request[S3_TEXT_BYTES];
	char region[S3_TEXT_BYTES], bucket_region[S3_TEXT_BYTES], endpoint[2 * S3_TEXT_BYTES];
	bool is_error, unreadable;
};
void s3_fault_read(const struct s3_attempt *attempt, struct s3_fault *ret);
/* An answer that is no success, in base.op.err. */
void s3_error(struct s3_attempt *attempt);
/* Whether the body is an error, whatever the status said. */
bool s3_body_is_error(const struct s3_attempt *attempt);
/* By code, for one key of a batch: whether to try it again. */
bool s3_code_retry(const char *code);
/* What is probably wrong, as the hint. */
void s3_code_hint(const char *code, struct err *err);

/* s3_redirect.c: the answer says where the bucket is, and that was taken over: ask again. False
 * with base.op.err: it must not be. */
bool s3_redirected(struct s3_attempt *attempt);
/* Whether the owner of the endpoint is the owner of the host ("host:port") too. */
bool s3_host_vouched(const char *endpoint, const char *host);
/* The region that the answer names. */
bool s3_told_region(const struct s3_attempt *attempt, const struct s3_fault *fault,
                    char ret[S3_TEXT_BYTES]);

/* s3_list.c */
void s3_list_ask(struct s3_attempt *attempt, struct s3_ask *ask);
/* False: err. *ret_again: nothing for us on this page, but there are more. */
MUST_USE bool s3_list_take(struct s3_attempt *attempt, bool *ret_again, struct err *err);

/* s3_time.c: "2009-10-12T17:50:30.000Z" and "Mon, 12 Oct 2009 17:50:30 GMT". */
bool s3_time(const char *text, int64_t *ret_us);

#endif
