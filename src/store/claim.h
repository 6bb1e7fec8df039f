/* claim.h — a put into a store that overwrites. Private to this layer. */
#ifndef STORE_CLAIM_H
#define STORE_CLAIM_H

#include "store/store.h"

extern const struct op_type store_claimed_put;

#endif
