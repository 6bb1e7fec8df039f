/*
 * verify.c — the round through an archive.
 *
 *   START -> READYING -> OPENING -> NOTES -> [NOTE] -> CATALOG -> HEADS -> LISTING -> VERIFYING …
 *         -> WRITING -> done
 *
 * HEADS ends with what listings alone tell: segments that a backup needs and that are not there.
 * Then pages of names (LISTING) are cut into runs that lanes verify side by side (VERIFYING). A run
 * of WAL begins with the segment before it, so that every seam is proven. Where the last run
 * stopped stands in its note, note/<time>-verify-<random>; WRITING makes the next one. Everything
 * waits at the gates behind WAL, restores and backups.
 */
#include "job/verify.h"

#include <sys/random.h>

#include "base/clock.h"
#include "base/str.h"
#include "codec/json.h"
#include "verify_lane.h"

#include "base/poison.h"

#define VERIFY_STATES(X)                                                                           \
	X(START)                                                                                   \
	X(READYING)                                                                                \
	X(OPENING) X(NOTES) X(NOTE) X(CATALOG) X(HEADS) X(LISTING) X(VERIFYING) X(WRITING)
enum verify_state {
#define X(name) VERIFY_##name,
	VERIFY_STATES(X)
#undef X
};

static const char *verify_state_name(int state)
{
	static const char *const names[] = {
#define X(name) #name,
	        VERIFY_STATES(X)
#undef X
	};

	return names[state];
}

enum { NOTE_BYTES_MAX = 1024 * 1024, NOTE_FINDINGS_MAX = 100 };

void verify_found(struct verify *verify, const char *object, const struct err *err)
{
	struct verify_finding *finding;

	verify->findings_total++;
	if (verify->findings == VERIFY_FINDINGS_MAX)
		return;
	if (verify->findings == verify->findings_size) {
		verify->findings_size = verify->findings_size ? 2 * verify->findings_size : 16;
		verify->finding =
		        xrealloc(verify->finding, verify->findings_size * sizeof(*verify->finding));
	}
	finding = &verify->finding[verify->findings++];
	finding->object = xstrdup(object);
	finding->err = *err;
}

static void verify_end(struct verify *verify, const struct err *cause)
{
	store_list_release(&verify->list);
	buf_release(&verify->read.content);
	buf_release(&verify->text);
	if (cause)
		return op_fail(&verify->op, cause,
		               "could not verify cluster \"%s\" in repository \"%s\"",
		               verify->site->cluster, verify->site->repository);
	op_done(&verify->op);
}

/* ---- where the last run stopped ---- */

static void each_note(struct store_walk *walk, const struct store_entry *entry)
{
	struct verify *verify = container_of(walk, struct verify, walk);

	/* Names have seconds; of two runs in one second the store knows which was the last. */
	if (!strstr(entry->name, "-verify-") || strlen(entry->name) >= sizeof(verify->note) ||
	    entry->modified_us < verify->note_us)
		return;
	snprintf(verify->note, sizeof(verify->note), "%s", entry->name);
	verify->note_us = entry->modified_us;
}

static void verify_list_notes(struct verify *verify)
{
	snprintf(verify->prefix, sizeof(verify->prefix), "%s/note/", verify->generation.generation);
	verify->walk = (struct store_walk){
	        .store = verify->site->repo->store, .prefix = verify->prefix, .each = each_note};
	store_walk_start(&verify->op, &verify->walk);
	op_wait(&verify->op, VERIFY_NOTES);
}

static void verify_load(struct verify *verify)
{
	verify->load =
	        (struct catalog_load){.repo = verify->site->repo,
	                              .generation = verify->generation.generation,
	                              .segment_bytes = verify->generation.facts.segment_bytes,
	                              .what = CATALOG_HISTORIES | CATALOG_WAL | CATALOG_BACKUPS,
	                              .tolerant = true,
	                              .class = GATE_VERIFY,
	                              .ret = &verify->catalog};
	catalog_load_start(&verify->op, &verify->load);
	op_wait(&verify->op, VERIFY_CATALOG);
}

static void verify_read_note(struct verify *verify)
{
	if (op_failed(&verify->walk.op))
		return verify_end(verify, &verify->walk.op.err);
	if (!*verify->note)
		return verify_load(verify);
	verify->read = (struct object_read){.repo = verify->site->repo,
	                                    .name = verify->note,
	                                    .kind = SEALED_NOTE,
	                                    .bytes_max = NOTE_BYTES_MAX};
	object_read_start(&verify->op, &verify->read);
	op_wait(&verify->op, VERIFY_NOTE);
}

