/* SPDX-License-Identifier: MIT */
#include "mp4.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk.h"
#include "fragment.h"
#include "moof.h"
#include "mp4_header.h"
#include "naming.h"
#include "params.h"
#include "pcs/clock.h"
#include "pcs/err.h"
#include "pcs/frame.h"

#define SANE_WALL_US (INT64_C(1577836800) * CLOCK_S) /* 2020: earlier, the clock was never set */
#define MAX_STEP     INT32_MAX                       /* ticks: libavformat's limit of a duration */
#define MAX_DELAY_US (10 * CLOCK_S)                  /* between decoding and presentation */

struct mp4 {
    struct format format;
    struct params params;
    struct fragment *fragment;
    struct disk_batch *batch;
    uint8_t *header;
    size_t header_size;

    int64_t first_us, last_us; /* capture times */
    int64_t wall_us;
    int64_t last_dts; /* ticks, -1 before the first */
    uint32_t nominal; /* ticks a frame lasts when nobody knows better */

    int fd; /* -1 before the first flush */
    bool locked;
    char *path;
    uint64_t end; /* of the last fragment that is on disk */
    uint32_t sequence;
    uint64_t samples;
    uint64_t limit;
};

/* Absolute, so that rounding never adds up. */
static int64_t ticks_of(int64_t us)
{
    _Static_assert(MOOF_TIMESCALE == 90000, "9 ticks are 100 us");
    return (us * 9 + 50) / 100;
}

static uint32_t nominal_ticks(const struct format *f)
{
    if (f->fps_num > 0 && f->fps_den > 0) {
        int64_t ticks = (int64_t)MOOF_TIMESCALE * f->fps_den / f->fps_num;
        return ticks < 1 ? 1 : ticks > 10 * MOOF_TIMESCALE ? 10 * MOOF_TIMESCALE : (uint32_t)ticks;
    }
    return MOOF_TIMESCALE / 30;
}

static int prepare(struct mp4 *m, const struct frame *key)
{
    m->fragment = fragment_new();
    if (!m->fragment || disk_batch_new(&m->batch) < 0) {
        return -ENOMEM;
    }
    return mp4_header_make(key, &m->params, &m->header, &m->header_size);
}

int mp4_new(struct mp4 **out, const struct frame *key, const struct params *params)
{
    struct mp4 *m = calloc(1, sizeof *m);
    if (!m) {
        return -ENOMEM;
    }
    m->fd = -1;
    m->format = key->format;
    m->params = *params;
    m->first_us = m->last_us = key->capture_us;
    m->wall_us = key->wall_us > SANE_WALL_US ? key->wall_us : clock_wall_us();
    m->last_dts = -1;
    m->nominal = nominal_ticks(&key->format);
    m->limit = INT64_MAX;
    int ret = prepare(m, key);
    if (ret < 0) {
        mp4_free(m);
        return ret;
    }
    *out = m;
    return 0;
}

void mp4_free(struct mp4 *m)
{
    if (!m) {
        return;
    }
    if (m->fd >= 0 && m->end == 0 && disk_is_same(m->fd, m->path)) {
        (void)unlink(m->path); /* an empty file is no recording; if it stays, it stays */
    }
    if (m->fd >= 0) {
        close(m->fd);
    }
    free(m->path);
    free(m->header);
    disk_batch_free(m->batch);
    fragment_free(m->fragment);
    free(m);
}

bool mp4_fits(const struct mp4 *m, const struct frame *key, const struct params *params)
{
    return format_same(&m->format, &key->format) && params_cover(&m->params, params);
}

static uint32_t pts_offset(const struct frame *frame)
{
    int64_t us = frame->pts_delay_us;
    return us <= 0 ? 0 : (uint32_t)ticks_of(us < MAX_DELAY_US ? us : MAX_DELAY_US);
}

