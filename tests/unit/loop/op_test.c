/* Operations, pool, gates, naps, watches, blocks and children: each ends exactly once, whatever
 * happens. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "loop/blocks.h"
#include "loop/child.h"
#include "loop/gate.h"
#include "loop/nap.h"
#include "loop/watch.h"
#include "loop/work.h"

static struct loop *loop;

static int setup(void **state)
{
	(void)state;
	loop = loop_new(&(struct loop_options){.workers = 2});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

/* ---- one parent with one child of every kind ---- */

struct story {
	struct op op;
	struct work work;
	struct nap nap;
	struct ticket ticket;
	struct blocks_hold hold;
	struct watch watch;
	struct child child;
	struct gate *gate;
	struct blocks *blocks;
	int ran, steps, fd;
	void (*begin)(struct story *story);
	void (*end)(struct story *story);
};

static void story_step(struct op *op)
{
	struct story *story = container_of(op, struct story, op);

	story->steps++;
	if (op->state == 0) {
		story->begin(story);
		return op_wait(op, 1);
	}
	if (story->end)
		story->end(story);
	op_done(op);
}
static const struct op_type story_type = {.name = "story", .step = story_step};

static void run_count(struct work *work)
{
	container_of(work, struct story, work)->ran++;
}
static void begin_work(struct story *story)
{
	work_start(&story->op, &story->work, run_count);
}

static void work_runs_once_and_its_parent_goes_on(void **state)
{
	struct story story = {.begin = begin_work};

	(void)state;
	loop_run_op(loop, &story.op, &story_type);
	assert_int_equal(story.ran, 1);
	assert_int_equal(story.steps, 2);
	assert_false(op_failed(&story.work.op));
}

/* As many jobs that wait as there are threads, and one that computes: it is what they wait for. */
struct patience {
	struct op op;
	struct work waits[2], computes;
	int pipe[2];
	unsigned came;
};

static void run_wait(struct work *work)
{
	struct patience *patience = container_of(work->op.parent, struct patience, op);
	struct pollfd watched = {.fd = patience->pipe[0], .events = POLLIN};

	if (poll(&watched, 1, 10000) == 1)
		__atomic_add_fetch(&patience->came, 1, __ATOMIC_RELAXED);
}

static void run_let_go(struct work *work)
{
	struct patience *patience = container_of(work, struct patience, computes);

	assert_int_equal(write(patience->pipe[1], "!", 1), 1);
}

static void patience_step(struct op *op)
{
	struct patience *patience = container_of(op, struct patience, op);

	if (op->state == 1)
		return op_done(op);
	for (size_t i = 0; i < ARRAY_LENGTH(patience->waits); i++)
		work_start_disk(op, &patience->waits[i], WORK_WAL, run_wait);
	work_start_class(op, &patience->computes, WORK_BACKUP, run_let_go);
	op_wait(op, 1);
}
static const struct op_type patience_type = {.name = "patience", .step = patience_step};

static void jobs_that_wait_for_the_disk_leave_the_cores_to_others(void **state)
{
	struct patience patience = {.came = 0};

	(void)state;
	assert_int_equal(loop_workers(loop), ARRAY_LENGTH(patience.waits));
	assert_int_equal(pipe(patience.pipe), 0);
	loop_run_op(loop, &patience.op, &patience_type);
	assert_int_equal(patience.came, ARRAY_LENGTH(patience.waits));
	close(patience.pipe[0]);
	close(patience.pipe[1]);
}

/* All threads of one disk wait until a job of another one lets them go. */
struct hanging {
	struct op op;
	struct disk *hangs, *good;
	struct work stuck[3], works, patient;
	int pipe[2];
	unsigned came;
	bool seen;
};

static void run_stuck(struct work *work)
{
	struct hanging *hanging = container_of(work->op.parent, struct hanging, op);
	struct pollfd watched = {.fd = hanging->pipe[0], .events = POLLIN};

	if (poll(&watched, 1, 10000) == 1)
		__atomic_add_fetch(&hanging->came, 1, __ATOMIC_RELAXED);
}

static void run_works(struct work *work)
{
	(void)work;
}

static void run_frees(struct work *work)
{
	struct hanging *hanging = container_of(work, struct hanging, patient);
	int64_t until_us = clock_mono_us() + INT64_C(1000) * 4 * DISK_HANGS_MS;

	while (!hanging->seen && clock_mono_us() < until_us) {
		(void)poll(NULL, 0, 10);
		hanging->seen = disk_hangs(hanging->hangs) && !disk_hangs(hanging->good);
	}
	assert_int_equal(write(hanging->pipe[1], "!", 1), 1);
}

