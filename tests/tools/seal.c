/*
 * seal.c — seals standard input as an object of a directory, for tests of readers.
 *
 *	seal ROOT NAME COMPRESSION FRAME_BYTES < content
 *
 * The file is ROOT/NAME, whose folder must be there; the sealed name is NAME without its first
 * component. Content beyond one object becomes parts beside it. Prints the digest. It does not use
 * the program's own way to write objects (repo), only codec.
 */
#include "base/clock.h"
#include "base/str.h"
#include "codec/sealed.h"

#include <stdio.h>
#include <string.h>

#include "base/poison.h"

enum { EXIT_USAGE = 2, EXIT_FAILED = 1, ATTEMPT = 0x5ea };

static struct blocks_hold *hold_new(void)
{
	struct blocks_hold *hold = xcalloc(1, sizeof(*hold));

	while (hold->count < BLOCKS_SEAL)
		hold->block[hold->count++] = xmalloc(BLOCK_BYTES);
	return hold;
}

static void hold_free(struct blocks_hold *hold)
{
	while (hold->count > 0)
		free(hold->block[--hold->count]);
	free(hold);
}

static bool object_save(const struct sealer *sealer, const char *root, const char *name,
                        struct err *err)
{
	struct iovec piece[1 + BLOCKS_SEAL];
	unsigned count = sealer_pieces(sealer, piece);
	AUTO_FREE
	char *path = xasprintf("%s/%s", root, name);
	FILE *file = fopen(path, "wb");
	bool ok = file != NULL;

	for (unsigned i = 0; ok && i < count; i++)
		ok = fwrite(piece[i].iov_base, 1, piece[i].iov_len, file) == piece[i].iov_len;
	if (file && fclose(file) != 0)
		ok = false;
	return ok || err_sys(err, "could not write file \"%s\"", path);
}

struct job {
	const char *root, *name; /* name: in the directory, with the first component */
	struct sealed_spec spec;
	struct blocks_hold *hold;
	struct digester *whole; /* of the parts */
};

/* One object full of standard input, which may end before. */
static struct sealer *object_fill(struct job *job, const struct digester *whole, struct err *err)
{
	struct sealer *sealer = sealer_new(&job->spec, job->hold, whole);
	size_t room, got;

	while (true) {
		uint8_t *to = sealer_room(sealer, &room);

		got = room ? fread(to, 1, room, stdin) : 0;
		if (got == 0)
			break;
		if (job->spec.kind == SEALED_PART)
			digester_add(job->whole, to, got);
		if (!sealer_filled(sealer, got, err))
			break;
	}
	if (!err_is(err) && sealer_end(sealer, err))
		return sealer;
	sealer_free(sealer);
	return NULL;
}

static bool part_write(struct job *job, const struct sealed_spec *head, struct err *err)
{
	char file_name[SEALED_NAME_MAX], sealed_name[SEALED_NAME_MAX];
	struct sealer *sealer;
	bool ok;

	sealed_part_name(job->name, ATTEMPT, head->parts, file_name);
	sealed_part_name(head->name, ATTEMPT, head->parts, sealed_name);
	job->spec = *head;
	job->spec.kind = SEALED_PART;
	job->spec.name = sealed_name;
	job->spec.attempt = 0;
	job->spec.parts = 0;
	job->spec.parts_bytes = 0;
	sealer = object_fill(job, NULL, err);
	ok = sealer && object_save(sealer, job->root, file_name, err);
	sealer_free(sealer);
	return ok;
}

/* Is there more on standard input? */
static bool input_more(void)
{
	int c = getc(stdin);

	return c != EOF && ungetc(c, stdin) == c;
}

/* Full objects are parts, as long as something follows them; the rest lies in the head. */
static bool seal(struct job *job, struct err *err)
{
	struct sealed_spec head = job->spec;
	struct sealer *sealer = object_fill(job, NULL, err);
	char text[2 * SEALED_DIGEST_BYTES + 1];
	bool ok = sealer != NULL;

	if (ok && input_more()) {
		sealer_free(sealer);
		sealer = NULL;
		if (fseek(stdin, 0, SEEK_SET) != 0)
			return err_sys(err, "content with parts must come from a file");
		head.attempt = ATTEMPT;
		while (ok && input_more()) {
			head.parts++;
			ok = part_write(job, &head, err);
		}
		head.parts_bytes = (uint64_t)ftell(stdin);
		job->spec = head;
		sealer = ok ? object_fill(job, job->whole, err) : NULL;
		ok = sealer != NULL;
	}
	ok = ok && object_save(sealer, job->root, job->name, err);
	if (ok) {
		digest_text(sealer_digest(sealer), text);
		puts(text);
	}
	sealer_free(sealer);
	return ok;
}

int main(int argc, char **argv)
{
	struct job job = {.spec.kind = SEALED_WAL, .spec.created_us = clock_now_us()};
	struct err err = {0};
	const char *slash = argc == 5 ? strchr(argv[2], '/') : NULL;
	bool ok;

	if (!slash || !compression_parse(argv[3], &job.spec.compression) ||
	    !str_u32(argv[4], &job.spec.frame_bytes) ||
	    job.spec.frame_bytes < SEALED_FRAME_BYTES_MIN ||
	    job.spec.frame_bytes > SEALED_FRAME_BYTES_MAX) {
		fprintf(stderr, "usage: seal ROOT FOLDER/NAME COMPRESSION FRAME_BYTES < content\n");
		return EXIT_USAGE;
	}
	job.root = argv[1];
	job.name = argv[2];
	job.spec.name = slash + 1;
	job.hold = hold_new();
	job.whole = digester_new();
	ok = seal(&job, &err);
	if (!ok)
		fprintf(stderr, "seal: %s\n", err.text);
	digester_free(job.whole);
	hold_free(job.hold);
	codec_thread_end();
	return ok ? 0 : EXIT_FAILED;
}
