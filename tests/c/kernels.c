/* Every kernel table of this machine against the scalar one. Prints "ok NAMES" or the first difference. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../src/semcore/core/simd/kernels.h"

#define ROWS 70
#define MOST 2048

static uint64_t state = 88172645463325252ull;
static uint32_t rnd(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static uint8_t plane[ROWS * MOST];
static int8_t even[MOST], odd[MOST];

static const char *check_dot_u4(const sc_kernels *k) {
    uint32_t ids[ROWS];
    int32_t want[ROWS], got[ROWS];
    for (size_t bytes = 32; bytes <= MOST; bytes += 32) {
        for (size_t i = 0; i < ROWS * bytes; i++) plane[i] = bytes % 64 ? (uint8_t)rnd() : 0xFF; /* extremes too */
        for (size_t i = 0; i < bytes; i++) {
            even[i] = bytes % 64 ? (int8_t)(rnd() % 255 - 127) : 127;
            odd[i] = bytes % 64 ? (int8_t)(rnd() % 255 - 127) : -127;
        }
        uint32_t n = rnd() % ROWS + 1;
        for (uint32_t i = 0; i < n; i++) ids[i] = rnd() % ROWS;
        sc_kernels_scalar.dot_u4(plane, bytes, ids, n, even, odd, want);
        k->dot_u4(plane, bytes, ids, n, even, odd, got);
        if (memcmp(want, got, n * sizeof *want) != 0) return "dot_u4";
    }
    return NULL;
}

static const char *check_product(const sc_kernels *k) {
    static uint8_t blocks[5 * 32 * 48], tables[32 * 40];
    uint32_t want[5], got[5], ids[5];
    for (int round = 0; round < 4000; round++) {
        uint32_t rows = rnd() % 41, n = 1 + rnd() % 5;
        size_t bytes = 32 * (size_t)(1 + rows + rnd() % 3);
        uint32_t most = round % 3 ? 512 / (2 * rows + 1) + 1 : 256; /* sums around 255, and extremes */
        for (size_t i = 0; i < bytes * n; i++) blocks[i] = (uint8_t)rnd();
        for (uint32_t b = 0; b < n; b++)
            for (int l = 0; l < 32; l++) blocks[b * bytes + l] = rnd() % 4 ? 7 : (uint8_t)rnd();
        for (uint32_t i = 0; i < 32 * rows; i++) tables[i] = (uint8_t)(rnd() % most);
        for (uint32_t b = 0; b < n; b++) ids[b] = rnd() % n;
        sc_kernels_scalar.product(blocks, bytes, ids, n, 7, tables, rows, want);
        k->product(blocks, bytes, ids, n, 7, tables, rows, got);
        if (memcmp(want, got, n * sizeof *want) != 0) return "product";
    }
    return NULL;
}

static const char *check_rotate(const sc_kernels *k) {
    static uint16_t rotation[11 * 600];
    static float x[600], want[11], got[11];
    for (int round = 0; round < 300; round++) {
        uint32_t n = 1 + rnd() % 11;
        size_t dim = 1 + rnd() % 600;
        for (size_t i = 0; i < n * dim; i++) rotation[i] = sc_f16_from((float)(rnd() % 2001) / 1000 - 1);
        for (size_t i = 0; i < dim; i++) x[i] = (float)(rnd() % 2001) / 1000 - 1;
        sc_kernels_scalar.rotate(rotation, n, x, dim, want);
        k->rotate(rotation, n, x, dim, got);
        for (uint32_t i = 0; i < n; i++)
            if (fabsf(want[i] - got[i]) > 1e-6f * (float)(dim + 8)) return "rotate";
    }
    return NULL;
}

static const char *check_dots(const sc_kernels *k) {
    static uint16_t half[4096];
    static float full[4096], q[4096];
    for (size_t n = 1; n <= 4096; n += 1 + n / 7) {
        for (size_t i = 0; i < n; i++) {
            q[i] = (float)(rnd() % 2001) / 1000 - 1;
            full[i] = ((float)(rnd() % 2001) / 1000 - 1) * (rnd() % 50 ? 1.0f : 1e-6f); /* subnormal halves too */
            half[i] = sc_f16_from(full[i]);
        }
        double want[4], got[4];
        sc_kernels_scalar.dot_f16(half, q, n, &want[0], &want[1]);
        sc_kernels_scalar.dot_f32(full, q, n, &want[2], &want[3]);
        k->dot_f16(half, q, n, &got[0], &got[1]);
        k->dot_f32(full, q, n, &got[2], &got[3]);
        for (int i = 0; i < 4; i++)
            if (fabs(want[i] - got[i]) > 1e-11 * (double)n) return i < 2 ? "dot_f16" : "dot_f32";
    }
    return NULL;
}

/* Every half survives the way to float and back; what lies between two goes to the nearer, ties to even. */
static const char *check_f16(void) {
    for (uint32_t h = 0; h < 0x7C00; h++) {
        float x = sc_f16_to((uint16_t)h), next = sc_f16_to((uint16_t)(h + 1));
        if (sc_f16_from(x) != h || sc_f16_from(-x) != (h | 0x8000)) return "f16 round trip";
        if (h + 1 == 0x7C00) break;
        float middle = x + (next - x) / 2;
        if (sc_f16_from(middle) != (h & 1 ? h + 1 : h)) return "f16 tie";
        if (sc_f16_from(nextafterf(middle, x)) != h || sc_f16_from(nextafterf(middle, next)) != h + 1) return "f16 nearest";
    }
    return NULL;
}

