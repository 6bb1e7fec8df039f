/*
 * verify_lane.c — objects read whole, one after the other.
 *
 *   START -> STREAMING -> [PACKS: each pack of a manifest] -> [RESTING] -> STREAMING … -> done
 *                      -> [MARKING: a segment that is damaged, or good again] ->
 *
 * STREAMING opens all frames and compares the digest of the content (repo/object.h). WAL also goes
 * through the record walker, from one segment into the next; a manifest through its reader, and
 * PACKS looks whether each pack that it names is there and long enough. Damage is told to verify.c
 * by the object's name, and the next object follows. What is gone meanwhile was expired. A lane
 * pauses between two objects when it is time for a note, and goes on where it was when it is
 * started again.
 */
#include "verify_lane.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

enum lane_state { LANE_START, LANE_STREAMING, LANE_PACKS, LANE_MARKING, LANE_RESTING };

static const char *lane_name(const struct verify_lane *lane)
{
	return lane->name[lane->at];
}

/* ---- what the bytes mean; on a worker ---- */

static bool walk_begin(struct verify_lane *lane, struct err *err)
{
	const struct generation_facts *facts = &lane->verify->generation.facts;
	struct walwalk_options options = {.system_identifier = facts->system_identifier,
	                                  .segment_bytes = facts->segment_bytes,
	                                  .major = facts->major};

	if (lane->walk && (lane->walk_tli != lane->tli || lane->walk_segno != lane->segno)) {
		free(lane->walk);
		lane->walk = NULL;
	}
	lane->carried = lane->walk != NULL;
	if (!lane->walk) {
		lane->walk = xmalloc(sizeof(*lane->walk));
		walwalk_init(lane->walk, &options);
	}
	return walwalk_begin(lane->walk, lane->tli, lane->segno, err);
}

static bool lane_consume(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                         size_t length, struct err *err)
{
	struct verify_lane *lane = stream->context;

	if (lane->segment)
		return (offset > 0 || walk_begin(lane, err)) &&
		       walwalk_feed(lane->walk, bytes, length, err);
	if (lane->head && offset < lane->head->body_bytes)
		return manifest_reader_feed(
		        lane->reader, bytes,
		        (size_t)MIN((uint64_t)length, lane->head->body_bytes - offset), err);
	return true;
}

/* How far each pack is read by the manifest. */
static bool lane_each(void *context, const struct manifest_entry *entry, struct err *err)
{
	struct verify_lane *lane = context;

	for (uint32_t i = 0; i < entry->extents; i++) {
		const struct extent *extent = &entry->extent[i];
		uint64_t end = extent->pack_offset + extent->length;
		uint32_t *packs;

		if (extent->pack == MANIFEST_ZEROS)
			continue;
		if (extent->source >= lane->head->sources || extent->pack == 0 ||
		    extent->pack > (1U << 26) || end > UINT32_MAX)
			return err_set(err, ERR_DAMAGED,
			               "file \"%s\" lies in a pack that cannot be", entry->path);
		packs = &lane->packs[extent->source];
		if (extent->pack > *packs) {
			uint32_t size = MAX(extent->pack, 2 * *packs);
			uint32_t **ends = &lane->pack_end[extent->source];

			*ends = xrealloc(*ends, size * sizeof(**ends));
			memset(*ends + *packs, 0, (size - *packs) * sizeof(**ends));
			*packs = size;
		}
		packs = &lane->pack_end[extent->source][extent->pack - 1];
		*packs = MAX(*packs, (uint32_t)end);
	}
	return true;
}

/* ---- the story ---- */

bool verify_is_ours(const struct verify *verify, const char *name)
{
	const char *generation = verify->generation.generation;

	return str_starts(name, generation) && name[strlen(generation)] == '/';
}

static void lane_forget_manifest(struct verify_lane *lane)
{
	for (size_t i = 0; lane->head && i < lane->head->sources; i++)
		free(lane->pack_end[i]);
	free(lane->pack_end);
	free(lane->packs);
	lane->pack_end = NULL;
	lane->packs = NULL;
	manifest_reader_free(lane->reader);
	lane->reader = NULL;
	lane->head = NULL;
}

static void lane_next(struct verify_lane *lane);

