/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire_examples.h"

/* Parse exactly these bytes, in a buffer of their own: the address sanitizer sees a step too far. */
static int parse(const uint8_t *bytes, size_t size, struct wire_message *out)
{
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    int code = wire_parse(copy, size, out);
    free(copy);
    return code;
}

static void every_message_round_trips(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(examples); i++) {
        uint8_t bytes[WIRE_CONTROL_MAX], again[WIRE_CONTROL_MAX];
        struct wire_message m;
        size_t n = put(bytes, sizeof bytes, &examples[i]);
        assert_int_equal(parse(bytes, n, &m), 0);
        assert_same(&m, &examples[i]);
        assert_int_equal(put(again, sizeof again, &m), n);
        assert_memory_equal(again, bytes, n);
    }
}

static void a_buffer_too_short_is_enospc(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(examples); i++) {
        uint8_t bytes[WIRE_CONTROL_MAX];
        size_t n = put(bytes, sizeof bytes, &examples[i]);
        for (size_t capacity = 0; capacity < n; capacity++) {
            uint8_t *exact = malloc(capacity ? capacity : 1);
            assert_int_equal(wire_put(exact, capacity, &examples[i]), -ENOSPC);
            free(exact);
        }
    }
}

static void set_length(uint8_t *bytes, size_t size)
{
    struct writer w = writer_on(bytes, 4);
    write_be32(&w, (uint32_t)(size - 4));
}

/* Cut anywhere, with the old length or an honest one: an error, and *out untouched. */
static void every_cut_message_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(examples); i++) {
        uint8_t bytes[WIRE_CONTROL_MAX];
        size_t n = put(bytes, sizeof bytes, &examples[i]);
        for (size_t size = 0; size < n; size++) {
            struct wire_message m = { .type = (enum wire_type)77 };
            assert_int_equal(parse(bytes, size, &m), -EBADMSG);
            if (size >= 5) {
                uint8_t honest[WIRE_CONTROL_MAX];
                memcpy(honest, bytes, size);
                set_length(honest, size);
                assert_int_equal(parse(honest, size, &m), -EBADMSG);
            }
            assert_int_equal(m.type, 77);
        }
    }
}

/* A later minor version may add fields at the end of a control message. */
static void longer_bodies_are_fine(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(examples); i++) {
        uint8_t bytes[WIRE_CONTROL_MAX] = { 0 };
        struct wire_message m;
        size_t n = put(bytes, sizeof bytes, &examples[i]);
        if (examples[i].type != WIRE_FRAME) {
            set_length(bytes, n + 9);
            assert_int_equal(parse(bytes, n + 9, &m), 0);
            assert_same(&m, &examples[i]);
        }
    }
}

static void bytes_behind_a_message_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[64] = { 0, 0, 0, 1, WIRE_KEY };
    struct wire_message m;
    assert_int_equal(parse(bytes, 5, &m), 0);
    assert_int_equal(parse(bytes, 6, &m), -EBADMSG);
}

static void unknown_types_are_refused(void **state)
{
    (void)state;
    for (int type = 0; type < 256; type++) {
        uint8_t bytes[100] = { 0, 0, 0, 96, (uint8_t)type };
        struct wire_message m;
        if (type == 0 || type > WIRE_ERROR) {
            assert_int_equal(parse(bytes, sizeof bytes, &m), -EBADMSG);
        }
    }
}

