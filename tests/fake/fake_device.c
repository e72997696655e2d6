/* SPDX-License-Identifier: MIT */
/* File handles and ioctls of the emulated camera. */
#include "fake_device.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_real.h"
#include "fake_state.h"

/* One camera a process, reachable only through the C library's calls: there is no one to pass it. */
static struct fake fake = { .lock = PTHREAD_MUTEX_INITIALIZER, .memory = -1 };
static pthread_once_t fake_once = PTHREAD_ONCE_INIT;

static const struct v4l2_queryctrl controls[FAKE_CONTROLS] = {
    { .id = V4L2_CID_BRIGHTNESS,
      .type = V4L2_CTRL_TYPE_INTEGER,
      .name = "Brightness",
      .minimum = 0,
      .maximum = 255,
      .step = 1,
      .default_value = 128 },
    { .id = V4L2_CID_CONTRAST,
      .type = V4L2_CTRL_TYPE_INTEGER,
      .name = "Contrast",
      .minimum = 0,
      .maximum = 100,
      .step = 1,
      .default_value = 50 },
    { .id = V4L2_CID_HFLIP,
      .type = V4L2_CTRL_TYPE_BOOLEAN,
      .name = "Horizontal Flip",
      .minimum = 0,
      .maximum = 1,
      .step = 1,
      .default_value = 0 },
};

static void init_once(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&fake.changed, &attr);
    pthread_condattr_destroy(&attr);
    fake.scratch = malloc((size_t)FORMAT_MAX_SIZE * FORMAT_MAX_SIZE / 4);
    for (int i = 0; i < FAKE_CONTROLS; i++) {
        fake.control[i] = controls[i].default_value;
    }
}

static struct fake *enter(void)
{
    pthread_once(&fake_once, init_once);
    pthread_mutex_lock(&fake.lock);
    return &fake;
}

static void leave(struct fake *f)
{
    pthread_mutex_unlock(&f->lock);
}

static struct fake_handle *find_locked(struct fake *f, int fd)
{
    for (int i = 0; i < FAKE_HANDLES; i++) {
        if (f->handle[i].used && f->handle[i].fd == fd) {
            return &f->handle[i];
        }
    }
    return NULL;
}

bool device_is_path(const char *path)
{
    const char *ours = getenv("PCS_FAKE_V4L2");
    ours = ours && *ours ? ours : "/dev/video-fake";
    if (!path || strcmp(path, ours) == 0) {
        return path != NULL;
    }
    char target[PATH_MAX];
    ssize_t n = strstr(path, "video") || strstr(path, "by-")
                    ? readlink(path, target, sizeof target - 1)
                    : -1;
    return n > 0 && (target[n] = '\0', strcmp(target, ours) == 0);
}

bool device_present(void)
{
    struct fake *f = enter();
    fake_obey_locked(f);
    bool present = !f->unplugged;
    leave(f);
    return present;
}

bool device_owns(int fd)
{
    struct fake *f = enter();
    bool owns = find_locked(f, fd) != NULL;
    leave(f);
    return owns;
}

static int open_locked(struct fake *f, int flags)
{
    bool first = true;
    struct fake_handle *h = NULL;
    for (int i = 0; i < FAKE_HANDLES; i++) {
        first &= !f->handle[i].used;
        h = !f->handle[i].used && !h ? &f->handle[i] : h;
    }
    if (!h || f->unplugged) {
        return h ? -ENOENT : -EMFILE;
    }
    int efd_flags = (flags & O_NONBLOCK ? EFD_NONBLOCK : 0) | (flags & O_CLOEXEC ? EFD_CLOEXEC : 0);
    *h = (struct fake_handle){ .used = true, .fd = eventfd(0, efd_flags) };
    h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->fd < 0 || h->event_fd < 0) {
        h->used = false;
        return -EMFILE;
    }
    if (first) {
        fake_load_settings_locked(f);
    }
    return h->fd;
}

int device_open(int flags)
{
    struct fake *f = enter();
    fake_obey_locked(f);
    int fd = open_locked(f, flags);
    leave(f);
    if (fd < 0) {
        errno = -fd;
        return -1;
    }
    return fd;
}

/* What the kernel does when a file with mapped buffers is closed: they hold the queue. */
static void orphan_maps_locked(struct fake *f)
{
    for (int i = 0; i < FAKE_MAPS; i++) {
        if (f->map[i].at && !f->map[i].orphan) {
            f->map[i].orphan = true;
            f->orphans++;
        }
    }
}

static void release_maps_locked(struct fake *f)
{
    for (int i = 0; i < FAKE_MAPS; i++) {
        f->map[i] = (struct fake_map){ 0 };
    }
}

