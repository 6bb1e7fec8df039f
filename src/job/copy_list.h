/* copy_list.h — which objects a copy is made of, and in which order. Pure. Private to this layer.
 */
#ifndef JOB_COPY_LIST_H
#define JOB_COPY_LIST_H

#include "base/str.h"
#include "repo/catalog.h"
#include "repo/heads.h"

/* A stage begins when the one before is complete, so whatever is there names nothing that is not.
 */
enum copy_stage {
	COPY_FIRST, /* histories, owners, parts of WAL that is longer than an object */
	COPY_WAL,
	COPY_DATA,     /* packs, the bodies of manifests, the WAL index */
	COPY_MANIFEST, /* the backup exists from then on */
	COPY_NOT,      /* not copied */
};

struct copy_item {
	char *name; /* behind the generation's prefix; owned */
	uint64_t bytes;
	enum copy_stage stage;
};

struct copy_list {
	/* in */
	struct strs ids;   /* backups to copy */
	struct strs packs; /* backups whose packs they use */
	uint32_t segment_bytes;
	uint64_t first_segno; /* no older WAL */
	/* out */
	struct copy_item *item;
	size_t count, size;
};
/* The stage of an object, by its name behind the prefix. */
enum copy_stage copy_stage_of(const struct copy_list *list, const char *name);
/* Takes it up unless it is not to be copied. */
void copy_list_add(struct copy_list *list, const char *name, uint64_t bytes);
/* Takes out what is in there already, with parts of what is; then by stage and name. Returns how
 * many were there. there: sorted. */
uint64_t copy_list_settle(struct copy_list *list, const struct strs *there);
void copy_list_release(struct copy_list *list);

#endif
