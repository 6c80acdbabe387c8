/* Eviction policies: scoring functions over the hot words; the lowest score goes.
 *
 * The victim is the lowest of 16 random slots, of all slots when 64 or fewer are in use, so small
 * caches are exact. A hit updates one word; there are no lists. A hot word is
 *
 *   tick of the last hit (32) | count (16) | density (8) | unused (8)
 *
 * count: log2 of the decayed number of hits, in 1/2048. density: log2(saving / byte), in 1/8. */
#ifndef SC_POLICY_H
#define SC_POLICY_H

#include "../region/region.h"

#define SC_COUNT_ONE 2048
#define SC_DENSITY_ONE 8
#define SC_SAMPLE 16
#define SC_ALL 64
#define SC_HALF_LIFE 16 /* capacities, in accesses */

typedef struct sc_hot { uint32_t tick; uint16_t count; int8_t density; } sc_hot;

static inline sc_hot sc_hot_unpack(uint64_t w) {
    return (sc_hot){(uint32_t)(w >> 32), (uint16_t)(w >> 16), (int8_t)(w >> 8)};
}
static inline uint64_t sc_hot_pack(sc_hot h) {
    return ((uint64_t)h.tick << 32) | ((uint64_t)h.count << 16) | ((uint64_t)(uint8_t)h.density << 8);
}

/* A score; the entry with the lowest is the victim. age: accesses since the last hit. */
typedef int64_t (*sc_score)(sc_hot h, uint32_t age, uint32_t capacity);
int64_t sc_score_value(sc_hot h, uint32_t age, uint32_t capacity);
int64_t sc_score_lru(sc_hot h, uint32_t age, uint32_t capacity);
int64_t sc_score_lfu(sc_hot h, uint32_t age, uint32_t capacity);

/* Accesses since a tick. Racing readers may set the counter back a little: that is no age. */
static inline uint32_t sc_age(const sc_region *r, sc_hot h) {
    uint32_t age = SC_LOAD(&r->h->tick) - h.tick;
    return age > UINT32_MAX / 2 ? 0 : age;
}

/* The count as it decayed over an age, in 1/2048 of log2; may be negative. */
static inline int64_t sc_decayed(sc_hot h, uint32_t age, uint32_t capacity) {
    return (int64_t)h.count - (int64_t)((uint64_t)age * SC_COUNT_ONE / ((uint64_t)SC_HALF_LIFE * capacity));
}

/* hot.c */
uint16_t sc_hot_count(const sc_region *r, uint32_t slot);   /* as decayed by now */
uint16_t sc_hot_from(uint32_t accesses);                   /* at least 1 */
void sc_hot_new(sc_region *r, uint32_t slot, uint16_t count, int8_t density);
void sc_hot_hit(sc_region *r, uint32_t slot);
int8_t sc_density(double saving, double bytes);

/* victim.c */
uint32_t sc_victim(sc_region *r, int policy); /* SC_NIL when nothing is live */

/* sketch.c: how often keys were asked for, the evicted ones too */
static inline sc_a8 *sc_sketch_line(const sc_region *r, uint64_t key) {
    return r->sketch + 64 * (size_t)((key >> 32) * r->sketch_lines >> 32);
}
uint32_t sc_sketch_estimate(const sc_region *r, uint64_t key);
void sc_sketch_count(sc_region *r, uint64_t key);
void sc_sketch_age(sc_region *r); /* under the lock */

#endif
