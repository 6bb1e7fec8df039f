/*
 * features.c — what a store does, as values: the decision, the words, the JSON.
 */
#include "repo/features.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/units.h"
#include "codec/json.h"

#include "base/poison.h"

#define US_PER_MILLI INT64_C(1000)

/*
 * create_only: the store keeps writers from each other. claim: it does not, but what one has
 * written another one sees in a listing, and on that writers can agree (store/claim.c). Without
 * that nothing can be agreed on: one writer.
 */
enum store_safety features_safety(const struct features *features)
{
	if (!features->known)
		return STORE_CLAIM;
	if (features->create_only && features->create_only_at_once)
		return STORE_CREATE_ONLY;
	if (features->list_after_put && features->list_after_remove)
		return STORE_CLAIM;
	return STORE_ONE_WRITER;
}

const char *features_safety_name(enum store_safety safety)
{
	static const char *const names[] = {[STORE_CREATE_ONLY] = "create_only",
	                                    [STORE_CLAIM] = "claim",
	                                    [STORE_ONE_WRITER] = "one_writer"};

	return names[safety];
}

bool features_equal(const struct features *a, const struct features *b)
{
	return a->known == b->known && a->create_only == b->create_only &&
	       a->create_only_at_once == b->create_only_at_once && a->versioned == b->versioned &&
	       a->range == b->range && a->list_after_put == b->list_after_put &&
	       a->list_after_remove == b->list_after_remove && a->removes == b->removes;
}

/* ---- JSON ---- */

void features_json(const struct features *features, struct jval *object)
{
	jset_bool(object, "create_only", features->create_only);
	jset_bool(object, "create_only_at_once", features->create_only_at_once);
	jset_bool(object, "versioned", features->versioned);
	jset_bool(object, "range", features->range);
	jset_bool(object, "list_after_put", features->list_after_put);
	jset_bool(object, "list_after_remove", features->list_after_remove);
	jset_bool(object, "remove", features->removes);
	jset_int(object, "clock_off_ms", features->clock_off_us / US_PER_MILLI);
	jset_u64(object, "measured", (uint64_t)features->measured_us);
}

static bool get_or(const struct jval *root, const char *field, bool otherwise, bool *ret,
                   struct err *err)
{
	*ret = otherwise;
	return !jhas(root, field) || jget_bool(root, field, ret, err);
}

static bool take(struct features *f, const struct jval *root, struct err *err)
{
	uint64_t measured_us = 0;
	int64_t off_ms = 0;

	if (!jget_bool(root, "create_only", &f->create_only, err) ||
	    !jget_bool(root, "range", &f->range, err) ||
	    !jget_bool(root, "list_after_put", &f->list_after_put, err) ||
	    !jget_bool(root, "remove", &f->removes, err) ||
	    !get_or(root, "create_only_at_once", f->create_only, &f->create_only_at_once, err) ||
	    !get_or(root, "list_after_remove", f->list_after_put, &f->list_after_remove, err) ||
	    !get_or(root, "versioned", false, &f->versioned, err))
		return false;
	if (jhas(root, "clock_off_ms") && !jget_int(root, "clock_off_ms", &off_ms, err))
		return false;
	if (jhas(root, "measured") && !jget_u64(root, "measured", &measured_us, err))
		return false;
	if (off_ms > INT64_MAX / US_PER_MILLI || off_ms < -INT64_MAX / US_PER_MILLI ||
	    measured_us > INT64_MAX)
		return err_set(err, ERR_DAMAGED, "a time in it is out of range");
	f->clock_off_us = off_ms * US_PER_MILLI;
	f->measured_us = (int64_t)measured_us;
	f->known = true;
	return true;
}

bool features_read(struct features *ret, const char *text, size_t length, struct err *err)
{
	struct features features = {.known = false};
	struct jval *root;
	bool good;

	*ret = features;
	if (!json_parse(text, length, &root, err))
		return false;
	good = take(&features, root, err);
	jval_free(root);
	if (good)
		*ret = features;
	return good;
}

