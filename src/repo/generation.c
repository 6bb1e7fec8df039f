/*
 * generation.c — finds a cluster's generation, or begins it.
 *
 *   START -> LISTING -> READING (each candidate's "system") -> done
 *               '-> CLUSTER -> SYSTEM -> READING -> done          begun
 *
 * "system" is the first object of a generation, so a folder without it was never begun: whoever
 * comes next writes it. Of the same identifier the highest n counts; without an identifier the one
 * that was begun last. One that is below at_least is passed over: the next is begun beside it.
 */
#include "internal.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "codec/json.h"
#include "pg/control.h"
#include "repo/object.h"

#include "base/poison.h"

struct generation_facts generation_facts_of(const struct control *control)
{
	return (struct generation_facts){
	        .system_identifier = control->system_identifier,
	        .major = control->major,
	        .catalog_version = control->catalog_version,
	        .segment_bytes = control->segment_bytes,
	        .block_bytes = control->block_bytes,
	        .wal_block_bytes = control->wal_block_bytes,
	        .checksums = control->checksum_version != 0,
	};
}

enum { SYSTEM_JSON_MAX = 64 * 1024 };

struct candidate {
	uint64_t system_identifier;
	uint32_t major, n;
};

struct generation_detail {
	struct generation_open *open;
	struct store_walk walk;
	struct object_read read;
	struct object_write write;
	struct candidate *candidate;
	size_t candidates, size, at;
	char prefix[NAME_BYTES], name[NAME_BYTES], generation[NAME_GENERATION_MAX];
	struct buf text;
	bool found, made; /* made: it was written, so it must be there */
	int64_t found_us;
	struct generation_facts found_facts;
};

/* ---- the object "system" ---- */

static void system_write(const struct generation_facts *facts, struct buf *out)
{
	struct jval *root = jobject_new();

	jset_u64(root, "system_identifier", facts->system_identifier);
	jset_int(root, "major", facts->major);
	jset_int(root, "catalog_version", facts->catalog_version);
	jset_int(root, "segment_bytes", facts->segment_bytes);
	jset_int(root, "block_bytes", facts->block_bytes);
	jset_int(root, "wal_block_bytes", facts->wal_block_bytes);
	jset_bool(root, "checksums", facts->checksums);
	jset_str(root, "time_zone", facts->time_zone);
	json_print(root, true, out);
	jval_free(root);
}

static bool system_take(const struct jval *root, struct generation_facts *ret, struct err *err)
{
	const char *zone = "";

	if (!jget_u64(root, "system_identifier", &ret->system_identifier, err) ||
	    !jget_u32(root, "major", &ret->major, err) ||
	    !jget_u32(root, "catalog_version", &ret->catalog_version, err) ||
	    !jget_u32(root, "segment_bytes", &ret->segment_bytes, err) ||
	    !jget_u32(root, "block_bytes", &ret->block_bytes, err) ||
	    !jget_u32(root, "wal_block_bytes", &ret->wal_block_bytes, err) ||
	    !jget_bool(root, "checksums", &ret->checksums, err))
		return false;
	if (jhas(root, "time_zone") && !jget_str(root, "time_zone", &zone, err))
		return false;
	if (!segment_bytes_valid(ret->segment_bytes))
		return err_set(err, ERR_DAMAGED, "%u is not the size of a segment",
		               ret->segment_bytes);
	if (!str_copy(ret->time_zone, sizeof(ret->time_zone), zone))
		return err_set(err, ERR_DAMAGED, "its time zone is too long");
	return true;
}

static bool system_read(const struct buf *text, struct generation_facts *ret, struct err *err)
{
	struct jval *root;
	bool ok;

	*ret = (struct generation_facts){0};
	if (!json_parse(buf_text(text), text->length, &root, err))
		return false;
	ok = system_take(root, ret, err);
	jval_free(root);
	return ok;
}

/* What of a cluster can never change while its identifier stays. */
static bool facts_agree(const struct generation_facts *given, const struct generation_facts *there,
                        struct err *err)
{
	if (given->major != there->major)
		err_set(err, ERR_REFUSED, "it is of PostgreSQL %u there, and %u here", there->major,
		        given->major);
	else if (given->segment_bytes != there->segment_bytes)
		err_set(err, ERR_REFUSED, "it has segments of %u bytes there, and of %u here",
		        there->segment_bytes, given->segment_bytes);
	else if (given->block_bytes != there->block_bytes)
		err_set(err, ERR_REFUSED, "it has pages of %u bytes there, and of %u here",
		        there->block_bytes, given->block_bytes);
	else
		return true;
	err_hint(err, "After pg_resetwal the archive must begin anew; use another name for the "
	              "cluster.");
	return false;
}

/* ---- candidates ---- */

static void candidate_add(struct generation_detail *d, const struct candidate *candidate)
{
	if (d->candidates == d->size) {
		d->size = d->size ? 2 * d->size : 8;
		d->candidate = xrealloc(d->candidate, d->size * sizeof(*d->candidate));
	}
	d->candidate[d->candidates++] = *candidate;
}

