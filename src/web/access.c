/* SPDX-License-Identifier: MIT */
#include "access.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "pcs/option.h"

#define CREDENTIALS_MAX 512

/* ---- tokens ---- */

/* Of digests, so that not even the length of the token shows in the time. */
static bool same(const char *a, const char *b)
{
    unsigned char da[SHA256_DIGEST_LENGTH], db[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)a, strlen(a), da);
    SHA256((const unsigned char *)b, strlen(b), db);
    return CRYPTO_memcmp(da, db, sizeof da) == 0;
}

/* RFC 7617: base64 of "user:password". */
static bool basic(const char *token, const char *credentials)
{
    char text[CREDENTIALS_MAX + 4];
    size_t size = strlen(credentials);
    if (size > CREDENTIALS_MAX || size % 4 != 0) {
        return false;
    }
    int n = EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)credentials, (int)size);
    if (n < 0) {
        return false;
    }
    text[n] = '\0'; /* padding has become NULs, which end the text earlier */
    const char *password = strchr(text, ':');
    return password && same(token, password + 1);
}

static const char *after(const char *value, const char *scheme)
{
    size_t n = strlen(scheme);
    if (!value || strncasecmp(value, scheme, n) != 0 || value[n] != ' ') {
        return NULL;
    }
    return value + n + strspn(value + n, " ");
}

bool access_granted(const char *token, const char *query, const char *authorization)
{
    const char *bearer = after(authorization, "Bearer");
    const char *credentials = after(authorization, "Basic");
    return (query && same(token, query)) || (bearer && same(token, bearer)) ||
           (credentials && basic(token, credentials));
}

/* ---- origins and hosts ---- */

/* "https://host:443" → "host"; ports that differ from the scheme's own stay. */
static bool authority_of(const char *origin, char *out, size_t size)
{
    bool secure = strncasecmp(origin, "https://", 8) == 0;
    if (!secure && strncasecmp(origin, "http://", 7) != 0) {
        return false;
    }
    int n = snprintf(out, size, "%s", origin + (secure ? 8 : 7));
    if (n > 0 && (size_t)n < size && out[n - 1] == '/') {
        out[--n] = '\0'; /* as people write it in --allow-origin */
    }
    if (n <= 0 || (size_t)n >= size || strpbrk(out, "/@?# ")) {
        return false;
    }
    const char *usual = secure ? ":443" : ":80";
    size_t tail = strlen(usual);
    if ((size_t)n > tail && strcmp(out + n - tail, usual) == 0) {
        out[(size_t)n - tail] = '\0';
    }
    return true;
}

static bool same_site(const char *origin, const char *host)
{
    char authority[300], with_scheme[320], own[300];
    if (!host || !authority_of(origin, authority, sizeof authority)) {
        return false;
    }
    /* The Host of a request to the scheme's own port need not name it, but may. */
    const char *scheme = strncasecmp(origin, "https", 5) == 0 ? "https" : "http";
    int n = snprintf(with_scheme, sizeof with_scheme, "%s://%s", scheme, host);
    return n > 0 && (size_t)n < sizeof with_scheme && authority_of(with_scheme, own, sizeof own) &&
           strcasecmp(authority, own) == 0;
}

bool access_foreign(const char *origin, const char *host)
{
    return !same_site(origin, host);
}

bool access_origin(const char *origin, const char *host, const struct option_list *allowed)
{
    if (same_site(origin, host)) {
        return true;
    }
    for (size_t i = 0; i < allowed->count; i++) {
        const char *item = allowed->item[i];
        size_t n = strlen(item);
        n -= n > 0 && item[n - 1] == '/';
        if (strcmp(item, "*") == 0 || (strlen(origin) == n && strncasecmp(origin, item, n) == 0)) {
            return true;
        }
    }
    return false;
}

/* The name alone, without port and the root's dot. False: not well formed, or too long. */
static bool name_of(const char *host, char *out, size_t size)
{
    int n = snprintf(out, size, "%s", host);
    if (n <= 0 || (size_t)n >= size) {
        return false;
    }
    char *port = strrchr(out, ':');
    if (port && strspn(port + 1, "0123456789") == strlen(port + 1)) {
        *port = '\0';
        n = (int)(port - out);
    }
    if (n > 0 && out[n - 1] == '.') {
        out[n - 1] = '\0';
    }
    return *out != '\0';
}

static bool is_address(const char *name)
{
    struct in_addr in;
    return *name == '[' || inet_pton(AF_INET, name, &in) == 1;
}

/* Nobody can register a name there: RFC 6761, 6762, 8375, ICANN's .internal; .lan, .home by custom. */
static bool is_local(const char *name)
{
    static const char *const domains[] = { ".local",    ".localhost", ".home.arpa",
                                           ".internal", ".lan",       ".home" };
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof domains / sizeof domains[0]; i++) {
        size_t tail = strlen(domains[i]);
        if (n > tail && strcasecmp(name + n - tail, domains[i]) == 0) {
            return true;
        }
    }
    return !strchr(name, '.');
}

bool access_host(const char *host, const char *own, const struct option_list *allowed)
{
    char name[300], authority[300];
    if (!name_of(host, name, sizeof name)) {
        return false;
    }
    if (is_address(name) || is_local(name) || strcasecmp(name, own) == 0) {
        return true;
    }
    for (size_t i = 0; i < allowed->count; i++) {
        char other[300];
        if (strcmp(allowed->item[i], "*") == 0 ||
            (authority_of(allowed->item[i], authority, sizeof authority) &&
             name_of(authority, other, sizeof other) && strcasecmp(name, other) == 0)) {
            return true;
        }
    }
    return false;
}
