/*
 * restore_backups.c — see restore_backups.h.
 *
 *   START -> (for each repository, the nearest first) LISTING -> READING -> … -> done
 *
 * READING: the heads that no nearer one gave. One that is damaged here may be good in the next.
 */
#include "restore_backups.h"

#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

enum backups_state { BACKUPS_START, BACKUPS_LISTING, BACKUPS_READING };

struct site *restore_backups_site(const struct restore_backups *backups, const char *id)
{
	for (size_t i = 0; i < backups->ats; i++)
		if (strcmp(backups->at[i].id, id) == 0)
			return backups->at[i].site;
	return NULL;
}

/* What is good elsewhere is no loss; what is bad in several is named once. */
static void unreadables_settle(struct restore_backups *backups)
{
	struct heads *heads = &backups->heads;
	size_t kept = 0;

	for (size_t i = 0; i < heads->unreadables; i++) {
		const struct heads_unreadable *bad = &heads->unreadable[i];
		const struct site *site = restore_backups_site(backups, bad->id);
		bool known = false;

		if (site) {
			AUTO_FREE char *then =
			        xasprintf(", it is good in repository \"%s\"", site->repository);

			log_err(LOG_WARNING, &bad->err, then);
			continue;
		}
		for (size_t j = 0; j < kept; j++)
			known = known || strcmp(heads->unreadable[j].id, bad->id) == 0;
		if (!known)
			heads->unreadable[kept++] = *bad;
	}
	heads->unreadables = kept;
}

static void backups_list(struct restore_backups *backups)
{
	while (backups->site && !(backups->site->repo && backups->site->repo->opened))
		backups->site = backups->site->next;
	if (!backups->site) {
		unreadables_settle(backups);
		return op_done(&backups->op);
	}
	catalog_release(&backups->listed);
	backups->listed = (struct catalog){0};
	backups->listing = (struct catalog_load){.repo = backups->site->repo,
	                                         .generation = backups->generation,
	                                         .segment_bytes = backups->segment_bytes,
	                                         .what = CATALOG_BACKUPS,
	                                         .class = GATE_RESTORE,
	                                         .ret = &backups->listed};
	catalog_load_start(&backups->op, &backups->listing);
	op_wait(&backups->op, BACKUPS_LISTING);
}

static void backups_read(struct restore_backups *backups)
{
	const struct catalog *listed = &backups->listed;
	struct catalog *lacked = &backups->lacked;

	catalog_release(lacked);
	*lacked = (struct catalog){0};
	lacked->backup = xcalloc(listed->backups + 1, sizeof(*lacked->backup));
	for (size_t i = 0; i < listed->backups; i++)
		if (!restore_backups_site(backups, listed->backup[i]))
			memcpy(lacked->backup[lacked->backups++], listed->backup[i],
			       sizeof(*lacked->backup));
	backups->reading = (struct heads_load){.repo = backups->site->repo,
	                                       .generation = backups->generation,
	                                       .catalog = lacked,
	                                       .ret = &backups->heads};
	heads_load_start(&backups->op, &backups->reading);
	op_wait(&backups->op, BACKUPS_READING);
}

/* Those that could be read are taken from here. */
static void backups_take(struct restore_backups *backups)
{
	const struct catalog *lacked = &backups->lacked;

	backups->at =
	        xrealloc(backups->at, (backups->ats + lacked->backups + 1) * sizeof(*backups->at));
	for (size_t i = 0; i < lacked->backups; i++) {
		struct restore_backup_at *at = &backups->at[backups->ats];

		if (!heads_find(&backups->heads, lacked->backup[i]))
			continue;
		memcpy(at->id, lacked->backup[i], sizeof(at->id));
		at->site = backups->site;
		backups->ats++;
	}
	backups->site = backups->site->next;
	backups_list(backups);
}

static void backups_step(struct op *op)
{
	struct restore_backups *backups = container_of(op, struct restore_backups, op);

	switch ((enum backups_state)op->state) {
	case BACKUPS_START:
		backups->site = backups->first;
		return backups_list(backups);
	case BACKUPS_LISTING:
		if (op_failed(&backups->listing.op))
			return op_fail(op, &backups->listing.op.err, "could not list the backups");
		return backups_read(backups);
	case BACKUPS_READING:
		if (op_failed(&backups->reading.op))
			return op_fail(op, &backups->reading.op.err, "could not read the backups");
		return backups_take(backups);
	}
}

void restore_backups_start(struct op *parent, struct restore_backups *backups)
{
	static const struct op_type type = {.name = "restore_backups", .step = backups_step};

	op_start(parent, &backups->op, &type);
}

void restore_backups_release(struct restore_backups *backups)
{
	heads_release(&backups->heads);
	catalog_release(&backups->listed);
	catalog_release(&backups->lacked);
	free(STEAL(backups->at));
	backups->ats = 0;
}
