/*
 * The copying part of a backup, and the manifest, with every put failing once, every answer lost
 * once, and a cancel at many moments.
 *
 * Whatever fails: there is no manifest; what the store could mend is not seen; memory and places
 * are given back; and the next copy is whole.
 */
#include "store/place.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/job/backup_copy.h"
#include "pg/crc32c.h"
#include "pg/page.h"
#include "base/fault.h"
#include "store/mem.h"

#define PLACE      "fault-backup"
#define GENERATION "main/1-15-1"
#define ID         "20261121T000000Z-0001"
#define MANIFEST   GENERATION "/backup/" ID

/* Another repository, where the same cluster has another generation. */
#define PLACE_B      "fault-backup-b"
#define GENERATION_B "main/1-15-2"
#define MANIFEST_B   GENERATION_B "/backup/" ID

enum { SMALL_FILES = 60, BIG_BYTES = 40 << 20, TURNS_MAX = 1 << 22 };
#define NEVER UINT_MAX

struct world {
	struct loop *loop;
	struct gate transfers;
	struct site site, other;
	bool two; /* the backup goes to both */
	char *folder;
};

static void put_file(const char *folder, const char *name, size_t length)
{
	char *path = path_join(folder, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (size_t i = 0; i < length; i++)
		fputc((int)(i % 251), file);
	fclose(file);
	free(path);
}

static void put_folder(const char *folder, const char *name)
{
	char *path = path_join(folder, name);

	assert_int_equal(mkdir(path, 0700), 0);
	free(path);
}

static int world_begin(void **state)
{
	struct world *world = *state = xcalloc(1, sizeof(*world));
	char name[64];
	char *big;

	world->folder = xstrdup("/tmp/seawall-fault-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	put_folder(world->folder, "base");
	put_folder(world->folder, "base/5");
	put_folder(world->folder, "pg_tblspc");
	put_folder(world->folder, "pg_wal");
	for (unsigned i = 0; i < SMALL_FILES; i++) {
		snprintf(name, sizeof(name), "base/5/x%u", i);
		put_file(world->folder, name, 1000 * i);
	}
	put_file(world->folder, "base/5/16384", 0);
	big = path_join(world->folder, "base/5/16384");
	assert_int_equal(truncate(big, BIG_BYTES), 0);
	free(big);
	world->loop =
	        loop_new(&(struct loop_options){.workers = 2, .worker_end = codec_thread_end});
	gate_init(&world->transfers, 2, 1);
	world->site =
	        (struct site){.loop = world->loop,
	                      .repository = "a",
	                      .cluster = "main",
	                      .blocks = blocks_new(world->loop, 2 * BLOCKS_SEAL * BLOCK_BYTES),
	                      .transfers = &world->transfers,
	                      .pack_compression = {.kind = SEALED_LZ4},
	                      .workers = 2};
	return 0;
}

static int world_end(void **state)
{
	struct world *world = *state;
	struct err err = {0};

	assert_true(file_remove_tree(world->folder, &err));
	blocks_free(world->site.blocks);
	loop_free(world->loop);
	store_mem_forget(PLACE);
	store_mem_forget(PLACE_B);
	free(world->folder);
	free(world);
	return 0;
}

/* ---- one attempt: copy, then the head ---- */

struct attempt {
	struct op op;
	struct walk *walk;
	bool walking;
	struct copy_tally tally;
	struct manifest_head head;
	struct backup_progress progress;
	struct backup backup;
	struct backup_targets targets;
	struct copy copy;
	struct object_builder_end end;
};

static bool source(void *context, struct plan *plan, struct err *err)
{
	struct attempt *attempt = context;

	if (!attempt->walking && !walk_begin(attempt->walk, err))
		return false;
	attempt->walking = true;
	return walk_plan(attempt->walk, plan, err);
}

static void attempt_step(struct op *op)
{
	struct attempt *attempt = container_of(op, struct attempt, op);

	if (op->state == 0) {
		attempt->copy = (struct copy){
		        .tally = &attempt->tally, .source = source, .context = attempt};
		copy_start(op, &attempt->copy);
		return op_wait(op, 1);
	}
	if (op->state == 1) {
		if (op_failed(&attempt->copy.op))
			return op_fail(op, &attempt->copy.op.err, "no copy");
		attempt->end = (struct object_builder_end){
		        .builder =
		                attempt->targets.target[target_next(&attempt->targets, 0)].builder,
		        .bytes = "{}",
		        .length = 2};
		object_builder_end_start(op, &attempt->end);
		return op_wait(op, 2);
	}
	if (op_failed(&attempt->end.op))
		return op_fail(op, &attempt->end.op.err, "no manifest");
	op_done(op);
}

static const struct op_type attempt_type = {.name = "attempt", .step = attempt_step};

/* A bystander that takes a turn of the loop after the other, and cancels the attempt in the n-th.
 */
struct watcher {
	struct op op;
	struct attempt attempt;
	struct turns {
		struct op op;
		unsigned left;
		struct op *victim;
	} turns;
};

static void turns_step(struct op *op)
{
	struct turns *turns = container_of(op, struct turns, op);

	if (turns->victim->done)
		return op_done(op);
	if (turns->left-- > 0)
		return op_wait(op, 1);
	op_cancel(turns->victim);
	op_done(op);
}

static const struct op_type turns_type = {.name = "turns", .step = turns_step};

static void watcher_step(struct op *op)
{
	struct watcher *watcher = container_of(op, struct watcher, op);

	if (op->state == 1)
		return op_done(op);
	op_start(op, &watcher->attempt.op, &attempt_type);
	watcher->turns.victim = &watcher->attempt.op;
	if (watcher->turns.left != NEVER)
		op_start(op, &watcher->turns.op, &turns_type);
	op_wait(op, 1);
}

static const struct op_type watcher_type = {.name = "watcher", .step = watcher_step};

/* One attempt in a store that is opened anew; cancelled in turn `turns`. */
static enum err_code attempt_run(struct world *world, unsigned turns, struct manifest_head *ret)
{
	struct watcher *watcher = xcalloc(1, sizeof(*watcher));
	struct attempt *attempt = &watcher->attempt;
	struct store *store = open_place(world->loop, "mem:" PLACE, true);
	enum err_code code;

	world->site.repo = repo_new(store, world->site.blocks);
	attempt->walk = walk_new(world->folder, "PG_15_202209061", false);
	if (world->two) {
		world->other = world->site;
		world->other.repo =
		        repo_new(open_place(world->loop, "mem:" PLACE_B, true), world->site.blocks);
		world->other.repository = "b";
		world->site.next = &world->other;
	}
	attempt->backup = (struct backup){.site = &world->site, .id = ID};
	targets_init(&attempt->targets, &attempt->backup);
	snprintf(attempt->targets.target[0].generation, NAME_GENERATION_MAX, GENERATION);
	snprintf(attempt->targets.target[1].generation, NAME_GENERATION_MAX, GENERATION_B);
	targets_begin(&attempt->targets);
	attempt->tally = (struct copy_tally){
	        .site = &world->site,
	        .targets = &attempt->targets,
	        .id = ID,
	        .pgdata = world->folder,
	        .start_lsn = 1,
	        .head = &attempt->head,
	        .progress = &attempt->progress,
	};
	copy_tally_init(&attempt->tally);
	watcher->turns.left = turns;
	loop_run_op(world->loop, &watcher->op, &watcher_type);
	code = attempt->op.err.code;
	assert_int_equal(blocks_taken(world->site.blocks), 0);
	assert_int_equal(world->transfers.taken, 0);
	*ret = attempt->head;
	targets_release(&attempt->targets);
	copy_tally_release(&attempt->tally);
	walk_free(attempt->walk);
	repo_free(world->site.repo);
	if (world->two)
		repo_free(world->other.repo);
	world->site.next = NULL;
	free(watcher);
	return code;
}

/* ---- what is there then ---- */

struct seen {
	struct manifest_reader *reader;
	unsigned files, folders;
	uint64_t bytes;
	uint32_t big_crc;
	unsigned big_extents;
};

static bool seen_entry(void *context, const struct manifest_entry *entry, struct err *err)
{
	struct seen *seen = context;

	(void)err;
	seen->files += entry->kind == MANIFEST_FILE;
	seen->folders += entry->kind == MANIFEST_FOLDER;
	seen->bytes += entry->size_bytes;
	if (strcmp(entry->path, "base/5/16384") == 0) {
		seen->big_crc = entry->crc32c;
		seen->big_extents = entry->extents;
	}
	return true;
}

static bool seen_piece(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                       size_t length, struct err *err)
{
	struct seen *seen = stream->context;

	(void)offset;
	return manifest_reader_feed(seen->reader, bytes, length, err);
}

/* The code with which the manifest is read: all of it is looked at. */
static enum err_code manifest_read(struct world *world, bool b, struct seen *seen)
{
	struct object_stream stream = {.name = b ? MANIFEST_B : MANIFEST,
	                               .kind = SEALED_MANIFEST,
	                               .class = GATE_BACKUP,
	                               .parts_only = true,
	                               .consume = seen_piece,
	                               .context = seen};
	struct err err = {0};

	*seen = (struct seen){.reader = manifest_reader_new(seen_entry, seen)};
	stream.repo = repo_new(open_place(world->loop, b ? "mem:" PLACE_B : "mem:" PLACE, false),
	                       world->site.blocks);
	if (RUN(world->loop, object_stream_start, &stream))
		assert_true(manifest_reader_end(seen->reader, &err));
	manifest_reader_free(seen->reader);
	repo_free(stream.repo);
	return stream.op.err.code;
}

static void expect_whole_at(struct world *world, bool b, const struct manifest_head *head)
{
	uint8_t *zeros = xcalloc(1, BIG_BYTES);
	struct seen seen;

	assert_int_equal(manifest_read(world, b, &seen), ERR_NONE);
	assert_int_equal(seen.files, SMALL_FILES + 1);
	assert_int_equal(seen.folders, 4);
	assert_int_equal(seen.files, head->files);
	assert_int_equal(seen.folders, head->folders);
	assert_int_equal(seen.bytes, head->logical_bytes);
	assert_int_equal(seen.big_crc, crc32c(CRC32C_EMPTY, zeros, BIG_BYTES));
	assert_true(seen.big_extents >= 3 && head->packs >= 3);
	free(zeros);
}

static void expect_whole(struct world *world, const struct manifest_head *head)
{
	expect_whole_at(world, false, head);
}

static void expect_none(struct world *world)
{
	struct seen seen;

	assert_int_equal(manifest_read(world, false, &seen), ERR_NOTFOUND);
}

static void a_copy_is_whole(void **state)
{
	struct world *world = *state;
	struct manifest_head head;

	assert_int_equal(attempt_run(world, NEVER, &head), ERR_NONE);
	expect_whole(world, &head);
	assert_int_equal(head.packs + 2, store_mem_calls(PLACE, STORE_PUT));
}

static void every_put_fails_once_and_there_is_no_manifest(void **state)
{
	struct world *world = *state;
	struct manifest_head head;
	unsigned failed = 0;

	for (unsigned n = 1;; n++, failed++) {
		store_mem_forget(PLACE);
		store_mem_plan(PLACE, &(struct mem_fault){.verb = STORE_PUT,
		                                          .effect = MEM_FAIL,
		                                          .nth = n,
		                                          .code = ERR_STORE});
		if (attempt_run(world, NEVER, &head) == ERR_NONE)
			break;
		expect_none(world);
	}
	assert_int_equal(failed, head.packs + 2);
	expect_whole(world, &head);
}

static void forget_both(void)
{
	store_mem_forget(PLACE);
	store_mem_forget(PLACE_B);
}

/* Every put to one of two repositories fails for good from the n-th on: the other one's is whole.
 */
static void one_of_two_fails(struct world *world, bool b)
{
	struct manifest_head head;
	unsigned puts = 1;

	world->two = true;
	for (unsigned n = 1; n <= puts; n++) {
		forget_both();
		store_mem_plan(b ? PLACE_B : PLACE, &(struct mem_fault){.verb = STORE_PUT,
		                                                        .effect = MEM_FAIL,
		                                                        .nth = n,
		                                                        .code = ERR_STORE});
		assert_int_equal(attempt_run(world, NEVER, &head), ERR_NONE);
		expect_whole_at(world, !b, &head);
		puts = (unsigned)head.packs; /* the manifest goes to one only */
	}
	assert_true(puts >= 3);
}

static void one_of_two_repositories_is_left_out_wherever_it_fails(void **state)
{
	one_of_two_fails(*state, true);
}

static void the_nearest_is_left_out_like_any_other(void **state)
{
	one_of_two_fails(*state, false);
}

static void both_fail_and_so_does_the_backup(void **state)
{
	struct world *world = *state;
	struct manifest_head head;

	world->two = true;
	for (unsigned n = 1; n <= 3; n++) {
		const struct mem_fault fault = {
		        .verb = STORE_PUT, .effect = MEM_FAIL, .nth = n, .code = ERR_STORE};

		forget_both();
		store_mem_plan(PLACE, &fault);
		store_mem_plan(PLACE_B, &fault);
		assert_int_equal(attempt_run(world, NEVER, &head), ERR_STORE);
		expect_none(world);
	}
}

static void every_answer_is_lost_once_and_nobody_sees_it(void **state)
{
	struct world *world = *state;
	struct manifest_head head;
	unsigned puts = 5;

	for (unsigned n = 1; n <= puts; n++) {
		store_mem_forget(PLACE);
		store_mem_plan(PLACE, &(struct mem_fault){.verb = STORE_PUT,
		                                          .effect = MEM_LOSE_ANSWER,
		                                          .nth = n});
		assert_int_equal(attempt_run(world, NEVER, &head), ERR_NONE);
		expect_whole(world, &head);
		puts = (unsigned)head.packs + 2;
	}
}

static void a_cancel_at_any_moment_leaves_no_manifest(void **state)
{
	struct world *world = *state;
	struct manifest_head head;
	unsigned cancelled = 0;

	for (unsigned turn = 0; turn < TURNS_MAX; turn += 1 + turn) {
		enum err_code code;

		store_mem_forget(PLACE);
		code = attempt_run(world, turn, &head);
		if (code == ERR_NONE) {
			expect_whole(world, &head);
			break;
		}
		assert_int_equal(code, ERR_CANCELLED);
		expect_none(world);
		cancelled++;
	}
	assert_true(cancelled > 5);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        IN_WORLD(a_copy_is_whole),
	        IN_WORLD(every_put_fails_once_and_there_is_no_manifest),
	        IN_WORLD(one_of_two_repositories_is_left_out_wherever_it_fails),
	        IN_WORLD(the_nearest_is_left_out_like_any_other),
	        IN_WORLD(both_fail_and_so_does_the_backup),
	        IN_WORLD(every_answer_is_lost_once_and_nobody_sees_it),
	        IN_WORLD(a_cancel_at_any_moment_leaves_no_manifest),
	};

	fault_hurry(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
