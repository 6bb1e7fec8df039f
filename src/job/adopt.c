/*
 * adopt.c — a data directory becomes the one that goes on.
 *
 *   START -> LOOKING -> (each repository) READY -> OPENING -> LOADING -> WRITING… -> UNMARKING
 *
 * A new generation has the same number in all of them: the first time round they are only asked.
 *
 * LOOKING (worker) reads pg_control and the histories in pg_wal: after a promotion pg_control still
 * names the old timeline. UNMARKING removes seawall.clone, when everything else is durable: an
 * adoption that was broken off is begun again.
 */
#include "job/adopt.h"

#include <dirent.h>
#include <unistd.h>

#include "base/durable.h"
#include "base/file.h"
#include "pg/segment.h"

#include "base/poison.h"

/* clang-format off */
#define ADOPT_STATES(X) \
	X(ADOPT_START) X(ADOPT_LOOKING) X(ADOPT_READY) X(ADOPT_OPENING) X(ADOPT_LOADING) \
	X(ADOPT_WRITING) X(ADOPT_SAYING) X(ADOPT_UNMARKING)
/* clang-format on */
OP_STATES(adopt_state, ADOPT_STATES)

static const char clone_file[] = "seawall.clone";

static void adopt_end(struct adopt *adopt, const struct err *cause)
{
	if (cause)
		return op_fail(&adopt->op, cause, "could not %s data directory \"%s\"",
		               adopt->sight ? "look at" : "adopt", adopt->folder);
	op_done(&adopt->op);
}

/* ---- LOOKING: on a worker ---- */

static bool is_there(const struct adopt *adopt, const char *name)
{
	AUTO_FREE char *path = path_join(adopt->folder, name);

	return access(path, F_OK) == 0;
}

static bool recovery_is_over(const struct adopt *adopt, struct err *err)
{
	static const char *const names[] = {"recovery.signal", "standby.signal", "backup_label"};

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		if (is_there(adopt, names[i])) {
			err_set(err, ERR_REFUSED, "its recovery has not ended: there is \"%s\"",
			        names[i]);
			err_hint(err, "Start it, and adopt it when it has been promoted.");
			return false;
		}
	if (adopt->control.state != CONTROL_IN_ARCHIVE_RECOVERY &&
	    adopt->control.state != CONTROL_SHUTDOWNED_IN_RECOVERY)
		return true;
	err_set(err, ERR_REFUSED, "it is %s", control_state_name(adopt->control.state));
	err_hint(err, "Adopt it when it has been promoted.");
	return false;
}

static bool read_history(const char *path, uint32_t tli, struct history *ret, struct err *err)
{
	AUTO_BUF struct buf text = {0};

	buf_init(&text, HISTORY_BYTES_MAX);
	return file_read_all(path, &text, err) &&
	       history_parse(tli, buf_text(&text), text.length, ret, err);
}

/* A history in pg_wal that leads on from where pg_control says we are. */
static bool take_history(struct adopt *adopt, const char *folder, uint32_t tli, struct err *err)
{
	const struct checkpoint *checkpoint = &adopt->control.checkpoint;
	lsn here = adopt->control.checkpoint_lsn;
	struct history history = {0};
	char name[32];
	AUTO_FREE char *path = NULL;

	snprintf(name, sizeof(name), "%08X.history", tli);
	path = path_join(folder, name);
	if (!read_history(path, tli, &history, err))
		return err_wrap(err, "could not read file \"%s\"", path);
	if (tli == checkpoint->tli || history_tli_at(&history, here) == checkpoint->tli) {
		adopt->tli = tli;
		adopt->path_known = true;
		history_copy(&adopt->path, &history);
	}
	history_release(&history);
	return true;
}

static bool find_timeline(struct adopt *adopt, struct err *err)
{
	AUTO_FREE char *folder = path_join(adopt->folder, "pg_wal");
	DIR *dir = opendir(folder);
	struct dirent *entry;
	struct walname name;
	uint32_t newest = adopt->control.checkpoint.tli;

	if (!dir)
		return err_sys(err, "could not open folder \"%s\"", folder);
	/* The newest that it has written WAL of; what was only fetched has no segments here. */
	while ((entry = readdir(dir)))
		if (walname_parse(entry->d_name, &name) && name.kind == WALNAME_SEGMENT)
			newest = MAX(newest, name.tli);
	adopt->tli = adopt->control.checkpoint.tli;
	rewinddir(dir);
	while (!err_is(err) && (entry = readdir(dir)))
		if (walname_parse(entry->d_name, &name) && name.kind == WALNAME_HISTORY &&
		    name.tli <= newest && name.tli >= adopt->tli &&
		    !take_history(adopt, folder, name.tli, err))
			break;
	closedir(dir);
	return !err_is(err);
}

