/*
 * json.c — JSON behind a cover of our own: a struct jval is a json_t, and nobody else sees that.
 *
 * Building cannot fail but for memory, so it aborts as xmalloc() does; reading believes nothing.
 */
#include "codec/json.h"

#include "base/str.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/poison.h"

enum { FIELD_NAME_MAX = 128, U64_TEXT_BYTES = 24 };

static const char bytes_suffix[] = "_bytes";

/* ---- reading ---- */

static const json_t *in(const struct jval *value)
{
	return (const json_t *)value;
}

/* How deep brackets nest, without parsing: the library's parser calls itself for each level. */
static bool too_deep(const char *text, size_t length)
{
	unsigned depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < length; i++) {
		if (quoted) {
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				quoted = false;
		} else if (text[i] == '"') {
			quoted = true;
		} else if (text[i] == '{' || text[i] == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return true;
		} else if ((text[i] == '}' || text[i] == ']') && depth > 0) {
			depth--;
		}
	}
	return false;
}

bool json_parse(const char *text, size_t length, struct jval **ret, struct err *err)
{
	json_error_t fault;
	json_t *root;

	*ret = NULL;
	if (length > JSON_TEXT_BYTES_MAX)
		return err_set(err, ERR_DAMAGED, "the JSON text is too long: %zu bytes", length);
	if (too_deep(text, length))
		return err_set(err, ERR_DAMAGED, "the JSON text is nested more than %d deep",
		               JSON_DEPTH_MAX);
	root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &fault);
	if (!root) {
		str_clean(fault.text); /* it repeats a piece of the input */
		return err_set(err, ERR_DAMAGED, "the JSON text is wrong in line %d, column %d: %s",
		               fault.line, fault.column, fault.text);
	}
	*ret = (struct jval *)root;
	return true;
}

void jval_free(struct jval *root)
{
	json_decref((json_t *)root);
}

static bool field_find(const struct jval *object, const char *field, const json_t **ret,
                       struct err *err)
{
	*ret = NULL;
	if (!json_is_object(in(object)))
		return err_set(err, ERR_DAMAGED,
		               "field \"%s\" is looked for in something that is not an object",
		               field);
	*ret = json_object_get(in(object), field);
	return *ret || err_set(err, ERR_DAMAGED, "field \"%s\" is missing", field);
}

static bool field_wrong(const char *field, const char *wanted, struct err *err)
{
	return err_set(err, ERR_DAMAGED, "field \"%s\" is not %s", field, wanted);
}

bool jget_str(const struct jval *object, const char *field, const char **ret, struct err *err)
{
	const json_t *value;

	if (!field_find(object, field, &value, err))
		return false;
	*ret = json_string_value(value);
	return *ret || field_wrong(field, "a string", err);
}

bool jget_u64(const struct jval *object, const char *field, uint64_t *ret, struct err *err)
{
	const char *text;

	if (!jget_str(object, field, &text, err))
		return false;
	return str_u64(text, ret) || field_wrong(field, "a number in a string", err);
}

bool jget_int(const struct jval *object, const char *field, int64_t *ret, struct err *err)
{
	const json_t *value;

	if (!field_find(object, field, &value, err))
		return false;
	if (!json_is_integer(value))
		return field_wrong(field, "a whole number", err);
	*ret = json_integer_value(value);
	return true;
}

bool jget_u32(const struct jval *object, const char *field, uint32_t *ret, struct err *err)
{
	int64_t value = 0;

	if (!jget_int(object, field, &value, err))
		return false;
	if (value < 0 || value > UINT32_MAX)
		return err_set(err, ERR_DAMAGED, "field \"%s\" is out of range: %" PRId64, field,
		               value);
	*ret = (uint32_t)value;
	return true;
}

bool jget_real(const struct jval *object, const char *field, double *ret, struct err *err)
{
	const json_t *value;

	if (!field_find(object, field, &value, err))
		return false;
	if (!json_is_number(value))
		return field_wrong(field, "a number", err);
	*ret = json_number_value(value);
	return true;
}

bool jget_bool(const struct jval *object, const char *field, bool *ret, struct err *err)
{
	const json_t *value;

	if (!field_find(object, field, &value, err))
		return false;
	if (!json_is_boolean(value))
		return field_wrong(field, "true or false", err);
	*ret = json_is_true(value);
	return true;
}

bool jget_object(const struct jval *object, const char *field, const struct jval **ret,
                 struct err *err)
{
	const json_t *value;

	if (!field_find(object, field, &value, err))
		return false;
	*ret = (const struct jval *)value;
	return json_is_object(value) || field_wrong(field, "an object", err);
}

bool jget_array(const struct jval *object, const char *field, const struct jval **ret,
                struct err *err)
{
	const json_t *value;

	if (!field_find(object, field, &value, err))
		return false;
	*ret = (const struct jval *)value;
	return json_is_array(value) || field_wrong(field, "an array", err);
}

static const char *bytes_field(const char *field, char out[FIELD_NAME_MAX])
{
	int length = snprintf(out, FIELD_NAME_MAX, "%s%s", field, bytes_suffix);

	assert(length > 0 && length < FIELD_NAME_MAX);
	return out;
}

