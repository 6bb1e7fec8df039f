/*
 * restore_settle.c — from "all files are there" to "it can be started", and the end.
 *
 * The order is the promise: settings and labels, everything synced on every disk, and only then
 * global/pg_control gets its name. A directory without it cannot start, and one with it has all the
 * rest.
 */
#include "restore_conf.h"
#include "restore_internal.h"
#include "restore_outside.h"
#include "base/clock.h"
#include "base/file.h"
#include "pg/conffile.h"
#include "pg/label.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/poison.h"

/* ---- files ---- */

static bool read_text(const char *pgdata, const char *name, struct buf *out, struct err *err)
{
	AUTO_FREE char *path = path_join(pgdata, name);
	struct err problem = {0};

	if (file_read_all(path, out, &problem) || problem.code == ERR_NOTFOUND)
		return true;
	*err = problem;
	return false;
}

static bool write_text(const char *pgdata, const char *name, const struct buf *text,
                       struct err *err)
{
	AUTO_FREE char *path = path_join(pgdata, name);

	if (text->overflow)
		return err_set(err, ERR_REFUSED, "file \"%s\" is larger than %d bytes", path,
		               CONF_BYTES_MAX);
	return durable_write_inside(path, text->data ? text->data : "", text->length, err);
}

/* A backup that does not say how it was is like one of its files, once that is there. */
bool restore_mode_set(const struct restore_detail *detail, struct err *err)
{
	const struct manifest_head *head = detail->head;
	struct stat status;
	bool group = head->group_known ? head->group_access
	                               : fstatat(detail->folder, "PG_VERSION", &status, 0) == 0 &&
	                                         (status.st_mode & 0040);

	return fchmod(detail->folder, group ? 0750 : 0700) == 0 ||
	       err_sys(err, "could not set the mode of \"%s\"", detail->restore->plan.pgdata);
}

/* What the original's map has besides is a tablespace that was dropped when the backup had begun:
 * nothing of it was copied, and its entry would lead into the original's place. */
static bool settle_tablespace_map(struct restore_detail *detail, struct err *err)
{
	const struct restore_plan *plan = &detail->restore->plan;
	AUTO_FREE char *path = path_join(plan->pgdata, "tablespace_map");
	struct tablespace_map map = {0};
	AUTO_BUF struct buf out;
	bool good;

	buf_init(&out, TABLESPACE_MAP_BYTES_MAX);
	if (plan->tablespaces == 0)
		return durable_unlink(path, err);
	for (size_t i = 0; i < plan->tablespaces; i++)
		tablespace_map_add(&map, plan->tablespace[i].oid, plan->tablespace[i].path);
	tablespace_map_write(&map, &out);
	good = write_text(plan->pgdata, "tablespace_map", &out, err);
	tablespace_map_release(&map);
	return good;
}

/* ---- settings ---- */

static const char *action_of(const struct restore *restore)
{
	/* When it is followed, it waits until its end was checked. */
	if (restore->options->start || restore->options->then == RESTORE_PAUSE)
		return "pause";
	return restore->options->then == RESTORE_PROMOTE ? "promote" : "shutdown";
}

static bool hook_program(const struct site *site, char **ret, struct err *err)
{
	AUTO_FREE char *folder = path_folder(site->program);
	AUTO_FREE char *path = path_join(folder, "seawall-wal");

	if (access(path, X_OK) != 0) {
		err_sys(err, "the program \"%s\", which PostgreSQL is to run, cannot be used",
		        path);
		err->code = ERR_REFUSED;
		return false;
	}
	*ret = STEAL(path);
	return true;
}

static bool restore_command(const struct restore *restore, struct buf *out, struct err *err)
{
	AUTO_FREE char *program = NULL;
	AUTO_FREE char *plan = path_join(restore->plan.pgdata, RESTORE_PLAN_FILE);
	struct conf_command command = {.config = restore->plan.config,
	                               .cluster = restore->site->cluster,
	                               .plan = plan,
	                               .major = restore->plan.major};

	if (!hook_program(restore->site, &program, err))
		return false;
	command.program = program;
	return conf_restore_command(&command, out, err);
}

static bool read_floor(const struct restore_detail *detail, struct pg_parameters *ret,
                       struct err *err)
{
	AUTO_FREE char *path =
	        path_join(detail->restore->plan.pgdata,
	                  detail->place.placed ? "global/pg_control" : RESTORE_CONTROL_NEW);
	AUTO_BUF struct buf bytes;
	struct control control;

