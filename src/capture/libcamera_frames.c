/* SPDX-License-Identifier: MIT */
/*
 * A buffer goes round: queued → done (the listener, in libcamera's thread) → taken → a frame → queued
 * by whoever drops the last reference. What was cancelled while the camera runs is parked until
 * pictures come again: queueing it at once would spin when the device is dying.
 *
 * The CPU may read a buffer from its cache, which the camera's writing does not go through on most ARM
 * machines: DMA_BUF_IOCTL_SYNC around each reading, as the kernel's dma-buf documentation asks.
 */
#include "libcamera_frames.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcs/frame.h"

#define MAX_GAP 100000 /* a larger jump of sequence numbers is a counter's reset */

struct mapping {
    int from; /* libcamera's fd */
    int fd;   /* our own of the same: libcamera's may be closed while a frame is out */
    uint8_t *at;
    size_t size;
};

struct slot {
    struct frame frame;
    struct libcamera_frames *set;
    struct mapping mapping[LIBCAMERA_PLANES];
    unsigned mappings;
    const uint8_t *plane[FORMAT_MAX_PLANES];
    size_t size; /* of what lies together behind plane[0] */
    bool dmabuf; /* its mappings want to be told of each reading */
    bool whole;  /* the picture is one DMABUF from its beginning */
    unsigned index;
};

struct libcamera_frames {
    const struct libcamera_api *api;
    struct format format;
    int stride[FORMAT_MAX_PLANES];
    size_t least_bytes; /* of a raw picture's first plane */
    int event;
    struct slot slot[LIBCAMERA_BUFFERS];
    unsigned count;

    /* The source's. */
    bool parked[LIBCAMERA_BUFFERS];
    bool counting; /* `sequence` is valid */
    unsigned sequence;

    /* Guards camera, closed and refs; held while queueing, so that closing cannot come between. */
    pthread_mutex_t gate;
    struct libcamera_camera *camera;
    bool closed;
    unsigned refs; /* the source's and one per frame that is out */

    pthread_mutex_t lock; /* guards what libcamera's thread hands over */
    struct libcamera_done done[LIBCAMERA_BUFFERS];
    unsigned done_count;
    bool gone;
};

static void unmap_slot(struct slot *slot)
{
    for (unsigned i = 0; i < slot->mappings; i++) {
        munmap(slot->mapping[i].at, slot->mapping[i].size);
        close(slot->mapping[i].fd);
    }
}

static void destroy(struct libcamera_frames *f)
{
    for (unsigned i = 0; i < LIBCAMERA_BUFFERS; i++) {
        unmap_slot(&f->slot[i]);
    }
    if (f->event >= 0) {
        close(f->event);
    }
    pthread_mutex_destroy(&f->gate);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

struct libcamera_frames *libcamera_frames_new(const struct libcamera_api *api)
{
    struct libcamera_frames *f = calloc(1, sizeof *f);
    if (!f) {
        return NULL;
    }
    pthread_mutex_init(&f->gate, NULL);
    pthread_mutex_init(&f->lock, NULL);
    f->api = api;
    f->refs = 1;
    f->closed = true; /* until it is mapped */
    f->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (unsigned i = 0; i < LIBCAMERA_BUFFERS; i++) {
        f->slot[i].set = f;
        f->slot[i].index = i;
    }
    if (f->event < 0) {
        destroy(f);
        return NULL;
    }
    return f;
}

void libcamera_frames_unref(struct libcamera_frames *f)
{
    if (!f) {
        return;
    }
    pthread_mutex_lock(&f->gate);
    bool last = --f->refs == 0;
    pthread_mutex_unlock(&f->gate);
    if (last) {
        destroy(f);
    }
}

/* ---- libcamera's thread ---- */

static void wake(struct libcamera_frames *f)
{
    const uint64_t one = 1;
    (void)!write(f->event, &one, sizeof one); /* cannot fail but for an overflow: readable anyway */
}

static void on_completed(void *arg, const struct libcamera_done *done)
{
    struct libcamera_frames *f = arg;
    pthread_mutex_lock(&f->lock);
    /* Each buffer is queued at most once, so there is room. */
    if (f->done_count < LIBCAMERA_BUFFERS && done->index < LIBCAMERA_BUFFERS) {
        f->done[f->done_count++] = *done;
    }
    pthread_mutex_unlock(&f->lock);
    wake(f);
}

static void on_gone(void *arg)
{
    struct libcamera_frames *f = arg;
    pthread_mutex_lock(&f->lock);
    f->gone = true;
    pthread_mutex_unlock(&f->lock);
    wake(f);
}

struct libcamera_listener libcamera_frames_listener(struct libcamera_frames *f)
{
    return (struct libcamera_listener){ on_completed, on_gone, f };
}

int libcamera_frames_fd(const struct libcamera_frames *f)
{
    return f->event;
}

/* ---- mapping ---- */

static size_t end_of_fd(const struct libcamera_buffer *b, int fd)
{
    size_t end = 0;
    for (unsigned i = 0; i < b->planes; i++) {
        size_t last = b->plane[i].offset + b->plane[i].length;
        end = b->plane[i].fd == fd && last > end ? last : end;
    }
    return end;
}

/* Planes often share one fd, which is mapped once, up to the end of its last plane. */
static int map_fd(struct slot *slot, int fd, size_t size, struct mapping **out)
{
    for (unsigned i = 0; i < slot->mappings; i++) {
        if (slot->mapping[i].from == fd) {
            *out = &slot->mapping[i];
            return 0;
        }
    }
    struct mapping *m = &slot->mapping[slot->mappings];
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    void *at = own < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ, MAP_SHARED, own, 0);
    if (at == MAP_FAILED) {
        int code = -errno;
        if (own >= 0) {
            close(own);
        }
        return code;
    }
    *m = (struct mapping){ fd, own, at, size };
    slot->mappings++;
    *out = m;
    return 0;
}

