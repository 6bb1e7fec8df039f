/*
 * wrap.c — wrapping keys: the lines of a source, what is derived from each, and the JSON of a
 * wrapped data key.
 *
 * A line's own key is HKDF of its text (WRAP_KEY), or scrypt of it with the wrap's salt
 * (WRAP_PASSPHRASE). scrypt takes 0.3 s, so its results are kept, and a passphrase wraps with the
 * same salt again: what differs is the nonce.
 */
#include "codec/keys.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "base/str.h"
#include "codec/json.h"
#include "crypt.h"
#include "internal.h"

#include "base/poison.h"

enum {
	/* 32 MiB for 0.3 s; what a repository asks for is believed up to four times that. */
	SCRYPT_LOG_N = 15,
	SCRYPT_R = 8,
	SCRYPT_P = 3,
	SCRYPT_LOG_N_MAX = 17,
	SCRYPT_R_MAX = 8,
	SCRYPT_P_MAX = 16,
	DERIVED_MAX = 16,
};

struct derived {
	unsigned line;
	uint32_t log_n, r, p;
	uint8_t salt[KEY_SALT_BYTES];
	uint64_t id;
	uint8_t key[KEY_BYTES];
};

struct wrapper {
	enum wrap_method method;
	unsigned lines, deriveds;
	struct span line[WRAPPER_LINES_MAX];
	struct derived derived[DERIVED_MAX];
	char text[WRAPPER_TEXT_MAX + 1];
};

const char *wrap_method_name(enum wrap_method method)
{
	return method == WRAP_KEY ? "key" : "passphrase";
}

struct wrapper *wrapper_new(enum wrap_method method, struct err *err)
{
	struct wrapper *wrapper = secret_new(sizeof(*wrapper), err);

	if (wrapper)
		wrapper->method = method;
	return wrapper;
}

void wrapper_free(struct wrapper *wrapper)
{
	secret_free(wrapper, sizeof(*wrapper));
}

char *wrapper_room(struct wrapper *wrapper)
{
	return wrapper->text;
}

static bool line_add(struct wrapper *wrapper, const char *line, size_t length, const char *what,
                     struct err *err)
{
	size_t min = wrapper->method == WRAP_KEY ? WRAPPER_LINE_MIN : WRAPPER_PHRASE_MIN;

	if (length < min) {
		err_set(err, ERR_CONFIG, "the %s in %s is shorter than %zu characters",
		        wrap_method_name(wrapper->method), what, min);
		if (wrapper->method == WRAP_KEY)
			err_hint(err, "Make one with \"openssl rand -hex 32\".");
		return false;
	}
	if (wrapper->lines == WRAPPER_LINES_MAX)
		return err_set(err, ERR_CONFIG, "there are more than %d keys in %s",
		               WRAPPER_LINES_MAX, what);
	wrapper->line[wrapper->lines++] = (struct span){line, length};
	return true;
}

bool wrapper_filled(struct wrapper *wrapper, size_t length, const char *what, struct err *err)
{
	const char *at = wrapper->text, *end = wrapper->text + length;

	if (length > WRAPPER_TEXT_MAX)
		return err_set(err, ERR_CONFIG, "%s gives more than %d bytes: this is no key", what,
		               WRAPPER_TEXT_MAX);
	if (memchr(wrapper->text, '\0', length))
		return err_set(err, ERR_CONFIG, "%s gives bytes that are no text: a key is a line",
		               what);
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at)), *last;

		if (!stop)
			stop = end;
		for (last = stop; last > at && strchr(" \t\r", last[-1]); last--)
			;
		if (last > at && *at != '#' &&
		    !line_add(wrapper, at, (size_t)(last - at), what, err))
			return false;
		at = stop + 1;
	}
	if (wrapper->lines == 0)
		return err_set(err, ERR_CONFIG, "there is no key in %s", what);
	return true;
}

/* ---- what is derived from a line ---- */

static void derive(const struct wrapper *wrapper, const struct wrapped_key *how,
                   struct derived *ret)
{
	static const char own[] = "seawall wrapping key", name[] = "seawall wrapping key id";
	struct span line = wrapper->line[ret->line];
	uint8_t id[8];

