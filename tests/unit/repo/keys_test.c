/* keys_test.c — the keys of a repository: begun, found again, wrapped again, and what breaks. */
#include "unit/repo/keyed.h"

static void a_repository_is_encrypted_from_its_beginning(void **state)
{
	struct fixture *f = *state;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	assert_int_equal(plain, 1); /* probe/000001 */
	put_object(f, "main/g/note/1", "text");
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
	assert_non_null(f->repo->keys);
	assert_int_equal(keyring_opened(f->repo->keys), 1);
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
	assert_int_equal(get_object(f, "probe/000001", &err), ERR_NONE);
	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE); /* twice is success */
	assert_int_equal(plain, UINT64_MAX);
	assert_int_equal(keyring_count(f->repo->keys), 1);
}

/* The first opening fails at each of its requests; the next one, of the same process, knows all. */
static void an_opening_that_broke_off_anywhere_is_made_good_by_the_next(void **state)
{
	static const enum store_verb verbs[] = {STORE_GET, STORE_LIST};
	struct fixture *f = *state;
	unsigned failed = 0;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	for (unsigned i = 0, nth = 1; i < ARRAY_LENGTH(verbs); nth++) {
		struct repo_open again = {0};

		store_mem_plan("repo", &(struct mem_fault){.verb = verbs[i],
		                                           .effect = MEM_FAIL,
		                                           .nth = nth,
		                                           .code = ERR_REFUSED});
		if (open_with(f, &source_a, &err) == ERR_NONE) { /* there were less requests */
			i++;
			nth = 0;
		} else {
			failed++;
		}
		store_mem_plan_clear("repo");
		again.repo = f->repo;
		assert_true(RUN(f->loop, repo_open_start, &again));
		assert_int_equal(get_object(f, "probe/000001", &err), ERR_NONE);
	}
	assert_in_range(failed, 4, 100); /* the head, the keys, one of them, the marker */
}

static void no_key_and_a_wrong_key_are_two_errors(void **state)
{
	struct fixture *f = *state;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	assert_int_equal(open_with(f, NULL, &err), ERR_STORE);
	assert_non_null(strstr(err.text, "no key is set"));
	assert_false(f->repo->opened);
	assert_int_equal(open_with(f, &source_b, &err), ERR_STORE);
	assert_non_null(strstr(err.text, "is the wrong one"));
	assert_false(f->repo->opened);
	assert_null(f->repo->keys);
	assert_int_equal(init_with(f, &source_b, &plain, &err), ERR_STORE);
	assert_non_null(strstr(err.text, "is the wrong one"));
}

static void a_key_for_a_repository_without_one_is_no_mistake_in_silence(void **state)
{
	struct fixture *f = *state;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, NULL, &plain, &err), ERR_NONE);
	assert_int_equal(open_with(f, &source_a, &err), ERR_STORE);
	assert_non_null(strstr(err.text, "not encrypted"));
	assert_true(f->repo->no_keys);
}

static void what_was_there_stays_readable_and_what_comes_unencrypted_does_not(void **state)
{
	struct fixture *f = *state;
	struct keyring *keys;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, NULL, &plain, &err), ERR_NONE);
	put_object(f, "main/g/note/1", "text");
	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	assert_int_equal(plain, 2);
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
	put_object(f, "main/g/note/2", "text");
	keys = STEAL(f->repo->keys); /* somebody without a key */
	put_object(f, "main/g/note/3", "text");
	f->repo->keys = keys;
	assert_int_equal(get_object(f, "main/g/note/2", &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/3", &err), ERR_DAMAGED);
	assert_non_null(strstr(err.text, "appeared after"));
}

/* Without a data key, nobody makes a marker that is believed; and one that is lost closes. */
static void a_marker_by_somebody_else_is_passed_over(void **state)
{
	static const char *const real[] = {"keys/plain/000001"};
	uint64_t hash = key_name_hash("g/note/3");
	struct fixture *f = *state;
	struct keyring *keys;
	struct err err;
	uint64_t plain;
	struct object_write marker = {.name = "keys/plain/000007",
	                              .kind = SEALED_MARKER,
	                              .class = GATE_WAL,
	                              .bytes = &hash,
	                              .length = sizeof(hash)};

	assert_int_equal(init_with(f, NULL, &plain, &err), ERR_NONE);
	put_object(f, "main/g/note/1", "text");
	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	keys = STEAL(f->repo->keys);
	marker.repo = f->repo;
	assert_true(RUN(f->loop, object_write_start, &marker));
	put_object(f, "main/g/note/3", "text");
	f->repo->keys = keys;
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/3", &err), ERR_DAMAGED);
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
	assert_int_equal(remove_names(f->store, real, 1), ERR_NONE);
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_DAMAGED);
}

/* Cut off at each call to the store, it is completed by the next one, and takes all that is there.
 */
