/*
 * walindex_code.c — pieces of the WAL index as bytes (doc/format.md, "WAL index").
 *
 * A fixed front, then segments, events, changed blocks and open transactions, all of them varints
 * relative to what came before. Encode and decode stand side by side. Blocks are written in the
 * shortest of three ways: gaps, runs, a bitmap.
 */
#include "repo/walindex.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "pg/segment.h"

#include "base/poison.h"

enum {
	FRONT_BYTES = 32,
	FLAG_POISONED = 1,
	FLAG_CROWDED = 2,
	FLAG_FULL = 4,
	FLAGS_ALL = 7,
	VARINT_BYTES_MAX = 10,
};
enum { SEGMENT_RECORDS = 1, SEGMENT_XACTS = 2, SEGMENT_LOST = 4, SEGMENT_COMMITS = 8 };
enum { BLOCKS_GAPS, BLOCKS_RUNS, BLOCKS_BITMAP };

/* ---- varints ---- */

static unsigned varint_bytes(uint64_t value)
{
	unsigned bytes = 1;

	while (value >>= 7)
		bytes++;
	return bytes;
}

static void add_varint(struct buf *out, uint64_t value)
{
	uint8_t bytes[VARINT_BYTES_MAX];
	unsigned count = 0;

	do {
		bytes[count++] = (uint8_t)((value & 0x7F) | (value > 0x7F ? 0x80 : 0));
		value >>= 7;
	} while (value);
	buf_add(out, bytes, count);
}

/* The difference of two, of either sign, wrapping. */
static void add_delta(struct buf *out, uint64_t value, uint64_t before)
{
	uint64_t delta = value - before;

	add_varint(out, delta << 1 ^ (delta >> 63 ? UINT64_MAX : 0));
}

/* Only the shortest form of a number is one. */
static uint64_t take_varint(struct cursor *c)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
		uint8_t byte = cursor_u8(c);

		if ((i == VARINT_BYTES_MAX - 1 && byte > 1) || (i > 0 && byte == 0))
			break;
		value |= (uint64_t)(byte & 0x7F) << (7 * i);
		if (!(byte & 0x80))
			return value;
	}
	c->bad = true;
	return 0;
}

static uint64_t take_delta(struct cursor *c, uint64_t before)
{
	uint64_t coded = take_varint(c);

	return before + (coded >> 1 ^ (coded & 1 ? UINT64_MAX : 0));
}

static uint64_t take_most(struct cursor *c, uint64_t most)
{
	uint64_t value = take_varint(c);

	if (value > most)
		c->bad = true;
	return c->bad ? 0 : value;
}

static uint32_t take_delta_u32(struct cursor *c, uint32_t before)
{
	uint64_t value = take_delta(c, before);

	if (value > UINT32_MAX)
		c->bad = true;
	return c->bad ? 0 : (uint32_t)value;
}

static uint64_t take_sum(struct cursor *c, uint64_t base)
{
	uint64_t more = take_varint(c);

	if (more > UINT64_MAX - base)
		c->bad = true;
	return c->bad ? 0 : base + more;
}

/* How many items follow: each of them has at least `least` bytes. */
static size_t take_count(struct cursor *c, size_t least, size_t most)
{
	uint64_t count = take_varint(c);

	if (count > most || count > c->left / least)
		c->bad = true;
	return c->bad ? 0 : (size_t)count;
}

/* ---- segments ---- */

struct running { /* what the next number is relative to */
	int64_t time_us;
	uint32_t xid;
	lsn position;
};

static void add_segment(struct buf *out, const struct walindex_piece *piece, uint64_t segno,
                        struct running *running)
{
	const struct walindex_segment *s = &piece->segment[segno - piece->first];
	lsn base = lsn_of_segno(segno, piece->segment_bytes);

