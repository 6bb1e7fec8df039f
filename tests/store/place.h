/* place.h — for tests: a loop, a store on it, and each operation of a store as one blocking call.
 */
#ifndef TESTS_STORE_PLACE_H
#define TESTS_STORE_PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "loop/blocks.h"
#include "store/driver.h"

/* A root operation that starts one child and waits for it. */
struct driver_op {
	struct op op;
	void (*start)(struct op *parent, void *child);
	void *child;
};

static inline void driver_step(struct op *op)
{
	struct driver_op *driver = container_of(op, struct driver_op, op);

	if (op->state == 0) {
		driver->start(op, driver->child);
		return op_wait(op, 1);
	}
	op_done(op);
}

static const struct op_type driver_type = {.name = "test", .step = driver_step};

/* Runs one operation, whose first member is its op, to its end. */
static inline bool run_child(struct loop *loop, void (*start)(struct op *, void *), void *child)
{
	struct driver_op driver = {.start = start, .child = child};

	loop_run_op(loop, &driver.op, &driver_type);
	return !op_failed(child);
}
#define RUN(loop, start, child)                                                                    \
	run_child(loop, (void (*)(struct op *, void *))(void (*)(void))(start), child)

static inline enum err_code put_bytes(struct store *store, const char *name, const void *bytes,
                                      size_t length)
{
	struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
	struct store_put put = {.store = store, .name = name, .piece = &piece, .pieces = 1};

	RUN(store->loop, store_put_start, &put);
	return put.op.err.code;
}

static inline enum err_code put_text(struct store *store, const char *name, const char *text)
{
	return put_bytes(store, name, text, strlen(text));
}

/* A range of at most 64 kB, as text. */
static inline enum err_code get_range(struct store *store, const char *name, uint64_t offset,
                                      uint64_t length, struct buf *ret)
{
	uint8_t *block = xmalloc(BLOCK_BYTES);
	struct store_get get = {.store = store,
	                        .name = name,
	                        .offset = offset,
	                        .length = length,
	                        .block = &block,
	                        .blocks = 1};

	RUN(store->loop, store_get_start, &get);
	buf_clear(ret);
	buf_add(ret, block, get.got);
	free(block);
	return get.op.err.code;
}

static inline void assert_text(struct store *store, const char *name, const char *text)
{
	AUTO_BUF struct buf buf;

	buf_init(&buf, BLOCK_BYTES);
	assert_int_equal(get_range(store, name, 0, BLOCK_BYTES, &buf), ERR_NONE);
	assert_string_equal(buf_text(&buf), text);
}

static inline enum err_code head_of(struct store *store, const char *name, uint64_t *ret_bytes)
{
	struct store_head head = {.store = store, .name = name};

	RUN(store->loop, store_head_start, &head);
	*ret_bytes = head.bytes;
	return head.op.err.code;
}

static inline enum err_code remove_names(struct store *store, const char *const *name,
                                         unsigned names)
{
	struct store_remove batch = {.store = store, .name = name, .names = names};

	RUN(store->loop, store_remove_start, &batch);
	return batch.op.err.code;
}

/* One page as a text "a b c", with " …" when there is more. */
static inline void assert_list(struct store_list *list, const char *wanted)
{
	AUTO_BUF struct buf text;

	buf_init(&text, BLOCK_BYTES);
	assert_true(RUN(list->store->loop, store_list_start, list));
	for (unsigned i = 0; i < list->count; i++)
		buf_addf(&text, "%s%s", i ? " " : "", list->entry[i].name);
	if (list->more)
		buf_addstr(&text, " +");
	store_list_release(list);
	assert_string_equal(buf_text(&text), wanted);
}

static inline void assert_page(struct store *store, const char *prefix, const char *after,
                               unsigned limit, const char *wanted)
{
	struct store_list list = {.store = store, .prefix = prefix, .after = after, .limit = limit};

	assert_list(&list, wanted);
}

static inline void assert_folders(struct store *store, const char *prefix, const char *after,
                                  unsigned limit, const char *wanted)
{
	struct store_list list = {
	        .store = store, .prefix = prefix, .after = after, .limit = limit, .folders = true};

	assert_list(&list, wanted);
}

static inline struct store *open_place_s3(struct loop *loop, const char *url, bool create,
                                          const struct store_s3 *s3)
{
	struct store_options options = {.url = url, .label = "test", .create = create, .s3 = *s3};
	struct store *store = NULL;
	struct err err = {0};

	if (!store_open(loop, &options, &store, &err))
		fail_msg("%s", err.text);
	return store;
}

static inline struct store *open_place(struct loop *loop, const char *url, bool create)
{
	return open_place_s3(loop, url, create, &(struct store_s3){0});
}

#endif
