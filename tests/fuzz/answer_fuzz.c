/* answer_fuzz.c — the hook's reader of answers: any bytes, in pieces of the size that the first
 * byte says. */
#include "fuzz/fuzz.h"
#include "hook/hook.h"
#include "../../src/hook/answer.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	size_t piece = length > 0 && data[0] > 0 ? data[0] : 1;
	struct answer answer;
	struct buf text;

	buf_init(&text, HOOK_TEXT_BYTES_MAX);
	answer_init(&answer, &text);
	for (size_t at = 1; at < length; at += piece)
		answer_feed(&answer, (const char *)data + at, MIN(piece, length - at));
	assert(answer.head.length <= ANSWER_HEAD_BYTES_MAX);
	assert(text.length <= HOOK_TEXT_BYTES_MAX);
	assert(answer.state != ANSWER_COMPLETE || (answer.has_length && answer.left == 0));
	assert(answer.state != ANSWER_BAD || answer.why);
	answer_release(&answer);
	buf_release(&text);
	return 0;
}
