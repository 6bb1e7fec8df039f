/*
 * matrix_test.c — every fault of a store at every call of push, fetch, backup and restore, by plan.
 *
 * Each story runs with its n-th call of a verb spoilt, for n = 1, 2 … until it comes through
 * without meeting the fault. Whatever fails: what was acknowledged can be read back, nothing half
 * is visible, nothing half done could be started, the error names the repository and what could not
 * be done, and the next run, without the fault, completes it. What can be survived is survived
 * without a word. The number of points hit is printed, and pinned: an empty loop proves nothing.
 */
#include "base/fault.h"
#include "fault/world.h"

#include "../../src/job/backup_copy.h"
#include "job/restore.h"

enum { FILES = 6, FILE_BYTES = 30000 };

/* Under ThreadSanitizer, where one point takes long, some shapes are enough. */
#ifdef __SANITIZE_THREAD__
enum { SHAPE_STEP = 4 };
#else
enum { SHAPE_STEP = 1 };
#endif

/* What happens to one call, and whether nobody is to notice. */
struct shape {
	const char *name;
	struct mem_fault fault;
	bool survived;
	bool reading; /* only of a get */
};

static const struct shape shapes[] = {
        {"refused", {.effect = MEM_FAIL, .code = ERR_STORE}, false, false},
        {"no space left", {.effect = MEM_FAIL, .code = ERR_FULL}, false, false},
        {"broken off", {.effect = MEM_FAIL, .code = ERR_NETWORK}, true, false},
        {"out of time", {.effect = MEM_FAIL, .code = ERR_TIMEOUT}, true, false},
        {"answer lost", {.effect = MEM_LOSE_ANSWER, .code = ERR_NETWORK}, true, false},
        {"done and refused", {.effect = MEM_LOSE_ANSWER, .code = ERR_STORE}, false, false},
        {"slow", {.effect = MEM_DELAY, .ms = 5}, true, false},
        {"cut short", {.effect = MEM_CUT, .bytes = 60}, true, true},
        {"front flipped", {.effect = MEM_FLIP, .bytes = 40}, true, true},
        {"middle flipped", {.effect = MEM_FLIP, .bytes = 2000}, true, true},
};

static const char *const verb_names[STORE_VERBS] = {"put", "get", "list", "head", "remove"};

/* The repository in the world's place behind a new handle, as a new process would have it. */
static void world_reopen(struct world *world)
{
	repo_free(world->repo);
	world->repo = NULL;
	assert_true(world_open_repo(world, false));
}

struct point {
	const struct shape *shape;
	enum store_verb verb;
	unsigned nth, before;
};

static void point_plan(struct point *point)
{
	struct mem_fault fault = point->shape->fault;

	fault.verb = point->verb;
	fault.nth = point->nth;
	point->before = store_mem_calls(store_name, point->verb);
	store_mem_plan(store_name, &fault);
}

/* Ends the fault; whether it was met. */
static bool point_met(const struct point *point)
{
	store_mem_plan_clear(store_name);
	return store_mem_calls(store_name, point->verb) - point->before >= point->nth;
}

static void assert_says(const struct point *point, const struct err *err)
{
	if (!strstr(err->text, "could not") || !strstr(err->text, "repository \"test\"") ||
	    !strstr(err->text, "by plan"))
		fail_msg("%s at %s %u: \"%s\"", point->shape->name, verb_names[point->verb],
		         point->nth, err->text);
}

/* Runs story(context, point) for each shape and verb until it does not meet the fault any more; it
 * says whether it did. least: so many points are recorded. */
static void everywhere(const char *name, unsigned least,
                       bool (*story)(void *context, struct point *point), void *context)
{
	unsigned hit = 0;

	for (size_t s = 0; s < ARRAY_LENGTH(shapes); s += SHAPE_STEP)
		for (enum store_verb verb = STORE_PUT; verb <= STORE_HEAD; verb++) {
			struct point point = {.shape = &shapes[s], .verb = verb, .nth = 1};

			if (shapes[s].reading && verb != STORE_GET)
				continue;
			for (; story(context, &point); point.nth++)
				hit++;
		}
	print_message("# %s: %u points hit\n", name, hit);
	assert_true(hit >= least / SHAPE_STEP / SHAPE_STEP);
}

