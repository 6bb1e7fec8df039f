/* repo_test.c — a repository is made, found again, and refused when it is none. */
#include "unit/repo/place.h"

#include <stdio.h>

#include "repo/object.h"

static enum err_code open_repo(struct fixture *f, struct err *ret)
{
	struct repo_open open = {.repo = f->repo};

	RUN(f->loop, repo_open_start, &open);
	*ret = open.op.err;
	return ret->code;
}

static void start_init(struct op *parent, void *init)
{
	repo_init_start(parent, init);
}

static enum err_code init_repo(struct fixture *f, struct err *ret)
{
	struct repo_init *init = repo_init_new(f->repo);
	struct driver_op driver = {.start = start_init, .child = init};

	loop_run_op(f->loop, &driver.op, &driver_type);
	*ret = repo_init_op(init)->err;
	repo_init_free(init);
	return ret->code;
}

static void a_repository_is_made_and_found_again(void **state)
{
	struct fixture *f = *state;
	struct err err;
	char id[33];

	assert_int_equal(open_repo(f, &err), ERR_STORE);
	assert_non_null(strstr(err.text, "no repository"));
	assert_non_null(strstr(err.hint, "init"));
	assert_int_equal(init_repo(f, &err), ERR_NONE);
	assert_true(f->repo->opened);
	assert_int_equal(strlen(f->repo->id), 32);
	assert_true(f->repo->created_us > 0);
	memcpy(id, f->repo->id, sizeof(id));
	assert_page(f->store, "", NULL, 0, "probe/000001 seawall.json");
	fixture_reopen(f);
	assert_int_equal(open_repo(f, &err), ERR_NONE);
	assert_string_equal(f->repo->id, id);
	fixture_reopen(f);
	assert_int_equal(init_repo(f, &err), ERR_NONE); /* twice is success */
	assert_string_equal(f->repo->id, id);
	assert_page(f->store, "", NULL, 0, "probe/000001 seawall.json");
}

/* Cut off at each call to the store, it is completed by the next one. */
static void an_init_that_broke_off_anywhere_is_completed_by_the_next(void **state)
{
	static const enum store_verb verbs[] = {STORE_PUT, STORE_GET, STORE_LIST};
	struct fixture *f = *state;
	struct err err;
	unsigned failed = 0;

	for (unsigned v = 0; v < ARRAY_LENGTH(verbs); v++)
		for (unsigned n = 1;; n++) {
			struct mem_fault fault = {
			        .verb = verbs[v], .effect = MEM_FAIL, .nth = n, .code = ERR_IO};
			enum err_code code;

			repo_free(f->repo);
			store_mem_forget("repo");
			f->store = open_place(f->loop, "mem:repo", true);
			f->repo = repo_new(f->store, f->blocks);
			store_mem_plan("repo", &fault);
			code = init_repo(f, &err);
			store_mem_plan_clear("repo");
			if (code == ERR_NONE)
				break;
			failed++;
			fixture_reopen(f);
			assert_int_equal(init_repo(f, &err), ERR_NONE);
			assert_true(f->repo->opened);
		}
	assert_true(failed >= 8);
}

static void a_place_that_holds_something_else_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_int_equal(put_text(f->store, "holiday/photo.jpg", "x"), ERR_NONE);
	assert_int_equal(init_repo(f, &err), ERR_REFUSED);
	assert_non_null(strstr(err.text, "holiday/"));
	assert_page(f->store, "", NULL, 0, "holiday/photo.jpg");
}

static void a_seawall_json_that_is_none_is_refused(void **state)
{
	static const struct {
		const char *text, *says;
		enum err_code code;
	} cases[] = {
	        {"", "seawall.json", ERR_DAMAGED},
	        {"garbage", "seawall.json", ERR_DAMAGED},
	        {"{\"format\": 1}", "id", ERR_DAMAGED},
	        {"{\"format\": 1, \"id\": \"12\", \"created\": \"1\"}", "id", ERR_DAMAGED},
	        {"{\"format\": 2, \"something\": \"new\"}", "version 2", ERR_STORE},
	        {"{\"format\": \"1\"}", "format", ERR_DAMAGED},
	};
	static const char *const names[] = {"seawall.json"};
	struct fixture *f = *state;
	struct err err;

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		assert_int_equal(put_text(f->store, "seawall.json", cases[i].text), ERR_NONE);
		assert_int_equal(open_repo(f, &err), cases[i].code);
		assert_non_null(strstr(err.text, cases[i].says));
		assert_int_equal(init_repo(f, &err), cases[i].code);
		assert_int_equal(remove_names(f->store, names, 1), ERR_NONE);
	}
}

/* ---- generations ---- */

