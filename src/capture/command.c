/* SPDX-License-Identifier: MIT */
/*
 * The `command` source: any program that prints JPEG or H.264 on its stdout, rpicam-vid above all. It is
 * split into frames as it comes (command_split.h), what it says on stderr goes to our log, and it never
 * outlives us (command_process.h).
 *
 * A frame's capture time is when its first byte came: a program writes a picture when it has it, and the
 * first byte is there before the pipe's size or our speed have a say.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "capture/source.h"
#include "command_line.h"
#include "command_log.h"
#include "command_process.h"
#include "command_split.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/pool.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

#define POOL_IDLE_BYTES ((size_t)8 << 20)
#define FIRST_US        (10 * CLOCK_S) /* cameras take their time to start */
#define TEXT_US         (5 * CLOCK_S)  /* … but say nothing else before the first picture */
#define SILENCE_US      (5 * CLOCK_S)
#define GRACE_US        CLOCK_S
#define STOP_GRACE_US   (500 * CLOCK_MS) /* while all stops: of the 2 s for everything */
#define END_US          (500 * CLOCK_MS) /* between the last byte and the end of a program */
#define SKIPPED_LOG_US  (60 * CLOCK_S)

struct source {
    struct stop *stop;
    struct command_line line;
    struct command_process *process;
    struct command_log log;
    struct pool *pool;
    struct command_split *split;
    struct frame *first; /* came while opening; NULL once given */
    unsigned first_lost;
    int fps;               /* as wished; 0: what the stream says */
    enum format_id wanted; /* --format; FORMAT_NONE: any */
    int64_t silence_us;    /* so long without a frame is too long */
    int64_t heard_us;      /* when the last one came, or the program was started */
    int64_t printed_us;    /* when its first byte came; 0: not yet */
    bool any;              /* a frame came */
    bool output_ended, errors_ended;
    uint64_t skipped; /* bytes, as last logged */
    struct log_limit skipped_log;
};

static const struct option_def command_options[] = {
    { .name = "camera-cmd",
      .type = OPTION_STRING,
      .offset = offsetof(struct command_config, cmd),
      .arg = "CMD",
      .help = "a program that prints JPEG or H.264, run without a shell (rpicam-vid, libcamera-vid "
              "or raspivid)" },
    { .name = "camera-args",
      .type = OPTION_STRING,
      .offset = offsetof(struct command_config, args),
      .arg = "ARGS",
      .help = "its arguments, quoted as for a shell (-t 0 --nopreview --codec mjpeg -o -)" },
};

static bool command_implied(const void *config)
{
    const struct command_config *c = config;
    return c->cmd || c->args;
}

static bool command_available(const void *config)
{
    (void)config;
    return command_line_any();
}

static int command_check(const void *config, struct err *err)
{
    return command_line_check(config, err);
}

static void command_close(struct source *s)
{
    if (!s) {
        return;
    }
    command_process_stop(s->process, stop_requested(s->stop) ? STOP_GRACE_US : GRACE_US);
    frame_unref(s->first);
    command_split_free(s->split);
    pool_free(s->pool);
    command_line_finish(&s->line);
    free(s);
}

/* ---- what it prints ---- */

/* All that it has said by now. */
static void read_errors(struct source *s)
{
    char text[4096];
    int reads = 16; /* not for ever: pictures may wait */
    ssize_t n = 1;
    while (!s->errors_ended && reads-- > 0 && n > 0) {
        n = read(command_process_errors(s->process), text, sizeof text);
        if (n > 0) {
            command_log_feed(&s->log, text, (size_t)n);
        }
        s->errors_ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    }
}

static int read_output(struct source *s, struct err *err)
{
    size_t room;
    uint8_t *to = command_split_room(s->split, &room);
    if (!to) {
        return err_set(err, -ENOMEM, "%s: out of memory", s->line.name);
    }
    ssize_t n = read(command_process_output(s->process), to, room);
    int64_t now_us = clock_now_us();
    if (n > 0) {
        command_split_fed(s->split, (size_t)n, now_us);
        s->printed_us = s->printed_us ? s->printed_us : now_us;
    }
    s->output_ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    return 0;
}

/* Until when may it be silent? */
static int64_t deadline(const struct source *s)
{
    bool text = s->printed_us && command_split_is_text(s->split);
    int64_t text_us = text ? s->printed_us + TEXT_US : INT64_MAX;
    int64_t silence_us = s->heard_us + (s->any ? s->silence_us : FIRST_US);
    return text_us < silence_us ? text_us : silence_us;
}

