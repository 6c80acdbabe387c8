/* Kernels of weighted sums of rows (embed/pool.c), one an ISA, for the tables of kernels.h. See rows.c. */
#ifndef SC_ROWS_H
#define SC_ROWS_H

#include "../common.h"

#define SC_ROWS_BLOCK 448 /* rows whose sum fits 32 bits: 511 x 128 x 32768 does, whatever a file holds */

/* sums[d] = over i < n <= SC_ROWS_BLOCK, weights[ids[i]] x number d of row ids[i]; dim is a multiple of 64.
 * Numbers are int8, or 4-bit codes less 8, laid out as in a plane (kernels.h). */
typedef void sc_sum_rows(const uint8_t *rows, size_t dim, const int16_t *weights, const uint32_t *ids, uint32_t n,
                         int32_t *sums);

#define SC_UNIT_LANES 16

/* out = sums at length 1; false, and zeros, when there is none. n is a multiple of SC_UNIT_LANES, and number i is in the
 * running sum i % SC_UNIT_LANES of squares. */
typedef bool sc_to_unit(const int32_t *sums, size_t n, float *out);

sc_sum_rows sc_sum_rows_i8_scalar, sc_sum_rows_u4_scalar;
sc_to_unit sc_to_unit_scalar;
#if defined(__x86_64__) || defined(_M_X64)
sc_sum_rows sc_sum_rows_i8_avx2, sc_sum_rows_u4_avx2, sc_sum_rows_i8_avx512, sc_sum_rows_u4_avx512;
sc_to_unit sc_to_unit_avx2;
#elif defined(__aarch64__)
sc_sum_rows sc_sum_rows_i8_neon, sc_sum_rows_u4_neon;
sc_to_unit sc_to_unit_neon;
#endif

#endif
