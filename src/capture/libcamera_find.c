/* SPDX-License-Identifier: MIT */
#include "libcamera_find.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/media.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libcamera_control.h"
#include "libcamera_mode.h"
#include "pcs/text.h"

#define MAX_MEDIA 16

static void add_camera(void *arg, const struct libcamera_info *info)
{
    struct libcamera_cameras *cameras = arg;
    if (cameras->count == LIBCAMERA_CAMERAS) {
        return;
    }
    struct libcamera_found *c = &cameras->item[cameras->count++];
    (void)snprintf(c->id, sizeof c->id, "%s", info->id);
    (void)snprintf(c->model, sizeof c->model, "%s", info->model);
    text_clean(c->model, strlen(c->model)); /* a USB device's own words */
    (void)snprintf(c->location, sizeof c->location, "%s", info->location);
    c->rotation = info->rotation;
}

void libcamera_look(const struct libcamera_api *api, struct libcamera_manager *manager,
                    struct libcamera_cameras *out)
{
    out->count = 0;
    api->each_camera(manager, add_camera, out);
}

/* ---- by name ---- */

static bool has_part(const char *text, const char *part)
{
    return strcasestr(text, part) != NULL;
}

static bool is_number(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == 0;
}

/* Ways to name a camera, the surest first. */
static bool matches(const struct libcamera_cameras *cameras, size_t i, const char *wanted, int way)
{
    const struct libcamera_found *c = &cameras->item[i];
    switch (way) {
    case 0:
        return strcmp(c->id, wanted) == 0;
    case 1:
        return is_number(wanted) && strtoul(wanted, NULL, 10) == i;
    case 2:
        return *c->model && strcasecmp(c->model, wanted) == 0;
    default:
        return *wanted && !is_number(wanted) &&
               (has_part(c->id, wanted) || has_part(c->model, wanted));
    }
}

static const char *names(const struct libcamera_cameras *cameras, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < cameras->count && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%zu=%s", i ? ", " : "", i,
                                 cameras->item[i].id);
    }
    return text;
}

static int find_named(const struct libcamera_cameras *cameras, const char *wanted,
                      const struct libcamera_found **out, struct err *err)
{
    char text[250];
    for (int way = 0; way < 4; way++) {
        size_t count = 0, last = 0;
        for (size_t i = 0; i < cameras->count; i++) {
            if (matches(cameras, i, wanted, way)) {
                count++;
                last = i;
            }
        }
        if (count > 1) {
            return err_set(err, -EINVAL, "--camera %s: could be several of: %s", wanted,
                           names(cameras, text, sizeof text));
        }
        if (count == 1) {
            *out = &cameras->item[last];
            return 0;
        }
    }
    return err_set(err, -ENODEV, "libcamera: no camera %s%s%s", wanted,
                   cameras->count ? "; there are: " : ": it finds none at all",
                   names(cameras, text, sizeof text));
}

int libcamera_find(const struct libcamera_cameras *cameras, const char *wanted,
                   const struct libcamera_found **out, struct err *err)
{
    if (wanted) {
        return find_named(cameras, wanted, out, err);
    }
    if (cameras->count == 0) {
        return err_set(err, -ENODEV, "libcamera: finds no camera");
    }
    const struct libcamera_found *best = &cameras->item[0];
    for (size_t i = cameras->count; i-- > 0;) {
        best = libcamera_is_usb(cameras->item[i].id) ? best : &cameras->item[i];
    }
    *out = best;
    return 0;
}

/* ---- without libcamera ---- */

/* The first entity after `after` in a media device's graph; false at its end. */
static bool next_entity(int fd, struct media_entity_desc *entity, unsigned after)
{
    memset(entity, 0, sizeof *entity);
    entity->id = after | MEDIA_ENT_ID_FLAG_NEXT;
    return ioctl(fd, MEDIA_IOC_ENUM_ENTITIES, entity) == 0;
}

