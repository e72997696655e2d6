/* SPDX-License-Identifier: MIT */
/* The encode stage, with an encoder whose speed, delay and failures the tests command. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "encode/encode.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/pool.h"
#include "pcs/queue.h"
#include "pictures.h"

#define DEADLINE_US (20 * CLOCK_S)

/* ---- the fake encoder: H.264 by name only ---- */

struct encoder {
    struct pool *pool;
    const struct frame *held[8]; /* `delay` pictures stay inside */
    int count;
    bool key[8];
};

static struct fake {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    int tokens; /* pictures that may be encoded; -1 = any number */
    int entered, opened, closed, delay, keys;
    int fail;      /* what encode returns instead, once */
    int fail_open; /* times */
    bool beside;   /* be hardware: pictures are done when the test says so */
    int fd;        /* then: readable when one is done; a semaphore */
    int64_t bitrate;
    struct format format;
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void fake_reset(void)
{
    pthread_mutex_lock(&fake.lock);
    fake.tokens = -1;
    fake.entered = fake.opened = fake.closed = fake.delay = fake.keys = fake.fail = 0;
    fake.fail_open = 0;
    fake.beside = false;
    pthread_mutex_unlock(&fake.lock);
}

static void fake_set(int *field, int value)
{
    pthread_mutex_lock(&fake.lock);
    *field = value;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

static int fake_get(const int *field)
{
    pthread_mutex_lock(&fake.lock);
    int value = *field;
    pthread_mutex_unlock(&fake.lock);
    return value;
}

static bool fake_accepts(enum format_id input)
{
    return input != FORMAT_RGB24;
}

static int fake_open(struct encoder **out, const struct encode_config *config,
                     const struct format *in, struct pool *pool, struct err *err)
{
    pthread_mutex_lock(&fake.lock);
    bool fail = fake.fail_open > 0;
    fake.fail_open -= fail;
    fake.opened += !fail;
    fake.bitrate = config->bitrate;
    fake.format = *in;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    if (fail) {
        return err_set(err, -EIO, "fake does not open");
    }
    *out = calloc(1, sizeof **out);
    (*out)->pool = pool;
    return 0;
}

static struct frame *fake_pop(struct encoder *e)
{
    struct frame *out = pool_get(e->pool, 100);
    frame_copy_meta(out, e->held[0]);
    out->format.id = FORMAT_H264;
    out->flags = e->key[0] ? FRAME_KEY : 0;
    out->size = 100;
    frame_unref(e->held[0]);
    e->count--;
    memmove(e->held, e->held + 1, sizeof e->held - sizeof e->held[0]);
    memmove(e->key, e->key + 1, sizeof e->key - sizeof e->key[0]);
    return out;
}

static int fake_encode(struct encoder *e, const struct frame *in, bool key, struct frame **out)
{
    pthread_mutex_lock(&fake.lock);
    fake.entered++;
    fake.keys += key;
    pthread_cond_broadcast(&fake.changed);
    while (fake.tokens == 0) {
        pthread_cond_wait(&fake.changed, &fake.lock);
    }
    fake.tokens -= fake.tokens > 0;
    int rc = fake.fail, delay = fake.delay;
    fake.fail = 0;
    pthread_mutex_unlock(&fake.lock);
    if (rc) {
        return rc;
    }
    e->key[e->count] = key;
    e->held[e->count++] = frame_ref(in);
    *out = e->count > delay ? fake_pop(e) : NULL;
    return 0;
}

static int fake_drain(struct encoder *e, struct frame **out)
{
    *out = e->count ? fake_pop(e) : NULL;
    return 0;
}

static void fake_set_bitrate(struct encoder *e, int64_t bitrate)
{
    (void)e;
    pthread_mutex_lock(&fake.lock);
    fake.bitrate = bitrate;
    pthread_mutex_unlock(&fake.lock);
}

static const char *fake_name(const struct encoder *e)
{
    (void)e;
    return "fake";
}

static void fake_close(struct encoder *e)
{
    while (e->count) {
        frame_unref(e->held[--e->count]);
    }
    free(e);
    pthread_mutex_lock(&fake.lock);
    fake.closed++;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

static const struct encoder_backend encoder_fake = {
    .name = "fake",
    .output = FORMAT_H264,
    .accepts = fake_accepts,
    .open = fake_open,
    .encode = fake_encode,
    .drain = fake_drain,
    .set_bitrate = fake_set_bitrate,
    .describe = fake_name,
    .close = fake_close,
};

/* ---- and hardware, which works beside us ---- */

#define BESIDE_INSIDE 2

static int beside_encode(struct encoder *e, const struct frame *in, bool key, struct frame **out)
{
    assert_true(e->count < BESIDE_INSIDE);
    e->key[e->count] = key;
    e->held[e->count++] = frame_ref(in);
    *out = NULL;
    pthread_mutex_lock(&fake.lock);
    fake.entered++;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    return 0;
}

static bool beside_ready(const struct encoder *e)
{
    return e->count < BESIDE_INSIDE;
}

static bool beside_busy(const struct encoder *e)
{
    return e->count > 0;
}

static int beside_fd(const struct encoder *e)
{
    (void)e;
    return fake.fd;
}

static int beside_collect(struct encoder *e, struct frame **out)
{
    eventfd_t one;
    *out = e->count && eventfd_read(fake.fd, &one) == 0 ? fake_pop(e) : NULL;
    return 0;
}

static const struct encoder_backend encoder_beside = {
    .name = "beside",
    .output = FORMAT_H264,
    .accepts = fake_accepts,
    .open = fake_open,
    .encode = beside_encode,
    .drain = fake_drain,
    .ready = beside_ready,
    .busy = beside_busy,
    .fd = beside_fd,
    .collect = beside_collect,
    .describe = fake_name,
    .close = fake_close,
};

static void finish_one(void)
{
    assert_int_equal(eventfd_write(fake.fd, 1), 0);
}

/* In place of encoders.c's. */
const struct encoder_backend *encoder_find(const char *name, enum format_id input,
                                           enum format_id output, int index)
{
    const struct encoder_backend *h264 = fake.beside ? &encoder_beside : &encoder_fake;
    const struct encoder_backend *b = output == FORMAT_JPEG ? &encoder_jpeg : h264;
    bool fits = b->output == output && (input == FORMAT_NONE || b->accepts(input));
    (void)name;
    return fits && index == 0 ? b : NULL;
}

/* ---- the rig ---- */

struct rig {
    struct hub *raw, *packets;
    struct encode *encode;
    struct queue *viewer;
    uint64_t seq;
};

static struct queue *new_viewer(void)
{
    static const struct queue_limits limits = { .policy = QUEUE_NEWEST, .max_frames = 1000 };
    return queue_new(&limits);
}

static struct rig start_rig(enum format_id output)
{
    struct rig r = { .raw = hub_new(), .packets = hub_new(), .viewer = new_viewer() };
    struct encode_config config = { .bitrate = 4000000, .quality = 80, .threads = 2 };
    struct err err;
    fake_reset();
    assert_int_equal(encode_start(&r.encode, &config, output, r.raw, r.packets, &err), 0);
    return r;
}

/* With hardware whose pictures are done by finish_one. */
static struct rig start_beside(void)
{
    struct rig r = start_rig(FORMAT_H264); /* rests: looks for its encoder later */
    fake.fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE | EFD_CLOEXEC);
    assert_true(fake.fd >= 0);
    fake.beside = true;
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    return r;
}

static void stop_rig(struct rig *r)
{
    encode_stop(r->encode);
    encode_free(r->encode);
    queue_unref(r->viewer);
    hub_free(r->raw);
    hub_free(r->packets);
    if (fake.beside) {
        (void)close(fake.fd);
    }
}

static const struct format small = {
    .id = FORMAT_YUYV, .width = 64, .height = 48, .fps_num = 30, .fps_den = 1
};

static void publish(struct rig *r, const struct format *format)
{
    struct frame *f = picture_new(format, (int)r->seq % 50, 0);
    f->seq = ++r->seq;
    f->capture_us = f->stage_us[STAGE_CAPTURED] = f->stage_us[STAGE_DEQUEUED] = clock_now_us();
    hub_publish(r->raw, f);
    frame_unref(f);
}

static const struct frame *take(struct rig *r)
{
    const struct frame *f = NULL;
    assert_int_equal(queue_wait(r->viewer, NULL, DEADLINE_US, &f), 0);
    return f;
}

static void take_one(struct rig *r, uint64_t seq)
{
    const struct frame *f = take(r);
    assert_int_equal(f->seq, seq);
    frame_unref(f);
}

/* Wait until a number of the fake has reached `value`. */
static void await(const int *field, int value)
{
    int64_t until = clock_wall_us() + DEADLINE_US;
    struct timespec at = { .tv_sec = until / CLOCK_S, .tv_nsec = until % CLOCK_S * 1000 };
    int rc = 0;
    pthread_mutex_lock(&fake.lock);
    while (*field < value && rc == 0) {
        rc = pthread_cond_timedwait(&fake.changed, &fake.lock, &at);
    }
    int got = *field;
    pthread_mutex_unlock(&fake.lock);
    assert_true(got >= value);
}

static struct encode_stats stats_of(struct rig *r)
{
    struct encode_stats s;
    encode_get_stats(r->encode, &s);
    return s;
}

static void assert_adds_up(struct rig *r, uint64_t taken)
{
    struct encode_stats s = stats_of(r);
    assert_int_equal(s.taken, taken);
    assert_int_equal(s.encoded + s.dropped, taken);
}

/* ---- tests ---- */

static void rests_without_viewers(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_H264);
    assert_false(hub_wanted(r.raw)); /* the camera need not even make pictures */
    publish(&r, &small);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    assert_true(hub_wanted(r.raw));
    publish(&r, &small);
    take_one(&r, 1);
    hub_unsubscribe(r.packets, r.viewer);
    assert_false(hub_wanted(r.raw));
    publish(&r, &small);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    publish(&r, &small);
    take_one(&r, 2); /* numbers have no holes */
    encode_stop(r.encode);
    assert_int_equal(fake_get(&fake.entered), 2);
    assert_adds_up(&r, 2);
    stop_rig(&r);
}

static void serves_those_who_were_there_before(void **state)
{
    (void)state;
    struct rig r = { .raw = hub_new(), .packets = hub_new(), .viewer = new_viewer() };
    struct encode_config config = { .bitrate = 4000000 };
    struct err err;
    fake_reset();
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    assert_int_equal(encode_start(&r.encode, &config, FORMAT_H264, r.raw, r.packets, &err), 0);
    publish(&r, &small);
    take_one(&r, 1);
    stop_rig(&r);
}

static void takes_the_newest_under_overload(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_H264);
    fake_set(&fake.tokens, 0);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    publish(&r, &small);
    await(&fake.entered, 1); /* number 1 is being encoded, slowly */
    int64_t newest = 0;
    for (int i = 0; i < 30; i++) {
        newest = clock_now_us();
        publish(&r, &small);
    }
    fake_set(&fake.tokens, -1);
    take_one(&r, 1);
    const struct frame *second = take(&r);
    assert_int_equal(second->seq, 2);
    assert_true(second->capture_us >= newest); /* the last of the thirty */
    frame_unref(second);
    encode_stop(r.encode);
    assert_adds_up(&r, 31);
    assert_int_equal(stats_of(&r).encoded, 2);
    stop_rig(&r);
}

