/*
 * places_test.c — a cluster at two repositories, without a server: what one lacks, it gets, and
 * whatever goes wrong on the way is neither forgotten nor passed over.
 */
#include "../../src/job/copy_object.h"
#include "../../src/job/push.h"
#include "../../src/job/wal_fill.h"
#include "base/fault.h"
#include "base/clock.h"
#include "fault/world.h"
#include "job/adopt.h"
#include "loop/nap.h"
#include "repo/object.h"

static const char second_name[] = "fault-places-b";

enum { HISTORIES = 16, NAP_MS = 20 };

/* The world's cluster also at repository "b". */
struct places {
	struct world *world;
	struct repo *second;
	struct site b;
	char *state, *key;
};

static struct repo *second_open(struct world *world, const char *key_file)
{
	struct err err = {0};
	struct store *store;
	struct repo *repo;
	struct repo_init *init;

	assert_true(store_open(
	        world->loop,
	        &(struct store_options){.url = "mem:fault-places-b", .label = "b", .create = true},
	        &store, &err));
	repo = repo_new(store, world->site.blocks);
	if (key_file)
		repo->key_source = (struct key_source){KEY_SOURCE_FILE, key_file};
	init = repo_init_new(repo);
	run(world, start_init, init);
	assert_false(op_failed(repo_init_op(init)));
	repo_init_free(init);
	return repo;
}

static void places_begin_as(struct places *places, const struct mem_lies *lies, bool encrypted)
{
	struct world *world = world_new();

	*places = (struct places){.world = world, .state = folder_make()};
	places->key = path_join(places->state, "key");
	folder_write(places->state, "key", "a key of this repository, long enough\n", 38);
	store_mem_lie(second_name, lies);
	places->second = second_open(world, encrypted ? places->key : NULL);
	world->site.state = places->state;
	places->b = world->site;
	places->b.repo = places->second;
	places->b.repository = "b";
	places->b.first = &world->site;
	world->site.next = &places->b;
}

static void places_begin(struct places *places)
{
	places_begin_as(places, &(struct mem_lies){0}, false);
}

static void places_end(struct places *places)
{
	free(places->key);
	repo_free(places->second);
	store_mem_forget(second_name);
	folder_free(places->state);
	world_free(places->world);
}

/* Into that repository alone. */
static void archive_alone(struct world *world, const struct site *site, const char *name)
{
	struct site alone = *site;
	struct archiver *archiver;

	alone.next = NULL;
	archiver = archiver_new(&alone, 0);
	assert_int_equal(archive(world, archiver, name, NULL), ANSWER_STORED);
	archiver_end(world, archiver);
}

/* ---- fills ---- */

struct fills {
	struct op op;
	struct wal_fill fill[2];
	struct push_destination destination[2];
	unsigned count;
};

static void fills_step(struct op *op)
{
	struct fills *fills = container_of(op, struct fills, op);

	if (op->state == 1)
		return op_done(op);
	for (unsigned i = 0; i < fills->count; i++) {
		push_destination_init(&fills->destination[i]);
		fills->fill[i].destination = &fills->destination[i];
		wal_fill_start(op, &fills->fill[i]);
	}
	op_wait(op, 1);
}

static const struct op_type fills_type = {.name = "fills", .step = fills_step};

static void fills_release(struct fills *fills)
{
	for (unsigned i = 0; i < fills->count; i++) {
		wal_fill_release(&fills->fill[i]);
		push_destination_release(&fills->destination[i]);
	}
}

static void start_read(struct op *parent, void *what)
{
	object_read_start(parent, what);
}

static void assert_history(struct places *places, const char *cluster, uint32_t tli,
                           const char *text)
{
	struct object_read read = {
	        .repo = places->second, .kind = SEALED_HISTORY, .bytes_max = HISTORY_BYTES_MAX};
	char generation[NAME_GENERATION_MAX], name[NAME_BYTES];

	name_generation(generation, cluster, CRAFT_SYSTEM, 15, 1);
	name_history(name, generation, tli);
	read.name = name;
	run(places->world, start_read, &read);
	assert_false(op_failed(&read.op));
	assert_string_equal(buf_text(&read.content), text);
	buf_release(&read.content);
}

