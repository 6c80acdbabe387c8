/* AVX2 and AVX-512 kernels. Each function carries its own target: with per-file flags and both
 * in one file, AVX2 functions receive 512-bit code and die on the machines they are for. */
#include "kernels.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>

#if (defined(_MSC_VER) && !defined(__clang__)) || defined(SC_EMULATE) /* tests/c/emulate */
#define AVX2 static
#define AVX512 static
#define AVX2_KERNEL SC_RACY_READ static
#define AVX512_KERNEL SC_RACY_READ static
#else
#define AVX2 __attribute__((target("avx2,f16c,fma,bmi"))) static inline
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,f16c,fma,avx2"))) static inline
#define AVX2_KERNEL SC_RACY_READ __attribute__((target("avx2,f16c,fma,bmi"))) static
#define AVX512_KERNEL SC_RACY_READ __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,f16c,fma,avx2"))) static
#endif

/* 16-bit sums of four products <= 2 * 15 * 127 each stay below 2^15 for eight of them. */
#define FLUSH 4

AVX2 int32_t sum_i32(__m256i v) {
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xB1)));
}

AVX2 double sum_f64(__m256d v) {
    __m128d x = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
}

AVX2_KERNEL void dot_u4_avx2(const uint8_t *plane, size_t bytes, const uint32_t *ids, uint32_t n,
                             const int8_t *even, const int8_t *odd, int32_t *out) {
    const __m256i half = _mm256_set1_epi8(15), one = _mm256_set1_epi16(1);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *row = plane + bytes * ids[i];
        if (i + 8 < n) SC_PREFETCH(plane + bytes * ids[i + 8]);
        __m256i sum = _mm256_setzero_si256();
        for (size_t k = 0; k < bytes;) {
            __m256i part = _mm256_setzero_si256();
            for (int f = 0; f < FLUSH && k < bytes; f++, k += 32) {
                __m256i v = _mm256_loadu_si256((const __m256i *)(row + k));
                __m256i e = _mm256_loadu_si256((const __m256i *)(even + k));
                __m256i o = _mm256_loadu_si256((const __m256i *)(odd + k));
                part = _mm256_add_epi16(part, _mm256_maddubs_epi16(_mm256_and_si256(v, half), e));
                v = _mm256_and_si256(_mm256_srli_epi16(v, 4), half);
                part = _mm256_add_epi16(part, _mm256_maddubs_epi16(v, o));
            }
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(part, one));
        }
        out[i] = sum_i32(sum);
    }
}

AVX2 __m256i table_256(const uint8_t *table) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
}

#define TOGETHER 4 /* blocks that share the loads of the tables */

/* Sums of `many` blocks, a constant: the loops over them unroll. */
AVX2_KERNEL inline void add_losses(const uint8_t *const *blocks, const uint8_t *const *next, int many, const uint8_t *tables, uint32_t rows, __m256i *sums) {
    const __m256i half = _mm256_set1_epi8(15);
    for (int b = 0; b < many; b++) sums[b] = _mm256_setzero_si256();
    for (uint32_t k = 0; k < rows; k++) {
        const __m256i low = table_256(tables + 32 * k), high = table_256(tables + 32 * k + 16);
        for (int b = 0; b < many; b++) {
            if (k % 2 == 0) _mm_prefetch((const char *)next[b] + 32 * k, _MM_HINT_T0);
            __m256i v = _mm256_loadu_si256((const __m256i *)(blocks[b] + 32 + 32 * k));
            sums[b] = _mm256_adds_epu8(sums[b], _mm256_shuffle_epi8(low, _mm256_and_si256(v, half)));
            v = _mm256_and_si256(_mm256_srli_epi16(v, 4), half);
            sums[b] = _mm256_adds_epu8(sums[b], _mm256_shuffle_epi8(high, v));
        }
    }
}