int mp4_add(struct mp4 *m, const struct frame *frame)
{
    int64_t dts = ticks_of(frame->capture_us - m->first_us);
    if (dts <= m->last_dts) {
        dts = m->last_dts + 1; /* a clock that stands still or goes back must not break the file */
    } else if (m->last_dts >= 0 && dts - m->last_dts > MAX_STEP) {
        dts = m->last_dts + MAX_STEP;
    }
    int ret = fragment_add(m->fragment, frame, &m->params, (uint64_t)dts, pts_offset(frame));
    if (ret == 0) {
        m->last_dts = dts;
        m->last_us = frame->capture_us;
    }
    return ret;
}

static int make_file(struct mp4 *m, const struct naming *naming, struct err *err)
{
    int fd = naming_create(naming, m->wall_us, &m->path, err);
    if (fd < 0) {
        return fd;
    }
    m->fd = fd;
    m->limit = disk_largest_file(fd);
    return 0;
}

/* A recovery that is just looking at the new file may hold it for a moment: the next flush tries
 * again. Where there are no locks, recovery cannot take one either. */
static void lock_file(struct mp4 *m)
{
    m->locked = m->locked || disk_lock(m->fd) == 0;
}

static int write_fragment(struct mp4 *m)
{
    disk_batch_start(m->batch, m->fd, m->end);
    int ret = m->end == 0 ? disk_put(m->batch, m->header, m->header_size) : 0;
    if (ret == 0) {
        ret = fragment_put(m->fragment, m->batch, m->sequence + 1, m->nominal);
    }
    return ret < 0 ? ret : disk_flush(m->batch);
}

static int write_and_sync(struct mp4 *m)
{
    int ret = write_fragment(m);
    ret = ret < 0 ? ret : disk_sync(m->fd);
    if (ret == 0 && m->end == 0) {
        ret = disk_sync_folder(m->path);
    }
    if (ret == 0 && disk_is_gone(m->fd)) {
        ret = -ESTALE;
    }
    return ret;
}

int mp4_flush(struct mp4 *m, const struct naming *naming, struct err *err)
{
    if (fragment_count(m->fragment) == 0) {
        return 0;
    }
    int ret = m->fd < 0 ? make_file(m, naming, err) : 0;
    if (ret < 0) {
        return ret;
    }
    lock_file(m);
    ret = write_and_sync(m);
    if (ret < 0) {
        /* Should this fail too, the next try writes over the torn end, and recovery cuts it off. */
        (void)!ftruncate(m->fd, (off_t)m->end);
        return err_set(err, ret, "cannot write '%s': %s", m->path, err_text(ret));
    }
    m->end = disk_offset(m->batch);
    m->sequence++;
    m->samples += fragment_count(m->fragment);
    fragment_clear(m->fragment);
    return 0;
}

unsigned mp4_pending(const struct mp4 *m)
{
    return fragment_count(m->fragment);
}

const struct frame *mp4_pending_frame(const struct mp4 *m, unsigned i)
{
    return fragment_frame(m->fragment, i);
}

const char *mp4_path(const struct mp4 *m)
{
    return m->path;
}

uint64_t mp4_samples(const struct mp4 *m)
{
    return m->samples;
}

uint64_t mp4_size(const struct mp4 *m)
{
    return (m->end ? m->end : m->header_size) + fragment_bytes(m->fragment);
}

uint64_t mp4_limit(const struct mp4 *m)
{
    return m->limit;
}

int64_t mp4_age_us(const struct mp4 *m, const struct frame *frame)
{
    return frame->capture_us - m->first_us;
}

int64_t mp4_gap_us(const struct mp4 *m, const struct frame *frame)
{
    return frame->capture_us - m->last_us;
}

void mp4_close(struct mp4 *m, struct mp4_closed *out)
{
    *out = (struct mp4_closed){
        .path = m->path, .fd = m->fd, .samples = m->samples, .last_duration = m->nominal
    };
    m->path = NULL;
    m->fd = -1;
    mp4_free(m);
}

void mp4_closed_finish(struct mp4_closed *c)
{
    if (c->path && c->fd >= 0) {
        close(c->fd);
    }
    free(c->path);
    *c = (struct mp4_closed){ .fd = -1 };
}