	buf_init(&bytes, CONTROL_BYTES);
	if (!file_read_all(path, &bytes, err) ||
	    !control_decode(bytes.data, bytes.length, &control, err))
		return err_wrap(err, "could not read the restored pg_control");
	*ret = control.parameters;
	return true;
}

/* What the server will read before postgresql.auto.conf, with what that includes. */
static bool read_config(const struct restore *restore, struct buf *out, struct err *err)
{
	const char *outside = restore_config_file(restore);
	AUTO_FREE char *inside = path_join(restore->plan.pgdata, "postgresql.conf");
	struct err problem = {0};

	if (conffile_expand(outside ? outside : inside, out, &problem) ||
	    (!outside && problem.code == ERR_NOTFOUND))
		return true;
	*err = problem;
	return err_wrap(err, "could not read the configuration of the server");
}

static bool settle_settings(struct restore_detail *detail, struct err *err)
{
	const struct restore *restore = detail->restore;
	const char *pgdata = restore->plan.pgdata;
	struct pg_parameters floor;
	AUTO_BUF struct buf command;
	AUTO_BUF struct buf text;
	AUTO_BUF struct buf all;
	AUTO_BUF struct buf out;
	unsigned removed;
	struct conf_recovery recovery = {.plan = &restore->plan,
	                                 .action = action_of(restore),
	                                 .floor = &floor,
	                                 .port = restore->options->port,
	                                 .option = &restore->options->option};

	buf_init(&command, CONF_BYTES_MAX);
	buf_init(&text, CONF_BYTES_MAX);
	buf_init(&all, 2 * CONF_BYTES_MAX);
	buf_init(&out, CONF_BYTES_MAX);
	if (!restore_command(restore, &command, err) || !read_floor(detail, &floor, err) ||
	    !read_text(pgdata, "postgresql.auto.conf", &text, err))
		return false;
	conf_strip(buf_text(&text), true, &out, &removed);
	if (!read_config(restore, &all, err))
		return false;
	buf_addstr(&all, buf_text(&out));
	for (size_t i = 0; i < restore->options->option.count; i++)
		buf_addf(&all, "\n%s", restore->options->option.item[i]);
	recovery.restore_command = buf_text(&command);
	recovery.config_text = buf_text(&all);
	conf_recovery(&recovery, &out);
	return write_text(pgdata, "postgresql.auto.conf", &out, err);
}

bool restore_raise_floors(struct restore *restore, bool *ret_raised, struct err *err)
{
	const char *pgdata = restore->plan.pgdata;
	struct control control;
	AUTO_BUF struct buf all;
	AUTO_BUF struct buf own;
	AUTO_BUF struct buf lines;

	buf_init(&all, 3 * CONF_BYTES_MAX);
	buf_init(&own, CONF_BYTES_MAX);
	buf_init(&lines, 4096);
	*ret_raised = false;
	if (!control_read(pgdata, &control, err) ||
	    !read_text(pgdata, "postgresql.auto.conf", &own, err) ||
	    !read_config(restore, &all, err))
		return false;
	buf_addstr(&all, buf_text(&own));
	conf_floors(&control.parameters, buf_text(&all), &lines);
	if (lines.length == 0)
		return true;
	conf_add(&lines, &own);
	*ret_raised = write_text(pgdata, "postgresql.auto.conf", &own, err);
	return *ret_raised;
}

static bool settle_signals(const struct restore *restore, struct err *err)
{
	const char *pgdata = restore->plan.pgdata;
	AUTO_FREE char *standby = path_join(pgdata, "standby.signal");
	AUTO_FREE char *clone = path_join(pgdata, RESTORE_CLONE_FILE);
	AUTO_BUF struct buf text;
	struct buf empty = {0};

	buf_init(&text, 4096);
	if (!durable_unlink(standby, err) || !write_text(pgdata, "recovery.signal", &empty, err))
		return false;
	if (!restore->plan.clone)
		return durable_unlink(clone, err);
	buf_addf(&text,
	         "This directory is a copy of cluster \"%s\", made by seawall restore from backup "
	         "%s.\nIt does not archive into the repository of the original.\n",
	         restore->site->cluster, restore->plan.backup);
	return write_text(pgdata, RESTORE_CLONE_FILE, &text, err);
}

/* ---- durable ---- */

