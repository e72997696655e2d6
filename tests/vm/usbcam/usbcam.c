/* SPDX-License-Identifier: MIT */
/*
 * usbcam: a USB webcam made of software. It plugs a UVC 1.1 camera (bulk streaming) into the kernel's
 * virtual host controller, so that the real uvcvideo driver, its /dev/video node, its ioctls and its
 * unplugging are at work without hardware. YUYV always, MJPEG and H.264 when given a clip to play.
 *
 *   modprobe vhci-hcd uvcvideo
 *   usbcam [-s WxH]... [-r FPS] [-j FILE.mjpeg] [-h FILE.h264] [-n NAME] [-S SERIAL]
 *
 * An H.264 clip must have an access unit delimiter before each picture. Commands, one per line on
 * standard input (its end unplugs and quits):
 *   unplug | plug    the cable
 *   stall | go       the camera stops or resumes sending, still plugged in
 *   corrupt N        the next N frames are cut in half and sprinkled with noise
 *   error N          the next N transfers fail with EPROTO. uvcvideo hands back what is queued with the
 *                    error flag and loses one of its 5 URBs each time: after 5 the stream is silent
 *                    until it is stopped and started
 *   quit
 * What happens is reported on standard output ("plugged …", "streaming …", "stopped …").
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "offer.h"
#include "pictures.h"
#include "usbip.h"

#define MAX_URBS 64
#define NS       1000000000L

struct urb {
    uint32_t seq, size;
};

struct camera {
    struct offer offer;
    struct pictures pictures;

    int sock; /* -1: unplugged */
    int timer;
    uint8_t probe[OFFER_PROBE];
    uint8_t brightness;
    bool streaming, stalled;
    int errors; /* so many transfers shall fail */

    const uint8_t *frame; /* being sent; NULL between frames */
    size_t frame_size, frame_pos;
    uint8_t toggle; /* UVC's frame id bit */
    struct urb urbs[MAX_URBS];
    unsigned urb_count;
    struct usbip_request request;
};

/* ---- the stream ---- */

static void set_streaming(struct camera *c, bool on)
{
    long interval_ns = NS / (long)c->offer.fps;
    struct timespec interval = { interval_ns / NS, interval_ns % NS };
    struct itimerspec timing = { 0 };
    if (on) {
        timing = (struct itimerspec){ interval, interval };
        printf("streaming %s %ux%u\n", kind_name(offer_kind(&c->offer, c->probe)),
               offer_width(&c->offer, c->probe), offer_height(&c->offer, c->probe));
    } else if (c->streaming) {
        printf("stopped after %u frames\n", c->pictures.number);
    }
    (void)timerfd_settime(c->timer, 0, &timing, NULL);
    pictures_rewind(&c->pictures);
    c->streaming = on;
    c->frame = NULL;
}

static struct urb take_urb(struct camera *c, unsigned index)
{
    struct urb taken = c->urbs[index];
    c->urb_count--;
    memmove(c->urbs + index, c->urbs + index + 1, (c->urb_count - index) * sizeof taken);
    return taken;
}

/* One payload of the frame in hand; UVC 1.1, 2.4.3.3: a head of two bytes, the end flag in the last. */
static int send_payload(struct camera *c, const struct urb *urb)
{
    size_t room = (urb->size < OFFER_PAYLOAD ? urb->size : OFFER_PAYLOAD) - 2;
    size_t left = c->frame_size - c->frame_pos;
    bool last = left <= room;
    size_t size = last ? left : room;
    uint8_t head[2] = { 2, (uint8_t)(0x80 | (last ? 2 : 0) | c->toggle) };
    const uint8_t *data = c->frame + c->frame_pos;
    c->frame_pos += size;
    if (last) {
        c->frame = NULL;
    }
    return usbip_send(c->sock, urb->seq, head, sizeof head, data, size);
}

/* Fill the transfers that wait. */
static int pump(struct camera *c)
{
    int code = 0;
    while (code == 0 && c->urb_count > 0 && (c->errors > 0 || c->frame)) {
        struct urb urb = take_urb(c, 0);
        if (c->errors > 0) {
            c->errors--;
            code = usbip_refuse(c->sock, urb.seq, -EPROTO);
        } else {
            code = send_payload(c, &urb);
        }
    }
    return code;
}

static int on_tick(struct camera *c)
{
    uint64_t ticks;
    if (read(c->timer, &ticks, sizeof ticks) != (ssize_t)sizeof ticks || !c->streaming) {
        return 0;
    }
    c->pictures.number++;
    if (!c->frame && !c->stalled) { /* else the host is slower than the camera: skipped */
        c->frame_size = pictures_next(&c->pictures, offer_kind(&c->offer, c->probe),
                                      offer_width(&c->offer, c->probe),
                                      offer_height(&c->offer, c->probe), &c->frame);
        c->frame_pos = 0;
        c->toggle ^= 1;
    }
    return pump(c);
}

/* ---- control requests: *size bytes in out, or negative when the camera has no such thing ---- */

