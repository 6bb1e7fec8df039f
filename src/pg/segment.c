/*
 * segment.c — the names of WAL files.
 *
 * One parser for all four forms, so that "strict" means the same everywhere: what it accepts,
 * walname_format prints again byte for byte.
 */
#include "pg/segment.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/poison.h"

enum { GROUP_DIGITS = 8, SEGMENT_DIGITS = 24 };

bool segment_bytes_valid(uint64_t segment_bytes)
{
	return segment_bytes >= SEGMENT_BYTES_MIN && segment_bytes <= SEGMENT_BYTES_MAX &&
	       (segment_bytes & (segment_bytes - 1)) == 0;
}

static bool group_parse(const char *text, uint32_t *ret)
{
	uint64_t value;

	if (!str_hex(text, GROUP_DIGITS, true, &value))
		return false;
	*ret = (uint32_t)value;
	return true;
}

/* What may follow the 24 digits. */
static bool suffix_parse(const char *rest, struct walname *name)
{
	if (!*rest) {
		name->kind = WALNAME_SEGMENT;
		return true;
	}
	if (strcmp(rest, ".partial") == 0) {
		name->kind = WALNAME_PARTIAL;
		return true;
	}
	if (rest[0] != '.' || !group_parse(rest + 1, &name->offset))
		return false;
	name->kind = WALNAME_BACKUP;
	return strcmp(rest + 1 + GROUP_DIGITS, ".backup") == 0;
}

bool walname_parse(const char *name, struct walname *ret)
{
	struct walname parsed = {0};

	if (!group_parse(name, &parsed.tli) || parsed.tli == 0)
		return false;
	if (strcmp(name + GROUP_DIGITS, ".history") == 0)
		parsed.kind = WALNAME_HISTORY;
	else if (!group_parse(name + GROUP_DIGITS, &parsed.log) ||
	         !group_parse(name + 2 * GROUP_DIGITS, &parsed.seg) ||
	         !suffix_parse(name + SEGMENT_DIGITS, &parsed))
		return false;
	*ret = parsed;
	return true;
}

void walname_format(const struct walname *name, char out[WALNAME_BYTES])
{
	switch (name->kind) {
	case WALNAME_HISTORY:
		snprintf(out, WALNAME_BYTES, "%08X.history", name->tli);
		return;
	case WALNAME_SEGMENT:
		snprintf(out, WALNAME_BYTES, "%08X%08X%08X", name->tli, name->log, name->seg);
		return;
	case WALNAME_PARTIAL:
		snprintf(out, WALNAME_BYTES, "%08X%08X%08X.partial", name->tli, name->log,
		         name->seg);
		return;
	case WALNAME_BACKUP:
		snprintf(out, WALNAME_BYTES, "%08X%08X%08X.%08X.backup", name->tli, name->log,
		         name->seg, name->offset);
		return;
	}
}

/* How many segments share one value of `log`: 4 GiB worth. */
static uint32_t segments_per_log(uint32_t segment_bytes)
{
	return (uint32_t)((UINT64_C(1) << 32) / segment_bytes);
}

bool walname_fits(const struct walname *name, uint32_t segment_bytes)
{
	if (name->kind == WALNAME_HISTORY)
		return true;
	return name->seg < segments_per_log(segment_bytes) && name->offset < segment_bytes;
}

uint64_t walname_segno(const struct walname *name, uint32_t segment_bytes)
{
	return (uint64_t)name->log * segments_per_log(segment_bytes) + name->seg;
}

lsn walname_start(const struct walname *name, uint32_t segment_bytes)
{
	return lsn_of_segno(walname_segno(name, segment_bytes), segment_bytes);
}

void segment_name(uint32_t tli, uint64_t segno, uint32_t segment_bytes,
                  char out[SEGMENT_NAME_BYTES])
{
	uint32_t per_log = segments_per_log(segment_bytes);

	snprintf(out, SEGMENT_NAME_BYTES, "%08X%08X%08X", tli, (uint32_t)(segno / per_log),
	         (uint32_t)(segno % per_log));
}

bool segment_parse(const char *name, uint32_t segment_bytes, uint32_t *ret_tli, uint64_t *ret_segno)
{
	struct walname parsed;

	if (!walname_parse(name, &parsed) || parsed.kind != WALNAME_SEGMENT ||
	    !walname_fits(&parsed, segment_bytes))
		return false;
	*ret_tli = parsed.tli;
	*ret_segno = walname_segno(&parsed, segment_bytes);
	return true;
}

static int number_compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* A history file is asked for before the first segment of its timeline. */
static unsigned kind_rank(enum walname_kind kind)
{
	static const unsigned rank[] = {
	        [WALNAME_HISTORY] = 0,
	        [WALNAME_SEGMENT] = 1,
	        [WALNAME_BACKUP] = 2,
	        [WALNAME_PARTIAL] = 3,
	};

	return rank[kind];
}

int walname_compare(const struct walname *a, const struct walname *b)
{
	bool history_a = a->kind == WALNAME_HISTORY, history_b = b->kind == WALNAME_HISTORY;
	int order = number_compare(a->tli, b->tli);

	if (order == 0 && history_a != history_b)
		return history_a ? -1 : 1;
	if (order == 0)
		order = number_compare((uint64_t)a->log << 32 | a->seg,
		                       (uint64_t)b->log << 32 | b->seg);
	if (order == 0)
		order = number_compare(kind_rank(a->kind), kind_rank(b->kind));
	return order ? order : number_compare(a->offset, b->offset);
}
