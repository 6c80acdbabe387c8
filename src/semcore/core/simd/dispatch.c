/* Which kernels this machine has, best first, and which one is in use. */
#include "kernels.h"

#include <string.h>

const sc_kernels *sc_k = &sc_kernels_scalar;

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
static bool has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi");
}
static bool has_avx512(void) {
#if defined(SC_EMULATE)
    return true;
#endif
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}
#endif

static const sc_kernels *tier(int i) {
    const sc_kernels *tiers[4] = {0};
    int n = 0;
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    if (has_avx512()) tiers[n++] = &sc_kernels_avx512;
    if (has_avx2()) tiers[n++] = &sc_kernels_avx2;
#elif defined(__aarch64__)
    tiers[n++] = &sc_kernels_neon;
#endif
    tiers[n++] = &sc_kernels_scalar;
    return i < n ? tiers[i] : NULL;
}

int sc_isa_select(const char *name) {
    for (int i = 0; tier(i); i++) {
        if (name && strcmp(name, tier(i)->name) != 0) continue;
        sc_k = tier(i);
        return SC_OK;
    }
    return SC_EARG;
}

const char *sc_isa_name(void) { return sc_k->name; }

const char *sc_isa_list(void) {
    static char list[64];
    size_t at = 0;
    for (int i = 0; tier(i); i++) {
        size_t n = strlen(tier(i)->name);
        if (at) list[at++] = ' ';
        memcpy(list + at, tier(i)->name, n + 1);
        at += n;
    }
    return list;
}