static void hanging_step(struct op *op)
{
	struct hanging *hanging = container_of(op, struct hanging, op);

	switch (op->state) {
	case 0: /* one more than there are threads: it waits in the queue */
		for (size_t i = 0; i < ARRAY_LENGTH(hanging->stuck); i++)
			work_start_on(op, &hanging->stuck[i], WORK_WAL, hanging->hangs, run_stuck);
		work_start_on(op, &hanging->works, WORK_WAL, hanging->good, run_works);
		work_start_disk(op, &hanging->patient, WORK_BACKUP, run_frees);
		return op_wait(op, 1);
	default:
		return op_done(op);
	}
}

static const struct op_type hanging_type = {.name = "hanging", .step = hanging_step};

static void a_disk_that_hangs_keeps_its_own_threads_and_nobody_elses(void **state)
{
	struct hanging hanging = {.hangs = disk_new(loop), .good = disk_new(loop)};

	(void)state;
	assert_int_equal(loop_workers(loop) + 1, ARRAY_LENGTH(hanging.stuck));
	assert_int_equal(pipe(hanging.pipe), 0);
	assert_false(disk_hangs(hanging.hangs));
	loop_run_op(loop, &hanging.op, &hanging_type);
	assert_int_equal(hanging.came, ARRAY_LENGTH(hanging.stuck));
	assert_true(hanging.seen);
	assert_false(disk_hangs(hanging.hangs));
	disk_free(hanging.hangs);
	disk_free(hanging.good);
	close(hanging.pipe[0]);
	close(hanging.pipe[1]);
}

/* An urgent job and a patient one of the same place. */
struct manners {
	struct op op;
	struct work urgent, patient;
	int pipe[2];
	unsigned order; /* atomic: who asks first gets 1 */
	unsigned urgent_ended, patient_began;
	bool wait_for_patient, in_time;
};

enum { URGENT_MS = 20, URGENT_LATE_MS = 50, MANNERS_ROUNDS = 50 };

static void run_urgent(struct work *work)
{
	struct manners *manners = container_of(work->op.parent, struct manners, op);
	struct pollfd watched = {.fd = manners->pipe[0], .events = POLLIN};
	int64_t begun_us = clock_mono_us();
	int limit_ms = manners->wait_for_patient ? 10000 : URGENT_MS;
	int came = poll(&watched, 1, limit_ms);

	manners->in_time = manners->wait_for_patient
	                           ? came == 1
	                           : clock_mono_us() - begun_us < 1000 * URGENT_LATE_MS;
	manners->urgent_ended = __atomic_add_fetch(&manners->order, 1, __ATOMIC_SEQ_CST);
}

static void run_patient(struct work *work)
{
	struct manners *manners = container_of(work, struct manners, patient);

	manners->patient_began = __atomic_add_fetch(&manners->order, 1, __ATOMIC_SEQ_CST);
	if (manners->wait_for_patient)
		assert_int_equal(write(manners->pipe[1], "!", 1), 1);
}

static void manners_step(struct op *op)
{
	struct manners *manners = container_of(op, struct manners, op);

	if (op->state == 1)
		return op_done(op);
	work_start_class(op, &manners->urgent, WORK_WAL, run_urgent);
	work_start_class(op, &manners->patient, WORK_BACKUP, run_patient);
	op_wait(op, 1);
}

static const struct op_type manners_type = {.name = "manners", .step = manners_step};

static void what_may_take_its_time_begins_nothing_beside_what_is_urgent(void **state)
{
	unsigned rounds = 0;

	(void)state;
	/* A round in which the kernel let the urgent job sleep too long says nothing. */
	for (struct manners manners = {.in_time = false}; !manners.in_time; rounds++) {
		assert_true(rounds < MANNERS_ROUNDS);
		manners = (struct manners){.in_time = false};
		assert_int_equal(pipe(manners.pipe), 0);
		loop_run_op(loop, &manners.op, &manners_type);
		close(manners.pipe[0]);
		close(manners.pipe[1]);
		if (manners.in_time)
			assert_in_range(manners.urgent_ended, 1, manners.patient_began - 1);
	}
}

static void what_may_take_its_time_is_not_starved(void **state)
{
	struct manners manners = {.wait_for_patient = true};

	(void)state;
	assert_int_equal(pipe(manners.pipe), 0);
	loop_run_op(loop, &manners.op, &manners_type);
	assert_true(manners.in_time);
	close(manners.pipe[0]);
	close(manners.pipe[1]);
}

