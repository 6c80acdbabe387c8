#define _GNU_SOURCE /* MADV_HUGEPAGE, O_CLOEXEC */
#include "platform.h"

#include <errno.h>
#include <stdio.h>

#if defined(_WIN32)
/* Windows: private memory only. A file-backed region needs a process-shared robust lock. */
#define WIN32_LEAN_AND_MEAN
#define _CRT_RAND_S
#include <stdlib.h>
#include <windows.h>

void *sc_os_map_private(size_t n) { return VirtualAlloc(NULL, n, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE); }
void sc_os_unmap(void *p, size_t n) { (void)n; VirtualFree(p, 0, MEM_RELEASE); }
void sc_os_large_pages(void *p, size_t n) { (void)p; (void)n; }
bool sc_os_random(void *to, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned v;
        if (rand_s(&v) != 0) return false;
        ((uint8_t *)to)[i] = (uint8_t)(v >> 8);
    }
    return true;
}
int64_t sc_os_now(void) {
    FILETIME t;
    GetSystemTimePreciseAsFileTime(&t);
    return (int64_t)((((uint64_t)t.dwHighDateTime << 32) | t.dwLowDateTime) / 10) - 11644473600000000ll;
}
#else
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/random.h>
#endif

void *sc_os_map_private(size_t n) {
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
void sc_os_unmap(void *p, size_t n) { munmap(p, n); }
void sc_os_large_pages(void *p, size_t n) {
#if defined(MADV_HUGEPAGE)
    madvise(p, n, MADV_HUGEPAGE); /* a hint: where it is refused, nothing is lost but speed */
#else
    (void)p;
    (void)n;
#endif
}

#if defined(CLOCK_REALTIME_COARSE)
#define CLOCK CLOCK_REALTIME_COARSE /* a kernel tick (1 to 10 ms) is fine enough for a time to live */
#else
#define CLOCK CLOCK_REALTIME
#endif

int64_t sc_os_now(void) {
    struct timespec t;
    clock_gettime(CLOCK, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
bool sc_os_random(void *to, size_t n) {
#if defined(__linux__)
    for (size_t at = 0; at < n;) {
        ssize_t got = getrandom((uint8_t *)to + at, n - at, 0);
        if (got < 0 && errno != EINTR) return false;
        if (got > 0) at += (size_t)got;
    }
#else
    arc4random_buf(to, n);
#endif
    return true;
}
#endif

#if defined(__linux__)
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

static int os_error(const char *path, const char *what, char *why, size_t n) {
    snprintf(why, n, "%s: %s: %s", path, what, strerror(errno));
    return SC_EIO;
}

static int regular(const char *path, int fd, uint64_t *size, char *why, size_t n) {
    struct stat st;
    if (fstat(fd, &st) != 0) return os_error(path, "cannot stat", why, n);
    if (!S_ISREG(st.st_mode)) {
        snprintf(why, n, "%s is not a regular file", path);
        return SC_EREGION;
    }
    *size = (uint64_t)st.st_size;
    return SC_OK;
}

#define OPEN_FLAGS (O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

int sc_os_open(const char *path, int *fd, uint64_t *size, bool *fresh, char *why, size_t n) {
    *fd = open(path, O_RDWR | O_CREAT | O_EXCL | OPEN_FLAGS, 0600);
    *fresh = *fd >= 0;
    if (*fd < 0 && errno == EEXIST) *fd = open(path, O_RDWR | OPEN_FLAGS);
    if (*fd < 0) return os_error(path, "cannot open", why, n);
    /* Exclusive while alone (to create or recover), shared while others are there. */
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0 && flock(*fd, LOCK_SH) != 0)
        return os_error(path, "cannot lock", why, n);
    return regular(path, *fd, size, why, n);
}

int sc_os_peek(const char *path, void *to, size_t bytes, uint64_t *size, char *why, size_t n) {
    int fd = open(path, O_RDONLY | OPEN_FLAGS);
    if (fd < 0) return os_error(path, "cannot open", why, n);
    int rc = regular(path, fd, size, why, n);
    if (rc == SC_OK && (*size < bytes || !sc_os_read(fd, to, bytes))) {
        snprintf(why, n, "%s is not a semcore file (%llu bytes)", path, (unsigned long long)*size);
        rc = SC_EREGION;
    }
    close(fd);
    return rc;
}

bool sc_os_alone(int fd) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
    flock(fd, LOCK_SH); /* a failed upgrade drops the lock that was held */
    return false;
}
void sc_os_share(int fd) { flock(fd, LOCK_SH); }
bool sc_os_reserve(int fd, uint64_t n) {
    int rc = posix_fallocate(fd, 0, (off_t)n);
    if (rc == 0) return true;
    if (ftruncate(fd, 0) != 0) { /* the caller reports the reservation's own error */ }
    errno = rc;
    return false;
}
bool sc_os_read(int fd, void *to, size_t n) { return pread(fd, to, n, 0) == (ssize_t)n; }
bool sc_os_begin(int fd, const void *mark, size_t n) {
    return ftruncate(fd, 0) == 0 && pwrite(fd, mark, n, 0) == (ssize_t)n;
}
void *sc_os_map_file(int fd, size_t n) {
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}
bool sc_os_sync(void *p, size_t n) { return msync(p, n, MS_SYNC) == 0; }
void sc_os_unlink(const char *path) { unlink(path); }
void sc_os_close(int fd) { close(fd); }
#else
static int no_files(const char *path, char *why, size_t n) {
    snprintf(why, n, "%s: file-backed caches need Linux; use path=None (private memory) here", path);
    return SC_EUNSUPPORTED;
}
int sc_os_open(const char *path, int *fd, uint64_t *size, bool *fresh, char *why, size_t n) {
    (void)fd; (void)size; (void)fresh;
    return no_files(path, why, n);
}
int sc_os_peek(const char *path, void *to, size_t bytes, uint64_t *size, char *why, size_t n) {
    (void)to; (void)bytes; (void)size;
    return no_files(path, why, n);
}
bool sc_os_alone(int fd) { (void)fd; return true; }
void sc_os_share(int fd) { (void)fd; }
void sc_os_unlink(const char *path) { (void)path; }
bool sc_os_reserve(int fd, uint64_t n) { (void)fd; (void)n; return false; }
bool sc_os_read(int fd, void *to, size_t n) { (void)fd; (void)to; (void)n; return false; }
bool sc_os_begin(int fd, const void *mark, size_t n) { (void)fd; (void)mark; (void)n; return false; }
void *sc_os_map_file(int fd, size_t n) { (void)fd; (void)n; return NULL; }
bool sc_os_sync(void *p, size_t n) { (void)p; (void)n; return true; }
void sc_os_close(int fd) { (void)fd; }
#endif
