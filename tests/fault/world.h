/* world.h — for tests: a data directory made by hand, a repository in memory, and the stories
 * between them as blocking calls. */
#ifndef TESTS_FAULT_WORLD_H
#define TESTS_FAULT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fault/folder.h"
#include "job/archiver.h"
#include "job/fetcher.h"
#include "repo/repo.h"
#include "store/mem.h"

enum { SEGMENTS = 3, FIRST_SEGNO = 5, WAIT_MS = 60000 };
static char store_name[32] = "fault-wal";
static bool store_used;

struct world {
	struct loop *loop;
	struct repo *repo;
	struct site site;
	char *folder;
	struct craft craft;
};

static inline char *segment_text(unsigned i)
{
	static char text[SEGMENTS + 2][SEGMENT_NAME_BYTES];

	char *name = text[MIN(i, (unsigned)SEGMENTS + 1)];

	segment_name(1, FIRST_SEGNO + i, CRAFT_SEGMENT_BYTES, name);
	return name;
}

/* ---- running things to their end ---- */

struct run {
	struct op op;
	void (*start)(struct op *parent, void *what);
	void *what;
};
static inline void run_step(struct op *op)
{
	struct run *run = container_of(op, struct run, op);

	if (op->state == 0) {
		run->start(op, run->what);
		return op_wait(op, 1);
	}
	op_done(op);
}
static const struct op_type run_type = {.name = "run", .step = run_step};

static inline void run(struct world *world, void (*start)(struct op *, void *), void *what)
{
	struct run run = {.start = start, .what = what};

	loop_run_op(world->loop, &run.op, &run_type);
}

static inline void start_open(struct op *parent, void *what)
{
	repo_open_start(parent, what);
}
static inline void start_init(struct op *parent, void *what)
{
	repo_init_start(parent, what);
}
static inline void start_ask(struct op *parent, void *what)
{
	archive_ask_start(parent, what);
}
static inline void start_close(struct op *parent, void *what)
{
	archiver_close_start(parent, what);
}
static inline void start_fetch(struct op *parent, void *what)
{
	fetch_ask_start(parent, what);
}
static inline void start_fetcher_close(struct op *parent, void *what)
{
	fetcher_close_start(parent, what);
}

static inline void settle_late(struct timer *timer)
{
	loop_stop(timer->loop);
}

/* Until nothing is under way: what an archiver does ahead, and its looks at who writes, end after
 * the answers. */
static inline void world_settle(struct world *world)
{
	struct timer late;

	timer_init(&late, world->loop, settle_late);
	timer_set(&late, WAIT_MS);
	loop_run(world->loop);
	timer_release(&late);
	assert_int_equal(loop_operations(world->loop), 0);
}

static inline bool world_open_repo(struct world *world, bool create)
{
	struct err err = {0};
	struct store *store;
	struct repo_open open = {0};
	char url[sizeof("mem:") + sizeof(store_name)];

	snprintf(url, sizeof(url), "mem:%s", store_name);
	if (!store_open(world->loop,
	                &(struct store_options){.url = url, .label = "test", .create = create},
	                &store, &err))
		return false;
	world->repo = repo_new(store, world->site.blocks);
	world->site.repo = world->repo;
	if (create) {
		struct repo_init *init = repo_init_new(world->repo);

		run(world, start_init, init);
		assert_false(op_failed(repo_init_op(init)));
		repo_init_free(init);
		return true;
	}
	open.repo = world->repo;
	run(world, start_open, &open);
	return !op_failed(&open.op);
}

/* A test that failed left its world as it was: the next one gets another store. */
static inline void world_name_store(void)
{
	static unsigned left;

	if (store_used)
		snprintf(store_name, sizeof(store_name), "fault-wal-%u", ++left);
	store_used = true;
}

