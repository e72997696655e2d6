/* SPDX-License-Identifier: MIT */
#include "pcs/jpeg_scan.h"

#include <errno.h>
#include <string.h>

#include "pcs/bytes.h"
#include "pcs/format.h"

/* ITU-T T.81, table B.1: the byte behind 0xFF. */
enum marker_code {
    M_SOF0 = 0xC0,
    M_SOF2 = 0xC2,
    M_DHT = 0xC4,
    M_JPG = 0xC8,
    M_DAC = 0xCC,
    M_SOF15 = 0xCF,
    M_RST0 = 0xD0,
    M_RST7 = 0xD7,
    M_SOI = 0xD8,
    M_EOI = 0xD9,
    M_SOS = 0xDA,
    M_DQT = 0xDB,
    M_DNL = 0xDC,
    M_DRI = 0xDD,
    M_APP0 = 0xE0,
    M_COM = 0xFE,
};

struct scan {
    const uint8_t *start;
    struct reader in;
    struct jpeg_info *info;
    int blocks_per_mcu;
    int max_h, max_v;
    bool has_frame, has_restarts;
    int next_restart;   /* 0..7 */
    bool single_scan;   /* all components in the first scan: nothing but RSTn may follow it */
    const uint8_t *ecs; /* first entropy-coded byte; NULL before SOS */
};

static size_t scan_offset(const struct scan *s)
{
    return (size_t)(s->in.p - s->start);
}

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

static int read_component(struct scan *s, struct reader *body, int index)
{
    (void)read_u8(body); /* its identifier */
    int samp = read_u8(body);
    (void)read_u8(body); /* its quantisation table */
    int h = samp >> 4, v = samp & 15;
    if (h < 1 || h > 4 || v < 1 || v > 4) {
        return -EBADMSG;
    }
    if (index == 0) {
        s->info->h_samp = h;
        s->info->v_samp = v;
    }
    s->max_h = h > s->max_h ? h : s->max_h;
    s->max_v = v > s->max_v ? v : s->max_v;
    s->blocks_per_mcu += h * v;
    return 0;
}

static int read_frame_header(struct scan *s, int marker, struct reader *body)
{
    struct jpeg_info *info = s->info;
    if (s->has_frame) {
        return -EBADMSG;
    }
    int bits = read_u8(body);
    info->height = read_be16(body);
    info->width = read_be16(body);
    info->components = read_u8(body);
    if (body->bad || info->width == 0) {
        return -EBADMSG;
    }
    if (marker > M_SOF2 || bits != 8 || (info->components != 1 && info->components != 3) ||
        info->height == 0 || info->width > FORMAT_MAX_SIZE || info->height > FORMAT_MAX_SIZE) {
        return -ENOTSUP; /* height 0: it would come in a DNL segment */
    }
    for (int i = 0; i < info->components; i++) {
        if (read_component(s, body, i)) {
            return -EBADMSG;
        }
    }
    info->progressive = marker == M_SOF2;
    s->has_frame = true;
    return body->bad ? -EBADMSG : 0;
}

static int read_scan_header(struct scan *s, struct reader *body)
{
    int components = read_u8(body);
    if (!s->has_frame || body->bad || components < 1 || components > s->info->components) {
        return -EBADMSG;
    }
    s->next_restart = 0;
    if (s->ecs) {
        return 0;
    }
    s->single_scan = !s->info->progressive && components == s->info->components;
    s->ecs = s->in.p;
    return 0;
}

static bool is_frame_header(int marker)
{
    return marker >= M_SOF0 && marker <= M_SOF15 && marker != M_DHT && marker != M_JPG &&
           marker != M_DAC;
}

/* One marker segment with a length; s->in stands behind the marker, at offset `at` it began. */
static int read_segment(struct scan *s, int marker, size_t at)
{
    size_t length = read_be16(&s->in);
    const uint8_t *bytes = length < 2 ? NULL : read_bytes(&s->in, length - 2);
    if (!bytes) {
        return -EBADMSG;
    }
    struct reader body = reader_on(bytes, length - 2);
    if (is_frame_header(marker)) {
        s->info->sof_offset = at;
        return read_frame_header(s, marker, &body);
    }
    if (marker == M_SOS && !s->ecs) {
        s->info->sos_offset = at;
    }
    if (marker == M_SOS) {
        return read_scan_header(s, &body);
    }
    if (marker == M_DHT && !s->ecs) {
        s->info->has_dht = true;
    }
    if (marker == M_DRI) {
        s->has_restarts = read_be16(&body) != 0;
    }
    if (marker == M_DAC) {
        return -ENOTSUP;
    }
    bool known = marker == M_DHT || marker == M_DQT || marker == M_DRI || marker >= M_APP0;
    return known ? 0 : -EBADMSG;
}

/* The marker at s->in, fill bytes skipped; -EBADMSG when there is none. */
static int read_marker(struct scan *s)
{
    if (read_u8(&s->in) != 0xFF) {
        return -EBADMSG;
    }
    int marker;
    do {
        marker = read_u8(&s->in);
    } while (marker == 0xFF);
    return s->in.bad || marker == 0 ? -EBADMSG : marker;
}