static void begin_nap(struct story *story)
{
	nap_start(&story->op, &story->nap, 30);
}

static void a_nap_lasts_as_long_as_it_says_and_the_loop_sleeps_meanwhile(void **state)
{
	struct story story = {.begin = begin_nap};
	int64_t begun = clock_mono_us();
	uint64_t turns = loop_turns(loop);

	(void)state;
	loop_run_op(loop, &story.op, &story_type);
	assert_in_range(clock_mono_us() - begun, 29000, 5000000);
	assert_in_range(loop_turns(loop) - turns, 1, 10);
}

static void begin_nap_and_cancel(struct story *story)
{
	nap_start(&story->op, &story->nap, 1000000);
	op_cancel(&story->op);
}

static void a_cancelled_nap_ends_at_once_as_cancelled(void **state)
{
	struct story story = {.begin = begin_nap_and_cancel};

	(void)state;
	loop_run_op(loop, &story.op, &story_type);
	assert_int_equal(story.nap.op.err.code, ERR_CANCELLED);
	assert_int_equal(story.steps, 2);
}

static void begin_watch(struct story *story)
{
	watch_start(&story->op, &story->watch, story->fd, WATCH_READ, 20);
}

static void a_watch_ends_when_there_is_something_to_read_or_time_is_up(void **state)
{
	int ends[2];
	struct story story = {.begin = begin_watch};

	(void)state;
	assert_int_equal(pipe(ends), 0);
	story.fd = ends[0];
	loop_run_op(loop, &story.op, &story_type);
	assert_int_equal(story.watch.op.err.code, ERR_TIMEOUT);
	assert_int_equal(write(ends[1], "x", 1), 1);
	loop_run_op(loop, &story.op, &story_type);
	assert_int_equal(story.watch.op.err.code, ERR_NONE);
	assert_int_equal(story.watch.events, WATCH_READ);
	close(ends[0]);
	close(ends[1]);
}

/* ---- children ---- */

static void begin_child(struct story *story)
{
	child_start(&story->op, &story->child);
}

static void a_child_gives_its_output_and_status(void **state)
{
	static const char *const argv[] = {"sh", "-c", "echo $WORD; echo why >&2; exit 7", NULL};
	static const char *const env[] = {"WORD=hello", NULL};
	struct story story = {.begin = begin_child, .child = {.argv = argv, .env_add = env}};

	(void)state;
	loop_run_op(loop, &story.op, &story_type);
	assert_false(op_failed(&story.child.op));
	assert_int_equal(story.child.exit_status, 7);
	assert_string_equal(buf_text(&story.child.output), "hello\nwhy\n");
	child_release(&story.child);
}

static void a_child_that_is_not_there_is_an_error_with_its_name(void **state)
{
	static const char *const argv[] = {"/nowhere/program", NULL};
	struct story story = {.begin = begin_child, .child = {.argv = argv}};

	(void)state;
	loop_run_op(loop, &story.op, &story_type);
	assert_true(op_failed(&story.child.op));
	assert_non_null(strstr(story.child.op.err.text, "/nowhere/program"));
	child_release(&story.child);
}

static void a_child_that_hangs_is_ended_in_time(void **state)
{
	static const char *const argv[] = {"sleep", "1000", NULL};
	struct story story = {.begin = begin_child, .child = {.argv = argv, .timeout_ms = 30}};

	(void)state;
	loop_run_op(loop, &story.op, &story_type);
	assert_int_equal(story.child.op.err.code, ERR_TIMEOUT);
	assert_int_equal(story.child.exit_status, -SIGTERM);
	child_release(&story.child);
}

/* ---- gates ---- */

struct visitor {
	struct op op;
	struct ticket ticket;
	struct gate *gate;
	enum gate_class class;
	unsigned places;
	char letter;
	char *order;
	bool leave;
};

static void visitor_step(struct op *op)
{
	struct visitor *visitor = container_of(op, struct visitor, op);

	if (op->state == 0) {
		gate_enter(op, &visitor->ticket, visitor->gate, visitor->class, visitor->places);
		return op_wait(op, 1);
	}
	if (!op_failed(&visitor->ticket.op)) {
		size_t length = strlen(visitor->order);

		visitor->order[length] = visitor->letter;
		visitor->order[length + 1] = '\0';
		if (visitor->leave)
			gate_leave(&visitor->ticket);
	}
	op_done(op);
}
static const struct op_type visitor_type = {.name = "visitor", .step = visitor_step};

