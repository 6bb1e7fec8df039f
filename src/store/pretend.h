/* pretend.h — what a store with store_options.pretend does instead of changing something. Private
 * to this layer. */
#ifndef STORE_PRETEND_H
#define STORE_PRETEND_H

#include "store/store.h"

/* Of the op in a struct store_put, and in a struct store_remove. */
extern const struct op_type store_pretend_put, store_pretend_remove;

#endif
