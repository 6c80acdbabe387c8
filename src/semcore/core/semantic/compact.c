#include "compact.h"

#include "codes.h"
#include "leading.h"
#include "product.h"

#define MEMORY 1024 /* rows that the moving average of the loss remembers */

static uint32_t blocks_of(const sc_region *r) { return (sc_slot_high(r) + SC_LANES - 1) / SC_LANES; }

static bool empty(const sc_region *r, uint32_t slot) {
    uint64_t tags[SC_LANES / 8];
    memcpy(tags, sc_block_of(r, slot), sizeof tags);
    return (tags[0] | tags[1] | tags[2] | tags[3]) == 0;
}

static float code(sc_region *r, sc_model *m, uint32_t generation, uint32_t slot, const float *x) {
    sc_leading l;
    sc_model_rotate(m, r->dim, x, l.y);
    l.rest = sc_model_rest(l.y, sc_model_slack(r->dim));
    float loss = sc_product_store(r, m, slot, &l);
    sc_leading_store(r, m, slot, &l, generation);
    return loss;
}

static void remember(sc_model *m, float loss) {
    if (!(loss >= 0 && loss <= 8)) return; /* a forged vector's */
    float recent = sc_bits_float(SC_LOAD(&m->recent));
    SC_STORE(&m->recent, sc_float_bits(recent + (loss - recent) / MEMORY));
    SC_BUMP(&m->stored, 1);
}

void sc_compact_store(sc_region *r, uint32_t slot, const float *x) {
    if (!r->learns) return;
    sc_a32 *word = &r->coded[slot / SC_LANES].generation;
    uint32_t current = sc_model_current(r), generation = SC_LOAD(word);
    if (generation != current && empty(r, slot)) SC_STORE_REL(word, generation = current);
    sc_model *m = sc_model_at(r, generation);
    if (!generation || SC_LOAD(&m->generation) != generation) sc_leading_clear(r, slot);
    else remember(m, code(r, m, generation, slot, x));
}

void sc_compact_block(sc_region *r, uint32_t block) {
    uint32_t current = sc_model_current(r);
    float x[SC_MAX_DIM];
    SC_STORE(&r->coded[block].generation, 0);
    atomic_thread_fence(memory_order_release);
    for (uint32_t slot = block * SC_LANES; slot < (block + 1) * SC_LANES && slot < r->max_entries; slot++) {
        if (!SC_LOAD(sc_lane_tag(r, slot))) continue;
        sc_codes_unit(r, slot, x);
        code(r, sc_model_at(r, current), current, slot, x);
    }
    SC_STORE_REL(&r->coded[block].generation, current);
}

void sc_compact_reset(sc_region *r) {
    if (!r->learns) return;
    sc_model_recover(r);
    for (uint32_t b = 0; b < (r->max_entries + SC_LANES - 1) / SC_LANES; b++) SC_STORE(&r->coded[b].generation, 0);
    atomic_thread_fence(memory_order_release); /* before codes are written anew */
}

uint32_t sc_compact_stale(const sc_region *r, uint32_t from) {
    uint32_t current = sc_model_current(r);
    for (uint32_t b = from; current && b < blocks_of(r); b++)
        if (SC_LOAD(&r->coded[b].generation) != current && !empty(r, b * SC_LANES)) return b;
    return SC_NIL;
}
