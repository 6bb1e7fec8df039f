/* walindex_rows.h — what transactions that have not ended did to which relations. Private to the
 * builder of the index. */
#ifndef REPO_WALINDEX_ROWS_H
#define REPO_WALINDEX_ROWS_H

#include "repo/walindex.h"

struct rows;
struct rows *rows_new(void);
void rows_free(struct rows *rows);
/* Whether such rows can say anything: else they need not be told. */
bool rows_matter(const struct walindex_rel *rel, const struct walindex_rows *rows);
/* False: there are too many, and it was not counted. */
bool rows_add(struct rows *rows, uint32_t xid, const struct walindex_rel *rel,
              const struct walindex_rows *more);
/* As it was in a piece. */
void rows_restore(struct rows *rows, const struct walindex_open *open);
/* The transaction is over: what is known of it, its relations in any order (the caller frees
 * touched). False: nothing. */
bool rows_take(struct rows *rows, uint32_t xid, struct walindex_open *ret);
void rows_forget(struct rows *rows, uint32_t oldest_xid);
/* All of them, by xid, their relations in order; owned by the caller. */
void rows_list(const struct rows *rows, struct walindex_open **ret, size_t *ret_count);

#endif
