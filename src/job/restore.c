/*
 * restore.c — the story of a restore.
 *
 *   START -> LOOKING (a worker: what lies at the target, is it ours)
 *         -> SAVING (in place: what pg_wal has and the archive lacks)
 *         -> LOADING (generation, listings, heads)
 *         -> CHOOSING (backup, path and end: restore_choosing.c)
 *         -> SCANNING (the manifest: how much goes where)
 *         -> ROOM (a worker: disks, rights, tablespaces)      nothing was written until here
 *         -> MAKING (a worker: folders, journal, plan; in place: pg_control moves away)
 *         -> COPYING -> SETTLING (a worker: settings, sync, pg_control)
 *         -> FOLLOWING (with `start`) -> FINISHING (a worker) -> done
 *
 * With a journal of the same command the plan is read instead of made, and the copy keeps what is
 * right already.
 */
#include "restore_internal.h"
#include "restore_rates.h"
#include "base/clock.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>
#include "base/poison.h"

enum restore_state {
	RESTORE_START,
	RESTORE_LOOKING,
	RESTORE_SAVE,
	RESTORE_LOADING,
	RESTORE_CHOOSING,
	RESTORE_SCANNING,
	RESTORE_ROOM,
	RESTORE_MAKING,
	RESTORE_COPY,
	RESTORE_SETTLING,
	RESTORE_FOLLOWING,
	RESTORE_ENDED,
};

bool restore_then_parse(const char *text, enum restore_then *ret)
{
	static const char *const words[] = {"promote", "pause", "shutdown"};

	for (unsigned i = 0; i < ARRAY_LENGTH(words); i++)
		if (strcmp(text, words[i]) == 0) {
			*ret = (enum restore_then)i;
			return true;
		}
	return false;
}

const char *restore_phase_text(enum restore_phase phase)
{
	static const char *const texts[] = {"planning",
	                                    "checking",
	                                    "saving WAL",
	                                    "comparing files",
	                                    "copying files",
	                                    "syncing",
	                                    "writing settings",
	                                    "starting PostgreSQL",
	                                    "replaying WAL",
	                                    "finishing recovery",
	                                    "done"};

	return texts[phase];
}

static void enter(struct restore *restore, enum restore_phase phase)
{
	restore->progress.phase = phase;
	if (restore->changed)
		restore->changed(restore);
}

static void say(struct restore *restore, const char *line)
{
	if (restore->said)
		restore->said(restore, line);
}

/* ---- options ---- */

static void add_strs(struct buf *out, const char *name, const struct strs *strs)
{
	for (size_t i = 0; i < strs->count; i++)
		buf_addf(out, " --%s %s", name, strs->item[i]);
}

/* What makes this restore the one that it is. */
static char *command_of(const struct restore *restore)
{
	const struct restore_options *options = restore->options;
	AUTO_BUF struct buf out;

	buf_init(&out, 1 << 20);
	buf_addf(&out, "restore %s --to %s%s", restore->site->cluster,
	         options->to ? options->to : "latest", options->before ? " --before" : "");
	if (options->timeline)
		buf_addf(&out, " --timeline %s", options->timeline);
	if (options->in_place)
		buf_addstr(&out, " --in-place");
	if (options->link_pgwal)
		buf_addf(&out, " --link-pgwal %s", options->link_pgwal);
	add_strs(&out, "tablespace", &options->tablespace);
	return buf_steal(&out);
}

static bool options_check(struct restore *restore, struct err *err)
{
	const struct restore_options *options = restore->options;

	if (!restore_target_parse(options->to ? options->to : "latest", &restore->detail->target,
	                          err))
		return false;
	restore->detail->target.before = options->before;
	if (options->before && (restore->detail->target.kind == RESTORE_LATEST ||
	                        restore->detail->target.kind == RESTORE_BACKUP_END))
		return err_set(err, ERR_USAGE,
		               "--before needs a target: a time, lsn:, xid: or name:");
	for (size_t i = 0; i < options->tablespace.count; i++)
		if (!strchr(options->tablespace.item[i], '='))
			return err_set(err, ERR_USAGE, "\"--tablespace %s\" is not NAME=DIRECTORY",
			               options->tablespace.item[i]);
	if (!options->pgdata && !restore->site->pgdata)
		return err_set(err, ERR_USAGE,
		               "it is not known where to restore to: give --pgdata");
	return true;
}

/* ---- choosing ---- */

