#include "cells.h"

#include <math.h>
#include <stdlib.h>

#include "../simd/kernels.h"

#define TRIED 3            /* groups whose cells a new row looks at */
#define CHUNK 64           /* centres scored at once */
#define SLACK 2e-5f        /* of float arithmetic, besides sc_model_slack */
#define HALF (SC_LEADING / 2)

/* A query or a row, for scoring centres. */
typedef struct aim {
    float unit, base, error; /* <x, c> = unit (dot - 7.5 sum) + base, give or take error */
    float inverse, slack;    /* of x's length; of a cosine */
    int32_t sum;
    _Alignas(64) int8_t even[SC_LEADING_BYTES], odd[SC_LEADING_BYTES];
} aim;

uint32_t sc_cells_of(const sc_region *r, const sc_model *m) { return m->cells < r->ncells ? m->cells : r->ncells; }

sc_centre *sc_centres_at(const sc_region *r, uint32_t generation) {
    return r->centres + (size_t)(generation % 2) * (r->ncells + r->ngroups);
}

static float length_of(const sc_leading *x) {
    double square = 0;
    for (int i = 0; i < SC_LEADING; i++) square += (double)x->y[i] * x->y[i];
    return (float)sqrt(square);
}

static void take_aim(const sc_region *r, const sc_model *m, const sc_leading *x, aim *a) {
    float t[SC_LEADING], most = 1e-20f, length = length_of(x);
    double error = 0, base = 0;
    memset(a, 0, sizeof *a);
    for (int i = 0; i < SC_LEADING; i++) {
        t[i] = x->y[i] * m->spreads[i];
        most = fabsf(t[i]) > most ? fabsf(t[i]) : most;
        base += (double)x->y[i] * m->bases[i];
    }
    a->unit = most / 127;
    for (int i = 0; i < SC_LEADING; i++) {
        float p = t[i] / a->unit;
        p = p > -127 ? p < 127 ? p : 127 : -127; /* NaN too, which a forged model may hold */
        int8_t d = (int8_t)lrintf(p);
        error += ((double)t[i] - a->unit * d) * ((double)t[i] - a->unit * d);
        (i < HALF ? a->even : a->odd)[i % HALF] = d;
        a->sum += d;
    }
    a->base = (float)base;
    a->error = (float)sqrt(error) * m->widest;
    a->inverse = length > 1e-3f ? 1 / length : 0;
    a->slack = 4 * sc_model_slack(r->dim) * a->inverse + SLACK;
}

/* Cosines of the angles to centres, at most: those with numbers from `first` on, at most CHUNK of them. */
SC_RACY_READ static void score(const aim *a, const sc_centre *centres, uint32_t first, uint32_t n, float *cosines) {
    uint32_t ids[CHUNK];
    int32_t dots[CHUNK];
    for (uint32_t i = 0; i < n; i++) ids[i] = first + i;
    sc_k->dot_u4((const uint8_t *)centres, sizeof *centres, ids, n, a->even, a->odd, dots);
    for (uint32_t i = 0; i < n; i++) {
        float dot = a->unit * ((float)dots[i] - 7.5f * (float)a->sum) + a->base + a->error;
        cosines[i] = dot * a->inverse * centres[first + i].inverse + a->slack;
    }
}

/* Takes `number` in among the n best so far, best first; how many there are then. */
static uint32_t keep_best(float cosine, uint32_t number, float *best, uint32_t *numbers, uint32_t n, uint32_t most) {
    if (n == most && !(cosine > best[n - 1])) return n;
    uint32_t i = n < most ? n++ : n - 1;
    for (; i > 0 && cosine > best[i - 1]; i--) best[i] = best[i - 1], numbers[i] = numbers[i - 1];
    best[i] = cosine;
    numbers[i] = number;
    return n;
}

/* ---- filing ---- */

/* The best `most` of the centres from number `from` to `to`, joined with the n that are in numbers already. */
static uint32_t best_of(const aim *a, const sc_centre *centres, uint32_t from, uint32_t to, float *best, uint32_t *numbers,
                        uint32_t n, uint32_t most) {
    float cosines[CHUNK];
    for (uint32_t at = from; at < to; at += CHUNK) {
        uint32_t some = to - at < CHUNK ? to - at : CHUNK;
        score(a, centres, at, some, cosines);
        for (uint32_t i = 0; i < some; i++) n = keep_best(cosines[i], at + i, best, numbers, n, most);
    }
    return n;
}

/* A cell whose centre is near. */
static uint32_t nearest_cell(const sc_region *r, const sc_model *m, const sc_centre *centres, const aim *a) {
    uint32_t cells = sc_cells_of(r, m), groups = m->groups < r->ngroups ? m->groups : r->ngroups;
    uint32_t tried[TRIED], cell[TRIED] = {0};
    float best[TRIED], closest[TRIED];
    uint32_t n = best_of(a, centres, cells, cells + groups, best, tried, 0, TRIED), found = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t from = m->first[tried[i] - cells], to = m->first[tried[i] - cells + 1];
        if (to <= cells) found = best_of(a, centres, from, to, closest, cell, found, 1);
    }
    return cell[0];
}