static void a_gate_lets_the_important_in_first_and_nobody_overtakes(void **state)
{
	struct gate gate;
	char order[16] = "";
	struct visitor first = {
	        .gate = &gate, .class = GATE_WAL, .places = 4, .letter = 'x', .order = order};
	struct visitor waiting[] = {
	        {.gate = &gate,
	         .class = GATE_VERIFY,
	         .places = 1,
	         .letter = 'v',
	         .order = order,
	         .leave = true},
	        {.gate = &gate,
	         .class = GATE_BACKUP,
	         .places = 3,
	         .letter = 'B',
	         .order = order,
	         .leave = true},
	        {.gate = &gate,
	         .class = GATE_BACKUP,
	         .places = 1,
	         .letter = 'b',
	         .order = order,
	         .leave = true},
	        {.gate = &gate,
	         .class = GATE_WAL,
	         .places = 2,
	         .letter = 'w',
	         .order = order,
	         .leave = true},
	        {.gate = &gate,
	         .class = GATE_RESTORE,
	         .places = 1,
	         .letter = 'r',
	         .order = order,
	         .leave = true},
	};

	(void)state;
	gate_init(&gate, 4, UINT_MAX);
	loop_run_op(loop, &first.op, &visitor_type);
	for (size_t i = 0; i < ARRAY_LENGTH(waiting); i++)
		op_start_root(loop, &waiting[i].op, &visitor_type, NULL);
	/* a turn of the loop: all of them wait */
	struct story story = {.begin = begin_nap};
	loop_run_op(loop, &story.op, &story_type);
	assert_string_equal(order, "x");
	assert_true(gate_pressed(&gate, GATE_WAL));
	gate_leave(&first.ticket);
	while (loop_operations(loop))
		loop_run(loop);
	assert_string_equal(order, "xrwBbv");
	assert_int_equal(gate.taken, 0);
}

static void a_backup_cannot_take_the_places_that_belong_to_wal(void **state)
{
	struct gate gate;
	char order[16] = "";
	struct visitor backup = {
	        .gate = &gate, .class = GATE_BACKUP, .places = 100, .letter = 'b', .order = order};
	struct visitor wal = {.gate = &gate,
	                      .class = GATE_WAL,
	                      .places = 2,
	                      .letter = 'w',
	                      .order = order,
	                      .leave = true};

	(void)state;
	gate_init(&gate, 8, UINT_MAX);
	loop_run_op(loop, &backup.op, &visitor_type);
	assert_int_equal(backup.ticket.places, 6);
	loop_run_op(loop, &wal.op, &visitor_type);
	assert_string_equal(order, "bw");
	gate_leave(&backup.ticket);
}

/* ---- blocks ---- */

static void begin_hold(struct story *story)
{
	blocks_hold(&story->op, &story->hold, story->blocks, GATE_BACKUP, BLOCKS_SEAL);
}

static void blocks_are_given_and_come_back(void **state)
{
	struct story story = {.begin = begin_hold};
	struct chain chain;
	char text[] = "across the border";
	char back[sizeof(text)];

	(void)state;
	story.blocks = blocks_new(loop, 40 * BLOCK_BYTES);
	loop_run_op(loop, &story.op, &story_type);
	assert_int_equal(story.hold.count, BLOCKS_SEAL);
	assert_int_equal(blocks_taken(story.blocks), BLOCKS_SEAL);
	chain = chain_of(&story.hold, 2);
	memset(story.hold.block[0], 'a', BLOCK_BYTES);
	chain.length = BLOCK_BYTES - 5;
	assert_true(chain_add(&chain, text, sizeof(text)));
	chain_copy(&chain, BLOCK_BYTES - 5, back, sizeof(text));
	assert_string_equal(back, text);
	assert_null(chain_at(&chain, BLOCK_BYTES - 5, sizeof(text)));
	chain.length = 2 * BLOCK_BYTES;
	assert_false(chain_add(&chain, text, 1));
	blocks_keep(&story.hold, 3);
	assert_int_equal(blocks_taken(story.blocks), 3);
	blocks_keep(&story.hold, 0);
	assert_int_equal(blocks_taken(story.blocks), 0);
	blocks_free(story.blocks);
}

/* ---- everything at once, from a seed: each operation ends exactly once and nothing is lost ----
 */