static void random_id(char out[RESTORE_ID_BYTES])
{
	uint8_t bytes[(RESTORE_ID_BYTES - 1) / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		abort(); /* cannot be for so few */
	str_hex_of(bytes, sizeof(bytes), out);
}

/* ---- the plan is there ---- */

static bool plan_fill(struct restore *restore, struct err *err)
{
	struct restore_detail *detail = restore->detail;
	struct restore_plan *plan = &restore->plan;

	random_id(plan->id);
	plan->cluster = xstrdup(restore->site->cluster);
	plan->generation = xstrdup(detail->load.generation);
	plan->known_tli = catalog_highest_tli(&detail->load.catalog);
	plan->config = restore->site->config_path ? xstrdup(restore->site->config_path) : NULL;
	plan->pgdata = xstrdup(detail->place.path);
	plan->clone = detail->place.clone;
	plan->in_place = restore->options->in_place && !detail->place.empty;
	if (plan->in_place && detail->place.system_identifier &&
	    detail->place.system_identifier != plan->system_identifier)
		return err_set(err, ERR_REFUSED,
		               "\"%s\" is the data directory of another cluster (system identifier "
		               "%llu, the backup has %llu)",
		               plan->pgdata, (unsigned long long)detail->place.system_identifier,
		               (unsigned long long)plan->system_identifier);
	return restore_tablespaces(plan, detail->head, &restore->options->tablespace, err);
}

static struct restore_room room_of(const struct restore *restore)
{
	const struct restore_detail *detail = restore->detail;

	return (struct restore_room){.plan = &restore->plan,
	                             .link_pgwal = restore->options->link_pgwal,
	                             .exists = detail->place.exists,
	                             .in_place = restore->plan.in_place,
	                             .resume = detail->place.resume,
	                             .group_access = detail->head->group_access,
	                             .tablespace_bytes = detail->scan.tablespace_bytes,
	                             .main_bytes = detail->scan.main_bytes};
}

static void room_run(struct work *work)
{
	struct restore_detail *detail = container_of(work, struct restore_detail, work);
	struct restore *restore = detail->restore;
	struct restore_room room = room_of(restore);
	struct restore_rates rates;

	restore_rates_read(restore->site->state, &rates);
	restore->estimate = restore_estimate(
	        &rates, &restore->plan, (detail->head->ended_us - detail->head->begun_us) / 1000);
	if (!restore_room_check(&room, &work->op.err))
		return;
	for (size_t i = 0; i < restore->options->option.count; i++)
		if (!conf_option_check(restore->options->option.item[i], &work->op.err))
			return;
}

static void plan_complete(struct restore *restore)
{
	struct restore_detail *detail = restore->detail;
	struct op *op = &restore->op;

	detail->head = heads_find(&detail->load.backups.heads, restore->plan.backup);
	if (!detail->head)
		return op_fail_as(op, ERR_NOTFOUND,
		                  "backup %s cannot be read, or is not there any more",
		                  restore->plan.backup);
	restore->from = restore_backups_site(&detail->load.backups, restore->plan.backup);
	if (!detail->place.resume && !plan_fill(restore, &op->err))
		return op_fail_own(op);
	restore->progress.bytes_total = detail->head->logical_bytes;
	restore->progress.files_total = detail->head->files;
	detail->pg_bin = restore_pg_bin(restore->site, detail->head);
	if (restore->options->start && !detail->pg_bin)
		return op_fail_as(
		        op, ERR_REFUSED,
		        "the programs of PostgreSQL %u are not found: set pg_bin in section "
		        "[cluster %s]",
		        detail->head->major, restore->site->cluster);
	enter(restore, RESTORE_CHECKING);
	detail->scan = (struct restore_scan){.site = restore->site,
	                                     .home = restore->from,
	                                     .plan = &restore->plan,
	                                     .head = detail->head};
	restore_scan_start(op, &detail->scan);
	op_wait(op, RESTORE_SCANNING);
}

/* ---- workers ---- */

static void look_run(struct work *work)
{
	struct restore_detail *detail = container_of(work, struct restore_detail, work);
	struct restore *restore = detail->restore;
	AUTO_FREE char *plan = NULL;

	if (!restore_place_look(&detail->place, &work->op.err)) {
		if (restore->options->plan_only && detail->place.path &&
		    work->op.err.code == ERR_REFUSED) { /* said after the plan */
			detail->refused = work->op.err;
			err_clear(&work->op.err);
		}
		return;
	}
	if (!detail->place.resume)
		return;
	plan = path_join(detail->place.path, RESTORE_PLAN_FILE);
	if (!restore_plan_read(plan, &restore->plan, &work->op.err))
		err_wrap(&work->op.err, "could not go on with the restore in \"%s\"",
		         detail->place.path);
}

/* One restore at a time in a directory: held until the end of this process. */
static bool open_locked(struct restore_detail *detail, const char *pgdata, struct err *err)
{
	detail->folder = open(pgdata, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (detail->folder < 0)
		return err_sys(err, "could not open directory \"%s\"", pgdata);
	if (flock(detail->folder, LOCK_EX | LOCK_NB) == 0)
		return true;
	return err_set(err, ERR_REFUSED, "another restore is at work in \"%s\"", pgdata);
}

/* From here on there is something to complete or to remove. */
static bool make(struct restore *restore, struct err *err)
{
	struct restore_detail *detail = restore->detail;
	const char *pgdata = restore->plan.pgdata;
	AUTO_FREE char *plan = path_join(pgdata, RESTORE_PLAN_FILE);
	struct restore_room room = room_of(restore);

	if (!restore_room_make(&room, err) || !open_locked(detail, pgdata, err) ||
	    !restore_mode_set(detail, err) || !restore_drafts_remove(pgdata, err))
		return false;
	if (!detail->place.resume &&
	    (!restore_plan_write(&restore->plan, plan, err) ||
	     !restore_journal_write(pgdata, detail->command, JOURNAL_COPYING, err)))
		return false;
	return !restore->plan.in_place || detail->place.placed || restore_clear(restore, err);
}

static void make_run(struct work *work)
{
	struct restore_detail *detail = container_of(work, struct restore_detail, work);

	if (!make(detail->restore, &work->op.err))
		err_wrap(&work->op.err, "could not begin the restore into \"%s\"",
		         detail->restore->plan.pgdata);
}

/* Until all is on disk, which restore_settle() has seen to. */
static void keep_copy_rate(const struct restore_detail *detail)
{
	const struct restore *restore = detail->restore;
	int64_t ms = (clock_mono_us() - detail->copy_begun_us) / 1000;
	struct restore_rates rates = {.copy = restore_rate(restore->progress.bytes_done, ms)};

	if (detail->copy_begun_us)
		restore_rates_keep(restore->site->state, &rates);
}

static void keep_replay_rate(const struct restore *restore)
{
	const struct restore_progress *progress = &restore->progress;
	uint64_t bytes = progress->replay_at - MIN(progress->replay_from, progress->replay_at);
	struct restore_rates rates = {.replay = restore_rate(bytes, progress->replay_ms)};

	if (progress->replay_ms > 0)
		restore_rates_keep(restore->site->state, &rates);
}

static void settle_run(struct work *work)
{
	struct restore_detail *detail = container_of(work, struct restore_detail, work);

	if (!restore_settle(detail->restore, &work->op.err))
		return;
	keep_copy_rate(detail);
}

static void finish_run(struct work *work)
{
	struct restore_detail *detail = container_of(work, struct restore_detail, work);

	keep_replay_rate(detail->restore);
	if (!restore_finish(detail->restore, &work->op.err))
		err_wrap(&work->op.err, "the restore is complete, but could not be tidied up");
}

/* ---- the story ---- */

static void work_on(struct restore *restore, void (*run)(struct work *work), int state)
{
	struct restore_detail *detail = restore->detail;

	detail->work = (struct work){0};
	work_start_class(&restore->op, &detail->work, WORK_RESTORE, run);
	op_wait(&restore->op, state);
}

static void copy_moved(struct restore_copy *copy)
{
	struct restore *restore = copy->context;

	restore->progress.bytes_done = copy->bytes;
	restore->progress.files_done = copy->files;
	restore->progress.bytes_read = copy->bytes_read;
	restore->progress.bytes_kept = copy->bytes_kept;
}

static void copy_begin(struct restore *restore)
{
	struct restore_detail *detail = restore->detail;
	const struct restore_options *options = restore->options;

	detail->copy = (struct restore_copy){
	        .site = restore->site,
	        .home = restore->from,
	        .digest = detail->scan.digest,
	        .plan = &restore->plan,
	        .head = detail->head,
	        .folder = detail->folder,
	        .pgdata = restore->plan.pgdata,
	        .compare = detail->place.resume || restore->plan.in_place,
	        .outside = restore->plan.clone,
	        .link_pgwal = options->link_pgwal,
	        .moved = copy_moved,
	        .context = restore,
	};
	detail->copy_begun_us = detail->copy.compare ? 0 : clock_mono_us();
	enter(restore, RESTORE_COPYING);
	restore_copy_start(&restore->op, &detail->copy);
	op_wait(&restore->op, RESTORE_COPY);
}

static void planned(struct restore *restore)
{
	struct restore_detail *detail = restore->detail;

	restore->resumed = detail->place.resume;
	if (restore->planned)
		restore->planned(restore);
	if (restore->options->plan_only && err_is(&detail->refused))
		return op_fail(&restore->op, &detail->refused,
		               "this plan cannot be carried out now");
	if (restore->options->plan_only)
		return op_done(&restore->op);
	if (detail->place.resume)
		say(restore, "an earlier run of this restore was not finished: going on with it");
	work_on(restore, make_run, RESTORE_MAKING);
}

/* Files are in their place: start, or leave the directory ready to start. */
static void ready(struct restore *restore)
{
	if (restore->options->start) {
		restore->detail->follow = (struct restore_follow){.restore = restore};
		restore_follow_start(&restore->op, &restore->detail->follow);
		return op_wait(&restore->op, RESTORE_FOLLOWING);
	}
	work_on(restore, finish_run, RESTORE_ENDED);
}

static void loaded(struct restore *restore)
{
	struct restore_detail *detail = restore->detail;
	char line[ERR_TEXT_MAX];

	for (size_t i = 0; i < detail->load.backups.heads.unreadables; i++) {
		restore_load_warning(&detail->load, i, line, sizeof(line));
		say(restore, line);
	}
	if (detail->place.resume)
		return plan_complete(restore);
	detail->choosing = (struct restore_choosing){.restore = restore};
	restore_choosing_start(&restore->op, &detail->choosing);
	op_wait(&restore->op, RESTORE_CHOOSING);
}

static void begin(struct restore *restore)
{
	struct restore_detail *detail = restore->detail;

	restore->progress.begun_us = clock_now_us();
	if (!options_check(restore, &restore->op.err))
		return op_fail_own(&restore->op);
	detail->command = command_of(restore);
	detail->place = (struct restore_place){
	        .given =
	                restore->options->pgdata ? restore->options->pgdata : restore->site->pgdata,
	        .own = restore->site->pgdata,
	        .repository = detail->repository,
	        .state = restore->site->state,
	        .in_place = restore->options->in_place,
	        .command = detail->command,
	};
	enter(restore, RESTORE_PLANNING);
	work_on(restore, look_run, RESTORE_LOOKING);
}

static void load(struct restore *restore)
{
	struct restore_detail *detail = restore->detail;

	enter(restore, RESTORE_PLANNING);
	detail->load = (struct restore_load){.site = restore->site};
	restore_load_start(&restore->op, &detail->load);
	op_wait(&restore->op, RESTORE_LOADING);
}

static void looked(struct restore *restore)
{
	struct restore_detail *detail = restore->detail;

	/* What is only here goes into the archive, so that the plan can count on it. */
	if (!restore->options->in_place || detail->place.empty || detail->place.resume ||
	    restore->options->plan_only)
		return load(restore);
	enter(restore, RESTORE_SAVING);
	restore_save_start(&restore->op, &detail->save, restore);
	op_wait(&restore->op, RESTORE_SAVE);
}

/* The steps until the first byte is written. False: it is one of the later ones. */
static bool plan_step(struct restore *restore)
{
	struct restore_detail *detail = restore->detail;
	struct op *op = &restore->op;

	switch ((enum restore_state)op->state) {
	case RESTORE_START:
		begin(restore);
		return true;
	case RESTORE_LOOKING:
		if (op_failed(&detail->work.op))
			op_fail(op, &detail->work.op.err, "could not restore cluster \"%s\"",
			        restore->site->cluster);
		else
			looked(restore);
		return true;
	case RESTORE_SAVE:
		if (op_failed(&detail->save.op))
			op_fail(op, &detail->save.op.err,
			        "nothing was changed, because the WAL in \"%s\" could not be saved",
			        detail->place.path);
		else
			load(restore);
		return true;
	case RESTORE_LOADING:
		if (op_failed(&detail->load.op))
			op_fail(op, &detail->load.op.err, "could not restore cluster \"%s\"",
			        restore->site->cluster);
		else
			loaded(restore);
		return true;
	case RESTORE_CHOOSING:
		if (op_failed(&detail->choosing.op)) {
			op->err = detail->choosing.op.err;
			op_fail_own(op);
		} else {
			plan_complete(restore);
		}
		return true;
	default:
		return false;
	}
}

/* What is damaged stays so: the way on is the backup before. */
static void hint_older(struct restore *restore)
{
	char name[NAME_BYTES];

	name_backup(name, restore->plan.generation, restore->plan.backup);
	err_hint(&restore->op.err,
	         "The same command would meet it again. To use the backup before this one, move "
	         "object \"%s\" out of the repository (keep it), and run the command again; into "
	         "a directory that is not empty any more, with --in-place.",
	         name);
}

/* Ends the story with the error of a part of it. */
static void give_up(struct restore *restore, const struct op *part)
{
	op_fail(&restore->op, &part->err, "could not restore cluster \"%s\"",
	        restore->site->cluster);
}

static void scan_failed(struct restore *restore)
{
	give_up(restore, &restore->detail->scan.op);
	if (restore->op.err.code == ERR_DAMAGED)
		hint_older(restore);
}

static void copied(struct restore *restore)
{
	struct restore_detail *detail = restore->detail;

	copy_moved(&detail->copy);
	if (op_failed(&detail->copy.op)) {
		op_fail(&restore->op, &detail->copy.op.err,
		        "could not restore the files into \"%s\"", restore->plan.pgdata);
		if (restore->op.err.code == ERR_DAMAGED)
			return hint_older(restore);
		return err_hint(&restore->op.err, "The same command goes on where this one ended.");
	}
	enter(restore, RESTORE_SYNCING);
	work_on(restore, settle_run, RESTORE_SETTLING);
}

static void followed(struct restore *restore)
{
	struct restore_detail *detail = restore->detail;

	if (detail->follow.served && restore->unserve)
		restore->unserve(restore);
	if (op_failed(&detail->follow.op))
		return op_fail(
		        &restore->op, &detail->follow.op.err,
		        "the files are restored into \"%s\", but the recovery did not succeed",
		        restore->plan.pgdata);
	work_on(restore, finish_run, RESTORE_ENDED);
}

static void restore_step(struct op *op)
{
	struct restore *restore = container_of(op, struct restore, op);
	struct restore_detail *detail = restore->detail;

	if (plan_step(restore))
		return;
	switch ((enum restore_state)op->state) {
	case RESTORE_SCANNING:
		if (op_failed(&detail->scan.op))
			return scan_failed(restore);
		return work_on(restore, room_run, RESTORE_ROOM);

	case RESTORE_ROOM:
		if (op_failed(&detail->work.op))
			return give_up(restore, &detail->work.op);
		return planned(restore);

	case RESTORE_MAKING:
		if (op_failed(&detail->work.op))
			return give_up(restore, &detail->work.op);
		if (detail->place.placed)
			return ready(restore);
		return copy_begin(restore);

	case RESTORE_COPY:
		return copied(restore);

	case RESTORE_SETTLING:
		if (op_failed(&detail->work.op))
			return give_up(restore, &detail->work.op);
		return ready(restore);

	case RESTORE_FOLLOWING:
		return followed(restore);

	case RESTORE_ENDED:
		if (op_failed(&detail->work.op)) {
			op->err = detail->work.op.err;
			return op_fail_own(op);
		}
		enter(restore, RESTORE_DONE);
		return op_done(op);
	default:
		return;
	}
}

/* The folder of a repository that is one. */
static char *repository_folder(const struct site *site)
{
	const char *url = store_url(site->repo->store);

	return str_starts(url, "file://") ? xstrdup(url + strlen("file://")) : NULL;
}

void restore_start(struct op *parent, struct restore *restore)
{
	static const struct op_type type = {.name = "restore", .step = restore_step};

	restore->detail = xcalloc(1, sizeof(*restore->detail));
	restore->detail->restore = restore;
	restore->detail->folder = -1;
	restore->detail->repository = repository_folder(restore->site);
	op_start(parent, &restore->op, &type);
}

void restore_release(struct restore *restore)
{
	struct restore_detail *detail = restore->detail;

	if (!detail)
		return;
	restore_copy_release(&detail->copy);
	restore_follow_release(&detail->follow);
	restore_save_release(&detail->save);
	restore_scan_release(&detail->scan);
	restore_place_release(&detail->place);
	restore_load_release(&detail->load);
	if (detail->folder >= 0)
		close(detail->folder);
	restore_choosing_release(&detail->choosing);
	free(detail->command);
	free(detail->pg_bin);
	free(detail->repository);
	free(detail);
	restore->detail = NULL;
	restore_plan_release(&restore->plan);
}
