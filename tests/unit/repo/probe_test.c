/* probe_test.c — what a store does is found out, kept, and decides how writers keep apart. */
#include "unit/repo/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "codec/json.h"
#include "repo/keys.h"
#include "repo/object.h"
#include "repo/probe.h"

static void start_init(struct op *parent, void *init)
{
	repo_init_start(parent, init);
}

static enum err_code init_repo(struct fixture *f, bool *ret_differs)
{
	struct repo_init *init = repo_init_new(f->repo);
	struct driver_op driver = {.start = start_init, .child = init};
	enum err_code code;

	loop_run_op(f->loop, &driver.op, &driver_type);
	code = repo_init_op(init)->err.code;
	*ret_differs = repo_init_differs(init);
	repo_init_free(init);
	return code;
}

static enum err_code open_repo(struct fixture *f)
{
	struct repo_open open = {.repo = f->repo};

	fixture_reopen(f);
	open.repo = f->repo;
	RUN(f->loop, repo_open_start, &open);
	return open.op.err.code;
}

static struct features probe_it(struct fixture *f, bool quick)
{
	struct probe probe = {.repo = f->repo, .quick = quick};

	assert_true(RUN(f->loop, probe_start, &probe));
	assert_true(probe.features.known && probe.features.range);
	assert_true(clock_now_us() - probe.features.measured_us < 60 * US_PER_S);
	return probe.features;
}

static struct features probe_lying(struct fixture *f, struct mem_lies lies)
{
	struct features features;

	store_mem_lie("repo", &lies);
	features = probe_it(f, false);
	store_mem_lie("repo", &(struct mem_lies){.create_only = MEM_HONOURED});
	return features;
}

static void a_good_store_is_found_good_and_left_clean(void **state)
{
	struct fixture *f = *state;
	struct features found = probe_it(f, false);

	assert_true(found.create_only && found.create_only_at_once && found.list_after_put &&
	            found.list_after_remove && found.removes);
	assert_false(found.versioned);
	assert_int_equal(found.clock_off_us, 0);
	assert_int_equal(features_safety(&found), STORE_CREATE_ONLY);
	assert_page(f->store, "", NULL, 0, "");
	assert_int_equal(store_mem_calls("repo", STORE_PUT), 2 + 4 * 8);
}

static void the_quick_part_is_a_few_requests_and_keeps_what_is_known(void **state)
{
	struct fixture *f = *state;
	struct features found = probe_it(f, true);

	assert_true(found.create_only && !found.create_only_at_once);
	assert_int_equal(store_mem_calls("repo", STORE_PUT), 2);
	f->repo->features = (struct features){.known = true, .create_only_at_once = true};
	found = probe_it(f, true);
	assert_true(found.create_only && found.create_only_at_once);
	assert_page(f->store, "", NULL, 0, "");
}

static void each_lie_of_a_store_is_found_out(void **state)
{
	struct fixture *f = *state;
	struct features found;

	found = probe_lying(f, (struct mem_lies){.create_only = MEM_IGNORED});
	assert_true(!found.create_only && !found.create_only_at_once && found.list_after_put);
	assert_int_equal(features_safety(&found), STORE_CLAIM);
	found = probe_lying(f, (struct mem_lies){.create_only = MEM_RACY});
	assert_true(found.create_only && !found.create_only_at_once);
	assert_int_equal(features_safety(&found), STORE_CLAIM);
	found = probe_lying(f, (struct mem_lies){.list_lacks_new = true});
	assert_true(found.create_only_at_once && !found.list_after_put && found.list_after_remove);
	assert_int_equal(features_safety(&found), STORE_CREATE_ONLY);
	found = probe_lying(f, (struct mem_lies){.list_keeps_removed = true});
	assert_true(found.list_after_put && !found.list_after_remove && found.removes);
	found = probe_lying(f,
	                    (struct mem_lies){.create_only = MEM_IGNORED, .list_lacks_new = true});
	assert_int_equal(features_safety(&found), STORE_ONE_WRITER);
	found = probe_lying(f,
	                    (struct mem_lies){.create_only = MEM_RACY, .list_keeps_removed = true});
	assert_int_equal(features_safety(&found), STORE_ONE_WRITER);
	found = probe_lying(f, (struct mem_lies){.keeps = true});
	assert_true(!found.removes && found.list_after_remove);
	found = probe_lying(f, (struct mem_lies){.versioned = true});
	assert_true(found.versioned);
}

