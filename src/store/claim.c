/*
 * claim.c — a put into a store that overwrites what is there: writers of one name agree first on
 * what it shall hold, by objects that nobody ever takes back.
 *
 *   START -> LOOKING -> CLAIMING -> LISTING -> SAYING -> JUDGING -> STORING -> done
 *                          ^                               |
 *                          +--------- next round ----------+-> READING -> HELPING -> failed
 *                                                                 +-----> LOOKING_AGAIN -> failed
 *
 * What is agreed on is the content's digest. In each round a writer
 *
 *   1. writes "<round>.claim.<digest>" and lists: is any other digest claimed in this round?
 *   2. writes "<round>.alone.<digest>" if there is none, else "<round>.mixed.<digest>", and lists.
 *      Alone, and nobody mixed: agreed. Else it takes the digest that is alone, or if there is none
 *      the lowest that is claimed, and goes on with that into the next round.
 *
 * Two different digests are never both alone in one round: of two writers that claimed, the later
 * one sees the other's claim. When somebody has agreed on a digest in a round, then everybody else
 * who ends that round takes the same digest from it: who was mixed said so after that one listed,
 * so it lists later and sees who was alone. From then on there is only that digest (this is an
 * "adopt-commit" object for each round). So nobody ever agrees on another one, whoever is killed or
 * comes late, as long as a listing shows what was written before it and claims stay. Without others
 * it takes one round; against others two, nearly always.
 *
 * The one whose content was agreed on puts it; what is put twice is the same content. Another one
 * is refused. So that a writer that is killed in between does not block the name for ever, a claim
 * for a small object holds all of it, and who finds it missing puts it. Big ones are WAL, which
 * PostgreSQL gives again with the same content, and what has a name of its own.
 *
 * With STORE_ONE_WRITER there is only the look at the beginning, and before it another one: at the
 * note of who the one writer is. Who finds none leaves its own and looks again, since of two that
 * begin at once the later overwrites the other's. What two do within the moments of that nothing
 * can keep apart.
 *
 *   START -> MEETING -> [[DROPPING ->] NAMING -> MEETING_AGAIN] -> LOOKING -> STORING -> done
 */
#include "claim.h"

#include <string.h>

#include "base/str.h"
#include "codec/sealed.h"
#include "loop/loop.h"
#include "store/driver.h"

#include "base/poison.h"

enum {
	ROUNDS_MAX = 32,
	DIGEST_TEXT_BYTES = 2 * SEALED_DIGEST_BYTES + 1,
	SMALL_BYTES = 64 * 1024, /* of an object that is put into its claim */
};

static const char claim_head[] = "seawall claim 1\n";

enum word { WORD_CLAIM, WORD_ALONE, WORD_MIXED, WORDS };
static const char *const words[WORDS] = {"claim", "alone", "mixed"};

struct store_claiming {
	struct store_put step; /* of a claim, or of the object itself */
	struct store_head head;
	struct store_list list;
	struct store_get get;
	struct store_remove remove;
	char own[DIGEST_TEXT_BYTES];   /* of our content */
	char value[DIGEST_TEXT_BYTES]; /* what we are for in this round */
	char prefix[STORE_NAME_MAX + 1], name[STORE_NAME_MAX + 1];
	struct iovec *piece; /* of the claim: its head, and the object's pieces */
	struct iovec helped;
	uint64_t bytes; /* of the object */
	uint8_t *block;
	unsigned round;
	bool alone;
	int64_t until_ms;
};

/* clang-format off */
#define CLAIM_STATES(X) \
	X(CLAIM_START) X(CLAIM_MEETING) X(CLAIM_DROPPING) X(CLAIM_NAMING) X(CLAIM_MEETING_AGAIN) \
	X(CLAIM_LOOKING) X(CLAIM_CLAIMING) X(CLAIM_LISTING) X(CLAIM_SAYING) X(CLAIM_JUDGING) \
	X(CLAIM_STORING) X(CLAIM_READING) X(CLAIM_HELPING) X(CLAIM_LOOKING_AGAIN)
/* clang-format on */

OP_STATES(claim_state, CLAIM_STATES)

