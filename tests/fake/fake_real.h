/* SPDX-License-Identifier: MIT */
/*
 * The C library's own functions, behind the ones this library puts in front of them.
 * Threads: any.
 */
#pragma once

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/types.h>

struct real {
    int (*open)(const char *path, int flags, ...);
    int (*openat)(int dir, const char *path, int flags, ...);
    int (*close)(int fd);
    int (*ioctl)(int fd, unsigned long request, ...);
    void *(*mmap)(void *at, size_t size, int prot, int flags, int fd, off_t offset);
    int (*munmap)(void *at, size_t size);
    int (*poll)(struct pollfd *fds, nfds_t count, int timeout_ms);
    int (*ppoll)(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                 const sigset_t *mask);
    int (*select)(int count, fd_set *readable, fd_set *writable, fd_set *special,
                  struct timeval *timeout);
    int (*stat)(const char *path, struct stat *out);
    int (*lstat)(const char *path, struct stat *out);
    int (*fstat)(int fd, struct stat *out);
    FILE *(*fopen)(const char *path, const char *mode);
    int (*inotify_add_watch)(int fd, const char *path, uint32_t mask);
    int (*access)(const char *path, int mode);
};

const struct real *real_calls(void);