	buf_addc(out,
	         (char)((s->records ? SEGMENT_RECORDS : 0) |
	                (s->commits + s->aborts ? SEGMENT_XACTS : 0) |
	                (s->lost_bytes ? SEGMENT_LOST : 0) | (s->commits ? SEGMENT_COMMITS : 0)));
	if (s->lost_bytes)
		add_varint(out, s->lost_bytes);
	if (s->records) {
		add_varint(out, s->records);
		add_delta(out, s->last_start, base);
		add_varint(out, s->last_end - s->last_start);
		add_varint(out, piece->tli - s->last_tli);
	}
	if (!(s->commits + s->aborts))
		return;
	add_varint(out, s->commits);
	add_varint(out, s->aborts);
	add_delta(out, s->first_xact, base);
	add_varint(out, s->last_xact - s->first_xact);
	add_varint(out, s->last_xact_end - s->last_xact);
	add_delta(out, (uint64_t)s->first_us, (uint64_t)running->time_us);
	add_delta(out, (uint64_t)s->last_us, (uint64_t)s->first_us);
	add_delta(out, (uint64_t)s->min_us, (uint64_t)s->first_us);
	add_delta(out, (uint64_t)s->max_us, (uint64_t)s->last_us);
	if (s->commits)
		add_delta(out, (uint64_t)s->last_commit_us, (uint64_t)s->last_us);
	add_delta(out, s->min_xid, running->xid);
	add_varint(out, s->max_xid - s->min_xid);
	running->time_us = s->last_us;
	running->xid = s->max_xid;
}

static bool segment_valid(const struct walindex_segment *s)
{
	return s->min_us <= MIN(s->first_us, s->last_us) &&
	       s->max_us >= MAX(s->first_us, s->last_us) && s->first_us != 0;
}

static void take_xacts(struct cursor *c, struct walindex_segment *s, lsn base, unsigned flags,
                       struct running *running)
{
	s->commits = (uint32_t)take_most(c, UINT32_MAX);
	s->aborts = (uint32_t)take_most(c, UINT32_MAX - s->commits);
	s->first_xact = take_delta(c, base);
	s->last_xact = take_sum(c, s->first_xact);
	s->last_xact_end = take_sum(c, s->last_xact);
	s->first_us = (int64_t)take_delta(c, (uint64_t)running->time_us);
	s->last_us = (int64_t)take_delta(c, (uint64_t)s->first_us);
	s->min_us = (int64_t)take_delta(c, (uint64_t)s->first_us);
	s->max_us = (int64_t)take_delta(c, (uint64_t)s->last_us);
	if (flags & SEGMENT_COMMITS)
		s->last_commit_us = (int64_t)take_delta(c, (uint64_t)s->last_us);
	s->min_xid = take_delta_u32(c, running->xid);
	s->max_xid = s->min_xid + (uint32_t)take_most(c, UINT32_MAX - s->min_xid);
	if (!segment_valid(s) || s->commits + s->aborts == 0 ||
	    (s->commits > 0) != !!(flags & SEGMENT_COMMITS))
		c->bad = true;
	running->time_us = s->last_us;
	running->xid = s->max_xid;
}

static void take_segment(struct cursor *c, struct walindex_piece *piece, uint64_t segno,
                         struct running *running)
{
	struct walindex_segment *s = &piece->segment[segno - piece->first];
	lsn base = lsn_of_segno(segno, piece->segment_bytes);
	unsigned flags = cursor_u8(c);

	if (flags > 15)
		c->bad = true;
	if (flags & SEGMENT_LOST) {
		s->lost_bytes = (uint32_t)take_most(c, UINT32_MAX);
		c->bad |= s->lost_bytes == 0;
	}
	if (flags & SEGMENT_RECORDS) {
		s->records = take_varint(c);
		c->bad |= s->records == 0;
		s->last_start = take_delta(c, base);
		s->last_end = take_sum(c, s->last_start);
		s->last_tli = piece->tli - (uint32_t)take_most(c, piece->tli - 1);
	}
	if (flags & SEGMENT_XACTS)
		take_xacts(c, s, base, flags, running);
	else if (flags & SEGMENT_COMMITS)
		c->bad = true;
}

/* ---- relations and what a transaction did to them ---- */

