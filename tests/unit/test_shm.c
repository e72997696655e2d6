/* SPDX-License-Identifier: MIT */
/*
 * The library against a real segment. Writer and readers are threads here, each with a mapping of its own,
 * so that the sanitizers watch both; what only processes can do (being killed) is done by a child.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/shm.h"
#include "sinks/shm_segment.h"

#define KB      ((size_t)1024)
#define LONG_MS 10000 /* a wait that ends sooner, or the test fails */

static char name[40];

static struct shm_segment *produce(size_t map_size)
{
    struct shm_segment *s;
    struct err err = { 0 };
    const struct shm_segment_plan plan = { .name = name,
                                           .camera = "door",
                                           .map_size = map_size,
                                           .slot_count = map_size > 256 * KB ? 1024 : 64 };
    if (shm_segment_open(&s, &plan, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return s;
}

static void put(struct shm_segment *s, uint64_t seq, size_t size)
{
    struct shm_slot slot = { .seq = seq, .flags = SHM_KEY, .fourcc = 0x47504A4D };
    struct shm_writer *w = shm_segment_writer(s);
    uint8_t *to = shm_writer_claim(w, size);
    if (to) {
        memset(to, (uint8_t)seq, size);
        slot.published_us = clock_now_us();
        shm_writer_publish(w, &slot, size);
        shm_segment_wake(s);
    }
}

static struct pcs_shm *attach(unsigned flags)
{
    struct pcs_shm *shm;
    assert_int_equal(pcs_shm_open(&shm, name, flags, LONG_MS), 0);
    return shm;
}

/* Are all its bytes those of one frame, and which? */
static bool whole(const struct pcs_shm_frame *f)
{
    for (size_t i = 0; i < f->size; i++) {
        if (f->data[i] != (uint8_t)f->seq) {
            return false;
        }
    }
    return true;
}

static void names(void **state)
{
    (void)state;
    struct pcs_shm *shm;
    static const char *const bad[] = { "", "/", "a/b", ".", "/..", "//x" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(pcs_shm_open(&shm, bad[i], 0, 0), -EINVAL);
    }
    char lengthy[300] = { 0 };
    memset(lengthy, 'x', sizeof lengthy - 1);
    assert_int_equal(pcs_shm_open(&shm, lengthy, 0, 0), -EINVAL);
    assert_int_equal(pcs_shm_open(&shm, NULL, 0, 0), -EINVAL);
    assert_int_equal(pcs_shm_open(&shm, name, 64, 0), -EINVAL);
    assert_int_equal(pcs_shm_open(&shm, name, 0, 0), -ENOENT);
    assert_int_equal(pcs_shm_open(&shm, name, 0, 30), -ENOENT);
}

static void one_frame(void **state)
{
    (void)state;
    struct shm_segment *s = produce(256 * KB);
    struct pcs_shm *shm = attach(0), *other = NULL;
    struct pcs_shm_frame f;
    struct pcs_shm_producer p;
    uint8_t copy[100];
    pcs_shm_get_producer(shm, &p);
    assert_string_equal(p.name, "door");
    assert_int_equal(p.pid, getpid());
    assert_int_equal(p.uid, getuid());
    assert_int_equal(pcs_shm_next(shm, &f, 0), -ETIMEDOUT);
    assert_int_equal(pcs_shm_next(shm, &f, 20), -ETIMEDOUT);
    put(s, 5, 100);
    assert_int_equal(pcs_shm_next(shm, &f, 0), 0);
    assert_int_equal(f.seq, 5);
    assert_int_equal(f.number, 1);
    assert_int_equal(f.fourcc, 0x47504A4D);
    assert_true(whole(&f) && pcs_shm_valid(shm, &f));
    assert_int_equal(pcs_shm_copy(shm, &f, copy, 99), -ENOSPC);
    assert_int_equal(pcs_shm_copy(shm, &f, copy, 100), 0);
    assert_memory_equal(copy, f.data, 100);
    for (uint64_t i = 6; i < 80; i++) {
        put(s, i, 100);
    }
    assert_false(pcs_shm_valid(shm, &f));
    assert_int_equal(pcs_shm_copy(shm, &f, copy, 100), -ENODATA);
    assert_int_equal(pcs_shm_open(&other, name + 1, PCS_SHM_OLDEST, 0), 0);
    assert_int_equal(pcs_shm_next(other, &f, 0), 0);
    assert_int_equal(f.seq, 16);
    assert_int_equal(f.missed, 0);
    pcs_shm_close(other);
    shm_segment_close(s);
    assert_int_equal(pcs_shm_next(shm, &f, LONG_MS), 0); /* what is there can still be read */
    assert_int_equal(f.seq, 79);
    assert_int_equal(f.missed, 73);
    assert_int_equal(pcs_shm_next(shm, &f, LONG_MS), -EPIPE);
    assert_int_equal(pcs_shm_reopen(shm, 0), -ENOENT);
    assert_int_equal(pcs_shm_next(shm, &f, LONG_MS), -EPIPE);
    assert_false(pcs_shm_valid(shm, &f));
    pcs_shm_close(shm);
}

static void readers_are_known(void **state)
{
    (void)state;
    struct shm_segment *s = produce(256 * KB);
    assert_false(shm_segment_has_reader(s));
    struct pcs_shm *a = attach(0), *b = attach(0);
    assert_true(shm_segment_has_reader(s));
    pcs_shm_close(a);
    assert_true(shm_segment_has_reader(s));
    pcs_shm_close(b);
    assert_false(shm_segment_has_reader(s));
    shm_segment_close(s);
}

/* ---- many at once ---- */

struct run {
    pthread_t thread;
    bool slow;
    _Atomic uint64_t last;
    uint64_t got, missed, torn, valid;
};

static void *read_all(void *arg)
{
    struct run *r = arg;
    struct pcs_shm_frame f;
    struct pcs_shm *shm;
    if (pcs_shm_open(&shm, name, PCS_SHM_OLDEST, LONG_MS) < 0) {
        r->last = UINT64_MAX; /* nobody waits for it */
        return NULL;
    }
    while (pcs_shm_next(shm, &f, LONG_MS) == 0) {
        bool same = whole(&f) && (!r->slow || (sched_yield() == 0 && whole(&f)));
        bool valid = pcs_shm_valid(shm, &f);
        r->got++;
        r->missed += f.missed;
        r->last = f.seq;
        r->valid += valid;
        r->torn += valid && !same;
    }
    pcs_shm_close(shm);
    return NULL;
}

/* As a camera does: whoever reads is never half a ring behind. */
static void wait_for_all(struct run *runs, size_t count, uint64_t seq)
{
    for (size_t i = 0; i < count; i++) {
        while (runs[i].last < seq) {
            sched_yield();
        }
    }
}

static void flood(size_t map_size, uint64_t frames, struct run *runs, size_t count, bool gentle)
{
    struct shm_segment *s = produce(map_size);
    for (size_t i = 0; i < count; i++) {
        (void)pthread_create(&runs[i].thread, NULL, read_all, &runs[i]);
    }
    for (uint64_t i = 1; i <= frames; i++) {
        put(s, i, 1 + i * 37 % 3000);
        if (gentle && i > 30) {
            wait_for_all(runs, count, i - 30);
        }
    }
    for (size_t i = 0; i < count; i++) {
        while (!shm_segment_has_reader(s)) {
            sched_yield(); /* those that have not begun would wait for another producer */
        }
    }
    put(s, frames + 1, 1);
    shm_segment_close(s);
    for (size_t i = 0; i < count; i++) {
        (void)pthread_join(runs[i].thread, NULL);
    }
}

/* However fast it is: what is said to be valid is whole, and what is missed is counted. */
static void readers_that_are_too_slow(void **state)
{
    (void)state;
    struct run runs[4] = { { .slow = true }, { .slow = false }, { .slow = true } };
    flood(64 * KB, 20000, runs, 4, false);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(runs[i].torn, 0);
        assert_true(runs[i].got > 0);
        assert_true(runs[i].got + runs[i].missed <= 20001);
        assert_int_equal(runs[i].last, 20001);
    }
}

/* There is room for all, as there is in a real one for many seconds: no reader is too slow for that. */
static void ten_readers_miss_nothing(void **state)
{
    (void)state;
    struct run runs[10] = { 0 };
    flood(2048 * KB, 500, runs, 10, true);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(runs[i].torn, 0);
        assert_int_equal(runs[i].missed, 0);
        assert_int_equal(runs[i].valid, runs[i].got);
        assert_int_equal(runs[i].last, 501);
    }
}

