/* SPDX-License-Identifier: MIT */
#include "v4l2_find.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/log.h"
#include "v4l2_device.h"
#include "v4l2_format.h"

#define SYSFS       "/sys"
#define PATIENCE_US (3 * CLOCK_S) /* a USB device that resets itself is back in less */

int v4l2_open_node(const char *path)
{
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Video nodes of a Raspberry Pi that capture, but from memory: scalers and decoders. */
static bool is_converter(const struct v4l2_capability *cap)
{
    static const char *const drivers[] = { "bcm2835-isp", "bcm2835-codec", "pispbe", "rpivid" };
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        if (strcmp((const char *)cap->driver, drivers[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* What also takes pictures in converts them; what the media controller sets up is a part of a camera
 * that gives nothing until someone (libcamera) has linked its parts. */
bool v4l2_is_plain(const struct v4l2_capability *cap)
{
    const uint32_t not_plain = V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_VIDEO_OUTPUT_MPLANE |
                               V4L2_CAP_VIDEO_M2M | V4L2_CAP_VIDEO_M2M_MPLANE | V4L2_CAP_IO_MC;
    return !(v4l2_capabilities(cap) & not_plain) && !is_converter(cap);
}

/* One without a format we know (raw sensor data) is none for us. */
static bool is_camera(int fd, const char *path)
{
    struct v4l2_capability cap;
    return v4l2_check_camera(fd, path, &cap, NULL) == 0 && v4l2_is_plain(&cap) &&
           v4l2_has_formats(fd, v4l2_capture_type(&cap));
}

static int fail_to_open(int code, const char *path, struct err *err)
{
    return code == -EISDIR ? err_set(err, -ENOTSUP, "%s: not a video device", path)
                           : v4l2_fail(err, code, path, "open it");
}

static int open_at(const char *path, struct v4l2_found *out)
{
    int fd = v4l2_open_node(path);
    if (fd < 0) {
        return fd;
    }
    *out = (struct v4l2_found){ .fd = fd };
    (void)snprintf(out->path, sizeof out->path, "%s", path);
    out->identified = v4l2_identity_read(fd, SYSFS, &out->camera);
    return 0;
}

static int open_number(int number, struct v4l2_found *out)
{
    char path[32];
    (void)snprintf(path, sizeof path, "/dev/video%d", number);
    return open_at(path, out);
}

static enum v4l2_likeness likeness(const struct v4l2_history *history,
                                   const struct v4l2_found *found)
{
    return found->identified ? v4l2_identity_compare(&history->camera, &found->camera)
                             : V4L2_ANOTHER;
}

/* The node that is most surely the camera we had. */
static bool find_known(const struct v4l2_history *history, struct v4l2_found *out)
{
    enum v4l2_likeness best = V4L2_SAME_MODEL;
    struct v4l2_found one;
    for (int i = 0; i < V4L2_NODES; i++) {
        if (open_number(i, &one) < 0) {
            continue;
        }
        enum v4l2_likeness is = likeness(history, &one);
        if (is <= best) {
            close(one.fd);
            continue;
        }
        if (best > V4L2_SAME_MODEL) {
            close(out->fd);
        }
        best = is;
        *out = one;
    }
    return best > V4L2_SAME_MODEL;
}

static bool find_first(struct v4l2_found *out)
{
    for (int i = 0; i < V4L2_NODES; i++) {
        if (open_number(i, out) < 0) {
            continue;
        }
        if (is_camera(out->fd, out->path)) {
            return true;
        }
        close(out->fd);
    }
    return false;
}

bool v4l2_find_any(void)
{
    struct v4l2_found found;
    bool any = find_first(&found);
    if (any) {
        close(found.fd);
    }
    return any;
}

/* Ours is nowhere, but another is there: is it time to take that? Counted from when it came, because
 * of the cameras on one hub any may be the first. */
static bool out_of_patience(struct v4l2_history *history)
{
    int64_t now_us = clock_now_us();
    if (history->other_us == 0) {
        history->other_us = now_us;
    }
    return now_us - history->other_us >= PATIENCE_US;
}

static int take_other(struct v4l2_history *history, const char *place, struct v4l2_found *other,
                      struct err *err)
{
    if (!history->known || out_of_patience(history)) {
        return 0;
    }
    close(other->fd);
    return err_set(err, -ENODEV, "%s: another camera (%s), not %s, which is gone", place,
                   other->camera.card, history->camera.card);
}

static int find_auto(struct v4l2_history *history, struct v4l2_found *out, struct err *err)
{
    if (history->known && find_known(history, out)) {
        return 0;
    }
    if (!find_first(out)) {
        history->other_us = 0;
        return err_set(err, -ENODEV, "no camera: no /dev/video device captures pictures");
    }
    return take_other(history, out->path, out, err);
}

/* Nodes change their numbers, so a number means the camera that was there first; a link has a rule of
 * its own for which camera it names (the serial number, the place), and is followed each time. */
static int find_numbered(struct v4l2_history *history, const char *device, struct v4l2_found *out,
                         struct err *err)
{
    struct v4l2_found ours;
    int code = open_at(device, out);
    if (code == 0 && likeness(history, out) > V4L2_ANOTHER) {
        return 0;
    }
    if (find_known(history, &ours)) {
        if (code == 0) {
            close(out->fd);
        }
        *out = ours;
        return 0;
    }
    if (code < 0) {
        history->other_us = 0;
        return fail_to_open(code, device, err);
    }
    return take_other(history, device, out, err);
}

static bool is_link(const char *path)
{
    struct stat node;
    return lstat(path, &node) == 0 ? S_ISLNK(node.st_mode) : strncmp(path, "/dev/video", 10) != 0;
}

int v4l2_find(struct v4l2_history *history, const char *device, struct v4l2_found *out,
              struct err *err)
{
    if (!device) {
        return find_auto(history, out, err);
    }
    if (history->known && !is_link(device)) {
        return find_numbered(history, device, out, err);
    }
    int code = open_at(device, out);
    return code < 0 ? fail_to_open(code, device, err) : 0;
}

void v4l2_found_it(struct v4l2_history *history, const struct v4l2_found *found)
{
    bool moved = strcmp(history->path, found->path) != 0;
    enum v4l2_likeness is = likeness(history, found);
    if (history->known && (is == V4L2_ANOTHER || (is == V4L2_SAME_MODEL && moved))) {
        log_warn("%s has not come back: %s (%s) takes its place", history->camera.card, found->path,
                 found->camera.card);
    } else if (history->known && moved) {
        log_info("%s came back as %s", found->camera.card, found->path);
    }
    history->known = found->identified;
    history->camera = found->camera;
    history->other_us = 0;
    (void)snprintf(history->path, sizeof history->path, "%s", found->path);
}
