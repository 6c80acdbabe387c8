/* XXH3-64 with the library's own secret and a seed: what routers and engines agree on. Not for secrets. */
#include "../exact/xxh3.h"
#include "prefix.h"

static const uint8_t SECRET[SC_SECRET] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb,
    0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb,
    0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31,
    0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc,
    0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

#define P64_1 0x9E3779B185EBCA87ull
#define P64_2 0xC2B2AE3D27D4EB4Full
#define MIX_1 0x165667919E3779F9ull
#define MIX_2 0x9FB21C651E98DF25ull

static uint32_t read32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static uint64_t read64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }

static uint64_t swap64(uint64_t x) {
    x = (x >> 8 & 0x00FF00FF00FF00FFull) | (x & 0x00FF00FF00FF00FFull) << 8;
    x = (x >> 16 & 0x0000FFFF0000FFFFull) | (x & 0x0000FFFF0000FFFFull) << 16;
    return x >> 32 | x << 32;
}

static uint64_t fold(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
#else
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t ll = al * bl, hl = ah * bl, lh = al * bh, hh = ah * bh;
    uint64_t mid = (ll >> 32) + (uint32_t)hl + lh;
    return ((mid << 32) | (uint32_t)ll) ^ (hh + (hl >> 32) + (mid >> 32));
#endif
}

static uint64_t avalanche(uint64_t x) {
    x ^= x >> 37;
    x *= MIX_1;
    return x ^ (x >> 32);
}

static uint64_t rotate(uint64_t x, int n) { return x << n | x >> (64 - n); }

static uint64_t of_4_to_8(const uint8_t *in, size_t len, uint64_t seed) {
    uint32_t low = (uint32_t)seed;
    low = low >> 24 | (low >> 8 & 0xFF00) | (low << 8 & 0xFF0000) | low << 24;
    seed ^= (uint64_t)low << 32;
    uint64_t word = read32(in + len - 4) + ((uint64_t)read32(in) << 32);
    uint64_t x = word ^ ((read64(SECRET + 8) ^ read64(SECRET + 16)) - seed);
    x ^= rotate(x, 49) ^ rotate(x, 24);
    x *= MIX_2;
    x ^= (x >> 35) + len;
    x *= MIX_2;
    return x ^ (x >> 28);
}

static uint64_t of_9_to_16(const uint8_t *in, size_t len, uint64_t seed) {
    uint64_t low = read64(in) ^ ((read64(SECRET + 24) ^ read64(SECRET + 32)) + seed);
    uint64_t high = read64(in + len - 8) ^ ((read64(SECRET + 40) ^ read64(SECRET + 48)) - seed);
    return avalanche(len + swap64(low) + high + fold(low, high));
}

static uint64_t mix(const uint8_t *in, const uint8_t *s, uint64_t seed) {
    return fold(read64(in) ^ (read64(s) + seed), read64(in + 8) ^ (read64(s + 8) - seed));
}

static uint64_t of_17_to_128(const uint8_t *in, size_t len, uint64_t seed) {
    uint64_t acc = len * P64_1;
    for (size_t i = (len - 1) / 32 + 1; i-- > 0;)
        acc += mix(in + 16 * i, SECRET + 32 * i, seed) + mix(in + len - 16 * (i + 1), SECRET + 32 * i + 16, seed);
    return avalanche(acc);
}

static uint64_t of_129_to_240(const uint8_t *in, size_t len, uint64_t seed) {
    uint64_t acc = len * P64_1, tail;
    for (size_t i = 0; i < 8; i++) acc += mix(in + 16 * i, SECRET + 16 * i, seed);
    acc = avalanche(acc);
    tail = mix(in + len - 16, SECRET + 136 - 17, seed);
    for (size_t i = 8; i < len / 16; i++) acc += mix(in + 16 * i, SECRET + 16 * (i - 8) + 3, seed);
    return avalanche(acc + tail);
}

/* Longer ones agree with the low half of XXH3-128. len: at least 4. */
uint64_t sc_rolling_hash(const void *data, size_t len, uint64_t seed) {
    if (len <= 8) return of_4_to_8(data, len, seed);
    if (len <= 16) return of_9_to_16(data, len, seed);
    if (len <= 128) return of_17_to_128(data, len, seed);
    if (len <= 240) return of_129_to_240(data, len, seed);
    return sc_xxh3(data, len, SECRET, seed).low;
}
