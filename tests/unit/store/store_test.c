/* store_test.c — what stands above every driver: repetitions, deadline, lost answers, checks. */
#include "in_memory.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/fault.h"

static int begin(void **state)
{
	*state = fixture_new("mem:unit");
	return 0;
}

static int end(void **state)
{
	return fixture_free(*state, "unit");
}

static void plan(enum store_verb verb, enum mem_effect effect, unsigned nth, enum err_code code)
{
	store_mem_plan("unit", &(struct mem_fault){
	                               .verb = verb, .effect = effect, .nth = nth, .code = code});
}

static enum err_code put_within(struct store *store, const char *name, const char *text,
                                int64_t deadline_ms, struct err *ret)
{
	struct iovec piece = {(void *)(uintptr_t)text, strlen(text)};
	struct store_put put = {.store = store,
	                        .name = name,
	                        .piece = &piece,
	                        .pieces = 1,
	                        .deadline_ms = deadline_ms};

	RUN(store->loop, store_put_start, &put);
	*ret = put.op.err;
	return put.op.err.code;
}

static void what_may_be_retried_is_retried_until_it_works(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;

	plan(STORE_PUT, MEM_FAIL, 1, ERR_NETWORK);
	plan(STORE_PUT, MEM_FAIL, 2, ERR_TIMEOUT);
	assert_int_equal(put_text(store, "a", "text"), ERR_NONE);
	assert_int_equal(store_mem_calls("unit", STORE_PUT), 3);
	assert_int_equal(store_counts(store)->puts, 3);
	assert_int_equal(store_counts(store)->retries, 2);
	assert_int_equal(store_counts(store)->failures, 0);
	assert_int_equal(store_counts(store)->bytes_put, 4);
	assert_text(store, "a", "text");
	assert_int_equal(store_counts(store)->bytes_got, 4);
}

/* How long a put rested before its last attempt, when `failures` went before. */
static int64_t last_rest_ms(struct store *store, unsigned failures)
{
	static unsigned number;
	AUTO_FREE char *name = xasprintf("r/%u", number++);
	struct iovec piece = {(void *)(uintptr_t) "x", 1};
	struct store_put put = {.store = store, .name = name, .piece = &piece, .pieces = 1};

	store_mem_plan_clear("unit");
	for (unsigned i = 1; i <= failures; i++)
		plan(STORE_PUT, MEM_FAIL, i, ERR_NETWORK);
	assert_true(RUN(store->loop, store_put_start, &put));
	return put.call.nap.ms;
}

static void each_rest_is_longer_and_no_two_callers_keep_in_step(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	int64_t first_ms = last_rest_ms(store, 1);
	bool differs = false;

	assert_in_range(first_ms, 51, 100);
	assert_in_range(last_rest_ms(store, 2), 101, 200);
	assert_in_range(last_rest_ms(store, 3), 201, 400);
	for (unsigned i = 0; i < 4; i++)
		differs = differs || last_rest_ms(store, 1) != first_ms;
	assert_true(differs);
}

static void what_is_final_is_said_at_once(void **state)
{
	static const enum err_code codes[] = {ERR_STORE, ERR_IO, ERR_FULL, ERR_REFUSED,
	                                      ERR_DAMAGED};
	struct store *store = ((struct fixture *)*state)->store;
	struct err err;

	for (size_t i = 0; i < ARRAY_LENGTH(codes); i++) {
		plan(STORE_PUT, MEM_FAIL, 1, codes[i]);
		assert_int_equal(put_within(store, "a/b", "x", 0, &err), codes[i]);
		assert_int_equal(store_mem_calls("unit", STORE_PUT), i + 1);
		assert_string_equal(err.text, "could not store object \"a/b\" in repository "
		                              "\"test\"\nfailed by plan");
		store_mem_plan_clear("unit");
	}
	assert_int_equal(store_counts(store)->failures, ARRAY_LENGTH(codes));
}

static void a_lost_answer_is_looked_after(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;

	plan(STORE_PUT, MEM_LOSE_ANSWER, 1, ERR_NETWORK);
	assert_int_equal(put_text(store, "a", "mine"), ERR_NONE);
	assert_int_equal(store_mem_calls("unit", STORE_PUT), 2);
	assert_int_equal(store_mem_calls("unit", STORE_GET), 1);
	assert_text(store, "a", "mine");
}

static void a_lost_answer_over_an_object_of_many_blocks(void **state)
{
	enum { BYTES = 3 * BLOCK_BYTES + 77 };
	struct store *store = ((struct fixture *)*state)->store;
	uint8_t *bytes = xmalloc(BYTES);

	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 1000);
	plan(STORE_PUT, MEM_LOSE_ANSWER, 1, ERR_NETWORK);
	assert_int_equal(put_bytes(store, "big", bytes, BYTES), ERR_NONE);
	/* Its twin differs in the last byte only. */
	assert_int_equal(put_bytes(store, "twin", bytes, BYTES), ERR_NONE);
	bytes[BYTES - 1] ^= 1;
	plan(STORE_PUT, MEM_FAIL, 1, ERR_NETWORK);
	assert_int_equal(put_bytes(store, "twin", bytes, BYTES), ERR_EXISTS);
	free(bytes);
}

