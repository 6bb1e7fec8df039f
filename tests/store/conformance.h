/*
 * conformance.h — what a store is. Every driver must pass all of it: the programs beside this file
 * say where each driver's place is.
 */
#ifndef TESTS_STORE_CONFORMANCE_H
#define TESTS_STORE_CONFORMANCE_H

#include "store/place.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/mem.h"

struct fixture {
	const char *driver;
	char folder[64], url[128];
	struct store_s3 s3;
	struct loop *loop;
	struct store *store;
};

static int place_begin(struct fixture *f)
{
	f->loop = loop_new(&(struct loop_options){.workers = 4});
	f->store = open_place_s3(f->loop, f->url, true, &f->s3);
	return 0;
}

static int place_end(struct fixture *f)
{
	struct err err = {0};

	store_close(f->store);
	loop_free(f->loop);
	if (f->folder[0])
		assert_true(file_remove_tree(f->folder, &err));
	else if (strcmp(f->driver, "mem") == 0)
		store_mem_forget("conformance");
	free(f);
	return 0;
}

static int end(void **state)
{
	return place_end(*state);
}

static struct store *store_of(void **state)
{
	return ((struct fixture *)*state)->store;
}

/* ---- put ---- */

static void what_was_put_is_there(void **state)
{
	struct store *store = store_of(state);
	uint64_t bytes;

	assert_int_equal(put_text(store, "a/b/one", "first"), ERR_NONE);
	assert_text(store, "a/b/one", "first");
	assert_int_equal(head_of(store, "a/b/one", &bytes), ERR_NONE);
	assert_int_equal(bytes, 5);
}

static void a_taken_name_is_refused_and_nothing_changes(void **state)
{
	struct store *store = store_of(state);

	assert_int_equal(put_text(store, "a", "one"), ERR_NONE);
	assert_int_equal(put_text(store, "a", "two"), ERR_EXISTS);
	assert_int_equal(put_text(store, "a", "one"), ERR_EXISTS);
	assert_text(store, "a", "one");
}

struct race {
	struct op op;
	struct store *store;
	struct store_put put[16];
	struct iovec piece[16][2];
	char text[16][8];
	unsigned won, lost;
	const char *winner;
};

static void race_step(struct op *op)
{
	struct race *race = container_of(op, struct race, op);

	for (unsigned i = 0; op->state == 0 && i < ARRAY_LENGTH(race->put); i++) {
		snprintf(race->text[i], sizeof(race->text[i]), "w%02u", i);
		race->piece[i][0] = (struct iovec){race->text[i], 1};
		race->piece[i][1] = (struct iovec){race->text[i] + 1, 2};
		race->put[i] = (struct store_put){.store = race->store,
		                                  .name = "race/here",
		                                  .piece = race->piece[i],
		                                  .pieces = 2};
		store_put_start(op, &race->put[i]);
	}
	if (op->state == 0)
		return op_wait(op, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(race->put); i++) {
		if (!op_failed(&race->put[i].op)) {
			race->won++;
			race->winner = race->text[i];
		} else if (race->put[i].op.err.code == ERR_EXISTS)
			race->lost++;
	}
	op_done(op);
}

static const struct op_type race_type = {.name = "race", .step = race_step};

static void of_many_at_once_exactly_one_wins(void **state)
{
	struct store *store = store_of(state);
	struct race race = {.store = store};

	loop_run_op(store->loop, &race.op, &race_type);
	assert_int_equal(race.won, 1);
	assert_int_equal(race.lost, 15);
	assert_text(store, "race/here", race.winner);
}

