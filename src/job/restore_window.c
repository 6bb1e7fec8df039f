/* restore_window.c — lists that are used again for each stretch of the manifest. */
#include "restore_window.h"
#include "pg/crc32c.h"
#include <stdlib.h>
#include "base/poison.h"

struct copy_window *window_new(void)
{
	return xcalloc(1, sizeof(struct copy_window));
}

void window_clear(struct copy_window *window)
{
	for (size_t i = 0; i < window->files; i++)
		free(window->file[i].path);
	window->files = window->extents = 0;
	free(window->order);
	window->order = NULL;
}

void window_free(struct copy_window *window)
{
	if (!window)
		return;
	window_clear(window);
	free(window->file);
	free(window->extent);
	free(window);
}

static struct window_file *file_add(struct copy_window *window)
{
	if (window->files == window->files_size) {
		window->files_size = MAX(window->files_size * 2, 256);
		window->file = xrealloc(window->file, window->files_size * sizeof(window->file[0]));
	}
	return &window->file[window->files++];
}

static void extent_add(struct copy_window *window, const struct extent *extent)
{
	if (window->extents == window->extents_size) {
		window->extents_size = MAX(window->extents_size * 2, 256);
		window->extent =
		        xrealloc(window->extent, window->extents_size * sizeof(window->extent[0]));
	}
	window->extent[window->extents++] = (struct window_extent){
	        .file = window->files - 1,
	        .offset = extent->offset,
	        .length = (uint32_t)extent->length,
	        .source = extent->source,
	        .pack = extent->pack,
	        .pack_offset = extent->pack_offset,
	};
}

void window_add(struct copy_window *window, const struct manifest_entry *entry, const char *path)
{
	struct window_file *file = file_add(window);

	*file = (struct window_file){.path = xstrdup(path),
	                             .size_bytes = entry->size_bytes,
	                             .mode = entry->mode,
	                             .crc32c = entry->crc32c,
	                             .first = window->extents,
	                             .sized = entry->size_bytes == 0};
	for (uint32_t i = 0; i < entry->extents; i++) {
		if (entry->extent[i].pack == MANIFEST_ZEROS)
			file->sized = true;
		else
			extent_add(window, &entry->extent[i]);
	}
	file->extents = window->extents - file->first;
}

static int by_pack(const void *a, const void *b, void *context)
{
	const struct copy_window *window = context;
	const struct window_extent *x = &window->extent[*(const size_t *)a];
	const struct window_extent *y = &window->extent[*(const size_t *)b];

	if (x->source != y->source)
		return x->source < y->source ? -1 : 1;
	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	if (x->pack_offset != y->pack_offset)
		return x->pack_offset < y->pack_offset ? -1 : 1;
	return 0;
}

size_t window_sort(struct copy_window *window)
{
	size_t count = 0;

	window->order = xrealloc(window->order, (window->extents + 1) * sizeof(window->order[0]));
	for (size_t i = 0; i < window->extents; i++)
		if (!window->file[window->extent[i].file].keep)
			window->order[count++] = i;
	qsort_r(window->order, count, sizeof(window->order[0]), by_pack, window);
	return count;
}

/* Bytes that no extent brings are zeros. */
static uint32_t add_zeros(uint32_t crc, uint64_t length)
{
	static const uint8_t zeros[8192];

	for (; length >= sizeof(zeros); length -= sizeof(zeros))
		crc = crc32c(crc, zeros, sizeof(zeros));
	return crc32c(crc, zeros, (size_t)length);
}

uint32_t window_crc(const struct copy_window *window, const struct window_file *file)
{
	uint32_t crc = CRC32C_EMPTY;
	uint64_t at = 0;

	for (size_t i = file->first; i < file->first + file->extents; i++) {
		const struct window_extent *extent = &window->extent[i];

		crc = add_zeros(crc, extent->offset - at);
		crc = crc32c_combine(crc, extent->crc, extent->length);
		at = extent->offset + extent->length;
	}
	return add_zeros(crc, file->size_bytes - at);
}
