/* A binary heap of runs. A stamp that rose since is seen when the run comes up: a hit moves nothing. */
#include "prefix.h"

/* Of a damaged heap the first run, which is there. */
static uint32_t run_at(sc_region *r, uint32_t at) {
    uint32_t run = r->prefix.heap[at];
    if (run < r->prefix.nruns) return run;
    r->suspect = true;
    return 0;
}

static uint64_t key_at(sc_region *r, uint32_t at) { return r->prefix.runs[run_at(r, at)].key; }

static void set(sc_region *r, uint32_t at, uint32_t run) {
    r->prefix.heap[at] = run;
    r->prefix.runs[run].heap_at = at;
}

static void rise(sc_region *r, uint32_t at) {
    uint32_t run = run_at(r, at);
    uint64_t key = r->prefix.runs[run].key;
    for (; at > 0 && key_at(r, (at - 1) / 2) > key; at = (at - 1) / 2) set(r, at, run_at(r, (at - 1) / 2));
    set(r, at, run);
}

static void sink(sc_region *r, uint32_t n, uint32_t at) {
    uint32_t run = run_at(r, at);
    uint64_t key = r->prefix.runs[run].key;
    for (uint32_t below; (below = 2 * at + 1) < n; at = below) {
        if (below + 1 < n && key_at(r, below + 1) < key_at(r, below)) below++;
        if (key_at(r, below) >= key) break;
        set(r, at, run_at(r, below));
    }
    set(r, at, run);
}

void sc_heap_add(sc_region *r, uint32_t run) {
    uint32_t n = r->h->prefix.heap;
    if (n >= r->prefix.nruns) {
        r->suspect = true;
        return;
    }
    r->prefix.runs[run].key = r->prefix.runs[run].stamp;
    set(r, n, run);
    r->h->prefix.heap = n + 1;
    rise(r, n);
}

void sc_heap_remove(sc_region *r, uint32_t run) {
    uint32_t at = r->prefix.runs[run].heap_at, n = r->h->prefix.heap;
    r->prefix.runs[run].heap_at = SC_NIL;
    if (n > r->prefix.nruns || at >= n || r->prefix.heap[at] != run) {
        r->suspect = true;
        return;
    }
    r->h->prefix.heap = --n;
    if (at == n) return;
    set(r, at, run_at(r, n));
    sink(r, n, at);
    rise(r, at);
}

uint32_t sc_heap_least(sc_region *r) {
    uint32_t n = r->h->prefix.heap;
    if (n > r->prefix.nruns) r->suspect = true;
    while (n > 0 && !r->suspect) {
        sc_run *u = &r->prefix.runs[run_at(r, 0)];
        if (u->key >= u->stamp) break;
        u->key = u->stamp;
        sink(r, n, 0);
    }
    return n > 0 && !r->suspect ? run_at(r, 0) : SC_NIL;
}
