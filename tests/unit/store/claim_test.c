/* claim_test.c — writers of one name agree in a store that overwrites what is there. */
#include "in_memory.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/sealed.h"

enum { WRITERS_MAX = 4, BIG_BYTES = 100 * 1000, DELAY_MS_MAX = 3 };

static void lie(struct fixture *f, enum mem_create_only create_only)
{
	store_mem_lie("claim", &(struct mem_lies){.create_only = create_only});
	store_set_safety(f->store, STORE_CLAIM);
}

static void make_place(struct fixture *f, enum mem_create_only create_only)
{
	f->store = open_place(f->loop, "mem:claim", true);
	lie(f, create_only);
}

static void drop_place(struct fixture *f)
{
	store_close(f->store);
	store_mem_forget("claim");
}

static int begin(void **state)
{
	lie(*state = fixture_new("mem:claim"), MEM_IGNORED);
	return 0;
}

static int end(void **state)
{
	return fixture_free(*state, "claim");
}

/* Several puts of one name, begun at once. */
struct writers {
	struct op op;
	unsigned count;
	struct store_put put[WRITERS_MAX];
	struct iovec piece[WRITERS_MAX];
	struct digest content[WRITERS_MAX];
	char *bytes[WRITERS_MAX];
	size_t length;
};

static void writers_step(struct op *op)
{
	struct writers *w = container_of(op, struct writers, op);

	if (op->state == 1)
		return op_done(op);
	for (unsigned i = 0; i < w->count; i++)
		store_put_start(op, &w->put[i]);
	op_wait(op, 1);
}

static const struct op_type writers_type = {.name = "writers", .step = writers_step};

/* contents: a digit for each writer, the same digit for the same content; the bytes always differ.
 */
static void writers_make(struct writers *w, struct store *store, const char *contents,
                         size_t length)
{
	*w = (struct writers){.count = (unsigned)strlen(contents), .length = length};
	for (unsigned i = 0; i < w->count; i++) {
		w->bytes[i] = xmalloc(length);
		memset(w->bytes[i], contents[i], length);
		w->bytes[i][length - 1] = (char)('a' + i); /* as another salt makes it */
		memset(&w->content[i], contents[i], sizeof(w->content[i]));
		w->piece[i] = (struct iovec){w->bytes[i], length};
		w->put[i] = (struct store_put){.store = store,
		                               .name = "x/wanted",
		                               .piece = &w->piece[i],
		                               .pieces = 1,
		                               .content = &w->content[i]};
	}
}

static void writers_free(struct writers *w)
{
	for (unsigned i = 0; i < w->count; i++)
		free(w->bytes[i]);
}

static char content_stored(struct store *store)
{
	AUTO_BUF struct buf buf = {0};

	buf_init(&buf, BLOCK_BYTES);
	if (get_range(store, "x/wanted", 0, BLOCK_BYTES, &buf) != ERR_NONE)
		return '\0';
	return buf_text(&buf)[0];
}

/* Whoever heard success wrote what is there; "exists" is said only where something is. Returns how
 * many heard success. */
static unsigned assert_agreed(const struct writers *w, const char *contents, struct store *store)
{
	char there = content_stored(store);
	unsigned good = 0;

	for (unsigned i = 0; i < w->count; i++) {
		enum err_code code = w->put[i].op.err.code;

		if (code == ERR_NONE)
			assert_int_equal(contents[i], there);
		else if (code == ERR_EXISTS)
			assert_true(there != '\0');
		else if (code == ERR_REFUSED)
			assert_true(contents[i] != there);
		else
			fail_msg("%s", w->put[i].op.err.text);
		good += code == ERR_NONE;
	}
	return good;
}

static void one_writer_stores_and_leaves_what_it_said(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	AUTO_BUF struct buf claim = {0};
	struct store_list list = {.store = store, .prefix = "claim/"};

	assert_int_equal(put_text(store, "a/b", "text"), ERR_NONE);
	assert_text(store, "a/b", "text");
	assert_true(RUN(store->loop, store_list_start, &list));
	assert_int_equal(list.count, 2);
	assert_non_null(strstr(list.entry[0].name, "claim/a/b/01.alone."));
	assert_non_null(strstr(list.entry[1].name, "claim/a/b/01.claim."));
	buf_init(&claim, BLOCK_BYTES);
	assert_int_equal(get_range(store, list.entry[1].name, 0, 100, &claim), ERR_NONE);
	assert_string_equal(buf_text(&claim), "seawall claim 1\ntext");
	store_list_release(&list);
	assert_int_equal(put_text(store, "a/b", "other"), ERR_EXISTS);
	assert_int_equal(put_text(store, "a/b", "text"), ERR_EXISTS); /* the caller compares */
	assert_text(store, "a/b", "text");
}

