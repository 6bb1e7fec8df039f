/*
 * xml.c — one pass over the bytes, without recursion: the open elements are a path and, for each
 * depth, where its name and its text begin.
 */
#include "codec/xml.h"

#include "base/poison.h"

struct xml {
	const char *start, *at, *end;
	const struct xml_reader *reader;
	struct err *err;
	char path[XML_PATH_MAX];
	size_t path_length[XML_DEPTH_MAX + 1]; /* of the path down to that depth */
	struct buf text[XML_DEPTH_MAX + 1];
	const char *name[XML_DEPTH_MAX + 1]; /* as written, with its prefix */
	size_t name_length[XML_DEPTH_MAX + 1];
	unsigned depth;
};

static bool bad(struct xml *xml, const char *what)
{
	return err_set(xml->err, ERR_DAMAGED, "the answer is not valid XML at byte %zu: %s",
	               (size_t)(xml->at - xml->start), what);
}

static bool ahead(const struct xml *xml, const char *text)
{
	size_t length = strlen(text);

	return (size_t)(xml->end - xml->at) >= length && memcmp(xml->at, text, length) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct xml *xml)
{
	while (xml->at < xml->end && is_blank(*xml->at))
		xml->at++;
}

static bool name_byte(char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':')
		return true;
	return !first && ((c >= '0' && c <= '9') || c == '-' || c == '.');
}

static bool take_name(struct xml *xml, const char **ret, size_t *ret_length)
{
	const char *start = xml->at;

	while (xml->at < xml->end && name_byte(*xml->at, xml->at == start))
		xml->at++;
	*ret = start;
	*ret_length = (size_t)(xml->at - start);
	return *ret_length > 0 || bad(xml, "a name is expected");
}

/* Up to and with what ends it: a comment, a processing instruction, CDATA. */
static bool take_until(struct xml *xml, const char *opening, const char *ending, const char **ret,
                       size_t *ret_length)
{
	const char *start = xml->at += strlen(opening);
	const char *found = memmem(start, (size_t)(xml->end - start), ending, strlen(ending));

	if (!found)
		return bad(xml, "it does not end");
	*ret = start;
	*ret_length = (size_t)(found - start);
	xml->at = found + strlen(ending);
	return true;
}

static bool add_text(struct xml *xml, const char *bytes, size_t length)
{
	struct buf *text = &xml->text[xml->depth];

	if (memchr(bytes, '\0', length))
		return bad(xml, "a NUL byte");
	if (buf_add(text, bytes, length))
		return true;
	return bad(xml, "a text is too long");
}

