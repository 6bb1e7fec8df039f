/*
 * backup_fill.c — copies the files of a plan into the room of a sealer, page by page.
 *
 * A file is read straight to where it is compressed; its pages are checked and summed up while they
 * are in the processor's cache. A page with a wrong checksum may be one that the server is writing
 * at this moment, half old and half new: it is read again a few times, with pauses that get longer,
 * before it is believed to be damaged. Its LSN decides too: what was written since the backup began
 * comes back by replay, however it looks now. (An LSN from behind the backup's end is none: a page
 * that was shifted by a byte has one. The story judges those when it knows the end.)
 *
 * A file that is gone is missing, and no error. One that got shorter ends where it ends now. One
 * that grew is copied as long as it was planned, since the replay brings the rest; only a small
 * file that is no relation may have been replaced by another, and is copied whole.
 *
 * The work is done in slices of a few milliseconds, each a job of its own: a worker that fills a
 * pack in one go would make WAL wait that came meanwhile.
 */
#include "backup_fill.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "pg/crc32c.h"
#include "pg/page.h"

#include "base/poison.h"

enum {
	REREADS = 7,       /* pauses of 1, 2, 4 … ms: 127 ms in all */
	REREADS_TIRED = 2, /* in an object that has shown many damaged pages */
	TIRED_AFTER = 16,  /* damaged pages */
	PIECE_PAGES_MAX = SEALED_FRAME_BYTES_MAX / PAGE_BYTES,
	SLICE_BYTES = 1024 * 1024,
	ITEM_COST_BYTES = 16 * 1024, /* opening a file takes as long as compressing this */
};

void fill_release(struct fill *fill)
{
	if (fill->open)
		close(fill->fd);
	fill->open = false;
	free(fill->finding);
	fill->finding = NULL;
	fill->findings = fill->findings_size = 0;
}

/* ---- pages ---- */

static void finding_add(struct fill *fill, const struct page_finding *finding)
{
	fill->findings_total++;
	if (fill->findings == MANIFEST_FINDINGS_MAX)
		return;
	if (fill->findings == fill->findings_size) {
		fill->findings_size = MAX(2 * fill->findings_size, (size_t)16);
		fill->finding =
		        xrealloc(fill->finding, fill->findings_size * sizeof(*fill->finding));
	}
	fill->finding[fill->findings++] = *finding;
}

static void pause_ms(unsigned ms)
{
	struct timespec rest = {.tv_nsec = (long)ms * 1000000};

	nanosleep(&rest, NULL);
}

/* Its number in the relation. */
static uint32_t item_block(const struct plan_item *item, uint64_t offset)
{
	return item->relation.segment * RELATION_FILE_BLOCKS + (uint32_t)(offset / PAGE_BYTES);
}

static bool page_is_suspect(const struct fill *fill, const uint8_t *page, uint32_t block)
{
	switch (page_judge(page, block, fill->start_lsn)) {
	case PAGE_OK:
	case PAGE_NEW:
		return false;
	case PAGE_SKIPPED:
		return page_judge(page, block, LSN_MAX) == PAGE_BAD;
	case PAGE_BAD:
	case PAGE_ODD:
		return true;
	}
	return true;
}

static struct page_finding page_finding(const struct fill *fill, const struct plan_item *item,
                                        const uint8_t *page, uint32_t block)
{
	enum page_verdict verdict = page_judge(page, block, fill->start_lsn);
	enum relation_fork fork = item->relation.fork;

	return (struct page_finding){
	        .item = (size_t)(item - fill->plan->item),
	        .block = block,
	        .warning = verdict == PAGE_ODD || fork == FORK_FSM || fork == FORK_VM,
	        .position = verdict == PAGE_SKIPPED ? page_lsn(page) : 0,
	};
}

/* Pages [0, pages) of room, the first of which is `block` of the relation. The numbers of those
 * that look wrong go to suspect[]; returns how many. */
static unsigned pages_suspect(const struct fill *fill, const uint8_t *room, unsigned pages,
                              uint32_t block, unsigned suspect[PIECE_PAGES_MAX])
{
	unsigned count = 0;

	for (unsigned i = 0; i < pages; i++)
		if (page_is_suspect(fill, room + (size_t)i * PAGE_BYTES, block + i))
			suspect[count++] = i;
	return count;
}

