/* SPDX-License-Identifier: MIT */
#include "capture_options.h"

#include <errno.h>
#include <string.h>

#include "capture/capture.h"
#include "capture/source.h"

static const char *const angles[] = { "0", "90", "180", "270", NULL };

#define AT(field) offsetof(struct capture_config, field)

const struct option_def capture_source_options[] = {
    { .name = "source",
      .type = OPTION_CHOICE,
      .offset = AT(source),
      .value = "auto",
      .choices = source_names,
      .help = "where pictures come from" },
    { .name = "list-devices",
      .type = OPTION_FLAG,
      .offset = AT(list_devices),
      .flags = OPTION_CLI,
      .help = "list the cameras with their formats and controls, and exit" },
};
const size_t capture_source_option_count = OPTION_COUNT(capture_source_options);

const struct option_def capture_picture_options[] = {
    { .name = "width",
      .type = OPTION_INT,
      .offset = AT(width),
      .min = 16,
      .max = FORMAT_MAX_SIZE,
      .arg = "PIXELS",
      .help = "picture width (best mode up to 1280x720)" },
    { .name = "height",
      .type = OPTION_INT,
      .offset = AT(height),
      .min = 16,
      .max = FORMAT_MAX_SIZE,
      .arg = "PIXELS",
      .help = "picture height" },
    { .name = "fps",
      .type = OPTION_INT,
      .offset = AT(fps),
      .min = 1,
      .max = 1000,
      .arg = "RATE",
      .help = "frames per second (30 where the camera has it)" },
    { .name = "format",
      .type = OPTION_STRING,
      .offset = AT(format),
      .arg = "FOURCC",
      .help = "what the camera must deliver: YUYV, NV12, MJPG, H264 …; --list-devices tells" },
    { .name = "control",
      .type = OPTION_LIST,
      .offset = AT(controls),
      .flags = OPTION_LIVE,
      .arg = "NAME=VALUE",
      .help = "set a control of the camera; may be repeated; --list-devices tells them" },
    { .name = "hflip",
      .type = OPTION_FLAG,
      .offset = AT(hflip),
      .help = "mirror the picture: left becomes right" },
    { .name = "vflip",
      .type = OPTION_FLAG,
      .offset = AT(vflip),
      .help = "turn the picture upside down, mirrored" },
    { .name = "rotate",
      .type = OPTION_CHOICE,
      .offset = AT(rotate),
      .value = "0",
      .choices = angles,
      .arg = "DEGREES",
      .help = "turn the picture clockwise, after flipping: 0, 90, 180 or 270" },
};
const size_t capture_picture_option_count = OPTION_COUNT(capture_picture_options);

int capture_backend_index(const char *name)
{
    for (int i = 0; source_backends[i]; i++) {
        if (strcmp(source_backends[i]->name, name) == 0) {
            return i;
        }
    }
    return -1;
}

bool capture_is_implied(int i, const void *const *configs)
{
    return source_backends[i]->implied && source_backends[i]->implied(configs[i]);
}

/* Two options that each name a source: which one was meant? */
static int check_implied(const struct capture_config *config, const void *const *configs,
                         struct err *err)
{
    const char *named = config->source > 0 ? source_names[config->source] : NULL;
    for (int i = 0; source_backends[i]; i++) {
        const char *name = source_backends[i]->name;
        if (!capture_is_implied(i, configs)) {
            continue;
        }
        if (named && strcmp(named, name) != 0) {
            return err_set(err, -EINVAL, "options of two sources are given: %s and %s; use one",
                           named, name);
        }
        named = name;
    }
    return 0;
}

static int check_backends(const void *const *configs, struct err *err)
{
    int code = 0;
    for (int i = 0; code == 0 && source_backends[i]; i++) {
        code = source_backends[i]->check ? source_backends[i]->check(configs[i], err) : 0;
    }
    return code;
}

int capture_check(const struct capture_config *config, const void *const *backend_configs,
                  struct err *err)
{
    if (config->format && format_by_name(config->format) == FORMAT_NONE) {
        return err_set(err, -EINVAL, "--format %s: unknown; --list-devices tells what a camera has",
                       config->format);
    }
    for (size_t i = 0; i < config->controls.count; i++) {
        char name[CONTROL_NAME_SIZE];
        const char *value;
        int code = control_split(config->controls.item[i], name, &value, err);
        if (code < 0) {
            return code;
        }
    }
    int input = capture_backend_index("input");
    if (config->source > 0 && strcmp(source_names[config->source], "input") == 0 &&
        !capture_is_implied(input, backend_configs)) {
        return err_set(err, -EINVAL, "--source input needs --input URL");
    }
    int code = check_implied(config, backend_configs, err);
    return code < 0 ? code : check_backends(backend_configs, err);
}

void capture_list(FILE *out)
{
    for (int i = 0; source_backends[i]; i++) {
        if (source_backends[i]->list) {
            source_backends[i]->list(out);
        }
    }
}

/* Half a turn is both flips; a quarter back is that and a quarter forward. */
unsigned capture_wished_transform(const struct capture_config *config)
{
    static const unsigned turns[] = { 0, TRANSFORM_ROTATE, TRANSFORM_HFLIP | TRANSFORM_VFLIP,
                                      TRANSFORM_HFLIP | TRANSFORM_VFLIP | TRANSFORM_ROTATE };
    return turns[config->rotate] ^ (config->hflip ? TRANSFORM_HFLIP : 0) ^
           (config->vflip ? TRANSFORM_VFLIP : 0);
}
