/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD library: an emulated V4L2 camera (README.md). This file stands in front of the C
 * library's calls and sends those that name the fake device, or an fd of it, to fake_device.c.
 */

/* The names below must be the plain ones: no 64-bit or fortified aliases. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "fake_device.h"
#include "fake_real.h"

#define EXPORT     __attribute__((visibility("default")))
#define MAX_POLLED 256

/* A device number that no real camera is likely to have, and what sysfs would say of it. */
#define NODE_MAJOR 81
#define NODE_MINOR 250
#define NODE_SYSFS "/sys/dev/char/81:250/uevent"

/* ISO C has no conversion from dlsym's object pointer to a function pointer; POSIX makes it work. */
static void look_up(void *slot, const char *name)
{
    void *at = dlsym(RTLD_NEXT, name);
    memcpy(slot, &at, sizeof at);
}

const struct real *real_calls(void)
{
    static struct real real; /* the same values whoever writes them, so a race is harmless */
    if (!real.access) {
        look_up(&real.open, "open");
        look_up(&real.openat, "openat");
        look_up(&real.close, "close");
        look_up(&real.ioctl, "ioctl");
        look_up(&real.mmap, "mmap");
        look_up(&real.munmap, "munmap");
        look_up(&real.poll, "poll");
        look_up(&real.ppoll, "ppoll");
        look_up(&real.select, "select");
        look_up(&real.stat, "stat");
        look_up(&real.lstat, "lstat");
        look_up(&real.fstat, "fstat");
        look_up(&real.fopen, "fopen");
        look_up(&real.inotify_add_watch, "inotify_add_watch");
        look_up(&real.access, "access"); /* last: see above */
    }
    return &real;
}

static mode_t mode_argument(int flags, va_list args)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_argument(flags, args);
    va_end(args);
    return device_is_path(path) ? device_open(flags) : real_calls()->open(path, flags, mode);
}

EXPORT int openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_argument(flags, args);
    va_end(args);
    return device_is_path(path) ? device_open(flags) : real_calls()->openat(dir, path, flags, mode);
}

/* On 64-bit Linux these are the same functions under other names. */
EXPORT int open64(const char *path, int flags, ...) __attribute__((alias("open")));
EXPORT int openat64(int dir, const char *path, int flags, ...) __attribute__((alias("openat")));

EXPORT int __open_2(const char *path, int flags);
EXPORT int __open_2(const char *path, int flags)
{
    return open(path, flags);
}
EXPORT int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));

EXPORT int close(int fd)
{
    if (!device_owns(fd)) {
        return real_calls()->close(fd);
    }
    device_close(fd);
    return 0;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    /* Some callers hand an int with its sign; requests are 32 bits. */
    return device_owns(fd) ? device_ioctl(fd, (uint32_t)request, arg)
                           : real_calls()->ioctl(fd, request, arg);
}

EXPORT void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    return fd >= 0 && device_owns(fd) ? device_map(fd, size, prot, flags, offset)
                                      : real_calls()->mmap(at, size, prot, flags, fd, offset);
}
EXPORT void *mmap64(void *at, size_t size, int prot, int flags, int fd, off_t offset)
    __attribute__((alias("mmap")));

