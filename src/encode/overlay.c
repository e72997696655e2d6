/* SPDX-License-Identifier: MIT */
/*
 * strftime gets one conversion at a time: the pattern is the user's, so nothing in it may cost more than
 * its own place, and one that yields too much or nothing does not take the others along.
 */
#include "overlay.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "convert.h"
#include "pcs/clock.h"
#include "pcs/draw_text.h"

#define SPEC_MAX  12 /* %_^010EY */
#define WIDTH_MAX 2  /* digits */
#define INK       235
#define RIM       16
#define NEUTRAL   128

struct overlay {
    bool subsecond;  /* the text has %f */
    int64_t made_us; /* the moment that `text` is of; -1 = none yet */
    char text[OVERLAY_TEXT_SIZE];
    char pattern[];
};

/* ---- the text ---- */

struct out {
    char *at, *end; /* `end` is for the 0 */
};

static void put(struct out *o, const char *s, size_t n)
{
    size_t room = (size_t)(o->end - o->at);
    n = n < room ? n : room;
    memcpy(o->at, s, n);
    o->at += n;
}

/* Length of strftime's conversion at `s` with glibc's flags and width; 0: it is none, or too long. */
static size_t conversion_length(const char *s)
{
    size_t n = 1 + strspn(s + 1, "_-0^#+");
    size_t digits = strspn(s + n, "0123456789");
    n += digits;
    n += s[n] == 'E' || s[n] == 'O';
    bool letter = (s[n] >= 'a' && s[n] <= 'z') || (s[n] >= 'A' && s[n] <= 'Z') || s[n] == '%';
    return letter && digits <= WIDTH_MAX && n + 1 < SPEC_MAX ? n + 1 : 0;
}

/* The pattern is the user's on purpose; strftime, unlike printf, reads nothing by it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static size_t format_one(char *out, size_t size, const char *spec, const struct tm *tm)
{
    return strftime(out, size, spec, tm);
}
#pragma GCC diagnostic pop

static void put_conversion(struct out *o, const char *s, size_t n, const struct tm *tm)
{
    char spec[SPEC_MAX] = "", piece[2 * 100];
    memcpy(spec, s, n);
    put(o, piece, format_one(piece, sizeof piece, spec, tm));
}

static void put_thousandths(struct out *o, int64_t wall_us)
{
    char digits[8];
    int n = snprintf(digits, sizeof digits, "%03d", (int)(wall_us / CLOCK_MS % 1000));
    put(o, digits, (size_t)n);
}

void overlay_expand(const char *pattern, int64_t wall_us, char *out, size_t size)
{
    struct out o = { out, out + size - 1 };
    struct tm tm = { 0 };
    wall_us = wall_us < 0 ? 0 : wall_us;
    time_t seconds = (time_t)(wall_us / CLOCK_S);
    (void)localtime_r(&seconds, &tm); /* of a year out of range zeros remain */
    for (const char *s = pattern; *s && o.at < o.end;) {
        size_t n = s[0] == '%' ? conversion_length(s) : 0;
        if (s[0] == '%' && s[1] == 'f') {
            put_thousandths(&o, wall_us);
            n = 2;
        } else if (n) {
            put_conversion(&o, s, n, &tm);
        } else if (s[0] == '\\' && (s[1] == 'n' || s[1] == '\\')) {
            put(&o, s[1] == 'n' ? "\n" : "\\", 1);
            n = 2;
        } else {
            put(&o, s, 1);
            n = 1;
        }
        s += n;
    }
    *o.at = 0;
}

/* ---- on pictures ---- */

struct overlay *overlay_new(const char *pattern)
{
    size_t size = strlen(pattern) + 1;
    struct overlay *o = calloc(1, sizeof *o + size);
    if (!o) {
        return NULL;
    }
    memcpy(o->pattern, pattern, size);
    o->subsecond = strstr(pattern, "%f") != NULL;
    o->made_us = -1;
    return o;
}

void overlay_free(struct overlay *o)
{
    free(o);
}

static void update(struct overlay *o, int64_t wall_us)
{
    int64_t unit = o->subsecond ? 1 : CLOCK_S;
    if (o->made_us < 0 || o->made_us / unit != wall_us / unit) {
        overlay_expand(o->pattern, wall_us, o->text, sizeof o->text);
        o->made_us = wall_us < 0 ? -1 : wall_us;
    }
}

/* The largest scale, up to the comfortable one, at which all of it is seen. */
static int fitting_scale(const char *text, int width, int height)
{
    int scale = draw_text_scale(width, height), w, h;
    draw_text_size(text, scale, &w, &h);
    while (scale > 1 && (w + 6 * scale > width || h + 2 * scale > height)) {
        scale--;
        draw_text_size(text, scale, &w, &h);
    }
    return scale;
}

void overlay_draw(struct overlay *o, const struct yu12 *on, int width, int height, int64_t wall_us)
{
    const struct draw_text_plane y = { on->y, on->stride_y, width, height, 0 };
    struct draw_text_plane chroma = { on->u, on->stride_uv, (width + 1) / 2, (height + 1) / 2, 1 };
    int text_width, text_height;
    update(o, wall_us);
    int scale = fitting_scale(o->text, width, height);
    draw_text_size(o->text, scale, &text_width, &text_height);
    int left = 3 * scale, top = height - text_height - scale;
    top = top < 0 ? 0 : top;
    draw_text(&y, left, top, scale, INK, RIM, o->text);
    draw_text(&chroma, left, top, scale, NEUTRAL, NEUTRAL, o->text);
    chroma.luma = on->v;
    draw_text(&chroma, left, top, scale, NEUTRAL, NEUTRAL, o->text);
}
