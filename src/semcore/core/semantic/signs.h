/* The first tier of a scan: one bit a dimension, 32 rows at once by table lookups in registers.
 *
 * With b = sign(x) / √d, a = <x, b> and r = √(1 - a²), any unit q with <q, x> >= t >= 0 satisfies
 *
 *   <q, b> >= t a - √(1 - t²) r
 *
 * since angles obey the triangle inequality: ∠(q,b) <= ∠(q,x) + ∠(x,b). A row whose <q, b>, rounded
 * up, is less cannot reach t. It costs d / 8 bytes a row where the next tier reads d / 2, and needs
 * nothing learnt. Rows lie in blocks of 32 lanes: byte g of lane l, at 32 g + l, holds the signs
 * of dimensions 8g..8g+7; a 16-entry table for each half byte holds the query's sums, rounded up. */
#ifndef SC_SIGNS_H
#define SC_SIGNS_H

#include "../region/region.h"

#define SC_LANES 32
#define SC_MAX_GROUPS (SC_MAX_DIM / 8)

typedef struct sc_sign_query {
    uint32_t groups;           /* bytes a lane */
    float step, offset;        /* <q, b> <= step * sum - offset */
    _Alignas(64) uint8_t tables[2 * SC_MAX_GROUPS][16];
} sc_sign_query;

/* x: the stored vector, of unit length. */
void sc_signs_store(sc_region *r, uint32_t slot, const float *x);
void sc_signs_prepare(const sc_region *r, const float *vector, double norm, sc_sign_query *q);
/* Which of the 32 rows of a block may reach the floor (>= 0), as a bit mask. */
uint32_t sc_signs_possible(const sc_region *r, const sc_sign_query *q, uint32_t block, float floor);

#endif
