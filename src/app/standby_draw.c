/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "pcs/clock.h"
#include "pcs/draw_text.h"
#include "standby.h"

#define TEXT_SIZE 400
#define INK       200
#define DIM       140

/* `text` in lines of at most `columns`, broken between words, and within those that are longer. */
static void wrap(const char *text, size_t columns, char *out, size_t size)
{
    size_t used = 0, line = 0, space = 0; /* where the line begins, and its last space is */
    for (; *text && used + 2 < size; text++) {
        if (used - line == columns && space > line && *text != ' ') {
            out[space] = '\n';
            line = space + 1;
        } else if (used - line == columns) {
            out[used++] = '\n';
            line = used;
        }
        if (*text == ' ') {
            space = used;
        }
        if (*text != ' ' || used > line) {
            out[used++] = *text;
        }
    }
    out[used] = 0;
}

/* "for 12 s", "for 5 min", "for 3 h 5 min" */
static void describe_time(int64_t us, char *out, size_t size)
{
    int64_t s = us / CLOCK_S;
    if (s < 120) {
        (void)snprintf(out, size, "for %" PRId64 " s", s);
    } else if (s < 7200) {
        (void)snprintf(out, size, "for %" PRId64 " min", s / 60);
    } else {
        (void)snprintf(out, size, "for %" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
    }
}

/* Since when, and what time it is, so that a look tells whether the stream itself is alive. */
static void describe_since(int64_t away_us, int64_t wall_us, char *out, size_t size)
{
    time_t since = (time_t)((wall_us - away_us) / CLOCK_S), now = (time_t)(wall_us / CLOCK_S);
    struct tm local;
    char begin[40] = "", time[40] = "", length[40];
    if (localtime_r(&since, &local)) {
        (void)strftime(begin, sizeof begin, "%Y-%m-%d %H:%M:%S", &local);
    }
    if (localtime_r(&now, &local)) {
        (void)strftime(time, sizeof time, "%H:%M:%S", &local);
    }
    describe_time(away_us, length, sizeof length);
    (void)snprintf(out, size, "since %s\n%s, now %s", begin, length, time);
}

/* Centred, from `y` on; the y below it. */
static int draw_block(const struct draw_text_plane *to, int y, int scale, int ink, char *text)
{
    for (char *line = text; line;) {
        char *end = strchr(line, '\n');
        int width, height;
        if (end) {
            *end = 0;
        }
        draw_text_size(line, scale, &width, &height);
        draw_text(to, (to->width - width) / 2, y, scale, ink, -1, line);
        y += height;
        line = end ? end + 1 : NULL;
    }
    return y;
}

void standby_draw(uint8_t *to, const struct format *format, const char *why, int64_t away_us,
                  int64_t wall_us)
{
    int width = format->width, height = format->height;
    size_t luma = (size_t)width * (size_t)height;
    size_t chroma = 2 * (size_t)((width + 1) / 2) * (size_t)((height + 1) / 2);
    int scale = draw_text_scale(width, height);
    size_t columns = (size_t)(width / (scale * DRAW_TEXT_CELL_WIDTH));
    char title[] = "NO LIVE VIDEO", reason[TEXT_SIZE], since[TEXT_SIZE];
    memset(to, 24, luma);
    memset(to + luma, 128, chroma);
    wrap(why, columns > 6 ? columns - 2 : 4, reason, sizeof reason);
    describe_since(away_us, wall_us, since, sizeof since);
    const struct draw_text_plane plane = { to, width, width, height };
    int line = scale * DRAW_TEXT_CELL_HEIGHT;
    int title_scale = (int)columns > 2 * (int)sizeof title ? 2 * scale : scale;
    int y = draw_block(&plane, height / 2 - 4 * line, title_scale, INK, title);
    y = draw_block(&plane, y + line, scale, INK, reason);
    (void)draw_block(&plane, y + line, scale, DIM, since);
}
