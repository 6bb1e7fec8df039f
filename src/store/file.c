/*
 * file.c — objects as files below a folder.
 *
 *   <root>/<name>                       an object; its name appears by link(2) when all is on disk
 *   <root>/.drafts/.<host>-<…>.draft    being written, or left over from a killed process
 *
 * No component of a name begins with '.', so drafts are in nobody's way. A put syncs the file,
 * links it, syncs the folder; folders that a process has not seen before are synced up to the root,
 * because whoever made them may have been killed before that.
 *
 * Each attempt opens the root anew and looks whether it is still the folder that was opened at
 * first: below a disk that was unmounted there is another, empty folder, and neither "not found"
 * nor "stored" would be true there. The open descriptor keeps the disk mounted until the attempt
 * ends. The device number may change when it is mounted again, the inode's does not; but the roots
 * of two disks have the same inode, and that of a removed folder is given away again, so the
 * content of one object, the anchor, is compared as well. A put looks at the root's path once more
 * when all is on disk, since it works with paths.
 *
 * Drafts of killed processes are removed at open: those of this boot of this host whose process is
 * gone, and all that are older than an hour.
 */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/durable.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/str.h"
#include "base/units.h"

#include "base/poison.h"

#define DRAFTS ".drafts"

enum {
	KNOWN_FOLDERS = 32,
	DRAFT_AGE_MAX_S = 3600,
	FOLDER_MODE = 0700,
	HOST_DIGITS = 8,
};

struct anchor {
	char *name;
	size_t length;
	uint8_t bytes[];
};

struct file_store {
	struct store store;
	struct disk *disk;
	char *root;
	struct anchor *anchor; /* set once, and atomically: workers look at it */
	ino_t inode;
	char host[HOST_DIGITS + 1]; /* of this boot of this host */
	char *known[KNOWN_FOLDERS]; /* folders that are on disk up to the root; a ring */
	unsigned known_next;
};

struct file_attempt {
	struct store_attempt base;
	struct work work;
	bool known; /* the folder of a put is on disk up to the root */
};

static struct file_store *file_store(const struct file_attempt *attempt)
{
	return container_of(attempt->base.store, struct file_store, store);
}

/* ---- errors ---- */

bool file_error(struct err *err, const char *what, const char *name)
{
	int number = errno;

	err_sys(err, "could not %s \"%s\"", what, name);
	if (number == EROFS || number == EACCES || number == EPERM)
		err->code = ERR_STORE;
	if (number == ESTALE || number == ETIMEDOUT || number == EHOSTDOWN || number == ENOTCONN)
		err->code = ERR_NETWORK;
	if (number == ENOTDIR)
		err->code = ERR_NOTFOUND;
	return false;
}

/* What a step of a put said, in the words of a store. */
static bool put_error(const struct file_store *store, const char *folder, struct err *err)
{
	struct statvfs fs;
	char space[UNITS_TEXT_BYTES];

	if (err->code == ERR_FULL && statvfs(store->root, &fs) == 0) {
		units_size((uint64_t)fs.f_bavail * fs.f_frsize, space);
		err_hint(err, "%s and %llu files are free in folder \"%s\"; make room there.",
		         space, (unsigned long long)fs.f_favail, store->root);
	}
	if (err->code == ERR_NOTFOUND) /* the folder, or the draft: removed by somebody else */
		err_wrap_as(err, ERR_NETWORK, "a folder vanished meanwhile");
	if (err->code == ERR_EXISTS) /* a file where a folder must be */
		err_wrap_as(err, ERR_STORE, "could not make the folder of the object");
	if (err->code == ERR_IO && access(folder, W_OK) != 0 &&
	    (errno == EROFS || errno == EACCES)) {
		bool read_only = errno == EROFS;

		err_wrap_as(err, ERR_STORE, "folder \"%s\" cannot be written", folder);
		err_hint(err, "%s",
		         read_only
		                 ? "The file system is mounted read-only."
		                 : "Give the user that Seawall runs as the right to write there.");
	}
	return false;
}

