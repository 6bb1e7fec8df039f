/* restore_window.h — a stretch of a manifest in memory: files and the extents they are made of.
 * Private to this layer. */
#ifndef JOB_RESTORE_WINDOW_H
#define JOB_RESTORE_WINDOW_H

#include "repo/manifest.h"

struct window_file {
	char *path; /* owned; relative to the data directory: where it goes */
	uint64_t size_bytes;
	uint32_t mode, crc32c;
	size_t first, extents; /* in copy_window.extent, before it is sorted: of the file's order */
	bool sized; /* has zeros or nothing: must be made and cut to its size beforehand */
	bool keep;  /* what is there is right */
};
struct window_extent {
	size_t file;
	uint64_t offset;
	uint32_t length, source, pack, pack_offset;
	uint32_t crc; /* out: of what was written */
	uint32_t written;
};
struct copy_window {
	struct window_file *file;
	size_t files, files_size;
	struct window_extent *extent; /* without zeros */
	size_t extents, extents_size;
	size_t *order; /* indexes into extent, by pack and position in it */
};

struct copy_window *window_new(void);
void window_clear(struct copy_window *window);
void window_free(struct copy_window *window);
void window_add(struct copy_window *window, const struct manifest_entry *entry, const char *path);
/* Fills order with the extents of files that are not kept. Returns how many. */
size_t window_sort(struct copy_window *window);
/* The CRC of a file from those of its extents. */
uint32_t window_crc(const struct copy_window *window, const struct window_file *file);

#endif
