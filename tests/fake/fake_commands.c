/* SPDX-License-Identifier: MIT */
/* The control file: commands that are obeyed while the camera runs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_real.h"
#include "fake_state.h"

static void unplug(struct fake *f)
{
    f->unplugged = true;
    fake_reset_controls(f);
    for (int i = 0; i < FAKE_HANDLES; i++) {
        f->handle[i].dead = f->handle[i].used;
    }
    fake_wake_locked(f);
}

void fake_tell_change_locked(struct fake *f)
{
    for (int i = 0; i < FAKE_HANDLES; i++) {
        f->handle[i].events += f->handle[i].used && f->handle[i].wants_source_change;
    }
    fake_wake_locked(f);
}

static void change_source(struct fake *f)
{
    f->hung = f->streaming; /* nothing more until it is started again */
    fake_tell_change_locked(f);
}

static void resize(struct fake *f, const char *size)
{
    if (sscanf(size, "%dx%d", &f->forced.width, &f->forced.height) != 2) {
        return;
    }
    fake_load_sizes(f);
    change_source(f);
}

/* "1280x720@50", "1280x720" (at 60), or what is wrong with it. */
static void change_signal(struct fake *f, const char *what)
{
    int width, height, fps = 60;
    f->no_signal = strcmp(what, "unstable") == 0  ? -ENOLCK
                   : strcmp(what, "strange") == 0 ? -ERANGE
                                                  : 0;
    if (sscanf(what, "%dx%d@%d", &width, &height, &fps) >= 2) {
        f->signal = fake_timings(width, height, fps);
    }
    change_source(f);
}

static void obey_line(struct fake *f, const char *line)
{
    char verb[20] = "", what[30] = "";
    if (sscanf(line, "%19s %29[^\n]", verb, what) < 1) {
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
                  { "free", &f->busy, false },    { "plug", &f->unplugged, false },
                  { "deny", &f->denied, true },   { "allow", &f->denied, false } };
    const struct {
        const char *verb;
        char *text;
        size_t size;
    } texts[] = { { "node", f->node, sizeof f->node },
                  { "card", f->card, sizeof f->card },
                  { "bus", f->bus, sizeof f->bus } };
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
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(verb, texts[i].verb) == 0) {
            (void)snprintf(texts[i].text, texts[i].size, "%s", what);
        }
    }
    if (strcmp(verb, "unplug") == 0) {
        unplug(f);
    } else if (strcmp(verb, "resize") == 0) {
        resize(f, what);
    } else if (strcmp(verb, "signal") == 0) {
        change_signal(f, what);
    } else if (strcmp(verb, "nosignal") == 0) {
        f->no_signal = -ENOLINK;
        change_source(f);
    }
}

static void begin_file(struct fake *f, const char *path)
{
    (void)snprintf(f->control_path, sizeof f->control_path, "%s", path);
    f->control_offset = 0;
    f->unplugged = f->stalled = f->hung = f->busy = f->denied = false;
    f->node[0] = f->card[0] = f->bus[0] = '\0';
    f->corrupt = f->cut = f->empty = f->error = f->skip = 0;
    f->forced = (struct fake_size){ 0 };
    f->signal = f->timings = fake_timings(1280, 720, 60);
    f->no_signal = 0;
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
