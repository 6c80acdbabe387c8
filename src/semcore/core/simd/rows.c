/* Weighted sums of rows, in integers, then brought to length 1, in float over 16 running sums and without fused
 * multiply-add: so that every ISA gives the same bits.
 *
 * x86: two rows at a time, the numbers of a dimension side by side and multiplied with their weights side by side
 * (madd): a multiply-add for two rows. 64 dimensions of all rows, then the next 64, so that sums stay in registers.
 */
#include "rows.h"

#include <math.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#define ARGUMENTS                                                                                                  \
    const uint8_t *rows, size_t dim, const int16_t *weights, const uint32_t *ids, uint32_t n, int32_t *sums

void sc_sum_rows_i8_scalar(ARGUMENTS) {
    memset(sums, 0, dim * sizeof *sums);
    for (uint32_t i = 0; i < n; i++)
        for (size_t d = 0; d < dim; d++) sums[d] += weights[ids[i]] * (int8_t)rows[dim * ids[i] + d];
}

void sc_sum_rows_u4_scalar(ARGUMENTS) {
    memset(sums, 0, dim * sizeof *sums);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *row = rows + dim / 2 * ids[i];
        for (size_t d = 0; d < dim; d += 64, row += 32)
            for (int k = 0; k < 32; k++) {
                sums[d + k] += weights[ids[i]] * ((row[k] & 15) - 8);
                sums[d + 32 + k] += weights[ids[i]] * ((row[k] >> 4) - 8);
            }
    }
}

/* 1 / length from the running sums of squares; 0 for no length. */
static float inverse_length(float *sum) {
    for (int half = SC_UNIT_LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) sum[l] += sum[l + half];
    return sum[0] > 0 ? 1.0f / sqrtf(sum[0]) : 0;
}

bool sc_to_unit_scalar(const int32_t *sums, size_t n, float *out) {
    float sum[SC_UNIT_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)sums[i];
        sum[i % SC_UNIT_LANES] += out[i] * out[i];
    }
    float scale = inverse_length(sum);
    for (size_t i = 0; i < n; i++) out[i] *= scale;
    return scale > 0;
}

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>

#if (defined(_MSC_VER) && !defined(__clang__)) || defined(SC_EMULATE) /* tests/c/emulate */
#define AVX2
#define AVX512
#else
#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx2")))
#endif

/* The weights of rows i and i + 1; the latter's is 0 when there is none. */
static inline int pair_of_weights(const int16_t *weights, const uint32_t *ids, uint32_t i, uint32_t n) {
    uint32_t a = (uint16_t)weights[ids[i]], b = i + 1 < n ? (uint16_t)weights[ids[i + 1]] : 0;
    return (int)(a | b << 16);
}

AVX2 static inline void add_16(__m256i *sums, __m128i a, __m128i b, __m256i w) {
    __m256i low = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b)), high = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b));
    sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(low, w));
    sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(high, w));
}

AVX2 void sc_sum_rows_i8_avx2(ARGUMENTS) {
    for (size_t d = 0; d < dim; d += 64) {
        __m256i s[8];
        for (int k = 0; k < 8; k++) s[k] = _mm256_setzero_si256();
        for (uint32_t i = 0; i < n; i += 2) {
            const uint8_t *a = rows + dim * ids[i] + d, *b = rows + dim * ids[i + 1 < n ? i + 1 : i] + d;
            __m256i w = _mm256_set1_epi32(pair_of_weights(weights, ids, i, n));
            for (int k = 0; k < 4; k++)
                add_16(s + 2 * k, _mm_loadu_si128((const __m128i *)(a + 16 * k)),
                       _mm_loadu_si128((const __m128i *)(b + 16 * k)), w);
        }
        for (int k = 0; k < 8; k++) _mm256_storeu_si256((__m256i *)(sums + d + 8 * k), s[k]);
    }
}

