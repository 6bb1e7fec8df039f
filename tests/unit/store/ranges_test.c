/*
 * ranges_test.c — large objects by several requests: on memory with planned faults, and against a
 * scripted S3 that gives the end of the first answer only when all other ranges were asked for.
 */
#include "in_memory.h"

#include <stdio.h>

#include "base/clock.h"
#include "unit/base/loopback.h"

enum {
	BLOCKS = 18,
	BYTES = 16 * BLOCK_BYTES + 12345, /* the first range, and two of the rest */
	RANGES = 3,
	AT_ONCE = 4, /* ranges of an object whose size is expected */
	PEER_MS = 5 * 60 *
	          1000, /* a sanitizer on a busy machine is slow; nothing here waits for it */
};

struct reading {
	uint64_t expect_bytes;
	struct store_get get;
	uint8_t *block[BLOCKS];
};

static enum err_code read_large(struct store *store, struct reading *r, int64_t deadline_ms)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		r->block[i] = xcalloc(1, BLOCK_BYTES);
	r->get = (struct store_get){.store = store,
	                            .name = "a/large",
	                            .length = UINT64_MAX,
	                            .expect_bytes = r->expect_bytes,
	                            .block = r->block,
	                            .blocks = BLOCKS,
	                            .deadline_ms = deadline_ms};
	RUN(store->loop, store_get_start, &r->get);
	return r->get.op.err.code;
}

static void reading_end(struct reading *r)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		free(r->block[i]);
}

static uint8_t byte_at(uint64_t offset, uint8_t version)
{
	return (uint8_t)(offset ^ offset >> 8 ^ offset >> 16 ^ version);
}

/* The whole object; made once, since sanitizers make loops over so much slow. */
static const uint8_t *object_of(uint8_t version)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static uint8_t *made[UINT8_MAX + 1];

	pthread_mutex_lock(&lock);
	if (!made[version]) {
		made[version] = xmalloc(BYTES);
		for (uint64_t i = 0; i < BYTES; i++)
			made[version][i] = byte_at(i, version);
	}
	pthread_mutex_unlock(&lock);
	return made[version];
}

/* All of it, and all of one version. */
static void assert_read(const struct reading *r, uint8_t version)
{
	const uint8_t *object = object_of(version);

	assert_int_equal(r->get.got, BYTES);
	assert_int_equal(r->get.object_bytes, BYTES);
	for (uint64_t at = 0; at < BYTES; at += BLOCK_BYTES)
		if (memcmp(r->block[at / BLOCK_BYTES], object + at,
		           MIN((uint64_t)BLOCK_BYTES, BYTES - at)) != 0)
			fail_msg("block %llu is another one",
			         (unsigned long long)(at / BLOCK_BYTES));
}

/* ---- on memory ---- */

static int begin(void **state)
{
	struct fixture *f;

	store_mem_pins("ranges");
	f = *state = fixture_new("mem:ranges");
	assert_int_equal(put_bytes(f->store, "a/large", object_of(0), BYTES), ERR_NONE);
	return 0;
}

static int end(void **state)
{
	return fixture_free(*state, "ranges");
}

static void plan(enum mem_effect effect, unsigned nth, enum err_code code)
{
	store_mem_plan("ranges", &(struct mem_fault){.verb = STORE_GET,
	                                             .effect = effect,
	                                             .nth = nth,
	                                             .code = code,
	                                             .ms = 60000,
	                                             .bytes = 100});
}