static void an_encryption_that_broke_off_anywhere_is_completed_by_the_next(void **state)
{
	static const enum store_verb verbs[] = {STORE_PUT, STORE_GET, STORE_LIST};
	struct fixture *f = *state;
	unsigned failed = 0;
	struct err err;
	uint64_t plain;

	for (unsigned v = 0; v < ARRAY_LENGTH(verbs); v++)
		for (unsigned n = 1;; n++) {
			struct mem_fault fault = {
			        .verb = verbs[v], .effect = MEM_FAIL, .nth = n, .code = ERR_IO};
			enum err_code code;

			repo_free(f->repo);
			store_mem_forget("repo");
			f->store = open_place(f->loop, "mem:repo", true);
			f->repo = repo_new(f->store, f->blocks);
			assert_int_equal(init_with(f, NULL, &plain, &err), ERR_NONE);
			put_object(f, "main/g/note/1", "text");
			store_mem_plan("repo", &fault);
			code = init_with(f, &source_a, &plain, &err);
			store_mem_plan_clear("repo");
			failed += code != ERR_NONE;
			assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
			assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
			assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
			put_object(f, "main/g/note/2", "text");
			assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
			assert_int_equal(get_object(f, "main/g/note/2", &err), ERR_NONE);
			if (code == ERR_NONE)
				break;
		}
	assert_true(failed >= 5);
}

/* ---- wrapped again ---- */

static void another_key_opens_it_too(void **state)
{
	struct fixture *f = *state;
	struct keys_wrap wrap;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	put_object(f, "main/g/note/1", "text");
	wrap_with(f, &source_b, false, &wrap);
	assert_int_equal(wrap.wrapped, 1);
	assert_int_equal(wrap.made, 0);
	wrap_with(f, &source_b, false, &wrap); /* it does already */
	assert_int_equal(wrap.wrapped, 0);
	assert_int_equal(open_with(f, &source_b, &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
}

static void a_new_data_key_seals_and_the_old_one_opens(void **state)
{
	struct fixture *f = *state;
	struct keys_wrap wrap;
	struct object_write write = {.name = "main/g/note/3",
	                             .kind = SEALED_NOTE,
	                             .class = GATE_WAL,
	                             .bytes = "x",
	                             .length = 1};
	struct key_about newest;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	put_object(f, "main/g/note/1", "text");
	wrap_with(f, &source_b, true, &wrap);
	assert_int_equal(wrap.wrapped, 2);
	assert_int_equal(open_with(f, &source_b, &err), ERR_NONE);
	assert_int_equal(keyring_opened(f->repo->keys), 2);
	assert_true(keyring_newest(f->repo->keys, &newest));
	assert_int_equal(newest.id, wrap.made);
	put_object(f, "main/g/note/2", "text");
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE); /* to read what is old */
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/2", &err), ERR_STORE);
	write.repo = f->repo;
	assert_false(RUN(f->loop, object_write_start, &write));
	assert_non_null(strstr(write.op.err.text, "newest data key"));
}

static void a_damaged_wrapping_is_said_when_no_other_opens(void **state)
{
	struct fixture *f = *state;
	struct keys_wrap wrap;
	struct key_about newest;
	char name[NAME_BYTES];
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	assert_true(keyring_newest(f->repo->keys, &newest));
	wrap_with(f, &source_b, false, &wrap);
	name_key(name, newest.id, 1);
	assert_true(store_mem_damage("repo", name, 200));
	assert_int_equal(open_with(f, &source_b, &err), ERR_NONE);
	assert_int_equal(open_with(f, &source_a, &err), ERR_DAMAGED);
	assert_non_null(strstr(err.text, name));
}

enum { AT_ONCE = 8 };
struct openings {
	struct op op;
	struct repo_open open[AT_ONCE];
};

static void openings_step(struct op *op)
{
	struct openings *openings = container_of(op, struct openings, op);

	if (op->state == 1)
		return op_done(op);
	for (unsigned i = 0; i < AT_ONCE; i++)
		repo_open_start(op, &openings->open[i]);
	op_wait(op, 1);
}

static const struct op_type openings_type = {.name = "openings", .step = openings_step};

static void many_may_open_it_at_once(void **state)
{
	struct fixture *f = *state;
	struct openings openings = {0};
	uint64_t plain, reads;
	struct err err;

	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	fixture_reopen(f);
	f->repo->key_source = source_a;
	reads = store_counts(f->repo->store)->reads;
	for (unsigned i = 0; i < AT_ONCE; i++)
		openings.open[i].repo = f->repo;
	loop_run_op(f->loop, &openings.op, &openings_type);
	for (unsigned i = 0; i < AT_ONCE; i++)
		assert_int_equal(openings.open[i].op.err.code, ERR_NONE);
	assert_true(f->repo->opened);
	assert_true(store_counts(f->repo->store)->reads - reads < AT_ONCE); /* once, not each */
	assert_int_equal(keyring_count(f->repo->keys), 1);
	put_object(f, "main/g/note/1", "text");
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
}

static void what_else_lies_below_keys_is_passed_over(void **state)
{
	struct fixture *f = *state;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	assert_int_equal(put_text(f->store, "keys/00000000000000ab/000001", "{}"), ERR_NONE);
	assert_int_equal(put_text(f->store, "keys/00000000000000AB/000001", "{}"), ERR_NONE);
	assert_int_equal(put_text(f->store, "keys/readme", "hello"), ERR_NONE);
	assert_int_equal(put_text(f->store, "keys/plain/000009", "hello"), ERR_NONE);
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
	assert_int_equal(get_object(f, "probe/000001", &err), ERR_NONE);
}

/* ---- sources ---- */

static void a_command_gives_a_key_and_its_failures_no_words_of_it(void **state)
{
	static const struct {
		const char *command, *says;
	} cases[] = {
	        {"echo SECRET; exit 3", "exit status 3"},
	        {"echo SECRET; kill -9 $$", "signal 9"},
	        {":", "there is no key"},
	        {"echo SECRET", "shorter than"},
	        {"yes SECRET", "more than"},
	};
	struct key_source source = {KEY_SOURCE_COMMAND,
	                            "printf 'KEY-A-%s\\n' 0123456789abcdef0123456789abcdef"};
	struct err err = {0};
	struct wrapper *wrapper = key_source_read(&source, &err);

	(void)state;
	assert_non_null(wrapper);
	wrapper_free(wrapper);
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		err = (struct err){0};
		source.what = cases[i].command;
		assert_null(key_source_read(&source, &err));
		assert_int_equal(err.code, ERR_CONFIG);
		if (!strstr(err.text, cases[i].says) || strstr(err.text, "SECRET"))
			fail_msg("%s: %s", cases[i].command, err.text);
	}
}

