/*
 * store.c — what every driver gets for free: names checked, repetitions within a deadline,
 * counters, lost answers looked after, errors that name the store, the operation and the object.
 *
 *   put, get …  START -> CALLING -> done      (put: -> COMPARING after a lost answer)
 *   call        START -> TRYING <-> RESTING -> done
 *
 * The deadline is one timer for the whole call: when it fires, the attempt or the rest under way is
 * cancelled and the call ends in ERR_NETWORK, with the reason of the last attempt that had one.
 */
#include "store/driver.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/fault.h"
#include "base/str.h"
#include "claim.h"
#include "patience.h"
#include "pretend.h"
#include "ranges.h"

#include "base/poison.h"

enum {
	REST_FIRST_MS = 100, /* doubled each time, less up to a half at random */
	REST_MAX_MS = 5000,
};

static const struct store_driver *const drivers[] = {&store_file_driver, &store_s3_driver,
                                                     &store_mem_driver};

/* ---- opening, names ---- */

bool store_open(struct loop *loop, const struct store_options *options, struct store **ret,
                struct err *err)
{
	const struct store_driver *driver = NULL;
	struct store *store;

	for (size_t i = 0; i < ARRAY_LENGTH(drivers); i++)
		if (str_starts(options->url, drivers[i]->scheme))
			driver = drivers[i];
	if (!driver) {
		err_set(err, ERR_CONFIG, "repository URL \"%s\" is of a kind that is not known",
		        options->url);
		err_hint(err, "This version knows file:///FOLDER and s3://BUCKET/PREFIX.");
		return false;
	}
	store = driver->open(loop, options, err);
	if (!store)
		return err_wrap(err, "could not open repository \"%s\"",
		                options->label ? options->label : options->url);
	store->driver = driver;
	store->loop = loop;
	store->pretend = options->pretend;
	store->url = xstrdup(options->url);
	store->label = xstrdup(options->label ? options->label : options->url);
	*ret = store;
	return true;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	free(STEAL(store->url));
	free(STEAL(store->label));
	free(STEAL(store->writer));
	store->driver->close(store);
}

const char *store_label(const struct store *store)
{
	return store->label;
}

const char *store_url(const struct store *store)
{
	return store->url;
}

struct credentials_source *store_credentials(struct store *store)
{
	return store->driver->credentials ? store->driver->credentials(store) : NULL;
}

void store_limit(struct store *store, uint64_t upload_bytes, uint64_t download_bytes)
{
	if (store->driver->limit)
		store->driver->limit(store, upload_bytes, download_bytes);
}

void store_set_patience(struct store *store, const struct store_patience *patience)
{
	store->patience = *patience;
}

bool store_space(struct store *store, uint64_t *ret_free, uint64_t *ret_total)
{
	return store->driver->space && store->driver->space(store, ret_free, ret_total);
}

void store_anchor(struct store *store, const char *name, const void *bytes, size_t length)
{
	if (store->driver->anchor)
		store->driver->anchor(store, name, bytes, length);
}

bool store_still(struct store *store, const char *name)
{
	return !store->driver->still || store->driver->still(store, name);
}

void store_set_safety(struct store *store, enum store_safety safety)
{
	store->safety = safety;
}

void store_set_writer(struct store *store, const char *writer, bool take_over)
{
	free(store->writer);
	store->writer = writer ? xasprintf("%.*s", STORE_WRITER_BYTES - 1, writer) : NULL;
	store->take_over = take_over && writer;
}

bool store_takes_over(const struct store *store)
{
	return store->safety == STORE_ONE_WRITER && store->take_over;
}

enum store_safety store_safety(const struct store *store)
{
	return store->safety;
}

const struct store_counts *store_counts(const struct store *store)
{
	return &store->counts;
}

static bool name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

bool store_name_valid(const char *name)
{
	size_t length = strnlen(name, STORE_NAME_MAX + 1);
	bool fresh = true; /* at the start of a component */

	if (length == 0 || length > STORE_NAME_MAX)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (fresh ? name[i] == '.' || !name_character(name[i])
		          : name[i] != '/' && !name_character(name[i]))
			return false;
		fresh = name[i] == '/';
	}
	return !fresh;
}

/* ---- call: one verb, with repetitions ---- */

