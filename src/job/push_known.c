/*
 * push_known.c — what is known beside a push: which file it was, and where files of its data
 * directory go.
 */
#include "push.h"

#include "base/poison.h"

void file_identity_of(const struct stat *status, struct file_identity *ret)
{
	*ret = (struct file_identity){.device = status->st_dev,
	                              .inode = status->st_ino,
	                              .size = status->st_size,
	                              .modified = status->st_mtim,
	                              .changed = status->st_ctim};
}

static bool timespec_equal(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool file_identity_equal(const struct file_identity *a, const struct file_identity *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       timespec_equal(&a->modified, &b->modified) &&
	       timespec_equal(&a->changed, &b->changed);
}

void push_destination_init(struct push_destination *destination)
{
	*destination = (struct push_destination){0};
	gate_init(&destination->gate, 1, 0);
}

void push_destination_release(struct push_destination *destination)
{
	catalog_release(&destination->owners);
	catalog_release(&destination->past);
	destination->known = false;
}

void push_destination_doubt(struct push_destination *destination)
{
	destination->known = false;
	destination->doubts++;
}

bool push_destination_doubted(const struct push_destination *destination)
{
	return destination->generation[0] && !destination->known;
}