/* A note that cannot be read costs a round from the start: the note itself is an object, and will
 * be found damaged. */
static void verify_take_note(struct verify *verify)
{
	struct err ignored = {0};
	const char *to = "";
	struct jval *root = NULL;

	if (op_failed(&verify->read.op) && verify->read.op.err.code != ERR_DAMAGED)
		return verify_end(verify, &verify->read.op.err);
	if (!op_failed(&verify->read.op) &&
	    json_parse(buf_text(&verify->read.content), verify->read.content.length, &root,
	               &ignored) &&
	    jget_str(root, "to", &to, &ignored)) {
		verify->before_us = verify->read.sealed.created_us;
		if (!verify->anew && !str_copy(verify->from, sizeof(verify->from), to))
			verify->from[0] = '\0';
	}
	jval_free(root);
	verify_load(verify);
}

/* ---- what the listings tell ---- */

static void missing_found(struct verify *verify, uint32_t tli, uint64_t segno, const char *why)
{
	uint32_t bytes = verify->generation.facts.segment_bytes;
	char text[SEGMENT_NAME_BYTES], object[NAME_BYTES];
	struct walname name;
	struct err err = {0};

	segment_name(tli, segno, bytes, text);
	if (!walname_parse(text, &name))
		return;
	name_wal(object, verify->generation.generation, &name, NULL);
	for (size_t i = 0; i < verify->findings; i++)
		if (strcmp(verify->finding[i].object, object) == 0)
			return; /* a hole is one of several paths */
	err_set(&err, ERR_DAMAGED, "it is missing: %s", why);
	verify_found(verify, object, &err);
}

static void backup_check(struct verify *verify, const struct manifest_head *head)
{
	struct history path;
	struct catalog_gap gap;
	const struct catalog_timeline *timeline =
	        catalog_timeline(&verify->catalog, head->stop_tli);
	char why[80];

	history_init(&path, head->stop_tli);
	if (timeline && timeline->history_archived)
		history_copy(&path, &timeline->history);
	snprintf(why, sizeof(why), "backup %s needs it", head->id);
	if (!catalog_path_complete(&verify->catalog, &path, head->start_lsn, head->stop_lsn, &gap))
		missing_found(verify, gap.tli, gap.segno, why);
	history_release(&path);
}

static void verify_listings(struct verify *verify)
{
	struct intervals intervals = {0};

	for (size_t i = 0; i < verify->heads.unreadables; i++) {
		char object[NAME_BYTES];

		name_backup(object, verify->generation.generation, verify->heads.unreadable[i].id);
		verify_found(verify, object, &verify->heads.unreadable[i].err);
	}
	for (size_t i = 0; i < verify->heads.count; i++)
		backup_check(verify, &verify->heads.head[i]);
	intervals_find(&verify->catalog, verify->heads.head, verify->heads.count, &intervals);
	for (size_t i = 0; i < intervals.count; i++)
		if (intervals.item[i].hole)
			missing_found(
			        verify, intervals.item[i].hole_tli, intervals.item[i].hole_segno,
			        "the WAL of a backup breaks off there, and goes on behind it");
	intervals_release(&intervals);
	catalog_release(&verify->catalog);
}

/* ---- the round ---- */

static bool is_part_of_another(const char *name)
{
	const char *dot = strrchr(name, '.');
	uint64_t ignored;

	return dot && dot - name > 17 && strlen(dot + 1) >= 4 &&
	       strspn(dot + 1, "0123456789") == strlen(dot + 1) && dot[-17] == '.' &&
	       str_hex(dot - 16, 16, false, &ignored);
}

static void verify_list(struct verify *verify)
{
	snprintf(verify->prefix, sizeof(verify->prefix), "%s/", verify->generation.generation);
	store_list_release(&verify->list);
	verify->at = 0;
	verify->list = (struct store_list){.store = verify->site->repo->store,
	                                   .prefix = verify->prefix,
	                                   .after = *verify->after ? verify->after : NULL};
	store_list_start(&verify->op, &verify->list);
	op_wait(&verify->op, VERIFY_LISTING);
}

