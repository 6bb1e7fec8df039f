/*
 * check_branch.c — the step of `check` that says whether the timeline that this data directory
 * writes is its own in the repository: who else archived to it, whether it is contested or fenced,
 * and what to do.
 *
 * It is the look with which `seawall adopt` begins.
 */
#include "base/clock.h"
#include "checking.h"
#include "job/adopt.h"
#include "base/poison.h"

static void start(struct op *parent, void *context)
{
	adopt_start(parent, context);
}

static enum outcome fenced(struct checking *checking, const struct adopt *sight,
                           const struct owner_note *fence)
{
	AUTO_BUF struct buf who = {0};

	buf_init(&who, CHECK_NOTE_MAX);
	owner_note_who(fence, &who);
	check_hint(checking,
	           "What this server archives is set aside. Stop it, or let it follow with "
	           "pg_rewind or `seawall restore --in-place`. If it is this one that is right: "
	           "`seawall adopt %s` here.",
	           checking->site->cluster);
	return check_say(checking, CHECK_FAILED,
	                 "timeline %u is fenced from " LSN_FORMAT
	                 " on: the cluster goes on on timeline %u (said by %s)",
	                 sight->tli, LSN_ARGS(fence->position), fence->other, buf_text(&who));
}

static enum outcome contested(struct checking *checking, const struct adopt *sight,
                              const struct owner_note *contest)
{
	AUTO_BUF struct buf text = {0};

	buf_init(&text, CHECK_NOTE_MAX);
	owner_contest_text(&sight->owners, contest, &text);
	check_hint(checking,
	           "Both are archived, and no restore chooses between them by itself. On the "
	           "server that is right: `seawall adopt %s`, which fences the other one.",
	           checking->site->cluster);
	return check_say(checking, CHECK_WARNING, "%s", buf_text(&text));
}

/* A timeline that left ours behind us or will be passed by us, and is not fenced. */
static const struct history *rival(const struct adopt *sight, lsn *ret_fork)
{
	const struct catalog *owners = &sight->owners;

	for (size_t i = 0; i < owners->timelines; i++) {
		const struct history *other = &owners->timeline[i].history;

		if (owners->timeline[i].tli > sight->tli && owners->timeline[i].history_archived &&
		    history_switch(other, sight->tli, ret_fork) &&
		    !owner_fence_whole(owners, other->tli))
			return other;
	}
	return NULL;
}

static enum outcome forked(struct checking *checking, const struct adopt *sight,
                           const struct history *other, lsn fork)
{
	const struct owner_note *who = owner_first(&sight->owners, other->tli);
	AUTO_BUF struct buf text = {0};

	buf_init(&text, CHECK_NOTE_MAX);
	if (who)
		owner_note_who(who, &text);
	check_hint(checking,
	           "If that was a failover, stop this server. If it was a test: `seawall adopt %s` "
	           "here, which fences it.",
	           checking->site->cluster);
	return check_say(checking, CHECK_WARNING,
	                 "timeline %u, which this server writes, was left by timeline %u "
	                 "at " LSN_FORMAT "%s%s",
	                 sight->tli, other->tli, LSN_ARGS(fork), who ? ": " : "", buf_text(&text));
}

static enum outcome owned(struct checking *checking, const struct adopt *sight)
{
	struct owner_note here = {.tli = sight->tli};
	const struct owner_note *first = owner_first(&sight->owners, sight->tli);
	AUTO_BUF struct buf who = {0};

	owner_note_here(&here, sight->folder);
	if (!first)
		return check_say(checking, CHECK_OK, "timeline %u; nobody has archived to it yet",
		                 sight->tli);
	if (owner_said(&sight->owners, sight->tli, &here))
		return check_say(checking, CHECK_OK, "timeline %u, archived from here", sight->tli);
	buf_init(&who, CHECK_NOTE_MAX);
	owner_note_who(first, &who);
	check_hint(checking,
	           "If this is another server than that one, only one of the two may go on: "
	           "`seawall adopt --new-generation %s` here, or stop this one. If it was moved or "
	           "renamed, all is well as soon as it archives.",
	           checking->site->cluster);
	return check_say(checking, CHECK_WARNING,
	                 "timeline %u was archived from elsewhere, not from here: %s", sight->tli,
	                 buf_text(&who));
}

static enum outcome judge(struct checking *checking, const struct adopt *sight)
{
	const struct owner_note *note;
	const struct history *other;
	lsn fork;

	if (sight->was_clone) {
		check_hint(checking, "To let it go on as the cluster: `seawall adopt %s` here.",
		           checking->site->cluster);
		return check_say(checking, CHECK_FAILED,
		                 "this is a clone made by `seawall restore`: it does not archive");
	}
	if (sight->nothing_there)
		return check_say(checking, CHECK_OK, "timeline %u; nothing is archived yet",
		                 sight->tli);
	note = owner_fence(&sight->owners, sight->tli, UINT64_MAX);
	if (note)
		return fenced(checking, sight, note);
	note = owner_contest_on(&sight->owners, &sight->path, UINT64_MAX);
	if (note)
		return contested(checking, sight, note);
	other = rival(sight, &fork);
	if (other)
		return forked(checking, sight, other, fork);
	return owned(checking, sight);
}

enum outcome check_branch(struct checking *checking)
{
	struct site alone;
	struct adopt *sight;
	struct err err = {0};
	enum outcome outcome;

	if (!checking->repository)
		return check_say(checking, CHECK_SKIPPED, "the repository cannot be used");
	if (!checking->site->pgdata || access(checking->site->pgdata, R_OK | X_OK) != 0)
		return check_say(checking, CHECK_SKIPPED, "the data directory cannot be read");
	alone = *checking->place;
	alone.next = NULL;
	sight = xcalloc(1, sizeof(*sight));
	sight->site = &alone;
	sight->folder = checking->site->pgdata;
	sight->dry_run = sight->sight = true;
	if (story_run(&checking->runtime, start, &sight->op, sight, &err))
		outcome = judge(checking, sight);
	else if (sight->recovering)
		outcome = check_say(checking, CHECK_OK,
		                    "this server is in recovery, and writes no timeline");
	else
		outcome = check_fail(checking, &err);
	adopt_release(sight);
	free(sight);
	return outcome;
}
