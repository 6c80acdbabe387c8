/* Text to a vector: rows x weights summed in integers, then brought to length 1.
 *
 * A row is int8 (or 4-bit) numbers and a 15-bit weight in place of a float scale: sums are exact, so they are equal
 * whatever the instruction set and the order, and cost half of what floats do (one multiply-add for two rows).
 * Up to SC_ROWS_BLOCK rows fit 32 bits; a longer text has 64-bit totals, which a power of two brings back to 32: that
 * loses less than a float's rounding.
 */
#include "../simd/kernels.h"
#include "table.h"

static void sum_block(const sc_static *t, const uint32_t *ids, uint32_t n, int32_t *sums) {
    if (t->bits == 8) sc_k->sum_rows_i8(t->rows, t->dim, t->weights, ids, n, sums);
    else sc_k->sum_rows_u4(t->rows, t->dim, t->weights, ids, n, sums);
}

/* To 31 bits, all by the same power of two. */
static void narrow(const int64_t *totals, uint32_t dim, int32_t *sums) {
    uint64_t all = 0;
    int shift = 0;
    for (uint32_t d = 0; d < dim; d++) all |= (uint64_t)(totals[d] < 0 ? -totals[d] : totals[d]);
    while (all >> shift > INT32_MAX) shift++;
    for (uint32_t d = 0; d < dim; d++) sums[d] = (int32_t)(totals[d] / ((int64_t)1 << shift));
}

/* A text of more than a block, whose first n ids are given; false when it has more than `most` in all. */
static bool sum_long(const sc_static *t, sc_reader *r, uint32_t *ids, uint32_t n, uint64_t most, int32_t *sums) {
    int64_t totals[SC_DIM_MAX] = {0};
    for (; n; most -= n, n = sc_reader_next(r, ids, SC_ROWS_BLOCK)) {
        if (n > most) return false;
        sum_block(t, ids, n, sums);
        for (uint32_t d = 0; d < t->dim; d++) totals[d] += sums[d];
    }
    narrow(totals, t->dim, sums);
    return true;
}

int sc_static_embed(const sc_static *t, const void *text, size_t size, uint64_t most, float *out) {
    sc_reader r;
    uint32_t ids[SC_ROWS_BLOCK];
    int32_t sums[SC_DIM_MAX];
    if (most == 0) most = UINT64_MAX;
    sc_reader_init(&r, &t->v, text, size);
    uint32_t n = sc_reader_next(&r, ids, SC_ROWS_BLOCK);
    bool within = n <= most;
    if (within && SC_ROWS_BLOCK - n < SC_STEP) within = sum_long(t, &r, ids, n, most, sums); /* there may be more */
    else if (within) sum_block(t, ids, n, sums);
    if (!within) memset(out, 0, t->dim * sizeof *out);
    return within && sc_k->to_unit(sums, t->dim, out) ? SC_OK : SC_ENOTFOUND;
}
