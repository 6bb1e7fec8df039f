/*
 * restore_copy.c — the copy: a stretch of the manifest at a time, its files by pack.
 *
 *   START -> READING (a stretch of the body: folders and links are made on the way)
 *         -> PREPARING (workers: what is there already; empty files and holes)
 *         -> FETCHING (lanes: each reads one pack after the other, every frame goes straight to
 *            its place with pwrite)
 *         -> CHECKING (workers: the checksum of every file that was written) -> READING … -> done
 *
 * Packs were filled in the order of the manifest, so a stretch needs few packs and each is read
 * once. Memory is bounded by the stretch, not by the backup. Several lanes write into one file; the
 * file's checksum is put together from those of its extents, so nothing is read back.
 *
 * What a repository does not give, damaged, lost, silent or away, is read from another one that
 * the cluster has (turn.c): a pack that is damaged only itself, after an outage all that follows
 * too. A stretch goes on there at the byte behind the last good one: it is the same manifest.
 *
 * global/pg_control goes beside its place: a directory without it cannot be started.
 */
#include "restore_copy.h"
#include "restore_sweep.h"
#include "restore_window.h"
#include "base/file.h"
#include "base/log.h"
#include "job/rest.h"
#include "pg/crc32c.h"
#include "pg/version.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/poison.h"

enum copy_state { COPY_START, COPY_READING, COPY_PREPARING, COPY_FETCHING, COPY_CHECKING };
enum lane_state { LANE_START, LANE_READING };
enum {
	STRETCH_BYTES = 512 * 1024,  /* of the manifest's body */
	GAP_BYTES_MAX = 1024 * 1024, /* read and dropped rather than asking twice */
	MEMORY_SHARE_BLOCKS = BLOCKS_SEAL + 1,
};

/* ---- entries: on a worker ---- */

static bool make_folder(struct restore_copy *copy, const struct manifest_entry *entry,
                        struct err *err)
{
	mode_t mode = (entry->mode & 07777) | 0700;
	struct stat status;

