/*
 * copy.c — backups and WAL from one repository of a cluster to another.
 *
 *   START -> READY_FROM -> READY_TO -> FINDING -> LOOKING -> MAKING      both opened, one cluster
 *         -> LISTING_FROM -> READING -> LISTING_TO                       WAL and backups of both
 *         -> NAMING_FROM -> NAMING_TO                                    all names of both
 *         -> COPYING -> done
 *
 * COPYING goes through the objects that the target lacks, stage by stage (copy_list.h), with as
 * many at once as memory and gates allow, WAL behind its proof (copy_proof.h). The first failure
 * ends it: what is there then is whole, and the next run goes on from there.
 */
#include "job/copy.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "cluster_generation.h"
#include "copy_list.h"
#include "copy_object.h"
#include "copy_proof.h"
#include "pg/lsn.h"

#include "base/poison.h"

enum { SLOTS = 8 };

struct copy_detail {
	struct copy_run *run;
	struct site_ready ready;
	struct generation_open from, look;
	struct cluster_generation to;
	struct catalog catalog; /* of both */
	struct catalog_load load;
	struct heads heads;
	struct heads_load reading;
	struct copy_list list;
	struct strs there;
	struct store_walk walk;
	char prefix[NAME_BYTES];
	struct slot {
		struct copy_object object;
		const struct copy_item *item; /* NULL: free */
	} slot[SLOTS];
	struct copy_proof proof;
	bool proving; /* it runs, or has run */
	size_t first_wal, next;
	enum copy_stage stage;
	unsigned busy;
};

/* clang-format off */
#define RUN_STATES(X) \
	X(START) X(READY_FROM) X(READY_TO) X(FINDING) X(LOOKING) X(MAKING) X(LISTING_FROM) \
	X(READING) X(LISTING_TO) X(NAMING_FROM) X(NAMING_TO) X(COPYING)
/* clang-format on */
enum run_state {
#define X(name) RUN_##name,
	RUN_STATES(X)
#undef X
};

static const char *run_state_name(int state)
{
	static const char *const names[] = {
#define X(name) #name,
	        RUN_STATES(X)
#undef X
	};

	return names[state];
}

static void run_end(struct copy_run *run, const struct err *cause)
{
	struct copy_detail *d = STEAL(run->detail);
	struct err err = cause ? *cause : (struct err){0};

	catalog_release(&d->catalog);
	heads_release(&d->heads);
	copy_proof_release(&d->proof);
	copy_list_release(&d->list);
	strs_release(&d->there);
	free(d);
	if (run->op.cancelled)
		return op_fail_as(&run->op, ERR_CANCELLED, "the copy was cancelled");
	if (!cause)
		return op_done(&run->op);
	op_fail(&run->op, &err, "could not copy cluster \"%s\" from repository \"%s\" to \"%s\"",
	        run->from->cluster, run->from->repository, run->to->repository);
}

/* ---- one cluster in both ---- */

static void run_find(struct op *op, struct copy_detail *d)
{
	const struct site *from = d->run->from;

	d->from = (struct generation_open){.repo = from->repo, .cluster = from->cluster};
	generation_open_start(op, &d->from);
	op_wait(op, RUN_FINDING);
}

static void run_look(struct op *op, struct copy_detail *d)
{
	const struct site *to = d->run->to;

	d->look = (struct generation_open){.repo = to->repo, .cluster = to->cluster};
	generation_open_start(op, &d->look);
	op_wait(op, RUN_LOOKING);
}

/* The target may have nothing of the cluster yet; what it has must be of the same. */
static bool run_is_same(struct copy_detail *d, struct err *err)
{
	const struct err *why = &d->look.op.err;

	if (op_failed(&d->look.op)) {
		*err = *why;
		return why->code == ERR_NOTFOUND;
	}
	if (d->look.facts.system_identifier == d->from.facts.system_identifier) {
		if (d->look.n <= d->from.n)
			return true;
		err_set(err, ERR_REFUSED,
		        "cluster \"%s\" is archived as \"%s\" in repository \"%s\", and "
		        "repository \"%s\" has only what was archived before that was begun, as "
		        "\"%s\"",
		        d->run->from->cluster, d->look.generation, d->run->to->repository,
		        d->run->from->repository, d->from.generation);
		err_hint(err, "What lies in an older generation is brought over with the tool of "
		              "the store: doc/architecture.md, \"Several repositories\".");
		return false;
	}
	err_set(err, ERR_REFUSED,
	        "cluster \"%s\" has system identifier %" PRIu64
	        " in repository \"%s\", and %" PRIu64 " in \"%s\": they are two clusters",
	        d->run->from->cluster, d->from.facts.system_identifier, d->run->from->repository,
	        d->look.facts.system_identifier, d->run->to->repository);
	err_hint(err, "A repository holds one cluster under a name.");
	return false;
}

