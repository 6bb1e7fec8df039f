/*
 * manifest_head.c — the head of a manifest as JSON: one function that writes, one that reads, side
 * by side in the order of doc/format.md. 64-bit numbers, times and LSNs are texts.
 */
#include "repo/manifest.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "codec/json.h"
#include "pg/segment.h"

#include "base/poison.h"

enum { HEAD_FORMAT = 1, SOURCES_MAX = 100000 };

static void set_lsn(struct jval *object, const char *field, lsn position)
{
	char text[LSN_TEXT_BYTES];

	lsn_text(position, text);
	jset_str(object, field, text);
}

static bool get_lsn(const struct jval *object, const char *field, lsn *ret, struct err *err)
{
	const char *text;

	if (!jget_str(object, field, &text, err))
		return false;
	return lsn_parse(text, ret) ||
	       err_set(err, ERR_DAMAGED, "field \"%s\" is not an LSN", field);
}

static void set_time(struct jval *object, const char *field, int64_t unix_us)
{
	jset_u64(object, field, (uint64_t)MAX(unix_us, 0));
}

static bool get_time(const struct jval *object, const char *field, int64_t *ret, struct err *err)
{
	uint64_t value;

	if (!jget_u64(object, field, &value, err))
		return false;
	if (value > INT64_MAX)
		return err_set(err, ERR_DAMAGED, "field \"%s\" is not a time", field);
	*ret = (int64_t)value;
	return true;
}

static void set_text(struct jval *object, const char *field, const char *text)
{
	jset_str(object, field, text ? text : "");
}

/* ---- the server and what was copied ---- */

static void write_server(const struct manifest_head *head, struct jval *root)
{
	jset_u64(root, "system_identifier", head->system_identifier);
	jset_int(root, "major", head->major);
	jset_int(root, "server_version_num", head->server_version_num);
	jset_int(root, "catalog_version", head->catalog_version);
	jset_int(root, "segment_bytes", head->segment_bytes);
	jset_bool(root, "checksums", head->checksums);
	if (head->group_known)
		jset_bool(root, "group_access", head->group_access);
	set_text(root, "from", head->from);
	set_text(root, "pgdata", head->pgdata);
	set_text(root, "pg_bin", head->pg_bin);
	set_text(root, "time_zone", head->time_zone);
	set_text(root, "config_file", head->config_file);
	set_text(root, "hba_file", head->hba_file);
	set_text(root, "ident_file", head->ident_file);
}

static bool read_server(const struct jval *root, struct manifest_head *head, struct err *err)
{
	head->group_known = jhas(root, "group_access");
	if (head->group_known && !jget_bool(root, "group_access", &head->group_access, err))
		return false;
	return jget_u64(root, "system_identifier", &head->system_identifier, err) &&
	       jget_u32(root, "major", &head->major, err) &&
	       jget_u32(root, "server_version_num", &head->server_version_num, err) &&
	       jget_u32(root, "catalog_version", &head->catalog_version, err) &&
	       jget_u32(root, "segment_bytes", &head->segment_bytes, err) &&
	       jget_bool(root, "checksums", &head->checksums, err) &&
	       jget_bytes(root, "from", &head->from, err) &&
	       jget_bytes(root, "pgdata", &head->pgdata, err) &&
	       jget_bytes(root, "pg_bin", &head->pg_bin, err) &&
	       jget_bytes(root, "time_zone", &head->time_zone, err) &&
	       jget_bytes(root, "config_file", &head->config_file, err) &&
	       jget_bytes(root, "hba_file", &head->hba_file, err) &&
	       jget_bytes(root, "ident_file", &head->ident_file, err);
}

static void write_span(const struct manifest_head *head, struct jval *root)
{
	jset_int(root, "start_tli", head->start_tli);
	jset_int(root, "stop_tli", head->stop_tli);
	set_lsn(root, "start_lsn", head->start_lsn);
	set_lsn(root, "stop_lsn", head->stop_lsn);
	set_time(root, "begun_us", head->begun_us);
	set_time(root, "ended_us", head->ended_us);
	set_time(root, "stop_time_us", head->stop_time_us);
	jset_u64(root, "files", head->files);
	jset_u64(root, "folders", head->folders);
	jset_u64(root, "logical_bytes", head->logical_bytes);
	jset_u64(root, "stored_bytes", head->stored_bytes);
	jset_u64(root, "packs", head->packs);
	jset_u64(root, "body_bytes", head->body_bytes);
	jset_u64(root, "findings_total", head->findings_total);
}