/* A packet is published when the hardware has it, not when the next picture comes. */
static void hardware_is_waited_for(void **state)
{
    (void)state;
    struct rig r = start_beside();
    publish(&r, &small);
    await(&fake.entered, 1);
    finish_one();
    take_one(&r, 1);
    publish(&r, &small);
    await(&fake.entered, 2);
    publish(&r, &small); /* one that it works on, one that waits there */
    await(&fake.entered, 3);
    finish_one();
    take_one(&r, 2);
    finish_one();
    take_one(&r, 3);
    encode_stop(r.encode);
    assert_adds_up(&r, 3);
    stop_rig(&r);
}

/* While hardware is full, newer pictures replace the one that waits for it: never two of ours in a row. */
static void full_hardware_gets_the_newest(void **state)
{
    (void)state;
    struct rig r = start_beside();
    for (int i = 1; i <= BESIDE_INSIDE; i++) {
        publish(&r, &small);
        await(&fake.entered, i);
    }
    int64_t newest = 0;
    for (int i = 0; i < 20; i++) {
        newest = clock_now_us();
        publish(&r, &small);
    }
    assert_int_equal(fake_get(&fake.entered), BESIDE_INSIDE);
    finish_one();
    await(&fake.entered, BESIDE_INSIDE + 1);
    finish_one();
    finish_one();
    int64_t before = 0;
    for (uint64_t i = 1; i <= BESIDE_INSIDE + 1; i++) {
        const struct frame *f = take(&r);
        assert_int_equal(f->seq, i);
        assert_true(f->capture_us > before);
        before = f->capture_us;
        frame_unref(f);
    }
    assert_true(before >= newest);
    encode_stop(r.encode);
    assert_adds_up(&r, 22);
    assert_int_equal(stats_of(&r).encoded, 3);
    stop_rig(&r);
}

