/* Learning: what there is to learn, taking a model, and recoding the rows in small steps. */
#include <math.h>

#include "engine.h"
#include "semantic/codes.h"
#include "semantic/compact.h"
#include "semantic/model.h"

#define GROWTH 4          /* a cache that has grown so much is learnt anew, */
#define SAMPLE 8192       /* until as many vectors as a sample holds were there to learn from */
#define DRIFT 1.25f       /* and one whose newer rows lose so much more than those learnt from */
#define DRIFT_LEAST 0.02f

SC_RACY_READ static bool drifted(const sc_model *m) {
    uint32_t least = m->learnt_from / 4 > SC_LEARN_FROM ? m->learnt_from / 4 : SC_LEARN_FROM;
    return SC_LOAD(&m->stored) >= least && sc_bits_float(SC_LOAD(&m->recent)) > m->loss * DRIFT + DRIFT_LEAST;
}

SC_RACY_READ static bool outgrown(const sc_model *m, uint32_t entries) {
    return (m->learnt_from < SAMPLE && entries / GROWTH >= m->learnt_from) || drifted(m);
}

int sc_learning(const sc_cache *c) {
    const sc_region *r = &c->r;
    uint32_t entries = SC_LOAD(&r->h->state.entries), current = sc_model_current(r);
    if (!r->learns || r->read_only || entries < SC_LEARN_FROM) return SC_LEARNT;
    if (sc_compact_stale(r, 0) != SC_NIL) return SC_STALE;
    return !current || outgrown(sc_model_at(r, current), entries) ? SC_UNLEARNT : SC_LEARNT;
}

uint32_t sc_sample(const sc_cache *c, uint32_t most, float *out) {
    const sc_region *r = &c->r;
    uint32_t high = sc_slot_high(r), n = 0, step = high / most + 1;
    for (uint32_t first = 0; first < step; first++)
        for (uint32_t slot = first; slot < high && n < most; slot += step) {
            sc_entry e;
            if (!sc_entry_snapshot(r, slot, &e) || !e.has_vector) continue;
            if (r->file && e.vector_sum != sc_vector_sum(r, slot)) continue;
            sc_codes_load(r, slot, out + (size_t)r->dim * n);
            n += sc_entry_unmoved(r, slot, SC_LOAD(&e.seq));
        }
    return n;
}

uint32_t sc_generation(const sc_cache *c) { return SC_LOAD(&c->r.h->state.generation); }

int sc_learn(sc_cache *c, const sc_learnt *learnt, uint32_t generation) {
    if (!c->r.learns || !(learnt->margin_step > 0) || !isfinite(learnt->margin_step)) return SC_EARG;
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    if (sc_generation(c) != generation) rc = SC_EMOVED;
    else if (sc_compact_stale(&c->r, 0) != SC_NIL) rc = SC_EARG;
    else sc_model_install(&c->r, learnt);
    sc_engine_unlock(c);
    return rc;
}

int sc_recode(sc_cache *c, uint32_t most, int *left) {
    uint32_t block = 0;
    *left = 0;
    for (uint32_t n = 0; n <= most; n++) {
        block = sc_compact_stale(&c->r, block);
        *left = block != SC_NIL;
        if (!*left || n == most) break;
        int rc = sc_engine_lock(c);
        if (rc != SC_OK) return rc;
        uint32_t current = sc_model_current(&c->r); /* another process may have been here */
        if (current && SC_LOAD(&c->r.coded[block].generation) != current) sc_compact_block(&c->r, block);
        sc_engine_unlock(c);
    }
    return SC_OK;
}
