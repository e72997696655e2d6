/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "pcs/text.h"

static void check(const char *in, const char *want)
{
    char text[64];
    size_t n = strlen(in);
    assert_true(n < sizeof text);
    memcpy(text, in, n + 1);
    text_clean(text, n);
    assert_string_equal(text, want);
}

static void printable_text_stays(void **state)
{
    (void)state;
    check("", "");
    check("cam 1: ~!", "cam 1: ~!");
    check("K\xc3\xbc"
          "che \xe2\x82\xac \xf0\x9f\x93\xb7 \xed\x9f\xbf",
          "K\xc3\xbc"
          "che \xe2\x82\xac \xf0\x9f\x93\xb7 \xed\x9f\xbf");
    check("\xc2\xa0\xf4\x8f\xbf\xbf",
          "\xc2\xa0\xf4\x8f\xbf\xbf"); /* the borders: U+00A0, U+10FFFF */
}

static void control_characters_go(void **state)
{
    (void)state;
    check("a\nb\tc\x1b[31m\x7f", "a?b?c?[31m?");
    check("\xc2\x9b"
          "31m \xc2\x80\xc2\x9f",
          "??31m ????"); /* C1: a terminal's CSI in two bytes */
}

static void malformed_bytes_go(void **state)
{
    (void)state;
    check("\x80z", "?z");    /* a continuation of nothing */
    check("\xc0\xaf", "??"); /* overlong '/' */
    check("\xc1\xbfz", "??z");
    check("\xe0\x80\xaf", "???");      /* overlong '/' in three */
    check("\xf0\x80\x80\xaf", "????"); /* … and four */
    check("\xed\xa0\x80", "???");      /* a surrogate */
    check("\xf4\x90\x80\x80", "????"); /* beyond U+10FFFF */
    check("\xf5\x80\x80\x80", "????");
    check("\xff\xfe", "??");
    check("\xe2\x82z", "??z");          /* broken off */
    check("\xe2\xc3\xbc", "?\xc3\xbc"); /* the good one behind a bad one stays */
}

/* A character that ends beyond the size is cut, and not read. */
static void cut_characters_go(void **state)
{
    (void)state;
    static const char camera[] = "\xf0\x9f\x93\xb7";
    for (size_t n = 1; n < 4; n++) {
        char *text = test_malloc(n);
        memcpy(text, camera, n);
        text_clean(text, n);
        assert_memory_equal(text, "????", n);
        test_free(text);
    }
}

static void check_url(const char *url, const char *want)
{
    char text[64];
    text_show_url(url, text, sizeof text);
    assert_string_equal(text, want);
}

static void urls_are_shown_without_secrets(void **state)
{
    (void)state;
    check_url("rtsp://me:p@ss@cam:554/live?key=1", "rtsp://cam:554/live?\u2026");
    check_url("http://cam/a@b", "http://cam/a@b");
    check_url("srt://cam:9000?passphrase=x/y@z", "srt://cam:9000?\u2026");
    check_url("udp://:5000", "udp://:5000");
    check_url("http://me:pw@", "http://");
    check_url("/home/me@here/a?b.mp4", "/home/me@here/a?b.mp4");
    check_url("http://a.very.long.name.that.does.not.fit.into.sixty.four.bytes.example/",
              "http://a.very.long.name.that.does.not.fit.into.sixty.four.bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printable_text_stays),
        cmocka_unit_test(control_characters_go),
        cmocka_unit_test(malformed_bytes_go),
        cmocka_unit_test(cut_characters_go),
        cmocka_unit_test(urls_are_shown_without_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
