/* json_test.c — documents are built, printed, and read with sentences that name the field. */
#include "codec/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>

static struct jval *parsed(const char *text)
{
	struct jval *root;
	struct err err = {0};

	if (!json_parse(text, strlen(text), &root, &err))
		fail_msg("%s", err.text);
	return root;
}

static void a_document_is_built_and_printed(void **state)
{
	struct jval *root = jobject_new(), *list;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	jset_str(root, "id", "Grüße \"x\"\n");
	jset_str(root, "none", NULL);
	jset_u64(root, "lsn", UINT64_MAX);
	jset_int(root, "n", -5);
	jset_bool(root, "ok", true);
	jset_null(root, "nothing");
	jset_real(root, "rate", 0.5);
	jset_real(root, "far", INFINITY);
	jset_str(jset_object(root, "inner"), "path", "a\xff");
	list = jset_array(root, "list");
	jadd_str(list, "a");
	jadd_str(list, "\xfe");
	jadd_int(list, 7);
	jset_int(jadd_object(list), "i", 1);
	assert_true(json_print(root, false, &out));
	assert_string_equal(
	        buf_text(&out),
	        "{\"id\":\"Grüße \\\"x\\\"\\n\",\"lsn\":\"18446744073709551615\",\"n\":-5,"
	        "\"ok\":true,\"nothing\":null,\"rate\":0.5,\"far\":null,"
	        "\"inner\":{\"path_bytes\":\"61ff\"},"
	        "\"list\":[\"a\",{\"bytes\":\"fe\"},7,{\"i\":1}]}");
	buf_clear(&out);
	assert_true(json_print(list, true, &out));
	assert_true(buf_text(&out)[out.length - 1] == '\n');
	buf_release(&out);
	jval_free(root);
}

static void printing_into_too_little_room_says_so(void **state)
{
	struct jval *root = jobject_new();
	struct buf out;

	(void)state;
	jset_str(root, "field", "a long text");
	buf_init(&out, 10);
	assert_false(json_print(root, false, &out));
	buf_release(&out);
	jval_free(root);
}

static void what_was_built_is_read_back(void **state)
{
	struct jval *root =
	        parsed("{\"s\":\"x\",\"u\":\"18446744073709551615\",\"n\":42,\"i\":-1,"
	               "\"b\":false,\"o\":{\"k\":\"v\",\"l\":null},\"a\":[1,\"two\"],\"r\":2.5,"
	               "\"p_bytes\":\"61ff\",\"z\":null}");
	const struct jval *object, *array;
	struct err err = {0};
	const char *text;
	char *bytes;
	uint64_t u64;
	uint32_t u32;
	int64_t number;
	double real;
	bool yes = true;

	(void)state;
	assert_true(jget_str(root, "s", &text, &err));
	assert_string_equal(text, "x");
	assert_true(jget_u64(root, "u", &u64, &err));
	assert_true(u64 == UINT64_MAX);
	assert_true(jget_u32(root, "n", &u32, &err));
	assert_int_equal(u32, 42);
	assert_true(jget_int(root, "i", &number, &err));
	assert_int_equal(number, -1);
	assert_true(jget_real(root, "r", &real, &err));
	assert_true(real > 2.4 && real < 2.6);
	assert_true(jget_bool(root, "b", &yes, &err));
	assert_false(yes);
	assert_true(jget_bytes(root, "p", &bytes, &err));
	assert_string_equal(bytes, "a\xff");
	free(bytes);
	assert_true(jget_bytes(root, "s", &bytes, &err));
	assert_string_equal(bytes, "x");
	free(bytes);
	assert_true(jhas(root, "s") && jhas(root, "p") && !jhas(root, "z") && !jhas(root, "q"));
	assert_true(jget_object(root, "o", &object, &err));
	assert_true(jget_array(root, "a", &array, &err));
	assert_int_equal(jarray_length(array), 2);
	assert_int_equal(jarray_length(object), 0);
	assert_string_equal(jval_text(jarray_at(array, 1)), "two");
	assert_null(jval_text(jarray_at(array, 0)));
	assert_null(jarray_at(array, 2));
	assert_true(jval_is_object(object) && !jval_is_object(array));
	jval_free(root);
}

static void fields_come_in_the_order_of_the_document(void **state)
{
	struct jval *root = parsed("{\"z\":\"1\",\"a\":\"2\",\"m\":\"3\"}");
	char seen[16] = "";
	size_t length = 0;

	(void)state;
	for (struct jfields f = jfields_of(root); jfields_next(&f);) {
		seen[length++] = f.name[0];
		seen[length++] = jval_text(f.value)[0];
	}
	assert_string_equal(seen, "z1a2m3");
	jval_free(root);
}

