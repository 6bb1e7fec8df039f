/*
 * backup_wal.c — "completed" means that the WAL is there: one look at each segment's header, in
 * order.
 *
 *   START -> LOOKING -> LOOKING ... -> COMPARING -> LOOKING, at the history -> done
 *               ^  |
 *               |  v   not there yet: 10 ms at first, 200 ms at most
 *             RESTING <- - COUNTING    at first, and out of time: has anything come meanwhile?
 *
 * The header says what the object is (its name is checked against it) and how long its content is;
 * it was proven record by record when it was stored.
 */
#include "backup_wal.h"

#include <inttypes.h>

#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/poison.h"

enum { NAP_FIRST_MS = 10, NAP_MS_MAX = 200 };

enum wait_state { WAIT_START, WAIT_LOOKING, WAIT_RESTING, WAIT_COUNTING, WAIT_COMPARING };

static void wait_look(struct op *op, struct wal_wait *wait)
{
	struct walname wal = {.kind = WALNAME_HISTORY, .tli = wait->tli};
	char segment[SEGMENT_NAME_BYTES];

	if (!wait->history) {
		segment_name(wait->tli, wait->segno, wait->segment_bytes, segment);
		if (!walname_parse(segment, &wal))
			return op_fail_as(op, ERR_INTERNAL, "\"%s\" is no name of a segment",
			                  segment);
	}
	walname_format(&wal, wait->waiting_for);
	if (wait->history)
		name_history(wait->name, wait->generation, wait->tli);
	else
		name_wal(wait->name, wait->generation, &wal, NULL);
	wait->stat = (struct object_stat){
	        .repo = wait->repo,
	        .name = wait->name,
	        .kind = wait->history ? SEALED_HISTORY : SEALED_WAL,
	};
	object_stat_start(op, &wait->stat);
	op_wait(op, WAIT_LOOKING);
}

static void wait_timeout(struct op *op, const struct wal_wait *wait)
{
	err_set(&op->err, ERR_TIMEOUT,
	        "%s \"%s\" did not reach the repository within %" PRId64 " s",
	        wait->history ? "timeline history file" : "WAL segment", wait->waiting_for,
	        wait->wait_ms / 1000);
	err_hint(&op->err, "See what PostgreSQL's log says of archive_command, and the view "
	                   "pg_stat_archiver; then make the backup again.");
	op_fail_own(op);
}

static void wait_rest(struct op *op, struct wal_wait *wait)
{
	if (!wait->counted || loop_now_ms(op->loop) - wait->since_ms >= wait->wait_ms) {
		wait->tail = (struct catalog_tail){
		        .repo = wait->repo,
		        .generation = wait->generation,
		        .segment_bytes = wait->segment_bytes,
		        .tli = wait->tli,
		};
		catalog_tail_start(op, &wait->tail);
		return op_wait(op, WAIT_COUNTING);
	}
	nap_start(op, &wait->nap, wait->nap_ms);
	wait->nap_ms = MIN(2 * wait->nap_ms, NAP_MS_MAX);
	op_wait(op, WAIT_RESTING);
}

/* The archiver works through a queue: as long as it gets on, waiting makes sense. */
static void wait_counted(struct op *op, struct wal_wait *wait)
{
	if (op_failed(&wait->tail.op))
		return op_fail(op, &wait->tail.op.err, "could not look for the backup's WAL");
	if (wait->counted && (!wait->tail.found || wait->tail.segno <= wait->highest))
		return wait_timeout(op, wait);
	wait->counted = true;
	wait->highest = wait->tail.found ? wait->tail.segno : 0;
	wait->since_ms = loop_now_ms(op->loop);
	wait_rest(op, wait);
}

/* Ends when the last is there. */
static void wait_next(struct op *op, struct wal_wait *wait)
{
	wait->since_ms = loop_now_ms(op->loop);
	wait->nap_ms = NAP_FIRST_MS;
	if (wait->history || (wait->segno == wait->last && wait->tli == 1)) {
		wait->waiting_for[0] = '\0';
		return op_done(op);
	}
	wait->history = wait->segno == wait->last;
	wait->segno += !wait->history;
	wait_look(op, wait);
}

