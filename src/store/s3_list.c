/*
 * s3_list.c — one page of ListObjectsV2.
 *
 * Objects and folders ("common prefixes") come as two lists, each in order, escaped when the answer
 * says so (which may stand behind them): all are collected, then unescaped, freed from the root,
 * sorted and filtered. Names that are no name of a store's object belong to somebody else.
 */
#include "base/str.h"
#include "codec/xml.h"
#include "s3.h"

#include "base/poison.h"

enum { QUERY_MAX = 16 * 1024 };

struct page {
	struct store_entry *entry;
	size_t count, max;
	struct store_entry now; /* the Contents that is being read */
	char *token;
	bool escaped, more, seen, said, damaged, too_many;
};

static void add_parameter(struct buf *query, const char *name, const char *value)
{
	buf_addf(query, "%s%s=", query->length ? "&" : "", name);
	s3_escape(query, value);
}

/* A folder's name stands for all that is below it: go on behind the last of them. '~' is greater
 * than whatever a valid name may begin with. */
static void add_after(struct buf *query, const struct s3_store *s3, const struct store_list *list)
{
	bool folder = list->folders && str_ends(list->after, "/");
	AUTO_FREE char *after = xasprintf("%s%s%s", s3->root, list->after, folder ? "~" : "");

	add_parameter(query, "start-after", after);
}

void s3_list_ask(struct s3_attempt *attempt, struct s3_ask *ask)
{
	const struct store_list *list = attempt->base.list;
	struct s3_store *s3 = s3_of(attempt);
	AUTO_FREE char *prefix = xasprintf("%s%s", s3->root, list->prefix);
	struct buf *query = &attempt->text;

	buf_release(query);
	buf_init(query, QUERY_MAX);
	if (attempt->token)
		add_parameter(query, "continuation-token", attempt->token);
	if (list->folders)
		add_parameter(query, "delimiter", "/");
	add_parameter(query, "encoding-type", "url");
	add_parameter(query, "list-type", "2");
	buf_addf(query, "&max-keys=%u", store_list_limit(list));
	add_parameter(query, "prefix", prefix);
	if (list->after && list->after[0] && !attempt->token)
		add_after(query, s3, list);
	ask->method = "GET";
	ask->query = buf_text(query);
}

static void page_add(struct page *page, const struct store_entry *entry)
{
	if (page->count == page->max) {
		page->too_many = true;
		free(entry->name);
		return;
	}
	page->entry[page->count++] = *entry;
}

static void page_object(struct page *page, const char *field, const char *text)
{
	if (strcmp(field, "Key") == 0) {
		free(page->now.name);
		page->now.name = xstrdup(text);
	} else if (strcmp(field, "Size") == 0) {
		page->damaged |= !str_u64(text, &page->now.bytes);
	} else if (strcmp(field, "LastModified") == 0) {
		page->damaged |= !s3_time(text, &page->now.modified_us);
	}
}

static void page_element(void *context, const char *path, const char *text)
{
	struct page *page = context;

	if (!str_starts(path, "ListBucketResult"))
		return;
	path += strlen("ListBucketResult");
	if (*path == '\0') {
		page->seen = true;
		return;
	}
	path++;
	if (strcmp(path, "Contents") == 0) {
		if (page->now.name)
			page_add(page, &page->now);
		else
			page->damaged = true;
		page->now = (struct store_entry){0};
	} else if (str_starts(path, "Contents/")) {
		page_object(page, path + strlen("Contents/"), text);
	} else if (strcmp(path, "CommonPrefixes/Prefix") == 0) {
		page_add(page, &(struct store_entry){.name = xstrdup(text)});
	} else if (strcmp(path, "IsTruncated") == 0) {
		page->said = strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
		page->more = strcmp(text, "true") == 0;
	} else if (strcmp(path, "EncodingType") == 0) {
		page->escaped = strcmp(text, "url") == 0;
	} else if (strcmp(path, "NextContinuationToken") == 0) {
		free(page->token);
		page->token = xstrdup(text);
	}
}

