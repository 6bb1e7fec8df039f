/*
 * backup.c — the story of a base backup.
 *
 *   START -> LOCKING -> CONNECTING -> ASKING -> LOOKING -> OPENING -> CLAIMING
 *         -> STARTING     pg_backup_start; meanwhile a walk counts the bytes
 *         -> COPYING      the data directory, without what comes late
 *         -> LISTING      the names of the tablespaces
 *         -> ENDING       pg_control as it is now
 *         -> STOPPING     pg_backup_stop, without waiting for anything
 *         -> COPYING_LATE pg_control, backup_label, tablespace_map, configuration outside
 *         -> FINISHING    in each repository: until the WAL from start to stop is there, then the
 *                         manifest's head: now the backup exists (backup_target.c)
 *
 * Every state has one way out besides: backup_fail(), after all children have ended. The session is
 * closed there, which ends the server's backup mode; nothing else has to be undone.
 */
#include "job/backup.h"

#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup_check.h"
#include "backup_copy.h"
#include "backup_outside.h"
#include "backup_target.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/file.h"
#include "base/log.h"
#include "base/units.h"
#include "pg/version.h"

#include "base/poison.h"

struct backup_detail {
	struct backup *backup;
	int lock_fd;
	char *pgdata;
	char version_folder[PG_VERSION_FOLDER_BYTES];
	char label[BACKUP_LABEL_MAX];
	struct session session;
	struct session_open connect;
	struct facts_ask ask;
	struct query query;
	struct work work;
	struct control control;
	char *pg_bin;
	struct backup_targets targets;
	struct count {
		struct op op;
		struct work work;
		struct walk *walk;
		bool begun, more;
		uint64_t bytes, files;
	} count;
	struct walk *walk;
	bool walking; /* walk_begin was called */
	lsn start_lsn;
	struct copy_tally tally;
	struct copy copy;
	uint8_t control_bytes[CONTROL_BYTES];
	uint32_t control_mode;
	int64_t control_modified_us;
	struct backup_stop stop;
	bool late_planned;
};

/* clang-format off */
#define BACKUP_STATES(X) \
	X(STATE_START) X(STATE_LOCKING) X(STATE_CONNECTING) X(STATE_ASKING) X(STATE_LOOKING) \
	X(STATE_OPENING) X(STATE_CLAIMING) X(STATE_STARTING) X(STATE_COPYING) X(STATE_LISTING) \
	X(STATE_ENDING) X(STATE_STOPPING) X(STATE_COPYING_LATE) X(STATE_FINISHING)
/* clang-format on */
OP_STATES(backup_state, BACKUP_STATES)

const char *backup_phase_text(enum backup_phase phase)
{
	static const char *const texts[] = {
	        [BACKUP_CHECKING] = "checking",
	        [BACKUP_STARTING] = "waiting for a checkpoint",
	        [BACKUP_COPYING] = "copying files",
	        [BACKUP_STOPPING] = "ending backup mode",
	        [BACKUP_WAITING] = "waiting for WAL in the repository",
	        [BACKUP_WRITING] = "writing the manifest",
	        [BACKUP_DONE] = "done",
	};

	return texts[phase];
}

int backup_exit(const struct manifest_head *head)
{
	for (size_t i = 0; i < head->findings; i++)
		if (!head->finding[i].warning)
			return err_code_exit(ERR_DAMAGED);
	return 0;
}

static void backup_enter(struct backup *backup, enum backup_phase phase)
{
	if (backup->progress.phase == phase)
		return;
	backup->progress.phase = phase;
	if (backup->changed)
		backup->changed(backup);
}

/* ---- the end ---- */

static void detail_free(struct backup_detail *detail)
{
	if (!detail)
		return;
	query_release(&detail->query);
	session_close(&detail->session);
	if (detail->lock_fd >= 0)
		close(detail->lock_fd);
	targets_release(&detail->targets);
	copy_tally_release(&detail->tally);
	walk_free(detail->walk);
	backup_stop_release(&detail->stop);
	free(detail->pg_bin);
	free(detail->pgdata);
	free(detail);
}

/* What stays in the repositories. Not told when a manifest may be there: then it may be one's own.
 */
