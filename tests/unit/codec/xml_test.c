/* xml_test.c — what a store may answer, and what nobody may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "codec/xml.h"

static void note(void *context, const char *path, const char *text)
{
	buf_addf(context, "%s=%s\n", path, text);
}

static bool read_text(const char *text, size_t length, struct buf *out, struct err *err)
{
	const struct xml_reader reader = {.element = note, .context = out};

	buf_clear(out);
	return xml_read(text, length, &reader, err);
}

static void assert_read(const char *text, const char *wanted)
{
	AUTO_BUF struct buf out = {0};
	struct err err = {0};

	buf_init(&out, 1 << 20);
	if (!read_text(text, strlen(text), &out, &err))
		fail_msg("%s: %s", text, err.text);
	assert_string_equal(buf_text(&out), wanted);
}

static void elements_come_as_they_end(void **state)
{
	(void)state;
	assert_read("<a/>", "a=\n");
	assert_read("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- x -->"
	            "<L xmlns='http://x/'><C><K>a b</K><S>1</S></C><C><K/></C></L>\n",
	            "L/C/K=a b\nL/C/S=1\nL/C=\nL/C/K=\nL/C=\nL=\n");
	assert_read("\xef\xbb\xbf<s3:a x = \"1\" ><s3:b></s3:b ></s3:a>", "a/b=\na=\n");
	assert_read("<a>1<b>2</b>3</a>", "a/b=2\na=13\n");
}

static void references_are_resolved(void **state)
{
	(void)state;
	assert_read("<a>&lt;&amp;&gt;&quot;&apos;&#65;&#x42;&#xe9;&#x20AC;&#x1F600;</a>",
	            "a=<&>\"'AB\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n");
	assert_read("<a>x<![CDATA[<&]]]>y<!-- <b> --></a>", "a=x<&]y\n");
}

static void whatever_is_not_well_formed_is_refused(void **state)
{
	static const char *const bad[] = {"",
	                                  "<s3:/>",
	                                  "<s3:><a/></s3:>",
	                                  " ",
	                                  "x",
	                                  "<",
	                                  "<a",
	                                  "<a>",
	                                  "<a/",
	                                  "<a></b>",
	                                  "<a></a",
	                                  "<a></a><b/>",
	                                  "<a/>x",
	                                  "<1/>",
	                                  "</a>",
	                                  "<a b/>",
	                                  "<a b=/>",
	                                  "<a b=1/>",
	                                  "<a b=\"1/>",
	                                  "<a b=\"<\"/>",
	                                  "<a b='1'c='2'/>",
	                                  "<a>&x;</a>",
	                                  "<a>&amp</a>",
	                                  "<a>&</a>",
	                                  "<a>&#0;</a>",
	                                  "<a>&#;</a>",
	                                  "<a>&#xD800;</a>",
	                                  "<a>&#x110000;</a>",
	                                  "<a>&#99999999999999;</a>",
	                                  "<a>&#65</a>",
	                                  "<!DOCTYPE a><a/>",
	                                  "<a><!DOCTYPE b></a>",
	                                  "<a><!-- </a>",
	                                  "<a><![CDATA[</a>",
	                                  "<?xml <a/>",
	                                  "<a><b></a></b>",
	                                  "<a><b></a>",
	                                  "< a/>"};
	AUTO_BUF struct buf out = {0};

	(void)state;
	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = {0};

		if (read_text(bad[i], strlen(bad[i]), &out, &err))
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.code, ERR_DAMAGED);
	}
}

static void what_is_too_much_is_refused(void **state)
{
	AUTO_BUF struct buf text = {0}, out = {0};
	struct err err = {0};

	(void)state;
	buf_init(&text, 1 << 20);
	buf_init(&out, 1 << 20);
	for (unsigned i = 0; i <= XML_DEPTH_MAX; i++)
		buf_addstr(&text, "<a>");
	assert_false(read_text(text.data, text.length, &out, &err));
	assert_non_null(strstr(err.text, "too deep"));

	buf_clear(&text);
	err_clear(&err);
	buf_addc(&text, '<');
	for (unsigned i = 0; i < XML_PATH_MAX; i++)
		buf_addc(&text, 'n');
	buf_addstr(&text, "/>");
	assert_false(read_text(text.data, text.length, &out, &err));
	assert_non_null(strstr(err.text, "too long"));

	buf_clear(&text);
	err_clear(&err);
	buf_addstr(&text, "<a>");
	for (unsigned i = 0; i <= XML_TEXT_MAX; i++)
		buf_addc(&text, 'x');
	buf_addstr(&text, "</a>");
	assert_false(read_text(text.data, text.length, &out, &err));
	assert_non_null(strstr(err.text, "too long"));

	err_clear(&err);
	assert_false(read_text("<a>\0</a>", 8, &out, &err));
}

static void text_is_escaped(void **state)
{
	AUTO_BUF struct buf out = {0};

	(void)state;
	buf_init(&out, 100);
	xml_escape(&out, "a<b>&\"c");
	assert_string_equal(buf_text(&out), "a&lt;b&gt;&amp;&quot;c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(elements_come_as_they_end),
	        cmocka_unit_test(references_are_resolved),
	        cmocka_unit_test(whatever_is_not_well_formed_is_refused),
	        cmocka_unit_test(what_is_too_much_is_refused),
	        cmocka_unit_test(text_is_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
