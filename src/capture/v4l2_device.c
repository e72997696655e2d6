/* SPDX-License-Identifier: MIT */
#include "v4l2_device.h"

#include <errno.h>
#include <sys/ioctl.h>

int v4l2_ioctl(int fd, unsigned long request, void *arg)
{
    int result;
    do {
        result = ioctl(fd, request, arg);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int v4l2_fail(struct err *err, int code, const char *name, const char *what)
{
    switch (code) {
    case -ENOENT:
        return err_set(err, code, "%s: no such device", name);
    case -ENODEV:
    case -ENXIO:
        return err_set(err, code, "%s: the camera is gone", name);
    case -EBUSY:
        return err_set(err, code, "%s: in use by another program", name);
    case -EACCES:
    case -EPERM:
        return err_set(err, code, "%s: no permission (the user must be in the group video)", name);
    case -ENOSPC: /* what USB drivers say when they cannot reserve what a mode needs */
        return err_set(err, code,
                       "%s: not enough USB bandwidth: try a smaller size, fewer --fps or "
                       "--format MJPG",
                       name);
    default:
        /* A driver's EINVAL is about the moment, not about what the user asked. */
        return err_set(err, code == -EINVAL ? -EIO : code, "%s: cannot %s: %s", name, what,
                       err_text(code));
    }
}

uint32_t v4l2_capabilities(const struct v4l2_capability *cap)
{
    return cap->capabilities & V4L2_CAP_DEVICE_CAPS ? cap->device_caps : cap->capabilities;
}

int v4l2_check_camera(int fd, const char *name, struct v4l2_capability *cap, struct err *err)
{
    int code = v4l2_ioctl(fd, VIDIOC_QUERYCAP, cap);
    if (code == -ENOTTY || code == -EINVAL) {
        return err_set(err, -ENOTSUP, "%s: not a video device", name);
    }
    if (code < 0) {
        return v4l2_fail(err, code, name, "ask what it is");
    }
    uint32_t caps = v4l2_capabilities(cap);
    if (caps & V4L2_CAP_META_CAPTURE) {
        return err_set(err, -ENOTSUP,
                       "%s: not a camera but the metadata of one; name its other node", name);
    }
    if (!(caps & (V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE))) {
        return err_set(err, -ENOTSUP, "%s (%s): not a camera: it cannot capture pictures", name,
                       (const char *)cap->card);
    }
    if (!(caps & V4L2_CAP_STREAMING)) {
        return err_set(err, -ENOTSUP, "%s (%s): cannot stream", name, (const char *)cap->card);
    }
    return 0;
}

enum v4l2_buf_type v4l2_capture_type(const struct v4l2_capability *cap)
{
    return v4l2_capabilities(cap) & V4L2_CAP_VIDEO_CAPTURE ? V4L2_BUF_TYPE_VIDEO_CAPTURE
                                                           : V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
}
