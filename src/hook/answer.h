/*
 * answer.h — reading one HTTP/1.1 answer of the server, piece by piece as it arrives.
 *
 * Only what this server sends is understood: a status line, headers, a body with a Content-Length.
 * Everything else (chunks, 1xx, a header twice, a line that is none) makes the answer bad. Nothing
 * is believed before the last byte of the answer is there.
 */
#ifndef HOOK_ANSWER_H
#define HOOK_ANSWER_H

#include "base/buf.h"

enum { ANSWER_HEAD_BYTES_MAX = 16 * 1024, ANSWER_RESULT_BYTES = 16 };

enum answer_state {
	ANSWER_HEAD,     /* waiting for the empty line */
	ANSWER_BODY,     /* waiting for `left` more bytes */
	ANSWER_COMPLETE, /* all is here */
	ANSWER_BAD,      /* `why` says what was not understood */
};

struct answer {
	enum answer_state state;
	struct buf head;
	struct buf *text;                 /* the body goes here; beyond its limit it is dropped */
	uint64_t left;                    /* bytes of the body still to come */
	unsigned status;                  /* 200, 404, … */
	char result[ANSWER_RESULT_BYTES]; /* Seawall-Result, empty if there was none */
	bool has_length, has_result;
	bool close; /* the server closes the connection after this answer */
	const char *why;
};

/* text is the caller's and stays it. */
void answer_init(struct answer *answer, struct buf *text);
void answer_release(struct answer *answer);
/* Takes the next bytes, any number of them. Bytes after the end of the answer make it bad, since
 * only one request is under way at a time. */
void answer_feed(struct answer *answer, const char *bytes, size_t length);

#endif
