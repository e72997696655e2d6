/* SPDX-License-Identifier: MIT */
#include "command_split.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command_walk.h"
#include "pcs/frame.h"
#include "pcs/h264_scan.h"
#include "pcs/pool.h"
#include "pcs/text.h"

#define MIN_READ  ((size_t)16 << 10)
#define FIRST     ((size_t)128 << 10) /* what a frame may need before any has come */
#define MAX_SPS   1024                /* bytes, with a delimiter in front */
#define KEPT      3                   /* of garbage: half a start code, or half an SOI */
#define TS_PACKET 188

/* What begins at `start`. */
enum inside { INSIDE_NOTHING, INSIDE_JPEG, INSIDE_PROBE /* H.264, perhaps */, INSIDE_H264 };

struct command_split {
    struct pool *pool;
    enum format_id known; /* FORMAT_NONE until the first frame shows it */
    enum inside inside;

    struct frame *frame; /* takes the bytes; NULL until asked for room */
    size_t start, used;  /* not given out yet: from, to; all that is before `start` is done with */
    size_t expected;     /* bytes that the next frame will need */
    int64_t now_us;      /* when the last bytes came … */
    int64_t start_us;    /* … and the one at `start` */
    bool ended;

    struct jpeg_walk walk;
    AVCodecParserContext *parser;
    AVCodecContext *codec;
    size_t parsed; /* up to where the parser has been fed; start <= parsed <= used */
    struct format format;

    size_t garbage;                   /* since the last frame */
    uint8_t head[2 * TS_PACKET + 64]; /* the very first bytes */
    size_t head_size;
    size_t controls,
        foreign; /* of the bytes before the first frame: how many are no text, no ASCII */
    struct command_split_stats stats;
};

struct command_split *command_split_new(struct pool *pool)
{
    struct command_split *s = calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    s->pool = pool;
    s->expected = FIRST;
    s->parser = av_parser_init(AV_CODEC_ID_H264);
    s->codec = avcodec_alloc_context3(NULL);
    if (!s->parser || !s->codec) {
        command_split_free(s);
        return NULL;
    }
    s->codec->codec_id = AV_CODEC_ID_H264;
    return s;
}

void command_split_free(struct command_split *s)
{
    if (!s) {
        return;
    }
    av_parser_close(s->parser);
    avcodec_free_context(&s->codec);
    frame_unref(s->frame);
    free(s);
}

/* ---- bytes in ---- */

static const uint8_t *at_start(const struct command_split *s)
{
    return s->frame->buffer + s->start;
}

/* What is not given out goes to the front of `to`, which may be its own frame. */
static void move_rest(struct command_split *s, struct frame *to)
{
    size_t rest = s->used - s->start;
    if (rest > 0) {
        memmove(to->buffer, at_start(s), rest);
    }
    s->stats.moved += rest;
    s->parsed -= s->start;
    s->start = 0;
    s->used = rest;
    s->frame = to;
}

/* A frame with room for the rest and a read. */
static int make_room(struct command_split *s)
{
    size_t rest = s->used - s->start;
    size_t wanted = s->expected > 2 * rest ? s->expected : 2 * rest;
    struct frame *old = s->frame;
    if (old && rest + MIN_READ <= old->capacity && rest <= old->capacity / 2) {
        move_rest(s, old);
        return 0;
    }
    struct frame *larger = pool_get(s->pool, wanted > MIN_READ ? wanted : MIN_READ);
    if (!larger) {
        return -ENOMEM;
    }
    move_rest(s, larger);
    frame_unref(old);
    return 0;
}

uint8_t *command_split_room(struct command_split *s, size_t *size)
{
    if (s->start == s->used) {
        s->start = s->used = s->parsed = 0;
    }
    if ((!s->frame || s->frame->capacity - s->used < MIN_READ) && make_room(s) < 0) {
        return NULL;
    }
    *size = s->frame->capacity - s->used;
    return s->frame->buffer + s->used;
}

