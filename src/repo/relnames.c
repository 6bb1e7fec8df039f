/*
 * relnames.c — names for numbers, as values and as bytes (doc/format.md, "Names for numbers").
 */
#include "repo/relnames.h"

#include <string.h>

#include "base/bytes.h"

#include "base/poison.h"

enum {
	FRONT_BYTES = 24,
	DATABASES_MAX = 65536,
	SCHEMAS_MAX = 65536,
	RELATION_BYTES_MIN = 14,
};

void relnames_release(struct relnames *names)
{
	for (size_t d = 0; d < names->databases; d++) {
		struct relnames_database *database = &names->database[d];

		for (size_t i = 0; i < database->schemas; i++)
			free(database->schema[i]);
		for (size_t i = 0; i < database->relations; i++)
			free(database->relation[i].name);
		free(database->schema);
		free(database->relation);
		free(database->name);
	}
	free(names->database);
	*names = (struct relnames){0};
}

/* ---- taking ---- */

struct relnames_database *relnames_add_database(struct relnames *names, uint32_t oid,
                                                const char *name)
{
	names->database =
	        xrealloc(names->database, (names->databases + 1) * sizeof(*names->database));
	names->database[names->databases] =
	        (struct relnames_database){.oid = oid, .name = xstrndup(name, RELNAMES_NAME_MAX)};
	return &names->database[names->databases++];
}

/* Rows come schema by schema more often than not: the last one first. */
static uint32_t schema_of(struct relnames_database *database, const char *name)
{
	for (size_t i = database->schemas; i-- > 0;)
		if (strcmp(database->schema[i], name) == 0)
			return (uint32_t)i;
	database->schema =
	        xrealloc(database->schema, (database->schemas + 1) * sizeof(*database->schema));
	database->schema[database->schemas] = xstrndup(name, RELNAMES_NAME_MAX);
	return (uint32_t)database->schemas++;
}

bool relnames_add(struct relnames_database *database, const struct relname_row *row)
{
	size_t count = database->relations;

	if (count >= RELNAMES_MAX || database->schemas >= SCHEMAS_MAX)
		return false;
	if ((count & (count - 1)) == 0) /* it grows by doubling */
		database->relation = xrealloc(
		        database->relation, (count ? 2 * count : 1) * sizeof(*database->relation));
	database->relation[database->relations++] =
	        (struct relname){.number = row->number,
	                         .oid = row->oid,
	                         .kind = row->kind,
	                         .schema = schema_of(database, row->schema),
	                         .name = xstrndup(row->name, RELNAMES_NAME_MAX)};
	return true;
}

static int by_number(const void *a, const void *b)
{
	const struct relname *left = a, *right = b;

	return left->number < right->number ? -1 : left->number > right->number;
}

static int by_oid(const void *a, const void *b)
{
	const struct relnames_database *left = a, *right = b;

	return left->oid < right->oid ? -1 : left->oid > right->oid;
}

void relnames_settle(struct relnames *names)
{
	qsort(names->database, names->databases, sizeof(*names->database), by_oid);
	for (size_t d = 0; d < names->databases; d++) {
		struct relnames_database *database = &names->database[d];
		size_t count = 0;

		if (database->relations == 0)
			continue;
		qsort(database->relation, database->relations, sizeof(*database->relation),
		      by_number);
		for (size_t i = 0; i < database->relations; i++) {
			if (count > 0 &&
			    database->relation[count - 1].number == database->relation[i].number)
				free(database->relation[i].name);
			else
				database->relation[count++] = database->relation[i];
		}
		database->relations = count;
	}
}

bool relnames_find(const struct relnames *names, uint32_t database, uint32_t number,
                   struct relname_found *ret)
{
	struct relnames_database wanted = {.oid = database};
	struct relname key = {.number = number};
	const struct relnames_database *found;
	const struct relname *relation;

	*ret = (struct relname_found){0};
	if (names->databases == 0)
		return false;
	found = bsearch(&wanted, names->database, names->databases, sizeof(wanted), by_oid);
	if (!found)
		return false;
	ret->database = found->name;
	if (found->relations == 0)
		return false;
	relation = bsearch(&key, found->relation, found->relations, sizeof(key), by_number);
	if (!relation)
		return false;
	ret->schema = found->schema[relation->schema];
	ret->name = relation->name;
	ret->oid = relation->oid;
	ret->kind = relation->kind;
	return true;
}

/* ---- bytes ---- */

