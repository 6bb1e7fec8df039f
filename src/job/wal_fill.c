/*
 * wal_fill.c — one repository gets the WAL that it lacks.
 *
 *   START -> FINDING -> OPENING -> LISTING -> COMPARING -> LOOKING -> (each missing file) -> done
 *
 *   each:    PUSHING from pg_wal --failed--> FETCHING from another repository -> PUSHING
 *                               --refused--> FINDING …, without pg_wal
 *
 * LISTING takes what the target holds, COMPARING what the others hold, LOOKING (worker) what pg_wal
 * has that was archived. Files go in the order of their timelines and positions, a timeline's
 * history first, so that an end at any moment leaves a contiguous archive. Each is proven as one of
 * PostgreSQL's is, with the seam to the one before (push.c); one that is damaged is told, left out,
 * and goes on being lacking.
 */
#include "wal_fill.h"

#include <dirent.h>

#include "base/file.h"
#include "base/log.h"

#include "base/poison.h"

enum fill_state {
	FILL_START,
	FILL_FINDING,
	FILL_OPENING,
	FILL_LISTING,
	FILL_COMPARING,
	FILL_LOOKING,
	FILL_PUSHING_LOCAL,
	FILL_FETCHING,
	FILL_PUSHING,
};

static void fill_end(struct wal_fill *fill, const struct err *cause)
{
	if (fill->path && !fill->local)
		unlink(fill->path);
	if (cause)
		return op_fail(&fill->op, cause, "could not fill up repository \"%s\" of \"%s\"",
		               fill->target->repository, fill->target->cluster);
	op_done(&fill->op);
}

/* ---- on a worker: archived segments that are still in pg_wal ---- */

static void fill_look(struct work *work)
{
	static const char done[] = ".done";
	struct wal_fill *fill = container_of(work, struct wal_fill, work);
	AUTO_FREE char *folder = path_join(fill->folder, "pg_wal/archive_status");
	DIR *dir = opendir(folder);
	struct dirent *entry;
	struct walname name;

	if (!dir)
		return; /* it is only one of the places where WAL can be */
	while ((entry = readdir(dir))) {
		size_t length = strlen(entry->d_name);

		if (length <= strlen(done) || !str_ends(entry->d_name, done))
			continue;
		entry->d_name[length - strlen(done)] = '\0';
		if (!walname_parse(entry->d_name, &name) || name.kind != WALNAME_SEGMENT ||
		    !walname_fits(&name, fill->facts.segment_bytes))
			continue;
		catalog_add_segment(&fill->want, name.tli,
		                    walname_segno(&name, fill->facts.segment_bytes));
	}
	closedir(dir);
}

/* ---- what is missing ---- */

static void fill_count(struct wal_fill *fill)
{
	for (size_t i = 0; i < fill->want.timelines; i++) {
		const struct catalog_timeline *timeline = &fill->want.timeline[i];

		for (size_t r = 0; r < timeline->runs; r++)
			for (uint64_t n = timeline->run[r].first; n <= timeline->run[r].last; n++)
				fill->missing += !catalog_has(&fill->have, timeline->tli, n);
	}
	fill->missing_bytes = fill->missing * fill->facts.segment_bytes;
}

static bool fill_has_file(const struct wal_fill *fill, const struct walname *name)
{
	for (size_t i = 0; i < fill->have.files; i++)
		if (walname_compare(&fill->have.file[i].name, name) == 0)
			return true;
	return false;
}

/* The next segment of the timeline at hand, from fill->segno on; false: none. */
static bool next_segment(struct wal_fill *fill, const struct catalog_timeline *timeline)
{
	for (size_t r = 0; r < timeline->runs; r++) {
		const struct catalog_run *run = &timeline->run[r];

		for (uint64_t n = MAX(fill->segno, run->first); n <= run->last; n++) {
			if (catalog_has(&fill->have, timeline->tli, n))
				continue;
			segment_name(timeline->tli, n, fill->facts.segment_bytes, fill->text);
			fill->segno = n + 1;
			return walname_parse(fill->text, &fill->name);
		}
	}
	return false;
}

/* fill->name is the next file that the target lacks; false: there is none left. A .partial is left
 * where it is: nothing reads it by itself. */
