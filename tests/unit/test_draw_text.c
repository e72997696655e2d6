/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/draw_text.h"

#define PAPER 100
#define INK   235
#define RIM   16

static struct draw_text_plane plane_new(int width, int height)
{
    struct draw_text_plane p = { .stride = width, .width = width, .height = height };
    p.luma = malloc((size_t)width * (size_t)height);
    assert_non_null(p.luma);
    memset(p.luma, PAPER, (size_t)width * (size_t)height);
    return p;
}

static int at(const struct draw_text_plane *p, int x, int y)
{
    return p->luma[(size_t)y * (size_t)p->stride + (size_t)x];
}

static size_t count(const struct draw_text_plane *p, int value)
{
    size_t n = 0;
    for (int y = 0; y < p->height; y++) {
        for (int x = 0; x < p->width; x++) {
            n += at(p, x, y) == value;
        }
    }
    return n;
}

static void dots_become_squares(void **state)
{
    (void)state;
    static const char *const t_and_p[10] = {
        "............", "#####.......", "..#.........", "..#...#.##..", "..#...##..#.",
        "..#...#...#.", "..#...#...#.", "..#...####..", "......#.....", "......#.....",
    };
    for (int scale = 1; scale < 6; scale++) {
        struct draw_text_plane p = plane_new(12 * scale + 7, 10 * scale + 5);
        draw_text(&p, 3, 2, scale, INK, -1, "Tp");
        for (int y = 0; y < p.height; y++) {
            for (int x = 0; x < p.width; x++) {
                int column = (x - 3 + scale) / scale - 1, row = (y - 2 + scale) / scale - 1;
                bool inside = column >= 0 && column < 12 && row >= 0 && row < 10;
                bool lit = inside && t_and_p[row][column] == '#';
                assert_int_equal(at(&p, x, y), lit ? INK : PAPER);
            }
        }
        free(p.luma);
    }
}

static bool ink_near(const struct draw_text_plane *p, int x, int y, int distance)
{
    for (int dy = -distance; dy <= distance; dy++) {
        for (int dx = -distance; dx <= distance; dx++) {
            bool inside = x + dx >= 0 && x + dx < p->width && y + dy >= 0 && y + dy < p->height;
            if (inside && at(p, x + dx, y + dy) == INK) {
                return true;
            }
        }
    }
    return false;
}

static void a_rim_surrounds_all_ink(void **state)
{
    (void)state;
    for (int scale = 1; scale < 6; scale++) {
        int width, height, rim = draw_text_rim(scale);
        draw_text_size("g\xC3\x85j\n#7", scale, &width, &height);
        struct draw_text_plane p = plane_new(width + 4 * rim, height + 4 * rim);
        draw_text(&p, 2 * rim, 2 * rim, scale, INK, RIM, "g\xC3\x85j\n#7");
        assert_in_range(rim, (scale + 1) / 2, scale);
        for (int y = 0; y < p.height; y++) {
            for (int x = 0; x < p.width; x++) {
                if (at(&p, x, y) != INK) {
                    assert_int_equal(at(&p, x, y), ink_near(&p, x, y, rim) ? RIM : PAPER);
                }
            }
        }
        free(p.luma);
    }
}

/* Any part of a picture shows what the whole one would. */
static void what_lies_outside_is_cut_off(void **state)
{
    (void)state;
    static const char text[] = "Ag\n\xC3\xBC@";
    struct draw_text_plane whole = plane_new(120, 120);
    draw_text(&whole, 40, 40, 2, INK, RIM, text);
    for (int x = 30; x < 75; x += 3) {
        for (int y = 30; y < 90; y += 3) {
            struct draw_text_plane part = plane_new(17, 13); /* ASan guards its edges */
            draw_text(&part, 40 - x, 40 - y, 2, INK, RIM, text);
            for (int line = 0; line < part.height; line++) {
                assert_memory_equal(part.luma + (ptrdiff_t)line * part.stride,
                                    whole.luma + (ptrdiff_t)(y + line) * whole.stride + x, 17);
            }
            free(part.luma);
        }
    }
    free(whole.luma);
}

/* What a subsampled plane covers is every sample under a dot or its rim, and no other. */
static void colour_is_taken_from_letters_only(void **state)
{
    (void)state;
    for (int scale = 1; scale < 5; scale++) {
        for (int x = 5; x < 7; x++) {
            struct draw_text_plane luma = plane_new(81, 61), chroma = plane_new(41, 31);
            chroma.shift = 1;
            draw_text(&luma, x, 7, scale, INK, RIM, "Ag");
            draw_text(&chroma, x, 7, scale, 128, 128, "Ag");
            for (int cy = 0; cy < 30; cy++) {
                for (int cx = 0; cx < 40; cx++) {
                    bool touched = at(&luma, 2 * cx, 2 * cy) != PAPER ||
                                   at(&luma, 2 * cx + 1, 2 * cy) != PAPER ||
                                   at(&luma, 2 * cx, 2 * cy + 1) != PAPER ||
                                   at(&luma, 2 * cx + 1, 2 * cy + 1) != PAPER;
                    assert_int_equal(at(&chroma, cx, cy), touched ? 128 : PAPER);
                }
            }
            free(luma.luma);
            free(chroma.luma);
        }
    }
}

#define CELL (DRAW_TEXT_CELL_WIDTH * DRAW_TEXT_CELL_HEIGHT)

