/* place.h — for tests: a repository in memory, opened. */
#ifndef TESTS_UNIT_REPO_PLACE_H
#define TESTS_UNIT_REPO_PLACE_H

#include "store/place.h"

#include "codec/sealed.h"
#include "repo/repo.h"
#include "store/mem.h"

struct fixture {
	struct loop *loop;
	struct blocks *blocks;
	struct repo *repo;
	struct store *store; /* the repository's */
};

static inline int fixture_begin(void **state)
{
	struct fixture *f = *state = xcalloc(1, sizeof(*f));

	f->loop = loop_new(&(struct loop_options){.workers = 2, .worker_end = codec_thread_end});
	f->blocks = blocks_new(f->loop, 2 * BLOCKS_SEAL * (uint64_t)BLOCK_BYTES);
	f->store = open_place(f->loop, "mem:repo", true);
	f->repo = repo_new(f->store, f->blocks);
	return 0;
}

static inline int fixture_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(blocks_taken(f->blocks), 0);
	repo_free(f->repo);
	blocks_free(f->blocks);
	loop_free(f->loop);
	store_mem_forget("repo");
	free(f);
	return 0;
}

/* Another opening of the same place, as after a restart. */
static inline void fixture_reopen(struct fixture *f)
{
	repo_free(f->repo);
	f->store = open_place(f->loop, "mem:repo", false);
	f->repo = repo_new(f->store, f->blocks);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

#endif
