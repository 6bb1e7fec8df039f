/*
 * lost.c — see lost.h. The name of a marker says all; its content is for people.
 *
 *   load:  START -> WALKING -> done
 *   write: START -> WRITING (one after the other) -> done
 */
#include "repo/lost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

/* ---- pure ---- */

void lost_release(struct lost *lost)
{
	free(lost->range);
	*lost = (struct lost){0};
}

static bool is_below(const struct lost_range *a, const struct lost_range *b)
{
	return a->tli < b->tli ||
	       (a->tli == b->tli && a->last < b->first && a->last + 1 < b->first);
}

void lost_add(struct lost *lost, const struct lost_range *range)
{
	struct lost_range joined = *range;
	size_t at = 0, end;

	while (at < lost->count && is_below(&lost->range[at], range))
		at++;
	for (end = at; end < lost->count && !is_below(range, &lost->range[end]); end++) {
		joined.first = MIN(joined.first, lost->range[end].first);
		joined.last = MAX(joined.last, lost->range[end].last);
	}
	if (end == at && lost->count == lost->size) {
		lost->size = lost->size ? 2 * lost->size : 8;
		lost->range = xrealloc(lost->range, lost->size * sizeof(*lost->range));
	}
	memmove(&lost->range[at + 1], &lost->range[end],
	        (lost->count - end) * sizeof(*lost->range));
	lost->range[at] = joined;
	lost->count = lost->count - (end - at) + 1;
}

/* The last one up to which all from segno on are marked; false: segno is not. */
static bool is_known(const struct lost *known, uint32_t tli, uint64_t segno, uint64_t *ret_last)
{
	for (size_t i = 0; i < known->count; i++) {
		const struct lost_range *range = &known->range[i];

		if (range->tli != tli || segno < range->first || segno > range->last)
			continue;
		*ret_last = range->last;
		return true;
	}
	return false;
}

void lost_less(const struct lost *lost, const struct lost *known, struct lost *ret)
{
	for (size_t i = 0; i < lost->count; i++) {
		const struct lost_range *range = &lost->range[i];
		uint64_t segno = range->first, to;

		while (segno <= range->last) {
			if (is_known(known, range->tli, segno, &to)) {
				segno = to + 1;
				continue;
			}
			lost_add(ret, &(struct lost_range){range->tli, segno, segno});
			segno++;
		}
	}
}

static void find_in(const struct name_index *piece, const struct catalog *catalog,
                    const struct lost *known, struct lost *ret)
{
	uint64_t segno = piece->first, to;

	while (segno <= piece->last) {
		if (catalog_contiguous(catalog, piece->tli, segno, &to) ||
		    is_known(known, piece->tli, segno, &to)) {
			segno = to + 1;
			continue;
		}
		lost_add(ret, &(struct lost_range){piece->tli, segno, segno});
		segno++;
	}
}

void lost_find(const struct walpieces *pieces, const struct catalog *catalog,
               const struct lost *known, struct lost *ret)
{
	for (size_t i = 0; i < pieces->timelines; i++)
		for (size_t n = 0; n < pieces->timeline[i].count; n++)
			find_in(&pieces->timeline[i].piece[n], catalog, known, ret);
}

/* ---- load ---- */

static void each_marker(struct store_walk *walk, const struct store_entry *entry)
{
	struct lost_load *load = container_of(walk, struct lost_load, walk);
	struct name_index name;
	struct name_harm harm;

	if (name_lost_parse(entry->name, load->generation, load->segment_bytes, &name))
		lost_add(load->ret, &(struct lost_range){name.tli, name.first, name.last});
	else if (load->harm &&
	         name_harm_parse(entry->name, load->generation, load->segment_bytes, &harm))
		harm_take(load->harm, load->repo, &harm);
}

static void load_step(struct op *op)
{
	struct lost_load *load = container_of(op, struct lost_load, op);

	if (op->state == 0) {
		name_lost_folder(load->prefix, load->generation);
		load->walk = (struct store_walk){
		        .store = load->repo->store, .prefix = load->prefix, .each = each_marker};
		store_walk_start(op, &load->walk);
		return op_wait(op, 1);
	}
	if (!op_failed(&load->walk.op))
		return op_done(op);
	op->err = load->walk.op.err;
	op_fail_own(op);
}

static const struct op_type load_type = {.name = "lost load", .step = load_step};

void lost_load_start(struct op *parent, struct lost_load *load)
{
	op_start(parent, &load->op, &load_type);
}

/* ---- write ---- */

static void write_next(struct lost_write *write)
{
	const struct lost_range *range = &write->lost->range[write->at];

	name_lost(
	        write->name, write->generation,
	        &(struct name_index){.tli = range->tli, .first = range->first, .last = range->last},
	        write->segment_bytes);
	snprintf(write->text, sizeof(write->text),
	         "{\"version\": 1, \"kind\": \"lost\", \"segments\": \"%llu\"}\n",
	         (unsigned long long)(range->last - range->first + 1));
	write->write = (struct object_write){.repo = write->repo,
	                                     .name = write->name,
	                                     .kind = SEALED_NOTE,
	                                     .class = GATE_VERIFY,
	                                     .bytes = write->text,
	                                     .length = strlen(write->text)};
	object_write_start(&write->op, &write->write);
	op_wait(&write->op, 1);
}

static void write_step(struct op *op)
{
	struct lost_write *write = container_of(op, struct lost_write, op);

	if (op->state == 1 && op_failed(&write->write.op)) {
		op->err = write->write.op.err;
		return op_fail_own(op);
	}
	write->at += op->state == 1;
	if (write->at == write->lost->count)
		return op_done(op);
	write_next(write);
}

static const struct op_type write_type = {.name = "lost write", .step = write_step};

void lost_write_start(struct op *parent, struct lost_write *write)
{
	write->at = 0;
	op_start(parent, &write->op, &write_type);
}