static void draw_cell(const char *text, uint8_t cell[CELL])
{
    const struct draw_text_plane p = { .luma = cell,
                                       .stride = DRAW_TEXT_CELL_WIDTH,
                                       .width = DRAW_TEXT_CELL_WIDTH,
                                       .height = DRAW_TEXT_CELL_HEIGHT };
    memset(cell, PAPER, CELL);
    draw_text(&p, 0, 0, 1, INK, -1, text);
}

static bool is_box(const char *text)
{
    uint8_t box[CELL], cell[CELL];
    draw_cell("\xEF\xBF\xBD", box);
    draw_cell(text, cell);
    return memcmp(box, cell, CELL) == 0;
}

static void every_letter_looks_different(void **state)
{
    (void)state;
    static uint8_t cells[256][CELL];
    int n = 0;
    for (unsigned c = 0x20; c < 0x100; c++) {
        const char two[] = { (char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F)), 0 };
        const char one[] = { (char)c, 0 };
        if (c >= 0x7F && c <= 0xA0) {
            continue; /* control characters, and a space */
        }
        draw_cell(c < 0x80 ? one : two, cells[n]);
        assert_false(is_box(c < 0x80 ? one : two));
        for (int i = 0; i < n; i++) {
            assert_memory_not_equal(cells[i], cells[n], CELL);
        }
        n++;
    }
    assert_int_equal(n, 95 + 95);
    assert_false(is_box("\xE2\x82\xAC"));    /* the euro */
    assert_true(is_box("\xE6\xBC\xA2"));     /* a Chinese character */
    assert_true(is_box("\xF0\x9F\x98\x80")); /* a face */
}

static int cells_of(const char *text)
{
    int width, height;
    draw_text_size(text, 1, &width, &height);
    return width / DRAW_TEXT_CELL_WIDTH;
}

static void bad_utf8_is_boxes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int cells;
    } bad[] = {
        { "\x80", 1 }, /* a continuation alone */
        { "\xC3", 1 }, /* cut */
        { "\xE2\x82", 2 },
        { "\xF0\x9F\x98", 3 },
        { "\xC0\x80", 2 },         /* an overlong zero */
        { "\xE0\x80\xAF", 3 },     /* an overlong slash */
        { "\xED\xA0\x80", 3 },     /* half of a pair of UTF-16 */
        { "\xF4\x90\x80\x80", 4 }, /* beyond the end */
        { "\xF8\x88\x80\x80\x80", 5 },
        { "\xFF\xFE", 2 },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cells_of(bad[i].text), bad[i].cells);
        assert_true(is_box(bad[i].text));
    }
    assert_int_equal(cells_of("\xC3"
                              "a\xC3\xA9"),
                     3); /* what follows is not swallowed */
}

static void sizes(void **state)
{
    (void)state;
    int width, height;
    draw_text_size("", 3, &width, &height);
    assert_int_equal(width, 0);
    assert_int_equal(height, 30);
    draw_text_size("ab\nabc\n", 2, &width, &height);
    assert_int_equal(width, 36);
    assert_int_equal(height, 60);
    draw_text_size("x", -5, &width, &height);
    assert_int_equal(width, DRAW_TEXT_CELL_WIDTH);
}

static void scales_follow_the_picture(void **state)
{
    (void)state;
    assert_int_equal(draw_text_scale(16, 16), 1);
    assert_int_equal(draw_text_scale(160, 120), 1);
    assert_int_equal(draw_text_scale(640, 480), 2);
    assert_int_equal(draw_text_scale(1280, 720), 3);
    assert_int_equal(draw_text_scale(1920, 1080), 4);
    assert_int_equal(draw_text_scale(1080, 1920), 4);
    assert_int_equal(draw_text_scale(3840, 2160), 8);
    for (int i = 1, last = 1; i < 8192; i++) {
        int scale = draw_text_scale(8192, i);
        assert_true(scale >= last);
        last = scale;
    }
}

/* Any bytes, anywhere: ASan says whether it stays inside. */
static void random_text_stays_inside(void **state)
{
    (void)state;
    static const int corner[] = { INT_MIN, INT_MAX, INT_MAX - 30, -1, 0, 1 };
    char text[40];
    srand(1);
    for (int i = 0; i < 3000; i++) {
        struct draw_text_plane p = plane_new(1 + rand() % 70, 1 + rand() % 50);
        size_t length = (size_t)(rand() % (int)sizeof text);
        for (size_t k = 0; k < length; k++) {
            text[k] = (char)(1 + rand() % 255);
        }
        text[length] = 0;
        p.shift = rand() % 3;
        int x = rand() % 8 ? rand() % 200 - 100 : corner[rand() % 6];
        int y = rand() % 8 ? rand() % 200 - 100 : corner[rand() % 6];
        int scale = rand() % 8 ? rand() % 12 : corner[rand() % 6];
        draw_text(&p, x, y, scale, INK, rand() % 2 ? RIM : -1, text);
        assert_int_equal(count(&p, INK) + count(&p, RIM) + count(&p, PAPER), p.width * p.height);
        free(p.luma);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dots_become_squares),
        cmocka_unit_test(a_rim_surrounds_all_ink),
        cmocka_unit_test(what_lies_outside_is_cut_off),
        cmocka_unit_test(colour_is_taken_from_letters_only),
        cmocka_unit_test(every_letter_looks_different),
        cmocka_unit_test(bad_utf8_is_boxes),
        cmocka_unit_test(sizes),
        cmocka_unit_test(scales_follow_the_picture),
        cmocka_unit_test(random_text_stays_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
