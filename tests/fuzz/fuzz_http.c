/* SPDX-License-Identifier: MIT */
/*
 * Heads of hostile visitors. However the bytes come, the head ends at the same place; what is parsed lies
 * within it, and no two readings of the body's length are possible.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/option.h"
#include "web/access.h"
#include "web/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t end_by_steps(const char *bytes, size_t size, size_t step)
{
    size_t scanned = 0, end = 0;
    for (size_t have = step; have < size && end == 0; have += step) {
        end = http_head_size(bytes, have, &scanned);
        assert(end <= have && scanned <= have);
    }
    return end > 0 ? end : http_head_size(bytes, size, &scanned);
}

static void check_inside(const char *s, const char *bytes, size_t size)
{
    assert(s >= bytes && s + strlen(s) < bytes + size);
}

static void check_target(char *target)
{
    char *path = NULL, *query = NULL;
    struct http_pair pair[8];
    if (http_target(target, &path, &query) == 0) {
        assert(*path == '/' && !strstr(path, "/../"));
        size_t n = http_query(query, pair, 8);
        for (size_t i = 0; i < n; i++) {
            assert(*pair[i].name && !strpbrk(pair[i].value, "\r\n"));
        }
    }
}

static void check_access(const struct http_head *head)
{
    const char *items[] = { "https://good.example" };
    const struct option_list allowed = { items, 1 };
    const char *origin = http_find(head, "Origin"), *host = http_find(head, "Host");
    (void)access_granted("token", NULL, http_find(head, "Authorization"));
    if (origin) {
        (void)access_origin(origin, host, &allowed);
    }
    if (host) {
        (void)access_host(host, "pi", &allowed);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head head;
    char *bytes = malloc(size + 1);
    assert(bytes);
    memcpy(bytes, data, size);
    size_t scanned = 0, end = http_head_size(bytes, size, &scanned);
    assert(end <= size);
    for (size_t step = 1; step < 8; step += 3) {
        assert(end_by_steps(bytes, size, step) == end);
    }
    if (end > 0) {
        int code = http_parse(bytes, end, &head);
        assert(code <= 0 && code > -600 && head.field_count <= HTTP_FIELDS_MAX);
        if (code == 0) {
            check_inside(head.method, bytes, end);
            check_inside(head.target, bytes, end);
            for (size_t i = 0; i < head.field_count; i++) {
                check_inside(head.field[i].name, bytes, end);
                check_inside(head.field[i].value, bytes, end);
            }
            check_access(&head);
            check_target((char *)head.target);
        }
    }
    free(bytes);
    return 0;
}