static uint64_t pieces_bytes(const struct store_put *put)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < put->pieces; i++)
		bytes += put->piece[i].iov_len;
	return bytes;
}

static void count_attempt(struct store *store, const struct store_attempt *attempt)
{
	uint64_t *const counter[STORE_VERBS] = {
	        [STORE_PUT] = &store->counts.puts,       [STORE_GET] = &store->counts.reads,
	        [STORE_LIST] = &store->counts.lists,     [STORE_HEAD] = &store->counts.heads,
	        [STORE_REMOVE] = &store->counts.removes,
	};

	++*counter[attempt->verb];
}

static void outputs_reset(struct store_attempt *attempt)
{
	switch (attempt->verb) {
	case STORE_GET:
		attempt->get->got = attempt->get->object_bytes = 0;
		attempt->get->version[0] = '\0';
		break;
	case STORE_LIST:
		store_list_release(attempt->list);
		attempt->list->more = false;
		break;
	case STORE_HEAD:
		attempt->head->bytes = 0;
		attempt->head->modified_us = 0;
		break;
	default:
		break;
	}
}

static uint64_t get_expected(const struct store_get *get)
{
	uint64_t room = MIN(get->length, (uint64_t)get->blocks * BLOCK_BYTES);

	return get->offset < get->object_bytes ? MIN(room, get->object_bytes - get->offset) : 0;
}

/* A page must be what was asked for: a listing decides what is deleted and what is a hole. */
static bool list_check(const struct store_list *list, struct err *err)
{
	const char *before = list->after ? list->after : "";

	for (unsigned i = 0; i < list->count; i++) {
		const char *name = list->entry[i].name;

		if (!str_starts(name, list->prefix) || strlen(name) > STORE_NAME_MAX ||
		    strcmp(name, before) <= 0)
			return err_set(err, ERR_STORE, "the listing is not in order: \"%s\"", name);
		before = name;
	}
	if (list->more && list->count == 0)
		return err_set(err, ERR_STORE, "the listing has an empty page in the middle");
	return true;
}

/* What a driver says is not believed without a look. */
static bool outputs_check(const struct store_attempt *attempt, struct err *err)
{
	const struct store_get *get = attempt->get;

	if (attempt->verb == STORE_GET && get->got != get_expected(get))
		return err_set(err, ERR_NETWORK,
		               "the answer was cut short: %llu bytes instead of %llu",
		               (unsigned long long)get->got, (unsigned long long)get_expected(get));
	return attempt->verb != STORE_LIST || list_check(attempt->list, err);
}

static const char *const points[STORE_VERBS][2] = {
        [STORE_PUT] = {"store-put", "store-put-done"},
        [STORE_GET] = {"store-get", "store-get-done"},
        [STORE_LIST] = {"store-list", "store-list-done"},
        [STORE_HEAD] = {"store-head", "store-head-done"},
        [STORE_REMOVE] = {"store-remove", "store-remove-done"},
};

/* What a fault point says that the call is about. */
static const char *attempt_about(const struct store_attempt *attempt)
{
	switch (attempt->verb) {
	case STORE_PUT:
		return attempt->put->name;
	case STORE_GET:
		return attempt->get->name;
	case STORE_LIST:
		return attempt->list->prefix;
	case STORE_HEAD:
		return attempt->head->name;
	case STORE_REMOVE:
		return attempt->remove->names > 0 ? attempt->remove->name[0] : "";
	default:
		return "";
	}
}

static int64_t rest_ms(unsigned tries)
{
	int64_t ms = REST_FIRST_MS << MIN(tries - 1, 10U);
	uint32_t dice = 0;

	ms = MIN(ms, (int64_t)REST_MAX_MS);
	if (getrandom(&dice, sizeof(dice), 0) != sizeof(dice))
		dice = (uint32_t)getpid();
	return ms - (int64_t)(dice % (uint32_t)(ms / 2));
}

#define CALL_STATES(X) X(CALL_START) X(CALL_TRYING) X(CALL_RESTING)
OP_STATES(call_state, CALL_STATES)

int64_t store_call_waited_ms(const struct store_call *call)
{
	const struct store_attempt *attempt = call->attempt;

	return attempt && attempt->store->driver->waited_ms
	               ? attempt->store->driver->waited_ms(attempt)
	               : call->waited_ms;
}