static void add_rel(struct buf *out, const struct walindex_rel *rel, struct walindex_rel *before)
{
	add_delta(out, rel->database, before->database);
	add_delta(out, rel->tablespace, before->tablespace);
	add_delta(out, rel->number, before->number);
	*before = *rel;
}

/* In the order of relations, none twice. */
static void take_rel(struct cursor *c, struct walindex_rel *rel, struct walindex_rel *before,
                     bool first)
{
	rel->database = take_delta_u32(c, before->database);
	rel->tablespace = take_delta_u32(c, before->tablespace);
	rel->number = take_delta_u32(c, before->number);
	if (!first && walindex_rel_compare(before, rel) >= 0)
		c->bad = true;
	*before = *rel;
}

static void add_touched(struct buf *out, const struct walindex_touched *touched, size_t count)
{
	struct walindex_rel before = {0};

	add_varint(out, count);
	for (size_t i = 0; i < count; i++) {
		add_rel(out, &touched[i].rel, &before);
		add_varint(out, touched[i].flags);
		add_varint(out, touched[i].deleted);
		add_varint(out, touched[i].updated);
		add_varint(out, touched[i].inserted);
	}
}

static struct walindex_touched *take_touched(struct cursor *c, size_t *left, size_t *ret_count)
{
	struct walindex_rel before = {0};
	size_t count = take_count(c, 7, *left);
	struct walindex_touched *touched = count ? xcalloc(count, sizeof(*touched)) : NULL;

	for (size_t i = 0; i < count; i++) {
		take_rel(c, &touched[i].rel, &before, i == 0);
		touched[i].flags = (uint32_t)take_most(c, WALINDEX_TOUCHED_ALL);
		touched[i].deleted = take_varint(c);
		touched[i].updated = take_varint(c);
		touched[i].inserted = take_varint(c);
	}
	*left -= count;
	*ret_count = count;
	return touched;
}

/* ---- events ---- */

static void add_event(struct buf *out, const struct walindex_piece *piece,
                      const struct walindex_event *event, struct running *running)
{
	size_t length = event->text ? strlen(event->text) : 0;

	buf_addc(out, (char)event->kind);
	add_delta(out, event->start, running->position);
	add_varint(out, event->end - event->start);
	add_varint(out, piece->tli - event->tli);
	add_delta(out, (uint64_t)event->time_us, (uint64_t)running->time_us);
	add_varint(out, event->xid);
	add_varint(out, event->number);
	add_varint(out, event->position);
	add_varint(out, length);
	buf_add(out, event->text, length);
	add_touched(out, event->touched, event->toucheds);
	running->position = event->start;
	running->time_us = event->time_us;
}

static void take_event(struct cursor *c, const struct walindex_piece *piece,
                       struct walindex_event *event, struct running *running, size_t *left)
{
	const char *text;
	size_t length;

	event->kind = cursor_u8(c);
	if (event->kind < WALINDEX_RESTORE_POINT || event->kind > WALINDEX_KIND_LAST)
		c->bad = true;
	event->start = take_delta(c, running->position);
	event->end = take_sum(c, event->start);
	event->tli = piece->tli - (uint32_t)take_most(c, piece->tli - 1);
	event->time_us = (int64_t)take_delta(c, (uint64_t)running->time_us);
	event->xid = (uint32_t)take_most(c, UINT32_MAX);
	event->number = take_varint(c);
	event->position = take_varint(c);
	length = take_count(c, 1, WALINDEX_TEXT_MAX);
	text = cursor_take(c, length);
	if (length > 0 && text && !memchr(text, '\0', length))
		event->text = xstrndup(text, length);
	else
		c->bad |= length > 0;
	event->touched = take_touched(c, left, &event->toucheds);
	running->position = event->start;
	running->time_us = event->time_us;
}

static void take_events(struct cursor *c, struct walindex_piece *piece)
{
	struct running running = {.position = lsn_of_segno(piece->first, piece->segment_bytes)};
	size_t count = take_count(c, 10, WALINDEX_EVENTS_MAX), left = WALINDEX_TOUCHED_MAX;

	piece->event = count ? xcalloc(count, sizeof(*piece->event)) : NULL;
	for (; piece->events < count && !c->bad; piece->events++)
		take_event(c, piece, &piece->event[piece->events], &running, &left);
	piece->events_size = count;
}