enum { STORM = 400 };
struct gust {
	struct op op;
	struct ticket ticket;
	struct work work;
	struct nap nap;
	struct gate *gate;
	unsigned seed;
	int ends;
	int *ended;
};

static void gust_run(struct work *work)
{
	struct gust *gust = container_of(work, struct gust, work);

	for (volatile unsigned i = 0; i < gust->seed % 5000; i++)
		;
	if (gust->seed % 7 == 0)
		err_set(&work->op.err, ERR_IO, "made to fail");
}

static void gust_step(struct op *op)
{
	struct gust *gust = container_of(op, struct gust, op);

	switch (op->state) {
	case 0:
		gate_enter(op, &gust->ticket, gust->gate, gust->seed % GATE_CLASSES,
		           1 + gust->seed % 3);
		return op_wait(op, 1);
	case 1:
		if (op_failed(&gust->ticket.op))
			return op_fail(op, &gust->ticket.op.err, "could not begin");
		work_start_class(op, &gust->work, gust->seed % WORK_CLASSES, gust_run);
		nap_start(op, &gust->nap, gust->seed % 4);
		return op_wait(op, 2);
	default:
		gate_leave(&gust->ticket);
		if (op_failed(&gust->work.op))
			return op_fail(op, &gust->work.op.err, "could not go on");
		return op_done(op);
	}
}
static const struct op_type gust_type = {.name = "gust", .step = gust_step};

static void gust_done(struct op *op)
{
	struct gust *gust = container_of(op, struct gust, op);

	gust->ends++;
	(*gust->ended)++;
}

static void four_hundred_stories_with_random_cancels_each_end_once(void **state)
{
	struct gust *gusts = xcalloc(STORM, sizeof(*gusts));
	struct gate gate;
	int ended = 0;
	unsigned seed = 12345;

	(void)state;
	gate_init(&gate, 8, UINT_MAX);
	for (unsigned i = 0; i < STORM; i++) {
		seed = seed * 1103515245 + 12345;
		gusts[i] = (struct gust){.gate = &gate, .seed = seed >> 8, .ended = &ended};
		op_start_root(loop, &gusts[i].op, &gust_type, gust_done);
	}
	while (ended < STORM) {
		struct story pause = {.begin = begin_nap_and_cancel};

		loop_run_op(loop, &pause.op, &story_type);
		for (unsigned i = seed++ % 5; i < STORM; i += 5)
			if (!gusts[i].op.done && gusts[i].seed % 3 == 0)
				op_cancel(&gusts[i].op);
	}
	for (unsigned i = 0; i < STORM; i++)
		assert_int_equal(gusts[i].ends, 1);
	assert_int_equal(gate.taken, 0);
	assert_int_equal(loop_operations(loop), 0);
	free(gusts);
}

#define TRIP_STATES(X) X(TRIP_START) X(TRIP_UNDER_WAY) X(TRIP_END)
OP_STATES(trip_state, TRIP_STATES)

static void states_have_names_without_the_first_word(void **state)
{
	(void)state;
	assert_int_equal(TRIP_END, 2);
	assert_string_equal(trip_state_name(TRIP_START), "START");
	assert_string_equal(trip_state_name(TRIP_UNDER_WAY), "UNDER_WAY");
	assert_string_equal(trip_state_name(3), "?");
	assert_string_equal(trip_state_name(-1), "?");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(states_have_names_without_the_first_word),
	        TEST(work_runs_once_and_its_parent_goes_on),
	        TEST(a_disk_that_hangs_keeps_its_own_threads_and_nobody_elses),
	        TEST(jobs_that_wait_for_the_disk_leave_the_cores_to_others),
	        TEST(what_may_take_its_time_begins_nothing_beside_what_is_urgent),
	        TEST(what_may_take_its_time_is_not_starved),
	        TEST(a_nap_lasts_as_long_as_it_says_and_the_loop_sleeps_meanwhile),
	        TEST(a_cancelled_nap_ends_at_once_as_cancelled),
	        TEST(a_watch_ends_when_there_is_something_to_read_or_time_is_up),
	        TEST(a_child_gives_its_output_and_status),
	        TEST(a_child_that_is_not_there_is_an_error_with_its_name),
	        TEST(a_child_that_hangs_is_ended_in_time),
	        TEST(a_gate_lets_the_important_in_first_and_nobody_overtakes),
	        TEST(a_backup_cannot_take_the_places_that_belong_to_wal),
	        TEST(blocks_are_given_and_come_back),
	        TEST(four_hundred_stories_with_random_cancels_each_end_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
