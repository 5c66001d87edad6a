/*
 * A library in front of the C library that moves the time of a process.
 *
 * LEVERET_TEST_SHIFT names a file with two numbers of seconds, 8 bytes each in the order of the machine. CLOCK_REALTIME is
 * ahead of the system's by the first one, as when somebody sets the clock; CLOCK_REALTIME and CLOCK_MONOTONIC are ahead
 * by the second one, as when so much time has passed. The file is mapped, so that a change of it takes effect at once.
 * Other clocks are left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int (*real_gettime)(clockid_t, struct timespec *);
static volatile int64_t *shift;  /* and how much has passed */

__attribute__((constructor)) static void begin(void)
{
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("LEVERET_TEST_SHIFT");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) shift = found;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = real_gettime(clock, now);
    if (result != 0 || !shift) return result;
    if (clock == CLOCK_REALTIME) now->tv_sec += shift[0] + shift[1];
    if (clock == CLOCK_MONOTONIC) now->tv_sec += shift[1];
    return result;
}
