/* plan_fuzz.c — the file of a restore's plan: whatever is read can be written and read again. */
#include "fuzz/fuzz.h"
#include "base/file.h"
#include "repo/plan.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	char path[64], again[] = "/tmp/plan_fuzz.XXXXXX";
	int fd = memfd_create("plan", MFD_CLOEXEC), other;
	struct restore_plan plan, back;
	struct err err = {0};

	assert(fd >= 0 && file_write_full(fd, data, length));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (restore_plan_read(path, &plan, &err)) {
		other = mkstemp(again);
		assert(other >= 0);
		close(other);
		assert(restore_plan_write(&plan, again, &err));
		assert(restore_plan_read(again, &back, &err));
		assert(strcmp(plan.pgdata, back.pgdata) == 0 && plan.path.tli == back.path.tli &&
		       plan.path.count == back.path.count && plan.tablespaces == back.tablespaces &&
		       plan.last_segno == back.last_segno);
		for (uint64_t segno = 0; segno < 8; segno++)
			restore_plan_judge(&plan, 1, plan.first_segno + segno);
		restore_plan_release(&back);
		restore_plan_release(&plan);
		unlink(again);
	} else {
		assert(err_is(&err));
	}
	close(fd);
	return 0;
}
