/* SPDX-License-Identifier: MIT */
/*
 * The least that serving a stream can cost: a loop that sends a ready JPEG to N viewers, one sendmsg each,
 * at a fixed rate. Usage: fanout_floor JPEG VIEWERS FPS. Prints its port; runs until it is killed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "../fake/fake_media.h"

#define VIEWERS_MAX 1000

static void *load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    void *bytes = malloc(1 << 24);
    *size = file && bytes ? fread(bytes, 1, 1 << 24, file) : 0;
    if (file) {
        (void)fclose(file);
    }
    return bytes;
}

static int listen_here(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&in, size) < 0 || listen(fd, VIEWERS_MAX) < 0 ||
        getsockname(fd, (struct sockaddr *)&in, &size) < 0) {
        perror("fanout_floor");
        exit(1);
    }
    printf("%d\n", ntohs(in.sin_port));
    (void)fflush(stdout);
    return fd;
}

static int meet(int listener)
{
    static const char hello[] = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;"
                                "boundary=b\r\n\r\n--b\r\n";
    const int one = 1;
    char request[4096];
    int fd = accept(listener, NULL, NULL);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd < 0 || recv(fd, request, sizeof request, 0) <= 0 ||
        send(fd, hello, sizeof hello - 1, 0) < 0) {
        perror("fanout_floor");
        exit(1);
    }
    return fd;
}

static void send_all(const int *fds, int count, void *jpeg, size_t size)
{
    static const char tail[] = "\r\n--b\r\n";
    struct timespec now;
    char head[200];
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    clip_write_moment(jpeg, size, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    int n = snprintf(head, sizeof head, "Content-Type: image/jpeg\r\nContent-Length: %zu\r\n\r\n",
                     size);
    for (int i = 0; i < count; i++) {
        struct iovec iov[] = { { head, (size_t)n },
                               { jpeg, size },
                               { (void *)tail, sizeof tail - 1 } };
        const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 };
        if (sendmsg(fds[i], &msg, MSG_NOSIGNAL) < 0) {
            exit(0); /* the viewers have seen enough */
        }
    }
}

int main(int argc, char **argv)
{
    static int fds[VIEWERS_MAX];
    size_t size = 0;
    void *jpeg = argc == 4 ? load(argv[1], &size) : NULL;
    int count = argc == 4 ? atoi(argv[2]) : 0, fps = argc == 4 ? atoi(argv[3]) : 0;
    if (!jpeg || size == 0 || count < 1 || count > VIEWERS_MAX || fps < 1) {
        (void)fprintf(stderr, "usage: fanout_floor JPEG VIEWERS FPS\n");
        return 2;
    }
    int listener = listen_here();
    for (int i = 0; i < count; i++) {
        fds[i] = meet(listener);
    }
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    const struct itimerspec each = { { 0, 1000000000 / fps }, { 0, 1000000000 / fps } };
    (void)timerfd_settime(timer, 0, &each, NULL);
    for (uint64_t ticks; read(timer, &ticks, sizeof ticks) == sizeof ticks;) {
        send_all(fds, count, jpeg, size);
    }
    return 0;
}
