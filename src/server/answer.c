/* answer.c — the hooks believe only the header Seawall-Result; the status is for `curl --fail`. */
#include "answer.h"

#include "base/str.h"

#include "base/poison.h"

static const char *answer_name(enum answer answer)
{
	switch (answer) {
	case ANSWER_STORED:
		return "stored";
	case ANSWER_DELIVERED:
		return "delivered";
	case ANSWER_ABSENT:
		return "absent";
	case ANSWER_FAILED:
		return "failed";
	case ANSWER_WORKING:
		return "working";
	case ANSWER_UNKNOWN:
		break;
	}
	return NULL;
}

static unsigned answer_status(enum answer answer, const struct err *err)
{
	switch (answer) {
	case ANSWER_STORED:
	case ANSWER_DELIVERED:
		return 200;
	case ANSWER_ABSENT:
		return 404;
	case ANSWER_FAILED:
		/* 404 is "absent" and nothing else */
		return !err || err->code == ERR_NOTFOUND ? 500 : exchange_status_of(err);
	default:
		return 503;
	}
}

void answer_reply(struct exchange *exchange, enum answer answer, const struct err *why)
{
	char lines[ERR_TEXT_MAX + ERR_HINT_MAX + 16];
	const char *name = answer_name(answer);
	AUTO_BUF struct buf body;

	buf_init(&body, sizeof(lines));
	if (why && err_is(why)) {
		err_lines(why, lines, sizeof(lines));
		buf_addstr(&body, lines);
	}
	if (name)
		exchange_add_header(exchange, "Seawall-Result", name);
	exchange_reply(exchange, answer_status(answer, why), "text/plain; charset=utf-8", &body);
}

bool answer_wait(const struct exchange *exchange, int64_t *ret_ms)
{
	const char *text = exchange_query(exchange, "wait");
	uint32_t seconds = ANSWER_WAIT_S_DEFAULT;

	if (text && (!str_u32(text, &seconds) || seconds > ANSWER_WAIT_S_MAX))
		return false;
	*ret_ms = (int64_t)seconds * 1000;
	return true;
}

char *answer_query(const struct exchange *exchange, const char *name)
{
	const char *value = exchange_query(exchange, name);

	return value && *value ? xstrdup(value) : NULL;
}
