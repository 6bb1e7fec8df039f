/* in_memory.h — a loop and a store in memory, for one test. */
#ifndef TESTS_UNIT_STORE_IN_MEMORY_H
#define TESTS_UNIT_STORE_IN_MEMORY_H

#include "store/place.h"

#include "store/mem.h"

struct fixture {
	struct loop *loop;
	struct store *store;
};

static inline struct fixture *fixture_new(const char *url)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->loop = loop_new(&(struct loop_options){.workers = 1});
	f->store = open_place(f->loop, url, true);
	return f;
}

static inline int fixture_free(struct fixture *f, const char *place)
{
	store_close(f->store);
	loop_free(f->loop);
	store_mem_forget(place);
	free(f);
	return 0;
}

#endif
