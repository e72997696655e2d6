/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "sinks/publish_url.h"

static struct publish_url parse(const char *url)
{
    struct publish_url u;
    assert_int_equal(publish_url_parse(url, &u), 0);
    return u;
}

static void schemes_have_containers(void **state)
{
    static const char *const pairs[][2] = {
        { "rtmp://h/a/k", "flv" }, { "rtsps://h/x", "rtsp" },    { "srt://h:9", "mpegts" },
        { "rtp://h:5004", "rtp" }, { "udp://h:1234", "mpegts" }, { "tcp://h:1", "mpegts" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_string_equal(parse(pairs[i][0]).format, pairs[i][1]);
        assert_null(parse(pairs[i][0]).path);
    }
}

static void files_are_what_has_no_scheme(void **state)
{
    (void)state;
    assert_string_equal(parse("a/b.mkv").path, "a/b.mkv");
    assert_string_equal(parse("file:/r/b.mkv").path, "/r/b.mkv");
    assert_string_equal(parse("12:30.mkv").path, "12:30.mkv");
    assert_null(parse("x.mp4").format);
}

static void hosts_are_found(void **state)
{
    (void)state;
    assert_string_equal(parse("rtmp://user:p@ss@example.org/a").host, "example.org");
    assert_string_equal(parse("rtsp://[::1]:8554/x").host, "::1");
    assert_int_equal(parse("rtsp://[::1]:8554/x").port, 8554);
    assert_int_equal(parse("rtmp://h/a:7").port, 0);
    assert_string_equal(parse("srt://:9000?mode=listener").host, "");
    assert_true(parse("srt://:9000?mode=listener").listens);
    assert_false(parse("srt://h:9000").listens);
    assert_true(parse("tcp://:1?a=b&listen").listens);
    assert_true(parse("tcp://:1?listen=1&a=b").listens);
    assert_false(parse("srt://h:9?listen_timeout=5&streamid=listen").listens);
    assert_false(parse("tcp://h:1?listen=0").listens);
}

static void secrets_are_not_shown(void **state)
{
    (void)state;
    assert_string_equal(parse("rtmp://u:secret@h:1935/live/key?x=1").shown, "rtmp://h:1935/live/…");
    assert_string_equal(parse("rtmp://h/live/key//").shown, "rtmp://h/live/…");
    assert_string_equal(parse("rtmp://h/key/").shown, "rtmp://h/…");
    assert_string_equal(parse("rtsp://u:secret@h/cam?token=1").shown, "rtsp://h/cam");
    assert_string_equal(parse("srt://h:9?passphrase=secret").shown, "srt://h:9");
    assert_string_equal(parse("rtp://10.0.0.1:5004").shown, "rtp://10.0.0.1:5004");
    assert_string_equal(parse("rtmp://h").shown, "rtmp://h");
}

static void nonsense_is_refused(void **state)
{
    static const char *const urls[] = {
        "",         "file:",         "http://h/x", "RTMP://h/x",    "rtmp://",    "rtmp:///x",
        "srt://:9", "rtsp://[::1/x", "udp://h:-1", "udp://h:70000", "rtmp://u@/x"
    };
    struct publish_url u;
    char longest[700] = "rtmp://";
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_int_equal(publish_url_parse(urls[i], &u), -EINVAL);
    }
    memset(longest + 7, 'h', sizeof longest - 8);
    assert_int_equal(publish_url_parse(longest, &u), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemes_have_containers), cmocka_unit_test(files_are_what_has_no_scheme),
        cmocka_unit_test(hosts_are_found),         cmocka_unit_test(secrets_are_not_shown),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