void device_close(int fd)
{
    struct fake *f = enter();
    struct fake_handle *h = find_locked(f, fd);
    if (h && f->owner == h) {
        orphan_maps_locked(f);
        fake_stream_off_locked(f);
        fake_free_buffers_locked(f);
        f->owner = NULL;
    }
    if (h) {
        (void)real_calls()->close(h->event_fd);
        (void)real_calls()->close(h->fd);
        *h = (struct fake_handle){ 0 };
    }
    leave(f);
}

void fake_wake_locked(struct fake *f)
{
    static const uint64_t one = 1;
    for (int i = 0; i < FAKE_HANDLES; i++) {
        struct fake_handle *h = &f->handle[i];
        bool filled = f->owner == h && f->length[1] > 0;
        if (h->used && (filled || h->dead) && write(h->fd, &one, sizeof one) < 0) {
            continue; /* full: readable already */
        }
        if (h->used && h->events > 0 && write(h->event_fd, &one, sizeof one) < 0) {
            continue;
        }
    }
}

int device_poll(int fd, short events, int *event_fd)
{
    struct fake *f = enter();
    struct fake_handle *h = find_locked(f, fd);
    int revents = -1;
    if (h) {
        *event_fd = h->event_fd;
        revents = h->events > 0 ? events & POLLPRI : 0;
        if (h->dead) {
            revents |= POLLERR | POLLHUP;
        } else if (f->owner == h && f->length[1] > 0) {
            revents |= events & (POLLIN | POLLRDNORM);
        } else if ((f->owner != h || !f->streaming) && (events & (POLLIN | POLLRDNORM))) {
            revents |= POLLERR; /* vb2: nothing can ever come */
        }
    }
    leave(f);
    return revents;
}

void *device_map(int fd, size_t size, int prot, int flags, off_t offset)
{
    struct fake *f = enter();
    struct fake_handle *h = find_locked(f, fd);
    bool fits = h && f->owner == h && !h->dead && f->buffer_span > 0 && size <= f->buffer_span &&
                (size_t)offset % f->buffer_span == 0 &&
                (size_t)offset / f->buffer_span < f->buffer_count;
    void *at = MAP_FAILED;
    errno = EINVAL;
    if (fits) {
        at = real_calls()->mmap(NULL, size, prot, flags, f->memory, offset);
    }
    for (int i = 0; i < FAKE_MAPS && at != MAP_FAILED; i++) {
        if (!f->map[i].at) {
            f->map[i].at = at;
            break;
        }
    }
    leave(f);
    return at;
}

void device_unmapped(void *at)
{
    struct fake *f = enter();
    for (int i = 0; i < FAKE_MAPS; i++) {
        if (at && f->map[i].at == at) {
            f->orphans -= f->map[i].orphan;
            f->map[i] = (struct fake_map){ 0 };
        }
    }
    leave(f);
}

static int query_cap(const struct fake *f, struct v4l2_capability *out)
{
    const struct {
        const char *kind;
        uint32_t caps;
    } kinds[] = { { "camera", V4L2_CAP_VIDEO_CAPTURE },
                  { "meta", V4L2_CAP_META_CAPTURE },
                  { "output", V4L2_CAP_VIDEO_OUTPUT },
                  { "mplane", V4L2_CAP_VIDEO_CAPTURE_MPLANE } };
    *out = (struct v4l2_capability){ .version = 0x060100 };
    (void)snprintf((char *)out->driver, sizeof out->driver, "v4l2fake");
    (void)snprintf((char *)out->card, sizeof out->card, "Fake camera");
    (void)snprintf((char *)out->bus_info, sizeof out->bus_info, "platform:v4l2fake");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].kind, f->kind) == 0) {
            out->device_caps = kinds[i].caps | V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT;
        }
    }
    out->capabilities = out->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
}

static int enum_format(const struct fake *f, struct v4l2_fmtdesc *arg)
{
    if (arg->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || arg->index >= (uint32_t)f->format_count ||
        strcmp(f->kind, "camera") != 0) {
        return -EINVAL;
    }
    const struct format_info *info = format_info(f->formats[arg->index]);
    arg->pixelformat = info->fourcc;
    arg->flags = info->compressed ? V4L2_FMT_FLAG_COMPRESSED : 0;
    (void)snprintf((char *)arg->description, sizeof arg->description, "%s", info->name);
    return 0;
}

