/*
 * waldecode.c — item headers of a record: which blocks it touches, and where its main data lies.
 *
 *	item headers | image and data of block 0 | … of the last block | main data
 *
 * The headers come first and have at most WALDECODE_HEAD_BYTES; they announce the payload to the
 * byte, so the main data, always last, is found from the end. The checks are those of
 * DecodeXLogRecord (access/transam/xlogreader.c), but for those that need the size of a data page.
 */
#include "pg/waldecode.h"

#include "base/bytes.h"
#include "walrecord.h"

#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

enum {
	ITEM_BLOCK_LAST = WAL_BLOCKS_MAX - 1,
	ITEM_TOP_XID = 252,
	ITEM_ORIGIN = 253,
	ITEM_MAIN_LONG = 254,
	ITEM_MAIN_SHORT = 255,
};

/* Fork flags of a block reference. */
enum {
	BLOCK_FORK = 0x0F,
	BLOCK_IMAGE = 0x10,
	BLOCK_DATA = 0x20,
	BLOCK_INIT = 0x40,
	BLOCK_SAME_RELATION = 0x80,
};

/* bimg_info, as of 15. */
enum {
	IMAGE_HOLE = 0x01,
	IMAGE_APPLY = 0x02,
	IMAGE_PGLZ = 0x04,
	IMAGE_LZ4 = 0x08,
	IMAGE_ZSTD = 0x10,
	IMAGE_PGLZ_14 = 0x02, /* up to 14 these two */
	IMAGE_APPLY_14 = 0x04,
	IMAGE_MAJOR = 15,
};
enum { PAGE_BYTES = 8192 /* of relations: control.c refuses others */, TOP_XID_MAJOR = 14 };

enum { FORK_LAST = WAL_FORK_INIT, MAIN_BYTES_FIRST = 4096 };

/* ---- item headers ---- */

/* On the path of every record: plain pointers, each read compared with the end before. */
struct items {
	const uint8_t *at, *end;
	uint64_t payload; /* announced so far */
};

static const char cut_off[] = "its item headers are cut off";

static size_t items_left(const struct items *items)
{
	return (size_t)(items->end - items->at);
}

/* As of 15. */
static unsigned image_bits(unsigned bits, unsigned major)
{
	if (major >= IMAGE_MAJOR)
		return bits;
	return (bits & IMAGE_HOLE) | (bits & IMAGE_PGLZ_14 ? IMAGE_PGLZ : 0) |
	       (bits & IMAGE_APPLY_14 ? IMAGE_APPLY : 0);
}

static enum wal_image image_compression(unsigned bits)
{
	if (bits & IMAGE_PGLZ)
		return WAL_IMAGE_PGLZ;
	if (bits & IMAGE_LZ4)
		return WAL_IMAGE_LZ4;
	return bits & IMAGE_ZSTD ? WAL_IMAGE_ZSTD : WAL_IMAGE_PLAIN;
}

static const char *image_check(const struct wal_block *block, bool hole)
{
	if (block->image_bytes == 0)
		return "a page image has no bytes";
	if (hole && (block->hole_bytes == 0 || block->hole_offset == 0))
		return "a page image has a hole of no bytes, or at no place";
	if (!hole && block->hole_offset)
		return "a page image has the offset of a hole, but none";
	if (block->hole_offset + block->hole_bytes > PAGE_BYTES)
		return "a page image has a hole beyond its page";
	if (block->compression == WAL_IMAGE_PLAIN
	            ? block->image_bytes + block->hole_bytes != PAGE_BYTES
	            : block->image_bytes >= PAGE_BYTES)
		return "a page image has a wrong length";
	return NULL;
}

static const char *image_take(struct items *items, unsigned major, struct wal_block *block)
{
	unsigned bits;

	if (items_left(items) < 5)
		return cut_off;
	block->image_bytes = get_u16(items->at);
	block->hole_offset = get_u16(items->at + 2);
	bits = image_bits(items->at[4], major);
	items->at += 5;
	items->payload += block->image_bytes;
	block->compression = (uint8_t)image_compression(bits);
	block->image_applies = bits & IMAGE_APPLY;
	block->hole_bytes = 0;
	if (bits & IMAGE_HOLE && block->compression != WAL_IMAGE_PLAIN) {
		if (items_left(items) < 2)
			return cut_off;
		block->hole_bytes = get_u16(items->at);
		items->at += 2;
	} else if (bits & IMAGE_HOLE)
		block->hole_bytes = (uint16_t)(PAGE_BYTES - block->image_bytes);
	return image_check(block, bits & IMAGE_HOLE);
}

