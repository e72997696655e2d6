/* SPDX-License-Identifier: MIT */
#include "naming.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/err.h"
#include "record/recorder.h"

#define PATH_SIZE     4096
#define MAX_NUMBERED  1000000
#define FALLBACK_NAME "camera"

/* Length of the UTF-8 sequence at `s` (RFC 3629, without its rarer exclusions), 0 when it is none. */
static size_t utf8_length(const char *s)
{
    unsigned char c = (unsigned char)s[0];
    size_t n = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : 0;
    n = c >= 0xF0 && c < 0xF5 ? 4 : n;
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return n;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("._-+@=,", c);
}

void naming_safe(const char *name, char out[NAMING_NAME_MAX + 1])
{
    size_t used = 0;
    for (const char *s = name ? name : ""; *s;) {
        size_t n = utf8_length(s);
        bool keep = n > 1 || (n == 1 && is_plain(*s));
        if (used + (n ? n : 1) > NAMING_NAME_MAX) {
            break;
        }
        if (keep) {
            memcpy(out + used, s, n);
        } else {
            out[used] = '_';
            n = 1;
        }
        used += n;
        s += n;
    }
    out[used] = '\0';
    if (out[0] == '.' || out[0] == '-') {
        out[0] = '_';
    }
    if (used == 0) {
        strcpy(out, FALLBACK_NAME);
    }
}

struct text {
    char *p, *end;
};

static void put(struct text *t, const char *s, size_t n)
{
    size_t room = (size_t)(t->end - t->p);
    n = n < room ? n : room;
    memcpy(t->p, s, n);
    t->p += n;
}

static void put_escaped(struct text *t, const char *s)
{
    for (; *s; s++) {
        put(t, *s == '%' ? "%%" : s, *s == '%' ? 2 : 1);
    }
}

/* Our two conversions replaced, everything else left for strftime. */
static void to_strftime(const struct naming *n, char *out, size_t size)
{
    struct text t = { out, out + size - 1 };
    char name[NAMING_NAME_MAX + 1], number[16];
    naming_safe(n->name, name);
    snprintf(number, sizeof number, "%u", n->number);
    for (const char *s = n->pattern; *s; s++) {
        if (s[0] == '%' && (s[1] == 'n' || s[1] == 's')) {
            put_escaped(&t, s[1] == 'n' ? name : number);
            s++;
        } else if (s[0] == '%' && s[1] == '\0') {
            put(&t, "%%", 2);
        } else if (s[0] == '%') {
            put(&t, s, 2);
            s++;
        } else {
            put(&t, s, 1);
        }
    }
    *t.p = '\0';
}

/* The pattern is the user's on purpose; strftime, unlike printf, reads nothing by it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static size_t format_time(char *out, size_t size, const char *format, const struct tm *tm)
{
    return strftime(out, size, format, tm);
}
#pragma GCC diagnostic pop

char *naming_expand(const struct naming *n, int64_t wall_us)
{
    char format[PATH_SIZE], path[PATH_SIZE];
    struct tm tm;
    time_t seconds = (time_t)(wall_us / CLOCK_S);
    to_strftime(n, format, sizeof format);
    if (!localtime_r(&seconds, &tm) || format_time(path, sizeof path, format, &tm) == 0) {
        return NULL;
    }
    return strdup(path);
}

size_t naming_stem(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    return dot && dot > base ? (size_t)(dot - path) : strlen(path);
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) {
        return strdup(".");
    }
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int folder_error(const char *folder, int code, struct err *err)
{
    struct stat st;
    if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode)) {
        return err_set(err, code, "folder '%s' for recordings does not exist", folder);
    }
    return err_set(err, code, "cannot write recordings into folder '%s': %s", folder,
                   err_text(code));
}

static int open_numbered(const char *path, unsigned i, char **out)
{
    char *name = NULL;
    int stem = (int)naming_stem(path);
    if (i == 0) {
        name = strdup(path);
    } else if (asprintf(&name, "%.*s-%u%s", stem, path, i, path + stem) < 0) {
        name = NULL;
    }
    if (!name) {
        return -ENOMEM;
    }
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0) {
        fd = -errno;
        free(name);
        return fd;
    }
    *out = name;
    return fd;
}

static int create_error(const char *path, int code, struct err *err)
{
    char *folder = folder_of(path);
    if (folder && (code == -ENOENT || code == -ENOTDIR || code == -EACCES)) {
        code = folder_error(folder, code, err);
    } else {
        err_set(err, code, "cannot make the recording '%s': %s", path, err_text(code));
    }
    free(folder);
    return code;
}

int naming_create(const struct naming *n, int64_t wall_us, char **path, struct err *err)
{
    char *wanted = naming_expand(n, wall_us);
    if (!wanted) {
        return err_set(err, -EINVAL, "output pattern '%s' gives no file name", n->pattern);
    }
    int fd = -EEXIST;
    for (unsigned i = 0; fd == -EEXIST && i < MAX_NUMBERED; i++) {
        fd = open_numbered(wanted, i, path);
    }
    if (fd < 0) {
        create_error(wanted, fd, err);
    }
    free(wanted);
    return fd;
}

/* Permissions alone do not tell (root, network file systems, /proc): make a file and drop it. */
static int try_folder(const char *folder)
{
    char path[PATH_SIZE];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
        return -errno;
    }
    snprintf(path, sizeof path, "%s/.recording-XXXXXX", folder);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    close(fd);
    return unlink(path) < 0 ? -errno : 0;
}

static int check_folder(const char *path, struct err *err)
{
    struct stat st;
    int ret = 0;
    char *folder = folder_of(path);
    if (!folder) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    if (stat(folder, &st) < 0) {
        ret = folder_error(folder, -errno, err);
    } else {
        ret = S_ISDIR(st.st_mode) ? try_folder(folder) : -ENOTDIR;
        ret = ret < 0 ? folder_error(folder, ret, err) : 0;
    }
    free(folder);
    return ret;
}

static int check_path(const char *path, struct err *err)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return err_set(err, -EISDIR, "output '%s' is a folder; name a file in it, as '%s/out.mp4'",
                       path, path);
    }
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        return err_set(err, -EINVAL, "output '%s' exists and is not a regular file", path);
    }
    if (*base == '\0') {
        return err_set(err, -EINVAL, "output '%s' names no file", path);
    }
    if (strlen(base) > 200) { /* NAME_MAX less what numbering and temporary names add */
        return err_set(err, -ENAMETOOLONG, "output: the file name '%s' has more than 200 bytes",
                       base);
    }
    return check_folder(path, err);
}

int naming_check(const struct naming *n, struct err *err)
{
    char *path = naming_expand(n, clock_wall_us());
    if (!path) {
        return err_set(err, -EINVAL, "output pattern '%s' gives no file name", n->pattern);
    }
    int ret = check_path(path, err);
    free(path);
    return ret;
}

int record_check_pattern(const char *pattern, struct err *err)
{
    struct naming naming = { .pattern = pattern, .name = "camera", .number = 1 };
    return naming_check(&naming, err);
}
