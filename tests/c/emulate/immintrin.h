/* Stands in for the compiler's header: AVX-512 in plain C by SIMDe (Debian: libsimde-dev), so that the
 * kernels are tested on machines without it. Below what SIMDe 0.7.4 lacks. */
#include <stdint.h>
#include <string.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

typedef uint16_t __mmask16;

static inline unsigned _tzcnt_u32(unsigned x) { return x ? (unsigned)__builtin_ctz(x) : 32; }
static inline int _mm_popcnt_u32(unsigned x) { return __builtin_popcount(x); }

static inline int _mm512_reduce_add_epi32(__m512i v) {
    int32_t x[16], sum = 0;
    memcpy(x, &v, sizeof x);
    for (int i = 0; i < 16; i++) sum += x[i];
    return sum;
}

static inline double _mm512_reduce_add_pd(__m512d v) {
    double x[8], sum = 0;
    memcpy(x, &v, sizeof x);
    for (int i = 0; i < 8; i++) sum += x[i];
    return sum;
}

static inline __m512i _mm512_zextsi256_si512(__m256i v) {
    __m512i wide;
    memset(&wide, 0, sizeof wide);
    memcpy(&wide, &v, sizeof v);
    return wide;
}

static inline __m512d _mm512_cvtps_pd(__m256 v) {
    float x[8];
    double y[8];
    __m512d wide;
    memcpy(x, &v, sizeof x);
    for (int i = 0; i < 8; i++) y[i] = x[i];
    memcpy(&wide, y, sizeof y);
    return wide;
}

static inline __m512d emulated_fmadd_pd(__m512d a, __m512d b, __m512d c) {
    double x[8], y[8], z[8];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    memcpy(z, &c, sizeof z);
    for (int i = 0; i < 8; i++) z[i] += x[i] * y[i];
    memcpy(&c, z, sizeof z);
    return c;
}
#undef _mm512_fmadd_pd
#define _mm512_fmadd_pd emulated_fmadd_pd

#undef _mm512_madd_epi16 /* SIMDe 0.7.4 gives it four parameters */
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)

static inline __m512i emulated_shuffle_i64x2(__m512i a, __m512i b, int how) {
    uint64_t x[8], y[8], z[8];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    for (int i = 0; i < 4; i++) memcpy(z + 2 * i, (i < 2 ? x : y) + 2 * (how >> 2 * i & 3), 16);
    memcpy(&a, z, sizeof z);
    return a;
}
#undef _mm512_shuffle_i64x2
#define _mm512_shuffle_i64x2 emulated_shuffle_i64x2