static bool fill_next(struct wal_fill *fill)
{
	for (; fill->timeline < fill->want.timelines; fill->timeline++) {
		const struct catalog_timeline *timeline = &fill->want.timeline[fill->timeline];
		const struct catalog_timeline *there = catalog_timeline(&fill->have, timeline->tli);

		if (!fill->history_done) {
			fill->history_done = true;
			if (timeline->history_archived && !(there && there->history_archived)) {
				fill->name = (struct walname){.kind = WALNAME_HISTORY,
				                              .tli = timeline->tli};
				return true;
			}
		}
		if (next_segment(fill, timeline))
			return true;
		fill->history_done = false;
		fill->segno = 0;
	}
	while (fill->file < fill->want.files) {
		const struct catalog_file *file = &fill->want.file[fill->file++];

		if (file->name.kind != WALNAME_BACKUP || fill_has_file(fill, &file->name))
			continue;
		fill->name = file->name;
		return true;
	}
	return false;
}

/* ---- one file ---- */

static void fill_push(struct wal_fill *fill, int state)
{
	const struct generation_facts *facts = &fill->facts;

	fill->push = (struct push){.site = fill->target,
	                           .destination = fill->destination,
	                           .folder = fill->folder,
	                           .path = fill->path,
	                           .name = fill->name,
	                           .class = GATE_BACKUP,
	                           .own = fill->local,
	                           .known = {.system_identifier = facts->system_identifier,
	                                     .major = facts->major,
	                                     .catalog_version = facts->catalog_version,
	                                     .segment_bytes = facts->segment_bytes,
	                                     .block_bytes = facts->block_bytes,
	                                     .wal_block_bytes = facts->wal_block_bytes,
	                                     .checksum_version = facts->checksums}};
	push_start(&fill->op, &fill->push);
	op_wait(&fill->op, state);
}

static void fill_fetch(struct wal_fill *fill)
{
	fill->local = false;
	free(fill->path);
	/* A name has no dot: clusters that are filled up at once have each a folder of its own. */
	fill->path = xasprintf("%s/fill/%s.%s/%s", fill->target->state, fill->target->cluster,
	                       fill->target->repository, fill->text);
	fill->fetch =
	        (struct nearest_file){.nearest.first = fill->first,
	                              .file = {.generation = fill->generation,
	                                       .name = fill->name,
	                                       .system_identifier = fill->facts.system_identifier,
	                                       .segment_bytes = fill->facts.segment_bytes,
	                                       .target = fill->path,
	                                       .class = GATE_BACKUP}};
	nearest_file_start(&fill->op, &fill->fetch);
	op_wait(&fill->op, FILL_FETCHING);
}

static void fill_file(struct wal_fill *fill)
{
	if (fill->op.cancelled) {
		err_set(&fill->op.err, ERR_CANCELLED, "cancelled");
		return op_fail_own(&fill->op);
	}
	if (fill->dry_run || !fill_next(fill))
		return fill_end(fill, NULL);
	walname_format(&fill->name, fill->text);
	fill->local = fill->folder && fill->name.kind == WALNAME_SEGMENT;
	if (!fill->local)
		return fill_fetch(fill);
	free(fill->path);
	fill->path = xasprintf("%s/pg_wal/%s", fill->folder, fill->text);
	fill_push(fill, FILL_PUSHING_LOCAL);
}

/* What is damaged does not spread, and holds up nothing else. */
static void fill_failed(struct wal_fill *fill, const struct err *cause)
{
	struct err err = *cause;

	if (err.code != ERR_DAMAGED || fill->op.cancelled)
		return fill_end(fill, &err);
	if (!fill->local)
		unlink(fill->path);
	err_wrap(&err, "repository \"%s\" of cluster \"%s\" does not get \"%s\"",
	         fill->target->repository, fill->target->cluster, fill->text);
	log_err(LOG_ERROR, &err, NULL);
	fill->damaged++;
	fill_file(fill);
}

static void fill_find(struct wal_fill *fill)
{
	fill->open = (struct nearest_generation){.nearest.first = fill->first, .every = true};
	nearest_generation_start(&fill->op, &fill->open);
	op_wait(&fill->op, FILL_FINDING);
}

/* Nothing of this data directory belongs there (past.c, fences): anew, without it. */
static void fill_without_folder(struct wal_fill *fill, const struct err *why)
{
	log_err(LOG_WARNING, why, ", only what other repositories have is filled up");
	wal_fill_release(fill);
	fill->folder = NULL;
	fill->missing = fill->missing_bytes = fill->segno = 0;
	fill->timeline = fill->file = 0;
	fill->history_done = fill->local = false;
	fill_find(fill);
}

