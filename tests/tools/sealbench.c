/*
 * sealbench.c — how fast sealing is, beside the floor: the same compressor and one hash over the
 * same frames, written into memory. One core.
 *
 *	sealbench COMPRESSION FRAME_BYTES ROUNDS FILE…
 *
 * The files are read first, one after the other, cut into contents of 16 MiB. Each round runs
 * floor, seal and open in turn, and seal and open encrypted. Prints the medians in MB/s of content,
 * the ratio stored / content, and what part of an encrypted sealing's CPU time the encryption is.
 */
#include "base/str.h"
#include "codec/keys.h"
#include "codec/sealed.h"

#include <lz4.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/poison.h"

enum { ROUNDS_MAX = 99, BYTES_MAX = 256 * 1024 * 1024, EXIT_USAGE = 2 };

struct bench {
	struct compression how;
	uint32_t frame_bytes;
	uint8_t *content;
	size_t length;
	struct blocks_hold hold;
	uint8_t *object; /* the last one in one piece */
	size_t object_length;
	uint64_t stored;
	struct keyring *ring;
	const struct keyring *keys; /* of this run: ring, or NULL */
	uint8_t out[2 * SEALED_FRAME_BYTES_MAX];
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Into a buffer that grows as an object would, so that the memory written to is the same. */
static void floor_run(struct bench *b, ZSTD_CCtx *zstd)
{
	XXH3_state_t *state = XXH3_createState();

	XXH3_128bits_reset(state);
	b->stored = 0;
	for (size_t at = 0, to = 0; at < b->length; at += b->frame_bytes) {
		size_t length = MIN((size_t)b->frame_bytes, b->length - at), made = 0;
		uint8_t *out = b->object + to;

		XXH3_128bits_update(state, b->content + at, length);
		if (b->how.kind == SEALED_LZ4)
			made = (size_t)LZ4_compress_default((char *)b->content + at, (char *)out,
			                                    (int)length,
			                                    LZ4_compressBound((int)length));
		else if (b->how.kind == SEALED_ZSTD)
			made = ZSTD_compressCCtx(zstd, out, ZSTD_compressBound(length),
			                         b->content + at, length, b->how.level);
		else
			memcpy(out, b->content + at, made = length);
		b->stored += made;
		to += made;
		if (to > SEALED_FRAMES_BYTES_MAX - b->frame_bytes)
			to = 0;
	}
	XXH3_freeState(state);
}

static void seal_run(struct bench *b, bool keep)
{
	struct sealed_spec spec = {.kind = SEALED_PACK,
	                           .compression = b->how,
	                           .frame_bytes = b->frame_bytes,
	                           .name = "bench",
	                           .keys = b->keys};
	struct err err = {0};

	b->stored = 0;
	for (size_t at = 0; at < b->length; at += SEALED_FRAMES_BYTES_MAX) {
		size_t length = MIN((size_t)SEALED_FRAMES_BYTES_MAX, b->length - at);
		struct sealer *sealer = sealer_new(&spec, &b->hold, NULL);
		struct iovec piece[1 + BLOCKS_SEAL];

		if (!sealer_add(sealer, b->content + at, length, &err) || !sealer_end(sealer, &err))
			abort();
		b->stored += sealer_stored_bytes(sealer);
		if (keep) {
			unsigned count = sealer_pieces(sealer, piece);

			b->object_length = 0;
			for (unsigned i = 0; i < count; i++) {
				memcpy(b->object + b->object_length, piece[i].iov_base,
				       piece[i].iov_len);
				b->object_length += piece[i].iov_len;
			}
		}
		sealer_free(sealer);
	}
}

/* Opens the last object again and again: as many bytes as were sealed. */
static void open_run(struct bench *b)
{
	struct sealed_want want = {.name = "bench", .keys = b->keys};
	struct err err = {0};

	for (size_t at = 0; at < b->length; at += SEALED_FRAMES_BYTES_MAX) {
		struct sealed sealed;

		if (!sealed_open(b->object, b->object_length, &want, &sealed, &err))
			abort();
		for (uint32_t i = 0; i < sealed.frames; i++)
			if (!sealed_frame_open(&sealed, i, b->object + sealed.frame[i].offset,
			                       b->out, &err))
				abort();
		sealed_release(&sealed);
	}
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return left < right ? -1 : left > right;
}

static double median_mb_s(double *times, size_t count, size_t bytes)
{
	qsort(times, count, sizeof(*times), compare);
	return (double)bytes / 1e6 / times[count / 2];
}

enum { FLOOR, SEAL, OPEN, SEAL_KEY, OPEN_KEY, TIMES };

static void seal_and_open(struct bench *b, double *ret_seal_s, double *ret_open_s)
{
	double at = seconds();

	seal_run(b, false);
	*ret_seal_s = seconds() - at;
	seal_run(b, true);
	at = seconds();
	open_run(b);
	*ret_open_s = seconds() - at;
}

static void bench_run(struct bench *b, size_t rounds)
{
	static double times[TIMES][ROUNDS_MAX];
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	double mb_s[TIMES];
	char how[16];

	for (size_t i = 0; i < rounds; i++) {
		double at = seconds();

		floor_run(b, zstd);
		times[FLOOR][i] = seconds() - at;
		b->keys = NULL;
		seal_and_open(b, &times[SEAL][i], &times[OPEN][i]);
		b->keys = b->ring;
		seal_and_open(b, &times[SEAL_KEY][i], &times[OPEN_KEY][i]);
	}
	compression_text(&b->how, how);
	for (int i = 0; i < TIMES; i++)
		mb_s[i] = median_mb_s(times[i], rounds, b->length);
	printf("%-8s %7u  stored %.4f  floor %7.1f MB/s  seal %7.1f MB/s (%.3f of floor)  open "
	       "%7.1f MB/s\n",
	       how, b->frame_bytes, (double)b->stored / (double)b->length, mb_s[FLOOR], mb_s[SEAL],
	       mb_s[SEAL] / mb_s[FLOOR], mb_s[OPEN]);
	printf("%-8s %7u  encrypted: seal %7.1f MB/s (%.1f %% of its time)  open %7.1f MB/s (%.1f "
	       "%%)\n",
	       how, b->frame_bytes, mb_s[SEAL_KEY], 100 * (1 - mb_s[SEAL_KEY] / mb_s[SEAL]),
	       mb_s[OPEN_KEY], 100 * (1 - mb_s[OPEN_KEY] / mb_s[OPEN]));
	ZSTD_freeCCtx(zstd);
}

int main(int argc, char **argv)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	uint32_t rounds = 0;
	struct err err = {0};
	unsigned key;

