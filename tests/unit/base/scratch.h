/* scratch.h — a folder of a test's own, gone when the test has ended well. */
#ifndef UNIT_BASE_SCRATCH_H
#define UNIT_BASE_SCRATCH_H

#include "base/file.h"

static inline int scratch_make(void **state)
{
	char *folder = xstrdup("/tmp/seawall-base.XXXXXX");

	*state = mkdtemp(folder);
	return *state ? 0 : -1;
}

static inline int scratch_remove(void **state)
{
	struct err err = {0};
	bool ok = file_remove_tree(*state, &err);

	free(*state);
	return ok ? 0 : -1;
}

#define in_scratch(test) cmocka_unit_test_setup_teardown(test, scratch_make, scratch_remove)

#endif
