/*
 * s3_error.c — what an answer that is no success means: whether to try again, and what is probably
 * wrong. The store's own code says more than the status, and is looked at first.
 */
#include "base/clock.h"
#include "base/str.h"
#include "codec/xml.h"
#include "s3.h"

#include "base/poison.h"

enum {
	CLOCK_OFF_S = 300,
	REST_MAX_S = 60,
	REFUSED_MAX =
	        5, /* tries with a token that has ended; newer ones were asked for at the first */
};

struct s3_meaning {
	const char *store_code;
	enum err_code code;
	const char *hint; /* may hold one %s: the bucket */
};

static const char hint_key[] =
        "The key is wrong: look at \"access_key\" and \"secret_key_file\", or at what the "
        "environment says.";
static const char hint_right[] =
        "The key may not do that: it needs s3:GetObject, s3:PutObject and s3:DeleteObject on the "
        "objects, and s3:ListBucket on the bucket.";
static const char hint_ended[] = "The credentials have ended and there are no newer ones.";
static const char hint_slow[] = "The store asks for fewer requests (throttled).";

static const struct s3_meaning meanings[] = {
        {"NoSuchKey", ERR_NOTFOUND, NULL},
        {"PreconditionFailed", ERR_EXISTS, NULL},
        {"NoSuchBucket", ERR_STORE, "Make the bucket, or correct \"url\" or \"endpoint\"."},
        {"InvalidAccessKeyId", ERR_STORE, hint_key},
        {"SignatureDoesNotMatch", ERR_STORE, hint_key},
        {"InvalidToken", ERR_STORE, hint_key},
        {"AccessDenied", ERR_STORE, hint_right},
        {"AllAccessDisabled", ERR_STORE, hint_right},
        {"AccountProblem", ERR_STORE, hint_right},
        {"RequestTimeTooSkewed", ERR_STORE, "This host's clock is wrong, or the store's."},
        {"AuthorizationHeaderMalformed", ERR_STORE, "\"region\" is probably wrong."},
        {"IllegalLocationConstraintException", ERR_STORE, "\"region\" is probably wrong."},
        {"TemporaryRedirect", ERR_NETWORK, "\"endpoint\" is probably wrong."},
        {"PermanentRedirect", ERR_STORE, "\"region\" or \"endpoint\" is probably wrong."},
        {"InvalidStorageClass", ERR_STORE, "The store does not know this \"storage_class\"."},
        {"InvalidArgument", ERR_STORE,
         "The store does not take something that is asked for: look at \"storage_class\", \"sse\" "
         "and \"object_lock\", if they are set."},
        {"InvalidObjectState", ERR_STORE,
         "The object is in an archive class; restore it in the store first."},
        {"NotImplemented", ERR_STORE, "The store does not know this kind of request."},
        {"ObjectLockConfigurationNotFoundError", ERR_STORE,
         "The bucket was made without object lock."},
        {"QuotaExceeded", ERR_FULL, "The store's quota is used up."},
        {"EntityTooLarge", ERR_STORE, NULL},
        {"ExpiredToken", ERR_NETWORK, hint_ended},
        {"TokenRefreshRequired", ERR_NETWORK, hint_ended},
        {"SlowDown", ERR_NETWORK, hint_slow},
        {"Throttling", ERR_NETWORK, hint_slow},
        {"ThrottlingException", ERR_NETWORK, hint_slow},
        {"RequestLimitExceeded", ERR_NETWORK, hint_slow},
        {"TooManyRequests", ERR_NETWORK, hint_slow},
        {"BandwidthLimitExceeded", ERR_NETWORK, hint_slow},
        {"ServiceUnavailable", ERR_NETWORK, NULL},
        {"InternalError", ERR_NETWORK, NULL},
        {"InternalFailure", ERR_NETWORK, NULL},
        {"RequestTimeout", ERR_NETWORK, NULL},
        {"OperationAborted", ERR_NETWORK, NULL},
        {"ConditionalRequestConflict", ERR_NETWORK, NULL},
        {"ConcurrentModification", ERR_NETWORK, NULL},
        {"BadDigest", ERR_NETWORK, "The bytes were changed on their way."},
        {"IncompleteBody", ERR_NETWORK, NULL},
        {"XAmzContentSHA256Mismatch", ERR_NETWORK, "The bytes were changed on their way."},
};

