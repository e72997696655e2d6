/* SPDX-License-Identifier: MIT */
/* The emulated camera's controls: one of each type, with a camera's usual traps. In the pictures only the
 * brightness shows. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_real.h"
#include "fake_state.h"

#define CUSTOM                                                                                     \
    (V4L2_CID_USER_BASE + 0x200) /* of nobody; not a "private" one, which has other rules */

enum { LABEL = CUSTOM + 1, LINK_SPEED = CUSTOM + 4 };

/* By rising id, as NEXT_CTRL tells them. */
static const struct v4l2_query_ext_ctrl controls[FAKE_CONTROLS] = {
    { .id = V4L2_CID_USER_CLASS,
      .type = V4L2_CTRL_TYPE_CTRL_CLASS,
      .name = "User Controls",
      .flags = V4L2_CTRL_FLAG_READ_ONLY | V4L2_CTRL_FLAG_WRITE_ONLY },
    { .id = V4L2_CID_BRIGHTNESS,
      .type = V4L2_CTRL_TYPE_INTEGER,
      .name = "Brightness",
      .maximum = 255,
      .step = 1,
      .default_value = 128 },
    { .id = V4L2_CID_CONTRAST,
      .type = V4L2_CTRL_TYPE_INTEGER,
      .name = "Contrast",
      .maximum = 100,
      .step = 1,
      .default_value = 50 },
    { .id = V4L2_CID_AUTO_WHITE_BALANCE,
      .type = V4L2_CTRL_TYPE_BOOLEAN,
      .name = "White Balance, Automatic",
      .maximum = 1,
      .step = 1,
      .default_value = 1,
      .flags = V4L2_CTRL_FLAG_UPDATE },
    { .id = V4L2_CID_HFLIP,
      .type = V4L2_CTRL_TYPE_BOOLEAN,
      .name = "Horizontal Flip",
      .maximum = 1,
      .step = 1 },
    { .id = V4L2_CID_POWER_LINE_FREQUENCY,
      .type = V4L2_CTRL_TYPE_MENU,
      .name = "Power Line Frequency",
      .maximum = 2,
      .step = 1,
      .default_value = 1 },
    { .id = V4L2_CID_WHITE_BALANCE_TEMPERATURE,
      .type = V4L2_CTRL_TYPE_INTEGER,
      .name = "White Balance Temperature",
      .minimum = 2800,
      .maximum = 6500,
      .step = 10,
      .default_value = 4600 },
    { .id = CUSTOM,
      .type = V4L2_CTRL_TYPE_BUTTON,
      .name = "Restore Defaults",
      .flags = V4L2_CTRL_FLAG_WRITE_ONLY | V4L2_CTRL_FLAG_EXECUTE_ON_WRITE },
    { .id = LABEL,
      .type = V4L2_CTRL_TYPE_STRING,
      .name = "Label",
      .maximum = FAKE_LABEL - 1,
      .step = 1,
      .elem_size = FAKE_LABEL,
      .flags = V4L2_CTRL_FLAG_HAS_PAYLOAD },
    { .id = CUSTOM + 2,
      .type = V4L2_CTRL_TYPE_INTEGER64,
      .name = "Wide",
      .minimum = -(1LL << 40),
      .maximum = 9007199254740993 /* no double */,
      .step = 1,
      .default_value = 5,
      .elem_size = 8 },
    { .id = CUSTOM + 3,
      .type = V4L2_CTRL_TYPE_BITMASK,
      .name = "Sensor Lanes",
      .maximum = 0xf5,
      .default_value = 0x11 }, /* not while it streams */
    { .id = LINK_SPEED,
      .type = V4L2_CTRL_TYPE_INTEGER_MENU,
      .name = "Link Speed",
      .maximum = 2,
      .step = 1 },
    { .id = CUSTOM + 5,
      .type = V4L2_CTRL_TYPE_INTEGER,
      .name = "Sensor Temperature",
      .minimum = -40,
      .maximum = 125,
      .step = 1,
      .default_value = 36,
      .flags = V4L2_CTRL_FLAG_READ_ONLY },
    { .id = V4L2_CID_CAMERA_CLASS,
      .type = V4L2_CTRL_TYPE_CTRL_CLASS,
      .name = "Camera Controls",
      .flags = V4L2_CTRL_FLAG_READ_ONLY | V4L2_CTRL_FLAG_WRITE_ONLY },
    { .id = V4L2_CID_EXPOSURE_AUTO,
      .type = V4L2_CTRL_TYPE_MENU,
      .name = "Auto Exposure",
      .maximum = 3,
      .step = 1,
      .default_value = 3,
      .flags = V4L2_CTRL_FLAG_UPDATE },
    { .id = V4L2_CID_EXPOSURE_ABSOLUTE,
      .type = V4L2_CTRL_TYPE_INTEGER,
      .name = "Exposure Time, Absolute",
      .minimum = 3,
      .maximum = 2047,
      .step = 1,
      .default_value = 250 },
};

