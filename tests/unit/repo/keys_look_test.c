/* keys_look_test.c — a repository that is encrypted, or gets a new data key, while others use it.
 */
#include "unit/repo/keyed.h"

#include "base/clock.h"

/* ---- what changes while it is in use ---- */

/* Another process that has the same place open; source NULL: without a key. */
static struct repo *second_open(struct fixture *f, const struct key_source *source)
{
	struct repo *repo = repo_new(open_place(f->loop, "mem:repo", false), f->blocks);
	struct repo_open open = {.repo = repo};

	if (source)
		repo->key_source = *source;
	assert_true(RUN(f->loop, repo_open_start, &open));
	return repo;
}

static enum err_code put_into(struct fixture *f, struct repo *repo, const char *name,
                              struct err *ret)
{
	struct object_write write = {.repo = repo,
	                             .name = name,
	                             .kind = SEALED_NOTE,
	                             .class = GATE_WAL,
	                             .bytes = "text",
	                             .length = 4};

	RUN(f->loop, object_write_start, &write);
	*ret = write.op.err;
	return ret->code;
}

static enum err_code get_from(struct fixture *f, struct repo *repo, const char *name,
                              struct err *ret)
{
	struct object_read read = {.repo = repo, .name = name, .bytes_max = 1000};

	RUN(f->loop, object_read_start, &read);
	*ret = read.op.err;
	buf_release(&read.content);
	return ret->code;
}

/* As if its last look was so long ago. */
static void age(struct repo *repo, int64_t ms)
{
	assert_true(repo->looked_us > 0);
	repo->looked_us = clock_boot_us() - ms * 1000;
}

static unsigned lists(void)
{
	return store_mem_calls("repo", STORE_LIST);
}

static bool is_there(struct fixture *f, const char *name)
{
	struct store_head head = {.store = f->store, .name = name};

	return RUN(f->loop, store_head_start, &head);
}

static void who_has_no_key_stores_nothing_more_once_it_is_encrypted(void **state)
{
	struct fixture *f = *state;
	struct repo *other;
	struct err err;
	uint64_t plain;
	unsigned before;

	assert_int_equal(init_with(f, NULL, &plain, &err), ERR_NONE);
	other = second_open(f, NULL);
	before = lists();
	for (unsigned i = 0; i < 5; i++) {
		char name[] = "main/g/note/0";

		name[strlen(name) - 1] += (char)i;
		assert_int_equal(put_into(f, other, name, &err), ERR_NONE);
	}
	assert_int_equal(lists(), before); /* a look that is fresh does for all of them */
	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	age(other, KEYS_FRESH_MS + 1);
	before = lists();
	assert_int_equal(put_into(f, other, "main/g/note/6", &err), ERR_REFUSED);
	assert_non_null(strstr(err.text, "was encrypted"));
	assert_non_null(strstr(err.hint, "key_file"));
	assert_false(is_there(f, "main/g/note/6"));
	assert_int_equal(put_into(f, other, "main/g/note/6", &err), ERR_REFUSED);
	assert_int_equal(lists(), before + 1); /* nor is each refusal a request */
	assert_int_equal(get_from(f, other, "main/g/note/0", &err), ERR_NONE);
	assert_true(keys_state(other).shut);
	/* The key comes with a reload. */
	repo_set_key_source(other, &source_b);
	assert_int_equal(put_into(f, other, "main/g/note/6", &err), ERR_STORE);
	assert_non_null(strstr(err.text, "the wrong one"));
	assert_true(keys_state(other).shut);
	repo_set_key_source(other, &source_a);
	assert_int_equal(put_into(f, other, "main/g/note/6", &err), ERR_NONE);
	assert_false(keys_state(other).shut);
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
	for (unsigned i = 0; i < 7; i += 2) {
		char name[] = "main/g/note/0";

		name[strlen(name) - 1] += (char)i;
		assert_int_equal(get_object(f, name, &err), ERR_NONE);
		assert_int_equal(get_from(f, other, name, &err), ERR_NONE);
	}
	repo_free(other);
}

static void who_has_the_key_already_goes_over_by_itself(void **state)
{
	struct fixture *f = *state;
	struct repo *other;
	struct keys_look look = {0};
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, NULL, &plain, &err), ERR_NONE);
	other = second_open(f, NULL);
	repo_set_key_source(other, &source_a); /* a key is set, and it is not encrypted yet */
	assert_int_equal(put_into(f, other, "main/g/note/1", &err), ERR_NONE);
	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	look.repo = other;
	assert_true(RUN(f->loop, keys_look_start, &look));
	assert_true(keys_state(other).key != 0);
	assert_int_equal(put_into(f, other, "main/g/note/2", &err), ERR_NONE);
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/2", &err), ERR_NONE);
	repo_free(other);
}

