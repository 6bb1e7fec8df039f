/*
 * backups.c — opening a repository when it is wanted, and the list of a cluster's backups.
 *
 *   START -> OPENING -> GENERATION -> LISTING -> READING (one head after the other) -> PLACES
 *               ^                                                                     -> done
 *               +---- the next repository, when one does not answer
 */
#include "server/backups.h"

#include <assert.h>

#include "base/clock.h"

#include "base/poison.h"

/* ---- an open repository ---- */

static void site_open_step(struct op *op)
{
	struct site_open *open = container_of(op, struct site_open, op);
	struct site *site = &open->runtime->site[open->cluster];

	if (op->state == 0) {
		if (!runtime_open_place(open->runtime, site, false, &op->err))
			return op_fail_own(op);
		if (site->repo->opened)
			return op_done(op);
		open->open.repo = site->repo;
		repo_open_start(op, &open->open);
		return op_wait(op, 1);
	}
	if (op_failed(&open->open.op)) {
		op->err = open->open.op.err;
		return op_fail_own(op);
	}
	op_done(op);
}

static const struct op_type site_open_type = {.name = "site-open", .step = site_open_step};

void site_open_start(struct op *parent, struct site_open *open, struct runtime *runtime,
                     size_t cluster)
{
	*open = (struct site_open){.runtime = runtime, .cluster = cluster};
	op_start(parent, &open->op, &site_open_type);
}

/* ---- the list ---- */

/* clang-format off */
#define BACKUPS_STATES(X) \
	X(BACKUPS_START) X(BACKUPS_OPENING) X(BACKUPS_GENERATION) X(BACKUPS_LISTING) \
	X(BACKUPS_READING) X(BACKUPS_PLACES)
/* clang-format on */
OP_STATES(backups_state, BACKUPS_STATES)

static void backups_places(struct backups *backups)
{
	backups->presence =
	        (struct presence){.first = &backups->runtime->site[backups->cluster],
	                          .system_identifier = backups->generation.facts.system_identifier,
	                          .have = backups->heads_max ? NULL : &backups->catalog};
	presence_start(&backups->op, &backups->presence);
	op_wait(&backups->op, BACKUPS_PLACES);
}

static void backups_read_next(struct backups *backups)
{
	if (backups->next >= backups->catalog.backups) {
		qsort(backups->head, backups->heads, sizeof(*backups->head), manifest_head_order);
		return backups_places(backups);
	}
	backups->read = (struct head_read){
	        .repo = backups->site->repo,
	        .generation = backups->generation.generation,
	        .id = backups->catalog.backup[backups->next],
	};
	head_read_start(&backups->op, &backups->read);
	op_wait(&backups->op, BACKUPS_READING);
}

/* One that is damaged does not hide the others, one that went away meanwhile is not there; a
 * repository that does not answer is a failure. */
static bool backups_take_head(struct backups *backups)
{
	const struct err *err = &backups->read.op.err;
	struct heads_unreadable *bad;

	if (!op_failed(&backups->read.op)) {
		backups->head[backups->heads++] = backups->read.head;
		return true;
	}
	if (err->code == ERR_NOTFOUND)
		return true;
	if (err->code != ERR_DAMAGED && err->code != ERR_STORE)
		return false;
	backups->unreadable =
	        xrealloc(backups->unreadable, (backups->unreadables + 1) * sizeof(*bad));
	bad = &backups->unreadable[backups->unreadables++];
	*bad = (struct heads_unreadable){.err = *err};
	snprintf(bad->id, sizeof(bad->id), "%s", backups->read.id);
	return true;
}

static void backups_list(struct backups *backups)
{
	backups->load = (struct catalog_load){
	        .repo = backups->site->repo,
	        .generation = backups->generation.generation,
	        .segment_bytes = backups->generation.facts.segment_bytes,
	        .what = CATALOG_BACKUPS | backups->what,
	        .class = GATE_VERIFY,
	        .ret = &backups->catalog,
	};
	catalog_load_start(&backups->op, &backups->load);
	op_wait(&backups->op, BACKUPS_LISTING);
}

static void backups_find_generation(struct backups *backups)
{
	backups->generation = (struct generation_open){.repo = backups->site->repo,
	                                               .cluster = backups->site->cluster};
	generation_open_start(&backups->op, &backups->generation);
	op_wait(&backups->op, BACKUPS_GENERATION);
}

