/* SPDX-License-Identifier: MIT */
/* Stands in for libFuzzer: runs every file of the folder named on the command line once. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        return -1;
    }
    static uint8_t bytes[1 << 20];
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    /* A block of exactly that size, so that the sanitizers see every step beyond it. */
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) {
        return -1;
    }
    memcpy(exact, bytes, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

static int run_folder(const char *folder, DIR *dir)
{
    int count = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char path[1024];
        if (e->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        if (run_file(path)) {
            perror(path);
            return -1;
        }
        count++;
    }
    return count;
}

int main(int argc, char **argv)
{
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir) {
        (void)fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
        return 2;
    }
    int count = run_folder(argv[1], dir);
    (void)closedir(dir);
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1; /* an empty corpus tests nothing */
}