static void a_store_that_honours_create_only_sees_no_claim(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;

	store_set_safety(store, STORE_CREATE_ONLY);
	assert_int_equal(put_text(store, "a", "text"), ERR_NONE);
	assert_page(store, "", NULL, 0, "a");
	assert_int_equal(store_mem_calls("claim", STORE_HEAD), 0);
}

static void with_one_writer_only_a_look_protects_what_is_there(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;

	store_set_safety(store, STORE_ONE_WRITER);
	assert_int_equal(put_text(store, "a", "text"), ERR_NONE);
	assert_int_equal(put_text(store, "a", "other"), ERR_EXISTS);
	assert_text(store, "a", "text");
	assert_page(store, "", NULL, 0, "a");
}

static void delay_calls(unsigned *seed)
{
	static const enum store_verb verbs[] = {STORE_PUT, STORE_LIST, STORE_HEAD, STORE_GET};

	for (size_t v = 0; v < ARRAY_LENGTH(verbs); v++)
		for (unsigned n = 1; n <= 40; n++)
			store_mem_plan("claim", &(struct mem_fault){.verb = verbs[v],
			                                            .effect = MEM_DELAY,
			                                            .nth = n,
			                                            .ms = rand_r(seed) %
			                                                  (DELAY_MS_MAX + 1)});
}

/* ---- one writer ---- */

static struct store *open_writer(struct fixture *f, const char *writer, bool take_over)
{
	struct store *store = open_place(f->loop, "mem:claim", false);

	store_set_safety(store, STORE_ONE_WRITER);
	store_set_writer(store, writer, take_over);
	return store;
}

static void where_only_one_may_store_the_second_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store *a = open_writer(f, "host \"a\"", false), *again;
	struct store *b = open_writer(f, "host \"b\\ue\"\x1b\xff", false);
	struct iovec piece = {(char[]){"text"}, 4};
	struct store_put put = {.store = b, .name = "b", .piece = &piece, .pieces = 1};

	assert_int_equal(put_text(a, "a", "text"), ERR_NONE);
	assert_text(a, STORE_WRITER, "host \"a\"");
	RUN(f->loop, store_put_start, &put);
	assert_int_equal(put.op.err.code, ERR_REFUSED);
	assert_non_null(strstr(put.op.err.text, "only one may store here, and that is host \"a\""));
	assert_non_null(strstr(put.op.err.hint, "--take-over"));
	assert_page(f->store, "b", NULL, 0, "");
	assert_int_equal(put_text(a, "a2", "text"), ERR_NONE);
	store_close(a); /* killed, started again: the same one */
	again = open_writer(f, "host \"a\"", false);
	assert_int_equal(put_text(again, "a3", "text"), ERR_NONE);
	store_close(b);
	b = open_writer(f, "host \"b\\ue\"\x1b\xff", true);
	assert_int_equal(put_text(b, "b", "text"), ERR_NONE);
	assert_int_equal(put_text(b, "b2", "text"), ERR_NONE);
	put = (struct store_put){.store = again, .name = "a4", .piece = &piece, .pieces = 1};
	RUN(f->loop, store_put_start, &put);
	assert_int_equal(put.op.err.code, ERR_REFUSED);
	assert_non_null(strstr(put.op.err.text, "host \"b\\ue\"??")); /* nothing for a terminal */
	assert_page(f->store, "a4", NULL, 0, "");
	store_close(again);
	store_close(b);
}

