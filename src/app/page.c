/* SPDX-License-Identifier: MIT */
#include "page.h"

#include <stddef.h>
#include <string.h>

/* Only what this program serves, nothing inline, no other host. The two exceptions are not addresses: what
 * Media Source Extensions play, and a snapshot on its way to a file. */
static const char policy[] = "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
                             "object-src 'none'; base-uri 'none'; form-action 'none'; "
                             "frame-ancestors 'self'";

static const struct page_file *find(const char *name)
{
    const struct page_file *f = page_files;
    while (f->name && strcmp(f->name, name) != 0) {
        f++;
    }
    return f->name ? f : NULL;
}

static void reply(struct web_request *r, const char *name)
{
    const struct page_file *found = find(name);
    if (!found) {
        web_reply_text(r, 404, "the page has no such file");
        return;
    }
    struct web_file file = found->file;
    file.csp = policy;
    web_reply_file(r, &file);
}

void page_get_index(struct web_request *r)
{
    reply(r, "index.html");
}

void page_get_file(void *arg, struct web_request *r)
{
    (void)arg;
    reply(r, web_rest(r));
}