static void note_head(struct command_split *s, const uint8_t *data, size_t n)
{
    size_t room = sizeof s->head - s->head_size;
    size_t kept = n < room ? n : room;
    memcpy(s->head + s->head_size, data, kept);
    s->head_size += kept;
    for (size_t i = 0; i < n; i++) {
        bool layout = (data[i] >= '\b' && data[i] <= '\r') || data[i] == 0x1B; /* and colours */
        s->controls += data[i] == 0x7F || (data[i] < ' ' && !layout);
        s->foreign += data[i] >= 0x80;
    }
}

void command_split_fed(struct command_split *s, size_t n, int64_t now_us)
{
    if (s->known == FORMAT_NONE && s->stats.bytes < COMMAND_MAX_TEXT) {
        note_head(s, s->frame->buffer + s->used, n);
    }
    s->used += n;
    s->stats.bytes += n;
    s->now_us = now_us;
}

void command_split_end(struct command_split *s)
{
    s->ended = true;
}

/* ---- frames out ---- */

/* The first `size` bytes as a frame: the one they are in, when they fill it well and are more than
 * what is behind them; else they are the smaller part to copy, or would waste memory. */
static struct frame *cut_frame(struct command_split *s, size_t size)
{
    size_t rest = s->used - s->start - size;
    bool whole = size >= s->frame->capacity / 4 && rest <= size;
    struct frame *new = pool_get(s->pool, whole ? rest + s->expected : size);
    if (!new) {
        return NULL;
    }
    struct frame *out = whole ? s->frame : new;
    out->data = at_start(s);
    s->start += size;
    if (whole) {
        move_rest(s, new);
    } else {
        memcpy(new->buffer, out->data, size);
        out->data = new->buffer;
        s->stats.moved += size;
    }
    out->size = size;
    return out;
}

/* Pictures vary: room for a larger one, and slowly back. */
static void expect(struct command_split *s, size_t size)
{
    size_t wanted = size + size / 4 + MIN_READ;
    s->expected = wanted > s->expected ? wanted : s->expected - (s->expected - wanted) / 8;
}

static int give(struct command_split *s, size_t size, bool key, struct frame **out)
{
    expect(s, size);
    struct frame *frame = cut_frame(s, size);
    if (!frame) {
        return -ENOMEM;
    }
    frame->format = s->format;
    frame->flags = key ? FRAME_KEY : 0;
    frame->capture_us = s->start_us;
    s->start_us = s->now_us; /* what is left came with the last bytes */
    s->known = s->format.id;
    s->garbage = 0;
    *out = frame;
    return 0;
}

static void skip_to(struct command_split *s, size_t to)
{
    s->garbage += to - s->start;
    s->stats.skipped += to - s->start;
    s->start = to;
}

static void enter(struct command_split *s, enum inside inside, size_t at)
{
    skip_to(s, at);
    s->inside = inside;
    s->start_us = s->now_us;
    s->walk = (struct jpeg_walk){ 0 };
    s->parsed = at;
}

/* A start code and the delimiter or sequence parameter set that a stream begins with. */
static bool may_be_h264(const uint8_t *p)
{
    int type = p[3] & 31;
    bool referenced = p[3] & 0x60;
    return p[0] == 0 && p[1] == 0 && p[2] == 1 && !(p[3] & 0x80) &&
           (type == H264_NAL_AUD || (type == H264_NAL_SPS && referenced));
}

/* The next thing that may be a frame; once the kind is known, only of that kind. */
static void seek(struct command_split *s)
{
    const uint8_t *data = s->frame->buffer;
    size_t i = s->start;
    for (; i + KEPT < s->used; i++) {
        if (data[i] == 0xFF && data[i + 1] == 0xD8 && data[i + 2] == 0xFF) {
            enter(s, INSIDE_JPEG, i);
            return;
        }
        if (s->known == FORMAT_NONE && may_be_h264(data + i)) {
            enter(s, INSIDE_PROBE, i > s->start && data[i - 1] == 0 ? i - 1 : i);
            return;
        }
    }
    skip_to(s,
            i > s->start && data[i - 1] == 0 ? i - 1 : i); /* a start code may have another zero */
}

