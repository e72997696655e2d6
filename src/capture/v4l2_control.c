/* SPDX-License-Identifier: MIT */
#include "v4l2_control.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/videodev2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "pcs/log.h"
#include "pcs/text.h"
#include "v4l2_device.h"

#define MAX_CONTROLS 1024 /* a driver that goes in circles */
#define MAX_CHOICES  128
#define MAX_STRING   65536
#define TEXT_SIZE    256
#define NAMES_SIZE   260 /* of all names, in the line that says which there are */

/* One control as the driver describes it, and what the visitor sees of it. */
struct entry {
    struct v4l2_query_ext_ctrl driver;
    struct control control;
    char name[CONTROL_NAME_SIZE];
    char initial[TEXT_SIZE], value[TEXT_SIZE];
    struct control_choice choices[MAX_CHOICES];
    char choice_names[MAX_CHOICES][32];
};

/* The old call, for drivers that know no other. */
static int query_plain(int fd, uint32_t id, struct v4l2_query_ext_ctrl *out)
{
    struct v4l2_queryctrl plain = { .id = id & ~V4L2_CTRL_FLAG_NEXT_COMPOUND };
    int code = v4l2_ioctl(fd, VIDIOC_QUERYCTRL, &plain);
    if (code < 0) {
        return code;
    }
    *out = (struct v4l2_query_ext_ctrl){ .id = plain.id,
                                         .type = plain.type,
                                         .minimum = plain.minimum,
                                         .maximum = plain.maximum,
                                         .step = (uint64_t)plain.step,
                                         .default_value = plain.default_value,
                                         .flags = plain.flags,
                                         .elems = 1 };
    if (plain.type == V4L2_CTRL_TYPE_BITMASK) {
        out->maximum = (uint32_t)plain.maximum;
    }
    memcpy(out->name, plain.name, sizeof out->name);
    return 0;
}

static int query(int fd, uint32_t id, struct v4l2_query_ext_ctrl *out)
{
    *out = (struct v4l2_query_ext_ctrl){ .id = id };
    int code = v4l2_ioctl(fd, VIDIOC_QUERY_EXT_CTRL, out);
    if (code == -ENOTTY) {
        code = query_plain(fd, id, out);
    }
    out->name[sizeof out->name - 1] = '\0';
    return code;
}

/* What is no control but the heading of a group, or not there for now, is passed over. */
static bool next(int fd, uint32_t *id, struct v4l2_query_ext_ctrl *out)
{
    for (int i = 0; i < MAX_CONTROLS; i++) {
        uint32_t flags = V4L2_CTRL_FLAG_NEXT_CTRL | V4L2_CTRL_FLAG_NEXT_COMPOUND;
        if (query(fd, *id | flags, out) < 0 || out->id <= *id) {
            return false;
        }
        *id = out->id;
        if (out->type != V4L2_CTRL_TYPE_CTRL_CLASS && !(out->flags & V4L2_CTRL_FLAG_DISABLED)) {
            return true;
        }
    }
    return false;
}

/* Get or set one value. */
static int exchange(int fd, unsigned long request, struct v4l2_ext_control *one)
{
    struct v4l2_ext_controls all = { .which = V4L2_CTRL_ID2WHICH(one->id),
                                     .count = 1,
                                     .controls = one };
    int code = v4l2_ioctl(fd, request, &all);
    if (code != -ENOTTY) {
        return code;
    }
    struct v4l2_control plain = { .id = one->id, .value = one->value };
    code = v4l2_ioctl(fd, request == VIDIOC_G_EXT_CTRLS ? VIDIOC_G_CTRL : VIDIOC_S_CTRL, &plain);
    one->value = plain.value;
    return code;
}

/* Arrays, areas, metadata of codecs: values that are no one number. */
static bool is_compound(const struct v4l2_query_ext_ctrl *c)
{
    return c->nr_of_dims > 0 || c->type >= V4L2_CTRL_COMPOUND_TYPES;
}