/* As on a USB camera, two numbers of the exposure's menu are missing. */
static const struct {
    uint32_t id, index;
    const char *name;
    int64_t value;
} items[] = {
    { V4L2_CID_POWER_LINE_FREQUENCY, 0, "Disabled", 0 },
    { V4L2_CID_POWER_LINE_FREQUENCY, 1, "50 Hz", 0 },
    { V4L2_CID_POWER_LINE_FREQUENCY, 2, "60 Hz", 0 },
    { LINK_SPEED, 0, NULL, 456000000 },
    { LINK_SPEED, 1, NULL, 912000000 },
    { LINK_SPEED, 2, NULL, 1024000000 },
    { V4L2_CID_EXPOSURE_AUTO, V4L2_EXPOSURE_MANUAL, "Manual Mode", 0 },
    { V4L2_CID_EXPOSURE_AUTO, V4L2_EXPOSURE_APERTURE_PRIORITY, "Aperture Priority Mode", 0 },
};

void fake_reset_controls(struct fake *f)
{
    for (int i = 0; i < FAKE_CONTROLS; i++) {
        f->control[i] = controls[i].default_value;
    }
    memset(f->label, 0, sizeof f->label);
}

static int find_control(uint32_t id)
{
    for (int i = 0; i < FAKE_CONTROLS; i++) {
        if (controls[i].id == id) {
            return i;
        }
    }
    return -EINVAL;
}

static int64_t value_of(const struct fake *f, uint32_t id)
{
    return f->control[find_control(id)];
}

int fake_brightness(const struct fake *f)
{
    int i = find_control(V4L2_CID_BRIGHTNESS);
    return (int)(f->control[i] - controls[i].default_value);
}

static uint32_t flags_of(const struct fake *f, int i)
{
    uint32_t id = controls[i].id, flags = controls[i].flags;
    bool off =
        (id == V4L2_CID_WHITE_BALANCE_TEMPERATURE && value_of(f, V4L2_CID_AUTO_WHITE_BALANCE)) ||
        (id == V4L2_CID_EXPOSURE_ABSOLUTE &&
         value_of(f, V4L2_CID_EXPOSURE_AUTO) != V4L2_EXPOSURE_MANUAL);
    bool grabbed = controls[i].type == V4L2_CTRL_TYPE_BITMASK && f->streaming;
    return flags | (off ? V4L2_CTRL_FLAG_INACTIVE : 0) | (grabbed ? V4L2_CTRL_FLAG_GRABBED : 0);
}

static int query_ext_control(const struct fake *f, struct v4l2_query_ext_ctrl *arg)
{
    uint32_t id = arg->id & V4L2_CTRL_ID_MASK;
    bool next = arg->id & V4L2_CTRL_FLAG_NEXT_CTRL;
    if (arg->id & V4L2_CTRL_FLAG_NEXT_COMPOUND && !next) {
        return -EINVAL; /* it has none of these */
    }
    for (int i = 0; i < FAKE_CONTROLS; i++) {
        bool is_class = controls[i].type == V4L2_CTRL_TYPE_CTRL_CLASS;
        if (next ? controls[i].id <= id : controls[i].id != id) {
            continue;
        }
        *arg = controls[i];
        arg->flags = flags_of(f, i);
        arg->elems = is_class ? 0 : 1;
        arg->elem_size = arg->elem_size || is_class ? arg->elem_size : 4;
        return 0;
    }
    return -EINVAL;
}