static void pieces_are_one_object_and_an_empty_one_is_one_too(void **state)
{
	struct store *store = store_of(state);
	char part[3][4] = {"abc", "", "def"};
	struct iovec piece[3] = {{part[0], 3}, {part[1], 0}, {part[2], 3}};
	struct store_put put = {.store = store, .name = "x/p", .piece = piece, .pieces = 3};
	uint64_t bytes = 7;

	assert_true(RUN(store->loop, store_put_start, &put));
	assert_text(store, "x/p", "abcdef");
	assert_int_equal(put_bytes(store, "x/empty", "", 0), ERR_NONE);
	assert_int_equal(head_of(store, "x/empty", &bytes), ERR_NONE);
	assert_int_equal(bytes, 0);
	assert_text(store, "x/empty", "");
	assert_int_equal(put_bytes(store, "x/empty", "", 0), ERR_EXISTS);
}

static void odd_names(void **state)
{
	static const char *const good[] = {"0",
	                                   "-",
	                                   "_",
	                                   "a..b",
	                                   "a.draft",
	                                   "A/B/C/D/E/F/G.h-i_j",
	                                   "x-y/00000001000000000000000A.partial/0123456789abcdef"};
	static const char *const bad[] = {"",    "/",    "a/",       "/a",   "a//b",
	                                  ".",   "..",   "a/../b",   "a/.b", ".a",
	                                  "a b", "a\nb", "\xc3\xa9", "a:b",  "a*"};
	struct store *store = store_of(state);
	char longest[STORE_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
		assert_int_equal(put_text(store, good[i], good[i]), ERR_NONE);
		assert_text(store, good[i], good[i]);
	}
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		assert_int_equal(put_text(store, bad[i], "x"), ERR_REFUSED);
	for (size_t i = 0; i < sizeof(longest) - 1; i++)
		longest[i] = i % 200 == 199 ? '/' : 'n';
	longest[STORE_NAME_MAX] = '\0';
	assert_int_equal(put_text(store, longest, "long"), ERR_NONE);
	assert_text(store, longest, "long");
	assert_page(store, "nnn", NULL, 0, longest);
	longest[STORE_NAME_MAX] = 'n';
	longest[STORE_NAME_MAX + 1] = '\0';
	assert_int_equal(put_text(store, longest, "x"), ERR_REFUSED);
}

/* ---- get and head ---- */

static void ranges(void **state)
{
	struct store *store = store_of(state);
	AUTO_BUF struct buf buf;

	buf_init(&buf, BLOCK_BYTES);
	assert_int_equal(put_text(store, "r", "0123456789"), ERR_NONE);
	assert_int_equal(get_range(store, "r", 0, 4, &buf), ERR_NONE);
	assert_string_equal(buf_text(&buf), "0123");
	assert_int_equal(get_range(store, "r", 7, 100, &buf), ERR_NONE);
	assert_string_equal(buf_text(&buf), "789");
	assert_int_equal(get_range(store, "r", 9, 1, &buf), ERR_NONE);
	assert_string_equal(buf_text(&buf), "9");
	assert_int_equal(get_range(store, "r", 10, 5, &buf), ERR_NONE);
	assert_int_equal(buf.length, 0);
	assert_int_equal(get_range(store, "r", UINT64_C(1) << 40, 5, &buf), ERR_NONE);
	assert_int_equal(buf.length, 0);
	assert_int_equal(get_range(store, "r", 3, 0, &buf), ERR_NONE);
	assert_int_equal(buf.length, 0);
}

static void not_there_is_said_definitely(void **state)
{
	struct store *store = store_of(state);
	AUTO_BUF struct buf buf;
	uint64_t bytes;

	buf_init(&buf, BLOCK_BYTES);
	assert_int_equal(put_text(store, "here/x", "x"), ERR_NONE);
	assert_int_equal(get_range(store, "there", 0, 9, &buf), ERR_NOTFOUND);
	assert_int_equal(get_range(store, "here", 0, 9, &buf), ERR_NOTFOUND);
	assert_int_equal(get_range(store, "here/y", 0, 9, &buf), ERR_NOTFOUND);
	assert_int_equal(get_range(store, "here/x/z", 0, 9, &buf), ERR_NOTFOUND);
	assert_int_equal(head_of(store, "there", &bytes), ERR_NOTFOUND);
	assert_int_equal(head_of(store, "here", &bytes), ERR_NOTFOUND);
	assert_int_equal(head_of(store, "here/x/z", &bytes), ERR_NOTFOUND);
}

