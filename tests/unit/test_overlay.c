/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "encode/convert.h"
#include "encode/overlay.h"

/* 2026-07-13 18:47:05.042 UTC, a Monday */
#define MOMENT INT64_C(1783968425042000)

static void expect(const char *pattern, const char *text)
{
    char out[OVERLAY_TEXT_SIZE];
    overlay_expand(pattern, MOMENT, out, sizeof out);
    assert_string_equal(out, text);
}

static void texts_of_a_moment(void **state)
{
    (void)state;
    expect("%Y-%m-%d %H:%M:%S", "2026-07-13 18:47:05");
    expect("%a %e %b %I:%M %p %Z", "Mon 13 Jul 06:47 PM UTC");
    expect("%F %T.%f", "2026-07-13 18:47:05.042");
    expect("Garage \xC3\xA9 100%%", "Garage \xC3\xA9 100%");
    expect("one\\ntwo%nthree\nfour", "one\ntwo\nthree\nfour");
    expect("C:\\\\new \\x", "C:\\new \\x");
    expect("%-d|%_3m|%010Y|%^a|%EY|%Od", "13|  7|0000002026|MON|2026|13");
    expect("", "");
}

static void hostile_patterns_stay_as_they_are(void **state)
{
    (void)state;
    expect("50%", "50%");
    expect("%", "%");
    expect("100 % sure", "100 % sure");
    expect("%99999d", "%99999d");
    expect("%99999999999999999999d %d", "%99999999999999999999d 13");
    expect("%--------------------d", "%--------------------d");
    expect("%\xC3\xA9", "%\xC3\xA9");
    expect("%E", "%E");
    expect("%\\n", "%\n");
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    char pattern[4 * OVERLAY_TEXT_SIZE], out[OVERLAY_TEXT_SIZE];
    for (size_t i = 0; i + 1 < sizeof pattern; i++) {
        pattern[i] = "%99c"[i % 4];
    }
    pattern[sizeof pattern - 1] = 0;
    overlay_expand(pattern, MOMENT, out, sizeof out);
    assert_int_equal(strlen(out), sizeof out - 1);
    for (size_t size = 1; size < 9; size++) {
        overlay_expand("abcdefgh", MOMENT, out, size);
        assert_int_equal(strlen(out), size - 1);
    }
}

static void any_time_will_do(void **state)
{
    (void)state;
    static const int64_t times[] = { INT64_MIN, -1, 0, 1, INT64_MAX };
    char out[OVERLAY_TEXT_SIZE];
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        overlay_expand("%c %f %s %+", times[i], out, sizeof out);
        assert_true(strlen(out) > 0);
    }
}

#define WIDTH  320
#define HEIGHT 240

struct canvas {
    uint8_t y[WIDTH * HEIGHT], u[WIDTH * HEIGHT / 4], v[WIDTH * HEIGHT / 4];
};

static void draw(struct overlay *o, struct canvas *c, int64_t wall_us)
{
    const struct yu12 on = { c->y, c->u, c->v, WIDTH, WIDTH / 2 };
    memset(c->y, 90, sizeof c->y);
    memset(c->u, 60, sizeof c->u);
    memset(c->v, 200, sizeof c->v);
    overlay_draw(o, &on, WIDTH, HEIGHT, wall_us);
}

static struct overlay *must_new(const char *pattern)
{
    struct overlay *o = overlay_new(pattern);
    assert_non_null(o);
    return o;
}

static void letters_are_white_and_at_the_lower_left(void **state)
{
    (void)state;
    static struct canvas c;
    struct overlay *o = must_new("%S");
    int white = 0, right = 0, top = HEIGHT;
    draw(o, &c, MOMENT);
    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) {
            if (c.y[y * WIDTH + x] == 235) {
                int at = y / 2 * (WIDTH / 2) + x / 2;
                assert_int_equal(c.u[at], 128);
                assert_int_equal(c.v[at], 128);
                right = x > right ? x : right;
                top = y < top ? y : top;
                white++;
            }
        }
    }
    assert_in_range(white, 40, 400);
    assert_in_range(right, 10, 40);
    assert_in_range(top, HEIGHT - 30, HEIGHT - 10);
    assert_int_equal(c.u[0], 60); /* colour stays elsewhere */
    assert_int_equal(c.u[(HEIGHT / 2 - 8) * WIDTH / 2 + WIDTH / 2 - 1], 60);
    overlay_free(o);
}

static void the_text_follows_the_clock(void **state)
{
    (void)state;
    static struct canvas a, b;
    static const struct {
        const char *pattern;
        int64_t step;
        int same;
    } cases[] = { { "%T", 900000, 1 }, { "%T", 1000000, 0 },  { "%T", -100000, 0 },
                  { "%T", 0, 1 },      { "%T.%f", 1000, 0 },  { "still", 5000000, 1 },
                  { "%T.%f", 0, 1 },   { "%T", INT64_MIN, 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct overlay *o = must_new(cases[i].pattern);
        draw(o, &a, MOMENT);
        draw(o, &b, cases[i].step == INT64_MIN ? -1 : MOMENT + cases[i].step);
        assert_int_equal(memcmp(&a, &b, sizeof a) == 0, cases[i].same);
        overlay_free(o);
    }
}

/* A long line is written smaller rather than cut, as far as that goes. */
static void long_lines_shrink(void **state)
{
    (void)state;
    static struct canvas small, large;
    struct overlay *o = must_new("0123456789012345678901234567890123456789");
    struct overlay *s = must_new("0123456789");
    draw(o, &small, MOMENT);
    draw(s, &large, MOMENT);
    int dark = 0;
    for (int y = 0; y < HEIGHT; y++) {
        dark += small.y[y * WIDTH + WIDTH - 20] != 90;
        assert_int_equal(small.y[y * WIDTH + WIDTH - 1], 90);
    }
    assert_true(dark == 0); /* 40 letters of 6 pixels */
    assert_int_not_equal(memcmp(&small, &large, sizeof small), 0);
    overlay_free(o);
    overlay_free(s);
}

static void tiny_and_odd_pictures(void **state)
{
    (void)state;
    struct overlay *o = must_new("%F %T\\nline\\nline\\nline\\nline");
    for (int width = 1; width < 40; width += 3) {
        for (int height = 1; height < 40; height += 3) {
            size_t luma = (size_t)(width * height);
            size_t chroma = (size_t)((width + 1) / 2 * ((height + 1) / 2));
            const struct yu12 on = { malloc(luma), malloc(chroma), malloc(chroma), width,
                                     (width + 1) / 2 };
            assert_true(on.y && on.u && on.v);
            overlay_draw(o, &on, width, height, MOMENT); /* ASan looks on */
            free(on.y);
            free(on.u);
            free(on.v);
        }
    }
    overlay_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_a_moment),
        cmocka_unit_test(hostile_patterns_stay_as_they_are),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(any_time_will_do),
        cmocka_unit_test(letters_are_white_and_at_the_lower_left),
        cmocka_unit_test(the_text_follows_the_clock),
        cmocka_unit_test(long_lines_shrink),
        cmocka_unit_test(tiny_and_odd_pictures),
    };
    setenv("TZ", "UTC0", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
