/* SPDX-License-Identifier: MIT */
/*
 * The reader's side: attach.c finds, checks and maps a segment, this waits for its frames.
 *
 * Waiting is FUTEX_WAIT on the producer's word, which read-only memory allows (Linux 3.1 and later). Nobody
 * wakes the readers of a producer that was killed: so a wait is cut into pieces of a second, and only when
 * nothing came in one of them, its lock is looked at.
 */
#include "pcs/shm.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"

#define LOOK_MS 1000

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t deadline_ms(int timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;
}

static int left_ms(int64_t deadline, int64_t now, int most)
{
    return deadline <= now ? 0 : deadline - now < most ? (int)(deadline - now) : most;
}

/* ---- life ---- */

int pcs_shm_open(struct pcs_shm **out, const char *name, unsigned flags, int timeout_ms)
{
    if (!name || flags & ~(unsigned)(PCS_SHM_OLDEST | PCS_SHM_NEWEST)) {
        return -EINVAL;
    }
    struct pcs_shm *shm = calloc(1, sizeof *shm);
    if (!shm) {
        return -ENOMEM;
    }
    shm->segment.fd = -1;
    shm->flags = flags;
    int code = segment_name(shm->name, sizeof shm->name, name);
    code = code < 0 ? code : pcs_shm_reopen(shm, timeout_ms);
    if (code < 0) {
        pcs_shm_close(shm);
        return code;
    }
    *out = shm;
    return 0;
}

int pcs_shm_reopen(struct pcs_shm *shm, int timeout_ms)
{
    segment_detach(&shm->segment);
    int code = segment_wait(&shm->segment, shm->name, deadline_ms(timeout_ms), now_ms);
    if (code == 0) {
        shm->attachment++;
        shm_reader_init(&shm->reader, shm->segment.map, shm->segment.readable, &shm->segment.head);
        shm->reader.oldest_first = shm->flags & PCS_SHM_OLDEST;
        shm->reader.newest_only = shm->flags & PCS_SHM_NEWEST;
        shm->looked_ms = now_ms();
    }
    return code;
}

void pcs_shm_close(struct pcs_shm *shm)
{
    if (shm) {
        segment_detach(&shm->segment);
        free(shm);
    }
}

void pcs_shm_get_producer(const struct pcs_shm *shm, struct pcs_shm_producer *out)
{
    const struct shm_head *head = &shm->segment.head;
    *out = (struct pcs_shm_producer){ .epoch = head->epoch,
                                      .started_us = head->started_us,
                                      .pid = head->pid,
                                      .uid = shm->segment.uid };
    memcpy(out->name, head->name, sizeof out->name);
    out->name[sizeof out->name - 1] = 0;
}

/* ---- frames ---- */

static void show(const struct pcs_shm *shm, const struct shm_slot *s, uint64_t missed,
                 struct pcs_shm_frame *f)
{
    const uint8_t *data = shm->reader.map + s->offset;
    *f = (struct pcs_shm_frame){
        .data = data,
        .size = s->size,
        .missed = missed,
        .number = s->number,
        .seq = s->seq,
        .capture_us = s->capture_us,
        .wall_us = s->wall_us,
        .published_us = s->published_us,
        .flags = s->flags,
        .fourcc = s->fourcc,
        .width = s->width,
        .height = s->height,
        .fps_num = s->fps_num,
        .fps_den = s->fps_den,
        .primaries = s->primaries,
        .transfer = s->transfer,
        .matrix = s->matrix,
        .full_range = s->full_range,
        .transform = s->transform,
        .plane_count = s->plane_count,
        .index = s->index,
        .attachment = shm->attachment,
    };
    for (uint32_t i = 0; i < s->plane_count; i++) {
        const struct shm_plane *p = &s->plane[i];
        f->plane[i] = (struct pcs_shm_plane){ data + p->offset, p->stride, p->row_bytes, p->rows };
    }
}