static void claim_release(struct store_put *put)
{
	struct store_claiming *c = put->claiming;

	store_list_release(&c->list);
	free(c->piece);
	free(c->block);
	free(STEAL(put->claiming));
}

static void claim_fail(struct store_put *put, const struct err *cause)
{
	struct err err = *cause; /* of a step, perhaps */

	claim_release(put);
	op_fail(&put->op, &err, "could not store object \"%s\" in repository \"%s\"", put->name,
	        store_label(put->store));
}

static void claim_exists(struct store_put *put)
{
	struct err err = {0};

	err_set(&err, ERR_EXISTS, "there is an object of that name already");
	claim_fail(put, &err);
}

static void claim_say_so(struct store_put *put, const char *what)
{
	struct err err = {0};

	err_set(&err, ERR_STORE, "%s", what);
	err_hint(&err, "Only one host may store in this repository; `seawall check` tells more.");
	claim_fail(put, &err);
}

/* What is left of the deadline of the whole; never 0, which is none. */
static int64_t left_ms(const struct store_put *put)
{
	return MAX(put->claiming->until_ms - loop_now_ms(put->op.loop), (int64_t)1);
}

/* ---- requests ---- */

static void digest_of_pieces(const struct store_put *put, struct digest *ret)
{
	struct digester *digester = digester_new();

	for (unsigned i = 0; i < put->pieces; i++)
		digester_add(digester, put->piece[i].iov_base, put->piece[i].iov_len);
	digester_end(digester, ret);
	digester_free(digester);
}

static bool claim_begin(struct store_put *put)
{
	struct store_claiming *c = put->claiming = xcalloc(1, sizeof(*c));
	struct digest digest;
	int length = snprintf(c->prefix, sizeof(c->prefix), "claim/%s/", put->name);

	if (put->content)
		digest = *put->content;
	else
		digest_of_pieces(put, &digest);
	digest_text(&digest, c->own);
	snprintf(c->value, sizeof(c->value), "%s", c->own);
	c->round = 1;
	c->until_ms = loop_now_ms(put->op.loop) +
	              (put->deadline_ms > 0 ? put->deadline_ms : STORE_DEADLINE_MS);
	c->piece = xcalloc(put->pieces + 1, sizeof(*c->piece));
	c->piece[0] = (struct iovec){(void *)(uintptr_t)claim_head, strlen(claim_head)};
	for (unsigned i = 0; i < put->pieces; i++) {
		c->piece[i + 1] = put->piece[i];
		c->bytes += put->piece[i].iov_len;
	}
	return length + (int)sizeof("99.claim.") + DIGEST_TEXT_BYTES < (int)sizeof(c->name);
}

static void claim_look(struct store_put *put, int state)
{
	struct store_claiming *c = put->claiming;

	c->head = (struct store_head){
	        .store = put->store, .name = put->name, .deadline_ms = left_ms(put)};
	store_head_start(&put->op, &c->head);
	op_wait(&put->op, state);
}

static void claim_put(struct store_put *put, const char *name, const struct iovec *piece,
                      unsigned pieces, int state)
{
	struct store_claiming *c = put->claiming;

	c->step = (struct store_put){
	        .store = put->store,
	        .name = name,
	        .piece = piece,
	        .pieces = pieces,
	        .kind = name == put->name ? put->kind : STORE_OTHER,
	        .raw = true,
	        .deadline_ms = left_ms(put),
	        .class = put->class,
	};
	store_put_start(&put->op, &c->step);
	op_wait(&put->op, state);
}

static void claim_name(struct store_claiming *c, unsigned round, enum word word)
{
	size_t at = str_copy(c->name, sizeof(c->name), c->prefix) ? strlen(c->name) : 0;

	snprintf(c->name + at, sizeof(c->name) - at, "%02u.%s.%s", round, words[word], c->value);
}

static void claim_say(struct store_put *put, enum word word, int state)
{
	struct store_claiming *c = put->claiming;
	bool whole = word == WORD_CLAIM && c->round == 1 && c->bytes <= SMALL_BYTES;

	claim_name(c, c->round, word);
	claim_put(put, c->name, c->piece, whole ? put->pieces + 1 : 1, state);
}

