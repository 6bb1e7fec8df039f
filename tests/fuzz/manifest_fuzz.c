/*
 * manifest_fuzz.c — the reader of a manifest's body, in pieces of the size that the first byte
 * says, and of its head. What the reader accepts must encode to the very same bytes, and keep its
 * promises.
 */
#include "fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "repo/manifest.h"

static bool each(void *context, const struct manifest_entry *entry, struct err *err)
{
	struct buf *again = context;
	uint64_t end = 0;

	(void)err;
	assert(!strstr(entry->path, "//") && strcmp(entry->path, "..") != 0);
	assert(strncmp(entry->path, "../", 3) != 0 && !strstr(entry->path, "/../"));
	assert((entry->path[0] == '/') == (entry->kind == MANIFEST_OUTSIDE));
	for (uint32_t i = 0; i < entry->extents; i++) {
		assert(entry->extent[i].offset == end);
		end += entry->extent[i].length;
	}
	assert(end == entry->size_bytes);
	manifest_entry_encode(entry, again);
	return true;
}

static void read_head(const uint8_t *data, size_t length)
{
	struct manifest_head head;
	struct err err = {0};

	if (manifest_head_parse(data, length, &head, &err))
		manifest_head_release(&head);
	else
		assert(err_is(&err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct manifest_reader *reader;
	struct buf again;
	struct err err = {0};
	bool good = true;
	size_t piece;

	if (length == 0)
		return 0;
	if (data[0] == '{') {
		read_head(data, length);
		return 0;
	}
	piece = data[0] ? data[0] : length;
	buf_init(&again, length);
	reader = manifest_reader_new(each, &again);
	for (size_t at = 1; good && at < length; at += piece)
		good = manifest_reader_feed(reader, data + at, MIN(piece, length - at), &err);
	if (good && manifest_reader_end(reader, &err)) {
		assert(again.length == length - 1);
		assert(length == 1 || memcmp(again.data, data + 1, length - 1) == 0);
	} else {
		assert(err.code == ERR_DAMAGED);
	}
	manifest_reader_free(reader);
	buf_release(&again);
	return 0;
}
