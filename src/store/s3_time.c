/* s3_time.c — the two ways in which answers write a time. */
#include "base/clock.h"
#include "s3.h"

#include "base/poison.h"

static bool time_of(const int *field, int64_t *ret_us)
{
	if (field[0] < 1970 || field[1] < 1 || field[1] > 12 || field[2] < 1 || field[2] > 31 ||
	    field[3] < 0 || field[3] > 23 || field[4] < 0 || field[4] > 59 || field[5] < 0 ||
	    field[5] > 60)
		return false;
	*ret_us = (clock_days(field[0], field[1], field[2]) * 86400 + field[3] * 3600 +
	           field[4] * 60 + field[5]) *
	          US_PER_S;
	return true;
}

static int month_of(const char *name)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const char *found = strlen(name) == 3 ? strstr(names, name) : NULL;

	return found && (found - names) % 3 == 0 ? (int)(found - names) / 3 + 1 : 0;
}

bool s3_time(const char *text, int64_t *ret_us)
{
	int f[6];
	char month[4];

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &f[0], &f[1], &f[2], &f[3], &f[4], &f[5]) == 6)
		return time_of(f, ret_us);
	if (sscanf(text, "%*3s, %2d %3s %4d %2d:%2d:%2d", &f[2], month, &f[0], &f[3], &f[4],
	           &f[5]) != 6)
		return false;
	f[1] = month_of(month);
	return time_of(f, ret_us);
}