/* A character reference's code point as UTF-8. */
static bool add_point(struct xml *xml, uint32_t point)
{
	char out[4];
	size_t length = 0;

	if (point == 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
		return bad(xml, "a reference to no character");
	if (point < 0x80) {
		out[length++] = (char)point;
	} else if (point < 0x800) {
		out[length++] = (char)(0xc0 | point >> 6);
	} else if (point < 0x10000) {
		out[length++] = (char)(0xe0 | point >> 12);
		out[length++] = (char)(0x80 | (point >> 6 & 0x3f));
	} else {
		out[length++] = (char)(0xf0 | point >> 18);
		out[length++] = (char)(0x80 | (point >> 12 & 0x3f));
		out[length++] = (char)(0x80 | (point >> 6 & 0x3f));
	}
	if (point >= 0x80)
		out[length++] = (char)(0x80 | (point & 0x3f));
	return add_text(xml, out, length);
}

static int digit_of(char c, bool hex)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (hex && c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return hex && c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool take_number(struct xml *xml)
{
	bool hex = ahead(xml, "&#x");
	uint32_t point = 0;
	const char *first;

	xml->at += hex ? 3 : 2;
	first = xml->at;
	for (; xml->at < xml->end && digit_of(*xml->at, hex) >= 0; xml->at++) {
		point = point * (hex ? 16 : 10) + (uint32_t)digit_of(*xml->at, hex);
		if (point > 0x10ffff)
			return bad(xml, "a reference to no character");
	}
	if (xml->at == first || xml->at == xml->end || *xml->at != ';')
		return bad(xml, "a reference does not end");
	xml->at++;
	return add_point(xml, point);
}

static bool take_reference(struct xml *xml)
{
	static const struct {
		const char *text;
		char character;
	} entity[] = {
	        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};

	if (ahead(xml, "&#"))
		return take_number(xml);
	for (size_t i = 0; i < ARRAY_LENGTH(entity); i++)
		if (ahead(xml, entity[i].text)) {
			xml->at += strlen(entity[i].text);
			return add_text(xml, &entity[i].character, 1);
		}
	return bad(xml, "an entity that is not known");
}

static bool take_attributes(struct xml *xml)
{
	const char *name;
	size_t length;

	for (;;) {
		const char *before = xml->at;
		char quote;

		skip_blanks(xml);
		if (xml->at == xml->end || *xml->at == '>' || *xml->at == '/')
			return true;
		if (xml->at == before)
			return bad(xml, "a blank is expected");
		if (!take_name(xml, &name, &length))
			return false;
		skip_blanks(xml);
		if (xml->at == xml->end || *xml->at != '=')
			return bad(xml, "\"=\" is expected");
		xml->at++;
		skip_blanks(xml);
		if (xml->at == xml->end || (*xml->at != '"' && *xml->at != '\''))
			return bad(xml, "a quote is expected");
		quote = *xml->at++;
		while (xml->at < xml->end && *xml->at != quote && *xml->at != '<' && *xml->at)
			xml->at++;
		if (xml->at == xml->end || *xml->at != quote)
			return bad(xml, "an attribute does not end");
		xml->at++;
	}
}

static bool path_push(struct xml *xml, const char *name, size_t length)
{
	size_t at = xml->path_length[xml->depth - 1];
	const char *colon = memchr(name, ':', length);

	if (colon) {
		length -= (size_t)(colon + 1 - name);
		name = colon + 1;
	}
	if (length == 0) /* what is in it would be taken for the outermost */
		return bad(xml, "a name ends with its prefix");
	if (at + length + 2 > sizeof(xml->path))
		return bad(xml, "the names are too long");
	if (at > 0)
		xml->path[at++] = '/';
	memcpy(xml->path + at, name, length);
	xml->path[at + length] = '\0';
	xml->path_length[xml->depth] = at + length;
	return true;
}

static bool element_end(struct xml *xml)
{
	struct buf *text = &xml->text[xml->depth];

	xml->reader->element(xml->reader->context, xml->path, buf_text(text));
	buf_clear(text);
	xml->depth--;
	xml->path[xml->path_length[xml->depth]] = '\0';
	return true;
}

static bool take_open(struct xml *xml)
{
	const char *name;
	size_t length;

	xml->at++;
	if (xml->depth == XML_DEPTH_MAX)
		return bad(xml, "elements are too deep");
	if (!take_name(xml, &name, &length) || !take_attributes(xml))
		return false;
	xml->depth++;
	xml->name[xml->depth] = name;
	xml->name_length[xml->depth] = length;
	if (!path_push(xml, name, length))
		return false;
	if (ahead(xml, "/>")) {
		xml->at += 2;
		return element_end(xml);
	}
	if (!ahead(xml, ">"))
		return bad(xml, "\">\" is expected");
	xml->at++;
	return true;
}

static bool take_close(struct xml *xml)
{
	const char *name;
	size_t length;

	xml->at += 2;
	if (!take_name(xml, &name, &length))
		return false;
	skip_blanks(xml);
	if (length != xml->name_length[xml->depth] ||
	    memcmp(name, xml->name[xml->depth], length) != 0)
		return bad(xml, "another element ends than began");
	if (!ahead(xml, ">"))
		return bad(xml, "\">\" is expected");
	xml->at++;
	return element_end(xml);
}

static bool take_plain(struct xml *xml)
{
	const char *start = xml->at;

	while (xml->at < xml->end && *xml->at != '<' && *xml->at != '&')
		xml->at++;
	return add_text(xml, start, (size_t)(xml->at - start));
}

/* What stands outside of the one element: blanks, comments, instructions. */
static bool take_outside(struct xml *xml)
{
	const char *ignored;
	size_t length;

	for (;;) {
		skip_blanks(xml);
		if (ahead(xml, "<?")) {
			if (!take_until(xml, "<?", "?>", &ignored, &length))
				return false;
		} else if (ahead(xml, "<!--")) {
			if (!take_until(xml, "<!--", "-->", &ignored, &length))
				return false;
		} else {
			return true;
		}
	}
}

static bool take_inside(struct xml *xml)
{
	const char *bytes;
	size_t length;

	if (ahead(xml, "<![CDATA["))
		return take_until(xml, "<![CDATA[", "]]>", &bytes, &length) &&
		       add_text(xml, bytes, length);
	if (ahead(xml, "<!--"))
		return take_until(xml, "<!--", "-->", &bytes, &length);
	if (ahead(xml, "<?"))
		return take_until(xml, "<?", "?>", &bytes, &length);
	if (ahead(xml, "</"))
		return take_close(xml);
	if (ahead(xml, "<"))
		return take_open(xml);
	if (ahead(xml, "&"))
		return take_reference(xml);
	return take_plain(xml);
}

static bool read_all(struct xml *xml)
{
	if (ahead(xml, "\xef\xbb\xbf"))
		xml->at += 3;
	if (!take_outside(xml))
		return false;
	if (xml->at == xml->end || *xml->at != '<')
		return bad(xml, "an element is expected");
	if (!take_open(xml))
		return false;
	while (xml->depth > 0) {
		if (xml->at == xml->end)
			return bad(xml, "it ends too early");
		if (!take_inside(xml))
			return false;
	}
	if (!take_outside(xml))
		return false;
	return xml->at == xml->end || bad(xml, "something follows the end");
}

bool xml_read(const char *bytes, size_t length, const struct xml_reader *reader, struct err *err)
{
	struct xml xml = {
	        .start = bytes, .at = bytes, .end = bytes + length, .reader = reader, .err = err};
	bool done;

	for (size_t i = 0; i < ARRAY_LENGTH(xml.text); i++)
		buf_init(&xml.text[i], XML_TEXT_MAX);
	done = read_all(&xml);
	for (size_t i = 0; i < ARRAY_LENGTH(xml.text); i++)
		buf_release(&xml.text[i]);
	return done;
}

void xml_escape(struct buf *out, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '&':
			buf_addstr(out, "&amp;");
			break;
		case '<':
			buf_addstr(out, "&lt;");
			break;
		case '>':
			buf_addstr(out, "&gt;");
			break;
		case '"':
			buf_addstr(out, "&quot;");
			break;
		default:
			buf_addc(out, *text);
		}
}
