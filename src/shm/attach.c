/* SPDX-License-Identifier: MIT */
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHM_FOLDER "/dev/shm" /* where shm_open(3) of glibc and musl puts its names */
#define BLIND_MS   200        /* how often to look when inotify has no watch left for us */

int segment_name(char *out, size_t size, const char *name)
{
    name += *name == '/';
    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        strlen(name) + 2 > size) {
        return -EINVAL;
    }
    (void)snprintf(out, size, "/%s", name); /* it fits */
    return 0;
}

/* ---- locks: byte 0 is the producer's, byte 1 the readers' ---- */

static bool is_alive(int fd)
{
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = SHM_LOCK_PRODUCER, .l_len = 1
    };
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_WRLCK;
}

/* Without it (somebody with the right to write holds that byte) the producer only does not know of us. */
static void announce(int fd)
{
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = SHM_LOCK_READERS, .l_len = 1
    };
    (void)fcntl(fd, F_OFD_SETLK, &lock);
}

bool segment_alive(const struct segment *s)
{
    return is_alive(s->fd);
}

/* ---- attach ---- */

void segment_detach(struct segment *s)
{
    if (s->map) {
        (void)munmap((void *)s->map, s->mapped); /* cannot fail: it is ours */
        s->map = NULL;
    }
    if (s->fd >= 0) {
        (void)close(s->fd); /* also lets go of the lock */
        s->fd = -1;
    }
}

void segment_measure(struct segment *s)
{
    struct stat st;
    uint64_t size = fstat(s->fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
    s->readable = size < s->mapped ? (size_t)size : s->mapped;
}

static bool has_ended(const struct shm_head *head)
{
    return atomic_load_explicit(&((struct shm_head *)head)->ended, memory_order_relaxed) != 0;
}

/* The lock comes before the head is read: it is the reading that the producer hears (inotify). */
static int check(struct segment *s)
{
    struct stat st;
    announce(s->fd);
    if (fstat(s->fd, &st) < 0) {
        return -errno;
    }
    s->uid = st.st_uid;
    if (!S_ISREG(st.st_mode) ||
        pread(s->fd, &s->head, sizeof s->head, 0) != (ssize_t)sizeof s->head) {
        return -EBADMSG;
    }
    int code = shm_head_check(&s->head, (uint64_t)st.st_size);
    return code < 0 ? code : is_alive(s->fd) && !has_ended(&s->head) ? 0 : -ENOENT;
}

static int map(struct segment *s)
{
    s->mapped = (size_t)s->head.map_size;
    void *at = mmap(NULL, s->mapped, PROT_READ, MAP_SHARED, s->fd, 0);
    if (at == MAP_FAILED) {
        return -errno;
    }
    s->map = at;
    segment_measure(s);
    return s->readable >= s->head.payload_offset ? 0 : -EBADMSG;
}

/* -ENOENT also when what is there has nobody behind it. */
static int attach(struct segment *s, const char *name)
{
    s->fd =
        shm_open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0); /* it may be anything, a FIFO too */
    int code = s->fd < 0 ? -errno : check(s);
    code = code < 0 ? code : map(s);
    if (code < 0) {
        segment_detach(s);
    }
    return code;
}

static void drain(int fd)
{
    char events[4096];
    while (read(fd, events, sizeof events) > 0) {
        continue;
    }
}

/* Sleep until something appears in the folder: -EAGAIN look again, -ENOENT too late, -EINTR. */
static int sleep_until(int watch, int64_t deadline_ms, int64_t now)
{
    int64_t left = deadline_ms - now, most = watch < 0 ? BLIND_MS : 60000;
    struct pollfd fd = { .fd = watch, .events = POLLIN };
    if (left <= 0) {
        return -ENOENT;
    }
    int got = poll(&fd, 1, (int)(left < most ? left : most));
    if (got > 0) {
        drain(watch);
    }
    return got < 0 && errno == EINTR ? -EINTR : -EAGAIN;
}

int segment_wait(struct segment *s, const char *name, int64_t deadline_ms, int64_t (*now_ms)(void))
{
    int code = attach(s, name);
    if (code != -ENOENT || now_ms() >= deadline_ms) {
        return code;
    }
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch >= 0 &&
        inotify_add_watch(watch, SHM_FOLDER, IN_CREATE | IN_MOVED_TO | IN_ATTRIB) < 0) {
        (void)close(watch);
        watch = -1;
    }
    do {
        code = attach(s, name);
        code = code == -ENOENT ? sleep_until(watch, deadline_ms, now_ms()) : code;
    } while (code == -EAGAIN);
    if (watch >= 0) {
        (void)close(watch);
    }
    return code;
}

bool segment_replaced(const struct segment *s, const char *name)
{
    struct segment other = { .fd = -1 };
    bool replaced = attach(&other, name) == 0 && other.head.epoch != s->head.epoch;
    segment_detach(&other);
    return replaced;
}
