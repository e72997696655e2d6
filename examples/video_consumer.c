/* SPDX-License-Identifier: MIT */
/*
 * Reads the pictures of pi-camera-streamer on this machine from shared memory.
 *
 *   video_consumer [-s] [-c N] [-t MS] [-o FILE] [-n] [NAME]
 *
 *   -s       statistics: a line each second and one at the end
 *   -c N     end after N frames
 *   -t MS    end when nothing came for so long; 0 = wait for ever (default 5000)
 *   -o FILE  write the frames there, one behind the other (H.264, JPEG or raw); - = standard output
 *   -n       always the newest frame, in place of each one
 *   NAME     default /video_stream
 *
 * Exit status: 0 it has N frames, or Ctrl-C; 1 error; 3 nothing came for MS. When the producer is started
 * again, it goes on with the new one.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pcs/shm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct settings {
    const char *name, *output;
    uint64_t count; /* 0: no end */
    int timeout_ms; /* negative: for ever */
    bool statistics, newest;
};

struct counts {
    uint64_t frames, bytes, missed, torn;
    int64_t since_us, worst_us, sum_us; /* from published to here */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static int64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void count_frame(struct counts *c, const struct pcs_shm_frame *f, int64_t now)
{
    int64_t late_us = now - f->published_us;
    c->frames++;
    c->bytes += f->size;
    c->missed += f->missed;
    c->sum_us += late_us;
    c->worst_us = late_us > c->worst_us ? late_us : c->worst_us;
}

static void show(const char *what, const struct counts *c, const struct pcs_shm_frame *f,
                 int64_t now)
{
    double seconds = (double)(now - c->since_us) / 1e6;
    uint64_t frames = c->frames ? c->frames : 1;
    (void)fprintf(stderr,
                  "%s %" PRIu32 "x%" PRIu32 " %.4s: %" PRIu64
                  " frames, %.1f fps, %.2f Mbit/s, missed %" PRIu64 ", overwritten %" PRIu64
                  ", awake after %" PRId64 " us (worst %" PRId64 ")\n",
                  what, f->width, f->height, (const char *)&f->fourcc, c->frames,
                  seconds > 0 ? (double)c->frames / seconds : 0,
                  seconds > 0 ? (double)c->bytes * 8e-6 / seconds : 0, c->missed, c->torn,
                  c->sum_us / (int64_t)frames, c->worst_us);
}

/* The frame is written from where it lies; what was torn meanwhile is counted, for it is in the file. */
static int write_frame(FILE *file, struct pcs_shm *shm, const struct pcs_shm_frame *f,
                       struct counts *c)
{
    if (file && fwrite(f->data, 1, f->size, file) != f->size) {
        return -EIO;
    }
    c->torn += !pcs_shm_valid(shm, f);
    return 0;
}

static int open_and_tell(struct pcs_shm **shm, const struct settings *s)
{
    unsigned flags = s->newest ? PCS_SHM_NEWEST : 0;
    struct pcs_shm_producer p;
    int code = pcs_shm_open(shm, s->name, flags, s->timeout_ms);
    if (code == 0 && s->statistics) {
        pcs_shm_get_producer(*shm, &p);
        (void)fprintf(stderr, "%s: camera %s, process %" PRIu32 "\n", s->name, p.name, p.pid);
    }
    return code;
}

static int consume(struct pcs_shm *shm, const struct settings *s, FILE *file)
{
    struct counts all = { .since_us = now_us() }, second = { .since_us = all.since_us };
    struct pcs_shm_frame frame = { 0 };
    int code = 0;
    while (code == 0 && !interrupted && (s->count == 0 || all.frames < s->count)) {
        code = pcs_shm_next(shm, &frame, s->timeout_ms);
        if (code == -ESTALE || code == -EPIPE) { /* it has ended: wait for the next one */
            code = pcs_shm_reopen(shm, s->timeout_ms);
            code = code == -ENOENT ? -ETIMEDOUT : code;
            continue;
        }
        if (code == 0) {
            int64_t now = now_us();
            count_frame(&all, &frame, now);
            count_frame(&second, &frame, now);
            code = write_frame(file, shm, &frame, &all);
            if (s->statistics && now - second.since_us >= 1000000) {
                show("now", &second, &frame, now);
                second = (struct counts){ .since_us = now };
            }
        }
    }
    if (s->statistics) {
        show("all", &all, &frame, now_us());
    }
    return code;
}

static bool parse_number(const char *text, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0 && errno == 0 && *out <= most;
}

static bool parse(struct settings *s, int argc, char **argv)
{
    int option;
    uint64_t number;
    while ((option = getopt(argc, argv, "sc:t:o:n")) != -1) {
        switch (option) {
        case 's':
            s->statistics = true;
            break;
        case 'c':
            if (!parse_number(optarg, UINT64_MAX, &s->count)) {
                return false;
            }
            break;
        case 't':
            if (!parse_number(optarg, INT_MAX, &number)) {
                return false;
            }
            s->timeout_ms = number > 0 ? (int)number : -1;
            break;
        case 'o':
            s->output = optarg;
            break;
        case 'n':
            s->newest = true;
            break;
        default:
            return false;
        }
    }
    if (optind < argc) {
        s->name = argv[optind++];
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct settings s = { .name = "/video_stream", .timeout_ms = 5000 };
    if (!parse(&s, argc, argv)) {
        (void)fprintf(stderr, "usage: %s [-s] [-c N] [-t MS] [-o FILE] [-n] [NAME]\n", argv[0]);
        return 2;
    }
    const struct sigaction action = { .sa_handler = on_signal }; /* no SA_RESTART: waits end */
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);

    FILE *file = !s.output ? NULL : strcmp(s.output, "-") == 0 ? stdout : fopen(s.output, "wb");
    struct pcs_shm *shm = NULL;
    int code = s.output && !file ? -errno : open_and_tell(&shm, &s);
    if (code == 0) {
        code = consume(shm, &s, file);
    }
    pcs_shm_close(shm);
    if (file && fclose(file) != 0 && code == 0) {
        code = -errno;
    }
    if (code == 0 || interrupted) {
        return 0;
    }
    (void)fprintf(stderr, "%s: %s\n", s.name, strerror(-code));
    return code == -ETIMEDOUT || code == -ENOENT ? 3 : 1;
}