static void what_is_in_hardware_is_drained(void **state)
{
    (void)state;
    struct rig r = start_beside();
    for (int i = 1; i <= BESIDE_INSIDE; i++) {
        publish(&r, &small);
        await(&fake.entered, i);
    }
    encode_stop(r.encode);
    take_one(&r, 1);
    take_one(&r, 2);
    assert_adds_up(&r, 2);
    stop_rig(&r);
}

/* Done with its pictures only after the stage was told to stop. */
static void *finish_late(void *arg)
{
    struct rig *r = arg;
    while (hub_wanted(r->raw)) {
        (void)sched_yield();
    }
    (void)usleep(50000); /* by now its queue is closed, too: it passes without that as well */
    for (int i = 0; i <= BESIDE_INSIDE; i++) {
        finish_one();
    }
    return NULL;
}

/* The last picture, too, waits until full hardware has room for it. */
static void the_last_picture_waits_for_hardware(void **state)
{
    (void)state;
    struct rig r = start_beside();
    pthread_t late;
    for (int i = 1; i <= BESIDE_INSIDE; i++) {
        publish(&r, &small);
        await(&fake.entered, i);
    }
    publish(&r, &small);
    assert_int_equal(pthread_create(&late, NULL, finish_late, &r), 0);
    encode_stop(r.encode);
    assert_int_equal(pthread_join(late, NULL), 0);
    for (uint64_t i = 1; i <= BESIDE_INSIDE + 1; i++) {
        take_one(&r, i);
    }
    assert_adds_up(&r, BESIDE_INSIDE + 1);
    stop_rig(&r);
}