static int enum_size(const struct fake *f, struct v4l2_frmsizeenum *arg)
{
    struct fake_size sizes[FAKE_SIZES];
    enum format_id id = format_by_fourcc(arg->pixel_format);
    int n = id ? fake_sizes_of(f, id, sizes) : 0;
    if (arg->index >= (uint32_t)n) {
        return -EINVAL;
    }
    arg->type = V4L2_FRMSIZE_TYPE_DISCRETE;
    arg->discrete.width = (uint32_t)sizes[arg->index].width;
    arg->discrete.height = (uint32_t)sizes[arg->index].height;
    return 0;
}

static int enum_interval(const struct fake *f, struct v4l2_frmivalenum *arg)
{
    int rates[FAKE_RATES];
    enum format_id id = format_by_fourcc(arg->pixel_format);
    int n = id ? fake_rates_of(f, id, (int)arg->width, (int)arg->height, rates) : 0;
    if (arg->index >= (uint32_t)n) {
        return -EINVAL;
    }
    arg->type = V4L2_FRMIVAL_TYPE_DISCRETE;
    arg->discrete = (struct v4l2_fract){ 1, (uint32_t)rates[arg->index] };
    return 0;
}

static int set_format(struct fake *f, const struct fake_handle *h, struct v4l2_format *arg,
                      bool only_try)
{
    if (arg->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || strcmp(f->kind, "camera") != 0) {
        return -EINVAL;
    }
    bool taken = f->busy || f->orphans > 0 || f->buffer_count > 0 || (f->owner && f->owner != h);
    if (!only_try && taken) {
        return -EBUSY;
    }
    fake_set_mode_locked(f, &arg->fmt.pix, only_try);
    return 0;
}

static int say_parm(const struct fake *f, struct v4l2_streamparm *arg)
{
    if (arg->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) {
        return -EINVAL;
    }
    arg->parm.capture = (struct v4l2_captureparm){
        .capability = V4L2_CAP_TIMEPERFRAME,
        .timeperframe = { (uint32_t)f->format.fps_den, (uint32_t)f->format.fps_num },
        .readbuffers = 4,
    };
    return 0;
}