static int query_control(const struct fake *f, struct v4l2_queryctrl *arg)
{
    struct v4l2_query_ext_ctrl ext = { .id = arg->id };
    int code = query_ext_control(f, &ext);
    if (code < 0) {
        return code;
    }
    *arg = (struct v4l2_queryctrl){ .id = ext.id, .type = ext.type, .flags = ext.flags };
    memcpy(arg->name, ext.name, sizeof arg->name);
    if (ext.type != V4L2_CTRL_TYPE_INTEGER64 && ext.type != V4L2_CTRL_TYPE_STRING) {
        arg->minimum = (int32_t)ext.minimum;
        arg->maximum = (int32_t)ext.maximum;
        arg->step = (int32_t)ext.step;
        arg->default_value = (int32_t)ext.default_value;
    }
    return 0;
}

static int find_item(uint32_t id, int64_t index)
{
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        if (items[i].id == id && items[i].index == index) {
            return (int)i;
        }
    }
    return -EINVAL;
}

static int query_menu(struct v4l2_querymenu *arg)
{
    int i = find_item(arg->id, arg->index);
    if (i < 0) {
        return i;
    }
    arg->reserved = 0;
    memset(arg->name, 0, sizeof arg->name);
    if (items[i].name) {
        (void)snprintf((char *)arg->name, sizeof arg->name, "%s", items[i].name);
    } else {
        arg->value = items[i].value;
    }
    return 0;
}

static bool is_menu(int i)
{
    return controls[i].type == V4L2_CTRL_TYPE_MENU ||
           controls[i].type == V4L2_CTRL_TYPE_INTEGER_MENU;
}

/* Off a step is rounded, as the kernel's control framework does. */
static int judge(const struct fake *f, int i, int64_t *value)
{
    const struct v4l2_query_ext_ctrl *c = &controls[i];
    uint32_t flags = flags_of(f, i);
    if (flags & V4L2_CTRL_FLAG_READ_ONLY) {
        return -EACCES;
    }
    if (flags & V4L2_CTRL_FLAG_GRABBED) {
        return -EBUSY;
    }
    if (c->type == V4L2_CTRL_TYPE_BUTTON) {
        *value = 0;
        return 0;
    }
    if (c->type == V4L2_CTRL_TYPE_BITMASK) {
        *value &= c->maximum;
        return 0;
    }
    if (*value < c->minimum || *value > c->maximum) {
        return -ERANGE;
    }
    if (is_menu(i) && find_item(c->id, *value) < 0) {
        return -EINVAL;
    }
    *value -= c->step > 1 ? (*value - c->minimum) % (int64_t)c->step : 0;
    return 0;
}

/* Tests read in PCS_FAKE_SET what was set. */
static void note(const char *text)
{
    const char *path = getenv("PCS_FAKE_SET");
    int fd = path ? real_calls()->open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : -1;
    if (fd >= 0) {
        if (write(fd, text, strlen(text)) < 0) {
            perror(path);
        }
        (void)real_calls()->close(fd);
    }
}

static int change_string(struct fake *f, struct v4l2_ext_control *arg, bool set)
{
    if (arg->size < FAKE_LABEL && !set) {
        arg->size = FAKE_LABEL;
        return -ENOSPC;
    }
    if (!set) {
        memcpy(arg->string, f->label, FAKE_LABEL);
        return 0;
    }
    size_t length = strnlen(arg->string, arg->size);
    if (length == arg->size || length >= FAKE_LABEL) {
        return -ERANGE;
    }
    memcpy(f->label, arg->string, length + 1);
    char text[80];
    (void)snprintf(text, sizeof text, "Label=%s\n", f->label);
    note(text);
    return 0;
}

