/*
 * pool.c — the worker pool: a queue for each class, threads, and the way back to the loop.
 *
 * Jobs travel: loop -> queue -> worker -> done list -> loop. One mutex, the only one in the
 * program, guards the queues and the done list; a job is in one list or with one worker. libev's
 * async watcher wakes the loop, which takes the whole done list at once and wakes the operations.
 *
 * A crew is threads with queues of their own, as many as workers were asked for. Jobs that wait for
 * the disk (an object is written and synced) have another crew than those that compute: a core that
 * waits in fsync(2) could compress meanwhile. Looks (a stat, a rename, a small file) have another
 * one, so that a question that needs only them is not queued behind segments. And what may take its
 * time (backup, verify) has another one than WAL and restore: a job is not interrupted, so WAL
 * would wait for whole packs. Those threads run at a lower priority, and begin nothing new while an
 * urgent job of the same place is there, for at most HOLD_MS: what they began goes on beside it and
 * shares the memory and the disk with it.
 *
 * A disk (struct disk) is such a pair of crews for the jobs of one file system. One that hangs
 * keeps its own threads, for as long as it hangs, and nobody else's.
 */
#include "internal.h"

#include "base/clock.h"
#include <assert.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/poison.h"

enum work_stage { STAGE_IDLE, STAGE_QUEUED, STAGE_RUNNING, STAGE_RETURNED };

struct work_list {
	struct work *head, **tail;
};

/* At most a tenth of the cores while WAL wants them: the weight that the kernel gives to it. */
enum { NICE_PATIENT = 10 };
/* A few times what a segment takes, so that WAL that comes in without a pause slows a backup down
 * and never stops it. */
enum { HOLD_MS = 100 };

enum crew_kind { CREW_URGENT, CREW_PATIENT, CREW_KINDS };

/* The threads for one kind of job. */
struct crew {
	struct pool *pool;
	struct crew *pair; /* the urgent one and the patient one of a place */
	enum crew_kind kind;
	bool ending;
	pthread_cond_t wanted;
	struct work_list queue[WORK_CLASSES];
	unsigned jobs;         /* queued or running */
	int64_t moved_us;      /* since then it has jobs and none has come back */
	int64_t held_since_us; /* it could begin something but for the urgent crew; or 0 */
	unsigned threads;
	pthread_t thread[WORKERS_MAX];
};

struct disk {
	struct pool *pool;
	struct crew crew[CREW_KINDS];
};

struct pool {
	struct loop *loop;
	pthread_mutex_t mutex;
	struct crew crew[WORK_PLACES][CREW_KINDS];
	struct work_list returned;
	struct ev_async async;
	void (*worker_end)(void);
};

static void list_init(struct work_list *list)
{
	list->head = NULL;
	list->tail = &list->head;
}

static void list_add(struct work_list *list, struct work *work)
{
	work->queue_next = NULL;
	*list->tail = work;
	list->tail = &work->queue_next;
}

static struct work *list_take(struct work_list *list)
{
	struct work *work = list->head;

	if (!work)
		return NULL;
	list->head = work->queue_next;
	if (!list->head)
		list->tail = &list->head;
	return work;
}

static struct work *queue_take(struct crew *crew)
{
	for (unsigned i = 0; i < WORK_CLASSES; i++) {
		struct work *work = list_take(&crew->queue[i]);

		if (work)
			return work;
	}
	return NULL;
}

/* Whether a crew that may take its time has to let the urgent one of its place go first. */
static bool crew_held(struct crew *crew)
{
	const struct crew *urgent = &crew->pair[CREW_URGENT];
	int64_t now_us;

	if (crew == urgent || !urgent->jobs || crew->ending) {
		crew->held_since_us = 0;
		return false;
	}
	now_us = clock_mono_us();
	if (!crew->held_since_us)
		crew->held_since_us = now_us;
	if (now_us - crew->held_since_us < 1000 * HOLD_MS)
		return true;
	crew->held_since_us = now_us; /* one job; the next one is held anew */
	return false;
}

/* The next job for a thread of the crew; NULL: none, or not now. */
static struct work *crew_next(struct crew *crew)
{
	for (unsigned i = 0; i < WORK_CLASSES; i++)
		if (crew->queue[i].head)
			return crew_held(crew) ? NULL : queue_take(crew);
	crew->held_since_us = 0;
	return NULL;
}

static void crew_wait(struct crew *crew)
{
	int64_t until_us = crew->held_since_us + 1000 * HOLD_MS;
	struct timespec until = {.tv_sec = until_us / 1000000,
	                         .tv_nsec = until_us % 1000000 * 1000};

	if (crew->held_since_us)
		pthread_cond_timedwait(&crew->wanted, &crew->pool->mutex, &until);
	else
		pthread_cond_wait(&crew->wanted, &crew->pool->mutex);
}