static void two_clusters_that_are_filled_up_at_once_get_each_its_own_history(void **state)
{
	static const char *const text[] = {"1\t0/500000\tmain\n", "1\t0/600000\tother\n"};
	struct places places;
	struct site other, other_b;
	struct site *first[2];
	struct fills fills = {.count = 2};

	(void)state;
	places_begin(&places);
	other = places.world->site;
	other_b = places.b;
	other.cluster = other_b.cluster = "other";
	other.next = &other_b;
	first[0] = &places.world->site;
	first[1] = &other;
	for (int i = 0; i < 2; i++) {
		for (uint32_t tli = 2; tli < 2 + HISTORIES; tli++) {
			char name[32];

			snprintf(name, sizeof(name), "%08X.history", tli);
			folder_ready(places.world->folder, name, text[i], strlen(text[i]));
			archive_alone(places.world, first[i], name);
		}
		fills.fill[i].first = first[i];
		fills.fill[i].target = first[i]->next;
	}
	loop_run_op(places.world->loop, &fills.op, &fills_type);
	for (int i = 0; i < 2; i++) {
		assert_false(op_failed(&fills.fill[i].op));
		assert_int_equal(fills.fill[i].filled, HISTORIES);
		for (uint32_t tli = 2; tli < 2 + HISTORIES; tli++)
			assert_history(&places, first[i]->cluster, tli, text[i]);
	}
	fills_release(&fills);
	places_end(&places);
}

static void start_adopt(struct op *parent, void *what)
{
	adopt_start(parent, what);
}

static void folder_done(const char *folder, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "pg_wal/archive_status/%s.done", name);
	folder_write(folder, path, "", 0);
}

/* Its pg_wal is another branch's, also where a repository lacks segments of those names. */
static void who_was_left_behind_fills_up_no_archive_that_was_begun_anew(void **state)
{
	struct places places;
	struct fills fills = {.count = 1};
	char *rightful = folder_new(CRAFT_SYSTEM);
	struct adopt adopt = {.folder = rightful, .new_generation = true};

	(void)state;
	places_begin(&places);
	archive_alone(places.world, &places.world->site, segment_text(0));
	archive_alone(places.world, &places.b, segment_text(0));
	for (unsigned i = 0; i < SEGMENTS; i++)
		folder_done(places.world->folder, segment_text(i));
	adopt.site = &places.world->site;
	run(places.world, start_adopt, &adopt);
	assert_false(op_failed(&adopt.op));
	adopt_release(&adopt);
	fills.fill[0].first = &places.world->site;
	fills.fill[0].target = &places.b;
	fills.fill[0].folder = places.world->folder;
	loop_run_op(places.world->loop, &fills.op, &fills_type);
	assert_int_equal(fills.fill[0].filled, 0);
	assert_false(op_failed(&fills.fill[0].op));
	assert_int_equal(fills.fill[0].missing, 0);
	fills_release(&fills);
	places_end(&places);
	folder_free(rightful);
}

/* ---- an archiver ---- */

static void start_stat(struct op *parent, void *what)
{
	object_stat_start(parent, what);
}

static bool second_has(struct places *places, const char *segment)
{
	struct object_stat stat = {.repo = places->second, .kind = SEALED_WAL};
	char generation[NAME_GENERATION_MAX], object[NAME_BYTES];
	struct walname name;

	assert_true(walname_parse(segment, &name));
	name_generation(generation, "main", CRAFT_SYSTEM, 15, 1);
	name_wal(object, generation, &name, NULL);
	stat.name = object;
	run(places->world, start_stat, &stat);
	return !op_failed(&stat.op);
}

