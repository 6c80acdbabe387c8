/* The reference kernels: what the others must equal. */
#include "kernels.h"

SC_RACY_READ static void dot_u4_scalar(const uint8_t *plane, size_t bytes, const uint32_t *ids, uint32_t n,
                                       const int8_t *even, const int8_t *odd, int32_t *out) {
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *row = plane + bytes * ids[i];
        int32_t sum = 0;
        for (size_t k = 0; k < bytes; k++) sum += (row[k] & 15) * even[k] + (row[k] >> 4) * odd[k];
        out[i] = sum;
    }
}

SC_RACY_READ static void sum_signs_scalar(const uint8_t *block, uint32_t groups, const uint8_t *tables,
                                          uint16_t *sums) {
    memset(sums, 0, 32 * sizeof *sums);
    for (uint32_t g = 0; g < groups; g++, block += 32, tables += 32)
        for (int l = 0; l < 32; l++) sums[l] = (uint16_t)(sums[l] + tables[block[l] & 15] + tables[16 + (block[l] >> 4)]);
}

SC_RACY_READ static uint32_t match_scalar(const uint32_t *tags, uint32_t n, uint32_t tag, uint32_t first,
                                          uint32_t *ids) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        ids[found] = first + i;
        found += tags[i] == tag;
    }
    return found;
}

uint16_t sc_f16_from(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    uint16_t sign = (uint16_t)((u >> 16) & 0x8000);
    uint32_t a = u & 0x7FFFFFFF;
    if (a >= 0x47800000) return (uint16_t)(sign | (a > 0x7F800000 ? 0x7E00 : 0x7C00)); /* too large */
    if (a < 0x38800000) { /* subnormal: the sum's own rounding does the work */
        float magic = 0.5f, abs;
        memcpy(&abs, &a, 4);
        abs += magic;
        memcpy(&a, &abs, 4);
        return (uint16_t)(sign | (a - 0x3F000000));
    }
    uint32_t odd = (a >> 13) & 1;
    return (uint16_t)(sign | ((a - 0x38000000 + 0xFFF + odd) >> 13));
}

float sc_f16_to(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, mag = h & 0x7FFF, u;
    float x;
    if (mag >= 0x7C00) {
        u = sign | 0x7F800000 | ((mag & 0x3FF) << 13);
    } else if (mag >= 0x400) {
        u = sign | ((mag << 13) + 0x38000000);
    } else { /* subnormal: mag * 2^-24 */
        x = (float)mag * 5.9604644775390625e-8f;
        memcpy(&u, &x, 4);
        u |= sign;
    }
    memcpy(&x, &u, 4);
    return x;
}

SC_RACY_READ static void dot_f16_scalar(const uint16_t *x, const float *q, size_t n, double *dot, double *square) {
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        double v = sc_f16_to(x[i]);
        d += v * q[i];
        s += v * v;
    }
    *dot = d;
    *square = s;
}

SC_RACY_READ static void dot_f32_scalar(const float *x, const float *q, size_t n, double *dot, double *square) {
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        double v = x[i];
        d += v * q[i];
        s += v * v;
    }
    *dot = d;
    *square = s;
}

SC_RACY_READ static void widen_scalar(const uint16_t *from, float *to, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] = sc_f16_to(from[i]);
}

static void narrow_scalar(const float *from, uint16_t *to, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] = sc_f16_from(from[i]);
}

static uint64_t read64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

void sc_stripes_scalar(uint64_t acc[8], const uint8_t *in, size_t n, const uint8_t *secret) {
    for (; n > 0; n--, in += 64, secret += 8)
        for (int i = 0; i < 8; i++) {
            uint64_t word = read64(in + 8 * i), key = word ^ read64(secret + 8 * i);
            acc[i ^ 1] += word;
            acc[i] += (uint64_t)(uint32_t)key * (key >> 32);
        }
}

bool sc_ascii_scalar(const uint8_t *p, size_t n) {
    uint64_t any = 0;
    for (; n >= 8; n -= 8, p += 8) any |= read64(p);
    for (; n > 0; n--) any |= *p++;
    return (any & 0x8080808080808080ull) == 0;
}

const sc_kernels sc_kernels_scalar = {"scalar", dot_u4_scalar, sum_signs_scalar, match_scalar,
                                      dot_f16_scalar, dot_f32_scalar, widen_scalar, narrow_scalar, sc_stripes_scalar,
                                      sc_ascii_scalar,
        sc_sum_rows_i8_scalar, sc_sum_rows_u4_scalar, sc_to_unit_scalar};
