/*
 * archiver.c — archiving the WAL of one cluster: questions of the hook, pushes, and what is known
 * to be safe.
 *
 *   question:  START -> LOOKING -> ANSWERED                     known to be safe, the very same
 * file
 *                          |
 *                          +-> WAITING -> ANSWERED              a push is under way for it, or is
 * begun now
 *                                 |
 *                                 +-> (time is up) ANSWERED "working", the push goes on
 *
 * LOOKING (worker) takes the file's identity, and looks whether the object of an earlier push is
 * still there where that costs nothing. A push (push.c) is a root operation of its own, so
 * that no question's end ends it. Beside the wanted file the archiver works ahead: it looks at
 * archive_status (ready.c) and keeps up to `ahead` more pushes under way, but no more than
 * AHEAD_UNCLAIMED files beyond those that were asked for. It never touches archive_status.
 *
 * What was made safe is remembered in a ring of REMEMBERED_MAX names with their identities. It is a
 * cache: forgetting costs one more push, which finds the same content in the repository.
 */
#include "job/archiver.h"

#include <assert.h>
#include <errno.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "push.h"
#include "ready.h"

#include "base/poison.h"

enum {
	REMEMBERED_MAX = 1024,
	AHEAD_UNCLAIMED = 64,
};

struct remembered {
	struct walname name;
	struct file_identity identity;
	char *folder, *object; /* owned */
	bool claimed;          /* somebody asked for it */
};

struct archive_wanted {
	struct walname name;
	struct file_identity identity;
	char *path;   /* absolute; owned */
	char *object; /* that of an earlier push, or NULL; owned */
	bool there;   /* it still is */
};

/* A push under way. */
struct archive_item {
	struct push push;
	struct archiver *archiver;
	char *folder, *path; /* owned */
	struct archive_ask *asks;
	struct archive_item *next;
};

struct archiver {
	struct site *site;
	unsigned ahead;
	struct push_destination destination;
	struct archive_item *items;
	unsigned items_count;
	struct remembered remembered[REMEMBERED_MAX];
	unsigned remembered_next, unclaimed;
	struct op scan; /* a root operation: at most one look at archive_status at a time */
	struct work scan_work;
	struct ready ready;
	unsigned ready_next;
	char *folder; /* the data directory that asked last; owned */
	struct archiver_close *closing;
	struct archiver_figures figures;
};

struct archiver *archiver_new(struct site *site, unsigned ahead)
{
	struct archiver *archiver = xcalloc(1, sizeof(*archiver));

	archiver->site = site;
	archiver->ahead = ahead;
	push_destination_init(&archiver->destination);
	return archiver;
}

static bool walname_equal(const struct walname *a, const struct walname *b)
{
	return walname_compare(a, b) == 0;
}

/* ---- memory of what is safe ---- */

static struct remembered *remembered_find(struct archiver *archiver, const struct walname *name,
                                          const char *folder)
{
	for (unsigned i = 0; i < REMEMBERED_MAX; i++) {
		struct remembered *known = &archiver->remembered[i];

		if (known->folder && walname_equal(&known->name, name) &&
		    strcmp(known->folder, folder) == 0)
			return known;
	}
	return NULL;
}

static void remembered_claim(struct archiver *archiver, struct remembered *known)
{
	if (!known->claimed)
		archiver->unclaimed--;
	known->claimed = true;
}

static void remembered_release(struct remembered *known)
{
	free(known->folder);
	free(known->object);
}

static void remember(struct archiver *archiver, const struct archive_item *item, bool claimed)
{
	struct remembered *known = remembered_find(archiver, &item->push.name, item->folder);

	if (!known)
		known = &archiver->remembered[archiver->remembered_next++ % REMEMBERED_MAX];
	if (known->folder)
		remembered_claim(archiver, known);
	remembered_release(known);
	*known = (struct remembered){.name = item->push.name,
	                             .identity = item->push.identity,
	                             .folder = xstrdup(item->folder),
	                             .object = xstrdup(item->push.object),
	                             .claimed = claimed};
	if (!claimed)
		archiver->unclaimed++;
}

/* ---- pushes ---- */

static struct archive_item *item_find(struct archiver *archiver, const struct walname *name,
                                      const char *path)
{
	for (struct archive_item *item = archiver->items; item; item = item->next)
		if (walname_equal(&item->push.name, name) && strcmp(item->path, path) == 0)
			return item;
	return NULL;
}

