/* XXH3-128, written from the published algorithm description (XXH3 family, format 0.8).
 *
 * The secret is always the region's own random one: with the library's default secret collisions
 * can be constructed by hand. Four length classes: 0, 1..16, 17..240 and stripes of 64 bytes.
 * tests/unit/test_xxh3.py proves it bit-equal to the `xxhash` package in every class.
 */
#include "xxh3.h"

#include "../simd/kernels.h"

#define P32_1 0x9E3779B1u
#define P32_2 0x85EBCA77u
#define P32_3 0xC2B2AE3Du
#define P64_1 0x9E3779B185EBCA87ull
#define P64_2 0xC2B2AE3D27D4EB4Full
#define P64_3 0x165667B19E3779F9ull
#define P64_4 0x85EBCA77C2B2AE63ull
#define P64_5 0x27D4EB2F165667C5ull
#define MIX_1 0x165667919E3779F9ull
#define MIX_2 0x9FB21C651E98DF25ull

#define STRIPE 64
#define STRIPES_PER_BLOCK ((SC_SECRET - STRIPE) / 8)
#define BLOCK (STRIPE * STRIPES_PER_BLOCK)

static uint32_t read32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static uint64_t read64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }

static uint32_t swap32(uint32_t x) {
    return (x << 24) | ((x << 8) & 0xFF0000u) | ((x >> 8) & 0xFF00u) | (x >> 24);
}

static uint64_t swap64(uint64_t x) {
    return ((uint64_t)swap32((uint32_t)x) << 32) | swap32((uint32_t)(x >> 32));
}

static sc_hash128 multiply(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    unsigned __int128 p = (unsigned __int128)a * b;
    return (sc_hash128){(uint64_t)p, (uint64_t)(p >> 64)};
#else
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t ll = al * bl, hl = ah * bl, lh = al * bh, hh = ah * bh;
    uint64_t mid = (ll >> 32) + (uint32_t)hl + lh;
    return (sc_hash128){(mid << 32) | (uint32_t)ll, hh + (hl >> 32) + (mid >> 32)};
#endif
}

static uint64_t fold(uint64_t a, uint64_t b) {
    sc_hash128 p = multiply(a, b);
    return p.low ^ p.high;
}

static uint64_t avalanche(uint64_t x) {
    x ^= x >> 37;
    x *= MIX_1;
    return x ^ (x >> 32);
}

static uint64_t avalanche_64(uint64_t x) {
    x ^= x >> 33;
    x *= P64_2;
    x ^= x >> 29;
    x *= P64_3;
    return x ^ (x >> 32);
}

static sc_hash128 hash_1_to_3(const uint8_t *in, size_t len, const uint8_t *s, uint64_t seed) {
    uint32_t low = ((uint32_t)in[0] << 16) | ((uint32_t)in[len >> 1] << 24) | in[len - 1] |
                   ((uint32_t)len << 8);
    uint32_t swapped = swap32(low), high = (swapped << 13) | (swapped >> 19);
    uint64_t flip_low = (uint64_t)(read32(s) ^ read32(s + 4)) + seed;
    uint64_t flip_high = (uint64_t)(read32(s + 8) ^ read32(s + 12)) - seed;
    return (sc_hash128){avalanche_64(low ^ flip_low), avalanche_64(high ^ flip_high)};
}

static sc_hash128 hash_4_to_8(const uint8_t *in, size_t len, const uint8_t *s, uint64_t seed) {
    seed ^= (uint64_t)swap32((uint32_t)seed) << 32;
    uint64_t word = read32(in) + ((uint64_t)read32(in + len - 4) << 32);
    uint64_t keyed = word ^ ((read64(s + 16) ^ read64(s + 24)) + seed);
    sc_hash128 h = multiply(keyed, P64_1 + (len << 2));
    h.high += h.low << 1;
    h.low ^= h.high >> 3;
    h.low ^= h.low >> 35;
    h.low *= MIX_2;
    h.low ^= h.low >> 28;
    h.high = avalanche(h.high);
    return h;
}

static sc_hash128 hash_9_to_16(const uint8_t *in, size_t len, const uint8_t *s, uint64_t seed) {
    uint64_t flip_low = (read64(s + 32) ^ read64(s + 40)) - seed;
    uint64_t flip_high = (read64(s + 48) ^ read64(s + 56)) + seed;
    uint64_t low = read64(in), high = read64(in + len - 8);
    sc_hash128 m = multiply(low ^ high ^ flip_low, P64_1);
    m.low += (uint64_t)(len - 1) << 54;
    high ^= flip_high;
    m.high += high + (uint64_t)(uint32_t)high * (P32_2 - 1);
    m.low ^= swap64(m.high);
    sc_hash128 h = multiply(m.low, P64_2);
    h.high += m.high * P64_2;
    return (sc_hash128){avalanche(h.low), avalanche(h.high)};
}

static sc_hash128 hash_0_to_16(const uint8_t *in, size_t len, const uint8_t *s, uint64_t seed) {
    if (len > 8) return hash_9_to_16(in, len, s, seed);
    if (len > 3) return hash_4_to_8(in, len, s, seed);
    if (len > 0) return hash_1_to_3(in, len, s, seed);
    return (sc_hash128){avalanche_64(seed ^ read64(s + 64) ^ read64(s + 72)),
                        avalanche_64(seed ^ read64(s + 80) ^ read64(s + 88))};
}

