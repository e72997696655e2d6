/* SPDX-License-Identifier: MIT */
#include "shm.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/hub.h"
#include "shm_feed.h"

#define USUAL_NAME "/video_stream"

struct shm_config {
    const char *stream, *raw; /* NULL = not wanted */
};

static const struct option_def shm_options[] = {
    { .name = "shm",
      .type = OPTION_STRING,
      .offset = offsetof(struct shm_config, stream),
      .arg = "NAME",
      .help = "the stream in shared memory of this name, for programs on this machine" },
    { .name = "shm-raw",
      .type = OPTION_STRING,
      .offset = offsetof(struct shm_config, raw),
      .arg = "NAME",
      .help = "raw pictures of the camera in shared memory of this name" },
};

struct sink {
    const struct sink_env *env;
    struct shm_config config;
    struct shm_feed *stream, *raw; /* either may be NULL */
};

static bool shm_wanted(const void *config)
{
    const struct shm_config *c = config;
    return c->stream || c->raw;
}

static void shm_serve(void *config)
{
    struct shm_config *c = config;
    c->stream = c->stream ? c->stream : USUAL_NAME;
}

static int check_name(const char *option, const char *name, struct err *err)
{
    bool ok = !name || shm_feed_name_ok(name);
    return ok ? 0
              : err_set(err, -EINVAL,
                        "--%s: '%s': a name of up to 198 letters without a slash inside", option,
                        name);
}

static int shm_check(const void *config, struct err *err)
{
    const struct shm_config *c = config;
    int code = check_name("shm", c->stream, err);
    code = code < 0 ? code : check_name("shm-raw", c->raw, err);
    if (code == 0 && c->stream && c->raw &&
        strcmp(c->stream + (*c->stream == '/'), c->raw + (*c->raw == '/')) == 0) {
        return err_set(err, -EINVAL, "--shm and --shm-raw: '%s' cannot be both", c->raw);
    }
    return code;
}

static void shm_free(struct sink *s)
{
    if (s) {
        shm_feed_free(s->stream);
        shm_feed_free(s->raw);
        free(s);
    }
}

static int start(struct shm_feed **out, const char *name, bool raw, const struct sink_env *env,
                 struct err *err)
{
    const struct shm_feed_plan plan = {
        .name = name, .camera = env->name, .hub = raw ? env->pictures : env->hub, .raw = raw
    };
    return name ? shm_feed_start(out, &plan, err) : 0;
}

static int shm_open_sink(struct sink **out, const void *config, const struct sink_env *env,
                         struct err *err)
{
    struct sink *s = calloc(1, sizeof *s);
    if (!s) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    s->env = env;
    s->config = *(const struct shm_config *)config;
    int code = start(&s->stream, s->config.stream, false, env, err);
    code = code < 0 ? code : start(&s->raw, s->config.raw, true, env, err);
    if (code < 0) {
        if (s->stream) {
            shm_feed_stop(s->stream);
        }
        shm_free(s);
        return code;
    }
    *out = s;
    return 0;
}

/* Nobody is waited for: what is in the memory stays readable for those who have it mapped. */
static void shm_finish(struct sink *s, int64_t deadline_us)
{
    (void)deadline_us;
    if (s->stream) {
        shm_feed_stop(s->stream);
    }
    if (s->raw) {
        shm_feed_stop(s->raw);
    }
}

/* What nobody wanted to read counts as dropped. */
static void shm_totals(struct sink *s, struct sink_totals *out)
{
    struct shm_feed_totals t = { .done = true }, raw = { .done = true };
    if (s->stream) {
        shm_feed_get_totals(s->stream, &t);
    }
    if (s->raw) {
        shm_feed_get_totals(s->raw, &raw);
    }
    uint64_t published = hub_published(s->env->hub);
    *out = (struct sink_totals){ .sent = t.sent,
                                 .dropped = published > t.sent ? published - t.sent : 0,
                                 .bytes = t.bytes + raw.bytes,
                                 .connected = t.read || raw.read,
                                 .done = t.done && raw.done };
}

static void report_feed(struct cJSON *o, struct shm_feed *feed, const char *name)
{
    struct shm_feed_totals t;
    shm_feed_get_totals(feed, &t);
    cJSON_AddStringToObject(o, "target", name);
    cJSON_AddNumberToObject(o, "sent", (double)t.sent);
    cJSON_AddNumberToObject(o, "bytes", (double)t.bytes);
    cJSON_AddNumberToObject(o, "refused", (double)t.refused);
}

static struct cJSON *shm_report(struct sink *s)
{
    struct sink_totals t;
    struct cJSON *o = cJSON_CreateObject();
    shm_totals(s, &t);
    cJSON_AddStringToObject(o, "kind", "shm");
    if (s->stream) {
        report_feed(o, s->stream, s->config.stream);
    } else {
        cJSON_AddStringToObject(o, "target", s->config.raw);
        cJSON_AddNumberToObject(o, "sent", 0);
        cJSON_AddNumberToObject(o, "bytes", 0);
    }
    cJSON_AddNumberToObject(o, "dropped", (double)t.dropped);
    if (s->raw) {
        report_feed(cJSON_AddObjectToObject(o, "raw"), s->raw, s->config.raw);
    }
    return o;
}

const struct sink_backend sink_shm = {
    .kind = "shm",
    .section = "serve",
    .options = shm_options,
    .option_count = OPTION_COUNT(shm_options),
    .config_size = sizeof(struct shm_config),
    .wanted = shm_wanted,
    .serve = shm_serve,
    .check = shm_check,
    .open = shm_open_sink,
    .finish = shm_finish,
    .free = shm_free,
    .totals = shm_totals,
    .report = shm_report,
};
