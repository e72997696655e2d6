/* SPDX-License-Identifier: MIT */
#include "libcamera_load.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcamera_api.h"

#define MODULE "source-libcamera.so"

/* The program's own folder, with a '/' at the end; "" when the kernel does not tell. */
static void own_folder(char folder[PATH_MAX])
{
    ssize_t size = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    folder[size > 0 ? size : 0] = 0;
    char *slash = strrchr(folder, '/');
    if (slash) {
        slash[1] = 0;
    }
}

static bool find_module(char path[2 * PATH_MAX])
{
    /* PCS_MODULE_PATH: from the installed program's folder to that of its modules. */
    static const char *const places[] = { "", PCS_MODULE_PATH "/" };
    char folder[PATH_MAX];
    own_folder(folder);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        (void)snprintf(path, 2 * PATH_MAX, "%s%s" MODULE, folder, places[i]);
        if (access(path, F_OK) == 0) {
            return true;
        }
    }
    return false;
}

const struct libcamera_api *libcamera_load(struct err *err)
{
    char path[2 * PATH_MAX];
    if (!find_module(path)) {
        (void)err_set(err, -ENOTSUP,
                      "libcamera: this build has no libcamera (there is no " MODULE
                      "); build it with libcamera-dev installed");
        return NULL;
    }
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!module) {
        (void)err_set(
            err, -ENOTSUP,
            "libcamera: cannot be loaded: %s (another version than this program was built "
            "with?)",
            dlerror());
        return NULL;
    }
    const struct libcamera_api *(*get)(void);
    *(void **)&get = dlsym(module, LIBCAMERA_API_SYMBOL); /* as POSIX says it is done */
    const struct libcamera_api *api = get ? get() : NULL;
    if (!api || api->version != LIBCAMERA_API_VERSION) {
        (void)err_set(err, -ENOTSUP, "libcamera: %s is of another version of this program", path);
        return NULL;
    }
    return api;
}
