/* keyed.h — for tests: a repository in memory, opened and made with keys from files. */
#ifndef TESTS_UNIT_REPO_KEYED_H
#define TESTS_UNIT_REPO_KEYED_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "repo/keys.h"
#include "unit/repo/place.h"

static const char key_a[] = "KEY-A-0123456789abcdef0123456789abcdef\n";
static const char key_b[] = "KEY-B-0123456789abcdef0123456789abcdef\n";

/* A file with that text, removed when the process ends. */
static inline const char *file_of(const char *text)
{
	static char paths[64][32];
	static unsigned count;
	char *path = paths[count++];
	int fd;

	assert_true(count < ARRAY_LENGTH(paths));
	memcpy(path, "/tmp/sw.keys.XXXXXX", sizeof("/tmp/sw.keys.XXXXXX"));
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

static struct key_source source_a, source_b;

static inline int files_begin(void **state)
{
	(void)state;
	source_a = (struct key_source){KEY_SOURCE_FILE, file_of(key_a)};
	source_b = (struct key_source){KEY_SOURCE_FILE, file_of(key_b)};
	return 0;
}

static inline int files_end(void **state)
{
	(void)state;
	unlink(source_a.what);
	unlink(source_b.what);
	return 0;
}

static inline enum err_code open_with(struct fixture *f, const struct key_source *source,
                                      struct err *ret)
{
	struct repo_open open = {0};

	fixture_reopen(f);
	if (source)
		f->repo->key_source = *source;
	open.repo = f->repo;
	RUN(f->loop, repo_open_start, &open);
	*ret = open.op.err;
	return ret->code;
}

static inline void start_init(struct op *parent, void *init)
{
	repo_init_start(parent, init);
}

static inline enum err_code init_with(struct fixture *f, const struct key_source *source,
                                      uint64_t *ret_plain, struct err *ret)
{
	struct repo_init *init;
	struct driver_op driver = {.start = start_init};

	fixture_reopen(f);
	if (source)
		f->repo->key_source = *source;
	init = repo_init_new(f->repo);
	driver.child = init;
	loop_run_op(f->loop, &driver.op, &driver_type);
	*ret = repo_init_op(init)->err;
	if (!repo_init_encrypted(init, ret_plain))
		*ret_plain = UINT64_MAX;
	repo_init_free(init);
	return ret->code;
}

static inline void put_object(struct fixture *f, const char *name, const char *text)
{
	struct object_write write = {.repo = f->repo,
	                             .name = name,
	                             .kind = SEALED_NOTE,
	                             .class = GATE_WAL,
	                             .bytes = text,
	                             .length = strlen(text)};

	assert_true(RUN(f->loop, object_write_start, &write));
}

static inline enum err_code get_object(struct fixture *f, const char *name, struct err *ret)
{
	struct object_read read = {.repo = f->repo, .name = name, .bytes_max = 1000};

	RUN(f->loop, object_read_start, &read);
	*ret = read.op.err;
	buf_release(&read.content);
	return ret->code;
}

static inline void wrap_with(struct fixture *f, const struct key_source *source, bool make,
                             struct keys_wrap *ret)
{
	struct keys_load load = {.repo = f->repo};
	struct err err = {0};
	struct wrapper *wrapper = key_source_read(source, &err);

	assert_non_null(wrapper);
	assert_true(RUN(f->loop, keys_load_start, &load));
	*ret = (struct keys_wrap){.repo = f->repo, .load = &load, .wrapper = wrapper, .make = make};
	assert_true(RUN(f->loop, keys_wrap_start, ret));
	keys_load_release(&load);
	wrapper_free(wrapper);
}

#endif
