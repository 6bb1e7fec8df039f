/* ranges.h — a large get as several at once, inside the store layer. */
#ifndef STORE_RANGES_PRIVATE_H
#define STORE_RANGES_PRIVATE_H

#include "store/driver.h"

/* Whether to read it so. */
bool ranges_wanted(const struct store_get *get);
extern const struct op_type store_ranged_get;

#endif
