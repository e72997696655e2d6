/* SPDX-License-Identifier: MIT */
/*
 * N viewers of an MJPEG stream, as cheap as viewers can be (the kernel throws the pictures away). Says how old
 * each picture is when its last byte has come: fanout_watch PORT PATH VIEWERS SECONDS prints
 * "frames N p50 ms p95 ms p99 ms max ms" of all viewers together, after a second to warm up. When a picture
 * was taken stands in itself (fake_media.h), so that it means the same whoever serves it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../fake/fake_media.h"
#include "pcs/clock.h"
#include "pcs/stats.h"

#define MOMENT_WITHIN 256 /* of a picture's bytes */

struct watcher {
    int fd;
    char head[2048];
    size_t have;
    size_t left; /* of the picture */
    int64_t taken_us;
};

static struct histogram ages;
static int64_t count_from_us;

static void begin(struct watcher *w, int port, const char *path)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char request[300];
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    w->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&in, sizeof in) < 0 ||
        send(w->fd, request, (size_t)n, 0) != n) {
        perror("fanout_watch");
        exit(1);
    }
}

static void finish_picture(struct watcher *w)
{
    int64_t now_us = clock_now_us();
    if (now_us >= count_from_us && w->taken_us > 0) {
        histogram_add(&ages, now_us - w->taken_us);
    }
}

/* Is a picture's head there, and what tells its age? Then how much follows, and when it was taken. */
static bool read_head(struct watcher *w)
{
    char *length = strstr(w->head, "Content-Length: ");
    char *end = length ? strstr(length, "\r\n\r\n") : NULL;
    if (!end || w->head + w->have < end + 4 + MOMENT_WITHIN) {
        return false;
    }
    const char *moment = memmem(end + 4, MOMENT_WITHIN, CLIP_MOMENT, strlen(CLIP_MOMENT));
    w->taken_us = moment ? strtoll(moment + strlen(CLIP_MOMENT), NULL, 10) : 0;
    w->left = strtoul(length + 16, NULL, 10);
    size_t used = (size_t)(end + 4 - w->head), more = w->have - used;
    more = more < w->left ? more : w->left;
    w->left -= more;
    w->have -= used + more;
    memmove(w->head, w->head + used + more, w->have + 1);
    return true;
}

/* False: nothing more for now. */
static bool watch(struct watcher *w)
{
    ssize_t n;
    if (w->left > 0) {
        n = recv(w->fd, NULL, w->left, MSG_TRUNC | MSG_DONTWAIT);
        w->left -= n > 0 ? (size_t)n : 0;
        if (n > 0 && w->left == 0) {
            finish_picture(w);
        }
    } else {
        n = recv(w->fd, w->head + w->have, sizeof w->head - 1 - w->have, MSG_DONTWAIT);
        w->have += n > 0 ? (size_t)n : 0;
        w->head[w->have] = '\0';
        if (n > 0 && !read_head(w) && w->have == sizeof w->head - 1) {
            n = 0;
        }
    }
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        (void)fprintf(stderr, "fanout_watch: the stream has ended\n");
        exit(1);
    }
    return n > 0;
}

int main(int argc, char **argv)
{
    int count = argc == 5 ? atoi(argv[3]) : 0;
    struct watcher *watchers = count > 0 ? calloc((size_t)count, sizeof *watchers) : NULL;
    if (!watchers) {
        (void)fprintf(stderr, "usage: fanout_watch PORT PATH VIEWERS SECONDS\n");
        return 2;
    }
    int poll = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        begin(&watchers[i], atoi(argv[1]), argv[2]);
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = &watchers[i] };
        (void)epoll_ctl(poll, EPOLL_CTL_ADD, watchers[i].fd, &e);
    }
    count_from_us = clock_now_us() + CLOCK_S;
    int64_t end_us = count_from_us + atoi(argv[4]) * CLOCK_S;
    while (clock_now_us() < end_us) {
        struct epoll_event events[128];
        int n = epoll_wait(poll, events, 128, 100);
        for (int i = 0; i < n; i++) {
            while (watch(events[i].data.ptr)) {
            }
        }
    }
    printf(
        "frames %llu p50 %.3f p95 %.3f p99 %.3f max %.3f\n",
        (unsigned long long)counter_get(&ages.count), (double)histogram_quantile(&ages, 0.5) / 1e3,
        (double)histogram_quantile(&ages, 0.95) / 1e3,
        (double)histogram_quantile(&ages, 0.99) / 1e3, (double)histogram_quantile(&ages, 1) / 1e3);
    return 0;
}
