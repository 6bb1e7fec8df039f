/*
 * patience.c — what a person hears who waits for a store that does not answer.
 *
 * A server tries for a minute and nobody looks on. Before a command the same minute is silence, so
 * a call tells after a few seconds what it tries and why it has to try again; and as long as the
 * store has never answered, which is what a wrong address looks like, it gives up sooner.
 *
 * Each call has a timer; the store remembers when one of them spoke last, so that many calls at
 * once speak like one.
 */
#include "patience.h"

#include "base/str.h"

#include "base/poison.h"

enum { SAY_FIRST_MS = 2500, SAY_EVERY_MS = 4000 };

int64_t patience_deadline_ms(const struct store *store)
{
	if (store->patience.first_ms > 0 && !store->answered)
		return store->patience.first_ms;
	return STORE_DEADLINE_MS;
}

static const char *doing(const struct store_attempt *attempt, const char **ret_name)
{
	switch (attempt->verb) {
	case STORE_PUT:
		*ret_name = attempt->put->name;
		return "store object";
	case STORE_GET:
		*ret_name = attempt->get->name;
		return "read object";
	case STORE_LIST:
		*ret_name = attempt->list->prefix;
		return "list";
	case STORE_HEAD:
		*ret_name = attempt->head->name;
		return "look at object";
	default:
		*ret_name = attempt->remove->names > 0 ? attempt->remove->name[0] : "";
		return "remove";
	}
}

static void say(struct store_call *call, int64_t passed_ms)
{
	struct store_attempt *attempt = call->attempt;
	const struct store_patience *patience = &attempt->store->patience;
	int64_t left_ms = MAX(call->deadline_ms + store_call_waited_ms(call) - passed_ms, 0);
	const char *name, *what = doing(attempt, &name);
	bool known = err_is(&call->last) && call->last.code != ERR_CANCELLED;
	char why[ERR_TEXT_MAX + 64] = "no answer yet";
	AUTO_FREE char *sentence = NULL;

	if (known)
		err_line(&call->last, why, sizeof(why));
	sentence = xasprintf("still trying to %s \"%s\" in repository \"%s\" (for %lld s, try %u, "
	                     "gives up in %lld s): %s",
	                     what, name, attempt->store->label, (long long)(passed_ms / 1000),
	                     MAX(call->tries, 1U), (long long)((left_ms + 999) / 1000), why);
	patience->say(patience->context, sentence);
}

static void fired(struct timer *timer)
{
	struct store_call *call = container_of(timer, struct store_call, saying);
	struct store *store = call->attempt->store;
	int64_t now_ms = loop_now_ms(store->loop);

	timer_set(timer, SAY_EVERY_MS);
	if (store->said_ms > 0 && now_ms - store->said_ms < SAY_EVERY_MS)
		return;
	store->said_ms = now_ms;
	say(call, now_ms - call->begun_ms);
}

void patience_begin(struct store_call *call)
{
	timer_init(&call->saying, call->op.loop, fired);
	if (call->attempt->store->patience.say)
		timer_set(&call->saying, SAY_FIRST_MS);
}

void patience_end(struct store_call *call)
{
	timer_release(&call->saying);
}

void patience_note(struct store *store, const struct err *err)
{
	if (!err_code_retry(err->code) && err->code != ERR_CANCELLED)
		store->answered = true;
}
