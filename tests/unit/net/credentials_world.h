/* credentials_world.h — files, an environment and a scripted peer to find credentials with, and
 * what is asked of them. */
#ifndef TESTS_UNIT_NET_CREDENTIALS_WORLD_H
#define TESTS_UNIT_NET_CREDENTIALS_WORLD_H

#include "net/credentials.h"
#include "scripted.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"

enum { GETS = 8 };

struct world {
	struct peer peer;
	char folder[64], *secret, *shared, *config, *token;
	struct loop *loop;
	struct http *http;
	struct credentials_options options;
	struct credentials_source *source;
};

static const char *const variables[] = {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL_STS",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
};

static inline void write_file(const char *path, const char *text, mode_t mode)
{
	/* another file each time, as a token is rotated */
	char next[128];
	int fd;

	snprintf(next, sizeof(next), "%s.next", path);
	fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	assert_int_equal(rename(next, path), 0);
}

static inline void set_peer(const char *name, const struct world *world, const char *path)
{
	char url[128];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", world->peer.net.port, path);
	setenv(name, url, 1);
}

static inline void world_begin(struct world *world)
{
	*world = (struct world){0};
	strcpy(world->folder, "/tmp/seawall-keys.XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	world->secret = path_join(world->folder, "secret");
	world->shared = path_join(world->folder, "credentials");
	world->config = path_join(world->folder, "config");
	world->token = path_join(world->folder, "token");
	for (size_t i = 0; i < ARRAY_LENGTH(variables); i++)
		unsetenv(variables[i]);
	setenv("AWS_SHARED_CREDENTIALS_FILE", world->shared, 1);
	setenv("AWS_CONFIG_FILE", world->config, 1);
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	peer_start(&world->peer);
	world->loop = loop_new(&(struct loop_options){.workers = 1});
	world->http = http_new(world->loop, 4);
}

static inline void world_end(struct world *world)
{
	struct err err = {0};

	credentials_close(world->source);
	http_free(world->http);
	loop_free(world->loop);
	peer_end(&world->peer);
	assert_true(file_remove_tree(world->folder, &err));
	free(world->secret);
	free(world->shared);
	free(world->config);
	free(world->token);
}

/* When something ends, seconds from now, as services write it. */
static inline const char *in_s(int64_t s)
{
	static char text[TIME_TEXT_BYTES];

	clock_text_utc((clock_now_us() / US_PER_S + s) * US_PER_S, text);
	text[10] = 'T';
	strcpy(text + 19, "Z");
	return text;
}

/* Some gets at once, then perhaps a cancel of the first. */
struct story {
	struct op op;
	struct world *world;
	struct credentials_get get[GETS];
	unsigned gets;
	bool cancel_first;
};

static inline void story_step(struct op *op)
{
	struct story *story = container_of(op, struct story, op);

	if (op->state == 1)
		return op_done(op);
	for (unsigned i = 0; i < story->gets; i++)
		credentials_get_start(op, &story->get[i], story->world->source);
	if (story->cancel_first)
		op_cancel(&story->get[0].op);
	op_wait(op, 1);
}

static const struct op_type story_type = {.name = "story", .step = story_step};

static inline void story_run(struct world *world, struct story *story, unsigned gets)
{
	story->world = world;
	story->gets = gets;
	if (!world->source)
		world->source = credentials_open(world->http, &world->options);
	loop_run_op(world->loop, &story->op, &story_type);
}

static inline void story_end(struct story *story)
{
	for (unsigned i = 0; i < story->gets; i++)
		credentials_get_release(&story->get[i]);
}

/* The access key that a get gives. */
static inline void expect_key(struct world *world, const char *access_key, const char *secret_key)
{
	struct story story = {0};

	story_run(world, &story, 1);
	if (!story.get[0].credentials)
		print_message("%s\n", story.get[0].op.err.text);
	assert_non_null(story.get[0].credentials);
	assert_string_equal(story.get[0].credentials->access_key, access_key);
	assert_string_equal(story.get[0].credentials->secret_key, secret_key);
	story_end(&story);
}

/* It fails so, its text holding that, and nothing secret. */
static inline void expect_failure(struct world *world, enum err_code code, const char *part)
{
	struct story story = {0};

	story_run(world, &story, 1);
	assert_null(story.get[0].credentials);
	if (story.get[0].op.err.code != code || !strstr(story.get[0].op.err.text, part))
		print_message("%s\n", story.get[0].op.err.text);
	assert_int_equal(story.get[0].op.err.code, code);
	assert_non_null(strstr(story.get[0].op.err.text, part));
	assert_null(strstr(story.get[0].op.err.text, "hush"));
	story_end(&story);
}

static inline void expect_said(struct world *world, const char *provider, bool used,
                               const char *part)
{
	const struct credentials_outcome *outcome;
	size_t count = credentials_outcomes(world->source, &outcome);

	for (size_t i = 0; i < count; i++)
		assert_null(strstr(outcome[i].sentence, "hush"));
	for (size_t i = 0; i < count; i++)
		if (strcmp(outcome[i].provider, provider) == 0) {
			if (!strstr(outcome[i].sentence, part))
				print_message("%s\n", outcome[i].sentence);
			assert_non_null(strstr(outcome[i].sentence, part));
			assert_int_equal(outcome[i].used, used);
			return;
		}
	fail_msg("nothing was said of %s", provider);
}

static inline bool said(struct world *world, const char *part)
{
	const struct credentials_outcome *outcome;
	size_t count = credentials_outcomes(world->source, &outcome);

	for (size_t i = 0; i < count; i++)
		if (strstr(outcome[i].sentence, part))
			return true;
	return false;
}

/* Whether a get gives that key now; false too when it gives none. */
static inline bool gives(struct world *world, const char *access_key)
{
	struct story story = {0};
	bool it;

	story_run(world, &story, 1);
	it = story.get[0].credentials &&
	     strcmp(story.get[0].credentials->access_key, access_key) == 0;
	story_end(&story);
	return it;
}

static inline unsigned hits(struct world *world)
{
	unsigned count;

	pthread_mutex_lock(&world->peer.lock);
	count = world->peer.route[0].hits;
	pthread_mutex_unlock(&world->peer.lock);
	return count;
}

/* Looks again and again, until the condition holds; fails after 20 s. */
#define AWAIT(condition)                                                                           \
	for (int64_t end_us_ = clock_mono_us() + 20 * US_PER_S; !(condition);) {                   \
		assert_true(clock_mono_us() < end_us_);                                            \
		poll(NULL, 0, 50);                                                                 \
	}

#endif
