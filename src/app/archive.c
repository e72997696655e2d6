/* SPDX-License-Identifier: MIT */
#include "archive.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive_disk.h"
#include "archive_ram.h"
#include "pcs/clock.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "record/naming.h"
#include "record/recorder.h"

#define LEAST_BYTES   (4 << 20) /* of the folder: its parts are segments */
#define PATTERN_BYTES 4096

struct archive_config {
    const char *folder;
    int64_t max_bytes, segment_time_us, ram_bytes;
};

static const struct option_def archive_options[] = {
    { .name = "archive",
      .type = OPTION_STRING,
      .offset = offsetof(struct archive_config, folder),
      .arg = "DIR",
      .help = "record into this folder, in segments that play even after a power cut" },
    { .name = "archive-size",
      .type = OPTION_SIZE,
      .offset = offsetof(struct archive_config, max_bytes),
      .value = "4G",
      .max = (int64_t)1 << 60,
      .flags = OPTION_LIVE,
      .arg = "SIZE",
      .help =
          "all our segments there together; the oldest go first; 0 = no limit, else 4M or more" },
    { .name = "segment-time",
      .type = OPTION_TIME,
      .offset = offsetof(struct archive_config, segment_time_us),
      .value = "10m",
      .max = 24 * 3600 * CLOCK_S,
      .flags = OPTION_LIVE,
      .arg = "TIME",
      .help = "begin another segment after this time, at a key frame; 0 = by size only" },
    { .name = "archive-ram",
      .type = OPTION_SIZE,
      .offset = offsetof(struct archive_config, ram_bytes),
      .value = "0",
      .max = (int64_t)1 << 40,
      .arg = "SIZE",
      .help = "keep the last of the stream in memory; SIGUSR1 writes it to a file; 0 = off" },
};

struct sink {
    struct archive_config config; /* as it was at the start */
    const struct sink_env *env;
    char *folder;
    char *segments, *dumps;    /* patterns */
    struct archive_disk *disk; /* NULL: no --archive */
    struct archive_ram *ram;   /* NULL: no --archive-ram */
    struct stop *stop;         /* of mending */
    struct thread mend;
};

static bool archive_wanted(const void *config)
{
    const struct archive_config *c = config;
    return c->folder || c->ram_bytes > 0;
}

static int archive_check(const void *config, struct err *err)
{
    const struct archive_config *c = config;
    if (c->folder && !*c->folder) {
        return err_set(err, -EINVAL, "--archive: '' is not a folder");
    }
    if (c->max_bytes != 0 && c->max_bytes < LEAST_BYTES) {
        return err_set(err, -EINVAL, "--archive-size: %lld is less than 4M, and not 0",
                       (long long)c->max_bytes);
    }
    return 0;
}

/* FOLDER/NAME-KIND%Y%m%d-%H%M%S.mp4. The name is spelled out, so that two cameras may share a folder. */
static char *make_pattern(const char *folder, const char *name, const char *kind)
{
    char safe[NAMING_NAME_MAX + 1], path[PATTERN_BYTES], *out = path;
    naming_safe(name, safe);
    for (const char *s = folder; *s && out < path + sizeof path - 300; s++) {
        *out++ = *s;
        if (*s == '%') {
            *out++ = '%';
        }
    }
    (void)snprintf(out, 300, "/%s-%s%%Y%%m%%d-%%H%%M%%S.mp4", safe, kind);
    return strdup(path);
}

/* ---- recordings of an earlier run ---- */

static void mend(void *arg)
{
    struct sink *s = arg;
    int mended = record_recover(s->segments, s->stop) + record_recover(s->dumps, s->stop);
    if (mended > 0) {
        log_info("archive: %d recordings of an earlier run are whole again", mended);
    }
}

/* ---- the sink ---- */

static void archive_free(struct sink *s)
{
    if (!s) {
        return;
    }
    archive_disk_free(s->disk);
    archive_ram_free(s->ram);
    stop_free(s->stop);
    free(s->segments);
    free(s->dumps);
    free(s->folder);
    free(s);
}