	if (wrapper->method == WRAP_PASSPHRASE)
		scrypt_key(line, how, ret->key);
	else
		hkdf_sha256(line, (struct span){0}, (struct span){own, strlen(own)}, ret->key,
		            KEY_BYTES);
	hkdf_sha256((struct span){ret->key, KEY_BYTES}, (struct span){0},
	            (struct span){name, strlen(name)}, id, sizeof(id));
	ret->id = get_u64(id);
}

static bool derived_fits(const struct wrapper *wrapper, const struct derived *d,
                         const struct wrapped_key *how)
{
	return wrapper->method == WRAP_KEY ||
	       (d->log_n == how->log_n && d->r == how->r && d->p == how->p &&
	        memcmp(d->salt, how->salt, KEY_SALT_BYTES) == 0);
}

/* A line with the salt and the numbers of how; the oldest makes room. */
static const struct derived *derived_get(struct wrapper *wrapper, unsigned line,
                                         const struct wrapped_key *how)
{
	struct derived *d;

	for (unsigned i = 0; i < MIN(wrapper->deriveds, (unsigned)DERIVED_MAX); i++)
		if (wrapper->derived[i].line == line &&
		    derived_fits(wrapper, &wrapper->derived[i], how))
			return &wrapper->derived[i];
	d = &wrapper->derived[wrapper->deriveds++ % DERIVED_MAX];
	d->line = line;
	d->log_n = how->log_n;
	d->r = how->r;
	d->p = how->p;
	memcpy(d->salt, how->salt, KEY_SALT_BYTES);
	derive(wrapper, how, d);
	return d;
}

const uint8_t *wrapper_find(struct wrapper *wrapper, const struct wrapped_key *wrapped)
{
	if (wrapper->method != wrapped->method)
		return NULL;
	for (unsigned i = 0; i < wrapper->lines; i++) {
		const struct derived *d = derived_get(wrapper, i, wrapped);

		if (d->id == wrapped->wrapper)
			return d->key;
	}
	return NULL;
}

bool wrapper_opens(struct wrapper *wrapper, const struct wrapped_key *wrapped)
{
	return wrapper_find(wrapper, wrapped) != NULL;
}

bool wrapper_made(struct wrapper *wrapper, const struct wrapped_key *wrapped)
{
	return wrapper->method == wrapped->method &&
	       derived_get(wrapper, 0, wrapped)->id == wrapped->wrapper;
}

/* The numbers may be those of an object that anybody could write. */
static bool derived_strong(const struct derived *d)
{
	return d->log_n >= SCRYPT_LOG_N && d->r >= SCRYPT_R && d->p >= SCRYPT_P;
}

const uint8_t *wrapper_first(struct wrapper *wrapper, struct wrapped_key *ret)
{
	const struct derived *d = NULL;

	if (getrandom(ret->salt, sizeof(ret->salt), 0) != sizeof(ret->salt))
		abort();
	ret->method = wrapper->method;
	if (wrapper->method == WRAP_PASSPHRASE) {
		ret->log_n = SCRYPT_LOG_N;
		ret->r = SCRYPT_R;
		ret->p = SCRYPT_P;
		for (unsigned i = 0; i < MIN(wrapper->deriveds, (unsigned)DERIVED_MAX) && !d; i++)
			if (wrapper->derived[i].line == 0 && derived_strong(&wrapper->derived[i]))
				d = &wrapper->derived[i];
	}
	if (d) {
		ret->log_n = d->log_n;
		ret->r = d->r;
		ret->p = d->p;
		memcpy(ret->salt, d->salt, sizeof(ret->salt));
	}
	d = derived_get(wrapper, 0, ret);
	ret->wrapper = d->id;
	return d->key;
}

/* ---- JSON ---- */

static void set_hex(struct jval *object, const char *field, const void *bytes, size_t length)
{
	char text[2 * KEY_BYTES + 1];

	assert(length <= KEY_BYTES);
	str_hex_of(bytes, length, text);
	jset_str(object, field, text);
}