/* What a person was told, the last sentence and how many. */
struct told {
	unsigned count;
	char last[2048];
};

static void hear(void *context, const char *sentence)
{
	struct told *told = context;

	told->count++;
	snprintf(told->last, sizeof(told->last), "%s", sentence);
}

static void a_person_hears_what_is_tried_and_why_and_does_not_wait_for_long(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	struct told told = {0};
	struct err err;

	store_set_patience(
	        store, &(struct store_patience){.first_ms = 3200, .say = hear, .context = &told});
	plan(STORE_PUT, MEM_FAIL, MEM_EVERY, ERR_NETWORK);
	assert_int_equal(put_within(store, "a/b", "x", 0, &err), ERR_NETWORK);
	assert_non_null(strstr(err.text, "attempts in 3200 ms"));
	assert_int_equal(told.count, 1);
	assert_non_null(strstr(told.last, "to store object \"a/b\" in repository \"test\" (for "));
	assert_non_null(strstr(told.last, " s): failed by plan"));
	store_mem_plan_clear("unit");
	/* It has answered once: it is there, and is given the usual time. */
	assert_int_equal(put_within(store, "a/b", "x", 0, &err), ERR_NONE);
	assert_int_equal(told.count, 1);
	plan(STORE_PUT, MEM_FAIL, 1, ERR_NETWORK);
	assert_int_equal(put_within(store, "c", "x", 0, &err), ERR_NONE);
	assert_int_equal(told.count, 1);
}

static void a_silent_store_is_told_of_too_and_a_refusal_is_an_answer(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	struct told told = {0};
	struct err err;

	store_set_patience(
	        store, &(struct store_patience){.first_ms = 3000, .say = hear, .context = &told});
	store_mem_plan(
	        "unit",
	        &(struct mem_fault){.verb = STORE_PUT, .effect = MEM_DELAY, .nth = 1, .ms = 60000});
	assert_int_equal(put_within(store, "a", "x", 0, &err), ERR_NETWORK);
	assert_non_null(strstr(told.last, "try 1, gives up in "));
	assert_non_null(strstr(told.last, " s): no answer yet"));
	store_mem_plan_clear("unit");
	plan(STORE_PUT, MEM_FAIL, 1, ERR_STORE);
	assert_false(store->answered);
	assert_int_equal(put_within(store, "a", "x", 0, &err), ERR_STORE);
	assert_true(store->answered);
}

/* The first attempt failed for good, and another writer was quicker with the second. */
static void somebody_elses_object_is_not_taken_for_ours(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;

	assert_int_equal(put_text(store, "a", "theirs"), ERR_NONE);
	plan(STORE_PUT, MEM_FAIL, 1, ERR_NETWORK);
	assert_int_equal(put_text(store, "a", "mine"), ERR_EXISTS);
	plan(STORE_PUT, MEM_FAIL, 1, ERR_NETWORK);
	assert_int_equal(put_text(store, "a", "theirs and more"), ERR_EXISTS);
	assert_text(store, "a", "theirs");
}

static void the_deadline_ends_repetitions(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	int64_t begun_us = clock_mono_us();
	struct err err;

	plan(STORE_PUT, MEM_FAIL, MEM_EVERY, ERR_NETWORK);
	assert_int_equal(put_within(store, "a", "x", 300, &err), ERR_NETWORK);
	assert_true(clock_mono_us() - begun_us >= 250 * 1000);
	assert_true(clock_mono_us() - begun_us < 20 * US_PER_S);
	assert_true(store_mem_calls("unit", STORE_PUT) > 1);
	assert_non_null(strstr(err.text, "failed by plan")); /* the reason is not lost */
}

static void the_deadline_ends_an_attempt_that_hangs(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	int64_t begun_us = clock_mono_us();
	struct err err;

	store_mem_plan("unit", &(struct mem_fault){.verb = STORE_PUT,
	                                           .effect = MEM_DELAY,
	                                           .nth = MEM_EVERY,
	                                           .ms = 3600 * 1000});
	assert_int_equal(put_within(store, "a", "x", 100, &err), ERR_NETWORK);
	assert_non_null(strstr(err.hint, "Nothing came back"));
	assert_true(clock_mono_us() - begun_us < 20 * US_PER_S);
}

/* Cancels its child when the timer fires. */
struct canceller {
	struct op op;
	struct store_put put;
	struct nap nap;
	struct iovec piece;
};

static void canceller_step(struct op *op)
{
	struct canceller *c = container_of(op, struct canceller, op);

	switch (op->state) {
	case 0:
		store_put_start(op, &c->put);
		op_wait(op, 1);
		return op_wake(op);
	case 1:
		op_cancel(&c->put.op);
		return op_wait(op, 2);
	default:
		op_done(op);
	}
}

static const struct op_type canceller_type = {.name = "canceller", .step = canceller_step};

