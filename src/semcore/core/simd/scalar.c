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

SC_RACY_READ static void product_scalar(const uint8_t *blocks, size_t block_bytes, const uint32_t *ids, uint32_t n, uint8_t tag,
                                        const uint8_t *tables, uint32_t rows, uint32_t *masks) {
    for (uint32_t b = 0; b < n; b++) {
        const uint8_t *block = blocks + block_bytes * ids[b];
        masks[b] = 0;
        for (uint32_t l = 0; l < 32; l++) {
            uint32_t sum = 0;
            const uint8_t *table = tables, *byte = block + 32 + l;
            for (uint32_t k = 0; k < rows; k++, byte += 32, table += 32) sum += table[*byte & 15] + table[16 + (*byte >> 4)];
            masks[b] |= (uint32_t)(block[l] == tag && sum < 255) << l;
        }
    }
}

SC_RACY_READ static void rotate_scalar(const uint16_t *rows, uint32_t n, const float *x, size_t dim, float *y) {
    for (; n > 0; n--, rows += dim, y++) {
        float sums[8] = {0};
        for (size_t i = 0; i < dim; i++) sums[i % 8] += sc_f16_to(rows[i]) * x[i];
        *y = 0;
        for (int k = 0; k < 8; k++) *y += sums[k];
    }
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

const sc_kernels sc_kernels_scalar = {"scalar", dot_u4_scalar, product_scalar, rotate_scalar,
                                      dot_f16_scalar, dot_f32_scalar, widen_scalar, narrow_scalar, sc_stripes_scalar,
                                      sc_ascii_scalar,
        sc_sum_rows_i8_scalar, sc_sum_rows_u4_scalar, sc_to_unit_scalar};
