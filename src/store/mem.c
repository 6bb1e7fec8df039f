/*
 * mem.c — objects in memory: the driver that can fail by plan.
 *
 * A place is a sorted array of objects, found by its name in a list that outlives all stores, so
 * that what one story left behind the next one finds. An attempt looks at the plan when it starts:
 *
 *   START -> (DELAYED ->) done
 */
#include "store/mem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/search.h"
#include "base/str.h"

#include "base/poison.h"

struct mem_object {
	char *name;
	uint8_t *bytes;
	uint64_t length;
	int64_t modified_us;
	unsigned version;
	bool unlisted, ghost; /* only listings lack it; only listings have it */
};

struct mem_planned {
	struct mem_fault fault;
	char *part;
	unsigned seen;
	struct mem_planned *next;
};

struct mem_place {
	char *name;
	struct mem_object *object; /* ascending by name */
	size_t count, size;
	struct mem_planned *plan;
	struct mem_lies lies;
	unsigned versions; /* given so far */
	bool pins;
	unsigned calls[STORE_VERBS];
	unsigned users;
	struct mem_place *next;
};

struct mem_store {
	struct store store;
	struct mem_place *place;
};

struct mem_attempt {
	struct store_attempt base;
	struct nap nap;
	struct mem_fault fault;
	bool faulty;
	bool late, taken; /* of a racy put: it looked already, and saw the name taken */
};

static struct mem_place *places;

static struct mem_place *place_find(const char *name, bool make)
{
	struct mem_place *place = places;

	while (place && strcmp(place->name, name) != 0)
		place = place->next;
	if (place || !make)
		return place;
	place = xcalloc(1, sizeof(*place));
	place->name = xstrdup(name);
	place->next = places;
	places = place;
	return place;
}

/* ---- the plan ---- */

void store_mem_plan(const char *name, const struct mem_fault *fault)
{
	struct mem_place *place = place_find(name, true);
	struct mem_planned **at = &place->plan;
	struct mem_planned *planned = xcalloc(1, sizeof(*planned));

	while (*at)
		at = &(*at)->next;
	planned->fault = *fault;
	planned->part = fault->part ? xstrdup(fault->part) : NULL;
	*at = planned;
}

void store_mem_lie(const char *name, const struct mem_lies *lies)
{
	place_find(name, true)->lies = *lies;
}

void store_mem_pins(const char *name)
{
	place_find(name, true)->pins = true;
}

void store_mem_plan_clear(const char *name)
{
	struct mem_place *place = place_find(name, true);

	while (place->plan) {
		struct mem_planned *planned = place->plan;

		place->plan = planned->next;
		free(planned->part);
		free(planned);
	}
}

unsigned store_mem_calls(const char *name, enum store_verb verb)
{
	return place_find(name, true)->calls[verb];
}

static const char *attempt_name(const struct store_attempt *attempt)
{
	switch (attempt->verb) {
	case STORE_PUT:
		return attempt->put->name;
	case STORE_GET:
		return attempt->get->name;
	case STORE_LIST:
		return attempt->list->prefix;
	case STORE_HEAD:
		return attempt->head->name;
	default:
		return attempt->remove->name[0];
	}
}

/* All faults that match count this call; the first whose turn it is happens. */
static void plan_look(struct mem_place *place, struct mem_attempt *attempt)
{
	place->calls[attempt->base.verb]++;
	attempt->faulty = false;
	for (struct mem_planned *p = place->plan; p; p = p->next) {
		if (p->fault.verb != attempt->base.verb ||
		    (p->part && !strstr(attempt_name(&attempt->base), p->part)))
			continue;
		p->seen++;
		if (attempt->faulty || (p->fault.nth != MEM_EVERY && p->seen != p->fault.nth))
			continue;
		attempt->faulty = true;
		attempt->fault = p->fault;
	}
}

/* ---- objects ---- */

struct name_wanted {
	const struct mem_place *place;
	const char *name;
};

static bool name_below(const void *context, size_t i)
{
	const struct name_wanted *wanted = context;

	return strcmp(wanted->place->object[i].name, wanted->name) < 0;
}

/* The first object whose name is not below name. */
static size_t object_at(const struct mem_place *place, const char *name)
{
	struct name_wanted wanted = {place, name};

	return search_sorted(place->count, name_below, &wanted);
}

static struct mem_object *object_or_ghost(const struct mem_place *place, const char *name)
{
	size_t at = object_at(place, name);

	return at < place->count && strcmp(place->object[at].name, name) == 0 ? &place->object[at]
	                                                                      : NULL;
}

static struct mem_object *object_find(const struct mem_place *place, const char *name)
{
	struct mem_object *object = object_or_ghost(place, name);

	return object && !object->ghost ? object : NULL;
}

/* "a" and "a/b" cannot both be there, as in a file system. */
static bool is_folder(const struct mem_place *place, const char *name)
{
	AUTO_FREE
	char *folder = xasprintf("%s/", name);
	size_t at = object_at(place, folder);

	return at < place->count && str_starts(place->object[at].name, folder);
}

