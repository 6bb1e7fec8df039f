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

/* bimg_info: compression has other bits up to 14. */
enum {
	IMAGE_HOLE = 0x01,
	IMAGE_PGLZ_14 = 0x02,
	IMAGE_COMPRESSED_15 = 0x04 | 0x08 | 0x10,
	IMAGE_MAJOR = 15,
};

enum { FORK_LAST = WAL_FORK_INIT, MAIN_BYTES_FIRST = 4096 };

/* ---- item headers ---- */

static const char *image_take(struct cursor *head, unsigned major, struct wal_block *block)
{
	uint16_t hole_offset;
	uint8_t info;
	bool compressed;

	block->image_bytes = cursor_u16(head);
	hole_offset = cursor_u16(head);
	info = cursor_u8(head);
	compressed = info & (major >= IMAGE_MAJOR ? IMAGE_COMPRESSED_15 : IMAGE_PGLZ_14);
	if (info & IMAGE_HOLE && compressed && cursor_u16(head) == 0)
		return "a page image has a hole of no bytes";
	if (!(info & IMAGE_HOLE) && hole_offset)
		return "a page image has the offset of a hole, but none";
	if (block->image_bytes == 0)
		return "a page image has no bytes";
	block->image = true;
	return NULL;
}

/* The reason why not, or NULL. */
static const char *block_take(struct cursor *head, unsigned id, struct wal_decoded *record)
{
	struct wal_block *block = &record->block[record->blocks];
	uint8_t flags = cursor_u8(head);
	const char *reason = NULL;

	if (record->blocks && id <= block[-1].id)
		return "block references are not in order";
	*block = (struct wal_block){.id = (uint8_t)id,
	                            .fork = flags & BLOCK_FORK,
	                            .init = flags & BLOCK_INIT,
	                            .data_bytes = cursor_u16(head)};
	if (block->fork > FORK_LAST)
		return "a block reference names an unknown fork";
	if (!!(flags & BLOCK_DATA) != (block->data_bytes > 0))
		return "a block reference has a wrong length of data";
	if (flags & BLOCK_IMAGE)
		reason = image_take(head, record->major, block);
	if (reason)
		return reason;
	if (!(flags & BLOCK_SAME_RELATION)) {
		block->relation.tablespace = cursor_u32(head);
		block->relation.database = cursor_u32(head);
		block->relation.file = cursor_u32(head);
	} else if (record->blocks)
		block->relation = block[-1].relation;
	else
		return "the first block reference names no relation";
	block->number = cursor_u32(head);
	record->blocks++;
	record->images += block->image;
	return NULL;
}

/*
 * head: the first bytes of the body, all of its headers if they are whole. The reason why not, or
 * NULL; main_bytes is set, main is not.
 */
static const char *headers_take(struct cursor head, uint32_t body_bytes, struct wal_decoded *record)
{
	const uint8_t *begin = head.at;
	uint64_t payload = 0;
	const char *reason = NULL;
	bool last = false;

	while (!last && !head.bad && body_bytes - (size_t)(head.at - begin) > payload) {
		unsigned id = cursor_u8(&head);

		if (id <= ITEM_BLOCK_LAST) {
			reason = block_take(&head, id, record);
			if (reason)
				return head.bad ? "its item headers are cut off" : reason;
			payload += record->block[record->blocks - 1].data_bytes +
			           record->block[record->blocks - 1].image_bytes;
		} else if (id == ITEM_TOP_XID)
			record->top_xid = cursor_u32(&head);
		else if (id == ITEM_ORIGIN)
			cursor_take(&head, 2);
		else if (id == ITEM_MAIN_LONG || id == ITEM_MAIN_SHORT) {
			record->main_bytes =
			        id == ITEM_MAIN_LONG ? cursor_u32(&head) : cursor_u8(&head);
			payload += record->main_bytes;
			last = true;
		} else
			return "an item header is of an unknown kind";
	}
	if (head.bad)
		return "its item headers are cut off";
	if (body_bytes - (size_t)(head.at - begin) != payload)
		return "its items do not have the record's length";
	return NULL;
}

static void record_begin(struct waldecode *decode, const struct walwalk *walk)
{
	struct wal_decoded *record = &decode->record;

	record->bytes = get_u32(walk->header);
	record->xid = get_u32(walk->header + 4);
	record->info = walk->header[16];
	record->manager = walk->header[17];
	record->major = walk->seen.major;
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
	decode->reason = headers_take(cursor_of(decode->head, decode->head_have), body_bytes,
	                              &decode->record);
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
		record_begin(decode, walk);
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
                          const uint8_t *body, lsn end, const char **ret_reason)
{
	struct waldecode *decode = container_of(sink, struct waldecode, sink);
	struct wal_decoded *record = &decode->record;
	uint32_t body_bytes = get_u32(walk->header) - RECORD_HEADER_BYTES;

	if (body || body_bytes == 0) {
		record_begin(decode, walk);
		decode->reason = headers_take(
		        cursor_of(body, MIN(body_bytes, (uint32_t)WALDECODE_HEAD_BYTES)),
		        body_bytes, record);
		record->main = body ? body + (body_bytes - record->main_bytes) : NULL;
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
