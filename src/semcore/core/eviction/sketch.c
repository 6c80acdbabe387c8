/* How often a key was asked for, evicted or not: 4-bit count-min counters, one 64-byte line a key.
 *
 * Counted on every hit (on the entry that answered) and every put, so that an entry that comes back
 * starts with the hits it had. Readers count too, without a lock: a lost increment is harmless.
 * Halved after ten accesses an entry of the cache. */
#include "policy.h"

/* The i-th of a key's four counters: a quarter of the line each, 32 counters a quarter. */
static uint32_t counter(uint64_t key, int i) { return 32u * (uint32_t)i + ((key >> (5 * i)) & 31); }

static uint32_t get(sc_a8 *line, uint32_t i) { return (SC_LOAD(&line[i / 2]) >> (4 * (i % 2))) & 15; }

static void increment(sc_a8 *line, uint32_t i) {
    if (get(line, i) < 15) SC_STORE(&line[i / 2], (uint8_t)(SC_LOAD(&line[i / 2]) + (1 << (4 * (i % 2)))));
}

uint32_t sc_sketch_estimate(const sc_region *r, uint64_t key) {
    sc_a8 *line = sc_sketch_line(r, key);
    uint32_t low = 15;
    for (int i = 0; i < 4; i++) low = get(line, counter(key, i)) < low ? get(line, counter(key, i)) : low;
    return low;
}

void sc_sketch_count(sc_region *r, uint64_t key) {
    sc_a8 *line = sc_sketch_line(r, key);
    for (int i = 0; i < 4; i++) increment(line, counter(key, i));
}

void sc_sketch_age(sc_region *r) {
    uint64_t turn = 10ull * r->max_entries < UINT32_MAX / 2 ? 10ull * r->max_entries : UINT32_MAX / 2;
    uint32_t since = SC_LOAD(&r->h->tick) - SC_LOAD(&r->h->state.halved); /* racing readers may set it back a little */
    if (since < turn || since > UINT32_MAX / 2 + turn) return;
    for (size_t i = 0; i < 64 * (size_t)r->sketch_lines; i++)
        SC_STORE(&r->sketch[i], (uint8_t)((SC_LOAD(&r->sketch[i]) >> 1) & 0x77));
    SC_STORE(&r->h->state.halved, SC_LOAD(&r->h->tick));
}
