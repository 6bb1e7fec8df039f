/*
 * restore_outside.c — the configuration of a restored directory: what must not stay in it, and in a
 * clone whatever leads out of it, to files of the original.
 *
 * Recovery settings in postgresql.conf would conflict with ours. A clone has copies of the files
 * that lay outside (restore_copy.c: take_outside), so each place that names one is turned to its
 * copy; one that the backup does not have becomes a comment.
 */
#include "restore_outside.h"
#include "base/file.h"
#include "pg/conffile.h"
#include "restore_conf.h"
#include <string.h>
#include <unistd.h>
#include "base/poison.h"

static const char *const targets[] = {"recovery_target",          "recovery_target_time",
                                      "recovery_target_xid",      "recovery_target_name",
                                      "recovery_target_lsn",      "recovery_target_inclusive",
                                      "recovery_target_timeline", "recovery_target_action",
                                      "promote_trigger_file",     NULL};
/* What a clone must not share with its original. */
static const char *const outside[] = {"data_directory",       "hba_file",
                                      "ident_file",           "external_pid_file",
                                      "stats_temp_directory", NULL};

struct turning {
	const struct restore_copy *copy;
	struct err *err;
	bool failed;
	struct strs done; /* of the directory, by name */
	unsigned depth;
	/* the file being written */
	const char *folder; /* where it lay */
	bool copied;        /* it lay outside */
	bool rules, mirrored;
	const char *text;
	size_t at, line; /* taken so far; the line whose begin is taken, plus one */
	struct buf *out;
	unsigned changes;
};

static void turn_file(struct turning *turning, const char *name, const char *was,
                      enum conffile_kind kind);

static const char *below(const char *folder, const char *path)
{
	size_t length = strlen(folder);

	return strncmp(path, folder, length) == 0 && path[length] == '/' ? path + length + 1 : NULL;
}

static void take_until(struct turning *turning, size_t at)
{
	buf_add(turning->out, turning->text + turning->at, at - turning->at);
	turning->at = at;
}

static void replace(struct turning *turning, const struct conffile_ref *ref, const char *path)
{
	take_until(turning, ref->at);
	if (turning->rules) {
		buf_addc(turning->out, '"');
		for (const char *p = path; *p; p++)
			buf_addstr(turning->out, *p == '"' ? "\"\"" : (char[]){*p, 0});
		buf_addc(turning->out, '"');
	} else {
		conf_quote(path, turning->out);
	}
	turning->at += ref->length;
	turning->changes++;
}

static void turn_into(struct turning *turning, const char *there, const char *was,
                      enum conffile_what what)
{
	enum conffile_kind kind = turning->rules ? CONFFILE_RULES : CONFFILE_SETTINGS;
	const char *pgdata = turning->copy->pgdata;
	struct strs files = {0};

	if (what != CONFFILE_FOLDER)
		return turn_file(turning, below(pgdata, there), was, kind);
	conffile_folder(there, &files);
	for (size_t i = 0; i < files.count; i++) {
		AUTO_FREE char *one = path_join(was, path_name(files.item[i]));

		turn_file(turning, below(pgdata, files.item[i]), one, kind);
	}
	strs_release(&files);
}

static void turn_ref(void *context, const struct conffile_ref *ref)
{
	struct turning *turning = context;
	const struct restore_copy *copy = turning->copy;
	bool relative = !path_is_absolute(ref->path);
	AUTO_FREE char *was = conffile_resolve(turning->folder, ref->path);
	AUTO_FREE char *mirror = xasprintf("%s/%s%s", copy->pgdata, copy->mirror, was);
	const char *inside = below(copy->head->pgdata, was);

	if (inside && relative && !turning->copied)
		return;
	if (inside) {
		AUTO_FREE char *here = path_join(copy->pgdata, inside);

		return replace(turning, ref, here);
	}
	if (access(mirror, R_OK) == 0) {
		if (!(turning->mirrored && relative))
			replace(turning, ref, mirror);
		return turn_into(turning, mirror, was, ref->what);
	}
	if (turning->at > ref->line)
		return; /* its line has another one that was turned; PostgreSQL will tell */
	take_until(turning, ref->line);
	buf_addstr(turning->out, CONF_COMMENT);
	turning->changes++;
}

