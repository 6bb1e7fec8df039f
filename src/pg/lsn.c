/*
 * lsn.c — positions as text.
 */
#include "pg/lsn.h"

#include <stdio.h>

#include "base/poison.h"

/* One to eight hex digits; returns where they end, or NULL. */
static const char *half_parse(const char *text, uint32_t *ret)
{
	uint32_t value = 0;
	unsigned digits = 0;

	for (;; text++, digits++) {
		char c = *text;
		uint32_t digit;

		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if (c >= 'A' && c <= 'F')
			digit = (uint32_t)(c - 'A' + 10);
		else if (c >= 'a' && c <= 'f')
			digit = (uint32_t)(c - 'a' + 10);
		else
			break;
		if (digits == 8)
			return NULL;
		value = value << 4 | digit;
	}
	*ret = value;
	return digits ? text : NULL;
}

bool lsn_parse(const char *text, lsn *ret)
{
	uint32_t high, low;

	text = half_parse(text, &high);
	if (!text || *text != '/')
		return false;
	text = half_parse(text + 1, &low);
	if (!text || *text)
		return false;
	*ret = (lsn)high << 32 | low;
	return true;
}

void lsn_text(lsn position, char out[LSN_TEXT_BYTES])
{
	snprintf(out, LSN_TEXT_BYTES, LSN_FORMAT, LSN_ARGS(position));
}