/* The 64 numbers of a group of codes: 0 to 31, 32 to 63. */
AVX2 static inline void spread(const uint8_t *codes, __m256i out[2]) {
    const __m256i half = _mm256_set1_epi8(15), eight = _mm256_set1_epi8(8);
    __m256i v = _mm256_loadu_si256((const __m256i *)codes);
    out[0] = _mm256_sub_epi8(_mm256_and_si256(v, half), eight);
    out[1] = _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(v, 4), half), eight);
}

AVX2 void sc_sum_rows_u4_avx2(ARGUMENTS) {
    for (size_t d = 0; d < dim; d += 64) {
        __m256i s[8], a[2], b[2];
        for (int k = 0; k < 8; k++) s[k] = _mm256_setzero_si256();
        for (uint32_t i = 0; i < n; i += 2) {
            __m256i w = _mm256_set1_epi32(pair_of_weights(weights, ids, i, n));
            spread(rows + dim / 2 * ids[i] + d / 2, a);
            spread(rows + dim / 2 * ids[i + 1 < n ? i + 1 : i] + d / 2, b);
            for (int k = 0; k < 2; k++) {
                add_16(s + 4 * k, _mm256_castsi256_si128(a[k]), _mm256_castsi256_si128(b[k]), w);
                add_16(s + 4 * k + 2, _mm256_extracti128_si256(a[k], 1), _mm256_extracti128_si256(b[k], 1), w);
            }
        }
        for (int k = 0; k < 8; k++) _mm256_storeu_si256((__m256i *)(sums + d + 8 * k), s[k]);
    }
}

AVX2 bool sc_to_unit_avx2(const int32_t *sums, size_t n, float *out) {
    __m256 a = _mm256_setzero_ps(), b = a;
    float sum[SC_UNIT_LANES];
    for (size_t i = 0; i < n; i += SC_UNIT_LANES) {
        __m256 u = _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)(sums + i)));
        __m256 v = _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)(sums + i + 8)));
        a = _mm256_add_ps(a, _mm256_mul_ps(u, u));
        b = _mm256_add_ps(b, _mm256_mul_ps(v, v));
        _mm256_storeu_ps(out + i, u);
        _mm256_storeu_ps(out + i + 8, v);
    }
    _mm256_storeu_ps(sum, a);
    _mm256_storeu_ps(sum + 8, b);
    float inverse = inverse_length(sum);
    __m256 scale = _mm256_set1_ps(inverse);
    for (size_t i = 0; i < n; i += 8) _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_loadu_ps(out + i), scale));
    return inverse > 0;
}

/* Interleaving works in halves of 16, so sums[0] has numbers 0 to 7 and 16 to 23, sums[1] the others. */
AVX512 static inline void add_32(__m512i *sums, __m256i a, __m256i b, __m512i w) {
    __m512i x = _mm512_cvtepi8_epi16(_mm256_unpacklo_epi8(a, b));
    __m512i y = _mm512_cvtepi8_epi16(_mm256_unpackhi_epi8(a, b));
    sums[0] = _mm512_add_epi32(sums[0], _mm512_madd_epi16(x, w));
    sums[1] = _mm512_add_epi32(sums[1], _mm512_madd_epi16(y, w));
}

AVX512 static inline void store_32(int32_t *to, const __m512i *sums) {
    _mm512_storeu_si512(to, _mm512_shuffle_i64x2(sums[0], sums[1], 0x44));
    _mm512_storeu_si512(to + 16, _mm512_shuffle_i64x2(sums[0], sums[1], 0xEE));
}

AVX512 void sc_sum_rows_i8_avx512(ARGUMENTS) {
    for (size_t d = 0; d < dim; d += 64) {
        __m512i s[4];
        for (int k = 0; k < 4; k++) s[k] = _mm512_setzero_si512();
        for (uint32_t i = 0; i < n; i += 2) {
            const uint8_t *a = rows + dim * ids[i] + d, *b = rows + dim * ids[i + 1 < n ? i + 1 : i] + d;
            __m512i w = _mm512_set1_epi32(pair_of_weights(weights, ids, i, n));
            for (int k = 0; k < 2; k++)
                add_32(s + 2 * k, _mm256_loadu_si256((const __m256i *)(a + 32 * k)),
                       _mm256_loadu_si256((const __m256i *)(b + 32 * k)), w);
        }
        for (int k = 0; k < 2; k++) store_32(sums + d + 32 * k, s + 2 * k);
    }
}

