/*
 * s3_redirect.c — an answer that says where the bucket is: in which region, or at which host.
 *
 * Followed is what the configuration left open. A region that is written there is wrong and is said
 * to be, with the right one: it would cost a request each time the process begins. What was found
 * is remembered by the store; an attempt that was under way meanwhile just asks again.
 *
 * Where a request goes, its token goes too, so a host is taken only where the owner's own name
 * vouches for it: below the endpoint of the configuration, with the same port, or one of S3's own
 * hosts where that is what the configuration means. Not just anything below amazonaws.com: anybody
 * can have a machine there.
 */
#include "base/str.h"
#include "s3.h"

#include "base/poison.h"

static const char small[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

static bool region_valid(const char *text)
{
	size_t length = strspn(text, small);

	return length > 0 && length < S3_TEXT_BYTES && !text[length];
}

bool s3_told_region(const struct s3_attempt *attempt, const struct s3_fault *fault,
                    char ret[S3_TEXT_BYTES])
{
	const char *region = http_header(&attempt->request, "x-amz-bucket-region");

	if (!region)
		region = fault->region[0] ? fault->region : fault->bucket_region;
	return region_valid(region) && str_copy(ret, S3_TEXT_BYTES, region);
}

/* "s3.eu-west-1.amazonaws.com", "s3-eu-west-1.amazonaws.com", "s3.dualstack.…": S3's, and nobody
 * else's. */
static bool host_of_aws(const char *host)
{
	const char *end = strstr(host, ".amazonaws.com");
	const char *domain = end ? end + strlen(".amazonaws.com") : NULL;
	const char *label;

	if (!end || (*domain && strcmp(domain, ".cn") != 0) || !str_starts(host, "s3"))
		return false;
	label = host + strlen("s3");
	if (label == end)
		return true;
	if (*label != '.' && *label != '-')
		return false;
	label++;
	if (str_starts(label, "dualstack."))
		label += strlen("dualstack.");
	return label < end && label + strspn(label, small) == end;
}

bool s3_host_vouched(const char *endpoint, const char *host)
{
	const char *own = strstr(endpoint, "://") + strlen("://");
	size_t own_length = strlen(own), length = strlen(host);

	if (host_of_aws(own))
		return str_starts(endpoint, "https://") && host_of_aws(host);
	if (length < own_length || strcmp(host + length - own_length, own) != 0)
		return false;
	return length == own_length ||
	       (length > own_length + 1 && host[length - own_length - 1] == '.');
}

/* The host that the answer names, as an endpoint: without the bucket's name; NULL: none. */
static const char *told_host(const struct s3_store *s3, const struct s3_fault *fault)
{
	const char *host = fault->endpoint;
	size_t bucket = strlen(s3->bucket);

	if (!host[0] || strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-:") < strlen(host))
		return NULL;
	if (strncmp(host, s3->bucket, bucket) == 0 && host[bucket] == '.')
		host += bucket + 1;
	return host[0] && host[0] != '.' ? host : NULL;
}

/* True: there is something new to try. */
static bool move_host(struct s3_attempt *attempt, const char *host)
{
	struct s3_store *s3 = s3_of(attempt);
	const char *now = strstr(s3->endpoint, "://") + strlen("://");

	if (strcmp(host, now) == 0)
		return false;
	if (!s3_host_vouched(s3->asked, host)) {
		err_set(&attempt->base.op.err, ERR_STORE,
		        "%s answered %u and names another host, \"%s\", which is not below it",
		        s3->endpoint, attempt->request.status, host);
		err_hint(&attempt->base.op.err,
		         "If it is right, set \"endpoint\": nothing is sent to a host that the "
		         "configuration does not vouch for.");
		return false;
	}
	s3_set_endpoint(s3, host);
	return true;
}

bool s3_redirected(struct s3_attempt *attempt)
{
	struct s3_store *s3 = s3_of(attempt);
	unsigned status = attempt->request.status;
	char region[S3_TEXT_BYTES];
	struct s3_fault fault;
	const char *host;
	bool moved = false;

	if ((status != 301 && status != 307 && status != 400 && status != 403) ||
	    attempt->redirects >= S3_REDIRECTS_MAX)
		return false;
	if (attempt->moves != s3->moves) { /* another attempt has found the place since */
		attempt->redirects++;
		return true;
	}
	s3_fault_read(attempt, &fault);
	if (s3_told_region(attempt, &fault, region) && strcmp(region, s3->region) != 0) {
		if (s3->region_given)
			return false;
		s3_set_region(s3, region);
		moved = true;
	}
	host = status < 400 && !(moved && !s3->given) ? told_host(s3, &fault) : NULL;
	if (host && move_host(attempt, host))
		moved = true;
	if (err_is(&attempt->base.op.err) || !moved)
		return false;
	s3->moves++;
	attempt->redirects++;
	return true;
}
