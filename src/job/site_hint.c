/*
 * site_hint.c — that a repository is silent, told by one process of a host to those after it.
 *
 * Without a server each segment of a recovery is a process of its own, and each would wait for a
 * silent repository before it asks the next one. They meet at a small file in the state folder, one
 * for each cluster and repository:
 *
 *   silent.<cluster>@<repository>   {"since_us": …, "until_us": …, "error": …}
 *
 * It is a hint: who reads it passes the repository over for now, as if it had been silent here, and
 * says "unknown" where that one's word is needed. It holds for SITE_PROBE_MS at most, whatever
 * stands in it; who comes later writes that somebody asks, and asks. Only silence is told, nothing
 * that may be wrong with this process alone (its disk, its rights). What cannot be read or written
 * is no hint.
 */
#include "site_hint.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/durable.h"
#include "base/file.h"
#include "codec/json.h"
#include "loop/loop.h"

#include "base/poison.h"

enum { HINT_BYTES_MAX = 4096, HINT_ERROR_MAX = 1024 };

static char *hint_path(const struct site *site)
{
	return xasprintf("%s/silent.%s@%s", site->state, site->cluster, site->repository);
}

static bool hint_wanted(const struct site *site)
{
	return site->hints && site->state;
}

static struct jval *hint_read(const struct site *site)
{
	AUTO_FREE char *path = hint_path(site);
	AUTO_FD int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	char text[HINT_BYTES_MAX];
	ssize_t length = fd < 0 ? -1 : file_read_full(fd, text, sizeof(text));
	struct err ignored = {0};
	struct jval *root = NULL;

	if (length > 0 && !json_parse(text, (size_t)length, &root, &ignored))
		return NULL;
	return root;
}

void site_hint_take(struct site *site)
{
	struct err ignored = {0};
	struct jval *root;
	int64_t since_us, until_us, now_us = clock_now_us();
	AUTO_FREE char *text = NULL;

	if (!hint_wanted(site) || site->hint_taken)
		return;
	site->hint_taken = true;
	root = hint_read(site);
	if (root && !site->away_until_ms && jget_int(root, "since_us", &since_us, &ignored) &&
	    jget_int(root, "until_us", &until_us, &ignored) &&
	    jget_bytes(root, "error", &text, &ignored)) {
		/* What is over, or can only be a clock that jumped: now. */
		if (until_us < now_us || until_us - now_us > 1000 * (int64_t)SITE_PROBE_MS)
			until_us = now_us;
		site->away_since_us = MIN(since_us, now_us);
		site->away_until_ms = MAX(loop_now_ms(site->loop) + (until_us - now_us) / 1000, 1);
		err_set_text(&site->away, ERR_NETWORK, text);
	}
	jval_free(root);
}

/* Where no server ever ran, the folder is not there yet. */
static int hint_create(const struct site *site)
{
	AUTO_FREE char *path = hint_path(site);
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
	int fd = open(path, flags, 0600);
	struct err ignored = {0};

	if (fd < 0 && errno == ENOENT && durable_mkdir(site->state, 0700, &ignored))
		fd = open(path, flags, 0600);
	return fd;
}

void site_hint_tell(const struct site *site)
{
	AUTO_FD int fd = -1;
	AUTO_BUF struct buf buf = {0};
	int64_t left_ms = site->away_until_ms - loop_now_ms(site->loop);
	char line[HINT_ERROR_MAX];
	struct jval *root;

	if (!hint_wanted(site) || !err_code_retry(site->away.code))
		return;
	err_line(&site->away, line, sizeof(line));
	root = jobject_new();
	jset_int(root, "since_us", site->away_since_us);
	jset_int(root, "until_us", clock_now_us() + left_ms * 1000);
	jset_str(root, "error", line);
	buf_init(&buf, HINT_BYTES_MAX);
	json_print(root, false, &buf);
	jval_free(root);
	fd = hint_create(site);
	if (fd >= 0 && !file_write_full(fd, buf.data, buf.length))
		site_hint_forget(site); /* half of it: better nothing */
}

void site_hint_forget(const struct site *site)
{
	AUTO_FREE char *path = NULL;

	if (!hint_wanted(site))
		return;
	path = hint_path(site);
	(void)unlink(path);
}
