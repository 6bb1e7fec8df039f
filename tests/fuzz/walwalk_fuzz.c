/*
 * walwalk_fuzz.c — the record walker and the decoder behind it on any bytes.
 *
 * The first byte says how: strict or tail, and the size of the pieces. The rest is the start of a
 * segment of 1 MB, the remainder are zeros; what is left over is a second segment. CRCs are made
 * right where a record's header lies whole in the input, or the fuzzer would never get past them.
 */
#include "base/bytes.h"
#include "fuzz/fuzz.h"
#include "pg/crc32c.h"
#include "pg/waldecode.h"
#include <assert.h>

enum { SEGMENT = 1 << 20, PAGE = 8192, TIMELINE = 2, SEGNO = 31 };

static void record_check(void *context, const struct walrecord *record)
{
	uint64_t *records = context;

	assert(record->start < record->end && record->text);
	assert(record->kind == WALRECORD_SWITCH || record->end - record->start >= 24);
	(*records)++;
}

static uint32_t list_sum(const struct wal_list *list, uint32_t words)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < list->count * words; i++)
		sum += walevent_u32(list, i);
	return sum;
}

/* Every byte that it points to is read. */
static void decoded_check(void *context, const struct wal_decoded *record)
{
	uint32_t *sum = context;
	struct walevent event;

	assert(record->start < record->end && record->blocks <= WAL_BLOCKS_MAX);
	for (uint32_t i = 0; i < record->main_bytes && !record->cut; i++)
		*sum += record->main[i];
	if (!walevent_of(record, &event))
		return;
	*sum += list_sum(&event.subxids, 1) + list_sum(&event.files, 3) +
	        list_sum(&event.abort_files, 3) + list_sum(&event.tablespaces, 1) +
	        list_sum(&event.relations, 1) + list_sum(&event.locks, 3) +
	        (uint32_t)strlen(event.text) + (uint32_t)strlen(walevent_name(event.kind));
}

/* Records that lie in one page get the CRC that fits them. */
static void records_sign(uint8_t *bytes, size_t length)
{
	size_t at = 40;

	while (at + 24 <= length) {
		size_t total = get_u32(bytes + at);

		if (total < 24 || total > PAGE - at % PAGE || at + total > length)
			return;
		put_u32(bytes + at + 20,
		        crc32c(crc32c(CRC32C_EMPTY, bytes + at + 24, total - 24), bytes + at, 20));
		at = (at + total + 7) & ~(size_t)7;
		if (at % PAGE == 0)
			at += 24;
	}
}

/* Small pieces only where there is input; the zeros behind it go in one. */
static void segment_walk(const struct walwalk_options *options, const uint8_t *bytes, size_t used,
                         size_t piece)
{
	size_t n;
	struct walwalk walk;
	struct err err = {0};
	bool good;

	walwalk_init(&walk, options);
	good = walwalk_begin(&walk, TIMELINE, SEGNO, &err);
	for (size_t at = 0; good && at < SEGMENT; at += n) {
		n = at < used ? MIN(piece, SEGMENT - at) : SEGMENT - at;
		good = walwalk_feed(&walk, bytes + at, n, &err);
	}
	good = good && walwalk_end(&walk, &err);
	assert(good == (err.code == ERR_NONE));
	assert(!options->tail || good || err.code == ERR_REFUSED);
	assert(walk.seen.end_lsn >= walk.seen.last_end);
	assert(walk.seen.records == 0 || walk.seen.last_start < walk.seen.last_end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	static const size_t pieces[] = {1 << 20, 8192, 4096, 1000, 24, 40, 7, 131072};
	uint64_t records = 0;
	uint32_t sum = 0;
	struct waldecode decode;
	struct walwalk_options options = {.segment_bytes = SEGMENT,
	                                  .each = record_check,
	                                  .context = &records,
	                                  .sink = &decode.sink};
	static uint8_t bytes[SEGMENT]; /* zeros between two runs */
	size_t used = length ? MIN(length - 1, (size_t)SEGMENT) : 0;

	if (length == 0)
		return 0;
	memcpy(bytes, data + 1, used);
	options.tail = data[0] & 1;
	if (data[0] & 2)
		records_sign(bytes, used);
	waldecode_init(&decode, decoded_check, &sum);
	segment_walk(&options, bytes, used, pieces[data[0] >> 2 & 7]);
	waldecode_release(&decode);
	memset(bytes, 0, used);
	return 0;
}