static void big_objects(void **state)
{
	enum { BLOCKS = 17 };
	struct store *store = store_of(state);
	uint8_t *block[BLOCKS], *out[BLOCKS];
	struct iovec piece[BLOCKS];
	struct store_put put = {.store = store, .name = "big/o", .piece = piece, .pieces = BLOCKS};
	struct store_get get = {.store = store,
	                        .name = "big/o",
	                        .length = UINT64_MAX,
	                        .block = out,
	                        .blocks = BLOCKS};
	uint32_t seed = 1;

	for (unsigned i = 0; i < BLOCKS; i++) {
		block[i] = xmalloc(BLOCK_BYTES);
		out[i] = xcalloc(1, BLOCK_BYTES);
		for (size_t at = 0; at < BLOCK_BYTES; at++)
			block[i][at] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
		piece[i] = (struct iovec){block[i], i == BLOCKS - 1 ? 12345 : BLOCK_BYTES};
	}
	assert_true(RUN(store->loop, store_put_start, &put));
	assert_true(RUN(store->loop, store_get_start, &get));
	assert_int_equal(get.got, (BLOCKS - 1) * (uint64_t)BLOCK_BYTES + 12345);
	assert_int_equal(get.object_bytes, get.got);
	for (unsigned i = 0; i < BLOCKS; i++)
		assert_memory_equal(out[i], block[i], piece[i].iov_len);
	get.offset = BLOCK_BYTES - 3;
	get.length = BLOCK_BYTES + 10;
	assert_true(RUN(store->loop, store_get_start, &get));
	assert_int_equal(get.got, BLOCK_BYTES + 10);
	assert_memory_equal(out[0], block[0] + BLOCK_BYTES - 3, 3);
	assert_memory_equal(out[0] + 3, block[1], BLOCK_BYTES - 3);
	assert_memory_equal(out[1], block[1] + BLOCK_BYTES - 3, 3);
	assert_memory_equal(out[1] + 3, block[2], 7);
	get.blocks = 1; /* less room than asked for */
	assert_true(RUN(store->loop, store_get_start, &get));
	assert_int_equal(get.got, BLOCK_BYTES);
	for (unsigned i = 0; i < BLOCKS; i++) {
		free(block[i]);
		free(out[i]);
	}
}

/* Under a name that was removed and taken again is another version. */
static void a_get_is_held_to_one_version(void **state)
{
	struct store *store = store_of(state);
	uint8_t *block = xmalloc(BLOCK_BYTES);
	struct store_get get = {
	        .store = store, .name = "v", .length = 3, .block = &block, .blocks = 1};
	char version[STORE_VERSION_BYTES];
	const char *const name[] = {"v"};

	assert_int_equal(put_text(store, "v", "one"), ERR_NONE);
	assert_true(RUN(store->loop, store_get_start, &get));
	if (store->pins) {
		assert_true(str_copy(version, sizeof(version), get.version));
		assert_string_not_equal(version, "");
		get.pin = version;
		assert_true(RUN(store->loop, store_get_start, &get));
		assert_int_equal(remove_names(store, name, 1), ERR_NONE);
		assert_int_equal(put_text(store, "v", "two"), ERR_NONE);
		assert_false(RUN(store->loop, store_get_start, &get));
		assert_int_equal(get.op.err.code, ERR_STORE);
		assert_true(get.replaced);
		assert_int_equal(get.got, 0);
	}
	free(block);
}

/* ---- list ---- */

static void put_all(struct store *store, const char *const *name, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_int_equal(put_text(store, name[i], name[i]), ERR_NONE);
}

