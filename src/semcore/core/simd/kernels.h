/* The inner loops, one implementation an ISA behind one table.
 *
 * Integer kernels give equal results on every ISA; float kernels accumulate in double, so that
 * the similarity, rounded to float, does not depend on the machine. A row of a plane holds two
 * dimensions a byte: byte k of each group of 32 has dimension 64g + k in its low half and
 * 64g + 32 + k in its high half; `even` and `odd` are the query split the same way. */
#ifndef SC_KERNELS_H
#define SC_KERNELS_H

#include "../common.h"
#include "rows.h"

typedef struct sc_kernels {
    const char *name;
    /* out[i] = sum over the row of slot ids[i] of 4-bit code x query; bytes is a multiple of 32. */
    void (*dot_u4)(const uint8_t *plane, size_t bytes, const uint32_t *ids, uint32_t n,
                   const int8_t *even, const int8_t *odd, int32_t *out);
    /* Of the n blocks of 32 lanes with numbers ids, a mask each: bit l is set if byte l is the tag and, over the rows of 32 bytes
     * behind the tags, the sum of tables[2 row][low half of byte l] + tables[2 row + 1][high half] is less than 255. */
    void (*product)(const uint8_t *blocks, size_t block_bytes, const uint32_t *ids, uint32_t n, uint8_t tag,
                    const uint8_t *tables, uint32_t rows, uint32_t *masks);
    /* y[i] = <row i, x> for the rows of dim halves; in at least eight running sums each. */
    void (*rotate)(const uint16_t *rows, uint32_t n, const float *x, size_t dim, float *y);
    /* dot = <x, q>, square = <x, x>. */
    void (*dot_f16)(const uint16_t *x, const float *q, size_t n, double *dot, double *square);
    void (*dot_f32)(const float *x, const float *q, size_t n, double *dot, double *square);
    /* Halves to floats, and floats to the nearest halves, ties to even. */
    void (*widen)(const uint16_t *from, float *to, size_t n);
    void (*narrow)(const float *from, uint16_t *to, size_t n);
    /* XXH3's inner loop: acc takes in n stripes of 64 bytes, the secret moving on by 8 a stripe. */
    void (*stripes)(uint64_t acc[8], const uint8_t *in, size_t n, const uint8_t *secret);
    bool (*ascii)(const uint8_t *p, size_t n);
    sc_sum_rows *sum_rows_i8, *sum_rows_u4; /* rows.h */
    sc_to_unit *to_unit;
} sc_kernels;

extern const sc_kernels *sc_k; /* the chosen table */

extern const sc_kernels sc_kernels_scalar;
#if defined(__x86_64__) || defined(_M_X64)
extern const sc_kernels sc_kernels_avx2, sc_kernels_avx512;
#elif defined(__aarch64__)
extern const sc_kernels sc_kernels_neon;
#endif

bool sc_ascii_scalar(const uint8_t *p, size_t n);
void sc_stripes_scalar(uint64_t acc[8], const uint8_t *in, size_t n, const uint8_t *secret);
uint16_t sc_f16_from(float x); /* round to nearest even */
float sc_f16_to(uint16_t h);

#endif