static bool second_is_behind(const struct archiver *archiver)
{
	struct archiver_place_figures figures;

	assert_true(archiver_place(archiver, 1, &figures));
	return figures.behind;
}

static void start_nap(struct op *parent, void *what)
{
	nap_start(parent, what, NAP_MS);
}

static bool wait_until(struct places *places, bool (*so)(struct places *, const char *),
                       const char *segment)
{
	int64_t until_us = clock_mono_us() + INT64_C(1000) * WAIT_MS;
	struct nap nap = {0};

	while (!so(places, segment) && clock_mono_us() < until_us)
		run(places->world, start_nap, &nap);
	return so(places, segment);
}

/* What only one that is away has is lacking still when all others have been looked at. */
static void what_cannot_be_asked_is_filled_up_when_it_can(void **state)
{
	struct places places;
	struct archiver *archiver;

	(void)state;
	places_begin(&places);
	archive_alone(places.world, &places.world->site, segment_text(0));
	archive_alone(places.world, &places.b, segment_text(1));
	store_mem_plan(store_name, &(struct mem_fault){.verb = STORE_LIST,
	                                               .effect = MEM_FAIL,
	                                               .nth = MEM_EVERY,
	                                               .code = ERR_STORE});
	archiver = archiver_new(&places.world->site, 2);
	for (int i = 0; i < 10; i++) { /* the first fill ends, or nothing was to be seen of it */
		struct nap nap = {0};

		run(places.world, start_nap, &nap);
		assert_false(second_has(&places, segment_text(0)));
	}
	assert_true(second_is_behind(archiver));
	store_mem_plan_clear(store_name);
	assert_true(wait_until(&places, second_has, segment_text(0)));
	archiver_end(places.world, archiver);
	places_end(&places);
}

/* Not as soon as one has it, and not because nothing has failed yet. */
static void with_all_nothing_is_archived_before_the_last_has_it(void **state)
{
	struct places places;
	struct archiver *archiver;

	(void)state;
	places_begin(&places);
	places.world->site.acks = places.b.acks = 2;
	store_mem_plan(second_name, &(struct mem_fault){.verb = STORE_PUT,
	                                                .effect = MEM_DELAY,
	                                                .nth = 1,
	                                                .part = segment_text(0),
	                                                .ms = 300});
	archiver = archiver_new(&places.world->site, 0);
	assert_int_equal(archive(places.world, archiver, segment_text(0), NULL), ANSWER_STORED);
	assert_true(second_has(&places, segment_text(0)));
	archiver_end(places.world, archiver);
	places_end(&places);
}

/* Nor since 1970, from when its clock would count. */
static void who_is_away_and_lacks_nothing_does_not_lag(void **state)
{
	int64_t until_us = clock_mono_us() + INT64_C(1000) * WAIT_MS;
	struct archiver_place_figures figures;
	struct archiver *archiver;
	struct places places;
	struct err err = {0};

	(void)state;
	places_begin(&places);
	archiver = archiver_new(&places.world->site, 0);
	assert_int_equal(archive(places.world, archiver, segment_text(0), NULL), ANSWER_STORED);
	while (second_is_behind(archiver) && clock_mono_us() < until_us) {
		struct nap nap = {0};

		run(places.world, start_nap, &nap);
	}
	assert_false(second_is_behind(archiver));
	err_set(&err, ERR_NETWORK, "gone");
	site_note(&places.b, &err);
	assert_true(archiver_place(archiver, 1, &figures));
	assert_true(figures.away);
	assert_int_equal(figures.lag_segments, 0);
	assert_int_equal(figures.lag_bytes, 0);
	assert_int_equal(figures.lag_us, 0);
	site_note(&places.b, NULL);
	archiver_end(places.world, archiver);
	places_end(&places);
}