/* ---- blocks ---- */

struct shapes {
	size_t gaps, runs, bitmap; /* bytes */
	size_t run;                /* how many */
};

/* The run that begins at i: where the next begins. */
static size_t run_end(const struct walindex_marks *marks, size_t i)
{
	const uint32_t *block = marks->block;

	for (i++; i < marks->blocks && block[i] == block[i - 1] + 1; i++)
		;
	return i;
}

static struct shapes shapes_of(const struct walindex_marks *marks)
{
	const uint32_t *block = marks->block;
	uint32_t spread = (block[marks->blocks - 1] - block[0]) / 8 + 1;
	struct shapes shapes = {.bitmap = varint_bytes(block[0]) + varint_bytes(spread) + spread};
	uint64_t next = 0;

	for (size_t i = 0; i < marks->blocks; i++) {
		shapes.gaps += varint_bytes(block[i] - next);
		next = (uint64_t)block[i] + 1;
	}
	next = 0;
	for (size_t i = 0, end; i < marks->blocks; i = end) {
		end = run_end(marks, i);
		shapes.runs += varint_bytes(block[i] - next) + varint_bytes(end - i - 1);
		shapes.run++;
		next = (uint64_t)block[end - 1] + 1;
	}
	shapes.runs += varint_bytes(shapes.run);
	return shapes;
}

static void add_runs(struct buf *out, const struct walindex_marks *marks, size_t runs)
{
	uint64_t next = 0;

	add_varint(out, runs);
	for (size_t i = 0, end; i < marks->blocks; i = end) {
		end = run_end(marks, i);
		add_varint(out, marks->block[i] - next);
		add_varint(out, end - i - 1);
		next = (uint64_t)marks->block[end - 1] + 1;
	}
}

static void add_bitmap(struct buf *out, const struct walindex_marks *marks)
{
	const uint32_t *block = marks->block;
	uint32_t spread = (block[marks->blocks - 1] - block[0]) / 8 + 1;
	uint8_t *bits;

	add_varint(out, block[0]);
	add_varint(out, spread);
	bits = buf_reserve(out, spread);
	if (!bits)
		return; /* it has overflown: the caller looks at the end */
	memset(bits, 0, spread);
	for (size_t i = 0; i < marks->blocks; i++)
		bits[(block[i] - block[0]) / 8] |= (uint8_t)(1 << (block[i] - block[0]) % 8);
	out->length += spread;
}

static void add_blocks(struct buf *out, const struct walindex_marks *marks)
{
	struct shapes shapes;
	uint64_t next = 0;

	add_varint(out, marks->blocks);
	if (marks->blocks == 0)
		return;
	shapes = shapes_of(marks);
	if (shapes.gaps <= shapes.runs && shapes.gaps <= shapes.bitmap) {
		buf_addc(out, BLOCKS_GAPS);
		for (size_t i = 0; i < marks->blocks; i++) {
			add_varint(out, marks->block[i] - next);
			next = (uint64_t)marks->block[i] + 1;
		}
	} else if (shapes.runs <= shapes.bitmap) {
		buf_addc(out, BLOCKS_RUNS);
		add_runs(out, marks, shapes.run);
	} else {
		buf_addc(out, BLOCKS_BITMAP);
		add_bitmap(out, marks);
	}
}

/* Adds [begin, begin + length) to marks, which has room for `count`. */
static void take_run(struct cursor *c, struct walindex_marks *marks, size_t count, uint64_t begin,
                     uint64_t length)
{
	if (c->bad || length > count - marks->blocks || begin + length > UINT32_MAX) {
		c->bad = true;
		return;
	}
	for (uint64_t i = 0; i < length; i++)
		marks->block[marks->blocks++] = (uint32_t)(begin + i);
}