static const struct s3_meaning *meaning_of(const char *code)
{
	for (size_t i = 0; i < ARRAY_LENGTH(meanings); i++)
		if (strcmp(meanings[i].store_code, code) == 0)
			return &meanings[i];
	return NULL;
}

bool s3_code_retry(const char *code)
{
	const struct s3_meaning *meaning = meaning_of(code);

	return meaning && err_code_retry(meaning->code);
}

void s3_code_hint(const char *code, struct err *err)
{
	const struct s3_meaning *meaning = meaning_of(code);

	if (meaning && meaning->hint)
		err_hint(err, "%s", meaning->hint);
}

static void fault_element(void *context, const char *path, const char *text)
{
	struct s3_fault *fault = context;
	const struct {
		const char *path;
		char *out;
		size_t bytes;
	} field[] = {
	        {"Error/Code", fault->code, sizeof(fault->code)},
	        {"Error/Message", fault->message, sizeof(fault->message)},
	        {"Error/RequestId", fault->request, sizeof(fault->request)},
	        {"Error/Region", fault->region, sizeof(fault->region)},
	        {"Error/Endpoint", fault->endpoint, sizeof(fault->endpoint)},
	        {"Error/BucketRegion", fault->bucket_region, sizeof(fault->bucket_region)},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(field); i++)
		if (strcmp(path, field[i].path) == 0) {
			snprintf(field[i].out, field[i].bytes, "%s", text);
			str_clean(field[i].out);
		}
	if (strcmp(path, "Error") == 0)
		fault->is_error = true;
}

void s3_fault_read(const struct s3_attempt *attempt, struct s3_fault *ret)
{
	const struct buf *body = s3_answer(attempt);
	const struct xml_reader reader = {.element = fault_element, .context = ret};
	const char *request = http_header(&attempt->request, "x-amz-request-id");
	struct err ignored = {0};

	*ret = (struct s3_fault){0};
	if (body->length > 0 && !xml_read(body->data, body->length, &reader, &ignored))
		*ret = (struct s3_fault){.unreadable = true};
	if (!ret->request[0] && request) {
		snprintf(ret->request, sizeof(ret->request), "%s", request);
		str_clean(ret->request);
	}
}

bool s3_body_is_error(const struct s3_attempt *attempt)
{
	const struct buf *body = s3_answer(attempt);
	struct s3_fault fault;

	if (body->length == 0 || !memmem(body->data, body->length, "<Error", strlen("<Error")))
		return false;
	s3_fault_read(attempt, &fault);
	return fault.is_error || fault.unreadable; /* perhaps it was cut off */
}

/* Without a code that we know. */
static enum err_code status_code(unsigned status)
{
	if (status == 412)
		return ERR_EXISTS;
	/* A 404 without the store's word may be a proxy's: it proves nothing. */
	if (status < 400 || status >= 500 || status == 404 || status == 408 || status == 409 ||
	    status == 429)
		return ERR_NETWORK;
	return ERR_STORE;
}

/* How far this host's clock is from the peer's, in seconds; 0 when it does not say. */
static int64_t clock_off_s(const struct s3_attempt *attempt)
{
	const char *date = http_header(&attempt->request, "Date");
	int64_t theirs_us;

	return date && s3_time(date, &theirs_us) ? (clock_now_us() - theirs_us) / US_PER_S : 0;
}

/* Whether the answer is about the region, and names the right one. */
static bool is_elsewhere(const struct s3_attempt *attempt, const struct s3_fault *fault,
                         char ret_region[S3_TEXT_BYTES])
{
	unsigned status = attempt->request.status;

	return (status == 301 || status == 307 || status == 400 || status == 403) &&
	       s3_told_region(attempt, fault, ret_region) &&
	       strcmp(ret_region, s3_of(attempt)->region) != 0;
}