static void claim_list(struct store_put *put, int state)
{
	struct store_claiming *c = put->claiming;

	store_list_release(&c->list);
	c->list = (struct store_list){
	        .store = put->store, .prefix = c->prefix, .deadline_ms = left_ms(put)};
	store_list_start(&put->op, &c->list);
	op_wait(&put->op, state);
}

/* Somebody else's content, of which the claim may hold all. */
static void claim_read(struct store_put *put)
{
	struct store_claiming *c = put->claiming;

	claim_name(c, 1, WORD_CLAIM);
	c->block = xmalloc(BLOCK_BYTES);
	c->get = (struct store_get){
	        .store = put->store,
	        .name = c->name,
	        .length = BLOCK_BYTES,
	        .block = &c->block,
	        .blocks = 1,
	        .deadline_ms = left_ms(put),
	};
	store_get_start(&put->op, &c->get);
	op_wait(&put->op, CLAIM_READING);
}

/* ---- the one writer ---- */

static void writer_ask(struct store_put *put, int state)
{
	struct store_claiming *c = put->claiming;

	if (!c->block)
		c->block = xmalloc(STORE_WRITER_BYTES);
	c->get = (struct store_get){
	        .store = put->store,
	        .name = STORE_WRITER,
	        .length = STORE_WRITER_BYTES,
	        .block = &c->block,
	        .blocks = 1,
	        .deadline_ms = left_ms(put),
	};
	store_get_start(&put->op, &c->get);
	op_wait(&put->op, state);
}

/* The note of the one before: a store that overwrites only now and then may keep it. */
static void writer_drop(struct store_put *put)
{
	static const char *const names[] = {STORE_WRITER};
	struct store_claiming *c = put->claiming;

	c->remove = (struct store_remove){
	        .store = put->store, .name = names, .names = 1, .deadline_ms = left_ms(put)};
	store_remove_start(&put->op, &c->remove);
	op_wait(&put->op, CLAIM_DROPPING);
}

static void writer_name(struct store_put *put)
{
	struct store_claiming *c = put->claiming;

	c->helped = (struct iovec){put->store->writer, strlen(put->store->writer)};
	claim_put(put, STORE_WRITER, &c->helped, 1, CLAIM_NAMING);
}

/* Somebody else's words, for people: without what a terminal would obey. */
static void writer_refuse(struct store_put *put)
{
	struct store_claiming *c = put->claiming;
	struct err err = {0};

	for (uint64_t i = 0; i < c->get.got; i++)
		if (c->block[i] < ' ' || c->block[i] > '~')
			c->block[i] = '?';
	err_set(&err, ERR_REFUSED, "only one may store here, and that is %.*s", (int)c->get.got,
	        (const char *)c->block);
	err_hint(&err, "The store keeps nobody from overwriting. Use another store; if that one is "
	               "gone for good: `seawall init --take-over`.");
	claim_fail(put, &err);
}

static void writer_met(struct store_put *put, bool again)
{
	struct store *store = put->store;
	struct store_claiming *c = put->claiming;
	const struct err *err = &c->get.op.err;

	if (op_failed(&c->get.op) && (again || err->code != ERR_NOTFOUND))
		return claim_fail(put, err);
	if (!again && op_failed(&c->get.op))
		return writer_name(put);
	if (!again && store->take_over)
		return writer_drop(put);
	if (c->get.got != strlen(store->writer) ||
	    memcmp(c->block, store->writer, (size_t)c->get.got) != 0)
		return writer_refuse(put);
	store->take_over = false;
	free(STEAL(c->block));
	claim_look(put, CLAIM_LOOKING);
}

static void writer_step(struct store_put *put)
{
	const struct store_put *named = &put->claiming->step;

	switch (put->op.state) {
	case CLAIM_MEETING:
		return writer_met(put, false);
	case CLAIM_DROPPING: /* whether it is gone is seen by looking again */
		return writer_name(put);
	case CLAIM_NAMING:
		if (op_failed(&named->op) && named->op.err.code != ERR_EXISTS)
			return claim_fail(put, &named->op.err);
		return writer_ask(put, CLAIM_MEETING_AGAIN);
	default:
		return writer_met(put, true);
	}
}

