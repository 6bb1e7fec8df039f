/*
 * push.c — one file of pg_wal made safe in the repository.
 *
 *   START -> LOOKING -> [QUEUED -> OPENING -> OWNERS] -> [JOINING] -> WRITING -> done
 *                                                            |          |
 *                              (other content has the name)  |          +-> ASIDE -> failed
 *                              (its branch is fenced)        +-> FENCED -> NAMING -> ASIDE
 *                                         (does not prove)   +-> DIGESTING -> ASKING [-> SETTLING]
 *                                   (and is accepted so)     +-> MARKING -> done
 *
 * LOOKING (worker) opens the file, reads pg_control and refuses what does not belong here: a clone,
 * a file that is none, a wrong size. OPENING finds the generation of the repository, once for all
 * pushes, and once more when somebody doubts meanwhile that it is still there. WRITING reads the
 * file once: each piece is proven by the record walker, hashed, compressed and sealed in the same
 * pass; nothing is visible before the last byte was proven. The same content again is success.
 * Different content is never overwritten and never accepted: it is set aside under conflict/, and
 * PostgreSQL hears so. OWNERS reads who writes which timeline (the archiver reads it again now and
 * then). A segment of a fenced branch is set aside, too, unless it is in the repository already
 * (FENCED looks): the same again is success.
 *
 * LOOKING also proves the seam to the segment before (push_before.c); when pg_wal does not have
 * that one any more, or a damaged one, JOINING reads the repository's. A segment that does not
 * prove is not stored, and PostgreSQL keeps it, until somebody has stored it with accept_damaged:
 * then the same content is in the repository (DIGESTING, ASKING), and is success. That it was
 * accepted is marked there (repo/harm.h): else a recovery would be the first to know.
 */
#include "push.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "job/walparts.h"
#include "pg/label.h"
#include "pg/timeline.h"

#include "base/poison.h"

/* clang-format off */
#define PUSH_STATES(X) \
	X(PUSH_START) X(PUSH_LOOKING) X(PUSH_QUEUED) X(PUSH_OPENING) X(PUSH_PAST) X(PUSH_OWNERS) \
	X(PUSH_FENCED) X(PUSH_NAMING) X(PUSH_JOINING) X(PUSH_WRITING) \
	X(PUSH_ASIDE) X(PUSH_DIGESTING) X(PUSH_ASKING) X(PUSH_SETTLING) X(PUSH_MARKING)
/* clang-format on */
OP_STATES(push_state, PUSH_STATES)

/* ---- LOOKING: on a worker ---- */