static void take_runs(struct cursor *c, struct walindex_marks *marks, size_t count)
{
	size_t runs = take_count(c, 2, count);
	uint64_t next = 0;

	for (size_t i = 0; i < runs && !c->bad; i++) {
		uint64_t begin = next + take_most(c, UINT32_MAX);
		uint64_t length = take_most(c, UINT32_MAX) + 1;

		take_run(c, marks, count, begin, length);
		next = begin + length;
	}
}

static void take_bitmap(struct cursor *c, struct walindex_marks *marks, size_t count)
{
	uint64_t begin = take_most(c, UINT32_MAX);
	size_t spread = take_count(c, 1, c->left);
	const uint8_t *bits = cursor_take(c, spread);

	if (c->bad || spread == 0 || !(bits[0] & 1) || bits[spread - 1] == 0) {
		c->bad = true;
		return;
	}
	for (size_t i = 0; i < spread && !c->bad; i++)
		for (unsigned bit = 0; bit < 8; bit++)
			if (bits[i] >> bit & 1)
				take_run(c, marks, count, begin + 8 * (uint64_t)i + bit, 1);
}

/* A count of blocks is trusted with what it can make: runs and bitmaps may hold more blocks than
 * they have bytes, so that the whole piece has a limit. */
static void take_blocks(struct cursor *c, struct walindex_marks *marks, size_t *left)
{
	size_t count = (size_t)take_most(c, *left);
	uint64_t next = 0;

	if (count == 0)
		return;
	marks->block = xmalloc(count * sizeof(*marks->block));
	switch (cursor_u8(c)) {
	case BLOCKS_GAPS:
		for (size_t i = 0; i < count && !c->bad; i++) {
			uint64_t block = next + take_most(c, UINT32_MAX);

			take_run(c, marks, count, block, 1);
			next = block + 1;
		}
		break;
	case BLOCKS_RUNS:
		take_runs(c, marks, count);
		break;
	case BLOCKS_BITMAP:
		take_bitmap(c, marks, count);
		break;
	default:
		c->bad = true;
	}
	c->bad |= marks->blocks != count;
	*left -= count;
}

static void take_marks(struct cursor *c, struct walindex_piece *piece)
{
	struct walindex_rel before = {0};
	size_t count = take_count(c, 5, c->left), left = WALINDEX_MARKS_MAX;

	if (count > 0 && piece->level > 0)
		c->bad = true;
	if (c->bad)
		return;
	piece->marks = count ? xcalloc(count, sizeof(*piece->marks)) : NULL;
	for (; piece->relations < count && !c->bad; piece->relations++) {
		struct walindex_marks *marks = &piece->marks[piece->relations];

		take_rel(c, &marks->rel, &before, piece->relations == 0);
		/* one more than the limit, so that none is 0 */
		marks->limit = (uint32_t)take_most(c, UINT32_MAX) - 1;
		take_blocks(c, marks, &left);
	}
}

/* ---- open transactions ---- */

static void take_opens(struct cursor *c, struct walindex_piece *piece)
{
	size_t count = take_count(c, 4, WALINDEX_OPEN_MAX), left = WALINDEX_TOUCHED_MAX;
	uint32_t before = 0;

	piece->open = count ? xcalloc(count, sizeof(*piece->open)) : NULL;
	for (; piece->opens < count && !c->bad; piece->opens++) {
		struct walindex_open *open = &piece->open[piece->opens];

		open->xid = before + (uint32_t)take_most(c, UINT32_MAX - before);
		c->bad |= open->xid == before;
		before = open->xid;
		open->class_deleted = take_varint(c);
		open->created = take_varint(c);
		open->touched = take_touched(c, &left, &open->toucheds);
	}
}

static void add_opens(struct buf *out, const struct walindex_piece *piece)
{
	uint32_t before = 0;

	add_varint(out, piece->opens);
	for (size_t i = 0; i < piece->opens; i++) {
		const struct walindex_open *open = &piece->open[i];

		add_varint(out, open->xid - before);
		before = open->xid;
		add_varint(out, open->class_deleted);
		add_varint(out, open->created);
		add_touched(out, open->touched, open->toucheds);
	}
}

