/* SPDX-License-Identifier: MIT */
#include "record/retention.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "boxes.h"
#include "disk.h"
#include "naming.h"
#include "pcs/clock.h"
#include "pcs/err.h"
#include "pcs/log.h"

#define AHEAD_US (60 * CLOCK_S)

/* ---- the decision ---- */

size_t retention_next(const struct retention_file *files, size_t count,
                      const struct retention_limits *limits, int64_t now_us, uint64_t free_bytes)
{
    uint64_t sum = 0;
    size_t oldest = count;
    for (size_t i = count; i-- > 0;) {
        sum += files[i].gone ? 0 : files[i].bytes;
        oldest = files[i].gone || files[i].held ? oldest : i;
    }
    if (oldest == count) {
        return count;
    }
    bool too_many = limits->max_bytes > 0 && sum > limits->max_bytes;
    bool too_old = limits->max_age_us > 0 && now_us - files[oldest].written_us > limits->max_age_us;
    bool too_tight = limits->min_free > 0 && free_bytes < limits->min_free;
    return too_many || too_old || too_tight ? oldest : count;
}

/* ---- what there is ---- */

struct entry {
    struct retention_file file;
    bool ahead; /* it began later than it is now */
    char *path;
};

struct entries {
    struct entry *entry;
    size_t count, space;
};

static int read_fd(void *arg, uint64_t offset, void *buf, size_t size)
{
    return disk_read_at(*(int *)arg, offset, buf, size);
}

static bool is_marked(int fd, uint64_t size, struct box_mark *mark)
{
    struct box_source source = { .read = read_fd, .arg = &fd, .size = size };
    return boxes_find_mark(&source, mark) == 0;
}

/* A regular file with our mark, opened; or a negative errno. */
static int open_ours(const char *path, struct entry *e)
{
    struct stat st;
    struct box_mark mark;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !is_marked(fd, (uint64_t)st.st_size, &mark)) {
        close(fd);
        return -ENODATA;
    }
    e->file = (struct retention_file){ .bytes = (uint64_t)st.st_size,
                                       .written_us = st.st_mtim.tv_sec * CLOCK_S +
                                                     st.st_mtim.tv_nsec / 1000 };
    e->ahead = mark.wall_us > clock_wall_us() + AHEAD_US;
    return fd;
}

static int add_entry(struct entries *e, const char *path, struct entry new)
{
    if (e->count == e->space) {
        size_t space = e->space ? e->space * 2 : 64;
        struct entry *entry = realloc(e->entry, space * sizeof *entry);
        if (!entry) {
            return -ENOMEM;
        }
        e->entry = entry;
        e->space = space;
    }
    new.path = strdup(path);
    if (!new.path) {
        return -ENOMEM;
    }
    e->entry[e->count++] = new;
    return 0;
}

static int collect(const char *pattern, bool numbered, struct entries *e)
{
    glob_t found;
    int ret = glob(pattern, GLOB_NOSORT, NULL, &found);
    if (ret != 0) {
        return ret == GLOB_NOSPACE ? -ENOMEM : 0; /* none, or the folder is away */
    }
    for (size_t i = 0; i < found.gl_pathc && ret == 0; i++) {
        const char *path = found.gl_pathv[i];
        struct entry new;
        int fd = numbered && !naming_is_numbered(path) ? -ENODATA : open_ours(path, &new);
        if (fd >= 0) {
            close(fd);
            ret = add_entry(e, path, new);
        }
    }
    globfree(&found);
    return ret;
}

/*
 * A recording from the future was made before the clock was set back (a Raspberry Pi without a network wakes
 * up in the past): it is older than all that was recorded since. Of two that were written at the same moment
 * the name decides: it has the time of the beginning.
 */
static int by_age(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->ahead != y->ahead) {
        return x->ahead ? -1 : 1;
    }
    if (x->file.written_us != y->file.written_us) {
        return x->file.written_us < y->file.written_us ? -1 : 1;
    }
    return strcmp(x->path, y->path);
}

static void free_entries(struct entries *e)
{
    for (size_t i = 0; i < e->count; i++) {
        free(e->entry[i].path);
    }
    free(e->entry);
}

static int find_all(const char *pattern, struct entries *e)
{
    char *globs[NAMING_GLOBS];
    int ret = naming_globs(pattern, globs);
    if (ret < 0) {
        return ret;
    }
    for (int i = 0; i < NAMING_GLOBS / 2 && ret == 0; i++) { /* the rest are temporary files */
        ret = collect(globs[i], i == 1, e);
    }
    naming_free_globs(globs);
    if (ret == 0 && e->count > 0) {
        qsort(e->entry, e->count, sizeof *e->entry, by_age);
    }
    return ret;
}

/* ---- carrying it out ---- */

/* Once more with the lock in hand: it must still be ours, at rest, and have this name. */
static int remove_file(const char *path)
{
    struct entry e;
    int fd = open_ours(path, &e);
    if (fd < 0) {
        return fd;
    }
    int ret = disk_lock(fd);
    if (ret == 0) {
        ret = !disk_is_same(fd, path) ? -ESTALE : unlink(path) < 0 ? -errno : 0;
    }
    close(fd);
    return ret;
}

static uint64_t free_space(const char *path)
{
    struct statvfs fs;
    return statvfs(path, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : UINT64_MAX;
}

/* What cannot be removed is left, and the next one goes in its place. */
static void remove_one(const struct entry *e, struct retention_file *file,
                       struct retention_result *out)
{
    int ret = remove_file(e->path);
    if (ret == 0) {
        log_info("removed '%s': the oldest recording had to go", e->path);
        out->removed++;
    } else if (ret != -EWOULDBLOCK && ret != -ENOENT && ret != -ESTALE) {
        log_warn("cannot remove the old recording '%s': %s", e->path, err_text(ret));
    }
    file->gone = ret == 0 || ret == -ENOENT;
    file->held = !file->gone;
}

static void prune(const struct entries *e, struct retention_file *files,
                  const struct retention_limits *limits, struct retention_result *out)
{
    for (;;) {
        uint64_t space = e->count > 0 ? free_space(e->entry[0].path) : UINT64_MAX;
        size_t i = retention_next(files, e->count, limits, clock_wall_us(), space);
        if (i == e->count) {
            return;
        }
        remove_one(&e->entry[i], &files[i], out);
    }
}

static void sum_up(const struct retention_file *files, size_t count, int64_t since_us,
                   struct retention_result *out)
{
    for (size_t i = 0; i < count; i++) {
        out->files += !files[i].gone;
        out->bytes += files[i].gone ? 0 : files[i].bytes;
        bool counts = !files[i].held && !files[i].gone && files[i].written_us >= since_us;
        if (counts && files[i].bytes > out->largest) {
            out->largest = files[i].bytes;
        }
    }
}

int retention_run(const char *pattern, const struct retention_limits *limits,
                  struct retention_result *out)
{
    struct entries e = { 0 };
    struct retention_result result = { 0 };
    int ret = find_all(pattern, &e);
    struct retention_file *files = ret == 0 ? calloc(e.count + 1, sizeof *files) : NULL;
    if (ret == 0 && !files) {
        ret = -ENOMEM;
    }
    if (ret == 0) {
        for (size_t i = 0; i < e.count; i++) {
            files[i] = e.entry[i].file;
        }
        prune(&e, files, limits, &result);
        sum_up(files, e.count, limits->since_us, &result);
        *out = result;
    }
    free(files);
    free_entries(&e);
    return ret;
}
