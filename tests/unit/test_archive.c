/* SPDX-License-Identifier: MIT */
/* The archive as the API uses it: on and off at run time, dumps, what its status says, sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/archive.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/option.h"
#include "pcs/option_live.h"
#include "record_clip.h"

#define PATIENCE_US (20 * CLOCK_S)

struct fixture {
    char *folder, *config;
    struct options *options;
    struct hub *hub;
    struct clip *clip;
    struct sink_env env;
    struct sink *archive;
    uint64_t seq;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    log_set_level(LOG_ERROR);
    f->folder = scratch_new();
    f->config = calloc(1, sink_archive.config_size);
    f->hub = hub_new();
    f->clip = clip_new(&(struct clip_options){ .frames = 20, .gop = 10 });
    f->env = (struct sink_env){ .name = "cam", .version = "test", .hub = f->hub };
    const struct option_part part = { "record", sink_archive.options, sink_archive.option_count,
                                      f->config };
    f->options = options_new("test", "1", "", &part, 1);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    sink_archive.free(f->archive);
    hub_free(f->hub);
    clip_free(f->clip);
    assert_int_equal(clip_frames_alive(), 0);
    options_free(f->options);
    free(f->config);
    scratch_free(f->folder);
    free(f);
    return 0;
}

static void start(struct fixture *f, const char *format)
{
    char ini[600];
    struct err err = { 0 };
    (void)snprintf(ini, sizeof ini, "[record]\n%s", format);
    char *at = strstr(ini, "FOLDER");
    if (at) {
        char rest[300];
        (void)snprintf(rest, sizeof rest, "%s", at + 6);
        (void)snprintf(at, sizeof ini - (size_t)(at - ini), "%s%s", f->folder, rest);
    }
    assert_int_equal(options_parse_ini(f->options, ini, &err), 0);
    assert_true(sink_archive.wanted(f->config));
    assert_int_equal(sink_archive.check(f->config, &err), 0);
    assert_int_equal(sink_archive.open(&f->archive, f->config, &f->env, &err), 0);
}

static void publish(struct fixture *f, int count)
{
    for (int i = 0; i < count; i++) {
        f->seq++;
        struct frame *frame =
            clip_frame(f->clip, (int)(f->seq - 1), f->seq, 1000000 + (int64_t)f->seq * 100000 / 3);
        hub_publish(f->hub, frame);
        frame_unref(frame);
    }
}

/* Until the status satisfies `done`. */
static struct archive_status
wait_status(struct fixture *f, bool (*done)(const struct archive_status *s, uint64_t n), uint64_t n)
{
    struct archive_status s;
    int64_t deadline_us = clock_now_us() + PATIENCE_US;
    do {
        archive_get_status(f->archive, &s);
        if (done(&s, n)) {
            return s;
        }
        (void)poll(NULL, 0, 5);
    } while (clock_now_us() < deadline_us);
    fail_msg("state %d, written %llu, dumps %llu", s.state, (unsigned long long)s.written,
             (unsigned long long)s.dumps);
    return s;
}

static bool is_state(const struct archive_status *s, uint64_t state)
{
    return (uint64_t)s->state == state;
}

static bool has_written(const struct archive_status *s, uint64_t frames)
{
    return s->written == frames;
}

static bool has_dumped(const struct archive_status *s, uint64_t dumps)
{
    return s->dumps == dumps && !s->dumping;
}

static void finish(struct fixture *f)
{
    hub_end(f->hub);
    sink_archive.finish(f->archive, clock_now_us() + PATIENCE_US);
}

static void expect_file(const char *path, int frames)
{
    struct readback r;
    readback_open(&r, path);
    assert_true(r.clean && !r.fragmented && r.has_mark && r.sample[0].key);
    assert_int_equal(r.count, frames);
    readback_close(&r);
}

