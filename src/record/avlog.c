/* SPDX-License-Identifier: MIT */
#include "avlog.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <libavutil/log.h>

#include "pcs/clock.h"
#include "pcs/log.h"

static struct log_limit limit; /* the libraries' callback has no place for one of ours */

static enum log_level level_of(int av_level)
{
    return av_level <= AV_LOG_ERROR ? LOG_WARN : av_level <= AV_LOG_WARNING ? LOG_DEBUG : LOG_TRACE;
}

static void on_line(void *object, int av_level, const char *fmt, va_list args)
{
    enum log_level level = level_of(av_level);
    if (av_level > AV_LOG_VERBOSE || !log_enabled(level)) {
        return;
    }
    char line[512];
    int print_prefix = 1;
    (void)av_log_format_line2(object, av_level, fmt, args, line, sizeof line, &print_prefix);
    line[strcspn(line, "\n")] = '\0';
    if (!*line) {
        return;
    }
    if (level == LOG_WARN) {
        log_limited(&limit, 5 * CLOCK_S, level, "%s", line);
    } else {
        log_at(level, "%s", line);
    }
}

void avlog_install(void)
{
    av_log_set_callback(on_line);
}