static uint64_t mix_16(const uint8_t *in, const uint8_t *s, uint64_t seed) {
    return fold(read64(in) ^ (read64(s) + seed), read64(in + 8) ^ (read64(s + 8) - seed));
}

static void mix_32(sc_hash128 *acc, const uint8_t *a, const uint8_t *b, const uint8_t *s, uint64_t seed) {
    acc->low += mix_16(a, s, seed);
    acc->low ^= read64(b) + read64(b + 8);
    acc->high += mix_16(b, s + 16, seed);
    acc->high ^= read64(a) + read64(a + 8);
}

static sc_hash128 finish_mid(sc_hash128 acc, size_t len, uint64_t seed) {
    uint64_t high = acc.low * P64_1 + acc.high * P64_4 + ((uint64_t)len - seed) * P64_2;
    return (sc_hash128){avalanche(acc.low + acc.high), 0 - avalanche(high)};
}

static sc_hash128 hash_17_to_128(const uint8_t *in, size_t len, const uint8_t *s, uint64_t seed) {
    sc_hash128 acc = {(uint64_t)len * P64_1, 0};
    for (size_t i = (len - 1) / 32; i > 0; i--)
        mix_32(&acc, in + 16 * i, in + len - 16 * (i + 1), s + 32 * i, seed);
    mix_32(&acc, in, in + len - 16, s, seed);
    return finish_mid(acc, len, seed);
}

static sc_hash128 hash_129_to_240(const uint8_t *in, size_t len, const uint8_t *s, uint64_t seed) {
    sc_hash128 acc = {(uint64_t)len * P64_1, 0};
    for (size_t i = 0; i < 128; i += 32) mix_32(&acc, in + i, in + i + 16, s + i, seed);
    acc = (sc_hash128){avalanche(acc.low), avalanche(acc.high)};
    for (size_t i = 160; i <= len; i += 32)
        mix_32(&acc, in + i - 32, in + i - 16, s + 3 + (i - 160), seed);
    mix_32(&acc, in + len - 16, in + len - 32, s + 103, 0 - seed);
    return finish_mid(acc, len, seed);
}

static void scramble(uint64_t *acc, const uint8_t *s) {
    for (int i = 0; i < 8; i++) acc[i] = (acc[i] ^ (acc[i] >> 47) ^ read64(s + 8 * i)) * P32_1;
}

static uint64_t merge(const uint64_t *acc, const uint8_t *s, uint64_t start) {
    for (int i = 0; i < 4; i++)
        start += fold(acc[2 * i] ^ read64(s + 16 * i), acc[2 * i + 1] ^ read64(s + 16 * i + 8));
    return avalanche(start);
}

#define START {P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1}

static void consume(uint64_t acc[8], const uint8_t *in, size_t len, const uint8_t *s) {
    size_t blocks = (len - 1) / BLOCK, at = 0;
    for (size_t b = 0; b < blocks; b++, at += BLOCK) {
        sc_k->stripes(acc, in + at, STRIPES_PER_BLOCK, s);
        scramble(acc, s + SC_SECRET - STRIPE);
    }
    sc_k->stripes(acc, in + at, (len - 1 - at) / STRIPE, s);
    sc_k->stripes(acc, in + len - STRIPE, 1, s + SC_SECRET - STRIPE - 7);
}

static sc_hash128 hash_long(const uint8_t *in, size_t len, const uint8_t *s) {
    uint64_t acc[8] = START;
    consume(acc, in, len, s);
    return (sc_hash128){merge(acc, s + 11, (uint64_t)len * P64_1),
                        merge(acc, s + SC_SECRET - STRIPE - 11, ~((uint64_t)len * P64_2))};
}

static void seed_secret(uint8_t *to, const uint8_t *s, uint64_t seed) {
    for (size_t i = 0; i < SC_SECRET; i += 16) {
        uint64_t low = read64(s + i) + seed, high = read64(s + i + 8) - seed;
        memcpy(to + i, &low, 8);
        memcpy(to + i + 8, &high, 8);
    }
}

sc_hash128 sc_xxh3(const void *input, size_t len, const uint8_t *secret, uint64_t seed) {
    const uint8_t *in = input;
    uint8_t seeded[SC_SECRET];
    if (len <= 16) return hash_0_to_16(in, len, secret, seed);
    if (len <= 128) return hash_17_to_128(in, len, secret, seed);
    if (len <= 240) return hash_129_to_240(in, len, secret, seed);
    if (seed == 0) return hash_long(in, len, secret);
    seed_secret(seeded, secret, seed);
    return hash_long(in, len, seeded);
}

uint64_t sc_xxh3_low(const void *input, size_t len, const uint8_t *secret) {
    uint64_t acc[8] = START;
    if (len <= 240) return sc_xxh3(input, len, secret, 0).low;
    consume(acc, input, len, secret);
    return merge(acc, secret + 11, (uint64_t)len * P64_1);
}

void sc_xxh3_128(const void *p, size_t n, const uint8_t *secret, uint64_t seed, uint64_t out[2]) {
    sc_hash128 h = sc_xxh3(p, n, secret, seed);
    out[0] = h.low;
    out[1] = h.high;
}
