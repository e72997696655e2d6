/* SPDX-License-Identifier: MIT */
/* File handles of the emulated camera. */
#include "fake_device.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_real.h"
#include "fake_state.h"

#define DEFAULT_NODE "/dev/video-fake"

/* One camera a process, reachable only through the C library's calls: there is no one to pass it. */
static struct fake fake = { .lock = PTHREAD_MUTEX_INITIALIZER };
static pthread_once_t fake_once = PTHREAD_ONCE_INIT;

static void init_once(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&fake.changed, &attr);
    pthread_condattr_destroy(&attr);
    fake.scratch = malloc((size_t)FORMAT_MAX_SIZE * FORMAT_MAX_SIZE / 4);
    fake_reset_controls(&fake);
}

static struct fake *enter(void)
{
    pthread_once(&fake_once, init_once);
    pthread_mutex_lock(&fake.lock);
    return &fake;
}

static void leave(struct fake *f)
{
    pthread_mutex_unlock(&f->lock);
}

static struct fake_handle *find_locked(struct fake *f, int fd)
{
    for (int i = 0; i < FAKE_HANDLES; i++) {
        if (f->handle[i].used && f->handle[i].fd == fd) {
            return &f->handle[i];
        }
    }
    return NULL;
}

/* Where the device is now. Commands are obeyed first: one may have moved it here. */
static void find_node(char node[PATH_MAX])
{
    const char *ours = getenv("PCS_FAKE_V4L2");
    struct fake *f = enter();
    fake_obey_locked(f);
    (void)snprintf(node, PATH_MAX, "%s", *f->node ? f->node : ours && *ours ? ours : DEFAULT_NODE);
    leave(f);
}

bool device_is_node(const char *path)
{
    char node[PATH_MAX];
    if (!path || !strstr(path, "video")) {
        return false;
    }
    find_node(node);
    return strcmp(path, node) == 0;
}

bool device_is_path(const char *path)
{
    char target[PATH_MAX];
    if (device_is_node(path)) {
        return true;
    }
    ssize_t n = path && (strstr(path, "video") || strstr(path, "by-"))
                    ? readlink(path, target, sizeof target - 1)
                    : -1;
    return n > 0 && (target[n] = '\0', device_is_node(target));
}

bool device_present(void)
{
    struct fake *f = enter();
    fake_obey_locked(f);
    bool present = !f->unplugged;
    leave(f);
    return present;
}

bool device_owns(int fd)
{
    struct fake *f = enter();
    bool owns = find_locked(f, fd) != NULL;
    leave(f);
    return owns;
}

static int open_locked(struct fake *f, int flags)
{
    bool first = true;
    struct fake_handle *h = NULL;
    for (int i = 0; i < FAKE_HANDLES; i++) {
        first &= !f->handle[i].used;
        h = !f->handle[i].used && !h ? &f->handle[i] : h;
    }
    if (!h || f->unplugged || f->denied) {
        return !h ? -EMFILE : f->unplugged ? -ENOENT : -EACCES;
    }
    int efd_flags = (flags & O_NONBLOCK ? EFD_NONBLOCK : 0) | (flags & O_CLOEXEC ? EFD_CLOEXEC : 0);
    *h = (struct fake_handle){ .used = true,
                               .fd = eventfd(0, efd_flags),
                               .priority = V4L2_PRIORITY_DEFAULT };
    h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->fd < 0 || h->event_fd < 0) {
        h->used = false;
        return -EMFILE;
    }
    if (first) {
        fake_load_settings_locked(f);
    }
    return h->fd;
}

int device_open(int flags)
{
    struct fake *f = enter();
    fake_obey_locked(f);
    int fd = open_locked(f, flags);
    leave(f);
    if (fd < 0) {
        errno = -fd;
        return -1;
    }
    return fd;
}

/* What the kernel does when a file with mapped buffers is closed: they hold the queue. */
static void orphan_maps_locked(struct fake *f)
{
    for (int i = 0; i < FAKE_MAPS; i++) {
        if (f->map[i].at && !f->map[i].orphan) {
            f->map[i].orphan = true;
            f->orphans++;
        }
    }
}