/* Whatever request of it fails, nothing is stored unless it is known who may. */
static void a_writer_that_cannot_find_out_who_may_store_stores_nothing(void **state)
{
	static const enum store_verb verbs[] = {STORE_GET, STORE_GET, STORE_PUT, STORE_REMOVE};
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_LENGTH(verbs); i++) {
		struct mem_fault fault = {.verb = verbs[i],
		                          .effect = MEM_FAIL,
		                          .nth = i == 1 ? 2 : 1,
		                          .code = ERR_IO};
		bool removes = verbs[i] == STORE_REMOVE;
		struct store *a, *b;

		drop_place(f);
		make_place(f, MEM_IGNORED);
		a = open_writer(f, "a", false);
		b = open_writer(f, "b", removes);
		if (removes)
			assert_int_equal(put_text(a, "x", "text"), ERR_NONE);
		store_mem_plan("claim", &fault);
		/* without a right to remove it is overwritten */
		assert_int_equal(put_text(b, "b", "text"), removes ? ERR_NONE : ERR_IO);
		store_mem_plan_clear("claim");
		assert_page(f->store, "b", NULL, 0, removes ? "b" : "");
		assert_int_equal(put_text(b, "b", "text"), removes ? ERR_EXISTS : ERR_NONE);
		store_close(a);
		store_close(b);
	}
}

/* Two begin at once: each finds nobody. Whoever is overwritten sees that it is. */
static void of_two_that_begin_at_once_one_is_the_writer_afterwards(void **state)
{
	struct fixture *f = *state;

	for (unsigned seed = 1; seed <= 20; seed++) {
		unsigned dice = seed;
		struct writers w;
		struct store *store[2];
		enum err_code a, b;

		drop_place(f);
		make_place(f, MEM_IGNORED);
		delay_calls(&dice);
		store[0] = open_writer(f, "a", false);
		store[1] = open_writer(f, "b", false);
		writers_make(&w, store[0], "12", 20);
		w.put[1].store = store[1];
		loop_run_op(f->loop, &w.op, &writers_type);
		store_mem_plan_clear("claim");
		a = put_text(store[0], "a", "text");
		b = put_text(store[1], "b", "text");
		assert_true((a == ERR_NONE) != (b == ERR_NONE));
		assert_int_equal(a == ERR_NONE ? b : a, ERR_REFUSED);
		writers_free(&w);
		store_close(store[0]);
		store_close(store[1]);
	}
}

static void put_at_once(struct fixture *f, const char *contents, size_t length, unsigned good_min)
{
	static const enum mem_create_only kinds[] = {MEM_IGNORED, MEM_RACY, MEM_HONOURED};

	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		struct writers w;

		drop_place(f);
		make_place(f, kinds[i]);
		writers_make(&w, f->store, contents, length);
		loop_run_op(f->loop, &w.op, &writers_type);
		assert_true(assert_agreed(&w, contents, f->store) >= good_min);
		assert_true(content_stored(f->store) != '\0');
		writers_free(&w);
	}
}

static void the_same_content_at_once_is_stored(void **state)
{
	put_at_once(*state, "11", 20, 1);
	put_at_once(*state, "11", BIG_BYTES, 1);
	put_at_once(*state, "1111", 20, 1);
}

static void of_different_contents_at_once_one_is_stored(void **state)
{
	put_at_once(*state, "12", 20, 0); /* one may have put the other's */
	put_at_once(*state, "21", BIG_BYTES, 1);
	put_at_once(*state, "1221", BIG_BYTES, 1);
	put_at_once(*state, "1234", 20, 0);
}

/* The order of all requests is another one with each seed. */
static void whatever_the_order_of_requests_only_one_content_is_ever_stored(void **state)
{
	static const char *const contents[] = {"12", "122", "123", "1213"};
	struct fixture *f = *state;
	unsigned stored = 0, refused = 0;

	for (unsigned seed = 1; seed <= 80; seed++) {
		const char *content = contents[seed % ARRAY_LENGTH(contents)];
		unsigned dice = seed, good;
		struct writers w;

		drop_place(f);
		make_place(f, seed % 3 ? MEM_IGNORED : MEM_RACY);
		delay_calls(&dice);
		writers_make(&w, f->store, content, seed % 2 ? 20 : BIG_BYTES);
		loop_run_op(f->loop, &w.op, &writers_type);
		good = assert_agreed(&w, content, f->store);
		stored += good;
		refused += w.count - good;
		assert_true(content_stored(f->store) != '\0');
		writers_free(&w);
	}
	assert_true(stored >= 60 && refused >= 60);
}

static enum err_code put_one(struct store *store, const char *content, size_t length)
{
	struct writers w;
	enum err_code code;

	writers_make(&w, store, content, length);
	RUN(store->loop, store_put_start, &w.put[0]);
	code = w.put[0].op.err.code;
	writers_free(&w);
	return code;
}

