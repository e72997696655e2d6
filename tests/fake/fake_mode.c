/* SPDX-License-Identifier: MIT */
/* Settings from the environment, the modes that follow from them, and the control file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_real.h"
#include "fake_state.h"

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static void load_sizes(struct fake *f)
{
    const char *text = setting("PCS_FAKE_SIZES", "320x240,640x480,1280x720,1920x1080");
    int n = 0, used;
    while (n < FAKE_SIZES &&
           sscanf(text, "%dx%d%n", &f->sizes[n].width, &f->sizes[n].height, &used) == 2) {
        n++;
        text += used;
        text += *text == ',';
    }
    f->size_count = n;
    if (f->forced.width > 0) {
        f->sizes[0] = f->forced;
        f->size_count = 1;
    }
}

static void load_rates(struct fake *f)
{
    const char *text = setting("PCS_FAKE_FPS", "30,15");
    int n = 0, used;
    while (n < FAKE_RATES && sscanf(text, "%d%n", &f->rates[n], &used) == 1) {
        n++;
        text += used;
        text += *text == ',';
    }
    f->rate_count = n;
}

static void load_clip(struct fake *f, enum format_id id, const char *name)
{
    const char *path = setting(name, NULL);
    clip_free(&f->clip[id]);
    if (path) {
        (void)clip_load(&f->clip[id], path, id); /* it has said why; the format then is missing */
    }
}

static void load_formats(struct fake *f)
{
    char text[200];
    (void)snprintf(text, sizeof text, "%s",
                   setting("PCS_FAKE_FORMATS", "YUYV,UYVY,NV12,YU12,GREY,RGB3,MJPG,H264"));
    f->format_count = 0;
    for (char *save, *name = strtok_r(text, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
        enum format_id id = format_by_name(name);
        bool have = id != FORMAT_NONE && (!format_info(id)->compressed || f->clip[id].count > 0);
        if (have && f->format_count < FORMAT_COUNT) {
            f->formats[f->format_count++] = id;
        }
    }
}

void fake_load_settings_locked(struct fake *f)
{
    load_sizes(f);
    load_rates(f);
    load_clip(f, FORMAT_JPEG, "PCS_FAKE_MJPG");
    load_clip(f, FORMAT_H264, "PCS_FAKE_H264");
    load_formats(f);
    f->raw_rate = atoll(setting("PCS_FAKE_RAW_RATE", "0"));
    f->padding = atoi(setting("PCS_FAKE_PADDING", "0"));
    f->kind = setting("PCS_FAKE_KIND", "camera");
    f->stamp = setting("PCS_FAKE_STAMP", "monotonic");
    f->quantization = setting("PCS_FAKE_QUANTIZATION", "default");
    struct v4l2_pix_format first = { 0 };
    fake_set_mode_locked(f, &first, false);
}

int fake_sizes_of(const struct fake *f, enum format_id id, struct fake_size out[FAKE_SIZES])
{
    if (format_info(id)->compressed) {
        out[0] = (struct fake_size){ f->clip[id].width, f->clip[id].height };
        return 1;
    }
    memcpy(out, f->sizes, sizeof f->sizes);
    return f->size_count;
}

int fake_rates_of(const struct fake *f, enum format_id id, int width, int height,
                  int out[FAKE_RATES])
{
    int n = 0;
    for (int i = 0; i < f->rate_count; i++) {
        int64_t rate = (int64_t)width * height * f->rates[i];
        if (f->raw_rate == 0 || format_info(id)->compressed || rate <= f->raw_rate) {
            out[n++] = f->rates[i];
        }
    }
    if (n == 0) {
        out[n++] = 5;
    }
    return n;
}

static struct fake_size nearest_size(const struct fake *f, enum format_id id, int width, int height)
{
    struct fake_size sizes[FAKE_SIZES], best = { 0 };
    int64_t least = INT64_MAX;
    int n = fake_sizes_of(f, id, sizes);
    for (int i = 0; i < n; i++) {
        int64_t off = llabs((int64_t)sizes[i].width - width) +
                      llabs((int64_t)sizes[i].height - height);
        if (off < least) {
            least = off;
            best = sizes[i];
        }
    }
    return best;
}

static enum format_id offered(const struct fake *f, uint32_t fourcc)
{
    enum format_id id = format_by_fourcc(fourcc);
    for (int i = 0; i < f->format_count; i++) {
        if (f->formats[i] == id && fourcc == format_info(id)->fourcc) {
            return id;
        }
    }
    return f->format_count > 0 ? f->formats[0] : FORMAT_GREY;
}

static int tight_stride(const struct format *format)
{
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES] = { 0 };
    (void)format_layout(format, 0, offset, stride); /* compressed: 0, as V4L2 wants it */
    return stride[0];
}

static size_t image_size(const struct fake *f, const struct format *format, int stride)
{
    size_t offset[FORMAT_MAX_PLANES];
    int strides[FORMAT_MAX_PLANES];
    return format_info(format->id)->compressed ? f->clip[format->id].largest
                                               : format_layout(format, stride, offset, strides);
}

