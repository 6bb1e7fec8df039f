/*
 * credentials.c — the source: what is known, when it is asked for again, and who waits meanwhile.
 *
 *   get:      START -> LOOKING (at the files, on a worker) -> RENEWING or WAITING -> done
 *   renewal:  START -> PLANNING (credentials_plan.c) -> ASKING (credentials_remote.c) -> done
 *
 * The get that finds that something is to be done leads: the renewal is its child. The others wait
 * in a list, and are woken at its end; when the leader was cancelled, the first of them begins
 * again. So nothing runs that nobody waits for, and closing needs no patience.
 */
#include "net/credentials.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "credentials_plan.h"

#include "base/poison.h"

enum {
	LOOK_EVERY_MS = 1000, /* at the files, at most */
	RENEW_BEFORE_S = 300, /* the end; or a quarter of the life, if that is less */
	AGAIN_MS = 30000,     /* after a renewal that brought nothing newer, at most */
	AGAIN_MIN_MS = 100,
};

struct credentials_source {
	struct http *http;
	struct credentials_options options;
	struct credentials *current;
	int64_t renew_us;  /* from then on newer ones are wanted; 0: never */
	int64_t again_ms;  /* of the loop: not before, while the current ones are valid */
	int64_t looked_ms; /* of the loop */
	bool stale;        /* a file changed, or the store refused them */
	int64_t forced_us; /* when a refusal made a renewal due at once */
	struct plan_file file[PLAN_FILES_MAX];
	unsigned files;
	struct credentials_outcome outcome[PLAN_OUTCOMES_MAX];
	unsigned outcomes;
	struct credentials_get *leader, *waiting;
	unsigned round; /* renewals that came to an end */
	struct err err; /* of the last one */
};

struct credentials_look {
	struct work work;
	struct plan_file file[PLAN_FILES_MAX];
	unsigned files;
	bool changed;
};

struct credentials_renewal {
	struct op op;
	struct credentials_source *source;
	struct plan plan;
	struct remote remote;
	struct credentials *found;
};

