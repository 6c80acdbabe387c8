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
    /* sums[l] = over the groups g, tables[2g][low half of byte 32 g + l] + tables[2g + 1][high half];
     * entries are at most 127 and the sums fit 16 bits. */
    void (*sum_signs)(const uint8_t *block, uint32_t groups, const uint8_t *tables, uint16_t *sums);
    /* Appends to ids the numbers first + i with tags[i] == tag, for i < n; returns how many. */
    uint32_t (*match)(const uint32_t *tags, uint32_t n, uint32_t tag, uint32_t first, uint32_t *ids);
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
