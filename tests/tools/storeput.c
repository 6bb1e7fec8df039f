/*
 * storeput.c — puts files into a store as they are, some at once: what the driver and its HTTP
 *cost, without sealing or anything else.
 *
 *	storeput URL ENDPOINT REGION CA_FILE AT_ONCE FILE…
 *
 * ENDPOINT, REGION and CA_FILE may be empty. The key of S3 comes from the environment. Each file
 * becomes an object of its name, and is read when its turn comes; prints the seconds and how often
 * something had to be repeated.
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/poison.h"

enum { AT_ONCE_MAX = 64, FILE_BYTES_MAX = 64 * 1024 * 1024, FIXED_ARGUMENTS = 6, EXIT_USAGE = 2 };

struct puts {
	struct op op;
	struct store *store;
	char **file;
	unsigned files, next, at_once;
	struct lane {
		struct op op;
		struct puts *puts;
		struct store_put put;
		struct buf bytes;
		struct iovec piece;
	} lane[AT_ONCE_MAX];
};

enum { LANE_NEXT, LANE_PUTTING };

/* One file after the other, whichever is next. */
static void lane_step(struct op *op)
{
	struct lane *lane = container_of(op, struct lane, op);
	struct puts *puts = lane->puts;
	const char *path, *slash;

	if (op->state == LANE_PUTTING && op_failed(&lane->put.op))
		return op_fail(op, &lane->put.op.err, "could not put");
	if (puts->next == puts->files)
		return op_done(op);
	path = puts->file[puts->next++];
	slash = strrchr(path, '/');
	buf_clear(&lane->bytes);
	if (!file_read_all(path, &lane->bytes, &op->err))
		return op_fail_own(op);
	lane->piece = (struct iovec){.iov_base = lane->bytes.data, .iov_len = lane->bytes.length};
	lane->put = (struct store_put){.store = puts->store,
	                               .name = slash ? slash + 1 : path,
	                               .piece = &lane->piece,
	                               .pieces = 1};
	store_put_start(op, &lane->put);
	op_wait(op, LANE_PUTTING);
}

static const struct op_type lane_type = {.name = "lane", .step = lane_step};

enum { PUTS_BEGIN, PUTS_LANES };

static void puts_step(struct op *op)
{
	struct puts *puts = container_of(op, struct puts, op);

	if (op->state == PUTS_BEGIN) {
		for (unsigned i = 0; i < puts->at_once; i++) {
			puts->lane[i].puts = puts;
			buf_init(&puts->lane[i].bytes, FILE_BYTES_MAX);
			op_start(op, &puts->lane[i].op, &lane_type);
		}
		return op_wait(op, PUTS_LANES);
	}
	for (unsigned i = 0; i < puts->at_once; i++)
		if (op_failed(&puts->lane[i].op))
			return op_fail(op, &puts->lane[i].op.err, "lane %u", i);
	op_done(op);
}

static const struct op_type puts_type = {.name = "puts", .step = puts_step};

static bool puts_all(struct puts *puts, const struct store_options *options, struct err *err)
{
	struct loop *loop = loop_new(&(struct loop_options){0});
	int64_t begun_us;
	bool good = store_open(loop, options, &puts->store, err);

	if (good) {
		begun_us = clock_mono_us();
		loop_run_op(loop, &puts->op, &puts_type);
		printf("%.3f s, %llu repetitions\n", (double)(clock_mono_us() - begun_us) / 1e6,
		       (unsigned long long)store_counts(puts->store)->retries);
		good = !op_failed(&puts->op);
		if (!good)
			*err = puts->op.err;
		store_close(puts->store);
	}
	loop_free(loop);
	return good;
}

int main(int count, char **argument)
{
	struct puts *puts = xcalloc(1, sizeof(*puts));
	struct store_options options = {.label = "bench"};
	struct err err = {0};
	bool good;

	if (count <= FIXED_ARGUMENTS ||
	    (puts->at_once = (unsigned)strtoul(argument[5], NULL, 10)) < 1 ||
	    puts->at_once > AT_ONCE_MAX) {
		fprintf(stderr, "storeput URL ENDPOINT REGION CA_FILE AT_ONCE FILE...\n");
		return EXIT_USAGE;
	}
	options.url = argument[1];
	options.s3.endpoint = *argument[2] ? argument[2] : NULL;
	options.s3.region = *argument[3] ? argument[3] : NULL;
	options.s3.ca_file = *argument[4] ? argument[4] : NULL;
	puts->files = (unsigned)(count - FIXED_ARGUMENTS);
	puts->file = argument + FIXED_ARGUMENTS;
	good = puts_all(puts, &options, &err);
	if (!good)
		fprintf(stderr, "error: %s\n", err.text);
	for (unsigned i = 0; i < AT_ONCE_MAX; i++)
		buf_release(&puts->lane[i].bytes);
	free(puts);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
