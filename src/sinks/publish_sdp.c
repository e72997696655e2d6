/* SPDX-License-Identifier: MIT */
#include "publish_sdp.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcs/log.h"

#define PATH_BYTES 1024

/* A camera's name may have anything in it. */
static void file_name(const char *name, int port, char *out, size_t size)
{
    char safe[65];
    size_t n = 0;
    for (; *name && n < sizeof safe - 1; name++) {
        safe[n++] = isalnum((unsigned char)*name) || strchr("-_", *name) ? *name : '_';
    }
    safe[n] = '\0';
    (void)snprintf(out, size, "%s-%d.sdp", n > 0 ? safe : "camera", port);
}

static bool write_all(int fd, const char *text)
{
    size_t size = strlen(text);
    return write(fd, text, size) == (ssize_t)size;
}

/* By rename, so that nothing that stands there is followed or written through. */
static bool write_file(const char *folder, const char *name, const char *text, char *path)
{
    char temporary[PATH_BYTES];
    (void)snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    (void)snprintf(temporary, sizeof temporary, "%s/.sdp-XXXXXX", folder);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool ok = write_all(fd, text) && fchmod(fd, 0644) == 0;
    close(fd);
    ok = ok && rename(temporary, path) == 0;
    if (!ok) {
        (void)unlink(temporary); /* gone already, or it never was of use */
    }
    return ok;
}

static bool write_somewhere(const char *name, const char *text, char *path)
{
    const char *const folders[] = { ".", getenv("RUNTIME_DIRECTORY"), getenv("XDG_RUNTIME_DIR") };
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (folders[i] && write_file(folders[i], name, text, path)) {
            return true;
        }
    }
    return false;
}

static void log_text(const char *text)
{
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\r\n");
        log_info("sdp: %.*s", (int)n, line);
        line += n + strspn(line + n, "\r\n");
    }
}

void publish_sdp_tell(const char *text, const char *shown, const char *name, int port)
{
    char file[100], path[PATH_BYTES];
    file_name(name, port, file, sizeof file);
    if (write_somewhere(file, text, path)) {
        log_info("%s: players open '%s', or the same lines without \"sdp: \":", shown, path);
    } else {
        log_info("%s: players need a file of these lines, without \"sdp: \":", shown);
    }
    log_text(text);
}