/* One page again, from the file. False: it is not there any more (which replay will repeat). */
static bool page_reread(int fd, uint8_t *page, uint64_t offset)
{
	return file_pread_full(fd, page, PAGE_BYTES, offset) == PAGE_BYTES;
}

/* The suspects are read again until they are good or patience ends. */
static void pages_recheck(struct fill *fill, const struct plan_item *item, uint8_t *room,
                          unsigned *suspect, unsigned count)
{
	uint64_t offset = item->offset + item->got;
	uint32_t block = item_block(item, offset);
	unsigned tries = fill->findings_total < TIRED_AFTER ? REREADS : REREADS_TIRED;

	for (unsigned try = 0; try < tries && count > 0; try++) {
		unsigned left = 0;

		pause_ms(1U << try);
		for (unsigned i = 0; i < count; i++) {
			uint8_t *page = room + (size_t)suspect[i] * PAGE_BYTES;

			if (page_reread(fill->fd, page,
			                offset + (uint64_t)suspect[i] * PAGE_BYTES) &&
			    page_is_suspect(fill, page, block + suspect[i]))
				suspect[left++] = suspect[i];
		}
		count = left;
	}
	for (unsigned i = 0; i < count; i++) {
		struct page_finding finding = page_finding(
		        fill, item, room + (size_t)suspect[i] * PAGE_BYTES, block + suspect[i]);

		finding_add(fill, &finding);
	}
}

static void pages_check(struct fill *fill, const struct plan_item *item, uint8_t *room,
                        size_t length)
{
	uint64_t offset = item->offset + item->got;
	uint32_t block = item_block(item, offset);
	unsigned suspect[PIECE_PAGES_MAX];
	unsigned count;

	assert(length / PAGE_BYTES <= PIECE_PAGES_MAX);
	count = pages_suspect(fill, room, (unsigned)(length / PAGE_BYTES), block, suspect);
	if (count > 0)
		pages_recheck(fill, item, room, suspect, count);
}

/* A relation ends within a page while it is being extended, and not for long. */
static void end_check(struct fill *fill, const struct plan_item *item)
{
	uint64_t end = item->offset + item->got;
	struct stat status;

	for (unsigned try = 0; try < REREADS; try++) {
		if (fstat(fill->fd, &status) != 0 || status.st_size % PAGE_BYTES == 0)
			return;
		pause_ms(1U << try);
	}
	finding_add(fill, &(struct page_finding){.item = (size_t)(item - fill->plan->item),
	                                         .block = item_block(item, end),
	                                         .warning = true});
}

/* ---- one file ---- */

/* The next `want` bytes of the item into room, checked and summed up; got is -1 with errno. */
static ssize_t copy_read(struct fill *fill, struct plan_item *item, uint8_t *room, size_t want)
{
	ssize_t got = file_pread_full(fill->fd, room, want, item->offset + item->got);

	if (got <= 0)
		return got;
	if (item->pages)
		pages_check(fill, item, room, (size_t)got);
	item->crc32c = crc32c(item->crc32c, room, (size_t)got);
	item->got += (uint32_t)got;
	return got;
}

/* Some bytes, at most length in all; *ret_ended: the file ends here now. */
static bool copy_some(struct fill *fill, struct plan_item *item, uint64_t length, bool *ret_ended,
                      struct err *err)
{
	uint64_t left = length - item->got;
	size_t room_bytes, want;
	uint8_t *room = sealer_room(fill->sealer, &room_bytes), page[PAGE_BYTES];
	ssize_t got;

	want = (size_t)MIN((uint64_t)room_bytes, left);
	if (item->pages && left > want)
		want -= want % PAGE_BYTES;
	if (want > 0) {
		got = copy_read(fill, item, room, want);
	} else { /* a page that does not fit the room goes by a buffer of its own */
		want = (size_t)MIN((uint64_t)PAGE_BYTES, left);
		got = copy_read(fill, item, page, want);
		room = page;
	}
	if (got < 0)
		return err_sys(err, "could not read file \"%s\"", item->path);
	*ret_ended = (size_t)got < want;
	if (room == page)
		return sealer_add(fill->sealer, page, (size_t)got, err);
	return sealer_filled(fill->sealer, (size_t)got, err);
}