static int64_t call_left_ms(const struct store_call *call)
{
	return call->begun_ms + call->deadline_ms + store_call_waited_ms(call) -
	       loop_now_ms(call->op.loop);
}

/* How much longer it may be silent. */
static int64_t call_silence_ms(struct store_call *call)
{
	const struct store_attempt *attempt = call->attempt;
	int64_t waited_ms = store_call_waited_ms(call), now_ms = loop_now_ms(call->op.loop);

	if (waited_ms > call->stirred_waited_ms) /* for our own limit */
		call->stirred_ms = now_ms;
	call->stirred_waited_ms = waited_ms;
	call->stirred_ms = MAX(call->stirred_ms, attempt->store->driver->moved_ms(attempt));
	return call->stirred_ms + call->stall_ms - now_ms;
}

static void call_fired(struct timer *timer)
{
	struct store_call *call = container_of(timer, struct store_call, timer);
	int64_t left_ms = call_left_ms(call);

	if (call->stall_ms > 0)
		left_ms = MIN(left_ms, call_silence_ms(call));
	if (left_ms > 0)
		return timer_set(timer, left_ms);
	call->timed_out = true;
	call->stalled = call_left_ms(call) > 0;
	if (op_running(&call->attempt->op))
		op_cancel(&call->attempt->op);
	if (op_running(&call->nap.op))
		op_cancel(&call->nap.op);
}

static void call_release(struct store_call *call)
{
	struct store_attempt *attempt = call->attempt;

	call->waited_ms = store_call_waited_ms(call);
	timer_release(&call->timer);
	patience_end(call);
	if (attempt->store->driver->release)
		attempt->store->driver->release(attempt);
	free(attempt);
	call->attempt = NULL;
}

static void call_fail(struct store_call *call, const struct err *cause)
{
	struct store_counts *counts = &call->attempt->store->counts;

	call->op.err = *cause;
	if (cause->code != ERR_NOTFOUND && cause->code != ERR_EXISTS &&
	    cause->code != ERR_CANCELLED)
		counts->failures++;
	call_release(call);
	op_fail_own(&call->op);
}

static void call_timeout(struct store_call *call)
{
	struct err err = call->last;

	if (err.code == ERR_CANCELLED)
		err_clear(&err);
	if (call->stalled && !err_is(&err))
		err_set(&err, ERR_NETWORK, "nothing came for %lld ms", (long long)call->stall_ms);
	else if (call->stalled)
		err_wrap_as(&err, ERR_NETWORK, "nothing came for %lld ms, in %u attempts",
		            (long long)call->stall_ms, call->tries);
	else if (err_is(&err))
		err_wrap_as(&err, ERR_NETWORK, "gave up after %u attempts in %lld ms", call->tries,
		            (long long)call->deadline_ms);
	else
		err_set(&err, ERR_NETWORK, "no answer within %lld ms",
		        (long long)call->deadline_ms);
	if (!err_is(&call->last) || call->last.code == ERR_CANCELLED)
		err_hint(&err, "Nothing came back: does the store (or the disk) hang, or does a "
		               "firewall or a proxy on the way drop what is sent?");
	call_fail(call, &err);
}

static void call_try(struct store_call *call)
{
	struct store_attempt *attempt = call->attempt;
	struct err err = {0};

	if (fault_point_at(points[attempt->verb][0], attempt_about(attempt))) {
		err_sys(&err, "the store failed");
		return call_fail(call, &err);
	}
	call->tries++;
	count_attempt(attempt->store, attempt);
	outputs_reset(attempt);
	attempt->rest_ms = 0;
	attempt->store->driver->start(&call->op, attempt);
	op_wait(&call->op, CALL_TRYING);
}