static void what_is_large_is_read_in_ranges_and_what_is_not_in_one(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	struct reading r = {0};

	assert_int_equal(read_large(store, &r, 0), ERR_NONE);
	assert_read(&r, 0);
	assert_int_equal(store_counts(store)->reads, RANGES);
	assert_int_equal(store_counts(store)->bytes_got, BYTES);
	/* Room for more than there is costs nothing. */
	assert_int_equal(put_text(store, "a/small", "text"), ERR_NONE);
	r.get.name = "a/small";
	assert_true(RUN(store->loop, store_get_start, &r.get));
	assert_int_equal(r.get.got, 4);
	assert_int_equal(store_counts(store)->reads, RANGES + 1);
	/* From the middle, to a place before the end. */
	r.get.name = "a/large";
	r.get.offset = 5;
	r.get.length = STORE_RANGE_FIRST_BYTES + 1;
	assert_true(RUN(store->loop, store_get_start, &r.get));
	assert_int_equal(r.get.got, STORE_RANGE_FIRST_BYTES + 1);
	assert_int_equal(r.block[0][0], byte_at(5, 0));
	assert_int_equal(r.block[8][0], byte_at(5 + STORE_RANGE_FIRST_BYTES, 0));
	/* Behind its end. */
	r.get.offset = BYTES;
	r.get.length = UINT64_MAX;
	assert_true(RUN(store->loop, store_get_start, &r.get));
	assert_int_equal(r.get.got, 0);
	assert_int_equal(r.get.object_bytes, BYTES);
	r.get.name = "a/none";
	assert_false(RUN(store->loop, store_get_start, &r.get));
	assert_int_equal(r.get.op.err.code, ERR_NOTFOUND);
	reading_end(&r);
}

static void each_range_that_fails_is_repeated(void **state)
{
	static const enum mem_effect effects[] = {MEM_FAIL, MEM_LOSE_ANSWER, MEM_CUT};
	struct store *store = ((struct fixture *)*state)->store;
	struct reading r = {0};

	for (unsigned i = 0; i < ARRAY_LENGTH(effects) * RANGES; i++) {
		uint64_t before = store_counts(store)->retries;

		plan(effects[i / RANGES], 1 + i % RANGES, ERR_NETWORK);
		assert_int_equal(read_large(store, &r, 0), ERR_NONE);
		assert_read(&r, 0);
		assert_int_equal(store_counts(store)->retries, before + 1);
		store_mem_plan_clear("ranges");
		reading_end(&r);
	}
}

static void each_range_that_fails_for_good_is_the_end(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	struct reading r = {0};

	for (unsigned nth = 1; nth <= RANGES; nth++) {
		plan(MEM_FAIL, nth, ERR_REFUSED);
		assert_int_equal(read_large(store, &r, 0), ERR_REFUSED);
		assert_string_equal(r.get.op.err.text, "could not read object \"a/large\" in "
		                                       "repository \"test\"\nfailed by plan");
		assert_int_equal(r.get.got, 0);
		store_mem_plan_clear("ranges");
		reading_end(&r);
	}
}

/* The beginning was of one version, the rest is of another: all is read again. */
static void what_is_replaced_meanwhile_is_never_a_mixture(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	struct reading r = {0};
	uint8_t version = 0;

	for (unsigned nth = 2; nth <= RANGES; nth++) {
		plan(MEM_REPLACE, nth, ERR_NONE);
		assert_int_equal(read_large(store, &r, 0), ERR_NONE);
		assert_read(&r, version ^= 0x55);
		store_mem_plan_clear("ranges");
		reading_end(&r);
	}
	plan(MEM_REPLACE, MEM_EVERY, ERR_NONE);
	assert_int_equal(read_large(store, &r, 0), ERR_STORE);
	assert_non_null(
	        strstr(r.get.op.err.text, "the object was replaced by another while it was read"));
	assert_int_equal(r.get.got, 0);
	reading_end(&r);
}

/* Whoever expects a size does not wait for the first answer; what he expects need not be true. */
static void what_is_expected_to_be_large_is_asked_for_at_once(void **state)
{
	static const struct {
		uint64_t expect_bytes;
		unsigned requests;
	} rows[] = {
	        {STORE_RANGE_FIRST_BYTES, RANGES}, {STORE_RANGE_FIRST_BYTES + 1, 2},
	        {16 * BLOCK_BYTES, AT_ONCE},       {BYTES, AT_ONCE},
	        {BLOCKS * BLOCK_BYTES, 5},         {UINT64_MAX, 5},
	};
	struct store *store = ((struct fixture *)*state)->store;
	uint64_t before = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		struct reading r = {.expect_bytes = rows[i].expect_bytes};

		assert_int_equal(read_large(store, &r, 0), ERR_NONE);
		assert_read(&r, 0);
		assert_int_equal(store_counts(store)->reads - before, rows[i].requests);
		before = store_counts(store)->reads;
		reading_end(&r);
	}
	assert_int_equal(put_text(store, "b", "text"), ERR_NONE);
	{
		struct reading r = {.expect_bytes = BYTES};

		assert_int_equal(read_large(store, &r, 0), ERR_NONE);
		r.get.name = "b";
		assert_true(RUN(store->loop, store_get_start, &r.get));
		assert_int_equal(r.get.got, 4);
		assert_int_equal(r.get.object_bytes, 4);
		r.get.name = "none";
		assert_false(RUN(store->loop, store_get_start, &r.get));
		assert_int_equal(r.get.op.err.code, ERR_NOTFOUND);
		reading_end(&r);
	}
}