static bool sync_reading(const struct slot *slot, uint64_t what)
{
    struct dma_buf_sync arg = { .flags = what | DMA_BUF_SYNC_READ };
    bool done = true;
    for (unsigned i = 0; i < slot->mappings; i++) {
        done &= ioctl(slot->mapping[i].fd, DMA_BUF_IOCTL_SYNC, &arg) == 0;
    }
    return done;
}

/* Only a DMABUF knows this call. */
static bool is_dmabuf(const struct slot *slot)
{
    return sync_reading(slot, DMA_BUF_SYNC_START) && sync_reading(slot, DMA_BUF_SYNC_END);
}

/* Each plane in its place of the buffer, or all of them, one behind the other, in its only one. */
static int lay_planes(struct libcamera_frames *f, struct slot *slot,
                      const struct libcamera_buffer *b)
{
    size_t offset[FORMAT_MAX_PLANES + 1] = { 0 };
    int planes = format_info(f->format.id)->planes;
    size_t size = format_layout(&f->format, f->stride[0], offset, f->stride);
    offset[planes] = size;
    bool together = true;
    for (int i = 0; i < planes; i++) {
        unsigned k = b->planes == 1 ? 0 : (unsigned)i;
        size_t skip = b->planes == 1 ? offset[i] : 0;
        struct mapping *m;
        if (k >= b->planes || b->plane[k].length < skip + offset[i + 1] - offset[i]) {
            return -ENOBUFS;
        }
        int code = map_fd(slot, b->plane[k].fd, end_of_fd(b, b->plane[k].fd), &m);
        if (code < 0) {
            return code;
        }
        slot->plane[i] = m->at + b->plane[k].offset + skip;
        together = together && slot->plane[i] == slot->plane[0] + offset[i];
    }
    slot->size = together ? size : offset[1];
    slot->whole = together && slot->plane[0] == slot->mapping[0].at;
    return 0;
}

static int map_slot(struct libcamera_frames *f, struct slot *slot, const struct libcamera_buffer *b)
{
    struct mapping *m;
    int code = b->planes == 0 ? -ENOBUFS : 0;
    if (code == 0 && !format_info(f->format.id)->compressed) {
        code = lay_planes(f, slot, b);
    } else if (code == 0) {
        code = map_fd(slot, b->plane[0].fd, end_of_fd(b, b->plane[0].fd), &m);
        slot->plane[0] = code == 0 ? m->at + b->plane[0].offset : NULL;
        slot->size = b->plane[0].length;
    }
    slot->dmabuf = code == 0 && is_dmabuf(slot);
    slot->whole &= slot->dmabuf;
    return code;
}

/* What a whole first plane has at least: its last row may lack the padding. */
static size_t least_of(const struct format *f, int stride)
{
    size_t offset[FORMAT_MAX_PLANES] = { 0 };
    int tight[FORMAT_MAX_PLANES];
    return format_layout(f, 0, offset, tight) == 0
               ? 1
               : (size_t)stride * (size_t)(f->height - 1) + (size_t)tight[0];
}

int libcamera_frames_map(struct libcamera_frames *f, struct libcamera_camera *camera,
                         const struct libcamera_buffer *buffers, unsigned count,
                         const struct format *format, int stride)
{
    int code = count < 2 ? -ENOMEM : 0;
    f->format = *format;
    f->stride[0] = stride;
    f->least_bytes = least_of(format, stride);
    f->count = count;
    for (unsigned i = 0; code == 0 && i < count; i++) {
        code = map_slot(f, &f->slot[i], &buffers[i]);
    }
    if (code == 0) {
        pthread_mutex_lock(&f->gate);
        f->camera = camera;
        f->closed = false;
        pthread_mutex_unlock(&f->gate);
    }
    return code;
}

