/*
 * fetch_file.c — one file of WAL from the repository to the disk.
 *
 *   START -> STREAMING -> PLACING -> done
 *
 * STREAMING: every frame is checked (repo/object.h) and every record of a segment proven
 * (pg/walwalk.h) while the bytes go into a draft. PLACING: the draft is synced and gets its name. A
 * file that fails anywhere never has a name.
 */
#include "fetch_file.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/file.h"

#include "base/poison.h"

enum fetch_file_state { FETCH_START, FETCH_STREAMING, FETCH_PLACING };

/* The spool's folders, when they are not there (any more); draft_open says what is wrong with them.
 */
static void fetch_make_folders(const char *target)
{
	AUTO_FREE char *folder = path_folder(target);
	AUTO_FREE char *above = path_folder(folder);

	AUTO_FREE char *wal = path_folder(above);
	mode_t mode = durable_group_reads(wal) ? 0750 : 0700;

	/* the mode as it is to be, whatever the umask */
	if (mkdir(above, 0700) == 0)
		(void)!chmod(above, mode);
	else if (errno != EEXIST)
		return;
	if (mkdir(folder, 0700) == 0)
		(void)!chmod(folder, durable_group_reads(above) ? 0750 : 0700);
}

/* A copy that replays CREATE TABLESPACE would empty and use the original's own folder, when it is
 * on the same machine. */
static void fetch_look(void *context, const struct walrecord *record)
{
	struct fetch_file *file = context;
	struct stat status;

	if (record->kind != WALRECORD_CREATE_TABLESPACE || file->foreign ||
	    !restore_plan_replays(file->plan, record->start) ||
	    restore_plan_owns(file->plan, record->text) || stat(record->text, &status) != 0)
		return;
	file->foreign = xstrdup(record->text);
	file->foreign_lsn = record->start;
}

static bool fetch_refuse_foreign(struct fetch_file *file, struct err *err)
{
	err_set(err, ERR_REFUSED,
	        "the WAL creates a tablespace in \"%s\" at " LSN_FORMAT
	        ", which exists here and belongs to the original cluster: the copy would destroy "
	        "it",
	        file->foreign, LSN_ARGS(file->foreign_lsn));
	err_hint(err,
	         "Restore on another machine, to a target before lsn:" LSN_FORMAT
	         ", or from a backup that was made after it, with --tablespace.",
	         LSN_ARGS(file->foreign_lsn));
	free(STEAL(file->foreign));
	return false;
}

static bool fetch_begin(struct fetch_file *file, struct err *err)
{
	struct walwalk_options options = {.system_identifier = file->system_identifier,
	                                  .segment_bytes = file->segment_bytes};

	if (file->plan && file->plan->clone) {
		options.each = fetch_look;
		options.context = file;
	}
	fetch_make_folders(file->target);
	if (!draft_open_inside(&file->draft, file->target, err))
		/* never ERR_NOTFOUND: that is the repository's word alone */
		return err_wrap_as(err, ERR_IO, "could not write \"%s\"", file->target);
	if (file->name.kind != WALNAME_SEGMENT)
		return true;
	file->walk = xmalloc(sizeof(*file->walk));
	walwalk_init(file->walk, &options);
	return walwalk_begin(file->walk, file->name.tli,
	                     walname_segno(&file->name, file->segment_bytes), err);
}

static bool fetch_consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                          size_t length, struct err *err)
{
	struct fetch_file *file = stream->context;

	if (offset == 0 && !fetch_begin(file, err))
		return false;
	if (file->walk && !walwalk_feed(file->walk, bytes, length, err))
		return false;
	file->bytes += length;
	return draft_write(&file->draft, bytes, length, err) ||
	       err_wrap_as(err, ERR_IO, "could not write \"%s\"", file->target);
}

static void fetch_place(struct work *work)
{
	struct fetch_file *file = container_of(work, struct fetch_file, work);
	struct err *err = &work->op.err;

	if (file->bytes == 0 && !fetch_begin(file, err)) /* an empty file has no piece */
		return;
	if (file->walk && !walwalk_end(file->walk, err))
		return;
	if (file->foreign && !fetch_refuse_foreign(file, err))
		return;
	if (!draft_place(&file->draft, err))
		err_wrap_as(err, ERR_IO, "could not write \"%s\"", file->target);
}

static void fetch_end(struct fetch_file *file, const struct err *cause)
{
	draft_drop(&file->draft);
	free(file->walk);
	file->walk = NULL;
	free(file->foreign);
	file->foreign = NULL;
	if (cause)
		return op_fail(&file->op, cause, "could not fetch \"%s\"", file->text);
	op_done(&file->op);
}

static enum sealed_kind fetch_kind(const struct walname *name)
{
	return name->kind == WALNAME_HISTORY  ? SEALED_HISTORY
	       : name->kind == WALNAME_BACKUP ? SEALED_WAL_BACKUP
	                                      : SEALED_WAL;
}

static void fetch_step(struct op *op)
{
	struct fetch_file *file = container_of(op, struct fetch_file, op);

	switch ((enum fetch_file_state)op->state) {
	case FETCH_START:
		walname_format(&file->name, file->text);
		name_wal(file->object, file->generation, &file->name, NULL);
		file->stream = (struct object_stream){.repo = file->site->repo,
		                                      .name = file->object,
		                                      .kind = fetch_kind(&file->name),
		                                      .class = file->class,
		                                      .likely_bytes = file->likely_bytes,
		                                      .stall_ms = file->stall_ms,
		                                      .consume = fetch_consume,
		                                      .context = file};
		object_stream_start(op, &file->stream);
		return op_wait(op, FETCH_STREAMING);

	case FETCH_STREAMING:
		if (op_failed(&file->stream.op))
			return fetch_end(file, &file->stream.op.err);
		file->stored_bytes = file->stream.stored_bytes;
		work_start_disk(op, &file->work, WORK_RESTORE, fetch_place);
		return op_wait(op, FETCH_PLACING);

	case FETCH_PLACING:
		return fetch_end(file, op_failed(&file->work.op) ? &file->work.op.err : NULL);
	}
}

static const struct op_type fetch_file_type = {.name = "fetch-file", .step = fetch_step};

void fetch_file_start(struct op *parent, struct fetch_file *file)
{
	file->draft = (struct draft){.fd = -1};
	file->walk = NULL;
	file->bytes = file->stored_bytes = 0;
	op_start(parent, &file->op, &fetch_file_type);
}
