/* walindex_fuzz.c — pieces of the WAL index: what is read can be written, and is read the same. */
#include "fuzz/fuzz.h"
#include "repo/walindex.h"
#include <assert.h>
#include <string.h>

static void encode(const struct walindex_piece *piece, struct buf *out)
{
	buf_init(out, WALINDEX_BYTES_MAX);
	if (!walindex_encode(piece, out))
		assert(out->overflow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct walindex_piece piece, back;
	struct buf once, twice;
	struct err err = {0};

	if (!walindex_decode(data, length, &piece, &err)) {
		assert(err_is(&err));
		return 0;
	}
	encode(&piece, &once);
	assert(walindex_decode(once.data, once.length, &back, &err));
	encode(&back, &twice);
	assert(once.length == twice.length && memcmp(once.data, twice.data, once.length) == 0);
	buf_release(&once);
	buf_release(&twice);
	walindex_release(&piece);
	walindex_release(&back);
	return 0;
}
