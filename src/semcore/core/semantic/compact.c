#include "compact.h"

#include "cells.h"
#include "codes.h"
#include "lanes.h"
#include "leading.h"
#include "product.h"

#define MEMORY 1024 /* rows that the moving average of the loss remembers */

static void remember(sc_model *m, float loss) {
    if (!(loss >= 0 && loss <= 8)) return; /* a forged vector's */
    float recent = sc_bits_float(SC_LOAD(&m->recent));
    SC_STORE(&m->recent, sc_float_bits(recent + (loss - recent) / MEMORY));
    SC_BUMP(&m->stored, 1);
}

/* Files a row with the codes of a model; returns what the codes lose. */
static float file_coded(sc_region *r, uint32_t generation, uint32_t slot, const float *x) {
    sc_model *m = sc_model_at(r, generation);
    sc_leading l;
    sc_model_rotate(m, r->dim, x, l.y);
    l.rest = sc_model_rest(l.y, sc_model_slack(r->dim));
    uint32_t lane = sc_lane_take(r, slot, sc_list_word(generation, sc_cells_file(r, m, &l, generation)));
    if (lane == SC_NIL) {
        r->suspect = true;
        return 0;
    }
    float loss = sc_product_store(r, m, lane, &l);
    sc_leading_store(r, m, slot, &l, generation);
    sc_lane_show(r, lane);
    return loss;
}

void sc_compact_store_plain(sc_region *r, uint32_t slot) {
    if (r->learns) sc_leading_clear(r, slot);
    uint32_t lane = sc_lane_take(r, slot, SC_UNCODED);
    if (lane == SC_NIL) r->suspect = true;
    else sc_lane_show(r, lane);
}

void sc_compact_store(sc_region *r, uint32_t slot, const float *x) {
    uint32_t current = sc_model_current(r);
    if (current) remember(sc_model_at(r, current), file_coded(r, current, slot, x));
    else sc_compact_store_plain(r, slot);
}

void sc_compact_block(sc_region *r, uint32_t list) {
    uint32_t current = sc_model_current(r), lane, slot;
    float x[SC_MAX_DIM];
    if (sc_lane_last(r, &r->lists[list], &lane) == SC_NIL) r->suspect = true; /* a block of nobody's */
    for (uint32_t n = 0; n < SC_LANES && (slot = sc_lane_last(r, &r->lists[list], &lane)) != SC_NIL; n++) {
        if (!sc_slot_ok(r, slot) || SC_LOAD(&r->place[slot]) != lane) { /* only in a damaged file */
            r->suspect = true;
            return;
        }
        sc_codes_unit(r, slot, x);
        file_coded(r, current, slot, x);
        sc_lane_note(r, slot);
        sc_lane_leave(r, lane);
        if (lane % SC_LANES == 0) return;
    }
}

uint32_t sc_compact_stale(const sc_region *r, uint32_t from) {
    uint32_t current = sc_model_current(r), first = current % 2 ? 0 : r->nlists; /* of the other model's, but one */
    if (!current) return SC_NIL;
    if (from == 0 && SC_LOAD(&r->lists[0].head) != SC_NIL) return 0;
    if (SC_LOAD(sc_coded_by(r, current + 1)) == 0) return SC_NIL;
    for (uint32_t i = from > first + 1 ? from : first + 1; i <= first + r->nlists; i++)
        if (SC_LOAD(&r->lists[i].head) != SC_NIL) return i;
    return SC_NIL;
}
