/*
 * walindex_rows.c — what open transactions did: two hash tables with chains, in pools.
 *
 * An entry is one transaction's rows in one relation, found by both; the entries of a transaction
 * hang together, because they go together. Rows of the system's own relations (numbers below
 * FIRST_NORMAL) are not told, but for the deletions in pg_class, which tell a DROP from other
 * things that remove files.
 */
#include "walindex_rows.h"

#include <string.h>

#include "base/poison.h"

enum {
	FIRST_NORMAL = 16384,
	PG_CLASS = 1259,
	BUCKETS = 4096,
	NONE = 0, /* places in pools are counted from 1 */
};

struct entry {
	struct walindex_touched touched;
	uint32_t xid;
	uint32_t chain, sister; /* in its bucket; of the same transaction */
};
struct transaction {
	uint32_t xid;
	uint32_t chain, entry; /* chain: in its bucket, or of free ones */
	uint64_t class_deleted, created;
};
struct rows {
	struct entry *entry;
	struct transaction *transaction;
	uint32_t entries, entries_size, entries_free; /* used ever; free: chain of free ones */
	uint32_t transactions, transactions_size, transactions_free;
	uint32_t live_entries, live_transactions;
	uint32_t by_relation[BUCKETS], by_xid[BUCKETS];
};

struct rows *rows_new(void)
{
	return xcalloc(1, sizeof(struct rows));
}

void rows_free(struct rows *rows)
{
	if (!rows)
		return;
	free(rows->entry);
	free(rows->transaction);
	free(rows);
}

static uint32_t *xid_bucket(struct rows *rows, uint32_t xid)
{
	return &rows->by_xid[xid % BUCKETS];
}

static uint32_t *relation_bucket(struct rows *rows, uint32_t xid, const struct walindex_rel *rel)
{
	uint32_t mix = (xid * 0x9E3779B1U) ^ (rel->number * 0x85EBCA6BU) ^ rel->database;

	return &rows->by_relation[(mix ^ mix >> 15) % BUCKETS];
}

static uint32_t transaction_find(struct rows *rows, uint32_t xid)
{
	uint32_t at = *xid_bucket(rows, xid);

	while (at && rows->transaction[at - 1].xid != xid)
		at = rows->transaction[at - 1].chain;
	return at;
}

static uint32_t transaction_new(struct rows *rows, uint32_t xid)
{
	uint32_t *bucket = xid_bucket(rows, xid), at = rows->transactions_free;

	if (rows->live_transactions >= WALINDEX_OPEN_MAX)
		return NONE;
	if (at) {
		rows->transactions_free = rows->transaction[at - 1].chain;
	} else {
		if (rows->transactions == rows->transactions_size) {
			rows->transactions_size = MAX(256, 2 * rows->transactions_size);
			rows->transaction =
			        xrealloc(rows->transaction,
			                 rows->transactions_size * sizeof(*rows->transaction));
		}
		at = ++rows->transactions;
	}
	rows->transaction[at - 1] = (struct transaction){.xid = xid, .chain = *bucket};
	rows->live_transactions++;
	return *bucket = at;
}

static uint32_t entry_find(struct rows *rows, uint32_t xid, const struct walindex_rel *rel)
{
	uint32_t at = *relation_bucket(rows, xid, rel);

	while (at && (rows->entry[at - 1].xid != xid ||
	              walindex_rel_compare(&rows->entry[at - 1].touched.rel, rel) != 0))
		at = rows->entry[at - 1].chain;
	return at;
}

static uint32_t entry_new(struct rows *rows, struct transaction *transaction,
                          const struct walindex_rel *rel)
{
	uint32_t *bucket = relation_bucket(rows, transaction->xid, rel), at = rows->entries_free;

	if (rows->live_entries >= WALINDEX_TOUCHED_MAX)
		return NONE;
	if (at) {
		rows->entries_free = rows->entry[at - 1].chain;
	} else {
		if (rows->entries == rows->entries_size) {
			rows->entries_size = MAX(256, 2 * rows->entries_size);
			rows->entry =
			        xrealloc(rows->entry, rows->entries_size * sizeof(*rows->entry));
		}
		at = ++rows->entries;
	}
	rows->entry[at - 1] = (struct entry){.touched.rel = *rel,
	                                     .xid = transaction->xid,
	                                     .chain = *bucket,
	                                     .sister = transaction->entry};
	transaction->entry = at;
	rows->live_entries++;
	return *bucket = at;
}

bool rows_matter(const struct walindex_rel *rel, const struct walindex_rows *rows)
{
	return rel->number >= FIRST_NORMAL || (rel->number == PG_CLASS && rows->deleted > 0);
}

