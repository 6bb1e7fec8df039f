/*
 * conffile.c — the files that a configuration file leads to, read as PostgreSQL reads them.
 *
 * A line is taken apart only as far as this needs: a first word that includes, its value, and in
 * rules the words with '@' before them. What PostgreSQL would refuse is nothing here.
 */
#include "pg/conffile.h"
#include "base/file.h"
#include <ctype.h>
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/poison.h"

static const char *const include_words[] = {[CONFFILE_FILE] = "include",
                                            [CONFFILE_IF_EXISTS] = "include_if_exists",
                                            [CONFFILE_FOLDER] = "include_dir"};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static size_t skip_blanks(const char *text, size_t at, size_t end)
{
	while (at < end && is_blank(text[at]))
		at++;
	return at;
}

/* The value at `at`, in quotes or without; a quote inside is doubled or behind a backslash. */
static bool take_value(const char *text, size_t at, size_t end, struct conffile_ref *ref)
{
	char quote = at < end && (text[at] == '\'' || text[at] == '"') ? text[at] : 0;
	size_t n = 0, from = at;

	for (at += quote != 0; at < end; at++) {
		if (quote && text[at] == quote && !(at + 1 < end && text[at + 1] == quote))
			break;
		if (quote && (text[at] == quote || text[at] == '\\') && at + 1 < end)
			at++;
		if (!quote && (is_blank(text[at]) || text[at] == '#' || text[at] == ','))
			break;
		if (n + 1 >= sizeof(ref->path))
			return false;
		ref->path[n++] = text[at];
	}
	if (quote && at++ >= end)
		return false;
	ref->path[n] = 0;
	ref->at = from;
	ref->length = at - from;
	return n > 0;
}

static bool take_include(const char *text, size_t at, size_t end, struct conffile_ref *ref)
{
	size_t from = at = skip_blanks(text, at, end);

	while (at < end && (isalnum((unsigned char)text[at]) || text[at] == '_'))
		at++;
	for (size_t i = 0; i < ARRAY_LENGTH(include_words); i++) {
		const char *word = include_words[i];

		if (strlen(word) != at - from || strncasecmp(text + from, word, at - from) != 0)
			continue;
		ref->what = (enum conffile_what)i;
		at = skip_blanks(text, at, end);
		if (at < end && text[at] == '=')
			at = skip_blanks(text, at + 1, end);
		return take_value(text, at, end, ref);
	}
	return false;
}

/* "@FILE" as a word of its own. */
static void take_lists(const char *text, struct conffile_ref *ref, conffile_each *each,
                       void *context)
{
	size_t at = ref->line, end = at + strcspn(text + at, "\n");
	bool word = true, quoted = false;

	for (; at < end && (quoted || text[at] != '#'); at++) {
		if (text[at] == '"')
			quoted = !quoted;
		if (word && !quoted && text[at] == '@' && take_value(text, at + 1, end, ref)) {
			ref->what = CONFFILE_FILE;
			each(context, ref);
			at += ref->length;
			continue;
		}
		word = !quoted && (is_blank(text[at]) || text[at] == ',');
	}
}

void conffile_refs(const char *text, enum conffile_kind kind, conffile_each *each, void *context)
{
	for (size_t at = 0; text[at];) {
		struct conffile_ref ref = {.line = at};
		size_t end = at + strcspn(text + at, "\n");

		if (take_include(text, at, end, &ref))
			each(context, &ref);
		else if (kind == CONFFILE_RULES)
			take_lists(text, &ref, each, context);
		at = end + (text[end] == '\n');
	}
}

char *conffile_resolve(const char *folder, const char *path)
{
	char *whole = path_is_absolute(path) ? xstrdup(path) : path_join(folder, path),
	     *out = whole;

	for (const char *in = whole; *in;) {
		size_t length;

		in += strspn(in, "/");
		length = strcspn(in, "/");
		if (length == 2 && in[0] == '.' && in[1] == '.') {
			while (out > whole && *--out != '/')
				;
		} else if (length > 0 && !(length == 1 && in[0] == '.')) {
			*out++ = '/';
			memmove(out, in, length);
			out += length;
		}
		in += length;
	}
	if (out == whole)
		*out++ = '/';
	*out = 0;
	return whole;
}