/* -1 and no error: it is not there. */
static int item_open(const struct fill *fill, const struct plan_item *item, struct err *err)
{
	AUTO_FREE
	char *full = NULL;
	int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (item->through_link ? 0 : O_NOFOLLOW), fd;

	if (item->kind != MANIFEST_OUTSIDE)
		full = path_join(fill->pgdata, item->path);
	fd = open(full ? full : item->path, flags | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = open(full ? full : item->path, flags);
	if (fd < 0 && item->kind == MANIFEST_OUTSIDE)
		log_warning("could not read configuration file \"%s\": %s; it is not in the backup",
		            item->path, strerror(errno));
	else if (fd < 0 && errno != ENOENT)
		err_sys(err, "could not open file \"%s\"", full);
	return fd;
}

/* How much is copied: as planned, or for what may have been replaced, what is there now. */
static bool item_length(const struct fill *fill, struct plan_item *item, uint64_t *ret,
                        struct err *err)
{
	struct stat status;
	struct relation_file relation;
	uint64_t limit = PLAN_BYTES_MAX - item->pack_offset - fill->ahead;

	*ret = item->length;
	if (!item->first)
		return true;
	if (fstat(fill->fd, &status) != 0)
		return err_sys(err, "could not look at file \"%s\"", item->path);
	if (!S_ISREG(status.st_mode))
		return err_set(err, ERR_REFUSED,
		               "file \"%s\" became something else while it was "
		               "read",
		               item->path);
	item->mode = status.st_mode & 07777;
	item->modified_us =
	        (int64_t)status.st_mtim.tv_sec * US_PER_S + status.st_mtim.tv_nsec / 1000;
	if (item->last && !datadir_has_pages(item->path, &relation))
		*ret = MIN((uint64_t)status.st_size, limit);
	return true;
}

static void item_end(struct fill *fill, const struct plan_item *item)
{
	if (fill->open)
		close(fill->fd);
	fill->open = false;
	fill->bytes += item->got;
	fill->next++;
}

/* Opens it, or is done with it. */
static bool item_begin(struct fill *fill, struct plan_item *item, struct err *err)
{
	fill->spent += ITEM_COST_BYTES;
	fill->ahead -= item->length;
	item->pack_offset = (uint32_t)sealer_logical_bytes(fill->sealer);
	item->got = 0;
	item->crc32c = CRC32C_EMPTY;
	if (item->content) {
		item->got = item->length;
		item->crc32c = crc32c(CRC32C_EMPTY, item->content, item->length);
		if (!sealer_add(fill->sealer, item->content, item->length, err))
			return false;
	} else if (item->kind == MANIFEST_FILE || item->kind == MANIFEST_OUTSIDE) {
		fill->fd = item_open(fill, item, err);
		fill->open = fill->fd >= 0;
		item->missing = !fill->open;
		if (err_is(err))
			return false;
	}
	if (!fill->open) {
		item_end(fill, item);
		return true;
	}
	return item_length(fill, item, &fill->length, err);
}

static bool item_go_on(struct fill *fill, struct plan_item *item, struct err *err)
{
	bool ended = false;

	while (item->got < fill->length && !ended) {
		uint32_t before = item->got;

		if (fill->spent >= SLICE_BYTES)
			return true;
		if (!copy_some(fill, item, fill->length, &ended, err))
			return false;
		fill->spent += item->got - before;
	}
	if (item->pages && (item->offset + item->got) % PAGE_BYTES != 0)
		end_check(fill, item);
	item_end(fill, item);
	return true;
}

bool fill_slice(struct fill *fill, bool *ret_ended, struct err *err)
{
	if (fill->next == 0 && !fill->open)
		fill->ahead = fill->plan->bytes;
	fill->spent = 0;
	while (fill->next < fill->plan->count && fill->spent < SLICE_BYTES) {
		struct plan_item *item = &fill->plan->item[fill->next];

		if (fill->open ? !item_go_on(fill, item, err) : !item_begin(fill, item, err))
			return false;
	}
	*ret_ended = fill->next == fill->plan->count;
	return true;
}