static void say_mode(const struct fake *f, const struct format *format, struct v4l2_pix_format *out)
{
    int tight = tight_stride(format);
    *out = (struct v4l2_pix_format){
        .width = (uint32_t)format->width,
        .height = (uint32_t)format->height,
        .pixelformat = format_info(format->id)->fourcc,
        .field = V4L2_FIELD_NONE,
        .bytesperline = tight ? (uint32_t)(tight + f->padding) : 0,
        .colorspace = V4L2_COLORSPACE_SRGB,
        .priv = V4L2_PIX_FMT_PRIV_MAGIC,
    };
    out->sizeimage = (uint32_t)image_size(f, format, (int)out->bytesperline);
    if (strcmp(f->quantization, "full") == 0) {
        out->quantization = V4L2_QUANTIZATION_FULL_RANGE;
    } else if (strcmp(f->quantization, "limited") == 0) {
        out->quantization = V4L2_QUANTIZATION_LIM_RANGE;
    }
}

void fake_say_mode_locked(const struct fake *f, struct v4l2_pix_format *out)
{
    say_mode(f, &f->format, out);
}

void fake_set_mode_locked(struct fake *f, struct v4l2_pix_format *wanted, bool only_try)
{
    enum format_id id = offered(f, wanted->pixelformat);
    struct fake_size size = nearest_size(f, id, (int)wanted->width, (int)wanted->height);
    int rates[FAKE_RATES];
    (void)fake_rates_of(f, id, size.width, size.height, rates); /* never empty */
    struct format mode = {
        .id = id, .width = size.width, .height = size.height, .fps_num = rates[0], .fps_den = 1
    };
    say_mode(f, &mode, wanted);
    if (!only_try) {
        f->format = mode;
        f->stride = (int)wanted->bytesperline;
        f->size_image = wanted->sizeimage;
    }
}

static void unplug(struct fake *f)
{
    f->unplugged = true;
    for (int i = 0; i < FAKE_HANDLES; i++) {
        f->handle[i].dead = f->handle[i].used;
    }
    fake_wake_locked(f);
}

static void resize(struct fake *f, const char *size)
{
    if (sscanf(size, "%dx%d", &f->forced.width, &f->forced.height) != 2) {
        return;
    }
    load_sizes(f);
    f->hung = f->streaming; /* nothing more until it is started again */
    for (int i = 0; i < FAKE_HANDLES; i++) {
        f->handle[i].events += f->handle[i].used && f->handle[i].wants_source_change;
    }
    fake_wake_locked(f);
}

static void obey_line(struct fake *f, const char *line)
{
    char verb[20] = "", what[30] = "";
    if (sscanf(line, "%19s %29s", verb, what) < 1) {
        return;
    }
    const struct {
        const char *verb;
        unsigned *count;
    } counts[] = { { "corrupt", &f->corrupt },
                   { "short", &f->cut },
                   { "empty", &f->empty },
                   { "error", &f->error },
                   { "skip", &f->skip } };
    const struct {
        const char *verb;
        bool *flag, value;
    } flags[] = { { "stall", &f->stalled, true }, { "go", &f->stalled, false },
                  { "hang", &f->hung, true },     { "busy", &f->busy, true },
                  { "free", &f->busy, false },    { "plug", &f->unplugged, false } };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        if (strcmp(verb, counts[i].verb) == 0) {
            *counts[i].count += (unsigned)strtoul(what, NULL, 10);
        }
    }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(verb, flags[i].verb) == 0) {
            *flags[i].flag = flags[i].value;
        }
    }
    if (strcmp(verb, "unplug") == 0) {
        unplug(f);
    } else if (strcmp(verb, "resize") == 0) {
        resize(f, what);
    }
}

static void begin_file(struct fake *f, const char *path)
{
    (void)snprintf(f->control_path, sizeof f->control_path, "%s", path);
    f->control_offset = 0;
    f->unplugged = f->stalled = f->hung = f->busy = false;
    f->corrupt = f->cut = f->empty = f->error = f->skip = 0;
    f->forced = (struct fake_size){ 0 };
}

static void obey_text(struct fake *f, char *text)
{
    char *end = strrchr(text, '\n'); /* half a line is read again, whole */
    if (!end) {
        return;
    }
    *end = '\0';
    f->control_offset += end + 1 - text;
    for (char *save, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        obey_line(f, line);
    }
}

void fake_obey_locked(struct fake *f)
{
    const char *path = getenv("PCS_FAKE_CONTROL");
    path = path ? path : "";
    if (strcmp(path, f->control_path) != 0) {
        begin_file(f, path);
    }
    int fd = *path ? real_calls()->open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    if (fd >= 0) {
        char text[4096];
        ssize_t n = pread(fd, text, sizeof text - 1, f->control_offset);
        text[n > 0 ? n : 0] = '\0';
        (void)real_calls()->close(fd); /* read only */
        obey_text(f, text);
    }
}
