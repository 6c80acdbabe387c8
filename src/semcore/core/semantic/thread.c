#define _GNU_SOURCE
#include "thread.h"

#if defined(_WIN32)
bool sc_thread_start(sc_thread *t, void (*work)(void *), void *with) { return (void)t, (void)work, (void)with, false; }
void sc_thread_join(sc_thread *t) { (void)t; }
#else
#include <signal.h>

static void *run(void *p) {
    sc_thread *t = p;
    t->work(t->with);
    return NULL;
}

/* Signals are for the process's own threads, but for those that the work itself may cause. */
bool sc_thread_start(sc_thread *t, void (*work)(void *), void *with) {
    const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT};
    sigset_t all, before;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&all, own[i]);
    t->work = work, t->with = with;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&t->id, NULL, run, t) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

void sc_thread_join(sc_thread *t) { pthread_join(t->id, NULL); }
#endif