static void lane_stream(struct verify_lane *lane)
{
	struct verify *verify = lane->verify;
	char id[NAME_BACKUP_ID_BYTES];
	struct walname name;

	bool ours = verify_is_ours(verify, lane_name(lane));

	/* Of earlier generations it is known what they are, and not how they belong together. */
	lane->segment = ours && strstr(lane_name(lane), "/wal/") &&
	                name_wal_parse(lane_name(lane), &name) && name.kind == WALNAME_SEGMENT &&
	                walname_fits(&name, verify->generation.facts.segment_bytes);
	if (lane->segment) {
		lane->tli = name.tli;
		lane->segno = walname_segno(&name, verify->generation.facts.segment_bytes);
	}
	if (ours && name_backup_parse(lane_name(lane), id))
		lane->head = heads_find(&verify->heads, id);
	if (lane->head) {
		lane->pack_end = xcalloc(lane->head->sources + 1, sizeof(*lane->pack_end));
		lane->packs = xcalloc(lane->head->sources + 1, sizeof(*lane->packs));
		lane->reader = manifest_reader_new(lane_each, lane);
	}
	lane->stream = (struct object_stream){.repo = verify->site->repo,
	                                      .name = lane_name(lane),
	                                      .class = GATE_VERIFY,
	                                      .consume = lane_consume,
	                                      .context = lane};
	object_stream_start(&lane->op, &lane->stream);
	op_wait(&lane->op, LANE_STREAMING);
}

/* Damage has a name; everything else is the repository's failure. */
static bool is_finding(const struct err *err)
{
	return err->code == ERR_DAMAGED || err->code == ERR_REFUSED;
}

static void lane_rest(struct verify_lane *lane)
{
	struct verify *verify = lane->verify;
	int64_t elapsed_ms = clock_mono_us() / 1000 - verify->begun_ms;
	int64_t due_ms = verify->rate ? (int64_t)(verify->bytes * 1000 / verify->rate) : 0;

	lane->at++;
	if (due_ms <= elapsed_ms || lane->at == lane->names)
		return lane_next(lane);
	nap_start(&lane->op, &lane->nap, MIN(due_ms - elapsed_ms, 10 * 1000));
	op_wait(&lane->op, LANE_RESTING);
}

/* The next pack that the manifest names. */
static void lane_pack(struct verify_lane *lane)
{
	for (; lane->source < lane->head->sources; lane->source++, lane->pack = 0)
		for (; lane->pack < lane->packs[lane->source]; lane->pack++) {
			if (lane->pack_end[lane->source][lane->pack] == 0)
				continue;
			name_pack(lane->pack_name, lane->verify->generation.generation,
			          lane->head->source[lane->source], lane->pack + 1);
			lane->stat = (struct object_stat){.repo = lane->verify->site->repo,
			                                  .name = lane->pack_name,
			                                  .kind = SEALED_PACK};
			object_stat_start(&lane->op, &lane->stat);
			return op_wait(&lane->op, LANE_PACKS);
		}
	lane_forget_manifest(lane);
	lane_rest(lane);
}

static void lane_looked_at_pack(struct verify_lane *lane)
{
	uint32_t end = lane->pack_end[lane->source][lane->pack];
	struct err err = lane->stat.op.err;

	if (err_is(&err) && !is_finding(&err) && err.code != ERR_NOTFOUND) {
		lane_forget_manifest(lane);
		lane->op.err = err;
		return op_fail_own(&lane->op);
	}
	if (!err_is(&err) && lane->stat.sealed.logical_bytes < end)
		err_set(&err, ERR_DAMAGED, "it has %llu bytes, the backup needs %u",
		        (unsigned long long)lane->stat.sealed.logical_bytes, end);
	if (err_is(&err)) {
		err_wrap_as(&err, ERR_DAMAGED, "backup %s needs it", lane->head->id);
		verify_found(lane->verify, lane->pack_name, &err);
	}
	lane->pack++;
	lane_pack(lane);
}

