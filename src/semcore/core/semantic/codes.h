/* 8-bit codes of the stored vectors and certified bounds on what they say.
 *
 * A unit vector x is coded as c in [-127, 127] with x = scale * c + e, and c + 128 = 16 h + l is kept
 * as two planes of 4 bits, so that a scan reads half of the bytes. For a unit query q = t p + f:
 *
 *   <q, x> <= t scale (16 <p,h> - 120.5 <p,1>)         + |t p| residual     + |f|   (high plane)
 *   <q, x> <= t scale (16 <p,h> + <p,l> - 128 <p,1>)   + |t p| scale √d / 2 + |f|   (both planes)
 *
 * by Cauchy-Schwarz; `residual` is the norm of x - scale (16 h - 120.5), measured when x is coded.
 * SC_SLACK covers the float arithmetic of the bound itself. */
#ifndef SC_CODES_H
#define SC_CODES_H

#include "../region/region.h"

#define SC_SLACK 2e-5f
#define SC_MAX_PLANE (SC_MAX_DIM / 2)

typedef struct sc_query {
    const float *vector;
    double norm;                   /* of the vector as given */
    float half;                    /* t / 2 */
    float error, length;           /* |f| + SC_SLACK, |t p| */
    float full_error;              /* √d / 2 * |t p|; 0 when the codes are the vector */
    int32_t sum;                   /* <p, 1> */
    _Alignas(64) int8_t even[SC_MAX_PLANE], odd[SC_MAX_PLANE];
} sc_query;

/* Stores a vector (any length > 0) in the row of a slot, and its codes; scaled to unit length;
 * keep: a vector that was stored before, and has unit length up to rounding, stays the same to the bit. */
void sc_codes_store(sc_region *r, uint32_t slot, const float *vector, bool keep);
/* Their derived part alone, from the stored vector, and no learnt codes. */
void sc_codes_build(sc_region *r, uint32_t slot);
/* The stored vector scaled to unit length, by its codes where they are the vector. */
void sc_codes_unit(const sc_region *r, uint32_t slot, float *to);
/* The stored vector as floats, of unit length up to rounding. */
void sc_codes_load(const sc_region *r, uint32_t slot, float *to);
void sc_query_prepare(const sc_region *r, const float *vector, sc_query *q);
/* True cosine of the query and the stored vector of a slot, rounded to float, within [-1, 1]. */
float sc_cosine(const sc_region *r, const sc_query *q, uint32_t slot);

/* Twice the code product of a row, as an integer: no rounding before the float arithmetic. */
static inline int32_t sc_product_high(const sc_query *q, int32_t high) { return 32 * high - 241 * q->sum; }
static inline int32_t sc_product_full(const sc_query *q, int32_t high, int32_t low) {
    return 32 * high + 2 * low - 256 * q->sum;
}

static inline float sc_bound_high(const sc_query *q, sc_scale s, int32_t high) {
    return q->half * s.scale * (float)sc_product_high(q, high) + q->length * s.residual + q->error;
}

static inline float sc_bound_full(const sc_query *q, sc_scale s, int32_t high, int32_t low) {
    return s.scale * (q->half * (float)sc_product_full(q, high, low) + q->full_error) + q->error;
}

#endif