bool jget_bytes(const struct jval *object, const char *field, char **ret, struct err *err)
{
	char name[FIELD_NAME_MAX];
	const json_t *hex = json_object_get(in(object), bytes_field(field, name));
	const char *text;
	AUTO_FREE
	char *out = NULL;
	size_t length;

	*ret = NULL;
	if (!hex) {
		if (!jget_str(object, field, &text, err))
			return false;
		*ret = xstrdup(text);
		return true;
	}
	text = json_string_value(hex);
	if (!text)
		return field_wrong(name, "a string", err);
	length = strlen(text) / 2;
	out = xcalloc(length + 1, 1);
	if (!str_hex_to(text, out, length) || memchr(out, '\0', length))
		return field_wrong(name, "a text in hex", err);
	*ret = STEAL(out);
	return true;
}

bool jhas(const struct jval *object, const char *field)
{
	char name[FIELD_NAME_MAX];
	const json_t *value = json_object_get(in(object), field);

	if (!value)
		value = json_object_get(in(object), bytes_field(field, name));
	return value && !json_is_null(value);
}

size_t jarray_length(const struct jval *array)
{
	return json_array_size(in(array));
}

const struct jval *jarray_at(const struct jval *array, size_t i)
{
	return (const struct jval *)json_array_get(in(array), i);
}

const char *jval_text(const struct jval *value)
{
	return json_string_value(in(value));
}

bool jval_is_object(const struct jval *value)
{
	return json_is_object(in(value));
}

struct jfields jfields_of(const struct jval *object)
{
	return (struct jfields){.object = object};
}

bool jfields_next(struct jfields *fields)
{
	json_t *object = (json_t *)fields->object; /* the library's iterator is not const */

	fields->at =
	        fields->at ? json_object_iter_next(object, fields->at) : json_object_iter(object);
	if (!fields->at)
		return false;
	fields->name = json_object_iter_key(fields->at);
	fields->value = (const struct jval *)json_object_iter_value(fields->at);
	return true;
}

/* ---- building ---- */

static json_t *made(json_t *value)
{
	if (!value)
		abort(); /* no memory, as xmalloc() does */
	return value;
}

struct jval *jobject_new(void)
{
	return (struct jval *)made(json_object());
}

struct jval *jarray_new(void)
{
	return (struct jval *)made(json_array());
}

void jset_value(struct jval *object, const char *field, struct jval *value)
{
	int status = json_object_set_new((json_t *)object, field, made((json_t *)value));

	assert(status == 0);
}

/* length bytes as lower-case hex */
static json_t *hex_of(const char *text)
{
	size_t length = strlen(text);
	AUTO_FREE
	char *hex = xmalloc(2 * length + 1);

	str_hex_of(text, length, hex);
	return made(json_string(hex));
}

void jset_str(struct jval *object, const char *field, const char *text)
{
	char name[FIELD_NAME_MAX];
	json_t *value;

	if (!text)
		return;
	value = json_string(text); /* NULL when it is not UTF-8 */
	if (value)
		jset_value(object, field, (struct jval *)value);
	else
		jset_value(object, bytes_field(field, name), (struct jval *)hex_of(text));
}

void jset_u64(struct jval *object, const char *field, uint64_t value)
{
	char text[U64_TEXT_BYTES];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	jset_str(object, field, text);
}

void jset_int(struct jval *object, const char *field, int64_t value)
{
	jset_value(object, field, (struct jval *)json_integer(value));
}

/* JSON has no infinity: what is no number is null. */
void jset_real(struct jval *object, const char *field, double value)
{
	jset_value(object, field,
	           (struct jval *)(isfinite(value) ? json_real(value) : json_null()));
}

void jset_bool(struct jval *object, const char *field, bool value)
{
	jset_value(object, field, (struct jval *)json_boolean(value));
}

void jset_null(struct jval *object, const char *field)
{
	jset_value(object, field, (struct jval *)json_null());
}

struct jval *jset_object(struct jval *object, const char *field)
{
	struct jval *value = jobject_new();

	jset_value(object, field, value);
	return value;
}

struct jval *jset_array(struct jval *object, const char *field)
{
	struct jval *value = jarray_new();

	jset_value(object, field, value);
	return value;
}

void jadd_value(struct jval *array, struct jval *value)
{
	int status = json_array_append_new((json_t *)array, made((json_t *)value));

	assert(status == 0);
}

void jadd_str(struct jval *array, const char *text)
{
	json_t *value = json_string(text);

	if (value)
		jadd_value(array, (struct jval *)value);
	else
		jset_value(jadd_object(array), bytes_suffix + 1, (struct jval *)hex_of(text));
}

void jadd_int(struct jval *array, int64_t value)
{
	jadd_value(array, (struct jval *)json_integer(value));
}

struct jval *jadd_object(struct jval *array)
{
	struct jval *value = jobject_new();

	jadd_value(array, value);
	return value;
}

static int print_piece(const char *piece, size_t length, void *context)
{
	return buf_add(context, piece, length) ? 0 : -1;
}

bool json_print(const struct jval *value, bool indented, struct buf *out)
{
	size_t flags = JSON_ENCODE_ANY | (indented ? JSON_INDENT(2) : JSON_COMPACT);

	if (json_dump_callback(in(value), print_piece, out, flags) != 0)
		return false;
	return !indented || buf_addc(out, '\n');
}

bool json_print_str(const char *text, struct buf *out)
{
	AUTO_FREE
	char *copy = xstrdup(text);
	json_t *value = json_string(copy);
	bool ok;

	if (!value) {
		str_clean(copy);
		value = made(json_string(copy));
	}
	ok = json_print((struct jval *)value, false, out);
	json_decref(value);
	return ok;
}