/* One job less is queued or running. */
static void crew_leave(struct crew *crew)
{
	if (--crew->jobs == 0 && crew->kind == CREW_URGENT)
		pthread_cond_broadcast(&crew->pair[CREW_PATIENT].wanted);
}

static void *worker_main(void *context)
{
	struct crew *crew = context;
	struct pool *pool = crew->pool;
	struct work *work;

	/* Without the right to it all are equal, which is no worse than before. */
	if (crew->kind == CREW_PATIENT)
		(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE_PATIENT);
	pthread_mutex_lock(&pool->mutex);
	for (;;) {
		while (!(work = crew_next(crew)) && !crew->ending)
			crew_wait(crew);
		if (!work)
			break;
		work->stage = STAGE_RUNNING;
		pthread_mutex_unlock(&pool->mutex);
		work->run(work);
		pthread_mutex_lock(&pool->mutex);
		work->stage = STAGE_RETURNED;
		crew->moved_us = clock_mono_us();
		crew_leave(crew);
		list_add(&pool->returned, work);
		ev_async_send(pool->loop->ev, &pool->async);
	}
	pthread_mutex_unlock(&pool->mutex);
	if (pool->worker_end)
		pool->worker_end();
	return NULL;
}

static void on_returned(struct ev_loop *ev, struct ev_async *async, int events)
{
	struct pool *pool = async->data;
	struct work *work;

	(void)ev;
	(void)events;
	pthread_mutex_lock(&pool->mutex);
	work = pool->returned.head;
	list_init(&pool->returned);
	pthread_mutex_unlock(&pool->mutex);
	while (work) {
		struct work *next = work->queue_next;

		op_wake(&work->op);
		work = next;
	}
}

static void crew_start(struct pool *pool, struct crew *crew, unsigned threads)
{
	pthread_condattr_t attributes;

	crew->pool = pool;
	crew->threads = threads;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* clock_mono_us() */
	pthread_cond_init(&crew->wanted, &attributes);
	pthread_condattr_destroy(&attributes);
	for (unsigned i = 0; i < WORK_CLASSES; i++)
		list_init(&crew->queue[i]);
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&crew->thread[i], NULL, worker_main, crew) != 0)
			abort();
}

/* Signals are the loop thread's. */
static void pair_start(struct pool *pool, struct crew pair[CREW_KINDS], unsigned urgent,
                       unsigned patient)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < CREW_KINDS; i++) {
		pair[i].pair = pair;
		pair[i].kind = i;
	}
	crew_start(pool, &pair[CREW_URGENT], urgent);
	crew_start(pool, &pair[CREW_PATIENT], patient);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct pool *pool_new(struct loop *loop, unsigned workers, void (*worker_end)(void))
{
	struct pool *pool = xcalloc(1, sizeof(*pool));

	pool->loop = loop;
	pool->worker_end = worker_end;
	pthread_mutex_init(&pool->mutex, NULL);
	list_init(&pool->returned);
	ev_async_init(&pool->async, on_returned);
	pool->async.data = pool;
	ev_async_start(loop->ev, &pool->async);
	ev_unref(loop->ev);
	for (unsigned i = 0; i < WORK_PLACES; i++)
		pair_start(pool, pool->crew[i], workers, i == WORK_LOOK ? 0 : workers);
	return pool;
}

static void pair_end(struct pool *pool, struct crew pair[CREW_KINDS])
{
	pthread_mutex_lock(&pool->mutex);
	for (unsigned i = 0; i < CREW_KINDS; i++) {
		pair[i].ending = true;
		pthread_cond_broadcast(&pair[i].wanted);
	}
	pthread_mutex_unlock(&pool->mutex);
	for (unsigned i = 0; i < CREW_KINDS; i++) {
		for (unsigned t = 0; t < pair[i].threads; t++)
			pthread_join(pair[i].thread[t], NULL);
		pthread_cond_destroy(&pair[i].wanted);
	}
}

void pool_free(struct pool *pool)
{
	for (unsigned i = 0; i < WORK_PLACES; i++)
		pair_end(pool, pool->crew[i]);
	ev_ref(pool->loop->ev);
	ev_async_stop(pool->loop->ev, &pool->async);
	pthread_mutex_destroy(&pool->mutex);
	free(pool);
}

unsigned pool_workers(const struct pool *pool)
{
	return pool->crew[WORK_CORE][CREW_URGENT].threads;
}

