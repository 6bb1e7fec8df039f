/*
 * verify.c — one run through an archive.
 *
 *   START -> READYING -> OPENING -> [SIZING -> SIZED …] -> KEYS -> PROBES -> NOTES -> [NOTE]
 *         -> CATALOG -> MARKS -> HEADS -> (LISTING | VERIFYING | NOTING) … -> WRITING -> done
 *
 * A damaged object "system" is a finding as any other: what it says is known from the generation's
 * name, and the size of segments from a segment (SIZING). KEYS and PROBES list the small objects
 * beside the cluster's folder, which are read in each run. MARKS are those of damaged segments:
 * what lanes find out about one is marked (repo/harm.h), that it is good again, too. HEADS ends
 * with what listings alone tell: segments that a backup needs and that are not there. Then pages of
 * names (LISTING) are cut into runs that lanes verify side by side (VERIFYING), in the order of
 * verify_round.c. A run of WAL begins with the segment before it, so that every seam is proven.
 *
 * What was verified when stands in a note, note/<time>-verify-<random>. WRITING makes it, also when
 * the run was cancelled; NOTING makes one in between, ever more rarely, for a run that is killed.
 * Everything waits at the gates behind WAL, restores and backups.
 */
#include "job/verify.h"

#include <sys/random.h>

#include "base/clock.h"
#include "base/str.h"
#include "codec/json.h"
#include "verify_round.h"

#include "base/poison.h"

/* clang-format off */
#define VERIFY_STATES(X) \
	X(START) X(READYING) X(OPENING) X(SIZING) X(SIZED) X(KEYS) X(PROBES) X(NOTES) X(NOTE) \
	X(CATALOG) X(MARKS) X(HEADS) X(LISTING) X(VERIFYING) X(NOTING) X(WRITING)
/* clang-format on */
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

enum {
	NOTE_BYTES_MAX = 1024 * 1024,
	NOTE_FINDINGS_MAX = 100,
	SIZING_TRIES = 16,
	NOTE_FIRST_MS = 1000, /* then after twice as long, and again, but no longer than: */
	NOTE_LAST_MS = 5 * 60 * 1000,
};

void verify_found(struct verify *verify, const char *object, const struct err *err)
{
	struct verify_finding *finding;

	for (size_t i = 0; i < verify->findings; i++)
		if (strcmp(verify->finding[i].object, object) == 0)
			return; /* it is known: by what needs it, or a hole is one of several paths
			         */
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
	buf_release(&verify->read.content);
	buf_release(&verify->text);
	if (cause)
		return op_fail(&verify->op, cause,
		               "could not verify cluster \"%s\" in repository \"%s\"",
		               verify->site->cluster, verify->site->repository);
	op_done(&verify->op);
}

/* ---- what was verified when ---- */

static void each_note(struct store_walk *walk, const struct store_entry *entry)
{
	struct verify *verify = container_of(walk, struct verify, walk);

	/* Names have seconds; of two runs in one second the store knows which was the last. */
	if (!strstr(entry->name, "-verify-") || strlen(entry->name) >= sizeof(verify->note) ||
	    entry->modified_us < verify->note_us ||
	    (verify->bad_note_us && entry->modified_us >= verify->bad_note_us))
		return;
	snprintf(verify->note, sizeof(verify->note), "%s", entry->name);
	verify->note_us = entry->modified_us;
}

static void verify_walk(struct verify *verify, int state,
                        void (*each)(struct store_walk *walk, const struct store_entry *entry))
{
	verify->walk = (struct store_walk){
	        .store = verify->site->repo->store, .prefix = verify->prefix, .each = each};
	store_walk_start(&verify->op, &verify->walk);
	op_wait(&verify->op, state);
}

static void verify_list_notes(struct verify *verify)
{
	snprintf(verify->prefix, sizeof(verify->prefix), "%s/note/", verify->generation.generation);
	verify->note[0] = '\0';
	verify->note_us = 0;
	verify_walk(verify, VERIFY_NOTES, each_note);
}

static void verify_load(struct verify *verify)
{
	verify_map_copy(&verify->round->now, &verify->round->before);
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
	if (!*verify->note)
		return verify_load(verify);
	verify->read = (struct object_read){.repo = verify->site->repo,
	                                    .name = verify->note,
	                                    .kind = SEALED_NOTE,
	                                    .bytes_max = NOTE_BYTES_MAX};
	object_read_start(&verify->op, &verify->read);
	op_wait(&verify->op, VERIFY_NOTE);
}

static bool note_parse(struct verify *verify)
{
	const struct jval *spans;
	struct jval *root;
	struct err ignored = {0};
	bool ok;

	if (!json_parse(buf_text(&verify->read.content), verify->read.content.length, &root,
	                &ignored))
		return false;
	ok = jget_array(root, "verified", &spans, &ignored) &&
	     verify_map_load(&verify->round->before, spans, &ignored);
	jval_free(root);
	return ok;
}

