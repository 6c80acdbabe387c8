#include "codes.h"

#include <math.h>

#include "../simd/kernels.h"
#include "compact.h"

static size_t byte_of(uint32_t i) { return (size_t)(i / 64) * 32 + i % 32; }
static bool upper_half(uint32_t i) { return i % 64 >= 32; }

/* Four running sums: one alone waits for each addition before it. */
static double norm_of(const float *v, uint32_t n) {
    double s[4] = {0, 0, 0, 0};
    for (uint32_t i = 0; i < n; i++) s[i % 4] += (double)v[i] * v[i];
    return sqrt(s[0] + s[1] + s[2] + s[3]);
}

static float largest(const float *v, uint32_t n) {
    float m = 0;
    for (uint32_t i = 0; i < n; i++) m = fabsf(v[i]) > m ? fabsf(v[i]) : m;
    return m;
}

/* Rounds half away from zero: unlike lrintf, every compiler turns it into a few vector instructions. */
static void quantise(const float *x, uint32_t n, float scale, int8_t *c) {
    float factor = 1 / scale;
    for (uint32_t i = 0; i < n; i++) {
        float v = x[i] * factor + (x[i] < 0 ? -0.5f : 0.5f);
        v = v < 127 ? v : 127; /* NaN too, which a forged vector may hold */
        c[i] = (int8_t)(v > -127 ? v : -127);
    }
}

static void pack(sc_region *r, uint32_t slot, const int8_t *c) {
    uint8_t *high = r->high + r->plane * slot, *low = r->low + r->plane * slot;
    uint8_t codes[SC_MAX_DIM + 64] = {0};
    for (uint32_t i = 0; i < r->dim; i++) codes[i] = (uint8_t)(c[i] + 128);
    for (size_t at = 0; at < r->plane; at += 32) {
        const uint8_t *a = codes + 2 * at, *b = a + 32;
        for (int k = 0; k < 32; k++) {
            high[at + k] = (uint8_t)((a[k] >> 4) | (b[k] & 0xF0));
            low[at + k] = (uint8_t)((a[k] & 15) | (b[k] << 4));
        }
    }
}

static int code_at(const sc_region *r, uint32_t slot, uint32_t i) {
    size_t at = r->plane * slot + byte_of(i);
    int shift = upper_half(i) ? 4 : 0;
    return ((r->high[at] >> shift) & 15) * 16 + ((r->low[at] >> shift) & 15) - 128;
}

/* The norm of what the high plane leaves out of x. */
static float residual(const int8_t *c, const float *x, uint32_t n, float scale) {
    float e[SC_MAX_DIM];
    for (uint32_t i = 0; i < n; i++) e[i] = x[i] - scale * ((float)((c[i] + 128) & ~15) - 120.5f);
    return (float)(norm_of(e, n) * (1 + 1e-6));
}

static void make_unit(float *x, uint32_t n) {
    double inverse = 1 / norm_of(x, n);
    for (uint32_t i = 0; i < n; i++) x[i] = (float)(x[i] * inverse);
}

void sc_codes_unit(const sc_region *r, uint32_t slot, float *to) {
    sc_codes_load(r, slot, to);
    make_unit(to, r->dim);
}

/* The codes of a stored vector; x: it, scaled to unit length. */
static void build(sc_region *r, uint32_t slot, float *x) {
    float scale;
    int8_t c[SC_MAX_DIM];
    sc_codes_load(r, slot, x);
    if (r->storage == SC_I8) { /* the codes are the vector: its unit form is c / |c| */
        scale = (float)(1 / norm_of(x, r->dim));
        for (uint32_t i = 0; i < r->dim; i++) c[i] = (int8_t)x[i];
        for (uint32_t i = 0; i < r->dim; i++) x[i] *= scale;
    } else {
        make_unit(x, r->dim);
        scale = largest(x, r->dim) / 127;
        quantise(x, r->dim, scale, c);
        pack(r, slot, c);
    }
    r->scales[slot] = (sc_scale){scale, residual(c, x, r->dim, scale)};
}

void sc_codes_build(sc_region *r, uint32_t slot) {
    float x[SC_MAX_DIM];
    build(r, slot, x);
    sc_compact_store_plain(r, slot);
}

static void store_i8(sc_region *r, uint32_t slot, const float *x) {
    int8_t c[SC_MAX_DIM];
    quantise(x, r->dim, largest(x, r->dim) / 127, c);
    pack(r, slot, c);
}

void sc_codes_store(sc_region *r, uint32_t slot, const float *vector, bool keep) {
    uint8_t *row = r->vectors + r->vector_bytes * slot;
    float x[SC_MAX_DIM];
    double norm = norm_of(vector, r->dim), inverse = keep && fabs(norm - 1) < 0.01 ? 1 : 1 / norm;
    for (uint32_t i = 0; i < r->dim; i++) x[i] = (float)(vector[i] * inverse);
    if (r->storage == SC_I8) store_i8(r, slot, x);
    else if (r->storage == SC_F32) memcpy(row, x, 4 * (size_t)r->dim);
    else sc_k->narrow(x, (uint16_t *)row, r->dim);
    build(r, slot, x);
    sc_compact_store(r, slot, x);
}

SC_RACY_READ void sc_codes_load(const sc_region *r, uint32_t slot, float *to) {
    const uint8_t *row = r->vectors + r->vector_bytes * slot;
    if (r->storage == SC_F16) sc_k->widen((const uint16_t *)row, to, r->dim);
    else if (r->storage == SC_F32) sc_copy_racy(to, row, 4 * (size_t)r->dim);
    else
        for (uint32_t i = 0; i < r->dim; i++) to[i] = (float)code_at(r, slot, i);
}

void sc_query_prepare(const sc_region *r, const float *vector, sc_query *q) {
    memset(q, 0, offsetof(sc_query, even));
    memset(q->even, 0, r->plane);
    memset(q->odd, 0, r->plane);
    q->vector = vector;
    q->norm = norm_of(vector, r->dim);
    double scale = largest(vector, r->dim) / 127.0, error = 0, length = 0; /* in the query's own units */
    for (uint32_t i = 0; i < r->dim; i++) {
        int8_t p = (int8_t)lrint(vector[i] / scale);
        double e = vector[i] - scale * p;
        error += e * e;
        length += (scale * p) * (scale * p);
        q->sum += p;
        (upper_half(i) ? q->odd : q->even)[byte_of(i)] = p;
    }
    q->half = (float)(scale / q->norm / 2);
    q->error = (float)(sqrt(error) / q->norm * (1 + 1e-6)) + SC_SLACK;
    q->length = (float)(sqrt(length) / q->norm * (1 + 1e-6));
    q->full_error = r->storage == SC_I8 ? 0 : (float)(sqrt((double)r->dim) / 2 * (1 + 1e-6)) * q->length;
}

float sc_cosine(const sc_region *r, const sc_query *q, uint32_t slot) {
    const uint8_t *row = r->vectors + r->vector_bytes * slot;
    double dot, square;
    float x[SC_MAX_DIM];
    if (r->storage == SC_F16) {
        sc_k->dot_f16((const uint16_t *)row, q->vector, r->dim, &dot, &square);
    } else if (r->storage == SC_F32) {
        sc_k->dot_f32((const float *)row, q->vector, r->dim, &dot, &square);
    } else {
        sc_codes_load(r, slot, x);
        sc_k->dot_f32(x, q->vector, r->dim, &dot, &square);
    }
    double cosine = dot / (q->norm * sqrt(square));
    return (float)(cosine > 1 ? 1 : cosine < -1 ? -1 : cosine);
}
