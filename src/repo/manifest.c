/*
 * manifest.c — records of a manifest's body: one encode, one decode, and the reader that puts them
 * together from pieces.
 *
 * A record that lies whole in a piece is decoded where it lies; one that is cut is collected first.
 * What a reader hands out obeys the rules below, so that a restore can create files by it without
 * asking again: every path stays inside the data directory, its folder came before it, nothing
 * comes twice. The rules need no more memory than the longest path.
 */
#include "repo/manifest.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/str.h"

#include "base/poison.h"

enum {
	RECORD_FIXED_BYTES = 40,
	EXTENT_BYTES = 20,
	RECORD_BYTES_MAX =
	        RECORD_FIXED_BYTES + 2 * MANIFEST_PATH_MAX + MANIFEST_EXTENTS_MAX * EXTENT_BYTES,
	MODE_MAX = 07777,
};
_Static_assert(MANIFEST_PATH_MAX <= UINT16_MAX, "lengths of paths have 16 bits");

/* ---- order and names ---- */

/* '/' below every other byte, the end below '/': then comparing bytes compares components. */
static int path_byte(char c)
{
	if (c == '\0')
		return 0;
	return c == '/' ? 1 : 1 + (int)(unsigned char)c;
}

int manifest_path_compare(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return path_byte(*a) - path_byte(*b);
}

bool manifest_path_is_late(enum manifest_kind kind, const char *path)
{
	static const char *const late[] = {"backup_label", "global/pg_control", "tablespace_map"};

	for (size_t i = 0; i < ARRAY_LENGTH(late); i++)
		if (strcmp(path, late[i]) == 0)
			return true;
	return kind == MANIFEST_OUTSIDE;
}