static void hint_left(const struct backup *backup, struct err *err)
{
	const struct backup_targets *targets = &backup->detail->targets;
	char size[UNITS_TEXT_BYTES];

	if (backup->progress.bytes_stored == 0)
		return;
	for (unsigned i = 0; i < targets->count; i++)
		if (targets->target[i].sealing)
			return;
	units_size(backup->progress.bytes_stored, size);
	err_hint(err,
	         "What it had stored, %s below \"pack/%s/\", stays in the repository until it is "
	         "deleted there. Nothing refers to it.",
	         size, backup->id);
}

static void backup_fail(struct backup *backup, const struct err *cause)
{
	struct err err = *cause; /* most likely a part of what is freed */

	if (backup->op.cancelled) {
		err_clear(&err);
		err_set(&err, ERR_CANCELLED, "the backup of cluster \"%s\" was cancelled",
		        backup->site->cluster);
	} else {
		err_wrap(&err, "could not make a backup of cluster \"%s\"", backup->site->cluster);
	}
	hint_left(backup, &err);
	detail_free(STEAL(backup->detail));
	backup->op.err = err;
	op_fail_own(&backup->op);
}

void backup_release(struct backup *backup)
{
	manifest_head_release(&backup->head);
}

/* ---- before it begins ---- */

static void lock_run(struct work *work)
{
	struct backup_detail *detail = container_of(work, struct backup_detail, work);
	const struct site *site = detail->backup->site;

	if (!backup_label_check(detail->backup->label, &work->op.err))
		return;
	if (site->state && !backup_lock(site, &detail->lock_fd, &work->op.err))
		err_wrap(&work->op.err, "could not begin");
}

/* On a worker: the data directory that the server has told us. */
static void look_run(struct work *work)
{
	struct backup_detail *detail = container_of(work, struct backup_detail, work);
	const struct facts *facts = &detail->ask.facts;
	const struct site *site = detail->backup->site;
	struct err *err = &work->op.err;

	if (!backup_check_facts(facts, err))
		return;
	if (!site->pgdata && !facts->data_directory[0]) {
		err_set(err, ERR_CONFIG, "the data directory of cluster \"%s\" is not known",
		        site->cluster);
		err_hint(err, "Set pgdata in section [cluster %s].", site->cluster);
		return;
	}
	detail->pgdata = xstrdup(site->pgdata ? site->pgdata : facts->data_directory);
	if (!backup_check_folder(detail->pgdata, facts, &detail->control, err))
		return;
	detail->pg_bin = site->pg_bin ? xstrdup(site->pg_bin) : backup_find_pg_bin(detail->pgdata);
}

static void story_open_generation(struct op *op, struct backup_detail *detail)
{
	const struct facts *facts = &detail->ask.facts;
	struct generation_facts generation = generation_facts_of(&detail->control);

	if (!str_copy(generation.time_zone, sizeof(generation.time_zone), facts->time_zone))
		generation.time_zone[0] = '\0';
	targets_init(&detail->targets, detail->backup);
	targets_open_start(op, &detail->targets, &generation);
	op_wait(op, STATE_OPENING);
}

/* What could not be opened, or holds another cluster, is left out from the start. */
static bool story_opened(struct backup_detail *detail, struct err *err)
{
	struct backup_targets *targets = &detail->targets;

	for (unsigned i = 0; i < targets->count; i++) {
		struct backup_target *target = &targets->target[i];

		if (!err_is(&target->why) &&
		    backup_check_generation(&target->facts, &detail->control, &target->why))
			continue;
		if (target_leave_out(targets, i, &target->why))
			continue;
		*err = targets->last;
		return false;
	}
	return true;
}

static void story_ask(struct op *op, struct backup_detail *detail, const char *sql, int state)
{
	query_release(&detail->query);
	query_start(op, &detail->query, &detail->session, &(struct query_text){.sql = sql});
	op_wait(op, state);
}

static bool story_claimed(const struct backup_detail *detail, struct err *err)
{
	const char *other = query_rows(&detail->query) ? query_value(&detail->query, 0, 0) : NULL;

	if (!other)
		return true;
	err_set(err, ERR_REFUSED,
	        "another backup of this server is running, from another host or state folder");
	err_hint(err, "Its session has pid %s in pg_stat_activity.", other);
	return false;
}