	if (mkdirat(copy->folder, entry->path, mode) != 0 && errno != EEXIST)
		return err_sys(err, "could not make folder \"%s\"", entry->path);
	if (fstatat(copy->folder, entry->path, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return err_sys(err, "could not look at folder \"%s\"", entry->path);
	if (S_ISLNK(status.st_mode) && strcmp(entry->path, "pg_wal") == 0 && copy->compare)
		return restore_disks_see(&copy->disks, copy->folder, entry->path,
		                         err); /* it is somewhere else, and stays there */
	if (!S_ISDIR(status.st_mode)) {
		if (unlinkat(copy->folder, entry->path, 0) != 0 ||
		    mkdirat(copy->folder, entry->path, mode) != 0)
			return err_sys(err,
			               "could not make folder \"%s\" in place of what is there",
			               entry->path);
	}
	if (fchmodat(copy->folder, entry->path, mode, 0) != 0)
		return err_sys(err, "could not set the mode of folder \"%s\"", entry->path);
	return restore_disks_see(&copy->disks, copy->folder, entry->path, err);
}

static bool put_link(struct restore_copy *copy, const char *path, const char *target,
                     struct err *err)
{
	char there[MANIFEST_PATH_MAX];
	ssize_t length = readlinkat(copy->folder, path, there, sizeof(there));

	if (length > 0 && (size_t)length == strlen(target) &&
	    memcmp(there, target, (size_t)length) == 0)
		return true;
	if (length > 0 && unlinkat(copy->folder, path, 0) != 0)
		return err_sys(err, "could not remove the symbolic link \"%s\"", path);
	if (symlinkat(target, copy->folder, path) != 0)
		return err_sys(err, "could not make the symbolic link \"%s\" to \"%s\"", path,
		               target);
	return true;
}

static mode_t folder_mode(const struct restore_copy *copy)
{
	return durable_group_reads(copy->pgdata) ? 0750 : 0700;
}

static bool make_link(struct restore_copy *copy, const struct manifest_entry *entry,
                      struct err *err)
{
	const struct restore_plan *plan = copy->plan;
	uint32_t oid;

	if (strcmp(entry->path, "pg_wal") == 0) {
		struct manifest_entry folder = {.path = entry->path, .mode = folder_mode(copy)};

		if (copy->link_pgwal)
			return put_link(copy, "pg_wal", copy->link_pgwal, err);
		return make_folder(copy, &folder, err);
	}
	if (str_starts(entry->path, "pg_tblspc/") && str_u32(entry->path + 10, &oid))
		for (size_t i = 0; i < plan->tablespaces; i++)
			if (plan->tablespace[i].oid == oid)
				return put_link(copy, entry->path, plan->tablespace[i].path, err);
	return err_set(err, ERR_DAMAGED, "the manifest has a link \"%s\" that is no tablespace",
	               entry->path);
}

static bool list_file(struct restore_copy *copy, const struct manifest_entry *entry,
                      struct err *err)
{
	struct backup_manifest_file file = {.path = entry->path,
	                                    .size_bytes = entry->size_bytes,
	                                    .modified_us = entry->modified_us,
	                                    .checksum = BACKUP_CHECKSUM_CRC32C,
	                                    .crc32c = entry->crc32c};

	/* Those that the settings change are listed when they have been changed. */
	if (strcmp(entry->path, "postgresql.auto.conf") == 0 ||
	    strcmp(entry->path, "postgresql.conf") == 0 ||
	    strcmp(entry->path, "tablespace_map") == 0)
		return true;
	return backup_manifest_file(&copy->manifest, &file, err);
}

/* The usual name of a file that the server had outside; NULL: it is none of the three that it names
 * itself. */
static const char *usual_name(const struct manifest_head *head, const char *outside)
{
	if (strcmp(outside, head->config_file) == 0)
		return "postgresql.conf";
	if (strcmp(outside, head->hba_file) == 0)
		return "pg_hba.conf";
	return strcmp(outside, head->ident_file) == 0 ? "pg_ident.conf" : NULL;
}

/* What initdb left in the directory of a server that was told to use another file: in a copy, that
 * other one gets the name. */
static bool is_replaced(const struct restore_copy *copy, const char *path)
{
	const struct manifest_head *head = copy->head;

	return copy->outside && ((head->config_file[0] && strcmp(path, "postgresql.conf") == 0) ||
	                         (head->hba_file[0] && strcmp(path, "pg_hba.conf") == 0) ||
	                         (head->ident_file[0] && strcmp(path, "pg_ident.conf") == 0));
}

static bool take_file(struct restore_copy *copy, const struct manifest_entry *entry,
                      struct err *err)
{
	const char *path = entry->path;

	/* Ours are of this restore, never of the one that the backup was made after. */
	if (restore_file_is_ours(path) || is_replaced(copy, path))
		return true;
	if (strcmp(path, "global/pg_control") == 0)
		path = RESTORE_CONTROL_NEW;
	window_add(copy->window, entry, path);
	return list_file(copy, entry, err);
}

/* A clone has no /etc: copies inside, the three that the server names in their usual place. */
static bool take_outside(struct restore_copy *copy, const struct manifest_entry *entry,
                         struct err *err)
{
	const char *usual = usual_name(copy->head, entry->path);
	AUTO_FREE char *path =
	        usual ? xstrdup(usual) : xasprintf("%s%s", copy->mirror, entry->path);

	for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		struct manifest_entry folder = {.path = path, .mode = folder_mode(copy)};
		bool made;

		*slash = 0;
		made = make_folder(copy, &folder, err);
		*slash = '/';
		if (!made)
			return false;
	}
	strs_add(&copy->brought, path);
	window_add(copy->window, entry, path);
	return true;
}

static bool take_entry(void *context, const struct manifest_entry *entry, struct err *err)
{
	struct restore_copy *copy = context;

	if (copy->sweep && !manifest_path_is_late(entry->kind, entry->path) &&
	    !sweep_reach(copy->sweep, entry->path, err))
		return false;
	switch (entry->kind) {
	case MANIFEST_FOLDER:
		/* The backup is of such a clone itself. */
		if (strcmp(entry->path, copy->mirror) == 0 &&
		    strlen(copy->mirror) + 1 < sizeof(copy->mirror))
			memcpy(copy->mirror + strlen(copy->mirror), "~", sizeof("~"));
		if (strcmp(entry->path, "pg_wal") == 0 && copy->link_pgwal)
			return put_link(copy, "pg_wal", copy->link_pgwal, err);
		return make_folder(copy, entry, err);
	case MANIFEST_LINK:
		return make_link(copy, entry, err);
	case MANIFEST_OUTSIDE:
		return !copy->outside || take_outside(copy, entry, err);
	case MANIFEST_FILE:
		return take_file(copy, entry, err);
	}
	return err_set(err, ERR_DAMAGED, "the manifest has an entry of an unknown kind");
}

static bool body_piece(struct restore_copy *copy, uint64_t end, const uint8_t *bytes, size_t length,
                       struct err *err)
{
	if (!manifest_reader_feed(copy->reader, bytes, length, err))
		return false;
	if (end < copy->head->body_bytes)
		return true;
	return manifest_reader_end(copy->reader, err) &&
	       (!copy->sweep || sweep_end(copy->sweep, err));
}

static bool body_consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                         size_t length, struct err *err)
{
	struct restore_copy *copy = stream->context;

	if (!digest_equal(&stream->sealed.digest, &copy->digest))
		return err_set(err, ERR_DAMAGED,
		               "object \"%s\" in repository \"%s\" is not the manifest that the "
		               "restore began with",
		               stream->name, store_label(stream->repo->store));
	copy->body_refused = !body_piece(copy, offset + length, bytes, length, err);
	copy->stretch_taken = offset + length - copy->body_at;
	return !copy->body_refused;
}

