/* The learnt codes of rows: kept as entries come, and made anew, block by block, when a model comes. */
#ifndef SC_COMPACT_H
#define SC_COMPACT_H

#include "../region/region.h"

/* Codes a row with its block's model, if it has one; x: the vector, of unit length. Under the lock. */
void sc_compact_store(sc_region *r, uint32_t slot, const float *x);
/* Codes a block with the newest model; under the lock. */
void sc_compact_block(sc_region *r, uint32_t block);
/* After a crash: no block has codes. */
void sc_compact_reset(sc_region *r);
/* The first block from `from` on that is not coded with the newest model, or SC_NIL. */
uint32_t sc_compact_stale(const sc_region *r, uint32_t from);

#endif
