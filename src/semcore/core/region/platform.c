#define _GNU_SOURCE /* MADV_HUGEPAGE, sched_getcpu */
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
void sc_os_pause(void) { Sleep(0); }
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
#include <sched.h>
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
void sc_os_pause(void) { nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL); }
void sc_os_large_pages(void *p, size_t n) {
#if defined(MADV_HUGEPAGE)
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)p;
    uintptr_t from = (at + page - 1) / page * page, to = (at + n) / page * page;
    if (from < to) madvise((void *)from, to - from, MADV_HUGEPAGE); /* a hint: where it is refused, nothing is lost but speed */
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

unsigned sc_os_cpu(void) {
#if defined(__linux__)
    int cpu = sched_getcpu();
    return cpu < 0 ? 0 : (unsigned)cpu;
#else
    return 0;
#endif
}
