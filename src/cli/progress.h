/*
 * progress.h — how far a long piece of work is, on standard error: one line that is written anew on
 * a terminal, a line every 10 s elsewhere.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "base/buf.h"

enum { PROGRESS_TERMINAL_MS = 200, PROGRESS_LINE_MS = 10000, PROGRESS_FIRST_MS = 1000 };

struct progress {
	bool terminal, silent;
	int64_t begun_ms, shown_ms; /* monotonic; shown 0: never */
	int64_t rate_ms;            /* of the last figure for the rate */
	uint64_t rate_bytes;
	double bytes_per_s;
	unsigned width; /* of the line on the terminal now */
	char what[96];
};

struct progress_figures {
	const char *what;     /* "copying files" */
	uint64_t done, total; /* bytes; total 0: not known */
};

/* silent: --quiet or --json. */
void progress_begin(struct progress *progress, bool silent);
/* Call it as often as there is news; it prints seldom. A new `what` is printed at once. */
void progress_show(struct progress *progress, const struct progress_figures *figures);
/* A line of its own between, as for a warning. */
void progress_say(struct progress *progress, const char *line);
/* Clears the terminal's line. */
void progress_end(struct progress *progress);

/* The text without the line's ends, for tests: "copying files: 1.2 GB of 3.0 GB (40 %), 310 MB/s, 6
 * s left" */
void progress_text(const struct progress *progress, const struct progress_figures *figures,
                   struct buf *out);

#endif