/* ---- push ---- */

static bool push_story(void *context, struct point *point)
{
	struct world *world = world_new();
	struct archiver *archiver = archiver_new(&world->site, 2);
	struct fetcher *fetcher = fetcher_make(world);
	bool met;
	struct err err;

	(void)context;
	world_reopen(world);
	point_plan(point);
	for (unsigned i = 0; i < SEGMENTS; i++) {
		if (archive(world, archiver, segment_text(i), &err) == ANSWER_STORED)
			continue;
		assert_false(point->shape->survived);
		assert_says(point, &err);
		assert_int_equal(archive(world, archiver, segment_text(i), &err), ANSWER_STORED);
	}
	met = point_met(point);
	for (unsigned i = 0; i < SEGMENTS; i++)
		assert_int_equal(fetch(world, fetcher, i, &err), ANSWER_DELIVERED);
	fetcher_end(world, fetcher);
	archiver_end(world, archiver);
	world_free(world);
	return met;
}

static void d04_every_fault_at_every_call_of_a_push_leaves_nothing_half_there(void **state)
{
	(void)state;
	everywhere("push", 48, push_story, NULL);
}

/* ---- a world with an archive, and a backup in it ---- */

static void archive_all(struct world *world)
{
	struct archiver *archiver = archiver_new(&world->site, 2);

	for (unsigned i = 0; i < SEGMENTS; i++)
		assert_int_equal(archive(world, archiver, segment_text(i), NULL), ANSWER_STORED);
	archiver_end(world, archiver);
}

static bool fetch_story(void *context, struct point *point)
{
	struct world *world = context;
	struct fetcher *fetcher = fetcher_make(world);
	bool met;
	struct err err;

	world_reopen(world);
	point_plan(point);
	for (unsigned i = 0; i < SEGMENTS; i++)
		assert_int_equal(fetch(world, fetcher, i, &err), ANSWER_DELIVERED);
	/* the end is proven, whatever was met on the way to it */
	assert_int_equal(fetch(world, fetcher, SEGMENTS, &err), ANSWER_ABSENT);
	met = point_met(point);
	fetcher_end(world, fetcher);
	return met;
}

static void d01_every_fault_at_every_call_of_a_fetch_is_never_taken_for_the_end(void **state)
{
	struct world *world = world_new();

	(void)state;
	archive_all(world);
	folder_write(world->folder, "recovery.signal", "", 0);
	everywhere("fetch", 100, fetch_story, world);
	world_free(world);
}

/* What a backup needs beside the server: files, and what the server would say at its end. */
struct copying {
	struct op op;
	struct world *world;
	char id[NAME_BACKUP_ID_BYTES];
	struct walk *walk;
	bool walking, late;
	struct copy_tally tally;
	struct manifest_head head;
	struct backup_progress progress;
	struct backup backup;
	struct backup_targets targets;
	struct copy copy;
	struct buf text;
	struct object_builder_end end;
};

static const char label_text[] = "START WAL LOCATION: 0/500028 (file 000000010000000000000005)\n"
                                 "CHECKPOINT LOCATION: 0/500028\n"
                                 "BACKUP METHOD: streamed\n"
                                 "BACKUP FROM: primary\n"
                                 "START TIME: 2026-11-21 00:00:00 UTC\n"
                                 "LABEL: by plan\n"
                                 "START TIMELINE: 1\n";