static void backups_clear(struct backups *backups)
{
	for (size_t i = 0; i < backups->heads; i++)
		manifest_head_release(&backups->head[i]);
	free(STEAL(backups->head));
	free(STEAL(backups->unreadable));
	backups->heads = backups->unreadables = backups->next = 0;
	catalog_release(&backups->catalog);
}

static void backups_open(struct backups *backups)
{
	while (site_is_away(backups->site) && backups->site->next)
		backups->site = backups->site->next;
	site_ready_start(&backups->op, &backups->ready, backups->site);
	op_wait(&backups->op, BACKUPS_OPENING);
}

/* One repository does not answer, or not well: the next one. */
static void backups_fail(struct backups *backups, const struct err *cause)
{
	struct err err = *cause;

	if (backups->site->next && !backups->op.cancelled) {
		site_note(backups->site, cause);
		backups_clear(backups);
		backups->site = backups->site->next;
		return backups_open(backups);
	}
	op_fail(&backups->op, &err, "could not list the backups of cluster \"%s\"",
	        backups->site->cluster);
}

static void backups_step(struct op *op)
{
	struct backups *backups = container_of(op, struct backups, op);
	unsigned max = backups->heads_max ? backups->heads_max : BACKUPS_SHOWN_MAX;

	switch ((enum backups_state)op->state) {
	case BACKUPS_START:
		backups->site = &backups->runtime->site[backups->cluster];
		return backups_open(backups);
	case BACKUPS_OPENING:
		if (op_failed(&backups->ready.op))
			return backups_fail(backups, &backups->ready.op.err);
		return backups_find_generation(backups);
	case BACKUPS_GENERATION:
		if (op_failed(&backups->generation.op) &&
		    backups->generation.op.err.code == ERR_NOTFOUND)
			return backups_places(backups); /* nothing was archived there yet */
		if (op_failed(&backups->generation.op))
			return backups_fail(backups, &backups->generation.op.err);
		return backups_list(backups);
	case BACKUPS_LISTING:
		if (op_failed(&backups->load.op))
			return backups_fail(backups, &backups->load.op.err);
		if (backups->catalog.backups > max)
			backups->next = backups->catalog.backups - max;
		backups->head = xcalloc(backups->catalog.backups + 1, sizeof(*backups->head));
		return backups_read_next(backups);
	case BACKUPS_READING:
		if (!backups_take_head(backups))
			return backups_fail(backups, &backups->read.op.err);
		backups->next++;
		return backups_read_next(backups);
	case BACKUPS_PLACES:
		if (!op_failed(&backups->presence.op))
			return op_done(op);
		op->err = backups->presence.op.err;
		return op_fail_own(op);
	}
}

static const struct op_type backups_type = {
        .name = "backups", .step = backups_step, .state_name = backups_state_name};

void backups_start(struct op *parent, struct backups *backups)
{
	op_start(parent, &backups->op, &backups_type);
}

void backups_release(struct backups *backups)
{
	backups_clear(backups);
	presence_release(&backups->presence);
}

/* ---- JSON ---- */

static void json_time(struct jval *object, const char *field, int64_t unix_us)
{
	char text[TIME_TEXT_BYTES];

	clock_text_utc(unix_us, text);
	jset_str(object, field, text);
}

static void json_lsn(struct jval *object, const char *field, lsn position)
{
	char text[LSN_TEXT_BYTES];

	lsn_text(position, text);
	jset_str(object, field, text);
}

void backup_json(const struct manifest_head *head, struct jval *object)
{
	jset_str(object, "id", head->id);
	if (head->label_text && *head->label_text)
		jset_str(object, "label", head->label_text);
	jset_int(object, "major", head->major);
	jset_u64(object, "system_identifier", head->system_identifier);
	json_time(object, "begun", head->begun_us);
	json_time(object, "ended", head->ended_us);
	json_time(object, "restorable_from", head->stop_time_us);
	jset_int(object, "start_timeline", head->start_tli);
	json_lsn(object, "start_lsn", head->start_lsn);
	jset_int(object, "stop_timeline", head->stop_tli);
	json_lsn(object, "stop_lsn", head->stop_lsn);
	jset_u64(object, "files", head->files);
	jset_u64(object, "bytes", head->logical_bytes);
	jset_u64(object, "stored_bytes", head->stored_bytes);
	jset_bool(object, "checksums", head->checksums);
	jset_u64(object, "damaged_pages", head->findings_total);
}
