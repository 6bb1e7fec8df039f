/*
 * heads.c — reading the heads of backups.
 *
 *   heads_load:  START -> READING -> (the next id) … -> sorted
 *   head_read:   START -> READING
 */
#include "repo/heads.h"

#include "base/poison.h"

enum { HEAD_START, HEAD_READING };

static void head_read_step(struct op *op)
{
	struct head_read *read = container_of(op, struct head_read, op);
	struct object_read *object = &read->read;

	if (op->state == HEAD_START) {
		name_backup(read->name, read->generation, read->id);
		*object = (struct object_read){.repo = read->repo,
		                               .name = read->name,
		                               .kind = SEALED_MANIFEST,
		                               .bytes_max = MANIFEST_HEAD_BYTES_MAX,
		                               .own_frames = true};
		object_read_start(op, object);
		return op_wait(op, HEAD_READING);
	}
	if (op_failed(&object->op)) {
		buf_release(&object->content);
		return op_fail(op, &object->op.err, "could not read backup \"%s\"", read->id);
	}
	read->stored_bytes = object->sealed.stored_bytes;
	if (!manifest_head_parse(object->content.data, object->content.length, &read->head,
	                         &op->err)) {
		buf_release(&object->content);
		err_wrap(&op->err, "could not read backup \"%s\"", read->id);
		return op_fail_own(op);
	}
	buf_release(&object->content);
	if (strcmp(read->head.id, read->id) != 0) {
		manifest_head_release(&read->head);
		return op_fail_as(op, ERR_DAMAGED, "backup \"%s\" says that it is another one",
		                  read->id);
	}
	op_done(op);
}

static const struct op_type head_read_type = {.name = "read backup", .step = head_read_step};

void head_read_start(struct op *parent, struct head_read *read)
{
	op_start(parent, &read->op, &head_read_type);
}

static void take_head(struct heads *heads, const struct manifest_head *head)
{
	heads->head = xrealloc(heads->head, (heads->count + 1) * sizeof(*heads->head));
	heads->head[heads->count++] = *head;
}

static void take_unreadable(struct heads *heads, const char *id, const struct err *err)
{
	struct heads_unreadable *last;

	heads->unreadable =
	        xrealloc(heads->unreadable, (heads->unreadables + 1) * sizeof(*heads->unreadable));
	last = &heads->unreadable[heads->unreadables++];
	memcpy(last->id, id, sizeof(last->id));
	last->err = *err;
}

static void heads_load_step(struct op *op)
{
	struct heads_load *load = container_of(op, struct heads_load, op);
	const struct catalog *catalog = load->catalog;

	if (op->state == HEAD_READING) {
		const struct err *why = &load->read.op.err;

		if (!op_failed(&load->read.op))
			take_head(load->ret, &load->read.head);
		else if (why->code == ERR_DAMAGED || why->code == ERR_REFUSED)
			take_unreadable(load->ret, catalog->backup[load->next], why);
		else if (why->code != ERR_NOTFOUND) /* else removed since the listing */
			return op_fail(op, why, "could not read the list of backups");
		load->next++;
	}
	if (load->next < catalog->backups) {
		load->read = (struct head_read){.repo = load->repo,
		                                .generation = load->generation,
		                                .id = catalog->backup[load->next]};
		head_read_start(op, &load->read);
		return op_wait(op, HEAD_READING);
	}
	if (load->ret->count)
		qsort(load->ret->head, load->ret->count, sizeof(*load->ret->head),
		      manifest_head_order);
	op_done(op);
}

static const struct op_type heads_load_type = {.name = "read backups", .step = heads_load_step};

void heads_load_start(struct op *parent, struct heads_load *load)
{
	load->next = 0;
	op_start(parent, &load->op, &heads_load_type);
}

void heads_release(struct heads *heads)
{
	for (size_t i = 0; i < heads->count; i++)
		manifest_head_release(&heads->head[i]);
	free(heads->head);
	free(heads->unreadable);
	*heads = (struct heads){0};
}

const struct manifest_head *heads_find(const struct heads *heads, const char *id)
{
	for (size_t i = 0; i < heads->count; i++)
		if (strcmp(heads->head[i].id, id) == 0)
			return &heads->head[i];
	return NULL;
}