static void world_fill(struct world *world)
{
	static const char *const folders[] = {"base", "base/5", "pg_tblspc"};
	char name[64], bytes[FILE_BYTES];

	for (size_t i = 0; i < ARRAY_LENGTH(folders); i++) {
		AUTO_FREE char *path = path_join(world->folder, folders[i]);

		assert_int_equal(mkdir(path, 0700), 0);
	}
	for (unsigned i = 0; i < FILES; i++) {
		for (size_t at = 0; at < sizeof(bytes); at++)
			bytes[at] = (char)(at * (i + 3) % 251);
		snprintf(name, sizeof(name), "base/5/%u", 16384 + i);
		folder_write(world->folder, name, bytes, sizeof(bytes));
	}
	folder_write(world->folder, "PG_VERSION", "15\n", 3);
	folder_write(world->folder, "postgresql.conf", "port = 1\n", 9);
}

static void add_late(struct plan *plan, const char *path, const void *bytes, size_t length)
{
	struct plan_item *item = plan_add(plan);

	*item = (struct plan_item){.kind = MANIFEST_FILE,
	                           .path = xstrdup(path),
	                           .content = xmalloc(length),
	                           .length = (uint32_t)length,
	                           .first = true,
	                           .last = true,
	                           .mode = 0600};
	memcpy(item->content, bytes, length);
	plan->bytes += length;
}

static bool copying_source(void *context, struct plan *plan, struct err *err)
{
	struct copying *copying = context;
	AUTO_FREE char *path = path_join(copying->world->folder, "global/pg_control");
	AUTO_BUF struct buf control = {0};

	if (!copying->walking && !walk_begin(copying->walk, err))
		return false;
	copying->walking = true;
	if (copying->late)
		return true;
	if (!walk_plan(copying->walk, plan, err) || plan->count)
		return !err_is(err);
	copying->late = true;
	buf_init(&control, CONTROL_BYTES);
	if (!file_read_all(path, &control, err))
		return false;
	add_late(plan, "backup_label", label_text, strlen(label_text));
	add_late(plan, "global/pg_control", control.data, control.length);
	return true;
}

static void copying_step(struct op *op)
{
	struct copying *copying = container_of(op, struct copying, op);

	switch (op->state) {
	case 0:
		copying->copy = (struct copy){
		        .tally = &copying->tally, .source = copying_source, .context = copying};
		copy_start(op, &copying->copy);
		return op_wait(op, 1);
	case 1:
		if (op_failed(&copying->copy.op))
			return op_fail(op, &copying->copy.op.err, "could not copy");
		manifest_head_write(&copying->head, &copying->text);
		copying->end = (struct object_builder_end){
		        .builder =
		                copying->targets.target[target_next(&copying->targets, 0)].builder,
		        .bytes = copying->text.data,
		        .length = copying->text.length};
		object_builder_end_start(op, &copying->end);
		return op_wait(op, 2);
	default:
		if (op_failed(&copying->end.op))
			return op_fail(op, &copying->end.op.err, "could not write the manifest");
		op_done(op);
	}
}

static const struct op_type copying_type = {.name = "copying", .step = copying_step};

/* What the server would have said. source and none must stay. */
static void head_fill(struct manifest_head *head, const char *id, char *pgdata, char *none,
                      char **source)
{
	*head = (struct manifest_head){
	        .tool_version = none,
	        .label_text = none,
	        .begun_us = clock_now_us(),
	        .ended_us = clock_now_us(),
	        .system_identifier = CRAFT_SYSTEM,
	        .major = 15,
	        .server_version_num = 150000,
	        .catalog_version = 202209061,
	        .segment_bytes = CRAFT_SEGMENT_BYTES,
	        .start_tli = 1,
	        .stop_tli = 1,
	        .start_lsn = FIRST_SEGNO * CRAFT_SEGMENT_BYTES + 40,
	        .stop_lsn = (FIRST_SEGNO + 1) * CRAFT_SEGMENT_BYTES + 5000,
	        .stop_time_us = clock_now_us(),
	        .from = none,
	        .pgdata = pgdata,
	        .pg_bin = none,
	        .time_zone = none,
	        .config_file = none,
	        .hba_file = none,
	        .ident_file = none,
	        .source = source,
	        .sources = 1,
	};
	assert_true(str_copy(head->id, sizeof(head->id), id));
}

