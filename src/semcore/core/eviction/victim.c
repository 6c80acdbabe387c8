#include "../region/entry.h"
#include "policy.h"

static const sc_score scores[] = {
    [SC_POLICY_VALUE] = sc_score_value, [SC_POLICY_LRU] = sc_score_lru, [SC_POLICY_LFU] = sc_score_lfu};

static uint32_t random_below(sc_region *r, uint32_t n) {
    uint64_t x = SC_LOAD(&r->h->state.random); /* xorshift64* */
    if (x == 0) x = 1;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    SC_STORE(&r->h->state.random, x);
    return (uint32_t)(((x * 0x2545F4914F6CDD1Dull >> 32) * n) >> 32);
}

typedef struct pick { uint32_t slot; int64_t score; } pick;

static void consider(const sc_region *r, sc_score score, uint32_t slot, pick *low) {
    if (!sc_entry_live(r, slot)) return;
    sc_hot h = sc_hot_unpack(SC_LOAD(&r->hot[slot]));
    int64_t s = score(h, sc_age(r, h), r->max_entries);
    if (low->slot == SC_NIL || s < low->score) *low = (pick){slot, s};
}

static pick lowest_of_all(sc_region *r, sc_score score, uint32_t high) {
    pick low = {SC_NIL, 0};
    for (uint32_t slot = 0; slot < high; slot++) consider(r, score, slot, &low);
    return low;
}

static pick lowest_of_sample(sc_region *r, sc_score score, uint32_t high) {
    pick low = {SC_NIL, 0};
    for (int i = 0; i < SC_SAMPLE; i++) consider(r, score, random_below(r, high), &low);
    return low;
}

uint32_t sc_victim(sc_region *r, int policy) {
    uint32_t high = sc_slot_high(r);
    pick low = {SC_NIL, 0};
    if (high > SC_ALL) low = lowest_of_sample(r, scores[policy], high);
    if (low.slot == SC_NIL) low = lowest_of_all(r, scores[policy], high); /* or all sampled were free */
    return low.slot;
}