/* Those that lie in the directory, but not under their usual names. */
static void keep_inside(const struct restore_copy *copy, const char *text, struct buf *out)
{
	const char *const names[] = {"hba_file", "ident_file"};
	const char *const away[] = {copy->head->hba_file, copy->head->ident_file};

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		AUTO_FREE char *here = NULL;
		char was[MANIFEST_PATH_MAX];
		const char *inside = !away[i][0] && conf_value(text, names[i], was, sizeof(was))
		                             ? below(copy->head->pgdata, was)
		                             : NULL;

		if (!inside)
			continue;
		here = path_join(copy->pgdata, inside);
		buf_addf(out, "%s = ", names[i]);
		conf_quote(here, out);
		buf_addc(out, '\n');
	}
}

/* The text without what must not be there; false: as it was. */
static bool clean(const struct restore_copy *copy, const struct buf *text, struct buf *out)
{
	AUTO_BUF struct buf half;
	unsigned first, second = 0;

	buf_init(&half, CONF_BYTES_MAX);
	conf_comment_out(buf_text(text), targets, copy->outside ? &half : out, &first);
	if (!copy->outside)
		return first > 0;
	conf_comment_out(buf_text(&half), outside, out, &second);
	if (out->length > 0 && out->data[out->length - 1] != '\n')
		buf_addc(out, '\n');
	keep_inside(copy, buf_text(text), out);
	return first + second > 0;
}

static void turn_text(struct turning *turning, const char *text, enum conffile_kind kind,
                      struct buf *out)
{
	turning->text = text;
	turning->at = 0;
	turning->rules = kind == CONFFILE_RULES;
	turning->out = out;
	if (turning->copy->outside)
		conffile_refs(text, kind, turn_ref, turning);
	take_until(turning, strlen(text));
}

/* name: in the directory. was: where it lay. */
static bool turn(struct turning *turning, const char *name, const char *was,
                 enum conffile_kind kind)
{
	AUTO_FREE char *path = path_join(turning->copy->pgdata, name);
	AUTO_FREE char *folder = path_folder(was);
	AUTO_BUF struct buf text;
	AUTO_BUF struct buf turned;
	AUTO_BUF struct buf out;
	struct buf *result = &turned;

	buf_init(&text, CONF_BYTES_MAX);
	buf_init(&turned, CONF_BYTES_MAX);
	buf_init(&out, CONF_BYTES_MAX);
	if (!file_read_all(path, &text, turning->err)) {
		bool absent = turning->err->code == ERR_NOTFOUND;

		if (absent)
			err_clear(turning->err);
		return absent;
	}
	turning->folder = folder;
	turning->copied = !below(turning->copy->head->pgdata, was);
	turning->mirrored = below(turning->copy->mirror, name) != NULL;
	turning->changes = 0;
	turn_text(turning, buf_text(&text), kind, &turned);
	if (kind == CONFFILE_SETTINGS && clean(turning->copy, &turned, &out)) {
		turning->changes++;
		result = &out;
	}
	if (turning->changes == 0)
		return true;
	if (text.overflow || turned.overflow || result->overflow)
		return err_set(turning->err, ERR_REFUSED, "file \"%s\" is larger than %d bytes",
		               path, CONF_BYTES_MAX);
	return durable_write_inside(path, buf_text(result), result->length, turning->err);
}

static void turn_file(struct turning *turning, const char *name, const char *was,
                      enum conffile_kind kind)
{
	struct turning outer = *turning;

	if (turning->failed || strs_has(&turning->done, name) ||
	    turning->depth >= CONFFILE_DEPTH_MAX)
		return;
	strs_add(&turning->done, name);
	outer.done = turning->done;
	turning->depth++;
	outer.failed = !turn(turning, name, was, kind);
	outer.done = turning->done;
	outer.failed |= turning->failed;
	*turning = outer;
}

bool restore_outside_settle(const struct restore_copy *copy, struct err *err)
{
	const struct manifest_head *head = copy->head;
	const struct {
		const char *name, *was;
		enum conffile_kind kind;
	} file[] = {{"postgresql.conf", head->config_file, CONFFILE_SETTINGS},
	            {"pg_hba.conf", head->hba_file, CONFFILE_RULES},
	            {"pg_ident.conf", head->ident_file, CONFFILE_RULES}};
	struct turning turning = {.copy = copy, .err = err};

	for (size_t i = 0; i < ARRAY_LENGTH(file); i++) {
		AUTO_FREE char *inside = path_join(head->pgdata, file[i].name);

		if (file[i].kind == CONFFILE_RULES && !copy->outside)
			continue;
		turn_file(&turning, file[i].name, file[i].was[0] ? file[i].was : inside,
		          file[i].kind);
	}
	strs_release(&turning.done);
	return !turning.failed;
}
