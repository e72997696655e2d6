/* SPDX-License-Identifier: MIT */
/* Which encoder is used, and when the next one is: with encoders that do as they are told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encode/chain.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/pool.h"
#include "pictures.h"

/* ---- two encoders of H.264 by name only: hardware beside us, and software ---- */

struct encoder {
    struct pool *pool;
    const struct frame *held[32];
    int count;
};

static struct told {
    int open_rc, encode_rc, collect_rc;
    bool gives; /* packets */
    int opened, closed, fed, keys;
} hard, soft;

static bool named_only;

static int fake_open(struct told *told, struct encoder **out, struct pool *pool, struct err *err)
{
    if (told->open_rc) {
        return err_set(err, told->open_rc, "told not to open");
    }
    told->opened++;
    *out = calloc(1, sizeof **out);
    (*out)->pool = pool;
    return 0;
}

static struct frame *packet_of(struct encoder *e)
{
    struct frame *out = pool_get(e->pool, 10);
    frame_copy_meta(out, e->held[0]);
    frame_unref(e->held[0]);
    memmove(e->held, e->held + 1, sizeof e->held - sizeof e->held[0]);
    e->count--;
    return out;
}

static int fake_feed(struct told *told, struct encoder *e, const struct frame *in, bool key)
{
    if (told->encode_rc) {
        return told->encode_rc;
    }
    told->fed++;
    told->keys += key;
    e->held[e->count++] = frame_ref(in);
    return 0;
}

static void fake_close(struct told *told, struct encoder *e)
{
    told->closed++;
    while (e->count) {
        frame_unref(e->held[--e->count]);
    }
    free(e);
}

static bool accepts(enum format_id input)
{
    return input != FORMAT_GREY;
}

static int hard_open(struct encoder **out, const struct encode_config *config,
                     const struct format *in, struct pool *pool, struct err *err)
{
    (void)config, (void)in;
    return fake_open(&hard, out, pool, err);
}

static int hard_encode(struct encoder *e, const struct frame *in, bool key, struct frame **out)
{
    *out = NULL;
    return fake_feed(&hard, e, in, key);
}

static int hard_collect(struct encoder *e, struct frame **out)
{
    *out = e->count && hard.gives ? packet_of(e) : NULL;
    return hard.collect_rc;
}

static bool hard_ready(const struct encoder *e)
{
    return e->count < 2;
}

static bool hard_busy(const struct encoder *e)
{
    return e->count > 0;
}

static int hard_fd(const struct encoder *e)
{
    (void)e;
    return 7;
}

static const char *hard_name(const struct encoder *e)
{
    (void)e;
    return "hard";
}

static void hard_close(struct encoder *e)
{
    fake_close(&hard, e);
}

static int hard_check(const struct encode_config *config, struct err *err)
{
    (void)config;
    return hard.open_rc ? err_set(err, hard.open_rc, "no hard") : 0;
}

static const struct encoder_backend encoder_hard = {
    .name = "hard",
    .output = FORMAT_H264,
    .accepts = accepts,
    .check = hard_check,
    .open = hard_open,
    .encode = hard_encode,
    .ready = hard_ready,
    .busy = hard_busy,
    .fd = hard_fd,
    .collect = hard_collect,
    .describe = hard_name,
    .close = hard_close,
};

static int soft_open(struct encoder **out, const struct encode_config *config,
                     const struct format *in, struct pool *pool, struct err *err)
{
    (void)config, (void)in;
    return fake_open(&soft, out, pool, err);
}

static int soft_encode(struct encoder *e, const struct frame *in, bool key, struct frame **out)
{
    int rc = fake_feed(&soft, e, in, key);
    *out = rc == 0 && soft.gives ? packet_of(e) : NULL;
    return rc;
}

static const char *soft_name(const struct encoder *e)
{
    (void)e;
    return "soft";
}

static void soft_close(struct encoder *e)
{
    fake_close(&soft, e);
}

static int soft_check(const struct encode_config *config, struct err *err)
{
    (void)config;
    return soft.open_rc ? err_set(err, soft.open_rc, "no soft") : 0;
}

static const struct encoder_backend encoder_soft = {
    .name = "soft",
    .output = FORMAT_H264,
    .accepts = accepts,
    .check = soft_check,
    .open = soft_open,
    .encode = soft_encode,
    .describe = soft_name,
    .close = soft_close,
};

/* In place of encoders.c's. */
const struct encoder_backend *encoder_find(const char *name, enum format_id input,
                                           enum format_id output, int index)
{
    static const struct encoder_backend *const all[] = { &encoder_hard, &encoder_soft };
    bool fits = output == FORMAT_H264 && (input == FORMAT_NONE || accepts(input));
    int count = named_only ? 1 : 2;
    (void)name;
    return fits && index < count ? all[index] : NULL;
}

