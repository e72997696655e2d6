/* SPDX-License-Identifier: MIT */
#include "http_parse.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "pcs/text.h"

#define EMPTY_MAX 16 /* bytes of empty lines before a request; looked at anew whenever more comes */

/* ---- the head ---- */

size_t http_head_size(const char *bytes, size_t size, size_t *scanned)
{
    size_t at = *scanned;
    /* Empty lines before a request are to be ignored (RFC 9112, 2.2). */
    while (*scanned == 0 && at < size && at < EMPTY_MAX &&
           (bytes[at] == '\r' || bytes[at] == '\n')) {
        at++;
    }
    const char *nl;
    while (at < size && (nl = memchr(bytes + at, '\n', size - at)) != NULL) {
        at = (size_t)(nl - bytes);
        size_t next = at + (at + 1 < size && bytes[at + 1] == '\r' ? 2 : 1);
        if (next >= size) {
            *scanned = at; /* what follows this line end is not there yet */
            return 0;
        }
        if (bytes[next] == '\n') {
            return next + 1;
        }
        at++;
    }
    if (at < size) {
        *scanned = size;
    }
    return 0;
}

static bool is_token_char(unsigned char c)
{
    return isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *s)
{
    if (!*s) {
        return false;
    }
    for (; *s; s++) {
        if (!is_token_char((unsigned char)*s)) {
            return false;
        }
    }
    return true;
}

/* What is left of a head, and by what its lines have ended so far. */
struct lines {
    char *at, *end;
    bool crlf, bare;
};

/* Cut the next line off, without its end. NULL: there is no other. */
static char *next_line(struct lines *lines)
{
    char *line = lines->at, *nl = memchr(line, '\n', (size_t)(lines->end - line));
    if (!nl) {
        return NULL;
    }
    lines->at = nl + 1;
    bool crlf = nl > line && nl[-1] == '\r';
    lines->crlf |= crlf;
    lines->bare |= !crlf;
    nl[crlf ? -1 : 0] = '\0';
    return line;
}

/* Control characters have no place in a head; a lone CR there is an attempt at something. */
static bool is_clean(const char *line)
{
    for (; *line; line++) {
        unsigned char c = (unsigned char)*line;
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static int parse_version(const char *s, int *minor)
{
    if (strncmp(s, "HTTP/", 5) != 0 || !isdigit((unsigned char)s[5]) || s[6] != '.' ||
        !isdigit((unsigned char)s[7]) || s[8]) {
        return -400;
    }
    *minor = s[7] - '0';
    return s[5] == '1' ? 0 : -505;
}

static int parse_request_line(char *line, struct http_head *out)
{
    char *target = strchr(line, ' ');
    char *version = target ? strrchr(target + 1, ' ') : NULL;
    if (!version) {
        return -400;
    }
    *target++ = '\0';
    *version++ = '\0';
    out->method = line;
    out->target = target;
    if (!is_token(line) || !*target || strchr(target, ' ')) {
        return -400;
    }
    return parse_version(version, &out->minor);
}

static int parse_field(char *line, struct http_head *out)
{
    char *colon = strchr(line, ':');
    if (!colon) {
        return -400;
    }
    *colon = '\0';
    if (!is_token(line)) {
        return -400; /* white space before the colon, and folded lines (RFC 9112, 5.1, 5.2) */
    }
    if (out->field_count == HTTP_FIELDS_MAX) {
        return -431;
    }
    char *value = colon + 1 + strspn(colon + 1, " \t"), *end = value + strlen(value);
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    *end = '\0';
    out->field[out->field_count++] = (struct http_field){ line, value };
    return 0;
}

const char *http_find(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->field_count; i++) {
        if (strcasecmp(head->field[i].name, name) == 0) {
            return head->field[i].value;
        }
    }
    return NULL;
}

static size_t count_fields(const struct http_head *head, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < head->field_count; i++) {
        n += strcasecmp(head->field[i].name, name) == 0;
    }
    return n;
}

/* Is `token` one of the comma-separated list's? */
static bool has_token(const char *list, const char *token)
{
    size_t size = strlen(token);
    for (const char *at = list; *at;) {
        at += strspn(at, " \t,");
        size_t n = strcspn(at, " \t,");
        if (n == size && strncasecmp(at, token, n) == 0) {
            return true;
        }
        at += strcspn(at, ","); /* parameters of a token do not matter here */
    }
    return false;
}

bool http_lists(const struct http_head *head, const char *name, const char *token)
{
    for (size_t i = 0; i < head->field_count; i++) {
        if (strcasecmp(head->field[i].name, name) == 0 && has_token(head->field[i].value, token)) {
            return true;
        }
    }
    return false;
}

