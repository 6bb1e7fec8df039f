/*
 * profile_fuzz.c — the shared files of S3's tools (INI). A value lies in the text, on one line and
 * without blanks at its ends; a line that is refused is one of the text; and what is read does not
 * depend on where it is read from.
 */
#include "fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "../../src/net/credentials_plan.h"

static void value_check(const char *value, const char *text, size_t length)
{
	size_t bytes;

	if (!value)
		return;
	assert(value >= text && value <= text + length);
	bytes = strlen(value);
	assert(value + bytes <= text + length);
	assert(!memchr(value, '\n', bytes));
	assert(bytes == 0 || (value[0] != ' ' && value[0] != '\t'));
	assert(bytes == 0 || (value[bytes - 1] != ' ' && value[bytes - 1] != '\t'));
}

static void read_section(const uint8_t *data, size_t length, const char *section)
{
	struct profile profile = {0};
	char *text = xmalloc(length + 1);
	unsigned line, lines = 1;
	bool good, any = false;

	memcpy(text, data, length);
	text[length] = '\0';
	for (size_t i = 0; i < length; i++)
		lines += data[i] == '\n';
	good = profile_read(text, length, section, &profile, &line);
	assert(line <= lines && (good || line > 0));
#define X(name)                                                                                    \
	value_check(profile.name, text, length);                                                   \
	any |= profile.name != NULL;
	PROFILE_KEYS(X)
#undef X
	assert(!any || profile.found);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	if (length > SECRET_FILE_MAX)
		return 0;
	read_section(data, length, "default");
	read_section(data, length, "x");
	read_section(data, length, "profile x");
	return 0;
}
