/*
 * verify_round.c — the order: what was never verified, then span by span what was verified longest
 * ago. Pages of names are cut into runs of neighbours for lanes; the run of a lane that has ended,
 * whole or in part, is marked with the time of the listing that it comes from.
 */
#include "verify_round.h"

#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

/* ---- the passes ---- */

static void pass_add(struct verify_round *round, enum verify_which which, const char *after,
                     const char *to, int64_t at_us)
{
	round->pass = xrealloc(round->pass, (round->passes + 1) * sizeof(*round->pass));
	round->pass[round->passes++] = (struct verify_pass){
	        .which = which, .after = xstrdup(after), .to = xstrdup(to), .at_us = at_us};
}

static int pass_order(const void *a, const void *b)
{
	const struct verify_pass *left = a, *right = b;

	if (left->at_us != right->at_us)
		return left->at_us < right->at_us ? -1 : 1;
	return strcmp(left->after, right->after);
}

static void passes_plan(struct verify *verify)
{
	struct verify_round *round = verify->round;
	const struct verify_map *map = &round->before;
	char behind[NAME_BYTES];

	if (verify->anew)
		return pass_add(round, VERIFY_TAKE_ALL, "", "", 0);
	pass_add(round, VERIFY_TAKE_NEW, "", "", 0);
	for (size_t i = 0; i < map->spans; i++)
		if (map->span[i].at_us)
			pass_add(round, VERIFY_TAKE_OLD, i ? map->span[i - 1].to : "",
			         map->span[i].to, map->span[i].at_us);
	qsort(round->pass, round->passes, sizeof(*round->pass), pass_order);
	snprintf(behind, sizeof(behind), "%.*s0", (int)strlen(round->notes) - 1, round->notes);
	pass_add(round, VERIFY_TAKE_NOTES, round->notes, behind, 0);
}

void verify_round_begin(struct verify *verify)
{
	struct verify_round *round = verify->round;

	snprintf(round->prefix, sizeof(round->prefix), "%s/", verify->site->cluster);
	snprintf(round->notes, sizeof(round->notes), "%s/note/", verify->generation.generation);
	passes_plan(verify);
	round->pass_at = 0;
	snprintf(round->listed, sizeof(round->listed), "%s", round->pass[0].after);
}

void verify_round_free(struct verify_round *round)
{
	if (!round)
		return;
	for (size_t i = 0; i < round->passes; i++) {
		free(round->pass[i].after);
		free(round->pass[i].to);
	}
	free(round->pass);
	store_list_release(&round->list);
	strs_release(&round->outside);
	verify_map_release(&round->before);
	verify_map_release(&round->now);
	free(round);
}

/* ---- which objects ---- */

static bool is_part_of_another(const char *name)
{
	const char *dot = strrchr(name, '.');
	uint64_t ignored;

	return dot && dot - name > 17 && strlen(dot + 1) >= 4 &&
	       strspn(dot + 1, "0123456789") == strlen(dot + 1) && dot[-17] == '.' &&
	       str_hex(dot - 16, 16, false, &ignored);
}

static bool is_run_note(const struct verify_round *round, const char *name)
{
	return str_starts(name, round->notes) && strstr(name, "-verify-");
}

static bool is_wanted(const struct verify_round *round, const struct verify_pass *pass,
                      const struct store_entry *entry)
{
	int64_t at_us = verify_map_at(&round->before, entry->name);
	bool young = entry->modified_us > at_us, note = is_run_note(round, entry->name);

	switch (pass->which) {
	case VERIFY_TAKE_ALL:
		return true;
	case VERIFY_TAKE_NEW:
		return !note && (young || at_us == 0);
	case VERIFY_TAKE_OLD:
		return !young && at_us == pass->at_us;
	case VERIFY_TAKE_NOTES:
		return note && (young || at_us == 0);
	}
	return false;
}

/* The entry was gone by. */
static void go_by(struct verify_round *round, const char *name)
{
	round->at++;
	snprintf(round->listed, sizeof(round->listed), "%s", name);
	if (is_part_of_another(name))
		return;
	snprintf(round->previous, sizeof(round->previous), "%s", name);
	if (!is_run_note(round, name))
		snprintf(round->shown, sizeof(round->shown), "%s", name);
}

static void pass_next(struct verify_round *round)
{
	store_list_release(&round->list);
	round->list = (struct store_list){0};
	round->at = 0;
	round->listing = false;
	if (++round->pass_at == round->passes)
		return;
	snprintf(round->listed, sizeof(round->listed), "%s", round->pass[round->pass_at].after);
	snprintf(round->previous, sizeof(round->previous), "%s", round->listed);
	snprintf(round->shown, sizeof(round->shown), "%s", round->listed);
}

