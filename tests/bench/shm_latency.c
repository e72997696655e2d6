/* SPDX-License-Identifier: MIT */
/*
 * How long after a frame is published a reader is awake, in microseconds, as one line of JSON.
 *   shm_latency read NAME FRAMES  of a sender's frames
 *   shm_latency floor FRAMES FPS READERS  the least there is: one process wakes so many by a futex in
 *                                         shared memory, and nothing else is in it
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/shm.h"
#include "pcs/stats.h"

#define WARM_UP 30 /* frames: the reader comes to a stream that flows, and maps its memory */

static struct histogram waited;

static void print(uint64_t frames, uint64_t missed, uint64_t torn)
{
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "frames", (double)frames);
    cJSON_AddNumberToObject(o, "missed", (double)missed);
    cJSON_AddNumberToObject(o, "torn", (double)torn);
    cJSON_AddItemToObject(o, "awake_ms", histogram_json(&waited));
    summary_print(o);
}

static int read_frames(const char *name, uint64_t frames)
{
    struct pcs_shm *shm;
    struct pcs_shm_frame f;
    uint64_t got = 0, missed = 0, torn = 0;
    int code = pcs_shm_open(&shm, name, 0, 10000);
    if (code == 0) {
        (void)fprintf(stderr, "reading\n");
    }
    while (code == 0 && got < frames && (code = pcs_shm_next(shm, &f, 5000)) == 0) {
        int64_t now_us = clock_now_us();
        got++;
        missed += f.missed;
        torn += !pcs_shm_valid(shm, &f);
        if (got > WARM_UP) {
            histogram_add(&waited, now_us - f.published_us);
        }
    }
    if (code < 0) {
        (void)fprintf(stderr, "%s: %s\n", name, strerror(-code));
        return 1;
    }
    pcs_shm_close(shm);
    print(got, missed, torn);
    return 0;
}

struct word {
    _Atomic uint32_t wake;
    _Atomic int64_t published_us;
};

static long futex(struct word *w, int op, uint32_t value)
{
    return syscall(SYS_futex, &w->wake, op, value, NULL, NULL, 0);
}

static void wake_often(struct word *w, uint32_t frames, long fps)
{
    const struct timespec pause = { .tv_nsec = 1000000000L / fps };
    for (uint32_t i = 1; i <= frames; i++) {
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        atomic_store(&w->published_us, clock_now_us());
        atomic_store(&w->wake, i);
        (void)futex(w, FUTEX_WAKE, INT_MAX);
    }
}

static void wait_often(struct word *w, uint32_t frames, struct histogram *h)
{
    for (uint32_t seen = 0; seen < frames; seen = atomic_load(&w->wake)) {
        while (atomic_load(&w->wake) == seen) {
            (void)futex(w, FUTEX_WAIT, seen);
        }
        histogram_add(h, clock_now_us() - atomic_load(&w->published_us));
    }
}

/* One who wakes, and `count` who wait; the last of them is measured. */
static int floor_of(uint32_t frames, long fps, long count)
{
    struct word *w =
        mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (w == MAP_FAILED) {
        return 1;
    }
    for (long i = 0; i < count; i++) {
        if (fork() == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (i == 0) {
                wake_often(w, frames, fps);
            } else {
                wait_often(w, frames, &waited);
            }
            _exit(0);
        }
    }
    wait_often(w, frames, &waited);
    while (wait(NULL) > 0) {
        continue;
    }
    print(frames, 0, 0);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "read") == 0) {
        return read_frames(argv[2], strtoull(argv[3], NULL, 10));
    }
    if (argc == 5 && strcmp(argv[1], "floor") == 0 && atol(argv[3]) > 1) {
        return floor_of((uint32_t)atol(argv[2]), atol(argv[3]), atol(argv[4]));
    }
    (void)fprintf(stderr, "usage: shm_latency read NAME FRAMES | floor FRAMES FPS READERS\n");
    return 2;
}