AVX2_KERNEL void product_avx2(const uint8_t *blocks, size_t block_bytes, const uint32_t *ids, uint32_t n, uint8_t tag,
                              const uint8_t *tables, uint32_t rows, uint32_t *masks) {
    const uint8_t *at[TOGETHER], *next[TOGETHER];
    const __m256i want = _mm256_set1_epi8((char)tag), full = _mm256_set1_epi8(-1);
    __m256i sums[TOGETHER];
    for (uint32_t b = 0, many; b < n; b += many) {
        many = n - b < TOGETHER ? 1 : TOGETHER;
        for (uint32_t i = 0; i < many; i++) {
            at[i] = blocks + block_bytes * ids[b + i];
            next[i] = blocks + block_bytes * (b + many + i < n ? ids[b + many + i] : ids[n - 1] + i + 1);
        }
        if (many == TOGETHER) add_losses(at, next, TOGETHER, tables, rows, sums);
        else add_losses(at, next, 1, tables, rows, sums);
        for (uint32_t i = 0; i < many; i++) {
            __m256i lost = _mm256_cmpeq_epi8(sums[i], full);
            __m256i ours = _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)at[i]), want);
            masks[b + i] = (uint32_t)_mm256_movemask_epi8(_mm256_andnot_si256(lost, ours));
        }
    }
}

AVX2 float sum_f32(__m256 v) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}

AVX2_KERNEL void rotate_avx2(const uint16_t *rows, uint32_t n, const float *x, size_t dim, float *y) {
    for (uint32_t k = 0; k < n; k += 4) {
        const uint16_t *at[4];
        __m256 sums[4];
        float tails[4] = {0};
        for (uint32_t j = 0; j < 4; j++) {
            at[j] = rows + dim * (k + j < n ? k + j : n - 1);
            sums[j] = _mm256_setzero_ps();
        }
        size_t i = 0;
        for (; i + 8 <= dim; i += 8) {
            __m256 v = _mm256_loadu_ps(x + i);
            for (int j = 0; j < 4; j++)
                sums[j] = _mm256_fmadd_ps(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(at[j] + i))), v, sums[j]);
        }
        for (; i < dim; i++)
            for (int j = 0; j < 4; j++) tails[j] += sc_f16_to(at[j][i]) * x[i];
        for (uint32_t j = 0; j < 4 && k + j < n; j++) y[k + j] = sum_f32(sums[j]) + tails[j];
    }
}

/* The running sums of a float kernel, in double. */
typedef struct sums { __m256d dot, square; } sums;

AVX2 sums add_4(sums t, __m128 x, __m128 q) {
    __m256d v = _mm256_cvtps_pd(x);
    t.dot = _mm256_fmadd_pd(v, _mm256_cvtps_pd(q), t.dot);
    t.square = _mm256_fmadd_pd(v, v, t.square);
    return t;
}

AVX2_KERNEL void dot_f16_avx2(const uint16_t *x, const float *q, size_t n, double *dot, double *square) {
    sums a = {_mm256_setzero_pd(), _mm256_setzero_pd()}, b = a;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i)));
        a = add_4(a, _mm256_castps256_ps128(v), _mm_loadu_ps(q + i));
        b = add_4(b, _mm256_extractf128_ps(v, 1), _mm_loadu_ps(q + i + 4));
    }
    double d = sum_f64(_mm256_add_pd(a.dot, b.dot)), s = sum_f64(_mm256_add_pd(a.square, b.square));
    for (; i < n; i++) {
        double v = sc_f16_to(x[i]);
        d += v * q[i];
        s += v * v;
    }
    *dot = d;
    *square = s;
}

AVX2_KERNEL void dot_f32_avx2(const float *x, const float *q, size_t n, double *dot, double *square) {
    sums a = {_mm256_setzero_pd(), _mm256_setzero_pd()}, b = a;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        a = add_4(a, _mm_loadu_ps(x + i), _mm_loadu_ps(q + i));
        b = add_4(b, _mm_loadu_ps(x + i + 4), _mm_loadu_ps(q + i + 4));
    }
    double d = sum_f64(_mm256_add_pd(a.dot, b.dot)), s = sum_f64(_mm256_add_pd(a.square, b.square));
    for (; i < n; i++) {
        d += (double)x[i] * q[i];
        s += (double)x[i] * x[i];
    }
    *dot = d;
    *square = s;
}