/* A slow encoder, pictures without end: what comes out only ever gets newer, and each was the newest. */
static void overload_never_goes_back(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_H264);
    fake_set(&fake.tokens, 0);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    publish(&r, &small);
    await(&fake.entered, 1);
    int64_t newest = 0, before = 0;
    for (int round = 1; round <= 10; round++) {
        int64_t expected = newest;
        for (int i = 0; i < 1 + round % 4; i++) {
            newest = clock_now_us(); /* its capture time is not before this */
            publish(&r, &small);
        }
        fake_set(&fake.tokens, 1);
        const struct frame *f = take(&r);
        assert_int_equal(f->seq, round);
        assert_true(f->capture_us > before && f->capture_us >= expected);
        before = f->capture_us;
        frame_unref(f);
        await(&fake.entered, round + 1);
    }
    fake_set(&fake.tokens, -1);
    encode_stop(r.encode);
    assert_adds_up(&r, r.seq);
    assert_int_equal(stats_of(&r).encoded, 11);
    stop_rig(&r);
}

static void key_wish_reaches_the_encoder_once(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_H264);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0); /* a wish by itself */
    for (int i = 0; i < 4; i++) {
        if (i == 2) {
            hub_request_key(r.packets);
        }
        publish(&r, &small);
        const struct frame *f = take(&r);
        assert_int_equal(f->flags & FRAME_KEY, i == 0 || i == 2);
        frame_unref(f);
    }
    stop_rig(&r);
}