static enum control_kind kind_of(const struct v4l2_query_ext_ctrl *c)
{
    if (is_compound(c)) {
        return CONTROL_TEXT;
    }
    switch (c->type) {
    case V4L2_CTRL_TYPE_BOOLEAN:
        return CONTROL_BOOL;
    case V4L2_CTRL_TYPE_MENU:
    case V4L2_CTRL_TYPE_INTEGER_MENU:
        return CONTROL_MENU;
    case V4L2_CTRL_TYPE_BUTTON:
        return CONTROL_BUTTON;
    case V4L2_CTRL_TYPE_STRING:
        return CONTROL_TEXT;
    default:
        return CONTROL_INT; /* also 64 bits, and bit masks */
    }
}

static void write_number(char text[TEXT_SIZE], const struct v4l2_query_ext_ctrl *c, int64_t value)
{
    if (c->type == V4L2_CTRL_TYPE_BITMASK) {
        (void)snprintf(text, TEXT_SIZE, "0x%" PRIx32, (uint32_t)value);
    } else {
        (void)snprintf(text, TEXT_SIZE, "%" PRId64, value);
    }
}

static void read_string(int fd, const struct v4l2_query_ext_ctrl *c, char text[TEXT_SIZE])
{
    char *room = c->elem_size <= MAX_STRING ? calloc(1, (size_t)c->elem_size + 1) : NULL;
    struct v4l2_ext_control one = { .id = c->id, .size = c->elem_size, .string = room };
    if (room && exchange(fd, VIDIOC_G_EXT_CTRLS, &one) == 0) {
        text_clean(room, strlen(room));
        (void)snprintf(text, TEXT_SIZE, "%s", room); /* longer ones are shown cut */
    }
    free(room);
}

static void read_value(int fd, const struct v4l2_query_ext_ctrl *c, char text[TEXT_SIZE])
{
    struct v4l2_ext_control one = { .id = c->id };
    text[0] = '\0';
    if (is_compound(c)) {
        (void)snprintf(text, TEXT_SIZE, "%" PRIu32 " bytes", c->elems * c->elem_size);
    } else if (c->flags & V4L2_CTRL_FLAG_WRITE_ONLY || c->type == V4L2_CTRL_TYPE_BUTTON) {
        return;
    } else if (c->type == V4L2_CTRL_TYPE_STRING) {
        read_string(fd, c, text);
    } else if (exchange(fd, VIDIOC_G_EXT_CTRLS, &one) == 0) {
        write_number(text, c, c->type == V4L2_CTRL_TYPE_INTEGER64 ? one.value64 : one.value);
    }
}

static bool has_default(const struct v4l2_query_ext_ctrl *c)
{
    return !is_compound(c) && c->type != V4L2_CTRL_TYPE_STRING && c->type != V4L2_CTRL_TYPE_BUTTON;
}

/* A menu may have holes: numbers that this camera does not offer. */
static void read_choices(int fd, struct entry *e)
{
    const struct v4l2_query_ext_ctrl *c = &e->driver;
    for (int64_t i = c->minimum; i <= c->maximum && i - c->minimum < 4 * MAX_CHOICES; i++) {
        struct v4l2_querymenu item = { .id = c->id, .index = (uint32_t)i };
        size_t n = e->control.choice_count;
        if (n == MAX_CHOICES || v4l2_ioctl(fd, VIDIOC_QUERYMENU, &item) < 0) {
            continue;
        }
        if (c->type == V4L2_CTRL_TYPE_MENU) {
            (void)snprintf(e->choice_names[n], sizeof e->choice_names[n], "%.31s",
                           (const char *)item.name);
            text_clean(e->choice_names[n], strlen(e->choice_names[n]));
        } else {
            (void)snprintf(e->choice_names[n], sizeof e->choice_names[n], "%" PRId64,
                           (int64_t)item.value);
        }
        e->choices[n] = (struct control_choice){ i, e->choice_names[n] };
        e->control.choice_count++;
    }
}

