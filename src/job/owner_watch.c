/*
 * owner_watch.c — a look at owner notes and forks (architecture.md 7, "Who may write").
 *
 *   START -> KEYS -> OPENING -> LOADING -> NOTING -> (each child of our timeline) STORED -> BEGUN
 * -> MARKING
 *         -> LISTING -> (each file that streaming left out) LOOKING -> FILLING -> done
 *
 * KEYS finds that the repository was encrypted since, or has a new data key (repo/keys.h).
 * OPENING finds that a new generation was begun since: where this server's WAL goes, and whether it
 * may, is looked up again (past.c). NOTING says that this host and directory write the timeline,
 * once. A timeline that forked from ours is a quarrel as soon as we have stored a segment from
 * behind the fork after its history was stored: both times are the store's. A directory that has
 * that history itself follows the child, and only brings what it still has. What is marked
 * contested is settled by a fence alone.
 *
 * LISTING (worker) finds what the path of our timeline needs and pg_wal has: a standby that
 * received WAL by streaming does not archive it when it is promoted (the failover gap).
 */
#include "owner_watch.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>

#include "base/file.h"
#include "base/log.h"

#include "base/poison.h"

/* clang-format off */
#define WATCH_STATES(X) \
	X(WATCH_START) X(WATCH_KEYS) X(WATCH_OPENING) X(WATCH_LOADING) \
	X(WATCH_NOTING) X(WATCH_STORED) X(WATCH_BEGUN) X(WATCH_MARKING) X(WATCH_LISTING) \
	X(WATCH_LOOKING) X(WATCH_FILLING)
/* clang-format on */

OP_STATES(watch_state, WATCH_STATES)

static void watch_end(struct owner_watch *watch, const struct err *cause)
{
	catalog_release(&watch->owners);
	free(watch->lacking);
	free(watch->path);
	watch->lacking = NULL;
	watch->path = NULL;
	if (cause)
		return op_fail(&watch->op, cause, "could not look up who writes cluster \"%s\"",
		               watch->site->cluster);
	op_done(&watch->op);
}

static struct catalog *owners_of(struct owner_watch *watch)
{
	return &watch->destination->owners;
}

/* ---- notes ---- */

static void watch_write(struct owner_watch *watch, const struct owner_note *note, int state)
{
	watch->write = (struct owner_write){.repo = watch->site->repo,
	                                    .generation = watch->destination->generation,
	                                    .compression = watch->site->wal_compression,
	                                    .note = *note};
	watch->write.note.system_identifier = watch->destination->facts.system_identifier;
	watch->write.note.n = owner_next(owners_of(watch), note->tli);
	owner_note_here(&watch->write.note, watch->folder);
	owner_write_start(&watch->op, &watch->write);
	op_wait(&watch->op, state);
}

static void watch_children(struct owner_watch *watch);

static void watch_note(struct owner_watch *watch)
{
	const struct catalog_timeline *timeline =
	        catalog_timeline(owners_of(watch), watch->wrote.tli);
	size_t count = timeline ? timeline->history.count : 0;
	struct owner_note note = {.tli = watch->wrote.tli, .kind = OWNER_WROTE};

	owner_note_here(&note, watch->folder);
	if (note.tli == 0 || owner_said(owners_of(watch), note.tli, &note) ||
	    past_bars(&watch->destination->past, owners_of(watch), note.tli, watch->folder))
		return watch_children(watch);
	if (count) {
		note.other = timeline->history.entry[count - 1].tli;
		note.position = timeline->history.entry[count - 1].switch_lsn;
	}
	watch_write(watch, &note, WATCH_NOTING);
}

/* ---- forks ---- */

static lsn wrote_end(const struct owner_watch *watch)
{
	return lsn_of_segno(watch->wrote.segno + 1, watch->destination->facts.segment_bytes);
}