static void stop_encodes_and_drains(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_H264);
    fake_set(&fake.delay, 3);
    fake_set(&fake.tokens, 0);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    for (int i = 1; i <= 5; i++) {
        publish(&r, &small);
        await(&fake.entered, i);
        if (i < 5) {
            fake_set(&fake.tokens, 1);
        }
    }
    publish(&r, &small); /* queued while number 5 is in work */
    fake_set(&fake.tokens, -1);
    encode_stop(r.encode);
    for (uint64_t i = 1; i <= 6; i++) {
        take_one(&r, i);
    }
    const struct frame *none = NULL;
    assert_int_equal(queue_wait(r.viewer, NULL, DEADLINE_US, &none), -EPIPE); /* ended */
    assert_adds_up(&r, 6);
    assert_int_equal(stats_of(&r).encoded, 6);
    stop_rig(&r);
}

static void end_of_the_source_ends_the_packets(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_H264);
    fake_set(&fake.delay, 2);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    publish(&r, &small);
    hub_end(r.raw);
    take_one(&r, 1);
    const struct frame *none = NULL;
    assert_int_equal(queue_wait(r.viewer, NULL, DEADLINE_US, &none), -EPIPE);
    stop_rig(&r);
}

static void another_size_opens_another_encoder(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_H264);
    struct format large = small;
    large.width = 128;
    fake_set(&fake.delay, 1);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    publish(&r, &small);
    await(&fake.entered, 1);
    publish(&r, &large);
    take_one(&r, 1); /* drained */
    await(&fake.opened, 2);
    assert_int_equal(fake.format.width, 128);
    encode_stop(r.encode);
    take_one(&r, 2);
    assert_adds_up(&r, 2);
    stop_rig(&r);
}

static void unusable_picture_is_only_dropped(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_H264);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    fake_set(&fake.fail, -EBADMSG);
    publish(&r, &small);
    await(&fake.entered, 1);
    publish(&r, &small);
    const struct frame *f = take(&r);
    assert_true(f->flags & FRAME_KEY); /* the wish was kept for the next one */
    frame_unref(f);
    assert_int_equal(fake_get(&fake.opened), 1);
    encode_stop(r.encode);
    assert_adds_up(&r, 2);
    stop_rig(&r);
}

static void broken_encoder_is_opened_again(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_H264);
    fake_set(&fake.delay, 1);
    fake_set(&fake.fail_open, 1);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    uint64_t sent = 0;
    int64_t until = clock_now_us() + DEADLINE_US;
    while (fake_get(&fake.entered) < 2 && clock_now_us() < until) {
        publish(&r, &small); /* each is dropped until the back-off has passed */
        sent++;
    }
    fake_set(&fake.fail, -EIO); /* one is inside: it is lost with the encoder */
    while (fake_get(&fake.closed) < 1 && clock_now_us() < until) {
        publish(&r, &small);
        sent++;
    }
    while (fake_get(&fake.opened) < 2 && clock_now_us() < until) {
        publish(&r, &small);
        sent++;
    }
    assert_int_equal(fake_get(&fake.opened), 2);
    encode_stop(r.encode);
    assert_adds_up(&r, sent);
    stop_rig(&r);
}

static void bitrate_reaches_the_encoder(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_H264);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    encode_set_bitrate(r.encode, 111111);
    publish(&r, &small);
    take_one(&r, 1);
    assert_int_equal(fake.bitrate, 111111); /* at opening */
    encode_set_bitrate(r.encode, 222222);
    publish(&r, &small);
    take_one(&r, 2);
    assert_int_equal(fake.bitrate, 222222); /* and live */
    stop_rig(&r);
}

