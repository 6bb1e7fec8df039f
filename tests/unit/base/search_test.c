/* search_test.c — the place of a number in each array of even numbers, wherever it falls. */
#include "base/search.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static bool below(const void *context, size_t i)
{
	return 2 * i < *(const size_t *)context;
}

static void the_first_that_is_not_below_is_found(void **state)
{
	(void)state;
	for (size_t count = 0; count < 20; count++)
		for (size_t wanted = 0; wanted < 45; wanted++) {
			size_t place = (wanted + 1) / 2;

			assert_int_equal(search_sorted(count, below, &wanted),
			                 place < count ? place : count);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_first_that_is_not_below_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