/* ---- the rig ---- */

static const struct format small = {
    .id = FORMAT_YUYV, .width = 64, .height = 48, .fps_num = 30, .fps_den = 1
};

struct rig {
    struct pool *pool;
    struct chain chain;
    struct frame *picture;
};

static struct rig start_rig(void)
{
    struct rig r = { .pool = pool_new(1 << 20) };
    const struct encode_config config = { .bitrate = 1000000, .quality = 80 };
    hard = (struct told){ .gives = true };
    soft = (struct told){ .gives = true };
    named_only = false;
    chain_init(&r.chain, &config, FORMAT_H264, r.pool);
    r.picture = picture_new(&small, 0, 0);
    return r;
}

static void stop_rig(struct rig *r)
{
    chain_finish(&r->chain);
    frame_unref(r->picture);
    pool_free(r->pool);
    assert_int_equal(hard.opened, hard.closed);
    assert_int_equal(soft.opened, soft.closed);
}

static void open_chain(struct rig *r)
{
    struct err err = { 0 };
    assert_int_equal(chain_open(&r->chain, &small, &err), 0);
}

/* One picture in; true when a packet came with it. */
static bool encode(struct rig *r)
{
    struct frame *packet = NULL;
    assert_int_equal(chain_encode(&r->chain, r->picture, false, &packet), 0);
    frame_unref(packet);
    return packet;
}

static bool collect(struct rig *r)
{
    struct frame *packet = NULL;
    assert_int_equal(chain_collect(&r->chain, &packet, clock_now_us()), 0);
    frame_unref(packet);
    return packet;
}

/* ---- tests ---- */

static void uses_the_first_that_opens(void **state)
{
    (void)state;
    struct rig r = start_rig();
    open_chain(&r);
    assert_false(encode(&r));
    assert_true(chain_busy(&r.chain));
    assert_int_equal(chain_fd(&r.chain), 7);
    assert_true(collect(&r));
    assert_false(chain_busy(&r.chain));
    assert_int_equal(chain_fd(&r.chain), -1);
    chain_close(&r.chain);
    hard.open_rc = -EBUSY;
    open_chain(&r);
    assert_true(encode(&r));
    assert_false(chain_busy(&r.chain)); /* nothing to wait for */
    assert_true(chain_ready(&r.chain));
    chain_close(&r.chain);
    hard.open_rc = 0; /* being busy was no fault: it is asked again */
    open_chain(&r);
    assert_ptr_equal(r.chain.backend, &encoder_hard);
    stop_rig(&r);
}

static void says_why_none_opens(void **state)
{
    (void)state;
    struct rig r = start_rig();
    struct err err = { 0 };
    hard.open_rc = -ENODEV;
    soft.open_rc = -EINVAL;
    assert_int_equal(chain_open(&r.chain, &small, &err), -EINVAL);
    assert_non_null(strstr(err.text, "told not to"));
    struct format grey = small;
    grey.id = FORMAT_GREY;
    assert_int_equal(chain_open(&r.chain, &grey, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "GREY"));
    stop_rig(&r);
}

static void a_start_needs_one_that_works(void **state)
{
    (void)state;
    struct rig r = start_rig();
    const struct encode_config config = { .bitrate = 1 };
    struct err err = { 0 };
    hard.open_rc = -ENODEV;
    assert_int_equal(chain_check(&config, FORMAT_H264, &err), 0); /* soft does */
    soft.open_rc = -ENOENT;
    assert_int_equal(chain_check(&config, FORMAT_H264, &err), -ENOENT);
    assert_string_equal(err.text, "no soft");
    assert_int_equal(chain_check(&config, FORMAT_YUYV, &err), -ENOENT);
    assert_non_null(strstr(err.text, "YUYV"));
    stop_rig(&r);
}

/* The picture at which hardware breaks is the first of the next encoder, as a key frame. */
static void the_next_goes_on_with_the_same_picture(void **state)
{
    (void)state;
    struct rig r = start_rig();
    open_chain(&r);
    hard.encode_rc = -EIO;
    assert_true(encode(&r));
    assert_ptr_equal(r.chain.backend, &encoder_soft);
    assert_int_equal(soft.fed, 1);
    assert_int_equal(soft.keys, 1);
    assert_int_equal(r.chain.lost, 0);
    chain_close(&r.chain);
    hard.encode_rc = 0;
    open_chain(&r); /* and it stays so */
    assert_ptr_equal(r.chain.backend, &encoder_soft);
    stop_rig(&r);
}

