/* table.h — rows of text in columns, for list, show and status. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "base/buf.h"

enum { TABLE_COLUMNS_MAX = 12 };

struct table {
	const char *const *title; /* NULL: no head line */
	unsigned columns;
	unsigned right; /* bit c: column c is aligned to the right */
	char **cell;
	size_t cells, size;
};

/* titles: columns of them, or NULL. */
void table_init(struct table *table, unsigned columns, const char *const *titles, unsigned right);
/* The next cell, row by row. */
void table_add(struct table *table, const char *text);
void table_addf(struct table *table, const char *format, ...) PRINTF(2, 3);
/* Two blanks between columns, none at the end of a line; `indent` blanks in front. */
void table_print(const struct table *table, unsigned indent, struct buf *out);
void table_release(struct table *table);

#endif
