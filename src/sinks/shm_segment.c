/* SPDX-License-Identifier: MIT */
#include "shm_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/log.h"

#define FOLDER "/dev/shm" /* where shm_open(3) of glibc and musl puts its names */
#define MODE   0640
#define GROUP  "video"
#define TRIES  5 /* to take the name, while others want it too */
/* A reader reads the head when it has its lock, and closes the file when it goes. Who takes the file's name
 * away changes its attributes. */
#define WATCHED (IN_ACCESS | IN_CLOSE_NOWRITE | IN_ATTRIB)

struct shm_segment {
    int fd, watch;
    bool placed; /* it has its name */
    uint8_t *map;
    size_t map_size, reserved;
    char path[256];
    struct shm_writer writer;
};

/* ---- locks: see enum shm_lock ---- */

static bool locked_by_other(int fd, int byte, short type, short what)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == what;
}

static int hold(int fd)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SHM_LOCK_PRODUCER, .l_len = 1
    };
    return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
}

bool shm_segment_has_reader(const struct shm_segment *s)
{
    return locked_by_other(s->fd, SHM_LOCK_READERS, F_WRLCK, F_RDLCK);
}

/* ---- the name ---- */

/* What is at `fd`: -EBUSY a living producer's, -EEXIST nothing of ours, 0 a dead one's. */
static int judge(int fd)
{
    char magic[sizeof SHM_MAGIC];
    if (locked_by_other(fd, SHM_LOCK_PRODUCER, F_RDLCK, F_WRLCK)) {
        return -EBUSY;
    }
    bool ours = pread(fd, magic, sizeof magic, 0) == sizeof magic &&
                memcmp(magic, SHM_MAGIC, sizeof magic) == 0;
    return ours ? 0 : -EEXIST;
}

/*
 * Take away what a dead producer left. Another one may be at the same, and may have put its own segment
 * there since we looked: so the name is moved aside first, which only one can do, and looked at again.
 */
