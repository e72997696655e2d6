/* SPDX-License-Identifier: MIT */
#include "v4l2_list.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/videodev2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "v4l2_control.h"
#include "v4l2_device.h"
#include "v4l2_find.h"

#define MAX_FORMATS 256
#define MAX_SIZES   512
#define MAX_RATES   64

/* ---- links ---- */

static void list_folder(FILE *out, const char *v4l, const char *name, const char *node)
{
    char folder[PATH_MAX], path[PATH_MAX + NAME_MAX + 2], target[PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%s/%s", v4l, name); /* cut: it will not open */
    struct dirent **entry = NULL;
    int n = scandir(folder, &entry, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        if (entry[i]->d_name[0] != '.' && realpath(path, target) && strcmp(target, node) == 0) {
            (void)fprintf(out, "  %s\n", path);
        }
        free(entry[i]);
    }
    free(entry);
}

void v4l2_list_links(FILE *out, const char *v4l, const char *node)
{
    char real[PATH_MAX];
    const char *at = realpath(node, real) ? real : node;
    list_folder(out, v4l, "by-id", at);
    list_folder(out, v4l, "by-path", at);
}

/* ---- formats ---- */

/* Frames a second, of an interval: "30", "29.97", "7.5". */
static void print_rate(FILE *out, const struct v4l2_fract *interval)
{
    double rate = interval->numerator ? (double)interval->denominator / interval->numerator : 0;
    double cents = (double)(int64_t)(rate * 100 + 0.5) / 100;
    (void)fprintf(out, " %.10g", cents);
}

static void print_rates(FILE *out, int fd, uint32_t fourcc, uint32_t width, uint32_t height)
{
    struct v4l2_frmivalenum arg = { .pixel_format = fourcc, .width = width, .height = height };
    for (; arg.index < MAX_RATES; arg.index++) {
        if (v4l2_ioctl(fd, VIDIOC_ENUM_FRAMEINTERVALS, &arg) < 0) {
            break;
        }
        if (arg.index == 0) {
            (void)fprintf(out, " @");
        }
        if (arg.type != V4L2_FRMIVAL_TYPE_DISCRETE) { /* the longest interval is the lowest rate */
            print_rate(out, &arg.stepwise.max);
            (void)fprintf(out, " to");
            print_rate(out, &arg.stepwise.min);
            break;
        }
        print_rate(out, &arg.discrete);
    }
    (void)fputc('\n', out);
}

static void print_range(FILE *out, const struct v4l2_frmsize_stepwise *s)
{
    (void)fprintf(out, "%ux%u to %ux%u", s->min_width, s->min_height, s->max_width, s->max_height);
    if (s->step_width > 1 || s->step_height > 1) {
        (void)fprintf(out, " in steps of %ux%u", s->step_width, s->step_height);
    }
}

static void print_sizes(FILE *out, int fd, const char *name, uint32_t fourcc)
{
    struct v4l2_frmsizeenum arg = { .pixel_format = fourcc };
    for (; arg.index < MAX_SIZES; arg.index++) {
        if (v4l2_ioctl(fd, VIDIOC_ENUM_FRAMESIZES, &arg) < 0) {
            break;
        }
        (void)fprintf(out, "  %s ", name);
        if (arg.type != V4L2_FRMSIZE_TYPE_DISCRETE) {
            print_range(out, &arg.stepwise);
            print_rates(out, fd, fourcc, arg.stepwise.max_width, arg.stepwise.max_height);
            return;
        }
        (void)fprintf(out, "%ux%u", arg.discrete.width, arg.discrete.height);
        print_rates(out, fd, fourcc, arg.discrete.width, arg.discrete.height);
    }
    if (arg.index == 0) {
        (void)fprintf(out, "  %s in sizes that the driver does not list\n", name);
    }
}

/* As v4l2-ctl shows them: four characters, and what big-endian ones have in their highest bit. */
static void write_fourcc(char text[16], uint32_t fourcc)
{
    for (int i = 0; i < 4; i++) {
        unsigned c = fourcc >> (8 * i) & 0x7f;
        text[i] = c > ' ' && c < 0x7f ? (char)c : c == ' ' ? ' ' : '?';
    }
    (void)snprintf(text + 4, 12, "%s", fourcc >> 31 ? "-BE" : "");
}

static void print_formats(FILE *out, int fd, enum v4l2_buf_type type)
{
    struct v4l2_fmtdesc arg = { .type = type };
    for (uint32_t i = 0; i < MAX_FORMATS; i++) {
        char name[16];
        arg.index = i;
        if (v4l2_ioctl(fd, VIDIOC_ENUM_FMT, &arg) < 0) {
            break;
        }
        write_fourcc(name, arg.pixelformat);
        if (format_by_fourcc(arg.pixelformat) != FORMAT_NONE) {
            print_sizes(out, fd, name, arg.pixelformat);
        } else {
            (void)fprintf(out, "  %s not usable here (%.32s)\n", name,
                          (const char *)arg.description);
        }
    }
}

/* ---- devices ---- */

static void print_control(void *arg, const struct control *control)
{
    control_print(arg, "  ", control);
}

/* Nobody's buffers are touched by this: the driver only says whether another has some. */
static bool is_in_use(int fd, enum v4l2_buf_type type)
{
    struct v4l2_requestbuffers none = { .type = type, .memory = V4L2_MEMORY_MMAP };
    return v4l2_ioctl(fd, VIDIOC_REQBUFS, &none) == -EBUSY;
}

static void list_camera(FILE *out, int fd, const char *path, const struct v4l2_capability *cap)
{
    enum v4l2_buf_type type = v4l2_capture_type(cap);
    struct v4l2_identity id;
    if (!v4l2_identity_read(fd, "/sys", &id)) {
        return; /* it has just been unplugged */
    }
    (void)fprintf(out, "v4l2: %s: %s (driver %s, bus %s)%s\n", path, id.card, id.driver, id.bus,
                  is_in_use(fd, type) ? ", in use by another program" : "");
    v4l2_list_links(out, "/dev/v4l", path);
    print_formats(out, fd, type);
    v4l2_control_each(fd, print_control, out);
}

/* False: nothing to say of it. */
static bool list_node(FILE *out, const char *path)
{
    struct v4l2_capability cap;
    struct err err = { 0 };
    int fd = v4l2_open_node(path);
    if (fd < 0) {
        bool there = fd != -ENOENT && fd != -ENODEV && fd != -ENXIO;
        if (there) {
            (void)v4l2_fail(&err, fd, path, "open it");
            (void)fprintf(out, "v4l2: %s\n", err.text);
        }
        return there;
    }
    bool camera = v4l2_check_camera(fd, path, &cap, NULL) == 0;
    bool plain = camera && v4l2_is_plain(&cap);
    if (plain) {
        list_camera(out, fd, path, &cap);
    } else if (camera && v4l2_capabilities(&cap) & V4L2_CAP_IO_MC) {
        (void)fprintf(out, "v4l2: %s: part of a camera that libcamera drives (driver %.16s)\n",
                      path, (const char *)cap.driver);
        plain = true;
    }
    close(fd);
    return plain;
}

void v4l2_list(FILE *out)
{
    bool any = false;
    for (int i = 0; i < V4L2_NODES; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "/dev/video%d", i);
        any |= list_node(out, path);
    }
    if (!any) {
        (void)fprintf(out, "v4l2: no camera found\n");
    }
}
