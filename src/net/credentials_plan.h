/*
 * credentials_plan.h — the parts of a search for credentials, shared by the files credentials*.c.
 */
#ifndef NET_CREDENTIALS_PLAN_H
#define NET_CREDENTIALS_PLAN_H

#include <sys/stat.h>

#include "loop/child.h"
#include "loop/work.h"
#include "net/credentials.h"

enum {
	SECRET_FILE_MAX = 256 * 1024, /* a file with keys or a token */
	PLAN_FILES_MAX = 6,
	PLAN_OUTCOMES_MAX = 8,
};

/* ---- credentials_text.c: values and the texts that they stand in ---- */

/* Copies into locked memory, one holder; NULL with err when a value cannot stand in a header. */
struct credentials *credentials_new(const char *access_key, const char *secret_key,
                                    const char *session_token, int64_t expires_us, struct err *err);
void credentials_release(struct credentials *credentials);
/* The JSON that metadata services and credential_process give; it is wiped. ERR_DAMAGED, without a
 * byte of it. */
MUST_USE bool credentials_from_json(char *text, size_t length, struct credentials **ret,
                                    struct err *err);
/* Whether text can be the value of a header: visible ASCII. */
bool credentials_visible(const char *text, size_t max);

/* The keys of a profile that mean something here. */
#define PROFILE_KEYS(X)                                                                            \
	X(aws_access_key_id)                                                                       \
	X(aws_secret_access_key)                                                                   \
	X(aws_session_token)                                                                       \
	X(credential_process)                                                                      \
	X(role_arn)                                                                                \
	X(role_session_name)                                                                       \
	X(source_profile)                                                                          \
	X(credential_source)                                                                       \
	X(web_identity_token_file)                                                                 \
	X(sso_session)                                                                             \
	X(sso_start_url)                                                                           \
	X(external_id)                                                                             \
	X(duration_seconds)                                                                        \
	X(mfa_serial)                                                                              \
	X(region)
struct profile {
	bool found;
#define X(name) const char *name;
	PROFILE_KEYS(X)
#undef X
};
/* Adds the section's settings; text (ended by a NUL at length) is cut in place and must stay.
 * False: the line (from 1) that is neither a section nor a setting. */
MUST_USE bool profile_read(char *text, size_t length, const char *section, struct profile *profile,
                           unsigned *ret_line);

/* ---- credentials_plan.c: everything that needs no network, on a worker ---- */

/* A file as it was when it was read. */
struct plan_file {
	char *path;
	struct stat status;
	bool there;
};

enum plan_next {
	PLAN_NOTHING,
	PLAN_FOUND,
	PLAN_STS,
	PLAN_ROLE,
	PLAN_PROCESS,
	PLAN_CONTAINER,
	PLAN_INSTANCE,
};

struct plan {
	struct work work; /* err: a provider that is set up failed */
	const struct credentials_options *options;
	enum plan_next next;
	const char *provider; /* that next is for */
	struct credentials_outcome outcome[PLAN_OUTCOMES_MAX];
	unsigned outcomes;
	struct plan_file file[PLAN_FILES_MAX];
	unsigned files;
	struct credentials *credentials; /* PLAN_FOUND */
	char *url;                       /* STS, container, instance */
	char *role_arn, *session_name;   /* STS, role */
	struct credentials *source;      /* role: who takes it */
	char *external_id, *duration;    /* role; NULL: none */
	char *region;                    /* STS, role: of its host */
	char *command;                   /* process */
	struct buf token;                /* STS, container: wiped */
	struct buf text[4];              /* the shared files, for two profiles: wiped */
};

void plan_init(struct plan *plan, const struct credentials_options *options);
void plan_run(struct work *work);
void credentials_plan_release(struct plan *plan);
/* One line of the report. */
void plan_say(struct plan *plan, const char *provider, bool used, const char *format, ...)
        PRINTF(4, 5);
/* The whole of a regular file, watched from now on; others may read it only when that is said. */
MUST_USE bool plan_read(struct plan *plan, const char *path, bool others, struct buf *ret,
                        struct err *err);
/* Whether it is another now, or was read anew. */
bool plan_file_changed(const struct plan_file *file);
void secret_buf_release(struct buf *buf);
/* What the shared files say of a profile together; found is false when nothing. text: two, for the
 * files. False: err. */
MUST_USE bool plan_profile(struct plan *plan, const char *name, struct buf *text,
                           struct profile *ret, struct err *err);

/* credentials_env.c: what the environment says about those on the network; false: err. */
MUST_USE bool plan_web_identity(struct plan *plan, const char *token_path, const char *role_arn,
                                const char *session_name, struct err *err);
MUST_USE bool plan_container(struct plan *plan, struct err *err);
void plan_instance(struct plan *plan);
/* Where STS is asked, and the region that a question is signed for; region may be NULL. */
void plan_sts(struct plan *plan, const char *region);
/* Whether credentials may be asked for at this URL (https, or http to a known address). */
bool container_url_allowed(const char *url);

/* ---- credentials_role.c: a role that is taken with the keys of a profile ---- */

MUST_USE bool plan_role(struct plan *plan, const struct profile *profile, const char *name,
                        struct err *err);
struct remote;
/* Body, URL and headers of the question; false: the URL is none. */
MUST_USE bool role_sign(struct remote *remote);

/* ---- credentials_remote.c: asking for what the plan found ---- */

struct remote {
	struct op op;
	struct http *http;
	struct plan *plan;
	struct http_request request;
	struct child child;
	const char *header[6], *argv[4];
	char date[40];                       /* a header */
	struct buf text, url, first, second; /* first, second: headers; wiped */
	unsigned tries;
	struct credentials *credentials; /* out */
	bool absent;                     /* there is nobody to ask: not set up, then */
};
void remote_start(struct op *parent, struct remote *remote, struct http *http, struct plan *plan);
void remote_release(struct remote *remote);
/* A header, or what else is a secret. */
void remote_text(struct buf *buf, const char *name, const char *value);
MUST_USE bool sts_answer(const char *text, size_t length, struct credentials **ret,
                         struct err *err);

#endif