/* ---- preparing and checking: on workers ---- */

bool restore_file_crc(int folder, const char *path, uint64_t *ret_bytes, uint32_t *ret_crc,
                      struct err *err)
{
	enum { PIECE_BYTES = 256 * 1024 };
	AUTO_FD int fd = openat(folder, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_FREE uint8_t *piece = xmalloc(PIECE_BYTES);
	ssize_t got;

	*ret_bytes = 0;
	*ret_crc = CRC32C_EMPTY;
	if (fd < 0)
		return err_sys(err, "could not open file \"%s\"", path);
	while ((got = file_read_full(fd, piece, PIECE_BYTES)) > 0) {
		*ret_crc = crc32c(*ret_crc, piece, (size_t)got);
		*ret_bytes += (uint64_t)got;
	}
	return got == 0 || err_sys(err, "could not read file \"%s\"", path);
}

static bool file_is_right(int folder, const struct window_file *file)
{
	struct err ignored = {0};
	struct stat status;
	uint64_t bytes;
	uint32_t crc;

	return fstatat(folder, file->path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(status.st_mode) && (uint64_t)status.st_size == file->size_bytes &&
	       restore_file_crc(folder, file->path, &bytes, &crc, &ignored) &&
	       bytes == file->size_bytes && crc == file->crc32c &&
	       fchmodat(folder, file->path, file->mode & 0777, 0) == 0;
}

static bool make_file(int folder, const struct window_file *file, struct err *err)
{
	AUTO_FD int fd = openat(folder, file->path,
	                        O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(err, "could not make file \"%s\"", file->path);
	if (ftruncate(fd, (off_t)file->size_bytes) != 0)
		return err_sys(err, "could not set the size of file \"%s\"", file->path);
	if (fchmod(fd, file->mode & 0777) != 0)
		return err_sys(err, "could not set the mode of file \"%s\"", file->path);
	return true;
}

static bool clear_place(struct restore_copy *copy, const struct window_file *file, struct err *err)
{
	if (unlinkat(copy->folder, file->path, 0) == 0 || errno == ENOENT)
		return true;
	if (errno == EISDIR || errno == EPERM) {
		AUTO_FREE char *whole = path_join(copy->pgdata, file->path);

		return file_remove_tree(whole, err);
	}
	return err_sys(err, "could not remove file \"%s\"", file->path);
}

static void prepare_run(struct work *work)
{
	struct copy_job *job = container_of(work, struct copy_job, work);
	struct restore_copy *copy = job->copy;
	struct copy_window *window = copy->window;

	for (size_t i = job->number; i < window->files && !work_cancelled(work); i += job->of) {
		struct window_file *file = &window->file[i];

		if (copy->compare && file_is_right(copy->folder, file)) {
			file->keep = true;
			job->kept_bytes += file->size_bytes;
			job->kept_files++;
			continue;
		}
		if (copy->compare && !clear_place(copy, file, &work->op.err))
			return;
		if (file->sized && !make_file(copy->folder, file, &work->op.err))
			return;
	}
}

static void check_run(struct work *work)
{
	struct copy_job *job = container_of(work, struct copy_job, work);
	struct copy_window *window = job->copy->window;

	for (size_t i = job->number; i < window->files; i += job->of) {
		const struct window_file *file = &window->file[i];

		if (file->keep || window_crc(window, file) == file->crc32c)
			continue;
		err_set(&work->op.err, ERR_DAMAGED,
		        "file \"%s\" in backup %s does not have the checksum that it had when it "
		        "was "
		        "backed up",
		        file->path, job->copy->plan->backup);
		return;
	}
}

static void jobs_start(struct restore_copy *copy, void (*run)(struct work *work))
{
	copy->jobs = MIN(MAX(copy->site->workers, 1), WORKERS_MAX);
	for (unsigned i = 0; i < copy->jobs; i++) {
		copy->job[i] = (struct copy_job){.copy = copy, .number = i, .of = copy->jobs};
		work_start_class(&copy->op, &copy->job[i].work, WORK_RESTORE, run);
	}
}

static bool jobs_ended(struct restore_copy *copy)
{
	for (unsigned i = 0; i < copy->jobs; i++) {
		if (op_failed(&copy->job[i].work.op)) {
			copy->op.err = copy->job[i].work.op.err;
			return false;
		}
		copy->bytes_kept += copy->job[i].kept_bytes;
		copy->bytes += copy->job[i].kept_bytes;
	}
	return true;
}

/* ---- lanes ---- */

static bool lane_open(struct copy_lane *lane, const struct window_extent *extent, struct err *err)
{
	const struct window_file *file = &lane->copy->window->file[extent->file];

	if (lane->fd >= 0 && lane->fd_file == extent->file)
		return true;
	if (lane->fd >= 0 && close(lane->fd) != 0) {
		lane->fd = -1;
		return err_sys(err, "could not close file \"%s\"",
		               lane->copy->window->file[lane->fd_file].path);
	}
	lane->fd = openat(lane->copy->folder, file->path,
	                  O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lane->fd < 0)
		return err_sys(err, "could not make file \"%s\"", file->path);
	lane->fd_file = extent->file;
	if (extent->offset == 0 && (file->mode & 0777) != 0600 &&
	    fchmod(lane->fd, file->mode & 0777) != 0)
		return err_sys(err, "could not set the mode of file \"%s\"", file->path);
	return true;
}

struct frame { /* of a pack, decoded */
	uint64_t offset;
	const uint8_t *bytes;
	size_t length;
};

static bool lane_write(struct copy_lane *lane, struct window_extent *extent,
                       const struct frame *frame, struct err *err)
{
	uint64_t from = MAX(frame->offset, extent->pack_offset);
	uint64_t to =
	        MIN(frame->offset + frame->length, (uint64_t)extent->pack_offset + extent->length);
	const uint8_t *at = frame->bytes + (from - frame->offset);

	if (!lane_open(lane, extent, err))
		return false;
	if (!file_pwrite_full(lane->fd, at, to - from,
	                      extent->offset + (from - extent->pack_offset)))
		return err_sys(err, "could not write file \"%s\"",
		               lane->copy->window->file[extent->file].path);
	extent->crc = crc32c(extent->crc, at, to - from);
	extent->written += (uint32_t)(to - from);
	return true;
}

/* On a worker: what the frame holds of the extents of this pack. */
static bool lane_consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                         size_t length, struct err *err)
{
	struct copy_lane *lane = stream->context;
	struct copy_window *window = lane->copy->window;
	const struct frame frame = {.offset = offset, .bytes = bytes, .length = length};

	for (size_t i = lane->at; i < lane->end; i++) {
		struct window_extent *extent = &window->extent[window->order[i]];

		if (extent->pack_offset >= offset + length)
			break;
		if ((uint64_t)extent->pack_offset + extent->length > offset &&
		    !lane_write(lane, extent, &frame, err)) {
			lane->local = true;
			return false;
		}
		if (i == lane->at &&
		    (uint64_t)extent->pack_offset + extent->length <= offset + length)
			lane->at++;
	}
	return true;
}

/* What a pack takes in the store, as a guess. */
static uint64_t pack_bytes(const struct manifest_head *head)
{
	return head->packs > 0 ? head->stored_bytes / head->packs : 0;
}

/* What the extents of this lane take of their pack. */
static void lane_read(struct copy_lane *lane)
{
	struct restore_copy *copy = lane->copy;
	struct copy_window *window = copy->window;
	const struct window_extent *first = &window->extent[window->order[lane->first]];
	uint64_t end = 0;

	for (size_t i = lane->first; i < lane->end; i++) {
		struct window_extent *extent = &window->extent[window->order[i]];

		extent->crc = CRC32C_EMPTY;
		extent->written = 0;
		end = MAX(end, (uint64_t)extent->pack_offset + extent->length);
	}
	lane->at = lane->first;
	lane->stream = (struct object_stream){.repo = lane->turn.at->repo,
	                                      .name = lane->name,
	                                      .kind = SEALED_PACK,
	                                      .class = GATE_RESTORE,
	                                      .expect_bytes = pack_bytes(copy->head),
	                                      .from = first->pack_offset,
	                                      .length = end - first->pack_offset,
	                                      .stall_ms = turn_stall_ms(&lane->turn),
	                                      .consume = lane_consume,
	                                      .context = lane};
	object_stream_start(&lane->op, &lane->stream);
}

/* Whether another repository may have it; *from moves there when this one does not answer. */
static bool try_elsewhere(struct turn *turn, struct site **from, const struct err *why)
{
	const struct site *before = turn->at;

	if (!turn_next(turn, why))
		return false;
	if ((err_code_retry(why->code) || why->code == ERR_STORE) && *from == before)
		*from = turn->at;
	return true;
}

static bool lane_elsewhere(struct copy_lane *lane)
{
	if (lane->op.cancelled || lane->local || lane->copy->failed ||
	    !try_elsewhere(&lane->turn, &lane->copy->from, &lane->stream.op.err))
		return false;
	lane_read(lane);
	op_wait(&lane->op, LANE_READING);
	return true;
}

/* The next pack, or the next part of it when much lies between. False: none is left. */
static bool lane_next(struct copy_lane *lane)
{
	struct restore_copy *copy = lane->copy;
	struct copy_window *window = copy->window;
	const struct window_extent *first;
	uint64_t end = 0;
	size_t i = copy->next_extent;

	while (i < copy->order_count) {
		const struct window_extent *extent = &window->extent[window->order[i]];

		first = &window->extent[window->order[copy->next_extent]];
		if (extent->source != first->source || extent->pack != first->pack ||
		    (i > copy->next_extent && extent->pack_offset > end + GAP_BYTES_MAX))
			break;
		end = MAX(end, (uint64_t)extent->pack_offset + extent->length);
		i++;
	}
	if (i == copy->next_extent)
		return false;
	first = &window->extent[window->order[copy->next_extent]];
	lane->first = copy->next_extent;
	lane->end = copy->next_extent = i;
	name_pack(lane->name, copy->plan->generation, copy->head->source[first->source],
	          first->pack);
	turn_begin(&lane->turn, copy->site, copy->from);
	lane_read(lane);
	return true;
}

static bool lane_check(struct copy_lane *lane, struct err *err)
{
	struct copy_window *window = lane->copy->window;

	for (size_t i = lane->first; i < lane->end; i++) {
		const struct window_extent *extent = &window->extent[window->order[i]];

		if (extent->written != extent->length)
			return err_set(err, ERR_DAMAGED,
			               "object \"%s\" is shorter than the manifest says",
			               lane->name);
		lane->copy->bytes += extent->length;
	}
	lane->copy->bytes_read += lane->stream.stored_bytes;
	return true;
}

static void lane_finish(struct copy_lane *lane)
{
	if (lane->fd >= 0 && close(lane->fd) != 0 && !err_is(&lane->op.err))
		err_sys(&lane->op.err, "could not close a file");
	lane->fd = -1;
	if (err_is(&lane->op.err)) {
		lane->copy->failed = true;
		return op_fail_own(&lane->op);
	}
	op_done(&lane->op);
}

static void lane_step(struct op *op)
{
	struct copy_lane *lane = container_of(op, struct copy_lane, op);

	if (op->state == LANE_READING) {
		if (op_failed(&lane->stream.op) && lane_elsewhere(lane))
			return;
		if (op_failed(&lane->stream.op)) {
			op->err = err_is(&lane->turn.why) ? lane->turn.why : lane->stream.op.err;
			return lane_finish(lane);
		}
		turn_end(&lane->turn);
		if (!lane_check(lane, &op->err))
			return lane_finish(lane);
		haste_note(lane->copy->site->haste, loop_now_ms(op->loop));
		if (lane->copy->moved)
			lane->copy->moved(lane->copy);
	}
	if (op->cancelled && !err_is(&op->err))
		err_set(&op->err, ERR_CANCELLED, "it was cancelled");
	if (err_is(&op->err) || lane->copy->failed || !lane_next(lane))
		return lane_finish(lane);
	op_wait(op, LANE_READING);
}

static unsigned lanes_of(const struct restore_copy *copy)
{
	unsigned memory = blocks_count(copy->site->blocks) / MEMORY_SHARE_BLOCKS;

	return MAX(1, MIN(MIN(memory, copy->site->workers + 2), COPY_LANES_MAX));
}

static void lanes_start(struct restore_copy *copy)
{
	static const struct op_type type = {.name = "copy_lane", .step = lane_step};
	unsigned lanes = lanes_of(copy);

	copy->order_count = window_sort(copy->window);
	copy->next_extent = 0;
	for (unsigned i = 0; i < COPY_LANES_MAX; i++)
		copy->lane[i] = (struct copy_lane){.copy = copy, .fd = -1};
	for (unsigned i = 0; i < lanes; i++)
		op_start(&copy->op, &copy->lane[i].op, &type);
}

static bool lanes_ended(struct restore_copy *copy)
{
	for (unsigned i = 0; i < COPY_LANES_MAX; i++)
		if (copy->lane[i].op.type && op_failed(&copy->lane[i].op)) {
			copy->op.err = copy->lane[i].op.err;
			return false;
		}
	return true;
}

/* ---- the story ---- */

static bool append_draft(void *context, const void *bytes, size_t length, struct err *err)
{
	struct restore_copy *copy = context;

	return draft_write(&copy->draft, bytes, length, err);
}

static bool copy_begin(struct restore_copy *copy, struct err *err)
{
	AUTO_FREE char *path = path_join(copy->pgdata, "backup_manifest");
	const struct pg_version *version = pg_version_of_major(copy->plan->major);
	char folder[PG_VERSION_FOLDER_BYTES];

	if (!version)
		return err_set(err, ERR_REFUSED, "PostgreSQL %u is not known", copy->plan->major);
	pg_version_folder(version, folder);
	if (copy->plan->in_place)
		copy->sweep = sweep_new(copy->pgdata, folder, true);
	copy->window = window_new();
	copy->reader = manifest_reader_new(take_entry, copy);
	return draft_open_inside(&copy->draft, path, err) &&
	       backup_manifest_begin(&copy->manifest, append_draft, copy, err);
}

static void stretch_read(struct restore_copy *copy)
{
	copy->body = (struct object_stream){.repo = copy->turn.at->repo,
	                                    .name = copy->name,
	                                    .kind = SEALED_MANIFEST,
	                                    .class = GATE_RESTORE,
	                                    .parts_only = true,
	                                    .from = copy->body_at + copy->stretch_taken,
	                                    .length = copy->stretch_bytes - copy->stretch_taken,
	                                    .stall_ms = turn_stall_ms(&copy->turn),
	                                    .consume = body_consume,
	                                    .context = copy};
	object_stream_start(&copy->op, &copy->body);
	op_wait(&copy->op, COPY_READING);
}

static void stretch_start(struct restore_copy *copy)
{
	window_clear(copy->window);
	turn_begin(&copy->turn, copy->site, copy->from);
	copy->stretch_bytes = MIN(copy->head->body_bytes - copy->body_at, (uint64_t)STRETCH_BYTES);
	copy->stretch_taken = 0;
	stretch_read(copy);
}

static bool stretch_elsewhere(struct restore_copy *copy)
{
	if (copy->op.cancelled || copy->body_refused ||
	    copy->stretch_taken >= copy->stretch_bytes ||
	    !try_elsewhere(&copy->turn, &copy->from, &copy->body.op.err))
		return false;
	stretch_read(copy);
	return true;
}

static void stretch_next(struct restore_copy *copy)
{
	struct op *op = &copy->op;

	copy->files += copy->window->files;
	if (copy->moved)
		copy->moved(copy);
	if (op->cancelled)
		return op_fail_as(op, ERR_CANCELLED, "it was cancelled");
	if (copy->body_at < copy->head->body_bytes)
		return stretch_start(copy);
	op_done(op);
}

static void copy_step(struct op *op)
{
	struct restore_copy *copy = container_of(op, struct restore_copy, op);

	switch ((enum copy_state)op->state) {
	case COPY_START:
		name_backup(copy->name, copy->plan->generation, copy->plan->backup);
		memcpy(copy->mirror, COPY_MIRROR, sizeof(COPY_MIRROR));
		copy->from = copy->home;
		if (!copy_begin(copy, &op->err))
			return op_fail_own(op);
		return stretch_start(copy);

	case COPY_READING:
		if (op_failed(&copy->body.op) && stretch_elsewhere(copy))
			return;
		if (op_failed(&copy->body.op))
			return op_fail(op, &copy->body.op.err,
			               "could not read the manifest of backup %s",
			               copy->plan->backup);
		turn_end(&copy->turn);
		copy->body_at += copy->stretch_bytes;
		jobs_start(copy, prepare_run);
		return op_wait(op, COPY_PREPARING);

	case COPY_PREPARING:
		if (!jobs_ended(copy))
			return op_fail_own(op);
		lanes_start(copy);
		return op_wait(op, COPY_FETCHING);

	case COPY_FETCHING:
		if (!lanes_ended(copy))
			return op_fail_own(op);
		jobs_start(copy, check_run);
		return op_wait(op, COPY_CHECKING);

	case COPY_CHECKING:
		if (!jobs_ended(copy))
			return op_fail_own(op);
		return stretch_next(copy);
	}
}

void restore_copy_start(struct op *parent, struct restore_copy *copy)
{
	static const struct op_type type = {.name = "restore_copy", .step = copy_step};

	op_start(parent, &copy->op, &type);
}

bool restore_copy_list(struct restore_copy *copy, const char *path, struct err *err)
{
	struct backup_manifest_file file = {.path = path, .checksum = BACKUP_CHECKSUM_CRC32C};
	struct stat status;

	if (fstatat(copy->folder, path, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT || err_sys(err, "could not look at file \"%s\"", path);
	file.modified_us = (int64_t)status.st_mtime * 1000000;
	return restore_file_crc(copy->folder, path, &file.size_bytes, &file.crc32c, err) &&
	       backup_manifest_file(&copy->manifest, &file, err);
}

bool restore_copy_publish(struct restore_copy *copy, struct err *err)
{
	const struct restore_plan *plan = copy->plan;

	return backup_manifest_range(&copy->manifest, plan->start_tli, plan->start_lsn,
	                             plan->stop_lsn, err) &&
	       backup_manifest_end(&copy->manifest, err) && draft_publish(&copy->draft, err);
}

void restore_copy_release(struct restore_copy *copy)
{
	sweep_free(copy->sweep);
	copy->sweep = NULL;
	window_free(copy->window);
	manifest_reader_free(copy->reader);
	backup_manifest_release(&copy->manifest);
	draft_drop(&copy->draft);
	strs_release(&copy->brought);
	restore_disks_release(&copy->disks);
	copy->window = NULL;
	copy->reader = NULL;
}
