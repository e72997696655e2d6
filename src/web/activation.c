/* SPDX-License-Identifier: MIT */
#include "activation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define FDS_MAX  64

static long number_of(const char *variable)
{
    const char *text = getenv(variable);
    return text ? strtol(text, NULL, 10) : 0;
}

static bool is_listening(int fd)
{
    int listening = 0, type = 0;
    socklen_t size = sizeof listening;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

/* Is the name at `at`, up to the next colon, ours? systemd calls what nobody named "unknown" or after the
 * unit: "x.socket". */
static bool is_named(const char *at, const char *name)
{
    size_t n = strcspn(at, ":");
    bool unnamed = n == 0 || (n == 7 && strncmp(at, "unknown", n) == 0) ||
                   (n > 7 && strncmp(at + n - 7, ".socket", 7) == 0);
    return unnamed ? strcmp(name, "http") == 0 : strlen(name) == n && strncmp(at, name, n) == 0;
}

int activation_take(const char *name, struct err *err)
{
    const char *names = getenv("LISTEN_FDNAMES"), *at = names ? names : "";
    long count = number_of("LISTEN_PID") == getpid() ? number_of("LISTEN_FDS") : 0;
    for (int fd = FIRST_FD; fd < FIRST_FD + (count < FDS_MAX ? count : FDS_MAX); fd++) {
        /* Made close-on-exec: it has been taken. */
        bool ours = is_named(at, name) && is_listening(fd) && !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        if (ours && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0) {
            return fd;
        }
        at += strcspn(at, ":");
        at += *at == ':';
    }
    return err_set(err, -ENOENT, "systemd has given no listening socket with FileDescriptorName=%s",
                   name);
}