/* An SPS that makes sense, perhaps behind a delimiter, both in front of another NAL unit. */
static enum walk_result probe(const uint8_t *data, size_t size)
{
    struct h264_nal nal;
    struct h264_sps sps;
    size_t pos = 0;
    if (!h264_next_nal(data, size, &pos, &nal)) {
        return size < MAX_SPS ? WALK_MORE : WALK_BROKEN;
    }
    if (nal.type == H264_NAL_AUD && pos < size && !h264_next_nal(data, size, &pos, &nal)) {
        return size < MAX_SPS ? WALK_MORE : WALK_BROKEN;
    }
    if (pos == size && size < MAX_SPS) {
        return WALK_MORE; /* its end is not there yet */
    }
    bool is = pos < size && nal.type == H264_NAL_SPS &&
              h264_parse_sps(nal.data, nal.size, &sps) == 0;
    return is ? WALK_WHOLE : WALK_BROKEN;
}

static void enter_h264(struct command_split *s)
{
    size_t size = s->used - s->start;
    switch (probe(at_start(s), size < MAX_SPS ? size : MAX_SPS)) {
    case WALK_WHOLE:
        s->inside = INSIDE_H264;
        break;
    case WALK_BROKEN:
        s->inside = INSIDE_NOTHING;
        skip_to(s, s->start + 3);
        break;
    default:
        break;
    }
}

static int too_large(const struct command_split *s)
{
    return s->used - s->start > COMMAND_MAX_FRAME ? -EMSGSIZE : -EAGAIN;
}

/* 0 with a frame, -EAGAIN: no more to see; 1: go on, another picture may begin. */
static int take_jpeg(struct command_split *s, struct frame **out, unsigned *lost)
{
    enum walk_result result = jpeg_walk(&s->walk, at_start(s), s->used - s->start);
    if (result == WALK_MORE) {
        return too_large(s);
    }
    s->inside = INSIDE_NOTHING;
    if (result == WALK_BROKEN) {
        *lost += s->walk.has_scan;
        skip_to(s, s->start + s->walk.pos);
        return 1;
    }
    s->format = (struct format){ .id = FORMAT_JPEG,
                                 .width = s->walk.width,
                                 .height = s->walk.height,
                                 .fps_den = 1,
                                 .range = COLOR_RANGE_FULL, /* JFIF */
                                 .matrix = COLOR_MATRIX_601 };
    return give(s, s->walk.pos, true, out);
}

static void read_sps(struct command_split *s, const struct h264_nal *nal)
{
    struct h264_sps sps;
    if (h264_parse_sps(nal->data, nal->size, &sps) < 0) {
        return; /* the pictures stay what they were */
    }
    s->format = (struct format){ .id = FORMAT_H264,
                                 .width = sps.width,
                                 .height = sps.height,
                                 .fps_num = sps.fps_num,
                                 .fps_den = sps.fps_den,
                                 .range = sps.full_range ? COLOR_RANGE_FULL : COLOR_RANGE_LIMITED,
                                 .matrix = format_matrix_of(sps.matrix) };
}

static int give_unit(struct command_split *s, size_t size, struct frame **out)
{
    struct h264_unit_info unit;
    h264_scan_unit(at_start(s), size, &unit);
    if (unit.has_sps) {
        read_sps(s, &unit.sps);
    }
    return give(s, size, unit.has_idr, out);
}

/* The parser keeps a copy of its own; what counts here is how long each unit is. */
static int take_h264(struct command_split *s, struct frame **out)
{
    while (s->parsed < s->used) {
        uint8_t *unit = NULL;
        int size = 0, room = (int)(s->used - s->parsed); /* at most 64 MB */
        int n = av_parser_parse2(s->parser, s->codec, &unit, &size, s->frame->buffer + s->parsed,
                                 room, AV_NOPTS_VALUE, AV_NOPTS_VALUE, 0);
        if (n < 0 || n > room || (size_t)size > s->parsed + (size_t)n - s->start) {
            return -ENOMEM; /* of its own copy: nothing else fails there */
        }
        s->parsed += (size_t)n;
        if (size > 0) {
            return give_unit(s, (size_t)size, out);
        }
    }
    return s->ended && s->used > s->start ? give_unit(s, s->used - s->start, out) : too_large(s);
}

static int step(struct command_split *s, struct frame **out, unsigned *lost)
{
    switch (s->inside) {
    case INSIDE_JPEG:
        return take_jpeg(s, out, lost);
    case INSIDE_H264:
        return take_h264(s, out);
    case INSIDE_PROBE:
        enter_h264(s);
        return s->inside == INSIDE_PROBE ? -EAGAIN : 1;
    default:
        seek(s);
        return s->inside == INSIDE_NOTHING ? -EAGAIN : 1;
    }
}