static int change_number(struct fake *f, int i, int64_t *value, bool set)
{
    uint32_t flags = flags_of(f, i);
    if (!set) {
        *value = f->control[i];
        return flags & V4L2_CTRL_FLAG_WRITE_ONLY ? -EACCES : 0;
    }
    int code = judge(f, i, value);
    if (code < 0) {
        return code;
    }
    f->control[i] = *value;
    char text[80];
    (void)snprintf(text, sizeof text, "%.32s=%lld\n", controls[i].name, (long long)*value);
    note(text);
    return 0;
}

static int change_one(struct fake *f, struct v4l2_ext_control *arg, unsigned long request)
{
    int i = find_control(arg->id);
    if (i < 0 || controls[i].type == V4L2_CTRL_TYPE_CTRL_CLASS) {
        return i < 0 ? i : -EACCES;
    }
    bool wide = controls[i].type == V4L2_CTRL_TYPE_INTEGER64;
    int64_t value = wide ? arg->value64 : arg->value;
    if (request == VIDIOC_TRY_EXT_CTRLS) {
        return controls[i].type == V4L2_CTRL_TYPE_STRING ? 0 : judge(f, i, &value);
    }
    if (controls[i].type == V4L2_CTRL_TYPE_STRING) {
        return change_string(f, arg, request == VIDIOC_S_EXT_CTRLS);
    }
    int code = change_number(f, i, &value, request == VIDIOC_S_EXT_CTRLS);
    if (wide) {
        arg->value64 = value;
    } else {
        arg->value = (int32_t)value;
    }
    return code;
}

static int change_controls(struct fake *f, struct v4l2_ext_controls *arg, unsigned long request)
{
    bool defaults = arg->which == V4L2_CTRL_WHICH_DEF_VAL && request != VIDIOC_G_EXT_CTRLS;
    if (arg->which == V4L2_CTRL_WHICH_REQUEST_VAL || defaults) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < arg->count; i++) {
        uint32_t class = V4L2_CTRL_ID2WHICH(arg->controls[i].id);
        bool any = arg->which == V4L2_CTRL_WHICH_CUR_VAL || arg->which == V4L2_CTRL_WHICH_DEF_VAL;
        bool mixed = !any && arg->which != class;
        int code = mixed ? -EINVAL : change_one(f, &arg->controls[i], request);
        if (code < 0) { /* only a try says which one; the others changed nothing */
            arg->error_idx = request == VIDIOC_TRY_EXT_CTRLS || code == -ENOSPC ? i : arg->count;
            return code;
        }
    }
    return 0;
}

static int change_plain(struct fake *f, struct v4l2_control *arg, bool set)
{
    int i = find_control(arg->id);
    if (i < 0 || controls[i].type == V4L2_CTRL_TYPE_STRING ||
        controls[i].type == V4L2_CTRL_TYPE_INTEGER64) {
        return -EINVAL;
    }
    if (controls[i].type == V4L2_CTRL_TYPE_CTRL_CLASS) {
        return -EACCES;
    }
    int64_t value = arg->value;
    int code = change_number(f, i, &value, set);
    arg->value = (int32_t)value;
    return code;
}

int fake_control_ioctl_locked(struct fake *f, unsigned long request, void *arg)
{
    switch (request) {
    case VIDIOC_QUERYCTRL:
        return query_control(f, arg);
    case VIDIOC_QUERY_EXT_CTRL:
        return query_ext_control(f, arg);
    case VIDIOC_QUERYMENU:
        return query_menu(arg);
    case VIDIOC_G_CTRL:
    case VIDIOC_S_CTRL:
        return change_plain(f, arg, request == VIDIOC_S_CTRL);
    case VIDIOC_TRY_EXT_CTRLS:
    case VIDIOC_G_EXT_CTRLS:
    case VIDIOC_S_EXT_CTRLS:
        return change_controls(f, arg, request);
    default:
        return -ENOTTY;
    }
}
