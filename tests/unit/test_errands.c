/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/errands.h"
#include "pcs/thread.h"

#define MANY 1000

struct mine {
    struct errand errand; /* first */
    int *order;
    int number, runs, called_off;
};

static void run(struct errand *errand, bool called_off)
{
    struct mine *m = (struct mine *)errand;
    m->runs++;
    m->called_off += called_off;
    if (m->order) {
        assert_int_equal((*m->order)++, m->number);
    }
}

static bool is_called(const struct errands *e)
{
    struct pollfd fd = { .fd = errands_fd(e), .events = POLLIN };
    return poll(&fd, 1, 0) == 1;
}

static void they_are_run_in_their_order(void **state)
{
    struct errands *e = errands_new();
    int order = 0;
    struct mine m[3] = { { { 0 } } };
    (void)state;
    assert_false(is_called(e));
    for (int i = 0; i < 3; i++) {
        m[i] = (struct mine){ .errand.run = run, .order = &order, .number = i };
        assert_true(errands_put(e, &m[i].errand));
    }
    assert_true(is_called(e));
    errands_run(e);
    assert_int_equal(order, 3);
    assert_false(is_called(e));
    errands_run(e); /* none */
    errands_free(e);
}

static void what_is_left_is_called_off(void **state)
{
    struct errands *e = errands_new();
    struct mine one = { .errand.run = run }, two = { .errand.run = run };
    (void)state;
    assert_true(errands_put(e, &one.errand));
    errands_close(e);
    assert_int_equal(one.runs, 1);
    assert_int_equal(one.called_off, 1);
    assert_false(errands_put(e, &two.errand));
    errands_close(e);
    assert_int_equal(two.runs, 0);
    errands_free(e);
    errands_free(NULL);
}

struct putter {
    struct errands *errands;
    struct mine m[MANY];
    int taken;
};

static void put_many(void *arg)
{
    struct putter *p = arg;
    for (int i = 0; i < MANY; i++) {
        p->m[i].errand.run = run;
        p->taken += errands_put(p->errands, &p->m[i].errand);
    }
}

static void many_threads_may_put(void **state)
{
    static struct putter putters[3];
    struct thread threads[3];
    struct errands *e = errands_new();
    int runs = 0, taken = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        putters[i].errands = e;
        assert_int_equal(thread_start(&threads[i], "putter", put_many, &putters[i]), 0);
    }
    for (int i = 0; i < 10; i++) {
        errands_run(e);
    }
    errands_close(e);
    for (int i = 0; i < 3; i++) {
        thread_join(&threads[i]);
        taken += putters[i].taken;
        for (int k = 0; k < MANY; k++) {
            runs += putters[i].m[k].runs;
        }
    }
    assert_int_equal(runs, taken);
    errands_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_run_in_their_order),
        cmocka_unit_test(what_is_left_is_called_off),
        cmocka_unit_test(many_threads_may_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
