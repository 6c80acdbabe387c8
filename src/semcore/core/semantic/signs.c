#include "signs.h"

#include <math.h>

#include "../simd/kernels.h"

#define SLACK 2e-5f  /* covers the float arithmetic */
#define MOST 127     /* a table's largest entry: two of them add up in a byte */

static uint32_t groups_of(const sc_region *r) { return (r->dim + 7) / 8; }

static uint8_t *block_of(const sc_region *r, uint32_t block) {
    return r->signs + (size_t)SC_LANES * groups_of(r) * block;
}

void sc_signs_store(sc_region *r, uint32_t slot, const float *x) {
    uint8_t *lane = block_of(r, slot / SC_LANES) + slot % SC_LANES;
    double sums[8] = {0}, sum = 0;
    for (uint32_t g = 0; g < groups_of(r); g++) {
        uint8_t bits = 0;
        for (uint32_t i = 8 * g; i < 8 * g + 8 && i < r->dim; i++) {
            bits |= (uint8_t)((x[i] >= 0) << (i % 8));
            sums[i % 8] += fabsf(x[i]);
        }
        lane[(size_t)SC_LANES * g] = bits;
    }
    for (int i = 0; i < 8; i++) sum += sums[i];
    double along = sum / sqrt(r->dim), each = along / sqrt(r->dim), rest = 0;
    for (uint32_t i = 0; i < r->dim; i++) rest += (fabsf(x[i]) - each) * (fabsf(x[i]) - each);
    r->along[slot] = (float)along;
    r->across[slot] = (float)(sqrt(rest) * (1 + 1e-6)); /* √(1 - along²) would cancel near 1 */
}

/* Sums of four components under each pattern of signs, from 0 up, in units of 1 / scale, rounded up. */
static void fill_table(uint8_t *table, const float *v, float scale) {
    float low = -(fabsf(v[0]) + fabsf(v[1]) + fabsf(v[2]) + fabsf(v[3]));
    for (int bits = 0; bits < 16; bits++) {
        float sum = -low;
        for (int i = 0; i < 4; i++) sum += bits >> i & 1 ? v[i] : -v[i];
        table[bits] = (uint8_t)((sum > 0 ? sum : 0) * scale) + 1;
    }
}

void sc_signs_prepare(const sc_region *r, const float *vector, double norm, sc_sign_query *q) {
    float v[SC_MAX_DIM + 8] = {0}, largest = 0, total = 0;
    q->groups = groups_of(r);
    for (uint32_t i = 0; i < r->dim; i++) v[i] = (float)(vector[i] / norm);
    for (uint32_t i = 0; i < 8 * q->groups; i += 4) {
        float span = fabsf(v[i]) + fabsf(v[i + 1]) + fabsf(v[i + 2]) + fabsf(v[i + 3]);
        largest = span > largest ? span : largest;
        total += span;
    }
    uint32_t most = UINT16_MAX / (2 * q->groups); /* the sum of all must fit 16 bits */
    if (most > MOST) most = MOST;
    float scale = (float)(most - 1) / (2 * largest);
    for (uint32_t t = 0; t < 2 * q->groups; t++) fill_table(q->tables[t], v + 4 * t, scale * (1 - 1e-6f));
    q->step = (float)(1 / (scale * (1 - 1e-6) * sqrt(r->dim)));
    q->offset = (float)(total / sqrt(r->dim));
}

SC_RACY_READ uint32_t sc_signs_possible(const sc_region *r, const sc_sign_query *q, uint32_t block, float floor) {
    uint16_t sums[SC_LANES];
    const float *along = r->along + (size_t)SC_LANES * block, *across = r->across + (size_t)SC_LANES * block;
    double least = floor - 2e-7; /* similarities are rounded to float, and near 1 the sine is steep */
    float sine = (float)sqrt(1 - least * least), offset = q->offset - SLACK;
    uint8_t pass[SC_LANES];
    uint32_t mask = 0;
    sc_k->sum_signs(block_of(r, block), q->groups, &q->tables[0][0], sums);
    for (int i = 0; i < SC_LANES; i++)
        pass[i] = q->step * (float)sums[i] - offset >= floor * along[i] - sine * across[i];
    for (int i = 0; i < SC_LANES; i++) mask |= (uint32_t)pass[i] << i;
    return mask;
}
