/* Lets calls about files below a directory fail, when it is told to. Built as a shared library and loaded with
 * LD_PRELOAD. Linux only.
 *
 * FAIL_DIRECTORY: absolute path, without links. FAIL_ORDERS: a file of four 32-bit numbers, which is mapped: the calls
 * that still work (below 0: all of them), how many fail then, with which errno, and how many have failed so far.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct orders {
    volatile int32_t left, count, error, failed;
};

static struct orders *orders;
static const char *top;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAIL_ORDERS");
    top = getenv("FAIL_DIRECTORY");
    if (!path || !top) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *place = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (place != MAP_FAILED) orders = place;
}

static int is_ours(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return strncmp(path, top, strlen(top)) == 0;
}

static int fails(int file) {
    if (!orders || orders->left < 0 || !is_ours(file)) return 0;
    if (__atomic_fetch_sub(&orders->left, 1, __ATOMIC_SEQ_CST) > 0) return 0;
    orders->left = 0;
    if (orders->count <= 0) {
        orders->left = -1;
        return 0;
    }
    __atomic_fetch_sub(&orders->count, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&orders->failed, 1, __ATOMIC_SEQ_CST);
    errno = orders->error;
    return 1;
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    return fails(file) ? -1 : syscall(SYS_pwrite64, file, data, size, at);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    return fails(file) ? -1 : syscall(SYS_pwrite64, file, data, size, at);
}

int fsync(int file) { return fails(file) ? -1 : (int)syscall(SYS_fsync, file); }

int fdatasync(int file) { return fails(file) ? -1 : (int)syscall(SYS_fdatasync, file); }

int ftruncate64(int file, off64_t size) { return fails(file) ? -1 : (int)syscall(SYS_ftruncate, file, size); }

int ftruncate(int file, off_t size) { return fails(file) ? -1 : (int)syscall(SYS_ftruncate, file, size); }