void conffile_folder(const char *folder, struct strs *out)
{
	DIR *dir = opendir(folder);
	struct strs found = {0};

	if (!dir)
		return;
	for (struct dirent *entry; (entry = readdir(dir));) {
		AUTO_FREE char *path = path_join(folder, entry->d_name);
		struct stat status;

		if (entry->d_name[0] != '.' && str_ends(entry->d_name, ".conf") &&
		    stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
			strs_add(&found, path);
	}
	closedir(dir);
	strs_sort(&found);
	for (size_t i = 0; i < found.count; i++)
		strs_add(out, found.item[i]);
	strs_release(&found);
}

/* ---- all of them ---- */

struct collect {
	enum conffile_kind kind;
	struct strs *out, *missing;
	const char *folder; /* of the file being read */
	unsigned depth;
};

static void collect_file(struct collect *collect, const char *path, bool optional);

static void collect_ref(void *context, const struct conffile_ref *ref)
{
	struct collect *collect = context;
	AUTO_FREE char *path = conffile_resolve(collect->folder, ref->path);
	struct strs files = {0};

	if (ref->what != CONFFILE_FOLDER)
		return collect_file(collect, path, ref->what == CONFFILE_IF_EXISTS);
	conffile_folder(path, &files);
	for (size_t i = 0; i < files.count; i++)
		collect_file(collect, files.item[i], false);
	strs_release(&files);
}

static bool is_file(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, R_OK) == 0;
}

static void collect_file(struct collect *collect, const char *path, bool optional)
{
	const char *folder = collect->folder;
	AUTO_FREE char *own = path_folder(path);
	AUTO_BUF struct buf text;
	struct err ignored = {0};

	buf_init(&text, CONFFILE_BYTES_MAX);
	if (strs_has(collect->out, path) || strs_has(collect->missing, path) ||
	    collect->out->count + collect->missing->count >= CONFFILE_FILES_MAX ||
	    collect->depth > CONFFILE_DEPTH_MAX)
		return;
	if (!is_file(path)) {
		if (!optional)
			strs_add(collect->missing, path);
		return;
	}
	strs_add(collect->out, path);
	if (!file_read_all(path, &text, &ignored))
		return; /* too big to lead anywhere, or gone meanwhile */
	collect->folder = own;
	collect->depth++;
	conffile_refs(buf_text(&text), collect->kind, collect_ref, collect);
	collect->depth--;
	collect->folder = folder;
}

void conffile_collect(const char *path, enum conffile_kind kind, struct strs *out,
                      struct strs *missing)
{
	struct collect collect = {.kind = kind, .out = out, .missing = missing, .folder = "/"};

	collect_file(&collect, path, false);
}

/* ---- as one text ---- */

struct expand {
	struct buf *out;
	const char *text, *folder; /* of the file at hand */
	size_t at;                 /* taken so far */
	unsigned depth, files;
};

static bool expand_file(struct expand *expand, const char *path, struct err *err);

static void expand_until(struct expand *expand, size_t at)
{
	buf_add(expand->out, expand->text + expand->at, at - expand->at);
	expand->at = at;
}

static void expand_ref(void *context, const struct conffile_ref *ref)
{
	struct expand *expand = context;
	AUTO_FREE char *path = conffile_resolve(expand->folder, ref->path);
	struct strs files = {0};
	struct err ignored = {0};

	expand_until(expand, ref->line);
	if (ref->what == CONFFILE_FOLDER)
		conffile_folder(path, &files);
	else
		strs_add(&files, path);
	for (size_t i = 0; i < files.count; i++)
		(void)!expand_file(expand, files.item[i], &ignored);
	strs_release(&files);
}

static bool expand_file(struct expand *expand, const char *path, struct err *err)
{
	struct expand inner = *expand;
	AUTO_FREE char *folder = path_folder(path);
	AUTO_BUF struct buf text;

	buf_init(&text, CONFFILE_BYTES_MAX);
	if (expand->depth > CONFFILE_DEPTH_MAX || expand->files >= CONFFILE_FILES_MAX)
		return true;
	if (!file_read_all(path, &text, err))
		return false;
	inner.text = buf_text(&text);
	inner.folder = folder;
	inner.at = 0;
	inner.depth++;
	inner.files++;
	conffile_refs(inner.text, CONFFILE_SETTINGS, expand_ref, &inner);
	expand_until(&inner, strlen(inner.text));
	buf_addc(expand->out, '\n');
	expand->files = inner.files;
	return true;
}

bool conffile_expand(const char *path, struct buf *out, struct err *err)
{
	struct expand expand = {.out = out};

	return expand_file(&expand, path, err);
}
