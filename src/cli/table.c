/*
 * table.c — see table.h. Widths count characters, not bytes.
 */
#include <assert.h>
#include "table.h"
#include "base/poison.h"

void table_init(struct table *table, unsigned columns, const char *const *titles, unsigned right)
{
	assert(columns <= TABLE_COLUMNS_MAX);
	*table = (struct table){.title = titles, .columns = columns, .right = right};
}

void table_add(struct table *table, const char *text)
{
	if (table->cells == table->size) {
		table->size = table->size ? 2 * table->size : 64;
		table->cell = xrealloc(table->cell, table->size * sizeof(*table->cell));
	}
	table->cell[table->cells++] = xstrdup(text);
}

void table_addf(struct table *table, const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list args;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	table_add(table, text);
}

static unsigned width_of(const char *text)
{
	unsigned width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void print_row(const struct table *table, const char *const *cell, const unsigned *width,
                      unsigned indent, struct buf *out)
{
	unsigned blanks = indent;

	for (unsigned c = 0; c < table->columns; c++) {
		unsigned missing = width[c] - width_of(cell[c]);

		if (table->right & (1u << c))
			blanks += missing;
		if (*cell[c])
			buf_addf(out, "%*s%s", (int)blanks, "", cell[c]);
		/* An empty cell leaves its place to the blanks of the next one. */
		blanks = (*cell[c] ? 0 : blanks) + 2 + (table->right & (1u << c) ? 0 : missing);
	}
	buf_addc(out, '\n');
}

void table_print(const struct table *table, unsigned indent, struct buf *out)
{
	unsigned width[TABLE_COLUMNS_MAX] = {0};

	assert(table->cells % table->columns == 0);
	for (unsigned c = 0; table->title && c < table->columns; c++)
		width[c] = width_of(table->title[c]);
	for (size_t i = 0; i < table->cells; i++)
		width[i % table->columns] =
		        MAX(width[i % table->columns], width_of(table->cell[i]));
	if (table->title)
		print_row(table, table->title, width, indent, out);
	for (size_t i = 0; i < table->cells; i += table->columns)
		print_row(table, (const char *const *)table->cell + i, width, indent, out);
}

void table_release(struct table *table)
{
	for (size_t i = 0; i < table->cells; i++)
		free(table->cell[i]);
	free(table->cell);
	*table = (struct table){0};
}