	if (argc < 5 || !compression_parse(argv[1], &b->how) ||
	    !str_u32(argv[2], &b->frame_bytes) || b->frame_bytes < SEALED_FRAME_BYTES_MIN ||
	    b->frame_bytes > SEALED_FRAME_BYTES_MAX || !str_u32(argv[3], &rounds) || rounds < 1 ||
	    rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: sealbench COMPRESSION FRAME_BYTES ROUNDS FILE...\n");
		return EXIT_USAGE;
	}
	b->content = xmalloc(BYTES_MAX);
	b->object = xmalloc(SEALED_OBJECT_BYTES_MAX + SEALED_FRAME_BYTES_MAX);
	while (b->hold.count < BLOCKS_SEAL)
		b->hold.block[b->hold.count++] = xmalloc(BLOCK_BYTES);
	for (int i = 4; i < argc; i++) {
		FILE *file = fopen(argv[i], "rb");

		if (!file)
			continue;
		b->length += fread(b->content + b->length, 1, BYTES_MAX - b->length, file);
		fclose(file);
	}
	if (b->length == 0)
		return EXIT_USAGE;
	b->ring = keyring_new("00112233445566778899aabbccddeeff", &err);
	if (!b->ring || !keyring_make(b->ring, 1, &key, &err))
		abort();
	bench_run(b, rounds);
	keyring_free(b->ring);
	while (b->hold.count > 0)
		free(b->hold.block[--b->hold.count]);
	free(b->object);
	free(b->content);
	free(b);
	codec_thread_end();
	return 0;
}
