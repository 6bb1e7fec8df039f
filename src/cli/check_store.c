/*
 * check_store.c — the steps of `check` for one repository: its credentials, itself, encryption; its
 * store (write, read, list, delete; what keeps writers from each other; its clock), which is the
 * quick part of what `init` does; who else writes the timeline; its disk.
 */
#include "base/clock.h"
#include "base/units.h"
#include "checking.h"
#include "codec/keys.h"
#include "disk.h"
#include "repo/probe.h"
#include "base/poison.h"

enum { CLOCK_OFF_MS_MAX = 5000, FREE_PERCENT_MIN = 10 };

static enum outcome check_repository(struct checking *checking)
{
	struct err err = {0};

	if (!runtime_open_site(&checking->runtime, checking->place, &err))
		return check_fail(checking, &err);
	checking->repository = true;
	checking->usable++;
	return check_say(checking, CHECK_OK, "\"%s\" at %s", checking->config_repository->name,
	                 checking->config_repository->url);
}

static enum outcome check_encryption(struct checking *checking)
{
	const struct keyring *keys;
	char id[KEY_ID_BYTES], created[TIME_TEXT_BYTES];
	struct key_about newest;

	if (!checking->repository)
		return check_say(checking, CHECK_SKIPPED, "the repository cannot be used");
	if (err_is(&checking->place->repo->shut))
		return check_fail(checking, &checking->place->repo->shut);
	keys = checking->place->repo->keys;
	if (!keys || !keyring_newest(keys, &newest))
		return check_say(checking, CHECK_OK, "the repository is not encrypted");
	key_id_text(newest.id, id);
	clock_text_utc(newest.created_us / US_PER_S * US_PER_S, created);
	if (!newest.opened) {
		check_hint(checking, "The key was rotated: set the new one.");
		return check_say(checking, CHECK_FAILED,
		                 "the key that is set does not open the newest data key, %s", id);
	}
	return check_say(checking, CHECK_OK,
	                 "encrypted, with data key %s of %s (%u of %u data keys "
	                 "can be opened)",
	                 id, created, keyring_opened(keys), keyring_count(keys));
}

static void start_probe(struct op *parent, void *context)
{
	probe_start(parent, context);
}

static enum outcome not_deleted(struct checking *checking, const struct probe *probe)
{
	char why[CHECK_NOTE_MAX] = "it is there still";

	if (err_is(&probe->not_removed))
		err_line(&probe->not_removed, why, sizeof(why));
	check_hint(
	        checking,
	        "%s Archiving needs no right to delete; `seawall expire` will need it, and remove "
	        "nothing without. Each check leaves an object below \"probe/\" there.",
	        str_starts(checking->config_repository->url, "s3://")
	                ? "The key lacks s3:DeleteObject below the prefix, or a policy of the "
	                  "bucket or an object lock forbids it."
	                : "This user lacks the right to delete there.");
	return check_say(checking, CHECK_WARNING,
	                 "an object was written, read and listed, and could not be deleted: %s",
	                 why);
}

static enum outcome check_trial(struct checking *checking)
{
	struct probe probe = {.quick = true};
	struct err err = {0};
	enum outcome outcome;

	if (!checking->repository)
		return check_say(checking, CHECK_SKIPPED, "the repository cannot be used");
	probe.repo = checking->place->repo;
	if (story_run(&checking->runtime, start_probe, &probe.op, &probe, &err)) {
		checking->found = probe.features;
		if (!probe.features.removes)
			return not_deleted(checking, &probe);
		return check_say(checking, CHECK_OK,
		                 "an object was written, read, listed and deleted");
	}
	checking->repository = false;
	checking->usable--;
	outcome = check_fail(checking, &err);
	if (!*checking->hint)
		check_hint(checking, "This user must be able to write, read and delete there.");
	return outcome;
}

/* What all servers stand on is what init noted; what was found now may only be better. */
static enum outcome check_writers(struct checking *checking)
{
	const struct features *found = &checking->found, *noted;
	enum store_safety safety;
	char text[FEATURES_TEXT_BYTES];

	if (!found->known)
		return check_say(checking, CHECK_SKIPPED, "the repository cannot be used");
	noted = &checking->place->repo->features;
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
static enum outcome check_clock(struct checking *checking)
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

static enum outcome check_disk(struct checking *checking)
{
	const struct config_repository *repository = checking->config_repository;
	char left[UNITS_TEXT_BYTES], all[UNITS_TEXT_BYTES];
	uint64_t free_bytes, total_bytes;

	if (!checking->place->repo)
		return check_say(checking, CHECK_SKIPPED, "the repository cannot be used");
	if (!store_space(checking->place->repo->store, &free_bytes, &total_bytes))
		return check_say(checking, CHECK_OK, "the repository has no size of its own");
	units_size(free_bytes, left);
	units_size(total_bytes, all);
	if (free_bytes / 100 * 100 < total_bytes / 100 * FREE_PERCENT_MIN) {
		check_hint(checking, "Make room, or move the repository.");
		return check_say(checking, CHECK_WARNING,
		                 "the repository's is nearly full: %s of %s free", left, all);
	}
	if (disk_is_shared(checking->site->pgdata, repository)) {
		check_hint(checking,
		           "A repository on another machine survives the loss of this disk.");
		return check_say(
		        checking, CHECK_WARNING,
		        "the repository is on the disk of the data directory, and lost with "
		        "it; %s of %s free",
		        left, all);
	}
	return check_say(checking, CHECK_OK, "%s of %s free for the repository", left, all);
}

const struct step check_store[] = {
        {"credentials", check_credentials},
        {"repository", check_repository},
        {"encryption", check_encryption},
        {"write, read, delete", check_trial},
        {"several writers", check_writers},
        {"timeline", check_branch},
        {"clock", check_clock},
        {"disk", check_disk},
        {0},
};