static void adopt_look(struct work *work)
{
	struct adopt *adopt = container_of(work, struct adopt, look);
	struct err *err = &work->op.err;

	if (!control_read(adopt->folder, &adopt->control, err))
		return;
	adopt->recovering = !recovery_is_over(adopt, err);
	if (adopt->recovering || !find_timeline(adopt, err))
		return;
	adopt->was_clone = is_there(adopt, clone_file);
}

static void adopt_unmark(struct work *work)
{
	struct adopt *adopt = container_of(work, struct adopt, look);
	AUTO_FREE char *path = path_join(adopt->folder, clone_file);

	if (durable_unlink(path, &work->op.err))
		adopt->unmarked = true;
}

/* ---- deciding ---- */

static struct owner_note *note_add(struct owner_note **notes, size_t *count, size_t *size)
{
	if (*count == *size) {
		*size = *size ? 2 * *size : 8;
		*notes = xrealloc(*notes, *size * sizeof(**notes));
	}
	(*notes)[*count] = (struct owner_note){0};
	return &(*notes)[(*count)++];
}

struct deciding {
	const struct catalog *owners;
	const struct history *path;
	struct owner_note **note;
	size_t *count, *size;
};

static void decide_fence(struct deciding *deciding, uint32_t tli, lsn from)
{
	struct owner_note *note;

	for (size_t i = 0; i < *deciding->count; i++)
		if ((*deciding->note)[i].kind == OWNER_FENCE && (*deciding->note)[i].tli == tli)
			return;
	note = note_add(deciding->note, deciding->count, deciding->size);
	note->tli = tli;
	note->kind = OWNER_FENCE;
	note->position = from;
	note->other = deciding->path->tli;
}

/* Every fence that the path meets, each timeline once. */
static void decide_lifts(struct deciding *deciding)
{
	for (size_t i = 0; i < deciding->owners->notes; i++) {
		const struct owner_note *fence = &deciding->owners->note[i];
		bool known = false;
		struct owner_note *note;
		lsn begin, end;

		if (fence->kind != OWNER_FENCE ||
		    !history_span(deciding->path, fence->tli, &begin, &end) ||
		    end <= fence->position || !owner_fence(deciding->owners, fence->tli, end))
			continue;
		for (size_t n = 0; n < *deciding->count; n++)
			known |= (*deciding->note)[n].tli == fence->tli;
		if (known)
			continue;
		note = note_add(deciding->note, deciding->count, deciding->size);
		note->tli = fence->tli;
		note->kind = OWNER_LIFT;
		note->other = deciding->path->tli;
		note->time_us = fence->time_us + 1; /* at least, whatever the clocks say */
	}
}

static bool lifted_here(const struct deciding *deciding, uint32_t tli)
{
	for (size_t i = 0; i < *deciding->count; i++)
		if ((*deciding->note)[i].kind == OWNER_LIFT && (*deciding->note)[i].tli == tli)
			return true;
	return false;
}

void adopt_decide(const struct catalog *owners, const struct history *path, struct owner_note **ret,
                  size_t *ret_count, size_t *ret_size)
{
	struct deciding deciding = {
	        .owners = owners, .path = path, .note = ret, .count = ret_count, .size = ret_size};
	const struct history_entry *last = path->count ? &path->entry[path->count - 1] : NULL;
	const struct owner_note *contest;
	lsn begin, end;

	decide_lifts(&deciding);
	/* The branch left behind. */
	if (last && (lifted_here(&deciding, last->tli) ||
	             !owner_fence(owners, last->tli, last->switch_lsn + 1)))
		decide_fence(&deciding, last->tli, last->switch_lsn);
	for (size_t i = 0; (contest = owner_contest(owners, i)); i++) {
		if (history_span(path, contest->tli, &begin, &end))
			decide_fence(&deciding, contest->other, contest->position);
		else if (history_span(path, contest->other, &begin, &end) &&
		         end > contest->position)
			decide_fence(&deciding, contest->tli, contest->position);
	}
	/* What would be taken for the newest. */
	for (size_t i = 0; i < owners->timelines; i++) {
		const struct history *other = &owners->timeline[i].history;

		if (owners->timeline[i].tli > path->tli && other->count > 0 &&
		    !owner_fence_whole(owners, other->tli))
			decide_fence(&deciding, other->tli,
			             other->entry[other->count - 1].switch_lsn);
	}
}