/* In place; a NUL or a bad escape makes it no name of ours. */
static bool unescape(char *text)
{
	char *out = text;
	uint64_t byte;

	for (; *text; text++) {
		if (*text == '+') {
			*out++ = ' ';
		} else if (*text != '%') {
			*out++ = *text;
		} else {
			if (!str_hex(text + 1, 2, false, &byte) || byte == 0)
				return false;
			*out++ = (char)byte;
			text += 2;
		}
	}
	*out = '\0';
	return true;
}

/* Whether it is one of ours: then its name is as the store's users know it. */
static bool entry_ours(const struct page *page, const struct s3_store *s3,
                       struct store_entry *entry)
{
	size_t root = strlen(s3->root), length;
	bool folder, valid;

	if ((page->escaped && !unescape(entry->name)) || !str_starts(entry->name, s3->root))
		return false;
	memmove(entry->name, entry->name + root, strlen(entry->name + root) + 1);
	length = strlen(entry->name);
	folder = length > 0 && entry->name[length - 1] == '/';
	if (folder)
		entry->name[length - 1] = '\0';
	valid = store_name_valid(entry->name);
	if (folder)
		entry->name[length - 1] = '/';
	/* "a/" as an object (a console's "folder") is not ours; as a prefix it is. */
	return valid && (!folder || entry->modified_us == 0);
}

static int entry_compare(const void *a, const void *b)
{
	return strcmp(((const struct store_entry *)a)->name, ((const struct store_entry *)b)->name);
}

static void page_release(struct page *page)
{
	for (size_t i = 0; i < page->count; i++)
		free(page->entry[i].name);
	free(page->entry);
	free(page->now.name);
	free(page->token);
}

static bool page_read(struct page *page, const struct buf *body, struct err *err)
{
	const struct xml_reader reader = {.element = page_element, .context = page};

	if (!xml_read(buf_text(body), body->length, &reader, err))
		return err_wrap_as(err, ERR_NETWORK, "the listing cannot be read");
	if (!page->seen || !page->said || page->damaged)
		return err_set(err, ERR_NETWORK, "the answer is no listing");
	if (page->too_many)
		return err_set(err, ERR_STORE, "the listing has more entries than asked for");
	if (page->more && !page->token)
		return err_set(err, ERR_STORE, "the listing goes on, but does not say where");
	return true;
}

/* Hands over what is ours, in order. */
static void page_give(struct page *page, struct s3_attempt *attempt)
{
	struct store_list *list = attempt->base.list;
	size_t kept = 0;

	for (size_t i = 0; i < page->count; i++)
		if (entry_ours(page, s3_of(attempt), &page->entry[i]) &&
		    (!list->after || strcmp(page->entry[i].name, list->after) > 0)) {
			struct store_entry swap = page->entry[kept];

			page->entry[kept++] = page->entry[i];
			page->entry[i] = swap;
		}
	if (kept > 1)
		qsort(page->entry, kept, sizeof(*page->entry), entry_compare);
	for (size_t i = 0; i < kept; i++)
		store_list_add(list, page->entry[i].name, page->entry[i].bytes,
		               page->entry[i].modified_us);
}

bool s3_list_take(struct s3_attempt *attempt, bool *ret_again, struct err *err)
{
	struct store_list *list = attempt->base.list;
	struct page page = {.max = store_list_limit(list)};
	bool good;

	page.entry = xcalloc(page.max, sizeof(*page.entry));
	good = page_read(&page, s3_answer(attempt), err);
	free(STEAL(attempt->token));
	if (good) {
		page_give(&page, attempt);
		*ret_again = page.more && list->count == 0;
		list->more = page.more;
		if (*ret_again)
			attempt->token = STEAL(page.token);
	}
	page_release(&page);
	return good;
}