AVX512_KERNEL void dot_u4_avx512(const uint8_t *plane, size_t bytes, const uint32_t *ids, uint32_t n,
                                 const int8_t *even, const int8_t *odd, int32_t *out) {
    const __m512i half = _mm512_set1_epi8(15);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *row = plane + bytes * ids[i];
        if (i + 8 < n) SC_PREFETCH(plane + bytes * ids[i + 8]);
        __m512i a = _mm512_setzero_si512(), b = a;
        size_t k = 0;
        for (; k + 64 <= bytes; k += 64) {
            __m512i v = _mm512_loadu_si512(row + k);
            a = _mm512_dpbusd_epi32(a, _mm512_and_si512(v, half), _mm512_loadu_si512(even + k));
            v = _mm512_and_si512(_mm512_srli_epi16(v, 4), half);
            b = _mm512_dpbusd_epi32(b, v, _mm512_loadu_si512(odd + k));
        }
        int32_t sum = _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
        if (k < bytes) { /* a last group of 32 */
            __m256i h = _mm512_castsi512_si256(half), v = _mm256_loadu_si256((const __m256i *)(row + k));
            __m256i t = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_and_si256(v, h),
                                            _mm256_loadu_si256((const __m256i *)(even + k)));
            v = _mm256_and_si256(_mm256_srli_epi16(v, 4), h);
            t = _mm256_dpbusd_epi32(t, v, _mm256_loadu_si256((const __m256i *)(odd + k)));
            sum += _mm512_reduce_add_epi32(_mm512_zextsi256_si512(t));
        }
        out[i] = sum;
    }
}

#define MOST_PAIRS 16 /* of rows, whose tables are kept in registers */

/* Two rows of 32 bytes at once: the tables of the first in the lower half of a register, of the second in the upper. */
AVX512_KERNEL void product_avx512(const uint8_t *blocks, size_t block_bytes, const uint32_t *ids, uint32_t n, uint8_t tag,
                                  const uint8_t *tables, uint32_t rows, uint32_t *masks) {
    const __m512i half = _mm512_set1_epi8(15);
    const __m256i want = _mm256_set1_epi8((char)tag), full = _mm256_set1_epi8(-1);
    __m512i lows[MOST_PAIRS], highs[MOST_PAIRS];
    uint32_t pairs = rows / 2 < MOST_PAIRS ? rows / 2 : MOST_PAIRS;
    for (uint32_t k = 0; k < pairs; k++) {
        const uint8_t *t = tables + (size_t)64 * k;
        lows[k] = _mm512_inserti64x4(_mm512_castsi256_si512(table_256(t)), table_256(t + 32), 1);
        highs[k] = _mm512_inserti64x4(_mm512_castsi256_si512(table_256(t + 16)), table_256(t + 48), 1);
    }
    for (uint32_t b = 0; b < n; b++) {
        const uint8_t *block = blocks + block_bytes * ids[b], *at = block + 32;
        __m512i low = _mm512_setzero_si512(), high = low;
        for (uint32_t k = 0; k < pairs; k++, at += 64) {
            __m512i v = _mm512_loadu_si512(at);
            low = _mm512_adds_epu8(low, _mm512_shuffle_epi8(lows[k], _mm512_and_si512(v, half)));
            high = _mm512_adds_epu8(high, _mm512_shuffle_epi8(highs[k], _mm512_and_si512(_mm512_srli_epi16(v, 4), half)));
        }
        low = _mm512_adds_epu8(low, high);
        __m256i sum = _mm256_adds_epu8(_mm512_castsi512_si256(low), _mm512_extracti64x4_epi64(low, 1));
        for (uint32_t k = 2 * pairs; k < rows; k++, at += 32) {
            __m256i v = _mm256_loadu_si256((const __m256i *)at), h = _mm512_castsi512_si256(half);
            sum = _mm256_adds_epu8(sum, _mm256_shuffle_epi8(table_256(tables + 32 * k), _mm256_and_si256(v, h)));
            v = _mm256_and_si256(_mm256_srli_epi16(v, 4), h);
            sum = _mm256_adds_epu8(sum, _mm256_shuffle_epi8(table_256(tables + 32 * k + 16), v));
        }
        __m256i lost = _mm256_cmpeq_epi8(sum, full);
        __m256i ours = _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)block), want);
        masks[b] = (uint32_t)_mm256_movemask_epi8(_mm256_andnot_si256(lost, ours));
    }
}