static void candidate_each(struct store_walk *walk, const struct store_entry *entry)
{
	struct generation_detail *d = container_of(walk, struct generation_detail, walk);
	uint64_t wanted = d->open->system_identifier;
	const char *folder = entry->name + strlen(d->prefix);
	char text[NAME_GENERATION_MAX];
	struct candidate found;

	if (!str_ends(folder, "/") || strlen(folder) > sizeof(text))
		return;
	snprintf(text, sizeof(text), "%.*s", (int)strlen(folder) - 1, folder);
	if (!name_generation_parse(text, &found.system_identifier, &found.major, &found.n))
		return;
	if (wanted && found.system_identifier != wanted) {
		d->open->others = true;
		return;
	}
	/* Of the same identifier only the highest n. */
	for (size_t i = 0; i < d->candidates; i++)
		if (d->candidate[i].system_identifier == found.system_identifier) {
			if (found.n > d->candidate[i].n)
				d->candidate[i] = found;
			return;
		}
	candidate_add(d, &found);
}

/* ---- the story ---- */

/* clang-format off */
#define GENERATION_STATES(X) \
	X(GENERATION_START) X(GENERATION_LISTING) X(GENERATION_READING) X(GENERATION_CLUSTER) \
	X(GENERATION_SYSTEM)
/* clang-format on */

OP_STATES(generation_state, GENERATION_STATES)

static void generation_end(struct generation_open *open, const struct err *cause)
{
	struct generation_detail *d = open->detail;

	if (cause)
		open->op.err = *cause;
	buf_release(&d->text);
	buf_release(&d->read.content);
	free(d->candidate);
	free(d);
	open->detail = NULL;
	op_done(&open->op);
}

static void generation_fail(struct generation_open *open, enum err_code code, const char *what)
{
	struct err err = {0};

	err_set(&err, code, "%s of cluster \"%s\" in repository \"%s\"", what, open->cluster,
	        store_label(open->repo->store));
	generation_end(open, &err);
}

static void generation_list(struct generation_open *open)
{
	struct generation_detail *d = open->detail;

	snprintf(d->prefix, sizeof(d->prefix), "%s/", open->cluster);
	d->walk = (struct store_walk){.store = open->repo->store,
	                              .prefix = d->prefix,
	                              .folders = true,
	                              .each = candidate_each};
	store_walk_start(&open->op, &d->walk);
	op_wait(&open->op, GENERATION_LISTING);
}

static void generation_read(struct generation_open *open, const struct candidate *candidate)
{
	struct generation_detail *d = open->detail;

	name_generation(d->generation, open->cluster, candidate->system_identifier,
	                candidate->major, candidate->n);
	name_system(d->name, d->generation);
	buf_release(&d->read.content);
	d->read = (struct object_read){.repo = open->repo,
	                               .name = d->name,
	                               .kind = SEALED_SYSTEM,
	                               .bytes_max = SYSTEM_JSON_MAX};
	object_read_start(&open->op, &d->read);
	op_wait(&open->op, GENERATION_READING);
}

static void generation_write(struct generation_open *open, enum sealed_kind kind, int state)
{
	struct generation_detail *d = open->detail;

	d->write = (struct object_write){
	        .repo = open->repo,
	        .name = d->name,
	        .kind = kind,
	        .class = GATE_WAL,
	        .bytes = d->text.data,
	        .length = d->text.length,
	};
	object_write_start(&open->op, &d->write);
	op_wait(&open->op, state);
}

static void cluster_begin(struct generation_open *open)
{
	struct generation_detail *d = open->detail;
	struct jval *root = jobject_new();

	open->begun = true;
	jset_str(root, "name", open->cluster);
	buf_clear(&d->text);
	json_print(root, true, &d->text);
	jval_free(root);
	name_cluster(d->name, open->cluster);
	generation_write(open, SEALED_CLUSTER, GENERATION_CLUSTER);
}

static uint32_t begun_n(const struct generation_open *open)
{
	const struct generation_detail *d = open->detail;

	return MAX(MAX(open->at_least, 1), d->candidates ? d->candidate[0].n : 1);
}

static void system_begin(struct generation_open *open)
{
	struct generation_detail *d = open->detail;

	name_generation(d->generation, open->cluster, open->facts.system_identifier,
	                open->facts.major, begun_n(open));
	name_system(d->name, d->generation);
	buf_clear(&d->text);
	system_write(&open->facts, &d->text);
	generation_write(open, SEALED_SYSTEM, GENERATION_SYSTEM);
}

/* All candidates were read, or there is none. */
static void generation_choose(struct generation_open *open)
{
	struct generation_detail *d = open->detail;
	struct err err = {0};

	if (!d->found) {
		if (open->make && !d->made)
			return cluster_begin(open);
		return generation_fail(open, ERR_NOTFOUND, "there is no archive");
	}
	if ((open->make || open->compare) && !facts_agree(&open->facts, &d->found_facts, &err)) {
		err_wrap(&err, "system identifier %llu of cluster \"%s\" is in repository \"%s\"",
		         (unsigned long long)open->system_identifier, open->cluster,
		         store_label(open->repo->store));
		return generation_end(open, &err);
	}
	if (open->make && open->n < open->at_least && !d->made) {
		open->begun = true;
		return system_begin(open);
	}
	open->facts = d->found_facts;
	open->begun_us = d->found_us;
	generation_end(open, NULL);
}