void device_close(int fd)
{
    struct fake *f = enter();
    struct fake_handle *h = find_locked(f, fd);
    if (h && f->owner == h) {
        orphan_maps_locked(f);
        fake_stream_off_locked(f);
        fake_free_buffers_locked(f);
        f->owner = NULL;
    }
    if (h) {
        (void)real_calls()->close(h->event_fd);
        (void)real_calls()->close(h->fd);
        *h = (struct fake_handle){ 0 };
    }
    leave(f);
}

void fake_wake_locked(struct fake *f)
{
    static const uint64_t one = 1;
    for (int i = 0; i < FAKE_HANDLES; i++) {
        struct fake_handle *h = &f->handle[i];
        bool filled = f->owner == h && f->length[1] > 0;
        if (h->used && (filled || h->dead) && write(h->fd, &one, sizeof one) < 0) {
            continue; /* full: readable already */
        }
        if (h->used && h->events > 0 && write(h->event_fd, &one, sizeof one) < 0) {
            continue;
        }
    }
}

int device_poll(int fd, short events, int *event_fd)
{
    struct fake *f = enter();
    struct fake_handle *h = find_locked(f, fd);
    int revents = -1;
    if (h) {
        *event_fd = h->event_fd;
        revents = h->events > 0 ? events & POLLPRI : 0;
        if (h->dead) {
            revents |= POLLERR | POLLHUP;
        } else if (f->owner == h && f->length[1] > 0) {
            revents |= events & (POLLIN | POLLRDNORM);
        } else if ((f->owner != h || !f->streaming) && (events & (POLLIN | POLLRDNORM))) {
            revents |= POLLERR; /* vb2: nothing can ever come */
        }
    }
    leave(f);
    return revents;
}

void *device_map(int fd, size_t size, int prot, int flags, off_t offset)
{
    struct fake *f = enter();
    struct fake_handle *h = find_locked(f, fd);
    int memory = h && f->owner == h && !h->dead ? fake_memory_at(f, offset, size) : -1;
    void *at = MAP_FAILED;
    errno = EINVAL;
    if (memory >= 0) {
        at = real_calls()->mmap(NULL, size, prot, flags, memory, 0);
    }
    for (int i = 0; i < FAKE_MAPS && at != MAP_FAILED; i++) {
        if (!f->map[i].at) {
            f->map[i].at = at;
            break;
        }
    }
    leave(f);
    return at;
}

void device_unmapped(void *at)
{
    struct fake *f = enter();
    for (int i = 0; i < FAKE_MAPS; i++) {
        if (at && f->map[i].at == at) {
            f->orphans -= f->map[i].orphan;
            f->map[i] = (struct fake_map){ 0 };
        }
    }
    leave(f);
}

static int dispatch_locked(struct fake *f, int fd, unsigned long request, void *arg)
{
    struct fake_handle *h = find_locked(f, fd);
    fake_obey_locked(f);
    if (!h || h->dead) {
        return -ENODEV;
    }
    if (_IOC_SIZE(request) > 0 && !arg) {
        uint64_t nothing[512] = { 0 };
        int code = fake_ioctl_locked(f, h, request, nothing);
        return code == -ENOTTY ? code : -EFAULT;
    }
    return fake_ioctl_locked(f, h, request, arg);
}

int device_ioctl(int fd, unsigned long request, void *arg)
{
    for (;;) {
        struct fake *f = enter();
        int code = dispatch_locked(f, fd, request, arg);
        leave(f);
        bool waits = code == -EAGAIN && request == VIDIOC_DQBUF;
        if (!waits || fcntl(fd, F_GETFL) & O_NONBLOCK) {
            errno = -code;
            return code < 0 ? -1 : 0;
        }
        struct pollfd filled = { .fd = fd, .events = POLLIN };
        (void)real_calls()->poll(&filled, 1, -1); /* whatever woke it, ask again */
    }
}