AVX512_KERNEL void dot_f16_avx512(const uint16_t *x, const float *q, size_t n, double *dot, double *square) {
    __m512d d = _mm512_setzero_pd(), s = d;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m512d v = _mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
        d = _mm512_fmadd_pd(v, _mm512_cvtps_pd(_mm256_loadu_ps(q + i)), d);
        s = _mm512_fmadd_pd(v, v, s);
    }
    *dot = _mm512_reduce_add_pd(d);
    *square = _mm512_reduce_add_pd(s);
    for (; i < n; i++) {
        double v = sc_f16_to(x[i]);
        *dot += v * q[i];
        *square += v * v;
    }
}

AVX512_KERNEL void dot_f32_avx512(const float *x, const float *q, size_t n, double *dot, double *square) {
    __m512d d = _mm512_setzero_pd(), s = d;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m512d v = _mm512_cvtps_pd(_mm256_loadu_ps(x + i));
        d = _mm512_fmadd_pd(v, _mm512_cvtps_pd(_mm256_loadu_ps(q + i)), d);
        s = _mm512_fmadd_pd(v, v, s);
    }
    *dot = _mm512_reduce_add_pd(d);
    *square = _mm512_reduce_add_pd(s);
    for (; i < n; i++) {
        *dot += (double)x[i] * q[i];
        *square += (double)x[i] * x[i];
    }
}

AVX2_KERNEL void widen_avx2(const uint16_t *from, float *to, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + i))));
    for (; i < n; i++) to[i] = sc_f16_to(from[i]);
}

AVX2_KERNEL void narrow_avx2(const float *from, uint16_t *to, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) to[i] = sc_f16_from(from[i]);
}

AVX2 __m256i stripe_half(__m256i acc, const uint8_t *in, const uint8_t *secret) {
    __m256i word = _mm256_loadu_si256((const __m256i *)in);
    __m256i key = _mm256_xor_si256(word, _mm256_loadu_si256((const __m256i *)secret));
    __m256i product = _mm256_mul_epu32(key, _mm256_srli_epi64(key, 32));
    __m256i swapped = _mm256_shuffle_epi32(word, _MM_SHUFFLE(1, 0, 3, 2)); /* goes to the neighbour */
    return _mm256_add_epi64(acc, _mm256_add_epi64(product, swapped));
}

AVX2_KERNEL void stripes_avx2(uint64_t acc[8], const uint8_t *in, size_t n, const uint8_t *secret) {
    __m256i a = _mm256_loadu_si256((const __m256i *)acc), b = _mm256_loadu_si256((const __m256i *)(acc + 4));
    for (; n > 0; n--, in += 64, secret += 8) {
        a = stripe_half(a, in, secret);
        b = stripe_half(b, in + 32, secret + 32);
    }
    _mm256_storeu_si256((__m256i *)acc, a);
    _mm256_storeu_si256((__m256i *)(acc + 4), b);
}

AVX2_KERNEL bool ascii_avx2(const uint8_t *p, size_t n) {
    __m256i any = _mm256_setzero_si256();
    for (; n >= 64; n -= 64, p += 64) {
        __m256i a = _mm256_loadu_si256((const __m256i *)p), b = _mm256_loadu_si256((const __m256i *)(p + 32));
        any = _mm256_or_si256(any, _mm256_or_si256(a, b));
    }
    return _mm256_movemask_epi8(any) == 0 && sc_ascii_scalar(p, n);
}

const sc_kernels sc_kernels_avx2 = {"avx2", dot_u4_avx2, product_avx2, rotate_avx2,
                                    dot_f16_avx2, dot_f32_avx2, widen_avx2, narrow_avx2, stripes_avx2,
                                    ascii_avx2,
        sc_sum_rows_i8_avx2, sc_sum_rows_u4_avx2, sc_to_unit_avx2};
const sc_kernels sc_kernels_avx512 = {"avx512", dot_u4_avx512, product_avx512, rotate_avx2,
                                      dot_f16_avx512, dot_f32_avx512, widen_avx2, narrow_avx2, stripes_avx2,
                                    ascii_avx2,
        sc_sum_rows_i8_avx512, sc_sum_rows_u4_avx512, sc_to_unit_avx2};
#else
typedef int sc_no_x86; /* ISO C forbids an empty file */
#endif