EXPORT int munmap(void *at, size_t size)
{
    int result = real_calls()->munmap(at, size);
    if (result == 0) {
        device_unmapped(at);
    }
    return result;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Fake entries get their revents; returns how many entries of `fds` have any. `extra` gets the event
 * fds to wait on besides, `*extras` their number; an fd of ours that is not ready stays to be polled
 * (an eventfd), but what it says then is only a hint to ask again. */
static int ask_fakes(struct pollfd *fds, nfds_t count, struct pollfd *real, nfds_t *extras)
{
    int ready = 0;
    *extras = 0;
    for (nfds_t i = 0; i < count; i++) {
        int event_fd = -1;
        int revents = fds[i].fd < 0 ? -1 : device_poll(fds[i].fd, fds[i].events, &event_fd);
        real[i] = fds[i];
        if (revents < 0) {
            continue;
        }
        fds[i].revents = (short)revents;
        ready += revents != 0;
        real[i].events = fds[i].events & POLLIN;
        real[count + (*extras)++] = (struct pollfd){ .fd = event_fd, .events = POLLIN };
    }
    return ready;
}

/* Bring the answers for real entries over; returns how many have any. */
static int take_answers(struct pollfd *fds, nfds_t count, const struct pollfd *real)
{
    int ready = 0;
    for (nfds_t i = 0; i < count; i++) {
        int event_fd;
        if (fds[i].fd < 0 || device_poll(fds[i].fd, fds[i].events, &event_fd) < 0) {
            fds[i].revents = real[i].revents;
            ready += real[i].revents != 0;
        }
    }
    return ready;
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                 const sigset_t *mask)
{
    struct pollfd real[2 * MAX_POLLED], again[2 * MAX_POLLED];
    nfds_t extras = 0, same;
    if (count > MAX_POLLED) {
        return real_calls()->ppoll(fds, count, timeout, mask);
    }
    int64_t end_ns = timeout ? now_ns() + timeout->tv_sec * 1000000000 + timeout->tv_nsec : 0;
    for (;;) {
        int fakes = ask_fakes(fds, count, real, &extras);
        if (extras == 0) {
            return real_calls()->ppoll(fds, count, timeout, mask);
        }
        int64_t left_ns = timeout && end_ns > now_ns() ? end_ns - now_ns() : 0;
        left_ns = fakes ? 0 : left_ns;
        const struct timespec left = { .tv_sec = left_ns / 1000000000,
                                       .tv_nsec = left_ns % 1000000000 };
        int n = real_calls()->ppoll(real, count + extras, fakes || timeout ? &left : NULL, mask);
        if (n < 0) {
            return n;
        }
        fakes = fakes ? fakes : ask_fakes(fds, count, again, &same);
        int ready = fakes + take_answers(fds, count, real);
        if (ready > 0 || (timeout && n == 0)) {
            return ready;
        }
    }
}

EXPORT int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    const struct timespec timeout = { .tv_sec = timeout_ms / 1000,
                                      .tv_nsec = timeout_ms % 1000 * 1000000L };
    return ppoll(fds, count, timeout_ms < 0 ? NULL : &timeout, NULL);
}

EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t room);
EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t room)
{
    if (room / sizeof *fds < count) {
        abort();
    }
    return poll(fds, count, timeout_ms);
}

static void forget_fakes(int count, fd_set *set)
{
    for (int fd = 0; set && fd < count; fd++) {
        if (FD_ISSET(fd, set) && device_owns(fd)) {
            FD_CLR(fd, set);
        }
    }
}

/* Behind the fake's fd is an eventfd, readable with each frame; but a camera is never writable. */
EXPORT int select(int count, fd_set *readable, fd_set *writable, fd_set *special,
                  struct timeval *timeout)
{
    forget_fakes(count, writable);
    forget_fakes(count, special);
    return real_calls()->select(count, readable, writable, special, timeout);
}

static int describe_node(struct stat *out)
{
    *out = (struct stat){ .st_mode = S_IFCHR | 0660,
                          .st_nlink = 1,
                          .st_rdev = makedev(NODE_MAJOR, NODE_MINOR) };
    if (!device_present()) {
        errno = ENOENT;
        return -1;
    }
    return 0;
}

EXPORT int stat(const char *path, struct stat *out)
{
    return device_is_path(path) ? describe_node(out) : real_calls()->stat(path, out);
}

EXPORT int lstat(const char *path, struct stat *out)
{
    return device_is_node(path) ? describe_node(out) : real_calls()->lstat(path, out);
}

EXPORT int fstat(int fd, struct stat *out)
{
    return device_owns(fd) ? describe_node(out) : real_calls()->fstat(fd, out);
}

EXPORT int stat64(const char *path, struct stat64 *out) __attribute__((alias("stat")));
EXPORT int lstat64(const char *path, struct stat64 *out) __attribute__((alias("lstat")));
EXPORT int fstat64(int fd, struct stat64 *out) __attribute__((alias("fstat")));

/* A folder of the test's stands in for /dev: files that it makes there are nodes that appear. */
EXPORT int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    const char *other = getenv("PCS_FAKE_DEV");
    return real_calls()->inotify_add_watch(fd, other && strcmp(path, "/dev") == 0 ? other : path,
                                           mask);
}

EXPORT int access(const char *path, int mode)
{
    struct stat node;
    return device_is_path(path) ? describe_node(&node) : real_calls()->access(path, mode);
}

/* v4l2-ctl looks there to learn what kind of device a node is. */
static FILE *open_sysfs(void)
{
    static const char text[] = "MAJOR=81\nMINOR=250\nDEVNAME=video250\n";
    int fd = memfd_create("v4l2fake-sysfs", MFD_CLOEXEC);
    if (fd < 0 || pwrite(fd, text, sizeof text - 1, 0) < 0) {
        return NULL;
    }
    return fdopen(fd, "r");
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
    return path && strcmp(path, NODE_SYSFS) == 0 ? open_sysfs() : real_calls()->fopen(path, mode);
}
EXPORT FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));