/* ---- the whole ---- */

bool walindex_encode(const struct walindex_piece *piece, struct buf *out)
{
	struct running running = {0};
	struct walindex_rel before = {0};
	uint8_t front[FRONT_BYTES] = {0};

	put_u16(front, WALINDEX_VERSION);
	put_u8(front + 2, (uint8_t)piece->level);
	put_u8(front + 3,
	       (uint8_t)((piece->poisoned ? FLAG_POISONED : 0) |
	                 (piece->crowded ? FLAG_CROWDED : 0) | (piece->full ? FLAG_FULL : 0)));
	put_u32(front + 4, piece->tli);
	put_u32(front + 8, piece->segment_bytes);
	put_u64(front + 16, piece->first);
	put_u64(front + 24, piece->last);
	buf_add(out, front, sizeof(front));
	for (uint64_t segno = piece->first; segno <= piece->last; segno++)
		add_segment(out, piece, segno, &running);
	running = (struct running){.position = lsn_of_segno(piece->first, piece->segment_bytes)};
	add_varint(out, piece->events);
	for (size_t i = 0; i < piece->events; i++)
		add_event(out, piece, &piece->event[i], &running);
	add_varint(out, piece->relations);
	for (size_t i = 0; i < piece->relations; i++) {
		add_rel(out, &piece->marks[i].rel, &before);
		add_varint(out, (uint32_t)(piece->marks[i].limit + 1));
		add_blocks(out, &piece->marks[i]);
	}
	add_opens(out, piece);
	return !out->overflow;
}

static bool front_take(struct cursor *c, struct walindex_piece *ret, struct err *err)
{
	const uint8_t *front = cursor_take(c, FRONT_BYTES);
	uint8_t flags;

	if (!front)
		return err_set(err, ERR_DAMAGED, "it is cut short");
	if (get_u16(front) != WALINDEX_VERSION) {
		err_set(err, ERR_REFUSED,
		        "it has version %u of the WAL index, this Seawall reads up to %d",
		        get_u16(front), WALINDEX_VERSION);
		err_hint(err, "Use a newer Seawall, or make the index again with this one: seawall "
		              "wal index --rebuild.");
		return false;
	}
	flags = front[3];
	ret->level = front[2];
	ret->poisoned = flags & FLAG_POISONED;
	ret->crowded = flags & FLAG_CROWDED;
	ret->full = flags & FLAG_FULL;
	ret->tli = get_u32(front + 4);
	ret->segment_bytes = get_u32(front + 8);
	ret->first = get_u64(front + 16);
	ret->last = get_u64(front + 24);
	if (ret->level >= WALINDEX_LEVELS || flags > FLAGS_ALL || ret->tli == 0 ||
	    get_u32(front + 12) != 0 || !segment_bytes_valid(ret->segment_bytes) ||
	    ret->first > ret->last || ret->last - ret->first >= WALINDEX_SPAN_MAX ||
	    ret->last - ret->first >= c->left || ret->last >= UINT64_MAX / ret->segment_bytes)
		return err_set(err, ERR_DAMAGED, "its front is not valid");
	return true;
}

bool walindex_decode(const void *bytes, size_t length, struct walindex_piece *ret, struct err *err)
{
	struct cursor c = cursor_of(bytes, length);
	struct walindex_piece piece = {0};
	struct running running = {0};

	*ret = piece;
	if (!front_take(&c, &piece, err))
		return false;
	piece.segment = xcalloc(piece.last - piece.first + 1, sizeof(*piece.segment));
	for (uint64_t segno = piece.first; segno <= piece.last && !c.bad; segno++)
		take_segment(&c, &piece, segno, &running);
	take_events(&c, &piece);
	take_marks(&c, &piece);
	take_opens(&c, &piece);
	if (c.bad || c.left > 0) {
		err_set(err, ERR_DAMAGED, "it is not valid at byte %zu of %zu", length - c.left,
		        length);
		walindex_release(&piece);
		return false;
	}
	*ret = piece;
	return true;
}