static void ask_answer(struct archive_ask *ask, enum answer answer, const struct err *err)
{
	ask->answer = answer;
	ask->item = NULL;
	if (err)
		ask->op.err = *err;
	op_wake(&ask->op);
}

static void item_speak(struct archive_item *item)
{
	struct archiver *archiver = item->archiver;
	struct archiver_figures *figures = &archiver->figures;
	struct push *push = &item->push;

	if (op_failed(&push->op)) {
		char now[ERR_TEXT_MAX], before[ERR_TEXT_MAX];

		if (push->op.err.code == ERR_CANCELLED ||
		    (!item->asks && push->op.err.code == ERR_NOTFOUND))
			return;
		err_line(&push->op.err, now, sizeof(now));
		err_line(&figures->last_error, before, sizeof(before));
		figures->failed++;
		if (!figures->failing_since_us || strcmp(now, before) != 0)
			log_err(LOG_ERROR, &push->op.err,
			        ", PostgreSQL keeps the file and will ask again");
		if (!figures->failing_since_us)
			figures->failing_since_us = clock_now_us();
		figures->last_error = push->op.err;
		snprintf(figures->failing, sizeof(figures->failing), "%s", push->text);
		return;
	}
	/* PostgreSQL asks in order, and goes on only when a file is safe: if not through us, then
	 * through a hook that did it alone. */
	if (figures->failing_since_us &&
	    (item->asks || strcmp(figures->failing, push->text) == 0)) {
		log_info("archiving works again, with \"%s\"", push->text);
		figures->failing_since_us = 0;
		figures->failing[0] = '\0';
	}
	figures->last_stored_us = clock_now_us();
	snprintf(figures->last_stored, sizeof(figures->last_stored), "%s", push->text);
	figures->bytes_read += push->bytes;
	if (push->repeated)
		figures->repeated++;
	else
		figures->stored++;
	figures->bytes_stored += push->repeated ? 0 : push->stored_bytes;
	log_debug("%s \"%s\"", push->repeated ? "was stored before:" : "stored", push->text);
}

static void archiver_pump(struct archiver *archiver);

static void item_done(struct op *op)
{
	struct push *push = container_of(op, struct push, op);
	struct archive_item *item = container_of(push, struct archive_item, push);
	struct archiver *archiver = item->archiver;
	struct archive_item **at = &archiver->items;

	while (*at != item)
		at = &(*at)->next;
	*at = item->next;
	archiver->items_count--;
	item_speak(item);
	if (!op_failed(op))
		remember(archiver, item, item->asks != NULL);
	for (struct archive_ask *ask = item->asks, *next; ask; ask = next) {
		next = ask->next;
		ask_answer(ask, op_failed(op) ? ANSWER_FAILED : ANSWER_STORED,
		           op_failed(op) ? &op->err : NULL);
	}
	free(item->folder);
	free(item->path);
	free(item);
	archiver_pump(archiver);
}

static struct archive_item *item_begin(struct archiver *archiver, const struct walname *name,
                                       const char *folder, const char *path)
{
	struct archive_item *item = xcalloc(1, sizeof(*item));

	item->archiver = archiver;
	item->folder = xstrdup(folder);
	item->path = xstrdup(path);
	item->push = (struct push){.site = archiver->site,
	                           .destination = &archiver->destination,
	                           .folder = item->folder,
	                           .path = item->path,
	                           .name = *name};
	item->next = archiver->items;
	archiver->items = item;
	archiver->items_count++;
	push_start_root(archiver->site->loop, &item->push, item_done);
	return item;
}

/* ---- working ahead ---- */

static void ahead_begin(struct archiver *archiver, const struct walname *name)
{
	char text[WALNAME_BYTES];
	AUTO_FREE
	char *path = NULL;

	if (remembered_find(archiver, name, archiver->folder))
		return;
	walname_format(name, text);
	path = xasprintf("%s/pg_wal/%s", archiver->folder, text);
	if (!item_find(archiver, name, path))
		item_begin(archiver, name, archiver->folder, path);
}

static void archiver_pump(struct archiver *archiver)
{
	if (archiver->closing) {
		if (!archiver->items && !op_running(&archiver->scan))
			op_wake(&archiver->closing->op);
		return;
	}
	if (op_running(&archiver->scan))
		return; /* the list is the worker's until scan_done(), which comes back here */
	while (archiver->ready_next < archiver->ready.count &&
	       archiver->items_count <= archiver->ahead && archiver->unclaimed < AHEAD_UNCLAIMED)
		ahead_begin(archiver, &archiver->ready.name[archiver->ready_next++]);
}

