/* Row kernels of every ISA of this machine against the scalar ones. Prints "ok NAMES" or the first difference. */
#include <stdio.h>
#include <stdlib.h>

#include "../../src/semcore/core/simd/kernels.h"

#define ROWS 64
#define DIM 1024

static uint64_t state = 88172645463325252ull;
static uint32_t rnd(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static uint8_t rows[ROWS * DIM];
static int16_t weights[ROWS];

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

static const char *check(const sc_kernels *k) {
    static uint32_t ids[SC_ROWS_BLOCK];
    static int32_t want[DIM], got[DIM];
    for (int round = 0; round < 400; round++) {
        size_t dim = 64 * (1 + rnd() % (DIM / 64));
        uint32_t n = round % 4 ? rnd() % (round % 4 == 1 ? 5 : SC_ROWS_BLOCK) : SC_ROWS_BLOCK;
        bool extreme = round % 8 == 4; /* the largest sums that a hostile file can bring about */
        for (size_t i = 0; i < sizeof rows; i++) rows[i] = extreme ? 0x80 : (uint8_t)rnd();
        for (int i = 0; i < ROWS; i++) weights[i] = extreme ? INT16_MIN : (int16_t)rnd();
        for (uint32_t i = 0; i < n; i++) ids[i] = rnd() % ROWS;
        sc_kernels_scalar.sum_rows_i8(rows, dim, weights, ids, n, want);
        k->sum_rows_i8(rows, dim, weights, ids, n, got);
        if (memcmp(want, got, dim * sizeof *want) != 0) return "sum_rows_i8";
        sc_kernels_scalar.sum_rows_u4(rows, dim, weights, ids, n, want);
        k->sum_rows_u4(rows, dim, weights, ids, n, got);
        if (memcmp(want, got, dim * sizeof *want) != 0) return "sum_rows_u4";
    }
    return check_to_unit(k);
}

int main(void) {
    char names[64];
    snprintf(names, sizeof names, "%s", sc_isa_list());
    const char *why = NULL;
    for (char *name = strtok(names, " "); name && !why; name = strtok(NULL, " ")) {
        why = sc_isa_select(name) == SC_OK ? check(sc_k) : "select";
        if (why) printf("%s: ", name);
    }
    printf("%s %s\n", why ? why : "ok", why ? "differs from scalar" : sc_isa_list());
    return why != NULL;
}