/* One backup, as the story of a backup makes it between its questions to the server. */
static bool backup_run(struct world *world, const char *id, struct err *ret)
{
	struct copying *copying = xcalloc(1, sizeof(*copying));
	struct manifest_head *head = &copying->head;
	char *none = xstrdup("");
	char *source[1] = {copying->id};

	copying->world = world;
	assert_true(str_copy(copying->id, sizeof(copying->id), id));
	copying->backup.site = &world->site;
	assert_true(str_copy(copying->backup.id, sizeof(copying->backup.id), id));
	targets_init(&copying->targets, &copying->backup);
	snprintf(copying->targets.target[0].generation, NAME_GENERATION_MAX, "main/%llu-15-1",
	         (unsigned long long)CRAFT_SYSTEM);
	targets_begin(&copying->targets);
	buf_init(&copying->text, MANIFEST_HEAD_BYTES_MAX);
	head_fill(head, id, world->folder, none, source);
	copying->walk = walk_new(world->folder, "PG_15_202209061", false);
	copying->tally = (struct copy_tally){
	        .site = &world->site,
	        .targets = &copying->targets,
	        .id = copying->id,
	        .pgdata = world->folder,
	        .start_lsn = head->start_lsn,
	        .head = head,
	        .progress = &copying->progress,
	};
	copy_tally_init(&copying->tally);
	loop_run_op(world->loop, &copying->op, &copying_type);
	*ret = copying->op.err;
	assert_int_equal(blocks_taken(world->site.blocks), 0);
	targets_release(&copying->targets);
	copy_tally_release(&copying->tally);
	walk_free(copying->walk);
	buf_release(&copying->text);
	free(none);
	free(copying);
	return !err_is(ret);
}

/* ---- restore ---- */

static void start_restore(struct op *parent, void *what)
{
	restore_start(parent, what);
}

static bool same_file(const char *a, const char *b, const char *name)
{
	AUTO_FREE char *left = path_join(a, name);
	AUTO_FREE char *right = path_join(b, name);
	AUTO_BUF struct buf one = {0};
	AUTO_BUF struct buf two = {0};
	struct err err = {0};

	buf_init(&one, 1 << 20);
	buf_init(&two, 1 << 20);
	return file_read_all(left, &one, &err) && file_read_all(right, &two, &err) &&
	       one.length == two.length && memcmp(one.data, two.data, one.length) == 0;
}

static bool restore_run(struct world *world, const char *target, struct err *ret)
{
	struct restore_options options = {.to = "backup-end", .pgdata = target};
	struct restore restore = {.site = &world->site, .options = &options};
	char name[64];

	run(world, start_restore, &restore);
	*ret = restore.op.err;
	restore_release(&restore);
	assert_int_equal(blocks_taken(world->site.blocks), 0);
	if (err_is(ret))
		return false;
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "base/5/%u", 16384 + i);
		assert_true(same_file(world->folder, target, name));
	}
	assert_true(same_file(world->folder, target, "PG_VERSION"));
	return true;
}

static bool is_there(const char *folder, const char *name)
{
	AUTO_FREE char *path = path_join(folder, name);

	return access(path, F_OK) == 0;
}

/* A world that can be backed up and restored, with a folder for what is restored. */
struct place {
	struct world *world;
	char *base, *target, *program;
	struct gate transfers;
	unsigned backups; /* made */
};