/* Components without "", "." and "..". */
static bool path_valid(const char *path)
{
	while (true) {
		size_t length = strcspn(path, "/");

		if (length == 0 || (length == 1 && path[0] == '.') ||
		    (length == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (path[length] == '\0')
			return true;
		path += length + 1;
	}
}

static bool path_may_be_link(const char *path)
{
	uint32_t oid;

	if (strcmp(path, "pg_wal") == 0)
		return true;
	return str_starts(path, "pg_tblspc/") && str_u32(path + strlen("pg_tblspc/"), &oid);
}

/* Whether path lies directly in folder or in one of the folders above it, the top included. */
static bool path_parent_is_in(const char *path, const char *folder)
{
	const char *slash = strrchr(path, '/');
	size_t length;

	if (!slash)
		return true;
	length = (size_t)(slash - path);
	return strncmp(folder, path, length) == 0 &&
	       (folder[length] == '\0' || folder[length] == '/');
}

/* ---- encoding ---- */

void manifest_entry_encode(const struct manifest_entry *entry, struct buf *out)
{
	size_t path_length = strlen(entry->path);
	size_t target_length = entry->target ? strlen(entry->target) : 0;
	size_t length = RECORD_FIXED_BYTES + path_length + target_length +
	                (size_t)entry->extents * EXTENT_BYTES;
	uint8_t *p = buf_reserve(out, length);

	assert(path_length > 0 && path_length <= MANIFEST_PATH_MAX);
	assert(target_length <= MANIFEST_PATH_MAX && entry->extents <= MANIFEST_EXTENTS_MAX);
	assert((target_length > 0) == (entry->kind == MANIFEST_LINK));
	if (!p)
		return;
	out->length += length;
	put_u32(p, (uint32_t)length);
	put_u8(p + 4, (uint8_t)entry->kind);
	put_u8(p + 5, manifest_path_is_late(entry->kind, entry->path));
	put_u16(p + 6, (uint16_t)path_length);
	put_u16(p + 8, (uint16_t)target_length);
	put_u16(p + 10, 0);
	put_u32(p + 12, entry->mode);
	put_u64(p + 16, entry->size_bytes);
	put_u64(p + 24, (uint64_t)entry->modified_us);
	put_u32(p + 32, entry->crc32c);
	put_u32(p + 36, entry->extents);
	p += RECORD_FIXED_BYTES;
	memcpy(p, entry->path, path_length);
	p += path_length;
	if (target_length > 0)
		memcpy(p, entry->target, target_length);
	p += target_length;
	for (uint32_t i = 0; i < entry->extents; i++, p += EXTENT_BYTES) {
		const struct extent *extent = &entry->extent[i];

		put_u64(p, extent->length);
		put_u32(p + 8, extent->source);
		put_u32(p + 12, extent->pack);
		put_u32(p + 16, extent->pack_offset);
	}
}

/* ---- decoding ---- */

struct manifest_reader {
	manifest_each *each;
	void *context;
	struct buf pending;    /* the beginning of a record that goes on in the next piece */
	struct extent *extent; /* of the record at hand */
	uint32_t extent_size;
	uint64_t count;
	bool late; /* the last record was a late one */
	char path[MANIFEST_PATH_MAX + 1], target[MANIFEST_PATH_MAX + 1];
	char previous[MANIFEST_PATH_MAX + 1]; /* path of the last record */
	char folder[MANIFEST_PATH_MAX + 1]; /* of the last folder, or link with something inside */
};

struct manifest_reader *manifest_reader_new(manifest_each *each, void *context)
{
	struct manifest_reader *reader = xcalloc(1, sizeof(*reader));

	reader->each = each;
	reader->context = context;
	buf_init(&reader->pending, RECORD_BYTES_MAX);
	return reader;
}

void manifest_reader_free(struct manifest_reader *reader)
{
	if (!reader)
		return;
	buf_release(&reader->pending);
	free(reader->extent);
	free(reader);
}

uint64_t manifest_reader_count(const struct manifest_reader *reader)
{
	return reader->count;
}

static bool reader_bad(const struct manifest_reader *reader, const char *what, struct err *err)
{
	return err_set(err, ERR_DAMAGED, "record %" PRIu64 " of the manifest is invalid: %s",
	               reader->count + 1, what);
}

/* Text of length bytes into out, with NUL; false: longer than a path, or a NUL inside. */
static bool take_text(struct cursor *cursor, size_t length, char out[MANIFEST_PATH_MAX + 1])
{
	const char *text;

	if (length > MANIFEST_PATH_MAX)
		return false;
	text = cursor_take(cursor, length);
	if (!text || memchr(text, '\0', length))
		return false;
	memcpy(out, text, length);
	out[length] = '\0';
	return true;
}

static bool extent_valid(const struct extent *extent)
{
	if (extent->length == 0 || extent->pack == 0)
		return false;
	if (extent->pack == MANIFEST_ZEROS)
		return extent->source == 0 && extent->pack_offset == 0;
	return extent->length <= SEALED_FRAMES_BYTES_MAX &&
	       extent->pack_offset <= SEALED_FRAMES_BYTES_MAX - extent->length;
}

/* The extents, whose number was checked against the record's length. */
static bool take_extents(struct manifest_reader *reader, struct cursor *cursor,
                         struct manifest_entry *entry, struct err *err)
{
	uint64_t offset = 0;

	if (entry->extents > reader->extent_size) {
		reader->extent_size = MAX(entry->extents, 2 * reader->extent_size);
		free(reader->extent);
		reader->extent = xcalloc(reader->extent_size, sizeof(*reader->extent));
	}
	for (uint32_t i = 0; i < entry->extents; i++) {
		struct extent *extent = &reader->extent[i];

		extent->offset = offset;
		extent->length = cursor_u64(cursor);
		extent->source = cursor_u32(cursor);
		extent->pack = cursor_u32(cursor);
		extent->pack_offset = cursor_u32(cursor);
		if (!extent_valid(extent) || extent->length > entry->size_bytes - offset)
			return reader_bad(reader, "an extent that cannot be", err);
		offset += extent->length;
	}
	if (offset != entry->size_bytes)
		return reader_bad(reader, "its extents do not make up its size", err);
	entry->extent = reader->extent;
	return true;
}

static bool entry_check_kind(const struct manifest_reader *reader,
                             const struct manifest_entry *entry, struct err *err)
{
	bool has_content = entry->size_bytes > 0 || entry->extents > 0 || entry->crc32c != 0;

	switch (entry->kind) {
	case MANIFEST_FILE:
	case MANIFEST_OUTSIDE:
		if (entry->target[0])
			return reader_bad(reader, "a file with a target", err);
		return true;
	case MANIFEST_FOLDER:
	case MANIFEST_LINK:
		if (has_content)
			return reader_bad(reader, "a folder or link with content", err);
		if ((entry->kind == MANIFEST_LINK) != (entry->target[0] != '\0'))
			return reader_bad(reader, "a link and no target, or the other way round",
			                  err);
		if (entry->kind == MANIFEST_LINK && !path_may_be_link(entry->path))
			return reader_bad(reader, "a link at a place that has none", err);
		return true;
	}
	return reader_bad(reader, "a kind that is not known", err);
}

static bool entry_check_place(struct manifest_reader *reader, const struct manifest_entry *entry,
                              bool late, struct err *err)
{
	if (late != manifest_path_is_late(entry->kind, entry->path) || late < reader->late)
		return reader_bad(reader, "it stands in the wrong section", err);
	if (late != reader->late)
		reader->previous[0] = '\0';
	if (entry->kind == MANIFEST_OUTSIDE ? entry->path[0] != '/' || !path_valid(entry->path + 1)
	                                    : !path_valid(entry->path))
		return reader_bad(reader, "a path that leaves its place", err);
	if (manifest_path_compare(reader->previous, entry->path) >= 0)
		return reader_bad(reader, "it is not in order, or twice", err);
	if (!late && !path_parent_is_in(entry->path, reader->folder))
		return reader_bad(reader, "its folder is missing", err);
	reader->late = late;
	memcpy(reader->previous, entry->path, strlen(entry->path) + 1);
	if (entry->kind == MANIFEST_FOLDER ||
	    (entry->kind == MANIFEST_LINK && strcmp(entry->path, "pg_wal") != 0))
		memcpy(reader->folder, entry->path, strlen(entry->path) + 1);
	return true;
}

/* One whole record; length is what it says of itself. */
static bool reader_take(struct manifest_reader *reader, const uint8_t *record, size_t length,
                        struct err *err)
{
	struct cursor cursor = cursor_of(record + 4, length - 4);
	struct manifest_entry entry = {.kind = cursor_u8(&cursor)};
	uint8_t late = cursor_u8(&cursor);
	size_t path_length = cursor_u16(&cursor), target_length = cursor_u16(&cursor);
	uint16_t zero = cursor_u16(&cursor);

	entry.mode = cursor_u32(&cursor);
	entry.size_bytes = cursor_u64(&cursor);
	entry.modified_us = (int64_t)cursor_u64(&cursor);
	entry.crc32c = cursor_u32(&cursor);
	entry.extents = cursor_u32(&cursor);
	entry.path = reader->path;
	entry.target = reader->target;
	if (cursor.bad || late > 1 || zero != 0 || entry.mode > MODE_MAX ||
	    entry.size_bytes > INT64_MAX || entry.extents > MANIFEST_EXTENTS_MAX ||
	    length != RECORD_FIXED_BYTES + path_length + target_length +
	                      (size_t)entry.extents * EXTENT_BYTES)
		return reader_bad(reader, "its numbers contradict each other", err);
	if (!take_text(&cursor, path_length, reader->path) ||
	    !take_text(&cursor, target_length, reader->target))
		return reader_bad(reader, "its path is too long or has a NUL", err);
	if (!entry_check_kind(reader, &entry, err) ||
	    !entry_check_place(reader, &entry, late, err) ||
	    !take_extents(reader, &cursor, &entry, err))
		return false;
	if (!reader->each(reader->context, &entry, err))
		return false;
	reader->count++;
	return true;
}

/* How long the record is that begins here; 0: too few bytes to know. */
static bool record_length(const struct manifest_reader *reader, const uint8_t *bytes, size_t length,
                          size_t *ret, struct err *err)
{
	*ret = 0;
	if (length < 4)
		return true;
	*ret = get_u32(bytes);
	if (*ret < RECORD_FIXED_BYTES || *ret > RECORD_BYTES_MAX)
		return reader_bad(reader, "its length cannot be", err);
	return true;
}

/* Brings the cut record nearer to its end; how many bytes of the piece went into it. */
static bool reader_complete(struct manifest_reader *reader, const uint8_t *bytes, size_t length,
                            size_t *ret_used, struct err *err)
{
	struct buf *pending = &reader->pending;
	size_t whole, part;

	*ret_used = 0;
	while (pending->length > 0 && *ret_used < length) {
		if (!record_length(reader, (uint8_t *)pending->data, pending->length, &whole, err))
			return false;
		part = MIN((whole ? whole : 4) - pending->length, length - *ret_used);
		if (!buf_add(pending, bytes + *ret_used, part))
			return reader_bad(reader, "it is too long", err);
		*ret_used += part;
		if (whole && pending->length == whole) {
			if (!reader_take(reader, (uint8_t *)pending->data, whole, err))
				return false;
			buf_clear(pending);
		}
	}
	return true;
}

bool manifest_reader_feed(struct manifest_reader *reader, const void *bytes, size_t length,
                          struct err *err)
{
	const uint8_t *at = bytes;
	size_t used, whole;

	if (!reader_complete(reader, at, length, &used, err))
		return false;
	while (used < length) {
		if (!record_length(reader, at + used, length - used, &whole, err))
			return false;
		if (whole == 0 || whole > length - used)
			return buf_add(&reader->pending, at + used, length - used) ||
			       reader_bad(reader, "it is too long", err);
		if (!reader_take(reader, at + used, whole, err))
			return false;
		used += whole;
	}
	return true;
}

bool manifest_reader_end(struct manifest_reader *reader, struct err *err)
{
	if (reader->pending.length > 0)
		return err_set(err, ERR_DAMAGED, "the manifest ends within record %" PRIu64,
		               reader->count + 1);
	return true;
}
