/*
 * wal_list.c — `seawall wal list`: the WAL in the repository, as runs without a hole.
 *
 * What is marked as damaged (repo/harm.h) is in no run. As everywhere a mark is only a hint: the
 * segment is read once more, unless there are very many.
 */
#include "base/units.h"
#include "repo/catalog.h"
#include "repo/lost.h"
#include "shown.h"
#include "story.h"
#include "table.h"
#include "base/poison.h"

enum { LIST_BYTES_MAX = 16 * 1024 * 1024, PROOFS_MAX = 100 };

struct listing {
	struct archive archive;
	struct catalog catalog;
	struct catalog_load load;
	uint64_t segments; /* that are there, good and bad */
	struct lost lost;
	struct harm harm;
	struct lost_load marks;
	struct harm_look look;
};

static void start_listing(struct op *parent, void *context)
{
	struct listing *listing = context;

	catalog_load_start(parent, &listing->load);
}

static void start_marks(struct op *parent, void *context)
{
	struct listing *listing = context;

	lost_load_start(parent, &listing->marks);
}

static void start_look(struct op *parent, void *context)
{
	struct listing *listing = context;

	harm_look_start(parent, &listing->look);
}

static bool read_wal(struct listing *listing, struct err *err)
{
	struct archive *archive = &listing->archive;
	const char *generation = archive->generation.generation;
	uint32_t segment_bytes = archive->generation.facts.segment_bytes;

	listing->load = (struct catalog_load){.repo = archive->repo,
	                                      .generation = generation,
	                                      .segment_bytes = segment_bytes,
	                                      .what = CATALOG_HISTORIES | CATALOG_WAL,
	                                      .class = GATE_VERIFY,
	                                      .ret = &listing->catalog};
	listing->marks = (struct lost_load){.repo = archive->repo,
	                                    .generation = generation,
	                                    .segment_bytes = segment_bytes,
	                                    .ret = &listing->lost,
	                                    .harm = &listing->harm};
	listing->look = (struct harm_look){.repo = archive->repo,
	                                   .generation = generation,
	                                   .segment_bytes = segment_bytes,
	                                   .class = GATE_VERIFY,
	                                   .max = PROOFS_MAX,
	                                   .harm = &listing->harm};
	return story_run(&archive->runtime, start_listing, &listing->load.op, listing, err) &&
	       story_run(&archive->runtime, start_marks, &listing->marks.op, listing, err) &&
	       story_run(&archive->runtime, start_look, &listing->look.op, listing, err);
}

/* Out of the runs; what has gone meanwhile is no more than a hole. */
static void take_harm(struct listing *listing)
{
	struct catalog *catalog = &listing->catalog;

	listing->segments = catalog->segments;
	for (size_t i = 0; i < listing->harm.count; i++) {
		const struct name_harm *name = &listing->harm.mark[i].name;

		if (name->word == HARM_GOOD || !catalog_has(catalog, name->tli, name->segno))
			continue;
		catalog_remove_segments(catalog, name->tli, name->segno, name->segno);
		catalog_add_harm(catalog,
		                 &(struct catalog_harm){.tli = name->tli,
		                                        .segno = name->segno,
		                                        .accepted = name->word == HARM_ACCEPTED});
	}
}

/* What comes behind a run. */
static const char *behind(const struct catalog *catalog, const struct catalog_timeline *timeline,
                          size_t run)
{
	if (catalog_harm_at(catalog, timeline->tli, timeline->run[run].last + 1))
		return "then a DAMAGED one";
	return run + 1 < timeline->runs ? "then a HOLE" : "";
}

static void harm_text(const struct catalog *catalog, struct buf *out)
{
	char name[SEGMENT_NAME_BYTES];

	for (size_t i = 0; i < catalog->harms; i++) {
		const struct catalog_harm *harm = &catalog->harm[i];

		segment_name(harm->tli, harm->segno, catalog->segment_bytes, name);
		buf_addf(out, "%s is there and DAMAGED%s\n", name,
		         harm->accepted ? ", as it was archived with --accept-damaged" : "");
	}
}

static void harm_json(const struct catalog *catalog, struct jval *root)
{
	struct jval *list = jset_array(root, "damaged");
	char name[SEGMENT_NAME_BYTES];

	for (size_t i = 0; i < catalog->harms; i++) {
		struct jval *item = jadd_object(list);

		segment_name(catalog->harm[i].tli, catalog->harm[i].segno, catalog->segment_bytes,
		             name);
		jset_str(item, "segment", name);
		jset_bool(item, "accepted", catalog->harm[i].accepted);
	}
}

