/* SPDX-License-Identifier: MIT */
/* What to do at start-up about recordings of a run that did not end well. */
#include "record/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boxes.h"
#include "disk.h"
#include "mp4.h"
#include "mp4_header.h"
#include "naming.h"
#include "plain.h"
#include "pcs/log.h"
#include "pcs/stop.h"

struct candidate {
    int fd;
    struct stop *stop;
};

static int read_file(void *arg, uint64_t offset, void *buf, size_t size)
{
    return disk_read_at(((struct candidate *)arg)->fd, offset, buf, size);
}

static bool stop_asked(void *arg)
{
    return stop_requested(((struct candidate *)arg)->stop);
}

/* A regular file that nobody holds. The size is looked at only once it is ours. */
static int open_candidate(const char *path, uint64_t *size)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return -errno;
    }
    int ret = fstat(fd, &st) < 0 ? -errno : !S_ISREG(st.st_mode) ? -EINVAL : disk_lock(fd);
    if (ret == 0 && (fstat(fd, &st) < 0 || !disk_is_same(fd, path))) {
        ret = -ESTALE; /* another recovery was faster */
    }
    if (ret < 0) {
        close(fd);
        return ret;
    }
    *size = (uint64_t)st.st_size;
    return fd;
}

/* The last fragment was perhaps never synced: its bytes may be missing where its length is not. */
static int drop_hollow_fragment(const struct box_source *source, struct box_scan *scan)
{
    if (scan->codec != MP4_CODEC_H264 || scan->fragments == 0) {
        return 0;
    }
    int ret = boxes_find_hole(source, scan->last_data, scan->good_end);
    if (ret > 0) {
        return boxes_scan(
            &(struct box_source){ source->read, source->arg, scan->last_start, source->cancelled },
            scan);
    }
    return ret;
}

static int cut_tail(int fd, const char *path, uint64_t size, uint64_t good_end)
{
    if (size <= good_end) {
        return 0;
    }
    log_info("'%s': cutting a torn end of %llu bytes", path, (unsigned long long)(size - good_end));
    return ftruncate(fd, (off_t)good_end) < 0 ? -errno : disk_sync(fd);
}

/* 1: mended; 0: nothing of ours to mend. */
static int mend(int fd, const char *path, uint64_t size, struct stop *stop)
{
    struct candidate candidate = { fd, stop };
    struct box_source source = { read_file, &candidate, size, stop_asked };
    struct box_scan scan;
    int ret = boxes_scan(&source, &scan);
    if (ret < 0) {
        return ret == -ENODATA ? 0 : ret;
    }
    ret = drop_hollow_fragment(&source, &scan);
    if (ret == 0 && scan.samples == 0) {
        return unlink(path) < 0 ? -errno : 1; /* it never held a frame */
    }
    ret = ret < 0 ? ret : cut_tail(fd, path, size, scan.good_end);
    if (ret < 0) {
        return ret;
    }
    struct mp4_closed file = {
        .path = (char *)path, .fd = fd, .samples = scan.samples, .last_duration = scan.last_duration
    };
    ret = plain_make(&file, stop_asked, &candidate);
    return ret < 0 ? ret : 1;
}

static int mend_path(const char *path, struct stop *stop)
{
    uint64_t size = 0;
    int fd = open_candidate(path, &size);
    if (fd < 0) {
        return 0; /* not ours, or not ours any more */
    }
    int ret = mend(fd, path, size, stop);
    close(fd);
    if (ret > 0) {
        log_info("mended the unfinished recording '%s'", path);
    } else if (ret < 0 && ret != -ECANCELED) {
        log_warn("the unfinished recording '%s' stays as it is: %s", path, err_text(ret));
    }
    return ret > 0;
}

/* The pattern cannot say it exactly: `.NAME.<digits>.tmp`. */
static bool is_temporary_name(const char *path)
{
    static const char suffix[] = ".tmp";
    size_t n = strlen(path), digits = 0;
    if (n < sizeof suffix || strcmp(path + n - 4, suffix) != 0) {
        return false;
    }
    for (n -= 4; n > 0 && path[n - 1] >= '0' && path[n - 1] <= '9'; n--) {
        digits++;
    }
    return digits > 0 && n > 0 && path[n - 1] == '.';
}

static void remove_temporary(const char *path)
{
    uint64_t size;
    int fd = is_temporary_name(path) ? open_candidate(path, &size) : -1;
    if (fd >= 0) {
        if (unlink(path) == 0) {
            log_info("removed '%s', left by an earlier run", path);
        }
        close(fd);
    }
}

/* `which` of naming_globs() the pattern is. */
static int for_each(const char *pattern, int which, struct stop *stop)
{
    glob_t found;
    int mended = 0;
    if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0) {
        return 0;
    }
    for (size_t i = 0; i < found.gl_pathc && !stop_requested(stop); i++) {
        if (which >= NAMING_GLOBS / 2) {
            remove_temporary(found.gl_pathv[i]);
        } else if (which == 0 || naming_is_numbered(found.gl_pathv[i])) {
            mended += mend_path(found.gl_pathv[i], stop);
        }
    }
    globfree(&found);
    return mended;
}

int record_recover(const char *pattern, struct stop *stop)
{
    char *globs[NAMING_GLOBS];
    int mended = 0;
    if (naming_globs(pattern, globs) < 0) {
        return 0;
    }
    for (int i = NAMING_GLOBS - 1; i >= 0; i--) { /* temporary files first: they take space */
        mended += for_each(globs[i], i, stop);
    }
    naming_free_globs(globs);
    return mended;
}