static void head_take_tablespaces(struct backup_detail *detail)
{
	struct manifest_head *head = &detail->backup->head;
	const struct walk_tablespace *place;
	size_t count = walk_tablespaces(detail->walk, &place);

	head->tablespace = xcalloc(count + 1, sizeof(*head->tablespace));
	for (size_t i = 0; i < count; i++) {
		const char *name = "";
		char oid[16];

		if (!place[i].target)
			continue;
		snprintf(oid, sizeof(oid), "%" PRIu32, place[i].oid);
		for (unsigned row = 0; row < query_rows(&detail->query); row++)
			if (strcmp(query_value(&detail->query, row, 0), oid) == 0)
				name = query_value(&detail->query, row, 1);
		head->tablespace[head->tablespaces++] =
		        (struct manifest_tablespace){.oid = place[i].oid,
		                                     .name = xstrdup(name),
		                                     .path = xstrdup(place[i].target)};
	}
}

/* ---- from start to stop ---- */

/* How much there will be to do, while the server makes its checkpoint: slices on a worker. */
static void count_run(struct work *work)
{
	struct count *count = container_of(work, struct count, work);
	struct err *err = &work->op.err;

	if (!count->begun && !walk_begin(count->walk, err))
		return;
	count->begun = true;
	if (!walk_count(count->walk, &count->bytes, &count->files, &count->more, err))
		err_wrap(err, "could not count the files");
}

static void count_step(struct op *op)
{
	struct count *count = container_of(op, struct count, op);

	if (op->state == 0 || (!op_failed(&count->work.op) && count->more)) {
		work_start_class(op, &count->work, WORK_BACKUP, count_run);
		return op_wait(op, 1);
	}
	walk_free(STEAL(count->walk));
	if (op_failed(&count->work.op))
		return op_fail(op, &count->work.op.err, "could not look at the data directory");
	op_done(op);
}

static const struct op_type count_type = {.name = "count", .step = count_step};

static void story_begin(struct op *op, struct backup_detail *detail)
{
	struct backup *backup = detail->backup;
	const struct pg_version *version = pg_version_of_major(detail->control.major);
	struct query_text start = {.sql = backup_sql_start(detail->control.major), .params = 2};
	uint16_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
		err_sys(&op->err, "could not get random bytes");
		return backup_fail(backup, &op->err);
	}
	pg_version_folder(version, detail->version_folder);
	backup_id_make(backup->id, clock_now_us(), random);
	snprintf(detail->label, sizeof(detail->label), "seawall %s%s%s", backup->id,
	         backup->label ? ": " : "", backup->label ? backup->label : "");
	start.param[0] = detail->label;
	start.param[1] = backup->spread ? "false" : "true";
	query_release(&detail->query);
	query_start(op, &detail->query, &detail->session, &start);
	detail->count.walk = walk_new(detail->pgdata, detail->version_folder, false);
	op_start(op, &detail->count.op, &count_type);
	backup_enter(backup, BACKUP_STARTING);
	op_wait(op, STATE_STARTING);
}

static void head_begin(struct backup_detail *detail)
{
	struct backup *backup = detail->backup;
	struct manifest_head *head = &backup->head;
	const struct facts *facts = &detail->ask.facts;
	const char *const file[] = {facts->config_file, facts->hba_file, facts->ident_file};
	char **const field[] = {&head->config_file, &head->hba_file, &head->ident_file};

	memcpy(head->id, backup->id, sizeof(head->id));
	head->tool_version = xstrdup(SEAWALL_VERSION);
	head->label_text = xstrdup(backup->label ? backup->label : "");
	head->begun_us = backup->progress.begun_us;
	head->system_identifier = detail->control.system_identifier;
	head->major = detail->control.major;
	head->server_version_num = (uint32_t)facts->server_version;
	head->catalog_version = detail->control.catalog_version;
	head->segment_bytes = detail->control.segment_bytes;
	head->checksums = detail->control.checksum_version == 1;
	head->from = xstrdup("primary");
	head->pgdata = xstrdup(detail->pgdata);
	head->group_known = true;
	head->group_access = durable_group_reads(detail->pgdata);
	head->pg_bin = STEAL(detail->pg_bin);
	head->time_zone = xstrdup(facts->time_zone);
	for (size_t i = 0; i < ARRAY_LENGTH(file); i++)
		*field[i] = xstrdup(file[i][0] == '/' && !backup_is_inside(file[i], detail->pgdata,
		                                                           facts->data_directory)
		                            ? file[i]
		                            : "");
	head->source = xcalloc(1, sizeof(*head->source));
	head->source[head->sources++] = xstrdup(backup->id);
}

