/* SPDX-License-Identifier: MIT */
/*
 * Frames in shared memory: one writer, any number of readers that may only read. Pure: memory in, structs
 * out; who maps it, waits and wakes is elsewhere (src/sinks/shm_segment.c, src/shm). Nothing of common is
 * used here, because the library for other programs is made of it.
 *
 *     head | table of slots | payload: a ring of bytes, each frame in one piece
 *
 * Frames have an index, modulo 2^32; frame i is described by slot i modulo slot_count. Those that can be
 * read are [oldest, written). Before the writer touches a byte or a slot of a frame, it takes it out of
 * there:
 *     writer  oldest = n; fence(release); write bytes and slot; written = m (release)
 *     reader  m = written (acquire); read slot and bytes; fence(acquire); is oldest still <= i?
 * Who has read a byte of the new frame sees the new `oldest` behind the fence, too. That is a seqlock whose
 * one counter guards all frames. All shared words have 32 bits: on 32-bit ARM a load of 64 bits may be a
 * write, which read-only memory answers with SIGSEGV.
 *
 * The writer never reads what it wrote, so nobody can lead it astray.
 *
 * Life: structs of the caller's. Threads: a writer, and each reader, belongs to one at a time.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_MAGIC      "pcs-shm" /* 8 bytes with its zero */
#define SHM_VERSION    1
#define SHM_BYTE_ORDER UINT32_C(0x01020304)
#define SHM_PLANES     3
#define SHM_SPARE      64   /* zeros behind each frame */
#define SHM_SLOTS_MAX  1024 /* a power of two, as every slot_count */
#define SHM_MAP_MAX    ((uint64_t)1 << 30)

/* Bytes of the file that are locked (F_OFD_SETLK): for writing by the producer as long as it lives, for
 * reading by each reader. */
enum shm_lock { SHM_LOCK_PRODUCER, SHM_LOCK_READERS };

struct shm_head {
    char magic[8];
    uint32_t byte_order, version;
    uint32_t slot_offset, slot_size, slot_count, payload_offset;
    uint64_t map_size; /* what to map; the file may be shorter, and grow */
    uint64_t epoch;
    int64_t started_us;
    uint32_t pid, reserved;
    char name[64];
    /* What changes, from offset 128 on. */
    _Atomic uint32_t wake; /* changes with every frame and at the end: the futex */
    _Atomic uint32_t written, oldest;
    _Atomic uint32_t
        key; /* the newest key frame, behind `written`; none unless in [oldest, written) */
    _Atomic uint32_t first; /* who begins takes none before it: it is of an earlier time */
    _Atomic uint32_t ended;
};
_Static_assert(offsetof(struct shm_head, wake) == 128 && sizeof(struct shm_head) == 152,
               "the same for 32 and 64 bits");

struct shm_plane {
    uint64_t offset; /* from the frame's first byte */
    uint32_t stride, row_bytes, rows, reserved;
};

struct shm_slot {
    uint64_t offset, size; /* from the segment's first byte */
    uint64_t number, seq;
    int64_t capture_us, wall_us, published_us;
    uint32_t index, flags, fourcc, width, height, fps_num, fps_den;
    uint32_t primaries, transfer, matrix, full_range, transform;
    uint32_t plane_count, reserved;
    struct shm_plane plane[SHM_PLANES];
    uint32_t reserved2[2];
};
_Static_assert(sizeof(struct shm_slot) == 192, "the same for 32 and 64 bits");

enum shm_frame_flags { SHM_KEY = 1, SHM_STANDBY = 16 };

/* ---- writer ---- */

struct shm_writer {
    uint8_t *map;
    struct shm_head *head;
    size_t payload_offset, ring_size, frame_max;
    uint32_t slot_count, written, oldest, wake;
    uint64_t number; /* of the newest frame offered */
    uint64_t pos;    /* bytes claimed since the ring began, with what was skipped */
    uint64_t begin[SHM_SLOTS_MAX];
};

struct shm_plan {
    size_t map_size, ring_size; /* ring_size: what is used of it at first */
    uint32_t slot_count, first_index, pid;
    uint64_t epoch;
    int64_t started_us;
    const char *name;
};

/* Where the payload begins for so many slots. */
size_t shm_payload_offset(uint32_t slot_count);
/* Memory for `plan` is at `map`, zeroed. */
void shm_writer_init(struct shm_writer *w, void *map, const struct shm_plan *plan);
/* From now on use so much; all frames are gone. */
void shm_writer_resize(struct shm_writer *w, size_t ring_size);
/* Room for the next frame, or NULL when it is too large: then readers count it as missed. */
uint8_t *shm_writer_claim(struct shm_writer *w, size_t size);
/* What was claimed is filled. Takes index, number, offset and size into `slot` and publishes it. */
void shm_writer_publish(struct shm_writer *w, struct shm_slot *slot, size_t size);
void shm_writer_skip(struct shm_writer *w, uint64_t frames); /* so many never came here */
void shm_writer_pause(struct shm_writer *w);                 /* who begins now waits for the next */
void shm_writer_end(struct shm_writer *w);

/* ---- reader ---- */

struct shm_reader {
    const uint8_t *map;
    const struct shm_head *head;
    size_t limit; /* bytes that can be read: of the file and the map, whatever is less */
    uint32_t slot_offset, slot_count, payload_offset, next;
    uint64_t number; /* of the frame returned last */
    bool started, oldest_first, newest_only;
};

/* Is this a segment's head, and consistent? 0, -EBADMSG or -ENOTSUP. `size`: of the file. */
int shm_head_check(const struct shm_head *head, uint64_t size);
/* `head`: a copy that was checked. */
void shm_reader_init(struct shm_reader *r, const void *map, size_t limit,
                     const struct shm_head *head);
/* 0; -EAGAIN nothing new; -EPIPE nothing new will come; -EBADMSG; -ERANGE it lies beyond `limit`. */
int shm_reader_next(struct shm_reader *r, struct shm_slot *out, uint64_t *missed);
bool shm_reader_valid(const struct shm_reader *r, uint32_t index);