/* What a segment turned out to be, where the marks say something else. */
static bool lane_mark(struct verify_lane *lane, const struct err *err)
{
	struct verify *verify = lane->verify;
	const struct harm_mark *known =
	        harm_at(&verify->harm, verify->site->repo, lane->tli, lane->segno);
	bool damaged = err->code == ERR_DAMAGED;

	if (!lane->segment || verify->dry_run || damaged == (known != NULL) ||
	    (err_is(err) && !damaged) ||
	    (known && known->name.word == HARM_ACCEPTED && !lane->carried))
		return false;
	err_line(err, lane->why, sizeof(lane->why));
	lane->mark = (struct harm_write){
	        .repo = verify->site->repo,
	        .generation = verify->generation.generation,
	        .segment_bytes = verify->generation.facts.segment_bytes,
	        .tli = lane->tli,
	        .segno = lane->segno,
	        .word = damaged ? HARM_DAMAGED : HARM_GOOD,
	        .why = damaged ? lane->why : NULL,
	};
	harm_write_start(&lane->op, &lane->mark);
	op_wait(&lane->op, LANE_MARKING);
	return true;
}

/* A credential that may only read finds damage, too. */
static void lane_marked(struct verify_lane *lane)
{
	if (op_failed(&lane->mark.op) && lane->mark.op.err.code != ERR_CANCELLED)
		log_err(LOG_WARNING, &lane->mark.op.err, ", restores do not know of it");
	lane_rest(lane);
}

/* Somebody had to know. */
static void lane_found(struct verify_lane *lane, const struct err *err)
{
	const struct verify *verify = lane->verify;
	const struct harm_mark *known = NULL;
	struct err found = *err;

	if (lane->segment)
		known = harm_at(&verify->harm, verify->site->repo, lane->tli, lane->segno);
	if (known && known->name.word == HARM_ACCEPTED)
		err_wrap(&found, "it was archived so, with --accept-damaged");
	verify_found(lane->verify, lane_name(lane), &found);
}

static void lane_forget_walk(struct verify_lane *lane)
{
	free(lane->walk);
	lane->walk = NULL;
}

static void lane_streamed(struct verify_lane *lane)
{
	struct verify *verify = lane->verify;
	struct err err = lane->stream.op.err;
	bool warm = lane->warm && lane->at == 0;

	if (!err_is(&err) && lane->segment && walwalk_end(lane->walk, &err)) {
		lane->walk_tli = lane->tli;
		lane->walk_segno = lane->segno + 1;
	}
	if (lane->segment && err_is(&err))
		lane_forget_walk(lane);
	if (!err_is(&err) && lane->head)
		(void)!manifest_reader_end(lane->reader, &err);
	if (err_is(&err) && !is_finding(&err) && err.code != ERR_NOTFOUND) {
		lane_forget_manifest(lane);
		lane->op.err = err;
		return op_fail_own(&lane->op);
	}
	if (!warm && err.code != ERR_NOTFOUND) {
		verify->objects++;
		verify->segments += lane->segment;
		verify->backups += lane->head != NULL;
		verify->bytes += lane->stream.stored_bytes;
		if (err_is(&err))
			lane_found(lane, &err);
		if (lane_mark(lane, &err))
			return;
	}
	if (lane->head && !err_is(&err)) {
		lane->source = lane->pack = 0;
		return lane_pack(lane);
	}
	lane_forget_manifest(lane);
	lane_rest(lane);
}

static void lane_next(struct verify_lane *lane)
{
	if (lane->op.cancelled) {
		err_set(&lane->op.err, ERR_CANCELLED, "cancelled");
		return op_fail_own(&lane->op);
	}
	if (lane->at == lane->names || (lane->at > 0 && verify_note_is_due(lane->verify)))
		return op_done(&lane->op);
	lane_stream(lane);
}

static void lane_step(struct op *op)
{
	struct verify_lane *lane = container_of(op, struct verify_lane, op);

	switch ((enum lane_state)op->state) {
	case LANE_START:
		return lane_next(lane);
	case LANE_STREAMING:
		return lane_streamed(lane);
	case LANE_PACKS:
		return lane_looked_at_pack(lane);
	case LANE_MARKING:
		return lane_marked(lane);
	case LANE_RESTING:
		return lane_next(lane);
	}
}

static const struct op_type lane_type = {.name = "verify-lane", .step = lane_step};

void verify_lane_start(struct op *parent, struct verify_lane *lane)
{
	lane->op = (struct op){0};
	op_start(parent, &lane->op, &lane_type);
}

void verify_lane_free(struct verify_lane *lane)
{
	for (unsigned i = 0; i < lane->names; i++)
		free(lane->name[i]);
	free(lane->walk);
	free(lane);
}
