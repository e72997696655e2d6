/* SPDX-License-Identifier: MIT */
/* The assembler puts the file in: C has no way to before #embed (C23). OPENAPI_JSON comes from CMake. */
#include "openapi.h"

#include <stddef.h>

#include "web/request.h"

__asm__(".pushsection .rodata\n"
        "openapi_begin: .incbin \"" OPENAPI_JSON "\"\n"
        "openapi_end: .byte 0\n"
        ".popsection\n");

extern const char openapi_begin[], openapi_end[];

void openapi_reply(struct web_request *r)
{
    const struct web_file file = { .type = "application/json",
                                   .data = openapi_begin,
                                   .size = (size_t)(openapi_end - openapi_begin) };
    web_reply_file(r, &file);
}