/* An encryption that waits, and meanwhile, after ms, somebody who stores without a key. */
struct meanwhile {
	struct op op;
	struct repo_init *init;
	struct nap nap;
	struct store_head head;
	struct object_write write;
	bool stale;
};

static void meanwhile_step(struct op *op)
{
	struct meanwhile *m = container_of(op, struct meanwhile, op);

	if (op->state == 0 || (op->state == 2 && op_failed(&m->head.op))) {
		nap_start(op, &m->nap, 10);
		return op_wait(op, 1);
	}
	if (op->state == 1) { /* until it says so */
		m->head = (struct store_head){.store = m->write.repo->store,
		                              .name = "keys/plain/000001"};
		store_head_start(op, &m->head);
		return op_wait(op, 2);
	}
	if (op->state == 2) {
		if (m->stale)
			age(m->write.repo, KEYS_FRESH_MS + 1);
		object_write_start(op, &m->write);
		return op_wait(op, 3);
	}
	op_done(op);
}
static const struct op_type meanwhile_type = {.name = "meanwhile", .step = meanwhile_step};

struct both {
	struct op op;
	struct meanwhile *meanwhile;
};

static void both_step(struct op *op)
{
	struct both *both = container_of(op, struct both, op);

	if (op->state == 1)
		return op_done(op);
	repo_init_start(op, both->meanwhile->init);
	op_start(op, &both->meanwhile->op, &meanwhile_type);
	op_wait(op, 1);
}
static const struct op_type both_type = {.name = "both", .step = both_step};

static enum err_code encrypt_meanwhile(struct fixture *f, struct repo *other, bool stale,
                                       struct err *ret)
{
	struct meanwhile meanwhile = {.stale = stale,
	                              .write = {.repo = other,
	                                        .name = "main/g/note/9",
	                                        .kind = SEALED_NOTE,
	                                        .class = GATE_WAL,
	                                        .bytes = "text",
	                                        .length = 4}};
	struct both both = {.meanwhile = &meanwhile};

	fixture_reopen(f);
	f->repo->key_source = source_a;
	meanwhile.init = repo_init_new(f->repo);
	repo_init_wait(meanwhile.init, 1000);
	loop_run_op(f->loop, &both.op, &both_type);
	assert_int_equal(repo_init_op(meanwhile.init)->err.code, ERR_NONE);
	repo_init_free(meanwhile.init);
	*ret = meanwhile.write.op.err;
	return ret->code;
}

static void what_is_stored_while_it_waits_stays_readable(void **state)
{
	struct fixture *f = *state;
	struct repo *other;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, NULL, &plain, &err), ERR_NONE);
	other = second_open(f, NULL);
	assert_int_equal(encrypt_meanwhile(f, other, false, &err), ERR_NONE);
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/9", &err), ERR_NONE);
	repo_free(other);
}

static void who_looks_while_it_waits_stores_nothing_more(void **state)
{
	struct fixture *f = *state;
	struct repo *other;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, NULL, &plain, &err), ERR_NONE);
	other = second_open(f, NULL);
	assert_int_equal(encrypt_meanwhile(f, other, true, &err), ERR_REFUSED);
	assert_non_null(strstr(err.text, "is being encrypted"));
	assert_false(is_there(f, "main/g/note/9"));
	repo_free(other);
}

/* A put that takes long: the look was fresh when it began, and is not any more when it is there. */
struct slow {
	struct op op;
	struct object_write write;
	struct ager {
		struct op op;
		struct repo *repo;
		struct nap nap;
		unsigned puts;
	} ager;
};

static void ager_step(struct op *op)
{
	struct ager *ager = container_of(op, struct ager, op);

	if (store_mem_calls("repo", STORE_PUT) == ager->puts) {
		nap_start(op, &ager->nap, 5);
		return op_wait(op, 1);
	}
	age(ager->repo, KEYS_FRESH_MS + 1);
	op_done(op);
}
static const struct op_type ager_type = {.name = "ager", .step = ager_step};

static void slow_step(struct op *op)
{
	struct slow *slow = container_of(op, struct slow, op);

	if (op->state == 1)
		return op_done(op);
	slow->ager.puts = store_mem_calls("repo", STORE_PUT);
	object_write_start(op, &slow->write);
	op_start(op, &slow->ager.op, &ager_type);
	op_wait(op, 1);
}
static const struct op_type slow_type = {.name = "slow", .step = slow_step};

static enum err_code put_slowly(struct fixture *f, struct repo *repo, const char *name,
                                struct err *ret)
{
	struct slow slow = {.ager = {.repo = repo},
	                    .write = {.repo = repo,
	                              .name = name,
	                              .kind = SEALED_NOTE,
	                              .class = GATE_WAL,
	                              .bytes = "text",
	                              .length = 4}};