static void the_stores_clock_is_compared_with_ours(void **state)
{
	static const int64_t offs_us[] = {7 * US_PER_S, -3600 * US_PER_S, 20 * 1000};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LENGTH(offs_us); i++) {
		struct features found =
		        probe_lying(f, (struct mem_lies){.clock_off_us = offs_us[i]});

		assert_true(llabs(found.clock_off_us - offs_us[i]) < US_PER_S);
		assert_true((found.clock_off_us < 0) == (offs_us[i] < 0));
	}
}

static void a_store_that_refuses_to_delete_says_why(void **state)
{
	struct fixture *f = *state;
	struct probe probe = {.repo = f->repo};

	store_mem_plan("repo", &(struct mem_fault){.verb = STORE_REMOVE,
	                                           .effect = MEM_FAIL,
	                                           .nth = MEM_EVERY,
	                                           .code = ERR_STORE});
	assert_true(RUN(f->loop, probe_start, &probe));
	assert_false(probe.features.removes);
	assert_int_equal(probe.not_removed.code, ERR_STORE);
	assert_int_equal(features_safety(&probe.features), STORE_CREATE_ONLY);
}

/* Whatever call fails for good, the probe says so and leaves nothing behind. */
static void a_probe_that_fails_anywhere_leaves_nothing(void **state)
{
	static const enum store_verb verbs[] = {STORE_PUT, STORE_GET, STORE_HEAD, STORE_LIST};
	struct fixture *f = *state;
	unsigned failed = 0;

	for (size_t v = 0; v < ARRAY_LENGTH(verbs); v++)
		for (unsigned n = 1;; n++) {
			struct probe probe = {.repo = f->repo};
			struct mem_fault fault = {
			        .verb = verbs[v], .effect = MEM_FAIL, .nth = n, .code = ERR_IO};
			bool done;

			store_mem_plan("repo", &fault);
			done = RUN(f->loop, probe_start, &probe);
			store_mem_plan_clear("repo");
			assert_page(f->store, "", NULL, 0, "");
			if (done)
				break;
			assert_int_equal(probe.op.err.code, ERR_IO);
			failed++;
		}
	assert_int_equal(failed, (2 + 4 * 8) + (1 + 4) + 2 + 2);
}

static void what_is_damaged_on_the_way_makes_a_store_unusable(void **state)
{
	struct fixture *f = *state;
	struct probe probe = {.repo = f->repo};

	store_mem_plan(
	        "repo",
	        &(struct mem_fault){.verb = STORE_GET, .effect = MEM_FLIP, .nth = 1, .bytes = 500});
	assert_false(RUN(f->loop, probe_start, &probe));
	assert_non_null(strstr(probe.op.err.text, "not what was written"));
	assert_page(f->store, "", NULL, 0, "");
}

/* Several at a time, with real threads behind them. */
struct probes {
	struct op op;
	struct probe probe[3];
};

static void probes_step(struct op *op)
{
	struct probes *probes = container_of(op, struct probes, op);

	if (op->state == 1)
		return op_done(op);
	for (size_t i = 0; i < ARRAY_LENGTH(probes->probe); i++)
		probe_start(op, &probes->probe[i]);
	op_wait(op, 1);
}

static const struct op_type probes_type = {.name = "probes", .step = probes_step};

static void probes_of_one_folder_at_once_disturb_nobody(void **state)
{
	char folder[] = "/tmp/seawall-probe-XXXXXX", url[64];
	struct fixture *f = *state;
	struct probes probes = {.op.state = 0};
	struct err err = {0};
	struct store *store;
	struct repo *repo;

	assert_non_null(mkdtemp(folder));
	snprintf(url, sizeof(url), "file://%s/repo", folder);
	store = open_place(f->loop, url, true);
	repo = repo_new(store, f->blocks);
	for (size_t i = 0; i < ARRAY_LENGTH(probes.probe); i++)
		probes.probe[i].repo = repo;
	loop_run_op(f->loop, &probes.op, &probes_type);
	for (size_t i = 0; i < ARRAY_LENGTH(probes.probe); i++) {
		assert_false(op_failed(&probes.probe[i].op));
		assert_int_equal(features_safety(&probes.probe[i].features), STORE_CREATE_ONLY);
		assert_true(probes.probe[i].features.list_after_put &&
		            probes.probe[i].features.list_after_remove &&
		            probes.probe[i].features.removes);
	}
	assert_page(store, "", NULL, 0, "");
	repo_free(repo);
	assert_true(file_remove_tree(folder, &err));
}

