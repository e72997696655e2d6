/* SPDX-License-Identifier: MIT */
#include "shm_ring.h"

#include <errno.h>
#include <string.h>

#define ALIGN    64
#define TRIES    16    /* a reader that is overtaken so often in a row has no honest writer */
#define MAX_ROWS 65536 /* rows of no bytes would fit in any number */
#define SHARE    4     /* a frame may take this part of the ring */

#define LOAD(word, order)         atomic_load_explicit(&(word), memory_order_##order)
#define STORE(word, value, order) atomic_store_explicit(&(word), value, memory_order_##order)

/* GCC warns that its thread sanitizer does not know fences. It need not: it does not see that two mappings
 * are the same memory either. */
#if defined(__SANITIZE_THREAD__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

#define SLOT_OFFSET ((sizeof(struct shm_head) + ALIGN - 1) / ALIGN * ALIGN)
#define SLOT_WORDS  (sizeof(struct shm_slot) / sizeof(uint32_t))

/* Is index a before b? */
static bool before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static size_t align_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

size_t shm_payload_offset(uint32_t slot_count)
{
    return SLOT_OFFSET + slot_count * sizeof(struct shm_slot);
}

/* ---- writer ---- */

void shm_writer_init(struct shm_writer *w, void *map, const struct shm_plan *plan)
{
    struct shm_head *head = map;
    memset(w, 0, sizeof *w);
    w->map = map;
    w->head = head;
    w->slot_count = plan->slot_count;
    w->payload_offset = shm_payload_offset(plan->slot_count);
    w->written = w->oldest = plan->first_index;
    *head = (struct shm_head){ .magic = SHM_MAGIC,
                               .byte_order = SHM_BYTE_ORDER,
                               .version = SHM_VERSION,
                               .slot_offset = SLOT_OFFSET,
                               .slot_size = sizeof(struct shm_slot),
                               .slot_count = plan->slot_count,
                               .payload_offset = (uint32_t)w->payload_offset,
                               .map_size = plan->map_size,
                               .epoch = plan->epoch,
                               .started_us = plan->started_us,
                               .pid = plan->pid,
                               .written = plan->first_index,
                               .oldest = plan->first_index,
                               .key = plan->first_index - 1,
                               .first = plan->first_index };
    strncpy(head->name, plan->name, sizeof head->name - 1);
    shm_writer_resize(w, plan->ring_size);
}

/* Nobody may believe in frames before `oldest` any more: their memory is about to change. */
static void retire(struct shm_writer *w, uint32_t oldest)
{
    w->oldest = oldest;
    STORE(w->head->oldest, oldest, relaxed);
    atomic_thread_fence(memory_order_release);
}

void shm_writer_resize(struct shm_writer *w, size_t ring_size)
{
    retire(w, w->written);
    w->pos = 0;
    w->ring_size = ring_size / ALIGN * ALIGN;
    w->frame_max = w->ring_size / SHARE > SHM_SPARE ? w->ring_size / SHARE - SHM_SPARE : 0;
}

uint8_t *shm_writer_claim(struct shm_writer *w, size_t size)
{
    w->number++;
    if (size == 0 || size > w->frame_max) {
        return NULL;
    }
    size_t need = align_up(size + SHM_SPARE, ALIGN), at = w->pos % w->ring_size;
    if (at + need > w->ring_size) { /* in one piece: begin again in front */
        w->pos += w->ring_size - at;
    }
    uint64_t end = w->pos + need;
    uint32_t oldest = w->oldest;
    while (oldest != w->written && (end - w->begin[oldest % w->slot_count] > w->ring_size ||
                                    w->written - oldest >= w->slot_count)) {
        oldest++;
    }
    retire(w, oldest);
    return w->map + w->payload_offset + w->pos % w->ring_size;
}

static void store_slot(struct shm_writer *w, const struct shm_slot *slot)
{
    uint32_t words[SLOT_WORDS];
    size_t at = SLOT_OFFSET + (w->written % w->slot_count) * sizeof *slot;
    _Atomic uint32_t *to = (_Atomic uint32_t *)(void *)(w->map + at);
    memcpy(words, slot, sizeof words);
    for (size_t i = 0; i < SLOT_WORDS; i++) {
        STORE(to[i], words[i], relaxed);
    }
}

static void bump_wake(struct shm_writer *w)
{
    STORE(w->head->wake, ++w->wake, release);
}

void shm_writer_publish(struct shm_writer *w, struct shm_slot *slot, size_t size)
{
    size_t at = w->payload_offset + w->pos % w->ring_size;
    memset(w->map + at + size, 0, SHM_SPARE);
    slot->index = w->written;
    slot->number = w->number;
    slot->offset = at;
    slot->size = size;
    store_slot(w, slot);
    w->begin[w->written % w->slot_count] = w->pos;
    w->pos += align_up(size + SHM_SPARE, ALIGN);
    STORE(w->head->written, ++w->written, release);
    if (slot->flags & SHM_KEY) { /* after it: a key frame that is known of is there */
        STORE(w->head->key, slot->index, release);
    }
    bump_wake(w);
}

void shm_writer_skip(struct shm_writer *w, uint64_t frames)
{
    w->number += frames;
}

void shm_writer_pause(struct shm_writer *w)
{
    STORE(w->head->first, w->written, relaxed);
}

void shm_writer_end(struct shm_writer *w)
{
    STORE(w->head->ended, 1, release);
    bump_wake(w);
}

/* ---- reader ---- */

static bool known_kind(const struct shm_head *h)
{
    return h->byte_order == SHM_BYTE_ORDER && h->version == SHM_VERSION &&
           h->slot_size == sizeof(struct shm_slot);
}