/* The reason why not, or NULL. */
static const char *block_take(struct items *items, unsigned id, struct wal_decoded *record)
{
	struct wal_block *block = &record->block[record->blocks];
	const char *reason;
	unsigned flags;

	if (items_left(items) < 3)
		return cut_off;
	if (record->blocks && id <= block[-1].id)
		return "block references are not in order";
	flags = items->at[0];
	block->data_bytes = get_u16(items->at + 1);
	items->at += 3;
	items->payload += block->data_bytes;
	block->id = (uint8_t)id;
	block->fork = flags & BLOCK_FORK;
	block->init = flags & BLOCK_INIT;
	block->image = flags & BLOCK_IMAGE;
	if (block->fork > FORK_LAST)
		return "a block reference names an unknown fork";
	if (!!(flags & BLOCK_DATA) != (block->data_bytes > 0))
		return "a block reference has a wrong length of data";
	if (block->image) {
		record->images++;
		reason = image_take(items, record->major, block);
		if (reason)
			return reason;
	} else {
		block->image_applies = false;
		block->compression = WAL_IMAGE_PLAIN;
		block->image_bytes = block->hole_offset = block->hole_bytes = 0;
	}
	if (!(flags & BLOCK_SAME_RELATION)) {
		if (items_left(items) < 12 + 4)
			return cut_off;
		block->relation.tablespace = get_u32(items->at);
		block->relation.database = get_u32(items->at + 4);
		block->relation.file = get_u32(items->at + 8);
		items->at += 12;
	} else if (record->blocks)
		block->relation = block[-1].relation;
	else
		return "the first block reference names no relation";
	if (items_left(items) < 4)
		return cut_off;
	block->number = get_u32(items->at);
	items->at += 4;
	record->blocks++;
	return NULL;
}

static const char *other_take(struct items *items, unsigned id, struct wal_decoded *record)
{
	size_t size = id == ITEM_MAIN_SHORT ? 1 : id == ITEM_ORIGIN ? 2 : 4;

	if (id < ITEM_TOP_XID || (id == ITEM_TOP_XID && record->major < TOP_XID_MAJOR))
		return "an item header is of an unknown kind";
	if (items_left(items) < size)
		return cut_off;
	if (id == ITEM_TOP_XID)
		record->top_xid = get_u32(items->at);
	else if (id == ITEM_ORIGIN)
		record->origin = get_u16(items->at);
	else
		record->main_bytes = size == 1 ? items->at[0] : get_u32(items->at);
	items->at += size;
	return NULL;
}

/*
 * body: all of its headers, if they are whole in its first `have` bytes. The reason why not, or
 * NULL; main_bytes is set, main is not.
 */
static const char *headers_take(const uint8_t *body, size_t have, uint32_t body_bytes,
                                struct wal_decoded *record)
{
	struct items items = {.at = body, .end = body + have};
	bool last = false;

	while (!last && body_bytes - (size_t)(items.at - body) > items.payload) {
		const char *reason;
		unsigned id;

		if (items.at == items.end)
			return cut_off;
		id = *items.at++;
		if (id <= ITEM_BLOCK_LAST)
			reason = block_take(&items, id, record);
		else
			reason = other_take(&items, id, record);
		if (reason)
			return reason;
		last = id >= ITEM_MAIN_LONG;
	}
	items.payload += record->main_bytes;
	if (body_bytes - (size_t)(items.at - body) != items.payload)
		return "its items do not have the record's length";
	return NULL;
}

static void record_begin(struct wal_decoded *record, const struct walwalk *walk,
                         const uint8_t *header)
{
	record->bytes = get_u32(header);
	record->xid = get_u32(header + 4);
	record->info = header[16];
	record->manager = header[17];
	record->major = walk->seen.major;
	record->origin = 0;
	record->blocks = record->images = 0;
	record->top_xid = 0;
	record->main = NULL;
	record->main_bytes = 0;
	record->cut = false;
}

