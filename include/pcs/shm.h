/* SPDX-License-Identifier: MIT */
/*
 * libpcs_shm: the pictures of pi-camera-streamer (--shm, --shm-raw) in another program of the same
 * machine, in place, without a copy. Any number of readers; nothing they do, or cease to do, is felt by
 * the producer or by each other: they map its memory read-only. docs/shared-memory.md tells more, also
 * how the memory is laid out.
 *
 *     struct pcs_shm *shm;
 *     struct pcs_shm_frame frame;
 *     int code = pcs_shm_open(&shm, "/video_stream", 0, -1);
 *     while (code == 0 && (code = pcs_shm_next(shm, &frame, -1)) == 0) {
 *         use(frame.data, frame.size);
 *         if (!pcs_shm_valid(shm, &frame)) { what use() made of it is worthless }
 *     }
 *     pcs_shm_close(shm);
 *
 * Life: a frame's pointers lead into the producer's memory. They can be read until pcs_shm_reopen or
 * pcs_shm_close, also when the producer is gone; but it writes over its oldest frames without asking.
 * Memory order: all of a frame that pcs_shm_next returns is visible to the caller. What was read in
 * place counts only when pcs_shm_valid, called after the last look at it, says so; it has the fence that
 * this needs, no other is.
 * What is believed: nothing. No content of the memory leads outside of it, a wrong one is -EBADMSG. But
 * who may write it (its owner, root) can change bytes under a decoder, and make the file shorter, which
 * ends a reader by SIGBUS.
 * Threads: one reader object belongs to one thread at a time; pcs_shm_valid may be called from any.
 * Errors: 0 or a negative errno. Timeouts in milliseconds: 0 = do not wait, negative = for ever. A signal
 * handler ends a wait with -EINTR.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PCS_SHM_API __attribute__((visibility("default")))

struct pcs_shm;

enum pcs_shm_open_flags {
    PCS_SHM_OLDEST = 1, /* begin with the oldest frame there is; else with the newest key frame */
    PCS_SHM_NEWEST = 2, /* always the newest key frame next, if ahead (JPEG, raw: each is one) */
};

enum pcs_shm_frame_flags {
    PCS_SHM_KEY = 1,      /* decoding can start here; every JPEG and raw picture is one */
    PCS_SHM_STANDBY = 16, /* not the camera's: a picture that says that there is none */
};

enum pcs_shm_transform { /* what is still to be done to show it upright, in this order */
                         PCS_SHM_HFLIP = 1,
                         PCS_SHM_VFLIP = 2,
                         PCS_SHM_ROTATE = 4, /* a quarter turn clockwise */
};

struct pcs_shm_plane {
    const uint8_t *data;
    uint32_t stride, row_bytes, rows; /* row_bytes <= stride; stride * rows bytes are there */
};

struct pcs_shm_frame {
    const uint8_t *data;  /* H.264: an access unit in Annex B; JPEG: a picture; raw: all planes */
    uint64_t size;        /* 64 bytes of zeros follow, for decoders that read ahead */
    uint64_t missed;      /* frames between the last one returned and this one; exact */
    uint64_t number;      /* of the frame in this segment: 1, 2, 3 …, also those nobody saw */
    uint64_t seq;         /* in the camera's stream; a hole is a loss there */
    int64_t capture_us;   /* CLOCK_MONOTONIC */
    int64_t wall_us;      /* the same moment since the Unix epoch */
    int64_t published_us; /* CLOCK_MONOTONIC, when it could be read */
    uint32_t flags;       /* enum pcs_shm_frame_flags */
    uint32_t fourcc;      /* as in V4L2: 'H264', 'MJPG', 'YUYV', 'NV12' …, first letter lowest */
    uint32_t width, height, fps_num, fps_den;         /* 0/1: unknown rate */
    uint32_t primaries, transfer, matrix, full_range; /* code points of ITU-T H.273 */
    uint32_t transform;                               /* enum pcs_shm_transform */
    uint32_t plane_count;                             /* 0: compressed */
    struct pcs_shm_plane plane[3];
    uint32_t index, attachment; /* the library's */
    uint32_t reserved[6];
};

/*
 * Wait up to `timeout_ms` until a producer is there under that name (the slash in front may be missing),
 * and let it know that it has a reader: it encodes only then. 0; -ENOENT none came; -EACCES; -EINVAL name
 * or flags; -EBADMSG what is there is nothing of ours; -ENOTSUP another version's or byte order.
 */
PCS_SHM_API int pcs_shm_open(struct pcs_shm **out, const char *name, unsigned flags,
                             int timeout_ms);
PCS_SHM_API void pcs_shm_close(struct pcs_shm *shm); /* NULL is fine */

/*
 * The next frame: 0; -ETIMEDOUT; -EPIPE the producer has ended or vanished (noticed within a second) and
 * all its frames are read; -ESTALE the same, and there is a new one: reopen; -EBADMSG the memory is damaged.
 * Who is so slow that its next frame is written over goes on with the newest key frame (without one, with
 * the newest frame); `missed` says how many that cost.
 */
PCS_SHM_API int pcs_shm_next(struct pcs_shm *shm, struct pcs_shm_frame *frame, int timeout_ms);

/* 1 while no byte of the frame has been written over, else 0; also after a reopen. No system call. */
PCS_SHM_API int pcs_shm_valid(const struct pcs_shm *shm, const struct pcs_shm_frame *frame);

/* All bytes of the frame into `to`: 0; -ENOSPC `size` is too small; -ENODATA written over. */
PCS_SHM_API int pcs_shm_copy(const struct pcs_shm *shm, const struct pcs_shm_frame *frame, void *to,
                             size_t size);

/* Let go of this producer and wait for one under the same name, as pcs_shm_open does. On failure the
 * reader stays, without a producer: -EPIPE from then on; try again. */
PCS_SHM_API int pcs_shm_reopen(struct pcs_shm *shm, int timeout_ms);

struct pcs_shm_producer {
    uint64_t epoch;     /* another one for each start of a producer */
    int64_t started_us; /* since the Unix epoch */
    uint32_t pid;       /* as it sees itself */
    uint32_t uid;       /* whose the memory is, as the kernel says: anybody may take a free name */
    char name[64];      /* --name: what the camera is called */
};
PCS_SHM_API void pcs_shm_get_producer(const struct pcs_shm *shm, struct pcs_shm_producer *out);

#ifdef __cplusplus
}
#endif