static void a_cancel_ends_an_attempt_in_flight_and_a_rest(void **state)
{
	struct fixture *f = *state;
	char text[] = "x";
	struct canceller c = {
	        .put = {.store = f->store, .name = "a", .piece = &c.piece, .pieces = 1},
	        .piece = {text, 1}};

	store_mem_plan("unit", &(struct mem_fault){.verb = STORE_PUT,
	                                           .effect = MEM_DELAY,
	                                           .nth = MEM_EVERY,
	                                           .ms = 3600 * 1000});
	loop_run_op(f->loop, &c.op, &canceller_type);
	assert_int_equal(c.put.op.err.code, ERR_CANCELLED);
	assert_int_equal(store_counts(f->store)->failures, 0);
}

static void an_answer_that_was_cut_short_is_fetched_again(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;

	assert_int_equal(put_text(store, "a", "0123456789"), ERR_NONE);
	store_mem_plan("unit", &(struct mem_fault){
	                               .verb = STORE_GET, .effect = MEM_CUT, .nth = 1, .bytes = 4});
	assert_text(store, "a", "0123456789");
	assert_int_equal(store_counts(store)->retries, 1);
}

static void not_found_is_no_failure_and_not_repeated(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	uint64_t bytes;

	assert_int_equal(head_of(store, "none", &bytes), ERR_NOTFOUND);
	assert_int_equal(store_mem_calls("unit", STORE_HEAD), 1);
	assert_int_equal(store_counts(store)->failures, 0);
}

static void a_flipped_byte_comes_through_as_it_is(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;

	assert_int_equal(put_text(store, "a", "AAAA"), ERR_NONE);
	store_mem_plan(
	        "unit",
	        &(struct mem_fault){.verb = STORE_GET, .effect = MEM_FLIP, .nth = 1, .bytes = 2});
	assert_text(store, "a", "AA\001A");
	assert_text(store, "a", "AAAA");
}

static void plans_count_only_what_they_match(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	struct err err;

	store_mem_plan("unit", &(struct mem_fault){.verb = STORE_PUT,
	                                           .effect = MEM_FAIL,
	                                           .nth = 2,
	                                           .part = "wal/",
	                                           .code = ERR_FULL});
	assert_int_equal(put_within(store, "x/wal/1", "x", 0, &err), ERR_NONE);
	assert_int_equal(put_within(store, "x/other", "x", 0, &err), ERR_NONE);
	assert_int_equal(put_within(store, "x/wal/2", "x", 0, &err), ERR_FULL);
	assert_int_equal(put_within(store, "x/wal/2", "x", 0, &err), ERR_NONE);
}

static void an_unknown_kind_of_url_is_a_configuration_error(void **state)
{
	struct fixture *f = *state;
	struct store_options options = {.url = "ftp://host/x", .label = "far", .create = true};
	struct store *store = NULL;
	struct err err = {0};

	assert_false(store_open(f->loop, &options, &store, &err));
	assert_int_equal(err.code, ERR_CONFIG);
	assert_non_null(strstr(err.text, "ftp://host/x"));
}

#ifdef SEAWALL_FAULTS
static void every_call_has_a_point_before_and_behind_it(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	unsigned before = fault_count();

	assert_int_equal(put_text(store, "a", "x"), ERR_NONE);
	assert_int_equal(fault_count() - before, 2);
	fault_plan_fail(1);
	assert_int_equal(put_text(store, "b", "x"), ERR_IO);
	assert_page(store, "", NULL, 0, "a"); /* it was not even tried */
	fault_plan_fail(2);
	assert_int_equal(put_text(store, "c", "x"), ERR_IO);
	assert_page(store, "", NULL, 0, "a c"); /* it took effect, and nobody heard */
	fault_plan_fail(0);
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(what_may_be_retried_is_retried_until_it_works),
	        TEST(each_rest_is_longer_and_no_two_callers_keep_in_step),
	        TEST(what_is_final_is_said_at_once),
	        TEST(a_lost_answer_is_looked_after),
	        TEST(a_lost_answer_over_an_object_of_many_blocks),
	        TEST(a_person_hears_what_is_tried_and_why_and_does_not_wait_for_long),
	        TEST(a_silent_store_is_told_of_too_and_a_refusal_is_an_answer),
	        TEST(somebody_elses_object_is_not_taken_for_ours),
	        TEST(the_deadline_ends_repetitions),
	        TEST(the_deadline_ends_an_attempt_that_hangs),
	        TEST(a_cancel_ends_an_attempt_in_flight_and_a_rest),
	        TEST(an_answer_that_was_cut_short_is_fetched_again),
	        TEST(not_found_is_no_failure_and_not_repeated),
	        TEST(a_flipped_byte_comes_through_as_it_is),
	        TEST(plans_count_only_what_they_match),
	        TEST(an_unknown_kind_of_url_is_a_configuration_error),
#ifdef SEAWALL_FAULTS
	        TEST(every_call_has_a_point_before_and_behind_it),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