/* All of e->control but what is there now. */
static void describe(int fd, struct entry *e)
{
    const struct v4l2_query_ext_ctrl *c = &e->driver;
    control_key(c->name, e->name);
    e->initial[0] = e->value[0] = '\0';
    e->control = (struct control){
        .name = e->name,
        .kind = kind_of(c),
        .initial = e->initial,
        .value = e->value,
        .choices = e->choices,
        .read_only = c->flags & V4L2_CTRL_FLAG_READ_ONLY || is_compound(c),
        .inactive = c->flags & V4L2_CTRL_FLAG_INACTIVE,
    };
    if (e->control.kind == CONTROL_INT) {
        e->control.min = (double)c->minimum;
        e->control.max = (double)c->maximum;
        e->control.step = c->type == V4L2_CTRL_TYPE_BITMASK ? 0 : (double)c->step;
    }
    if (e->control.kind == CONTROL_MENU) {
        read_choices(fd, e);
    }
    if (has_default(c)) {
        write_number(e->initial, c, c->default_value);
    }
}

void v4l2_control_each(int fd, void (*visit)(void *arg, const struct control *control), void *arg)
{
    struct entry *e = calloc(1, sizeof *e);
    uint32_t id = 0;
    while (e && next(fd, &id, &e->driver)) {
        describe(fd, e);
        read_value(fd, &e->driver, e->value);
        visit(arg, &e->control);
    }
    free(e);
}

static bool find(int fd, const char *name, struct v4l2_query_ext_ctrl *out)
{
    uint32_t id = 0;
    while (next(fd, &id, out)) {
        if (control_same_name(out->name, name)) {
            return true;
        }
    }
    return false;
}

static int no_such_control(int fd, const char *device, const char *name, struct err *err)
{
    char names[NAMES_SIZE] = "", key[CONTROL_NAME_SIZE];
    struct v4l2_query_ext_ctrl one;
    size_t used = 0;
    uint32_t id = 0;
    while (next(fd, &id, &one)) {
        control_key(one.name, key);
        if (used + strlen(key) + sizeof ", , …" > sizeof names) {
            (void)snprintf(names + used, sizeof names - used, ", …");
            break;
        }
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", key);
    }
    return err_set(err, -ENOENT, "%s: no control %.40s; it has %s", device, name,
                   used ? names : "none at all");
}

/* What the flags say before the driver is asked. */
static int check_settable(const struct entry *e, const char *device, struct err *err)
{
    if (is_compound(&e->driver)) {
        return err_set(err, -EACCES,
                       "%s: control %s is more than one number: it cannot be set here", device,
                       e->name);
    }
    if (e->control.read_only) {
        return err_set(err, -EACCES, "%s: control %s is read only", device, e->name);
    }
    if (e->control.inactive) {
        return err_set(err, -EACCES,
                       "%s: control %s is inactive: another control has switched it off", device,
                       e->name);
    }
    return 0;
}

static int parse_wide(const struct entry *e, const char *text, int64_t *out, struct err *err)
{
    const struct v4l2_query_ext_ctrl *c = &e->driver;
    char *end;
    errno = 0;
    int64_t value = strtoll(text, &end, 0);
    if (end == text || *end) {
        return err_set(err, -EINVAL, "control %s: %s is no whole number", e->name, text);
    }
    if (errno == ERANGE || value < c->minimum || value > c->maximum) {
        return err_set(err, -ERANGE, "control %s: %s is not within %" PRId64 " to %" PRId64,
                       e->name, text, (int64_t)c->minimum, (int64_t)c->maximum);
    }
    *out = value;
    return 0;
}

static int parse(const struct entry *e, const char *text, struct v4l2_ext_control *out,
                 struct err *err)
{
    if (e->driver.type == V4L2_CTRL_TYPE_INTEGER64) {
        int64_t wide = 0;
        int code = parse_wide(e, text, &wide, err);
        out->value64 = wide;
        return code;
    }
    double number = 0;
    int code = control_parse(&e->control, text, &number, err);
    int64_t value = (int64_t)number;
    if (code == 0 && e->driver.type == V4L2_CTRL_TYPE_BITMASK && value & ~e->driver.maximum) {
        return err_set(err, -ERANGE, "control %s: %s has bits that are not in 0x%" PRIx32, e->name,
                       text, (uint32_t)e->driver.maximum);
    }
    out->value = (int32_t)(uint32_t)value;
    return code;
}