/* The same faults, wherever they come. */
static void what_was_asked_for_at_once_is_whole_and_of_one_version(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	uint8_t version = 0;

	for (unsigned nth = 1; nth <= AT_ONCE; nth++) {
		struct reading r = {.expect_bytes = BYTES};

		plan(MEM_REPLACE, nth, ERR_NONE);
		assert_int_equal(read_large(store, &r, 0), ERR_NONE);
		assert_read(&r, version ^= 0x55);
		store_mem_plan_clear("ranges");
		reading_end(&r);
		plan(MEM_CUT, nth, ERR_NONE);
		assert_int_equal(read_large(store, &r, 0), ERR_NONE);
		assert_read(&r, version);
		store_mem_plan_clear("ranges");
		reading_end(&r);
		plan(MEM_FAIL, nth, ERR_REFUSED);
		assert_int_equal(read_large(store, &r, 0), ERR_REFUSED);
		assert_int_equal(r.get.got, 0);
		store_mem_plan_clear("ranges");
		reading_end(&r);
	}
}

static void the_deadline_is_one_for_all(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	struct reading r = {0};

	for (unsigned nth = 1; nth <= RANGES; nth++) {
		plan(MEM_DELAY, nth, ERR_NONE);
		assert_int_equal(read_large(store, &r, 50), ERR_NETWORK);
		store_mem_plan_clear("ranges");
		reading_end(&r);
	}
}

struct cancelled {
	struct op op;
	struct store_get *get;
	struct timer timer;
};

static void cancel_fired(struct timer *timer)
{
	op_cancel(&container_of(timer, struct cancelled, timer)->get->op);
}

static void cancelled_step(struct op *op)
{
	struct cancelled *c = container_of(op, struct cancelled, op);

	if (op->state == 1) {
		timer_release(&c->timer);
		return op_done(op);
	}
	timer_init(&c->timer, op->loop, cancel_fired);
	timer_set(&c->timer, 20);
	store_get_start(op, c->get);
	op_wait(op, 1);
}

static void a_cancel_ends_all_ranges(void **state)
{
	static const struct op_type type = {.name = "cancelled", .step = cancelled_step};
	struct store *store = ((struct fixture *)*state)->store;

	for (unsigned nth = 1; nth <= RANGES; nth++) {
		struct reading r = {0};
		struct cancelled c = {.get = &r.get};

		for (unsigned i = 0; i < BLOCKS; i++)
			r.block[i] = xmalloc(BLOCK_BYTES);
		r.get = (struct store_get){.store = store,
		                           .name = "a/large",
		                           .length = UINT64_MAX,
		                           .block = r.block,
		                           .blocks = BLOCKS};
		plan(MEM_DELAY, nth, ERR_NONE);
		loop_run_op(store->loop, &c.op, &type);
		assert_int_equal(r.get.op.err.code, ERR_CANCELLED);
		store_mem_plan_clear("ranges");
		reading_end(&r);
	}
}

/* ---- against a scripted S3 ---- */

enum { ROUNDS_MAX = 3, SEEN_MAX = ROUNDS_MAX * AT_ONCE, SEEN_BYTES = 4096 };

/* What is answered to the requests of one reading: the first, and, when it is answered with a
 * version, the others. */
