/*
 * nearest.c — reading what a cluster's repositories hold.
 *
 *   START -> OPENING -> READING -> done
 *               ^          |
 *               +----------+  not there, damaged, away: the next one; a segment that is damaged is
 *                             marked there (MARKING, repo/harm.h)
 *
 * One that did not answer a moment ago is not asked again at once where there are others; the
 * answer is then "unknown" at worst, never "not there". While one is opened, or a file is read, one
 * that is silent loses its turn soon (site_stall_ms).
 */
#include "nearest.h"

#include "base/log.h"

#include "base/poison.h"

enum nearest_state { NEAREST_START, NEAREST_OPENING, NEAREST_READING, NEAREST_MARKING };

static void nearest_open(struct nearest *nearest)
{
	while (nearest->at && nearest->first->next && !nearest->patient && !site_try(nearest->at)) {
		nearest->unsure = nearest->at->away;
		nearest->at = nearest->at->next;
	}
	if (!nearest->at)
		return;
	site_ready_start(&nearest->op, &nearest->ready, nearest->at);
	nearest->ready.stall_ms =
	        nearest->hurries && !nearest->patient ? site_stall_ms(nearest->first) : 0;
	nearest->hurried = nearest->ready.stall_ms > 0;
	op_wait(&nearest->op, NEAREST_OPENING);
}

static void nearest_end(struct nearest *nearest)
{
	const struct err *why = err_is(&nearest->unsure)    ? &nearest->unsure
	                        : err_is(&nearest->damaged) ? &nearest->damaged
	                                                    : &nearest->missing;

	if (nearest->found && !(nearest->all && err_is(&nearest->unsure)))
		return op_done(&nearest->op);
	nearest->op.err = *why;
	op_fail_own(&nearest->op);
}

/* What one of them said, when that was not what is wanted: on to the next one. */
static void nearest_next(struct nearest *nearest, const struct err *err)
{
	if (nearest->op.cancelled || err->code == ERR_CANCELLED || err->code == ERR_REFUSED) {
		nearest->op.err = *err;
		return op_fail_own(&nearest->op);
	}
	if (nearest->first->next)
		site_note(nearest->at, err);
	if (err->code == ERR_NOTFOUND) {
		nearest->missing = *err;
	} else if (err->code == ERR_DAMAGED) {
		nearest->damaged = *err;
		if (nearest->first->next)
			log_err(LOG_WARNING, err, ", trying the other repositories");
	} else {
		nearest->unsure = *err;
	}
	if (nearest->hurried && err_code_retry(err->code) && !nearest->silent)
		nearest->silent = nearest->at;
	nearest->at = nearest->patient ? NULL : nearest->at->next;
	nearest_open(nearest);
	if (!nearest->at && nearest->silent && !nearest->hasty) {
		nearest->at = STEAL(nearest->silent);
		nearest->patient = true;
		nearest_open(nearest);
	}
	if (!nearest->at)
		nearest_end(nearest);
}

/* The steps that are the same for all; false: the caller reads from nearest->at now, or looks at
 * what it read. */
static bool nearest_stepped(struct nearest *nearest)
{
	switch ((enum nearest_state)nearest->op.state) {
	case NEAREST_START:
		nearest->at = nearest->first;
		nearest_open(nearest);
		if (!nearest->at)
			nearest_end(nearest);
		return true;
	case NEAREST_OPENING:
		if (!op_failed(&nearest->ready.op))
			return false;
		nearest_next(nearest, &nearest->ready.op.err);
		return true;
	case NEAREST_READING:
	case NEAREST_MARKING:
		return false;
	}
	return false;
}

static void nearest_read(struct nearest *nearest, const struct op *child)
{
	if (nearest->op.state == NEAREST_OPENING)
		return op_wait(&nearest->op, NEAREST_READING);
	if (op_failed(child))
		return nearest_next(nearest, &child->err);
	if (nearest->first->next)
		site_note(nearest->at, NULL);
	op_done(&nearest->op);
}

/* One is found: what the next one has. */
static void nearest_go_on(struct nearest *nearest)
{
	nearest->found = true;
	nearest->at = nearest->at->next;
	nearest_open(nearest);
	if (!nearest->at)
		nearest_end(nearest);
}

/* ---- a generation ---- */

/* The newest of those that are found. */
static void generation_take(struct nearest_generation *generation)
{
	const struct generation_open *open = &generation->open;
	bool same = generation->facts.system_identifier == open->facts.system_identifier;

	site_saw(generation->nearest.at, open->facts.system_identifier, open->n);
	if (generation->nearest.found &&
	    (same ? open->n <= generation->n : open->begun_us <= generation->begun_us))
		return;
	memcpy(generation->generation, open->generation, sizeof(generation->generation));
	generation->facts = open->facts;
	generation->n = open->n;
	generation->begun_us = open->begun_us;
}

