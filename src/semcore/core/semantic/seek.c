#include "seek.h"

#include "../simd/kernels.h"

#define CHUNK 32             /* rows that the third tier is asked of at once */
#define RAISED 0.02          /* a better floor is worth new tables */

static double least(const sc_top *t) {
    if (t->n < t->limit) return t->floor;
    double worst = t->best[t->n - 1].similarity;
    return worst > t->floor ? worst : t->floor;
}

double sc_seek_floor(const sc_seek *s) { return least(s->top); }

static bool better(sc_found a, sc_found b) {
    return a.similarity > b.similarity || (a.similarity == b.similarity && a.slot < b.slot);
}

void sc_seek_offer(sc_top *t, sc_found f) {
    if (t->n == t->limit && !better(f, t->best[t->n - 1])) return;
    for (uint32_t k = 0; k < t->n; k++)
        if (t->best[k].slot == f.slot) return; /* put again, and met again, under the walk */
    uint32_t i = t->n < t->limit ? t->n++ : t->n - 1;
    for (; i > 0 && better(f, t->best[i - 1]); i--) t->best[i] = t->best[i - 1];
    t->best[i] = f;
}

/* ---- the learnt tiers ---- */

/* What follows from the floor. */
static void aim_at_floor(sc_seek *s, const sc_model *m, sc_view *v, uint32_t generation) {
    v->floor = least(s->top);
    sc_product_prepare(s->r, m, &v->x, (float)v->floor, &v->product);
    sc_reach_aim(&v->x, (float)v->floor, &v->reach);
    if (s->all) sc_reach_fill(s->r, generation, &v->reach);
    v->reach.probes = sc_cells_probes(s->r, m, (float)v->floor, s->missed);
}

static void rotate_query(const sc_seek *s, const sc_model *shared, sc_view *v) {
    float x[SC_MAX_DIM];
    double inverse = 1 / s->q.norm; /* a float does not hold that of every norm */
    for (uint32_t i = 0; i < s->r->dim; i++) x[i] = (float)(s->q.vector[i] * inverse);
    sc_model_rotate(shared, s->r->dim, x, v->x.y);
    v->x.rest = sc_model_rest(v->x.y, sc_model_slack(s->r->dim));
}

/* A copy of a model without its rotation and centres, of which a new view takes what it needs; false if there is no such model any more. */
static bool copy_model(const sc_seek *s, uint32_t generation, sc_model *m, sc_view *fresh) {
    const sc_model *shared = sc_model_at(s->r, generation);
    if (!generation || SC_LOAD_ACQ(&shared->generation) != generation) return false;
    sc_copy_racy(m, shared, sizeof *m);
    if (fresh) {
        rotate_query(s, shared, fresh);
        sc_reach_end(&fresh->reach);
        if (s->passes) sc_reach_begin(s->r, m, &fresh->x, generation, &fresh->reach);
    }
    atomic_thread_fence(memory_order_acquire);
    return SC_LOAD(&shared->generation) == generation;
}

sc_view *sc_seek_view(sc_seek *s, uint32_t generation) {
    sc_view *v = &s->views[generation % 2];
    sc_model m;
    if (!generation || s->few || !(s->top->floor > 0)) return NULL;
    if (v->product.generation == generation) return v;
    v->product.generation = 0; /* while it is made anew */
    if (!copy_model(s, generation, &m, v)) return NULL;
    v->product.generation = generation;
    aim_at_floor(s, &m, v, generation);
    sc_leading_prepare(s->r, &m, &v->x, generation, &v->leading);
    return v;
}

/* What was found may have raised the floor far enough for sharper tables. */
static void sharpen(sc_seek *s, sc_view *v) {
    sc_model m;
    if (least(s->top) < v->floor + RAISED) return;
    if (copy_model(s, v->product.generation, &m, NULL)) aim_at_floor(s, &m, v, v->product.generation);
}