/* PostgreSQL goes on: so it is not from PostgreSQL's log that somebody hears of it. */
static void a_conflict_in_a_repository_that_is_late_is_told(void **state)
{
	struct places places;
	struct archiver *archiver;
	struct archiver_figures figures;
	struct craft other;

	(void)state;
	places_begin(&places);
	craft_init(&other, FIRST_SEGNO, 2);
	craft_filler(&other, 77);
	craft_fill(&other, 0);
	folder_ready(places.world->folder, segment_text(0), craft_segment(&other, 0),
	             CRAFT_SEGMENT_BYTES);
	archive_alone(places.world, &places.b, segment_text(0));
	craft_release(&other);
	folder_ready(places.world->folder, segment_text(0), craft_segment(&places.world->craft, 0),
	             CRAFT_SEGMENT_BYTES);
	store_mem_plan(second_name, &(struct mem_fault){.verb = STORE_PUT,
	                                                .effect = MEM_DELAY,
	                                                .nth = 1,
	                                                .part = segment_text(0),
	                                                .ms = 1000});
	archiver = archiver_new(&places.world->site, 0);
	assert_int_equal(archive(places.world, archiver, segment_text(0), NULL), ANSWER_STORED);
	archiver_figures(archiver, &figures);
	assert_int_equal(figures.failed, 0);
	world_settle(places.world);
	archiver_figures(archiver, &figures);
	assert_int_equal(figures.failed, 1);
	assert_int_equal(figures.last_error.code, ERR_EXISTS);
	assert_int_equal(figures.failing_since_us, 0);
	archiver_end(places.world, archiver);
	places_end(&places);
}

/* ---- generations ---- */

static void start_push(struct op *parent, void *what)
{
	push_start(parent, what);
}
static void adopt_anew(struct places *places, struct site *site, const char *folder)
{
	struct adopt adopt = {.site = site, .folder = folder, .new_generation = true};

	run(places->world, start_adopt, &adopt);
	assert_false(op_failed(&adopt.op));
	adopt_release(&adopt);
}

/* Into that repository, with the other one to be asked. */
static enum err_code archive_at(struct places *places, struct site *site, const char *name,
                                struct err *ret_err)
{
	char path[256];
	struct push_destination destination;
	struct push push = {.site = site,
	                    .destination = &destination,
	                    .folder = places->world->folder,
	                    .path = path};

	push_destination_init(&destination);
	snprintf(path, sizeof(path), "%s/pg_wal/%s", push.folder, name);
	assert_true(walname_parse(name, &push.name));
	run(places->world, start_push, &push);
	if (ret_err)
		*ret_err = push.op.err;
	push_destination_release(&destination);
	return push.op.err.code;
}

static void start_write(struct op *parent, void *what)
{
	owner_write_start(parent, what);
}
static void start_load(struct op *parent, void *what)
{
	catalog_load_start(parent, what);
}

/* How much of the generation's WAL, or notes about who may write, are there. */
static void load_of(struct places *places, struct repo *repo, uint32_t n, struct catalog *ret)
{
	char generation[NAME_GENERATION_MAX];
	struct catalog_load load = {.repo = repo,
	                            .generation = generation,
	                            .segment_bytes = CRAFT_SEGMENT_BYTES,
	                            .what = CATALOG_HISTORIES | CATALOG_WAL,
	                            .ret = ret};

	*ret = (struct catalog){0};
	name_generation(generation, "main", CRAFT_SYSTEM, 15, n);
	run(places->world, start_load, &load);
	assert_false(op_failed(&load.op));
}

static void assert_archived(struct places *places, struct repo *repo, uint32_t n, uint64_t segments)
{
	struct catalog catalog;

	load_of(places, repo, n, &catalog);
	assert_int_equal(catalog.segments, segments);
	catalog_release(&catalog);
}

static void forget_what_was_seen(struct places *places)
{
	places->world->site.seen_n = places->b.seen_n = 0;
}