static void generation_step(struct op *op)
{
	struct nearest *nearest = container_of(op, struct nearest, op);
	struct nearest_generation *generation =
	        container_of(nearest, struct nearest_generation, nearest);

	if (nearest_stepped(nearest))
		return;
	if (op->state == NEAREST_OPENING) {
		nearest->hurried = false;
		generation->open = (struct generation_open){.repo = nearest->at->repo,
		                                            .cluster = nearest->at->cluster,
		                                            .system_identifier =
		                                                    generation->system_identifier};
		generation_open_start(op, &generation->open);
	} else if (!op_failed(&generation->open.op)) {
		generation_take(generation);
		if (generation->every)
			return nearest_go_on(nearest);
	}
	nearest_read(nearest, &generation->open.op);
}

static const struct op_type generation_type = {.name = "nearest-generation",
                                               .step = generation_step};

void nearest_generation_start(struct op *parent, struct nearest_generation *generation)
{
	generation->nearest.hurries = true;
	op_start(parent, &generation->nearest.op, &generation_type);
}

/* ---- a file ---- */

/* A recovery that met it is not kept waiting when it cannot be marked. */
static bool file_mark(struct nearest_file *file)
{
	struct nearest *nearest = &file->nearest;
	const struct fetch_file *fetch = &file->file;

	if (fetch->op.err.code != ERR_DAMAGED || fetch->name.kind != WALNAME_SEGMENT ||
	    nearest->op.cancelled)
		return false;
	file->mark = (struct harm_write){.repo = nearest->at->repo,
	                                 .generation = fetch->generation,
	                                 .segment_bytes = fetch->segment_bytes,
	                                 .tli = fetch->name.tli,
	                                 .segno = walname_segno(&fetch->name, fetch->segment_bytes),
	                                 .word = HARM_DAMAGED,
	                                 .why = fetch->op.err.text};
	harm_write_start(&nearest->op, &file->mark);
	op_wait(&nearest->op, NEAREST_MARKING);
	return true;
}

static void file_step(struct op *op)
{
	struct nearest *nearest = container_of(op, struct nearest, op);
	struct nearest_file *file = container_of(nearest, struct nearest_file, nearest);

	if (nearest_stepped(nearest))
		return;
	if (op->state == NEAREST_OPENING) {
		file->file.site = nearest->at;
		file->file.stall_ms = nearest->patient ? 0 : site_stall_ms(nearest->first);
		nearest->hurried = file->file.stall_ms > 0;
		fetch_file_start(op, &file->file);
	}
	if (op->state == NEAREST_READING && file_mark(file))
		return;
	nearest_read(nearest, &file->file.op);
}

static const struct op_type file_type = {.name = "nearest-file", .step = file_step};

void nearest_file_start(struct op *parent, struct nearest_file *file)
{
	file->nearest.hurries = true;
	op_start(parent, &file->nearest.op, &file_type);
}

/* ---- all that they hold ---- */

static void catalog_read(struct nearest_catalog *catalog)
{
	struct catalog_load *load = &catalog->load;
	struct op *op = &catalog->nearest.op;

	load->repo = catalog->nearest.at->repo;
	if (catalog->by_index) {
		catalog->pieces = (struct walpieces){0};
		catalog->holdings = (struct holdings_load){.repo = load->repo,
		                                           .generation = load->generation,
		                                           .segment_bytes = load->segment_bytes,
		                                           .no_backups = true,
		                                           .class = load->class,
		                                           .catalog = load->ret,
		                                           .pieces = &catalog->pieces,
		                                           .harm = catalog->harm,
		                                           .heal = catalog->harm != NULL};
		holdings_load_start(op, &catalog->holdings);
	} else {
		catalog_load_start(op, load);
	}
	op_wait(op, NEAREST_READING);
}

static void catalog_step(struct op *op)
{
	struct nearest *nearest = container_of(op, struct nearest, op);
	struct nearest_catalog *catalog = container_of(nearest, struct nearest_catalog, nearest);
	const struct op *read;

	if (err_is(&nearest->unsure) && !catalog->any) {
		op->err = nearest->unsure;
		return op_fail_own(op);
	}
	if (nearest_stepped(nearest))
		return;
	if (op->state == NEAREST_OPENING)
		return catalog_read(catalog);
	read = catalog->by_index ? &catalog->holdings.op : &catalog->load.op;
	walpieces_release(&catalog->pieces);
	if (op_failed(read)) {
		if (!catalog->any || nearest->op.cancelled) {
			op->err = read->err;
			return op_fail_own(op);
		}
		return nearest_next(nearest, &read->err);
	}
	nearest_go_on(nearest);
}

static const struct op_type catalog_type = {.name = "nearest-catalog", .step = catalog_step};

void nearest_catalog_start(struct op *parent, struct nearest_catalog *catalog)
{
	catalog->nearest.all = !catalog->any;
	op_start(parent, &catalog->nearest.op, &catalog_type);
}
