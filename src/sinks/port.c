/* SPDX-License-Identifier: MIT */
#include "port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int port_parse(const char *option, const char *text, struct err *err)
{
    if (!text) {
        return 0;
    }
    size_t n = strlen(text);
    if (n < 1 || n > 5 || strspn(text, "0123456789") != n || atoi(text) > 65535) {
        return err_set(err, -EINVAL, "--%s: '%s' is not allowed: 0 to 65535", option, text);
    }
    return atoi(text);
}