static void a_repository_that_comes_later_has_the_number_and_the_fences_of_the_others(void **state)
{
	struct places places;
	struct owner_note fence = {.tli = 3, .kind = OWNER_FENCE, .other = 1, .position = 77};
	char generation[NAME_GENERATION_MAX];
	struct owner_write write = {.generation = generation, .note = fence};
	struct catalog notes;

	(void)state;
	places_begin(&places);
	places.world->site.next = NULL;
	for (int i = 0; i < 2; i++)
		adopt_anew(&places, &places.world->site, places.world->folder);
	name_generation(generation, "main", CRAFT_SYSTEM, 15, 2);
	write.repo = places.world->site.repo;
	run(places.world, start_write, &write);
	assert_false(op_failed(&write.op));
	places.world->site.next = &places.b;
	forget_what_was_seen(&places);
	assert_int_equal(archive_at(&places, &places.b, segment_text(0), NULL), ERR_NONE);
	assert_archived(&places, places.second, 2, 1);
	load_of(&places, places.second, 2, &notes);
	assert_non_null(owner_fence(&notes, 3, 78));
	assert_non_null(owner_first(&notes, 1));
	catalog_release(&notes);
	places_end(&places);
}

/* It was taken out of the configuration, and has come back. */
static void a_repository_that_has_missed_a_new_generation_takes_part_in_it(void **state)
{
	struct places places;
	struct fills fills = {.count = 1};

	(void)state;
	places_begin(&places);
	archive_alone(places.world, &places.world->site, segment_text(0));
	archive_alone(places.world, &places.b, segment_text(0));
	places.world->site.next = NULL;
	adopt_anew(&places, &places.world->site, places.world->folder);
	places.world->site.next = &places.b;
	forget_what_was_seen(&places);
	assert_int_equal(archive_at(&places, &places.world->site, segment_text(1), NULL), ERR_NONE);
	assert_int_equal(archive_at(&places, &places.b, segment_text(1), NULL), ERR_NONE);
	assert_archived(&places, places.second, 1, 1);
	assert_archived(&places, places.second, 2, 1);
	assert_int_equal(archive_at(&places, &places.world->site, segment_text(2), NULL), ERR_NONE);
	fills.fill[0].first = &places.b; /* which asks itself first, and not only itself */
	fills.fill[0].target = &places.b;
	places.b.next = &places.world->site;
	places.world->site.next = NULL;
	loop_run_op(places.world->loop, &fills.op, &fills_type);
	assert_false(op_failed(&fills.fill[0].op));
	assert_int_equal(fills.fill[0].filled, 1);
	assert_archived(&places, places.second, 2, 2);
	fills_release(&fills);
	places_end(&places);
}

static void an_archive_is_begun_when_all_others_have_said_whether_they_have_one(void **state)
{
	const struct mem_fault outage = {
	        .verb = STORE_LIST, .effect = MEM_FAIL, .nth = MEM_EVERY, .code = ERR_STORE};
	struct places places;
	static const char history[] = "1\t0/500000\tbefore\n";
	struct err err;

	(void)state;
	places_begin(&places);
	store_mem_plan(second_name, &outage);
	assert_int_equal(archive_at(&places, &places.world->site, segment_text(0), &err),
	                 ERR_STORE);
	assert_non_null(strstr(err.text, "before repository \"b\" has said whether it has one"));
	store_mem_plan_clear(second_name);
	site_note(&places.b, NULL);
	assert_int_equal(archive_at(&places, &places.world->site, segment_text(0), NULL), ERR_NONE);
	store_mem_plan(second_name, &outage);
	assert_int_equal(archive_at(&places, &places.world->site, segment_text(1), NULL), ERR_NONE);
	/* It was there when the other one was: what is new can only be new there too. */
	folder_free(places.world->folder);
	places.world->folder = folder_new(CRAFT_SYSTEM + 1);
	folder_ready(places.world->folder, "00000002.history", history, strlen(history));
	assert_int_equal(archive_at(&places, &places.world->site, "00000002.history", NULL),
	                 ERR_NONE);
	store_mem_plan_clear(second_name);
	places_end(&places);
}

