/* SPDX-License-Identifier: MIT */
#include "input_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <libavformat/avio.h>
#include <libavutil/error.h>
#include <libavutil/mem.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcs/stop.h"

#define BUFFER_SIZE (64 << 10)

struct input_pipe {
    int fd;
    struct stop *stop;
};

static bool is_stdin(const char *url)
{
    return strcmp(url, "-") == 0 || strcmp(url, "pipe:") == 0 || strcmp(url, "pipe:0") == 0;
}

bool input_is_pipe(const char *url)
{
    struct stat file;
    return is_stdin(url) || (stat(url, &file) == 0 && S_ISFIFO(file.st_mode));
}

static int read_pipe(void *arg, uint8_t *to, int size)
{
    struct input_pipe *p = arg;
    for (;;) {
        int events = stop_poll(p->stop, p->fd, POLLIN, -1);
        if (events < 0) {
            return events == -ECANCELED ? AVERROR_EXIT : events;
        }
        ssize_t n = read(p->fd, to, (size_t)size);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        return n < 0 ? -errno : n == 0 ? AVERROR_EOF : (int)n;
    }
}

int input_pipe_open(struct AVIOContext **out, const char *url, struct stop *stop)
{
    struct input_pipe *p = calloc(1, sizeof *p);
    if (!p) {
        return -ENOMEM;
    }
    p->stop = stop;
    p->fd = is_stdin(url) ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                          : open(url, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int code = p->fd < 0 ? -errno : 0;
    uint8_t *buffer = code == 0 ? av_malloc(BUFFER_SIZE) : NULL;
    AVIOContext *io = buffer ? avio_alloc_context(buffer, BUFFER_SIZE, 0, p, read_pipe, NULL, NULL)
                             : NULL;
    if (io) {
        *out = io;
        return 0;
    }
    av_free(buffer);
    if (p->fd >= 0) {
        close(p->fd);
    }
    free(p);
    return code < 0 ? code : -ENOMEM;
}

void input_pipe_close(struct AVIOContext **io)
{
    if (*io) {
        struct input_pipe *p = (*io)->opaque;
        close(p->fd);
        free(p);
        av_freep(&(*io)->buffer); /* libavformat may have replaced the one we gave */
        avio_context_free(io);
    }
}