static int set_parm(struct fake *f, struct v4l2_streamparm *arg)
{
    struct v4l2_fract wanted = arg->parm.capture.timeperframe;
    int rates[FAKE_RATES], n;
    n = fake_rates_of(f, f->format.id, f->format.width, f->format.height, rates);
    int rate = wanted.numerator ? (int)(wanted.denominator / wanted.numerator) : rates[0];
    for (int i = 0, best = INT_MAX; i < n && !f->streaming; i++) {
        if (abs(rates[i] - rate) < best) {
            best = abs(rates[i] - rate);
            f->format.fps_num = rates[i];
        }
    }
    return f->streaming ? -EBUSY : say_parm(f, arg);
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

static int query_control(struct v4l2_queryctrl *arg)
{
    uint32_t id = arg->id & V4L2_CTRL_ID_MASK;
    bool next = arg->id & V4L2_CTRL_FLAG_NEXT_CTRL;
    for (int i = 0; i < FAKE_CONTROLS; i++) {
        if (next ? controls[i].id > id : controls[i].id == id) {
            *arg = controls[i];
            return 0;
        }
    }
    return -EINVAL;
}

static int change_control(struct fake *f, struct v4l2_control *arg, bool set)
{
    int i = find_control(arg->id);
    if (i < 0) {
        return i;
    }
    if (set && (arg->value < controls[i].minimum || arg->value > controls[i].maximum)) {
        return -ERANGE;
    }
    f->control[i] = set ? arg->value : f->control[i];
    arg->value = f->control[i];
    return 0;
}

static int change_controls(struct fake *f, struct v4l2_ext_controls *arg, bool set)
{
    for (uint32_t i = 0; i < arg->count; i++) {
        struct v4l2_control one = { arg->controls[i].id, arg->controls[i].value };
        int code = change_control(f, &one, set);
        if (code < 0) {
            arg->error_idx = i;
            return code;
        }
        arg->controls[i].value = one.value;
    }
    return 0;
}

static int subscribe(struct fake_handle *h, const struct v4l2_event_subscription *arg, bool on)
{
    if (arg->type != V4L2_EVENT_SOURCE_CHANGE) {
        return -EINVAL;
    }
    h->wants_source_change = on;
    return 0;
}

static int take_event(struct fake_handle *h, struct v4l2_event *arg)
{
    if (h->events == 0) {
        return -ENOENT;
    }
    *arg = (struct v4l2_event){ .type = V4L2_EVENT_SOURCE_CHANGE,
                                .u.src_change.changes = V4L2_EVENT_SRC_CH_RESOLUTION };
    arg->pending = --h->events;
    if (h->events == 0) {
        fake_calm(h->event_fd);
    }
    return 0;
}

static int enum_input(struct v4l2_input *arg)
{
    if (arg->index > 0) {
        return -EINVAL;
    }
    *arg = (struct v4l2_input){ .type = V4L2_INPUT_TYPE_CAMERA };
    (void)snprintf((char *)arg->name, sizeof arg->name, "Camera 1");
    return 0;
}

static int ioctl_format(struct fake *f, struct fake_handle *h, unsigned long request, void *arg)
{
    struct v4l2_format *format = arg;
    switch (request) {
    case VIDIOC_QUERYCAP:
        return query_cap(f, arg);
    case VIDIOC_ENUM_FMT:
        return enum_format(f, arg);
    case VIDIOC_ENUM_FRAMESIZES:
        return enum_size(f, arg);
    case VIDIOC_ENUM_FRAMEINTERVALS:
        return enum_interval(f, arg);
    case VIDIOC_G_FMT:
        if (format->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) {
            return -EINVAL;
        }
        fake_say_mode_locked(f, &format->fmt.pix);
        return 0;
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT:
        return set_format(f, h, arg, request == VIDIOC_TRY_FMT);
    case VIDIOC_G_PARM:
        return say_parm(f, arg);
    case VIDIOC_S_PARM:
        return set_parm(f, arg);
    default:
        return -ENOTTY;
    }
}

static int stream_off(struct fake *f, const struct fake_handle *h)
{
    if (f->owner && f->owner != h) {
        return -EBUSY;
    }
    fake_stream_off_locked(f);
    return 0;
}

static int request_buffers(struct fake *f, struct fake_handle *h, void *arg)
{
    int code = fake_request_locked(f, h, arg);
    if (code == 0) {
        release_maps_locked(f); /* orphaned buffers no longer hold the queue */
    }
    return code;
}

static int ioctl_stream(struct fake *f, struct fake_handle *h, unsigned long request, void *arg)
{
    switch (request) {
    case VIDIOC_REQBUFS:
        return request_buffers(f, h, arg);
    case VIDIOC_QUERYBUF:
        return fake_query_locked(f, arg);
    case VIDIOC_QBUF:
        return fake_queue_locked(f, h, arg);
    case VIDIOC_DQBUF:
        return fake_dequeue_locked(f, h, arg);
    case VIDIOC_STREAMON:
        return f->busy ? -EBUSY : fake_stream_on_locked(f, h);
    case VIDIOC_STREAMOFF:
        return stream_off(f, h);
    case VIDIOC_SUBSCRIBE_EVENT:
    case VIDIOC_UNSUBSCRIBE_EVENT:
        return subscribe(h, arg, request == VIDIOC_SUBSCRIBE_EVENT);
    case VIDIOC_DQEVENT:
        return take_event(h, arg);
    default:
        return -ENOTTY;
    }
}

static int ioctl_control(struct fake *f, unsigned long request, void *arg)
{
    switch (request) {
    case VIDIOC_QUERYCTRL:
        return query_control(arg);
    case VIDIOC_G_CTRL:
    case VIDIOC_S_CTRL:
        return change_control(f, arg, request == VIDIOC_S_CTRL);
    case VIDIOC_G_EXT_CTRLS:
    case VIDIOC_S_EXT_CTRLS:
        return change_controls(f, arg, request == VIDIOC_S_EXT_CTRLS);
    case VIDIOC_ENUMINPUT:
        return enum_input(arg);
    case VIDIOC_G_INPUT:
        *(int *)arg = 0;
        return 0;
    case VIDIOC_S_INPUT:
        return *(int *)arg == 0 ? 0 : -EINVAL;
    default:
        return -ENOTTY;
    }
}

static int dispatch_locked(struct fake *f, int fd, unsigned long request, void *arg)
{
    struct fake_handle *h = find_locked(f, fd);
    fake_obey_locked(f);
    if (!h || h->dead) {
        return -ENODEV;
    }
    int code = ioctl_format(f, h, request, arg);
    code = code == -ENOTTY ? ioctl_stream(f, h, request, arg) : code;
    return code == -ENOTTY ? ioctl_control(f, request, arg) : code;
}

int device_ioctl(int fd, unsigned long request, void *arg)
{
    for (;;) {
        struct fake *f = enter();
        int code = dispatch_locked(f, fd, request, arg);
        leave(f);
        bool waits = code == -EAGAIN && request == VIDIOC_DQBUF;
        if (!waits || fcntl(fd, F_GETFL) & O_NONBLOCK) {
            errno = -code;
            return code < 0 ? -1 : 0;
        }
        struct pollfd filled = { .fd = fd, .events = POLLIN };
        (void)real_calls()->poll(&filled, 1, -1); /* whatever woke it, ask again */
    }
}
