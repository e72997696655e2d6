/* SPDX-License-Identifier: MIT */
/*
 * Log lines on stderr: time, level, thread, text; under systemd (JOURNAL_STREAM names our stderr)
 * the journal's <N> prefix instead of time and level. One write(2) a line, so lines never mix.
 * error = gave up what the user asked · warn = degraded, and how · info = state changed, never per
 * frame · debug = for developers · trace = per frame.
 * Threads: any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

/* Names of the levels in order, NULL-terminated: the choices of --log-level. */
extern const char *const log_level_names[];

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_at(level, ...) (log_enabled(level) ? log_write(level, __VA_ARGS__) : (void)0)
#define log_error(...)     log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)      log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)      log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...)     log_at(LOG_DEBUG, __VA_ARGS__)
#define log_trace(...)     log_at(LOG_TRACE, __VA_ARGS__)

/*
 * For what may repeat: at most one line per `period_us`; the next line that is let through says how
 * many were held back. `limit` is zero-initialised and lives as long as its user.
 */
struct log_limit {
    _Atomic int64_t next_us;
    atomic_uint suppressed;
};
void log_limited(struct log_limit *limit, int64_t period_us, enum log_level level, const char *fmt,
                 ...) __attribute__((format(printf, 4, 5)));