static bool below_object(const struct mem_place *place, const char *name)
{
	AUTO_FREE
	char *copy = xstrdup(name);

	for (char *slash = strrchr(copy, '/'); slash; slash = strrchr(copy, '/')) {
		*slash = '\0';
		if (object_find(place, copy))
			return true;
	}
	return false;
}

bool store_mem_damage(const char *name, const char *object_name, uint64_t offset)
{
	struct mem_object *object = object_find(place_find(name, true), object_name);

	if (!object || offset >= object->length)
		return false;
	object->bytes[offset] ^= 0x40;
	return true;
}

static void object_drop(struct mem_place *place, struct mem_object *object)
{
	free(object->name);
	free(object->bytes);
	memmove(object, object + 1,
	        (size_t)(place->object + place->count - (object + 1)) * sizeof(*object));
	place->count--;
}

void store_mem_forget(const char *name)
{
	for (struct mem_place **at = &places; *at; at = &(*at)->next) {
		struct mem_place *place = *at;

		if (strcmp(place->name, name) != 0)
			continue;
		assert(place->users == 0);
		store_mem_plan_clear(name);
		while (place->count)
			object_drop(place, &place->object[place->count - 1]);
		*at = place->next;
		free(place->object);
		free(place->name);
		free(place);
		return;
	}
}

/* ---- the verbs ---- */

static bool is_taken(const struct mem_place *place, const struct mem_attempt *attempt)
{
	if (attempt->late)
		return attempt->taken;
	return place->lies.create_only != MEM_IGNORED &&
	       object_find(place, attempt->base.put->name);
}

static bool mem_put(struct mem_place *place, const struct mem_attempt *attempt, struct err *err)
{
	struct store_put *put = attempt->base.put;
	size_t at = object_at(place, put->name);
	struct mem_object object = {.modified_us = clock_now_us() + place->lies.clock_off_us,
	                            .unlisted = place->lies.list_lacks_new};
	struct mem_object *there;

	if (is_taken(place, attempt))
		return err_set(err, ERR_EXISTS, "there is an object of that name already");
	if (is_folder(place, put->name) || below_object(place, put->name))
		return err_set(err, ERR_STORE, "a name cannot be the folder of another one");
	for (unsigned i = 0; i < put->pieces; i++)
		object.length += put->piece[i].iov_len;
	there = object_or_ghost(place, put->name);
	if (there)
		object_drop(place, there);
	put->versioned = place->lies.versioned;
	object.version = place->versions++;
	object.name = xstrdup(put->name);
	object.bytes = xmalloc(MAX(object.length, 1));
	object.length = 0;
	for (unsigned i = 0; i < put->pieces; i++) {
		if (put->piece[i].iov_len)
			memcpy(object.bytes + object.length, put->piece[i].iov_base,
			       put->piece[i].iov_len);
		object.length += put->piece[i].iov_len;
	}
	if (place->count == place->size) {
		place->size = place->size ? 2 * place->size : 64;
		place->object = xrealloc(place->object, place->size * sizeof(object));
	}
	memmove(&place->object[at + 1], &place->object[at], (place->count - at) * sizeof(object));
	place->object[at] = object;
	place->count++;
	return true;
}

static void copy_out(const struct store_get *get, const uint8_t *bytes, uint64_t length)
{
	for (uint64_t done = 0, part; done < length; done += part) {
		part = MIN((uint64_t)BLOCK_BYTES, length - done);
		memcpy(get->block[done / BLOCK_BYTES], bytes + done, part);
	}
}

static void object_replace(struct mem_place *place, struct mem_object *object)
{
	for (uint64_t i = 0; i < object->length; i++)
		object->bytes[i] ^= 0x55;
	object->version = place->versions++;
}

static bool mem_get(struct mem_place *place, struct store_get *get, const struct mem_fault *fault,
                    struct err *err)
{
	struct mem_object *object = object_find(place, get->name);
	uint64_t length = MIN(get->length, (uint64_t)get->blocks * BLOCK_BYTES);

	if (!object)
		return err_set(err, ERR_NOTFOUND, "there is no such object");
	if (fault && fault->effect == MEM_REPLACE)
		object_replace(place, object);
	snprintf(get->version, sizeof(get->version), "\"%u\"", object->version);
	if (get->pin && strcmp(get->pin, get->version) != 0) {
		get->replaced = true;
		return err_set(err, ERR_STORE,
		               "the object was replaced by another while it was read");
	}
	get->object_bytes = object->length;
	length = get->offset < object->length ? MIN(length, object->length - get->offset) : 0;
	if (fault && fault->effect == MEM_CUT)
		length = MIN(length, fault->bytes);
	if (length)
		copy_out(get, object->bytes + get->offset, length);
	get->got = length;
	if (fault && fault->effect == MEM_FLIP && fault->bytes >= get->offset &&
	    fault->bytes - get->offset < length) {
		uint64_t at = fault->bytes - get->offset;

		get->block[at / BLOCK_BYTES][at % BLOCK_BYTES] ^= 0x40;
	}
	return true;
}