static inline struct world *world_lying(const struct mem_lies *lies)
{
	struct world *world = xcalloc(1, sizeof(*world));

	world_name_store();
	store_mem_lie(store_name, lies);
	world->loop =
	        loop_new(&(struct loop_options){.workers = 2, .worker_end = codec_thread_end});
	world->site = (struct site){.loop = world->loop,
	                            .acks = 1,
	                            .blocks = blocks_new(world->loop, 96 * BLOCK_BYTES),
	                            .cluster = "main",
	                            .repository = "test",
	                            .wal_compression = {.kind = SEALED_LZ4},
	                            .workers = 2};
	world->folder = folder_new(CRAFT_SYSTEM);
	craft_init(&world->craft, FIRST_SEGNO, SEGMENTS + 1);
	for (unsigned i = 0; i < SEGMENTS; i++)
		craft_fill(&world->craft, i);
	for (unsigned i = 0; i < SEGMENTS; i++)
		folder_ready(world->folder, segment_text(i), craft_segment(&world->craft, i),
		             CRAFT_SEGMENT_BYTES);
	assert_true(world_open_repo(world, true));
	return world;
}

static inline struct world *world_new(void)
{
	return world_lying(&(struct mem_lies){0});
}

static inline void world_free(struct world *world)
{
	repo_free(world->repo);
	blocks_free(world->site.blocks);
	loop_free(world->loop);
	codec_thread_end();
	folder_free(world->folder);
	craft_release(&world->craft);
	free(world);
	store_mem_forget(store_name);
	store_used = false;
}

static inline enum answer archive_as(struct world *world, struct archiver *archiver,
                                     const char *name, bool accept_damaged, struct err *ret)
{
	char path[256];
	struct archive_ask ask = {.archiver = archiver,
	                          .folder = world->folder,
	                          .path = path,
	                          .wait_ms = WAIT_MS,
	                          .accept_damaged = accept_damaged};

	snprintf(path, sizeof(path), "pg_wal/%s", name);
	run(world, start_ask, &ask);
	if (ret)
		*ret = ask.op.err;
	return ask.answer;
}

static inline enum answer archive(struct world *world, struct archiver *archiver, const char *name,
                                  struct err *ret)
{
	return archive_as(world, archiver, name, false, ret);
}

static inline void archiver_end(struct world *world, struct archiver *archiver)
{
	struct archiver_close close = {.archiver = archiver};

	run(world, start_close, &close);
}

static inline void fetcher_end(struct world *world, struct fetcher *fetcher)
{
	struct fetcher_close close = {.fetcher = fetcher};

	run(world, start_fetcher_close, &close);
}

/* Delivers name into pg_wal/RECOVERYXLOG and compares it with segment i. */
static inline enum answer fetch(struct world *world, struct fetcher *fetcher, unsigned i,
                                struct err *ret)
{
	struct fetch_ask ask = {.fetcher = fetcher,
	                        .folder = world->folder,
	                        .name = segment_text(i),
	                        .path = "pg_wal/RECOVERYXLOG",
	                        .wait_ms = WAIT_MS};
	char *path = path_join(world->folder, "pg_wal/RECOVERYXLOG");
	struct buf bytes;
	struct err err = {0};

	unlink(path);
	run(world, start_fetch, &ask);
	*ret = ask.op.err;
	buf_init(&bytes, 2 * CRAFT_SEGMENT_BYTES);
	/* whatever the answer: what is there under the wanted name is whole */
	if (ask.answer == ANSWER_DELIVERED || access(path, F_OK) == 0) {
		assert_true(file_read_all(path, &bytes, &err));
		assert_int_equal(bytes.length, CRAFT_SEGMENT_BYTES);
		assert_memory_equal(bytes.data, craft_segment(&world->craft, i),
		                    CRAFT_SEGMENT_BYTES);
	}
	buf_release(&bytes);
	free(path);
	return ask.answer;
}

static inline struct fetcher *fetcher_make(struct world *world)
{
	return fetcher_new(&(struct fetcher_options){.site = &world->site, .ahead_max = 2});
}

#endif
