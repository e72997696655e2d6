/* SPDX-License-Identifier: MIT */
/*
 * The INI file. inih splits it into sections, keys and values; on top of that:
 *   - indentation means nothing (inih would take an indented line as more of the value above);
 *   - a line may be of any length (inih's buffer ends at 200 bytes);
 *   - a value in double quotes may hold anything: \" \\ \n \r \t \xNN. inih cuts a value at " ;" even
 *     inside quotes, so a semicolon is written \x3b there.
 * Sections are for people: names of options are unique, so a key counts in whatever section it stands.
 */
#include "option_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 20)

struct ini_reader {
    struct options *o;
    struct option_list *source;
    const char *name; /* of the file */
    const char *next; /* rest of the text */
    const char *line; /* the line inih is at, without its indentation */
    size_t line_len;
    bool line_cut; /* inih got only the beginning */
    int lineno;
    int failed_line; /* of the first error that is in *err */
    struct err *err;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* inih's fgets. Always ends in a newline within `size`, whatever the length of the line. */
static char *read_line(char *buf, int size, void *arg)
{
    struct ini_reader *r = arg;
    if (!*r->next)
        return NULL;
    const char *start = r->next, *end = strchrnul(start, '\n');
    r->next = *end ? end + 1 : end;
    while (is_blank(*start))
        start++;
    size_t len = (size_t)(end - start), room = (size_t)size - 2;
    r->line = start;
    r->line_len = len;
    r->line_cut = len > room;
    r->lineno++;
    len = r->line_cut ? room : len;
    memcpy(buf, start, len);
    memcpy(buf + len, "\n", 2);
    return buf;
}

/* The value of a line that was too long for inih, by inih's rules. Caller frees. */
static char *long_value(const struct ini_reader *r)
{
    const char *p = r->line + strcspn(r->line, "=:") + 1, *end = r->line + r->line_len;
    for (const char *s = p; s + 1 < end; s++) {
        if ((is_blank(s[0])) && s[1] == ';') {
            end = s;
            break;
        }
    }
    while (p < end && is_blank(*p))
        p++;
    while (end > p && is_blank(end[-1]))
        end--;
    return strndup(p, (size_t)(end - p));
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) % 16 : -1;
}

/* One escape behind its backslash. Bytes used, or -EINVAL. */
static int unescape(const char *p, char *out)
{
    static const char codes[] = "\"\\nrt", meanings[] = "\"\\\n\r\t";
    const char *code = *p ? strchr(codes, *p) : NULL;
    if (code) {
        *out = meanings[code - codes];
        return 1;
    }
    int high = *p == 'x' ? hex_digit(p[1]) : -1;
    int low = high >= 0 ? hex_digit(p[2]) : -1;
    if (low < 0 || (high == 0 && low == 0))
        return -EINVAL;
    *out = (char)(high * 16 + low);
    return 3;
}

/* In place; a value without a quote in front is as it is. */
static int unquote(char *value)
{
    if (value[0] != '"')
        return 0;
    char *to = value;
    const char *from = value + 1;
    while (*from && *from != '"') {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        int used = unescape(from + 1, to++);
        if (used < 0)
            return used;
        from += 1 + used;
    }
    if (*from != '"' || from[1])
        return -EINVAL;
    *to = '\0';
    return 0;
}

static int unknown_key(struct ini_reader *r, const char *key)
{
    char quoted[OPTION_QUOTE_SIZE];
    const char *nearest = option_nearest(r->o, key);
    return err_set(r->err, -EINVAL, "%s:%d: %s: unknown option%s%s%s", r->name, r->lineno,
                   option_quote(key, quoted), nearest ? ", did you mean " : "",
                   nearest ? nearest : "", nearest ? "?" : "");
}

static int take_value(struct ini_reader *r, const char *key, char *value)
{
    size_t slot = option_find(r->o, key, strlen(key));
    if (slot == OPTION_NONE)
        return unknown_key(r, key);
    if (r->o->slots[slot].def->flags & OPTION_CLI)
        return err_set(r->err, -EINVAL, "%s:%d: %s: only for the command line", r->name, r->lineno,
                       key);
    if (unquote(value) < 0)
        return err_set(r->err, -EINVAL,
                       "%s:%d: %s: the quotes do not end the value as they began it (in quotes "
                       "write \\\" for \", \\\\ for \\, \\x3b for ;)",
                       r->name, r->lineno, key);
    char where[200];
    snprintf(where, sizeof(where), "%s:%d: %s", r->name, r->lineno, key);
    return option_give(r->o, r->source, slot, value, where, r->err);
}

/* inih goes on after an error; the first one is the user's. */
static int take_key(void *arg, const char *section, const char *key, const char *value)
{
    struct ini_reader *r = arg;
    (void)section;
    if (r->failed_line)
        return 0;
    char *copy = r->line_cut ? long_value(r) : strdup(value);
    int ret = copy ? take_value(r, key, copy) : err_set(r->err, -ENOMEM, "out of memory");
    free(copy);
    if (ret < 0)
        r->failed_line = r->lineno;
    return ret == 0;
}

int option_file_parse(struct options *o, struct option_list *source, const char *name,
                      const char *text, struct err *err)
{
    struct err first = { 0 };
    struct ini_reader r = { .o = o, .source = source, .name = name, .next = text, .err = &first };
    int bad_line = ini_parse_stream(read_line, &r, take_key, &r);
    if (bad_line == 0)
        return 0;
    if (bad_line < 0)
        return err_set(err, -ENOMEM, "%s: out of memory", name);
    if (r.failed_line == bad_line)
        return err_set(err, first.code, "%s", first.text);
    return err_set(err, -EINVAL, "%s:%d: neither [section], key = value nor ; comment", name,
                   bad_line);
}

/* Fill `text` to its end or the file's. Bytes, or negative errno. */
static ssize_t read_full(int fd, char *text, size_t size)
{
    size_t used = 0;
    while (used < size) {
        ssize_t n = read(fd, text + used, size - used);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            break;
        used += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)used;
}

/* The whole file as a string. */
static int read_text(const char *path, char **out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = malloc(FILE_MAX + 1);
    ssize_t n = fd < 0 ? -errno : text ? read_full(fd, text, FILE_MAX + 1) : -ENOMEM;
    if (n > (ssize_t)FILE_MAX)
        n = -EFBIG;
    else if (n >= 0 && memchr(text, '\0', (size_t)n))
        n = -EBADMSG; /* not a text */
    if (fd >= 0)
        close(fd);
    if (n < 0) {
        free(text);
        return (int)n;
    }
    text[n] = '\0';
    *out = text;
    return 0;
}

int option_file_read(struct options *o, struct option_list *source, const char *path,
                     struct err *err)
{
    char *text = NULL;
    int ret = read_text(path, &text);
    if (ret == -EBADMSG)
        return err_set(err, ret, "--config: %s is not a text file", path);
    if (ret < 0)
        return err_set(err, ret, "--config: cannot read %s: %s", path, err_text(ret));
    ret = option_file_parse(o, source, path, text, err);
    free(text);
    return ret;
}
