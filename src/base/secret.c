/*
 * secret.c — mlock, MADV_DONTDUMP, MADV_WIPEONFORK and explicit_bzero, in one place.
 *
 * Keys are few and small: a mapping for each holder costs a page and keeps free lists and
 * neighbours out of it. What cannot be locked is refused, not used anyway: a key in the swap of a
 * laptop outlives everything.
 */
#include "base/secret.h"
#include <sys/mman.h>
#include "base/poison.h"

static size_t whole_pages(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

void *secret_new(size_t bytes, struct err *err)
{
	size_t size = whole_pages(bytes);
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		err_sys(err, "could not get %zu bytes of memory for keys", size);
		return NULL;
	}
	if (mlock(memory, size) != 0) {
		err_sys(err, "could not lock %zu bytes of memory for keys", size);
		err_hint(err, "Allow some: LimitMEMLOCK=1M in the service, or \"ulimit -l 1024\".");
		munmap(memory, size);
		return NULL;
	}
	if (madvise(memory, size, MADV_DONTDUMP) != 0 ||
	    madvise(memory, size, MADV_WIPEONFORK) != 0) {
		err_sys(err, "could not keep %zu bytes of memory for keys out of core dumps", size);
		munmap(memory, size);
		return NULL;
	}
	return memory;
}

void secret_free(void *memory, size_t bytes)
{
	if (!memory)
		return;
	explicit_bzero(memory, whole_pages(bytes));
	munmap(memory, whole_pages(bytes));
}

void secret_wipe(void *bytes, size_t length)
{
	explicit_bzero(bytes, length);
}