/* Where the timeline left the one that we write, when that is before what we stored. */
static bool is_rival(struct owner_watch *watch, const struct catalog_timeline *child, lsn *ret_fork)
{
	const struct owner_wrote *wrote = &watch->wrote;
	char name[32];
	AUTO_FREE char *path = NULL;

	if (child->tli <= wrote->segment_tli || !child->history_archived ||
	    !history_switch(&child->history, wrote->segment_tli, ret_fork) ||
	    wrote_end(watch) <= *ret_fork ||
	    owner_contest_marked(owners_of(watch), child->tli, wrote->segment_tli) ||
	    owner_fence(owners_of(watch), child->tli, *ret_fork + 1) ||
	    owner_fence(owners_of(watch), wrote->segment_tli, *ret_fork + 1))
		return false;
	snprintf(name, sizeof(name), "pg_wal/%08" PRIX32 ".history", child->tli);
	path = path_join(watch->folder, name);
	return access(path, F_OK) != 0;
}

static void watch_head(struct owner_watch *watch, int state)
{
	watch->head = (struct store_head){.store = watch->site->repo->store, .name = watch->name};
	store_head_start(&watch->op, &watch->head);
	op_wait(&watch->op, state);
}

static void watch_gap(struct owner_watch *watch);

static void watch_children(struct owner_watch *watch)
{
	struct catalog *owners = owners_of(watch);
	lsn fork;

	for (; watch->wrote.segment && watch->child < owners->timelines; watch->child++) {
		if (!is_rival(watch, &owners->timeline[watch->child], &fork))
			continue;
		name_wal_segment(watch->name, watch->destination->generation,
		                 watch->wrote.segment_tli, watch->wrote.segno,
		                 watch->destination->facts.segment_bytes);
		watch->child_tli = owners->timeline[watch->child].tli;
		return watch_head(watch, WATCH_STORED);
	}
	watch_gap(watch);
}

/* After every wait once more: a push may have read the owners anew. NULL: it is gone, and the next
 * look will see what is there now. */
static const struct catalog_timeline *watch_child(struct owner_watch *watch)
{
	return catalog_timeline(owners_of(watch), watch->child_tli);
}

static void watch_next_child(struct owner_watch *watch)
{
	watch->child++;
	watch_children(watch);
}

static void watch_stored(struct owner_watch *watch)
{
	if (op_failed(&watch->head.op))
		return watch_end(watch, &watch->head.op.err);
	if (!watch_child(watch))
		return watch_end(watch, NULL);
	watch->stored_us = watch->head.modified_us;
	name_history(watch->name, watch->destination->generation, watch->child_tli);
	watch_head(watch, WATCH_BEGUN);
}

static void watch_begun(struct owner_watch *watch)
{
	const struct catalog_timeline *child = watch_child(watch);
	struct owner_note note = {.tli = watch->child_tli,
	                          .kind = OWNER_CONTESTED,
	                          .other = watch->wrote.segment_tli};

	if (op_failed(&watch->head.op))
		return watch_end(watch, &watch->head.op.err);
	if (!child)
		return watch_end(watch, NULL);
	if (watch->stored_us <= watch->head.modified_us ||
	    !history_switch(&child->history, note.other, &note.position))
		return watch_next_child(watch);
	note.end = wrote_end(watch);
	watch_write(watch, &note, WATCH_MARKING);
}

/* ---- the failover gap ---- */

static void lacking_add(struct owner_watch *watch, const struct walname *name)
{
	if (watch->lackings == watch->size) {
		watch->size = watch->size ? 2 * watch->size : 64;
		watch->lacking = xrealloc(watch->lacking, watch->size * sizeof(*watch->lacking));
	}
	watch->lacking[watch->lackings++] = *name;
}

static int lacking_order(const void *a, const void *b)
{
	const struct walname *left = a, *right = b;

	if ((left->kind == WALNAME_HISTORY) != (right->kind == WALNAME_HISTORY))
		return left->kind == WALNAME_HISTORY ? -1 : 1;
	return walname_compare(left, right);
}

/* Whether the path needs the whole segment under this name, or the history. */
static bool path_needs(const struct history *path, const struct walname *name,
                       uint32_t segment_bytes)
{
	lsn begin, end;
	uint64_t segno;

	if (name->tli == path->tli || !history_switch(path, name->tli, &end))
		return false;
	if (name->kind == WALNAME_HISTORY)
		return true;
	if (name->kind != WALNAME_SEGMENT || !walname_fits(name, segment_bytes) ||
	    !history_span(path, name->tli, &begin, &end))
		return false;
	segno = walname_segno(name, segment_bytes);
	return lsn_of_segno(segno + 1, segment_bytes) <= end &&
	       history_tli_of_segment(path, segno, segment_bytes) == name->tli;
}

