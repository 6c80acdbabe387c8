/* The ledger and the clock of accesses.
 *
 * Readers write both, on every hit. One line for all would travel from processor to processor: so a
 * processor counts in a shard of its own, and in a large cache the tick moves on by `step` accesses at
 * once, at most a 256th of what the cache holds. */
#include "platform.h"
#include "region.h"

sc_shard *sc_shard_here(sc_region *r) { return &r->h->ledger[sc_os_cpu() % SC_SHARDS]; }

void sc_count(sc_region *r, enum sc_counter what, uint64_t n) { SC_ADD(&sc_shard_here(r)->counts[what], n); }

uint64_t sc_counted(const sc_region *r, enum sc_counter what) {
    uint64_t n = 0;
    for (int i = 0; i < SC_SHARDS; i++) n += SC_LOAD(&r->h->ledger[i].counts[what]);
    return n;
}

uint32_t sc_tick_next(sc_region *r) {
    if (r->step == 1) {
        uint32_t tick = SC_LOAD(&r->h->tick) + 1; /* racing readers may share a tick */
        SC_STORE(&r->h->tick, tick);
        return tick;
    }
    sc_a32 *accesses = &sc_shard_here(r)->accesses;
    uint32_t n = SC_LOAD(accesses) + 1;
    SC_STORE(accesses, n);
    if (n % r->step == 0) SC_ADD(&r->h->tick, r->step);
    return SC_LOAD(&r->h->tick);
}