enum { GET_CUR = 0x81, GET_MIN, GET_MAX, GET_RES, GET_LEN, GET_INFO, GET_DEF, SET_CUR = 1 };

/* Video probe and commit: UVC 1.1, 4.3.1.1. */
static int streaming_control(struct camera *c, const uint8_t *setup, uint8_t *out, size_t *size)
{
    bool commit = setup[3] == 2;
    switch (setup[1]) {
    case SET_CUR:
        memcpy(c->probe, c->request.data,
               c->request.length < OFFER_PROBE ? c->request.length : OFFER_PROBE);
        offer_negotiate(&c->offer, c->probe);
        if (commit) {
            set_streaming(c, true);
        }
        return 0;
    case GET_CUR:
    case GET_MIN:
    case GET_MAX:
    case GET_DEF:
        offer_negotiate(&c->offer, c->probe);
        memcpy(out, c->probe, *size = OFFER_PROBE);
        return 0;
    case GET_LEN:
        out[0] = OFFER_PROBE;
        out[1] = 0;
        *size = 2;
        return 0;
    case GET_INFO:
        out[0] = 3;
        *size = 1;
        return 0;
    default:
        return -EPIPE;
    }
}

/* The brightness of the processing unit, which is unit 2. */
static int unit_control(struct camera *c, const uint8_t *setup, uint8_t *out, size_t *size)
{
    out[1] = 0;
    *size = 2;
    switch (setup[1]) {
    case SET_CUR:
        c->brightness = c->request.data[0];
        printf("brightness %d\n", c->brightness);
        return 0;
    case GET_CUR:
        out[0] = c->brightness;
        return 0;
    case GET_MIN:
        out[0] = 0;
        return 0;
    case GET_MAX:
        out[0] = 255;
        return 0;
    case GET_RES:
        out[0] = 1;
        return 0;
    case GET_DEF:
        out[0] = 128;
        return 0;
    case GET_LEN:
        out[0] = 2;
        return 0;
    case GET_INFO:
        out[0] = 3;
        *size = 1;
        return 0;
    default:
        return -EPIPE;
    }
}

static int standard_request(struct camera *c, const uint8_t *setup, uint8_t *out, size_t *size)
{
    enum { CLEAR_FEATURE = 1, GET_DESCRIPTOR = 6, GET_INTERFACE = 10 };
    bool from_device = setup[0] & 0x80;
    if (from_device && setup[1] == GET_DESCRIPTOR) {
        return offer_get(&c->offer, setup[3], setup[2], out, size);
    }
    if (from_device) { /* status, interface: all zero */
        memset(out, 0, 2);
        *size = setup[1] == GET_INTERFACE ? 1 : 2;
        return 0;
    }
    if (setup[0] == 2 && setup[1] == CLEAR_FEATURE) { /* how uvcvideo ends a bulk stream */
        set_streaming(c, false);
    }
    return 0;
}

static int on_control(struct camera *c)
{
    uint8_t out[OFFER_LARGEST];
    size_t size = 0;
    const uint8_t *setup = c->request.setup;
    bool class = (setup[0] & 0x60) == 0x20;
    int code = -EPIPE;
    if (!class && (setup[0] & 0x60) == 0) {
        code = standard_request(c, setup, out, &size);
    } else if (class && setup[4] == 1 && (setup[3] == 1 || setup[3] == 2)) {
        code = streaming_control(c, setup, out, &size);
    } else if (class && setup[4] == 0 && setup[5] == 2 && setup[3] == 2) {
        code = unit_control(c, setup, out, &size);
    }
    if (code < 0) {
        return usbip_refuse(c->sock, c->request.seq, code);
    }
    if (!(setup[0] & 0x80)) {
        return usbip_accept(c->sock, c->request.seq, c->request.length);
    }
    size = size < c->request.length ? size : c->request.length;
    return usbip_send(c->sock, c->request.seq, NULL, 0, out, size);
}

static int on_unlink(struct camera *c)
{
    int code = 0; /* it is done already */
    for (unsigned i = 0; i < c->urb_count; i++) {
        if (c->urbs[i].seq == c->request.unlinked) {
            (void)take_urb(c, i);
            code = -ECONNRESET;
            break;
        }
    }
    return usbip_unlinked(c->sock, c->request.seq, code);
}

static int on_bulk(struct camera *c)
{
    if (c->urb_count == MAX_URBS || c->request.length <= 2) {
        return -EMSGSIZE;
    }
    c->urbs[c->urb_count++] = (struct urb){ c->request.seq, c->request.length };
    return pump(c);
}

static int on_host(struct camera *c)
{
    int code = usbip_read(c->sock, &c->request);
    if (code < 0) {
        return code;
    }
    switch (c->request.what) {
    case USBIP_UNLINK:
        return on_unlink(c);
    case USBIP_BULK:
        return on_bulk(c);
    default:
        return on_control(c);
    }
}

/* ---- cable and commands ---- */