struct disk *disk_new(struct loop *loop)
{
	struct disk *disk = xcalloc(1, sizeof(*disk));

	disk->pool = loop->pool;
	pair_start(disk->pool, disk->crew, pool_workers(disk->pool), pool_workers(disk->pool));
	return disk;
}

void disk_free(struct disk *disk)
{
	if (!disk)
		return;
	pair_end(disk->pool, disk->crew);
	free(disk);
}

bool disk_hangs(struct disk *disk)
{
	int64_t before_us = clock_mono_us() - INT64_C(1000) * DISK_HANGS_MS;
	bool hangs = false;

	pthread_mutex_lock(&disk->pool->mutex);
	for (unsigned i = 0; i < CREW_KINDS; i++)
		hangs |= disk->crew[i].jobs > 0 && disk->crew[i].moved_us < before_us;
	pthread_mutex_unlock(&disk->pool->mutex);
	return hangs;
}

static struct crew *crew_of(struct pool *pool, const struct work *work)
{
	struct crew *pair = work->disk ? work->disk->crew : pool->crew[work->place];

	return &pair[work->class >= WORK_BACKUP && work->place != WORK_LOOK ? CREW_PATIENT
	                                                                    : CREW_URGENT];
}

void pool_submit(struct pool *pool, struct work *work)
{
	struct crew *crew = crew_of(pool, work);

	pthread_mutex_lock(&pool->mutex);
	work->stage = STAGE_QUEUED;
	list_add(&crew->queue[work->class], work);
	if (crew->jobs++ == 0)
		crew->moved_us = clock_mono_us();
	pthread_cond_signal(&crew->wanted);
	pthread_mutex_unlock(&pool->mutex);
}

bool pool_withdraw(struct pool *pool, struct work *work)
{
	bool found = false;
	struct work_list *list = &crew_of(pool, work)->queue[work->class];

	pthread_mutex_lock(&pool->mutex);
	for (struct work **at = &list->head; work->stage == STAGE_QUEUED && *at;
	     at = &(*at)->queue_next)
		if (*at == work) {
			*at = work->queue_next;
			if (!*at)
				list->tail = at;
			work->stage = STAGE_RETURNED;
			crew_leave(crew_of(pool, work));
			found = true;
			break;
		}
	pthread_mutex_unlock(&pool->mutex);
	return found;
}

/* work: START -> RUNNING -> done */

enum work_state { WORKING_START, WORKING };

static void work_step(struct op *op)
{
	struct work *work = container_of(op, struct work, op);

	if (op->state == WORKING_START && !op->cancelled) {
		op_wait(op, WORKING);
		return pool_submit(op->loop->pool, work);
	}
	if (op->state == WORKING_START || work->stage == STAGE_IDLE)
		return op_fail_as(op, ERR_CANCELLED, "cancelled");
	op_done(op);
}

static void work_cancel(struct op *op)
{
	struct work *work = container_of(op, struct work, op);

	__atomic_store_n(&work->cancel_asked, 1, __ATOMIC_RELAXED);
	if (op->state == WORKING && pool_withdraw(op->loop->pool, work)) {
		work->stage = STAGE_IDLE;
		op_wake(op);
	}
}

static const struct op_type work_type = {.name = "work", .step = work_step, .cancel = work_cancel};

void work_start(struct op *parent, struct work *work, void (*run)(struct work *work))
{
	work_start_class(parent, work, WORK_WAL, run);
}

void work_start_class(struct op *parent, struct work *work, enum work_class class,
                      void (*run)(struct work *work))
{
	*work = (struct work){.run = run, .class = class};
	op_start(parent, &work->op, &work_type);
}

void work_start_disk(struct op *parent, struct work *work, enum work_class class,
                     void (*run)(struct work *work))
{
	*work = (struct work){.run = run, .class = class, .place = WORK_DISK};
	op_start(parent, &work->op, &work_type);
}

void work_start_on(struct op *parent, struct work *work, enum work_class class, struct disk *disk,
                   void (*run)(struct work *work))
{
	*work = (struct work){.run = run, .class = class, .place = WORK_DISK, .disk = disk};
	op_start(parent, &work->op, &work_type);
}

void work_start_look(struct op *parent, struct work *work, enum work_class class,
                     void (*run)(struct work *work))
{
	*work = (struct work){.run = run, .class = class, .place = WORK_LOOK};
	op_start(parent, &work->op, &work_type);
}

bool work_cancelled(struct work *work)
{
	return __atomic_load_n(&work->cancel_asked, __ATOMIC_RELAXED);
}
