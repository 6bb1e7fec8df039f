/*
 * restore_save.c — in place: nothing that exists only here may be lost.
 *
 *   START -> LOOKING (a worker: what waits to be archived) -> PUSHING (one after the other) -> done
 *
 * What PostgreSQL has marked .ready is complete and goes into the archive before anything is
 * changed; the listing that the plan is made from comes after that. So does a segment without any
 * mark behind which the next one was begun: the server ended before it came to the mark, or its
 * archive_mode was off; and history, partial and backup files without one. The last segment is
 * never marked: it stays where it is when the path leads through it (restore_find.c looks into it).
 */
#include "restore_save.h"
#include "restore_internal.h"
#include "base/bytes.h"
#include "base/file.h"
#include "ready.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/poison.h"

enum { PAGE_HEADER_BYTES = 40 }; /* of a segment's first page */
enum save_state { SAVE_START, SAVE_LOOKING, SAVE_PUSHING };

/* Whether WAL was written into the segment: an old file with a new name begins with another
 * address. */
static bool is_begun(const char *folder, uint32_t tli, uint64_t segno,
                     const struct control *control)
{
	char name[SEGMENT_NAME_BYTES];
	uint8_t header[PAGE_HEADER_BYTES];
	AUTO_FREE char *path = NULL;
	AUTO_FD int fd = -1;

	segment_name(tli, segno, control->segment_bytes, name);
	path = path_join(folder, name);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && file_read_full(fd, header, sizeof(header)) == sizeof(header) &&
	       get_u64(header + 8) == lsn_of_segno(segno, control->segment_bytes) &&
	       get_u64(header + 24) == control->system_identifier;
}

static bool has_mark(const char *folder, const char *name, const char *mark)
{
	AUTO_FREE char *path = xasprintf("%s/archive_status/%s.%s", folder, name, mark);

	return access(path, F_OK) == 0;
}

/* A segment is complete when the next one was begun; other files are as soon as they have a name.
 */
static bool is_complete(const char *folder, const struct walname *name,
                        const struct control *control)
{
	uint64_t segno = walname_segno(name, control->segment_bytes);

	return name->kind != WALNAME_SEGMENT || (is_begun(folder, name->tli, segno, control) &&
	                                         is_begun(folder, name->tli, segno + 1, control));
}

/* What is complete, and archive_status says nothing of. */
static bool add_unmarked(const char *pgdata, struct strs *out, struct err *err)
{
	AUTO_FREE char *folder = path_join(pgdata, "pg_wal");
	struct control control;
	struct strs names = {0};
	struct err unreadable = {0};

	/* A restore that was not finished has moved it away, and cleared pg_wal. */
	if (!control_read(pgdata, &control, &unreadable))
		return true;
	if (!file_list(folder, &names, err)) {
		strs_release(&names);
		if (err->code != ERR_NOTFOUND) /* its disk may be what was lost */
			return false;
		err_clear(err);
		return true;
	}
	strs_sort(&names);
	for (size_t i = 0; i < names.count; i++) {
		const char *text = names.item[i];
		struct walname name;

		if (walname_parse(text, &name) && walname_fits(&name, control.segment_bytes) &&
		    is_complete(folder, &name, &control) && !has_mark(folder, text, "done") &&
		    !has_mark(folder, text, "ready"))
			strs_add(out, text);
	}
	strs_release(&names);
	return true;
}

static void look_run(struct work *work)
{
	struct restore_save *save = container_of(work, struct restore_save, look);
	const char *pgdata = save->restore->detail->place.path;
	AUTO_FREE char *clone = path_join(pgdata, RESTORE_CLONE_FILE);
	struct ready *ready;

	/* A clone's own WAL belongs into no archive. */
	if (access(clone, F_OK) == 0)
		return;
	ready = xcalloc(1, sizeof(*ready));
	if (!ready_read(pgdata, ready, &work->op.err)) {
		if (work->op.err.code == ERR_NOTFOUND)
			err_clear(&work->op.err);
	} else if (ready->found > ready->count) {
		err_set(&work->op.err, ERR_REFUSED,
		        "%llu files of pg_wal wait to be archived, more than can be saved here",
		        (unsigned long long)ready->found);
		err_hint(&work->op.err, "Start the server until its archiver has caught up.");
	}
	for (unsigned i = 0; i < ready->count; i++) {
		char name[WALNAME_BYTES];

		walname_format(&ready->name[i], name);
		strs_add(&save->names, name);
	}
	free(ready);
	if (!err_is(&work->op.err))
		(void)!add_unmarked(pgdata, &save->names, &work->op.err);
}

