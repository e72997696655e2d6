/* SPDX-License-Identifier: MIT */
#include "avlog.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <libavutil/log.h>

#include "pcs/clock.h"
#include "pcs/log.h"
#include "pcs/text.h"

static struct log_limit limit; /* the libraries' callback has no place for one of ours */

static enum log_level level_of(int av_level)
{
    return av_level <= AV_LOG_ERROR ? LOG_WARN : av_level <= AV_LOG_WARNING ? LOG_DEBUG : LOG_TRACE;
}

/* Of a URL, what may be secret: who, and everything from the query on, wherever that ends. */
static void hide_secrets(char *line, size_t size)
{
    char *at = strstr(line, "://");
    while (at) {
        char *who = at + strlen("://"), *host = who + text_login_size(who, strcspn(who, "/? "));
        memmove(who, host, strlen(host) + 1);
        at = strstr(at + 1, "://");
    }
    char *url = strstr(line, "://"), *query = url ? strchr(url, '?') : NULL;
    if (query) {
        (void)snprintf(query, size - (size_t)(query - line), "?…"); /* no room: less of it */
    }
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
    hide_secrets(line, sizeof line);
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
