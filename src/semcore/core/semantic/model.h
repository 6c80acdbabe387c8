/* What is learnt from the vectors that a cache holds: their leading directions, and codebooks for what lies there.
 *
 * A region keeps two models, the current one and the one before: rows are recoded block by block, so
 * that for a while some are of either. A block names the generation of the model that its rows are coded with
 * (0: none); the model of generation g lies in place g % 2. Nothing here is truth: a row whose
 * codes cannot be used is searched by the next tier.
 *
 * The rotation's rows need not be orthonormal, which rounding to halves would spoil: a spectral norm of at most 1 is
 * enough. Then I - V'V is positive semi-definite, and by Cauchy-Schwarz in its inner product
 *
 *   <q, x> <= <Vq, Vx> + √(1 - |Vq|²) √(1 - |Vx|²)      for unit q and x. */
#ifndef SC_MODEL_H
#define SC_MODEL_H

#include "../region/region.h"

sc_model *sc_model_at(const sc_region *r, uint32_t generation);
/* The generation that new rows are coded with, or 0. */
uint32_t sc_model_current(const sc_region *r);
/* Takes the place of the one before the current. */
void sc_model_install(sc_region *r, const sc_learnt *learnt);
/* After a crash: models whose checksum fails go, the others forget what rows they were used for. */
void sc_model_recover(sc_region *r);
/* y = V x; the error of each |y|'s float arithmetic is at most sc_model_slack(dim). */
void sc_model_rotate(const sc_model *m, uint32_t dim, const float *x, float y[SC_LEADING]);
float sc_model_slack(uint32_t dim);
/* √(1 - |y|²), rounded up. */
float sc_model_rest(const float y[SC_LEADING], float slack);

static inline float sc_bits_float(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline uint32_t sc_float_bits(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }

#endif