/* ---- what was said in a round ---- */

struct round_seen {
	const char *lowest;   /* digest that is claimed */
	const char *alone;    /* digest that is alone */
	bool others, mixed;   /* another digest than ours is claimed; somebody is mixed */
	bool ours[WORDS];     /* what we said is listed */
	bool two_alone, more; /* which cannot be */
};

static bool entry_parse(const char *text, unsigned *ret_round, enum word *ret_word,
                        const char **ret_digest)
{
	uint8_t digest[SEALED_DIGEST_BYTES];
	char number[3] = {0};

	if (strlen(text) != strlen("01.claim.") + DIGEST_TEXT_BYTES - 1 || text[2] != '.' ||
	    text[8] != '.')
		return false;
	memcpy(number, text, 2);
	*ret_digest = text + 9;
	if (!str_u32(number, ret_round) || !str_hex_to(*ret_digest, digest, sizeof(digest)))
		return false;
	for (*ret_word = 0; *ret_word < WORDS; ++*ret_word)
		if (strncmp(text + 3, words[*ret_word], 5) == 0)
			return true;
	return false;
}

/* The names stay the list's. */
static void round_look(const struct store_claiming *c, struct round_seen *ret)
{
	*ret = (struct round_seen){.more = c->list.more};
	for (unsigned i = 0; i < c->list.count; i++) {
		const char *digest;
		enum word word;
		unsigned round;
		bool ours;

		if (!entry_parse(c->list.entry[i].name + strlen(c->prefix), &round, &word,
		                 &digest) ||
		    round != c->round)
			continue;
		ours = strcmp(digest, c->value) == 0;
		ret->ours[word] = ret->ours[word] || ours;
		switch (word) {
		case WORD_CLAIM: /* listed in order: the first is the lowest */
			ret->lowest = ret->lowest ? ret->lowest : digest;
			ret->others = ret->others || !ours;
			break;
		case WORD_ALONE:
			ret->two_alone = ret->alone != NULL;
			ret->alone = digest;
			break;
		default:
			ret->mixed = true;
			break;
		}
	}
}

/* ---- the story ---- */

static void claim_listed(struct store_put *put)
{
	struct store_claiming *c = put->claiming;
	struct round_seen seen;

	round_look(c, &seen);
	if (!seen.ours[WORD_CLAIM] || seen.more)
		return claim_say_so(put, "a listing lacks a claim that was written before it");
	c->alone = !seen.others;
	claim_say(put, c->alone ? WORD_ALONE : WORD_MIXED, CLAIM_SAYING);
}

static void claim_judge(struct store_put *put)
{
	struct store_claiming *c = put->claiming;
	struct round_seen seen;
	struct err err = {0};

	round_look(c, &seen);
	if (!seen.ours[c->alone ? WORD_ALONE : WORD_MIXED] || !seen.lowest || seen.two_alone ||
	    seen.more)
		return claim_say_so(put, "a listing lacks a claim that was written before it");
	if (c->alone && !seen.mixed) {
		if (strcmp(c->value, c->own) == 0)
			return claim_put(put, put->name, put->piece, put->pieces, CLAIM_STORING);
		return claim_read(put);
	}
	if (c->round == ROUNDS_MAX) {
		err_set(&err, ERR_TIMEOUT, "too many writers want that name at once");
		return claim_fail(put, &err);
	}
	snprintf(c->value, sizeof(c->value), "%s", seen.alone ? seen.alone : seen.lowest);
	c->round++;
	claim_say(put, WORD_CLAIM, CLAIM_CLAIMING);
}

static void claim_have_read(struct store_put *put)
{
	struct store_claiming *c = put->claiming;
	size_t head = strlen(claim_head);

	if (op_failed(&c->get.op))
		return claim_fail(put, &c->get.op.err);
	if (c->get.got <= head || memcmp(c->block, claim_head, head) != 0)
		return claim_look(put, CLAIM_LOOKING_AGAIN);
	c->helped = (struct iovec){c->block + head, (size_t)c->get.got - head};
	claim_put(put, put->name, &c->helped, 1, CLAIM_HELPING);
}