static void fill_pushed(struct wal_fill *fill)
{
	bool local = fill->op.state == FILL_PUSHING_LOCAL;

	if (op_failed(&fill->push.op)) {
		if (local && fill->push.op.err.code == ERR_REFUSED && !fill->op.cancelled)
			return fill_without_folder(fill, &fill->push.op.err);
		/* recycled, or never there: another repository has it */
		if (local && fill->push.op.err.code != ERR_EXISTS && !fill->op.cancelled)
			return fill_fetch(fill);
		return fill_failed(fill, &fill->push.op.err);
	}
	if (!local)
		unlink(fill->path);
	fill->filled++;
	fill->from_pg_wal += local;
	if (fill->name.kind == WALNAME_SEGMENT && fill->missing > 0) {
		fill->missing--;
		fill->missing_bytes -= fill->facts.segment_bytes;
	}
	if (fill->moved)
		fill->moved(fill);
	fill_file(fill);
}

/* ---- the story ---- */

static void fill_found(struct wal_fill *fill)
{
	const struct err *err = &fill->open.nearest.op.err;

	if (op_failed(&fill->open.nearest.op)) {
		if (err->code == ERR_NOTFOUND)
			return fill_end(fill, NULL);
		return fill_end(fill, err);
	}
	memcpy(fill->generation, fill->open.generation, sizeof(fill->generation));
	fill->facts = fill->open.facts;
	site_ready_start(&fill->op, &fill->ready, fill->target);
	op_wait(&fill->op, FILL_OPENING);
}

static void fill_list(struct wal_fill *fill)
{
	if (op_failed(&fill->ready.op))
		return fill_end(fill, &fill->ready.op.err);
	fill->load = (struct catalog_load){.repo = fill->target->repo,
	                                   .generation = fill->generation,
	                                   .segment_bytes = fill->facts.segment_bytes,
	                                   .what = CATALOG_HISTORIES | CATALOG_WAL,
	                                   .class = GATE_BACKUP,
	                                   .ret = &fill->have};
	catalog_load_start(&fill->op, &fill->load);
	op_wait(&fill->op, FILL_LISTING);
}

static void fill_compare(struct wal_fill *fill)
{
	if (op_failed(&fill->load.op))
		return fill_end(fill, &fill->load.op.err);
	fill->union_load = (struct nearest_catalog){
	        .nearest.first = fill->first, .any = true, .load = fill->load};
	fill->union_load.load.ret = &fill->want;
	nearest_catalog_start(&fill->op, &fill->union_load);
	op_wait(&fill->op, FILL_COMPARING);
}

static void fill_step(struct op *op)
{
	struct wal_fill *fill = container_of(op, struct wal_fill, op);

	switch ((enum fill_state)op->state) {
	case FILL_START:
		return fill_find(fill);
	case FILL_FINDING:
		return fill_found(fill);
	case FILL_OPENING:
		return fill_list(fill);
	case FILL_LISTING:
		return fill_compare(fill);
	case FILL_COMPARING:
		if (op_failed(&fill->union_load.nearest.op))
			return fill_end(fill, &fill->union_load.nearest.op.err);
		fill->unsure |= err_is(&fill->union_load.nearest.unsure);
		if (fill->folder) {
			work_start_look(op, &fill->work, WORK_BACKUP, fill_look);
			return op_wait(op, FILL_LOOKING);
		}
		fill_count(fill);
		return fill_file(fill);
	case FILL_LOOKING:
		fill_count(fill);
		return fill_file(fill);
	case FILL_PUSHING_LOCAL:
	case FILL_PUSHING:
		return fill_pushed(fill);
	case FILL_FETCHING:
		if (op_failed(&fill->fetch.nearest.op))
			return fill_failed(fill, &fill->fetch.nearest.op.err);
		return fill_push(fill, FILL_PUSHING);
	}
}

static const struct op_type fill_type = {.name = "fill", .step = fill_step};

void wal_fill_start(struct op *parent, struct wal_fill *fill)
{
	op_start(parent, &fill->op, &fill_type);
}

void wal_fill_start_root(struct loop *loop, struct wal_fill *fill, void (*on_done)(struct op *op))
{
	op_start_root(loop, &fill->op, &fill_type, on_done);
}

void wal_fill_release(struct wal_fill *fill)
{
	catalog_release(&fill->have);
	catalog_release(&fill->want);
	free(fill->path);
	fill->path = NULL;
}
