/* SPDX-License-Identifier: MIT */
/*
 * Settings over the API: the options that are live, by their own table. A new one appears here by itself.
 * Numbers are in the option's base unit (bytes, bits per second, seconds); text with a suffix is fine too.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api_call.h"
#include "api_json.h"
#include "pcs/log.h"
#include "pcs/option_live.h"
#include "pipeline.h"
#include "settings.h"

struct kind {
    const char *type, *unit;
    double scale; /* of the field's unit to the API's */
};

static const struct kind kinds[] = {
    [OPTION_FLAG] = { "boolean", NULL, 0 },     [OPTION_ONOFF] = { "boolean", NULL, 0 },
    [OPTION_INT] = { "integer", NULL, 1 },      [OPTION_SIZE] = { "integer", "bytes", 1 },
    [OPTION_RATE] = { "integer", "bits/s", 1 }, [OPTION_TIME] = { "number", "seconds", 1e-6 },
    [OPTION_STRING] = { "string", NULL, 0 },    [OPTION_CHOICE] = { "choice", NULL, 0 },
    [OPTION_LIST] = { "list", NULL, 0 },
};

/* ---- what there is ---- */

static struct cJSON *string_or_null(const char *text)
{
    return text ? cJSON_CreateString(text) : cJSON_CreateNull();
}

static struct cJSON *list_json(const char *const *text, size_t count)
{
    struct cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) {
        cJSON_AddItemToArray(array, cJSON_CreateString(text[i]));
    }
    return array;
}

static struct cJSON *value_json(const struct option_def *def, const void *value)
{
    const struct option_list *list = value;
    switch (def->type) {
    case OPTION_FLAG:
    case OPTION_ONOFF:
        return cJSON_CreateBool(*(const bool *)value);
    case OPTION_INT:
    case OPTION_SIZE:
    case OPTION_RATE:
        return cJSON_CreateNumber((double)*(const int64_t *)value);
    case OPTION_TIME:
        return cJSON_CreateNumber((double)*(const int64_t *)value / 1e6);
    case OPTION_STRING:
        return string_or_null(*(const char *const *)value);
    case OPTION_CHOICE:
        return string_or_null(def->choices[*(const int *)value]);
    case OPTION_LIST:
        return list_json((const char *const *)list->item, list->count);
    }
    return NULL;
}

static void add_limits(struct cJSON *o, const struct option_def *def)
{
    double scale = kinds[def->type].scale;
    bool limited = def->min != 0 || def->max != 0;
    if (scale > 0) {
        cJSON_AddNumberToObject(o, "min", (double)def->min * scale);
    }
    if (scale > 0 && limited && def->max < INT64_MAX / 8) { /* beyond that it is none */
        cJSON_AddNumberToObject(o, "max", (double)def->max * scale);
    }
    if (def->type == OPTION_CHOICE) {
        size_t n = 0;
        while (def->choices[n]) {
            n++;
        }
        cJSON_AddItemToObject(o, "choices", list_json(def->choices, n));
    }
}

static void add_setting(void *arg, const struct option_view *view)
{
    const struct kind *kind = &kinds[view->def->type];
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", view->def->name);
    cJSON_AddStringToObject(o, "section", view->section);
    cJSON_AddStringToObject(o, "type", kind->type);
    if (kind->unit) {
        cJSON_AddStringToObject(o, "unit", kind->unit);
    }
    cJSON_AddItemToObject(o, "value", value_json(view->def, view->value));
    cJSON_AddBoolToObject(o, "changed", view->set);
    cJSON_AddItemToObject(o, "default", string_or_null(view->def->value));
    add_limits(o, view->def);
    cJSON_AddStringToObject(o, "allowed", view->allowed);
    cJSON_AddStringToObject(o, "help", view->def->help);
    cJSON_AddItemToArray(arg, o);
}

void api_get_settings(struct api_call *call)
{
    struct cJSON *list = cJSON_CreateArray();
    call->answer = cJSON_CreateObject();
    options_each_live(pipeline_settings(call->pipeline)->options, add_setting, list);
    cJSON_AddItemToObject(call->answer, "settings", list);
    call->status = 200;
}

/* ---- changing it ---- */

