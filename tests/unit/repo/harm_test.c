/* harm_test.c — marks of damaged WAL: what counts, what a segment really is, and when a mark is
 * outdated. */
#include "unit/repo/place.h"

#include <string.h>

#include "repo/holdings.h"
#include "unit/pg/walcraft.h"

#define GENERATION "main/7-15-1"
enum { FIRST = 5, SEGMENTS = 3 };

static void start_of(struct name_harm *name, uint32_t n, enum harm_word word)
{
	*name = (struct name_harm){.tli = 1, .segno = FIRST + 1, .n = n, .word = word};
}

static void the_later_mark_counts_and_of_two_at_once_the_worse(void **state)
{
	struct harm harm = {0};
	struct repo *const here = (struct repo *)&harm, *const there = NULL;
	struct name_harm name;

	(void)state;
	start_of(&name, 2, HARM_GOOD);
	harm_take(&harm, here, &name);
	start_of(&name, 1, HARM_DAMAGED);
	harm_take(&harm, here, &name);
	assert_null(harm_at(&harm, here, 1, FIRST + 1));
	start_of(&name, 2, HARM_DAMAGED);
	harm_take(&harm, here, &name);
	start_of(&name, 2, HARM_GOOD);
	harm_take(&harm, here, &name);
	assert_non_null(harm_at(&harm, here, 1, FIRST + 1));
	assert_null(harm_at(&harm, there, 1, FIRST + 1)); /* another one's copy */
	assert_null(harm_at(&harm, here, 2, FIRST + 1));
	assert_null(harm_at(NULL, here, 1, FIRST + 1));
	start_of(&name, 3, HARM_GOOD);
	harm_take(&harm, here, &name);
	assert_null(harm_at(&harm, here, 1, FIRST + 1));
	harm_found(&harm, here, 1, FIRST + 1);
	assert_non_null(harm_at(&harm, here, 1, FIRST + 1));
	assert_int_equal(harm.count, 1);
	harm_release(&harm);
}

static void only_what_is_news_gets_a_mark(void **state)
{
	static const struct {
		enum harm_word known, said;
		bool news;
	} each[] = {
	        {HARM_GOOD, HARM_GOOD, false},         {HARM_GOOD, HARM_DAMAGED, true},
	        {HARM_GOOD, HARM_ACCEPTED, true},      {HARM_DAMAGED, HARM_GOOD, true},
	        {HARM_DAMAGED, HARM_DAMAGED, false},   {HARM_DAMAGED, HARM_ACCEPTED, true},
	        {HARM_ACCEPTED, HARM_GOOD, true},      {HARM_ACCEPTED, HARM_DAMAGED, false},
	        {HARM_ACCEPTED, HARM_ACCEPTED, false},
	};
	struct name_harm known, next = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(each); i++) {
		start_of(&known, 7, each[i].known);
		assert_int_equal(harm_next(&known, each[i].said, &next), each[i].news);
		if (each[i].news)
			assert_true(next.n == 8 && next.word == each[i].said);
	}
	assert_false(harm_next(NULL, HARM_GOOD, &next));
	assert_true(harm_next(NULL, HARM_DAMAGED, &next));
	assert_int_equal(next.n, 1);
	start_of(&known, UINT32_MAX, HARM_GOOD);
	assert_false(harm_next(&known, HARM_DAMAGED, &next));
}

static void a_copy_elsewhere_is_no_harm_to_a_catalogue(void **state)
{
	struct catalog catalog = {.segment_bytes = CRAFT_SEGMENT_BYTES};
	struct harm harm = {0};
	struct name_harm name;

	(void)state;
	catalog_add_segment(&catalog, 1, FIRST + 1);
	start_of(&name, 1, HARM_ACCEPTED);
	harm_take(&harm, NULL, &name);
	name.segno++;
	harm_take(&harm, NULL, &name);
	harm_into_catalog(&harm, &catalog);
	assert_int_equal(catalog.harms, 1);
	assert_null(catalog_harm_at(&catalog, 1, FIRST + 1));
	assert_true(catalog_harm_at(&catalog, 1, FIRST + 2)->accepted);
	harm_release(&harm);
	harm_into_catalog(&harm, &catalog);
	assert_int_equal(catalog.harms, 0);
	catalog_release(&catalog);
}