/* The cosine of a row's angle to a centre, at least. */
static float cosine_to(const sc_region *r, const sc_model *m, const sc_centre *c, const sc_leading *x) {
    double dot = 0;
    for (int i = 0; i < SC_LEADING; i++) {
        dot += ((double)m->bases[i] + (double)m->spreads[i] * (sc_centre_code(c, i) - 7.5)) * x->y[i];
    }
    float length = length_of(x), cosine = (float)dot * c->inverse / length - 2 * sc_model_slack(r->dim) / length - SLACK;
    return cosine > -1 && length > 1e-3f ? cosine < 1 ? cosine : 1 : -1; /* NaN: the centre says nothing */
}

uint32_t sc_cells_file(sc_region *r, const sc_model *m, const sc_leading *x, uint32_t generation) {
    uint32_t list = 0;
    float cosine = -1;
    if (sc_cells_of(r, m) > 1) {
        const sc_centre *centres = sc_centres_at(r, generation);
        aim a;
        take_aim(r, m, x, &a);
        uint32_t cell = nearest_cell(r, m, centres, &a), shell = 0;
        cosine = cosine_to(r, m, &centres[cell], x);
        while (shell < SC_SHELLS - 1 && !(cosine >= m->shells[shell])) shell++;
        list = cell * SC_SHELLS + shell;
    }
    sc_a32 *near = &sc_lists_at(r, generation)[list].near;
    if (!(sc_bits_float(SC_LOAD(near)) <= cosine)) SC_STORE(near, sc_float_bits(cosine));
    return list;
}

/* ---- what a search knows ---- */

void sc_reach_begin(const sc_region *r, const sc_model *m, const sc_leading *x, uint32_t generation, sc_reach *reach) {
    uint32_t cells = sc_cells_of(r, m);
    float best[SC_NEAREST];
    aim a;
    *reach = (sc_reach){.cells = cells};
    reach->cosines = cells > 1 ? malloc(cells * (sizeof(float) + SC_SHELLS)) : NULL;
    if (!reach->cosines) {
        reach->cells = 0;
        return;
    }
    reach->skip = (uint8_t *)(reach->cosines + cells);
    take_aim(r, m, x, &a);
    for (uint32_t at = 0; at < cells; at += CHUNK) {
        uint32_t some = cells - at < CHUNK ? cells - at : CHUNK;
        score(&a, sc_centres_at(r, generation), at, some, reach->cosines + at);
        for (uint32_t i = at; i < at + some; i++)
            reach->n = keep_best(reach->cosines[i], i, best, reach->nearest, reach->n, SC_NEAREST);
    }
}

void sc_reach_aim(const sc_leading *x, float floor, sc_reach *reach) {
    float t = floor - 2e-7f, wide = (1 - t * t) / (1 - x->rest * x->rest); /* sin² κ; similarities are rounded to float */
    bool acute = t > 0 && x->rest < 1 && wide < 1;
    reach->cosine = acute ? sqrtf(1 - wide) - SLACK : 0;
    reach->sine = acute ? sqrtf(wide) + SLACK : 1;
}

static bool passes(const sc_list *l, const sc_reach *reach, float cosine) {
    float near = sc_bits_float(SC_LOAD(&l->near)), over = 1 - near * near;
    float least = reach->cosine * near - reach->sine * (over > 0 ? sqrtf(over) : 0) - 2 * SLACK;
    return near > 1 || (reach->cosine > 0 && near > SLACK - reach->cosine && cosine < least);
}

bool sc_reach_passes(const sc_region *r, uint32_t generation, const sc_reach *reach, uint32_t list) {
    return passes(&sc_lists_at(r, generation)[list], reach, reach->cosines[list / SC_SHELLS]);
}

void sc_reach_fill(const sc_region *r, uint32_t generation, sc_reach *reach) {
    const sc_list *lists = sc_lists_at(r, generation);
    for (uint32_t i = 0; i < reach->cells * SC_SHELLS; i++)
        reach->skip[i] = passes(&lists[i], reach, reach->cosines[i / SC_SHELLS]);
}

uint32_t sc_cells_probes(const sc_region *r, const sc_model *m, float floor, float missed) {
    static const float floors[SC_FLOORS] = {0.8f, 0.85f, 0.9f, 0.95f};
    static const float shares[SC_SHARES] = {0.1f, 0.03f, 0.01f, 0.003f, 0.001f, 0.0003f};
    uint32_t cells = sc_cells_of(r, m), f = SC_FLOORS, s = 0;
    while (f > 0 && !(floor >= floors[f - 1] - 1e-6f)) f--;
    while (s < SC_SHARES && !(missed * 1.001f >= shares[s])) s++;
    if (f == 0 || s == SC_SHARES) return cells;
    return m->probes[f - 1][s] < cells ? m->probes[f - 1][s] : cells;
}

#define BINS 512 /* of cosines from -1 to 1 */

float sc_reach_cosine(const sc_reach *reach) {
    uint32_t counts[BINS] = {0}, bin = BINS, n = 0;
    for (uint32_t i = 0; i < reach->cells; i++) {
        float at = (reach->cosines[i] + 1) * (BINS / 2);
        counts[at > 0 ? at < BINS - 1 ? (uint32_t)at : BINS - 1 : 0]++; /* NaN: the first */
    }
    while (bin > 0 && n < reach->probes) n += counts[--bin];
    return bin ? (float)bin / (BINS / 2) - 1 : -INFINITY;
}

void sc_reach_end(sc_reach *reach) {
    free(reach->cosines);
    reach->cosines = NULL;
    reach->cells = 0;
}
