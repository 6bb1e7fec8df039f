/*
 * xml_fuzz.c — an object store's answer. What is handed over is text and a path; what was accepted
 * ended with its outermost element; and a text that is escaped comes back as it was.
 */
#include "fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "codec/xml.h"

struct seen {
	unsigned elements;
	char last[XML_PATH_MAX];
	struct buf text;
};

static void see(void *context, const char *path, const char *text)
{
	struct seen *seen = context;

	assert(path[0] && path[0] != '/' && strlen(path) < XML_PATH_MAX);
	assert(strlen(text) <= XML_TEXT_MAX);
	seen->elements++;
	strncpy(seen->last, path, sizeof(seen->last) - 1);
	buf_clear(&seen->text);
	buf_addstr(&seen->text, text);
}

static void there_and_back(const char *text)
{
	AUTO_BUF struct buf document = {0};
	struct seen seen = {0};
	const struct xml_reader reader = {.element = see, .context = &seen};
	struct err err = {0};
	bool good;

	buf_init(&document, 1 << 20);
	buf_init(&seen.text, 1 << 20);
	buf_addstr(&document, "<a>");
	xml_escape(&document, text);
	buf_addstr(&document, "</a>");
	good = xml_read(document.data, document.length, &reader, &err);
	assert(good && seen.elements == 1);
	assert(strcmp(buf_text(&seen.text), text) == 0);
	buf_release(&seen.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct seen seen = {0};
	const struct xml_reader reader = {.element = see, .context = &seen};
	struct err err = {0};

	buf_init(&seen.text, 1 << 20);
	if (xml_read((const char *)data, length, &reader, &err)) {
		assert(seen.elements > 0 && !strchr(seen.last, '/'));
		there_and_back(buf_text(&seen.text));
	} else {
		assert(err.code == ERR_DAMAGED);
	}
	buf_release(&seen.text);
	return 0;
}