/* The attempt has ended; what of it. */
static void call_judge(struct store_call *call)
{
	struct store_attempt *attempt = call->attempt;
	struct err err = attempt->op.err;
	int64_t left_ms = call_left_ms(call);

	patience_note(attempt->store, &err);
	if (!err_is(&err) && outputs_check(attempt, &err)) {
		if (fault_point_at(points[attempt->verb][1], attempt_about(attempt))) {
			err_sys(&err, "the store failed");
			return call_fail(call, &err);
		}
		call_release(call);
		return op_done(&call->op);
	}
	if (call->op.cancelled && (err.code == ERR_CANCELLED || err_code_retry(err.code))) {
		err_set(&err, ERR_CANCELLED, "cancelled");
		return call_fail(call, &err);
	}
	if (err.code != ERR_CANCELLED)
		call->last = err;
	if (err_code_retry(err.code))
		call->answer_lost = true;
	if (call->timed_out && (err.code == ERR_CANCELLED || err_code_retry(err.code)))
		return call_timeout(call);
	if (!err_code_retry(err.code))
		return call_fail(call, &err);
	attempt->store->counts.retries++;
	nap_start(&call->op, &call->nap,
	          fault_rest_ms(MIN(MAX(rest_ms(call->tries), attempt->rest_ms), MAX(left_ms, 1))));
	op_wait(&call->op, CALL_RESTING);
}

/* Tests make everything slow, or only what a backup puts. */
static unsigned call_delay_ms(const struct store_attempt *attempt)
{
	bool backup = attempt->verb == STORE_PUT && attempt->put->class == WORK_BACKUP;

	return fault_delay_ms(backup ? "store-put-backup" : points[attempt->verb][0]);
}

static void call_step(struct op *op)
{
	struct store_call *call = container_of(op, struct store_call, op);
	struct err err = {0};
	unsigned delay_ms;

	if (op->cancelled && op->state != CALL_TRYING) {
		err_set(&err, ERR_CANCELLED, "cancelled");
		return call_fail(call, &err);
	}
	switch ((enum call_state)op->state) {
	case CALL_START:
		call->begun_ms = loop_now_ms(op->loop);
		timer_init(&call->timer, op->loop, call_fired);
		call->stirred_ms = call->begun_ms;
		timer_set(&call->timer, call->stall_ms > 0 ? MIN(call->stall_ms, call->deadline_ms)
		                                           : call->deadline_ms);
		patience_begin(call);
		delay_ms = call_delay_ms(call->attempt);
		if (delay_ms == 0)
			return call_try(call);
		nap_start(op, &call->nap, delay_ms);
		return op_wait(op, CALL_RESTING);

	case CALL_TRYING:
		return call_judge(call);

	case CALL_RESTING:
		return call->timed_out ? call_timeout(call) : call_try(call);
	}
}

static const struct op_type call_type = {
        .name = "store call", .step = call_step, .state_name = call_state_name};

static struct store_attempt *call_start(struct op *parent, struct store_call *call,
                                        struct store *store, enum store_verb verb,
                                        int64_t deadline_ms)
{
	struct store_attempt *attempt = xcalloc(1, store->driver->attempt_bytes);

	attempt->store = store;
	attempt->verb = verb;
	*call = (struct store_call){
	        .attempt = attempt,
	        .deadline_ms = deadline_ms > 0 ? deadline_ms : patience_deadline_ms(store),
	};
	op_start(parent, &call->op, &call_type);
	return attempt;
}

/* ---- the operations ---- */

#define SIMPLE_STATES(X) X(SIMPLE_START) X(SIMPLE_CALLING) X(PUT_COMPARING)
OP_STATES(simple_state, SIMPLE_STATES)

static bool begin(struct op *op, const char *name)
{
	if (op->cancelled) {
		op_fail_as(op, ERR_CANCELLED, "cancelled");
		return false;
	}
	if (name && !store_name_valid(name)) {
		op_fail_as(op, ERR_REFUSED, "\"%.*s\" is not a valid name of an object",
		           STORE_NAME_MAX, name);
		return false;
	}
	return true;
}

static void end(struct op *op, const struct store *store, const struct store_call *call,
                const char *what, const char *name)
{
	if (!op_failed(&call->op))
		return op_done(op);
	op_fail(op, &call->op.err, "could not %s \"%s\" in repository \"%s\"", what, name,
	        store->label);
}

/* A put that was tried again and found the name taken: by itself? */
struct store_readback {
	struct store_get get;
	uint8_t *block;
	uint64_t total;
};

static bool pieces_equal(const struct store_put *put, uint64_t offset, const uint8_t *bytes,
                         uint64_t length)
{
	for (unsigned i = 0; i < put->pieces && length > 0; i++) {
		uint64_t size = put->piece[i].iov_len, part;

		if (offset >= size) {
			offset -= size;
			continue;
		}
		part = MIN(size - offset, length);
		if (memcmp((const uint8_t *)put->piece[i].iov_base + offset, bytes, part) != 0)
			return false;
		bytes += part;
		length -= part;
		offset = 0;
	}
	return length == 0;
}