static void add_u32(struct buf *out, uint32_t value)
{
	uint8_t bytes[4];

	put_u32(bytes, value);
	buf_add(out, bytes, sizeof(bytes));
}

static void add_text(struct buf *out, const char *text)
{
	uint8_t bytes[2];
	size_t length = strlen(text);

	put_u16(bytes, (uint16_t)length);
	buf_add(out, bytes, sizeof(bytes));
	buf_add(out, text, length);
}

static void add_body(struct buf *out, const struct relnames *names)
{
	add_u32(out, (uint32_t)names->databases);
	for (size_t d = 0; d < names->databases; d++) {
		const struct relnames_database *database = &names->database[d];

		add_u32(out, database->oid);
		add_text(out, database->name);
		add_u32(out, (uint32_t)database->schemas);
		for (size_t i = 0; i < database->schemas; i++)
			add_text(out, database->schema[i]);
		add_u32(out, (uint32_t)database->relations);
		for (size_t i = 0; i < database->relations; i++) {
			const struct relname *relation = &database->relation[i];

			add_u32(out, relation->number);
			add_u32(out, relation->oid);
			buf_addc(out, relation->kind);
			add_u32(out, relation->schema);
			add_text(out, relation->name);
		}
	}
}

bool relnames_encode(const struct relnames *names, struct buf *out)
{
	uint8_t front[FRONT_BYTES] = {0};

	put_u16(front, RELNAMES_VERSION);
	put_u64(front + 8, names->position);
	put_u64(front + 16, (uint64_t)names->time_us);
	buf_add(out, front, sizeof(front));
	add_body(out, names);
	return !out->overflow;
}

static char *take_text(struct cursor *c)
{
	size_t length = cursor_u16(c);
	const char *text = cursor_take(c, length);

	if (!text || length > RELNAMES_NAME_MAX || memchr(text, '\0', length)) {
		c->bad = true;
		return xstrdup("");
	}
	return xstrndup(text, length);
}

/* Each of them has at least `least` bytes. */
static size_t take_count(struct cursor *c, size_t least, size_t most)
{
	size_t count = cursor_u32(c);

	if (count > most || count > c->left / least)
		c->bad = true;
	return c->bad ? 0 : count;
}

static void take_relations(struct cursor *c, struct relnames_database *database)
{
	size_t count = take_count(c, RELATION_BYTES_MIN + 1, RELNAMES_MAX);

	database->relation = count ? xcalloc(count, sizeof(*database->relation)) : NULL;
	while (database->relations < count && !c->bad) {
		struct relname *relation = &database->relation[database->relations++];

		relation->number = cursor_u32(c);
		relation->oid = cursor_u32(c);
		relation->kind = (char)cursor_u8(c);
		relation->schema = cursor_u32(c);
		relation->name = take_text(c);
		if (relation->schema >= database->schemas ||
		    (database->relations > 1 && relation[-1].number >= relation->number))
			c->bad = true;
	}
}

static void take_database(struct cursor *c, struct relnames_database *database)
{
	size_t count;

	database->oid = cursor_u32(c);
	database->name = take_text(c);
	count = take_count(c, 2, SCHEMAS_MAX);
	database->schema = count ? xcalloc(count, sizeof(*database->schema)) : NULL;
	while (database->schemas < count && !c->bad)
		database->schema[database->schemas++] = take_text(c);
	take_relations(c, database);
}

bool relnames_decode(const void *bytes, size_t length, struct relnames *ret, struct err *err)
{
	struct cursor c = cursor_of(bytes, length);
	const uint8_t *front = cursor_take(&c, FRONT_BYTES);
	size_t count;

	*ret = (struct relnames){0};
	if (!front)
		return err_set(err, ERR_DAMAGED, "it is cut short");
	if (get_u16(front) != RELNAMES_VERSION)
		return err_set(err, ERR_REFUSED,
		               "it has version %u of the names, this Seawall reads up to %d",
		               get_u16(front), RELNAMES_VERSION);
	ret->position = get_u64(front + 8);
	ret->time_us = (int64_t)get_u64(front + 16);
	count = take_count(&c, 14, DATABASES_MAX);
	ret->database = count ? xcalloc(count, sizeof(*ret->database)) : NULL;
	while (ret->databases < count && !c.bad) {
		take_database(&c, &ret->database[ret->databases++]);
		if (ret->databases > 1 &&
		    ret->database[ret->databases - 2].oid >= ret->database[ret->databases - 1].oid)
			c.bad = true;
	}
	if (!c.bad && c.left == 0 && get_u32(front + 2) == 0 && get_u16(front + 6) == 0)
		return true;
	relnames_release(ret);
	return err_set(err, ERR_DAMAGED, "it is not valid at byte %zu of %zu", length - c.left,
	               length);
}

