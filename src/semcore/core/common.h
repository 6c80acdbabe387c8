/* Words, codes and primitives that every part of the core shares. */
#ifndef SC_COMMON_H
#define SC_COMMON_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "semcore.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "semcore supports little-endian machines only"
#endif

#if defined(__GNUC__) || defined(__clang__)
#define SC_PREFETCH(p) __builtin_prefetch(p)
#else
#define SC_PREFETCH(p) ((void)(p))
#endif

#if defined(__SANITIZE_THREAD__)
#define SC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SC_TSAN 1
#endif
#endif

/* Marks a function that reads what a writer may be changing. Its result is used only after
 * the entry's sequence word proved that nothing moved (a seqlock), which TSan cannot see. */
#ifdef SC_TSAN
#define SC_RACY_READ __attribute__((no_sanitize("thread"), noinline))
#else
#define SC_RACY_READ
#endif

typedef _Atomic uint8_t sc_a8;
typedef _Atomic uint32_t sc_a32;
typedef _Atomic uint64_t sc_a64;

#define SC_LOAD(p) atomic_load_explicit((p), memory_order_relaxed)
#define SC_STORE(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define SC_LOAD_ACQ(p) atomic_load_explicit((p), memory_order_acquire)
#define SC_STORE_REL(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define SC_ADD(p, v) ((void)atomic_fetch_add_explicit((p), (v), memory_order_relaxed))

#if defined(_MSC_VER) && !defined(__clang__)
static inline uint32_t sc_lowest_bit(uint32_t x) { unsigned long i; _BitScanForward(&i, x); return i; }
#else
static inline uint32_t sc_lowest_bit(uint32_t x) { return (uint32_t)__builtin_ctz(x); }
#endif

/* A counter that only the lock's holder changes needs no locked instruction. */
#define SC_BUMP(p, v) SC_STORE((p), SC_LOAD(p) + (v))

static inline size_t sc_align(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* Copies bytes that a writer may be changing (see SC_RACY_READ). */
#ifdef SC_TSAN
SC_RACY_READ static void sc_copy_racy(void *to, const void *from, size_t n) {
    volatile uint8_t *t = (volatile uint8_t *)to;
    const volatile uint8_t *f = (const volatile uint8_t *)from;
    for (size_t i = 0; i < n; i++) t[i] = f[i];
}
#else
static inline void sc_copy_racy(void *to, const void *from, size_t n) { memcpy(to, from, n); }
#endif

#endif