/* ---- kept in the repository ---- */

struct inits {
	struct op op;
	struct repo_init *init[2];
};

static void inits_step(struct op *op)
{
	struct inits *inits = container_of(op, struct inits, op);

	if (op->state == 1)
		return op_done(op);
	repo_init_start(op, inits->init[0]);
	repo_init_start(op, inits->init[1]);
	op_wait(op, 1);
}

static const struct op_type inits_type = {.name = "inits", .step = inits_step};

/* Whatever the store does: they draw different ids, and one of them is the repository's. */
static void two_inits_at_once_make_one_repository(void **state)
{
	static const enum mem_create_only kinds[] = {MEM_HONOURED, MEM_RACY, MEM_IGNORED};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		struct inits inits = {.op.state = 0};
		struct repo *other;

		repo_free(f->repo);
		store_mem_forget("repo");
		f->store = open_place(f->loop, "mem:repo", true);
		f->repo = repo_new(f->store, f->blocks);
		other = repo_new(open_place(f->loop, "mem:repo", false), f->blocks);
		store_mem_lie("repo", &(struct mem_lies){.create_only = kinds[i]});
		inits.init[0] = repo_init_new(f->repo);
		inits.init[1] = repo_init_new(other);
		loop_run_op(f->loop, &inits.op, &inits_type);
		assert_false(op_failed(repo_init_op(inits.init[0])));
		assert_false(op_failed(repo_init_op(inits.init[1])));
		assert_string_equal(f->repo->id, other->id);
		assert_int_equal(store_safety(f->store),
		                 kinds[i] == MEM_HONOURED ? STORE_CREATE_ONLY : STORE_CLAIM);
		repo_init_free(inits.init[0]);
		repo_init_free(inits.init[1]);
		repo_free(other);
	}
}

static void what_was_found_is_kept_and_read_by_who_opens(void **state)
{
	struct fixture *f = *state;
	bool differs;

	store_mem_lie("repo", &(struct mem_lies){.create_only = MEM_IGNORED, .versioned = true});
	assert_int_equal(init_repo(f, &differs), ERR_NONE);
	assert_int_equal(store_safety(f->store), STORE_CLAIM);
	assert_page(f->store, "probe/", NULL, 0, "probe/000001");
	assert_page(f->store, "seawall", NULL, 0, "seawall.json");
	assert_int_equal(open_repo(f), ERR_NONE);
	assert_true(f->repo->features.known && f->repo->features.versioned &&
	            !f->repo->features.create_only);
	assert_int_equal(store_safety(f->store), STORE_CLAIM);
	assert_int_equal(put_text(f->store, "main/x", "text"), ERR_NONE);
	assert_int_equal(put_text(f->store, "main/x", "other"), ERR_EXISTS);
}

static void a_store_that_has_changed_is_noted_again_by_the_next_init(void **state)
{
	struct fixture *f = *state;
	bool differs;

	assert_int_equal(init_repo(f, &differs), ERR_NONE);
	assert_int_equal(store_safety(f->store), STORE_CREATE_ONLY);
	assert_int_equal(init_repo(f, &differs), ERR_NONE);
	assert_false(differs);
	store_mem_lie("repo", &(struct mem_lies){.create_only = MEM_RACY});
	assert_int_equal(open_repo(f), ERR_NONE);
	assert_int_equal(store_safety(f->store), STORE_CREATE_ONLY);
	assert_int_equal(init_repo(f, &differs), ERR_NONE);
	assert_true(differs);
	assert_page(f->store, "probe/", NULL, 0, "probe/000001 probe/000002");
	assert_int_equal(open_repo(f), ERR_NONE);
	assert_int_equal(store_safety(f->store), STORE_CLAIM);
}