struct round {
	const char *first, *others; /* the ETag; others NULL: 412 */
	uint8_t version;            /* of the bytes */
	bool alone;                 /* no other comes before the first has its answer */
	bool at_once;               /* all come before any has one */
};

struct peer {
	struct round round[ROUNDS_MAX];
	unsigned rounds, seen_count;
	char seen[SEEN_MAX][SEEN_BYTES];
	struct loopback net;
	struct loop *loop;
	struct store *store;
};

static int peer_accept(struct peer *peer)
{
	int fd = peer->seen_count < SEEN_MAX ? loopback_accept(&peer->net) : -1;
	char *seen = peer->seen[peer->seen_count];
	size_t have = 0;

	if (fd < 0)
		return -1;
	while (!strstr(seen, "\r\n\r\n")) {
		ssize_t got = read(fd, seen + have, SEEN_BYTES - 1 - have);

		if (got <= 0)
			break;
		have += (size_t)got;
		seen[have] = '\0';
	}
	peer->seen_count++;
	return fd;
}

static void send_all(int fd, const void *bytes, size_t length)
{
	for (ssize_t sent; length > 0; length -= (size_t)sent) {
		sent = send(fd, bytes, length, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
		bytes = (const char *)bytes + sent;
	}
}

/* Of the answer to what was seen: its headers and first byte, or the other bytes. */
static void give(int fd, const char *seen, const char *tag, uint8_t version, bool beginning)
{
	unsigned long long from = 0, last = 0;
	AUTO_FREE char *head = NULL;
	const uint8_t *bytes = object_of(version);

	if (sscanf(strstr(seen, "range: bytes=") + 13, "%llu-%llu", &from, &last) != 2)
		return;
	last = MIN(last, (unsigned long long)BYTES - 1);
	bytes += from;
	if (!beginning) {
		send_all(fd, bytes + 1, last - from);
		close(fd);
		return;
	}
	head = xasprintf("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %llu-%llu/%d\r\n"
	                 "Content-Length: %llu\r\n%s%s%sConnection: close\r\n\r\n",
	                 from, last, BYTES, last + 1 - from, tag[0] ? "ETag: " : "", tag,
	                 tag[0] ? "\r\n" : "");
	send_all(fd, head, strlen(head));
	send_all(fd, bytes, 1);
}

static void refuse(int fd)
{
	static const char answer[] =
	        "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n";

	send_all(fd, answer, strlen(answer));
	close(fd);
}

/* The ranges of one reading in the order of their offsets, whichever came first. */
static void round_at_once(struct peer *peer, const struct round *round)
{
	unsigned base = peer->seen_count;
	int fd[AT_ONCE];

	for (unsigned i = 0; i < AT_ONCE; i++)
		if ((fd[i] = peer_accept(peer)) < 0)
			return;
	for (unsigned i = AT_ONCE; i-- > 0;) {
		const char *seen = peer->seen[base + i];
		const char *tag = strstr(seen, "bytes=0-") ? round->first : round->others;

		give(fd[i], seen, tag, round->version, true);
		give(fd[i], seen, tag, round->version, false);
	}
}

static void *peer_main(void *context)
{
	struct peer *peer = context;

	for (unsigned n = 0; n < peer->rounds; n++) {
		const struct round *round = &peer->round[n];
		unsigned base = peer->seen_count;
		int fd[RANGES] = {-1, -1, -1};

		if (round->at_once) {
			round_at_once(peer, round);
			continue;
		}
		if ((fd[0] = peer_accept(peer)) < 0)
			return NULL;
		give(fd[0], peer->seen[base], round->first, round->version, true);
		for (unsigned i = 1; i < RANGES && !round->alone; i++)
			fd[i] = peer_accept(peer);
		for (unsigned i = RANGES - 1; i > 0 && !round->alone; i--) {
			if (fd[i] < 0)
				return NULL;
			if (!round->others) {
				refuse(fd[i]);
				continue;
			}
			give(fd[i], peer->seen[base + i], round->others, round->version, true);
			give(fd[i], peer->seen[base + i], round->others, round->version, false);
		}
		give(fd[0], peer->seen[base], round->first, round->version, false);
	}
	return NULL;
}

static int peer_begin(void **state)
{
	struct peer *peer = *state = xcalloc(1, sizeof(*peer));

	setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "very-secret", 1);
	setenv("no_proxy", "127.0.0.1,localhost", 1);
	loopback_open(&peer->net);
	return 0;
}