static void a_listing_is_flat_and_in_the_order_of_full_names(void **state)
{
	/* '-' and '.' sort before '/', digits and letters after it. */
	static const char *const names[] = {"a/b", "a0", "a.b", "a-b/c", "B", "a/b.x", "a/B", "a_"};
	struct store *store = store_of(state);

	put_all(store, names, ARRAY_LENGTH(names));
	assert_page(store, "", NULL, 0, "B a-b/c a.b a/B a/b a/b.x a0 a_");
	assert_page(store, "a", NULL, 0, "a-b/c a.b a/B a/b a/b.x a0 a_");
	assert_page(store, "a/", NULL, 0, "a/B a/b a/b.x");
	assert_page(store, "a/b", NULL, 0, "a/b a/b.x");
	assert_page(store, "a/b/", NULL, 0, "");
	assert_page(store, "nothing", NULL, 0, "");
	assert_page(store, "nothing/here", NULL, 0, "");
	assert_page(store, "../", NULL, 0, "");
	assert_page(store, "/", NULL, 0, "");
	assert_page(store, "a//", NULL, 0, "");
}

static void pages_begin_after_any_text(void **state)
{
	static const char *const names[] = {"a-b/c", "a.b", "a/b", "a/c/d", "a/c/e", "a0", "b"};
	struct store *store = store_of(state);

	put_all(store, names, ARRAY_LENGTH(names));
	assert_page(store, "", "a.b", 2, "a/b a/c/d +");
	assert_page(store, "", "a/", 2, "a/b a/c/d +");
	assert_page(store, "", "a/c", 2, "a/c/d a/c/e +");
	assert_page(store, "", "a/c/", 2, "a/c/d a/c/e +");
	assert_page(store, "", "a/c/d", 2, "a/c/e a0 +");
	assert_page(store, "", "a/c/dzz", 9, "a/c/e a0 b");
	assert_page(store, "", "a/c/e", 2, "a0 b");
	assert_page(store, "", "a/zzz", 9, "a0 b");
	assert_page(store, "", "b", 9, "");
	assert_page(store, "a/", "a", 9, "a/b a/c/d a/c/e");
	assert_page(store, "a/", "a/c", 9, "a/c/d a/c/e");
	assert_page(store, "a/", "a0", 9, "");
	assert_page(store, "a/", "", 9, "a/b a/c/d a/c/e");
	assert_page(store, "a/c", "a/c/d", 9, "a/c/e");
	assert_page(store, "", NULL, 7, "a-b/c a.b a/b a/c/d a/c/e a0 b");
	assert_page(store, "", NULL, 6, "a-b/c a.b a/b a/c/d a/c/e a0 +");
}

static void folders_stand_once_with_a_slash(void **state)
{
	static const char *const names[] = {"a-b/c",   "a.b",     "a/b",      "a/c/d",
	                                    "a/c/e/f", "a/c.x/y", "a/c0/z/z", "b"};
	struct store *store = store_of(state);

	put_all(store, names, ARRAY_LENGTH(names));
	assert_folders(store, "", NULL, 0, "a-b/ a.b a/ b");
	assert_folders(store, "a", NULL, 0, "a-b/ a.b a/");
	assert_folders(store, "a/", NULL, 0, "a/b a/c.x/ a/c/ a/c0/");
	assert_folders(store, "a/c", NULL, 0, "a/c.x/ a/c/ a/c0/");
	assert_folders(store, "a/c/", NULL, 0, "a/c/d a/c/e/");
	assert_folders(store, "a/", NULL, 2, "a/b a/c.x/ +");
	assert_folders(store, "a/", "a/c.x/", 2, "a/c/ a/c0/");
	assert_folders(store, "a/", "a/c/", 9, "a/c0/");
	assert_folders(store, "a/", "a/c/zzz", 9, "a/c0/");
	assert_folders(store, "a/", "a/c0/z", 9, "");
	assert_folders(store, "nothing/", NULL, 0, "");
}

struct collect {
	struct store_walk walk;
	struct buf text;
};

static void collect_each(struct store_walk *walk, const struct store_entry *entry)
{
	struct collect *collect = container_of(walk, struct collect, walk);

	assert_true(entry->modified_us > 0);
	assert_int_equal(entry->bytes, strlen(entry->name));
	buf_addf(&collect->text, "%s\n", entry->name);
}