/* ---- in a repository ---- */

static void object_of(uint64_t segno, char out[NAME_BYTES])
{
	char text[SEGMENT_NAME_BYTES];
	struct walname name;

	segment_name(1, segno, CRAFT_SEGMENT_BYTES, text);
	assert_true(walname_parse(text, &name));
	name_wal(out, GENERATION, &name, NULL);
}

static void put(struct fixture *f, struct craft *craft, unsigned i)
{
	char object[NAME_BYTES];
	struct object_write write = {.repo = f->repo,
	                             .name = object,
	                             .kind = SEALED_WAL,
	                             .class = GATE_WAL,
	                             .bytes = craft_segment(craft, i),
	                             .length = CRAFT_SEGMENT_BYTES};

	object_of(FIRST + i, object);
	assert_true(RUN(f->loop, object_write_start, &write));
}

static void take_away(struct fixture *f, unsigned i)
{
	char object[NAME_BYTES];
	const char *names[] = {object};
	struct store_remove remove = {.store = f->store, .name = names, .names = 1};

	object_of(FIRST + i, object);
	assert_true(RUN(f->loop, store_remove_start, &remove));
}

static enum err_code proof(struct fixture *f, unsigned i, bool alone)
{
	struct harm_proof proof = {.repo = f->repo,
	                           .generation = GENERATION,
	                           .segment_bytes = CRAFT_SEGMENT_BYTES,
	                           .tli = 1,
	                           .segno = FIRST + i,
	                           .class = GATE_VERIFY};

	if (!RUN(f->loop, harm_proof_start, &proof))
		return proof.op.err.code;
	assert_int_equal(proof.alone, alone);
	return ERR_NONE;
}

static void say(struct fixture *f, unsigned i, enum harm_word word)
{
	struct harm_write write = {.repo = f->repo,
	                           .generation = GENERATION,
	                           .segment_bytes = CRAFT_SEGMENT_BYTES,
	                           .tli = 1,
	                           .segno = FIRST + i,
	                           .word = word,
	                           .why = "of a test"};

	assert_true(RUN(f->loop, harm_write_start, &write));
}

/* What is held, with the marks that are believed. */
static void hold(struct fixture *f, bool heal, struct catalog *catalog)
{
	struct walpieces pieces = {0};
	struct harm harm = {0};
	struct holdings_load load = {.repo = f->repo,
	                             .generation = GENERATION,
	                             .segment_bytes = CRAFT_SEGMENT_BYTES,
	                             .catalog = catalog,
	                             .pieces = &pieces,
	                             .harm = &harm,
	                             .heal = heal};

	*catalog = (struct catalog){0};
	assert_true(RUN(f->loop, holdings_load_start, &load));
	harm_into_catalog(&harm, catalog);
	harm_release(&harm);
	walpieces_release(&pieces);
}

static unsigned marks(struct fixture *f)
{
	struct store_list list = {.store = f->store, .prefix = GENERATION "/lost/"};
	unsigned count;

	assert_true(RUN(f->loop, store_list_start, &list));
	count = list.count;
	store_list_release(&list);
	return count;
}

static void craft_all(struct fixture *f, struct craft *craft)
{
	craft_init(craft, FIRST, SEGMENTS + 1);
	for (unsigned i = 0; i < SEGMENTS; i++)
		craft_fill(craft, i);
	for (unsigned i = 0; i < SEGMENTS; i++)
		put(f, craft, i);
}

static void a_segment_is_proven_with_its_seam(void **state)
{
	struct fixture *f = *state;
	struct craft craft;

	craft_all(f, &craft);
	assert_int_equal(proof(f, 0, true), ERR_NONE);
	assert_int_equal(proof(f, 1, false), ERR_NONE);
	assert_int_equal(proof(f, SEGMENTS, true), ERR_NOTFOUND);
	take_away(f, 1);
	craft_segment(&craft, 1)[CRAFT_SEGMENT_BYTES / 2 + 100] ^= 1; /* in a record */
	put(f, &craft, 1);
	assert_int_equal(proof(f, 1, false), ERR_DAMAGED);
	assert_int_equal(proof(f, 2, true), ERR_NONE); /* of that seam nobody can say anything */
	craft_segment(&craft, 1)[CRAFT_SEGMENT_BYTES / 2 + 100] ^= 1;
	take_away(f, 1);
	put(f, &craft, 1);
	take_away(f, 0);
	craft_segment(&craft, 0)[CRAFT_SEGMENT_BYTES - 1] ^= 1; /* of the record that goes on */
	put(f, &craft, 0);
	assert_int_equal(proof(f, 0, true), ERR_NONE);
	assert_int_equal(proof(f, 1, false), ERR_DAMAGED);
	craft_release(&craft);
}