static void scan_run(struct work *work)
{
	struct archiver *archiver = container_of(work, struct archiver, scan_work);

	if (!ready_read(archiver->folder, &archiver->ready, &work->op.err))
		archiver->ready.count = 0;
}

static void scan_step(struct op *op)
{
	struct archiver *archiver = container_of(op, struct archiver, scan);

	if (op->state == 0) {
		work_start_look(op, &archiver->scan_work, WORK_WAL, scan_run);
		return op_wait(op, 1);
	}
	op_done(op);
}

static void scan_done(struct op *op)
{
	struct archiver *archiver = container_of(op, struct archiver, scan);

	if (op_failed(&archiver->scan_work.op)) {
		log_err(LOG_WARNING, &archiver->scan_work.op.err, ", not working ahead for now");
		archiver->ready.count = 0;
	}
	archiver->figures.ignored = archiver->ready.ignored;
	archiver->figures.ready = (unsigned)MIN(archiver->ready.found, (uint64_t)UINT32_MAX);
	archiver->ready_next = 0;
	archiver_pump(archiver);
}

static const struct op_type scan_type = {.name = "archive_status", .step = scan_step};

/* A new look at archive_status, when what the last one found is used up. */
static void archiver_scan(struct archiver *archiver, const char *folder)
{
	if (archiver->ahead == 0 || op_running(&archiver->scan) || archiver->closing)
		return;
	if (!archiver->folder || strcmp(archiver->folder, folder) != 0) {
		free(archiver->folder);
		archiver->folder = xstrdup(folder);
		archiver->ready.count = archiver->ready_next = 0;
	}
	if (archiver->ready_next < archiver->ready.count)
		return;
	archiver->ready.count = archiver->ready_next = 0;
	op_start_root(archiver->site->loop, &archiver->scan, &scan_type, scan_done);
}

/* ---- questions ---- */

enum ask_state { ASK_START, ASK_LOOKING, ASK_WAITING };

static void wanted_free(struct archive_wanted *wanted)
{
	if (!wanted)
		return;
	free(wanted->path);
	free(wanted->object);
	free(wanted);
}

static void ask_look(struct work *work)
{
	struct archive_ask *ask = container_of(work, struct archive_ask, look);
	struct archive_wanted *wanted = ask->wanted;
	struct stat status;

	if (lstat(wanted->path, &status) != 0)
		err_sys(&work->op.err, "could not stat file \"%s\"", wanted->path);
	else
		file_identity_of(&status, &wanted->identity);
	/* A repository that was taken away does not hold what was put into it. */
	wanted->there =
	        wanted->object && store_still(ask->archiver->site->repo->store, wanted->object);
}

static bool ask_name(struct archive_ask *ask, struct err *err)
{
	const char *name = path_name(ask->path);

	ask->wanted = xcalloc(1, sizeof(*ask->wanted));
	ask->wanted->path = path_is_absolute(ask->path) ? xstrdup(ask->path)
	                                                : path_join(ask->folder, ask->path);
	if (walname_parse(name, &ask->wanted->name))
		return true;
	err_set(err, ERR_USAGE, "\"%s\" is not the name of a WAL file", name);
	err_hint(err, "archive_command hands over the path with %%p: archive_command = "
	              "'seawall-wal push %%p'");
	return false;
}

static void ask_recall(struct archive_ask *ask)
{
	struct archive_wanted *wanted = ask->wanted;
	const struct remembered *known = remembered_find(ask->archiver, &wanted->name, ask->folder);

	wanted->object = known ? xstrdup(known->object) : NULL;
}

static void ask_timer(struct timer *timer)
{
	struct archive_ask *ask = container_of(timer, struct archive_ask, timer);

	if (ask->item)
		op_wake(&ask->op);
}

static void ask_leave(struct archive_ask *ask)
{
	if (!ask->item)
		return;
	for (struct archive_ask **at = &ask->item->asks; *at; at = &(*at)->next)
		if (*at == ask) {
			*at = ask->next;
			break;
		}
	ask->item = NULL;
}

