/* Who goes: the last block of the run whose stamp is least, again and again.
 *
 * lru: the stamp is the time of the last use. lfu: (age + uses) above (uses, time), where age is the first part
 * of the last victim's stamp: what was used much long ago gives way in the end. */
#include "prefix.h"

uint64_t sc_stamp_next(sc_region *r, int policy, uint64_t before) {
    sc_prefix_state *s = &r->h->prefix;
    if (policy != SC_POLICY_LFU) return s->tick;
    uint64_t uses = (before >> 24 & 0xFF) < 0xFF ? (before >> 24 & 0xFF) + 1 : 0xFF;
    return (s->age + uses) << 32 | uses << 24 | (s->tick & 0xFFFFFF);
}

void sc_spot_touch(sc_region *r, int policy, sc_spot at) {
    const sc_run *u = &r->prefix.runs[at.run];
    uint64_t stamp = sc_stamp_next(r, policy, sc_step_stamp(r, at.run, at.depth));
    if (at.depth == sc_run_end(u)) sc_step_last(r, at.run, stamp);
    else sc_step_add(r, at.run, at.depth, stamp);
}

static uint32_t most(uint32_t a, uint32_t b) { return a > b ? a : b; }

static uint32_t evict_one(sc_region *r, int policy, uint32_t run, uint32_t need, sc_spot guard) {
    const sc_run *u = &r->prefix.runs[run];
    uint32_t end = sc_run_end(u), least = most(sc_run_limit(r, u), sc_step_deepest(r, run));
    if (run == guard.run) least = most(least, guard.depth);
    if (!sc_run_ok(r, run) || end <= least) return 0;
    if (policy == SC_POLICY_LFU) r->h->prefix.age = u->stamp >> 32;
    return sc_run_cut(r, run, end - least > need ? end - need : least);
}

uint32_t sc_prefix_evict(sc_region *r, int policy, uint32_t need, sc_spot guard) {
    uint32_t freed = 0;
    for (uint32_t run; freed < need && !r->suspect && (run = sc_heap_least(r)) != SC_NIL;) {
        uint32_t n = evict_one(r, policy, run, need - freed, guard);
        if (n == 0) sc_heap_remove(r, run); /* the guarded one, until it has grown */
        freed += n;
    }
    r->h->prefix.evicted += freed;
    if (guard.run != SC_NIL) sc_run_settle(r, guard.run);
    return freed;
}

bool sc_prefix_free_run(sc_region *r, int policy, sc_spot guard) {
    const sc_prefix_state *s = &r->h->prefix;
    while (s->free_run == SC_NIL && s->run_high >= r->prefix.nruns)
        if (sc_prefix_evict(r, policy, 1, guard) == 0) return false;
    return true;
}
