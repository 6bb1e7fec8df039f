/*
 * space.c — the forecast of a disk, as pure functions over samples, and the file that keeps them
 * over a restart.
 *
 * The rate is what became of the free bytes between the oldest sample of the window and now: it
 * counts whatever fills that disk, also others than Seawall, and what was deleted meanwhile.
 */
#include "space.h"

#include "base/durable.h"
#include "base/file.h"
#include "base/str.h"

#include "base/poison.h"

enum { LINE_BYTES = 64, DAY_S = 86400 };
#define SPACE_FIRST_LINE "seawall space 1"

static void space_forget(struct space *space, int64_t oldest_s)
{
	unsigned old = 0;

	while (old < space->samples && space->sample[old].time_s < oldest_s)
		old++;
	if (old == 0 && space->samples == SPACE_SAMPLES_MAX)
		old = 1;
	memmove(space->sample, space->sample + old,
	        (space->samples - old) * sizeof(*space->sample));
	space->samples -= old;
}

void space_add(struct space *space, int64_t time_s, uint64_t free_bytes, uint64_t total_bytes)
{
	const struct space_sample *last =
	        space->samples ? &space->sample[space->samples - 1] : NULL;

	space->known = true;
	space->free_bytes = free_bytes;
	space->total_bytes = total_bytes;
	if (last && time_s < last->time_s)
		space->samples = 0; /* the clock went back: begin again */
	else if (last && time_s - last->time_s < SPACE_APART_S)
		return;
	space_forget(space, time_s - SPACE_WINDOW_S);
	space->sample[space->samples++] = (struct space_sample){time_s, free_bytes};
}

bool space_days_left(const struct space *space, double *ret_days)
{
	const struct space_sample *first = space->sample, *last;
	double used;

	if (space->samples < 2)
		return false;
	last = &space->sample[space->samples - 1];
	if (last->time_s - first->time_s < SPACE_FORECAST_MIN_S ||
	    first->free_bytes <= last->free_bytes)
		return false;
	used = (double)(first->free_bytes - last->free_bytes);
	*ret_days =
	        (double)space->free_bytes * (double)(last->time_s - first->time_s) / used / DAY_S;
	return true;
}

void space_load(struct space *space, const char *path, int64_t now_s)
{
	AUTO_BUF struct buf text;
	struct err err = {.code = ERR_NONE};
	char *line, *next;

	buf_init(&text, SPACE_SAMPLES_MAX * LINE_BYTES);
	if (!file_read_all(path, &text, &err) || !text.data)
		return;
	line = text.data;
	for (unsigned number = 0; line && *line; line = next, number++) {
		char *blank;
		uint64_t time_s, free_bytes;
		const struct space_sample *last =
		        space->samples ? &space->sample[space->samples - 1] : NULL;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (number == 0 && strcmp(line, SPACE_FIRST_LINE) != 0)
			return;
		blank = strchr(line, ' ');
		if (number == 0 || !blank)
			continue;
		*blank = '\0';
		if (!str_u64(line, &time_s) || !str_u64(blank + 1, &free_bytes) ||
		    (int64_t)time_s > now_s || (int64_t)time_s < now_s - SPACE_WINDOW_S ||
		    (last && (int64_t)time_s <= last->time_s) ||
		    space->samples == SPACE_SAMPLES_MAX)
			continue;
		space->sample[space->samples++] =
		        (struct space_sample){(int64_t)time_s, free_bytes};
	}
}

bool space_save(const struct space *space, const char *path, struct err *err)
{
	AUTO_BUF struct buf text;

	buf_init(&text, (SPACE_SAMPLES_MAX + 1) * LINE_BYTES);
	buf_addstr(&text, SPACE_FIRST_LINE "\n");
	for (unsigned i = 0; i < space->samples; i++)
		buf_addf(&text, "%lld %llu\n", (long long)space->sample[i].time_s,
		         (unsigned long long)space->sample[i].free_bytes);
	return durable_write(path, 0600, text.data, text.length, err);
}