static struct sink *archive_new(const struct archive_config *config, const struct sink_env *env)
{
    struct sink *s = calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    s->config = *config;
    s->env = env;
    s->folder = strdup(config->folder ? config->folder : ".");
    s->stop = stop_new();
    if (s->folder) {
        s->segments = make_pattern(s->folder, env->name, "");
        s->dumps = make_pattern(s->folder, env->name, "ram-");
    }
    if (!s->segments || !s->dumps || !s->stop) {
        archive_free(s);
        return NULL;
    }
    return s;
}

static int open_disk(struct sink *s, struct err *err)
{
    const struct archive_disk_config config = { .folder = s->folder,
                                                .pattern = s->segments,
                                                .name = s->env->name,
                                                .max_bytes = s->config.max_bytes,
                                                .segment_time_us = s->config.segment_time_us,
                                                .hub = s->env->hub };
    return archive_disk_open(&s->disk, &config, err);
}

static int open_ram(struct sink *s, struct err *err)
{
    const struct archive_ram_config config = { .pattern = s->dumps,
                                               .name = s->env->name,
                                               .max_bytes = s->config.ram_bytes,
                                               .hub = s->env->hub };
    int code = record_check_pattern(s->dumps, err);
    return code < 0 ? code : archive_ram_open(&s->ram, &config, err);
}

static void archive_reconfigure(struct sink *s, const void *config)
{
    const struct archive_config *c = config;
    if (s->disk) {
        archive_disk_limit(s->disk, c->max_bytes, c->segment_time_us);
    }
}

static void archive_finish(struct sink *s, int64_t deadline_us)
{
    stop_request(s->stop);
    if (s->disk) {
        archive_disk_finish(s->disk, deadline_us);
    }
    if (s->ram) {
        archive_ram_finish(s->ram, deadline_us);
    }
    thread_join(&s->mend);
}

static int archive_open(struct sink **out, const void *config, const struct sink_env *env,
                        struct err *err)
{
    struct sink *s = archive_new(config, env);
    int code = s ? 0 : err_set(err, -ENOMEM, "out of memory");
    if (code == 0 && s->config.folder) {
        code = open_disk(s, err);
    }
    if (code == 0 && s->config.ram_bytes > 0) {
        code = open_ram(s, err);
    }
    if (code == 0 && (code = thread_start(&s->mend, "mend", mend, s)) < 0) {
        (void)err_set(err, code, "cannot start the archive: %s", err_text(code)); /* `code` again */
    }
    if (code < 0 && s) {
        archive_finish(s, 0);
        archive_free(s);
    }
    if (code == 0) {
        *out = s;
    }
    return code;
}

static void archive_totals(struct sink *s, struct sink_totals *out)
{
    *out = (struct sink_totals){ .done = true };
    uint64_t published = hub_published(s->env->hub);
    if (s->disk) {
        struct archive_disk_stats d;
        archive_disk_get_stats(s->disk, &d);
        out->sent = out->acked = d.written;
        out->queued = d.queued;
        out->bytes = d.bytes;
        out->connected = d.recording && !d.paused;
        out->done = d.idle;
    } else {
        struct archive_ram_stats r;
        archive_ram_get_stats(s->ram, &r);
        out->sent = r.taken - r.refused;
        out->bytes = r.bytes;
    }
    uint64_t settled = out->sent + out->queued;
    out->dropped = published > settled ? published - settled : 0;
}

static struct cJSON *ram_json(struct sink *s)
{
    struct archive_ram_stats r;
    archive_ram_get_stats(s->ram, &r);
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "frames", (double)r.held_frames);
    cJSON_AddNumberToObject(o, "bytes", (double)r.held_bytes);
    cJSON_AddNumberToObject(o, "seconds", (double)(r.held_us / CLOCK_MS) / 1000.0);
    cJSON_AddNumberToObject(o, "dumps", (double)r.dumps);
    return o;
}