static void run_make(struct op *op, struct copy_detail *d)
{
	err_clear(&op->err);
	site_saw(d->run->from, d->from.facts.system_identifier, d->from.n);
	d->to = (struct cluster_generation){
	        .site = d->run->to, .facts = d->from.facts, .only = d->run->from};
	cluster_generation_start(op, &d->to);
	op_wait(op, RUN_MAKING);
}

/* ---- what there is to do ---- */

static void run_list(struct op *op, struct copy_detail *d, bool from)
{
	d->load = (struct catalog_load){.repo = from ? d->run->from->repo : d->run->to->repo,
	                                .generation = from ? d->from.generation : d->to.generation,
	                                .segment_bytes = d->from.facts.segment_bytes,
	                                .what = CATALOG_HISTORIES | CATALOG_WAL |
	                                        (from ? CATALOG_BACKUPS : 0),
	                                .class = GATE_BACKUP,
	                                .ret = &d->catalog};
	catalog_load_start(op, &d->load);
	op_wait(op, from ? RUN_LISTING_FROM : RUN_LISTING_TO);
}

static void run_read(struct op *op, struct copy_detail *d)
{
	d->reading = (struct heads_load){.repo = d->run->from->repo,
	                                 .generation = d->from.generation,
	                                 .catalog = &d->catalog,
	                                 .ret = &d->heads};
	heads_load_start(op, &d->reading);
	op_wait(op, RUN_READING);
}

static bool wanted(const struct copy_run *run, const char *id)
{
	for (unsigned i = 0; i < run->backups; i++)
		if (strcmp(run->backup[i], id) == 0)
			return true;
	return run->backups == 0;
}

/* A backup goes there only with all of its WAL: together they must have it. */
static bool backup_take(struct copy_detail *d, const struct manifest_head *head, struct err *err)
{
	uint64_t first = lsn_segno(head->start_lsn, head->segment_bytes);
	uint64_t last = lsn_segno_before(head->stop_lsn, head->segment_bytes);
	char segment[SEGMENT_NAME_BYTES];

	for (uint64_t n = first; n <= last; n++) {
		if (catalog_has(&d->catalog, head->start_tli, n))
			continue;
		segment_name(head->start_tli, n, head->segment_bytes, segment);
		err_set(err, ERR_REFUSED,
		        "WAL segment \"%s\" of backup %s is in neither of the repositories",
		        segment, head->id);
		err_hint(err, "Name the other backups, to copy those.");
		return false;
	}
	strs_add(&d->list.ids, head->id);
	for (size_t i = 0; i < head->sources; i++)
		if (!strs_has(&d->list.packs, head->source[i]))
			strs_add(&d->list.packs, head->source[i]);
	if (d->run->backups > 0)
		d->list.first_segno = MIN(d->list.first_segno, first);
	return true;
}

static bool backups_take(struct copy_detail *d, struct err *err)
{
	const struct copy_run *run = d->run;

	for (unsigned i = 0; i < run->backups; i++)
		if (!heads_find(&d->heads, run->backup[i])) {
			err_set(err, ERR_NOTFOUND, "there is no backup \"%s\" in repository \"%s\"",
			        run->backup[i], run->from->repository);
			err_hint(err, "\"seawall list\" names them.");
			return false;
		}
	d->list.segment_bytes = d->from.facts.segment_bytes;
	d->list.first_segno = run->backups > 0 ? UINT64_MAX : 0;
	for (size_t i = 0; i < d->heads.count; i++)
		if (wanted(run, d->heads.head[i].id) && !backup_take(d, &d->heads.head[i], err))
			return false;
	for (size_t i = 0; i < d->heads.unreadables; i++)
		log_err(LOG_WARNING, &d->heads.unreadable[i].err, ", this backup is not copied");
	return true;
}