/* ---- what is no picture ---- */

/* Streams in which H.264 may show, cut up by headers of their own: pictures of it would be damaged. */
static const char *container(const struct command_split *s)
{
    const uint8_t *h = s->head;
    if (s->head_size > 2 * TS_PACKET && h[0] == 0x47 && h[TS_PACKET] == 0x47 &&
        h[2 * TS_PACKET] == 0x47) {
        return "MPEG-TS";
    }
    return s->head_size >= 4 && memcmp(h, "\0\0\1\xBA", 4) == 0 ? "an MPEG program stream" : NULL;
}

/* The next may show to be one of them. */
static bool undecided(const struct command_split *s)
{
    return s->known == FORMAT_NONE && s->head_size <= 2 * TS_PACKET &&
           (s->head_size < 4 || s->head[0] == 0x47) && !s->ended;
}

bool command_split_is_text(const struct command_split *s)
{
    size_t seen = s->stats.bytes < COMMAND_MAX_TEXT ? (size_t)s->stats.bytes : COMMAND_MAX_TEXT;
    return s->known == FORMAT_NONE && seen > 0 && s->controls == 0 && s->foreign < seen / 4 + 1;
}

static bool is_hopeless(const struct command_split *s)
{
    return s->garbage > COMMAND_MAX_GARBAGE ||
           (s->stats.bytes >= COMMAND_MAX_TEXT && command_split_is_text(s)) ||
           (s->known == FORMAT_NONE && container(s));
}

int command_split_take(struct command_split *s, struct frame **out, unsigned *lost)
{
    if (!s->frame || undecided(s)) {
        return -EAGAIN;
    }
    if (is_hopeless(s)) {
        return -EBADMSG;
    }
    int code;
    do {
        code = step(s, out, lost);
    } while (code > 0);
    return code == -EAGAIN && is_hopeless(s) ? -EBADMSG : code;
}

/* Names for what people may have asked a program for. NULL: unknown. */
static const char *name_of(const struct command_split *s)
{
    static const struct {
        size_t at, size;
        const char *bytes, *name;
    } kinds[] = {
        { 0, 4, "\x1A\x45\xDF\xA3", "Matroska" },
        { 4, 4, "ftyp", "MP4" },
        { 0, 3, "FLV", "FLV" },
        { 0, 4, "RIFF", "AVI" },
        { 0, 9, "YUV4MPEG2", "YUV4MPEG pictures" },
        { 0, 4, "\0\0\1\x40", "H.265" },
        { 0, 5, "\0\0\0\1\x40", "H.265" },
        { 0, 4, "\x89PNG", "PNG pictures" },
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (s->head_size >= kinds[i].at + kinds[i].size &&
            memcmp(s->head + kinds[i].at, kinds[i].bytes, kinds[i].size) == 0) {
            return kinds[i].name;
        }
    }
    return container(s);
}

void command_split_describe(const struct command_split *s, char *text, size_t size)
{
    const char *name = name_of(s);
    char quote[80];
    size_t n = s->head_size < sizeof quote - 1 ? s->head_size : sizeof quote - 1;
    while (n > 0 && (s->head[n - 1] == '\n' || s->head[n - 1] == ' ')) {
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        quote[i] = (char)(s->head[i] == '\n' || s->head[i] == '\t' ? ' ' : s->head[i]);
    }
    quote[n] = '\0';
    text_clean(quote, n);
    if (s->head_size == 0) {
        (void)snprintf(text, size, "nothing");
    } else if (name) {
        (void)snprintf(text, size, "%s", name);
    } else if (s->controls == 0 && s->foreign <= n / 4) {
        (void)snprintf(text, size, "text: \"%s\"", quote);
    } else {
        (void)snprintf(text, size, "bytes that begin with %02x %02x %02x %02x (\"%.40s\")",
                       s->head[0], s->head[1], s->head[2], s->head[3], quote);
    }
}

void command_split_get_stats(const struct command_split *s, struct command_split_stats *out)
{
    *out = s->stats;
}