static bool read_span(const struct jval *root, struct manifest_head *head, struct err *err)
{
	return jget_u32(root, "start_tli", &head->start_tli, err) &&
	       jget_u32(root, "stop_tli", &head->stop_tli, err) &&
	       get_lsn(root, "start_lsn", &head->start_lsn, err) &&
	       get_lsn(root, "stop_lsn", &head->stop_lsn, err) &&
	       get_time(root, "begun_us", &head->begun_us, err) &&
	       get_time(root, "ended_us", &head->ended_us, err) &&
	       get_time(root, "stop_time_us", &head->stop_time_us, err) &&
	       jget_u64(root, "files", &head->files, err) &&
	       jget_u64(root, "folders", &head->folders, err) &&
	       jget_u64(root, "logical_bytes", &head->logical_bytes, err) &&
	       jget_u64(root, "stored_bytes", &head->stored_bytes, err) &&
	       jget_u64(root, "packs", &head->packs, err) &&
	       jget_u64(root, "body_bytes", &head->body_bytes, err) &&
	       jget_u64(root, "findings_total", &head->findings_total, err);
}

/* ---- lists ---- */

static void write_lists(const struct manifest_head *head, struct jval *root)
{
	struct jval *list = jset_array(root, "sources");

	for (size_t i = 0; i < head->sources; i++)
		jadd_str(list, head->source[i]);
	list = jset_array(root, "tablespaces");
	for (size_t i = 0; i < head->tablespaces; i++) {
		struct jval *item = jadd_object(list);

		jset_int(item, "oid", head->tablespace[i].oid);
		set_text(item, "name", head->tablespace[i].name);
		set_text(item, "path", head->tablespace[i].path);
	}
	list = jset_array(root, "findings");
	for (size_t i = 0; i < head->findings; i++) {
		struct jval *item = jadd_object(list);

		set_text(item, "path", head->finding[i].path);
		jset_int(item, "block", head->finding[i].block);
		jset_bool(item, "warning", head->finding[i].warning);
	}
}

static bool list_get(const struct jval *root, const char *field, size_t max,
                     const struct jval **ret, struct err *err)
{
	if (!jget_array(root, field, ret, err))
		return false;
	return jarray_length(*ret) <= max ||
	       err_set(err, ERR_DAMAGED, "list \"%s\" is too long", field);
}

static bool read_sources(const struct jval *root, struct manifest_head *head, struct err *err)
{
	const struct jval *list;

	if (!list_get(root, "sources", SOURCES_MAX, &list, err))
		return false;
	head->source = xcalloc(jarray_length(list) + 1, sizeof(*head->source));
	for (size_t i = 0; i < jarray_length(list); i++) {
		const char *id = jval_text(jarray_at(list, i));

		if (!id || !backup_id_valid(id))
			return err_set(err, ERR_DAMAGED, "\"sources\" has what is no backup id");
		head->source[head->sources++] = xstrdup(id);
	}
	if (head->sources == 0 || strcmp(head->source[0], head->id) != 0)
		return err_set(err, ERR_DAMAGED, "\"sources\" does not begin with the backup");
	return true;
}

static bool read_tablespaces(const struct jval *root, struct manifest_head *head, struct err *err)
{
	const struct jval *list;

	if (!list_get(root, "tablespaces", MANIFEST_TABLESPACES_MAX, &list, err))
		return false;
	head->tablespace = xcalloc(jarray_length(list) + 1, sizeof(*head->tablespace));
	for (size_t i = 0; i < jarray_length(list); i++) {
		struct manifest_tablespace *item = &head->tablespace[head->tablespaces++];
		const struct jval *from = jarray_at(list, i);

		if (!jget_u32(from, "oid", &item->oid, err) ||
		    !jget_bytes(from, "name", &item->name, err) ||
		    !jget_bytes(from, "path", &item->path, err))
			return false;
	}
	return true;
}

