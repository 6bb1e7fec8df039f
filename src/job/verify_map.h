/*
 * verify_map.h — what of an archive was verified when: the names in their order, cut into spans,
 * each with the time at which all that was in it then was verified. Pure. Private to verify.c.
 *
 * An object that was stored later than its span's time was never verified, so a span says the truth
 * of its objects without naming any of them.
 */
#ifndef JOB_VERIFY_MAP_H
#define JOB_VERIFY_MAP_H

#include "base/err.h"

enum { VERIFY_SPANS_MAX = 1000 };

struct jval;
struct verify_span {
	char *to;      /* the last name in it, owned; "" in the last span: it has no end */
	int64_t at_us; /* 0: never */
};
struct verify_map {
	struct verify_span *span; /* ascending, from the first name on without a gap */
	size_t spans, size;
};

/* Nothing was ever verified. */
void verify_map_init(struct verify_map *map);
void verify_map_release(struct verify_map *map);
void verify_map_copy(struct verify_map *map, const struct verify_map *from);
int64_t verify_map_at(const struct verify_map *map, const char *name);
/* What lies behind `after` ("": all names) up to `to` was verified. */
void verify_map_mark(struct verify_map *map, const char *after, const char *to, int64_t at_us);

/* As JSON. Of too many spans neighbours become one, with the earlier time. */
void verify_map_save(struct verify_map *map, struct jval *list);
/* map stays as it was when the list is no map. */
MUST_USE bool verify_map_load(struct verify_map *map, const struct jval *list, struct err *err);

#endif