/* The last line on its stderr; "" = none. */
static const char *last_words(const struct source *s)
{
    return s->log.last;
}

static int no_pictures(const struct source *s, int code, struct err *err)
{
    char what[160];
    command_split_describe(s->split, what, sizeof what);
    return err_set(err, code, "%s prints no JPEG or H.264 pictures but %s", s->line.name, what);
}

static int silent(const struct source *s, struct err *err)
{
    struct command_split_stats stats;
    command_split_get_stats(s->split, &stats);
    if (!s->any && stats.bytes > 0) {
        return no_pictures(s, -EBADMSG, err);
    }
    int seconds = (int)((s->any ? s->silence_us : FIRST_US) / CLOCK_S);
    return err_set(err, -ETIMEDOUT, "%s: no picture for %d s%s%s", s->line.name, seconds,
                   *last_words(s) ? ", its last words: " : "", last_words(s));
}

/* Waits for output and reads some. 0: there may be a frame. */
static int wait_for_output(struct source *s, struct err *err)
{
    struct pollfd files[] = {
        { .fd = stop_fd(s->stop), .events = POLLIN },
        { .fd = command_process_output(s->process), .events = POLLIN },
        { .fd = s->errors_ended ? -1 : command_process_errors(s->process), .events = POLLIN },
        { .fd = command_process_news(s->process), .events = POLLIN },
    };
    int64_t now_us = clock_now_us(), until_us = deadline(s);
    thread_idle();
    int n = now_us < until_us
                ? poll(files, sizeof files / sizeof files[0], clock_poll_ms(until_us, now_us))
                : 0;
    thread_busy();
    if (n < 0) {
        return errno == EINTR ? 0 : err_set(err, -errno, "%s: cannot wait for it", s->line.name);
    }
    if (files[0].revents && n > 0) {
        return -ECANCELED;
    }
    if (n == 0) {
        return clock_now_us() < until_us ? 0 : silent(s, err);
    }
    if (files[2].revents) {
        read_errors(s);
    }
    if (files[3].revents && command_process_lost(s->process)) {
        return err_set(err, -EIO, "%s: the process that looks after it was killed", s->line.name);
    }
    return files[1].revents ? read_output(s, err) : 0;
}

/* It prints nothing any more: why? */
static int ended(struct source *s, struct err *err)
{
    struct command_end end = { 0 };
    bool known = command_process_wait(s->process, END_US, &end);
    char how[80] = "closed its output";
    read_errors(s);
    command_log_end(&s->log);
    if (known) {
        command_end_text(&end, how, sizeof how);
    }
    if (known && end.exec_errno) {
        bool mended = end.exec_errno == EAGAIN || end.exec_errno == ENOMEM;
        return err_set(err, mended ? -EIO : -EINVAL, "%s: %s", s->line.path, how);
    }
    struct command_split_stats stats;
    command_split_get_stats(s->split, &stats);
    if (!s->any && stats.bytes > 0) {
        char what[160];
        command_split_describe(s->split, what, sizeof what);
        return err_set(err, -EIO, "%s %s, having printed %s%s%s", s->line.name, how, what,
                       *last_words(s) ? "; its last words: " : "", last_words(s));
    }
    return err_set(err, -EIO, "%s %s%s%s", s->line.name, how,
                   *last_words(s) ? "; its last words: " : "", last_words(s));
}

static void log_skipped(struct source *s)
{
    struct command_split_stats stats;
    command_split_get_stats(s->split, &stats);
    if (stats.skipped != s->skipped) {
        log_limited(&s->skipped_log, SKIPPED_LOG_US, LOG_DEBUG,
                    "%s: %llu bytes so far belong to no picture", s->line.name,
                    (unsigned long long)stats.skipped);
        s->skipped = stats.skipped;
    }
}

static int check_codec(const struct source *s, const struct frame *frame, struct err *err)
{
    enum format_id is = frame->format.id;
    return s->wanted == FORMAT_NONE || s->wanted == is
               ? 0
               : err_set(err, -EINVAL, "--format %s: %s prints %s", format_info(s->wanted)->name,
                         s->line.name, format_info(is)->name);
}

static int accept_frame(struct source *s, struct frame *frame, struct err *err)
{
    s->any = true;
    s->heard_us = clock_now_us();
    if (s->fps > 0) {
        frame->format.fps_num = s->fps;
        frame->format.fps_den = 1;
    }
    return check_codec(s, frame, err);
}