static bool read_findings(const struct jval *root, struct manifest_head *head, struct err *err)
{
	const struct jval *list;

	if (!list_get(root, "findings", MANIFEST_FINDINGS_MAX, &list, err))
		return false;
	head->finding = xcalloc(jarray_length(list) + 1, sizeof(*head->finding));
	for (size_t i = 0; i < jarray_length(list); i++) {
		struct manifest_finding *item = &head->finding[head->findings++];
		const struct jval *from = jarray_at(list, i);

		if (!jget_bytes(from, "path", &item->path, err) ||
		    !jget_u32(from, "block", &item->block, err) ||
		    !jget_bool(from, "warning", &item->warning, err))
			return false;
	}
	return true;
}

/* ---- the whole ---- */

void manifest_head_write(const struct manifest_head *head, struct buf *out)
{
	struct jval *root = jobject_new();

	jset_int(root, "format", HEAD_FORMAT);
	jset_str(root, "id", head->id);
	set_text(root, "tool_version", head->tool_version);
	set_text(root, "label", head->label_text);
	write_span(head, root);
	write_server(head, root);
	write_lists(head, root);
	json_print(root, true, out);
	jval_free(root);
}

static bool read_identity(const struct jval *root, struct manifest_head *head, struct err *err)
{
	uint32_t format;
	const char *id;

	if (!jget_u32(root, "format", &format, err))
		return false;
	if (format != HEAD_FORMAT)
		return err_set(err, ERR_STORE,
		               "the manifest has format %" PRIu32
		               ", this version of Seawall reads format %d",
		               format, HEAD_FORMAT);
	if (!jget_str(root, "id", &id, err))
		return false;
	if (!backup_id_valid(id) || !str_copy(head->id, sizeof(head->id), id))
		return err_set(err, ERR_DAMAGED, "field \"id\" is not a backup id");
	return jget_bytes(root, "tool_version", &head->tool_version, err) &&
	       jget_bytes(root, "label", &head->label_text, err);
}

/* What others divide by, index with and compare must be possible. */
static bool head_check(const struct manifest_head *head, struct err *err)
{
	if (!segment_bytes_valid(head->segment_bytes))
		return err_set(err, ERR_DAMAGED, "its WAL segment size cannot be");
	if (head->start_tli == 0 || head->stop_tli < head->start_tli)
		return err_set(err, ERR_DAMAGED, "its timelines cannot be");
	if (head->start_lsn == 0 || head->stop_lsn <= head->start_lsn)
		return err_set(err, ERR_DAMAGED, "it stops before it starts");
	return true;
}

bool manifest_head_parse(const void *text, size_t length, struct manifest_head *ret,
                         struct err *err)
{
	struct manifest_head head = {0};
	struct jval *root;
	bool good;

	if (!json_parse(text, length, &root, err))
		return err_wrap(err, "could not read the head of the manifest");
	good = read_identity(root, &head, err) && read_span(root, &head, err) &&
	       read_server(root, &head, err) && read_sources(root, &head, err) &&
	       read_tablespaces(root, &head, err) && read_findings(root, &head, err) &&
	       head_check(&head, err);
	jval_free(root);
	if (!good) {
		manifest_head_release(&head);
		return err_wrap(err, "could not read the head of the manifest");
	}
	*ret = head;
	return true;
}

void manifest_head_release(struct manifest_head *head)
{
	char **const text[] = {
	        &head->tool_version, &head->label_text, &head->from,
	        &head->pgdata,       &head->pg_bin,     &head->time_zone,
	        &head->hba_file,     &head->ident_file, &head->config_file,
	};

	for (size_t i = 0; i < ARRAY_LENGTH(text); i++)
		free(*text[i]);
	for (size_t i = 0; i < head->sources; i++)
		free(head->source[i]);
	for (size_t i = 0; i < head->tablespaces; i++) {
		free(head->tablespace[i].name);
		free(head->tablespace[i].path);
	}
	for (size_t i = 0; i < head->findings; i++)
		free(head->finding[i].path);
	free(head->source);
	free(head->tablespace);
	free(head->finding);
	*head = (struct manifest_head){0};
}

int manifest_head_order(const void *a, const void *b)
{
	const struct manifest_head *left = a, *right = b;

	if (left->stop_tli != right->stop_tli)
		return left->stop_tli < right->stop_tli ? -1 : 1;
	if (left->stop_lsn != right->stop_lsn)
		return left->stop_lsn < right->stop_lsn ? -1 : 1;
	return strcmp(left->id, right->id);
}