static void readback_free(struct store_put *put)
{
	if (put->readback)
		free(put->readback->block);
	free(STEAL(put->readback));
}

static void readback_next(struct store_put *put, uint64_t offset)
{
	struct store_readback *back = put->readback;

	back->get = (struct store_get){
	        .store = put->store,
	        .name = put->name,
	        .offset = offset,
	        .length = BLOCK_BYTES,
	        .block = &back->block,
	        .blocks = 1,
	        .deadline_ms = put->call.deadline_ms,
	};
	store_get_start(&put->op, &back->get);
	op_wait(&put->op, PUT_COMPARING);
}

static void readback_judge(struct store_put *put)
{
	struct store_readback *back = put->readback;
	const struct store_get *get = &back->get;
	uint64_t next = get->offset + get->got;
	struct err err = get->op.err;

	if (!err_is(&err) && (get->object_bytes != back->total ||
	                      !pieces_equal(put, get->offset, back->block, get->got)))
		err_set(&err, ERR_EXISTS, "there is another object of that name");
	if (!err_is(&err) && next < back->total)
		return readback_next(put, next);
	readback_free(put);
	if (!err_is(&err))
		return op_done(&put->op);
	op_fail(&put->op, &err, "could not store object \"%s\" in repository \"%s\"", put->name,
	        put->store->label);
}

static void put_step(struct op *op)
{
	struct store_put *put = container_of(op, struct store_put, op);

	switch ((enum simple_state)op->state) {
	case SIMPLE_START:
		if (!begin(op, put->name))
			return;
		call_start(op, &put->call, put->store, STORE_PUT, put->deadline_ms)->put = put;
		return op_wait(op, SIMPLE_CALLING);

	case SIMPLE_CALLING:
		if (!op_failed(&put->call.op))
			put->store->counts.bytes_put += pieces_bytes(put);
		if (put->call.op.err.code != ERR_EXISTS || !put->call.answer_lost)
			return end(op, put->store, &put->call, "store object", put->name);
		put->readback = xcalloc(1, sizeof(*put->readback));
		put->readback->block = xmalloc(BLOCK_BYTES);
		put->readback->total = pieces_bytes(put);
		return readback_next(put, 0);

	case PUT_COMPARING:
		return readback_judge(put);
	}
}

static void get_step(struct op *op)
{
	struct store_get *get = container_of(op, struct store_get, op);

	if (op->state == SIMPLE_START) {
		if (!begin(op, get->name))
			return;
		call_start(op, &get->call, get->store, STORE_GET, get->deadline_ms)->get = get;
		get->call.stall_ms = get->store->driver->moved_ms ? get->stall_ms : 0;
		return op_wait(op, SIMPLE_CALLING);
	}
	get->store->counts.bytes_got += get->got;
	end(op, get->store, &get->call, "read object", get->name);
}

static void list_step(struct op *op)
{
	struct store_list *list = container_of(op, struct store_list, op);

	if (op->state == SIMPLE_START) {
		if (!begin(op, NULL))
			return;
		call_start(op, &list->call, list->store, STORE_LIST, list->deadline_ms)->list =
		        list;
		return op_wait(op, SIMPLE_CALLING);
	}
	if (op_failed(&list->call.op))
		store_list_release(list);
	end(op, list->store, &list->call, "list", list->prefix);
}

static void head_step(struct op *op)
{
	struct store_head *head = container_of(op, struct store_head, op);

	if (op->state == SIMPLE_START) {
		if (!begin(op, head->name))
			return;
		call_start(op, &head->call, head->store, STORE_HEAD, head->deadline_ms)->head =
		        head;
		return op_wait(op, SIMPLE_CALLING);
	}
	end(op, head->store, &head->call, "look at object", head->name);
}