/* ---- going round ---- */

static int queue(struct libcamera_frames *f, unsigned index)
{
    pthread_mutex_lock(&f->gate);
    int code = f->closed ? 0 : f->api->queue(f->camera, index);
    pthread_mutex_unlock(&f->gate);
    return code;
}

int libcamera_frames_queue_all(struct libcamera_frames *f)
{
    int code = 0;
    for (unsigned i = 0; code == 0 && i < f->count; i++) {
        code = queue(f, i);
    }
    return code;
}

void libcamera_frames_close(struct libcamera_frames *f)
{
    pthread_mutex_lock(&f->gate);
    f->closed = true;
    pthread_mutex_unlock(&f->gate);
}

static void give_back(struct frame *frame)
{
    struct slot *slot = frame->owner;
    if (slot->dmabuf) {
        (void)sync_reading(slot, DMA_BUF_SYNC_END);
    }
    (void)queue(slot->set, slot->index); /* a lost camera is noticed where it is read */
    libcamera_frames_unref(slot->set);
}

static bool is_good(const struct libcamera_frames *f, const struct libcamera_done *d)
{
    if (!d->ok || d->index >= f->count) {
        return false;
    }
    if (format_info(f->format.id)->compressed) {
        return d->bytes > 0 && d->bytes <= f->slot[d->index].size;
    }
    return d->bytes == 0 || d->bytes >= f->least_bytes; /* some cameras do not say */
}

/* Pictures that the camera had no buffer for, by the hole they leave in its count. */
static unsigned count_gap(struct libcamera_frames *f, unsigned sequence)
{
    unsigned gap = sequence - f->sequence - 1;
    bool valid = f->counting && gap < MAX_GAP;
    f->counting = true;
    f->sequence = sequence;
    return valid ? gap : 0;
}

static void refuse(struct libcamera_frames *f, const struct libcamera_done *d, unsigned *lost)
{
    if (d->cancelled && d->index < f->count) {
        f->parked[d->index] = true;
        return;
    }
    (void)queue(f, d->index);
    ++*lost;
}

static void unpark(struct libcamera_frames *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        if (f->parked[i]) {
            f->parked[i] = false;
            (void)queue(f, i);
        }
    }
}

/* What libcamera's thread has handed over. */
static unsigned collect(struct libcamera_frames *f, struct libcamera_done done[LIBCAMERA_BUFFERS],
                        bool *gone)
{
    uint64_t count;
    (void)!read(f->event, &count, sizeof count); /* before looking, so that nothing is missed */
    pthread_mutex_lock(&f->lock);
    unsigned n = f->done_count;
    for (unsigned i = 0; i < n; i++) {
        done[i] = f->done[i];
    }
    f->done_count = 0;
    *gone = f->gone;
    pthread_mutex_unlock(&f->lock);
    return n;
}

int libcamera_frames_take(struct libcamera_frames *f, struct libcamera_done *done, unsigned *lost)
{
    struct libcamera_done all[LIBCAMERA_BUFFERS];
    const struct libcamera_done *newest = NULL;
    bool gone;
    unsigned count = collect(f, all, &gone);
    for (unsigned i = 0; i < count; i++) {
        const struct libcamera_done *d = &all[i];
        *lost += d->cancelled ? 0 : count_gap(f, d->sequence);
        if (!is_good(f, d)) {
            refuse(f, d, lost);
            continue;
        }
        if (newest) {
            (void)queue(f, newest->index);
            ++*lost;
        }
        newest = d;
    }
    if (!newest) {
        return gone ? -ENODEV : -EAGAIN;
    }
    unpark(f);
    *done = *newest;
    return 0;
}

struct frame *libcamera_frames_wrap(struct libcamera_frames *f, const struct libcamera_done *done)
{
    struct slot *slot = &f->slot[done->index];
    bool compressed = format_info(f->format.id)->compressed;
    /* Taken under the lock also for what it orders: the last reader of this slot's frame queued it
     * under the same lock, so its reads are over before we write the frame again. */
    pthread_mutex_lock(&f->gate);
    f->refs++;
    pthread_mutex_unlock(&f->gate);
    if (slot->dmabuf) {
        (void)sync_reading(slot, DMA_BUF_SYNC_START);
    }
    frame_init(&slot->frame, give_back, slot);
    slot->frame.format = f->format;
    slot->frame.flags = FRAME_DRIVER | FRAME_KEY;
    slot->frame.data = slot->plane[0];
    slot->frame.size = compressed ? done->bytes : slot->size;
    slot->frame.dmabuf_fd = slot->whole ? slot->mapping[0].fd : -1;
    for (int i = 0; !compressed && i < format_info(f->format.id)->planes; i++) {
        slot->frame.plane[i] = slot->plane[i];
        slot->frame.stride[i] = f->stride[i];
    }
    return &slot->frame;
}
