/* Learning: what there is to learn, taking a model, and recoding the rows in small steps. */
#include <math.h>

#include "engine.h"
#include "semantic/codes.h"
#include "semantic/compact.h"
#include "semantic/model.h"

#define GROWTH 4          /* a cache that has grown so much is learnt anew, */
#define SAMPLE 8192       /* until as many vectors as a sample holds were there to learn from */
#define CELLS_FROM 150000 /* entries; a scan of all codes gains nothing from cells before, */
#define PROBED_FROM 20000 /* a search that may miss some does */
#define CELL_ROWS 128     /* of a cell when it is learnt; it may hold GROWTH times as many before more cells are learnt */
#define DRIFT 1.25f       /* and one whose newer rows lose so much more than those learnt from */
#define DRIFT_LEAST 0.02f

SC_RACY_READ static bool drifted(const sc_model *m) {
    uint32_t least = m->learnt_from / 4 > SC_LEARN_FROM ? m->learnt_from / 4 : SC_LEARN_FROM;
    return SC_LOAD(&m->stored) >= least && sc_bits_float(SC_LOAD(&m->recent)) > m->loss * DRIFT + DRIFT_LEAST;
}

static uint32_t cells_from(const sc_cache *c) { return c->recall > 0 && c->recall < 1 ? PROBED_FROM : CELLS_FROM; }

SC_RACY_READ static bool outgrown(const sc_cache *c, const sc_model *m, uint32_t entries) {
    bool large = entries >= cells_from(c), late = m->learnt_from < cells_from(c) || entries / 2 >= m->learnt_from;
    bool grown = (m->learnt_from < SAMPLE || large) && entries / GROWTH >= m->learnt_from;
    return grown || (large && late && m->cells == 1 && c->r.ncells > 1) || drifted(m);
}

int sc_learning(const sc_cache *c) {
    const sc_region *r = &c->r;
    uint32_t entries = SC_LOAD(&r->h->state.entries), current = sc_model_current(r);
    if (!r->learns || r->read_only || entries < SC_LEARN_FROM) return SC_LEARNT;
    if (sc_compact_stale(r, 0) != SC_NIL) return SC_STALE;
    return !current || outgrown(c, sc_model_at(r, current), entries) ? SC_UNLEARNT : SC_LEARNT;
}

uint32_t sc_sample(const sc_cache *c, uint32_t most, uint32_t part, uint32_t parts, float *out) {
    const sc_region *r = &c->r;
    uint32_t high = sc_slot_high(r), n = 0, step = high / (most * parts) + 1;
    for (uint32_t first = 0; first < step; first++)
        for (uint64_t slot = first + (uint64_t)step * part; slot < high && n < most; slot += (uint64_t)step * parts) {
            sc_entry e;
            if (!sc_entry_snapshot(r, (uint32_t)slot, &e) || !e.has_vector) continue;
            if (r->file && e.vector_sum != sc_vector_sum(r, (uint32_t)slot)) continue;
            sc_codes_load(r, (uint32_t)slot, out + (size_t)r->dim * n);
            n += sc_entry_unmoved(r, (uint32_t)slot, SC_LOAD(&e.seq));
        }
    return n;
}

uint32_t sc_generation(const sc_cache *c) { return SC_LOAD(&c->r.h->state.generation); }

uint32_t sc_most_cells(const sc_cache *c, uint32_t *groups) {
    *groups = c->r.ngroups;
    return c->r.ncells;
}

uint32_t sc_cells(const sc_cache *c) {
    uint32_t entries = SC_LOAD(&c->r.h->state.entries), n = entries / CELL_ROWS;
    if (entries < cells_from(c) || c->r.ncells < 2) return 1;
    return n < c->r.ncells ? n : c->r.ncells;
}

static bool cells_fit(const sc_region *r, const sc_learnt *l) {
    if (l->cells == 0 || l->cells > (r->ncells ? r->ncells : 1) || l->groups > r->ngroups) return false;
    for (uint32_t g = 0; g < l->groups; g++)
        if (l->first[g] > l->first[g + 1] || l->first[g + 1] > l->cells) return false;
    return true;
}

int sc_learn(sc_cache *c, const sc_learnt *learnt, uint32_t generation) {
    if (!c->r.learns || !(learnt->margin_step > 0) || !isfinite(learnt->margin_step)) return SC_EARG;
    if (!cells_fit(&c->r, learnt)) return SC_EARG;
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    if (sc_generation(c) != generation) rc = SC_EMOVED;
    else if (sc_compact_stale(&c->r, 0) != SC_NIL) rc = SC_EARG;
    else sc_model_install(&c->r, learnt);
    sc_engine_unlock(c);
    return rc;
}

int sc_recode(sc_cache *c, uint32_t most, int *left) {
    uint32_t list = 0;
    *left = 0;
    for (uint32_t n = 0; n <= most; n++) {
        list = sc_compact_stale(&c->r, list);
        *left = list != SC_NIL;
        if (!*left || n == most) break;
        int rc = sc_engine_lock(c);
        if (rc != SC_OK) return rc;
        if (sc_compact_stale(&c->r, list) == list) sc_compact_block(&c->r, list); /* else somebody else did */
        sc_engine_unlock(c);
    }
    if (!*left) *left = sc_compact_stale(&c->r, 0) != SC_NIL; /* a recovery meanwhile */
    return SC_OK;
}