bool rows_add(struct rows *rows, uint32_t xid, const struct walindex_rel *rel,
              const struct walindex_rows *more)
{
	bool catalog_row = rel->number < FIRST_NORMAL;
	uint32_t transaction, at;
	struct walindex_touched *touched;

	if (!rows_matter(rel, more))
		return true;
	at = catalog_row ? NONE : entry_find(rows, xid, rel);
	/* inserted rows matter only in files that the transaction made itself */
	if (!at && !catalog_row && more->deleted + more->updated == 0 && more->flags == 0)
		return true;
	if (!at) {
		transaction = transaction_find(rows, xid);
		if (!transaction)
			transaction = transaction_new(rows, xid);
		if (!transaction)
			return false;
		if (catalog_row) {
			rows->transaction[transaction - 1].class_deleted += more->deleted;
			return true;
		}
		rows->transaction[transaction - 1].created += (more->flags & WALINDEX_CREATED) != 0;
		at = entry_new(rows, &rows->transaction[transaction - 1], rel);
		if (!at)
			return false;
	}
	touched = &rows->entry[at - 1].touched;
	touched->deleted += more->deleted;
	touched->updated += more->updated;
	touched->inserted += more->inserted;
	touched->flags |= more->flags;
	return true;
}

void rows_restore(struct rows *rows, const struct walindex_open *open)
{
	uint32_t at = transaction_new(rows, open->xid);

	if (!at)
		return;
	/* from the last on, so that the order is that of the piece */
	for (size_t i = open->toucheds; i-- > 0;) {
		uint32_t entry = entry_new(rows, &rows->transaction[at - 1], &open->touched[i].rel);

		if (entry)
			rows->entry[entry - 1].touched = open->touched[i];
	}
	rows->transaction[at - 1].class_deleted = open->class_deleted;
	rows->transaction[at - 1].created = open->created;
}

/* ---- the end ---- */

static void entry_remove(struct rows *rows, uint32_t at)
{
	struct entry *entry = &rows->entry[at - 1];
	uint32_t *link = relation_bucket(rows, entry->xid, &entry->touched.rel);

	while (*link != at)
		link = &rows->entry[*link - 1].chain;
	*link = entry->chain;
	entry->chain = rows->entries_free;
	rows->entries_free = at;
	rows->live_entries--;
}

static void list_touched(const struct rows *rows, const struct transaction *transaction,
                         struct walindex_open *ret)
{
	size_t count = 0;

	*ret = (struct walindex_open){.xid = transaction->xid,
	                              .class_deleted = transaction->class_deleted,
	                              .created = transaction->created};
	for (uint32_t at = transaction->entry; at; at = rows->entry[at - 1].sister)
		count++;
	ret->touched = count ? xmalloc(count * sizeof(*ret->touched)) : NULL;
	for (uint32_t at = transaction->entry; at; at = rows->entry[at - 1].sister)
		ret->touched[ret->toucheds++] = rows->entry[at - 1].touched;
}

bool rows_take(struct rows *rows, uint32_t xid, struct walindex_open *ret)
{
	uint32_t at = transaction_find(rows, xid), *link;
	struct transaction *transaction;

	if (!at)
		return false;
	transaction = &rows->transaction[at - 1];
	list_touched(rows, transaction, ret);
	for (uint32_t entry = transaction->entry, next; entry; entry = next) {
		next = rows->entry[entry - 1].sister;
		entry_remove(rows, entry);
	}
	link = xid_bucket(rows, xid);
	while (*link != at)
		link = &rows->transaction[*link - 1].chain;
	*link = transaction->chain;
	transaction->chain = rows->transactions_free;
	transaction->xid = 0; /* as a free one */
	rows->transactions_free = at;
	rows->live_transactions--;
	return true;
}

void rows_forget(struct rows *rows, uint32_t oldest_xid)
{
	struct walindex_open gone;

	for (uint32_t at = 0; at < rows->transactions; at++) {
		uint32_t xid = rows->transaction[at].xid;

		if (xid != 0 && (int32_t)(xid - oldest_xid) < 0 && rows_take(rows, xid, &gone))
			free(gone.touched);
	}
}

static int by_xid(const void *a, const void *b)
{
	const struct walindex_open *left = a, *right = b;

	return left->xid < right->xid ? -1 : left->xid > right->xid;
}

static int by_rel(const void *a, const void *b)
{
	const struct walindex_touched *left = a, *right = b;

	return walindex_rel_compare(&left->rel, &right->rel);
}

void rows_list(const struct rows *rows, struct walindex_open **ret, size_t *ret_count)
{
	struct walindex_open *open = xcalloc(rows->live_transactions + 1, sizeof(*open));
	size_t count = 0;

	for (uint32_t at = 0; at < rows->transactions; at++) {
		if (rows->transaction[at].xid == 0)
			continue;
		list_touched(rows, &rows->transaction[at], &open[count]);
		if (open[count].toucheds > 1)
			qsort(open[count].touched, open[count].toucheds,
			      sizeof(*open[count].touched), by_rel);
		count++;
	}
	qsort(open, count, sizeof(*open), by_xid);
	*ret = open;
	*ret_count = count;
}
