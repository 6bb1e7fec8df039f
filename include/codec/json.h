/*
 * json.h — JSON documents: strict reading with sentences that name the field, building, printing.
 *
 * A value belongs to the document (the root) it is in; only roots are freed. 64-bit numbers and
 * LSNs are strings, because a JSON number is a double for most readers. A text that is not UTF-8
 * (or has control characters) stands as hex in a field "<field>_bytes" instead.
 *
 * Errors are ERR_DAMAGED and do not say which document: wrap them.
 */
#ifndef CODEC_JSON_H
#define CODEC_JSON_H

#include "base/buf.h"
#include "base/err.h"

enum {
	JSON_TEXT_BYTES_MAX = 32 * 1024 * 1024,
	JSON_DEPTH_MAX = 64,
};

struct jval;

/* ---- reading ---- */

/* One value and nothing after it; no duplicate fields, no NUL in strings. The caller frees it with
 * jval_free. */
MUST_USE bool json_parse(const char *text, size_t length, struct jval **ret, struct err *err);
/* NULL is fine. */
void jval_free(struct jval *root);

/* These fail when object is not one, the field is missing or is of another type. Texts are valid as
 * long as the document is. */
MUST_USE bool jget_str(const struct jval *object, const char *field, const char **ret,
                       struct err *err);
/* A string of decimal digits. */
MUST_USE bool jget_u64(const struct jval *object, const char *field, uint64_t *ret,
                       struct err *err);
MUST_USE bool jget_u32(const struct jval *object, const char *field, uint32_t *ret,
                       struct err *err); /* a number */
MUST_USE bool jget_int(const struct jval *object, const char *field, int64_t *ret,
                       struct err *err); /* a number */
MUST_USE bool jget_real(const struct jval *object, const char *field, double *ret, struct err *err);
MUST_USE bool jget_bool(const struct jval *object, const char *field, bool *ret, struct err *err);
MUST_USE bool jget_object(const struct jval *object, const char *field, const struct jval **ret,
                          struct err *err);
MUST_USE bool jget_array(const struct jval *object, const char *field, const struct jval **ret,
                         struct err *err);
/* A text that jset_str() wrote, from field or "<field>_bytes"; the caller frees it. */
MUST_USE bool jget_bytes(const struct jval *object, const char *field, char **ret, struct err *err);
/* It is there, and is not null; also "<field>_bytes" counts. */
bool jhas(const struct jval *object, const char *field);

/* NULL array or one that is none: 0. */
size_t jarray_length(const struct jval *array);
const struct jval *jarray_at(const struct jval *array, size_t i);
/* The value itself, when it is a string; else NULL. */
const char *jval_text(const struct jval *value);
bool jval_is_object(const struct jval *value);

/* The fields of an object in the order of the document:
 *	for (struct jfields f = jfields_of(object); jfields_next(&f);) … f.name, f.value */
struct jfields {
	const struct jval *object, *value;
	const char *name;
	void *at;
};
struct jfields jfields_of(const struct jval *object);
bool jfields_next(struct jfields *fields);

/* ---- building ---- */

struct jval *jobject_new(void);
struct jval *jarray_new(void);
/* A NULL text is left out. */
void jset_str(struct jval *object, const char *field, const char *text);
void jset_u64(struct jval *object, const char *field, uint64_t value); /* as a string */
void jset_int(struct jval *object, const char *field, int64_t value);
void jset_real(struct jval *object, const char *field, double value);
void jset_bool(struct jval *object, const char *field, bool value);
void jset_null(struct jval *object, const char *field);
/* A new one inside; it belongs to the document. */
struct jval *jset_object(struct jval *object, const char *field);
struct jval *jset_array(struct jval *object, const char *field);
/* value is the document's from now on. */
void jset_value(struct jval *object, const char *field, struct jval *value);
/* In an array, text that is not UTF-8 becomes an object {"bytes": hex}. */
void jadd_str(struct jval *array, const char *text);
void jadd_int(struct jval *array, int64_t value);
struct jval *jadd_object(struct jval *array);
void jadd_value(struct jval *array, struct jval *value);

/* Appends it on one line, or indented with a newline at the end; false when out has overflowed. */
bool json_print(const struct jval *value, bool indented, struct buf *out);

/* Appends text as a JSON string with its quotes, for what is streamed by hand; what is not UTF-8
 * becomes
 * '?'. */
bool json_print_str(const char *text, struct buf *out);

#endif
