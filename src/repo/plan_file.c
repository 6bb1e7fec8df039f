/*
 * plan_file.c — the plan as a file in the data directory, for whoever delivers WAL to it.
 *
 * One "key = value" for each fact, "path" and "tablespace" as often as there are any. Paths may
 * hold any byte: control characters, '%' and blanks at the ends are written as %XX, but not in
 * `socket`, which is of our own making and is read by the hook as it stands.
 */
#include "base/durable.h"
#include "base/file.h"
#include "base/ini.h"
#include "base/str.h"
#include "repo/plan.h"
#include <string.h>
#include "base/poison.h"

enum {
	PLAN_BYTES_MAX = 8 << 20,
	PLAN_TIMELINES_MAX = 100000,
	PLAN_TEXT_MAX = 3 * MANIFEST_PATH_MAX,
};

/* ---- writing ---- */

static void add_escaped(struct buf *out, const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];
		bool end = i == 0 || i + 1 == length;

		if (c < 0x20 || c == 0x7f || c == '%' || (c == ' ' && end))
			buf_addf(out, "%%%02X", c);
		else
			buf_addc(out, (char)c);
	}
}

static void add_text(struct buf *out, const char *key, const char *text)
{
	if (!text)
		return;
	buf_addf(out, "%s = ", key);
	add_escaped(out, text);
	buf_addc(out, '\n');
}

static void write_backup(const struct restore_plan *plan, struct buf *out)
{
	buf_addf(out, "backup = %s\n", plan->backup);
	buf_addf(out, "start = %u " LSN_FORMAT "\n", plan->start_tli, LSN_ARGS(plan->start_lsn));
	buf_addf(out, "stop = %u " LSN_FORMAT "\n", plan->stop_tli, LSN_ARGS(plan->stop_lsn));
	buf_addf(out, "stop_time_us = %lld\n", (long long)plan->backup_stop_us);
	for (size_t i = 0; i < plan->tablespaces; i++) {
		const struct restore_tablespace *space = &plan->tablespace[i];

		buf_addf(out, "tablespace = %u\t", space->oid);
		add_escaped(out, space->name);
		buf_addc(out, '\t');
		add_escaped(out, space->original);
		buf_addc(out, '\t');
		add_escaped(out, space->path);
		buf_addc(out, '\n');
	}
}

static void write_wal(const struct restore_plan *plan, struct buf *out)
{
	add_text(out, "target", plan->target.text);
	buf_addf(out, "before = %d\n", plan->target.before);
	buf_addf(out, "target_us = %lld\n", (long long)plan->target.time_us);
	add_text(out, "time_zone", plan->time_zone);
	buf_addf(out, "timeline = %u\n", plan->path.tli);
	for (size_t i = 0; i < plan->path.count; i++)
		buf_addf(out, "path = %u " LSN_FORMAT "\n", plan->path.entry[i].tli,
		         LSN_ARGS(plan->path.entry[i].switch_lsn));
	buf_addf(out, "segments = %llu %llu\n", (unsigned long long)plan->first_segno,
	         (unsigned long long)plan->last_segno);
	buf_addf(out, "known_timeline = %u\n", plan->known_tli);
	buf_addf(out, "kept = %llu\n", (unsigned long long)plan->kept_segno);
	buf_addf(out, "end = %u " LSN_FORMAT "\n", plan->end_tli, LSN_ARGS(plan->end_lsn));
	buf_addf(out, "end_record = " LSN_FORMAT "\n", LSN_ARGS(plan->end_start));
	buf_addf(out, "last_commit = %lld " LSN_FORMAT "\n", (long long)plan->last_commit_us,
	         LSN_ARGS(plan->last_commit_lsn));
}

static void write_text(const struct restore_plan *plan, struct buf *out)
{
	buf_addstr(out,
	           "# Written by seawall restore: which WAL may be delivered to this directory.\n"
	           "[restore]\n");
	buf_addf(out, "id = %s\n", plan->id);
	if (plan->socket[0])
		buf_addf(out, "socket = %s\n", plan->socket);
	add_text(out, "config", plan->config);
	add_text(out, "cluster", plan->cluster);
	add_text(out, "generation", plan->generation);
	add_text(out, "pgdata", plan->pgdata);
	buf_addf(out, "system_identifier = %llu\n", (unsigned long long)plan->system_identifier);
	buf_addf(out, "major = %u\n", plan->major);
	buf_addf(out, "segment_bytes = %u\n", plan->segment_bytes);
	buf_addf(out, "clone = %d\n", plan->clone);
	buf_addf(out, "in_place = %d\n", plan->in_place);
	write_backup(plan, out);
	write_wal(plan, out);
}