/* ---- a record in pieces ---- */

static void main_keep(struct waldecode *decode, const uint8_t *bytes, size_t length)
{
	size_t n = MIN(length, (size_t)(WALDECODE_MAIN_MAX - decode->main_have));

	if (decode->main_have + n > decode->main_size) {
		decode->main_size = MAX((uint32_t)(decode->main_have + n),
		                        MAX(2 * decode->main_size, (uint32_t)MAIN_BYTES_FIRST));
		decode->main = xrealloc(decode->main, decode->main_size);
	}
	if (n)
		memcpy(decode->main + decode->main_have, bytes, n);
	decode->main_have += (uint32_t)n;
}

/* The head is as long as it will be. */
static void head_finish(struct waldecode *decode, uint32_t body_bytes)
{
	decode->headers_known = true;
	decode->reason = headers_take(decode->head, decode->head_have, body_bytes, &decode->record);
	decode->main_at = body_bytes - decode->record.main_bytes;
	if (!decode->reason && decode->main_at < decode->head_have)
		main_keep(decode, decode->head + decode->main_at,
		          decode->head_have - decode->main_at);
}

static void decode_piece(struct walwalk_sink *sink, const struct walwalk *walk, uint32_t offset,
                         const uint8_t *bytes, size_t length)
{
	struct waldecode *decode = container_of(sink, struct waldecode, sink);
	uint32_t body_bytes = get_u32(walk->header) - RECORD_HEADER_BYTES;
	size_t n;

	if (offset == 0) {
		record_begin(&decode->record, walk, walk->header);
		decode->head_have = decode->main_have = 0;
		decode->headers_known = false;
		decode->reason = NULL;
	}
	if (!decode->headers_known) {
		uint32_t want = MIN(body_bytes, (uint32_t)WALDECODE_HEAD_BYTES);

		n = MIN(length, (size_t)(want - decode->head_have));
		memcpy(decode->head + decode->head_have, bytes, n);
		decode->head_have += (uint32_t)n;
		if (decode->head_have < want)
			return;
		head_finish(decode, body_bytes);
		offset += (uint32_t)n;
		bytes += n;
		length -= n;
	}
	if (decode->reason || offset + length <= decode->main_at)
		return;
	n = offset < decode->main_at ? decode->main_at - offset : 0;
	main_keep(decode, bytes + n, length - n);
}

static bool decode_record(struct walwalk_sink *sink, const struct walwalk *walk,
                          const uint8_t *whole, lsn end, const char **ret_reason)
{
	struct waldecode *decode = container_of(sink, struct waldecode, sink);
	struct wal_decoded *record = &decode->record;
	const uint8_t *header = whole ? whole : walk->header;
	uint32_t body_bytes = get_u32(header) - RECORD_HEADER_BYTES;

	if (whole || body_bytes == 0) { /* of a header alone nothing behind it is read */
		record_begin(record, walk, header);
		decode->reason = headers_take(header + RECORD_HEADER_BYTES,
		                              MIN(body_bytes, (uint32_t)WALDECODE_HEAD_BYTES),
		                              body_bytes, record);
		if (!decode->reason)
			record->main = header + (record->bytes - record->main_bytes);
	} else {
		record->main = decode->main;
		record->cut = record->main_bytes > decode->main_have;
	}
	*ret_reason = decode->reason;
	if (decode->reason)
		return false;
	record->start = walk->record_start;
	record->end = end;
	record->tli = MAX(walk->record_tli, walk->tli_floor);
	decode->each(decode->context, record);
	return true;
}

void waldecode_init(struct waldecode *decode, waldecode_each *each, void *context)
{
	memset(decode, 0, sizeof(*decode));
	decode->sink.piece = decode_piece;
	decode->sink.record = decode_record;
	decode->each = each;
	decode->context = context;
}

void waldecode_release(struct waldecode *decode)
{
	free(decode->main);
	decode->main = NULL;
	decode->main_size = 0;
}