static void tally_begin(struct backup_detail *detail)
{
	struct backup *backup = detail->backup;

	targets_begin(&detail->targets);
	detail->tally = (struct copy_tally){
	        .site = backup->site,
	        .targets = &detail->targets,
	        .id = backup->id,
	        .pgdata = detail->pgdata,
	        .start_lsn = detail->start_lsn,
	        .head = &backup->head,
	        .progress = &backup->progress,
	};
	copy_tally_init(&detail->tally);
}

static bool walk_source(void *context, struct plan *plan, struct err *err)
{
	struct backup_detail *detail = context;

	if (!detail->walking && !walk_begin(detail->walk, err))
		return false;
	detail->walking = true;
	return walk_plan(detail->walk, plan, err);
}

static void story_copy(struct op *op, struct backup_detail *detail)
{
	struct backup *backup = detail->backup;
	const char *start = query_rows(&detail->query) ? query_value(&detail->query, 0, 0) : NULL;

	if (!start || !lsn_parse(start, &detail->start_lsn)) {
		err_set(&op->err, ERR_POSTGRES, "the server did not say where the backup starts");
		return backup_fail(backup, &op->err);
	}
	backup->progress.bytes_total = detail->count.bytes;
	backup->progress.files_total = detail->count.files;
	detail->walk = walk_new(detail->pgdata, detail->version_folder,
	                        detail->control.checksum_version == 1);
	head_begin(detail);
	tally_begin(detail);
	detail->copy =
	        (struct copy){.tally = &detail->tally, .source = walk_source, .context = detail};
	copy_start(op, &detail->copy);
	backup_enter(backup, BACKUP_COPYING);
	op_wait(op, STATE_COPYING);
}

/* On a worker: pg_control as it is when everything else was copied. */
static void control_run(struct work *work)
{
	struct backup_detail *detail = container_of(work, struct backup_detail, work);
	AUTO_FREE
	char *path = path_join(detail->pgdata, "global/pg_control");
	struct control control;
	struct stat status;

	if (!control_read_bytes(detail->pgdata, detail->control_bytes, &control, &work->op.err))
		return;
	if (stat(path, &status) != 0) {
		err_sys(&work->op.err, "could not look at file \"%s\"", path);
		return;
	}
	detail->control_mode = status.st_mode & 07777;
	detail->control_modified_us = (int64_t)status.st_mtim.tv_sec * US_PER_S;
	if (control.system_identifier != detail->control.system_identifier)
		err_set(&work->op.err, ERR_REFUSED,
		        "the data directory was exchanged during the backup");
}

/* ---- after the stop ---- */

static bool story_check_stop(struct backup_detail *detail, struct err *err)
{
	struct backup_stop *stop = &detail->stop;
	struct manifest_head *head = &detail->backup->head;
	char says[LSN_TEXT_BYTES], began[LSN_TEXT_BYTES];

	if (!backup_stop_parse(&detail->query, stop, err))
		return false;
	if (stop->label.start_lsn != detail->start_lsn) {
		lsn_text(stop->label.start_lsn, says);
		lsn_text(detail->start_lsn, began);
		return err_set(err, ERR_POSTGRES,
		               "the server's backup_label starts at %s, but the backup began at %s",
		               says, began);
	}
	if (stop->stop_lsn <= detail->start_lsn || stop->label.start_tli == 0)
		return err_set(err, ERR_POSTGRES,
		               "the server's backup_label and end do not fit together");
	head->start_lsn = detail->start_lsn;
	head->stop_lsn = stop->stop_lsn;
	head->start_tli = head->stop_tli = stop->label.start_tli;
	head->stop_time_us = stop->time_us;
	head->ended_us = clock_now_us();
	copy_tally_judge(&detail->tally, stop->stop_lsn);
	return true;
}

