/*
 * progress.c — see progress.h. The rate is that of the last seconds, smoothed, since a rate over
 * all the time hides that work has stopped; the time left comes from it.
 */
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "progress.h"
#include "base/poison.h"

enum { RATE_MS = 1000, LINE_BYTES_MAX = 512 };

static void put(const char *text)
{
	/* Nobody to tell is no reason to stop the work. */
	if (!file_write_full(STDERR_FILENO, text, strlen(text)))
		return;
}

void progress_begin(struct progress *progress, bool silent)
{
	*progress = (struct progress){.terminal = isatty(STDERR_FILENO) == 1,
	                              .silent = silent,
	                              .begun_ms = clock_mono_us() / 1000};
	progress->rate_ms = progress->begun_ms;
}

static void measure(struct progress *progress, uint64_t done, int64_t now_ms)
{
	int64_t passed_ms = now_ms - progress->rate_ms;
	double rate;

	if (done < progress->rate_bytes) {
		progress->rate_bytes = done;
		progress->bytes_per_s = 0;
		progress->rate_ms = now_ms;
		return;
	}
	if (passed_ms < RATE_MS)
		return;
	rate = (double)(done - progress->rate_bytes) * 1000.0 / (double)passed_ms;
	progress->bytes_per_s =
	        progress->bytes_per_s > 0 ? progress->bytes_per_s * 0.7 + rate * 0.3 : rate;
	progress->rate_bytes = done;
	progress->rate_ms = now_ms;
}

void progress_text(const struct progress *progress, const struct progress_figures *figures,
                   struct buf *out)
{
	char done[UNITS_TEXT_BYTES], total[UNITS_TEXT_BYTES], rate[UNITS_TEXT_BYTES];

	buf_addstr(out, figures->what);
	if (!figures->done && !figures->total)
		return;
	units_size(figures->done, done);
	buf_addf(out, ": %s", done);
	if (figures->total) {
		units_size(figures->total, total);
		/* The total is an estimate: what is copied may grow meanwhile. */
		buf_addf(out, " of %s (%u %%)", total,
		         (unsigned)MIN(100.0,
		                       100.0 * (double)figures->done / (double)figures->total));
	}
	if (progress->bytes_per_s < 1)
		return;
	units_size((uint64_t)progress->bytes_per_s, rate);
	buf_addf(out, ", %s/s", rate);
	if (figures->total > figures->done) {
		double left_s = (double)(figures->total - figures->done) / progress->bytes_per_s;
		char left[UNITS_TEXT_BYTES];

		units_duration((int64_t)(left_s * 1000), left);
		buf_addf(out, ", %s left", left);
	}
}

static void clear_line(struct progress *progress)
{
	AUTO_FREE char *blanks = NULL;

	if (!progress->width)
		return;
	blanks = xasprintf("\r%*s\r", (int)progress->width, "");
	put(blanks);
	progress->width = 0;
}

void progress_show(struct progress *progress, const struct progress_figures *figures)
{
	int64_t now_ms = clock_mono_us() / 1000;
	int64_t every_ms = progress->terminal ? PROGRESS_TERMINAL_MS : PROGRESS_LINE_MS;
	bool changed = strncmp(progress->what, figures->what, sizeof(progress->what) - 1) != 0;
	AUTO_BUF struct buf line = {0};

	measure(progress, figures->done, now_ms);
	if (progress->silent || now_ms - progress->begun_ms <
	                                (progress->terminal ? PROGRESS_FIRST_MS : PROGRESS_LINE_MS))
		return;
	if (progress->shown_ms && now_ms - progress->shown_ms < every_ms &&
	    !(changed && progress->terminal))
		return;
	progress->shown_ms = now_ms;
	snprintf(progress->what, sizeof(progress->what), "%s", figures->what);
	buf_init(&line, LINE_BYTES_MAX);
	progress_text(progress, figures, &line);
	if (progress->terminal) {
		unsigned width = (unsigned)line.length;
		AUTO_FREE char *text = xasprintf("\r%-*s", (int)progress->width, buf_text(&line));

		put(text);
		progress->width = width;
	} else {
		buf_addc(&line, '\n');
		put(buf_text(&line));
	}
}

void progress_say(struct progress *progress, const char *line)
{
	AUTO_FREE char *text = xasprintf("%s\n", line);

	if (progress->silent)
		return;
	clear_line(progress);
	put(text);
}

void progress_end(struct progress *progress)
{
	if (!progress->silent)
		clear_line(progress);
}
