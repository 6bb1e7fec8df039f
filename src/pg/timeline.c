/*
 * timeline.c — history files and paths.
 *
 * The queries go from the newest timeline down, as the server's tliOfPointInHistory does, so a
 * switch position that lies below an older one hides what the older one said.
 */
#include "pg/timeline.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/poison.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

/* Decimal digits at text; returns where they end, or NULL. */
static const char *tli_parse(const char *text, uint32_t *ret)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (uint64_t)(*p - '0');
		if (value > UINT32_MAX)
			return NULL;
	}
	*ret = (uint32_t)value;
	return p == text ? NULL : p;
}

/* "tli\tX/X[\treason]" */
static bool line_parse(const char *line, struct history_entry *ret, const char **ret_reason)
{
	char position[LSN_TEXT_BYTES];
	const char *p = tli_parse(line, &ret->tli), *end;

	if (!p || !is_blank(*p))
		return false;
	while (is_blank(*p))
		p++;
	for (end = p; *end && !is_blank(*end);)
		end++;
	if (end - p >= LSN_TEXT_BYTES)
		return false;
	memcpy(position, p, (size_t)(end - p));
	position[end - p] = '\0';
	while (is_blank(*end))
		end++;
	*ret_reason = end;
	return lsn_parse(position, &ret->switch_lsn);
}

static bool line_take(struct history *history, const char *line, unsigned number, struct err *err)
{
	struct history_entry entry;
	const char *reason;

	while (is_blank(*line))
		line++;
	if (!*line || *line == '#')
		return true;
	if (!line_parse(line, &entry, &reason))
		return err_set(err, ERR_DAMAGED, "line %u is no timeline and position", number);
	if (entry.tli == 0 || entry.tli >= history->tli)
		return err_set(err, ERR_DAMAGED,
		               "line %u names timeline %u, which cannot be an ancestor of %u",
		               number, entry.tli, history->tli);
	if (history->count && entry.tli <= history->entry[history->count - 1].tli)
		return err_set(err, ERR_DAMAGED, "line %u: timelines do not increase", number);
	history_add(history, entry.tli, entry.switch_lsn, reason);
	return true;
}

static bool lines_take(struct history *history, char *text, struct err *err)
{
	unsigned number = 0;

	for (char *line = text, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (!line_take(history, line, ++number, err))
			return false;
	}
	/* The server would take an empty file, and follow a timeline that comes from nowhere. */
	if (history->count == 0)
		return err_set(err, ERR_DAMAGED, "it names no ancestor");
	return true;
}

bool history_parse(uint32_t tli, const void *text, size_t length, struct history *ret,
                   struct err *err)
{
	AUTO_FREE
	char *copy = NULL;
	bool good;

	history_init(ret, tli);
	if (length > HISTORY_BYTES_MAX)
		good = err_set(err, ERR_DAMAGED, "it has %zu bytes, the limit is %d", length,
		               HISTORY_BYTES_MAX);
	else if (memchr(text, '\0', length))
		good = err_set(err, ERR_DAMAGED, "it contains a zero byte");
	else {
		copy = xstrndup(text, length);
		good = lines_take(ret, copy, err);
	}
	if (good)
		return true;
	history_release(ret);
	return err_wrap(err, "the history file of timeline %u is not valid", tli);
}

void history_init(struct history *history, uint32_t tli)
{
	*history = (struct history){.tli = tli};
}

void history_copy(struct history *to, const struct history *from)
{
	history_release(to);
	history_init(to, from->tli);
	for (size_t i = 0; i < from->count; i++)
		history_add(to, from->entry[i].tli, from->entry[i].switch_lsn,
		            from->entry[i].reason);
}

void history_add(struct history *history, uint32_t tli, lsn switch_lsn, const char *reason)
{
	size_t length = strnlen(reason, HISTORY_REASON_MAX);

	while (length && is_blank(reason[length - 1]))
		length--;
	/* Grows at powers of two; no field is needed for the size. */
	if ((history->count & (history->count - 1)) == 0)
		history->entry = xrealloc(history->entry,
		                          MAX(history->count * 2, 1) * sizeof(history->entry[0]));
	history->entry[history->count++] = (struct history_entry){
	        .tli = tli,
	        .switch_lsn = switch_lsn,
	        .reason = xstrndup(reason, length),
	};
}

void history_write(const struct history *history, struct buf *out)
{
	for (size_t i = 0; i < history->count; i++) {
		const struct history_entry *entry = &history->entry[i];

		buf_addf(out, "%s%u\t" LSN_FORMAT "\t%s\n", i ? "\n" : "", entry->tli,
		         LSN_ARGS(entry->switch_lsn), entry->reason);
	}
}

void history_release(struct history *history)
{
	for (size_t i = 0; i < history->count; i++)
		free(history->entry[i].reason);
	free(history->entry);
	*history = (struct history){.tli = history->tli};
}

/* The index of tli among the entries; count for the newest timeline; SIZE_MAX when it is not there.
 */
static size_t history_find(const struct history *history, uint32_t tli)
{
	if (tli == history->tli)
		return history->count;
	for (size_t i = 0; i < history->count; i++)
		if (history->entry[i].tli == tli)
			return i;
	return SIZE_MAX;
}

uint32_t history_tli_at(const struct history *history, lsn position)
{
	size_t i = history->count;

	while (i && position < history->entry[i - 1].switch_lsn)
		i--;
	return i == history->count ? history->tli : history->entry[i].tli;
}

bool history_span(const struct history *history, uint32_t tli, lsn *ret_begin, lsn *ret_end)
{
	size_t at = history_find(history, tli);
	lsn begin, end = LSN_MAX;

	if (at == SIZE_MAX)
		return false;
	begin = at ? history->entry[at - 1].switch_lsn : 0;
	for (size_t i = at; i < history->count; i++)
		end = MIN(end, history->entry[i].switch_lsn);
	if (begin >= end)
		return false;
	*ret_begin = begin;
	*ret_end = end;
	return true;
}

bool history_holds(const struct history *history, uint32_t tli, lsn begin, lsn end)
{
	lsn span_begin, span_end;

	if (!history_span(history, tli, &span_begin, &span_end))
		return false;
	return begin <= end && begin >= span_begin && end <= span_end;
}

bool history_switch(const struct history *history, uint32_t tli, lsn *ret_switch_lsn)
{
	size_t at = history_find(history, tli);

	if (at >= history->count)
		return false;
	*ret_switch_lsn = history->entry[at].switch_lsn;
	return true;
}

uint32_t history_tli_of_segment(const struct history *history, uint64_t segno,
                                uint32_t segment_bytes)
{
	return history_tli_at(history, lsn_of_segno(segno, segment_bytes) + (segment_bytes - 1));
}