static void a_new_generation_has_one_number_in_all_repositories(void **state)
{
	struct places places;

	(void)state;
	places_begin(&places);
	for (int i = 0; i < 2; i++)
		adopt_anew(&places, &places.b, places.world->folder);
	adopt_anew(&places, &places.world->site, places.world->folder);
	forget_what_was_seen(&places);
	assert_int_equal(archive_at(&places, &places.world->site, segment_text(0), NULL), ERR_NONE);
	assert_int_equal(archive_at(&places, &places.b, segment_text(0), NULL), ERR_NONE);
	assert_archived(&places, places.world->site.repo, 3, 1);
	assert_archived(&places, places.second, 3, 1);
	places_end(&places);
}

static void a_new_generation_is_begun_nowhere_when_one_repository_cannot_take_part(void **state)
{
	struct places places;
	struct adopt adopt = {.new_generation = true};
	struct catalog catalog;

	(void)state;
	places_begin(&places);
	archive_alone(places.world, &places.world->site, segment_text(0));
	store_mem_plan(second_name, &(struct mem_fault){.verb = STORE_LIST,
	                                                .effect = MEM_FAIL,
	                                                .nth = MEM_EVERY,
	                                                .code = ERR_STORE});
	adopt.site = &places.world->site;
	adopt.folder = places.world->folder;
	run(places.world, start_adopt, &adopt);
	assert_int_equal(adopt.op.err.code, ERR_STORE);
	adopt_release(&adopt);
	store_mem_plan_clear(second_name);
	load_of(&places, places.world->site.repo, 2, &catalog);
	assert_int_equal(catalog.notes, 0);
	catalog_release(&catalog);
	places_end(&places);
}

/* ---- copies ---- */

static void start_copy(struct op *parent, void *what)
{
	copy_object_start(parent, what);
}

/* A copy that ended before its object was there has left claims, which stay. */
static void what_a_copy_has_claimed_is_the_same_content_to_who_archives_it(void **state)
{
	struct places places;
	struct copy_object object = {0};
	struct gate transfers;
	struct walname name;
	char generation[NAME_GENERATION_MAX];

	(void)state;
	places_begin_as(&places, &(struct mem_lies){.create_only = MEM_IGNORED}, true);
	gate_init(&transfers, 4, 0);
	places.world->site.transfers = places.b.transfers = &transfers;
	/* too big to lie in a claim */
	places.world->site.wal_compression.kind = places.b.wal_compression.kind = SEALED_NONE;
	archive_alone(places.world, &places.world->site, segment_text(0));
	assert_true(walname_parse(segment_text(0), &name));
	name_generation(generation, "main", CRAFT_SYSTEM, 15, 1);
	name_wal(object.name, generation, &name, NULL);
	name_wal(object.target, generation, &name, NULL);
	object.from = &places.world->site;
	object.to = &places.b;
	store_mem_plan(second_name, &(struct mem_fault){.verb = STORE_PUT,
	                                                .effect = MEM_FAIL,
	                                                .nth = 3, /* a claim, that it is alone */
	                                                .part = segment_text(0),
	                                                .code = ERR_STORE});
	run(places.world, start_copy, &object);
	assert_int_equal(object.op.err.code, ERR_STORE);
	archive_alone(places.world, &places.b, segment_text(0));
	places_end(&places);
}

static void copy_one(struct places *places, struct site *from, struct site *to, struct err *ret)
{
	struct copy_object object = {.from = from, .to = to};
	struct gate transfers;
	struct walname name;
	char generation[NAME_GENERATION_MAX];

	gate_init(&transfers, 4, 0);
	places->world->site.transfers = places->b.transfers = &transfers;
	assert_true(walname_parse(segment_text(0), &name));
	name_generation(generation, "main", CRAFT_SYSTEM, 15, 1);
	name_wal(object.name, generation, &name, NULL);
	name_wal(object.target, generation, &name, NULL);
	run(places->world, start_copy, &object);
	places->world->site.transfers = places->b.transfers = NULL;
	*ret = object.op.err;
}

