/* restore_rates_test.c — what restores have measured, kept from one to the next, and the estimate.
 */
#include "../../../src/job/restore_rates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/durable.h"
#include "unit/base/scratch.h"

enum { MB = 1 << 20, SEGMENT = 16 * MB };

static const struct restore_plan plan = {
        .logical_bytes = 300 * MB,
        .segment_bytes = SEGMENT,
        .first_segno = 3,
        .last_segno = 6,
        .start_lsn = (lsn)3 * SEGMENT,
        .end_lsn = (lsn)3 * SEGMENT + 40 * MB,
};

static void each_is_kept_until_it_is_measured_again(void **state)
{
	struct restore_rates rates;

	restore_rates_read(*state, &rates);
	assert_int_equal(rates.copy + rates.replay, 0);
	restore_rates_keep(*state, &(struct restore_rates){.copy = 100 * MB});
	restore_rates_keep(*state, &(struct restore_rates){.replay = 20 * MB});
	restore_rates_keep(*state, &(struct restore_rates){0});
	restore_rates_read(*state, &rates);
	assert_int_equal(rates.copy, 100 * MB);
	assert_int_equal(rates.replay, 20 * MB);
	restore_rates_keep(*state, &(struct restore_rates){.copy = 50 * MB});
	restore_rates_read(*state, &rates);
	assert_int_equal(rates.copy, 50 * MB);
	assert_int_equal(rates.replay, 20 * MB);
}

static void what_cannot_be_read_is_nothing_and_is_written_again(void **state)
{
	static const char *const damaged[] = {"", "{", "[]", "{\"copy_bytes_per_s\": -1}",
	                                      "{\"copy_bytes_per_s\": 7}"};
	AUTO_FREE
	char *path = path_join(*state, "restore.rates");
	struct restore_rates rates;
	struct err err = {0};

	for (size_t i = 0; i < ARRAY_LENGTH(damaged); i++) {
		assert_true(durable_write(path, 0600, damaged[i], strlen(damaged[i]), &err));
		restore_rates_read(*state, &rates);
		assert_int_equal(rates.copy + rates.replay, 0);
		restore_rates_keep(*state, &(struct restore_rates){.copy = 1});
		restore_rates_read(*state, &rates);
		assert_int_equal(rates.copy, 1);
	}
	restore_rates_keep("/nowhere/at/all", &(struct restore_rates){.copy = 1});
	restore_rates_keep(NULL, &(struct restore_rates){.copy = 1});
	restore_rates_read(NULL, &rates);
	assert_int_equal(rates.copy + rates.replay, 0);
}

static void a_rate_needs_enough_to_go_by(void **state)
{
	(void)state;
	assert_int_equal(restore_rate(RATE_BYTES_MIN - 1, 1), 0);
	assert_int_equal(restore_rate(10 * MB, 2000), 5 * MB);
	assert_int_equal(restore_rate(10 * MB, 0), (uint64_t)10 * MB * 1000);
}

static void assert_tells(const struct restore_estimate *estimate, const char *line)
{
	AUTO_BUF struct buf buf = {0};

	buf_init(&buf, 1000);
	restore_estimate_text(estimate, &buf);
	assert_string_equal(buf_text(&buf), line);
}

static void the_estimate_says_what_it_goes_by(void **state)
{
	struct restore_estimate estimate;

	(void)state;
	estimate = restore_estimate(&(struct restore_rates){100 * MB, 20 * MB}, &plan, 1000);
	assert_int_equal(estimate.files_ms, 3000);
	assert_int_equal(estimate.replay_ms, 2000); /* to the end of the plan, not of the segment */
	assert_tells(&estimate, "  time      about 5.0 s: 3.0 s for the files, as fast as the last "
	                        "restore here, and 2.0 s for the WAL\n");
	estimate = restore_estimate(&(struct restore_rates){0}, &plan, 6000);
	assert_int_equal(estimate.files_ms, 6000);
	assert_int_equal(estimate.replay_ms, 0);
	assert_tells(&estimate,
	             "  time      about 6.0 s for the files, as long as the backup took; "
	             "for the WAL the first replay here will tell\n");
	estimate = restore_estimate(&(struct restore_rates){0}, &(struct restore_plan){0}, 0);
	assert_tells(&estimate, "  time      not known: nothing was measured here yet\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        in_scratch(each_is_kept_until_it_is_measured_again),
	        in_scratch(what_cannot_be_read_is_nothing_and_is_written_again),
	        cmocka_unit_test(a_rate_needs_enough_to_go_by),
	        cmocka_unit_test(the_estimate_says_what_it_goes_by),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