static void push_next(struct restore_save *save)
{
	struct restore *restore = save->restore;
	struct op *op = &save->op;

	if (save->next == save->names.count)
		return op_done(op);
	free(save->path);
	save->path = xasprintf("%s/pg_wal/%s", restore->detail->place.path,
	                       save->names.item[save->next]);
	save->push = (struct push){.site = restore->site,
	                           .destination = &save->destination,
	                           .folder = restore->detail->place.path,
	                           .path = save->path};
	if (!walname_parse(save->names.item[save->next], &save->push.name))
		return op_fail_as(op, ERR_INTERNAL, "\"%s\" is no WAL file", save->path);
	push_start(op, &save->push);
	op_wait(op, SAVE_PUSHING);
}

static void save_step(struct op *op)
{
	struct restore_save *save = container_of(op, struct restore_save, op);

	switch ((enum save_state)op->state) {
	case SAVE_START:
		push_destination_init(&save->destination);
		work_start_class(op, &save->look, WORK_RESTORE, look_run);
		return op_wait(op, SAVE_LOOKING);

	case SAVE_LOOKING:
		if (op_failed(&save->look.op))
			return op_fail(op, &save->look.op.err, "could not look into pg_wal");
		return push_next(save);

	case SAVE_PUSHING:
		if (op_failed(&save->push.op) && !save->push.fenced) /* then it is safe aside */
			return op_fail(op, &save->push.op.err, "could not archive \"%s\"",
			               save->path);
		save->next++;
		return push_next(save);
	}
}

void restore_save_start(struct op *parent, struct restore_save *save, struct restore *restore)
{
	static const struct op_type type = {.name = "restore_save", .step = save_step};

	*save = (struct restore_save){.restore = restore};
	op_start(parent, &save->op, &type);
}

void restore_save_release(struct restore_save *save)
{
	strs_release(&save->names);
	push_destination_release(&save->destination);
	free(save->path);
	save->path = NULL;
}

/* ---- clearing ---- */

static bool clear_wal(const struct restore *restore, struct err *err)
{
	const struct restore_plan *plan = &restore->plan;
	AUTO_FREE char *folder = path_join(plan->pgdata, "pg_wal");
	char kept[SEGMENT_NAME_BYTES] = "";
	struct strs names = {0};
	bool good = file_list(folder, &names, err);

	if (!good && err->code == ERR_NOTFOUND) {
		err_clear(err);
		return true;
	}
	if (plan->kept_segno)
		segment_name(plan->path.tli, plan->kept_segno, plan->segment_bytes, kept);
	for (size_t i = 0; good && i < names.count; i++) {
		AUTO_FREE char *path = path_join(folder, names.item[i]);

		if (strcmp(names.item[i], kept) != 0)
			good = file_remove_tree(path, err);
	}
	strs_release(&names);
	return good && durable_sync_dir(folder, err);
}

bool restore_clear(struct restore *restore, struct err *err)
{
	const char *pgdata = restore->plan.pgdata;
	AUTO_FREE char *control = path_join(pgdata, "global/pg_control");
	AUTO_FREE char *old = path_join(pgdata, RESTORE_CONTROL_OLD);
	static const char *const stale[] = {"postmaster.pid",   "postmaster.opts",
	                                    "recovery.signal",  "standby.signal",
	                                    "backup_label.old", "tablespace_map.old"};

	if (access(control, F_OK) == 0 && !durable_rename(control, old, err))
		return false;
	for (size_t i = 0; i < ARRAY_LENGTH(stale); i++) {
		AUTO_FREE char *path = path_join(pgdata, stale[i]);

		if (!durable_unlink(path, err))
			return false;
	}
	return clear_wal(restore, err);
}

bool restore_clear_end(const struct restore *restore, struct err *err)
{
	AUTO_FREE char *old = path_join(restore->plan.pgdata, RESTORE_CONTROL_OLD);

	return durable_unlink(old, err);
}
