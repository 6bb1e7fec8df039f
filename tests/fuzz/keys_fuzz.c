/*
 * keys_fuzz.c — wrapped data keys as they lie in a repository, and the text of a wrapping key.
 *
 * Both come from outside. What is read is printed and read again; it never opens with a key that
 * did not make it.
 */
#include "codec/keys.h"
#include "fuzz/fuzz.h"
#include <assert.h>
#include <string.h>

static const char repository[] = "00112233445566778899aabbccddeeff";
static const char line[] = "0123456789abcdef0123456789abcdef";

static void wrapped_check(const char *text, size_t length)
{
	struct wrapped_key wrapped, again;
	struct err err = {0};
	struct keyring *ring;
	struct wrapper *wrapper;
	struct buf printed;

	if (!wrapped_parse(text, length, &wrapped, &err)) {
		assert(err.code == ERR_DAMAGED || err.code == ERR_STORE);
		return;
	}
	buf_init(&printed, WRAPPED_TEXT_MAX);
	wrapped_print(&wrapped, &printed);
	assert(wrapped_parse(buf_text(&printed), printed.length, &again, &err));
	assert(again.id == wrapped.id && again.number == wrapped.number);
	assert(memcmp(again.sealed, wrapped.sealed, sizeof(again.sealed)) == 0);
	buf_release(&printed);
	if (wrapped.method == WRAP_PASSPHRASE) /* scrypt takes too long here */
		return;
	ring = keyring_new(repository, &err);
	wrapper = wrapper_new(WRAP_KEY, &err);
	assert(ring && wrapper);
	memcpy(wrapper_room(wrapper), line, strlen(line));
	assert(wrapper_filled(wrapper, strlen(line), "fuzz", &err));
	assert(keyring_unwrap(ring, &wrapped, wrapper) != UNWRAP_OPENED);
	assert(keyring_opened(ring) == 0);
	wrapper_free(wrapper);
	keyring_free(ring);
}

static void wrapper_check(const uint8_t *data, size_t length)
{
	struct err err = {0};
	struct wrapper *wrapper = wrapper_new(WRAP_PASSPHRASE, &err);
	size_t fits = length > WRAPPER_TEXT_MAX ? WRAPPER_TEXT_MAX + 1 : length;

	assert(wrapper);
	if (fits)
		memcpy(wrapper_room(wrapper), data, fits);
	if (!wrapper_filled(wrapper, fits, "fuzz", &err))
		assert(err.code == ERR_CONFIG);
	wrapper_free(wrapper);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	char *text = xmalloc(length + 1);

	if (length)
		memcpy(text, data, length);
	text[length] = '\0';
	wrapped_check(text, length);
	wrapper_check(data, length);
	free(text);
	return 0;
}