static void from_each(struct store_walk *walk, const struct store_entry *entry)
{
	struct copy_detail *d = container_of(walk, struct copy_detail, walk);

	copy_list_add(&d->list, entry->name + strlen(d->prefix), entry->bytes);
}

static void to_each(struct store_walk *walk, const struct store_entry *entry)
{
	struct copy_detail *d = container_of(walk, struct copy_detail, walk);

	strs_add(&d->there, entry->name + strlen(d->prefix));
}

static void run_name(struct op *op, struct copy_detail *d, bool from)
{
	snprintf(d->prefix, sizeof(d->prefix), "%s/", from ? d->from.generation : d->to.generation);
	d->walk = (struct store_walk){.store = from ? d->run->from->repo->store
	                                            : d->run->to->repo->store,
	                              .prefix = d->prefix,
	                              .each = from ? from_each : to_each};
	store_walk_start(op, &d->walk);
	op_wait(op, from ? RUN_NAMING_FROM : RUN_NAMING_TO);
}

static void run_count(struct copy_detail *d)
{
	struct copy_figures *figures = &d->run->figures;

	strs_sort(&d->there);
	figures->there = copy_list_settle(&d->list, &d->there);
	figures->objects = d->list.count;
	for (size_t i = 0; i < d->list.count; i++) {
		figures->bytes += d->list.item[i].bytes;
		figures->segments += d->list.item[i].stage == COPY_WAL;
		figures->backups += d->list.item[i].stage == COPY_MANIFEST;
	}
}

/* ---- copying ---- */

static void slot_begin(struct copy_detail *d, struct slot *slot)
{
	static const char *const phases[] = {[COPY_FIRST] = "copying timelines",
	                                     [COPY_WAL] = "copying WAL",
	                                     [COPY_DATA] = "copying backups",
	                                     [COPY_MANIFEST] = "completing backups"};
	struct copy_object *object = &slot->object;

	slot->item = &d->list.item[d->next++];
	d->stage = slot->item->stage;
	d->run->figures.phase = phases[d->stage];
	*object = (struct copy_object){.from = d->run->from, .to = d->run->to};
	snprintf(object->name, sizeof(object->name), "%s/%s", d->from.generation, slot->item->name);
	snprintf(object->target, sizeof(object->target), "%s/%s", d->to.generation,
	         slot->item->name);
	d->busy++;
	copy_object_start(&d->run->op, object);
}

/* A piece of the index can be made anew from the WAL, and may have been. */
static bool is_forgiven(const struct slot *slot)
{
	return slot->object.op.err.code == ERR_EXISTS &&
	       strncmp(slot->item->name, "index/", strlen("index/")) == 0;
}

static void slots_take(struct copy_detail *d)
{
	struct copy_figures *figures = &d->run->figures;

	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *slot = &d->slot[i];

		if (!slot->item || !slot->object.op.done)
			continue;
		if (op_failed(&slot->object.op) && !is_forgiven(slot)) {
			if (!err_is(&d->run->op.err))
				d->run->op.err = slot->object.op.err;
		} else {
			figures->objects_done++;
			figures->bytes_done += slot->item->bytes;
		}
		slot->item = NULL;
		d->busy--;
	}
}

/* WAL is proven ahead of its copying; whatever comes first in the list, at once. */
static void proof_begin(struct copy_detail *d)
{
	size_t first = 0, end;

	while (first < d->list.count && d->list.item[first].stage < COPY_WAL)
		first++;
	for (end = first; end < d->list.count && d->list.item[end].stage == COPY_WAL; end++)
		continue;
	d->first_wal = first;
	d->proof = (struct copy_proof){.from = d->run->from,
	                               .to = d->run->to,
	                               .from_generation = d->from.generation,
	                               .to_generation = d->to.generation,
	                               .facts = &d->from.facts,
	                               .item = &d->list.item[first],
	                               .items = end - first};
	d->proving = true;
	d->busy++;
	copy_proof_start(&d->run->op, &d->proof);
}

/* When it has failed, what was proven before is copied still. */
static void proof_take(struct copy_detail *d)
{
	if (!d->proving || !d->proof.op.done)
		return;
	d->proving = false;
	d->busy--;
}