/* ---- the root ---- */

static bool missing_root(struct err *err, const char *root)
{
	err_set(err, ERR_STORE, "folder \"%s\" does not exist", root);
	err_hint(err, "Is a disk not mounted? Only `seawall init` makes a repository.");
	return false;
}

static bool anchor_holds(const struct file_store *store, int root_fd, struct err *err)
{
	const struct anchor *anchor = __atomic_load_n(&store->anchor, __ATOMIC_ACQUIRE);
	AUTO_FREE
	uint8_t *bytes = NULL;
	AUTO_FD
	int fd = -1;
	ssize_t got = 0;

	if (!anchor)
		return true;
	fd = openat(root_fd, anchor->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
		return file_error(err, "open file", anchor->name);
	bytes = xmalloc(anchor->length + 1);
	if (fd >= 0 && (got = file_pread_full(fd, bytes, anchor->length + 1, 0)) < 0)
		return file_error(err, "read file", anchor->name);
	if ((size_t)got == anchor->length && memcmp(bytes, anchor->bytes, anchor->length) == 0)
		return true;
	err_set(err, ERR_STORE, "folder \"%s\" is not what was opened at first: its \"%s\" is %s",
	        store->root, anchor->name, fd < 0 ? "not there" : "another one");
	err_hint(err, "Is a disk not mounted, or was the folder replaced? After a replacement, "
	              "start Seawall again.");
	return false;
}

/* A descriptor of the root, or -1. */
static int root_open(const struct file_store *store, struct err *err)
{
	int fd;
	struct stat st;

	fault_hang(store->root);
	fd = open(store->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		missing_root(err, store->root);
	else if (fd < 0 || fstat(fd, &st) != 0)
		file_error(err, "open folder", store->root);
	else if (st.st_ino != store->inode) {
		err_set(err, ERR_STORE, "folder \"%s\" is not the one that was opened at first",
		        store->root);
		err_hint(err, "Is a disk not mounted, or was the folder replaced? After a "
		              "replacement, start Seawall again.");
	} else if (anchor_holds(store, fd, err))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Whether the root's path still leads to the root that was opened, and the object lies in that. */
static bool root_stayed(const struct file_store *store, int root_fd, const char *name,
                        struct err *err)
{
	struct stat opened, now, object;

	if (fstat(root_fd, &opened) == 0 && stat(store->root, &now) == 0 &&
	    opened.st_dev == now.st_dev && opened.st_ino == now.st_ino &&
	    fstatat(root_fd, name, &object, AT_SYMLINK_NOFOLLOW) == 0)
		return true;
	return err_set(err, ERR_STORE, "folder \"%s\" was replaced or unmounted meanwhile",
	               store->root);
}

/* ---- put ---- */

static bool sync_up(const struct file_store *store, const char *folder, struct err *err)
{
	AUTO_FREE
	char *path = xstrdup(folder);
	size_t root_length = strlen(store->root);

	while (strlen(path) > root_length) {
		*strrchr(path, '/') = '\0';
		if (!durable_sync_dir(path, err))
			return false;
	}
	return true;
}

/* A file in the drafts folder that will be published as path. */
static bool put_draft(const struct file_store *store, const char *path, struct draft *draft,
                      struct err *err)
{
	AUTO_FREE
	char *folder = path_join(store->root, DRAFTS);
	AUTO_FREE
	char *beside = xasprintf("%s/%s-%s", folder, store->host, path_name(path));

	if (mkdir(folder, FOLDER_MODE) != 0 && errno != EEXIST)
		return err_sys(err, "could not create folder \"%s\"", folder);
	if (!draft_open(draft, beside, 0, err))
		return false;
	free(draft->path);
	draft->path = xstrdup(path);
	return true;
}

static bool put_write(struct work *work, const struct store_put *put, struct draft *draft,
                      struct err *err)
{
	for (unsigned i = 0; i < put->pieces; i++) {
		if (work_cancelled(work))
			return err_set(err, ERR_CANCELLED, "cancelled");
		if (!draft_write(draft, put->piece[i].iov_base, put->piece[i].iov_len, err))
			return false;
	}
	return true;
}

static bool put_publish(const struct file_store *store, const struct file_attempt *attempt,
                        const char *folder, struct draft *draft, struct err *err)
{
	if (!durable_mkdir_below(store->root, folder, FOLDER_MODE, err) ||
	    (!attempt->known && !sync_up(store, folder, err))) {
		draft_drop(draft);
		return put_error(store, folder, err);
	}
	if (draft_publish_new(draft, err))
		return true;
	return err->code == ERR_EXISTS ? false : put_error(store, folder, err);
}

static void put_run(struct file_attempt *attempt, int root_fd, struct err *err)
{
	const struct file_store *store = file_store(attempt);
	const struct store_put *put = attempt->base.put;
	AUTO_FREE
	char *path = path_join(store->root, put->name);
	AUTO_FREE
	char *folder = path_folder(path);
	struct draft draft = {.fd = -1};
	struct stat st;

	/* There already: as durable as a new one, and nothing needs to be written to know it. */
	if (fstatat(root_fd, put->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(st.st_mode))
			err_set(err, ERR_STORE, "there is a folder of that name");
		else if (durable_sync_dir(folder, err) &&
		         (attempt->known || sync_up(store, folder, err)))
			err_set(err, ERR_EXISTS, "there is an object of that name already");
		return;
	}
	if (put_draft(store, path, &draft, err) && put_write(&attempt->work, put, &draft, err)) {
		put_publish(store, attempt, folder, &draft, err);
		return;
	}
	draft_drop(&draft);
	put_error(store, store->root, err);
}

static void file_put(struct work *work)
{
	struct file_attempt *attempt = container_of(work, struct file_attempt, work);
	const struct file_store *store = file_store(attempt);
	struct err *err = &work->op.err, moved = {0};
	AUTO_FD
	int root_fd = root_open(store, err);

	if (root_fd < 0)
		return;
	put_run(attempt, root_fd, err);
	if ((!err_is(err) || err->code == ERR_EXISTS) &&
	    !root_stayed(store, root_fd, attempt->base.put->name, &moved))
		*err = moved;
}

/* ---- get, head, remove ---- */

static bool get_blocks(struct work *work, int fd, struct store_get *get, struct err *err)
{
	uint64_t room = MIN(get->length, (uint64_t)get->blocks * BLOCK_BYTES);

	while (get->got < room) {
		uint64_t at = get->got % BLOCK_BYTES;
		size_t wanted = MIN(room - get->got, BLOCK_BYTES - at);
		ssize_t part;

		if (work_cancelled(work))
			return err_set(err, ERR_CANCELLED, "cancelled");
		part = file_pread_full(fd, get->block[get->got / BLOCK_BYTES] + at, wanted,
		                       get->offset + get->got);
		if (part < 0)
			return file_error(err, "read file", get->name);
		get->got += (uint64_t)part;
		if ((size_t)part < wanted)
			break;
	}
	return true;
}

static void file_get(struct work *work)
{
	struct file_attempt *attempt = container_of(work, struct file_attempt, work);
	struct store_get *get = attempt->base.get;
	struct err *err = &work->op.err;
	AUTO_FD
	int root_fd = root_open(file_store(attempt), err);
	AUTO_FD
	int fd = -1;
	struct stat st;

	if (root_fd < 0)
		return;
	fd = openat(root_fd, get->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0) {
		file_error(err, "open file", get->name);
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(err, S_ISDIR(st.st_mode) ? ERR_NOTFOUND : ERR_STORE, "it is no file");
		return;
	}
	get->object_bytes = (uint64_t)st.st_size;
	if (get->offset < get->object_bytes)
		get_blocks(work, fd, get, err);
}

/* The name is on disk, too: who gave it may have been killed before that, or be about to do it. */
static bool head_settle(const struct file_store *store, const char *name, int root_fd,
                        struct err *err)
{
	AUTO_FREE
	char *path = path_join(store->root, name);
	AUTO_FREE
	char *folder = path_folder(path);

	return durable_sync_file(path, err) && durable_sync_dir(folder, err) &&
	       sync_up(store, folder, err) && root_stayed(store, root_fd, name, err);
}

static void file_head(struct work *work)
{
	struct file_attempt *attempt = container_of(work, struct file_attempt, work);
	struct store_head *head = attempt->base.head;
	struct err *err = &work->op.err;
	AUTO_FD
	int root_fd = root_open(file_store(attempt), err);
	struct stat st;

	if (root_fd < 0)
		return;
	if (fstatat(root_fd, head->name, &st, 0) != 0) {
		file_error(err, "look at file", head->name);
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(err, S_ISDIR(st.st_mode) ? ERR_NOTFOUND : ERR_STORE, "it is no file");
		return;
	}
	head->bytes = (uint64_t)st.st_size;
	head->modified_us = st.st_mtim.tv_sec * US_PER_S + st.st_mtim.tv_nsec / 1000;
	if (head->durable)
		(void)head_settle(file_store(attempt), head->name, root_fd, err);
}

/* Folders that have become empty go too, as far as they let themselves be removed. */
static void remove_folders(int root_fd, const char *folder)
{
	AUTO_FREE
	char *path = xstrdup(folder);

	while (*path && unlinkat(root_fd, path, AT_REMOVEDIR) == 0) {
		char *slash = strrchr(path, '/');

		*(slash ? slash : path) = '\0';
	}
}

static bool folder_done(const struct file_store *store, int root_fd, const char *folder,
                        struct err *err)
{
	AUTO_FREE
	char *path = *folder ? path_join(store->root, folder) : xstrdup(store->root);

	if (!durable_sync_dir(path, err)) {
		if (err->code != ERR_NOTFOUND)
			return false;
		err_clear(err); /* somebody else removed it */
	}
	remove_folders(root_fd, folder);
	return true;
}

static bool remove_one(int root_fd, const char *name, struct err *err)
{
	struct stat st;

	if (unlinkat(root_fd, name, 0) == 0 || errno == ENOENT || errno == ENOTDIR)
		return true;
	if (errno == EISDIR ||
	    (errno == EPERM && fstatat(root_fd, name, &st, 0) == 0 && S_ISDIR(st.st_mode)))
		return true;
	return file_error(err, "remove file", name);
}

static void file_remove(struct work *work)
{
	struct file_attempt *attempt = container_of(work, struct file_attempt, work);
	const struct file_store *store = file_store(attempt);
	const struct store_remove *batch = attempt->base.remove;
	struct err *err = &work->op.err;
	AUTO_FD
	int root_fd = root_open(store, err);
	char folder[STORE_NAME_MAX + 1] = "", next[STORE_NAME_MAX + 1];

	if (root_fd < 0)
		return;
	for (unsigned i = 0; i < batch->names; i++) {
		const char *slash = strrchr(batch->name[i], '/');

		snprintf(next, sizeof(next), "%.*s", slash ? (int)(slash - batch->name[i]) : 0,
		         batch->name[i]);
		/* One sync for each run of names in the same folder. */
		if (i > 0 && strcmp(next, folder) != 0 && !folder_done(store, root_fd, folder, err))
			return;
		memcpy(folder, next, sizeof(folder));
		if (work_cancelled(work)) {
			err_set(err, ERR_CANCELLED, "cancelled");
			return;
		}
		if (!remove_one(root_fd, batch->name[i], err))
			return;
	}
	(void)folder_done(store, root_fd, folder, err);
}

static void file_list_run(struct work *work)
{
	struct file_attempt *attempt = container_of(work, struct file_attempt, work);
	AUTO_FD
	int root_fd = root_open(file_store(attempt), &work->op.err);

	if (root_fd >= 0 && !file_list_page(root_fd, attempt->base.list, work, &work->op.err))
		attempt->base.list->more = false;
}

/* ---- an attempt: START -> WORKING -> done ---- */

enum file_state { FILE_START, FILE_WORKING };

static bool folder_known(const struct file_store *store, const char *folder)
{
	for (unsigned i = 0; i < KNOWN_FOLDERS; i++)
		if (store->known[i] && strcmp(store->known[i], folder) == 0)
			return true;
	return false;
}

static void folder_learn(struct file_store *store, const char *folder)
{
	char **slot = &store->known[store->known_next++ % KNOWN_FOLDERS];

	free(*slot);
	*slot = xstrdup(folder);
}

static void (*const runs[STORE_VERBS])(struct work *work) = {
        [STORE_PUT] = file_put,       [STORE_GET] = file_get,   [STORE_LIST] = file_list_run,
        [STORE_REMOVE] = file_remove, [STORE_HEAD] = file_head,
};

/* Bytes wait behind those of more important stories; listings and the like are short. */
static enum work_class file_class(const struct store_attempt *attempt)
{
	if (attempt->verb == STORE_PUT)
		return attempt->put->class;
	return attempt->verb == STORE_GET ? attempt->get->class : WORK_WAL;
}

static void file_step(struct op *op)
{
	struct file_attempt *attempt = container_of(op, struct file_attempt, base.op);
	struct file_store *store = file_store(attempt);
	bool put = attempt->base.verb == STORE_PUT;
	AUTO_FREE
	char *folder = put ? path_folder(attempt->base.put->name) : NULL;

	if (op->state == FILE_START) {
		attempt->known = put && folder_known(store, folder);
		work_start_on(op, &attempt->work, file_class(&attempt->base), store->disk,
		              runs[attempt->base.verb]);
		return op_wait(op, FILE_WORKING);
	}
	if (op_failed(&attempt->work.op)) {
		op->err = attempt->work.op.err;
		return op_fail_own(op);
	}
	if (put && !attempt->known && !folder_known(store, folder))
		folder_learn(store, folder);
	op_done(op);
}

static const struct op_type file_type = {.name = "file", .step = file_step};

static void file_start(struct op *parent, struct store_attempt *attempt)
{
	op_start(parent, &attempt->op, &file_type);
}

/* ---- opening ---- */

/* Names this boot of this host, so that a process number means something. */
static void host_id(char out[HOST_DIGITS + 1])
{
	char host[256] = "";
	AUTO_BUF struct buf boot = {0};
	struct err ignored = {0};
	uint32_t hash = 2166136261U;

	buf_init(&boot, 256);
	(void)gethostname(host, sizeof(host) - 1);
	if (!file_read_all("/proc/sys/kernel/random/boot_id", &boot, &ignored))
		buf_clear(&boot);
	buf_addstr(&boot, host);
	for (const char *c = buf_text(&boot); *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619U;
	snprintf(out, HOST_DIGITS + 1, "%08x", hash);
}

/* ".<host>-<name>.<pid>.<n>.draft" of this host whose process is gone? */
static bool draft_orphaned(const struct file_store *store, const char *name)
{
	const char *end = name + strlen(name) - strlen(".draft");
	uint64_t pid = 0;

	if (strncmp(name + 1, store->host, HOST_DIGITS) != 0)
		return false;
	for (int dots = 0; dots < 2; dots++)
		while (end > name && *--end != '.')
			;
	for (end++; *end >= '0' && *end <= '9' && pid < INT32_MAX; end++)
		pid = pid * 10 + (uint64_t)(*end - '0');
	return pid > 0 && pid < INT32_MAX && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

/* What cannot be removed stays: it is in nobody's way but takes space. */
static void drafts_clean(const struct file_store *store)
{
	AUTO_FREE
	char *folder = path_join(store->root, DRAFTS);
	struct strs names = {0};
	struct err ignored = {0};
	int64_t now_s = clock_now_us() / US_PER_S;

	if (!file_list(folder, &names, &ignored))
		return;
	for (size_t i = 0; i < names.count; i++) {
		AUTO_FREE
		char *path = path_join(folder, names.item[i]);
		struct stat st;

		if (!durable_is_draft(names.item[i]) || lstat(path, &st) != 0)
			continue;
		if (st.st_mtime < now_s - DRAFT_AGE_MAX_S || draft_orphaned(store, names.item[i]))
			(void)unlink(path);
	}
	strs_release(&names);
}

static bool root_begin(struct file_store *store, bool create, struct err *err)
{
	struct stat st;

	if (!path_is_absolute(store->root) || strlen(store->root) > FILE_PATH_MAX / 2) {
		err_set(err, ERR_CONFIG, "\"%s\" is not the absolute path of a folder",
		        store->root);
		err_hint(err, "Write it as file:///path/of/the/folder.");
		return false;
	}
	if (create && !durable_mkdir(store->root, FOLDER_MODE, err)) {
		if (err->code != ERR_FULL)
			err->code = ERR_STORE;
		return false;
	}
	if (stat(store->root, &st) != 0)
		return errno == ENOENT ? missing_root(err, store->root)
		                       : file_error(err, "look at folder", store->root);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERR_STORE, "\"%s\" is not a folder", store->root);
	if (access(store->root, R_OK | X_OK) != 0) {
		file_error(err, "read folder", store->root);
		err_hint(err, "Give the user that Seawall runs as the right to read it.");
		return false;
	}
	store->inode = st.st_ino;
	return true;
}

static void file_close(struct store *base)
{
	struct file_store *store = container_of(base, struct file_store, store);

	disk_free(store->disk);
	for (unsigned i = 0; i < KNOWN_FOLDERS; i++)
		free(store->known[i]);
	if (store->anchor)
		free(store->anchor->name);
	free(store->anchor);
	free(store->root);
	free(store);
}

static struct store *file_open(struct loop *loop, const struct store_options *options,
                               struct err *err)
{
	struct file_store *store = xcalloc(1, sizeof(*store));
	size_t length;

	store->root = xstrdup(options->url + strlen(store_file_driver.scheme));
	for (length = strlen(store->root); length > 1 && store->root[length - 1] == '/';)
		store->root[--length] = '\0';
	if (!root_begin(store, options->create, err)) {
		file_close(&store->store);
		return NULL;
	}
	host_id(store->host);
	drafts_clean(store);
	store->disk = disk_new(loop);
	return &store->store;
}

static void file_anchor(struct store *base, const char *name, const void *bytes, size_t length)
{
	struct file_store *store = container_of(base, struct file_store, store);
	struct anchor *anchor;

	if (store->anchor)
		return;
	anchor = xmalloc(sizeof(*anchor) + length);
	anchor->name = xstrdup(name);
	anchor->length = length;
	memcpy(anchor->bytes, bytes, length);
	__atomic_store_n(&store->anchor, anchor, __ATOMIC_RELEASE);
}

static bool file_still(struct store *base, const char *name)
{
	const struct file_store *store = container_of(base, struct file_store, store);
	struct err ignored = {0};
	AUTO_FD
	int root_fd = root_open(store, &ignored);
	struct stat st;

	return root_fd >= 0 && fstatat(root_fd, name, &st, 0) == 0 && S_ISREG(st.st_mode);
}

static bool file_space(struct store *base, uint64_t *ret_free, uint64_t *ret_total)
{
	struct file_store *store = container_of(base, struct file_store, store);
	struct err ignored = {0};
	AUTO_FD
	int root_fd = -1;
	struct statvfs fs;

	if (disk_hangs(store->disk))
		return false;
	root_fd = root_open(store, &ignored); /* below an unmounted disk is another one */
	if (root_fd < 0 || fstatvfs(root_fd, &fs) != 0)
		return false;
	*ret_free = (uint64_t)fs.f_bavail * fs.f_frsize;
	*ret_total = (uint64_t)fs.f_blocks * fs.f_frsize;
	return true;
}

const struct store_driver store_file_driver = {
        .scheme = "file://",
        .open = file_open,
        .close = file_close,
        .space = file_space,
        .anchor = file_anchor,
        .still = file_still,
        .attempt_bytes = sizeof(struct file_attempt),
        .start = file_start,
};