static int peer_end(void **state)
{
	struct peer *peer = *state;

	store_close(peer->store);
	loop_free(peer->loop);
	loopback_stop(&peer->net);
	loopback_close(&peer->net);
	free(peer);
	return 0;
}

static struct store *serve(struct peer *peer, unsigned rounds, const struct round *round)
{
	AUTO_FREE char *endpoint = xasprintf("http://127.0.0.1:%u", peer->net.port);

	peer->rounds = rounds;
	memcpy(peer->round, round, rounds * sizeof(*round));
	peer->loop = loop_new(&(struct loop_options){.workers = 1});
	peer->store = open_place_s3(peer->loop, "s3://bucket/root", true,
	                            &(struct store_s3){.endpoint = endpoint, .region = "here"});
	loopback_serve(&peer->net, peer_main, peer);
	return peer->store;
}

static void assert_asked(const struct peer *peer, unsigned request, const char *range,
                         const char *pin)
{
	const char *seen = peer->seen[request];
	AUTO_FREE char *wanted = xasprintf("range: bytes=%s\r\n", range);
	AUTO_FREE char *match = xasprintf("if-match: %s\r\n", pin ? pin : "");

	if (!strstr(seen, wanted))
		fail_msg("no \"%s\" in\n%s", wanted, seen);
	if (pin ? !strstr(seen, match) : strstr(seen, "if-match") != NULL)
		fail_msg("not pinned as it should be:\n%s", seen);
}

static void the_ranges_are_in_flight_at_once_and_pinned(void **state)
{
	struct peer *peer = *state;
	struct reading r = {0};

	serve(peer, 1, &(struct round){.first = "\"one\"", .others = "\"one\""});
	assert_int_equal(read_large(peer->store, &r, PEER_MS), ERR_NONE);
	assert_read(&r, 0);
	assert_int_equal(peer->seen_count, RANGES);
	assert_asked(peer, 0, "0-8388607", NULL);
	/* They come in any order. */
	if (!strstr(peer->seen[1], "=8388608-"))
		memcpy(peer->seen[0], peer->seen[2], SEEN_BYTES);
	else
		memcpy(peer->seen[0], peer->seen[1], SEEN_BYTES);
	assert_asked(peer, 0, "8388608-13631487", "\"one\"");
	assert_non_null(strstr(peer->seen[0], ";if-match;")); /* signed */
	reading_end(&r);
}

static void what_is_expected_is_in_flight_at_once_and_compared(void **state)
{
	const struct round rounds[] = {
	        {.first = "\"two\"", .others = "\"one\"", .at_once = true},
	        {.first = "\"two\"", .others = "\"two\"", .version = 9},
	        {.first = "\"two\"", .others = "\"two\"", .version = 9, .at_once = true}};
	struct peer *peer = *state;
	struct reading r = {.expect_bytes = BYTES};

	serve(peer, 3, rounds);
	assert_int_equal(read_large(peer->store, &r, PEER_MS), ERR_NONE);
	assert_read(&r, 9);
	assert_int_equal(peer->seen_count, AT_ONCE + RANGES);
	for (unsigned i = 0; i < AT_ONCE; i++)
		assert_null(strstr(peer->seen[i], "if-match"));
	reading_end(&r);
	assert_int_equal(read_large(peer->store, &r, PEER_MS), ERR_NONE);
	assert_read(&r, 9);
	assert_int_equal(peer->seen_count, AT_ONCE + RANGES + AT_ONCE);
	reading_end(&r);
}

static void a_version_that_is_gone_is_read_again_as_another(void **state)
{
	const struct round rounds[] = {{.first = "\"one\""},
	                               {.first = "\"two\"", .others = "\"two\"", .version = 7}};
	struct peer *peer = *state;
	struct reading r = {0};

	serve(peer, 2, rounds);
	assert_int_equal(read_large(peer->store, &r, PEER_MS), ERR_NONE);
	assert_read(&r, 7);
	assert_int_equal(peer->seen_count, 2 * RANGES);
	assert_string_equal(r.get.version, "\"two\"");
	reading_end(&r);
}