static void claim_looked(struct store_put *put)
{
	struct store_claiming *c = put->claiming;

	if (!op_failed(&c->head.op))
		return claim_exists(put);
	if (c->head.op.err.code != ERR_NOTFOUND)
		return claim_fail(put, &c->head.op.err);
	if (store_safety(put->store) == STORE_ONE_WRITER)
		return claim_put(put, put->name, put->piece, put->pieces, CLAIM_STORING);
	claim_say(put, WORD_CLAIM, CLAIM_CLAIMING);
}

/* Who has claimed it for other content may be at it, or may have been killed. */
static void claim_looked_again(struct store_put *put)
{
	struct store_claiming *c = put->claiming;
	struct err err = {0};

	if (!op_failed(&c->head.op))
		return claim_exists(put);
	if (c->head.op.err.code != ERR_NOTFOUND)
		return claim_fail(put, &c->head.op.err);
	err_set(&err, ERR_REFUSED,
	        "another writer has claimed that name for other content (digest %s)", c->value);
	err_hint(&err, "Two servers archive different WAL under the same name.");
	claim_fail(put, &err);
}

/* A put of a claim: that it is there already is as good. False: the story has ended. */
static bool claim_said(struct store_put *put)
{
	const struct err *err = &put->claiming->step.op.err;

	if (!err_is(err) || err->code == ERR_EXISTS)
		return true;
	claim_fail(put, err);
	return false;
}

static bool claim_has_list(struct store_put *put)
{
	if (!op_failed(&put->claiming->list.op))
		return true;
	claim_fail(put, &put->claiming->list.op.err);
	return false;
}

static void claim_stored(struct store_put *put)
{
	struct store_claiming *c = put->claiming;
	struct err err = c->step.op.err;

	put->versioned = c->step.versioned;
	claim_release(put);
	if (!err_is(&err))
		return op_done(&put->op);
	put->op.err = err; /* its words are those of this put */
	op_fail_own(&put->op);
}

static void claim_cancelled(struct store_put *put)
{
	struct err err = {0};

	err_set(&err, ERR_CANCELLED, "cancelled");
	claim_fail(put, &err);
}

static void claim_first(struct store_put *put)
{
	if (store_safety(put->store) == STORE_ONE_WRITER && put->store->writer)
		return writer_ask(put, CLAIM_MEETING);
	claim_look(put, CLAIM_LOOKING);
}

static void claim_step(struct op *op)
{
	struct store_put *put = container_of(op, struct store_put, op);
	struct err err = {0};

	if (op->state == CLAIM_START && !claim_begin(put)) {
		err_set(&err, ERR_REFUSED, "its name is too long");
		return claim_fail(put, &err);
	}
	if (op->cancelled && op->state != CLAIM_STORING)
		return claim_cancelled(put);
	switch ((enum claim_state)op->state) {
	case CLAIM_START:
		return claim_first(put);

	case CLAIM_MEETING:
	case CLAIM_DROPPING:
	case CLAIM_NAMING:
	case CLAIM_MEETING_AGAIN:
		return writer_step(put);

	case CLAIM_LOOKING:
		return claim_looked(put);

	case CLAIM_CLAIMING:
		if (claim_said(put))
			claim_list(put, CLAIM_LISTING);
		return;

	case CLAIM_LISTING:
		if (claim_has_list(put))
			claim_listed(put);
		return;

	case CLAIM_SAYING:
		if (claim_said(put))
			claim_list(put, CLAIM_JUDGING);
		return;

	case CLAIM_JUDGING:
		if (claim_has_list(put))
			claim_judge(put);
		return;

	case CLAIM_STORING:
		return claim_stored(put);

	case CLAIM_READING:
		return claim_have_read(put);

	case CLAIM_HELPING:
		if (claim_said(put))
			claim_exists(put);
		return;

	case CLAIM_LOOKING_AGAIN:
		return claim_looked_again(put);
	}
}

const struct op_type store_claimed_put = {
        .name = "store put, claimed", .step = claim_step, .state_name = claim_state_name};
