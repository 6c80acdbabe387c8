/* The search: the few best live entries of one partition at or above a floor, best first.
 *
 * Product codes -> bound -> leading codes -> bound -> high plane -> bound -> low plane -> bound -> stored vector. What a bound drops is certainly below
 * the floor, so the result is what brute force finds. A partition that holds few of the rows is
 * walked by its links, one that holds many is scanned with the rows' partition tags compared.
 * Lock-free: every candidate is verified in its entry; a race can cost a miss, never an answer. */
#ifndef SC_SCAN_H
#define SC_SCAN_H

#include "../region/partition.h"
#include "codes.h"

typedef struct sc_found { float similarity; uint32_t slot, seq; } sc_found;

typedef struct sc_top {
    sc_found best[SC_MAX_TOP];   /* best first; ties by slot */
    uint32_t n, limit;
    double floor;                /* least similarity that is of interest */
    uint32_t damaged;            /* a slot whose checksum failed, or SC_NIL */
} sc_top;

typedef struct sc_effort {
    uint32_t threads;            /* that a scan of many rows may use */
    float missed;                /* share of hits that it may miss; 0: none */
} sc_effort;

void sc_scan(const sc_region *r, sc_part part, const float *query, int64_t now, sc_effort effort, sc_top *top);
/* The same for n queries, dim floats each, reading the rows once, in one thread; false: out of memory. */
bool sc_scan_many(const sc_region *r, sc_part part, const float *queries, uint32_t n, int64_t now, sc_effort effort,
                  sc_top *tops);
/* Most bytes that a scan of this partition reads: decides whether the GIL is worth releasing. */
uint64_t sc_scan_bytes(const sc_region *r, sc_part part);

#endif