static const char *check_conversions(const sc_kernels *k) {
    static uint16_t half[65536], want_half[65536], got_half[65536];
    static float want[65536], got[65536];
    for (uint32_t h = 0; h < 65536; h++) half[h] = (h & 0x7C00) == 0x7C00 ? 0 : (uint16_t)h; /* finite ones */
    for (size_t n = 65536; n > 65536 - 9; n--) {
        sc_kernels_scalar.widen(half, want, n);
        k->widen(half, got, n);
        if (memcmp(want, got, n * sizeof *want) != 0) return "widen";
    }
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < 65536; i++) { /* any bits up to what a half can hold */
            uint32_t bits = (rnd() & 0x80000000u) | (rnd() << 8 ^ rnd()) % 0x477FF000u;
            memcpy(&want[i], &bits, 4);
        }
        sc_kernels_scalar.narrow(want, want_half, 65536);
        k->narrow(want, got_half, 65536);
        if (memcmp(want_half, got_half, sizeof want_half) != 0) return "narrow";
    }
    return NULL;
}

static const char *check_stripes(const sc_kernels *k) {
    static uint8_t in[64 * 16], secret[192];
    for (size_t n = 0; n <= 16; n++) {
        uint64_t want[8], got[8];
        for (size_t i = 0; i < sizeof in; i++) in[i] = (uint8_t)rnd();
        for (size_t i = 0; i < sizeof secret; i++) secret[i] = (uint8_t)rnd();
        for (int i = 0; i < 8; i++) want[i] = got[i] = (uint64_t)rnd() << 32 | rnd();
        sc_kernels_scalar.stripes(want, in, n, secret);
        k->stripes(got, in, n, secret);
        if (memcmp(want, got, sizeof want) != 0) return "stripes";
    }
    return NULL;
}

static const char *check_ascii(const sc_kernels *k) {
    static uint8_t text[300];
    for (size_t n = 0; n <= sizeof text; n++)
        for (size_t at = 0; at <= n; at++) { /* at n: none */
            memset(text, 0x7F, sizeof text);
            if (at < n) text[at] = 0x80;
            if (sc_kernels_scalar.ascii(text, n) != (at == n) || k->ascii(text, n) != (at == n)) return "ascii";
        }
    return NULL;
}

/* ---- of the embedder ---- */

#define PIECES 64
#define DIM 1024

static uint8_t rows[PIECES * DIM];
static int16_t weights[PIECES];

static const char *check_to_unit(const sc_kernels *k) {
    static int32_t sums[DIM];
    static float want[DIM], got[DIM];
    for (int round = 0; round < 400; round++) {
        size_t dim = 64 * (1 + rnd() % (DIM / 64));
        for (int i = 0; i < DIM; i++) sums[i] = round ? (int32_t)(rnd() << rnd() % 4 * 4) >> round % 31 : 0;
        bool a = sc_kernels_scalar.to_unit(sums, dim, want), b = k->to_unit(sums, dim, got);
        if (a != b || memcmp(want, got, dim * sizeof *want) != 0) return "to_unit";
    }
    return NULL;
}

static const char *check_rows(const sc_kernels *k) {
    static uint32_t ids[SC_ROWS_BLOCK];
    static int32_t want[DIM], got[DIM];
    for (int round = 0; round < 400; round++) {
        size_t dim = 64 * (1 + rnd() % (DIM / 64));
        uint32_t n = round % 4 ? rnd() % (round % 4 == 1 ? 5 : SC_ROWS_BLOCK) : SC_ROWS_BLOCK;
        bool extreme = round % 8 == 4; /* the largest sums that a hostile file can bring about */
        for (size_t i = 0; i < sizeof rows; i++) rows[i] = extreme ? 0x80 : (uint8_t)rnd();
        for (int i = 0; i < PIECES; i++) weights[i] = extreme ? INT16_MIN : (int16_t)rnd();
        for (uint32_t i = 0; i < n; i++) ids[i] = rnd() % PIECES;
        sc_kernels_scalar.sum_rows_i8(rows, dim, weights, ids, n, want);
        k->sum_rows_i8(rows, dim, weights, ids, n, got);
        if (memcmp(want, got, dim * sizeof *want) != 0) return "sum_rows_i8";
        sc_kernels_scalar.sum_rows_u4(rows, dim, weights, ids, n, want);
        k->sum_rows_u4(rows, dim, weights, ids, n, got);
        if (memcmp(want, got, dim * sizeof *want) != 0) return "sum_rows_u4";
    }
    return NULL;
}

static const char *check(const sc_kernels *k) {
    const char *why = check_dot_u4(k);
    if (!why) why = check_product(k);
    if (!why) why = check_rotate(k);
    if (!why) why = check_conversions(k);
    if (!why) why = check_stripes(k);
    if (!why) why = check_ascii(k);
    if (!why) why = check_to_unit(k);
    if (!why) why = check_rows(k);
    return why ? why : check_dots(k);
}

int main(void) {
    char names[64];
    snprintf(names, sizeof names, "%s", sc_isa_list());
    const char *why = check_f16();
    for (char *name = strtok(names, " "); name && !why; name = strtok(NULL, " ")) {
        if (sc_isa_select(name) != SC_OK) why = "select";
        else why = check(sc_k);
        if (why) printf("%s: ", name);
    }
    printf("%s %s\n", why ? why : "ok", why ? "differs from scalar" : sc_isa_list());
    return why != NULL;
}
