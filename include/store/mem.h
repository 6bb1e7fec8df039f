/*
 * mem.h — planned faults of the store in memory, for tests.
 *
 * "mem:NAME" is shared by all that open it in one process and stays until store_mem_forget, so that
 * a test can end a story and begin it again. Loop thread only.
 */
#ifndef STORE_MEM_H
#define STORE_MEM_H

#include "store/driver.h"

enum mem_effect {
	MEM_FAIL,        /* nothing happens but the error */
	MEM_LOSE_ANSWER, /* it takes effect, then the error */
	MEM_DELAY,       /* ms before it takes effect */
	MEM_CUT,         /* a get ends after `bytes` bytes */
	MEM_FLIP,        /* a get that holds byte `bytes` of the object has it flipped */
	MEM_REPLACE,     /* before a get, another object takes the name: each byte is another */
};

enum { MEM_EVERY = 0 };

struct mem_fault {
	enum store_verb verb;
	enum mem_effect effect;
	unsigned nth;       /* the n-th matching call from now on (1: the next), or MEM_EVERY */
	const char *part;   /* only calls whose name (prefix, first name) contains it; NULL: all */
	enum err_code code; /* FAIL, LOSE_ANSWER; ERR_NONE: ERR_NETWORK */
	int64_t ms;
	uint64_t bytes;
};

/* What the place does otherwise than a store should, until it is told again. */
enum mem_create_only {
	MEM_HONOURED,
	MEM_IGNORED, /* a put overwrites */
	MEM_RACY,    /* it looks first, and writes a moment later without another look */
};
struct mem_lies {
	enum mem_create_only create_only;
	bool list_lacks_new;     /* what is put from now on is in no listing */
	bool list_keeps_removed; /* what is removed from now on stays in listings */
	bool keeps;              /* a removal succeeds and removes nothing */
	bool versioned;          /* puts say that old versions are kept */
	int64_t clock_off_us;    /* its clock, less ours */
};
void store_mem_lie(const char *name, const struct mem_lies *lies);

/* Who opens it from now on reads large objects in ranges. */
void store_mem_pins(const char *name);

/* The place is made if need be. Any number of faults; the first that matches counts. */
void store_mem_plan(const char *name, const struct mem_fault *fault);
void store_mem_plan_clear(const char *name);
/* Attempts of a verb so far. */
unsigned store_mem_calls(const char *name, enum store_verb verb);
/* All objects and plans are gone; nobody may have it open. */
void store_mem_forget(const char *name);
/* Changes one stored byte for good. False: there is no such object or byte. */
bool store_mem_damage(const char *name, const char *object, uint64_t offset);

#endif
