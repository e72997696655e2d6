/* SPDX-License-Identifier: MIT */
#include "publish_url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/text.h"

/* MPEG-TS where there is nothing better: it says by itself what it carries, and begins anywhere. */
static const struct scheme {
    const char *name, *format;
    bool hostless; /* may listen on all addresses */
} schemes[] = {
    { "rtmp", "flv", false },   { "rtmps", "flv", false }, { "rtsp", "rtsp", false },
    { "rtsps", "rtsp", false }, { "srt", "mpegts", true }, { "rtp", "rtp", false },
    { "udp", "mpegts", false }, { "tcp", "mpegts", true }, { "file", NULL, true },
};

#define SCHEMES (sizeof schemes / sizeof schemes[0])

static const struct scheme *find_scheme(const char *url, const char **rest)
{
    const char *colon = strchr(url, ':');
    bool network = colon && strncmp(colon, "://", 3) == 0;
    if (!network) {
        *rest = strncmp(url, "file:", 5) == 0 ? url + 5 : url;
        return **rest ? &schemes[SCHEMES - 1] : NULL;
    }
    *rest = colon + 3;
    for (size_t i = 0; i < SCHEMES; i++) {
        size_t n = strlen(schemes[i].name);
        if ((size_t)(colon - url) == n && strncmp(url, schemes[i].name, n) == 0) {
            return &schemes[i];
        }
    }
    return NULL;
}

/* "user:password@[::1]:1935": host and port of the part before the path. False: they make no sense. */
static bool parse_host(const char *authority, size_t size, struct publish_url *out)
{
    char text[300];
    if (size >= sizeof text) {
        return false;
    }
    (void)snprintf(text, sizeof text, "%.*s", (int)size, authority);
    char *at = strrchr(text, '@'), *host = at ? at + 1 : text;
    char *bracket = *host == '[' ? strchr(host, ']') : NULL;
    char *colon = strrchr(bracket ? bracket : host, ':');
    if (*host == '[' && !bracket) {
        return false;
    }
    if (colon) {
        *colon = '\0';
        out->port = atoi(colon + 1);
    }
    if (bracket) {
        *bracket = '\0';
        host++;
    }
    (void)snprintf(out->host, sizeof out->host, "%.255s", host);
    return out->port >= 0 && out->port <= 65535;
}

static bool query_says(const char *query, const char *item)
{
    size_t n = strlen(item);
    for (const char *at = query; at; at = strchr(at + 1, '&')) {
        if (strncmp(at + 1, item, n) == 0 && (at[1 + n] == '\0' || at[1 + n] == '&')) {
            return true;
        }
    }
    return false;
}

static void show(const struct scheme *scheme, const char *rest, struct publish_url *out)
{
    size_t end = strcspn(rest, "?"), authority = strcspn(rest, "/?");
    size_t start = text_login_size(rest, authority);
    bool key = strncmp(scheme->name, "rtmp", 4) == 0;
    size_t keep = end;
    while (key && keep > authority && rest[keep - 1] == '/') {
        keep--;
    }
    while (key && keep > authority && rest[keep - 1] != '/') {
        keep--;
    }
    (void)snprintf(out->shown, sizeof out->shown, "%s://%.*s%s", scheme->name,
                   (int)(keep > start ? keep - start : 0), rest + start, keep < end ? "…" : "");
}

int publish_url_parse(const char *url, struct publish_url *out)
{
    const char *rest;
    struct publish_url u = { 0 };
    const struct scheme *scheme = find_scheme(url, &rest);
    if (!scheme) {
        return -EINVAL;
    }
    u.protocol = scheme->name;
    u.format = scheme->format;
    if (!u.format) {
        u.path = rest;
        (void)snprintf(u.shown, sizeof u.shown, "%s", rest);
        *out = u;
        return 0;
    }
    const char *query = strchr(rest, '?');
    u.listens = query_says(query, "mode=listener") || query_says(query, "listen") ||
                query_says(query, "listen=1") || query_says(query, "listen=2");
    if (!parse_host(rest, strcspn(rest, "/?"), &u) ||
        (!*u.host && !(scheme->hostless && u.listens))) {
        return -EINVAL;
    }
    show(scheme, rest, &u);
    *out = u;
    return 0;
}
