/*
 * check_store.c — the steps of `check` that try out the store of the repository: write, read,
 * list, delete; what keeps writers from each other; its clock. The quick part of what `init` does.
 */
#include "base/clock.h"
#include "base/units.h"
#include "checking.h"
#include "repo/probe.h"
#include "base/poison.h"

enum { CLOCK_OFF_MS_MAX = 5000 };

static void start_probe(struct op *parent, void *context)
{
	probe_start(parent, context);
}

static enum outcome not_deleted(struct checking *checking, const struct probe *probe)
{
	char why[CHECK_NOTE_MAX] = "it is there still";

	if (err_is(&probe->not_removed))
		err_line(&probe->not_removed, why, sizeof(why));
	check_hint(checking,
	           "Archiving needs no right to delete, `seawall expire` does. Each check "
	           "leaves an object below \"probe/\" there.");
	return check_say(checking, CHECK_WARNING,
	                 "an object was written, read and listed, and could not be deleted: %s",
	                 why);
}

enum outcome check_trial(struct checking *checking)
{
	struct probe probe = {.quick = true};
	struct err err = {0};
	enum outcome outcome;

	if (!checking->repository)
		return check_say(checking, CHECK_SKIPPED, "the repository cannot be used");
	probe.repo = checking->site->repo;
	if (story_run(&checking->runtime, start_probe, &probe.op, &probe, &err)) {
		checking->found = probe.features;
		if (!probe.features.removes)
			return not_deleted(checking, &probe);
		return check_say(checking, CHECK_OK,
		                 "an object was written, read, listed and deleted");
	}
	checking->repository = false;
	outcome = check_fail(checking, &err);
	if (!*checking->hint)
		check_hint(checking, "This user must be able to write, read and delete there.");
	return outcome;
}

/* What all servers stand on is what init noted; what was found now may only be better. */
enum outcome check_writers(struct checking *checking)
{
	const struct features *found = &checking->found, *noted;
	enum store_safety safety;
	char text[FEATURES_TEXT_BYTES];

	if (!found->known)
		return check_say(checking, CHECK_SKIPPED, "the repository cannot be used");
	noted = &checking->site->repo->features;
	safety = features_safety(noted);
	if (noted->known && safety < features_safety(found)) {
		features_say(found, text);
		check_hint(checking, "Run `seawall init` again, then restart the servers: until "
		                     "then they could destroy each other's WAL.");
		return check_say(checking, CHECK_FAILED,
		                 "the store is not what it was when `init` tried it: %s", text);
	}
	features_say(noted, text);
	check_hint(checking, "%s", features_advice(noted));
	return check_say(checking, *features_advice(noted) ? CHECK_WARNING : CHECK_OK, "%s", text);
}

/* The object of the trial was written just now: its time is the repository's clock. */
enum outcome check_clock(struct checking *checking)
{
	char off[UNITS_TEXT_BYTES];
	int64_t off_ms = checking->found.clock_off_us / 1000;

	if (!checking->found.known)
		return check_say(checking, CHECK_SKIPPED, "the repository cannot be used");
	units_duration(off_ms < 0 ? -off_ms : off_ms, off);
	if (off_ms <= CLOCK_OFF_MS_MAX && off_ms >= -CLOCK_OFF_MS_MAX)
		return check_say(checking, CHECK_OK, "the repository's differs by %s", off);
	check_hint(checking, "Let both machines keep time (chrony, ntpd).");
	return check_say(checking, CHECK_WARNING, "the repository's is %s %s", off,
	                 off_ms > 0 ? "ahead" : "behind");
}