AVX512 void sc_sum_rows_u4_avx512(ARGUMENTS) {
    for (size_t d = 0; d < dim; d += 64) {
        __m512i s[4];
        __m256i a[2], b[2];
        for (int k = 0; k < 4; k++) s[k] = _mm512_setzero_si512();
        for (uint32_t i = 0; i < n; i += 2) {
            __m512i w = _mm512_set1_epi32(pair_of_weights(weights, ids, i, n));
            spread(rows + dim / 2 * ids[i] + d / 2, a);
            spread(rows + dim / 2 * ids[i + 1 < n ? i + 1 : i] + d / 2, b);
            for (int k = 0; k < 2; k++) add_32(s + 2 * k, a[k], b[k], w);
        }
        for (int k = 0; k < 2; k++) store_32(sums + d + 32 * k, s + 2 * k);
    }
}

#elif defined(__aarch64__)
#include <arm_neon.h>

bool sc_to_unit_neon(const int32_t *sums, size_t n, float *out) {
    float32x4_t s[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    float sum[SC_UNIT_LANES];
    for (size_t i = 0; i < n; i += SC_UNIT_LANES)
        for (int k = 0; k < 4; k++) {
            float32x4_t v = vcvtq_f32_s32(vld1q_s32(sums + i + 4 * k));
            s[k] = vaddq_f32(s[k], vmulq_f32(v, v));
            vst1q_f32(out + i + 4 * k, v);
        }
    for (int k = 0; k < 4; k++) vst1q_f32(sum + 4 * k, s[k]);
    float scale = inverse_length(sum);
    for (size_t i = 0; i < n; i += 4) vst1q_f32(out + i, vmulq_n_f32(vld1q_f32(out + i), scale));
    return scale > 0;
}

static inline void add_16(int32x4_t *sums, int8x16_t row, int16_t weight) {
    int16x8_t low = vmovl_s8(vget_low_s8(row)), high = vmovl_high_s8(row);
    sums[0] = vmlal_n_s16(sums[0], vget_low_s16(low), weight);
    sums[1] = vmlal_high_n_s16(sums[1], low, weight);
    sums[2] = vmlal_n_s16(sums[2], vget_low_s16(high), weight);
    sums[3] = vmlal_high_n_s16(sums[3], high, weight);
}

void sc_sum_rows_i8_neon(ARGUMENTS) {
    for (size_t d = 0; d < dim; d += 64) {
        int32x4_t s[16];
        for (int k = 0; k < 16; k++) s[k] = vdupq_n_s32(0);
        for (uint32_t i = 0; i < n; i++)
            for (int k = 0; k < 4; k++)
                add_16(s + 4 * k, vreinterpretq_s8_u8(vld1q_u8(rows + dim * ids[i] + d + 16 * k)), weights[ids[i]]);
        for (int k = 0; k < 16; k++) vst1q_s32(sums + d + 4 * k, s[k]);
    }
}

void sc_sum_rows_u4_neon(ARGUMENTS) {
    const uint8x16_t half = vdupq_n_u8(15);
    const int8x16_t eight = vdupq_n_s8(8);
    for (size_t d = 0; d < dim; d += 64) {
        int32x4_t s[16];
        for (int k = 0; k < 16; k++) s[k] = vdupq_n_s32(0);
        for (uint32_t i = 0; i < n; i++)
            for (int k = 0; k < 2; k++) {
                uint8x16_t v = vld1q_u8(rows + dim / 2 * ids[i] + d / 2 + 16 * k);
                add_16(s + 4 * k, vsubq_s8(vreinterpretq_s8_u8(vandq_u8(v, half)), eight), weights[ids[i]]);
                add_16(s + 8 + 4 * k, vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(v, 4)), eight), weights[ids[i]]);
            }
        for (int k = 0; k < 16; k++) vst1q_s32(sums + d + 4 * k, s[k]);
    }
}
#endif