static void list_text(const struct listing *listing, struct buf *out)
{
	const struct catalog *catalog = &listing->catalog;
	static const char *const titles[] = {"TIMELINE", "FIRST", "LAST", "SEGMENTS", ""};
	char name[SEGMENT_NAME_BYTES], size[UNITS_TEXT_BYTES];
	struct table table;

	table_init(&table, ARRAY_LENGTH(titles), titles, 1u << 0 | 1u << 3);
	for (size_t t = 0; t < catalog->timelines; t++) {
		const struct catalog_timeline *timeline = &catalog->timeline[t];

		for (size_t r = 0; r < timeline->runs; r++) {
			const struct catalog_run *run = &timeline->run[r];

			table_addf(&table, "%u", timeline->tli);
			segment_name(timeline->tli, run->first, catalog->segment_bytes, name);
			table_add(&table, name);
			segment_name(timeline->tli, run->last, catalog->segment_bytes, name);
			table_add(&table, name);
			table_addf(&table, "%llu",
			           (unsigned long long)(run->last - run->first + 1));
			table_add(&table, behind(catalog, timeline, r));
		}
	}
	if (!table.cells && !catalog->harms)
		buf_addstr(out, "There is no WAL yet.\n");
	else if (table.cells)
		table_print(&table, 0, out);
	table_release(&table);
	harm_text(catalog, out);
	for (size_t t = 0; t < catalog->timelines; t++)
		if (catalog->timeline[t].history_archived)
			buf_addf(out, "%08X.history\n", catalog->timeline[t].tli);
	for (size_t i = 0; i < catalog->files; i++) {
		char file[WALNAME_BYTES];

		walname_format(&catalog->file[i].name, file);
		buf_addf(out, "%s%s%s\n", file, *catalog->file[i].digest ? " " : "",
		         catalog->file[i].digest);
	}
	units_size(catalog->segment_stored_bytes, size);
	buf_addf(out, "%llu segments, %s stored\n", (unsigned long long)listing->segments, size);
}

static void list_json(const struct listing *listing, struct buf *out)
{
	const struct catalog *catalog = &listing->catalog;
	struct jval *root = jobject_new(), *timelines, *files;
	char name[SEGMENT_NAME_BYTES], file[WALNAME_BYTES];

	jset_int(root, "version", 1);
	jset_str(root, "cluster", listing->archive.site->cluster);
	jset_u64(root, "segments", listing->segments);
	jset_u64(root, "stored_bytes", catalog->segment_stored_bytes);
	timelines = jset_array(root, "timelines");
	for (size_t t = 0; t < catalog->timelines; t++) {
		const struct catalog_timeline *timeline = &catalog->timeline[t];
		struct jval *item = jadd_object(timelines), *runs;

		jset_int(item, "timeline", timeline->tli);
		jset_bool(item, "history", timeline->history_archived);
		runs = jset_array(item, "runs");
		for (size_t r = 0; r < timeline->runs; r++) {
			struct jval *run = jadd_object(runs);

			segment_name(timeline->tli, timeline->run[r].first, catalog->segment_bytes,
			             name);
			jset_str(run, "first", name);
			segment_name(timeline->tli, timeline->run[r].last, catalog->segment_bytes,
			             name);
			jset_str(run, "last", name);
		}
	}
	harm_json(catalog, root);
	files = jset_array(root, "files");
	for (size_t i = 0; i < catalog->files; i++) {
		walname_format(&catalog->file[i].name, file);
		jadd_str(files, file);
	}
	json_print(root, true, out);
	jval_free(root);
}

static bool wal_list_run(struct cli *cli, struct err *err)
{
	struct listing *listing = xcalloc(1, sizeof(*listing));
	struct archive *archive = &listing->archive;
	AUTO_BUF struct buf out = {0};
	bool done = archive_open(cli, argument_at(cli->arguments, 0), archive, err);

	buf_init(&out, LIST_BYTES_MAX);
	done = done && read_wal(listing, err);
	if (done) {
		take_harm(listing);
		if (cli->json)
			list_json(listing, &out);
		else
			list_text(listing, &out);
		done = print(buf_text(&out), err);
	}
	harm_release(&listing->harm);
	lost_release(&listing->lost);
	catalog_release(&listing->catalog);
	archive_close(archive);
	free(listing);
	return done;
}

const struct command command_wal_list = {
        .name = "wal list",
        .usage = "[CLUSTER]",
        .help = "show the WAL in the repository, and its holes",
        .about = "Shows which segments of each timeline are in the repository, as runs without a "
                 "hole, and "
                 "the history,\nbackup and partial files. It reads listings, and once more what is "
                 "known to be damaged.",
        .example = "seawall wal list main",
        .arguments_max = 1,
        .user = USER_OWNER,
        .run = wal_list_run,
};
