/* SPDX-License-Identifier: MIT */
#include "command_log.h"

#include <string.h>

#include "pcs/clock.h"
#include "pcs/text.h"

#define FIRST_LINES 20
#define WARN_US     (10 * CLOCK_S)
#define DETAIL_US   (200 * CLOCK_MS)

static bool speaks_of_error(const char *line)
{
    static const char *const words[] = { "error", "fail", "cannot", "could not", "timeout" };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasestr(line, words[i])) {
            return true;
        }
    }
    return false;
}

static void write_line(struct command_log *log)
{
    if (log->lines < FIRST_LINES) {
        log->lines++;
        log_info("%s: %s", log->name, log->last);
    } else if (speaks_of_error(log->last)) {
        log_limited(&log->warnings, WARN_US, LOG_WARN, "%s: %s", log->name, log->last);
    } else {
        log_limited(&log->details, DETAIL_US, LOG_DEBUG, "%s: %s", log->name, log->last);
    }
}

void command_log_end(struct command_log *log)
{
    while (log->used > 0 && log->line[log->used - 1] == ' ') {
        log->used--;
    }
    if (log->used > 0) {
        text_clean(log->line, log->used);
        memcpy(log->last, log->line, log->used);
        log->last[log->used] = '\0';
        write_line(log);
    }
    log->used = 0;
}

void command_log_feed(struct command_log *log, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n' || text[i] == '\r') { /* a terminal's line written over and over, too */
            command_log_end(log);
        } else if (log->used < COMMAND_LINE) {
            log->line[log->used++] = text[i] == '\t' ? ' ' : text[i];
        }
    }
}
