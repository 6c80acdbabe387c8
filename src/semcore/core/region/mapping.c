#define _GNU_SOURCE /* MAP_ANONYMOUS, sigaction */
/* A file's mapping, and what happens when the file is shorter than it.
 *
 * Nothing keeps another process from truncating a file, a disk from failing, or a file system without
 * reservation from filling up; touching a page that cannot be had then raises SIGBUS, whose default is
 * to kill. So the handler below puts zeros in place of what is missing and marks the mapping lost: checksums
 * fail, calls say so, and the process lives. Faults elsewhere go to the handler that was there before. */
#include <errno.h>
#include <stdlib.h>

#include "platform.h"

#if defined(__linux__)
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct sc_mapping {
    _Atomic(uint8_t *) base;
    _Atomic(size_t) size;     /* 0: free for another file */
    _Atomic(size_t) lost_from;
    _Atomic(int) fd;
    sc_mapping *next;         /* never freed: a signal handler walks them */
};

static _Atomic(sc_mapping *) mappings;
static struct sigaction before;
static size_t page;

static bool within(sc_mapping *m, const uint8_t *at) {
    size_t size = SC_LOAD_ACQ(&m->size);
    uint8_t *base = SC_LOAD_ACQ(&m->base);
    return size && size == SC_LOAD_ACQ(&m->size) && at >= base && at < base + size;
}

static bool zeros_from(sc_mapping *m, size_t from) {
    uint8_t *base = SC_LOAD(&m->base);
    from -= from % page;
    void *p = mmap(base + from, SC_LOAD(&m->size) - from, PROT_READ | PROT_WRITE,
                   MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return false;
    if (from < SC_LOAD(&m->lost_from)) SC_STORE_REL(&m->lost_from, from);
    return true;
}

static bool truncated(sc_mapping *m) {
    struct stat st;
    size_t size = SC_LOAD_ACQ(&m->size);
    return size && fstat(SC_LOAD(&m->fd), &st) == 0 && (size_t)st.st_size < size && zeros_from(m, (size_t)st.st_size);
}

static void pass_on(int sig, siginfo_t *info, void *context) {
    if (before.sa_flags & SA_SIGINFO) before.sa_sigaction(sig, info, context);
    else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) before.sa_handler(sig);
    else if (info->si_code > 0 || before.sa_handler == SIG_DFL)
        sigaction(sig, &before, NULL); /* the faulting instruction runs again, and ends the process */
}

/* A fault has an address. A handler that came after ours may have taken it, and raised the signal
 * again for us (Python's faulthandler does): then any file that is too short now is the reason. */
static void on_bus(int sig, siginfo_t *info, void *context) {
    int error = errno;
    uint8_t *at = info->si_addr;
    bool fault = info->si_code > 0, handled = false;
    for (sc_mapping *m = SC_LOAD_ACQ(&mappings); m && !(handled && fault); m = m->next) {
        if (fault) handled = within(m, at) && zeros_from(m, (size_t)(at - SC_LOAD(&m->base)));
        else handled |= truncated(m);
    }
    if (!handled) {
        pass_on(sig, info, context);
        if (!fault && before.sa_handler == SIG_DFL && !(before.sa_flags & SA_SIGINFO)) raise(sig);
    }
    errno = error;
}

static void install(void) {
    struct sigaction a = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    a.sa_sigaction = on_bus;
    sigemptyset(&a.sa_mask);
    page = (size_t)sysconf(_SC_PAGESIZE);
    sigaction(SIGBUS, &a, &before);
}

/* A node for the handler to find; freed ones are used again. */
static sc_mapping *new_node(void) {
    for (sc_mapping *m = SC_LOAD_ACQ(&mappings); m; m = m->next) {
        uint8_t *none = NULL;
        if (atomic_compare_exchange_strong(&m->base, &none, (uint8_t *)m)) return m; /* ours; size is still 0 */
    }
    sc_mapping *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    SC_STORE(&m->base, (uint8_t *)m);
    m->next = SC_LOAD(&mappings);
    while (!atomic_compare_exchange_weak(&mappings, &m->next, m)) {}
    return m;
}

static int protection(bool read_only) { return read_only ? PROT_READ : PROT_READ | PROT_WRITE; }

/* Between two pages that nobody may touch: running over the region's ends is a crash, not a theft. */
static uint8_t *map_guarded(int fd, size_t n, bool read_only) {
    uint8_t *room = mmap(NULL, n + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) return NULL;
    void *p = mmap(room + page, n, protection(read_only), MAP_SHARED | MAP_FIXED, fd, 0);
    if (p != MAP_FAILED) return p;
    int error = errno;
    munmap(room, n + 2 * page);
    errno = error;
    return NULL;
}

sc_mapping *sc_os_map_file(int fd, size_t n, bool read_only) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    sc_mapping *m = new_node();
    if (!m) return NULL;
    uint8_t *base = map_guarded(fd, n, read_only);
    SC_STORE(&m->lost_from, SIZE_MAX);
    SC_STORE(&m->fd, fd);
    SC_STORE_REL(&m->base, base); /* NULL: the node is free again */
    SC_STORE_REL(&m->size, base ? n : 0);
    return base ? m : NULL;
}

/* A lost one stays mapped: threads may still hold, in their robust lists, the mutex in it. */
void sc_os_unmap_file(sc_mapping *m) {
    if (sc_os_lost_from(m) != SIZE_MAX) return;
    uint8_t *base = SC_LOAD(&m->base);
    size_t size = SC_LOAD(&m->size);
    SC_STORE_REL(&m->size, 0);
    munmap(base - page, size + 2 * page);
    SC_STORE_REL(&m->base, NULL);
}

void *sc_os_mapped(const sc_mapping *m) { return SC_LOAD(&m->base); }
size_t sc_os_lost_from(const sc_mapping *m) { return SC_LOAD_ACQ(&m->lost_from); }
bool sc_os_sync(void *p, size_t n) { return msync(p, n, MS_SYNC) == 0; }
#else
sc_mapping *sc_os_map_file(int fd, size_t n, bool read_only) { (void)fd; (void)n; (void)read_only; return NULL; }
void sc_os_unmap_file(sc_mapping *m) { (void)m; }
void *sc_os_mapped(const sc_mapping *m) { (void)m; return NULL; }
size_t sc_os_lost_from(const sc_mapping *m) { (void)m; return SIZE_MAX; }
bool sc_os_sync(void *p, size_t n) { (void)p; (void)n; return true; }
#endif
