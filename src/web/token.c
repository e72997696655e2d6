/* SPDX-License-Identifier: MIT */
#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where to keep it; 0 or negative with err. */
static int state_folder(char *out, size_t size, struct err *err)
{
    const char *given = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int n = -1;
    if (given && *given) {
        n = snprintf(out, size, "%.*s", (int)strcspn(given, ":"), given);
    } else if (xdg && *xdg == '/') {
        n = snprintf(out, size, "%s/pi-camera-streamer", xdg);
    } else if (home && *home) {
        n = snprintf(out, size, "%s/.local/state/pi-camera-streamer", home);
    }
    if (n < 0 || (size_t)n >= size) {
        return err_set(err, -ENOENT, "there is no state folder (neither STATE_DIRECTORY nor HOME)");
    }
    return 0;
}

static int make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash) {
            *slash = '\0';
        }
        int code = mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
        if (!slash || code < 0) {
            return code;
        }
        *slash = '/';
    }
}

static int read_token(const char *file, char out[TOKEN_SIZE])
{
    char text[TOKEN_SIZE] = "";
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return -errno;
    }
    ssize_t n = read(fd, text, TOKEN_SIZE - 1);
    close(fd);
    if (n != TOKEN_SIZE - 1 || strspn(text, "0123456789abcdef") != TOKEN_SIZE - 1) {
        return -EINVAL;
    }
    memcpy(out, text, TOKEN_SIZE);
    return 0;
}

static int make_token(char out[TOKEN_SIZE])
{
    unsigned char raw[(TOKEN_SIZE - 1) / 2];
    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw) {
        return -EIO;
    }
    for (size_t i = 0; i < sizeof raw; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", raw[i]);
    }
    return 0;
}

/* Whole or not at all: written beside, then renamed. */
static int write_token(const char *file, const char *token)
{
    char beside[PATH_MAX];
    int n = snprintf(beside, sizeof beside, "%s.%d", file, (int)getpid());
    int fd = n > 0 && (size_t)n < sizeof beside
                 ? open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)
                 : -1;
    if (fd < 0) {
        return -errno;
    }
    bool written = fchmod(fd, 0600) == 0 && dprintf(fd, "%s\n", token) == TOKEN_SIZE;
    int code = written && fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    if (code == 0 && rename(beside, file) < 0) {
        code = -errno;
    }
    if (code < 0) {
        (void)unlink(beside); /* there may be nothing */
    }
    return code;
}

int token_load(char out[TOKEN_SIZE], struct err *err)
{
    char folder[PATH_MAX - 32], file[PATH_MAX];
    int code = state_folder(folder, sizeof folder, err);
    if (code == 0) {
        (void)snprintf(file, sizeof file, "%s/token", folder);
        if (read_token(file, out) == 0) {
            return 0;
        }
    }
    if (make_token(out) < 0) {
        return err_set(err, -EIO, "the kernel gives no random numbers");
    }
    if (code < 0) {
        return 1;
    }
    code = make_folders(folder);
    code = code == 0 ? write_token(file, out) : code;
    if (code < 0) {
        (void)err_set(err, code, "%s: %s", file, err_text(code));
    }
    return code < 0;
}