/* The next object that this pass takes. NULL: the page or the pass ends, or another object comes
 * before it, when there may be none between (adjoining). */
static const char *next_name(struct verify *verify, bool adjoining)
{
	struct verify_round *round = verify->round;
	const struct verify_pass *pass = &round->pass[round->pass_at];

	while (round->at < round->list.count && !round->stop) {
		const struct store_entry *entry = &round->list.entry[round->at];

		if (*pass->to && strcmp(entry->name, pass->to) > 0) {
			round->at = round->list.count;
			round->list.more = false;
			return NULL;
		}
		if (is_part_of_another(entry->name)) { /* it is read with what it is a part of */
			round->assigned += round->took ? entry->bytes : 0;
			go_by(round, entry->name);
			continue;
		}
		if (!is_wanted(round, pass, entry)) {
			if (adjoining)
				return NULL;
			round->took = false;
			go_by(round, entry->name);
			continue;
		}
		if (verify->budget && round->taken && round->assigned >= verify->budget) {
			round->stop = true;
			return NULL;
		}
		return entry->name;
	}
	return NULL;
}

/* ---- lanes ---- */

static bool is_segment(const struct verify *verify, const char *name)
{
	struct walname wal;

	return verify_is_ours(verify, name) && strstr(name, "/wal/") &&
	       name_wal_parse(name, &wal) && wal.kind == WALNAME_SEGMENT;
}

static void take(struct verify *verify, struct verify_lane *lane, const char *name)
{
	struct verify_round *round = verify->round;

	if (!round->taken)
		snprintf(verify->from, sizeof(verify->from), "%s", round->shown);
	round->taken = round->took = true;
	lane->name[lane->names++] = xstrdup(name);
	round->assigned += round->list.entry[round->at].bytes;
	snprintf(verify->to, sizeof(verify->to), "%s", name);
	go_by(round, name);
}

static void fill_outside(struct verify_round *round, struct verify_lane *lane)
{
	lane->outside = true;
	while (lane->names < LANE_OBJECTS_MAX && round->outside_at < round->outside.count)
		lane->name[lane->names++] = xstrdup(round->outside.item[round->outside_at++]);
}

static void fill(struct verify *verify, struct verify_lane *lane, const char *name)
{
	struct verify_round *round = verify->round;

	lane->listed_us = round->listed_us;
	snprintf(lane->after, sizeof(lane->after), "%s", round->previous);
	if (is_segment(verify, name) && is_segment(verify, round->previous)) {
		lane->warm = true;
		lane->name[lane->names++] = xstrdup(round->previous);
	}
	do
		take(verify, lane, name);
	while (lane->names < LANE_OBJECTS_MAX && (name = next_name(verify, true)));
}

static struct verify_lane **lane_free_one(struct verify *verify)
{
	for (unsigned i = 0; i < verify->lanes; i++)
		if (!verify->lane[i])
			return &verify->lane[i];
	return NULL;
}

static bool assign(struct verify *verify)
{
	struct verify_round *round = verify->round;
	struct verify_lane **lane = lane_free_one(verify);
	const char *name = NULL;

	if (!lane || round->stop)
		return false;
	if (round->outside_at == round->outside.count) {
		name = next_name(verify, false);
		if (!name)
			return false;
	}
	*lane = xcalloc(1, sizeof(**lane));
	(*lane)->verify = verify;
	if (name)
		fill(verify, *lane, name);
	else
		fill_outside(round, *lane);
	verify->busy++;
	verify_lane_start(&verify->op, *lane);
	return true;
}

void verify_round_mark(struct verify *verify, const struct verify_lane *lane)
{
	if (!lane->outside && lane->at > lane->warm)
		verify_map_mark(&verify->round->now, lane->after, lane->name[lane->at - 1],
		                lane->listed_us);
}

/* ---- going on ---- */

static void list(struct verify *verify)
{
	struct verify_round *round = verify->round;

	store_list_release(&round->list);
	round->at = 0;
	round->listed_us = clock_now_us();
	round->listing = true;
	round->list = (struct store_list){.store = verify->site->repo->store,
	                                  .prefix = round->prefix,
	                                  .after = *round->listed ? round->listed : NULL};
	store_list_start(&verify->op, &round->list);
}

bool verify_round_is_over(const struct verify *verify)
{
	return verify->round->stop || verify->round->pass_at == verify->round->passes;
}

bool verify_round_go_on(struct verify *verify)
{
	struct verify_round *round = verify->round;

	while (!verify_round_is_over(verify)) {
		if (assign(verify))
			continue;
		if (round->stop || !lane_free_one(verify) || round->at < round->list.count)
			return false;
		if (round->listing && !round->list.more) {
			pass_next(round);
			continue;
		}
		list(verify);
		return true;
	}
	return false;
}