static void a_note_that_is_missing_or_damaged_means_claims(void **state)
{
	static const char *const name[] = {"probe/000001"};
	struct fixture *f = *state;
	bool differs;

	assert_int_equal(init_repo(f, &differs), ERR_NONE);
	assert_true(store_mem_damage("repo", name[0], 130));
	assert_int_equal(open_repo(f), ERR_NONE);
	assert_false(f->repo->features.known);
	assert_int_equal(store_safety(f->store), STORE_CLAIM);
	assert_int_equal(remove_names(f->store, name, 1), ERR_NONE);
	assert_int_equal(open_repo(f), ERR_NONE);
	assert_int_equal(store_safety(f->store), STORE_CLAIM);
	assert_int_equal(init_repo(f, &differs), ERR_NONE); /* measures, and notes it */
	assert_true(differs);
	assert_int_equal(store_safety(f->store), STORE_CREATE_ONLY);
}

static void a_note_that_cannot_be_reached_is_no_missing_one(void **state)
{
	struct fixture *f = *state;
	bool differs;

	assert_int_equal(init_repo(f, &differs), ERR_NONE);
	store_mem_plan("repo", &(struct mem_fault){.verb = STORE_LIST,
	                                           .effect = MEM_FAIL,
	                                           .nth = MEM_EVERY,
	                                           .part = "probe/",
	                                           .code = ERR_IO});
	assert_int_equal(open_repo(f), ERR_IO);
	assert_false(f->repo->opened);
}

/* ---- objects in a store that overwrites ---- */

struct two {
	struct op op;
	struct object_write write[2];
};

static void two_step(struct op *op)
{
	struct two *two = container_of(op, struct two, op);

	if (op->state == 1)
		return op_done(op);
	object_write_start(op, &two->write[0]);
	object_write_start(op, &two->write[1]);
	op_wait(op, 1);
}

static const struct op_type two_type = {.name = "two", .step = two_step};

static void write_two(struct fixture *f, const char *name, const char *a, const char *b,
                      enum err_code ret[2])
{
	const char *const text[2] = {a, b};
	struct two two = {.op.state = 0};

	for (unsigned i = 0; i < 2; i++)
		two.write[i] = (struct object_write){.repo = f->repo,
		                                     .name = name,
		                                     .kind = SEALED_NOTE,
		                                     .class = GATE_WAL,
		                                     .bytes = text[i],
		                                     .length = strlen(text[i])};
	loop_run_op(f->loop, &two.op, &two_type);
	ret[0] = two.write[0].op.err.code;
	ret[1] = two.write[1].op.err.code;
}

/* The same content is success for both, though its bytes differ (salt, time); of different contents
 * one is stored. Also encrypted, when digests do not stand in the claims' names. */
static void two_writers_of_an_object_lose_nothing(void **state)
{
	char path[] = "/tmp/seawall-key-XXXXXX";
	struct fixture *f = *state;
	int fd = mkstemp(path);
	bool differs;

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "KEY-A-0123456789abcdef0123456789ab\n") > 0);
	close(fd);
	store_mem_lie("repo", &(struct mem_lies){.create_only = MEM_IGNORED});
	for (unsigned encrypted = 0; encrypted < 2; encrypted++) {
		struct store_list list = {.prefix = "claim/main/x/"};
		char name[NAME_BYTES], digest[33];
		struct object_stat stat;
		enum err_code code[2];

		if (encrypted) {
			fixture_reopen(f);
			f->repo->key_source = (struct key_source){KEY_SOURCE_FILE, path};
		}
		assert_int_equal(init_repo(f, &differs), ERR_NONE);
		assert_int_equal(f->repo->keys != NULL, encrypted);
		snprintf(name, sizeof(name), "main/x/same%u", encrypted);
		write_two(f, name, "text", "text", code);
		assert_true(code[0] == ERR_NONE && code[1] == ERR_NONE);
		stat = (struct object_stat){.repo = f->repo, .name = name};
		assert_true(RUN(f->loop, object_stat_start, &stat));
		digest_text(&stat.sealed.digest, digest);
		list.store = f->store;
		assert_true(RUN(f->loop, store_list_start, &list));
		assert_true(list.count > 0);
		assert_int_equal(strstr(list.entry[list.count - 1].name, digest) == NULL,
		                 encrypted);
		store_list_release(&list);
		snprintf(name, sizeof(name), "main/x/other%u", encrypted);
		write_two(f, name, "text", "another text", code);
		assert_true((code[0] == ERR_NONE) != (code[1] == ERR_NONE));
		assert_true(code[0] == ERR_EXISTS || code[1] == ERR_EXISTS);
	}
	unlink(path);
}