static void late_content(struct plan *plan, struct backup_detail *detail, const char *path,
                         const void *bytes, size_t length)
{
	struct plan_item *item = plan_add(plan);

	*item = (struct plan_item){
	        .kind = MANIFEST_FILE,
	        .path = xstrdup(path),
	        .content = xmalloc(length),
	        .length = (uint32_t)length,
	        .first = true,
	        .last = true,
	        .mode = detail->control_mode,
	        .modified_us = detail->backup->head.ended_us,
	};
	memcpy(item->content, bytes, length);
	plan->bytes += length;
}

static void late_outside(struct plan *plan, const char *path)
{
	struct plan_item *item;
	struct stat status;

	for (size_t i = 0; i < plan->count; i++)
		if (strcmp(plan->item[i].path, path) == 0)
			return;
	if (stat(path, &status) == 0 && status.st_size > PLAN_SLACK_BYTES) {
		log_warning("configuration file \"%s\" is too big, it is not in the backup", path);
		return;
	}
	item = plan_add(plan); /* its length is that when it is opened */
	*item = (struct plan_item){.kind = MANIFEST_OUTSIDE,
	                           .path = xstrdup(path),
	                           .first = true,
	                           .last = true,
	                           .through_link = true};
	plan->slack = PLAN_SLACK_BYTES;
}

static int late_compare(const void *a, const void *b)
{
	const struct plan_item *left = a, *right = b;

	return manifest_path_compare(left->path, right->path);
}

static bool late_source(void *context, struct plan *plan, struct err *err)
{
	struct backup_detail *detail = context;
	const struct backup_stop *stop = &detail->stop;
	struct strs outside = {0};

	(void)err;
	if (detail->late_planned)
		return true;
	detail->late_planned = true;
	backup_outside(detail->pgdata, &detail->ask.facts, &outside);
	for (size_t i = 0; i < outside.count; i++)
		late_outside(plan, outside.item[i]);
	strs_release(&outside);
	late_content(plan, detail, "global/pg_control", detail->control_bytes, CONTROL_BYTES);
	plan->item[plan->count - 1].modified_us = detail->control_modified_us;
	late_content(plan, detail, "backup_label", stop->label_file, strlen(stop->label_file));
	if (stop->map_file[0])
		late_content(plan, detail, "tablespace_map", stop->map_file,
		             strlen(stop->map_file));
	qsort(plan->item, plan->count, sizeof(*plan->item), late_compare);
	return true;
}

static void story_copy_late(struct op *op, struct backup_detail *detail)
{
	session_close(&detail->session);
	detail->copy =
	        (struct copy){.tally = &detail->tally, .source = late_source, .context = detail};
	copy_start(op, &detail->copy);
	op_wait(op, STATE_COPYING_LATE);
}

static void story_finish(struct op *op, struct backup_detail *detail)
{
	targets_finish_start(op, &detail->targets);
	backup_enter(detail->backup, BACKUP_WAITING);
	op_wait(op, STATE_FINISHING);
}

static void story_end(struct op *op, struct backup *backup)
{
	detail_free(STEAL(backup->detail));
	backup_enter(backup, BACKUP_DONE);
	op_done(op);
}

/* ---- the story ---- */

/* The child whose end the state waited for; NULL: none. */
static const struct op *story_child(const struct backup_detail *detail, enum backup_state state)
{
	switch (state) {
	case STATE_START:
		return NULL;
	case STATE_LOCKING:
	case STATE_LOOKING:
	case STATE_ENDING:
		return &detail->work.op;
	case STATE_CONNECTING:
		return &detail->connect.op;
	case STATE_ASKING:
		return &detail->ask.op;
	case STATE_CLAIMING:
	case STATE_LISTING:
	case STATE_STARTING:
	case STATE_STOPPING:
		return &detail->query.op;
	case STATE_COPYING:
	case STATE_COPYING_LATE:
		return &detail->copy.op;
	case STATE_OPENING: /* what failed there is left out */
	case STATE_FINISHING:
		return NULL;
	}
	return NULL;
}