static void lengths_are_limited(void **state)
{
    (void)state;
    static const struct {
        uint32_t length;
        uint8_t type;
        int code;
    } cases[] = {
        { 0, WIRE_KEY, -EBADMSG },
        { WIRE_CONTROL_MAX - 3, WIRE_KEY, -EMSGSIZE },
        { UINT32_MAX, WIRE_KEY, -EMSGSIZE },
        { UINT32_MAX, 200, -EMSGSIZE },
        { 36, WIRE_FRAME, -EBADMSG }, /* a frame of no bytes */
        { 35, WIRE_FRAME, -EBADMSG },
        { 36 + WIRE_FRAME_MAX + 1, WIRE_FRAME, -EMSGSIZE },
        { UINT32_MAX, WIRE_FRAME, -EMSGSIZE },
        { 36 + WIRE_FRAME_MAX, WIRE_FRAME, 0 },
        { 36 + 1, WIRE_FRAME, 0 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t bytes[WIRE_FRAME_HEAD] = { 0 };
        struct wire_message m;
        struct writer w = writer_on(bytes, sizeof bytes);
        write_be32(&w, cases[i].length);
        write_u8(&w, cases[i].type);
        bytes[15] = 1; /* seq */
        assert_int_equal(parse(bytes, sizeof bytes, &m), cases[i].code);
    }
}

/* ---- hostile fields ---- */

static int parse_changed(size_t example, size_t at, uint64_t value, size_t width)
{
    uint8_t bytes[WIRE_CONTROL_MAX];
    struct wire_message m;
    size_t n = put(bytes, sizeof bytes, &examples[example]);
    for (size_t i = 0; i < width; i++) {
        bytes[at + i] = (uint8_t)(value >> 8 * (width - 1 - i));
    }
    return parse(bytes, n, &m);
}

static void numbers_and_times_have_bounds(void **state)
{
    (void)state;
    static const struct {
        int example;
        size_t at;
        uint64_t most; /* 0: any value will do */
    } cases[] = {
        { HELLO, 29, 0x1122334466 }, /* first_seq, up to next_seq */
        { HELLO, 37, WIRE_SEQ_MAX },   { HELLO, 45, WIRE_TIME_MAX }, { HELLO, 53, WIRE_TIME_MAX },
        { WELCOME, 13, WIRE_SEQ_MAX }, { FRAME, 8, WIRE_SEQ_MAX },   { FRAME, 16, WIRE_TIME_MAX },
        { BYE, 5, WIRE_SEQ_MAX },      { ACK, 5, WIRE_SEQ_MAX },     { ACK, 13, WIRE_SEQ_MAX },
        { PING, 5, WIRE_TIME_MAX },    { PONG, 5, WIRE_TIME_MAX },   { PONG, 13, WIRE_TIME_MAX },
        { PONG, 21, WIRE_TIME_MAX },   { REPLAY, 5, WIRE_SEQ_MAX },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t example = (size_t)cases[i].example;
        assert_int_equal(parse_changed(example, cases[i].at, cases[i].most, 8), 0);
        assert_int_equal(parse_changed(example, cases[i].at, cases[i].most + 1, 8), -EBADMSG);
        assert_int_equal(parse_changed(example, cases[i].at, UINT64_MAX, 8), -EBADMSG);
        assert_int_equal(parse_changed(example, cases[i].at, (uint64_t)INT64_MIN, 8), -EBADMSG);
    }
}

static void frames_are_counted_from_one(void **state)
{
    (void)state;
    assert_int_equal(parse_changed(FRAME, 8, 0, 8), -EBADMSG);
    assert_int_equal(parse_changed(HELLO, 29, 0, 8), -EBADMSG);
    assert_int_equal(parse_changed(HELLO, 37, 0, 8), -EBADMSG);
    assert_int_equal(parse_changed(BYE, 5, 0, 8), -EBADMSG);
    assert_int_equal(parse_changed(WELCOME, 13, 0, 8), 0); /* new to me */
    assert_int_equal(parse_changed(REPLAY, 5, 0, 8), 0);
    assert_int_equal(parse_changed(ACK, 5, 0, 8), 0);
}

static void formats_must_be_possible(void **state)
{
    (void)state;
    static const size_t places[][2] = { { FORMAT, 5 }, { HELLO, 61 } };
    for (size_t i = 0; i < COUNT(places); i++) {
        size_t example = places[i][0], at = places[i][1];
        assert_int_equal(parse_changed(example, at, 0, 1), -EBADMSG); /* codec */
        assert_int_equal(parse_changed(example, at, 3, 1), -EBADMSG);
        assert_int_equal(parse_changed(example, at, 255, 1), -EBADMSG);
        assert_int_equal(parse_changed(example, at + 4, 0, 2), -EBADMSG); /* width */
        assert_int_equal(parse_changed(example, at + 4, FORMAT_MAX_SIZE + 1, 2), -EBADMSG);
        assert_int_equal(parse_changed(example, at + 4, UINT16_MAX, 2), -EBADMSG);
        assert_int_equal(parse_changed(example, at + 6, 0, 2), -EBADMSG); /* height */
        assert_int_equal(parse_changed(example, at + 6, FORMAT_MAX_SIZE + 1, 2), -EBADMSG);
        assert_int_equal(parse_changed(example, at + 6, FORMAT_MAX_SIZE, 2), 0);
    }
}

static struct format parse_rate(uint32_t num, uint32_t den)
{
    uint8_t bytes[WIRE_CONTROL_MAX];
    struct wire_message m;
    size_t n = put(bytes, sizeof bytes, &examples[FORMAT]);
    struct writer w = writer_on(bytes + 13, 8);
    write_be32(&w, num);
    write_be32(&w, den);
    assert_int_equal(parse(bytes, n, &m), 0);
    return m.u.format;
}

static void an_absurd_rate_is_unknown(void **state)
{
    (void)state;
    static const uint32_t rates[][2] = {
        { 1, 0 }, { 0, 0 }, { 1000001, 1 }, { 1, 1000001 }, { UINT32_MAX, UINT32_MAX }
    };
    for (size_t i = 0; i < COUNT(rates); i++) {
        struct format f = parse_rate(rates[i][0], rates[i][1]);
        assert_int_equal(f.fps_num, 0);
        assert_int_equal(f.fps_den, 1);
    }
    assert_int_equal(parse_rate(1000000, 1000000).fps_num, 1000000);
}

static void a_wrong_magic_is_refused(void **state)
{
    (void)state;
    assert_int_equal(parse_changed(HELLO, 5, 0x50435358, 4), -EBADMSG);
    assert_int_equal(parse_changed(WELCOME, 5, 0, 4), -EBADMSG);
}

/* Of another version only the number can be read; that is what an answer needs. */
static void another_version_is_told(void **state)
{
    (void)state;
    static const uint8_t hello[] = { 0, 0, 0, 8, WIRE_HELLO, 'P', 'C', 'S', 'W', 0, 2, 0xff };
    static const uint8_t welcome[] = { 0, 0, 0, 7, WIRE_WELCOME, 'P', 'C', 'S', 'W', 0xab, 0xcd };
    struct wire_message m;
    assert_int_equal(parse(hello, sizeof hello, &m), 0);
    assert_int_equal(m.u.hello.version, 2);
    assert_int_equal(m.u.hello.first_seq, 0);
    assert_int_equal(parse(welcome, sizeof welcome, &m), 0);
    assert_int_equal(m.u.welcome.version, 0xabcd);
}

/* ---- texts ---- */

static void texts_are_cut_between_characters(void **state)
{
    (void)state;
    struct wire_message in = { .type = WIRE_ERROR }, out;
    uint8_t bytes[WIRE_CONTROL_MAX];
    for (size_t lead = 0; lead < 4; lead++) { /* a camera of four bytes across the limit */
        char *text = in.u.error.text;
        memset(text, 'x', WIRE_TEXT_MAX + 1); /* and no NUL at its end */
        memcpy(text + WIRE_TEXT_MAX - lead, "\xf0\x9f\x93\xb7", lead + 1);
        size_t n = put(bytes, sizeof bytes, &in);
        assert_int_equal(parse(bytes, n, &out), 0);
        assert_int_equal(strlen(out.u.error.text), WIRE_TEXT_MAX - lead);
        assert_null(strchr(out.u.error.text, '?'));
    }
}

static void texts_of_others_are_cleaned(void **state)
{
    (void)state;
    uint8_t bytes[] = { 0, 0, 0, 9, WIRE_ERROR, 0, 1, 5, 'a', '\n', 0x1b, 0xff, 0 };
    struct wire_message m;
    assert_int_equal(parse(bytes, sizeof bytes, &m), 0);
    assert_string_equal(m.u.error.text, "a????");
}

static void a_text_beyond_the_limit_is_cut(void **state)
{
    (void)state;
    uint8_t bytes[8 + 255] = { 0, 0, 1, 3, WIRE_ERROR, 0, 1, 255 };
    struct wire_message m;
    memset(bytes + 8, 'y', 255);
    assert_int_equal(parse(bytes, sizeof bytes, &m), 0);
    assert_int_equal(strlen(m.u.error.text), WIRE_TEXT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_round_trips),
        cmocka_unit_test(a_buffer_too_short_is_enospc),
        cmocka_unit_test(every_cut_message_is_refused),
        cmocka_unit_test(longer_bodies_are_fine),
        cmocka_unit_test(bytes_behind_a_message_are_refused),
        cmocka_unit_test(unknown_types_are_refused),
        cmocka_unit_test(lengths_are_limited),
        cmocka_unit_test(numbers_and_times_have_bounds),
        cmocka_unit_test(frames_are_counted_from_one),
        cmocka_unit_test(formats_must_be_possible),
        cmocka_unit_test(an_absurd_rate_is_unknown),
        cmocka_unit_test(a_wrong_magic_is_refused),
        cmocka_unit_test(another_version_is_told),
        cmocka_unit_test(texts_are_cut_between_characters),
        cmocka_unit_test(texts_of_others_are_cleaned),
        cmocka_unit_test(a_text_beyond_the_limit_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