/* Of one that cannot be read the one before tells: the note itself is an object, and will be found
 * damaged. */
static void verify_take_note(struct verify *verify)
{
	const struct err *err = &verify->read.op.err;

	if (err_is(err) && err->code != ERR_DAMAGED && err->code != ERR_REFUSED &&
	    err->code != ERR_NOTFOUND)
		return verify_end(verify, err);
	if (err_is(err) || !note_parse(verify)) {
		buf_release(&verify->read.content);
		verify->bad_note_us = verify->note_us;
		return verify_list_notes(verify);
	}
	verify->before_us = verify->read.sealed.created_us;
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

/* ---- the round, and its notes ---- */

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
	verify_map_save(&verify->round->now, jset_array(root, "verified"));
	buf_release(&verify->text);
	buf_init(&verify->text, NOTE_BYTES_MAX);
	json_print(root, true, &verify->text);
	jval_free(root);
}

static void verify_write(struct verify *verify, int state)
{
	uint32_t random;

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
	op_wait(&verify->op, state);
}

static void verify_last_note(struct verify *verify)
{
	if (verify->dry_run || (err_is(&verify->failed) && verify->failed.code != ERR_CANCELLED))
		return verify_end(verify, err_is(&verify->failed) ? &verify->failed : NULL);
	/* A cancelled run notes what it did, too; cancelled again, it does not. */
	verify->op.cancelled = false;
	verify_write(verify, VERIFY_WRITING);
}

static void verify_wrote(struct verify *verify)
{
	if (err_is(&verify->failed))
		return verify_end(verify, &verify->failed);
	verify_end(verify, op_failed(&verify->write.op) ? &verify->write.op.err : NULL);
}

/* What lanes have done so far is marked; those that only paused stay. */
static void verify_collect(struct verify *verify)
{
	for (unsigned i = 0; i < verify->lanes; i++)
		if (verify->lane[i]) {
			if (op_failed(&verify->lane[i]->op) && !err_is(&verify->failed))
				verify->failed = verify->lane[i]->op.err;
			verify_round_mark(verify, verify->lane[i]);
		}
	if (verify->op.cancelled && !err_is(&verify->failed))
		err_set(&verify->failed, ERR_CANCELLED, "cancelled");
	for (unsigned i = 0; i < verify->lanes; i++)
		if (verify->lane[i] &&
		    (err_is(&verify->failed) || verify->lane[i]->at == verify->lane[i]->names)) {
			verify_lane_free(verify->lane[i]);
			verify->lane[i] = NULL;
			verify->busy--;
		}
}

bool verify_note_is_due(const struct verify *verify)
{
	return !verify->dry_run &&
	       clock_mono_us() / 1000 - verify->noted_ms >= verify->note_again_ms;
}

static void verify_note_meanwhile(struct verify *verify)
{
	verify->noted_ms = clock_mono_us() / 1000;
	verify->note_again_ms = MIN(2 * verify->note_again_ms, (int64_t)NOTE_LAST_MS);
	verify_write(verify, VERIFY_NOTING);
}

/* Nothing runs. */
static void verify_go_on(struct verify *verify)
{
	verify_collect(verify);
	if (err_is(&verify->failed))
		return verify_last_note(verify);
	if ((verify->busy > 0 || !verify_round_is_over(verify)) && verify_note_is_due(verify))
		return verify_note_meanwhile(verify);
	for (unsigned i = 0; i < verify->lanes; i++)
		if (verify->lane[i])
			verify_lane_start(&verify->op, verify->lane[i]);
	if (verify_round_go_on(verify))
		return op_wait(&verify->op, VERIFY_LISTING);
	if (verify->busy > 0)
		return op_wait(&verify->op, VERIFY_VERIFYING);
	if (!verify->round->stop) /* all of it */
		verify->to[0] = '\0';
	verify_last_note(verify);
}

static void verify_begin(struct verify *verify)
{
	verify->begun_ms = verify->noted_ms = clock_mono_us() / 1000;
	verify->note_again_ms = NOTE_FIRST_MS;
	verify->lanes = MAX(1U, MIN(verify->site->workers, (unsigned)VERIFY_LANES_MAX));
	verify_round_begin(verify);
	verify_go_on(verify);
}

/* ---- what every run reads: small objects beside the cluster's folder ---- */

static void each_outside(struct store_walk *walk, const struct store_entry *entry)
{
	struct verify *verify = container_of(walk, struct verify, walk);

	if (!strstr(entry->name, "/try-")) /* of a probe that was killed */
		strs_add(&verify->round->outside, entry->name);
}

static void verify_outside(struct verify *verify, const char *prefix, int state)
{
	snprintf(verify->prefix, sizeof(verify->prefix), "%s", prefix);
	verify_walk(verify, state, each_outside);
}

/* ---- the size of segments, when "system" does not say it ---- */

