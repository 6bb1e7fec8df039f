/* plan_world.h — an archive in memory: WAL, histories, backups, what is known of timelines; and
 * asking for a plan. */
#ifndef TESTS_UNIT_REPO_PLAN_WORLD_H
#define TESTS_UNIT_REPO_PLAN_WORLD_H

#include "base/clock.h"
#include "repo/plan.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MB16   UINT32_C(16777216)
#define S(n)   ((lsn)(n)*MB16)                                    /* start of segment n */
#define T(n)   (INT64_C(1795000000000000) + (int64_t)(n)*1000000) /* a moment */
#define NO_END INT64_MIN

enum { HEADS_MAX = 8, FACTS_MAX = 32 };

struct world {
	struct catalog catalog;
	struct manifest_head head[HEADS_MAX];
	size_t heads;
	struct timeline_facts fact[FACTS_MAX];
	size_t facts;
	struct restore_searched searched;
	bool local;
	struct restore_plan plan;
	struct err err;
	uint32_t asked;
	enum restore_need need;
};

static inline void world_init(struct world *w)
{
	*w = (struct world){.catalog.segment_bytes = MB16};
}

static inline void world_release(struct world *w)
{
	catalog_release(&w->catalog);
	restore_plan_release(&w->plan);
}

static inline void wal(struct world *w, uint32_t tli, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i <= last; i++)
		catalog_add_segment(&w->catalog, tli, i);
}

/* "1:0/5000000 2:0/7000000" */
static inline void history(struct world *w, uint32_t tli, const char *path)
{
	struct history history;

	history_init(&history, tli);
	for (unsigned parent, high, low; sscanf(path, " %u:%X/%X", &parent, &high, &low) == 3;) {
		history_add(&history, parent, (lsn)high << 32 | low, "");
		path = strchr(path + 1, ' ') ? strchr(path + 1, ' ') : "";
	}
	catalog_add_history(&w->catalog, &history);
}

/* It starts and stops in one segment. */
static inline void backup(struct world *w, const char *id, uint32_t tli, uint64_t segno, int64_t us)
{
	struct manifest_head *head = &w->head[w->heads++];

	head->start_tli = head->stop_tli = tli;
	head->start_lsn = S(segno) + 40;
	head->stop_lsn = S(segno) + 9000;
	head->stop_time_us = us;
	head->time_zone = (char *)(uintptr_t) "UTC";
	snprintf(head->id, sizeof(head->id), "20261120T140200Z-%s", id);
}

static inline void fact(struct world *w, uint32_t tli, int64_t begun_us, int64_t commit_us,
                        lsn commit)
{
	w->fact[w->facts++] = (struct timeline_facts){.tli = tli,
	                                              .begun_known = true,
	                                              .begun_us = begun_us,
	                                              .end_known = commit != 0,
	                                              .last_commit_us = commit_us,
	                                              .last_commit_lsn = commit};
}

static inline bool choose(struct world *w, const char *text, bool before, uint32_t timeline)
{
	struct restore_target target;
	struct restore_ask ask = {.catalog = &w->catalog,
	                          .head = w->head,
	                          .heads = w->heads,
	                          .target = &target,
	                          .timeline = timeline,
	                          .fact = w->fact,
	                          .facts = w->facts,
	                          .searched = w->searched,
	                          .local = w->local};
	int64_t us;

	err_clear(&w->err);
	restore_plan_release(&w->plan);
	if (sscanf(text, "T%ld", &us) == 1) {
		target = (struct restore_target){.kind = RESTORE_TIME, .time_us = T(us)};
	} else {
		assert_true(restore_target_parse(text, &target, &w->err));
	}
	target.before = before;
	return restore_choose(&ask, &w->plan, &w->need, &w->asked, &w->err);
}

static inline void refused(struct world *w, const char *text, uint32_t timeline, enum err_code code,
                           const char *sentence)
{
	if (choose(w, text, false, timeline))
		fail_msg("%s was taken", text);
	if (w->err.code != code || !strstr(w->err.text, sentence))
		fail_msg("%s: %s %s", text, err_code_name(w->err.code), w->err.text);
	assert_true(w->err.hint[0]);
}

/* "@150" in the sentence is the moment T(150). */
static inline void hinted(struct world *w, const char *text, const char *sentence)
{
	AUTO_BUF struct buf want;
	char time[TIME_TEXT_BYTES];

	buf_init(&want, 1000);
	for (const char *at = sentence; *at; at++) {
		if (*at != '@') {
			buf_addc(&want, *at);
			continue;
		}
		clock_text_utc(T(strtol(at + 1, NULL, 10)), time);
		buf_addstr(&want, time);
		at += strspn(at + 1, "0123456789");
	}
	if (!strstr(w->err.hint, buf_text(&want)))
		fail_msg("%s: \"%s\" has no \"%s\"", text, w->err.hint, buf_text(&want));
}

static inline void chosen(struct world *w, const char *text, uint32_t timeline, const char *id,
                          uint32_t tli)
{
	if (!choose(w, text, false, timeline))
		fail_msg("%s: %s", text, w->err.text);
	assert_int_equal(w->need, RESTORE_NEEDS_NOTHING);
	assert_string_equal(w->plan.backup + 17, id);
	assert_int_equal(w->plan.path.tli, tli);
}

static inline void simple(struct world *w)
{
	world_init(w);
	wal(w, 1, 1, 20);
	backup(w, "aaaa", 1, 2, T(100));
	backup(w, "bbbb", 1, 8, T(200));
	w->head[w->heads - 1].stop_lsn = S(9) + 9000;
	fact(w, 1, INT64_MIN, T(300), S(20) + 500);
}

static inline void searches(struct world *w, const char *text, uint64_t first, uint64_t last)
{
	assert_true(choose(w, text, false, 0));
	assert_int_equal(w->need, RESTORE_NEEDS_SEARCH);
	assert_int_equal(w->plan.first_segno, first);
	assert_int_equal(w->plan.last_segno, last);
	w->searched.stretches++;
	w->searched.from = first;
}

/* 1 goes to segment 20; 2 left it in segment 10 at T(400), 3 left 1 again in segment 6 at T(500).
 */
static inline void branches(struct world *w)
{
	world_init(w);
	wal(w, 1, 1, 20);
	history(w, 2, "1:0/A800000");
	wal(w, 2, 10, 15);
	history(w, 3, "1:0/6800000");
	wal(w, 3, 6, 9);
	backup(w, "aaaa", 1, 2, T(100));
	backup(w, "bbbb", 2, 12, T(410));
	fact(w, 1, INT64_MIN, T(300), S(20) + 500);
	fact(w, 2, T(400), T(450), S(15) + 500);
	fact(w, 3, T(500), T(600), S(9) + 500);
}

#endif