/* What cannot be read is the generation when there is no other. */
static bool generation_tolerates(struct generation_open *open, const struct err *err)
{
	struct generation_detail *d = open->detail;

	if (!open->tolerant || (err->code != ERR_DAMAGED && err->code != ERR_REFUSED))
		return false;
	open->damage = *err;
	if (!d->found) {
		d->found = true;
		d->found_us = 0;
		d->found_facts = (struct generation_facts){
		        .system_identifier = d->candidate[d->at].system_identifier,
		        .major = d->candidate[d->at].major};
		memcpy(open->generation, d->generation, sizeof(open->generation));
		open->n = d->candidate[d->at].n;
	}
	return true;
}

static void generation_has_read(struct generation_open *open)
{
	struct generation_detail *d = open->detail;
	struct generation_facts facts;
	struct err err = d->read.op.err;

	if (!err_is(&err) && !system_read(&d->read.content, &facts, &err))
		err_wrap(&err, "could not read object \"%s\" in repository \"%s\"", d->name,
		         store_label(open->repo->store));
	if (!err_is(&err) && facts.system_identifier != d->candidate[d->at].system_identifier)
		err_set(&err, ERR_DAMAGED,
		        "object \"%s\" in repository \"%s\" is of system identifier %llu", d->name,
		        store_label(open->repo->store),
		        (unsigned long long)facts.system_identifier);
	if (generation_tolerates(open, &err))
		err_clear(&err);
	else if (err_is(&err) && err.code != ERR_NOTFOUND)
		return generation_end(open, &err);
	else if (!err_is(&err) && (!d->found || d->read.sealed.created_us > d->found_us)) {
		d->found = true;
		d->found_us = d->read.sealed.created_us;
		d->found_facts = facts;
		memcpy(open->generation, d->generation, sizeof(open->generation));
		open->n = d->candidate[d->at].n;
	}
	if (++d->at < d->candidates)
		return generation_read(open, &d->candidate[d->at]);
	generation_choose(open);
}

/* It was begun by us. */
static void generation_take_own(struct generation_open *open)
{
	struct generation_detail *d = open->detail;

	memcpy(open->generation, d->generation, sizeof(open->generation));
	open->n = begun_n(open);
	open->begun_us = clock_now_us();
	generation_end(open, NULL);
}

/* It was begun by somebody else at the same time: what is there counts. */
static void generation_reread(struct generation_open *open)
{
	struct generation_detail *d = open->detail;
	const struct candidate made = {.system_identifier = open->facts.system_identifier,
	                               .major = open->facts.major,
	                               .n = begun_n(open)};

	d->made = true;
	open->begun = false;
	d->candidates = d->at = 0;
	candidate_add(d, &made);
	generation_read(open, &d->candidate[0]);
}

static void generation_begin(struct generation_open *open)
{
	open->begun = open->others = false;
	open->generation[0] = '\0';
	open->n = 0;
	if (!name_cluster_valid(open->cluster))
		return op_fail_as(&open->op, ERR_CONFIG, "\"%s\" is not a valid name of a cluster",
		                  open->cluster);
	open->detail = xcalloc(1, sizeof(struct generation_detail));
	((struct generation_detail *)open->detail)->open = open;
	buf_init(&((struct generation_detail *)open->detail)->text, SYSTEM_JSON_MAX);
	if (open->make)
		open->system_identifier = open->facts.system_identifier;
	generation_list(open);
}

static void generation_step(struct op *op)
{
	struct generation_open *open = container_of(op, struct generation_open, op);
	struct generation_detail *d = open->detail;

	switch ((enum generation_state)op->state) {
	case GENERATION_START:
		return generation_begin(open);

	case GENERATION_LISTING:
		if (op_failed(&d->walk.op))
			return generation_end(open, &d->walk.op.err);
		if (d->candidates == 0)
			return generation_choose(open);
		return generation_read(open, &d->candidate[0]);

	case GENERATION_READING:
		return generation_has_read(open);

	case GENERATION_CLUSTER:
		if (op_failed(&d->write.op) && d->write.op.err.code != ERR_EXISTS)
			return generation_end(open, &d->write.op.err);
		return system_begin(open);

	case GENERATION_SYSTEM:
		if (op_failed(&d->write.op) && d->write.op.err.code != ERR_EXISTS)
			return generation_end(open, &d->write.op.err);
		if (op_failed(&d->write.op) || d->write.repeated)
			return generation_reread(open);
		return generation_take_own(open);
	}
}

static const struct op_type generation_type = {
        .name = "generation open", .step = generation_step, .state_name = generation_state_name};

void generation_open_start(struct op *parent, struct generation_open *open)
{
	open->detail = NULL;
	op_start(parent, &open->op, &generation_type);
}