/* With where they came from: there somebody has to look. */
static void hint_token(const struct s3_attempt *attempt, struct err *err)
{
	const struct credentials_outcome *outcome;
	size_t count = credentials_outcomes(s3_of(attempt)->credentials, &outcome);

	for (size_t i = 0; i < count; i++)
		if (outcome[i].used) {
			err_hint(err, "%s They come from %s: %s.", hint_ended, outcome[i].provider,
			         outcome[i].sentence);
			return;
		}
	err_hint(err, "%s", hint_ended);
}

static void hint(const struct s3_attempt *attempt, const struct s3_fault *fault,
                 const struct s3_meaning *meaning, struct err *err)
{
	int64_t off_s = clock_off_s(attempt);
	char region[S3_TEXT_BYTES];

	if (strcmp(fault->code, "RequestTimeTooSkewed") == 0 ||
	    (attempt->request.status == 403 && (off_s > CLOCK_OFF_S || off_s < -CLOCK_OFF_S)))
		err_hint(err,
		         "This host's clock is %lld s %s the store's: set the one that is wrong "
		         "(NTP).",
		         (long long)(off_s < 0 ? -off_s : off_s),
		         off_s < 0 ? "behind" : "ahead of");
	else if (is_elsewhere(attempt, fault, region))
		err_hint(err, "The bucket is in region \"%s\", not in \"%s\": set \"region = %s\".",
		         region, s3_of(attempt)->region, region);
	else if (meaning && meaning->hint == hint_ended)
		hint_token(attempt, err);
	else if (meaning && meaning->hint)
		err_hint(err, "%s", meaning->hint);
	else if (attempt->request.status == 403)
		err_hint(err, "%s", hint_right);
	else if (attempt->request.status == 429 || attempt->request.status == 503)
		err_hint(err, "%s", hint_slow);
	else if (attempt->request.status < 500 && !fault->code[0] && !fault->request[0])
		err_hint(err, S3_HINT_NO_STORE);
}

/* Others may lie where these were found. */
static bool is_refused_key(const char *code)
{
	static const char *const codes[] = {"ExpiredToken", "TokenRefreshRequired", "InvalidToken",
	                                    "InvalidAccessKeyId"};

	for (size_t i = 0; i < ARRAY_LENGTH(codes); i++)
		if (strcmp(code, codes[i]) == 0)
			return true;
	return false;
}

static void rest_asked(struct s3_attempt *attempt)
{
	const char *after = http_header(&attempt->request, "Retry-After");
	uint32_t seconds;

	if (after && str_u32(after, &seconds))
		attempt->base.rest_ms = (int64_t)MIN(seconds, (uint32_t)REST_MAX_S) * 1000;
}

void s3_error(struct s3_attempt *attempt)
{
	unsigned status = attempt->request.status;
	const struct s3_meaning *meaning;
	char region[S3_TEXT_BYTES];
	struct s3_fault fault;
	enum err_code code;

	s3_fault_read(attempt, &fault);
	meaning = meaning_of(fault.code);
	code = meaning ? meaning->code : status_code(status);
	if (is_elsewhere(attempt, &fault, region))
		code = ERR_STORE; /* it will be tomorrow */
	if (code == ERR_EXISTS && attempt->base.verb != STORE_PUT)
		code = ERR_STORE;
	if (meaning && meaning->hint == hint_ended && ++attempt->refused >= REFUSED_MAX)
		code = ERR_STORE; /* a minute more would not help */
	if (code == ERR_NOTFOUND)
		err_set(&attempt->base.op.err, code, "there is no such object");
	else if (code == ERR_EXISTS)
		err_set(&attempt->base.op.err, code, "there is an object of that name already");
	else
		err_set(&attempt->base.op.err, code, "%s answered %u%s%s%s%s%s%s%s",
		        s3_of(attempt)->endpoint, status, fault.code[0] ? " " : "", fault.code,
		        fault.message[0] ? " \"" : "", fault.message, fault.message[0] ? "\"" : "",
		        fault.request[0] ? ", request id " : "", fault.request);
	if (is_refused_key(fault.code))
		credentials_refused(s3_of(attempt)->credentials, attempt->key.credentials);
	hint(attempt, &fault, meaning, &attempt->base.op.err);
	rest_asked(attempt);
}
