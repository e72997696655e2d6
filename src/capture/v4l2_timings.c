/* SPDX-License-Identifier: MIT */
#include "v4l2_timings.h"

#include <errno.h>
#include <math.h>

#include "pcs/format.h"
#include "v4l2_device.h"

#define NEAR 0.0004 /* 60 and 59.94 are 0.001 apart; bridges measure the clock to about 0.0001 */

static bool is_near(double a, double b)
{
    return fabs(a - b) <= NEAR * b;
}

void v4l2_signal_rate(const struct v4l2_bt_timings *bt, int *fps_num, int *fps_den)
{
    double total = (double)V4L2_DV_BT_FRAME_WIDTH(bt) * V4L2_DV_BT_FRAME_HEIGHT(bt);
    double rate = total > 0 ? (double)bt->pixelclock / total : 0;
    const uint32_t reduced = V4L2_DV_FL_CAN_DETECT_REDUCED_FPS | V4L2_DV_FL_REDUCED_FPS;
    rate = (bt->flags & reduced) == reduced ? rate / 1.001
                                            : rate; /* the clock is the nominal one */
    double whole = round(rate), ntsc = round(rate * 1.001);
    *fps_num = 0;
    *fps_den = 1;
    if (rate < 1 || rate > 1000) {
        return;
    }
    if (is_near(rate, whole)) {
        *fps_num = (int)whole;
    } else if (is_near(rate, ntsc / 1.001)) {
        *fps_num = (int)ntsc * 1000;
        *fps_den = 1001;
    } else {
        *fps_num = (int)lround(rate * 1000);
        *fps_den = 1000;
    }
}

/* Of the current input; false when it has none, or is not of that kind. */
static bool has_timings(int fd, struct v4l2_input *input)
{
    int index = 0;
    *input = (struct v4l2_input){ 0 };
    if (v4l2_ioctl(fd, VIDIOC_G_INPUT, &index) == 0) {
        input->index = (uint32_t)index;
    }
    return v4l2_ioctl(fd, VIDIOC_ENUMINPUT, input) == 0 &&
           (input->capabilities & V4L2_IN_CAP_DV_TIMINGS);
}

static int fail(struct err *err, int code, const char *name, const struct v4l2_input *input)
{
    const char *what = code == -ENOLINK  ? "no HDMI signal"
                       : code == -ENOLCK ? "the HDMI signal is unstable"
                                         : "the HDMI signal is out of the range of this device";
    if (code != -ENOLINK && code != -ENOLCK && code != -ERANGE) {
        return v4l2_fail(err, code, name, "take the signal at its input");
    }
    return err_set(err, code, "%s: %s (input \"%.31s\")", name, what, (const char *)input->name);
}

int v4l2_signal_take(int fd, const char *name, struct v4l2_signal *out, struct err *err)
{
    struct v4l2_input input;
    struct v4l2_dv_timings timings = { 0 };
    *out = (struct v4l2_signal){ .fps_den = 1 };
    if (!has_timings(fd, &input)) {
        return 0;
    }
    int code = v4l2_ioctl(fd, VIDIOC_QUERY_DV_TIMINGS, &timings);
    bool asked = code != -ENOTTY && code != -ENODATA; /* some can only be told */
    if (!asked) {
        code = v4l2_ioctl(fd, VIDIOC_G_DV_TIMINGS, &timings);
    }
    if (code < 0) {
        return fail(err, code, name, &input);
    }
    const struct v4l2_bt_timings *bt = &timings.bt;
    if (timings.type != V4L2_DV_BT_656_1120 || bt->width < 1 || bt->height < 1 ||
        bt->width > FORMAT_MAX_SIZE || bt->height > FORMAT_MAX_SIZE) {
        return fail(err, -ERANGE, name, &input);
    }
    code = asked ? v4l2_ioctl(fd, VIDIOC_S_DV_TIMINGS, &timings) : 0;
    if (code < 0) { /* many can measure more than they can take */
        return fail(err, code == -EINVAL ? -ERANGE : code, name, &input);
    }
    out->present = true;
    out->width = (int)bt->width;
    out->height = (int)bt->height;
    v4l2_signal_rate(bt, &out->fps_num, &out->fps_den);
    return 0;
}
