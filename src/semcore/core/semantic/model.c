#include "model.h"

#include <math.h>
#include <float.h>

#include "../exact/xxh3.h"
#include "../simd/kernels.h"
#include "cells.h"

sc_model *sc_model_at(const sc_region *r, uint32_t generation) {
    return (sc_model *)(r->models + (generation % 2) * sc_model_bytes(r->dim));
}

uint32_t sc_model_current(const sc_region *r) {
    if (!r->learns) return 0;
    uint32_t generation = SC_LOAD(&r->h->state.generation);
    return SC_LOAD_ACQ(&sc_model_at(r, generation)->generation) == generation ? generation : 0;
}

static uint64_t sum_of(const sc_region *r, uint32_t generation) {
    const sc_model *m = sc_model_at(r, generation);
    const uint8_t *from = (const uint8_t *)&m->learnt_from;
    size_t centres = sc_cells_of(r, m) + (m->groups < r->ngroups ? m->groups : r->ngroups);
    uint64_t sums[3] = {sc_xxh3(from, (size_t)((const uint8_t *)&m->sum - from), r->h->secret, 0).low,
                        sc_xxh3(sc_centres_at(r, generation), sizeof(sc_centre) * centres, r->h->secret, 0).low,
                        sc_xxh3(m->rotation, (size_t)2 * SC_LEADING * r->dim, r->h->secret, 0).low};
    return sc_xxh3(sums, sizeof sums, r->h->secret, 0).low;
}

static void forget_rows(sc_model *m) {
    SC_STORE(&m->recent, sc_float_bits(m->loss));
    SC_STORE(&m->stored, 0);
}

/* The centres' codes, and what follows from them. */
static void install_cells(sc_region *r, sc_model *m, uint32_t generation, const sc_learnt *learnt) {
    sc_centre *c = sc_centres_at(r, generation);
    m->cells = learnt->cells;
    m->groups = learnt->groups;
    memset(m->first, 0, sizeof m->first);
    memcpy(m->first, learnt->first, sizeof *m->first * (m->groups + 1));
    memcpy(m->bases, learnt->bases, sizeof m->bases);
    memcpy(m->spreads, learnt->spreads, sizeof m->spreads);
    memcpy(m->shells, learnt->shells, sizeof m->shells);
    memcpy(m->probes, learnt->probes, sizeof m->probes);
    double widest = 0;
    for (uint32_t i = 0; m->cells > 1 && i < m->cells + m->groups; i++) {
        double square = 0, wide = 0;
        memcpy(c[i].codes, learnt->centres + i * sizeof c->codes, sizeof c->codes);
        for (int d = 0; d < SC_LEADING; d++) {
            double code = sc_centre_code(&c[i], d) - 7.5, x = m->bases[d] + m->spreads[d] * code;
            square += x * x;
            wide += code * code;
        }
        c[i].inverse = square > 1e-12 ? (float)(1 / sqrt(square)) : 0;
        widest = wide > widest ? wide : widest;
    }
    m->widest = (float)sqrt(widest) * (1 + 1e-5f);
}

void sc_model_install(sc_region *r, const sc_learnt *learnt) {
    uint32_t generation = SC_LOAD(&r->h->state.generation) + 1;
    generation += 2 * (generation == 0); /* the other place, also here */
    sc_model *m = sc_model_at(r, generation);
    SC_STORE(&m->generation, 0);
    atomic_thread_fence(memory_order_release);
    m->learnt_from = learnt->entries;
    m->loss = learnt->loss;
    memcpy(m->centroids, learnt->centroids, sizeof m->centroids);
    memcpy(m->means, learnt->means, sizeof m->means);
    memcpy(m->steps, learnt->steps, sizeof m->steps);
    memcpy(m->rests, learnt->rests, sizeof m->rests);
    memcpy(m->strays, learnt->strays, sizeof m->strays);
    memcpy(m->margins, learnt->margins, sizeof m->margins);
    m->margin_least = learnt->margin_least;
    m->margin_step = learnt->margin_step;
    memcpy(m->rotation, learnt->rotation, (size_t)2 * SC_LEADING * r->dim);
    install_cells(r, m, generation, learnt);
    m->sum = sum_of(r, generation);
    forget_rows(m);
    SC_STORE_REL(&m->generation, generation);
    SC_STORE_REL(&r->h->state.generation, generation);
}

void sc_model_recover(sc_region *r) {
    for (uint32_t i = 0; r->learns && i < 2; i++) {
        sc_model *m = sc_model_at(r, i);
        if (SC_LOAD(&m->generation) && m->sum == sum_of(r, i)) forget_rows(m);
        else SC_STORE(&m->generation, 0);
    }
}

void sc_model_rotate(const sc_model *m, uint32_t dim, const float *x, float y[SC_LEADING]) {
    sc_k->rotate(m->rotation, SC_LEADING, x, dim, y);
}

/* A sum of n products in eight or more lanes errs by at most (n / 8 + 8) roundings of |v| |x| <= 1; there are
 * SC_LEADING sums. */
float sc_model_slack(uint32_t dim) {
    return (float)(dim / 8 + 8) * (FLT_EPSILON / 2) * 11; /* √SC_LEADING */
}

float sc_model_rest(const float y[SC_LEADING], float slack) {
    double square = 0;
    for (int i = 0; i < SC_LEADING; i++) square += (double)y[i] * y[i];
    return (float)sqrt((square < 1 ? 1 - square : 0) + 3 * slack + 1e-6) * (1 + 1e-6f);
}