/* On a worker. The watch has its own copy of the path in owners. */
static void watch_list(struct work *work)
{
	struct owner_watch *watch = container_of(work, struct owner_watch, work);
	const struct catalog_timeline *timeline =
	        catalog_timeline(&watch->owners, watch->wrote.tli);
	AUTO_FREE char *folder = path_join(watch->folder, "pg_wal");
	DIR *dir = opendir(folder);
	struct dirent *entry;
	struct walname name;

	if (!dir) {
		err_sys(&work->op.err, "could not open folder \"%s\"", folder);
		return;
	}
	while (errno = 0, (entry = readdir(dir)) != NULL)
		if (walname_parse(entry->d_name, &name) &&
		    path_needs(&timeline->history, &name, watch->destination->facts.segment_bytes))
			lacking_add(watch, &name);
	if (errno)
		err_sys(&work->op.err, "could not read folder \"%s\"", folder);
	closedir(dir);
	if (watch->lackings)
		qsort(watch->lacking, watch->lackings, sizeof(*watch->lacking), lacking_order);
}

static void watch_gap(struct owner_watch *watch)
{
	const struct catalog_timeline *timeline =
	        catalog_timeline(owners_of(watch), watch->wrote.tli);
	struct history path = {0};

	if (!watch->gap || !timeline || timeline->history.count == 0)
		return watch_end(watch, NULL);
	catalog_release(&watch->owners);
	history_copy(&path, &timeline->history);
	catalog_add_history(&watch->owners, &path);
	history_release(&path);
	work_start_look(&watch->op, &watch->work, WORK_WAL, watch_list);
	op_wait(&watch->op, WATCH_LISTING);
}

static void watch_fill(struct owner_watch *watch)
{
	char text[WALNAME_BYTES];

	walname_format(&watch->lacking[watch->at], text);
	free(watch->path);
	watch->path = xasprintf("%s/pg_wal/%s", watch->folder, text);
	watch->push = (struct push){.site = watch->site,
	                            .destination = watch->destination,
	                            .folder = watch->folder,
	                            .path = watch->path,
	                            .name = watch->lacking[watch->at]};
	push_start(&watch->op, &watch->push);
	op_wait(&watch->op, WATCH_FILLING);
}

static void watch_next_lacking(struct owner_watch *watch)
{
	uint32_t bytes = watch->destination->facts.segment_bytes;
	const struct catalog_timeline *known;

	for (; watch->at < watch->lackings && !watch->op.cancelled; watch->at++) {
		const struct walname *name = &watch->lacking[watch->at];

		known = catalog_timeline(owners_of(watch), name->tli);
		if (name->kind == WALNAME_HISTORY && known && known->history_archived)
			continue;
		if (name->kind == WALNAME_HISTORY)
			return watch_fill(watch);
		watch->look = (struct catalog_head){.repo = watch->site->repo,
		                                    .generation = watch->destination->generation,
		                                    .segment_bytes = bytes,
		                                    .tli = name->tli,
		                                    .segno = walname_segno(name, bytes)};
		catalog_head_start(&watch->op, &watch->look);
		return op_wait(&watch->op, WATCH_LOOKING);
	}
	if (watch->filled > 0)
		log_warning(
		        "cluster \"%s\": %" PRIu64
		        " files from before timeline %u were not in repository \"%s\"; they were "
		        "archived from pg_wal",
		        watch->site->cluster, watch->filled, watch->wrote.tli,
		        watch->site->repository);
	watch_end(watch, err_is(&watch->damage) ? &watch->damage : NULL);
}

static void watch_filled(struct owner_watch *watch)
{
	const struct err *err = &watch->push.op.err;

	/* What is wrong with one file keeps no other back. And when it is not there it was
	 * recycled since: nothing that is here can be archived any more. */
	if (err->code == ERR_DAMAGED || err->code == ERR_EXISTS)
		watch->damage = *err;
	else if (err_is(err) && err->code != ERR_NOTFOUND)
		return watch_end(watch, err);
	watch->filled += !op_failed(&watch->push.op);
	watch->at++;
	watch_next_lacking(watch);
}

/* ---- the story ---- */

