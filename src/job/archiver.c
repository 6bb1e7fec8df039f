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
#include "archiver_internal.h"

#include "base/poison.h"

struct archiver *archiver_new(struct site *site, unsigned ahead)
{
	struct archiver *archiver = xcalloc(1, sizeof(*archiver));

	archiver->site = site;
	archiver->ahead = ahead;
	for (unsigned i = 0; i < SITE_CHAIN_MAX; i++) {
		push_destination_init(&archiver->place[i].destination);
		archiver->place[i].archiver = archiver;
	}
	archiver_fills_begin(archiver);
	archiver_owners_begin(archiver);
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

static unsigned archiver_changes(const struct archiver *archiver)
{
	unsigned changes = 0;

	for (unsigned i = 0; i < SITE_CHAIN_MAX; i++)
		changes += archiver->place[i].destination.changes;
	return changes;
}

/* Whether what is remembered lies where WAL goes now: an archive that was begun anew, or may have
 * been, lacks what the one before it has. */
static bool remembered_holds(const struct archiver *archiver, const struct remembered *known)
{
	for (unsigned i = 0; i < SITE_CHAIN_MAX; i++)
		if (push_destination_doubted(&archiver->place[i].destination))
			return false;
	return known->changes == archiver_changes(archiver);
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

static void remember(struct archiver *archiver, const struct archive_item *item,
                     const struct push *push, bool claimed)
{
	struct remembered *known = remembered_find(archiver, &item->name, item->folder);

	if (!known)
		known = &archiver->remembered[archiver->remembered_next++ % REMEMBERED_MAX];
	if (known->folder)
		remembered_claim(archiver, known);
	remembered_release(known);
	*known = (struct remembered){.name = item->name,
	                             .identity = push->identity,
	                             .folder = xstrdup(item->folder),
	                             .object = xstrdup(push->object),
	                             .changes = item->changes,
	                             .claimed = claimed};
	if (!claimed)
		archiver->unclaimed++;
}

/* ---- pushes ---- */

static struct archive_item *item_find(struct archiver *archiver, const struct walname *name,
                                      const char *path)
{
	for (struct archive_item *item = archiver->items; item; item = item->next)
		if (!item->decided && walname_equal(&item->name, name) &&
		    strcmp(item->path, path) == 0)
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

/* The line of an error without the words that have digits (names of files, sizes, the store's ids
 * of requests): what is left is the same for each file and each try that fails for the same reason.
 */
static void reason_of(const struct err *err, char out[ERR_TEXT_MAX])
{
	char line[ERR_TEXT_MAX];
	size_t length = 0;

	err_line(err, line, sizeof(line));
	for (const char *at = line; *at;) {
		size_t word = strcspn(at, " ");

		if (strcspn(at, "0123456789") >= word) {
			memcpy(out + length, at, word);
			length += word;
		}
		at += word + (at[word] == ' ');
	}
	out[length] = '\0';
}

static bool same_reason(const struct err *a, const struct err *b)
{
	char one[ERR_TEXT_MAX], other[ERR_TEXT_MAX];

	reason_of(a, one);
	reason_of(b, other);
	return strcmp(one, other) == 0;
}

/* A reason is logged once, however many files wait and however often PostgreSQL asks. While it
 * waits for one file, those behind it, which nobody asks for yet, are no news. */
static void item_speak_failed(struct archive_item *item)
{
	struct archiver_figures *figures = &item->archiver->figures;
	bool known = figures->failing_since_us != 0;

	if (item->err.code == ERR_CANCELLED || (!item->asks && item->err.code == ERR_NOTFOUND))
		return;
	figures->failed++;
	if (known && !item->asks)
		return;
	/* A command (which does not work ahead) says it itself. */
	if (item->archiver->ahead > 0 && !(known && same_reason(&item->err, &figures->last_error)))
		log_err(LOG_ERROR, &item->err, ", PostgreSQL keeps the file and will ask again");
	if (!known)
		figures->failing_since_us = clock_now_us();
	figures->last_error = item->err;
	snprintf(figures->failing, sizeof(figures->failing), "%s", item->text);
}

static void item_speak(struct archive_item *item, const struct push *push)
{
	struct archiver_figures *figures = &item->archiver->figures;

	/* PostgreSQL asks in order, and goes on only when a file is safe: if not through us, then
	 * through a hook that did it alone. */
	if (figures->failing_since_us &&
	    (item->asks || strcmp(figures->failing, item->text) == 0)) {
		log_info("archiving works again, with \"%s\"", item->text);
		figures->failing_since_us = 0;
		figures->failing[0] = '\0';
	}
	figures->last_stored_us = clock_now_us();
	snprintf(figures->last_stored, sizeof(figures->last_stored), "%s", item->text);
	figures->bytes_read += push->bytes;
	if (push->repeated)
		figures->repeated++;
	else
		figures->stored++;
	figures->bytes_stored += push->repeated ? 0 : push->stored_bytes;
	log_debug("%s \"%s\"", push->repeated ? "was stored before:" : "stored", item->text);
}

static void archiver_pump(struct archiver *archiver);

/* If what was stored is not the very file that was asked about, the question is asked again. */
static enum answer item_answer(const struct archive_item *item, const struct archive_ask *ask)
{
	bool same = !item->mixed && file_identity_equal(&ask->wanted->identity, &item->identity);

	return same ? ANSWER_STORED : ANSWER_WORKING;
}

/* The file's fate is known: by the push that made it safe, or (NULL) by item->err. */
static void item_decide(struct archive_item *item, const struct push *push)
{
	struct archiver *archiver = item->archiver;

	item->decided = true;
	archiver->items_count--;
	for (unsigned i = 0; i < item->copies; i++)
		if (op_running(&item->copy[i].op))
			archiver->place[item->copy[i].place].late++;
	if (push) {
		item_speak(item, push);
		if (!item->mixed)
			remember(archiver, item, push, item->asks != NULL);
	} else {
		item_speak_failed(item);
	}
	for (struct archive_ask *ask = item->asks, *next; ask; ask = next) {
		next = ask->next;
		ask_answer(ask, push ? item_answer(item, ask) : ANSWER_FAILED,
		           push ? NULL : &item->err);
	}
	item->asks = NULL;
}

static void item_free(struct archive_item *item)
{
	struct archive_item **at = &item->archiver->items;

	while (*at != item)
		at = &(*at)->next;
	*at = item->next;
	free(item->folder);
	free(item->path);
	free(item);
}

/* What no other repository can make good: the file itself is wrong, or another's. */
static bool is_alarm(const struct err *err)
{
	return err->code == ERR_EXISTS || err->code == ERR_REFUSED || err->code == ERR_DAMAGED;
}

static void item_note_good(struct archive_item *item, const struct archive_copy *copy)
{
	unsigned changes = archiver_changes(item->archiver);

	item->mixed |= copy->push.changes != copy->push.destination->changes;
	if (item->good > 0)
		item->mixed |= changes != item->changes ||
		               !file_identity_equal(&item->identity, &copy->push.identity);
	item->changes = changes;
	item->identity = copy->push.identity;
}

static void item_take(struct archive_item *item, const struct archive_copy *copy)
{
	const struct err *err = &copy->op.err;
	unsigned acks = MIN(copy->site->acks, item->copies);

	if (!op_failed(&copy->op)) {
		item_note_good(item, copy);
		for (unsigned i = 0; i < SITE_CHAIN_MAX; i++)
			item->archiver->place[i].segment_bytes = copy->push.control.segment_bytes;
		if (++item->good < acks)
			return;
		item_decide(item, &copy->push);
		for (unsigned i = 0; i < SITE_CHAIN_MAX; i++)
			item->archiver->place[i].lacks +=
			        (item->failed >> i & 1) && item->name.kind == WALNAME_SEGMENT;
		return;
	}
	item->bad++;
	item->failed |= 1U << copy->place;
	/* Who waits for another says which, and what is the matter there. */
	if (!err_is(&item->err) || (is_alarm(err) && !is_alarm(&item->err)) ||
	    (copy->push.generation.waits && !is_alarm(&item->err)))
		item->err = *err;
	if (is_alarm(err) || item->good + item->running < acks)
		item_decide(item, NULL);
}

/* PostgreSQL has heard "stored", and goes on. */
static void copy_speak_late(const struct archive_copy *copy)
{
	const struct archive_item *item = copy->item;
	struct archiver_figures *figures = &item->archiver->figures;

	if (!is_alarm(&copy->op.err) || item->good < MIN(copy->site->acks, item->copies))
		return;
	log_err(LOG_ERROR, &copy->op.err, ", other repositories have the file");
	figures->failed++;
	figures->last_error = copy->op.err;
}

static void copy_done(struct op *op)
{
	struct archive_copy *copy = container_of(op, struct archive_copy, op);
	struct archive_item *item = copy->item;
	struct archiver *archiver = item->archiver;
	struct archive_place *place = &archiver->place[copy->place];

	item->running--;
	if (archiver->site->next)
		site_note(copy->site,
		          op_failed(op) && !copy->push.generation.waits ? &op->err : NULL);
	if (op_failed(op) && op->err.code != ERR_CANCELLED)
		archive_place_is_behind(place, item->name.kind == WALNAME_SEGMENT && item->decided);
	if (item->decided) {
		place->late--;
		copy_speak_late(copy);
	} else {
		item_take(item, copy);
	}
	if (item->running == 0)
		item_free(item);
	archiver_pump(archiver);
}

enum copy_state { COPY_START, COPY_OPENING, COPY_PUSHING, COPY_WATCHING };

static void copy_push(struct op *op, struct archive_copy *copy)
{
	const struct archive_item *item = copy->item;

	copy->push = (struct push){.site = copy->site,
	                           .destination = &item->archiver->place[copy->place].destination,
	                           .folder = item->folder,
	                           .path = item->path,
	                           .name = item->name,
	                           .accept_damaged = item->accept_damaged};
	push_start(op, &copy->push);
	op_wait(op, COPY_PUSHING);
}

/* What the push needed of the segment before was not as it was when that was archived. */
static void copy_suspects(struct archive_copy *copy)
{
	struct archiver *archiver = copy->item->archiver;
	struct archiver_figures *figures = &archiver->figures;

	if (!copy->push.before.rescued)
		return;
	snprintf(figures->suspect, sizeof(figures->suspect), "%s", copy->push.before.suspect);
	free(archiver->suspect);
	archiver->suspect = xasprintf("%s/pg_wal/%s", copy->item->folder, figures->suspect);
}

static void copy_step(struct op *op)
{
	struct archive_copy *copy = container_of(op, struct archive_copy, op);

	switch ((enum copy_state)op->state) {
	case COPY_START:
		site_ready_start(op, &copy->ready, copy->site);
		return op_wait(op, COPY_OPENING);
	case COPY_OPENING:
		if (op_failed(&copy->ready.op))
			return op_fail(op, &copy->ready.op.err,
			               "could not archive \"%s\" of cluster \"%s\"",
			               copy->item->text, copy->site->cluster);
		return copy_push(op, copy);
	case COPY_PUSHING:
		copy_suspects(copy);
		if (archiver_owners_after(copy)) {
			archiver_owners_watch(copy);
			return op_wait(op, COPY_WATCHING);
		}
		if (!op_failed(&copy->push.op))
			return op_done(op);
		op->err = copy->push.op.err;
		return op_fail_own(op);
	case COPY_WATCHING: /* the file is safe, whatever else was found */
		if (op_failed(&copy->watch.op))
			log_err(LOG_WARNING, &copy->watch.op.err, "");
		return op_done(op);
	}
}

static const struct op_type copy_type = {.name = "archive-copy", .step = copy_step};

/* A repository that is away or far behind is left out while the others suffice; it is filled up
 * when it has come back (wal_fill.c). */
static bool place_waits(const struct archiver *archiver, const struct site *site, unsigned place)
{
	return site_is_away(site) || archiver->place[place].late > archiver->ahead;
}

static void item_choose(struct archive_item *item)
{
	struct archiver *archiver = item->archiver;
	unsigned wait = 0, count = 0, at = 0;

	for (struct site *site = archiver->site; site; site = site->next, count++)
		wait += place_waits(archiver, site, count);
	if (count - wait < archiver->site->acks)
		wait = 0; /* they do not suffice: all are tried */
	for (struct site *site = archiver->site; site; site = site->next, at++) {
		if (wait > 0 && place_waits(archiver, site, at)) {
			archive_place_is_behind(&archiver->place[at],
			                        item->name.kind == WALNAME_SEGMENT);
			continue;
		}
		item->copy[item->copies++] =
		        (struct archive_copy){.item = item, .site = site, .place = at};
	}
}

static struct archive_item *item_begin(struct archiver *archiver, const struct walname *name,
                                       const char *folder, const char *path)
{
	struct archive_item *item = xcalloc(1, sizeof(*item));

	item->archiver = archiver;
	item->name = *name;
	walname_format(name, item->text);
	item->folder = xstrdup(folder);
	item->path = xstrdup(path);
	item_choose(item);
	item->next = archiver->items;
	archiver->items = item;
	archiver->items_count++;
	for (unsigned i = 0; i < item->copies; i++) {
		item->running++;
		op_start_root(archiver->site->loop, &item->copy[i].op, &copy_type, copy_done);
	}
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

/* On a worker: whether enough repositories still hold it, where that costs nothing to see. One that
 * may hang keeps whoever looks: it is the last that is asked. */
static bool copies_still(const struct archiver *archiver, const struct archive_wanted *wanted)
{
	unsigned count = 0, acks = archiver->site->acks, place;

	for (unsigned slow = 0; slow < 2; slow++) {
		place = 0;
		for (const struct site *site = archiver->site; site && count < acks;
		     site = site->next, place++)
			if (wanted->slow[place] == (slow == 1))
				count += site->repo &&
				         store_still(site->repo->store, wanted->object);
	}
	return count >= acks;
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
	wanted->there = wanted->object && copies_still(ask->archiver, wanted);
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
	unsigned place = 0;

	wanted->object = known ? xstrdup(known->object) : NULL;
	for (const struct site *site = ask->archiver->site; site; site = site->next, place++)
		wanted->slow[place] = site_is_away(site) || ask->archiver->place[place].late > 0;
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
	if (known && (wanted->there || !wanted->object) && remembered_holds(archiver, known) &&
	    file_identity_equal(&known->identity, &wanted->identity)) {
		remembered_claim(archiver, known);
		ask->answer = ANSWER_STORED;
		ask_end(ask);
		archiver_pump(archiver);
		return;
	}
	if (wanted->object && !wanted->there) /* so its generation may have gone, too */
		for (unsigned i = 0; i < SITE_CHAIN_MAX; i++)
			push_destination_doubt(&archiver->place[i].destination);
	ask->item = item_find(archiver, &wanted->name, wanted->path);
	if (!ask->item)
		ask->item = item_begin(archiver, &wanted->name, ask->folder, wanted->path);
	ask->item->accept_damaged |= ask->accept_damaged; /* its pushes have not begun yet */
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
			for (unsigned i = 0; i < item->copies; i++)
				if (op_running(&item->copy[i].op))
					op_cancel(&item->copy[i].op);
		archiver_fills_cancel(archiver);
		archiver_owners_cancel(archiver);
		op_wait(op, 1);
	}
	if (archiver->items || op_running(&archiver->scan) || archiver_fills_run(archiver) ||
	    archiver_owners_run(archiver))
		return;
	archiver_owners_end(archiver);
	timer_release(&archiver->fill_timer);
	for (unsigned i = 0; i < REMEMBERED_MAX; i++)
		remembered_release(&archiver->remembered[i]);
	free(archiver->folder);
	free(archiver->suspect);
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
	if (archiver->suspect && access(archiver->suspect, F_OK) != 0)
		ret->suspect[0] = '\0';
}
