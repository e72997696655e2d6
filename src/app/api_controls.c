/* SPDX-License-Identifier: MIT */
/* The camera's controls over the API, as it has them at this moment. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "api_call.h"
#include "api_json.h"
#include "capture/capture.h"
#include "capture/control.h"
#include "pcs/log.h"
#include "pipeline.h"

static const char *const kinds[] = {
    [CONTROL_INT] = "integer",  [CONTROL_BOOL] = "boolean", [CONTROL_MENU] = "menu",
    [CONTROL_FLOAT] = "number", [CONTROL_TEXT] = "text",    [CONTROL_BUTTON] = "button",
};

/* JSON knows no infinity. */
static bool has_range(const struct control *c)
{
    return (c->min != 0 || c->max != 0) && isfinite(c->min) && isfinite(c->max);
}

static bool is_number(const struct control *c)
{
    return c->kind == CONTROL_INT || c->kind == CONTROL_FLOAT;
}

/* From the text as --control takes it; what is not known is null. */
static struct cJSON *value_json(const struct control *c, const char *text)
{
    double number;
    char *end;
    if (!text || !*text || c->kind == CONTROL_BUTTON) {
        return cJSON_CreateNull();
    }
    if (c->kind != CONTROL_TEXT && control_parse(c, text, &number, NULL) == 0) {
        return c->kind == CONTROL_BOOL ? cJSON_CreateBool(number != 0) : cJSON_CreateNumber(number);
    }
    number = strtod(text, &end); /* a camera may be set to what it would not take */
    bool is_plain = c->kind != CONTROL_TEXT && !*end && isfinite(number);
    return is_plain ? cJSON_CreateNumber(number) : cJSON_CreateString(text);
}

static struct cJSON *choices_json(const struct control *c)
{
    struct cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < c->choice_count; i++) {
        struct cJSON *o = cJSON_CreateObject();
        cJSON_AddNumberToObject(o, "value", (double)c->choices[i].value);
        cJSON_AddStringToObject(o, "name", c->choices[i].name);
        cJSON_AddItemToArray(array, o);
    }
    return array;
}

static void add_control(void *arg, const struct control *c)
{
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", c->name);
    cJSON_AddStringToObject(o, "type", kinds[c->kind]);
    cJSON_AddItemToObject(o, "value", value_json(c, c->value));
    cJSON_AddItemToObject(o, "default", value_json(c, c->initial));
    if (is_number(c) && has_range(c)) {
        cJSON_AddNumberToObject(o, "min", c->min);
        cJSON_AddNumberToObject(o, "max", c->max);
    }
    if (is_number(c) && c->step > 0 && isfinite(c->step)) {
        cJSON_AddNumberToObject(o, "step", c->step);
    }
    if (c->kind == CONTROL_MENU) {
        cJSON_AddItemToObject(o, "choices", choices_json(c));
    }
    cJSON_AddBoolToObject(o, "read_only", c->read_only);
    cJSON_AddBoolToObject(o, "inactive", c->inactive);
    cJSON_AddItemToArray(arg, o);
}

/* A camera without controls has an empty list; without a camera nobody knows. */
static bool is_live(struct api_call *call)
{
    struct capture_stats stats;
    capture_get_stats(pipeline_capture(call->pipeline), &stats);
    return stats.state == CAPTURE_LIVE;
}

void api_get_controls(struct api_call *call)
{
    struct cJSON *list = cJSON_CreateArray();
    int code = capture_each_control(pipeline_capture(call->pipeline), add_control, list);
    if (code < 0 && !is_live(call)) {
        cJSON_Delete(list);
        api_fail(call, 503, NULL, "no camera is open");
        return;
    }
    call->answer = cJSON_CreateObject();
    cJSON_AddItemToObject(call->answer, "controls", list);
    call->status = 200;
}

static int status_of(int code)
{
    switch (code) {
    case -ENOENT:
    case -EINVAL:
    case -ERANGE:
        return 422;
    case -ENODEV:
        return 503;
    default:
        return 409;
    }
}

/* One after the other: the camera may refuse any of them, and what it took before stays. */
void api_patch_controls(struct api_call *call)
{
    const struct cJSON *v;
    cJSON_ArrayForEach(v, call->body)
    {
        char number[40];
        const char *text = api_json_text(v, number);
        struct err err = { 0 };
        int code =
            text
                ? capture_set_control(pipeline_capture(call->pipeline), v->string, text, &err)
                : err_set(&err, -EINVAL, "%s: a value is a number, true, false or text", v->string);
        if (code < 0) {
            int status = code == -ENODEV && is_live(call) ? 409 : status_of(code);
            api_fail(call, status, v->string, "%s", err.text);
            return;
        }
        log_info("%s is set to %s, by %s", v->string, text, call->client);
    }
    api_get_controls(call);
}