static const struct generation_facts facts = {
        .system_identifier = UINT64_C(7400000000000000001),
        .major = 15,
        .catalog_version = 202209061,
        .segment_bytes = 16 << 20,
        .block_bytes = 8192,
        .wal_block_bytes = 8192,
        .checksums = true,
        .time_zone = "Europe/Vienna",
};

static enum err_code open_generation(struct fixture *f, struct generation_open *open)
{
	open->repo = f->repo;
	open->cluster = "main";
	RUN(f->loop, generation_open_start, open);
	return open->op.err.code;
}

static void a_generation_is_made_once_and_found_again(void **state)
{
	struct fixture *f = *state;
	struct generation_open find = {.system_identifier = facts.system_identifier};
	struct generation_open make = {.make = true, .facts = facts};

	assert_int_equal(open_generation(f, &find), ERR_NOTFOUND);
	assert_int_equal(open_generation(f, &make), ERR_NONE);
	assert_true(make.begun);
	assert_string_equal(make.generation, "main/7400000000000000001-15-1");
	assert_int_equal(open_generation(f, &make), ERR_NONE);
	assert_false(make.begun);
	assert_int_equal(open_generation(f, &find), ERR_NONE);
	assert_string_equal(find.generation, make.generation);
	assert_memory_equal(&find.facts, &facts, sizeof(facts));
	find.system_identifier = 5;
	assert_int_equal(open_generation(f, &find), ERR_NOTFOUND);
}

static void another_identifier_begins_its_own_beside_it(void **state)
{
	struct fixture *f = *state;
	struct generation_open make = {.make = true, .facts = facts};
	struct generation_open any = {0};

	assert_int_equal(open_generation(f, &make), ERR_NONE);
	make.facts.system_identifier = 42;
	make.facts.major = 16;
	assert_int_equal(open_generation(f, &make), ERR_NONE);
	assert_true(make.begun);
	assert_string_equal(make.generation, "main/42-16-1");
	assert_int_equal(open_generation(f, &any), ERR_NONE); /* the one that was begun last */
	assert_string_equal(any.generation, "main/42-16-1");
	any.system_identifier = facts.system_identifier;
	assert_int_equal(open_generation(f, &any), ERR_NONE);
	assert_string_equal(any.generation, "main/7400000000000000001-15-1");
}

static void what_cannot_change_is_compared(void **state)
{
	struct fixture *f = *state;
	struct generation_open make = {.make = true, .facts = facts};
	struct generation_open other = {.make = true, .facts = facts};

	assert_int_equal(open_generation(f, &make), ERR_NONE);
	other.facts.segment_bytes = 64 << 20;
	assert_int_equal(open_generation(f, &other), ERR_REFUSED);
	assert_non_null(strstr(other.op.err.text, "segments of 16777216 bytes"));
	other.facts = facts;
	other.facts.checksums = false; /* pg_checksums can do that */
	assert_int_equal(open_generation(f, &other), ERR_NONE);
}

static void of_the_same_identifier_the_highest_number_counts(void **state)
{
	struct fixture *f = *state;
	struct generation_open make = {.make = true, .facts = facts};
	struct object_read read = {
	        .repo = f->repo, .name = "main/7400000000000000001-15-1/system", .bytes_max = 4096};
	struct object_write write = {.repo = f->repo,
	                             .name = "main/7400000000000000001-15-12/system",
	                             .kind = SEALED_SYSTEM,
	                             .class = GATE_WAL};

	assert_int_equal(open_generation(f, &make), ERR_NONE);
	assert_true(RUN(f->loop, object_read_start, &read));
	write.bytes = read.content.data;
	write.length = read.content.length;
	assert_true(RUN(f->loop, object_write_start, &write));
	buf_release(&read.content);
	assert_int_equal(open_generation(f, &make), ERR_NONE);
	assert_string_equal(make.generation, "main/7400000000000000001-15-12");
}

static void a_cluster_is_not_named_like_a_folder_of_the_repository(void **state)
{
	static const char *const bad[] = {"claim", "probe", "keys", "lease", "",
	                                  "Main",  "a/b",   "a.b",  "1a"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		struct generation_open open = {
		        .repo = f->repo, .cluster = bad[i], .make = true, .facts = facts};

		assert_false(RUN(f->loop, generation_open_start, &open));
		assert_int_equal(open.op.err.code, ERR_CONFIG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_repository_is_made_and_found_again),
	        TEST(an_init_that_broke_off_anywhere_is_completed_by_the_next),
	        TEST(a_place_that_holds_something_else_is_refused),
	        TEST(a_seawall_json_that_is_none_is_refused),
	        TEST(a_generation_is_made_once_and_found_again),
	        TEST(another_identifier_begins_its_own_beside_it),
	        TEST(what_cannot_change_is_compared),
	        TEST(of_the_same_identifier_the_highest_number_counts),
	        TEST(a_cluster_is_not_named_like_a_folder_of_the_repository),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
