/* A thread for a share of one search. */
#ifndef SC_THREAD_H
#define SC_THREAD_H

#include "../common.h"

#if defined(_WIN32)
typedef struct sc_thread { int none; } sc_thread;
#else
#include <pthread.h>
typedef struct sc_thread {
    pthread_t id;
    void (*work)(void *);
    void *with;
} sc_thread;
#endif

/* t stays where it is until it is joined. False if there are no threads, or none more. */
bool sc_thread_start(sc_thread *t, void (*work)(void *), void *with);
void sc_thread_join(sc_thread *t);

#endif
