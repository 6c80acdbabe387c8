/* The hot words: what a hit leaves behind. */
#include <math.h>

#include "policy.h"

static uint16_t clamp_count(double c) { return (uint16_t)(c > UINT16_MAX ? UINT16_MAX : c < 0 ? 0 : c); }

uint16_t sc_hot_count(const sc_region *r, uint32_t slot) {
    sc_hot h = sc_hot_unpack(SC_LOAD(&r->hot[slot]));
    int64_t c = sc_decayed(h, sc_age(r, h), r->max_entries);
    return (uint16_t)(c < 0 ? 0 : c);
}

uint16_t sc_hot_from(uint32_t accesses) { return clamp_count(log2(accesses) * SC_COUNT_ONE + 0.5); }

void sc_hot_new(sc_region *r, uint32_t slot, uint16_t count, int8_t density) {
    SC_STORE(&r->hot[slot], sc_hot_pack((sc_hot){sc_tick_next(r), count, density}));
}

void sc_hot_hit(sc_region *r, uint32_t slot) {
    sc_hot h = sc_hot_unpack(SC_LOAD(&r->hot[slot]));
    uint32_t tick = sc_tick_next(r);
    double before = (double)sc_decayed(h, sc_age(r, h), r->max_entries) / SC_COUNT_ONE;
    h.count = clamp_count(log2(1.0 + exp2(before)) * SC_COUNT_ONE + 0.5);
    h.tick = tick;
    SC_STORE(&r->hot[slot], sc_hot_pack(h));
}

int8_t sc_density(double saving, double bytes) {
    double d = log2(saving / bytes) * SC_DENSITY_ONE;
    return (int8_t)(d > 127 ? 127 : d < -127 ? -127 : d);
}