/* ---- the story ---- */

static void adopt_site(struct adopt *adopt)
{
	if (!adopt->at && adopt->asking) {
		adopt->asking = adopt->nothing_there = false;
		adopt->at = adopt->site;
	}
	if (!adopt->at) {
		if (adopt->dry_run || !adopt->was_clone)
			return adopt_end(adopt, NULL);
		work_start_class(&adopt->op, &adopt->look, WORK_WAL, adopt_unmark);
		return op_wait(&adopt->op, ADOPT_UNMARKING);
	}
	site_ready_start(&adopt->op, &adopt->ready, adopt->at);
	op_wait(&adopt->op, ADOPT_READY);
}

static void adopt_next_site(struct adopt *adopt)
{
	adopt->at = adopt->at->next;
	adopt_site(adopt);
}

/* Who goes on, so that it is not taken for one that was left behind (past.c). */
static void adopt_say(struct adopt *adopt)
{
	struct owner_note note = {.tli = adopt->tli, .kind = OWNER_WROTE};

	owner_note_here(&note, adopt->folder);
	if (adopt->dry_run || owner_said(&adopt->owners, note.tli, &note))
		return adopt_next_site(adopt);
	note.system_identifier = adopt->control.system_identifier;
	note.n = owner_next(&adopt->owners, note.tli);
	adopt->write = (struct owner_write){.repo = adopt->at->repo,
	                                    .generation = adopt->open.generation,
	                                    .compression = adopt->at->wal_compression,
	                                    .note = note};
	owner_write_start(&adopt->op, &adopt->write);
	op_wait(&adopt->op, ADOPT_SAYING);
}

static void adopt_open(struct adopt *adopt)
{
	bool make = adopt->new_generation && !adopt->dry_run && !adopt->asking;

	adopt->open =
	        (struct generation_open){.repo = adopt->at->repo,
	                                 .cluster = adopt->at->cluster,
	                                 .make = make,
	                                 .at_least = make ? adopt->newest + 1 : 0,
	                                 .system_identifier = adopt->control.system_identifier,
	                                 .facts = generation_facts_of(&adopt->control)};
	generation_open_start(&adopt->op, &adopt->open);
	op_wait(&adopt->op, ADOPT_OPENING);
}

static void adopt_opened(struct adopt *adopt)
{
	if (op_failed(&adopt->open.op)) {
		if (adopt->open.op.err.code != ERR_NOTFOUND)
			return adopt_end(adopt, &adopt->open.op.err);
		adopt->nothing_there = true;
		return adopt_next_site(adopt);
	}
	if (adopt->asking) {
		adopt->newest = MAX(adopt->newest, adopt->open.n);
		return adopt_next_site(adopt);
	}
	memcpy(adopt->generation, adopt->open.generation, sizeof(adopt->generation));
	catalog_release(&adopt->owners);
	if (adopt->new_generation)
		return adopt_say(adopt);
	adopt->load = (struct catalog_load){.repo = adopt->at->repo,
	                                    .generation = adopt->open.generation,
	                                    .segment_bytes = adopt->control.segment_bytes,
	                                    .what = CATALOG_HISTORIES | CATALOG_TIMELINES,
	                                    .class = GATE_WAL,
	                                    .ret = &adopt->owners};
	catalog_load_start(&adopt->op, &adopt->load);
	op_wait(&adopt->op, ADOPT_LOADING);
}

