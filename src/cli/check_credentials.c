/*
 * check_credentials.c — the step of `check` that says with which identity a repository in S3 is
 * used, where it was found, and why the places before it were passed over.
 *
 * It only opens the place: when the repository cannot be read, this is what one wants to know.
 */
#include "base/str.h"
#include "checking.h"
#include "net/credentials.h"
#include "repo/repo.h"
#include "base/poison.h"

struct identity {
	struct credentials_source *source;
	struct credentials_get get;
};

static void start_get(struct op *parent, void *context)
{
	struct identity *identity = context;

	credentials_get_start(parent, &identity->get, identity->source);
}

/* "PROVIDER: sentence; …" of all that were passed over; returns the one that was used. */
static const struct credentials_outcome *tell(const struct identity *identity, struct buf *passed)
{
	const struct credentials_outcome *outcome, *used = NULL;
	size_t count = credentials_outcomes(identity->source, &outcome);

	buf_init(passed, CHECK_NOTE_MAX);
	for (size_t i = 0; i < count; i++) {
		if (outcome[i].used)
			used = &outcome[i];
		else
			buf_addf(passed, "%s%s: %s", passed->length > 0 ? "; " : "",
			         outcome[i].provider, outcome[i].sentence);
	}
	return used;
}

enum outcome check_credentials(struct checking *checking)
{
	const struct config_repository *repository = checking->config_repository;
	size_t number = (size_t)(repository - checking->config->repository);
	struct identity identity = {0};
	const struct credentials_outcome *used;
	AUTO_BUF struct buf passed = {0};
	enum outcome outcome;
	struct err err = {0};

	if (!str_starts(repository->url, "s3://"))
		return check_say(checking, CHECK_OK, "%s needs none", repository->url);
	if (!runtime_open_place(&checking->runtime, checking->place, false, &err))
		return check_fail(checking, &err);
	identity.source = store_credentials(checking->runtime.repo[number]->store);
	if (!story_run(&checking->runtime, start_get, &identity.get.op, &identity, &err)) {
		tell(&identity, &passed);
		outcome = check_fail(checking, &err);
		if (passed.length > 0) /* it ends with the one that failed */
			check_say(checking, CHECK_FAILED, "%s", buf_text(&passed));
	} else {
		used = tell(&identity, &passed);
		outcome = check_say(checking, CHECK_OK, "%s: %s%s%s", used ? used->provider : "",
		                    used ? used->sentence : "",
		                    passed.length > 0 ? "; passed over: " : "", buf_text(&passed));
	}
	credentials_get_release(&identity.get);
	return outcome;
}