bool restore_plan_write(const struct restore_plan *plan, const char *path, struct err *err)
{
	AUTO_BUF struct buf out;

	buf_init(&out, PLAN_BYTES_MAX);
	write_text(plan, &out);
	if (out.overflow)
		return err_set(err, ERR_INTERNAL, "the plan is larger than %d bytes",
		               PLAN_BYTES_MAX);
	return durable_write_inside(path, out.data, out.length, err);
}

/* ---- reading ---- */

struct reading {
	struct restore_plan *plan;
	unsigned seen; /* bits of key[] */
	bool bad;
};

static bool unescape(const char *text, char **ret)
{
	size_t length = strlen(text), n = 0;
	char *out = xmalloc(length + 1);

	for (size_t i = 0; i < length; i++) {
		uint64_t code;

		if (text[i] != '%') {
			out[n++] = text[i];
			continue;
		}
		if (!str_hex(text + i + 1, 2, true, &code) || code == 0) {
			free(out);
			return false;
		}
		out[n++] = (char)code;
		i += 2;
	}
	out[n] = 0;
	*ret = out;
	return length <= PLAN_TEXT_MAX || (free(STEAL(*ret)), false);
}

static bool take_text(const char *value, char **ret)
{
	return *ret == NULL && unescape(value, ret);
}

static bool take_copy(const char *value, char *out, size_t out_bytes)
{
	AUTO_FREE char *text = NULL;

	return out[0] == 0 && unescape(value, &text) && str_copy(out, out_bytes, text);
}

static bool take_bool(const char *value, bool *ret)
{
	*ret = strcmp(value, "1") == 0;
	return *ret || strcmp(value, "0") == 0;
}

static bool take_us(const char *value, int64_t *ret)
{
	bool minus = value[0] == '-';
	uint64_t number;

	if (!str_u64(value + minus, &number) || number > INT64_MAX)
		return false;
	*ret = minus ? -(int64_t)number : (int64_t)number;
	return true;
}

/* "FIRST REST": cuts value (a copy of the caller's) at its first blank or tab. */
static bool cut(char *value, char **ret_rest)
{
	char *blank = strpbrk(value, " \t");

	if (!blank)
		return false;
	*blank = 0;
	*ret_rest = blank + 1;
	return true;
}

static bool take_place(char *value, uint32_t *ret_tli, lsn *ret_lsn)
{
	char *rest;

	return cut(value, &rest) && str_u32(value, ret_tli) && lsn_parse(rest, ret_lsn);
}

static bool take_path(char *value, struct restore_plan *plan)
{
	uint32_t tli;
	lsn at;

	if (!take_place(value, &tli, &at) || plan->path.count >= PLAN_TIMELINES_MAX || tli == 0 ||
	    (plan->path.count && tli <= plan->path.entry[plan->path.count - 1].tli))
		return false;
	history_add(&plan->path, tli, at, "");
	return true;
}

static bool take_tablespace(char *value, struct restore_plan *plan)
{
	struct restore_tablespace space = {0};
	char *name, *original, *path;

	if (!cut(value, &name) || !(original = strchr(name, '\t')) ||
	    plan->tablespaces >= MANIFEST_TABLESPACES_MAX || !str_u32(value, &space.oid))
		return false;
	*original++ = 0;
	if (!(path = strchr(original, '\t')))
		return false;
	*path++ = 0;
	if (!unescape(name, &space.name) || !unescape(original, &space.original) ||
	    !unescape(path, &space.path)) {
		free(space.name);
		free(space.original);
		return false;
	}
	plan->tablespace =
	        xrealloc(plan->tablespace, (plan->tablespaces + 1) * sizeof(plan->tablespace[0]));
	plan->tablespace[plan->tablespaces++] = space;
	return true;
}

static bool take_segments(char *value, struct restore_plan *plan)
{
	char *rest;

	return cut(value, &rest) && str_u64(value, &plan->first_segno) &&
	       str_u64(rest, &plan->last_segno);
}

static bool take_commit(char *value, struct restore_plan *plan)
{
	char *rest;

	return cut(value, &rest) && take_us(value, &plan->last_commit_us) &&
	       lsn_parse(rest, &plan->last_commit_lsn);
}

static bool take_target(const char *value, struct restore_plan *plan)
{
	AUTO_FREE char *text = NULL;
	struct restore_target target;
	struct err ignored = {0};

	if (!unescape(value, &text) || !restore_target_parse(text, &target, &ignored))
		return false;
	target.before = plan->target.before;
	target.time_us = plan->target.time_us;
	plan->target = target;
	return true;
}

