/* SPDX-License-Identifier: MIT */
/* Settings from the environment, and the modes that follow from them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_state.h"

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

void fake_load_sizes(struct fake *f)
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

/* The V4L2 name that was meant: NM12 and NV12 are the same format here. */
static uint32_t name_fourcc(const char *name, enum format_id id)
{
    const uint32_t planes = format_info(id)->fourcc_planes;
    const char text[5] = { (char)planes, (char)(planes >> 8), (char)(planes >> 16),
                           (char)(planes >> 24), 0 };
    return planes && strcmp(name, text) == 0 ? planes : format_info(id)->fourcc;
}

static bool can_give(const struct fake *f, enum format_id id, uint32_t fourcc)
{
    const struct format_info *info = format_info(id);
    bool apart = fourcc == info->fourcc_planes;
    return id != FORMAT_NONE && (!info->compressed || f->clip[id].count > 0) &&
           (!apart || f->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE);
}

static void load_formats(struct fake *f)
{
    char text[200];
    (void)snprintf(text, sizeof text, "%s",
                   setting("PCS_FAKE_FORMATS", "YUYV,UYVY,NV12,YU12,GREY,RGB3,MJPG,H264"));
    f->format_count = 0;
    for (char *save, *name = strtok_r(text, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
        enum format_id id = format_by_name(name);
        uint32_t fourcc = name_fourcc(name, id);
        if (can_give(f, id, fourcc) && f->format_count < FAKE_FORMATS) {
            f->formats[f->format_count++] = fourcc;
        }
    }
}

static void load_colors(struct fake *f)
{
    const char *range = setting("PCS_FAKE_QUANTIZATION", "default");
    uint32_t *c = f->colors;
    memset(c, 0, sizeof f->colors);
    c[0] = V4L2_COLORSPACE_SRGB;
    (void)sscanf(setting("PCS_FAKE_COLORS", ""), "%u,%u,%u,%u", &c[0], &c[1], &c[2], &c[3]);
    c[2] = strcmp(range, "full") == 0      ? V4L2_QUANTIZATION_FULL_RANGE
           : strcmp(range, "limited") == 0 ? V4L2_QUANTIZATION_LIM_RANGE
                                           : c[2];
}

void fake_load_settings_locked(struct fake *f)
{
    fake_load_sizes(f);
    load_rates(f);
    f->kind = setting("PCS_FAKE_KIND", "camera");
    f->type = strcmp(f->kind, "mplane") == 0 ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
                                             : V4L2_BUF_TYPE_VIDEO_CAPTURE;
    load_colors(f);
    load_clip(f, FORMAT_JPEG, "PCS_FAKE_MJPG");
    load_clip(f, FORMAT_H264, "PCS_FAKE_H264");
    load_formats(f);
    f->raw_rate = atoll(setting("PCS_FAKE_RAW_RATE", "0"));
    f->padding = atoi(setting("PCS_FAKE_PADDING", "0"));
    f->front = atoi(setting("PCS_FAKE_FRONT", "0"));
    f->buffer_limit = atoi(setting("PCS_FAKE_BUFFERS", "32"));
    f->stamp = setting("PCS_FAKE_STAMP", "monotonic");
    if (f->signal.width == 0) { /* no control file has been */
        f->signal = f->timings = fake_timings(1280, 720, 60);
    }
    struct v4l2_format first = { .type = f->type };
    fake_set_mode_locked(f, &first, false);
}

int fake_sizes_of(const struct fake *f, enum format_id id, struct fake_size out[FAKE_SIZES])
{
    if (format_info(id)->compressed) {
        out[0] = (struct fake_size){ f->clip[id].width, f->clip[id].height };
        return 1;
    }
    if (fake_is_hdmi(f)) {
        out[0] = (struct fake_size){ (int)f->timings.width, (int)f->timings.height };
        return 1;
    }
    memcpy(out, f->sizes, sizeof f->sizes);
    return f->size_count;
}

int fake_rates_of(const struct fake *f, enum format_id id, int width, int height,
                  int out[FAKE_RATES])
{
    int n = 0;
    if (fake_is_hdmi(f)) {
        const struct v4l2_bt_timings *t = &f->timings;
        uint32_t total = V4L2_DV_BT_FRAME_WIDTH(t) * V4L2_DV_BT_FRAME_HEIGHT(t);
        out[n++] = (int)(t->pixelclock / total);
        return n;
    }
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

/* Of a scaler, which can only make it smaller; whole pairs of pixels. */
static int scaled(int wanted, uint32_t arrives)
{
    int most = (int)arrives;
    return wanted <= 0 || wanted >= most ? most : wanted < 16 ? 16 : wanted & ~1;
}

static struct fake_size nearest_size(const struct fake *f, enum format_id id, int width, int height)
{
    if (fake_is_hdmi(f) && !format_info(id)->compressed) {
        return (struct fake_size){ scaled(width, f->timings.width),
                                   scaled(height, f->timings.height) };
    }
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

static uint32_t offered(const struct fake *f, uint32_t fourcc)
{
    for (int i = 0; i < f->format_count; i++) {
        if (f->formats[i] == fourcc) {
            return fourcc;
        }
    }
    return f->format_count > 0 ? f->formats[0] : format_info(FORMAT_GREY)->fourcc;
}

/* How a picture lies in memory, with the padding and the front of the settings. */
static void lay_out(const struct fake *f, struct fake_mode *mode)
{
    const struct format_info *info = format_info(mode->format.id);
    size_t offset[FORMAT_MAX_PLANES + 1] = { 0 };
    int tight[FORMAT_MAX_PLANES] = { 0 }, strides[FORMAT_MAX_PLANES];
    size_t front = f->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE ? (size_t)f->front : 0;
    mode->pieces = mode->fourcc == info->fourcc_planes ? info->planes : 1;
    if (info->compressed) { /* V4L2 wants a stride of 0 */
        mode->size[0] = f->clip[mode->format.id].largest + front;
        return;
    }
    offset[info->planes] = format_layout(&mode->format, 0, offset, tight);
    for (int i = 0; i < mode->pieces; i++) {
        mode->stride[i] = tight[i] + f->padding;
        size_t lines = (offset[i + 1] - offset[i]) / (size_t)tight[i];
        mode->size[i] = (size_t)mode->stride[i] * lines + front;
    }
    if (mode->pieces == 1) {
        mode->size[0] = format_layout(&mode->format, mode->stride[0], offset, strides) + front;
    }
}

static struct fake_mode nearest_mode(const struct fake *f, uint32_t fourcc, uint32_t width,
                                     uint32_t height)
{
    struct fake_mode mode = { .fourcc = offered(f, fourcc) };
    enum format_id id = format_by_fourcc(mode.fourcc);
    struct fake_size size = nearest_size(f, id, (int)width, (int)height);
    int rates[FAKE_RATES];
    (void)fake_rates_of(f, id, size.width, size.height, rates); /* never empty */
    mode.format = (struct format){
        .id = id, .width = size.width, .height = size.height, .fps_num = rates[0], .fps_den = 1
    };
    lay_out(f, &mode);
    return mode;
}

static void say_planes(const struct fake *f, const struct fake_mode *mode, struct v4l2_format *out)
{
    struct v4l2_pix_format_mplane *pix = &out->fmt.pix_mp;
    *pix = (struct v4l2_pix_format_mplane){
        .width = (uint32_t)mode->format.width,
        .height = (uint32_t)mode->format.height,
        .pixelformat = mode->fourcc,
        .field = V4L2_FIELD_NONE,
        .num_planes = (uint8_t)mode->pieces,
        .colorspace = f->colors[0],
        .ycbcr_enc = (uint8_t)f->colors[1],
        .quantization = (uint8_t)f->colors[2],
        .xfer_func = (uint8_t)f->colors[3],
    };
    for (int i = 0; i < mode->pieces; i++) {
        pix->plane_fmt[i].bytesperline = (uint32_t)mode->stride[i];
        pix->plane_fmt[i].sizeimage = (uint32_t)mode->size[i];
    }
}

static void say_mode(const struct fake *f, const struct fake_mode *mode, struct v4l2_format *out)
{
    if (f->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE) {
        say_planes(f, mode, out);
        return;
    }
    out->fmt.pix = (struct v4l2_pix_format){
        .width = (uint32_t)mode->format.width,
        .height = (uint32_t)mode->format.height,
        .pixelformat = mode->fourcc,
        .field = V4L2_FIELD_NONE,
        .bytesperline = (uint32_t)mode->stride[0],
        .sizeimage = (uint32_t)mode->size[0],
        .colorspace = f->colors[0],
        .priv = V4L2_PIX_FMT_PRIV_MAGIC,
        .ycbcr_enc = f->colors[1],
        .quantization = f->colors[2],
        .xfer_func = f->colors[3],
    };
}

void fake_say_mode_locked(const struct fake *f, struct v4l2_format *out)
{
    say_mode(f, &f->mode, out);
}

void fake_set_mode_locked(struct fake *f, struct v4l2_format *wanted, bool only_try)
{
    bool planes = f->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
    const struct v4l2_pix_format *pix = &wanted->fmt.pix;
    const struct v4l2_pix_format_mplane *mp = &wanted->fmt.pix_mp;
    struct fake_mode mode = planes ? nearest_mode(f, mp->pixelformat, mp->width, mp->height)
                                   : nearest_mode(f, pix->pixelformat, pix->width, pix->height);
    say_mode(f, &mode, wanted);
    if (!only_try) {
        f->mode = mode;
    }
}