static void a_wrong_field_is_named(void **state)
{
	struct jval *root = parsed("{\"s\":5,\"u\":\"12x\",\"n\":4294967296,\"p_bytes\":\"6\","
	                           "\"q_bytes\":\"6100\",\"neg\":-1}");
	struct err err = {0};
	const struct jval *value;
	const char *text;
	char *bytes;
	uint64_t u64;
	uint32_t u32;
	bool yes;

	(void)state;
#define WRONG(call, sentence)                                                                      \
	do {                                                                                       \
		err_clear(&err);                                                                   \
		assert_false(call);                                                                \
		assert_int_equal(err.code, ERR_DAMAGED);                                           \
		assert_string_equal(err.text, sentence);                                           \
	} while (0)
	WRONG(jget_str(root, "s", &text, &err), "field \"s\" is not a string");
	WRONG(jget_str(root, "t", &text, &err), "field \"t\" is missing");
	WRONG(jget_u64(root, "u", &u64, &err), "field \"u\" is not a number in a string");
	WRONG(jget_u64(root, "n", &u64, &err), "field \"n\" is not a string");
	WRONG(jget_u32(root, "n", &u32, &err), "field \"n\" is out of range: 4294967296");
	WRONG(jget_u32(root, "neg", &u32, &err), "field \"neg\" is out of range: -1");
	WRONG(jget_bool(root, "s", &yes, &err), "field \"s\" is not true or false");
	WRONG(jget_object(root, "s", &value, &err), "field \"s\" is not an object");
	WRONG(jget_array(root, "s", &value, &err), "field \"s\" is not an array");
	WRONG(jget_bytes(root, "p", &bytes, &err), "field \"p_bytes\" is not a text in hex");
	WRONG(jget_bytes(root, "q", &bytes, &err), "field \"q_bytes\" is not a text in hex");
	WRONG(jget_bytes(root, "r", &bytes, &err), "field \"r\" is missing");
	WRONG(jget_str(NULL, "t", &text, &err),
	      "field \"t\" is looked for in something that is not an object");
	jval_free(root);
}

static void a_text_that_is_not_json_is_refused(void **state)
{
	static const struct {
		const char *text, *sentence;
	} rows[] = {
	        {"", "line 1"},
	        {"{", "line 1"},
	        {"{}\n x", "line 2"},
	        {"{\"a\":1,\"a\":2}", "duplicate"},
	        {"{\"a\":\"\xff\"}", "byte 0xff"},
	        {"{\"a\":\"\\u0000\"}", "u0000"},
	        {"5", "'['"},
	};
	struct jval *root;
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		err_clear(&err);
		assert_false(json_parse(rows[i].text, strlen(rows[i].text), &root, &err));
		assert_null(root);
		if (err.code != ERR_DAMAGED || !strstr(err.text, rows[i].sentence))
			fail_msg("%s: %s", rows[i].text, err.text);
	}
	jval_free(NULL);
}

static void deep_nesting_is_refused_before_it_is_parsed(void **state)
{
	enum { DEEP = 100000 };
	char *text = xmalloc(DEEP);
	struct jval *root;
	struct err err = {0};

	(void)state;
	memset(text, '[', DEEP);
	assert_false(json_parse(text, DEEP, &root, &err));
	assert_non_null(strstr(err.text, "nested more than"));
	free(text);
	/* Brackets in strings do not count. */
	root = parsed("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
	              "\\\"[\"]");
	jval_free(root);
}

static void a_streamed_string_is_quoted(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	assert_true(json_print_str("a\"b", &out));
	assert_true(json_print_str("c\xff", &out));
	assert_string_equal(buf_text(&out), "\"a\\\"b\"\"c?\"");
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_document_is_built_and_printed),
	        cmocka_unit_test(printing_into_too_little_room_says_so),
	        cmocka_unit_test(what_was_built_is_read_back),
	        cmocka_unit_test(fields_come_in_the_order_of_the_document),
	        cmocka_unit_test(a_wrong_field_is_named),
	        cmocka_unit_test(a_text_that_is_not_json_is_refused),
	        cmocka_unit_test(deep_nesting_is_refused_before_it_is_parsed),
	        cmocka_unit_test(a_streamed_string_is_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