/* What is not a single number or text. False: it is none of these keys, or it is wrong. */
static bool take_wal(const char *key, const char *given, struct restore_plan *plan, bool *ret_known)
{
	AUTO_FREE char *value = xstrdup(given);

	*ret_known = true;
	if (strcmp(key, "start") == 0)
		return take_place(value, &plan->start_tli, &plan->start_lsn);
	if (strcmp(key, "stop") == 0)
		return take_place(value, &plan->stop_tli, &plan->stop_lsn);
	if (strcmp(key, "end") == 0)
		return take_place(value, &plan->end_tli, &plan->end_lsn);
	if (strcmp(key, "path") == 0)
		return take_path(value, plan);
	if (strcmp(key, "segments") == 0)
		return take_segments(value, plan);
	if (strcmp(key, "last_commit") == 0)
		return take_commit(value, plan);
	if (strcmp(key, "tablespace") == 0)
		return take_tablespace(value, plan);
	if (strcmp(key, "target") == 0)
		return take_target(value, plan);
	if (strcmp(key, "known_timeline") == 0)
		return str_u32(value, &plan->known_tli);
	if (strcmp(key, "kept") == 0)
		return str_u64(value, &plan->kept_segno);
	if (strcmp(key, "end_record") == 0)
		return lsn_parse(value, &plan->end_start);
	*ret_known = false;
	return false;
}

static bool take_fact(const char *key, const char *value, struct restore_plan *plan,
                      bool *ret_known)
{
	*ret_known = true;
	if (strcmp(key, "id") == 0)
		return take_copy(value, plan->id, sizeof(plan->id));
	if (strcmp(key, "socket") == 0)
		return str_copy(plan->socket, sizeof(plan->socket), value);
	if (strcmp(key, "config") == 0)
		return take_text(value, &plan->config);
	if (strcmp(key, "cluster") == 0)
		return take_text(value, &plan->cluster);
	if (strcmp(key, "generation") == 0)
		return take_text(value, &plan->generation);
	if (strcmp(key, "pgdata") == 0)
		return take_text(value, &plan->pgdata);
	if (strcmp(key, "system_identifier") == 0)
		return str_u64(value, &plan->system_identifier);
	if (strcmp(key, "major") == 0)
		return str_u32(value, &plan->major);
	if (strcmp(key, "segment_bytes") == 0)
		return str_u32(value, &plan->segment_bytes);
	if (strcmp(key, "clone") == 0)
		return take_bool(value, &plan->clone);
	if (strcmp(key, "in_place") == 0)
		return take_bool(value, &plan->in_place);
	if (strcmp(key, "backup") == 0)
		return take_copy(value, plan->backup, sizeof(plan->backup));
	if (strcmp(key, "stop_time_us") == 0)
		return take_us(value, &plan->backup_stop_us);
	if (strcmp(key, "before") == 0)
		return take_bool(value, &plan->target.before);
	if (strcmp(key, "target_us") == 0)
		return take_us(value, &plan->target.time_us);
	if (strcmp(key, "time_zone") == 0)
		return take_copy(value, plan->time_zone, sizeof(plan->time_zone));
	if (strcmp(key, "timeline") == 0)
		return str_u32(value, &plan->path.tli) && plan->path.tli > 0;
	*ret_known = false;
	return false;
}

static bool take_line(void *context, const struct ini_line *line, struct err *err)
{
	struct restore_plan *plan = context;
	bool known;

	if (strcmp(line->section, "restore") != 0)
		return err_set(err, ERR_DAMAGED, "line %u: there is no section \"%s\" in a plan",
		               line->number, line->section);
	if (!line->key)
		return true;
	if (take_fact(line->key, line->value, plan, &known) ||
	    (!known && take_wal(line->key, line->value, plan, &known)))
		return true;
	return err_set(err, ERR_DAMAGED,
	               known ? "line %u: \"%s\" is wrong" : "line %u: \"%s\" is not known",
	               line->number, line->key);
}

static bool plan_check(const struct restore_plan *plan, struct err *err)
{
	uint64_t number;

	if (strlen(plan->id) != RESTORE_ID_BYTES - 1 || !str_hex(plan->id, 16, false, &number) ||
	    !plan->cluster || !plan->generation || !plan->pgdata ||
	    !segment_bytes_valid(plan->segment_bytes) || plan->path.tli == 0 ||
	    !plan->target.text[0] || plan->first_segno > plan->last_segno ||
	    !backup_id_valid(plan->backup) || !path_is_absolute(plan->pgdata))
		return err_set(err, ERR_DAMAGED, "it is not whole");
	for (size_t i = 0; i < plan->path.count; i++)
		if (plan->path.entry[i].tli >= plan->path.tli)
			return err_set(err, ERR_DAMAGED, "its timelines do not increase");
	return true;
}

bool restore_plan_read(const char *path, struct restore_plan *ret, struct err *err)
{
	*ret = (struct restore_plan){0};
	if (ini_read(path, take_line, ret, err) && plan_check(ret, err))
		return true;
	restore_plan_release(ret);
	return err_wrap(err, "could not read the restore's plan \"%s\"", path);
}
