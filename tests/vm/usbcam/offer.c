/* SPDX-License-Identifier: MIT */
#include "offer.h"

#include <errno.h>
#include <string.h>

#define INTERVALS 10000000 /* frame intervals are in 100 ns */
#define CLOCK_HZ  48000000

/* Descriptor types and subtypes are UVC 1.1, appendix A. */
enum {
    DEVICE = 1,
    CONFIGURATION,
    STRING,
    INTERFACE,
    ENDPOINT,
    ASSOCIATION = 11,
    CS_INTERFACE = 0x24
};

struct writer {
    uint8_t *at;
    size_t size;
};

static void put(struct writer *w, uint32_t value, int bytes)
{
    for (; bytes > 0; bytes--, value >>= 8) {
        w->at[w->size++] = (uint8_t)value;
    }
}

static void put_bytes(struct writer *w, const void *bytes, size_t count)
{
    memcpy(w->at + w->size, bytes, count);
    w->size += count;
}

static void set16(struct writer *w, size_t at, size_t value)
{
    w->at[at] = (uint8_t)value;
    w->at[at + 1] = (uint8_t)(value >> 8);
}

#define BYTES(w, ...)                                                                              \
    put_bytes(w, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

const char *kind_name(enum kind kind)
{
    static const char *const names[KIND_COUNT] = { "YUYV", "MJPEG", "H264" };
    return names[kind];
}

static void describe_control(struct writer *w)
{
    BYTES(w, 8, ASSOCIATION, 0, 2, 14, 3, 0, 0);  /* two interfaces that are one video function */
    BYTES(w, 9, INTERFACE, 0, 0, 0, 14, 1, 0, 0); /* video control */
    size_t start = w->size;
    BYTES(w, 13, CS_INTERFACE, 1, 0x10, 1, 0, 0); /* header: UVC 1.1; the size comes last */
    put(w, CLOCK_HZ, 4);
    BYTES(w, 1, 1);
    BYTES(w, 18, CS_INTERFACE, 2, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0,
          0);                                                 /* camera terminal */
    BYTES(w, 12, CS_INTERFACE, 5, 2, 1, 0, 0, 2, 1, 0, 0, 0); /* processing unit: brightness */
    BYTES(w, 9, CS_INTERFACE, 3, 3, 1, 1, 0, 2, 0);           /* output terminal */
    set16(w, start + 5, w->size - start);
}

static void describe_format(struct writer *w, const struct offer *o, unsigned index)
{
    static const uint8_t guid_tail[] = { 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71 };
    enum kind kind = o->kinds[index];
    uint8_t sizes = (uint8_t)o->size_count, number = (uint8_t)(index + 1);
    if (kind == KIND_MJPEG) {
        BYTES(w, 11, CS_INTERFACE, 6, number, sizes, 1, 1, 0, 0, 0, 0);
        return;
    }
    bool raw = kind == KIND_YUYV;
    BYTES(w, raw ? 27 : 28, CS_INTERFACE, raw ? 4 : 16, number, sizes);
    put_bytes(w, raw ? "YUY2" : "H264", 4);
    put_bytes(w, guid_tail, sizeof guid_tail);
    BYTES(w, 16, 1, 0, 0, 0,
          0); /* bits per pixel, default frame, aspect, interlace, copy protection */
    if (!raw) {
        put(w, 1, 1); /* variable size */
    }
}

static void describe_frame(struct writer *w, const struct offer *o, unsigned size, enum kind kind)
{
    static const uint8_t subtype[KIND_COUNT] = { 5, 7, 17 };
    uint32_t bytes = o->sizes[size].width * o->sizes[size].height * 2;
    uint32_t interval = INTERVALS / o->fps;
    BYTES(w, 30, CS_INTERFACE, subtype[kind], (uint8_t)(size + 1), 0);
    put(w, o->sizes[size].width, 2);
    put(w, o->sizes[size].height, 2);
    put(w, bytes * 8, 4);
    put(w, bytes * 8 * o->fps, 4);
    if (kind != KIND_H264) {
        put(w, bytes, 4);
    }
    put(w, interval, 4); /* the default one, and how many there are */
    put(w, 1, 1);
    if (kind == KIND_H264) {
        put(w, 0, 4); /* bytes per line */
    }
    put(w, interval, 4);
}

static void describe_streaming(struct writer *w, const struct offer *o)
{
    BYTES(w, 9, INTERFACE, 1, 0, 1, 14, 2, 0, 0);
    size_t start = w->size;
    BYTES(w, (uint8_t)(13 + o->kind_count), CS_INTERFACE, 1, (uint8_t)o->kind_count, 0, 0, 0x81, 0,
          3, 0, 0, 0, 1);
    for (unsigned i = 0; i < o->kind_count; i++) {
        put(w, 0, 1);
    }
    for (unsigned i = 0; i < o->kind_count; i++) {
        describe_format(w, o, i);
        for (unsigned size = 0; size < o->size_count; size++) {
            describe_frame(w, o, size, o->kinds[i]);
        }
        if (o->kinds[i] != KIND_H264) {
            BYTES(w, 6, CS_INTERFACE, 13, 1, 1, 4); /* colours: sRGB's, matrix of BT.601 */
        }
    }
    set16(w, start + 4, w->size - start);
    BYTES(w, 7, ENDPOINT, 0x81, 2, 0, 2, 0); /* bulk, 512 bytes */
}

static size_t describe(const struct offer *offer, uint8_t out[OFFER_LARGEST])
{
    struct writer w = { out, 0 };
    BYTES(&w, 9, CONFIGURATION, 0, 0, 2, 1, 0, 0x80, 250);
    describe_control(&w);
    describe_streaming(&w, offer);
    set16(&w, 2, w.size);
    return w.size;
}

static size_t describe_text(const char *text, uint8_t out[OFFER_LARGEST])
{
    size_t n = strnlen(text, 100);
    out[0] = (uint8_t)(2 + 2 * n);
    out[1] = STRING;
    for (size_t i = 0; i < n; i++) { /* UTF-16 */
        out[2 + 2 * i] = (uint8_t)text[i];
        out[3 + 2 * i] = 0;
    }
    return 2 + 2 * n;
}

int offer_get(const struct offer *offer, unsigned type, unsigned index, uint8_t out[OFFER_LARGEST],
              size_t *size)
{
    static const uint8_t english[] = { 4, STRING, 9, 4 };
    static const uint8_t device[] = { 18,   DEVICE, 0,    2, 0xef, 2, 1, 64, 0x6b,
                                      0x1d, 0x02,   0x01, 0, 1,    1, 2, 3,  1 };
    const char *const texts[] = { NULL, "usbcam", offer->name, offer->serial };
    if (type == DEVICE) {
        memcpy(out, device, *size = sizeof device);
    } else if (type == CONFIGURATION) {
        *size = describe(offer, out);
    } else if (type == STRING && index == 0) {
        memcpy(out, english, *size = sizeof english);
    } else if (type == STRING && index < sizeof texts / sizeof texts[0]) {
        *size = describe_text(texts[index], out);
    } else {
        return -EPIPE;
    }
    return 0;
}

static void set32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

static uint8_t limit(uint8_t value, unsigned most)
{
    return value < 1 ? 1 : value > most ? (uint8_t)most : value;
}

/* Offsets are UVC 1.1, table 4-75. */
void offer_negotiate(const struct offer *offer, uint8_t probe[OFFER_PROBE])
{
    probe[2] = limit(probe[2], offer->kind_count);
    probe[3] = limit(probe[3], offer->size_count);
    set32(probe + 4, INTERVALS / offer->fps);
    set32(probe + 18, offer_width(offer, probe) * offer_height(offer, probe) * 2);
    set32(probe + 22, OFFER_PAYLOAD);
    set32(probe + 26, CLOCK_HZ);
    probe[30] = 3;
    probe[31] = probe[32] = probe[33] = 1;
}

enum kind offer_kind(const struct offer *offer, const uint8_t probe[OFFER_PROBE])
{
    return offer->kinds[probe[2] - 1];
}

unsigned offer_width(const struct offer *offer, const uint8_t probe[OFFER_PROBE])
{
    return offer->sizes[probe[3] - 1].width;
}

unsigned offer_height(const struct offer *offer, const uint8_t probe[OFFER_PROBE])
{
    return offer->sizes[probe[3] - 1].height;
}