/* A first writer is killed at its n-th call, before or after it takes effect; then comes one with
 * other content, then the first again. */
static unsigned killed_at(struct fixture *f, enum store_verb verb, enum mem_effect effect,
                          unsigned n, size_t length)
{
	struct mem_fault fault = {.verb = verb, .effect = effect, .nth = n, .code = ERR_IO};
	enum err_code first, other, again;
	char there;

	drop_place(f);
	make_place(f, MEM_IGNORED);
	store_mem_plan("claim", &fault);
	first = put_one(f->store, "1", length);
	store_mem_plan_clear("claim");
	other = put_one(f->store, "2", length);
	there = content_stored(f->store);
	again = put_one(f->store, "1", length);
	assert_true(first == ERR_NONE || first == ERR_IO);
	if (there)
		assert_int_equal(content_stored(f->store), there);
	else /* big, and the first had agreed: only it can store it */
		assert_int_equal(other, ERR_REFUSED);
	if (other == ERR_NONE)
		assert_int_equal(again, ERR_EXISTS);
	if (!there)
		assert_int_equal(again, ERR_NONE);
	if (length < BIG_BYTES)
		assert_true(there != '\0');
	return first != ERR_NONE;
}

static void a_writer_that_was_killed_anywhere_blocks_nothing_for_ever(void **state)
{
	static const enum store_verb verbs[] = {STORE_PUT, STORE_LIST, STORE_HEAD};
	static const enum mem_effect effects[] = {MEM_FAIL, MEM_LOSE_ANSWER};
	static const size_t lengths[] = {20, BIG_BYTES};
	unsigned killed = 0;

	for (size_t v = 0; v < ARRAY_LENGTH(verbs); v++)
		for (size_t e = 0; e < ARRAY_LENGTH(effects); e++)
			for (size_t l = 0; l < ARRAY_LENGTH(lengths); l++)
				for (unsigned n = 1;
				     killed_at(*state, verbs[v], effects[e], n, lengths[l]); n++)
					killed++;
	assert_int_equal(killed, 2 * 2 * (3 + 2 + 1) - 2); /* "not found" is said at once */
}

static void a_listing_that_lacks_a_claim_stops_the_put(void **state)
{
	struct fixture *f = *state;

	store_mem_lie("claim",
	              &(struct mem_lies){.create_only = MEM_IGNORED, .list_lacks_new = true});
	assert_int_equal(put_text(f->store, "a", "text"), ERR_STORE);
	store_mem_lie("claim", &(struct mem_lies){.create_only = MEM_IGNORED});
	assert_page(f->store, "a", NULL, 0, "");
}

static void all_of_it_ends_within_the_deadline(void **state)
{
	struct fixture *f = *state;
	char text[] = "text";
	struct iovec piece = {text, strlen(text)};
	struct store_put put = {
	        .store = f->store, .name = "a", .piece = &piece, .pieces = 1, .deadline_ms = 100};

	store_mem_plan("claim", &(struct mem_fault){.verb = STORE_LIST,
	                                            .effect = MEM_DELAY,
	                                            .nth = MEM_EVERY,
	                                            .ms = 60 * 1000});
	RUN(f->loop, store_put_start, &put);
	assert_int_equal(put.op.err.code, ERR_NETWORK);
	assert_non_null(strstr(put.op.err.text, "could not store object \"a\""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	        TEST(one_writer_stores_and_leaves_what_it_said),
	        TEST(a_store_that_honours_create_only_sees_no_claim),
	        TEST(with_one_writer_only_a_look_protects_what_is_there),
	        TEST(where_only_one_may_store_the_second_is_refused),
	        TEST(a_writer_that_cannot_find_out_who_may_store_stores_nothing),
	        TEST(of_two_that_begin_at_once_one_is_the_writer_afterwards),
	        TEST(the_same_content_at_once_is_stored),
	        TEST(of_different_contents_at_once_one_is_stored),
	        TEST(whatever_the_order_of_requests_only_one_content_is_ever_stored),
	        TEST(a_writer_that_was_killed_anywhere_blocks_nothing_for_ever),
	        TEST(a_listing_that_lacks_a_claim_stops_the_put),
	        TEST(all_of_it_ends_within_the_deadline),
	};

	return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