static void each_segment(struct store_walk *walk, const struct store_entry *entry)
{
	struct verify *verify = container_of(walk, struct verify, walk);
	struct strs *segments = &verify->round->outside;
	struct walname wal;

	if (segments->count < SIZING_TRIES && name_wal_parse(entry->name, &wal) &&
	    wal.kind == WALNAME_SEGMENT)
		strs_add(segments, entry->name);
}

/* One that is whole says it; without any nothing depends on it. */
static void verify_size_of_one(struct verify *verify)
{
	struct strs *segments = &verify->round->outside;
	uint32_t *segment_bytes = &verify->generation.facts.segment_bytes;

	if (verify->sized > 0 && !op_failed(&verify->stat.op) &&
	    verify->stat.sealed.logical_bytes <= UINT32_MAX &&
	    segment_bytes_valid((uint32_t)verify->stat.sealed.logical_bytes))
		*segment_bytes = (uint32_t)verify->stat.sealed.logical_bytes;
	if (*segment_bytes || verify->sized == segments->count) {
		if (*segment_bytes == 0)
			*segment_bytes = SEGMENT_BYTES_DEFAULT;
		strs_release(segments);
		return verify_outside(verify, "keys/", VERIFY_KEYS);
	}
	verify->stat = (struct object_stat){.repo = verify->site->repo,
	                                    .name = segments->item[verify->sized++],
	                                    .kind = SEALED_WAL};
	object_stat_start(&verify->op, &verify->stat);
	op_wait(&verify->op, VERIFY_SIZED);
}

static void verify_size(struct verify *verify)
{
	char name[NAME_BYTES];

	if (!err_is(&verify->generation.damage))
		return verify_outside(verify, "keys/", VERIFY_KEYS);
	name_system(name, verify->generation.generation);
	verify_found(verify, name, &verify->generation.damage);
	if (verify->generation.facts.segment_bytes)
		return verify_outside(verify, "keys/", VERIFY_KEYS);
	name_wal_folder(verify->prefix, verify->generation.generation);
	verify_walk(verify, VERIFY_SIZING, each_segment);
}

/* ---- the story ---- */

static void verify_open(struct verify *verify)
{
	if (op_failed(&verify->ready.op))
		return verify_end(verify, &verify->ready.op.err);
	verify->round = xcalloc(1, sizeof(*verify->round));
	verify_map_init(&verify->round->before);
	verify->objects++; /* seawall.json, which opening has read */
	verify->generation = (struct generation_open){
	        .repo = verify->site->repo, .cluster = verify->site->cluster, .tolerant = true};
	generation_open_start(&verify->op, &verify->generation);
	op_wait(&verify->op, VERIFY_OPENING);
}

static void verify_load_marks(struct verify *verify)
{
	if (op_failed(&verify->load.op))
		return verify_end(verify, &verify->load.op.err);
	verify->lost_load =
	        (struct lost_load){.repo = verify->site->repo,
	                           .generation = verify->generation.generation,
	                           .segment_bytes = verify->generation.facts.segment_bytes,
	                           .ret = &verify->lost,
	                           .harm = &verify->harm};
	lost_load_start(&verify->op, &verify->lost_load);
	op_wait(&verify->op, VERIFY_MARKS);
}

static void verify_load_heads(struct verify *verify)
{
	if (op_failed(&verify->lost_load.op))
		return verify_end(verify, &verify->lost_load.op.err);
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

static void verify_walked(struct verify *verify)
{
	if (op_failed(&verify->walk.op))
		return verify_end(verify, &verify->walk.op.err);
	switch ((enum verify_state)verify->op.state) {
	case VERIFY_SIZING:
		return verify_size_of_one(verify);
	case VERIFY_KEYS:
		return verify_outside(verify, "probe/", VERIFY_PROBES);
	case VERIFY_PROBES:
		return verify_list_notes(verify);
	default:
		return verify_read_note(verify);
	}
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
		return verify_size(verify);
	case VERIFY_SIZING:
	case VERIFY_KEYS:
	case VERIFY_PROBES:
	case VERIFY_NOTES:
		return verify_walked(verify);
	case VERIFY_SIZED:
		return verify_size_of_one(verify);
	case VERIFY_NOTE:
		return verify_take_note(verify);
	case VERIFY_CATALOG:
		return verify_load_marks(verify);
	case VERIFY_MARKS:
		return verify_load_heads(verify);
	case VERIFY_HEADS:
		return verify_has_heads(verify);
	case VERIFY_LISTING:
		if (op_failed(&verify->round->list.op))
			verify->failed = verify->round->list.op.err;
		return verify_go_on(verify);
	case VERIFY_VERIFYING:
		return verify_go_on(verify);
	case VERIFY_NOTING:
		if (op_failed(&verify->write.op))
			verify->failed = verify->write.op.err;
		return verify_go_on(verify);
	case VERIFY_WRITING:
		return verify_wrote(verify);
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
	harm_release(&verify->harm);
	lost_release(&verify->lost);
	catalog_release(&verify->catalog);
	verify_round_free(STEAL(verify->round));
	verify->finding = NULL;
}
