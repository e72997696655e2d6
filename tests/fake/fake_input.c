/* SPDX-License-Identifier: MIT */
/* The camera's one input; of the kind hdmi it has a signal that decides size and rate. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fake_state.h"

#define LEAST_CLOCK 1000000
#define MOST_CLOCK  600000000

bool fake_is_hdmi(const struct fake *f)
{
    return strcmp(f->kind, "hdmi") == 0;
}

struct v4l2_bt_timings fake_timings(int width, int height, int fps)
{
    struct v4l2_bt_timings t = {
        .width = (uint32_t)width,
        .height = (uint32_t)height,
        .hfrontporch = 88,
        .hsync = 44,
        .hbackporch = 148,
        .vfrontporch = 4,
        .vsync = 5,
        .vbackporch = 36,
    };
    t.pixelclock = (uint64_t)V4L2_DV_BT_FRAME_WIDTH(&t) * V4L2_DV_BT_FRAME_HEIGHT(&t) *
                   (uint64_t)fps;
    return t;
}

static int enum_input(const struct fake *f, struct v4l2_input *arg)
{
    if (arg->index > 0) {
        return -EINVAL;
    }
    bool hdmi = fake_is_hdmi(f);
    *arg = (struct v4l2_input){ .type = V4L2_INPUT_TYPE_CAMERA,
                                .capabilities = hdmi ? V4L2_IN_CAP_DV_TIMINGS : 0,
                                .status = hdmi && f->no_signal ? V4L2_IN_ST_NO_SIGNAL : 0 };
    (void)snprintf((char *)arg->name, sizeof arg->name, hdmi ? "HDMI 1" : "Camera 1");
    return 0;
}

static void say_timings(const struct v4l2_bt_timings *t, struct v4l2_dv_timings *out)
{
    *out = (struct v4l2_dv_timings){ .type = V4L2_DV_BT_656_1120, .bt = *t };
}

static int set_timings(struct fake *f, struct v4l2_dv_timings *arg)
{
    const struct v4l2_bt_timings *t = &arg->bt;
    if (arg->type != V4L2_DV_BT_656_1120 || t->width < 16 || t->height < 16 ||
        t->width > FORMAT_MAX_SIZE || t->height > FORMAT_MAX_SIZE || t->interlaced ||
        t->pixelclock < LEAST_CLOCK || t->pixelclock > MOST_CLOCK) {
        return -EINVAL;
    }
    memset(arg->bt.reserved, 0, sizeof arg->bt.reserved); /* as drivers do */
    if (memcmp(t, &f->timings, sizeof *t) == 0) {
        return 0;
    }
    if (f->buffer_count > 0) {
        return -EBUSY;
    }
    f->timings = *t;
    struct v4l2_format first = { .type = f->type };
    fake_set_mode_locked(f, &first, false);
    fake_tell_change_locked(f); /* as vivid does, where the colours follow the size */
    return 0;
}

static int enum_timings(struct v4l2_enum_dv_timings *arg)
{
    static const int known[][3] = { { 640, 480, 60 }, { 1280, 720, 60 }, { 1920, 1080, 30 } };
    if (arg->pad != 0 || arg->index >= sizeof known / sizeof known[0]) {
        return -EINVAL;
    }
    const int *t = known[arg->index];
    const struct v4l2_bt_timings bt = fake_timings(t[0], t[1], t[2]);
    say_timings(&bt, &arg->timings);
    memset(arg->reserved, 0, sizeof arg->reserved);
    return 0;
}

static int say_limits(struct v4l2_dv_timings_cap *arg)
{
    if (arg->pad != 0) {
        return -EINVAL;
    }
    *arg = (struct v4l2_dv_timings_cap){ .type = V4L2_DV_BT_656_1120 };
    arg->bt.min_width = arg->bt.min_height = 16;
    arg->bt.max_width = arg->bt.max_height = FORMAT_MAX_SIZE;
    arg->bt.min_pixelclock = LEAST_CLOCK;
    arg->bt.max_pixelclock = MOST_CLOCK;
    arg->bt.standards = V4L2_DV_BT_STD_CEA861;
    arg->bt.capabilities = V4L2_DV_BT_CAP_PROGRESSIVE | V4L2_DV_BT_CAP_CUSTOM;
    return 0;
}

static int query_timings(const struct fake *f, struct v4l2_dv_timings *arg)
{
    if (f->no_signal == 0) {
        say_timings(&f->signal, arg);
    }
    return f->no_signal;
}

static int ioctl_timings(struct fake *f, unsigned long request, void *arg)
{
    switch (request) {
    case VIDIOC_ENUM_DV_TIMINGS:
        return enum_timings(arg);
    case VIDIOC_DV_TIMINGS_CAP:
        return say_limits(arg);
    case VIDIOC_QUERY_DV_TIMINGS:
        return query_timings(f, arg);
    case VIDIOC_G_DV_TIMINGS:
        say_timings(&f->timings, arg);
        return 0;
    case VIDIOC_S_DV_TIMINGS:
        return set_timings(f, arg);
    default:
        return -ENOTTY;
    }
}

int fake_input_ioctl_locked(struct fake *f, unsigned long request, void *arg)
{
    switch (request) {
    case VIDIOC_ENUMINPUT:
        return enum_input(f, arg);
    case VIDIOC_G_INPUT:
        *(int *)arg = 0;
        return 0;
    case VIDIOC_S_INPUT:
        return *(int *)arg == 0 ? 0 : -EINVAL;
    default:
        return fake_is_hdmi(f) ? ioctl_timings(f, request, arg) : -ENOTTY;
    }
}