static bool is_segment(const char *name)
{
	struct walname wal;

	return strstr(name, "/wal/") && name_wal_parse(name, &wal) && wal.kind == WALNAME_SEGMENT;
}

/* The next name of the page; NULL: it is used up, or the round is complete. */
static const char *verify_next_name(struct verify *verify)
{
	while (verify->at < verify->list.count && !verify->stop) {
		const char *name = verify->list.entry[verify->at].name;

		if (verify->budget && verify->taken && verify->assigned >= verify->budget) {
			verify->stop = true;
			return NULL;
		}
		if (verify->wrapped && strcmp(name, verify->from) > 0) {
			verify->stop = true;
			verify->to[0] = '\0';
			return NULL;
		}
		verify->assigned += verify->list.entry[verify->at++].bytes;
		snprintf(verify->after, sizeof(verify->after), "%s", name);
		snprintf(verify->to, sizeof(verify->to), "%s", name);
		if (is_part_of_another(name)) /* it is read with what it is a part of */
			continue;
		verify->taken = true;
		return name;
	}
	return NULL;
}

static struct verify_lane *lane_free_one(struct verify *verify)
{
	for (unsigned i = 0; i < verify->lanes; i++)
		if (!verify->lane[i])
			return verify->lane[i] = xcalloc(1, sizeof(struct verify_lane));
	return NULL;
}

static bool verify_assign(struct verify *verify)
{
	struct verify_lane *lane;
	const char *name;

	if (verify->stop || verify->at >= verify->list.count)
		return false;
	lane = lane_free_one(verify);
	if (!lane)
		return false;
	lane->verify = verify;
	while (lane->names < LANE_OBJECTS_MAX && (name = verify_next_name(verify))) {
		if (lane->names == 0 && is_segment(name) && is_segment(verify->previous)) {
			lane->warm = true;
			lane->name[lane->names++] = xstrdup(verify->previous);
		}
		lane->name[lane->names++] = xstrdup(name);
		snprintf(verify->previous, sizeof(verify->previous), "%s", name);
	}
	verify->busy++;
	verify_lane_start(&verify->op, lane);
	return true;
}

static void verify_write(struct verify *verify);

static void verify_collect(struct verify *verify)
{
	for (unsigned i = 0; i < verify->lanes; i++) {
		struct verify_lane *lane = verify->lane[i];

		if (!lane || op_running(&lane->op))
			continue;
		if (op_failed(&lane->op) && !err_is(&verify->failed))
			verify->failed = lane->op.err;
		verify_lane_free(lane);
		verify->lane[i] = NULL;
		verify->busy--;
	}
	if (verify->op.cancelled && !err_is(&verify->failed))
		err_set(&verify->failed, ERR_CANCELLED, "cancelled");
	if (err_is(&verify->failed))
		verify->stop = true;
}

static void verify_go_on(struct verify *verify)
{
	verify_collect(verify);
	while (verify_assign(verify))
		;
	if (verify->busy > 0)
		return op_wait(&verify->op, VERIFY_VERIFYING);
	if (err_is(&verify->failed))
		return verify_end(verify, &verify->failed);
	if (verify->stop)
		return verify_write(verify);
	if (verify->list.more)
		return verify_list(verify);
	if (verify->wrapped || !*verify->from) { /* all of it */
		verify->to[0] = '\0';
		return verify_write(verify);
	}
	verify->wrapped = true;
	verify->after[0] = verify->previous[0] = '\0';
	verify_list(verify);
}

static void verify_begin(struct verify *verify)
{
	verify->begun_ms = clock_mono_us() / 1000;
	verify->lanes = MAX(1U, MIN(verify->site->workers, (unsigned)VERIFY_LANES_MAX));
	snprintf(verify->after, sizeof(verify->after), "%s", verify->from);
	snprintf(verify->previous, sizeof(verify->previous), "%s", verify->from);
	verify_list(verify);
}

/* ---- the note ---- */

