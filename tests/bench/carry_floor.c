/* SPDX-License-Identifier: MIT */
/*
 * The least work that carries video from one process to another and to a disk: no protocol, no clock,
 * no acknowledgement, no recording that could be played. What any pair of programs has to do besides.
 *
 *   carry_floor receive FILE          says "port N" on stderr, then writes what comes, synced each second
 *   carry_floor send PORT CLIP.h264   one access unit each 33.3 ms, one call each
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../fake/fake_media.h"
#include "pcs/clock.h"
#include "pcs/err.h"
#include "pcs/sock.h"

#define BATCH       (1 << 20)
#define INTERVAL_NS 33333333

static int fail(int code, const char *what)
{
    (void)fprintf(stderr, "carry_floor: %s: %s\n", what, err_text(code));
    return 1;
}

static int accept_one(int *out)
{
    char name[SOCK_NAME_MAX];
    int listener;
    int code = sock_listen("127.0.0.1", 0, &listener, NULL);
    if (code < 0) {
        return code;
    }
    (void)fprintf(stderr, "port %d\n", sock_port(listener));
    struct pollfd p = { .fd = listener, .events = POLLIN };
    code = poll(&p, 1, -1) < 0 ? -errno : sock_accept(listener, out, name);
    close(listener);
    return code;
}

static int flush(int file, const char *data, size_t size)
{
    return write(file, data, size) == (ssize_t)size && fdatasync(file) == 0 ? 0 : -EIO;
}

static int receive(const char *path)
{
    static char batch[BATCH];
    int fd, code = accept_one(&fd);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (code < 0 || file < 0) {
        return fail(code < 0 ? code : -errno, path);
    }
    struct pollfd p = { .fd = fd, .events = POLLIN };
    size_t have = 0;
    for (int64_t due_us = clock_now_us() + CLOCK_S; code == 0 && poll(&p, 1, -1) >= 0;) {
        ssize_t n = recv(fd, batch + have, sizeof batch - have, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            break;
        }
        have += n > 0 ? (size_t)n : 0;
        if (have == sizeof batch || clock_now_us() >= due_us) {
            code = flush(file, batch, have);
            have = 0;
            due_us = clock_now_us() + CLOCK_S;
        }
    }
    return code < 0 ? fail(code, path) : 0;
}

static void wait_a_frame(struct timespec *next)
{
    next->tv_nsec += INTERVAL_NS;
    if (next->tv_nsec >= 1000000000) {
        next->tv_nsec -= 1000000000;
        next->tv_sec++;
    }
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL); /* a signal ends it all */
}

static int play(int port, const char *path)
{
    struct clip clip;
    struct timespec next;
    char name[SOCK_NAME_MAX];
    int fd;
    int code = sock_connect("127.0.0.1", port, NULL, 5 * CLOCK_S, &fd, name, NULL);
    if (code < 0 || !clip_load(&clip, path, FORMAT_H264)) {
        return fail(code, path);
    }
    sock_tune(fd, 0, 0);
    (void)fcntl(fd, F_SETFL, 0); /* blocking */
    (void)clock_gettime(CLOCK_MONOTONIC, &next);
    for (size_t i = 0;; i++) {
        const struct piece *piece = &clip.piece[i % clip.count];
        wait_a_frame(&next);
        if (send(fd, clip.data + piece->offset, piece->size, MSG_NOSIGNAL) < 0) {
            return fail(-errno, "send");
        }
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "receive") == 0) {
        return receive(argv[2]);
    }
    if (argc == 4 && strcmp(argv[1], "send") == 0) {
        return play(atoi(argv[2]), argv[3]);
    }
    (void)fprintf(stderr, "usage: carry_floor receive FILE | send PORT CLIP.h264\n");
    return 2;
}
