/*
 * answer.c — reading one HTTP/1.1 answer of the server.
 *
 *   HEAD -> BODY -> COMPLETE        HEAD, BODY, COMPLETE -> BAD
 *
 * The head is collected up to its empty line and then read at once, so it does not matter how the
 * kernel cut the bytes. A stranger may sit at the other end: every length has a limit, and whatever
 * is not understood is BAD, which the hook reports as "unknown".
 */
#include "answer.h"
#include "base/str.h"
#include <string.h>
#include <strings.h>
#include "base/poison.h"

void answer_init(struct answer *answer, struct buf *text)
{
	*answer = (struct answer){.state = ANSWER_HEAD, .text = text};
	buf_init(&answer->head, ANSWER_HEAD_BYTES_MAX);
}

void answer_release(struct answer *answer)
{
	buf_release(&answer->head);
}

static bool bad(struct answer *answer, const char *why)
{
	answer->state = ANSWER_BAD;
	answer->why = why;
	return false;
}

/* "HTTP/1.1 200 OK" */
static bool read_status(struct answer *answer, char *line)
{
	char digits[4] = "";
	uint32_t status = 0;

	if (!str_starts(line, "HTTP/1.1 ") && !str_starts(line, "HTTP/1.0 "))
		return bad(answer, "it is not HTTP/1.1");
	if (str_starts(line, "HTTP/1.0 "))
		answer->close = true;
	memcpy(digits, line + 9, strnlen(line + 9, 3));
	if (!str_u32(digits, &status) || status < 200 || status > 599 ||
	    (line[12] != ' ' && line[12] != '\0'))
		return bad(answer, "its status line is not understood");
	answer->status = status;
	return true;
}

/* "Name: value"; names in any case, as HTTP has it. */
static bool read_header(struct answer *answer, char *line)
{
	char *value = strchr(line, ':');

	if (!value || value == line)
		return bad(answer, "it has a header line without a name");
	*value++ = '\0';
	value = str_trim(value);
	if (strcasecmp(line, "Seawall-Result") == 0) {
		if (answer->has_result)
			return bad(answer, "it has two results");
		answer->has_result = true;
		if (!str_copy(answer->result, sizeof(answer->result), value))
			return bad(answer, "its result is not understood");
	} else if (strcasecmp(line, "Content-Length") == 0) {
		if (answer->has_length || !str_u64(value, &answer->left))
			return bad(answer, "its length is not understood");
		answer->has_length = true;
	} else if (strcasecmp(line, "Transfer-Encoding") == 0) {
		return bad(answer, "its body comes in an encoding");
	} else if (strcasecmp(line, "Connection") == 0 && strcasecmp(value, "close") == 0) {
		answer->close = true;
	}
	return true;
}

/* The head is complete, ends in an empty line and has no NUL byte in it. */
static bool read_head(struct answer *answer)
{
	char *line = answer->head.data;
	bool first = true;

	for (;;) {
		char *end = strstr(line, "\r\n");

		if (!end)
			return bad(answer, "its head is cut");
		*end = '\0';
		if (end == line)
			break;
		if (first ? !read_status(answer, line) : !read_header(answer, line))
			return false;
		first = false;
		line = end + 2;
	}
	if (first)
		return bad(answer, "it has no status line");
	if (!answer->has_length)
		return bad(answer, "it does not say its length");
	answer->state = answer->left > 0 ? ANSWER_BODY : ANSWER_COMPLETE;
	return true;
}

/* Collects bytes up to the empty line; returns how many of them belonged to the head. */
static size_t feed_head(struct answer *answer, const char *bytes, size_t length)
{
	struct buf *head = &answer->head;
	size_t before = head->length, from = before > 3 ? before - 3 : 0;
	const char *end;

	/* The end may lie across two pieces, so the search begins three bytes back. */
	if (!buf_add(head, bytes, MIN(length, ANSWER_HEAD_BYTES_MAX - before)) && head->overflow)
		return bad(answer, "its head is too long"), length;
	end = memmem(head->data + from, head->length - from, "\r\n\r\n", 4);
	if (!end) {
		if (head->length >= ANSWER_HEAD_BYTES_MAX)
			bad(answer, "its head is too long");
		return length;
	}
	head->length = (size_t)(end - head->data) + 4;
	head->data[head->length] = '\0';
	if (memchr(head->data, '\0', head->length))
		bad(answer, "its head has a NUL byte");
	else
		read_head(answer);
	return head->length - before;
}

void answer_feed(struct answer *answer, const char *bytes, size_t length)
{
	size_t used = 0;

	if (answer->state == ANSWER_HEAD && length > 0)
		used = feed_head(answer, bytes, length);
	if (answer->state == ANSWER_BODY) {
		size_t part = (size_t)MIN(answer->left, (uint64_t)(length - used));
		size_t room = answer->text->max - answer->text->length;

		buf_add(answer->text, bytes + used, MIN(part, room));
		answer->left -= part;
		used += part;
		if (answer->left == 0)
			answer->state = ANSWER_COMPLETE;
	}
	if (answer->state == ANSWER_COMPLETE && used < length)
		bad(answer, "it goes on after its end");
}
