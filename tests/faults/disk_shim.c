/* LD_PRELOAD: makes calls on files whose names end with a word fail, or wait, as the struct in the
   file $DISK_SHIM says, which is mapped: a test changes it while the process runs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { WRITES = 1, SYNCS = 2, TRUNCATES = 4, READS = 8 };

static volatile struct {
    int calls;    /* which of the above */
    int error;    /* errno; 0: only wait */
    int skip;     /* so many are let through first */
    int times;    /* so many fail then; below 0: all */
    int delay_ms; /* before each */
    int hits;     /* counted here */
    char name[40];
} *fault;

__attribute__((constructor)) static void map_fault(void) {
    const char *path = getenv("DISK_SHIM");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED
                            : mmap(0, sizeof *fault, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) fault = mapped;
    if (file >= 0) close(file);
}

static int is_named(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    size_t wanted = strlen((const char *)fault->name);
    return (size_t)length >= wanted
        && strcmp(path + length - wanted, (const char *)fault->name) == 0;
}

static int fails(int call, int file) {
    if (!fault || !(fault->calls & call) || !is_named(file)) return 0;
    if (fault->delay_ms) {
        struct timespec delay = {fault->delay_ms / 1000, fault->delay_ms % 1000 * 1000000L};
        nanosleep(&delay, 0);
    }
    if (__atomic_fetch_sub(&fault->skip, 1, __ATOMIC_SEQ_CST) > 0) return 0;
    if (fault->times >= 0 && __atomic_fetch_sub(&fault->times, 1, __ATOMIC_SEQ_CST) <= 0) {
        fault->times = 0;
        return 0;
    }
    __atomic_fetch_add(&fault->hits, 1, __ATOMIC_SEQ_CST);
    errno = fault->error;
    return fault->error != 0;
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    return fails(WRITES, file) ? -1 : syscall(SYS_pwrite64, file, data, size, at);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    return pwrite64(file, data, size, at);
}

ssize_t write(int file, const void *data, size_t size) {
    return fails(WRITES, file) ? -1 : syscall(SYS_write, file, data, size);
}

ssize_t pread64(int file, void *data, size_t size, off64_t at) {
    return fails(READS, file) ? -1 : syscall(SYS_pread64, file, data, size, at);
}

ssize_t pread(int file, void *data, size_t size, off_t at) {
    return pread64(file, data, size, at);
}

int fsync(int file) { return fails(SYNCS, file) ? -1 : syscall(SYS_fsync, file); }

int fdatasync(int file) { return fails(SYNCS, file) ? -1 : syscall(SYS_fdatasync, file); }

int ftruncate64(int file, off64_t size) {
    return fails(TRUNCATES, file) ? -1 : syscall(SYS_ftruncate, file, size);
}

int ftruncate(int file, off_t size) { return ftruncate64(file, size); }