static void what_is_marked_is_not_held_as_long_as_it_is_damaged(void **state)
{
	struct fixture *f = *state;
	struct catalog catalog;
	struct craft craft;

	craft_all(f, &craft);
	say(f, 1, HARM_GOOD); /* it never was anything else */
	assert_int_equal(marks(f), 0);
	say(f, 1, HARM_DAMAGED);
	say(f, 1, HARM_DAMAGED);
	assert_int_equal(marks(f), 1);
	/* it is good: nobody is kept from it, and who may write says so */
	hold(f, false, &catalog);
	assert_true(catalog_has(&catalog, 1, FIRST + 1) && catalog.harms == 0);
	catalog_release(&catalog);
	assert_int_equal(marks(f), 1);
	hold(f, true, &catalog);
	catalog_release(&catalog);
	assert_int_equal(marks(f), 2);
	/* it is not */
	take_away(f, 1);
	craft_segment(&craft, 1)[CRAFT_SEGMENT_BYTES / 2 + 100] ^= 1;
	put(f, &craft, 1);
	hold(f, true, &catalog);
	assert_true(catalog_has(&catalog, 1, FIRST + 1)); /* who should know */
	catalog_release(&catalog);
	say(f, 1, HARM_DAMAGED);
	hold(f, true, &catalog);
	assert_false(catalog_has(&catalog, 1, FIRST + 1));
	assert_int_equal(catalog.segments, SEGMENTS - 1);
	assert_false(catalog_harm_at(&catalog, 1, FIRST + 1)->accepted);
	catalog_release(&catalog);
	assert_int_equal(marks(f), 3);
	/* gone is not damaged */
	take_away(f, 1);
	hold(f, true, &catalog);
	assert_true(!catalog_has(&catalog, 1, FIRST + 1) && catalog.harms == 0);
	catalog_release(&catalog);
	craft_release(&craft);
}

static void what_was_accepted_is_good_again_only_with_its_seam(void **state)
{
	struct fixture *f = *state;
	struct catalog catalog;
	struct craft craft;

	craft_all(f, &craft);
	say(f, 1, HARM_ACCEPTED);
	take_away(f, 0);
	hold(f, true, &catalog);
	assert_true(catalog_harm_at(&catalog, 1, FIRST + 1)->accepted);
	catalog_release(&catalog);
	put(f, &craft, 0);
	hold(f, true, &catalog);
	assert_true(catalog_has(&catalog, 1, FIRST + 1) && catalog.harms == 0);
	catalog_release(&catalog);
	assert_int_equal(marks(f), 2);
	craft_release(&craft);
}

static void an_object_that_was_cut_is_seen_in_the_listing(void **state)
{
	struct fixture *f = *state;
	struct catalog catalog;
	char object[NAME_BYTES];
	struct craft craft;

	craft_all(f, &craft);
	take_away(f, 1);
	object_of(FIRST + 1, object);
	assert_int_equal(put_text(f->store, object, "SEAWALL"), ERR_NONE);
	hold(f, false, &catalog);
	assert_false(catalog_has(&catalog, 1, FIRST + 1));
	assert_non_null(catalog_harm_at(&catalog, 1, FIRST + 1));
	catalog_release(&catalog);
	craft_release(&craft);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_later_mark_counts_and_of_two_at_once_the_worse),
	        cmocka_unit_test(only_what_is_news_gets_a_mark),
	        cmocka_unit_test(a_copy_elsewhere_is_no_harm_to_a_catalogue),
	        TEST(a_segment_is_proven_with_its_seam),
	        TEST(what_is_marked_is_not_held_as_long_as_it_is_damaged),
	        TEST(what_was_accepted_is_good_again_only_with_its_seam),
	        TEST(an_object_that_was_cut_is_seen_in_the_listing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