static void note_text(struct verify *verify)
{
	struct jval *root = jobject_new(), *list;

	jset_str(root, "kind", "verify");
	jset_u64(root, "begun_us", (uint64_t)verify->begun_us);
	jset_u64(root, "ended_us", (uint64_t)clock_now_us());
	jset_str(root, "from", verify->from);
	jset_str(root, "to", verify->to);
	jset_u64(root, "objects", verify->objects);
	jset_u64(root, "bytes", verify->bytes);
	jset_u64(root, "findings", verify->findings_total);
	list = jset_array(root, "damaged");
	for (size_t i = 0; i < MIN(verify->findings, (size_t)NOTE_FINDINGS_MAX); i++)
		jadd_str(list, verify->finding[i].object);
	buf_init(&verify->text, NOTE_BYTES_MAX);
	json_print(root, true, &verify->text);
	jval_free(root);
}

static void verify_write(struct verify *verify)
{
	uint32_t random;

	if (verify->dry_run)
		return verify_end(verify, NULL);
	if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
		err_sys(&verify->failed, "could not get random bytes");
		return verify_end(verify, &verify->failed);
	}
	note_text(verify);
	name_note(verify->note, verify->generation.generation, clock_now_us(), "verify", random);
	verify->write = (struct object_write){.repo = verify->site->repo,
	                                      .name = verify->note,
	                                      .kind = SEALED_NOTE,
	                                      .compression = verify->site->pack_compression,
	                                      .class = GATE_VERIFY,
	                                      .bytes = buf_text(&verify->text),
	                                      .length = verify->text.length};
	object_write_start(&verify->op, &verify->write);
	op_wait(&verify->op, VERIFY_WRITING);
}

/* ---- the story ---- */

static void verify_open(struct verify *verify)
{
	if (op_failed(&verify->ready.op))
		return verify_end(verify, &verify->ready.op.err);
	verify->generation = (struct generation_open){.repo = verify->site->repo,
	                                              .cluster = verify->site->cluster};
	generation_open_start(&verify->op, &verify->generation);
	op_wait(&verify->op, VERIFY_OPENING);
}

static void verify_load_heads(struct verify *verify)
{
	if (op_failed(&verify->load.op))
		return verify_end(verify, &verify->load.op.err);
	verify->bytes_total = verify->catalog.segment_stored_bytes;
	verify->heads_load = (struct heads_load){.repo = verify->site->repo,
	                                         .generation = verify->generation.generation,
	                                         .catalog = &verify->catalog,
	                                         .ret = &verify->heads};
	heads_load_start(&verify->op, &verify->heads_load);
	op_wait(&verify->op, VERIFY_HEADS);
}

static void verify_has_heads(struct verify *verify)
{
	if (op_failed(&verify->heads_load.op))
		return verify_end(verify, &verify->heads_load.op.err);
	for (size_t i = 0; i < verify->heads.count; i++)
		verify->bytes_total += verify->heads.head[i].stored_bytes;
	verify_listings(verify);
	verify_begin(verify);
}

static void verify_step(struct op *op)
{
	struct verify *verify = container_of(op, struct verify, op);

	switch ((enum verify_state)op->state) {
	case VERIFY_START:
		verify->begun_us = clock_now_us();
		site_ready_start(op, &verify->ready, verify->site);
		return op_wait(op, VERIFY_READYING);
	case VERIFY_READYING:
		return verify_open(verify);
	case VERIFY_OPENING:
		if (op_failed(&verify->generation.op))
			return verify_end(verify, &verify->generation.op.err);
		return verify_list_notes(verify);
	case VERIFY_NOTES:
		return verify_read_note(verify);
	case VERIFY_NOTE:
		return verify_take_note(verify);
	case VERIFY_CATALOG:
		return verify_load_heads(verify);
	case VERIFY_HEADS:
		return verify_has_heads(verify);
	case VERIFY_LISTING:
		if (op_failed(&verify->list.op))
			return verify_end(verify, &verify->list.op.err);
		return verify_go_on(verify);
	case VERIFY_VERIFYING:
		return verify_go_on(verify);
	case VERIFY_WRITING:
		return verify_end(verify,
		                  op_failed(&verify->write.op) ? &verify->write.op.err : NULL);
	}
}

static const struct op_type verify_type = {
        .name = "verify", .step = verify_step, .state_name = verify_state_name};

void verify_start(struct op *parent, struct verify *verify)
{
	op_start(parent, &verify->op, &verify_type);
}

void verify_release(struct verify *verify)
{
	for (size_t i = 0; i < verify->findings; i++)
		free(verify->finding[i].object);
	free(verify->finding);
	heads_release(&verify->heads);
	catalog_release(&verify->catalog);
	verify->finding = NULL;
}