int shm_head_check(const struct shm_head *h, uint64_t size)
{
    if (size < sizeof *h || memcmp(h->magic, SHM_MAGIC, sizeof h->magic) != 0) {
        return -EBADMSG;
    }
    if (!known_kind(h)) {
        return -ENOTSUP;
    }
    bool power = h->slot_count > 0 && (h->slot_count & (h->slot_count - 1)) == 0;
    if (!power || h->slot_count > SHM_SLOTS_MAX || h->slot_offset < sizeof *h ||
        h->slot_offset % sizeof(uint64_t) != 0) {
        return -EBADMSG;
    }
    uint64_t slots_end = h->slot_offset + (uint64_t)h->slot_count * sizeof(struct shm_slot);
    bool ordered = slots_end <= h->payload_offset && h->payload_offset <= size &&
                   h->payload_offset <= h->map_size && h->map_size <= SHM_MAP_MAX;
    return ordered ? 0 : -EBADMSG;
}

void shm_reader_init(struct shm_reader *r, const void *map, size_t limit,
                     const struct shm_head *head)
{
    *r = (struct shm_reader){ .map = map,
                              .head = map,
                              .limit = limit,
                              .slot_offset = head->slot_offset,
                              .slot_count = head->slot_count,
                              .payload_offset = head->payload_offset };
}

bool shm_reader_valid(const struct shm_reader *r, uint32_t index)
{
    atomic_thread_fence(memory_order_acquire);
    return !before(index, LOAD(r->head->oldest, relaxed));
}

static void load_slot(const struct shm_reader *r, struct shm_slot *out)
{
    uint32_t words[SLOT_WORDS];
    size_t at = r->slot_offset + (r->next % r->slot_count) * sizeof *out;
    const _Atomic uint32_t *from = (const _Atomic uint32_t *)(const void *)(r->map + at);
    for (size_t i = 0; i < SLOT_WORDS; i++) {
        words[i] = LOAD(from[i], relaxed);
    }
    memcpy(out, words, sizeof words);
}

static bool plane_fits(const struct shm_plane *p, uint64_t size)
{
    return p->offset <= size && (uint64_t)p->stride * p->rows <= size - p->offset &&
           p->row_bytes <= p->stride && p->rows <= MAX_ROWS;
}

/* Whatever it says, it may not lead outside. */
static int check_slot(const struct shm_reader *r, const struct shm_slot *s)
{
    bool ok = s->index == r->next && s->size > 0 && s->size <= SHM_MAP_MAX &&
              s->offset >= r->payload_offset && s->offset <= SHM_MAP_MAX &&
              s->plane_count <= SHM_PLANES && (!r->started || s->number > r->number);
    for (uint32_t i = 0; ok && i < s->plane_count; i++) {
        ok = plane_fits(&s->plane[i], s->size);
    }
    return !ok ? -EBADMSG : s->offset + s->size + SHM_SPARE > r->limit ? -ERANGE : 0;
}

struct window {
    uint32_t oldest, written, key; /* key: the newest, or `written` */
};

static bool inside(const struct window *w, uint32_t index)
{
    return index - w->oldest < w->written - w->oldest;
}

static int load_window(const struct shm_reader *r, struct window *w)
{
    /* In this order: what is seen of the others is never older than what is seen of `written`, and not
     * newer when that is still the same. */
    w->written = LOAD(r->head->written, acquire);
    w->key = LOAD(r->head->key, acquire);
    w->oldest = LOAD(r->head->oldest, acquire);
    if (LOAD(r->head->written, relaxed) != w->written || before(w->written, w->oldest)) {
        return -EAGAIN; /* the writer was faster */
    }
    if (!inside(w, w->key)) {
        w->key = w->written;
    }
    return w->written - w->oldest <= r->slot_count ? 0 : -EBADMSG;
}

/* Where a new reader begins. */
static uint32_t first_frame(const struct shm_reader *r, const struct window *w)
{
    uint32_t first = LOAD(r->head->first, relaxed);
    first = inside(w, first) || first == w->written ? first : w->oldest;
    if (r->oldest_first) {
        return first;
    }
    return before(w->key, first) ? w->written : w->key;
}

/* Move on to a frame that is there. */
static int place(struct shm_reader *r, const struct window *w)
{
    uint32_t newest = w->key != w->written ? w->key : w->written - 1;
    if (before(w->written, r->next)) {
        return -EBADMSG;
    }
    if (before(r->next, w->oldest)) {
        r->next = w->oldest == w->written ? w->written : newest;
    } else if (r->newest_only && w->key != w->written && before(r->next, w->key)) {
        r->next = w->key;
    }
    return 0;
}

static int nothing_new(const struct shm_reader *r)
{
    return LOAD(r->head->ended, acquire) ? -EPIPE : -EAGAIN;
}

/* Take the frame at r->next. -EAGAIN: it was just written over. */
static int take(struct shm_reader *r, struct shm_slot *out)
{
    load_slot(r, out);
    if (!shm_reader_valid(r, r->next)) {
        return -EAGAIN;
    }
    int code = check_slot(r, out);
    if (code == 0) {
        r->next++;
    }
    return code;
}

int shm_reader_next(struct shm_reader *r, struct shm_slot *out, uint64_t *missed)
{
    for (int i = 0; i < TRIES; i++) {
        struct window w;
        int code = load_window(r, &w);
        if (code == 0 && !r->started) {
            r->next = first_frame(r, &w);
        }
        code = code == 0 ? place(r, &w) : code;
        if (code == 0 && r->next == w.written) {
            return nothing_new(r);
        }
        code = code == 0 ? take(r, out) : code;
        if (code == 0) {
            *missed = r->started ? out->number - r->number - 1 : 0;
            r->number = out->number;
            r->started = true;
        }
        if (code != -EAGAIN) {
            return code;
        }
    }
    return -EBADMSG;
}
