/* Waiting for a backup's WAL: what is missing is named, what is there must be what it says, and
 * what comes late is seen. */
#include "store/place.h"

#include "../../../src/job/backup_wal.h"
#include "base/durable.h"
#include "store/mem.h"
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE      "wait"
#define GENERATION "main/1-15-1"
enum { SEGMENT_BYTES = 1 << 20, WAIT_MS = 400, LONG_MS = 30000 };

struct world {
	struct loop *loop;
	struct blocks *blocks;
	struct repo *repo;
};

static int world_begin(void **state)
{
	struct world *world = *state = xcalloc(1, sizeof(*world));

	world->loop =
	        loop_new(&(struct loop_options){.workers = 2, .worker_end = codec_thread_end});
	world->blocks = blocks_new(world->loop, 2 * BLOCKS_SEAL * BLOCK_BYTES);
	world->repo = repo_new(open_place(world->loop, "mem:" PLACE, true), world->blocks);
	return 0;
}

static int world_end(void **state)
{
	struct world *world = *state;

	repo_free(world->repo);
	blocks_free(world->blocks);
	loop_free(world->loop);
	store_mem_forget(PLACE);
	free(world);
	return 0;
}

static void put_wal(struct world *world, const char *file, enum sealed_kind kind, size_t length)
{
	uint8_t *bytes = xcalloc(1, length);
	char name[NAME_BYTES];
	struct walname wal;
	struct object_write write = {.repo = world->repo,
	                             .name = name,
	                             .kind = kind,
	                             .compression = {.kind = SEALED_LZ4},
	                             .class = GATE_WAL,
	                             .bytes = bytes,
	                             .length = length};

	assert_true(walname_parse(file, &wal));
	if (wal.kind == WALNAME_HISTORY)
		name_history(name, GENERATION, wal.tli);
	else
		name_wal(name, GENERATION, &wal, NULL);
	assert_true(RUN(world->loop, object_write_start, &write));
	free(bytes);
}

static void put_segment(struct world *world, uint32_t tli, uint64_t segno)
{
	char file[SEGMENT_NAME_BYTES];

	segment_name(tli, segno, SEGMENT_BYTES, file);
	put_wal(world, file, SEALED_WAL, SEGMENT_BYTES);
}

/* From the middle of segment 5 to the end of segment 7: exactly on the border to 8. */
static struct wal_wait wait_of(struct world *world, uint32_t tli, int64_t ms, char *waiting_for)
{
	return (struct wal_wait){
	        .repo = world->repo,
	        .generation = GENERATION,
	        .segment_bytes = SEGMENT_BYTES,
	        .tli = tli,
	        .start_lsn = lsn_of_segno(5, SEGMENT_BYTES) + 40,
	        .stop_lsn = lsn_of_segno(8, SEGMENT_BYTES),
	        .wait_ms = ms,
	        .waiting_for = waiting_for,
	};
}

static void expect_timeout(struct world *world, uint32_t tli, const char *file)
{
	char waiting_for[WALNAME_BYTES] = "";
	struct wal_wait wait = wait_of(world, tli, WAIT_MS, waiting_for);

	assert_false(RUN(world->loop, wal_wait_start, &wait));
	assert_int_equal(wait.op.err.code, ERR_TIMEOUT);
	if (!strstr(wait.op.err.text, file))
		fail_msg("\"%s\" does not name %s", wait.op.err.text, file);
	assert_non_null(strstr(wait.op.err.hint, "archive_command"));
	assert_string_equal(waiting_for, file);
}

static void the_first_that_is_missing_is_named(void **state)
{
	struct world *world = *state;
	char waiting_for[WALNAME_BYTES] = "";
	struct wal_wait wait = wait_of(world, 1, WAIT_MS, waiting_for);

	expect_timeout(world, 1, "000000010000000000000005");
	put_segment(world, 1, 5);
	put_segment(world, 1, 7);
	put_segment(world, 1, 8);
	put_segment(world, 2, 6);
	expect_timeout(world, 1, "000000010000000000000006");
	put_segment(world, 1, 6);
	assert_true(RUN(world->loop, wal_wait_start, &wait));
	assert_string_equal(waiting_for, "");
}

static void a_later_timeline_needs_its_history(void **state)
{
	struct world *world = *state;
	char waiting_for[WALNAME_BYTES] = "";
	struct wal_wait wait = wait_of(world, 10, WAIT_MS, waiting_for);

	for (uint64_t segno = 5; segno < 8; segno++)
		put_segment(world, 10, segno);
	expect_timeout(world, 10, "0000000A.history");
	put_wal(world, "0000000A.history", SEALED_HISTORY, 30);
	assert_true(RUN(world->loop, wal_wait_start, &wait));
}

/* The last segment as the server has it: nothing but zeros, which is what put_segment stores, or
 * with another first byte. */
static void write_local(const char *folder, char first)
{
	char path[PATH_MAX];
	struct err err = {0};
	char *bytes = xcalloc(1, SEGMENT_BYTES);

	bytes[0] = first;
	snprintf(path, sizeof(path), "%s/pg_wal/000000010000000000000007", folder);
	assert_true(durable_write(path, 0600, bytes, SEGMENT_BYTES, &err));
	free(bytes);
}