static int take_frame(struct source *s, struct frame **out, unsigned *lost, struct err *err)
{
    int code = command_split_take(s->split, out, lost);
    log_skipped(s);
    if (code == -EMSGSIZE) {
        return err_set(err, code, "%s prints a picture of more than %d MB", s->line.name,
                       (int)(COMMAND_MAX_FRAME >> 20));
    }
    if (code == -EBADMSG && s->any) {
        return err_set(err, code, "%s prints %d MB without a picture", s->line.name,
                       (int)(COMMAND_MAX_GARBAGE >> 20));
    }
    if (code == -EBADMSG) {
        return no_pictures(s, code, err);
    }
    return code == 0         ? accept_frame(s, *out, err)
           : code == -ENOMEM ? err_set(err, code, "%s: out of memory", s->line.name)
                             : code;
}

/* What was cut off by its death is no frame; a program that ended well has finished its last one. */
static int take_last(struct source *s, struct frame **out, unsigned *lost, struct err *err)
{
    struct command_end end = { .status = -1 };
    if (!command_process_wait(s->process, END_US, &end) || end.exec_errno || end.status != 0) {
        return ended(s, err);
    }
    command_split_end(s->split);
    int code = take_frame(s, out, lost, err);
    return code == -EAGAIN ? ended(s, err) : code;
}

static int read_frame(struct source *s, struct frame **out, unsigned *lost, struct err *err)
{
    for (;;) {
        int code = take_frame(s, out, lost, err);
        if (code != -EAGAIN) {
            return code;
        }
        if (s->output_ended) {
            return take_last(s, out, lost, err);
        }
        code = wait_for_output(s, err);
        if (code < 0) {
            return code;
        }
    }
}

/* ---- the source ---- */

static void log_start(const struct source *s)
{
    char line[256];
    command_line_describe(&s->line, line, sizeof line);
    log_info("starting %s", line);
}

static int start(struct source *s, const struct command_config *config,
                 const struct source_wish *wish, struct err *err)
{
    int code = command_line_make(&s->line, config, wish, err);
    if (code < 0) {
        return code;
    }
    s->pool = pool_new(POOL_IDLE_BYTES);
    s->split = s->pool ? command_split_new(s->pool) : NULL;
    if (!s->split) {
        return err_set(err, -ENOMEM, "%s: out of memory", s->line.name);
    }
    s->log.name = s->line.name;
    log_start(s);
    code = command_process_start(&s->process, s->line.path, s->line.words.item, err);
    s->heard_us = clock_now_us();
    return code < 0 ? code : read_frame(s, &s->first, &s->first_lost, err);
}

static void log_opened(const struct source *s)
{
    char text[64];
    log_info("%s: %s", s->line.name, format_describe(&s->first->format, text, sizeof text));
}

static int command_open(struct source **out, const struct source_wish *wish, const void *config,
                        struct stop *stop, struct format *format, struct err *err)
{
    struct source *s = calloc(1, sizeof *s);
    if (!s) {
        return err_set(err, -ENOMEM, "command: out of memory");
    }
    s->stop = stop;
    s->fps = wish->fps;
    s->wanted = wish->format;
    int64_t three_us = wish->fps > 0 ? 3 * CLOCK_S / wish->fps : 0;
    s->silence_us = three_us > SILENCE_US ? three_us : SILENCE_US;
    int code = start(s, config, wish, err);
    if (code < 0) {
        command_close(s);
        return code;
    }
    log_opened(s);
    *format = s->first->format;
    format->transform = s->line.transform;
    *out = s;
    return 0;
}

static int command_next(struct source *s, const struct frame **out, unsigned *lost, struct err *err)
{
    struct frame *frame = s->first;
    *lost += s->first_lost;
    s->first_lost = 0;
    s->first = NULL;
    int code = frame ? 0 : read_frame(s, &frame, lost, err);
    if (code < 0) {
        frame_unref(frame);
        return code;
    }
    *out = frame;
    return 0;
}

const struct source_backend source_command = {
    .name = "command",
    .options = command_options,
    .option_count = OPTION_COUNT(command_options),
    .config_size = sizeof(struct command_config),
    .implied = command_implied,
    .available = command_available,
    .check = command_check,
    .retry_first_us = CLOCK_S,
    .retry_max_us = 60 * CLOCK_S,
    .open = command_open,
    .next = command_next,
    .close = command_close,
};