static void mem_list(const struct mem_place *place, struct store_list *list)
{
	size_t prefix_length = strlen(list->prefix);
	const char *after = list->after ? list->after : "";
	const char *from = strcmp(list->prefix, after) > 0 ? list->prefix : after;
	char folder[STORE_NAME_MAX + 2];

	for (size_t i = object_at(place, from); i < place->count; i++) {
		const struct mem_object *object = &place->object[i];
		const char *name = object->name;
		const char *slash;

		if (object->unlisted)
			continue;
		if (!str_starts(name, list->prefix)) /* the first may be `after` itself */
			break;
		slash = list->folders ? strchr(name + prefix_length, '/') : NULL;
		if (slash) {
			snprintf(folder, sizeof(folder), "%.*s", (int)(slash + 1 - name), name);
			name = folder;
		}
		if (strcmp(name, after) <= 0)
			continue;
		if (list->count == store_list_limit(list)) {
			list->more = true;
			break;
		}
		store_list_add(list, name, slash ? 0 : object->length,
		               slash ? 0 : object->modified_us);
		after = list->entry[list->count - 1].name;
	}
}

static bool mem_head(const struct mem_place *place, struct store_head *head, struct err *err)
{
	const struct mem_object *object = object_find(place, head->name);

	if (!object)
		return err_set(err, ERR_NOTFOUND, "there is no such object");
	head->bytes = object->length;
	head->modified_us = object->modified_us;
	return true;
}

static void mem_remove(struct mem_place *place, const char *name)
{
	struct mem_object *object = object_find(place, name);

	if (object && place->lies.list_keeps_removed)
		object->ghost = true;
	else if (object)
		object_drop(place, object);
}

static bool mem_act(struct mem_attempt *attempt)
{
	struct mem_place *place = ((struct mem_store *)attempt->base.store)->place;
	struct store_attempt *base = &attempt->base;
	struct err *err = &base->op.err;

	switch (base->verb) {
	case STORE_PUT:
		return mem_put(place, attempt, err);
	case STORE_GET:
		return mem_get(place, base->get, attempt->faulty ? &attempt->fault : NULL, err);
	case STORE_LIST:
		mem_list(place, base->list);
		return true;
	case STORE_HEAD:
		return mem_head(place, base->head, err);
	default:
		for (unsigned i = 0; i < base->remove->names && !place->lies.keeps; i++)
			mem_remove(place, base->remove->name[i]);
		return true;
	}
}

enum mem_state { MEM_START, MEM_DELAYED };

enum { RACE_MS = 1 }; /* all that started in one turn of the loop have looked by then */

/* Whether it looks now and writes later. */
static bool begins_race(struct mem_attempt *attempt)
{
	struct mem_place *place = ((struct mem_store *)attempt->base.store)->place;

	if (attempt->base.verb != STORE_PUT || place->lies.create_only != MEM_RACY)
		return false;
	attempt->late = true;
	attempt->taken = object_find(place, attempt->base.put->name);
	return true;
}

static void mem_step(struct op *op)
{
	struct mem_attempt *attempt = container_of(op, struct mem_attempt, base.op);
	const struct mem_fault *fault = &attempt->fault;
	enum err_code code;

	if (op->state == MEM_START) {
		plan_look(((struct mem_store *)attempt->base.store)->place, attempt);
		if (attempt->faulty && fault->effect == MEM_DELAY && !op->cancelled) {
			nap_start(op, &attempt->nap, fault->ms);
			return op_wait(op, MEM_DELAYED);
		}
		if (begins_race(attempt) && !op->cancelled) {
			nap_start(op, &attempt->nap, RACE_MS);
			return op_wait(op, MEM_DELAYED);
		}
	}
	if (op->cancelled)
		return op_fail_as(op, ERR_CANCELLED, "cancelled");
	code = fault->code ? fault->code : ERR_NETWORK;
	if (attempt->faulty && fault->effect == MEM_FAIL)
		return op_fail_as(op, code, "failed by plan");
	if (!mem_act(attempt))
		return op_fail_own(op);
	if (attempt->faulty && fault->effect == MEM_LOSE_ANSWER)
		return op_fail_as(op, code, "answer lost by plan");
	op_done(op);
}

static const struct op_type mem_type = {.name = "mem", .step = mem_step};

static void mem_start(struct op *parent, struct store_attempt *attempt)
{
	op_start(parent, &attempt->op, &mem_type);
}

static struct store *mem_open(struct loop *loop, const struct store_options *options,
                              struct err *err)
{
	const char *name = options->url + strlen(store_mem_driver.scheme);
	struct mem_place *place = place_find(name, options->create);
	struct mem_store *store;

	(void)loop;
	if (!place) {
		err_set(err, ERR_STORE, "there is no place \"%s\" in memory", name);
		return NULL;
	}
	store = xcalloc(1, sizeof(*store));
	store->place = place;
	store->store.pins = place->pins;
	place->users++;
	return &store->store;
}

static void mem_close(struct store *store)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);

	mem->place->users--;
	free(mem);
}

const struct store_driver store_mem_driver = {
        .scheme = "mem:",
        .open = mem_open,
        .close = mem_close,
        .attempt_bytes = sizeof(struct mem_attempt),
        .start = mem_start,
};