static void watch_take(struct owner_watch *watch)
{
	catalog_release(owners_of(watch));
	*owners_of(watch) = watch->owners;
	watch->owners = (struct catalog){.segment_bytes = watch->owners.segment_bytes};
	watch_note(watch);
}

static void watch_open(struct owner_watch *watch);

static void watch_begin(struct owner_watch *watch)
{
	if (watch->fresh)
		return watch_note(watch);
	if (!keys_look_due(watch->site->repo) && !err_is(&watch->site->repo->shut))
		return watch_open(watch);
	watch->keys = (struct keys_look){.repo = watch->site->repo};
	keys_look_start(&watch->op, &watch->keys);
	op_wait(&watch->op, WATCH_KEYS);
}

static void watch_open(struct owner_watch *watch)
{
	watch->generation = (struct generation_open){
	        .repo = watch->site->repo,
	        .cluster = watch->site->cluster,
	        .system_identifier = watch->destination->facts.system_identifier};
	generation_open_start(&watch->op, &watch->generation);
	op_wait(&watch->op, WATCH_OPENING);
}

static void watch_opened(struct owner_watch *watch)
{
	if (op_failed(&watch->generation.op))
		return watch_end(watch, &watch->generation.op.err);
	site_saw(watch->site, watch->generation.facts.system_identifier, watch->generation.n);
	if (strcmp(watch->generation.generation, watch->destination->generation) != 0) {
		log_warning("cluster \"%s\": the archive in repository \"%s\" was begun anew, "
		            "as \"%s\"",
		            watch->site->cluster, watch->site->repository,
		            watch->generation.generation);
		push_destination_doubt(watch->destination);
		return watch_end(watch, NULL);
	}
	watch->load =
	        (struct catalog_load){.repo = watch->site->repo,
	                              .generation = watch->destination->generation,
	                              .segment_bytes = watch->destination->facts.segment_bytes,
	                              .what = CATALOG_HISTORIES,
	                              .tolerant = true,
	                              .class = GATE_WAL,
	                              .ret = &watch->owners};
	catalog_load_start(&watch->op, &watch->load);
	op_wait(&watch->op, WATCH_LOADING);
}

static void watch_step(struct op *op)
{
	struct owner_watch *watch = container_of(op, struct owner_watch, op);

	switch ((enum watch_state)op->state) {
	case WATCH_START:
		return watch_begin(watch);
	case WATCH_KEYS:
		if (op_failed(&watch->keys.op))
			return watch_end(watch, &watch->keys.op.err);
		if (err_is(&watch->site->repo->shut)) /* nothing can be noted there */
			return watch_end(watch, NULL);
		return watch_open(watch);
	case WATCH_OPENING:
		return watch_opened(watch);
	case WATCH_LOADING:
		if (op_failed(&watch->load.op))
			return watch_end(watch, &watch->load.op.err);
		return watch_take(watch);
	case WATCH_NOTING:
		if (op_failed(&watch->write.op))
			return watch_end(watch, &watch->write.op.err);
		catalog_add_note(owners_of(watch), &watch->write.note);
		return watch_children(watch);
	case WATCH_STORED:
		return watch_stored(watch);
	case WATCH_BEGUN:
		return watch_begun(watch);
	case WATCH_MARKING:
		if (op_failed(&watch->write.op))
			return watch_end(watch, &watch->write.op.err);
		catalog_add_note(owners_of(watch), &watch->write.note);
		return watch_next_child(watch);
	case WATCH_LISTING:
		if (op_failed(&watch->work.op))
			return watch_end(watch, &watch->work.op.err);
		return watch_next_lacking(watch);
	case WATCH_LOOKING:
		if (op_failed(&watch->look.op))
			return watch_end(watch, &watch->look.op.err);
		if (!watch->look.found)
			return watch_fill(watch);
		watch->at++;
		return watch_next_lacking(watch);
	case WATCH_FILLING:
		return watch_filled(watch);
	}
}

static const struct op_type watch_type = {
        .name = "owners", .step = watch_step, .state_name = watch_state_name};

void owner_watch_start(struct op *parent, struct owner_watch *watch)
{
	op_start(parent, &watch->op, &watch_type);
}

void owner_watch_start_root(struct loop *loop, struct owner_watch *watch,
                            void (*on_done)(struct op *op))
{
	op_start_root(loop, &watch->op, &watch_type, on_done);
}
