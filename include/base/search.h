/*
 * search.h — the place of something in a sorted array.
 *
 * bsearch(3) finds an equal item or nothing; here the place is wanted where an item is or would be.
 */
#ifndef BASE_SEARCH_H
#define BASE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

/* The first of count items that is not below what context describes; count: all are. below(context,
 * i) says whether item i is, and the items are in such an order that those come first. */
static inline size_t search_sorted(size_t count, bool (*below)(const void *context, size_t i),
                                   const void *context)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (below(context, middle))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

#endif