void wrapped_print(const struct wrapped_key *w, struct buf *out)
{
	struct jval *root = jobject_new(), *scrypt;
	char id[KEY_ID_BYTES];

	jset_int(root, "format", 1);
	key_id_text(w->id, id);
	jset_str(root, "id", id);
	jset_int(root, "number", w->number);
	jset_u64(root, "created", (uint64_t)w->created_us);
	jset_u64(root, "wrapped", (uint64_t)w->wrapped_us);
	jset_str(root, "method", wrap_method_name(w->method));
	key_id_text(w->wrapper, id);
	jset_str(root, "wrapping_key", id);
	if (w->method == WRAP_PASSPHRASE) {
		scrypt = jset_object(root, "scrypt");
		jset_int(scrypt, "log_n", w->log_n);
		jset_int(scrypt, "r", w->r);
		jset_int(scrypt, "p", w->p);
	}
	set_hex(root, "salt", w->salt, sizeof(w->salt));
	set_hex(root, "nonce", w->nonce, sizeof(w->nonce));
	set_hex(root, "sealed", w->sealed, sizeof(w->sealed));
	set_hex(root, "tag", w->tag, sizeof(w->tag));
	json_print(root, true, out);
	jval_free(root);
}

static bool get_hex(const struct jval *object, const char *field, void *bytes, size_t length,
                    struct err *err)
{
	const char *text;

	if (!jget_str(object, field, &text, err))
		return false;
	return str_hex_to(text, bytes, length) ||
	       err_set(err, ERR_DAMAGED, "field \"%s\" is not %zu bytes as hex digits", field,
	               length);
}

static bool get_id(const struct jval *object, const char *field, uint64_t *ret, struct err *err)
{
	const char *text;

	if (!jget_str(object, field, &text, err))
		return false;
	return key_id_parse(text, ret) ||
	       err_set(err, ERR_DAMAGED, "field \"%s\" is not the id of a key", field);
}

static bool get_scrypt(const struct jval *root, struct wrapped_key *ret, struct err *err)
{
	const struct jval *scrypt;

	if (!jget_object(root, "scrypt", &scrypt, err) ||
	    !jget_u32(scrypt, "log_n", &ret->log_n, err) || !jget_u32(scrypt, "r", &ret->r, err) ||
	    !jget_u32(scrypt, "p", &ret->p, err))
		return false;
	if (ret->log_n < 1 || ret->log_n > SCRYPT_LOG_N_MAX || ret->r < 1 ||
	    ret->r > SCRYPT_R_MAX || ret->p < 1 || ret->p > SCRYPT_P_MAX)
		return err_set(err, ERR_DAMAGED, "the numbers of \"scrypt\" are out of range");
	return true;
}

static bool get_method(const struct jval *root, struct wrapped_key *ret, struct err *err)
{
	const char *text;

	if (!jget_str(root, "method", &text, err))
		return false;
	for (int method = WRAP_KEY; method <= WRAP_PASSPHRASE; method++)
		if (strcmp(text, wrap_method_name((enum wrap_method)method)) == 0) {
			ret->method = (enum wrap_method)method;
			return method == WRAP_KEY || get_scrypt(root, ret, err);
		}
	return err_set(err, ERR_STORE, "it is wrapped by method \"%.40s\", which is unknown", text);
}

static bool wrapped_take(const struct jval *root, struct wrapped_key *ret, struct err *err)
{
	uint64_t created, wrapped;
	uint32_t format;

	if (!jget_u32(root, "format", &format, err))
		return false;
	if (format != 1)
		return err_set(err, ERR_STORE, "it has format %u, this program reads 1", format);
	if (!get_id(root, "id", &ret->id, err) || !jget_u32(root, "number", &ret->number, err) ||
	    !jget_u64(root, "created", &created, err) ||
	    !jget_u64(root, "wrapped", &wrapped, err) || !get_method(root, ret, err) ||
	    !get_id(root, "wrapping_key", &ret->wrapper, err))
		return false;
	if (created > INT64_MAX || wrapped > INT64_MAX)
		return err_set(err, ERR_DAMAGED, "a time is out of range");
	ret->created_us = (int64_t)created;
	ret->wrapped_us = (int64_t)wrapped;
	return get_hex(root, "salt", ret->salt, sizeof(ret->salt), err) &&
	       get_hex(root, "nonce", ret->nonce, sizeof(ret->nonce), err) &&
	       get_hex(root, "sealed", ret->sealed, sizeof(ret->sealed), err) &&
	       get_hex(root, "tag", ret->tag, sizeof(ret->tag), err);
}

bool wrapped_parse(const char *text, size_t length, struct wrapped_key *ret, struct err *err)
{
	struct jval *root;
	bool ok;

	*ret = (struct wrapped_key){0};
	if (!json_parse(text, length, &root, err))
		return false;
	ok = wrapped_take(root, ret, err);
	jval_free(root);
	return ok;
}