static void ask_end(struct archive_ask *ask)
{
	ask_leave(ask);
	timer_release(&ask->timer);
	wanted_free(ask->wanted);
	ask->wanted = NULL;
	if (err_is(&ask->op.err))
		return op_fail_own(&ask->op);
	op_done(&ask->op);
}

/* The file's identity is known: answer from memory, or join or begin the push. */
static void ask_looked(struct archive_ask *ask)
{
	struct archiver *archiver = ask->archiver;
	struct archive_wanted *wanted = ask->wanted;
	struct remembered *known = remembered_find(archiver, &wanted->name, ask->folder);

	/* One that was not known when the look began was stored during it. */
	if (known && (wanted->there || !wanted->object) &&
	    file_identity_equal(&known->identity, &wanted->identity)) {
		remembered_claim(archiver, known);
		ask->answer = ANSWER_STORED;
		ask_end(ask);
		archiver_pump(archiver);
		return;
	}
	if (wanted->object && !wanted->there) /* so its generation may have gone, too */
		archiver->destination.known = false;
	ask->item = item_find(archiver, &wanted->name, wanted->path);
	if (!ask->item)
		ask->item = item_begin(archiver, &wanted->name, ask->folder, wanted->path);
	ask->next = ask->item->asks;
	ask->item->asks = ask;
	timer_init(&ask->timer, ask->op.loop, ask_timer);
	timer_set(&ask->timer, ask->wait_ms);
	op_wait(&ask->op, ASK_WAITING);
	archiver_scan(archiver, ask->folder);
	archiver_pump(archiver);
}

static void ask_step(struct op *op)
{
	struct archive_ask *ask = container_of(op, struct archive_ask, op);

	switch ((enum ask_state)op->state) {
	case ASK_START:
		if (!ask_name(ask, &op->err)) {
			ask->answer = ANSWER_FAILED;
			return ask_end(ask);
		}
		if (ask->archiver->closing || op->cancelled) {
			err_set(&op->err, ERR_CANCELLED, "the server is stopping");
			ask->answer = ANSWER_FAILED;
			return ask_end(ask);
		}
		ask_recall(ask);
		work_start_look(op, &ask->look, WORK_WAL, ask_look);
		return op_wait(op, ASK_LOOKING);

	case ASK_LOOKING:
		if (op_failed(&ask->look.op)) {
			op->err = ask->look.op.err;
			ask->answer = ANSWER_FAILED;
			return ask_end(ask);
		}
		return ask_looked(ask);

	case ASK_WAITING:
		if (ask->answer == ANSWER_UNKNOWN) /* time is up, or cancelled: the push goes on */
			ask->answer = ANSWER_WORKING;
		return ask_end(ask);
	}
}

static void ask_cancel(struct op *op)
{
	if (op->state == ASK_WAITING)
		op_wake(op);
}

static const struct op_type ask_type = {.name = "archive", .step = ask_step, .cancel = ask_cancel};

void archive_ask_start(struct op *parent, struct archive_ask *ask)
{
	ask->answer = ANSWER_UNKNOWN;
	ask->item = NULL;
	ask->wanted = NULL;
	ask->timer = (struct timer){0};
	op_start(parent, &ask->op, &ask_type);
}

/* ---- the end ---- */

static void close_step(struct op *op)
{
	struct archiver_close *close = container_of(op, struct archiver_close, op);
	struct archiver *archiver = close->archiver;

	if (op->state == 0) {
		archiver->closing = close;
		for (struct archive_item *item = archiver->items; item; item = item->next)
			op_cancel(&item->push.op);
		op_wait(op, 1);
	}
	if (archiver->items || op_running(&archiver->scan))
		return;
	for (unsigned i = 0; i < REMEMBERED_MAX; i++)
		remembered_release(&archiver->remembered[i]);
	free(archiver->folder);
	free(archiver);
	close->archiver = NULL;
	op_done(op);
}

static void close_cancel(struct op *op)
{
	(void)op; /* it ends as soon as the pushes have ended; there is no shorter way */
}

static const struct op_type close_type = {
        .name = "archiver-close", .step = close_step, .cancel = close_cancel};

void archiver_close_start(struct op *parent, struct archiver_close *close)
{
	op_start(parent, &close->op, &close_type);
}

void archiver_figures(const struct archiver *archiver, struct archiver_figures *ret)
{
	*ret = archiver->figures;
	ret->under_way = archiver->items_count;
}
