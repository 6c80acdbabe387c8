/* The writers' lock, in the region's header.
 *
 * On Linux a process-shared robust mutex: if its owner died, the next one is told and recovers.
 * It is made anew by whoever opens the file alone, since a mutex does not survive a restart.
 */
#define _GNU_SOURCE
#include "region.h"

#include <errno.h>
#include <time.h>

#include "platform.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

int sc_lock_init(sc_region *r) {
    InitializeSRWLock((SRWLOCK *)r->h->lock);
    return SC_OK;
}
int sc_lock(sc_region *r) {
    AcquireSRWLockExclusive((SRWLOCK *)r->h->lock);
    return SC_LOCKED;
}
int sc_try_lock(sc_region *r) { return TryAcquireSRWLockExclusive((SRWLOCK *)r->h->lock) ? SC_LOCKED : SC_EBUSY; }
void sc_unlock(sc_region *r) { ReleaseSRWLockExclusive((SRWLOCK *)r->h->lock); }
#else
#include <pthread.h>

_Static_assert(sizeof(pthread_mutex_t) <= SC_LOCK_BYTES, "the header reserves too little for a mutex");

static pthread_mutex_t *mutex(sc_region *r) { return (pthread_mutex_t *)r->h->lock; }

int sc_lock_init(sc_region *r) {
    pthread_mutexattr_t a;
    if (pthread_mutexattr_init(&a) != 0) return SC_ENOMEM;
    int rc = 0;
#if defined(__linux__)
    rc |= pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    rc |= pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
#endif
    memset(r->h->lock, 0, SC_LOCK_BYTES);
    rc |= pthread_mutex_init(mutex(r), &a);
    pthread_mutexattr_destroy(&a);
    return rc == 0 ? SC_OK : SC_EIO;
}

/* Of a file that was cut off behind it, the mutex is still everybody's. */
static bool mutex_lost(const sc_region *r) { return r->mapping && sc_os_lost_from(r->mapping) < sizeof(sc_header); }

void sc_unlock(sc_region *r) {
    if (!mutex_lost(r)) pthread_mutex_unlock(mutex(r));
}

#if defined(__linux__)
/* Waits a second at a time: of a mutex that was cut off nobody would ever wake us. */
static int wait_for(sc_region *r) {
    int rc = pthread_mutex_trylock(mutex(r));
    while ((rc == EBUSY || rc == ETIMEDOUT) && !mutex_lost(r)) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        rc = pthread_mutex_timedlock(mutex(r), &until);
    }
    return rc;
}

static int taken(sc_region *r, int rc) {
    if (mutex_lost(r)) return SC_ELOST;
    if (rc == EOWNERDEAD) pthread_mutex_consistent(mutex(r));
    else if (rc != 0) return SC_EREGION; /* no mutex that we made */
    if (sc_region_lost(r)) {
        sc_unlock(r);
        return SC_ELOST;
    }
    return rc == EOWNERDEAD ? SC_OWNER_DIED : SC_LOCKED;
}

int sc_lock(sc_region *r) { return taken(r, wait_for(r)); }

int sc_try_lock(sc_region *r) {
    int rc = pthread_mutex_trylock(mutex(r));
    return rc == EBUSY && !mutex_lost(r) ? SC_EBUSY : taken(r, rc);
}
#else
int sc_try_lock(sc_region *r) {
    int rc = pthread_mutex_trylock(mutex(r));
    return rc == 0 ? SC_LOCKED : rc == EBUSY ? SC_EBUSY : SC_EREGION;
}
int sc_lock(sc_region *r) { return pthread_mutex_lock(mutex(r)) == 0 ? SC_LOCKED : SC_EREGION; }
#endif
#endif