static bool may_begin(const struct copy_detail *d)
{
	enum copy_stage stage = d->list.item[d->next].stage;

	if (d->busy > d->proving && stage != d->stage)
		return false;
	return stage != COPY_WAL || d->next - d->first_wal < d->proof.proven;
}

static void run_copy(struct op *op, struct copy_detail *d)
{
	slots_take(d);
	proof_take(d);
	if (op->cancelled || err_is(&op->err)) {
		struct err err = op->err;

		for (unsigned i = 0; i < SLOTS; i++)
			if (d->slot[i].item && !d->slot[i].object.op.cancelled)
				op_cancel(&d->slot[i].object.op);
		if (d->proving && !d->proof.op.cancelled)
			op_cancel(&d->proof.op);
		if (d->busy > 0)
			return op_wait(op, RUN_COPYING);
		return run_end(d->run, &err);
	}
	for (unsigned i = 0; i < SLOTS && d->next < d->list.count && may_begin(d); i++)
		if (!d->slot[i].item)
			slot_begin(d, &d->slot[i]);
	if (d->busy > 0)
		return op_wait(op, RUN_COPYING);
	run_end(d->run, op_failed(&d->proof.op) ? &d->proof.op.err : NULL);
}

static void run_named(struct op *op, struct copy_detail *d)
{
	run_count(d);
	if (d->run->dry_run)
		return run_end(d->run, NULL);
	proof_begin(d);
	run_copy(op, d);
}

/* ---- the story ---- */

static const struct op *run_child(const struct copy_detail *d, enum run_state state)
{
	switch (state) {
	case RUN_START:
	case RUN_COPYING:
	case RUN_LOOKING:
		return NULL;
	case RUN_READY_FROM:
	case RUN_READY_TO:
		return &d->ready.op;
	case RUN_FINDING:
		return &d->from.op;
	case RUN_MAKING:
		return &d->to.op;
	case RUN_LISTING_FROM:
	case RUN_LISTING_TO:
		return &d->load.op;
	case RUN_READING:
		return &d->reading.op;
	case RUN_NAMING_FROM:
	case RUN_NAMING_TO:
		return &d->walk.op;
	}
	return NULL;
}

static void run_go_on(struct op *op, struct copy_detail *d)
{
	switch ((enum run_state)op->state) {
	case RUN_START:
		d->run->figures.phase = "listing";
		site_ready_start(op, &d->ready, d->run->from);
		return op_wait(op, RUN_READY_FROM);
	case RUN_READY_FROM:
		site_ready_start(op, &d->ready, d->run->to);
		return op_wait(op, RUN_READY_TO);
	case RUN_READY_TO:
		return run_find(op, d);
	case RUN_FINDING:
		return run_look(op, d);
	case RUN_LOOKING:
		return run_is_same(d, &op->err) ? run_make(op, d) : run_end(d->run, &op->err);
	case RUN_MAKING:
		return run_list(op, d, true);
	case RUN_LISTING_FROM:
		return run_read(op, d);
	case RUN_READING:
		return run_list(op, d, false);
	case RUN_LISTING_TO:
		return backups_take(d, &op->err) ? run_name(op, d, true)
		                                 : run_end(d->run, &op->err);
	case RUN_NAMING_FROM:
		return run_name(op, d, false);
	case RUN_NAMING_TO:
		return run_named(op, d);
	case RUN_COPYING:
		return run_copy(op, d);
	}
}

static void run_step(struct op *op)
{
	struct copy_run *run = container_of(op, struct copy_run, op);
	const struct op *child = run_child(run->detail, op->state);

	if (child && op_failed(child))
		return run_end(run, &child->err);
	if (op->cancelled && op->state != RUN_COPYING)
		return run_end(run, &op->err);
	run_go_on(op, run->detail);
}

static const struct op_type run_type = {
        .name = "copy-run", .step = run_step, .state_name = run_state_name};

void copy_run_start(struct op *parent, struct copy_run *run)
{
	run->figures = (struct copy_figures){0};
	run->detail = xcalloc(1, sizeof(*run->detail));
	run->detail->run = run;
	op_start(parent, &run->op, &run_type);
}
