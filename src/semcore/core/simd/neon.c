/* NEON kernels, of the base aarch64 instruction set (no dot-product extension needed). */
#include "kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

static inline int32x4_t add_products(int32x4_t sum, uint8x16_t codes, int8x16_t q) {
    int8x16_t c = vreinterpretq_s8_u8(codes); /* 0..15 */
    sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(c), vget_low_s8(q)));
    return vpadalq_s16(sum, vmull_high_s8(c, q));
}

SC_RACY_READ static void dot_u4_neon(const uint8_t *plane, size_t bytes, const uint32_t *ids, uint32_t n,
                                     const int8_t *even, const int8_t *odd, int32_t *out) {
    const uint8x16_t half = vdupq_n_u8(15);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *row = plane + bytes * ids[i];
        int32x4_t a = vdupq_n_s32(0), b = a;
        for (size_t k = 0; k < bytes; k += 16) {
            uint8x16_t v = vld1q_u8(row + k);
            a = add_products(a, vandq_u8(v, half), vld1q_s8(even + k));
            b = add_products(b, vshrq_n_u8(v, 4), vld1q_s8(odd + k));
        }
        out[i] = vaddvq_s32(vaddq_s32(a, b));
    }
}

/* Bit i of the low half: byte i of the mask, which is all ones or zero. */
static inline uint32_t bits_of(uint8x16_t mask) {
    static const uint8_t weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t v = vandq_u8(mask, vld1q_u8(weights));
    return vaddv_u8(vget_low_u8(v)) | (uint32_t)vaddv_u8(vget_high_u8(v)) << 8;
}

SC_RACY_READ static void product_neon(const uint8_t *blocks, size_t block_bytes, const uint32_t *ids, uint32_t n, uint8_t tag,
                                      const uint8_t *tables, uint32_t rows, uint32_t *masks) {
    const uint8x16_t half = vdupq_n_u8(15), want = vdupq_n_u8(tag), full = vdupq_n_u8(255);
    for (uint32_t b = 0; b < n; b++) {
        const uint8_t *block = blocks + block_bytes * ids[b], *at = block + 32, *table = tables;
        uint8x16_t sums[2] = {vdupq_n_u8(0), vdupq_n_u8(0)};
        for (uint32_t k = 0; k < rows; k++, at += 32, table += 32) {
            uint8x16_t low = vld1q_u8(table), high = vld1q_u8(table + 16);
            for (int i = 0; i < 2; i++) {
                uint8x16_t v = vld1q_u8(at + 16 * i);
                sums[i] = vqaddq_u8(sums[i], vqtbl1q_u8(low, vandq_u8(v, half)));
                sums[i] = vqaddq_u8(sums[i], vqtbl1q_u8(high, vshrq_n_u8(v, 4)));
            }
        }
        for (int i = 0; i < 2; i++) {
            uint8x16_t ours = vceqq_u8(vld1q_u8(block + 16 * i), want);
            sums[i] = vbicq_u8(ours, vceqq_u8(sums[i], full));
        }
        masks[b] = bits_of(sums[0]) | bits_of(sums[1]) << 16;
    }
}

SC_RACY_READ static void rotate_neon(const uint16_t *rows, uint32_t n, const float *x, size_t dim, float *y) {
    for (; n > 0; n--, rows += dim, y++) {
        float32x4_t a = vdupq_n_f32(0), b = a;
        float tail = 0;
        size_t i = 0;
        for (; i + 8 <= dim; i += 8) {
            float16x8_t v = vreinterpretq_f16_u16(vld1q_u16(rows + i));
            a = vfmaq_f32(a, vcvt_f32_f16(vget_low_f16(v)), vld1q_f32(x + i));
            b = vfmaq_f32(b, vcvt_high_f32_f16(v), vld1q_f32(x + i + 4));
        }
        for (; i < dim; i++) tail += sc_f16_to(rows[i]) * x[i];
        *y = vaddvq_f32(vaddq_f32(a, b)) + tail;
    }
}

typedef struct sums { float64x2_t dot, square; } sums;

static inline sums add_4(sums t, float32x4_t x, float32x4_t q) {
    float64x2_t low = vcvt_f64_f32(vget_low_f32(x)), high = vcvt_high_f64_f32(x);
    t.dot = vfmaq_f64(t.dot, low, vcvt_f64_f32(vget_low_f32(q)));
    t.dot = vfmaq_f64(t.dot, high, vcvt_high_f64_f32(q));
    t.square = vfmaq_f64(vfmaq_f64(t.square, low, low), high, high);
    return t;
}

SC_RACY_READ static void dot_f16_neon(const uint16_t *x, const float *q, size_t n, double *dot, double *square) {
    sums t = {vdupq_n_f64(0), vdupq_n_f64(0)};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        t = add_4(t, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x + i))), vld1q_f32(q + i));
    *dot = vaddvq_f64(t.dot);
    *square = vaddvq_f64(t.square);
    for (; i < n; i++) {
        double v = sc_f16_to(x[i]);
        *dot += v * q[i];
        *square += v * v;
    }
}

SC_RACY_READ static void dot_f32_neon(const float *x, const float *q, size_t n, double *dot, double *square) {
    sums t = {vdupq_n_f64(0), vdupq_n_f64(0)};
    size_t i = 0;
    for (; i + 4 <= n; i += 4) t = add_4(t, vld1q_f32(x + i), vld1q_f32(q + i));
    *dot = vaddvq_f64(t.dot);
    *square = vaddvq_f64(t.square);
    for (; i < n; i++) {
        *dot += (double)x[i] * q[i];
        *square += (double)x[i] * x[i];
    }
}

SC_RACY_READ static void widen_neon(const uint16_t *from, float *to, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(to + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + i))));
    for (; i < n; i++) to[i] = sc_f16_to(from[i]);
}

static void narrow_neon(const float *from, uint16_t *to, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1_u16(to + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(from + i))));
    for (; i < n; i++) to[i] = sc_f16_from(from[i]);
}

const sc_kernels sc_kernels_neon = {"neon", dot_u4_neon, product_neon, rotate_neon,
                                    dot_f16_neon, dot_f32_neon, widen_neon, narrow_neon, sc_stripes_scalar,
                                    sc_ascii_scalar,
        sc_sum_rows_i8_neon, sc_sum_rows_u4_neon, sc_to_unit_neon};
#else
typedef int sc_no_neon; /* ISO C forbids an empty file */
#endif