static int read_headers(struct scan *s)
{
    while (!s->ecs) {
        size_t at = scan_offset(s);
        int marker = read_marker(s);
        int rc = marker < 0 ? marker : read_segment(s, marker, at);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

/* Go to the next 0xFF that is a marker's, or to the end. */
static void skip_entropy_coded(struct reader *in)
{
    while (in->p < in->end) {
        const uint8_t *ff = memchr(in->p, 0xFF, reader_left(in));
        if (!ff || ff + 1 >= in->end) {
            in->p = in->end;
            return;
        }
        in->p = ff;
        if (ff[1] != 0x00) {
            return;
        }
        in->p += 2;
    }
}

static int read_restart(struct scan *s, int marker)
{
    if (!s->has_restarts || marker - M_RST0 != s->next_restart) {
        return -EBADMSG;
    }
    s->next_restart = (s->next_restart + 1) & 7;
    return 0;
}

/* A marker between or behind entropy-coded bytes. */
static int read_scan_marker(struct scan *s)
{
    size_t at = scan_offset(s);
    int marker = read_marker(s);
    if (marker < 0 && s->in.p == s->in.end) {
        s->in.bad = false; /* fill bytes up to the end: padding, not damage */
        return 0;
    }
    if (marker < 0) {
        return marker;
    }
    if (marker >= M_RST0 && marker <= M_RST7) {
        return read_restart(s, marker);
    }
    if (marker == M_DNL) {
        return -ENOTSUP;
    }
    if (marker == M_EOI) {
        s->info->has_eoi = true;
        s->info->size = scan_offset(s);
        s->info->scan_bytes = at - (size_t)(s->ecs - s->start);
        return 0;
    }
    return s->single_scan ? -EBADMSG : read_segment(s, marker, at);
}

/* Without EOI the picture ends where the padding begins. A zero behind 0xFF is data. */
static void end_without_eoi(struct scan *s)
{
    const uint8_t *end = s->in.end;
    while (end - s->ecs >= 2 && end[-1] == 0 && end[-2] != 0xFF) {
        end--;
    }
    while (end > s->ecs && end[-1] == 0xFF) {
        end--;
    }
    s->info->size = (size_t)(end - s->start);
    s->info->scan_bytes = (size_t)(end - s->ecs);
}

/* Every block takes two bits at least, one for each of DC and AC. */
static bool enough_for_blocks(const struct scan *s)
{
    const struct jpeg_info *info = s->info;
    bool one = info->components == 1; /* not interleaved: its MCU is one block (T.81, A.2.2) */
    int64_t columns = ceil_div(info->width, 8 * (one ? 1 : s->max_h));
    int64_t rows = ceil_div(info->height, 8 * (one ? 1 : s->max_v));
    int64_t blocks = columns * rows * (one ? 1 : s->blocks_per_mcu);
    return !s->single_scan || (int64_t)info->scan_bytes * 4 >= blocks;
}

static int read_scans(struct scan *s)
{
    while (!s->info->has_eoi && s->in.p < s->in.end) {
        skip_entropy_coded(&s->in);
        int rc = s->in.p < s->in.end ? read_scan_marker(s) : 0;
        if (rc) {
            return rc;
        }
    }
    if (!s->info->has_eoi) {
        end_without_eoi(s);
    }
    return enough_for_blocks(s) ? 0 : -EBADMSG;
}

int jpeg_scan(const uint8_t *data, size_t size, struct jpeg_info *out)
{
    struct jpeg_info info = { 0 };
    struct scan s = { .start = data, .in = reader_on(data, size), .info = &info };
    if (read_u8(&s.in) != 0xFF || read_u8(&s.in) != M_SOI) {
        return -EBADMSG;
    }
    int rc = read_headers(&s);
    if (!rc) {
        rc = read_scans(&s);
    }
    if (!rc) {
        *out = info;
    }
    return rc;
}

/* clang-format off */
const uint8_t jpeg_standard_dht[] = {
    0xff, M_DHT, 0x01, 0xa2,
    /* DC, luminance (table K.3): counts of codes by length, then the values */
    0x00, 0x00, 0x01, 0x05, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
    /* DC, chrominance (K.4) */
    0x01, 0x00, 0x03, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
    /* AC, luminance (K.5) */
    0x10, 0x00, 0x02, 0x01, 0x03, 0x03, 0x02, 0x04, 0x03, 0x05, 0x05, 0x04, 0x04, 0x00, 0x00, 0x01, 0x7d,
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
    0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
    0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5,
    0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
    0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
    /* AC, chrominance (K.6) */
    0x11, 0x00, 0x02, 0x01, 0x02, 0x04, 0x04, 0x03, 0x04, 0x07, 0x05, 0x04, 0x04, 0x00, 0x01, 0x02, 0x77,
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
    0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0,
    0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26,
    0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
    0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
    0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
    0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
};
/* clang-format on */
const size_t jpeg_standard_dht_size = sizeof(jpeg_standard_dht);
