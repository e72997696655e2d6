/* SPDX-License-Identifier: MIT */
#include "command_line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "capture/source.h"
#include "command_process.h"

/* How each speaks of what we may wish. */
struct family {
    const char *name;
    const char *jpeg, *h264; /* the usual arguments */
    const char *width, *height, *rate, *hflip, *vflip;
    const char *long_rate; /* raspivid takes long names, too */
};

#define RPICAM_JPEG "-t 0 --nopreview --codec mjpeg -o -"
#define RPICAM_H264 "-t 0 --nopreview --codec h264 --inline --flush -o -"

static const struct family families[] = {
    { "rpicam-vid", RPICAM_JPEG, RPICAM_H264, "--width", "--height", "--framerate", "--hflip",
      "--vflip", "--framerate" },
    { "libcamera-vid", RPICAM_JPEG, RPICAM_H264, "--width", "--height", "--framerate", "--hflip",
      "--vflip", "--framerate" },
    { "raspivid", "-t 0 -n -cd MJPEG -o -", "-t 0 -n -ih -fl -o -", "-w", "-h", "-fps", "-hf",
      "-vf", "--framerate" },
};
#define FAMILIES (sizeof families / sizeof families[0])

static const struct family *family_of(const char *name)
{
    for (size_t i = 0; i < FAMILIES; i++) {
        if (strcmp(families[i].name, name) == 0) {
            return &families[i];
        }
    }
    return NULL;
}

bool command_line_any(void)
{
    char path[sizeof((struct command_line *)NULL)->path];
    for (size_t i = 0; i < FAMILIES; i++) {
        if (command_find(families[i].name, path, sizeof path) == 0) {
            return true;
        }
    }
    return false;
}

/* CMD is one program's name, spaces and all, when there is one of that name; else words. */
static int add_cmd(struct command_words *words, const char *cmd, struct err *err)
{
    char path[4096];
    if (command_find(cmd, path, sizeof path) == 0) {
        int code = command_words_add(words, cmd);
        return code < 0 ? err_set(err, code, "--camera-cmd: out of memory") : 0;
    }
    int code = command_words_split(words, cmd, "--camera-cmd", err);
    if (code == 0 && (words->count == 0 || words->item[0][0] == '\0')) {
        return err_set(err, -EINVAL, "--camera-cmd: no program is named");
    }
    return code;
}

int command_line_check(const struct command_config *config, struct err *err)
{
    struct command_words words = { 0 };
    int code = config->cmd ? add_cmd(&words, config->cmd, err) : 0;
    if (code == 0 && config->args) {
        code = command_words_split(&words, config->args, "--camera-args", err);
    }
    command_words_finish(&words);
    return code;
}

static int find_named(struct command_line *line, const char *cmd, struct err *err)
{
    int code = add_cmd(&line->words, cmd, err);
    if (code < 0) {
        return code;
    }
    const char *name = line->words.item[0];
    code = command_find(name, line->path, sizeof line->path);
    if (code == -EACCES) {
        return err_set(err, -EINVAL, "--camera-cmd %s: it is there, but cannot be run as a program",
                       name);
    }
    return code == 0 ? 0 : err_set(err, -EINVAL, "--camera-cmd %s: no such program", name);
}

static int find_usual(struct command_line *line, struct err *err)
{
    for (size_t i = 0; i < FAMILIES; i++) {
        if (command_find(families[i].name, line->path, sizeof line->path) == 0) {
            return command_words_add(&line->words, families[i].name);
        }
    }
    return err_set(
        err, -EINVAL,
        "no camera program: neither rpicam-vid, libcamera-vid nor raspivid is installed; "
        "name another with --camera-cmd");
}

/* Is this option among the words, also as --option=value? */
static bool has_option(const struct command_words *words, const char *option)
{
    size_t length = strlen(option);
    for (size_t i = 1; i < words->count; i++) {
        const char *word = words->item[i];
        if (strncmp(word, option, length) == 0 && (word[length] == '\0' || word[length] == '=')) {
            return true;
        }
    }
    return false;
}

static int add_number(struct command_words *words, const char *option, const char *also, int value)
{
    char number[16];
    if (value <= 0 || has_option(words, option) || has_option(words, also)) {
        return 0;
    }
    (void)snprintf(number, sizeof number, "%d", value);
    int code = command_words_add(words, option);
    return code < 0 ? code : command_words_add(words, number);
}

static int add_sizes(struct command_words *words, const struct family *f,
                     const struct source_wish *wish)
{
    int code = add_number(words, f->width, "--width", wish->width);
    if (code == 0) {
        code = add_number(words, f->height, "--height", wish->height);
    }
    return code < 0 ? code : add_number(words, f->rate, f->long_rate, wish->fps);
}

static int add_flips(struct command_line *line, const struct family *f, unsigned wished)
{
    int code = wished & TRANSFORM_HFLIP ? command_words_add(&line->words, f->hflip) : 0;
    if (code == 0 && wished & TRANSFORM_VFLIP) {
        code = command_words_add(&line->words, f->vflip);
    }
    line->transform = wished & (TRANSFORM_HFLIP | TRANSFORM_VFLIP);
    return code;
}

static bool wants_h264(const struct source_wish *wish)
{
    return wish->format == FORMAT_H264 ||
           (wish->format == FORMAT_NONE && wish->codec == FORMAT_H264 && !wish->pictures);
}

/* The user's arguments, or the usual ones, when CMD has none of its own. */
static int add_args(struct command_line *line, const struct command_config *config,
                    const struct source_wish *wish, struct err *err)
{
    const struct family *f = family_of(line->name);
    if (config->args) {
        return command_words_split(&line->words, config->args, "--camera-args", err);
    }
    if (line->words.count > 1) {
        return 0;
    }
    const char *usual = !f ? RPICAM_JPEG : wants_h264(wish) ? f->h264 : f->jpeg;
    int code = command_words_split(&line->words, usual, "--camera-args", err);
    return code == 0 && f ? add_flips(line, f, wish->transform) : code;
}

int command_line_make(struct command_line *line, const struct command_config *config,
                      const struct source_wish *wish, struct err *err)
{
    int code = config->cmd ? find_named(line, config->cmd, err) : find_usual(line, err);
    if (code < 0) {
        return code;
    }
    const char *slash = strrchr(line->words.item[0], '/');
    line->name = slash ? slash + 1 : line->words.item[0];
    code = add_args(line, config, wish, err);
    const struct family *f = family_of(line->name);
    if (code == 0 && f) {
        code = add_sizes(&line->words, f, wish);
    }
    return code == -ENOMEM ? err_set(err, code, "%s: out of memory", line->name) : code;
}

void command_line_describe(const struct command_line *line, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < line->words.count && used < size; i++) {
        int n = snprintf(text + used, size - used, "%s%s", i ? " " : "", line->words.item[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}

void command_line_finish(struct command_line *line)
{
    command_words_finish(&line->words);
}
