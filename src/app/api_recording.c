/* SPDX-License-Identifier: MIT */
/* Recording over the API: the archive on this machine. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>

#include "api_call.h"
#include "archive.h"
#include "pcs/log.h"
#include "pipeline.h"

static struct cJSON *text_or_null(const char *text)
{
    return *text ? cJSON_CreateString(text) : cJSON_CreateNull();
}

static struct cJSON *ram_json(const struct archive_status *s)
{
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddBoolToObject(o, "dumping", s->dumping);
    cJSON_AddNumberToObject(o, "frames", (double)s->ram_frames);
    cJSON_AddNumberToObject(o, "bytes", (double)s->ram_bytes);
    cJSON_AddNumberToObject(o, "seconds", (double)s->ram_us / 1e6);
    cJSON_AddNumberToObject(o, "dumps", (double)s->dumps);
    cJSON_AddItemToObject(o, "file", text_or_null(s->dump_file));
    cJSON_AddItemToObject(o, "problem", text_or_null(s->dump_problem));
    return o;
}

static void answer_status(struct api_call *call, int status)
{
    struct archive_status s = { .state = ARCHIVE_NONE };
    struct sink *archive = pipeline_archive(call->pipeline);
    struct cJSON *o = cJSON_CreateObject();
    if (archive) {
        archive_get_status(archive, &s);
    }
    cJSON_AddBoolToObject(o, "recording",
                          s.state == ARCHIVE_RECORDING || s.state == ARCHIVE_PAUSED);
    cJSON_AddStringToObject(o, "state", archive_state_names[s.state]);
    cJSON_AddItemToObject(o, "problem", text_or_null(s.problem));
    cJSON_AddItemToObject(o, "file", text_or_null(s.file));
    cJSON_AddNumberToObject(o, "segments", (double)s.segments);
    cJSON_AddNumberToObject(o, "written", (double)s.written);
    cJSON_AddNumberToObject(o, "bytes", (double)s.bytes);
    cJSON_AddNumberToObject(o, "held_bytes", (double)s.held_bytes);
    cJSON_AddNumberToObject(o, "limit_bytes", (double)s.limit_bytes);
    cJSON_AddNumberToObject(o, "removed", (double)s.removed);
    cJSON_AddItemToObject(o, "ram", s.ram ? ram_json(&s) : cJSON_CreateNull());
    call->answer = o;
    call->status = status;
}

void api_get_recording(struct api_call *call)
{
    answer_status(call, 200);
}

void api_post_recording(struct api_call *call)
{
    const char *action =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(call->body, "action"));
    struct sink *archive = pipeline_archive(call->pipeline);
    struct err err = { 0 };
    bool start = action && strcmp(action, "start") == 0;
    if (!start && (!action || strcmp(action, "stop") != 0)) {
        api_fail(call, 422, "action", "action: \"start\" or \"stop\"");
    } else if (!archive) {
        api_fail(call, 409, NULL, "there is no archive: name a folder by --archive");
    } else if (archive_record(archive, start, &err) < 0) {
        api_fail(call, 409, NULL, "%s", err.text);
    } else {
        log_info("recording is to %s, by %s", action, call->client);
        answer_status(call, 202);
    }
}

void api_post_dump(struct api_call *call)
{
    struct sink *archive = pipeline_archive(call->pipeline);
    struct err err = { 0 };
    if (!archive) {
        api_fail(call, 409, NULL, "there is no archive in memory: give it room by --archive-ram");
    } else if (archive_dump(archive, &err) < 0) {
        api_fail(call, 409, NULL, "%s", err.text);
    } else {
        answer_status(call, 202);
    }
}
