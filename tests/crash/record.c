/* Records what a process does to files below a directory, in order, so that power.py can rebuild what a power cut
 * would have left of them. Built as a shared library and loaded with LD_PRELOAD. Linux only.
 *
 * RECORD_DIRECTORY: absolute path, without links. RECORD_FILE: the record, not below that directory.
 *
 * RECORD_SYNC_US: microseconds that each sync takes longer, so that whoever does not wait for it is seen.
 *
 * Each entry of the record: struct entry, then `size` bytes. A file is named by the number of its open; what is done
 * to it is written down before it is done, but a sync after it has returned. START begins a process. What cannot be replayed (a shared
 * writable mapping, fallocate) is recorded as UNKNOWN, and the replay refuses it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, TRUNCATE, SYNC, UNLINK, RENAME, MKDIR, UNKNOWN, START };
enum { FLAG_CREATE = 1, FLAG_TRUNCATE = 2, FLAG_DIRECTORY = 4 };
enum { MAX_FILES = 65536 };

struct entry {
    uint32_t kind;
    uint32_t file;
    uint64_t offset;
    uint64_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t files[MAX_FILES]; /* by descriptor; 0 where it is none of ours */
static uint32_t opened;
static int record = -1;
static useconds_t sync_us;
static const char *top;
static size_t top_size;

static void put(uint32_t kind, uint32_t file, uint64_t offset, const void *data, size_t size) {
    struct entry entry = {kind, file, offset, size};
    struct iovec parts[2] = {{&entry, sizeof entry}, {(void *)data, size}};
    ssize_t done = syscall(SYS_writev, record, parts, 2);
    if (done != (ssize_t)(sizeof entry + size)) abort();
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("RECORD_FILE");
    top = getenv("RECORD_DIRECTORY");
    if (!path || !top) return;
    top_size = strlen(top);
    const char *us = getenv("RECORD_SYNC_US");
    sync_us = us ? atoi(us) : 0;
    record = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (record >= 0) put(START, 0, 0, NULL, 0);
}

/* The part of a path below the directory, "" for itself; NULL when it is elsewhere. */
static const char *below(int folder, const char *path, char *buffer) {
    if (record < 0 || !path) return NULL;
    if (path[0] != '/') {
        char link[64];
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        ssize_t size = readlink(link, buffer, PATH_MAX - 1);
        if (size < 0 || size + strlen(path) + 2 > PATH_MAX) return NULL;
        snprintf(buffer + size, PATH_MAX - size, "/%s", path);
        path = buffer;
    }
    if (strncmp(path, top, top_size)) return NULL;
    if (path[top_size] == 0) return path + top_size;
    return path[top_size] == '/' ? path + top_size + 1 : NULL;
}

static uint32_t file_of(int fd) { return record >= 0 && fd >= 0 && fd < MAX_FILES ? files[fd] : 0; }

/* -- names */

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    char buffer[PATH_MAX];
    const char *name = below(folder, path, buffer);
    if (!name) return syscall(SYS_openat, folder, path, flags, mode);
    pthread_mutex_lock(&lock);
    int fd = syscall(SYS_openat, folder, path, flags, mode);
    struct stat status;
    if (fd >= 0 && fd < MAX_FILES && fstat(fd, &status) == 0) {
        uint64_t told = (flags & O_CREAT ? FLAG_CREATE : 0) | (flags & O_TRUNC ? FLAG_TRUNCATE : 0);
        if (S_ISDIR(status.st_mode)) told = FLAG_DIRECTORY;
        files[fd] = ++opened;
        put(OPEN, opened, told, name, strlen(name));
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

static mode_t mode_in(int flags, va_list rest) { return flags & O_CREAT ? va_arg(rest, mode_t) : 0; }

#define OPENER(NAME)                                       \
    int NAME(const char *path, int flags, ...) {           \
        va_list rest;                                      \
        va_start(rest, flags);                             \
        mode_t mode = mode_in(flags, rest);                \
        va_end(rest);                                      \
        return open_at(AT_FDCWD, path, flags, mode);       \
    }
#define OPENER_AT(NAME)                                    \
    int NAME(int folder, const char *path, int flags, ...) {\
        va_list rest;                                      \
        va_start(rest, flags);                             \
        mode_t mode = mode_in(flags, rest);                \
        va_end(rest);                                      \
        return open_at(folder, path, flags, mode);         \
    }
OPENER(open)
OPENER(open64)
OPENER_AT(openat)
OPENER_AT(openat64)

int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    if (!file_of(fd)) return syscall(SYS_close, fd);
    pthread_mutex_lock(&lock);
    files[fd] = 0;
    int result = syscall(SYS_close, fd);
    pthread_mutex_unlock(&lock);
    return result;
}