/* What a failure of the server means, said where it can be known. */
static void story_explain(struct backup_detail *detail, enum backup_state state, struct err *err)
{
	if (state == STATE_CONNECTING)
		err->code = ERR_POSTGRES; /* the session's sentence says the rest */
	if (state == STATE_STARTING && strcmp(detail->query.sqlstate, "42501") == 0)
		err_hint(err, "sql/setup.sql grants the role what a backup needs.");
	if (state == STATE_STARTING)
		err_wrap(err, "the server did not start a backup");
	if (state == STATE_STOPPING)
		err_wrap(err, "the server did not complete the backup");
}

static void story_go_on(struct op *op, struct backup_detail *detail)
{
	struct backup *backup = detail->backup;

	switch ((enum backup_state)op->state) {
	case STATE_START:
		work_start_class(op, &detail->work, WORK_BACKUP, lock_run);
		return op_wait(op, STATE_LOCKING);

	case STATE_LOCKING:
		session_open_start(op, &detail->connect, &detail->session, backup->site->connect,
		                   0);
		return op_wait(op, STATE_CONNECTING);

	case STATE_CONNECTING:
		facts_ask_start(op, &detail->ask, &detail->session);
		return op_wait(op, STATE_ASKING);

	case STATE_ASKING:
		work_start_class(op, &detail->work, WORK_BACKUP, look_run);
		return op_wait(op, STATE_LOOKING);

	case STATE_LOOKING:
		return story_open_generation(op, detail);

	case STATE_OPENING:
		if (!story_opened(detail, &op->err))
			return backup_fail(backup, &op->err);
		return story_ask(op, detail, backup_sql_lock, STATE_CLAIMING);

	case STATE_CLAIMING:
		if (!story_claimed(detail, &op->err))
			return backup_fail(backup, &op->err);
		return story_begin(op, detail);

	case STATE_STARTING:
		if (op_failed(&detail->count.op))
			return backup_fail(backup, &detail->count.op.err);
		return story_copy(op, detail);

	case STATE_COPYING:
		return story_ask(op, detail, backup_sql_tablespaces, STATE_LISTING);

	case STATE_LISTING:
		head_take_tablespaces(detail);
		work_start_class(op, &detail->work, WORK_BACKUP, control_run);
		return op_wait(op, STATE_ENDING);

	case STATE_ENDING:
		backup_enter(backup, BACKUP_STOPPING);
		return story_ask(op, detail, backup_sql_stop(detail->control.major),
		                 STATE_STOPPING);

	case STATE_STOPPING:
		if (!story_check_stop(detail, &op->err))
			return backup_fail(backup, &op->err);
		return story_copy_late(op, detail);

	case STATE_COPYING_LATE:
		return story_finish(op, detail);

	case STATE_FINISHING:
		if (!targets_judge(&detail->targets, &op->err))
			return backup_fail(backup, &op->err);
		return story_end(op, backup);
	}
}

static void story_step(struct op *op)
{
	struct backup *backup = container_of(op, struct backup, op);
	struct backup_detail *detail = backup->detail;
	const struct op *child = story_child(detail, op->state);

	if (child && op_failed(child)) {
		op->err = child->err;
		story_explain(detail, op->state, &op->err);
		return backup_fail(backup, &op->err);
	}
	if (op->cancelled && op->state != STATE_FINISHING)
		return backup_fail(backup, &op->err);
	story_go_on(op, detail);
}

static const struct op_type backup_type = {
        .name = "backup", .step = story_step, .state_name = backup_state_name};

void backup_start(struct op *parent, struct backup *backup)
{
	struct backup_detail *detail = xcalloc(1, sizeof(*detail));

	detail->backup = backup;
	detail->lock_fd = -1;
	backup->detail = detail;
	backup->progress = (struct backup_progress){.begun_us = clock_now_us()};
	op_start(parent, &backup->op, &backup_type);
}
