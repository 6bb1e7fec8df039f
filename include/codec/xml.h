/*
 * xml.h — a strict reader for the small XML that object stores answer with.
 *
 * Elements, text, CDATA, the five entities and character references; comments and processing
 * instructions are passed over; attributes are checked and forgotten, a name's prefix ("s3:") too.
 * A DOCTYPE is refused, and so is whatever is not well-formed, deeper than XML_DEPTH_MAX, or longer
 * than fits. Bytes beyond ASCII are text, handed over as they come.
 */
#ifndef CODEC_XML_H
#define CODEC_XML_H

#include "base/buf.h"
#include "base/err.h"

enum { XML_DEPTH_MAX = 16, XML_PATH_MAX = 256, XML_TEXT_MAX = 16 * 1024 };

/* Called as each element ends, so a child's before its parent's. path: "ListBucketResult/Name";
 * text: the characters directly in it, references resolved (never a NUL byte). */
struct xml_reader {
	void (*element)(void *context, const char *path, const char *text);
	void *context;
};

/* The whole document. False (ERR_DAMAGED, with the byte): elements up to there were handed over. */
MUST_USE bool xml_read(const char *bytes, size_t length, const struct xml_reader *reader,
                       struct err *err);

/* Adds text with the characters escaped that XML gives a meaning to. */
void xml_escape(struct buf *out, const char *text);

#endif