/* The driver has the last word: it may know more limits than it told. */
static int refused(int code, const struct entry *e, const char *device, const char *text,
                   struct err *err)
{
    switch (code) {
    case -ERANGE:
    case -EINVAL:
        return err_set(err, code, "%s: control %s: the camera refuses %.80s", device, e->name,
                       text);
    case -EACCES:
        return err_set(err, code, "%s: control %s cannot be set now", device, e->name);
    case -EBUSY:
        return err_set(err, code, "%s: control %s cannot be changed while the camera streams",
                       device, e->name);
    default:
        return err_set(err, code, "%s: control %s: %s", device, e->name, err_text(code));
    }
}

static int set_string(int fd, const struct entry *e, const char *device, const char *text,
                      struct err *err)
{
    const struct v4l2_query_ext_ctrl *c = &e->driver;
    size_t length = strlen(text);
    if ((int64_t)length < c->minimum || (int64_t)length > c->maximum) {
        return err_set(err, -ERANGE,
                       "control %s: %zu characters are not within %" PRId64 " to %" PRId64, e->name,
                       length, (int64_t)c->minimum, (int64_t)c->maximum);
    }
    char *copy = strdup(text); /* the driver's argument is not const */
    struct v4l2_ext_control one = { .id = c->id, .size = (uint32_t)length + 1, .string = copy };
    int code = copy ? exchange(fd, VIDIOC_S_EXT_CTRLS, &one) : -ENOMEM;
    free(copy);
    return code < 0 ? refused(code, e, device, text, err) : 0;
}

static int set_entry(int fd, const struct entry *e, const char *device, const char *text,
                     struct err *err)
{
    struct v4l2_ext_control one = { .id = e->driver.id };
    int code = check_settable(e, device, err);
    if (code < 0) {
        return code;
    }
    if (e->driver.type == V4L2_CTRL_TYPE_STRING) {
        return set_string(fd, e, device, text, err);
    }
    code = parse(e, text, &one, err);
    if (code < 0) {
        return code;
    }
    code = exchange(fd, VIDIOC_S_EXT_CTRLS, &one);
    return code < 0 ? refused(code, e, device, text, err) : 0;
}

int v4l2_control_set(int fd, const char *device, const char *name, const char *value,
                     struct err *err)
{
    struct entry *e = calloc(1, sizeof *e);
    if (!e) {
        return err_set(err, -ENOMEM, "%s: out of memory", device);
    }
    int code;
    if (find(fd, name, &e->driver)) {
        describe(fd, e);
        code = set_entry(fd, e, device, value, err);
    } else {
        code = no_such_control(fd, device, name, err);
    }
    free(e);
    return code;
}

/* ---- flips ---- */

static bool user_sets(const struct control_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->count; i++) {
        char theirs[CONTROL_NAME_SIZE];
        const char *value;
        if (control_split(settings->item[i], theirs, &value, NULL) == 0 &&
            control_same_name(theirs, name)) {
            return true;
        }
    }
    return false;
}

/* What the camera starts with is upright (a sensor that is mounted upside down says so). True: it
 * flips as `on` says. */
static bool flip(int fd, uint32_t id, const struct source_wish *wish, bool on)
{
    struct v4l2_query_ext_ctrl c;
    if (query(fd, id, &c) < 0 || c.flags & (V4L2_CTRL_FLAG_DISABLED | V4L2_CTRL_FLAG_READ_ONLY) ||
        user_sets(&wish->controls, c.name)) {
        return false;
    }
    struct v4l2_ext_control one = { .id = id, .value = (c.default_value != 0) != on };
    int code = exchange(fd, VIDIOC_S_EXT_CTRLS, &one);
    if (code < 0) {
        log_debug("%s: %s", c.name, err_text(code)); /* then it is done here */
    }
    return code == 0;
}

unsigned v4l2_control_flip(int fd, const struct source_wish *wish)
{
    bool h = wish->transform & TRANSFORM_HFLIP, v = wish->transform & TRANSFORM_VFLIP;
    unsigned done = 0;
    done |= flip(fd, V4L2_CID_HFLIP, wish, h) && h ? TRANSFORM_HFLIP : 0;
    done |= flip(fd, V4L2_CID_VFLIP, wish, v) && v ? TRANSFORM_VFLIP : 0;
    return done;
}
