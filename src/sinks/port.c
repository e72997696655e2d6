/* SPDX-License-Identifier: MIT */
#include "port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/log.h"
#include "pcs/sock.h"

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

void port_tell(const char *service, int fd, const char *target)
{
    log_info("%s service on port %d (%s)", service, sock_port(fd), target);
    if (!sock_loopback(fd)) {
        log_warn("anybody who can reach %s can watch: the %s service asks for no token", target,
                 service);
    }
}