/* Whether path still leads to the open file. PostgreSQL renames a segment that was archived before
 * it writes it anew. */
static bool stayed(int fd, const char *path)
{
	struct stat opened, now;

	return fstat(fd, &opened) == 0 && stat(path, &now) == 0 && opened.st_ino == now.st_ino &&
	       opened.st_dev == now.st_dev;
}

static void compare_run(struct work *work)
{
	struct wal_wait *wait = container_of(work, struct wal_wait, look);
	char segment[SEGMENT_NAME_BYTES]; /* waiting_for may be about another repository */
	AUTO_FREE
	char *path = NULL;
	AUTO_FD
	int fd = -1;
	struct digester *digester;
	struct digest digest;

	segment_name(wait->tli, wait->last, wait->segment_bytes, segment);
	path = xasprintf("%s/pg_wal/%s", wait->pgdata, segment);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		if (errno != ENOENT) /* recycled, since it was archived */
			err_sys(&work->op.err, "could not open file \"%s\"", path);
		return;
	}
	digester = digester_new();
	if (!digester_add_file(digester, fd))
		err_sys(&work->op.err, "could not read file \"%s\"", path);
	digester_end(digester, &digest);
	digester_free(digester);
	if (err_is(&work->op.err) || digest_equal(&digest, &wait->stat.sealed.digest) ||
	    !stayed(fd, path))
		return;
	err_set(&work->op.err, ERR_REFUSED,
	        "WAL segment \"%s\" in the repository is not that of this server", segment);
	err_hint(&work->op.err,
	         "Another server archives this cluster under the same names: what it "
	         "wrote does not belong to this backup. `seawall check` says whose "
	         "the timeline is, `seawall adopt` makes it this server's.");
}

static void wait_looked(struct op *op, struct wal_wait *wait)
{
	const struct sealed *sealed = &wait->stat.sealed;

	if (op_failed(&wait->stat.op)) {
		if (wait->stat.op.err.code == ERR_NOTFOUND)
			return wait_rest(op, wait);
		return op_fail(op, &wait->stat.op.err, "could not look for the backup's WAL");
	}
	if (!wait->history && sealed->logical_bytes + sealed->parts_bytes != wait->segment_bytes)
		return op_fail_as(op, ERR_DAMAGED,
		                  "WAL segment \"%s\" in the repository has %" PRIu64
		                  " bytes instead of %" PRIu32,
		                  wait->waiting_for, sealed->logical_bytes + sealed->parts_bytes,
		                  wait->segment_bytes);
	if (wait->history || wait->segno != wait->last || !wait->pgdata)
		return wait_next(op, wait);
	work_start_class(op, &wait->look, WORK_BACKUP, compare_run);
	op_wait(op, WAIT_COMPARING);
}

static void wait_step(struct op *op)
{
	struct wal_wait *wait = container_of(op, struct wal_wait, op);

	if (op->cancelled)
		return op_fail_as(op, ERR_CANCELLED, "cancelled");
	switch ((enum wait_state)op->state) {
	case WAIT_START:
		wait->segno = lsn_segno(wait->start_lsn, wait->segment_bytes);
		wait->last = lsn_segno_before(wait->stop_lsn, wait->segment_bytes);
		wait->since_ms = loop_now_ms(op->loop);
		wait->nap_ms = NAP_FIRST_MS;
		return wait_look(op, wait);

	case WAIT_LOOKING:
		return wait_looked(op, wait);

	case WAIT_RESTING:
		return wait_look(op, wait);

	case WAIT_COUNTING:
		return wait_counted(op, wait);

	case WAIT_COMPARING:
		if (op_failed(&wait->look.op))
			return op_fail(op, &wait->look.op.err,
			               "the backup's WAL is not in the repository");
		return wait_next(op, wait);
	}
}

static const struct op_type wait_type = {.name = "wal wait", .step = wait_step};

void wal_wait_start(struct op *parent, struct wal_wait *wait)
{
	op_start(parent, &wait->op, &wait_type);
}