static void place_begin(struct place *place)
{
	struct err err = {0};

	*place = (struct place){.world = world_new(), .base = folder_make()};
	folder_write(place->base, "seawall-wal", "", 0); /* is only looked for */
	place->program = path_join(place->base, "seawall-wal");
	assert_int_equal(chmod(place->program, 0700), 0);
	free(place->program);
	place->program = path_join(place->base, "seawall");
	place->target = path_join(place->base, "restored");
	gate_init(&place->transfers, 2, 1);
	place->world->site.transfers = &place->transfers;
	place->world->site.repository = "test";
	place->world->site.program = place->program;
	place->world->site.pack_compression = (struct compression){.kind = SEALED_LZ4};
	archive_all(place->world);
	world_fill(place->world);
	assert_true(backup_run(place->world, "20261121T000000Z-0001", &err));
	place->backups = 1;
}

static void place_end(struct place *place)
{
	struct err err = {0};

	world_free(place->world);
	assert_true(file_remove_tree(place->base, &err));
	free(place->base);
	free(place->target);
	free(place->program);
}

static bool restore_story(void *context, struct point *point)
{
	struct place *place = context;
	bool done, met;
	struct err err = {0};

	world_reopen(place->world);
	point_plan(point);
	done = restore_run(place->world, place->target, &err);
	met = point_met(point);
	if (!done) {
		assert_false(point->shape->survived);
		assert_says(point, &err);
		assert_false(is_there(place->target, "global/pg_control"));
		assert_true(restore_run(place->world, place->target, &err));
	}
	assert_true(is_there(place->target, "global/pg_control"));
	assert_true(is_there(place->target, "recovery.signal"));
	assert_true(file_remove_tree(place->target, &err));
	return met;
}

static void d22_every_fault_at_every_call_of_a_restore_is_said_and_nothing_half_starts(void **state)
{
	struct place place;

	(void)state;
	place_begin(&place);
	everywhere("restore", 108, restore_story, &place);
	place_end(&place);
}

/* ---- backup ---- */

static unsigned backups_visible(struct world *world)
{
	struct store_list list = {.store = world->repo->store};
	AUTO_FREE char *prefix =
	        xasprintf("main/%llu-15-1/backup/", (unsigned long long)CRAFT_SYSTEM);
	unsigned heads = 0;

	list.prefix = prefix;
	run(world, (void (*)(struct op *, void *))(void (*)(void))store_list_start, &list);
	assert_false(op_failed(&list.op));
	for (unsigned i = 0; i < list.count; i++)
		heads += !strchr(list.entry[i].name + strlen(prefix), '.'); /* else a part */
	store_list_release(&list);
	return heads;
}

static bool backup_story(void *context, struct point *point)
{
	struct place *place = context;
	char id[NAME_BACKUP_ID_BYTES];
	unsigned before;
	bool done, met;
	struct err err = {0};

	world_reopen(place->world);
	before = backups_visible(place->world);
	snprintf(id, sizeof(id), "20261121T0000%02uZ-%04x", place->backups % 60, place->backups);
	point_plan(point);
	done = backup_run(place->world, id, &err);
	met = point_met(point);
	if (!done) {
		assert_false(point->shape->survived);
		assert_says(point, &err);
	}
	/* a store that does what it refuses is believed by nobody, and the backup is whole */
	if (point->shape->fault.effect != MEM_LOSE_ANSWER || done)
		assert_int_equal(backups_visible(place->world), before + done);
	place->backups++;
	return met;
}

static void d17_every_fault_at_every_call_of_a_backup_is_said(void **state)
{
	struct place place;
	struct err err = {0};

	(void)state;
	place_begin(&place);
	everywhere("backup", 28, backup_story, &place);
	assert_true(restore_run(place.world, place.target, &err));
	place_end(&place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(d04_every_fault_at_every_call_of_a_push_leaves_nothing_half_there),
	        cmocka_unit_test(
	                d01_every_fault_at_every_call_of_a_fetch_is_never_taken_for_the_end),
	        cmocka_unit_test(d17_every_fault_at_every_call_of_a_backup_is_said),
	        cmocka_unit_test(
	                d22_every_fault_at_every_call_of_a_restore_is_said_and_nothing_half_starts),
	};

	fault_hurry(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
