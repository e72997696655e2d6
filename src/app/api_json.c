/* SPDX-License-Identifier: MIT */
#include "api_json.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/text.h"

/* ---- before it is parsed ---- */

/* Behind the string that begins at `p`, or NULL when it has a NUL in it, or a control character that is not
 * escaped. */
static const char *skip_string(const char *p)
{
    for (p++; *p && *p != '"'; p++) {
        if ((unsigned char)*p < 0x20 || (*p == '\\' && strncmp(p + 1, "u0000", 5) == 0)) {
            return NULL;
        }
        p += *p == '\\' && p[1];
    }
    return *p ? p + 1 : p;
}

/* The parser recurses: not deeper than we want, whatever its own limit is. */
static int scan(const char *text, struct err *err)
{
    int depth = 0;
    for (const char *p = text; *p;) {
        if (*p == '"') {
            p = skip_string(p);
            if (!p) {
                return err_set(err, -EINVAL,
                               "this JSON has a NUL or a bare control character in a string");
            }
            continue;
        }
        depth += *p == '{' || *p == '[';
        depth -= *p == '}' || *p == ']';
        if (depth > API_JSON_DEPTH) {
            return err_set(err, -EINVAL, "this JSON is nested deeper than %d", API_JSON_DEPTH);
        }
        p++;
    }
    return 0;
}

/* Line ends and tabs are not printable, but they may stand between JSON's words. */
static char printable(char c)
{
    return (char)(c == '\t' || c == '\n' || c == '\r' ? ' ' : c);
}

static bool is_text(const char *text, size_t size)
{
    char *clean = malloc(size + 1);
    bool same = clean != NULL;
    for (size_t i = 0; clean && i < size; i++) {
        clean[i] = printable(text[i]);
    }
    if (clean) {
        text_clean(clean, size);
    }
    for (size_t i = 0; same && i < size; i++) {
        same = clean[i] == printable(text[i]);
    }
    free(clean);
    return same;
}

/* ---- behind ---- */

static int check_members(const struct cJSON *o, struct err *err)
{
    const struct cJSON *a, *b;
    int count = 0;
    cJSON_ArrayForEach(a, o)
    {
        if (++count > API_JSON_MEMBERS) {
            return err_set(err, -EINVAL, "this JSON has more than %d members", API_JSON_MEMBERS);
        }
        for (b = a->next; b; b = b->next) {
            if (strcmp(a->string, b->string) == 0) {
                return err_set(err, -EINVAL, "this JSON says \"%.64s\" twice", a->string);
            }
        }
    }
    return 0;
}

int api_json_parse(const char *text, size_t size, struct cJSON **out, struct err *err)
{
    if (strlen(text) != size || !is_text(text, size)) {
        return err_set(err, -EINVAL, "this is not UTF-8 text");
    }
    int code = scan(text, err);
    if (code < 0) {
        return code;
    }
    struct cJSON *o = cJSON_ParseWithLengthOpts(text, size + 1, NULL, 1);
    if (!o) {
        return err_set(err, -EINVAL, "this is not JSON");
    }
    code = cJSON_IsObject(o) ? check_members(o, err)
                             : err_set(err, -EINVAL, "this JSON is not an object");
    if (code < 0) {
        cJSON_Delete(o);
        return code;
    }
    *out = o;
    return 0;
}

const char *api_json_text(const struct cJSON *value, char buf[40])
{
    if (cJSON_IsString(value)) {
        return value->valuestring;
    }
    if (cJSON_IsBool(value)) {
        return cJSON_IsTrue(value) ? "yes" : "no";
    }
    if (!cJSON_IsNumber(value) || !(fabs(value->valuedouble) < 1e15)) {
        return NULL;
    }
    double n = value->valuedouble;
    (void)snprintf(buf, 40, n == floor(n) ? "%.0f" : "%.6f", n);
    return buf;
}
