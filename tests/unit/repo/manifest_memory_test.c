/*
 * A manifest of a million files is written and read with 32 MB for blocks, and the process's peak
 * proves that nothing of it was kept. (The library for tests and the sanitizers have memory of
 * their own: under ASan and TSan only the content is looked at, with fewer files.)
 */
#include "store/place.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/file.h"
#include "pg/crc32c.h"
#include "repo/manifest.h"
#include "repo/object.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { FILES = 20000, PEAK_IS_OURS = false };
#else
enum { FILES = 1000000, PEAK_IS_OURS = true };
#endif

enum {
	MEMORY_BYTES = 32 * 1024 * 1024,
	PEAK_BYTES_MAX = MEMORY_BYTES,
	FILES_PER_FOLDER = 1000,
	NAME_LENGTH = 64,
};
#define NAME "main/1-15-1/backup/20261120T140200Z-00af"

/* File i of the generated cluster; extent must have room for one. */
static struct manifest_entry entry_of(unsigned i, char path[NAME_LENGTH], struct extent *extent)
{
	snprintf(path, NAME_LENGTH, "base/%06u/%06u", i / FILES_PER_FOLDER, i % FILES_PER_FOLDER);
	*extent = (struct extent){.length = 8192 + i, .pack = 1 + i / 100, .pack_offset = i % 100};
	return (struct manifest_entry){
	        .kind = MANIFEST_FILE,
	        .path = path,
	        .size_bytes = 8192 + i,
	        .mode = 0600,
	        .modified_us = INT64_C(1700000000000000) + i,
	        .crc32c = i * 2654435761U,
	        .extent = extent,
	        .extents = 1,
	};
}

static void encode_file(unsigned i, struct buf *out)
{
	char path[NAME_LENGTH], folder[NAME_LENGTH];
	struct extent extent;
	struct manifest_entry entry = entry_of(i, path, &extent);

	if (i % FILES_PER_FOLDER == 0) {
		snprintf(folder, sizeof(folder), "base/%06u", i / FILES_PER_FOLDER);
		manifest_entry_encode(&(struct manifest_entry){.kind = MANIFEST_FOLDER,
		                                               .path = folder,
		                                               .mode = 0700},
		                      out);
	}
	manifest_entry_encode(&entry, out);
}

static void add(struct loop *loop, struct object_builder *builder, struct buf *body)
{
	struct object_builder_add op = {
	        .builder = builder, .bytes = body->data, .length = body->length};

	assert_true(RUN(loop, object_builder_add_start, &op));
	buf_clear(body);
}

static void write_manifest(struct loop *loop, struct repo *repo)
{
	struct object_builder *builder =
	        object_builder_new(repo, NAME, SEALED_MANIFEST,
	                           &(struct compression){.kind = SEALED_LZ4}, GATE_BACKUP);
	struct object_builder_end end = {.builder = builder, .bytes = "{}", .length = 2};
	struct buf body;

	buf_init(&body, OBJECT_STREAM_ADD_MAX);
	manifest_entry_encode(
	        &(struct manifest_entry){.kind = MANIFEST_FOLDER, .path = "base", .mode = 0700},
	        &body);
	for (unsigned i = 0; i < FILES; i++) {
		encode_file(i, &body);
		if (body.length > OBJECT_STREAM_ADD_MAX / 2)
			add(loop, builder, &body);
	}
	assert_false(body.overflow);
	add(loop, builder, &body);
	assert_true(RUN(loop, object_builder_end_start, &end));
	object_builder_free(builder);
	buf_release(&body);
}

struct reading {
	struct manifest_reader *reader;
	unsigned files, folders;
};

static bool read_entry(void *context, const struct manifest_entry *entry, struct err *err)
{
	struct reading *reading = context;
	char path[NAME_LENGTH];
	struct extent extent;
	struct manifest_entry expected = entry_of(reading->files, path, &extent);

	if (entry->kind == MANIFEST_FOLDER) {
		reading->folders++;
		return true;
	}
	if (strcmp(entry->path, path) != 0 || entry->crc32c != expected.crc32c ||
	    entry->extents != 1 || entry->extent[0].pack != extent.pack ||
	    entry->extent[0].length != extent.length)
		return err_set(err, ERR_DAMAGED, "file %u is another", reading->files);
	reading->files++;
	return true;
}

static bool read_piece(struct object_stream *stream, uint64_t offset, const uint8_t *bytes,
                       size_t length, struct err *err)
{
	struct reading *reading = stream->context;

	(void)offset;
	return manifest_reader_feed(reading->reader, bytes, length, err);
}

static void read_manifest(struct loop *loop, struct repo *repo)
{
	struct reading reading = {0};
	struct object_stream stream = {.repo = repo,
	                               .name = NAME,
	                               .kind = SEALED_MANIFEST,
	                               .class = GATE_BACKUP,
	                               .parts_only = true,
	                               .consume = read_piece,
	                               .context = &reading};
	struct err err = {0};

	reading.reader = manifest_reader_new(read_entry, &reading);
	if (!RUN(loop, object_stream_start, &stream))
		fail_msg("%s", stream.op.err.text);
	assert_true(manifest_reader_end(reading.reader, &err));
	assert_int_equal(reading.files, FILES);
	assert_int_equal(reading.folders, 1 + FILES / FILES_PER_FOLDER);
	manifest_reader_free(reading.reader);
}

static void a_million_files_pass_through_bounded_memory(void **state)
{
	struct loop *loop =
	        loop_new(&(struct loop_options){.workers = 2, .worker_end = codec_thread_end});
	struct blocks *blocks = blocks_new(loop, MEMORY_BYTES);
	char folder[] = "/tmp/seawall-manifest.XXXXXX", url[64];
	struct store *store;
	struct repo *repo;
	struct rusage usage;
	struct err err = {0};

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(url, sizeof(url), "file://%s/repository", folder);
	if (!store_open(loop, &(struct store_options){.url = url, .label = "r", .create = true},
	                &store, &err))
		fail_msg("%s", err.text);
	repo = repo_new(store, blocks);
	write_manifest(loop, repo);
	read_manifest(loop, repo);
	assert_int_equal(blocks_taken(blocks), 0);
	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	print_message("peak %ld MiB with %d files\n", usage.ru_maxrss / 1024, FILES);
	if (PEAK_IS_OURS)
		assert_true(usage.ru_maxrss * INT64_C(1024) < PEAK_BYTES_MAX);
	repo_free(repo);
	blocks_free(blocks);
	loop_free(loop);
	assert_true(file_remove_tree(folder, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_million_files_pass_through_bounded_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