	store_mem_plan("repo", &(struct mem_fault){.verb = STORE_PUT,
	                                           .effect = MEM_DELAY,
	                                           .nth = 1,
	                                           .part = "note",
	                                           .ms = 400});
	age(repo, 0);
	loop_run_op(f->loop, &slow.op, &slow_type);
	store_mem_plan_clear("repo");
	*ret = slow.write.op.err;
	return ret->code;
}

static void what_took_long_to_store_is_not_said_to_be_stored(void **state)
{
	struct fixture *f = *state;
	struct repo *other;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, NULL, &plain, &err), ERR_NONE);
	other = second_open(f, NULL);
	assert_int_equal(put_slowly(f, other, "main/g/note/1", &err), ERR_NONE); /* nobody did */
	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	assert_int_equal(put_slowly(f, other, "main/g/note/2", &err), ERR_REFUSED);
	assert_true(is_there(f, "main/g/note/2")); /* unencrypted, and nobody believes in it */
	/* Nor when it is found there the next time. */
	age(other, KEYS_FRESH_MS + 1);
	assert_int_equal(put_into(f, other, "main/g/note/2", &err), ERR_REFUSED);
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/2", &err), ERR_DAMAGED);
	assert_non_null(strstr(err.hint, "remove this object"));
	repo_free(other);
}

static void an_encryption_that_was_broken_off_keeps_it_shut_until_it_is_done(void **state)
{
	const struct mem_fault fail = {.verb = STORE_PUT,
	                               .effect = MEM_FAIL,
	                               .nth = MEM_EVERY,
	                               .part = "keys/plain/000002",
	                               .code = ERR_IO};
	struct fixture *f = *state;
	struct repo_init *init;
	struct driver_op driver = {.start = start_init};
	struct repo *other;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, NULL, &plain, &err), ERR_NONE);
	put_object(f, "main/g/note/1", "text");
	store_mem_plan("repo", &fail);
	fixture_reopen(f);
	f->repo->key_source = source_a;
	driver.child = init = repo_init_new(f->repo);
	repo_init_wait(init, 1);
	loop_run_op(f->loop, &driver.op, &driver_type);
	assert_int_equal(repo_init_op(init)->err.code, ERR_IO);
	repo_init_free(init);
	store_mem_plan_clear("repo");
	assert_int_equal(open_with(f, &source_a, &err), ERR_STORE);
	assert_non_null(strstr(err.text, "is being encrypted"));
	other = second_open(f, NULL); /* to read; a marker without a key closes to what comes */
	assert_int_equal(get_from(f, other, "main/g/note/1", &err), ERR_NONE);
	assert_int_equal(put_into(f, other, "main/g/note/2", &err), ERR_REFUSED);
	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
	repo_free(other);
}

static void a_new_data_key_is_taken_by_those_who_read_and_those_who_look(void **state)
{
	struct fixture *f = *state;
	struct repo *reader, *writer;
	struct keys_wrap wrap;
	struct keys_look look = {0};
	struct object_stat stat = {.name = "main/g/note/2"};
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	reader = second_open(f, &source_a);
	writer = second_open(f, &source_a);
	wrap_with(f, &source_a, true, &wrap);
	put_object(f, "main/g/note/2", "text");
	assert_int_equal(get_from(f, reader, "main/g/note/2", &err), ERR_NONE);
	assert_true(keys_state(reader).key == wrap.made);
	assert_true(keys_state(writer).key != wrap.made);
	stat.repo = look.repo = writer;
	assert_true(RUN(f->loop, object_stat_start, &stat));
	assert_true(keys_state(writer).key == wrap.made);
	wrap_with(f, &source_a, true, &wrap);
	assert_true(RUN(f->loop, keys_look_start, &look));
	assert_true(keys_state(writer).key == wrap.made);
	repo_free(reader);
	repo_free(writer);
}

static void a_new_data_key_that_is_not_opened_leaves_the_one_before_in_use(void **state)
{
	struct fixture *f = *state;
	struct repo *other;
	struct keys_wrap wrap;
	struct keys_look look = {0};
	struct keys_state before;
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	other = second_open(f, &source_a);
	before = keys_state(other);
	wrap_with(f, &source_b, true, &wrap);
	look.repo = other;
	assert_true(RUN(f->loop, keys_look_start, &look));
	assert_true(keys_state(other).lags);
	assert_true(keys_state(other).key == before.key);
	assert_int_equal(put_into(f, other, "main/g/note/1", &err), ERR_NONE);
	put_object(f, "main/g/note/2", "text");
	assert_int_equal(get_from(f, other, "main/g/note/2", &err), ERR_STORE);
	repo_set_key_source(other, &source_b);
	assert_int_equal(put_into(f, other, "main/g/note/3", &err), ERR_NONE);
	assert_false(keys_state(other).lags);
	assert_true(keys_state(other).key == wrap.made);
	for (unsigned i = 1; i <= 3; i++) {
		char name[] = "main/g/note/0";

		name[strlen(name) - 1] += (char)i;
		assert_int_equal(get_object(f, name, &err), ERR_NONE);
		assert_int_equal(get_from(f, other, name, &err), ERR_NONE);
	}
	repo_free(other);
}