/* ---- words ---- */

/* Why the store does not keep writers from each other. */
static const char *lack_of_create_only(const struct features *features)
{
	return features->create_only ? "of several writers at once more than one succeeds"
	                             : "it overwrites what is there (If-None-Match is ignored)";
}

void features_say(const struct features *features, char out[FEATURES_TEXT_BYTES])
{
	if (!features->known) {
		snprintf(out, FEATURES_TEXT_BYTES,
		         "it was not measured what the store can do, so writers agree by claims");
		return;
	}
	switch (features_safety(features)) {
	case STORE_CREATE_ONLY:
		snprintf(out, FEATURES_TEXT_BYTES,
		         "a name that is taken is refused, also to several writers at once");
		break;
	case STORE_CLAIM:
		snprintf(out, FEATURES_TEXT_BYTES,
		         "%s, so writers agree by claims, with more requests for each object",
		         lack_of_create_only(features));
		break;
	case STORE_ONE_WRITER:
		snprintf(out, FEATURES_TEXT_BYTES,
		         "ONE WRITER ONLY: %s, and its listings lag: two hosts that store here "
		         "would destroy each other's WAL, so the second one is refused",
		         lack_of_create_only(features));
		break;
	}
}

const char *features_advice(const struct features *features)
{
	if (!features->known)
		return "Run `seawall init` again: it measures.";
	switch (features_safety(features)) {
	case STORE_CREATE_ONLY:
		return features->list_after_put && features->list_after_remove
		               ? ""
		               : "Listings lag: what was archived last may be missing in a "
		                 "restore for a while. Use another store.";
	case STORE_CLAIM:
		return "A version of the store that honours If-None-Match needs fewer requests.";
	case STORE_ONE_WRITER:
		return "Use another store. \"seawall init --take-over\" makes another host the "
		       "one.";
	}
	return "";
}

static void tell_clock(const struct features *features, const char *indent, struct buf *out)
{
	char off[UNITS_TEXT_BYTES];
	int64_t off_ms = llabs(features->clock_off_us) / US_PER_MILLI;

	units_duration(off_ms, off);
	if (off_ms < 1000)
		buf_addf(out, "%sIts clock is less than a second from this host's.\n", indent);
	else
		buf_addf(out, "%sIts clock is %s %s this host's.\n", indent, off,
		         features->clock_off_us > 0 ? "ahead of" : "behind");
}

static void tell_listings(const struct features *features, const char *indent, struct buf *out)
{
	if (features->list_after_put && features->list_after_remove)
		buf_addf(out, "%sListings show at once what was written%s.\n", indent,
		         features->removes ? " and what was deleted" : "");
	if (!features->list_after_put)
		buf_addf(out,
		         "%sWARNING: listings lack what was written just before: what was "
		         "archived last may be missing in a restore.\n",
		         indent);
	if (!features->list_after_remove)
		buf_addf(out, "%sWARNING: listings go on showing what was deleted.\n", indent);
}

void features_tell(const struct features *features, const char *indent, struct buf *out)
{
	enum store_safety safety = features_safety(features);
	char text[FEATURES_TEXT_BYTES];

	features_say(features, text);
	if (safety == STORE_CREATE_ONLY && features->known)
		buf_addf(out,
		         "%sA name that is taken is refused, also to several writers at once.\n",
		         indent);
	else
		buf_addf(out, "%s%s: %s.\n%s%s\n", indent,
		         safety == STORE_ONE_WRITER ? "WARNING" : "Note", text, indent,
		         features_advice(features));
	if (!features->known)
		return;
	tell_listings(features, indent, out);
	buf_addf(out, "%s%s.\n", indent,
	         features->removes ? "What was written can be deleted"
	                           : "What was written cannot be deleted: `seawall expire` needs "
	                             "that right");
	if (features->versioned)
		buf_addf(out, "%sIt keeps old versions: what is deleted goes on taking room.\n",
		         indent);
	tell_clock(features, indent, out);
}
