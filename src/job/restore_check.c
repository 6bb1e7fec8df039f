/*
 * restore_check.c — START -> LISTING (one repository after the other) -> done
 *
 * A catalogue that was made with the WAL index tells of segments that may have been taken away
 * since, or cut: a listing tells that, too. Nothing is restored on its word alone.
 */
#include "restore_load.h"

#include "base/poison.h"

static void check_end(struct restore_check *check, const struct err *cause)
{
	const struct restore_plan *plan = check->plan;

	for (uint64_t segno = plan->first_segno; !cause && segno <= check->last; segno++) {
		uint32_t tli = history_tli_of_segment(&plan->path, segno, plan->segment_bytes);

		if (catalog_has(&check->found, tli, segno) ||
		    !catalog_has(&check->load->catalog, tli, segno))
			continue;
		catalog_remove_segments(&check->load->catalog, tli, segno, segno);
		check->missing++;
	}
	catalog_release(&check->found);
	harm_into_catalog(&check->load->harm, &check->load->catalog);
	if (!cause)
		return op_done(&check->op);
	op_fail(&check->op, cause, "could not list the WAL that the restore needs");
}

/* Those that hold anything were opened when the catalogue was made, and all answered. */
static void check_next(struct restore_check *check)
{
	while (check->at && !(check->at->repo && check->at->repo->opened))
		check->at = check->at->next;
	if (!check->at)
		return check_end(check, NULL);
	check->path = (struct holdings_path){.repo = check->at->repo,
	                                     .generation = check->load->generation,
	                                     .segment_bytes = check->plan->segment_bytes,
	                                     .path = &check->plan->path,
	                                     .first = check->plan->first_segno,
	                                     .last = check->last,
	                                     .found = &check->found,
	                                     .harm = &check->load->harm};
	holdings_path_start(&check->op, &check->path);
	op_wait(&check->op, 1);
}

static void check_step(struct op *op)
{
	struct restore_check *check = container_of(op, struct restore_check, op);

	if (op->state == 1) {
		if (op_failed(&check->path.op))
			return check_end(check, &check->path.op.err);
		check->at = check->at->next;
		return check_next(check);
	}
	check->found = (struct catalog){.segment_bytes = check->plan->segment_bytes};
	check->at = check->load->site;
	check_next(check);
}

void restore_check_start(struct op *parent, struct restore_check *check)
{
	static const struct op_type type = {.name = "restore_check", .step = check_step};

	op_start(parent, &check->op, &type);
}