static void wal_of_another_server_under_these_names_does_not_complete_it(void **state)
{
	struct world *world = *state;
	char waiting_for[WALNAME_BYTES] = "", folder[] = "/tmp/seawall-wait-XXXXXX", path[PATH_MAX];
	struct wal_wait wait = wait_of(world, 1, LONG_MS, waiting_for);

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/pg_wal", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	for (uint64_t segno = 5; segno < 8; segno++)
		put_segment(world, 1, segno);
	wait.pgdata = folder;
	assert_true(RUN(world->loop, wal_wait_start, &wait)); /* recycled */
	write_local(folder, 1);
	wait = wait_of(world, 1, LONG_MS, waiting_for);
	wait.pgdata = folder;
	assert_false(RUN(world->loop, wal_wait_start, &wait));
	assert_int_equal(wait.op.err.code, ERR_REFUSED);
	assert_non_null(strstr(wait.op.err.text, "000000010000000000000007"));
	assert_non_null(strstr(wait.op.err.hint, "Another server"));
	write_local(folder, 0);
	wait = wait_of(world, 1, LONG_MS, waiting_for);
	wait.pgdata = folder;
	assert_true(RUN(world->loop, wal_wait_start, &wait));
	snprintf(path, sizeof(path), "%s/pg_wal/000000010000000000000007", folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s/pg_wal", folder);
	rmdir(path);
	rmdir(folder);
}

static void what_has_the_name_and_is_no_segment_is_damage(void **state)
{
	struct world *world = *state;
	char waiting_for[WALNAME_BYTES] = "";
	struct wal_wait wait = wait_of(world, 1, LONG_MS, waiting_for);

	put_wal(world, "000000010000000000000005", SEALED_WAL, SEGMENT_BYTES / 2);
	assert_false(RUN(world->loop, wal_wait_start, &wait));
	assert_int_equal(wait.op.err.code, ERR_DAMAGED);
	assert_non_null(strstr(wait.op.err.text, "000000010000000000000005"));
}

/* Beside the wait: what it waits for is stored when it has looked often enough. */
struct late {
	struct op op;
	struct wal_wait wait;
	struct late_writer {
		struct op op;
		struct nap nap;
		struct object_write write;
		char name[NAME_BYTES];
		uint64_t segno;
	} writer;
	const uint8_t *zeros;
	struct world *world;
	int64_t rest_ms; /* before each segment */
};

static void writer_step(struct op *op)
{
	struct late_writer *writer = container_of(op, struct late_writer, op);
	struct late *late = container_of(writer, struct late, writer);
	struct walname wal = {.kind = WALNAME_SEGMENT, .tli = 1};

	if (op->state == 0) {
		nap_start(op, &writer->nap, late->rest_ms);
		return op_wait(op, 1);
	}
	if (op->state == 2 && op_failed(&writer->write.op))
		return op_fail(op, &writer->write.op.err, "no segment");
	if (writer->segno == 8)
		return op_done(op);
	if (op->state == 2) {
		nap_start(op, &writer->nap, late->rest_ms);
		return op_wait(op, 1);
	}
	wal.seg = (uint32_t)writer->segno++;
	name_wal(writer->name, GENERATION, &wal, NULL);
	writer->write = (struct object_write){.repo = late->world->repo,
	                                      .name = writer->name,
	                                      .kind = SEALED_WAL,
	                                      .compression = {.kind = SEALED_LZ4},
	                                      .class = GATE_WAL,
	                                      .bytes = late->zeros,
	                                      .length = SEGMENT_BYTES};
	object_write_start(op, &writer->write);
	op_wait(op, 2);
}

static const struct op_type writer_type = {.name = "writer", .step = writer_step};

static void late_step(struct op *op)
{
	struct late *late = container_of(op, struct late, op);

	if (op->state == 1)
		return op_done(op);
	wal_wait_start(op, &late->wait);
	op_start(op, &late->writer.op, &writer_type);
	op_wait(op, 1);
}

static const struct op_type late_type = {.name = "late", .step = late_step};

/* All of it takes longer than the wait is for. False: out of time, as on a machine that stood still
 * for so long. */
static bool is_waited_for(struct world *world, int64_t wait_ms, const uint8_t *zeros)
{
	char waiting_for[WALNAME_BYTES] = "";
	struct late *late = xcalloc(1, sizeof(*late));
	bool there;

	late->world = world;
	late->zeros = zeros;
	late->rest_ms = wait_ms / 4;
	late->writer.segno = 1;
	late->wait = wait_of(world, 1, wait_ms, waiting_for);
	loop_run_op(world->loop, &late->op, &late_type);
	there = !op_failed(&late->wait.op);
	if (!there && late->wait.op.err.code != ERR_TIMEOUT)
		fail_msg("%s", late->wait.op.err.text);
	assert_false(op_failed(&late->writer.op));
	free(late);
	return there;
}

/* An archiver that is slow, but gets on, is not out of time: the last of 7 segments comes long
 * after WAIT_MS, and the first that is wanted is number 5. */
static void a_queue_that_moves_is_waited_for(void **state)
{
	uint8_t *zeros = xcalloc(1, SEGMENT_BYTES);
	int64_t wait_ms = WAIT_MS;

	while (!is_waited_for(*state, wait_ms, zeros)) {
		assert_true(wait_ms < LONG_MS);
		wait_ms *= 4;
		world_end(state);
		world_begin(state);
	}
	free(zeros);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        IN_WORLD(the_first_that_is_missing_is_named),
	        IN_WORLD(a_later_timeline_needs_its_history),
	        IN_WORLD(wal_of_another_server_under_these_names_does_not_complete_it),
	        IN_WORLD(what_has_the_name_and_is_no_segment_is_damage),
	        IN_WORLD(a_queue_that_moves_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