bool relnames_same(const struct relnames *a, const struct relnames *b)
{
	AUTO_BUF struct buf left = {0}, right = {0};

	buf_init(&left, RELNAMES_BYTES_MAX);
	buf_init(&right, RELNAMES_BYTES_MAX);
	add_body(&left, a);
	add_body(&right, b);
	return left.length == right.length &&
	       memcmp(buf_text(&left), buf_text(&right), left.length) == 0;
}

/* ---- objects ---- */

static void each_names(struct store_walk *walk, const struct store_entry *entry)
{
	struct relnames_list *list = container_of(walk, struct relnames_list, walk);
	lsn position;

	if (!name_relnames_parse(entry->name, list->generation, &position))
		return;
	list->position = xrealloc(list->position, (list->positions + 1) * sizeof(*list->position));
	list->position[list->positions++] = position;
}

static void list_step(struct op *op)
{
	struct relnames_list *list = container_of(op, struct relnames_list, op);

	if (op->state == 0) {
		list->position = NULL;
		list->positions = 0;
		name_relnames_folder(list->prefix, list->generation);
		list->walk = (struct store_walk){
		        .store = list->repo->store, .prefix = list->prefix, .each = each_names};
		store_walk_start(op, &list->walk);
		return op_wait(op, 1);
	}
	if (!op_failed(&list->walk.op))
		return op_done(op);
	free(list->position);
	list->position = NULL;
	list->positions = 0;
	op->err = list->walk.op.err;
	op_fail_own(op);
}

static const struct op_type list_type = {.name = "names list", .step = list_step};

void relnames_list_start(struct op *parent, struct relnames_list *list)
{
	op_start(parent, &list->op, &list_type);
}

static void read_step(struct op *op)
{
	struct relnames_read *read = container_of(op, struct relnames_read, op);
	bool good;

	if (op->state == 0) {
		name_relnames(read->name, read->generation, read->position);
		read->read = (struct object_read){.repo = read->repo,
		                                  .name = read->name,
		                                  .kind = SEALED_NAMES,
		                                  .bytes_max = RELNAMES_BYTES_MAX};
		object_read_start(op, &read->read);
		return op_wait(op, 1);
	}
	good = !op_failed(&read->read.op);
	if (!good)
		op->err = read->read.op.err;
	else if (!(good = relnames_decode(read->read.content.data, read->read.content.length,
	                                  &read->names, &op->err)))
		err_wrap(&op->err, "object \"%s\" in repository \"%s\" is not valid", read->name,
		         store_label(read->repo->store));
	buf_release(&read->read.content);
	if (!good)
		return op_fail_own(op);
	op_done(op);
}

static const struct op_type read_type = {.name = "names read", .step = read_step};

void relnames_read_start(struct op *parent, struct relnames_read *read)
{
	op_start(parent, &read->op, &read_type);
}

static void write_step(struct op *op)
{
	struct relnames_write *write = container_of(op, struct relnames_write, op);

	if (op->state == 0) {
		buf_init(&write->bytes, RELNAMES_BYTES_MAX);
		if (!relnames_encode(write->names, &write->bytes)) {
			buf_release(&write->bytes);
			return op_fail_as(op, ERR_REFUSED, "there are too many relations");
		}
		name_relnames(write->name, write->generation, write->names->position);
		write->write =
		        (struct object_write){.repo = write->repo,
		                              .name = write->name,
		                              .kind = SEALED_NAMES,
		                              .compression = {.kind = SEALED_ZSTD, .level = 3},
		                              .class = GATE_VERIFY,
		                              .bytes = write->bytes.data,
		                              .length = write->bytes.length};
		object_write_start(op, &write->write);
		return op_wait(op, 1);
	}
	buf_release(&write->bytes);
	if (!op_failed(&write->write.op) || write->write.op.err.code == ERR_EXISTS)
		return op_done(op); /* taken at this position a moment ago */
	op->err = write->write.op.err;
	op_fail_own(op);
}

static const struct op_type write_type = {.name = "names write", .step = write_step};

void relnames_write_start(struct op *parent, struct relnames_write *write)
{
	op_start(parent, &write->op, &write_type);
}