/* Who lists the processes sees no command, which may hold the key; nor has a child of it. */
static void a_command_is_seen_in_no_arguments_and_by_none_of_its_children(void **state)
{
	char command[512];
	const char *seen = file_of("");
	const struct key_source source = {.kind = KEY_SOURCE_COMMAND, .what = command};
	AUTO_BUF struct buf text = {0};
	struct err err = {0};
	struct wrapper *wrapper;

	(void)state;
	buf_init(&text, 65536);
	snprintf(command, sizeof(command),
	         ": OF-THE-COMMAND; { tr '\\0' '\\n' </proc/$$/cmdline; /usr/bin/env; } >%s; "
	         "printf 'KEY-A-%%s\\n' \"$(echo 0123456789abcdef0123456789abcdef)\"",
	         seen);
	wrapper = key_source_read(&source, &err);
	if (!wrapper)
		fail_msg("%s", err.text);
	assert_string_equal(wrapper_room(wrapper), "KEY-A-0123456789abcdef0123456789abcdef\n");
	wrapper_free(wrapper);
	assert_true(file_read_all(seen, &text, &err));
	assert_non_null(strstr(buf_text(&text), "/bin/sh\n"));
	assert_non_null(strstr(buf_text(&text), "PATH="));
	assert_null(strstr(buf_text(&text), "OF-THE-COMMAND"));
	unlink(seen);
}

static void a_command_that_closes_its_output_and_stays_is_ended(void **state)
{
	const struct key_source source = {
	        .kind = KEY_SOURCE_COMMAND,
	        .what = "echo 0123456789abcdef0123456789abcdef; exec >&-; exec sleep 1000",
	        .limit_ms = 300};
	struct err err = {0};

	(void)state;
	assert_null(key_source_read(&source, &err));
	assert_non_null(strstr(err.text, "did not end"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_repository_is_encrypted_from_its_beginning),
	        cmocka_unit_test(a_command_is_seen_in_no_arguments_and_by_none_of_its_children),
	        cmocka_unit_test(a_command_that_closes_its_output_and_stays_is_ended),
	        TEST(an_opening_that_broke_off_anywhere_is_made_good_by_the_next),
	        TEST(no_key_and_a_wrong_key_are_two_errors),
	        TEST(a_key_for_a_repository_without_one_is_no_mistake_in_silence),
	        TEST(what_was_there_stays_readable_and_what_comes_unencrypted_does_not),
	        TEST(a_marker_by_somebody_else_is_passed_over),
	        TEST(an_encryption_that_broke_off_anywhere_is_completed_by_the_next),
	        TEST(another_key_opens_it_too),
	        TEST(a_new_data_key_seals_and_the_old_one_opens),
	        TEST(a_damaged_wrapping_is_said_when_no_other_opens),
	        TEST(what_else_lies_below_keys_is_passed_over),
	        TEST(many_may_open_it_at_once),
	        cmocka_unit_test(a_command_gives_a_key_and_its_failures_no_words_of_it),
	};

	return cmocka_run_group_tests(tests, files_begin, files_end);
}
