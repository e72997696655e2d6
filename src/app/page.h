/* SPDX-License-Identifier: MIT */
/*
 * Page: the live page, whose files (web/) are built into the program.
 * Threads: the web thread.
 */
#pragma once

#include "web/request.h"

struct page_file {
    const char *name; /* below web/, "vendor/x.js"; NULL ends the table */
    struct web_file file;
};
extern const struct page_file page_files[]; /* made by the build: cmake/PcsEmbed.cmake */

/* For the route "/", when a browser asks. */
void page_get_index(struct web_request *r);
/* For the route "/web/". Needs no token: a browser does not repeat that of the page, and there is nothing in
 * these files that is not public. */
void page_get_file(void *arg, struct web_request *r);
