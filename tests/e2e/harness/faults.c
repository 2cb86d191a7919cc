/* Loaded before libc (LD_PRELOAD): one system call fails on the files whose path contains FAULT_PATH.
 * FAULT is write, fsync or flock; FAULT_ERRNO the number. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int hit(const char *call, int descriptor) {
    const char *fault = getenv("FAULT"), *part = getenv("FAULT_PATH"), *number = getenv("FAULT_ERRNO");
    char link[64], path[4096];
    if (!fault || !part || !number || strcmp(fault, call) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, part)) return 0;
    errno = atoi(number);
    return 1;
}

typedef ssize_t (*write_call)(int, const void *, size_t);
typedef int (*fsync_call)(int);
typedef int (*flock_call)(int, int);

ssize_t write(int descriptor, const void *bytes, size_t count) {
    if (hit("write", descriptor)) return -1;
    return ((write_call)dlsym(RTLD_NEXT, "write"))(descriptor, bytes, count);
}

int fsync(int descriptor) {
    if (hit("fsync", descriptor)) return -1;
    return ((fsync_call)dlsym(RTLD_NEXT, "fsync"))(descriptor);
}

int flock(int descriptor, int operation) {
    if (hit("flock", descriptor)) return -1;
    return ((flock_call)dlsym(RTLD_NEXT, "flock"))(descriptor, operation);
}