/* Something about a name: recorded when it has worked. */
static int named(uint32_t kind, const char *name, size_t size, int result) {
    if (name && result == 0) put(kind, 0, 0, name, size);
    return result;
}

int unlinkat(int folder, const char *path, int flags) {
    char buffer[PATH_MAX];
    const char *name = below(folder, path, buffer);
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_unlinkat, folder, path, flags);
    named(flags ? UNKNOWN : UNLINK, name, name ? strlen(name) : 0, result);
    pthread_mutex_unlock(&lock);
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int mkdirat(int folder, const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    const char *name = below(folder, path, buffer);
    pthread_mutex_lock(&lock);
    int result = named(MKDIR, name, name ? strlen(name) : 0, syscall(SYS_mkdirat, folder, path, mode));
    pthread_mutex_unlock(&lock);
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int renameat(int from, const char *old, int to, const char *new) {
    char buffers[2][PATH_MAX], names[2 * PATH_MAX];
    const char *source = below(from, old, buffers[0]), *target = below(to, new, buffers[1]);
    int size = source && target ? snprintf(names, sizeof names, "%s%c%s", source, 0, target) : 0;
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_renameat2, from, old, to, new, 0);
    named(size ? RENAME : UNKNOWN, source || target ? names : NULL, size, result);
    pthread_mutex_unlock(&lock);
    return result;
}
int rename(const char *old, const char *new) { return renameat(AT_FDCWD, old, AT_FDCWD, new); }

/* -- contents */

static ssize_t write_at(int fd, uint32_t file, const void *data, size_t size, off_t offset, int moves) {
    pthread_mutex_lock(&lock);
    if (moves) offset = syscall(SYS_lseek, fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    put(WRITE, file, offset, data, size);
    ssize_t done = moves ? syscall(SYS_write, fd, data, size) : syscall(SYS_pwrite64, fd, data, size, offset);
    if (done >= 0 && done != (ssize_t)size) put(UNKNOWN, file, 0, "short", 5);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *data, size_t size) {
    uint32_t file = file_of(fd);
    return file ? write_at(fd, file, data, size, 0, 1) : syscall(SYS_write, fd, data, size);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) {
    uint32_t file = file_of(fd);
    return file ? write_at(fd, file, data, size, offset, 0) : syscall(SYS_pwrite64, fd, data, size, offset);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    uint32_t file = file_of(fd);
    if (file) put(UNKNOWN, file, 0, "writev", 6);
    return syscall(SYS_writev, fd, parts, count);
}

int ftruncate64(int fd, off_t size) {
    uint32_t file = file_of(fd);
    if (!file) return syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    put(TRUNCATE, file, size, NULL, 0);
    int result = syscall(SYS_ftruncate, fd, size);
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* What another thread writes while a sync runs need not be in it, so that nobody writes meanwhile. */
static int sync_file(int fd, long call) {
    uint32_t file = file_of(fd);
    if (!file) return syscall(call, fd);
    pthread_mutex_lock(&lock);
    if (sync_us) usleep(sync_us);
    int result = syscall(call, fd);
    if (result == 0) put(SYNC, file, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int fsync(int fd) { return sync_file(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_file(fd, SYS_fdatasync); }

/* -- what the replay does not know */

int fallocate64(int fd, int mode, off_t offset, off_t size) {
    uint32_t file = file_of(fd);
    if (file) put(UNKNOWN, file, 0, "fallocate", 9);
    return syscall(SYS_fallocate, fd, mode, offset, size);
}
int fallocate(int fd, int mode, off_t offset, off_t size) { return fallocate64(fd, mode, offset, size); }
int posix_fallocate64(int fd, off_t offset, off_t size) { return fallocate64(fd, 0, offset, size) ? errno : 0; }
int posix_fallocate(int fd, off_t offset, off_t size) { return posix_fallocate64(fd, offset, size); }

void *mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    uint32_t file = flags & MAP_ANONYMOUS ? 0 : file_of(fd);
    if (file && flags & MAP_SHARED && protection & PROT_WRITE) put(UNKNOWN, file, 0, "mmap", 4);
    return (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}
void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    return mmap64(address, size, protection, flags, fd, offset);
}
