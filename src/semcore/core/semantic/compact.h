/* The learnt codes of rows: made as entries come, and anew, some rows at a time, when a model comes. */
#ifndef SC_COMPACT_H
#define SC_COMPACT_H

#include "../region/region.h"

/* Files a row in a lane, coded with the newest model if there is one; x: the vector, of unit length. Under the lock. */
void sc_compact_store(sc_region *r, uint32_t slot, const float *x);
/* Files it without codes. */
void sc_compact_store_plain(sc_region *r, uint32_t slot);
/* Codes the rows of the newest block of such a list; under the lock. */
void sc_compact_block(sc_region *r, uint32_t list);
/* A list from number `from` of all on whose rows are not coded with the newest model, or SC_NIL. */
uint32_t sc_compact_stale(const sc_region *r, uint32_t from);

#endif