static void hardware_must_prove_itself_in_pictures(void **state)
{
    (void)state;
    struct rig r = start_rig();
    hard.gives = false;
    open_chain(&r);
    for (int i = 0; i < CHAIN_PROOF_PICTURES; i++) {
        assert_false(encode(&r));
        assert_ptr_equal(r.chain.backend, &encoder_hard);
    }
    assert_true(encode(&r));
    assert_ptr_equal(r.chain.backend, &encoder_soft);
    assert_int_equal(r.chain.lost, CHAIN_PROOF_PICTURES);
    assert_int_equal(atomic_load(&r.picture->refs), 1); /* it gave all of them back */
    stop_rig(&r);
}

static void hardware_must_prove_itself_in_time(void **state)
{
    (void)state;
    struct rig r = start_rig();
    struct frame *packet = NULL;
    hard.gives = false;
    open_chain(&r);
    assert_false(encode(&r));
    int64_t deadline = chain_deadline_us(&r.chain);
    assert_true(deadline <= clock_now_us() + CHAIN_PROOF_US);
    assert_int_equal(chain_collect(&r.chain, &packet, deadline - 1), 0);
    assert_int_equal(chain_collect(&r.chain, &packet, deadline), -ETIMEDOUT);
    assert_null(r.chain.encoder);
    assert_true(chain_has_other(&r.chain, &small));
    open_chain(&r);
    assert_ptr_equal(r.chain.backend, &encoder_soft);
    stop_rig(&r);
}

static void nonsense_is_no_proof(void **state)
{
    (void)state;
    struct rig r = start_rig();
    struct frame *packet = NULL;
    hard.gives = false;
    hard.collect_rc = -EPROTO;
    open_chain(&r);
    assert_false(encode(&r));
    assert_int_equal(chain_collect(&r.chain, &packet, clock_now_us()), -EPROTO);
    open_chain(&r);
    assert_ptr_equal(r.chain.backend, &encoder_soft);
    stop_rig(&r);
}

/* What has worked is tried again, but not for ever. */
static void proven_hardware_gets_some_chances(void **state)
{
    (void)state;
    struct rig r = start_rig();
    for (int i = 1; i <= CHAIN_BREAKS; i++) {
        struct frame *packet = NULL;
        open_chain(&r);
        assert_ptr_equal(r.chain.backend, &encoder_hard);
        assert_false(encode(&r));
        assert_true(collect(&r));
        hard.encode_rc = -EIO;
        assert_int_equal(chain_encode(&r.chain, r.picture, false, &packet), -EIO);
        hard.encode_rc = 0;
    }
    open_chain(&r);
    assert_ptr_equal(r.chain.backend, &encoder_soft);
    stop_rig(&r);
}

/* One break a week is no reason to do without hardware. */
static void breaks_are_forgotten(void **state)
{
    (void)state;
    struct rig r = start_rig();
    for (int i = 0; i <= CHAIN_BREAKS; i++) {
        struct frame *packet = NULL;
        open_chain(&r);
        assert_ptr_equal(r.chain.backend, &encoder_hard);
        for (int k = 0; k < CHAIN_SOUND; k++) {
            assert_false(encode(&r));
            assert_true(collect(&r));
        }
        hard.encode_rc = -EIO;
        assert_int_equal(chain_encode(&r.chain, r.picture, false, &packet), -EIO);
        hard.encode_rc = 0;
    }
    stop_rig(&r);
}

static void the_only_one_is_tried_for_ever(void **state)
{
    (void)state;
    struct rig r = start_rig();
    named_only = true;
    for (int i = 0; i < 10; i++) {
        struct frame *packet = NULL;
        open_chain(&r);
        hard.encode_rc = -EIO;
        assert_int_equal(chain_encode(&r.chain, r.picture, false, &packet), -EIO);
        hard.encode_rc = 0;
        assert_false(chain_has_other(&r.chain, &small)); /* so there is a pause first */
    }
    assert_int_equal(hard.opened, 10);
    stop_rig(&r);
}

static void a_bad_picture_breaks_nothing(void **state)
{
    (void)state;
    struct rig r = start_rig();
    struct frame *packet = NULL;
    open_chain(&r);
    hard.encode_rc = -EBADMSG;
    assert_int_equal(chain_encode(&r.chain, r.picture, false, &packet), -EBADMSG);
    assert_int_equal(hard.closed, 0);
    stop_rig(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(uses_the_first_that_opens),
        cmocka_unit_test(says_why_none_opens),
        cmocka_unit_test(a_start_needs_one_that_works),
        cmocka_unit_test(the_next_goes_on_with_the_same_picture),
        cmocka_unit_test(hardware_must_prove_itself_in_pictures),
        cmocka_unit_test(hardware_must_prove_itself_in_time),
        cmocka_unit_test(nonsense_is_no_proof),
        cmocka_unit_test(proven_hardware_gets_some_chances),
        cmocka_unit_test(breaks_are_forgotten),
        cmocka_unit_test(the_only_one_is_tried_for_ever),
        cmocka_unit_test(a_bad_picture_breaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