static void unplug(struct camera *c)
{
    if (c->sock < 0) {
        return;
    }
    set_streaming(c, false);
    close(c->sock);
    c->sock = -1;
    c->urb_count = 0;
    printf("unplugged\n");
}

static int plug(struct camera *c)
{
    if (c->sock >= 0) {
        return 0;
    }
    c->sock = usbip_plug();
    c->stalled = false; /* a fresh camera has no grudges */
    c->errors = c->pictures.corrupt = 0;
    return c->sock < 0 ? c->sock : 0;
}

/* False: it was the last one. */
static bool obey(struct camera *c, const char *line)
{
    char word[16] = "";
    int n = 1;
    (void)sscanf(line, "%15s %d", word, &n);
    if (strcmp(word, "unplug") == 0) {
        unplug(c);
    } else if (strcmp(word, "plug") == 0) {
        return plug(c) == 0;
    } else if (strcmp(word, "stall") == 0 || strcmp(word, "go") == 0) {
        c->stalled = word[0] == 's';
    } else if (strcmp(word, "corrupt") == 0) {
        c->pictures.corrupt = n;
    } else if (strcmp(word, "error") == 0) {
        c->errors = n;
        (void)pump(c); /* a cable that is out is noticed when it is read from */
    } else if (strcmp(word, "quit") == 0) {
        return false;
    } else {
        printf("what? %s\n", line);
    }
    return true;
}

static bool on_input(struct camera *c, char *line, size_t room, size_t *have)
{
    ssize_t got = read(STDIN_FILENO, line + *have, room - 1 - *have);
    if (got <= 0) {
        return false;
    }
    *have += (size_t)got;
    line[*have] = '\0';
    char *end;
    while ((end = strchr(line, '\n')) != NULL) {
        *end = '\0';
        if (!obey(c, line)) {
            return false;
        }
        *have -= (size_t)(end + 1 - line);
        memmove(line, end + 1, *have + 1);
    }
    return true;
}

static int run(struct camera *c)
{
    char line[256];
    size_t have = 0;
    for (;;) {
        struct pollfd fds[] = { { STDIN_FILENO, POLLIN, 0 },
                                { c->timer, POLLIN, 0 },
                                { c->sock, POLLIN, 0 } };
        if (poll(fds, 3, -1) < 0) {
            return -errno;
        }
        if ((fds[2].revents && on_host(c) < 0) || (fds[1].revents && on_tick(c) < 0)) {
            unplug(c);
        }
        if (fds[0].revents && !on_input(c, line, sizeof line, &have)) {
            return 0;
        }
    }
}

static int parse_size(struct offer *o, const char *text)
{
    unsigned width, height;
    if (o->size_count == OFFER_SIZES || sscanf(text, "%ux%u", &width, &height) != 2 ||
        width > 1920 || height > 1080) {
        return -EINVAL;
    }
    o->sizes[o->size_count].width = width;
    o->sizes[o->size_count].height = height;
    o->size_count++;
    return 0;
}

static int parse(struct camera *c, int argc, char **argv)
{
    int option, code = 0;
    while (code == 0 && (option = getopt(argc, argv, "s:r:j:h:n:S:")) != -1) {
        switch (option) {
        case 's':
            code = parse_size(&c->offer, optarg);
            break;
        case 'r':
            c->offer.fps = (unsigned)atoi(optarg);
            code = c->offer.fps < 1 || c->offer.fps > 120 ? -EINVAL : 0;
            break;
        case 'j':
            code = clip_open(&c->pictures.mjpeg, optarg);
            break;
        case 'h':
            code = clip_open(&c->pictures.h264, optarg);
            break;
        case 'n':
            c->offer.name = optarg;
            break;
        case 'S':
            c->offer.serial = optarg;
            break;
        default:
            code = -EINVAL;
        }
    }
    return code;
}

static void complete_offer(struct camera *c)
{
    struct offer *o = &c->offer;
    if (o->size_count == 0) {
        (void)parse_size(o, "640x480");
    }
    o->kinds[o->kind_count++] = KIND_YUYV;
    if (c->pictures.mjpeg.data) {
        o->kinds[o->kind_count++] = KIND_MJPEG;
    }
    if (c->pictures.h264.data) {
        o->kinds[o->kind_count++] = KIND_H264;
    }
}

int main(int argc, char **argv)
{
    struct camera c = {
        .offer = { .fps = 30, .name = "Software webcam", .serial = "0001" },
        .sock = -1,
        .brightness = 128,
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    c.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int code = pictures_init(&c.pictures);
    if (code == 0 && parse(&c, argc, argv) < 0) {
        fprintf(stderr, "usage: see the head of usbcam.c\n");
        return 2;
    }
    complete_offer(&c);
    if (code == 0 && c.timer >= 0) {
        code = plug(&c);
    }
    if (code == 0) {
        code = run(&c);
        unplug(&c);
    }
    pictures_finish(&c.pictures);
    return code < 0;
}