static void add_disk(struct sink *s, struct cJSON *o, uint64_t dropped)
{
    struct archive_disk_stats d;
    archive_disk_get_stats(s->disk, &d);
    cJSON_AddNumberToObject(o, "while_off",
                            (double)(dropped > d.refused ? dropped - d.refused : 0));
    cJSON_AddNumberToObject(o, "segments", (double)d.segments);
    cJSON_AddNumberToObject(o, "removed", (double)d.removed);
}

static struct cJSON *archive_report(struct sink *s)
{
    struct sink_totals t;
    archive_totals(s, &t);
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kind", "archive");
    cJSON_AddStringToObject(o, "target", s->disk ? s->folder : "memory");
    cJSON_AddNumberToObject(o, "sent", (double)t.sent);
    cJSON_AddNumberToObject(o, "acked", (double)t.acked);
    cJSON_AddNumberToObject(o, "dropped", (double)t.dropped);
    cJSON_AddNumberToObject(o, "bytes", (double)t.bytes);
    cJSON_AddNumberToObject(o, "reconnects", 0);
    if (s->disk) {
        add_disk(s, o, t.dropped);
    }
    if (s->ram) {
        cJSON_AddItemToObject(o, "ram", ram_json(s));
    }
    return o;
}

const struct sink_backend sink_archive = {
    .kind = "archive",
    .section = "record",
    .options = archive_options,
    .option_count = OPTION_COUNT(archive_options),
    .config_size = sizeof(struct archive_config),
    .wanted = archive_wanted,
    .check = archive_check,
    .open = archive_open,
    .reconfigure = archive_reconfigure,
    .finish = archive_finish,
    .free = archive_free,
    .totals = archive_totals,
    .report = archive_report,
};

/* ---- for others of src/app ---- */

const char *const archive_state_names[] = { "none", "off", "recording", "paused", NULL };

static enum archive_state state_of(const struct archive_disk_stats *d)
{
    return d->paused ? ARCHIVE_PAUSED : d->recording ? ARCHIVE_RECORDING : ARCHIVE_OFF;
}

static void fill_disk(struct sink *s, struct archive_status *out)
{
    struct archive_disk_stats d;
    archive_disk_get_stats(s->disk, &d);
    out->state = state_of(&d);
    memcpy(out->problem, d.problem, sizeof out->problem);
    memcpy(out->file, d.file, sizeof out->file);
    out->segments = d.segments;
    out->written = d.written;
    out->bytes = d.bytes;
    out->held_bytes = d.held_bytes;
    out->limit_bytes = d.limit_bytes;
    out->removed = d.removed;
}

static void fill_ram(struct sink *s, struct archive_status *out)
{
    struct archive_ram_stats r;
    archive_ram_get_stats(s->ram, &r);
    out->ram = true;
    out->dumping = r.dumping;
    out->ram_frames = r.held_frames;
    out->ram_bytes = r.held_bytes;
    out->ram_us = r.held_us;
    out->dumps = r.dumps;
    memcpy(out->dump_file, r.file, sizeof out->dump_file);
    memcpy(out->dump_problem, r.problem, sizeof out->dump_problem);
}

void archive_get_status(struct sink *s, struct archive_status *out)
{
    *out = (struct archive_status){ .state = ARCHIVE_NONE };
    if (s->disk) {
        fill_disk(s, out);
    }
    if (s->ram) {
        fill_ram(s, out);
    }
}

int archive_record(struct sink *s, bool on, struct err *err)
{
    if (!s->disk) {
        return err_set(err, -ENOTSUP, "there is no folder to record into: --archive DIR names one");
    }
    archive_disk_record(s->disk, on);
    return 0;
}

int archive_dump(struct sink *s, struct err *err)
{
    if (!s->ram) {
        return err_set(err, -ENOTSUP, "nothing is held in memory: --archive-ram SIZE does that");
    }
    return archive_ram_dump(s->ram, err);
}
