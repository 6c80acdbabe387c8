/* The second tier: 4-bit codes of the leading directions, a cache line a row.
 *
 * y = Vx (model.h) is coded as w, w_i = mean_i + step_i (c_i - 7.5), and a factor f; e = |y - f w|. Then
 *
 *   <q, x> <= f <Vq, w> + |Vq| e + √(1 - |Vq|²) √(1 - |y|²).
 *
 * Byte b < 60 holds direction b in its low half and direction 60 + b in its high half; then one byte each for f, e and the
 * rest √(1 - |y|²), the last two rounded up, and one that names the model, 0 while the row is written. */
#ifndef SC_LEADING_H
#define SC_LEADING_H

#include "model.h"
#include "product.h"

/* <Vq, w> = constant + unit * the products of the query's digits, but for at most error. */
typedef struct sc_digits { float constant, error; } sc_digits;

typedef struct sc_leading_query {
    uint8_t stamp;            /* of the rows that it is for */
    float unit, length, rest, slack;
    sc_digits high, all;      /* with the high digit alone, which rules out most rows, and with both */
    _Alignas(64) int8_t even[2][SC_LEADING_BYTES], odd[2][SC_LEADING_BYTES]; /* high and low digits, of base 128 */
} sc_leading_query;

static inline uint8_t sc_stamp(uint32_t generation) { return (uint8_t)(generation % 255 + 1); }

void sc_leading_store(sc_region *r, const sc_model *m, uint32_t slot, const sc_leading *x, uint32_t generation);
/* The row says nothing of its vector. */
void sc_leading_clear(sc_region *r, uint32_t slot);
void sc_leading_prepare(const sc_region *r, const sc_model *m, const sc_leading *x, uint32_t generation,
                        sc_leading_query *q);
/* Moves the rows that may reach the floor to the front of ids; how many. */
uint32_t sc_leading_keep(const sc_region *r, const sc_leading_query *q, float floor, uint32_t *ids, uint32_t n);

#endif