static void remove_step(struct op *op)
{
	struct store_remove *batch = container_of(op, struct store_remove, op);

	if (op->state == SIMPLE_START) {
		assert(batch->names <= STORE_REMOVE_MAX);
		for (unsigned i = 0; i < batch->names; i++)
			if (!begin(op, batch->name[i]))
				return;
		if (batch->names == 0)
			return op_done(op);
		call_start(op, &batch->call, batch->store, STORE_REMOVE, batch->deadline_ms)
		        ->remove = batch;
		return op_wait(op, SIMPLE_CALLING);
	}
	end(op, batch->store, &batch->call,
	    batch->names == 1 ? "remove object" : "remove objects from", batch->name[0]);
}

static const struct op_type put_type = {
        .name = "store put", .step = put_step, .state_name = simple_state_name};
static const struct op_type get_type = {
        .name = "store get", .step = get_step, .state_name = simple_state_name};
static const struct op_type list_type = {
        .name = "store list", .step = list_step, .state_name = simple_state_name};
static const struct op_type head_type = {
        .name = "store head", .step = head_step, .state_name = simple_state_name};
static const struct op_type remove_type = {
        .name = "store remove", .step = remove_step, .state_name = simple_state_name};

void store_put_start(struct op *parent, struct store_put *put)
{
	bool claims = !put->raw && put->store->safety != STORE_CREATE_ONLY;

	put->readback = NULL;
	put->versioned = false;
	op_start(parent, &put->op,
	         put->store->pretend ? &store_pretend_put
	         : claims            ? &store_claimed_put
	                             : &put_type);
}

void store_get_start(struct op *parent, struct store_get *get)
{
	get->got = get->object_bytes = 0;
	get->version[0] = '\0';
	get->replaced = false;
	get->ranges = NULL;
	op_start(parent, &get->op, ranges_wanted(get) ? &store_ranged_get : &get_type);
}

void store_list_start(struct op *parent, struct store_list *list)
{
	list->entry = NULL;
	list->count = 0;
	list->more = false;
	op_start(parent, &list->op, &list_type);
}

void store_head_start(struct op *parent, struct store_head *head)
{
	op_start(parent, &head->op, &head_type);
}

void store_remove_start(struct op *parent, struct store_remove *batch)
{
	op_start(parent, &batch->op, batch->store->pretend ? &store_pretend_remove : &remove_type);
}

void store_list_release(struct store_list *list)
{
	for (unsigned i = 0; i < list->count; i++)
		free(list->entry[i].name);
	free(STEAL(list->entry));
	list->count = 0;
}

unsigned store_list_limit(const struct store_list *list)
{
	return list->limit ? MIN(list->limit, (unsigned)STORE_LIST_MAX) : STORE_LIST_MAX;
}

void store_list_add(struct store_list *list, const char *name, uint64_t bytes, int64_t modified_us)
{
	assert(list->count < store_list_limit(list));
	if (!list->entry)
		list->entry = xcalloc(store_list_limit(list), sizeof(*list->entry));
	list->entry[list->count++] = (struct store_entry){
	        .name = xstrdup(name), .bytes = bytes, .modified_us = modified_us};
}

/* ---- walk: all pages ---- */

enum walk_state { WALK_START, WALK_LISTING };

static void walk_page(struct store_walk *walk)
{
	walk->list = (struct store_list){
	        .store = walk->store,
	        .prefix = walk->prefix,
	        .after = walk->after[0] ? walk->after : NULL,
	        .folders = walk->folders,
	};
	store_list_start(&walk->op, &walk->list);
	op_wait(&walk->op, WALK_LISTING);
}

static void walk_step(struct op *op)
{
	struct store_walk *walk = container_of(op, struct store_walk, op);
	struct store_list *list = &walk->list;
	bool more, fits = true;

	if (op->state == WALK_START)
		return walk_page(walk);
	if (op_failed(&list->op)) {
		op->err = list->op.err;
		return op_fail_own(op);
	}
	for (unsigned i = 0; i < list->count; i++)
		walk->each(walk, &list->entry[i]);
	walk->count += list->count;
	more = list->more;
	if (more)
		fits = str_copy(walk->after, sizeof(walk->after),
		                list->entry[list->count - 1].name);
	assert(fits);
	store_list_release(list);
	if (more)
		return walk_page(walk);
	op_done(op);
}

static const struct op_type walk_type = {.name = "store walk", .step = walk_step};

void store_walk_start(struct op *parent, struct store_walk *walk)
{
	walk->count = 0;
	walk->after[0] = '\0';
	op_start(parent, &walk->op, &walk_type);
}