static void recording_is_switched(void **state)
{
    struct fixture *f = *state;
    struct err err = { 0 };
    start(f, "archive = FOLDER\n");
    assert_int_equal(archive_dump(f->archive, &err), -ENOTSUP);
    publish(f, 20);
    struct archive_status first = wait_status(f, has_written, 20);
    assert_int_equal(first.state, ARCHIVE_RECORDING);
    assert_int_equal(archive_record(f->archive, false, &err), 0);
    (void)wait_status(f, is_state, ARCHIVE_OFF);
    expect_file(first.file, 20);
    assert_false(hub_wanted(f->hub)); /* an encoder may rest */
    publish(f, 10);
    assert_int_equal(archive_record(f->archive, true, &err), 0);
    (void)wait_status(f, is_state, ARCHIVE_RECORDING);
    publish(f, 30);
    struct archive_status second = wait_status(f, has_written, 50);
    assert_int_equal(second.segments, 2);
    assert_string_not_equal(first.file, second.file);
    finish(f);
    expect_file(second.file, 30);

    struct sink_totals t;
    sink_archive.totals(f->archive, &t);
    assert_int_equal(t.sent, 50);
    assert_int_equal(t.dropped, 10); /* all sixty add up */
    assert_true(t.done);
    struct cJSON *o = sink_archive.report(f->archive);
    assert_int_equal(cJSON_GetObjectItem(o, "while_off")->valueint, 10);
    cJSON_Delete(o);
}

static void set_live(struct fixture *f, const char *name, const char *value, int code)
{
    struct err err = { 0 };
    size_t failed;
    const struct option_change change = { name, &value, 1 };
    assert_int_equal(options_set_live(f->options, &change, 1, &failed, &err), code);
    sink_archive.reconfigure(f->archive, f->config);
}

static bool has_segments(const struct archive_status *s, uint64_t segments)
{
    return s->segments >= segments;
}

static void limits_change_while_it_records(void **state)
{
    struct fixture *f = *state;
    start(f, "archive = FOLDER\nsegment-time = 1h\n");
    publish(f, 20);
    struct archive_status s = wait_status(f, has_written, 20);
    assert_int_equal(s.segments, 1);
    assert_int_equal(s.limit_bytes, (uint64_t)4 << 30);
    set_live(f, "segment-time", "100ms", 0);
    set_live(f, "archive-size", "8M", 0);
    publish(f, 11);
    s = wait_status(f, has_segments, 2);
    assert_int_equal(s.limit_bytes, 8 << 20);
    set_live(f, "archive", "/", -EPERM);
    finish(f);
}

static void a_key_frame_is_asked_for_when_a_segment_is_due(void **state)
{
    struct fixture *f = *state;
    start(f, "archive = FOLDER\nsegment-time = 100ms\n");
    assert_true(hub_take_key_request(f->hub)); /* as by everybody who comes */
    publish(f, 2);
    (void)wait_status(f, has_written, 2);
    assert_false(hub_take_key_request(f->hub));
    publish(f, 7); /* a key frame has not come yet */
    (void)wait_status(f, has_written, 9);
    int64_t deadline_us = clock_now_us() + PATIENCE_US;
    bool asked = false;
    while (!asked && clock_now_us() < deadline_us) {
        asked = hub_take_key_request(f->hub);
        (void)poll(NULL, 0, 1);
    }
    assert_true(asked);
    finish(f);
}

static void memory_is_dumped(void **state)
{
    struct fixture *f = *state;
    struct err err = { 0 };
    start(f, "archive = FOLDER\narchive-ram = 1M\n");
    assert_int_equal(archive_dump(f->archive, &err), -ENODATA);
    publish(f, 40);
    assert_int_equal(archive_record(f->archive, false, &err), 0);
    (void)wait_status(f, is_state, ARCHIVE_OFF);
    assert_true(hub_wanted(f->hub)); /* memory goes on */
    assert_int_equal(archive_dump(f->archive, &err), 0);
    struct archive_status s = wait_status(f, has_dumped, 1);
    assert_int_equal(s.ram_frames, 40);
    assert_string_equal(s.dump_problem, "");
    expect_file(s.dump_file, 40);
    publish(f, 1);
    assert_int_equal(archive_dump(f->archive, &err), 0);
    s = wait_status(f, has_dumped, 2);
    expect_file(s.dump_file, 41);
    finish(f);
    assert_int_equal(archive_dump(f->archive, &err), -ECANCELED);
}

static void memory_alone_needs_no_folder(void **state)
{
    struct fixture *f = *state;
    struct err err = { 0 };
    struct sink_totals t;
    start(f, "archive-ram = 1M\n");
    publish(f, 15);
    assert_int_equal(archive_record(f->archive, true, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "--archive"));
    struct archive_status s;
    archive_get_status(f->archive, &s);
    assert_int_equal(s.state, ARCHIVE_NONE);
    assert_true(s.ram && s.ram_frames == 15);
    finish(f);
    sink_archive.totals(f->archive, &t);
    assert_int_equal(t.sent + t.dropped, 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(recording_is_switched, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_change_while_it_records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_frame_is_asked_for_when_a_segment_is_due, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(memory_is_dumped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_alone_needs_no_folder, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