/* A server has them in its memory as long as it runs: then it says so, and goes on. */
static void data_keys_that_are_gone_are_said(void **state)
{
	struct fixture *f = *state;
	struct keys_look look = {0};
	char name[NAME_BYTES];
	const char *names[] = {name};
	struct err err;
	uint64_t plain;

	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
	name_key(name, keys_state(f->repo).key, 1);
	assert_int_equal(remove_names(f->store, names, 1), ERR_NONE);
	look.repo = f->repo;
	assert_false(RUN(f->loop, keys_look_start, &look));
	assert_non_null(strstr(look.op.err.text, "its data keys are gone"));
	assert_int_equal(get_object(f, "probe/000001", &err), ERR_NONE);
	assert_int_equal(put_into(f, f->repo, "main/g/note/3", &err), ERR_NONE);
}

/* Who opens it after seawall.json is there and before its first key is. */
static void a_new_repository_takes_nothing_unencrypted_before_its_first_key(void **state)
{
	const struct mem_fault fail = {.verb = STORE_PUT,
	                               .effect = MEM_FAIL,
	                               .nth = MEM_EVERY,
	                               .part = "keys/",
	                               .code = ERR_IO};
	struct fixture *f = *state;
	struct repo *other;
	struct err err;
	uint64_t plain;

	store_mem_plan("repo", &fail);
	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_IO);
	store_mem_plan_clear("repo");
	other = second_open(f, NULL);
	assert_int_equal(put_into(f, other, "main/g/note/1", &err), ERR_REFUSED);
	assert_non_null(strstr(err.text, "is being encrypted"));
	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	repo_set_key_source(other, &source_a);
	assert_int_equal(put_into(f, other, "main/g/note/1", &err), ERR_NONE);
	assert_int_equal(open_with(f, &source_a, &err), ERR_NONE);
	assert_int_equal(get_object(f, "main/g/note/1", &err), ERR_NONE);
	repo_free(other);
}

/* A command that fails is not run at each look. */
static void a_command_that_did_not_help_is_not_asked_at_once_again(void **state)
{
	char command[64];
	const char *log = file_of("");
	const struct key_source source = {.kind = KEY_SOURCE_COMMAND, .what = command};
	struct fixture *f = *state;
	struct keys_look look = {0};
	struct keys_wrap wrap;
	struct repo *other;
	AUTO_BUF struct buf text = {0};
	struct err err = {0};
	uint64_t plain;

	snprintf(command, sizeof(command), "echo >>%s; exit 1", log);
	buf_init(&text, 1000);
	assert_int_equal(init_with(f, &source_a, &plain, &err), ERR_NONE);
	other = second_open(f, &source_a);
	wrap_with(f, &source_b, true, &wrap);
	repo_set_key_source(other, &source);
	look.repo = other;
	assert_false(RUN(f->loop, keys_look_start, &look));
	for (unsigned i = 0; i < 3; i++)
		RUN(f->loop, keys_look_start, &look);
	assert_true(file_read_all(log, &text, &err));
	assert_string_equal(buf_text(&text), "\n");
	assert_int_equal(put_into(f, other, "main/g/note/1", &err), ERR_NONE);
	repo_set_key_source(other, &source_b); /* another reload */
	assert_int_equal(put_into(f, other, "main/g/note/2", &err), ERR_NONE);
	assert_true(keys_state(other).key == wrap.made);
	unlink(log);
	repo_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(who_has_no_key_stores_nothing_more_once_it_is_encrypted),
	        TEST(who_has_the_key_already_goes_over_by_itself),
	        TEST(what_is_stored_while_it_waits_stays_readable),
	        TEST(who_looks_while_it_waits_stores_nothing_more),
	        TEST(what_took_long_to_store_is_not_said_to_be_stored),
	        TEST(an_encryption_that_was_broken_off_keeps_it_shut_until_it_is_done),
	        TEST(a_new_data_key_is_taken_by_those_who_read_and_those_who_look),
	        TEST(a_new_data_key_that_is_not_opened_leaves_the_one_before_in_use),
	        TEST(data_keys_that_are_gone_are_said),
	        TEST(a_new_repository_takes_nothing_unencrypted_before_its_first_key),
	        TEST(a_command_that_did_not_help_is_not_asked_at_once_again),
	};

	return cmocka_run_group_tests(tests, files_begin, files_end);
}
