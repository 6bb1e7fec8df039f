/*
 * conffile_fuzz.c — the reader of PostgreSQL's configuration files: which places name other files,
 * and what their paths are. A restore rewrites these places, so they must lie where they are said
 * to lie, one behind the other, each within its line.
 */
#include "fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "pg/conffile.h"

struct seen {
	const char *text;
	size_t length, end; /* of the text; of the place before */
	size_t count, includes;
};

static void check_path(const struct conffile_ref *ref)
{
	AUTO_FREE char *whole = conffile_resolve("/etc/pg", ref->path);
	AUTO_FREE char *again = conffile_resolve("/", whole);

	assert(whole[0] == '/' && !strstr(whole, "//"));
	assert(!strstr(whole, "/./") && !strstr(whole, "/../"));
	assert(!str_ends(whole, "/.") && !str_ends(whole, "/.."));
	assert(strcmp(whole, again) == 0);
}

static void check_ref(void *context, const struct conffile_ref *ref)
{
	struct seen *seen = context;
	const char *written = seen->text + ref->at;
	char quote = written[0];

	assert(ref->line <= ref->at && ref->at >= seen->end);
	assert(ref->length > 0 && ref->length <= seen->length - ref->at);
	assert(ref->line == 0 || seen->text[ref->line - 1] == '\n');
	assert(!memchr(seen->text + ref->line, '\n', ref->at + ref->length - ref->line));
	assert(ref->path[0] && strlen(ref->path) <= ref->length);
	if (quote == '\'' || quote == '"')
		assert(ref->length > 2 && written[ref->length - 1] == quote);
	else
		assert(strlen(ref->path) == ref->length &&
		       memcmp(ref->path, written, ref->length) == 0);
	check_path(ref);
	seen->end = ref->at + ref->length;
	seen->count++;
	seen->includes += ref->at == 0 || written[-1] != '@';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	char *text = xmalloc(length + 1);
	struct seen settings, rules;

	memcpy(text, data, length);
	text[length] = '\0';
	settings = rules = (struct seen){.text = text, .length = strlen(text)};
	conffile_refs(text, CONFFILE_SETTINGS, check_ref, &settings);
	conffile_refs(text, CONFFILE_RULES, check_ref, &rules);
	assert(settings.count == settings.includes && rules.count >= settings.count);
	free(text);
	return 0;
}