/* A store that knows nothing of If-Match is caught by what it answers. */
static void another_version_is_seen_also_where_the_pin_is_ignored(void **state)
{
	const struct round rounds[] = {{.first = "\"one\"", .others = "\"two\"", .version = 7},
	                               {.first = "\"two\"", .others = "\"three\"", .version = 7}};
	struct peer *peer = *state;
	struct reading r = {0};

	serve(peer, 2, rounds);
	assert_int_equal(read_large(peer->store, &r, PEER_MS), ERR_STORE);
	assert_string_equal(
	        r.get.op.err.text,
	        "could not read object \"a/large\" in repository \"test\"\nthe object was "
	        "replaced by another while it was read");
	assert_int_equal(peer->seen_count, 2 * RANGES);
	reading_end(&r);
}

static void without_a_version_it_is_one_request(void **state, const char *tag)
{
	const struct round rounds[] = {{.first = tag, .alone = true},
	                               {.first = tag, .alone = true},
	                               {.first = tag, .alone = true}};
	struct peer *peer = *state;
	struct reading r = {0};

	serve(peer, 3, rounds);
	assert_int_equal(read_large(peer->store, &r, PEER_MS), ERR_NONE);
	assert_read(&r, 0);
	assert_int_equal(peer->seen_count, 2);
	assert_asked(peer, 0, "0-8388607", NULL);
	assert_asked(peer, 1, "0-18874367", NULL);
	reading_end(&r);
	r.expect_bytes = BYTES; /* that is remembered */
	assert_int_equal(read_large(peer->store, &r, PEER_MS), ERR_NONE);
	assert_read(&r, 0);
	assert_asked(peer, 2, "0-18874367", NULL);
	reading_end(&r);
}

static void a_store_without_etags_gets_one_request(void **state)
{
	without_a_version_it_is_one_request(state, "");
}

static void without_etags_what_came_at_once_is_not_believed(void **state)
{
	const struct round rounds[] = {{.first = "", .others = "", .at_once = true},
	                               {.first = "", .alone = true, .version = 3}};
	struct peer *peer = *state;
	struct reading r = {.expect_bytes = BYTES};

	serve(peer, 2, rounds);
	assert_int_equal(read_large(peer->store, &r, PEER_MS), ERR_NONE);
	assert_read(&r, 3);
	assert_int_equal(peer->seen_count, AT_ONCE + 1);
	reading_end(&r);
}

static void a_weak_etag_pins_nothing(void **state)
{
	without_a_version_it_is_one_request(state, "W/\"one\"");
}

#define ON_MEMORY(test) cmocka_unit_test_setup_teardown(test, begin, end)
#define ON_PEER(test)   cmocka_unit_test_setup_teardown(test, peer_begin, peer_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        ON_MEMORY(what_is_large_is_read_in_ranges_and_what_is_not_in_one),
	        ON_MEMORY(each_range_that_fails_is_repeated),
	        ON_MEMORY(each_range_that_fails_for_good_is_the_end),
	        ON_MEMORY(what_is_replaced_meanwhile_is_never_a_mixture),
	        ON_MEMORY(what_is_expected_to_be_large_is_asked_for_at_once),
	        ON_MEMORY(what_was_asked_for_at_once_is_whole_and_of_one_version),
	        ON_MEMORY(the_deadline_is_one_for_all),
	        ON_MEMORY(a_cancel_ends_all_ranges),
	        ON_PEER(the_ranges_are_in_flight_at_once_and_pinned),
	        ON_PEER(what_is_expected_is_in_flight_at_once_and_compared),
	        ON_PEER(a_version_that_is_gone_is_read_again_as_another),
	        ON_PEER(another_version_is_seen_also_where_the_pin_is_ignored),
	        ON_PEER(a_store_without_etags_gets_one_request),
	        ON_PEER(a_weak_etag_pins_nothing),
	        ON_PEER(without_etags_what_came_at_once_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