struct wish {
    struct option_change change;
    const char **text; /* of the change; `one` unless it is a list */
    const char *one;
    char number[40];
};

struct search {
    const char *name;
    const struct option_def *found;
};

static void compare(void *arg, const struct option_view *view)
{
    struct search *s = arg;
    s->found = strcmp(view->def->name, s->name) == 0 ? view->def : s->found;
}

/* NULL: there is none, or it is not live; options_set_live says it better. */
static const struct option_def *find_def(const struct options *o, const char *name)
{
    struct search s = { name, NULL };
    options_each_live(o, compare, &s);
    return s.found;
}

static bool has_right_type(const struct option_def *def, const struct cJSON *v)
{
    if (!def) {
        return true;
    }
    if (kinds[def->type].scale > 0) { /* "2M" is easier to type */
        return cJSON_IsNumber(v) || (cJSON_IsString(v) && def->type != OPTION_INT);
    }
    bool boolean = def->type == OPTION_FLAG || def->type == OPTION_ONOFF;
    return boolean ? cJSON_IsBool(v) : cJSON_IsString(v);
}

static bool read_list(struct wish *w, const struct cJSON *array)
{
    const struct cJSON *v;
    size_t n = 0;
    w->text = calloc((size_t)cJSON_GetArraySize(array) + 1, sizeof *w->text);
    if (!w->text) {
        return false;
    }
    cJSON_ArrayForEach(v, array)
    {
        if (!cJSON_IsString(v)) {
            return false;
        }
        w->text[n++] = v->valuestring;
    }
    w->change.text = w->text;
    w->change.count = n;
    return true;
}

/* False: of the wrong type. */
static bool read_wish(struct wish *w, const struct option_def *def, const struct cJSON *v)
{
    w->change.name = v->string;
    if (cJSON_IsNull(v)) {
        return true;
    }
    if (def && def->type == OPTION_LIST) {
        return cJSON_IsArray(v) && read_list(w, v);
    }
    w->one = has_right_type(def, v) ? api_json_text(v, w->number) : NULL;
    w->change.text = &w->one;
    w->change.count = 1;
    return w->one != NULL;
}

static void log_changes(const struct api_call *call)
{
    const struct cJSON *v;
    cJSON_ArrayForEach(v, call->body)
    {
        log_info("%s has a new value, by %s", v->string, call->client);
    }
}

static void apply(struct api_call *call, const struct option_change *changes, size_t count)
{
    struct options *o = pipeline_settings(call->pipeline)->options;
    struct err err = { 0 };
    size_t failed;
    int code = options_set_live(o, changes, count, &failed, &err);
    if (code < 0) {
        int status = code == -ENOMEM ? 503 : code == -EPERM || code == -ENOSPC ? 409 : 422;
        api_fail(call, status, failed < count ? changes[failed].name : NULL, "%s", err.text);
        return;
    }
    pipeline_reconfigure(call->pipeline);
    log_changes(call);
    api_get_settings(call);
}

void api_patch_settings(struct api_call *call)
{
    const struct options *o = pipeline_settings(call->pipeline)->options;
    size_t n = (size_t)cJSON_GetArraySize(call->body), i = 0;
    struct wish *wishes = calloc(n + 1, sizeof *wishes);
    struct option_change *changes = calloc(n + 1, sizeof *changes);
    const struct cJSON *v, *wrong = NULL;
    cJSON_ArrayForEach(v, call->body)
    {
        if (!wishes || !changes) {
            break;
        }
        const struct option_def *def = find_def(o, v->string);
        wrong = !wrong && !read_wish(&wishes[i], def, v) ? v : wrong;
        changes[i] = wishes[i].change;
        i++;
    }
    if (!wishes || !changes) {
        api_fail(call, 503, NULL, "out of memory");
    } else if (wrong) {
        const struct option_def *def = find_def(o, wrong->string);
        api_fail(call, 422, wrong->string, "%s: this value is not of its type, %s", wrong->string,
                 def ? kinds[def->type].type : "text or number");
    } else {
        apply(call, changes, n);
    }
    for (i = 0; wishes && i < n; i++) {
        free(wishes[i].text);
    }
    free(wishes);
    free(changes);
}
