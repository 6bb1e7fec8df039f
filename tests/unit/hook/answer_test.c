/* answer_test.c — the reader of the server's answers: whatever comes, in whatever pieces. */
#include "hook/hook.h"
#include "../../../src/hook/answer.h"
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

struct parsed {
	struct answer answer;
	struct buf text;
};

static void feed(struct parsed *parsed, const char *bytes, size_t length, size_t piece)
{
	buf_init(&parsed->text, HOOK_TEXT_BYTES_MAX);
	answer_init(&parsed->answer, &parsed->text);
	for (size_t at = 0; at < length; at += piece) {
		/* A copy of exact size, so that a sanitizer sees every read beyond the piece. */
		size_t n = MIN(piece, length - at);
		char *copy = xmalloc(n);

		memcpy(copy, bytes + at, n);
		answer_feed(&parsed->answer, copy, n);
		free(copy);
	}
}

static void drop(struct parsed *parsed)
{
	answer_release(&parsed->answer);
	buf_release(&parsed->text);
}

static void an_answer_is_the_same_in_pieces_of_any_size(void **state)
{
	static const char bytes[] =
	        "HTTP/1.1 404 Not Found\r\nDate: Fri\r\nseawall-RESULT:  absent \r\n"
	        "Content-Length: 11\r\nConnection: Keep-Alive\r\n\r\nhello\nworld";

	(void)state;
	for (size_t piece = 1; piece <= sizeof(bytes); piece++) {
		struct parsed parsed;

		feed(&parsed, bytes, sizeof(bytes) - 1, piece);
		assert_int_equal(parsed.answer.state, ANSWER_COMPLETE);
		assert_int_equal(parsed.answer.status, 404);
		assert_string_equal(parsed.answer.result, "absent");
		assert_string_equal(buf_text(&parsed.text), "hello\nworld");
		assert_false(parsed.answer.close);
		drop(&parsed);
	}
}

static void an_answer_that_is_not_all_there_is_not_complete(void **state)
{
	static const char bytes[] =
	        "HTTP/1.1 200 OK\r\nSeawall-Result: stored\r\nContent-Length: 3\r\n\r\nabc";

	(void)state;
	for (size_t length = 0; length < sizeof(bytes) - 1; length++) {
		struct parsed parsed;

		feed(&parsed, bytes, length, 7);
		assert_true(parsed.answer.state == ANSWER_HEAD ||
		            parsed.answer.state == ANSWER_BODY);
		drop(&parsed);
	}
}

static void what_is_not_understood_is_bad(void **state)
{
#define HEAD "HTTP/1.1 200 OK\r\n"
	static const char *const bad[] = {
	        "\r\n\r\n",
	        "SSH-2.0-OpenSSH\r\n\r\n",
	        "HTTP/2 200\r\nContent-Length: 0\r\n\r\n",
	        "HTTP/1.1 20\r\nContent-Length: 0\r\n\r\n",
	        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
	        "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
	        "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
	        "HTTP/1.1 \r\nContent-Length: 0\r\n\r\n",
	        HEAD "Seawall-Result: stored\r\n\r\n",
	        HEAD
	        "Seawall-Result: stored\r\nSeawall-Result: stored\r\nContent-Length: 0\r\n\r\n",
	        HEAD "Seawall-Result: stored, stored and stored\r\nContent-Length: 0\r\n\r\n",
	        HEAD "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
	        HEAD "Content-Length: -1\r\n\r\n",
	        HEAD "Content-Length: 99999999999999999999\r\n\r\n",
	        HEAD "Content-Length: 0x10\r\n\r\n",
	        HEAD "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
	        HEAD "nonsense\r\nContent-Length: 0\r\n\r\n",
	        HEAD ": nameless\r\nContent-Length: 0\r\n\r\n",
	        HEAD "Content-Length: 0\r\n\r\nmore",
	        HEAD "Content-Length: 2\r\n\r\nmore",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		for (size_t piece = 1; piece < 80; piece += 13) {
			struct parsed parsed;

			feed(&parsed, bad[i], strlen(bad[i]), piece);
			/* Bytes after the end are seen only when they come with it. */
			if (piece > 1 || i < ARRAY_LENGTH(bad) - 2)
				assert_int_equal(parsed.answer.state, ANSWER_BAD);
			if (parsed.answer.state == ANSWER_BAD)
				assert_non_null(parsed.answer.why);
			drop(&parsed);
		}
}

static void a_nul_byte_in_the_head_is_bad(void **state)
{
	static const char bytes[] =
	        "HTTP/1.1 200 OK\r\nSeawall-Result: stored\0x\r\nContent-Length: 0\r\n\r\n";
	struct parsed parsed;

	(void)state;
	feed(&parsed, bytes, sizeof(bytes) - 1, 1000);
	assert_int_equal(parsed.answer.state, ANSWER_BAD);
	drop(&parsed);
}

static void a_head_without_end_stops_at_its_limit(void **state)
{
	enum { BYTES = 4 * ANSWER_HEAD_BYTES_MAX };
	char *bytes = xmalloc(BYTES);

	(void)state;
	memset(bytes, 'x', BYTES);
	for (size_t piece = 1000; piece <= BYTES; piece *= 4) {
		struct parsed parsed;

		feed(&parsed, bytes, BYTES, piece);
		assert_int_equal(parsed.answer.state, ANSWER_BAD);
		assert_true(parsed.answer.head.length <= ANSWER_HEAD_BYTES_MAX);
		drop(&parsed);
	}
	free(bytes);
}

static void a_long_body_is_read_to_its_end_and_kept_to_its_limit(void **state)
{
	enum { BODY = HOOK_TEXT_BYTES_MAX + 5000 };
	char *bytes = xmalloc(BODY + 200);
	int head = snprintf(bytes, 200, "HTTP/1.1 500 X\r\nContent-Length: %d\r\n\r\n", (int)BODY);
	struct parsed parsed;

	(void)state;
	memset(bytes + head, 'y', BODY);
	feed(&parsed, bytes, (size_t)head + BODY, 4096);
	assert_int_equal(parsed.answer.state, ANSWER_COMPLETE);
	assert_int_equal(parsed.text.length, HOOK_TEXT_BYTES_MAX);
	drop(&parsed);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_answer_is_the_same_in_pieces_of_any_size),
	        cmocka_unit_test(an_answer_that_is_not_all_there_is_not_complete),
	        cmocka_unit_test(what_is_not_understood_is_bad),
	        cmocka_unit_test(a_nul_byte_in_the_head_is_bad),
	        cmocka_unit_test(a_head_without_end_stops_at_its_limit),
	        cmocka_unit_test(a_long_body_is_read_to_its_end_and_kept_to_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