static void many_objects_come_page_by_page(void **state)
{
	enum { MANY = 2300 };
	struct store *store = store_of(state);
	struct collect collect = {.walk = {.store = store, .prefix = "m/", .each = collect_each}};
	AUTO_BUF struct buf wanted;

	buf_init(&wanted, 1 << 20);
	buf_init(&collect.text, 1 << 20);
	for (unsigned i = 0; i < MANY; i++) {
		char name[64];

		snprintf(name, sizeof(name), "m/%02u/%04u", i / 700, i);
		buf_addf(&wanted, "%s\n", name);
		assert_int_equal(put_text(store, name, name), ERR_NONE);
	}
	assert_true(RUN(store->loop, store_walk_start, &collect.walk));
	assert_int_equal(collect.walk.count, MANY);
	assert_string_equal(buf_text(&collect.text), buf_text(&wanted));
	buf_release(&collect.text);
}

/* ---- remove ---- */

static void what_was_removed_is_gone_and_may_come_again(void **state)
{
	static const char *const names[] = {"a/b/1", "a/b/2", "a/c", "d"};
	static const char *const gone[] = {"a/b/1", "never", "a/b/2", "d", "a/b"};
	struct store *store = store_of(state);
	AUTO_BUF struct buf buf;

	buf_init(&buf, BLOCK_BYTES);
	put_all(store, names, ARRAY_LENGTH(names));
	assert_int_equal(remove_names(store, gone, ARRAY_LENGTH(gone)), ERR_NONE);
	assert_page(store, "", NULL, 0, "a/c");
	assert_folders(store, "a/", NULL, 0, "a/c");
	assert_int_equal(get_range(store, "a/b/1", 0, 9, &buf), ERR_NOTFOUND);
	assert_int_equal(remove_names(store, gone, ARRAY_LENGTH(gone)), ERR_NONE);
	assert_int_equal(remove_names(store, gone, 0), ERR_NONE);
	assert_int_equal(put_text(store, "a/b/1", "again"), ERR_NONE);
	assert_text(store, "a/b/1", "again");
	assert_text(store, "a/c", "a/c");
}

/* ---- opening ---- */

static void another_opening_sees_the_same(void **state)
{
	struct fixture *f = *state;
	struct store *second;

	assert_int_equal(put_text(f->store, "kept/x", "x"), ERR_NONE);
	second = open_place_s3(f->loop, f->url, false, &f->s3);
	assert_text(second, "kept/x", "x");
	assert_int_equal(put_text(second, "kept/x", "y"), ERR_EXISTS);
	assert_int_equal(put_text(second, "kept/z", "z"), ERR_NONE);
	assert_text(f->store, "kept/z", "z");
	store_close(second);
}

#define TEST(name, begin)                                                                          \
	{                                                                                          \
#name, name, begin, end, NULL                                                      \
	}
/* What every driver passes. */
#define TESTS_ALL(begin)                                                                           \
	TEST(what_was_put_is_there, begin),                                                        \
	        TEST(a_taken_name_is_refused_and_nothing_changes, begin),                          \
	        TEST(of_many_at_once_exactly_one_wins, begin),                                     \
	        TEST(pieces_are_one_object_and_an_empty_one_is_one_too, begin),                    \
	        TEST(odd_names, begin), TEST(ranges, begin),                                       \
	        TEST(not_there_is_said_definitely, begin), TEST(big_objects, begin),               \
	        TEST(a_get_is_held_to_one_version, begin),                                         \
	        TEST(a_listing_is_flat_and_in_the_order_of_full_names, begin),                     \
	        TEST(pages_begin_after_any_text, begin),                                           \
	        TEST(folders_stand_once_with_a_slash, begin),                                      \
	        TEST(many_objects_come_page_by_page, begin),                                       \
	        TEST(what_was_removed_is_gone_and_may_come_again, begin),                          \
	        TEST(another_opening_sees_the_same, begin)

#endif