static void adopt_write(struct adopt *adopt)
{
	struct owner_note *note = &adopt->todo[adopt->next];
	struct adopt_done *done;

	if (adopt->next == adopt->todos)
		return adopt_say(adopt);
	note->system_identifier = adopt->control.system_identifier;
	note->n = owner_next(&adopt->owners, note->tli);
	adopt->time_us = MAX(adopt->time_us, note->time_us);
	owner_note_here(note, adopt->folder);
	/* Lifts come first, and a fence after them must not be one that they lift. */
	note->time_us = adopt->time_us = MAX(adopt->time_us + 1, note->time_us);
	if (adopt->dones == adopt->dones_size) {
		adopt->dones_size = adopt->dones_size ? 2 * adopt->dones_size : 8;
		adopt->done = xrealloc(adopt->done, adopt->dones_size * sizeof(*adopt->done));
	}
	done = &adopt->done[adopt->dones++];
	*done = (struct adopt_done){.repository = adopt->at->repository, .note = *note};
	catalog_add_note(&adopt->owners, note);
	adopt->next++;
	if (adopt->dry_run)
		return adopt_write(adopt);
	adopt->write = (struct owner_write){.repo = adopt->at->repo,
	                                    .generation = adopt->open.generation,
	                                    .compression = adopt->at->wal_compression,
	                                    .note = *note};
	owner_write_start(&adopt->op, &adopt->write);
	op_wait(&adopt->op, ADOPT_WRITING);
}

static void adopt_loaded(struct adopt *adopt)
{
	const struct catalog_timeline *timeline = catalog_timeline(&adopt->owners, adopt->tli);
	struct err err = {0};

	if (op_failed(&adopt->load.op))
		return adopt_end(adopt, &adopt->load.op.err);
	if (!adopt->path_known && adopt->tli > 1 && !(timeline && timeline->history_archived)) {
		err_set(&err, ERR_REFUSED,
		        "%08X.history is neither in its pg_wal nor in repository \"%s\"",
		        adopt->tli, adopt->at->repository);
		return adopt_end(adopt, &err);
	}
	if (!adopt->path_known && adopt->tli > 1)
		history_copy(&adopt->path, &timeline->history);
	else if (!adopt->path_known)
		history_init(&adopt->path, adopt->tli);
	adopt->path_known = true;
	if (adopt->sight)
		return adopt_next_site(adopt);
	adopt->todos = adopt->next = 0;
	adopt_decide(&adopt->owners, &adopt->path, &adopt->todo, &adopt->todos, &adopt->todos_size);
	adopt_write(adopt);
}

static void adopt_step(struct op *op)
{
	struct adopt *adopt = container_of(op, struct adopt, op);

	switch ((enum adopt_state)op->state) {
	case ADOPT_START:
		work_start_class(op, &adopt->look, WORK_WAL, adopt_look);
		return op_wait(op, ADOPT_LOOKING);
	case ADOPT_LOOKING:
		if (op_failed(&adopt->look.op))
			return adopt_end(adopt, &adopt->look.op.err);
		adopt->at = adopt->site;
		adopt->asking = adopt->new_generation;
		return adopt_site(adopt);
	case ADOPT_READY:
		if (op_failed(&adopt->ready.op))
			return adopt_end(adopt, &adopt->ready.op.err);
		return adopt_open(adopt);
	case ADOPT_OPENING:
		return adopt_opened(adopt);
	case ADOPT_LOADING:
		return adopt_loaded(adopt);
	case ADOPT_WRITING:
		if (op_failed(&adopt->write.op))
			return adopt_end(adopt, &adopt->write.op.err);
		return adopt_write(adopt);
	case ADOPT_SAYING:
		if (op_failed(&adopt->write.op))
			return adopt_end(adopt, &adopt->write.op.err);
		return adopt_next_site(adopt);
	case ADOPT_UNMARKING:
		if (op_failed(&adopt->look.op))
			return adopt_end(adopt, &adopt->look.op.err);
		return adopt_end(adopt, NULL);
	}
}

static const struct op_type adopt_type = {
        .name = "adopt", .step = adopt_step, .state_name = adopt_state_name};

void adopt_start(struct op *parent, struct adopt *adopt)
{
	op_start(parent, &adopt->op, &adopt_type);
}

void adopt_release(struct adopt *adopt)
{
	catalog_release(&adopt->owners);
	history_release(&adopt->path);
	free(adopt->todo);
	free(adopt->done);
	adopt->todo = NULL;
	adopt->done = NULL;
}