/* ---- values ---- */

static void features_survive_their_json(void **state)
{
	struct features features = {.known = true,
	                            .create_only = true,
	                            .list_after_put = true,
	                            .range = true,
	                            .versioned = true,
	                            .clock_off_us = -5 * US_PER_S,
	                            .measured_us = 1234567},
	                again;
	AUTO_BUF struct buf text = {0};
	struct jval *root = jobject_new();
	struct err err = {0};

	(void)state;
	features_json(&features, root);
	buf_init(&text, BLOCK_BYTES);
	json_print(root, true, &text);
	jval_free(root);
	assert_true(features_read(&again, buf_text(&text), text.length, &err));
	assert_true(features_equal(&features, &again));
	assert_int_equal(again.clock_off_us, features.clock_off_us);
	assert_int_equal(again.measured_us, features.measured_us);
}

static void what_an_older_version_noted_is_understood(void **state)
{
	static const char old[] = "{\"create_only\": true, \"range\": true, \"list_after_put\": "
	                          "true, \"remove\": false}";
	static const char *const bad[] = {"", "[]", "{\"create_only\": 1}",
	                                  "{\"create_only\": true, \"range\": true, "
	                                  "\"list_after_put\": true, \"remove\": true, "
	                                  "\"clock_off_ms\": 9223372036854775807}"};
	struct features features;
	struct err err = {0};

	(void)state;
	assert_true(features_read(&features, old, strlen(old), &err));
	assert_int_equal(features_safety(&features), STORE_CREATE_ONLY);
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		assert_false(features_read(&features, bad[i], strlen(bad[i]), &err));
		assert_false(features.known);
		err_clear(&err);
	}
}

static void the_decision_for_every_combination(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		struct features features = {.known = true,
		                            .create_only = bits & 1,
		                            .create_only_at_once = bits & 2,
		                            .list_after_put = bits & 4,
		                            .list_after_remove = bits & 8};
		enum store_safety wanted = (bits & 3) == 3     ? STORE_CREATE_ONLY
		                           : (bits & 12) == 12 ? STORE_CLAIM
		                                               : STORE_ONE_WRITER;
		AUTO_BUF struct buf text = {0};
		char sentence[FEATURES_TEXT_BYTES];

		assert_int_equal(features_safety(&features), wanted);
		features_say(&features, sentence);
		assert_int_equal(strstr(sentence, "ONE WRITER ONLY") != NULL,
		                 wanted == STORE_ONE_WRITER);
		assert_int_equal(*features_advice(&features) == '\0', bits == 15);
		buf_init(&text, BLOCK_BYTES);
		features_tell(&features, "  ", &text);
		assert_int_equal(strstr(buf_text(&text), "ONE WRITER ONLY") != NULL,
		                 wanted == STORE_ONE_WRITER);
		assert_true(wanted == STORE_CREATE_ONLY || strstr(buf_text(&text), sentence));
	}
	assert_int_equal(features_safety(&(struct features){.known = false}), STORE_CLAIM);
	assert_string_equal(features_safety_name(STORE_ONE_WRITER), "one_writer");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	        TEST(a_good_store_is_found_good_and_left_clean),
	        TEST(the_quick_part_is_a_few_requests_and_keeps_what_is_known),
	        TEST(each_lie_of_a_store_is_found_out),
	        TEST(the_stores_clock_is_compared_with_ours),
	        TEST(a_store_that_refuses_to_delete_says_why),
	        TEST(a_probe_that_fails_anywhere_leaves_nothing),
	        TEST(what_is_damaged_on_the_way_makes_a_store_unusable),
	        TEST(probes_of_one_folder_at_once_disturb_nobody),
	        TEST(two_inits_at_once_make_one_repository),
	        TEST(what_was_found_is_kept_and_read_by_who_opens),
	        TEST(a_store_that_has_changed_is_noted_again_by_the_next_init),
	        TEST(a_note_that_is_missing_or_damaged_means_claims),
	        TEST(a_note_that_cannot_be_reached_is_no_missing_one),
	        TEST(two_writers_of_an_object_lose_nothing),
	        TEST(features_survive_their_json),
	        TEST(what_an_older_version_noted_is_understood),
	        TEST(the_decision_for_every_combination),
	};

	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