static int parse_length(const char *value, uint64_t *out)
{
    uint64_t n = 0;
    if (!*value || strlen(value) > 18) {
        return *value && strspn(value, "0123456789") == strlen(value) ? -413 : -400;
    }
    for (; *value; value++) {
        if (!isdigit((unsigned char)*value)) {
            return -400;
        }
        n = n * 10 + (uint64_t)(*value - '0');
    }
    *out = n;
    return 0;
}

/* What the lines mean together. Anything about the body's length that two programs could read in two ways
 * is refused. */
static int judge(struct http_head *out)
{
    size_t lengths = count_fields(out, "Content-Length"), hosts = count_fields(out, "Host");
    out->close = http_lists(out, "Connection", "close") ||
                 (out->minor == 0 && !http_lists(out, "Connection", "keep-alive"));
    const char *expect = http_find(out, "Expect");
    out->expect_continue = expect && out->minor > 0 && strcasecmp(expect, "100-continue") == 0;
    if (lengths > 1 || hosts > 1 || (out->minor > 0 && hosts == 0)) {
        return -400;
    }
    if (count_fields(out, "Transfer-Encoding") > 0) {
        return lengths > 0 || out->minor == 0 ? -400 : -411;
    }
    return lengths > 0 ? parse_length(http_find(out, "Content-Length"), &out->body_size) : 0;
}

int http_parse(char *bytes, size_t size, struct http_head *out)
{
    struct lines lines = { .at = bytes, .end = bytes + size };
    char *line;
    out->field_count = 0;
    out->body_size = 0;
    out->method = out->target = "";
    if (memchr(bytes, '\0', size)) {
        return -400;
    }
    do {
        lines.crlf = lines.bare = false;
        line = next_line(&lines);
    } while (line && !*line);
    if (!line || !is_clean(line)) {
        return -400;
    }
    int code = parse_request_line(line, out);
    while (code == 0 && (line = next_line(&lines)) && *line) {
        code = is_clean(line) ? parse_field(line, out) : -400;
    }
    if (code == 0 && lines.crlf && lines.bare) {
        return -400; /* whoever forwarded this may have taken two of its lines for one */
    }
    return code == 0 ? judge(out) : code;
}

/* ---- the target ---- */

static int hex(char c)
{
    return isdigit((unsigned char)c)    ? c - '0'
           : isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10
                                        : -1;
}

/* Decode %XX in place, and '+' where it is a blank: the new size. What is no code stays, and is `*bad`. */
static size_t decode(char *s, bool plus, bool *bad)
{
    char *to = s;
    for (const char *from = s; *from; from++) {
        int high = *from == '%' ? hex(from[1]) : -1, low = high < 0 ? -1 : hex(from[2]);
        if (low >= 0) {
            *to++ = (char)(high << 4 | low);
            from += 2;
            continue;
        }
        *bad |= *from == '%';
        *to++ = plus && *from == '+' ? ' ' : *from;
    }
    *to = '\0';
    return (size_t)(to - s);
}

/* Control characters (NUL too) and backslashes are in no path of ours, but in many an attack. */
static bool is_path(const char *path, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)path[i];
        if (c < ' ' || c == '\\' || c == 0x7f) {
            return false;
        }
    }
    return size > 0 && *path == '/';
}

static bool has_dots(const char *path)
{
    for (const char *at = path; *at;) {
        at += strspn(at, "/");
        size_t n = strcspn(at, "/");
        if ((n == 1 && at[0] == '.') || (n == 2 && at[0] == '.' && at[1] == '.')) {
            return true;
        }
        at += n;
    }
    return false;
}

/* An absolute URL's path: proxies' clients send those, and servers must take them (RFC 9112, 3.2.2). */
static char *skip_authority(char *target)
{
    static const char *const schemes[] = { "http://", "https://" };
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(schemes[i]);
        if (strncasecmp(target, schemes[i], n) == 0) {
            return target + n + strcspn(target + n, "/");
        }
    }
    return target;
}

int http_target(char *target, char **path, char **query)
{
    char *p = skip_authority(target);
    p[strcspn(p, "#")] = '\0';
    char *q = strchr(p, '?');
    if (q) {
        *q++ = '\0';
    }
    bool bad = false;
    size_t size = decode(p, false, &bad);
    if (bad || !is_path(p, size)) {
        return -400;
    }
    text_clean(p, size);
    *path = p;
    *query = q;
    return has_dots(p) ? -404 : 0;
}

static char *cut(char *s, char at)
{
    char *found = strchr(s, at);
    if (found) {
        *found++ = '\0';
    }
    return found;
}

static const char *decode_clean(char *s)
{
    bool bad = false;
    text_clean(s, decode(s, true, &bad));
    return s;
}

size_t http_query(char *query, struct http_pair *out, size_t max)
{
    size_t n = 0;
    for (char *at = query, *next; at && n < max; at = next) {
        next = cut(at, '&');
        char *value = cut(at, '=');
        if (*at) {
            out[n].name = decode_clean(at);
            out[n++].value = value ? decode_clean(value) : "";
        }
    }
    return n;
}