/* Somebody else encrypts the second one: what is stored there without a key is no success. */
static void nothing_is_stored_in_a_repository_that_was_encrypted_since(void **state)
{
	struct archiver_figures figures;
	struct archiver *archiver;
	struct places places;
	struct site alone;
	struct err err;

	(void)state;
	places_begin(&places);
	archive_alone(places.world, &places.world->site, segment_text(0));
	repo_free(second_open(places.world, places.key));
	places.second->looked_us = 1; /* long ago */
	copy_one(&places, &places.world->site, &places.b, &err);
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.text, "was encrypted"));
	alone = places.b;
	archiver = archiver_new(&alone, 0);
	assert_int_equal(archive(places.world, archiver, segment_text(1), NULL), ANSWER_FAILED);
	archiver_figures(archiver, &figures);
	assert_int_equal(figures.last_error.code, ERR_REFUSED);
	archiver_end(places.world, archiver);
	places_end(&places);
}

static void start_keys_load(struct op *parent, void *what)
{
	keys_load_start(parent, what);
}

static void start_wrap(struct op *parent, void *what)
{
	keys_wrap_start(parent, what);
}

static void a_copy_reads_what_a_newer_data_key_sealed(void **state)
{
	struct places places;
	struct site other;
	struct keys_load load = {0};
	struct keys_wrap wrap = {0};
	struct err err;

	(void)state;
	places_begin_as(&places, &(struct mem_lies){0}, true);
	other = places.b;
	wrap.repo = load.repo = other.repo = second_open(places.world, places.key);
	run(places.world, start_keys_load, &load);
	assert_int_equal(load.op.err.code, ERR_NONE);
	wrap.load = &load;
	wrap.wrapper = other.repo->wrapper;
	wrap.make = true;
	run(places.world, start_wrap, &wrap);
	assert_int_equal(wrap.op.err.code, ERR_NONE);
	keys_load_release(&load);
	archive_alone(places.world, &other, segment_text(0));
	assert_true(keys_state(places.second).key != wrap.made);
	copy_one(&places, &places.b, &places.world->site, &err);
	assert_string_equal(err.text, "");
	assert_true(keys_state(places.second).key == wrap.made);
	repo_free(other.repo);
	places_end(&places);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(two_clusters_that_are_filled_up_at_once_get_each_its_own_history),
	        cmocka_unit_test(who_was_left_behind_fills_up_no_archive_that_was_begun_anew),
	        cmocka_unit_test(what_cannot_be_asked_is_filled_up_when_it_can),
	        cmocka_unit_test(with_all_nothing_is_archived_before_the_last_has_it),
	        cmocka_unit_test(who_is_away_and_lacks_nothing_does_not_lag),
	        cmocka_unit_test(a_conflict_in_a_repository_that_is_late_is_told),
	        cmocka_unit_test(
	                a_repository_that_comes_later_has_the_number_and_the_fences_of_the_others),
	        cmocka_unit_test(a_repository_that_has_missed_a_new_generation_takes_part_in_it),
	        cmocka_unit_test(
	                an_archive_is_begun_when_all_others_have_said_whether_they_have_one),
	        cmocka_unit_test(a_new_generation_has_one_number_in_all_repositories),
	        cmocka_unit_test(
	                a_new_generation_is_begun_nowhere_when_one_repository_cannot_take_part),
	        cmocka_unit_test(what_a_copy_has_claimed_is_the_same_content_to_who_archives_it),
	        cmocka_unit_test(nothing_is_stored_in_a_repository_that_was_encrypted_since),
	        cmocka_unit_test(a_copy_reads_what_a_newer_data_key_sealed),
	};

	fault_hurry(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
