/*
 * storeget.c — reads one object several times, one after the other: what a large get costs in one
 * request and in ranges.
 *
 *	storeget URL ENDPOINT REGION CA_FILE one|ranges|expected TIMES NAME
 *
 * ENDPOINT, REGION and CA_FILE may be empty. The key of S3 comes from the environment. One get goes
 * before the clock runs, so that connections are there; prints the seconds of each of the others.
 */
#include "base/mem.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/poison.h"

enum { ARGUMENTS = 8, BLOCKS = 17, TIMES_MAX = 1000, EXIT_USAGE = 2 };

struct reads {
	struct op op;
	struct store_get get;
	uint8_t *block[BLOCKS];
	unsigned times;
	int64_t begun_us;
};

enum { READS_BEGIN, READS_FIRST, READS_OTHERS };

static void reads_next(struct reads *reads, int state)
{
	const struct store_get *get = &reads->get;

	reads->get = (struct store_get){.store = get->store,
	                                .name = get->name,
	                                .length = UINT64_MAX,
	                                .expect_bytes = reads->get.expect_bytes,
	                                .block = reads->block,
	                                .blocks = BLOCKS,
	                                .single = get->single};
	reads->begun_us = clock_mono_us();
	store_get_start(&reads->op, &reads->get);
	op_wait(&reads->op, state);
}

static void reads_step(struct op *op)
{
	struct reads *reads = container_of(op, struct reads, op);

	if (op->state == READS_BEGIN)
		return reads_next(reads, READS_FIRST);
	if (op_failed(&reads->get.op))
		return op_fail(op, &reads->get.op.err, "could not get");
	if (op->state == READS_OTHERS) {
		printf("%.4f\n", (double)(clock_mono_us() - reads->begun_us) / 1e6);
		reads->times--;
	}
	if (reads->times == 0)
		return op_done(op);
	reads_next(reads, READS_OTHERS);
}

static const struct op_type reads_type = {.name = "reads", .step = reads_step};

int main(int count, char **argument)
{
	struct reads reads = {0};
	struct store_options options = {.label = "bench"};
	struct loop *loop;
	struct err err = {0};

	if (count != ARGUMENTS || (reads.times = (unsigned)strtoul(argument[6], NULL, 10)) < 1 ||
	    reads.times > TIMES_MAX) {
		fprintf(stderr,
		        "storeget URL ENDPOINT REGION CA_FILE one|ranges|expected TIMES NAME\n");
		return EXIT_USAGE;
	}
	options.url = argument[1];
	options.s3.endpoint = *argument[2] ? argument[2] : NULL;
	options.s3.region = *argument[3] ? argument[3] : NULL;
	options.s3.ca_file = *argument[4] ? argument[4] : NULL;
	reads.get.single = strcmp(argument[5], "one") == 0;
	if (strcmp(argument[5], "expected") == 0)
		reads.get.expect_bytes = (uint64_t)(BLOCKS - 1) * BLOCK_BYTES;
	reads.get.name = argument[7];
	for (unsigned i = 0; i < BLOCKS; i++)
		reads.block[i] = xcalloc(1, BLOCK_BYTES);
	loop = loop_new(&(struct loop_options){0});
	if (store_open(loop, &options, &reads.get.store, &err)) {
		loop_run_op(loop, &reads.op, &reads_type);
		err = reads.op.err;
		store_close(reads.get.store);
	}
	loop_free(loop);
	if (err_is(&err))
		fprintf(stderr, "error: %s\n", err.text);
	for (unsigned i = 0; i < BLOCKS; i++)
		free(reads.block[i]);
	return err_is(&err) ? EXIT_FAILURE : EXIT_SUCCESS;
}