static bool push_open(struct push *push, struct err *err)
{
	struct stat status;

	push->fd = open(push->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (push->fd < 0)
		return err_sys(err, "could not open file \"%s\"", push->path);
	if (fstat(push->fd, &status) != 0)
		return err_sys(err, "could not stat file \"%s\"", push->path);
	if (!S_ISREG(status.st_mode))
		return err_set(err, ERR_REFUSED, "\"%s\" is not a regular file", push->path);
	file_identity_of(&status, &push->identity);
	return true;
}

static bool push_refuse_clone(struct push *push, struct err *err)
{
	AUTO_FREE
	char *path = path_join(push->folder, "seawall.clone");

	if (access(path, F_OK) != 0)
		return true;
	err_set(err, ERR_REFUSED, "the data directory \"%s\" is a clone made by `seawall restore`",
	        push->folder);
	err_hint(err, "A clone does not archive into its origin's repository. Set archive_mode = "
	              "off in it.");
	return false;
}

static bool push_check_size(struct push *push, struct err *err)
{
	uint64_t size = (uint64_t)push->identity.size;

	switch (push->name.kind) {
	case WALNAME_SEGMENT:
	case WALNAME_PARTIAL:
		if (size == push->control.segment_bytes)
			return true;
		err_set(err, ERR_DAMAGED,
		        "file \"%s\" has %" PRIu64 " bytes, a segment of this cluster has %" PRIu32,
		        push->path, size, push->control.segment_bytes);
		err_hint(err,
		         "Nothing was stored, and PostgreSQL keeps the file. If a whole copy "
		         "exists (a standby's pg_wal), put it in its place; else take a backup: "
		         "no recovery gets past it.");
		return false;
	case WALNAME_HISTORY:
		if (size <= HISTORY_BYTES_MAX)
			return true;
		break;
	case WALNAME_BACKUP:
		if (size <= LABEL_BYTES_MAX)
			return true;
		break;
	}
	return err_set(err, ERR_DAMAGED, "file \"%s\" has %" PRIu64 " bytes, too many for its kind",
	               push->path, size);
}

static bool push_unchanged(const struct push *push, struct err *err)
{
	struct file_identity now;
	struct stat status;

	if (fstat(push->fd, &status) != 0)
		return err_sys(err, "could not stat file \"%s\"", push->path);
	file_identity_of(&status, &now);
	if (file_identity_equal(&now, &push->identity))
		return true;
	return err_set(err, ERR_FAILED, "file \"%s\" was changed while it was read", push->path);
}

/* A history or backup file, whole. */
static bool push_read_small(struct push *push, struct err *err)
{
	struct history history;
	char *room;

	buf_init(&push->content, HISTORY_BYTES_MAX);
	room = buf_reserve(&push->content, (size_t)push->identity.size);
	if (!room || file_pread_full(push->fd, room, (size_t)push->identity.size, 0) !=
	                     (ssize_t)push->identity.size)
		return err_set(err, ERR_IO, "could not read file \"%s\" to its end", push->path);
	push->content.length += (size_t)push->identity.size;
	if (!push_unchanged(push, err))
		return false;
	if (push->name.kind != WALNAME_HISTORY)
		return true;
	if (!history_parse(push->name.tli, push->content.data, push->content.length, &history, err))
		return err_wrap(err, "file \"%s\" is no timeline history", push->path);
	history_release(&history);
	return true;
}

/* A .partial is stored under its digest, so it is read once before it is written. */
static bool push_digest(struct push *push, struct err *err)
{
	struct digester *digester = digester_new();
	bool good = digester_add_file(digester, push->fd) ||
	            err_sys(err, "could not read file \"%s\"", push->path);

	digester_end(digester, &push->digest);
	digester_free(digester);
	return good;
}

/* The seam to the segment before, as far as the folder tells. Also of a copy from another
 * repository: it may have been accepted there as damaged, or have come before what is before it. */
static bool push_look_before(struct push *push, struct err *err)
{
	if (push->name.kind != WALNAME_SEGMENT)
		return true;
	push->before = (struct push_before){
	        .path = push->path, .fd = push->fd, .name = &push->name, .control = &push->control};
	return push_before_look(&push->before, err);
}

static bool push_about_cluster(struct push *push, struct err *err)
{
	if (!push->known.segment_bytes)
		return push_refuse_clone(push, err) &&
		       control_read(push->folder, &push->control, err);
	push->control = push->known;
	return true;
}

static void push_look(struct work *work)
{
	struct push *push = container_of(work, struct push, look);
	struct err *err = &work->op.err;

	if (!push_open(push, err) || !push_about_cluster(push, err) || !push_check_size(push, err))
		return;
	if (push->name.kind != WALNAME_HISTORY &&
	    !walname_fits(&push->name, push->control.segment_bytes)) {
		err_set(err, ERR_REFUSED,
		        "\"%s\" is not a possible name with segments of %" PRIu32 " bytes",
		        push->text, push->control.segment_bytes);
		return;
	}
	if (push->name.kind == WALNAME_PARTIAL && !push_digest(push, err))
		return;
	if (push->name.kind >= WALNAME_BACKUP && !push_read_small(push, err))
		return;
	if (!push_look_before(push, err))
		return;
}

/* ---- DIGESTING: of what does not prove ---- */

static void push_digest_run(struct work *work)
{
	struct push *push = container_of(work, struct push, look);

	if (push_digest(push, &work->op.err))
		push_unchanged(push, &work->op.err);
}

static void push_digest_begin(struct op *op, struct push *push)
{
	work_start_look(op, &push->look, WORK_WAL, push_digest_run);
	op_wait(op, PUSH_DIGESTING);
}

static void push_hint(struct push *push)
{
	if (push->known.segment_bytes)
		err_hint(&push->damage,
		         "It was not stored. Take a backup: as it is, no recovery gets past it. "
		         "`seawall verify` finds out what else is damaged.");
	if (push_before_failed(&push->before))
		err_hint(&push->damage,
		         "Nothing was stored, and PostgreSQL keeps the file. It or what the "
		         "repository has before it is damaged (`seawall verify` tells); no "
		         "recovery gets past that: take a backup. To archive it all the same: "
		         "seawall wal push --accept-damaged %s",
		         push->path);
	err_hint(&push->damage,
	         "Nothing was stored, and PostgreSQL keeps the file. Look for what damages it "
	         "(disk, "
	         "memory, another program in pg_wal), and take a backup. As it is, no recovery "
	         "gets past "
	         "it; to archive it all the same: "
	         "seawall wal push --accept-damaged %s",
	         push->path);
}

/* ---- WRITING: produce and accept run on a worker ---- */

static void push_part_free(struct push *push)
{
	walpart_free(push->part);
	push->part = NULL;
}

static bool push_walk_begin(struct push *push, struct err *err)
{
	struct walwalk_options options = {
	        .system_identifier = push->control.system_identifier,
	        .segment_bytes = push->control.segment_bytes,
	        .major = push->control.major,
	        .tail = push->name.kind == WALNAME_PARTIAL,
	};

	free(push->walk);
	push_part_free(push);
	push->walk = xmalloc(sizeof(*push->walk));
	if (push->site->parts && push->name.kind == WALNAME_SEGMENT && !push->accept_damaged) {
		push->part = walpart_new();
		options.sink = walpart_sink(push->part);
	}
	walwalk_init(push->walk, &options);
	return walwalk_begin(push->walk, push->name.tli,
	                     walname_segno(&push->name, push->control.segment_bytes), err);
}

/* Not everything: another cluster's WAL is not taken for anything in the world. */
static bool push_accepts(struct push *push, struct err *err)
{
	if (!push->accept_damaged || err->code != ERR_DAMAGED)
		return false;
	push->damage = *err;
	push->unproven = true;
	err_clear(err);
	return true;
}

static bool push_produce(struct object_write *write, uint8_t *room, size_t room_bytes,
                         size_t *ret_length, struct err *err)
{
	struct push *push = write->context;
	ssize_t got = file_pread_full(push->fd, room, room_bytes, push->offset);

	if (got < 0)
		return err_sys(err, "could not read file \"%s\"", push->path);
	if (push->offset == 0 && !push_walk_begin(push, err))
		return false;
	if (got > 0 && !push->unproven && !walwalk_feed(push->walk, room, (size_t)got, err) &&
	    !push_accepts(push, err))
		return false;
	if (got > 0 && push->part)
		walpart_fed(push->part, push->walk, room, (size_t)got);
	push->offset += (uint64_t)got;
	*ret_length = (size_t)got;
	return true;
}

static bool push_accept(struct object_write *write, struct err *err)
{
	struct push *push = write->context;

	if (push->offset != push->control.segment_bytes)
		return err_set(err, ERR_DAMAGED, "file \"%s\" ended after %" PRIu64 " bytes",
		               push->path, push->offset);
	if (!push->unproven && !walwalk_end(push->walk, err) && !push_accepts(push, err))
		return false;
	if (push->part && !walpart_end(push->part, push->walk))
		push_part_free(push);
	return push_unchanged(push, err);
}

static enum sealed_kind push_kind(const struct push *push)
{
	switch (push->name.kind) {
	case WALNAME_SEGMENT:
		return SEALED_WAL;
	case WALNAME_PARTIAL:
		return SEALED_PARTIAL;
	case WALNAME_BACKUP:
		return SEALED_WAL_BACKUP;
	case WALNAME_HISTORY:
		return SEALED_HISTORY;
	}
	return SEALED_WAL;
}

static void push_write(struct op *op, struct push *push, const char *object)
{
	push->offset = 0;
	push->write = (struct object_write){
	        .repo = push->site->repo,
	        .name = object,
	        .kind = push_kind(push),
	        .compression = push->site->wal_compression,
	        .class = push->class ? push->class : GATE_WAL,
	        .context = push,
	};
	if (push->content.data || push->name.kind >= WALNAME_BACKUP) {
		push->write.bytes = buf_text(&push->content);
		push->write.length = push->content.length;
	} else {
		push->write.produce = push_produce;
		push->write.accept = push_accept;
	}
	object_write_start(op, &push->write);
}

/* ---- the story ---- */

static bool push_destination_fits(const struct push *push)
{
	return push->destination->known &&
	       push->destination->facts.system_identifier == push->control.system_identifier &&
	       push->destination->facts.major == push->control.major &&
	       push->destination->n >= site_newest(push->site, push->control.system_identifier);
}

static void push_open_generation(struct op *op, struct push *push)
{
	push->doubts = push->destination->doubts;
	push->generation = (struct cluster_generation){
	        .site = push->site, .facts = generation_facts_of(&push->control)};
	cluster_generation_start(op, &push->generation);
	op_wait(op, PUSH_OPENING);
}

static bool push_take_generation(struct push *push, struct err *err)
{
	struct push_destination *destination = push->destination;

	if (push->generation.facts.segment_bytes != push->control.segment_bytes) {
		err_set(err, ERR_REFUSED,
		        "the repository has segments of %" PRIu32
		        " bytes for this system identifier, the "
		        "cluster now writes %" PRIu32,
		        push->generation.facts.segment_bytes, push->control.segment_bytes);
		err_hint(err, "The segment size was changed with pg_resetwal; its WAL needs a "
		              "repository of its own.");
		return false;
	}
	if (push->generation.begun)
		log_info("cluster \"%s\": archiving of system identifier %" PRIu64
		         " begins in \"%s\"",
		         push->site->cluster, push->control.system_identifier,
		         push->generation.generation);
	destination->facts = push->generation.facts;
	destination->changes += destination->generation[0] &&
	                        strcmp(destination->generation, push->generation.generation) != 0;
	memcpy(destination->generation, push->generation.generation,
	       sizeof(destination->generation));
	destination->n = push->generation.n;
	return true;
}

/* Who wrote before a new generation was begun does not go on in it unasked. */
static void push_load_past(struct op *op, struct push *push)
{
	catalog_release(&push->destination->past);
	push->past = (struct past_load){.repo = push->site->repo,
	                                .generation = push->destination->generation,
	                                .segment_bytes = push->control.segment_bytes,
	                                .ret = &push->destination->past};
	past_load_start(op, &push->past);
	op_wait(op, PUSH_PAST);
}

static void push_load_owners(struct op *op, struct push *push)
{
	push->load = (struct catalog_load){.repo = push->site->repo,
	                                   .generation = push->destination->generation,
	                                   .segment_bytes = push->control.segment_bytes,
	                                   .what = CATALOG_HISTORIES,
	                                   .tolerant = true,
	                                   .class = GATE_WAL,
	                                   .ret = &push->owners};
	catalog_load_start(op, &push->load);
	op_wait(op, PUSH_OWNERS);
}

/* Ends the story, in success or with the given cause, and lets go of everything. */
static void push_end(struct push *push, const struct err *cause)
{
	gate_leave(&push->ticket);
	if (push->fd >= 0)
		close(push->fd);
	push->fd = -1;
	buf_release(&push->content);
	push_before_release(&push->before);
	catalog_release(&push->owners);
	free(push->walk);
	push->walk = NULL;
	push_part_free(push);
	if (cause)
		return op_fail(&push->op, cause, "could not archive \"%s\" of cluster \"%s\"",
		               push->text, push->site->cluster);
	op_done(&push->op);
}

static const struct owner_note *push_fence(const struct push *push)
{
	uint32_t bytes = push->control.segment_bytes;

	if (push->name.kind != WALNAME_SEGMENT)
		return NULL;
	return owner_fence(&push->destination->owners, push->name.tli,
	                   lsn_of_segno(walname_segno(&push->name, bytes) + 1, bytes));
}

static void push_begin_write(struct op *op, struct push *push)
{
	gate_leave(&push->ticket);
	push->changes = push->destination->changes;
	if (err_is(&push->damage) && !push->accept_damaged)
		return push_digest_begin(op, push);
	name_wal(push->object, push->destination->generation, &push->name,
	         push->name.kind == WALNAME_PARTIAL ? &push->digest : NULL);
	if (push_fence(push)) {
		push->head = (struct catalog_head){
		        .repo = push->site->repo,
		        .generation = push->destination->generation,
		        .segment_bytes = push->control.segment_bytes,
		        .tli = push->name.tli,
		        .segno = walname_segno(&push->name, push->control.segment_bytes)};
		catalog_head_start(op, &push->head);
		return op_wait(op, PUSH_FENCED);
	}
	push_write(op, push, push->object);
	op_wait(op, PUSH_WRITING);
}

/* Where it goes is known: the seam to the segment before first, if that is still to be proven. */
static void push_go_on(struct op *op, struct push *push)
{
	const struct push_destination *destination = push->destination;

	if ((!push->known.segment_bytes || push->own) &&
	    past_bars(&destination->past, &destination->owners, push->name.tli, push->folder)) {
		past_tell(&destination->owners, destination->generation, push->name.tli, &op->err);
		push->site->left_behind = true;
		return push_end(push, &op->err);
	}
	if (!push->known.segment_bytes)
		push->site->left_behind = false;
	if (!push_before_is_open(&push->before))
		return push_begin_write(op, push);
	gate_leave(&push->ticket);
	push_before_ask_start(op, &push->before, push->site->repo, push->destination->generation);
	op_wait(op, PUSH_JOINING);
}

static void push_take_owners(struct op *op, struct push *push)
{
	if (op_failed(&push->load.op))
		return push_end(push, &push->load.op.err);
	catalog_release(&push->destination->owners);
	push->destination->owners = push->owners;
	push->owners = (struct catalog){0};
	if (push->doubts != push->destination->doubts)
		return push_open_generation(op, push);
	push->destination->known = true;
	push_go_on(op, push);
}

static void push_joined(struct op *op, struct push *push)
{
	const struct push_before *before = &push->before;
	const struct err *err = op_failed(&before->op) ? &before->op.err : &before->here;

	if (before->rescued)
		log_warning("cluster \"%s\": \"%s\" in pg_wal is damaged, and whole in repository "
		            "\"%s\"; \"%s\" was proven with that",
		            push->site->cluster, before->suspect, push->site->repository,
		            push->text);
	else if (err->code == ERR_DAMAGED)
		push->damage = *err;
	else if (err_is(err))
		return push_end(push, err);
	push_begin_write(op, push);
}

/* What is damaged is in the repository. */
static void push_mark(struct push *push)
{
	uint32_t bytes = push->control.segment_bytes;

	push->mark = (struct harm_write){.repo = push->site->repo,
	                                 .generation = push->destination->generation,
	                                 .segment_bytes = bytes,
	                                 .tli = push->name.tli,
	                                 .segno = walname_segno(&push->name, bytes),
	                                 .word = HARM_ACCEPTED,
	                                 .why = push->damage.text};
	harm_write_start(&push->op, &push->mark);
	op_wait(&push->op, PUSH_MARKING);
}

/* The same is there: somebody accepted it, and may have been killed before it was marked. */
static void push_asked(struct op *op, struct push *push)
{
	if (!op_failed(&push->there.op) &&
	    digest_equal(&push->there.sealed.digest, &push->digest)) {
		push->settle = (struct store_head){
		        .store = push->site->repo->store, .name = push->object, .durable = true};
		store_head_start(op, &push->settle);
		return op_wait(op, PUSH_SETTLING);
	}
	if (op_failed(&push->there.op) && push->there.op.err.code != ERR_NOTFOUND)
		return push_end(push, &push->there.op.err);
	push_hint(push);
	push_end(push, &push->damage);
}

/* Who accepted it may have been killed before it was on disk. */
static void push_settled(struct push *push)
{
	if (op_failed(&push->settle.op))
		return push_end(push, &push->settle.op.err);
	push->repeated = true;
	push->bytes = push->control.segment_bytes;
	if (!push_before_failed(&push->before))
		return push_mark(push);
	push_end(push, NULL);
}

static void push_digested(struct op *op, struct push *push)
{
	if (op_failed(&push->look.op))
		return push_end(push, &push->look.op.err);
	name_wal(push->object, push->destination->generation, &push->name, NULL);
	push->there = (struct object_stat){
	        .repo = push->site->repo, .name = push->object, .kind = SEALED_WAL};
	object_stat_start(op, &push->there);
	op_wait(op, PUSH_ASKING);
}

static void push_looked(struct op *op, struct push *push)
{
	if (op_failed(&push->look.op))
		return push_end(push, &push->look.op.err);
	if (push_destination_fits(push))
		return push_go_on(op, push);
	gate_enter(op, &push->ticket, &push->destination->gate, GATE_WAL, 1);
	op_wait(op, PUSH_QUEUED);
}

/* Who said that they write the timeline, for those who have to find out what happened. */
static void push_say_who(const struct push *push, struct buf *out)
{
	const struct owner_note *owner = owner_first(&push->destination->owners, push->name.tli);

	if (!owner)
		return;
	buf_addf(out, "; timeline %u was first archived from ", push->name.tli);
	owner_note_who(owner, out);
}

/* Its branch was left behind for good. */
static void push_set_fenced_aside(struct op *op, struct push *push)
{
	const struct owner_note *fence = push_fence(push);
	AUTO_BUF struct buf who = {0};

	err_clear(&push->conflict);
	buf_init(&who, ERR_TEXT_MAX);
	owner_note_who(fence, &who);
	err_set(&push->conflict, ERR_REFUSED,
	        "timeline %u was fenced from " LSN_FORMAT
	        " on: the cluster goes on on timeline %u (said by %s); \"%s\" was set aside under "
	        "conflict/",
	        push->name.tli, LSN_ARGS(fence->position), fence->other, buf_text(&who),
	        push->text);
	if (fence->tli != push->name.tli)
		err_wrap(&push->conflict, "timeline %u came from timeline %u behind its fence",
		         push->name.tli, fence->tli);
	err_hint(&push->conflict,
	         "This server writes a branch that was left behind. Stop it; to let it follow, use "
	         "pg_rewind or `seawall restore --in-place`. If it is this one that is right: "
	         "`seawall adopt` here.");
	name_conflict(push->object, push->destination->generation, push->text, &push->digest);
	push_write(op, push, push->object);
	op_wait(op, PUSH_ASIDE);
}

/* Other content has the name. Keep ours beside it, and remember what to say. */
static void push_set_aside(struct op *op, struct push *push)
{
	AUTO_BUF struct buf who = {0};
	char time[TIME_TEXT_BYTES], here[2 * SEALED_DIGEST_BYTES + 1],
	        there[2 * SEALED_DIGEST_BYTES + 1];

	buf_init(&who, ERR_TEXT_MAX);
	push_say_who(push, &who);
	clock_text_utc(push->write.existing_created_us, time);
	digest_text(&push->write.digest, here);
	digest_text(&push->write.existing, there);
	err_clear(&push->conflict);
	err_set(&push->conflict, ERR_EXISTS,
	        "the repository has \"%s\" with other content, stored at %s (there %.12s…, here "
	        "%.12s…); "
	        "ours was set aside under conflict/%s",
	        push->text, time, there, here, buf_text(&who));
	err_hint(&push->conflict,
	         "Two servers write the same timeline, or this one was rolled back (snapshot, "
	         "pg_resetwal). Nothing was overwritten. Find out which is right; when it is this "
	         "one: `seawall adopt --new-generation` here.");
	name_conflict(push->object, push->destination->generation, push->text, &push->write.digest);
	push_write(op, push, push->object);
	op_wait(op, PUSH_ASIDE);
}

static void push_written(struct op *op, struct push *push)
{
	if (op_failed(&push->write.op)) {
		if (push->write.op.err.code == ERR_EXISTS)
			return push_set_aside(op, push);
		if (push->write.op.err.code == ERR_DAMAGED && push->name.kind == WALNAME_SEGMENT) {
			push->damage = push->write.op.err;
			return push_digest_begin(op, push);
		}
		return push_end(push, &push->write.op.err);
	}
	push->repeated = push->write.repeated;
	push->bytes = push->write.logical_bytes;
	push->stored_bytes = push->write.stored_bytes;
	if (err_is(&push->damage)) {
		err_wrap(&push->damage, "\"%s\" is damaged", push->text);
		log_err(LOG_ERROR, &push->damage, ", stored all the same: that was asked for");
		return push_mark(push);
	}
	if (push->part && push->site->parts)
		walparts_put(push->site->parts, push->destination->generation, push->name.tli,
		             walname_segno(&push->name, push->control.segment_bytes),
		             STEAL(push->part));
	push_end(push, NULL);
}

/* What the repository has is the same, or a conflict: push_write() tells. Else it is set aside,
 * under its digest. */
static void push_fenced(struct op *op, struct push *push)
{
	bool looked = op->state == PUSH_FENCED;
	const struct op *child = looked ? &push->head.op : &push->look.op;

	if (op_failed(child))
		return push_end(push, &child->err);
	if ((looked && push->head.found) || !push_fence(push)) {
		push_write(op, push, push->object);
		return op_wait(op, PUSH_WRITING);
	}
	if (!looked)
		return push_set_fenced_aside(op, push);
	work_start_look(op, &push->look, WORK_WAL, push_digest_run);
	op_wait(op, PUSH_NAMING);
}

static void push_was_set_aside(struct op *op, struct push *push)
{
	if (op_failed(&push->write.op) && push->write.op.err.code != ERR_EXISTS) {
		op->err = push->write.op.err;
		err_wrap(&op->err, "could not set it aside");
		err_wrap_as(&op->err, push->conflict.code, "%s", push->conflict.text);
		return push_end(push, &op->err);
	}
	push->fenced = push->conflict.code == ERR_REFUSED;
	push_end(push, &push->conflict);
}

static void push_step(struct op *op)
{
	struct push *push = container_of(op, struct push, op);

	switch ((enum push_state)op->state) {
	case PUSH_START:
		work_start_look(op, &push->look, WORK_WAL, push_look);
		return op_wait(op, PUSH_LOOKING);

	case PUSH_LOOKING:
		return push_looked(op, push);

	case PUSH_QUEUED:
		if (op_failed(&push->ticket.op))
			return push_end(push, &push->ticket.op.err);
		if (push_destination_fits(push)) /* another push looked it up meanwhile */
			return push_go_on(op, push);
		return push_open_generation(op, push);

	case PUSH_OPENING:
		if (op_failed(&push->generation.op))
			return push_end(push, &push->generation.op.err);
		if (!push_take_generation(push, &op->err))
			return push_end(push, &op->err);
		return push_load_past(op, push);

	case PUSH_PAST:
		if (op_failed(&push->past.op))
			return push_end(push, &push->past.op.err);
		return push_load_owners(op, push);

	case PUSH_OWNERS:
		return push_take_owners(op, push);

	case PUSH_JOINING:
		return push_joined(op, push);
	case PUSH_DIGESTING:
		return push_digested(op, push);
	case PUSH_ASKING:
		return push_asked(op, push);
	case PUSH_SETTLING:
		return push_settled(push);

	case PUSH_MARKING:
		if (!op_failed(&push->mark.op))
			return push_end(push, NULL);
		err_wrap(&push->mark.op.err, "it is stored, and is not marked as damaged");
		return push_end(push, &push->mark.op.err);

	case PUSH_FENCED:
	case PUSH_NAMING:
		return push_fenced(op, push);

	case PUSH_WRITING:
		return push_written(op, push);

	case PUSH_ASIDE:
		return push_was_set_aside(op, push);
	}
}

static const struct op_type push_type = {
        .name = "push", .step = push_step, .state_name = push_state_name};

void push_start(struct op *parent, struct push *push)
{
	push->fd = -1;
	walname_format(&push->name, push->text);
	op_start(parent, &push->op, &push_type);
}

void push_start_root(struct loop *loop, struct push *push, void (*on_done)(struct op *op))
{
	push->fd = -1;
	walname_format(&push->name, push->text);
	op_start_root(loop, &push->op, &push_type, on_done);
}