static int remove_dead(const char *path)
{
    char aside[300];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    int code = judge(fd);
    (void)close(fd);
    if (code < 0) {
        return code;
    }
    (void)snprintf(aside, sizeof aside, "%s.old-%d", path, (int)getpid());
    if (rename(path, aside) < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    fd = open(aside, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    code = fd >= 0 ? judge(fd) : -errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (code < 0) {
        return renameat2(AT_FDCWD, aside, AT_FDCWD, path, RENAME_NOREPLACE) < 0 ? -errno : code;
    }
    return unlink(aside) < 0 ? -errno : 0;
}

static int place(struct shm_segment *s)
{
    char self[40];
    int code = -EEXIST;
    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", s->fd);
    for (int i = 0; i < TRIES && !s->placed; i++) {
        s->placed = linkat(AT_FDCWD, self, AT_FDCWD, s->path, AT_SYMLINK_FOLLOW) == 0;
        code = s->placed ? 0 : -errno;
        if (code == -EEXIST && (code = remove_dead(s->path)) < 0) {
            return code;
        }
    }
    return s->placed ? 0 : code < 0 ? code : -EBUSY;
}

/* ---- memory ---- */

/* Reserved, not only promised: writing to a full /dev/shm would be SIGBUS. */
static int reserve(struct shm_segment *s, size_t size)
{
    if (size > s->reserved) {
        if (fallocate(s->fd, 0, 0, (off_t)size) < 0) {
            return -errno;
        }
        s->reserved = size;
    }
    return 0;
}

int shm_segment_resize(struct shm_segment *s, size_t ring_size)
{
    size_t head = s->writer.payload_offset, most = s->map_size - head;
    ring_size = ring_size < most ? ring_size : most;
    if (ring_size <= s->writer.ring_size) {
        return 0; /* there is no more: its frames may stay */
    }
    int code = reserve(s, head + ring_size);
    if (code == 0) {
        shm_writer_resize(&s->writer, ring_size);
    }
    return code;
}

/* Not fatal: then only programs of the same user and group can read it. */
static void give_to_group(int fd)
{
    struct group group, *found = NULL;
    char buf[16384];
    if (getgrnam_r(GROUP, &group, buf, sizeof buf, &found) == 0 && found) {
        (void)!fchown(fd, (uid_t)-1, found->gr_gid); /* EPERM: not a member */
    }
}

static int make(struct shm_segment *s, const struct shm_segment_plan *plan)
{
    size_t head = shm_payload_offset(plan->slot_count), ring = plan->map_size - head;
    ring = plan->ring_size ? plan->ring_size : ring;
    s->fd = open(FOLDER, O_TMPFILE | O_RDWR | O_CLOEXEC, MODE);
    int code = s->fd < 0 || fchmod(s->fd, MODE) < 0 ? -errno : hold(s->fd);
    code = code < 0 ? code : reserve(s, head + ring);
    if (code < 0) {
        return code;
    }
    give_to_group(s->fd);
    void *at = mmap(NULL, plan->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (at == MAP_FAILED) {
        return -errno;
    }
    s->map = at;
    s->map_size = plan->map_size;
    struct shm_plan w = { .map_size = plan->map_size,
                          .ring_size = ring,
                          .slot_count = plan->slot_count,
                          .pid = (uint32_t)getpid(),
                          .epoch = (uint64_t)clock_wall_us(),
                          .started_us = clock_wall_us(),
                          .name = plan->camera };
    (void)!getrandom(&w.epoch, sizeof w.epoch, GRND_NONBLOCK); /* else the time tells them apart */
    shm_writer_init(&s->writer, at, &w);
    return 0;
}

/* ---- life ---- */

static int explain(struct err *err, int code, const char *name)
{
    const char *why = code == -EBUSY    ? "another program streams there"
                      : code == -EEXIST ? "what is in " FOLDER " is no video stream: remove it"
                      : code == -EPERM || code == -EACCES ? "what is in " FOLDER
                                                            " belongs to another user: remove it"
                      : code == -ENOSPC ? FOLDER " is full"
                                        : err_text(code);
    return err_set(err, code, "shared memory %s: %s", name, why);
}

int shm_segment_open(struct shm_segment **out, const struct shm_segment_plan *plan, struct err *err)
{
    struct shm_segment *s = calloc(1, sizeof *s);
    if (!s) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    s->fd = -1;
    (void)snprintf(s->path, sizeof s->path, FOLDER "%s", plan->name); /* its length was checked */
    s->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    int code = make(s, plan);
    code = code < 0 ? code : place(s);
    if (code < 0) {
        shm_segment_close(s);
        return explain(err, code, plan->name);
    }
    if (s->watch >= 0 && inotify_add_watch(s->watch, s->path, WATCHED) < 0) {
        (void)close(s->watch);
        s->watch = -1;
    }
    *out = s;
    return 0;
}

/* Is the file under our name still this one? Somebody may have removed it, and another taken the name. */
static bool is_ours(const struct shm_segment *s)
{
    struct stat here, there;
    return s->placed && fstat(s->fd, &here) == 0 && lstat(s->path, &there) == 0 &&
           here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

void shm_segment_close(struct shm_segment *s)
{
    if (!s) {
        return;
    }
    if (is_ours(s)) {
        (void)unlink(s->path); /* what cannot be removed, the next start replaces */
    }
    if (s->map) {
        shm_writer_end(&s->writer);
        shm_segment_wake(s);
        (void)munmap(s->map, s->map_size);
    }
    if (s->fd >= 0) {
        (void)close(s->fd);
    }
    if (s->watch >= 0) {
        (void)close(s->watch);
    }
    free(s);
}

bool shm_segment_is_lost(const struct shm_segment *s)
{
    struct stat st;
    return fstat(s->fd, &st) == 0 && st.st_nlink == 0;
}

struct shm_writer *shm_segment_writer(struct shm_segment *s)
{
    return &s->writer;
}

void shm_segment_wake(struct shm_segment *s)
{
    (void)syscall(SYS_futex, &s->writer.head->wake, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

int shm_segment_watch_fd(const struct shm_segment *s)
{
    return s->watch;
}

void shm_segment_drain(struct shm_segment *s)
{
    char events[16384];
    while (read(s->watch, events, sizeof events) > 0) {
        continue;
    }
}