static bool is_sensor_device(const char *path)
{
    struct media_device_info info = { 0 };
    struct media_entity_desc entity = { 0 };
    bool found = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    if (ioctl(fd, MEDIA_IOC_DEVICE_INFO, &info) == 0 && strcmp(info.driver, "uvcvideo") != 0) {
        while (!found && next_entity(fd, &entity, entity.id)) {
            found = entity.type == MEDIA_ENT_F_CAM_SENSOR;
        }
    }
    close(fd);
    return found;
}

bool libcamera_has_sensor(void)
{
    char path[32];
    bool found = false;
    for (int i = 0; !found && i < MAX_MEDIA; i++) {
        (void)snprintf(path, sizeof path, "/dev/media%d", i);
        found = is_sensor_device(path);
    }
    return found;
}

/* ---- for people ---- */

static const char *text_of_fourcc(uint32_t fourcc, char text[5])
{
    for (int i = 0; i < 4; i++) {
        int c = (int)(fourcc >> (8 * i) & 0xff);
        text[i] = isprint(c) ? (char)c : '?';
    }
    text[4] = 0;
    return text;
}

static void print_sizes(FILE *out, const struct libcamera_format *f)
{
    if (f->step.width > 0) {
        (void)fprintf(out, " %dx%d to %dx%d", f->min.width, f->min.height, f->max.width,
                      f->max.height);
        return;
    }
    for (size_t i = 0; i < f->size_count; i++) {
        (void)fprintf(out, " %dx%d", f->sizes[i].width, f->sizes[i].height);
    }
}

static void print_format(void *arg, const struct libcamera_format *f)
{
    FILE *out = arg;
    char text[5];
    enum format_id id = f->plain ? libcamera_format_id(f->fourcc) : FORMAT_NONE;
    uint32_t fourcc = id == FORMAT_NONE ? f->fourcc : format_info(id)->fourcc;
    (void)fprintf(out, "  %s", text_of_fourcc(fourcc, text));
    if (id == FORMAT_NONE) {
        (void)fputs(" (not for us)", out);
    }
    print_sizes(out, f);
    (void)fputc('\n', out);
}

static void print_mode(void *arg, const struct libcamera_format *f)
{
    FILE *out = arg;
    if (libcamera_is_raw(f) && f->size_count > 0) {
        (void)fprintf(out, "  sensor, %d bits:", f->bits);
        print_sizes(out, f);
        (void)fputc('\n', out);
    }
}

static void print_control(void *arg, const struct libcamera_control *control)
{
    struct libcamera_control complete = *control;
    struct libcamera_view view;
    libcamera_control_complete(&complete);
    libcamera_control_view(&complete, NULL, &view);
    control_print(arg, "    ", &view.control);
    if (view.control.kind == CONTROL_TEXT && *view.range) {
        (void)fprintf(arg, "      %s\n", view.range);
    }
}

static void print_head(FILE *out, size_t index, const struct libcamera_found *c)
{
    (void)fprintf(out, "libcamera %zu: %s\n", index, c->id);
    if (*c->model) {
        (void)fprintf(out, "  model %s\n", c->model);
    }
    if (*c->location) {
        (void)fprintf(out, "  location %s\n", c->location);
    }
    if (c->rotation >= 0) {
        (void)fprintf(out, "  mounted at %d degrees\n", c->rotation);
    }
}

void libcamera_print(FILE *out, const struct libcamera_api *api, struct libcamera_manager *manager)
{
    struct libcamera_cameras cameras;
    libcamera_look(api, manager, &cameras);
    for (size_t i = 0; i < cameras.count; i++) {
        struct libcamera_camera *camera;
        print_head(out, i, &cameras.item[i]);
        int code = api->open(manager, cameras.item[i].id, NULL, &camera);
        if (code < 0) {
            (void)fprintf(out, "  cannot be asked: %s\n", err_text(code));
            continue;
        }
        api->each_format(camera, false, print_format, out);
        api->each_format(camera, true, print_mode, out);
        (void)fputs("  controls:\n", out);
        api->each_control(camera, print_control, out);
        api->close(camera);
    }
    if (cameras.count == 0) {
        (void)fputs("libcamera: finds no camera\n", out);
    }
}
