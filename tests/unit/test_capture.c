/* SPDX-License-Identifier: MIT */
/* The capture stage: keeping a source open, numbering, ending. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "camera_bench.h"
#include "capture/capture.h"
#include "capture/source.h"
#include "capture/v4l2_find.h"
#include "pcs/clock.h"
#include "pcs/stop.h"

#define WAIT_US (20 * CLOCK_S)

static struct bench bench;

/* What the handler saw, under its lock. */
struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned frames, opened, ended;
    uint64_t last_seq;
    int64_t last_capture_us, wall_offset_us;
    struct format format;
    int reason;
    bool bad; /* a promise of the stage was broken */
    struct err why;
};

struct fixture {
    struct seen seen;
    struct capture_config config;
    struct {
        const char *device;
        struct v4l2_history history;
    } v4l2;
    struct {
        const char *url;
        bool loop;
    } input;
    const void *backends[8]; /* parallel to source_backends */
    char unused[4096];       /* the zeroed config of those that are not tested here */
    struct capture_params params;
    struct capture *capture;
};

static void on_opened(void *arg, const struct format *format)
{
    struct seen *seen = arg;
    pthread_mutex_lock(&seen->lock);
    seen->opened++;
    seen->format = *format;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static void on_frame(void *arg, const struct frame *frame)
{
    struct seen *seen = arg;
    int64_t now_us = clock_now_us();
    pthread_mutex_lock(&seen->lock);
    seen->frames++;
    seen->bad |= frame->seq != seen->last_seq + 1;
    seen->bad |= frame->capture_us <= seen->last_capture_us || frame->capture_us > now_us;
    seen->bad |= frame->stage_us[STAGE_CAPTURED] != frame->capture_us;
    seen->bad |= frame->stage_us[STAGE_DEQUEUED] < frame->capture_us ||
                 frame->stage_us[STAGE_DEQUEUED] > now_us;
    int64_t wall_us = clock_wall_us() - (now_us - frame->capture_us);
    seen->bad |= llabs(wall_us - frame->wall_us) > CLOCK_S;
    /* Wall time goes as capture time does, but where somebody sets the clock during the test. */
    int64_t offset_us = frame->wall_us - frame->capture_us;
    int64_t moved_us = seen->last_seq > 0 ? llabs(offset_us - seen->wall_offset_us) : 0;
    seen->bad |= moved_us > 0 && moved_us < WALL_STEP_US;
    seen->wall_offset_us = offset_us;
    seen->bad |= seen->opened == 0 || seen->ended > 0;
    seen->last_seq = frame->seq;
    seen->last_capture_us = frame->capture_us;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static void on_ended(void *arg, int reason, const struct err *why)
{
    struct seen *seen = arg;
    pthread_mutex_lock(&seen->lock);
    seen->ended++;
    seen->reason = reason;
    seen->why = *why;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    bench_init(&bench);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&f->seen.lock, NULL);
    pthread_cond_init(&f->seen.changed, &attr);
    pthread_condattr_destroy(&attr);
    f->config = (struct capture_config){ .width = 320, .height = 240, .format = "YUYV" };
    for (int i = 0; source_backends[i]; i++) {
        f->backends[i] = source_backends[i] == &source_v4l2    ? (void *)&f->v4l2
                         : source_backends[i] == &source_input ? (void *)&f->input
                                                               : (void *)f->unused;
    }
    f->params = (struct capture_params){
        .config = &f->config,
        .backend_configs = f->backends,
        .handler = { on_opened, on_frame, on_ended, &f->seen },
    };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    capture_stop(f->capture);
    capture_free(f->capture);
    assert_false(f->seen.bad);
    if (f->capture) {
        assert_int_equal(f->seen.ended, 1);
    }
    pthread_cond_destroy(&f->seen.changed);
    pthread_mutex_destroy(&f->seen.lock);
    free(f);
    bench_finish(&bench);
    return 0;
}

static void start(struct fixture *f)
{
    struct err err = { 0 };
    assert_int_equal(capture_start(&f->capture, &f->params, &err), 0);
}

static bool wait_seen(struct fixture *f, const unsigned *count, unsigned least)
{
    int64_t end_us = clock_now_us() + WAIT_US;
    const struct timespec end = { .tv_sec = end_us / CLOCK_S, .tv_nsec = end_us % CLOCK_S * 1000 };
    pthread_mutex_lock(&f->seen.lock);
    int code = 0;
    while (*count < least && code == 0) {
        code = pthread_cond_timedwait(&f->seen.changed, &f->seen.lock, &end);
    }
    bool reached = *count >= least;
    pthread_mutex_unlock(&f->seen.lock);
    return reached;
}

static struct capture_stats stats_of(struct fixture *f)
{
    struct capture_stats stats;
    capture_get_stats(f->capture, &stats);
    return stats;
}

static bool wait_state(struct fixture *f, enum capture_state state)
{
    int64_t end_us = clock_now_us() + WAIT_US;
    while (stats_of(f).state != state && clock_now_us() < end_us) {
        (void)stop_wait(bench.stop, 5 * CLOCK_MS);
    }
    return stats_of(f).state == state;
}

static unsigned frames_now(struct fixture *f)
{
    pthread_mutex_lock(&f->seen.lock);
    unsigned n = f->seen.frames;
    pthread_mutex_unlock(&f->seen.lock);
    return n;
}

static int source_index(const char *name)
{
    for (int i = 0; source_names[i]; i++) {
        if (strcmp(source_names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

static void every_name_has_its_backend(void **state)
{
    (void)state;
    int n = 0;
    for (; source_backends[n]; n++) {
        assert_true(source_index(source_backends[n]->name) > 0);
    }
    assert_null(source_names[n + 1]);
    assert_string_equal(source_names[0], "auto");
}

static void gives_exactly_so_many_frames(void **state)
{
    struct fixture *f = *state;
    f->config = (struct capture_config){ .source = source_index("test"), .fps = 200, .width = 160 };
    f->params.max_frames = 7;
    start(f);
    assert_true(wait_seen(f, &f->seen.ended, 1));
    assert_int_equal(f->seen.reason, 0);
    assert_int_equal(f->seen.frames, 7);
    assert_int_equal(f->seen.opened, 1);
    struct capture_stats stats = stats_of(f);
    assert_int_equal(stats.captured, 7);
    assert_int_equal(stats.state, CAPTURE_ENDED);
    assert_string_equal(stats.source, "test");
}

static void an_input_ends_by_itself(void **state)
{
    struct fixture *f = *state;
    f->config = (struct capture_config){ 0 };
    f->input.url = bench_clip(&bench, "clip.mp4", 320, 240, 8, "-c:v libx264 -pix_fmt yuv420p");
    start(f);
    assert_true(wait_seen(f, &f->seen.ended, 1));
    assert_int_equal(f->seen.reason, 0);
    assert_int_equal(f->seen.frames, 8);
    assert_string_equal(stats_of(f).source, "input");
}

/* ffmpeg as a streaming server on `port`, for one client. */
static pid_t serve(const char *clip, int port)
{
    char url[64];
    (void)snprintf(url, sizeof url, "tcp://127.0.0.1:%d?listen=1", port);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        unsetenv("LD_PRELOAD");
        execlp("ffmpeg", "ffmpeg", "-v", "error", "-nostdin", "-re", "-i", clip, "-c", "copy", "-f",
               "mpegts", url, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static int free_port(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    close(fd);
    return ntohs(at.sin_port);
}

/* A stream is tried until it is there, read as it comes, and again when it comes back. */
static void follows_a_stream_that_comes_and_goes(void **state)
{
    struct fixture *f = *state;
    const char *clip =
        bench_clip(&bench, "clip.ts", 320, 240, 120, "-c:v libx264 -g 10 -bf 0 -pix_fmt yuv420p");
    char url[64];
    int port = free_port();
    (void)snprintf(url, sizeof url, "tcp://127.0.0.1:%d", port);
    f->config = (struct capture_config){ 0 };
    f->input.url = url;
    start(f);
    assert_true(wait_state(f, CAPTURE_FAILED)); /* nobody listens yet */
    for (unsigned round = 1; round <= 2; round++) {
        unsigned before = frames_now(f);
        pid_t server = serve(clip, port);
        assert_true(wait_seen(f, &f->seen.opened, round));
        assert_true(wait_seen(f, &f->seen.frames, before + 20));
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
        assert_true(wait_state(f, CAPTURE_FAILED));
    }
    assert_int_equal(f->seen.ended, 0);
    capture_stop(f->capture); /* url is ours */
}

static void what_can_never_work_ends_with_the_reason(void **state)
{
    struct fixture *f = *state;
    f->config = (struct capture_config){ 0 };
    f->input.url = "/nonexistent/x.mp4";
    start(f);
    assert_true(wait_seen(f, &f->seen.ended, 1));
    assert_int_equal(f->seen.reason, -EINVAL);
    assert_non_null(strstr(f->seen.why.text, "/nonexistent/x.mp4"));
}

static void metadata_nodes_end_with_the_reason(void **state)
{
    struct fixture *f = *state;
    f->v4l2.device = BENCH_DEVICE;
    bench_camera_is("PCS_FAKE_KIND", "meta");
    start(f);
    assert_true(wait_seen(f, &f->seen.ended, 1));
    assert_int_equal(f->seen.reason, -ENOTSUP);
}

static void waits_for_a_camera(void **state)
{
    struct fixture *f = *state;
    f->v4l2.device = BENCH_DEVICE;
    bench_camera(&bench, "unplug");
    start(f);
    assert_true(wait_state(f, CAPTURE_FAILED));
    assert_non_null(strstr(stats_of(f).why, BENCH_DEVICE));
    bench_camera(&bench, "plug");
    assert_true(wait_seen(f, &f->seen.frames, 3));
    assert_int_equal(stats_of(f).state, CAPTURE_LIVE);
    assert_int_equal(stats_of(f).reopened, 0);
}

static void auto_finds_a_camera_that_comes_later(void **state)
{
    struct fixture *f = *state;
    bench_camera_is("PCS_FAKE_V4L2", "/dev/video5");
    bench_camera(&bench, "unplug");
    start(f);
    assert_true(wait_state(f, CAPTURE_FAILED));
    assert_non_null(strstr(stats_of(f).why, "no camera"));
    bench_camera(&bench, "plug");
    assert_true(wait_seen(f, &f->seen.frames, 3));
}

static void waits_until_the_camera_is_free(void **state)
{
    struct fixture *f = *state;
    f->v4l2.device = BENCH_DEVICE;
    bench_camera(&bench, "busy");
    start(f);
    assert_true(wait_state(f, CAPTURE_FAILED));
    assert_non_null(strstr(stats_of(f).why, "in use"));
    bench_camera(&bench, "free");
    assert_true(wait_seen(f, &f->seen.frames, 3));
}

static void survives_an_unplug(void **state)
{
    struct fixture *f = *state;
    f->v4l2.device = BENCH_DEVICE;
    start(f);
    for (unsigned round = 1; round <= 3; round++) {
        assert_true(wait_seen(f, &f->seen.frames, frames_now(f) + 5));
        bench_camera(&bench, "unplug");
        assert_true(wait_state(f, CAPTURE_FAILED));
        bench_camera(&bench, "plug");
        assert_true(wait_seen(f, &f->seen.opened, round + 1));
    }
    assert_true(wait_seen(f, &f->seen.frames, frames_now(f) + 5));
    struct capture_stats stats = stats_of(f);
    assert_int_equal(stats.reopened, 3);
    assert_int_equal(stats.captured, f->seen.last_seq);
}

static void survives_a_silent_camera(void **state)
{
    struct fixture *f = *state;
    f->v4l2.device = BENCH_DEVICE;
    start(f);
    assert_true(wait_seen(f, &f->seen.frames, 5));
    bench_camera(&bench, "hang"); /* until the stream is started again, as uvcvideo */
    assert_true(wait_seen(f, &f->seen.opened, 2));
    assert_true(wait_seen(f, &f->seen.frames, frames_now(f) + 5));
    assert_non_null(strstr(stats_of(f).why, "no usable picture"));
}

static void follows_a_change_of_format(void **state)
{
    struct fixture *f = *state;
    f->v4l2.device = BENCH_DEVICE;
    start(f);
    assert_true(wait_seen(f, &f->seen.frames, 5));
    bench_camera(&bench, "resize 176x144");
    assert_true(wait_seen(f, &f->seen.opened, 2));
    assert_true(wait_seen(f, &f->seen.frames, frames_now(f) + 3));
    assert_int_equal(stats_of(f).format.width, 176);
    assert_int_equal(f->seen.format.height, 144);
}

static void counts_what_is_lost(void **state)
{
    struct fixture *f = *state;
    f->v4l2.device = BENCH_DEVICE;
    start(f);
    assert_true(wait_seen(f, &f->seen.frames, 5));
    uint64_t before = stats_of(f).lost;
    bench_camera(&bench, "error 4\nshort 3\nskip 2");
    int64_t end_us = clock_now_us() + WAIT_US;
    while (stats_of(f).lost < before + 9 && clock_now_us() < end_us) {
        (void)stop_wait(bench.stop, 5 * CLOCK_MS);
    }
    assert_true(stats_of(f).lost >= before + 9);
}

static void judges_its_options(void **state)
{
    struct fixture *f = *state;
    struct err err = { 0 };
    assert_int_equal(capture_check(&f->config, f->backends, &err), 0);
    f->config.format = "XXXX";
    assert_int_equal(capture_check(&f->config, f->backends, &err), -EINVAL);
    assert_non_null(strstr(err.text, "XXXX"));
    f->config.format = NULL;
    f->config.source = source_index("input");
    assert_int_equal(capture_check(&f->config, f->backends, &err), -EINVAL);
    assert_non_null(strstr(err.text, "--input"));
    f->input.url = "x.mp4";
    assert_int_equal(capture_check(&f->config, f->backends, &err), 0);
    f->v4l2.device = "/dev/video0";
    assert_int_equal(capture_check(&f->config, f->backends, &err), -EINVAL);
    f->config.source = source_index("test");
    f->input.url = NULL;
    assert_int_equal(capture_check(&f->config, f->backends, &err), -EINVAL);
    f->config.source = source_index("auto");
    assert_int_equal(capture_check(&f->config, f->backends, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_has_its_backend),
        cmocka_unit_test_setup_teardown(gives_exactly_so_many_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(an_input_ends_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(follows_a_stream_that_comes_and_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_can_never_work_ends_with_the_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(metadata_nodes_end_with_the_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_for_a_camera, setup, teardown),
        cmocka_unit_test_setup_teardown(auto_finds_a_camera_that_comes_later, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_until_the_camera_is_free, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_an_unplug, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_a_silent_camera, setup, teardown),
        cmocka_unit_test_setup_teardown(follows_a_change_of_format, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_what_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(judges_its_options, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