/* ---- producers come and go ---- */

/* A producer in a child: says so by `ready`, puts one frame, and sleeps until it is killed. */
static pid_t produce_elsewhere(void)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct shm_segment *s = produce(256 * KB);
        put(s, 1, 100);
        (void)!write(ready[1], "x", 1);
        for (;;) {
            pause();
        }
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    return pid;
}

static void kill_it(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void vanished_and_restarted(void **state)
{
    (void)state;
    struct pcs_shm_producer first, second;
    struct pcs_shm_frame f;
    uint8_t copy[100];
    pid_t pid = produce_elsewhere();
    struct pcs_shm *shm = attach(0);
    pcs_shm_get_producer(shm, &first);
    assert_int_equal(pcs_shm_next(shm, &f, LONG_MS), 0);
    kill_it(pid);
    int64_t began_us = clock_now_us();
    assert_int_equal(pcs_shm_next(shm, &f, -1), -EPIPE);
    assert_true(clock_now_us() - began_us < 3 * CLOCK_S);
    assert_int_equal(pcs_shm_next(shm, &f, 0), -EPIPE);
    assert_true(pcs_shm_valid(shm, &f)); /* the memory is still there */

    pid = produce_elsewhere(); /* in place of what is left */
    assert_int_equal(pcs_shm_next(shm, &f, LONG_MS), -ESTALE);
    assert_int_equal(pcs_shm_reopen(shm, LONG_MS), 0);
    assert_false(pcs_shm_valid(shm, &f)); /* its memory is gone */
    assert_int_equal(pcs_shm_copy(shm, &f, copy, sizeof copy), -ENODATA);
    pcs_shm_get_producer(shm, &second);
    assert_int_not_equal(first.epoch, second.epoch);
    assert_int_equal(second.pid, pid);
    assert_int_equal(pcs_shm_next(shm, &f, LONG_MS), 0);
    kill_it(pid);
    struct pcs_shm *late;
    assert_int_equal(pcs_shm_open(&late, name, 0, 0),
                     -ENOENT); /* it is there, but nobody behind it */
    pcs_shm_close(shm);
    shm_segment_close(produce(256 * KB));
    assert_int_equal(shm_unlink(name), -1);
}

static void *come_later(void *arg)
{
    (void)usleep(100000); /* the reader waits already, or the test says less */
    return arg ? produce(256 * KB) : NULL;
}

static void a_reader_may_come_first(void **state)
{
    (void)state;
    pthread_t thread;
    void *s;
    assert_int_equal(pthread_create(&thread, NULL, come_later, name), 0);
    struct pcs_shm *shm = attach(0);
    assert_int_equal(pthread_join(thread, &s), 0);
    shm_segment_close(s);
    pcs_shm_close(shm);
}

static void names_that_are_taken(void **state)
{
    (void)state;
    struct shm_segment *first = produce(256 * KB), *second = NULL;
    struct err err;
    const struct shm_segment_plan plan = {
        .name = name, .camera = "x", .map_size = 256 * KB, .slot_count = 64
    };
    assert_int_equal(shm_segment_open(&second, &plan, &err), -EBUSY);
    struct pcs_shm *shm = attach(0);
    put(first, 1, 10);
    struct pcs_shm_frame f;
    assert_int_equal(pcs_shm_next(shm, &f, 0), 0);
    pcs_shm_close(shm);
    shm_segment_close(first);

    int fd = shm_open(name, O_CREAT | O_RDWR, 0600); /* somebody else's */
    assert_int_equal(write(fd, "precious", 8), 8);
    (void)close(fd);
    assert_int_equal(shm_segment_open(&second, &plan, &err), -EEXIST);
    assert_non_null(strstr(err.text, name));
    assert_int_equal(pcs_shm_open(&shm, name, 0, LONG_MS), -EBADMSG);
    assert_int_equal(shm_unlink(name), 0);
}

static void only_for_the_group(void **state)
{
    (void)state;
    struct stat st;
    char path[80];
    struct shm_segment *s = produce(256 * KB);
    (void)snprintf(path, sizeof path, "/dev/shm%s", name);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_true(st.st_blocks * 512 >= 256 * 1024); /* reserved, not promised */
    shm_segment_close(s);
}

/* ---- the file grows while it is mapped; what it was cut by ---- */

static void a_ring_that_grows(void **state)
{
    (void)state;
    struct shm_segment *s;
    struct pcs_shm_frame f;
    const struct shm_segment_plan plan = {
        .name = name, .camera = "x", .map_size = 4096 * KB, .ring_size = 4 * KB, .slot_count = 16
    };
    assert_int_equal(shm_segment_open(&s, &plan, NULL), 0);
    struct pcs_shm *shm = attach(0);
    put(s, 1, 500);
    assert_int_equal(pcs_shm_next(shm, &f, 0), 0);
    assert_int_equal(shm_segment_resize(s, 2048 * KB), 0);
    for (uint64_t i = 2; i < 9; i++) {
        put(s, i, 500 * KB);
        assert_int_equal(pcs_shm_next(shm, &f, 0), 0);
        assert_true(f.seq == i && f.missed == 0 && whole(&f));
    }
    pcs_shm_close(shm);
    shm_segment_close(s);
}

static int begin(void **state)
{
    (void)state;
    (void)snprintf(name, sizeof name, "/pcs-test-%d", (int)getpid());
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(one_frame),
        cmocka_unit_test(readers_are_known),
        cmocka_unit_test(readers_that_are_too_slow),
        cmocka_unit_test(ten_readers_miss_nothing),
        cmocka_unit_test(vanished_and_restarted),
        cmocka_unit_test(a_reader_may_come_first),
        cmocka_unit_test(names_that_are_taken),
        cmocka_unit_test(only_for_the_group),
        cmocka_unit_test(a_ring_that_grows),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
