/* SPDX-License-Identifier: MIT */
#include "node_watch.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

int node_watch_open(void)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd >= 0 && inotify_add_watch(fd, "/dev", IN_CREATE | IN_MOVED_TO | IN_ATTRIB) < 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    return fd < 0 ? -errno : fd;
}

/* inotify(7): records of varying length. After an overflow nobody knows: worth a look. */
static bool names_video(const char *at, size_t size)
{
    struct inotify_event event;
    bool any = false;
    while (size >= sizeof event) {
        memcpy(&event, at, sizeof event);
        any |= event.mask & IN_Q_OVERFLOW ||
               (event.len > 0 && strncmp(at + sizeof event, "video", 5) == 0);
        at += sizeof event + event.len;
        size -= sizeof event + event.len;
    }
    return any;
}

bool node_watch_read(int fd)
{
    char events[4096];
    bool any = false;
    ssize_t n;
    while ((n = read(fd, events, sizeof events)) > 0) {
        any |= names_video(events, (size_t)n);
    }
    return any;
}
