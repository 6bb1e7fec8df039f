/* relnames_fuzz.c — names for numbers: what is read can be written, byte for byte, and be asked. */
#include "fuzz/fuzz.h"
#include "repo/relnames.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct relname_found found;
	struct relnames names;
	struct err err = {0};
	struct buf again;

	if (!relnames_decode(data, length, &names, &err)) {
		assert(err_is(&err));
		return 0;
	}
	buf_init(&again, RELNAMES_BYTES_MAX);
	assert(relnames_encode(&names, &again));
	assert(again.length == length && memcmp(again.data, data, length) == 0);
	for (size_t d = 0; d < names.databases; d++)
		for (size_t i = 0; i < names.database[d].relations; i++)
			assert(relnames_find(&names, names.database[d].oid,
			                     names.database[d].relation[i].number, &found));
	buf_release(&again);
	relnames_release(&names);
	return 0;
}