/* What is there, without waiting. */
static int take(struct pcs_shm *shm, struct pcs_shm_frame *frame)
{
    struct shm_slot slot;
    uint64_t missed = 0;
    int code = shm_reader_next(&shm->reader, &slot, &missed);
    if (code == -ERANGE) { /* the file has grown? */
        segment_measure(&shm->segment);
        shm->reader.limit = shm->segment.readable;
        code = shm_reader_next(&shm->reader, &slot, &missed);
    }
    if (code == 0) {
        show(shm, &slot, missed, frame);
    }
    return code == -ERANGE ? -EBADMSG : code;
}

/* Sleep until `wake` is not `seen` any more, but not for longer than `ms`. */
static int futex_wait(const _Atomic uint32_t *wake, uint32_t seen, int ms)
{
    const struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
#ifdef SYS_futex_time64 /* 32 bits: struct timespec has 64 of them in newer systems only */
    const long call = sizeof ts.tv_sec > 4 ? SYS_futex_time64 : SYS_futex;
#else
    const long call = SYS_futex;
#endif
    long code = syscall(call, wake, FUTEX_WAIT, seen, &ts, NULL, 0);
    return code < 0 && errno != EAGAIN ? -errno : 0;
}

static int gone(const struct pcs_shm *shm)
{
    return segment_replaced(&shm->segment, shm->name) ? -ESTALE : -EPIPE;
}

/* Nothing came for a while. 0: the producer lives. */
static int look_after_producer(struct pcs_shm *shm, int64_t now, struct pcs_shm_frame *frame)
{
    if (segment_alive(&shm->segment)) {
        shm->looked_ms = now;
        return -EAGAIN;
    }
    int code = take(shm, frame); /* its last one may have come just before */
    return code == -EAGAIN ? gone(shm) : code;
}

static int wait_for_frame(struct pcs_shm *shm, int64_t deadline, struct pcs_shm_frame *frame)
{
    int code;
    for (;;) {
        uint32_t seen = atomic_load_explicit(&shm->reader.head->wake, memory_order_acquire);
        code = take(shm, frame);
        if (code != -EAGAIN) {
            return code == -EPIPE ? gone(shm) : code;
        }
        int64_t now = now_ms();
        if (now - shm->looked_ms >= LOOK_MS &&
            (code = look_after_producer(shm, now, frame)) != -EAGAIN) {
            return code;
        }
        int ms = left_ms(deadline, now, LOOK_MS);
        if (ms == 0) {
            return -ETIMEDOUT;
        }
        code = futex_wait(&shm->reader.head->wake, seen, ms);
        if (code < 0 && code != -ETIMEDOUT) {
            return code;
        }
    }
}

int pcs_shm_next(struct pcs_shm *shm, struct pcs_shm_frame *frame, int timeout_ms)
{
    if (!shm->segment.map) {
        return -EPIPE;
    }
    int code = take(shm, frame);
    if (code == -EAGAIN) {
        code = wait_for_frame(shm, deadline_ms(timeout_ms), frame);
    } else if (code == -EPIPE) {
        code = gone(shm);
    }
    if (code == 0) {
        shm->looked_ms = now_ms(); /* no need to look: it lives */
    }
    return code;
}

int pcs_shm_valid(const struct pcs_shm *shm, const struct pcs_shm_frame *frame)
{
    return shm->segment.map && frame->attachment == shm->attachment &&
           shm_reader_valid(&shm->reader, frame->index);
}

int pcs_shm_copy(const struct pcs_shm *shm, const struct pcs_shm_frame *frame, void *to,
                 size_t size)
{
    if (frame->size > size) {
        return -ENOSPC;
    }
    if (!pcs_shm_valid(shm, frame)) {
        return -ENODATA;
    }
    memcpy(to, frame->data, (size_t)frame->size);
    return pcs_shm_valid(shm, frame) ? 0 : -ENODATA;
}
