#include "leading.h"

#include <math.h>

#include "../simd/kernels.h"

#define HALF (SC_LEADING / 2)
#define FACTOR 60      /* places of the scalars */
#define ERROR 61
#define REST 62
#define STAMP 63
#define FACTOR_UNIT (1 / 128.0f)
#define UNIT (1 / 255.0f)
#define BATCH 64
#define MOST 8063      /* of a component of the query: 63 * 128 - 1, so that both digits fit 8 bits */

static uint8_t *row_of(const sc_region *r, uint32_t slot) { return r->leading + (size_t)SC_LEADING_BYTES * slot; }

static uint8_t byte_above(float x) { return (uint8_t)(x < 1 ? ceilf(x * 255) : 255); }

void sc_leading_clear(sc_region *r, uint32_t slot) {
    SC_STORE((sc_a8 *)(row_of(r, slot) + STAMP), 0);
    atomic_thread_fence(memory_order_release);
}

void sc_leading_store(sc_region *r, const sc_model *m, uint32_t slot, const sc_leading *x, uint32_t generation) {
    uint8_t *row = row_of(r, slot), codes[SC_LEADING];
    float w[SC_LEADING];
    double dot = 0, square = 0, left = 0;
    sc_leading_clear(r, slot);
    for (int i = 0; i < SC_LEADING; i++) {
        float step = m->steps[i], c = step > 0 ? floorf((x->y[i] - m->means[i]) / step) + 8 : 8;
        codes[i] = (uint8_t)(c > 0 ? c < 15 ? c : 15 : 0);
        w[i] = m->means[i] + step * ((float)codes[i] - 7.5f);
        dot += (double)w[i] * x->y[i];
        square += (double)w[i] * w[i];
    }
    double best = square > 0 ? dot / square / FACTOR_UNIT + 0.5 : 0;
    row[FACTOR] = (uint8_t)(best > 0 ? best < 255 ? best : 255 : 0);
    for (int i = 0; i < SC_LEADING; i++) {
        double e = x->y[i] - row[FACTOR] * FACTOR_UNIT * w[i];
        left += e * e;
    }
    for (int b = 0; b < HALF; b++) row[b] = (uint8_t)(codes[b] | codes[HALF + b] << 4);
    row[ERROR] = byte_above((float)sqrt(left) * (1 + 1e-6f));
    row[REST] = byte_above(x->rest);
    if (left > 1) return; /* the byte cannot say it: never */
    SC_STORE_REL((sc_a8 *)(row + STAMP), sc_stamp(generation));
}

void sc_leading_prepare(const sc_region *r, const sc_model *m, const sc_leading *x, uint32_t generation,
                        sc_leading_query *q) {
    float t[SC_LEADING], most = 1e-20f;
    double error = 0, high_error = 0, square = 0, constant = 0, sum = 0, high_sum = 0;
    memset(q, 0, sizeof *q);
    for (int i = 0; i < SC_LEADING; i++) {
        t[i] = x->y[i] * m->steps[i];
        most = fabsf(t[i]) > most ? fabsf(t[i]) : most;
        square += (double)x->y[i] * x->y[i];
    }
    q->unit = most / MOST;
    for (int i = 0; i < SC_LEADING; i++) {
        float p = t[i] / q->unit;
        p = p > -MOST ? p < MOST ? p : MOST : -MOST; /* NaN too, which a forged model may hold */
        int32_t d = (int32_t)lrintf(p), high = (d + 64) >> 7;
        error += ((double)t[i] - q->unit * d) * ((double)t[i] - q->unit * d);
        high_error += ((double)t[i] - q->unit * 128 * high) * ((double)t[i] - q->unit * 128 * high);
        (i < HALF ? q->even : q->odd)[0][i % HALF] = (int8_t)high;
        (i < HALF ? q->even : q->odd)[1][i % HALF] = (int8_t)(d - 128 * high);
        sum += d;
        high_sum += high;
        constant += (double)x->y[i] * m->means[i];
    }
    q->stamp = sc_stamp(generation);
    q->all.constant = (float)(constant - 7.5 * q->unit * sum);
    q->high.constant = (float)(constant - 7.5 * q->unit * 128 * high_sum);
    q->all.error = (float)(sqrt(error) * 7.5 * sqrt(SC_LEADING)) * (1 + 1e-5f);
    q->high.error = (float)(sqrt(high_error) * 7.5 * sqrt(SC_LEADING)) * (1 + 1e-5f);
    q->slack = 4 * sc_model_slack(r->dim) + 2e-5f;
    q->length = (float)sqrt(square) * (1 + 1e-6f) + q->slack;
    q->rest = x->rest;
}

/* Moves the rows that may reach the floor, and their products, to the front; by all digits or the high one alone. */
SC_RACY_READ static uint32_t keep(const sc_region *r, const sc_leading_query *q, sc_digits digits, float floor,
                                  uint32_t *ids, int32_t *dots, uint32_t n) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *row = row_of(r, ids[i]);
        float along = digits.constant + q->unit * (float)dots[i] + digits.error;
        float bound = row[FACTOR] * FACTOR_UNIT * along + q->length * UNIT * row[ERROR] + q->rest * UNIT * row[REST];
        atomic_thread_fence(memory_order_acquire); /* the stamp last: a row that is rewritten has lost it before */
        bool possible = !(bound + q->slack < floor) || SC_LOAD((sc_a8 *)(row + STAMP)) != q->stamp; /* NaN is */
        ids[kept] = ids[i];
        dots[kept] = dots[i];
        kept += possible;
    }
    return kept;
}

static uint32_t keep_batch(const sc_region *r, const sc_leading_query *q, float floor, uint32_t *ids, uint32_t n) {
    int32_t dots[BATCH], low[BATCH];
    sc_k->dot_u4(r->leading, SC_LEADING_BYTES, ids, n, q->even[0], q->odd[0], dots);
    for (uint32_t i = 0; i < n; i++) dots[i] *= 128;
    n = keep(r, q, q->high, floor, ids, dots, n);
    sc_k->dot_u4(r->leading, SC_LEADING_BYTES, ids, n, q->even[1], q->odd[1], low);
    for (uint32_t i = 0; i < n; i++) dots[i] += low[i];
    return keep(r, q, q->all, floor, ids, dots, n);
}

uint32_t sc_leading_keep(const sc_region *r, const sc_leading_query *q, float floor, uint32_t *ids, uint32_t n) {
    uint32_t batch[BATCH], kept = 0;
    for (uint32_t at = 0; at < n; at += BATCH) {
        uint32_t some = n - at < BATCH ? n - at : BATCH;
        memcpy(batch, ids + at, some * sizeof *ids);
        some = keep_batch(r, q, floor, batch, some);
        memcpy(ids + kept, batch, some * sizeof *ids);
        kept += some;
    }
    return kept;
}