void sc_seek_all(sc_seek *s) {
    s->all = true;
    for (int i = 0; i < 2; i++)
        if (s->views[i].product.generation) sc_reach_fill(s->r, s->views[i].product.generation, &s->views[i].reach);
}

void sc_seek_score_waiting(sc_seek *s) {
    sc_seek_score(s, s->of, s->ids, s->waiting);
    s->waiting = 0;
}

void sc_seek_turn(sc_seek *s, sc_view *v) {
    if (v == s->of && s->waiting < SC_BATCH) return;
    sc_seek_score_waiting(s);
    if (v) sharpen(s, v);
    s->of = v;
}

/* ---- the last tiers ---- */

/* The stored vector, read between two looks at the sequence word. */
static void rescore(sc_seek *s, uint32_t slot) {
    const sc_region *r = s->r;
    sc_entry e;
    if (!sc_entry_snapshot(r, slot, &e)) return;
    if (!e.has_vector || !sc_entry_alive(&e, s->now) || !sc_entry_same_part(&e, s->part)) return;
    sc_found f = {sc_cosine(r, &s->q, slot), slot, SC_LOAD(&e.seq)};
    if (!(f.similarity >= least(s->top))) return;
    bool whole = !r->file || (e.sum == sc_entry_sum(r, &e) && e.vector_sum == sc_vector_sum(r, slot));
    if (!sc_entry_unmoved(r, slot, f.seq)) return;
    if (whole) sc_seek_offer(s->top, f);
    else s->top->damaged = slot;
}

/* Rows whose high plane cannot rule them out, moved to the front of ids and high; how many. */
SC_RACY_READ static uint32_t keep_possible(const sc_seek *s, uint32_t *ids, int32_t *high, uint32_t n) {
    float floor = (float)least(s->top);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool possible = !(sc_bound_high(&s->q, s->r->scales[ids[i]], high[i]) < floor);
        ids[kept] = ids[i];
        high[kept] = high[i];
        kept += possible;
    }
    return kept;
}

SC_RACY_READ static sc_scale scale_of(const sc_region *r, uint32_t slot) { return r->scales[slot]; }

static void score_codes(sc_seek *s, uint32_t *ids, uint32_t n) {
    const sc_region *r = s->r;
    int32_t high[CHUNK], low;
    sc_k->dot_u4(r->high, r->plane, ids, n, s->q.even, s->q.odd, high);
    n = keep_possible(s, ids, high, n);
    for (uint32_t i = 0; i < n; i++) {
        sc_k->dot_u4(r->low, r->plane, &ids[i], 1, s->q.even, s->q.odd, &low);
        if (sc_bound_full(&s->q, scale_of(r, ids[i]), high[i], low) < least(s->top)) continue;
        rescore(s, ids[i]);
    }
}

void sc_seek_score(sc_seek *s, const sc_view *v, uint32_t *ids, uint32_t n) {
    if (v && !sc_trial_useless(s->leading)) {
        s->leading.asked += n;
        n = sc_leading_keep(s->r, &v->leading, (float)least(s->top), ids, n);
        s->leading.passed += n;
    }
    for (uint32_t at = 0; at < n; at += CHUNK) score_codes(s, ids + at, n - at < CHUNK ? n - at : CHUNK);
}

/* ---- its life ---- */

void sc_seek_begin(sc_seek *s, const sc_region *r, sc_part part, const float *query, int64_t now, bool few, sc_top *top) {
    s->r = r, s->part = part, s->now = now, s->few = few, s->top = top; /* the tables are large: not zeroed */
    s->product = s->leading = (sc_trial){0, 0};
    for (int i = 0; i < 2; i++) {
        s->views[i].product.generation = 0;
        s->views[i].reach = (sc_reach){0};
    }
    s->waiting = 0, s->of = NULL, s->passes = s->all = false, s->missed = 0;
    sc_query_prepare(r, query, &s->q);
}

void sc_seek_end(sc_seek *s) {
    for (int i = 0; i < 2; i++) sc_reach_end(&s->views[i].reach);
}