static bool sync_all(const struct restore *restore, struct err *err)
{
	const struct restore_plan *plan = &restore->plan;
	AUTO_FREE char *above = path_folder(plan->pgdata);

	if (!restore_disks_sync(&restore->detail->copy.disks, plan->pgdata, err))
		return false;
	for (size_t i = 0; i < plan->tablespaces; i++)
		if (!durable_sync_filesystem(plan->tablespace[i].path, err))
			return false;
	if (restore->options->link_pgwal &&
	    !durable_sync_filesystem(restore->options->link_pgwal, err))
		return false;
	return durable_sync_dir(above, err);
}

static bool list_changed(struct restore_detail *detail, struct err *err)
{
	struct restore_copy *copy = &detail->copy;
	static const char *const always[] = {"postgresql.conf", "tablespace_map",
	                                     RESTORE_CLONE_FILE, RESTORE_PLAN_FILE};

	for (size_t i = 0; i < ARRAY_LENGTH(always); i++)
		if (!restore_copy_list(copy, always[i], err))
			return false;
	for (size_t i = 0; i < copy->brought.count; i++)
		if (strcmp(copy->brought.item[i], "postgresql.conf") != 0 &&
		    !restore_copy_list(copy, copy->brought.item[i], err))
			return false;
	return restore_copy_publish(copy, err);
}

static bool place_control(const struct restore *restore, struct err *err)
{
	const char *pgdata = restore->plan.pgdata;
	AUTO_FREE char *beside = path_join(pgdata, RESTORE_CONTROL_NEW);
	AUTO_FREE char *control = path_join(pgdata, "global/pg_control");

	return durable_rename(beside, control, err);
}

bool restore_settle(struct restore *restore, struct err *err)
{
	struct restore_detail *detail = restore->detail;
	const char *pgdata = restore->plan.pgdata;
	AUTO_FREE char *plan = path_join(pgdata, RESTORE_PLAN_FILE);

	if (!restore_mode_set(detail, err) || !restore_outside_settle(&detail->copy, err) ||
	    !settle_tablespace_map(detail, err) || !settle_settings(detail, err) ||
	    !settle_signals(restore, err) || !restore_plan_write(&restore->plan, plan, err) ||
	    !list_changed(detail, err) || !sync_all(restore, err) || !place_control(restore, err))
		return err_wrap(err, "could not make the restored directory ready");
	return restore_journal_write(pgdata, detail->command, JOURNAL_PLACED, err);
}

/* ---- the end ---- */

bool restore_finish(struct restore *restore, struct err *err)
{
	const char *pgdata = restore->plan.pgdata;
	AUTO_FREE char *journal = path_join(pgdata, RESTORE_JOURNAL_FILE);
	AUTO_FREE char *plan = path_join(pgdata, RESTORE_PLAN_FILE);
	AUTO_FREE char *spool = path_join(pgdata, "pg_wal/seawall.spool");
	AUTO_BUF struct buf text;
	AUTO_BUF struct buf out;
	unsigned removed;

	buf_init(&text, CONF_BYTES_MAX);
	buf_init(&out, CONF_BYTES_MAX);
	/* Only a recovery that has ended needs none of this any more. */
	if (restore->new_tli) {
		if (!read_text(pgdata, "postgresql.auto.conf", &text, err))
			return false;
		conf_strip(buf_text(&text), false, &out, &removed);
		if (!write_text(pgdata, "postgresql.auto.conf", &out, err) ||
		    !durable_unlink(plan, err) || !file_remove_tree(spool, err))
			return false;
	}
	return (!restore->plan.in_place || restore_clear_end(restore, err)) &&
	       durable_unlink(journal, err);
}

/* ---- programs ---- */

static bool is_there(const char *folder)
{
	AUTO_FREE char *path = path_join(folder, "pg_ctl");

	return access(path, X_OK) == 0;
}

char *restore_pg_bin(const struct site *site, const struct manifest_head *head)
{
	AUTO_FREE char *debian = xasprintf("/usr/lib/postgresql/%u/bin", head->major);
	const char *path = getenv("PATH");

	if (site->pg_bin)
		return xstrdup(site->pg_bin);
	if (head->pg_bin[0] && is_there(head->pg_bin))
		return xstrdup(head->pg_bin);
	if (is_there(debian))
		return STEAL(debian);
	while (path && *path) {
		size_t length = strcspn(path, ":");
		AUTO_FREE char *folder = xstrndup(path, length);

		if (length && is_there(folder))
			return STEAL(folder);
		path += length + (path[length] == ':');
	}
	return NULL;
}

const char *restore_config_file(const struct restore *restore)
{
	const struct manifest_head *head = restore->detail->head;

	return restore->plan.clone || !head->config_file[0] ? NULL : head->config_file;
}
