/* SPDX-License-Identifier: MIT */
#include "pcs/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/text.h"

const char *const log_level_names[] = { "error", "warn", "info", "debug", "trace", NULL };

/* The log belongs to the process, as stderr does. */
static atomic_int max_level = LOG_INFO;
static pthread_once_t journal_once = PTHREAD_ONCE_INIT;
static bool to_journal;

/* JOURNAL_STREAM holds "device:inode" of the journal's stream (systemd.exec(5)). It is inherited by
 * everything we might be started from, so it only counts when stderr really is that stream. */
static void find_journal(void)
{
    const char *env = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;
    to_journal = env && sscanf(env, "%llu:%llu", &dev, &ino) == 2 &&
                 fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&max_level, level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

static size_t put_prefix(char *line, size_t size, enum log_level level)
{
    static const int priority[] = { 3, 4, 6, 7, 7 }; /* syslog(3) */
    char thread[16] = "main"; /* whose own name is the program's, for ps(1) */
    if (gettid() != getpid()) {
        (void)pthread_getname_np(pthread_self(), thread, sizeof thread); /* "main" will do */
    }
    int n;
    if (to_journal) {
        n = snprintf(line, size, "<%d>%s: ", priority[level], thread);
    } else {
        int64_t now_us = clock_wall_us();
        time_t seconds = (time_t)(now_us / CLOCK_S);
        struct tm tm;
        localtime_r(&seconds, &tm);
        n = snprintf(line, size, "%02d:%02d:%02d.%03d %-5s %s: ", tm.tm_hour, tm.tm_min, tm.tm_sec,
                     (int)(now_us % CLOCK_S / CLOCK_MS), log_level_names[level], thread);
    }
    return n > 0 ? (size_t)n : 0;
}

__attribute__((format(printf, 2, 0))) static void put_line(enum log_level level, const char *fmt,
                                                           va_list args, unsigned held_back)
{
    pthread_once(&journal_once, find_journal);
    char line[1024];
    const size_t room = sizeof line - 1;
    size_t used = put_prefix(line, room, level);
    int n = vsnprintf(line + used, room - used, fmt, args);
    if (n > 0) {
        used += (size_t)n < room - used ? (size_t)n : room - used - 1;
    }
    text_clean(line,
               used); /* what peers and files say stays on one line and away from the terminal */
    if (held_back > 0) {
        n = snprintf(line + used, room - used, " (and %u more like this)", held_back);
        used += n > 0 && (size_t)n < room - used ? (size_t)n : 0;
    }
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0) {
        /* Nobody is left to be told. */
    }
}

void log_write(enum log_level level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    put_line(level, fmt, args, 0);
    va_end(args);
}

void log_limited(struct log_limit *limit, int64_t period_us, enum log_level level, const char *fmt,
                 ...)
{
    if (!log_enabled(level)) {
        return;
    }
    int64_t now_us = clock_now_us();
    int64_t next_us = atomic_load(&limit->next_us);
    if (now_us < next_us ||
        !atomic_compare_exchange_strong(&limit->next_us, &next_us, now_us + period_us)) {
        atomic_fetch_add(&limit->suppressed, 1);
        return;
    }
    va_list args;
    va_start(args, fmt);
    put_line(level, fmt, args, atomic_exchange(&limit->suppressed, 0));
    va_end(args);
}