static char *copy_of(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

struct credentials_source *credentials_open(struct http *http,
                                            const struct credentials_options *options)
{
	struct credentials_source *source = xcalloc(1, sizeof(*source));

	source->http = http;
	source->options = (struct credentials_options){
	        .access_key = copy_of(options->access_key),
	        .secret_key_file = copy_of(options->secret_key_file),
	        .credentials_file = copy_of(options->credentials_file),
	        .profile = copy_of(options->profile),
	        .region = copy_of(options->region),
	        .ca_file = copy_of(options->ca_file),
	};
	return source;
}

static void files_release(struct plan_file *file, unsigned *files)
{
	while (*files > 0)
		free(file[--*files].path);
}

void credentials_close(struct credentials_source *source)
{
	if (!source)
		return;
	assert(!source->leader && !source->waiting);
	credentials_release(source->current);
	files_release(source->file, &source->files);
	free((char *)source->options.access_key);
	free((char *)source->options.secret_key_file);
	free((char *)source->options.credentials_file);
	free((char *)source->options.profile);
	free((char *)source->options.region);
	free((char *)source->options.ca_file);
	free(source);
}

size_t credentials_outcomes(const struct credentials_source *source,
                            const struct credentials_outcome **ret)
{
	*ret = source->outcome;
	return source->outcomes;
}

void credentials_refused(struct credentials_source *source, const struct credentials *credentials)
{
	int64_t now_us = clock_mono_us();

	if (!credentials || credentials != source->current)
		return;
	source->stale = true;
	if (source->forced_us && now_us - source->forced_us < AGAIN_MS * INT64_C(1000))
		return; /* the same again: whoever gives them is not asked without pause */
	source->forced_us = now_us;
	source->again_ms = 0;
}

/* ---- one renewal ---- */

#define RENEWAL_STATES(X) X(RENEWAL_START) X(RENEWAL_PLANNING) X(RENEWAL_ASKING)
OP_STATES(renewal_state, RENEWAL_STATES)

static void renewal_failed(struct credentials_renewal *renewal, const struct err *cause)
{
	struct plan *plan = &renewal->plan;
	char line[ERR_TEXT_MAX];

	if (plan->provider && !renewal->op.cancelled) {
		err_line(cause, line, sizeof(line));
		plan_say(plan, plan->provider, false, "%.*s", CREDENTIALS_SENTENCE_BYTES - 1, line);
	}
	op_fail(&renewal->op, cause, "could not get credentials%s%s",
	        plan->provider ? " from " : "", plan->provider ? plan->provider : "");
}

static void nothing_found(struct credentials_renewal *renewal)
{
	op_fail_as(&renewal->op, ERR_CONFIG, "there are no credentials");
	err_hint(&renewal->op.err, "Set access_key and secret_key_file, or one of the places that "
	                           "\"seawall check\" lists.");
}

static void renewal_step(struct op *op)
{
	struct credentials_renewal *renewal = container_of(op, struct credentials_renewal, op);
	struct plan *plan = &renewal->plan;

	switch ((enum renewal_state)op->state) {
	case RENEWAL_START:
		plan_init(plan, &renewal->source->options);
		work_start_look(op, &plan->work, WORK_WAL, plan_run);
		return op_wait(op, RENEWAL_PLANNING);

	case RENEWAL_PLANNING:
		if (op_failed(&plan->work.op))
			return renewal_failed(renewal, &plan->work.op.err);
		if (plan->next == PLAN_NOTHING)
			return nothing_found(renewal);
		if (plan->next == PLAN_FOUND) {
			renewal->found = STEAL(plan->credentials);
			return op_done(op);
		}
		remote_start(op, &renewal->remote, renewal->source->http, plan);
		return op_wait(op, RENEWAL_ASKING);

	case RENEWAL_ASKING:
		if (op_failed(&renewal->remote.op) && !renewal->remote.absent)
			return renewal_failed(renewal, &renewal->remote.op.err);
		if (op_failed(&renewal->remote.op))
			return nothing_found(renewal);
		renewal->found = STEAL(renewal->remote.credentials);
		return op_done(op);
	}
}

static const struct op_type renewal_type = {
        .name = "credentials renewal", .step = renewal_step, .state_name = renewal_state_name};

/* ---- what the source makes of it ---- */

static bool current_valid(const struct credentials_source *source)
{
	return source->current &&
	       (source->current->expires_us == 0 || clock_now_us() < source->current->expires_us);
}

static bool renewal_wanted(const struct credentials_source *source, int64_t now_ms)
{
	if (!current_valid(source))
		return true;
	if (now_ms < source->again_ms)
		return false;
	return source->stale || (source->renew_us && clock_now_us() >= source->renew_us);
}

/* When to ask next, seen from now. */
static void source_plan_next(struct credentials_source *source, int64_t now_ms)
{
	int64_t left_us;

	source->again_ms = now_ms + AGAIN_MS;
	source->renew_us = 0;
	if (!source->current || source->current->expires_us == 0)
		return;
	left_us = MAX(source->current->expires_us - clock_now_us(), 0);
	source->renew_us =
	        source->current->expires_us - MIN(RENEW_BEFORE_S * US_PER_S, left_us / 4);
	source->again_ms = now_ms + MAX(AGAIN_MIN_MS, MIN(AGAIN_MS, left_us / 8000));
}

static void source_take(struct credentials_source *source, struct credentials_renewal *renewal)
{
	struct plan *plan = &renewal->plan;

	files_release(source->file, &source->files);
	memcpy(source->file, plan->file, sizeof(source->file));
	source->files = plan->files;
	plan->files = 0;
	memcpy(source->outcome, plan->outcome, sizeof(source->outcome));
	source->outcomes = plan->outcomes;
	source->round++;
	source->stale = false;
	source->err = renewal->op.err;
	if (!err_is(&renewal->op.err)) {
		credentials_release(source->current);
		source->current = STEAL(renewal->found);
		source_plan_next(source, loop_now_ms(renewal->op.loop));
		return;
	}
	if (current_valid(source)) {
		char line[ERR_TEXT_MAX];
		int64_t renew_us = source->renew_us;

		err_line(&source->err, line, sizeof(line));
		log_line(LOG_WARNING, "%s; the old ones are still used", line);
		source_plan_next(source, loop_now_ms(renewal->op.loop));
		source->renew_us = renew_us;
	}
}

/* ---- a get ---- */

#define GET_STATES(X) X(GET_START) X(GET_LOOKING) X(GET_RENEWING) X(GET_WAITING)
OP_STATES(get_state, GET_STATES)

static void get_done(struct credentials_get *get)
{
	get->credentials = get->source->current;
	get->credentials->holders++;
	op_done(&get->op);
}

static void get_leave(struct credentials_get *get)
{
	for (struct credentials_get **at = &get->source->waiting; *at; at = &(*at)->next)
		if (*at == get) {
			*at = get->next;
			return;
		}
}

static void get_join(struct credentials_get *get)
{
	struct credentials_get **at = &get->source->waiting;

	while (*at)
		at = &(*at)->next;
	get->next = NULL;
	*at = get;
}

/* Leads, or waits for the one who does. */
static void get_renewed(struct credentials_get *get)
{
	struct credentials_source *source = get->source;

	get->round = source->round;
	if (source->leader) {
		get_join(get);
		return op_wait(&get->op, GET_WAITING);
	}
	source->leader = get;
	get->renewal = xcalloc(1, sizeof(*get->renewal));
	get->renewal->source = source;
	op_start(&get->op, &get->renewal->op, &renewal_type);
	op_wait(&get->op, GET_RENEWING);
}

static void get_end(struct credentials_get *get)
{
	if (current_valid(get->source))
		return get_done(get);
	if (!err_is(&get->source->err)) /* what was given has ended on the way */
		return op_fail_as(&get->op, ERR_NETWORK, "the credentials have ended already");
	get->op.err = get->source->err;
	op_fail_own(&get->op);
}

static void get_look(struct credentials_get *get)
{
	struct credentials_source *source = get->source;
	struct credentials_look *look = xcalloc(1, sizeof(*look));

	source->looked_ms = loop_now_ms(get->op.loop);
	for (; look->files < source->files; look->files++) {
		look->file[look->files] = source->file[look->files];
		look->file[look->files].path = xstrdup(source->file[look->files].path);
	}
	get->look = look;
}

static void look_run(struct work *work)
{
	struct credentials_look *look = container_of(work, struct credentials_look, work);

	for (unsigned i = 0; i < look->files; i++)
		look->changed |= plan_file_changed(&look->file[i]);
}

static void look_release(struct credentials_get *get)
{
	if (!get->look)
		return;
	files_release(get->look->file, &get->look->files);
	free(STEAL(get->look));
}

/* The leader's end: all others look at what there is now. */
static void get_led(struct credentials_get *get)
{
	struct credentials_source *source = get->source;
	struct credentials_renewal *renewal = get->renewal;
	bool cancelled = get->op.cancelled;

	if (!cancelled)
		source_take(source, renewal);
	credentials_release(renewal->found);
	if (renewal->remote.op.type)
		remote_release(&renewal->remote);
	credentials_plan_release(&renewal->plan);
	free(STEAL(get->renewal));
	source->leader = NULL;
	while (source->waiting) {
		struct credentials_get *one = source->waiting;

		source->waiting = one->next;
		op_wake(&one->op);
	}
	if (cancelled)
		return op_fail_as(&get->op, ERR_CANCELLED, "cancelled");
	get_end(get);
}

static void get_step(struct op *op)
{
	struct credentials_get *get = container_of(op, struct credentials_get, op);
	struct credentials_source *source = get->source;
	int64_t now_ms = loop_now_ms(op->loop);

	if (op->state == GET_RENEWING)
		return get_led(get);
	get_leave(get);
	if (op->cancelled) {
		look_release(get);
		return op_fail_as(op, ERR_CANCELLED, "cancelled");
	}
	switch ((enum get_state)op->state) {
	case GET_START:
		if (renewal_wanted(source, now_ms))
			return get_renewed(get);
		if (source->files == 0 || now_ms < source->looked_ms + LOOK_EVERY_MS)
			return get_done(get);
		get_look(get);
		work_start_look(op, &get->look->work, WORK_WAL, look_run);
		return op_wait(op, GET_LOOKING);

	case GET_LOOKING:
		if (get->look->changed) {
			source->stale = true;
			source->again_ms = now_ms;
		}
		look_release(get);
		return renewal_wanted(source, now_ms) ? get_renewed(get) : get_done(get);

	case GET_RENEWING:
		return;

	case GET_WAITING:
		return get->round != source->round ? get_end(get) : get_renewed(get);
	}
}

static void get_cancel(struct op *op)
{
	if (op->children == 0)
		op_wake(op);
}

static const struct op_type get_type = {.name = "credentials",
                                        .step = get_step,
                                        .cancel = get_cancel,
                                        .state_name = get_state_name};

void credentials_get_start(struct op *parent, struct credentials_get *get,
                           struct credentials_source *source)
{
	credentials_get_release(get);
	*get = (struct credentials_get){.source = source};
	op_start(parent, &get->op, &get_type);
}

void credentials_get_release(struct credentials_get *get)
{
	if (get->credentials)
		credentials_release(STEAL(get->credentials));
}