static void jpeg_goes_through_with_its_times(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_JPEG);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    for (uint64_t i = 1; i <= 20; i++) {
        publish(&r, &small);
        const struct frame *f = take(&r);
        assert_int_equal(f->format.id, FORMAT_JPEG);
        assert_int_equal(f->seq, i);
        assert_true(f->stage_us[STAGE_ENCODED] >= f->stage_us[STAGE_DEQUEUED]);
        assert_true(f->stage_us[STAGE_DEQUEUED] > 0);
        frame_unref(f);
    }
    struct encode_stats s = stats_of(&r);
    assert_string_equal(s.encoder, "libjpeg-turbo");
    assert_int_equal(counter_get(&encode_latency(r.encode)->count), 20);
    stop_rig(&r);
}

static void impossible_input_is_dropped(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_JPEG);
    assert_int_equal(hub_subscribe(r.packets, r.viewer), 0);
    struct frame *f = picture_bytes(FORMAT_H264, "hello", 5);
    for (int i = 0; i < 3; i++) {
        hub_publish(r.raw, f);
    }
    frame_unref(f);
    encode_stop(r.encode);
    assert_adds_up(&r, 3);
    stop_rig(&r);
}

static void start_names_what_is_missing(void **state)
{
    (void)state;
    struct hub *hub = hub_new();
    struct encode_config config = { .bitrate = 1 };
    struct encode *e = NULL;
    struct err err = { 0 };
    assert_int_equal(encode_start(&e, &config, FORMAT_YUYV, hub, hub, &err), -ENOENT);
    assert_non_null(strstr(err.text, "YUYV"));
    assert_null(e);
    hub_free(hub);
}

static void output_follows_codec_and_source(void **state)
{
    (void)state;
    struct encode_config c = { .codec = 0 };
    assert_int_equal(encode_output(&c, FORMAT_YUYV), FORMAT_H264);
    assert_int_equal(encode_output(&c, FORMAT_JPEG), FORMAT_JPEG);
    assert_int_equal(encode_output(&c, FORMAT_H264), FORMAT_H264);
    c.codec = 1;
    assert_int_equal(encode_output(&c, FORMAT_JPEG), FORMAT_H264);
    c.codec = 2;
    assert_int_equal(encode_output(&c, FORMAT_YUYV), FORMAT_JPEG);
}

/* Viewers come and go, pictures flow, somebody reads statistics: for the thread sanitizer. */
static void *flap(void *arg)
{
    struct rig *r = arg;
    for (int i = 0; i < 200; i++) {
        struct queue *q = new_viewer();
        assert_int_equal(hub_subscribe(r->packets, q), 0);
        (void)stats_of(r);
        hub_unsubscribe(r->packets, q);
        queue_unref(q);
    }
    return NULL;
}

static void survives_flapping_viewers(void **state)
{
    (void)state;
    struct rig r = start_rig(FORMAT_H264);
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, flap, &r), 0);
    }
    for (int i = 0; i < 300; i++) {
        publish(&r, &small);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
    }
    assert_false(hub_wanted(r.raw));
    encode_stop(r.encode);
    struct encode_stats s = stats_of(&r);
    assert_int_equal(s.taken, s.encoded + s.dropped);
    stop_rig(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(rests_without_viewers),
        cmocka_unit_test(serves_those_who_were_there_before),
        cmocka_unit_test(takes_the_newest_under_overload),
        cmocka_unit_test(overload_never_goes_back),
        cmocka_unit_test(hardware_is_waited_for),
        cmocka_unit_test(full_hardware_gets_the_newest),
        cmocka_unit_test(what_is_in_hardware_is_drained),
        cmocka_unit_test(the_last_picture_waits_for_hardware),
        cmocka_unit_test(key_wish_reaches_the_encoder_once),
        cmocka_unit_test(stop_encodes_and_drains),
        cmocka_unit_test(end_of_the_source_ends_the_packets),
        cmocka_unit_test(another_size_opens_another_encoder),
        cmocka_unit_test(unusable_picture_is_only_dropped),
        cmocka_unit_test(broken_encoder_is_opened_again),
        cmocka_unit_test(bitrate_reaches_the_encoder),
        cmocka_unit_test(jpeg_goes_through_with_its_times),
        cmocka_unit_test(impossible_input_is_dropped),
        cmocka_unit_test(start_names_what_is_missing),
        cmocka_unit_test(output_follows_codec_and_source),
        cmocka_unit_test(survives_flapping_viewers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
