/* A hierarchical timing wheel over expiry times: five levels of 64 buckets (1.05 s, 67 s, 72 min,
 * 76 h and 204 days a bucket), entries as doubly linked lists by slot. Advancing it costs the
 * entries that are due and those that move a level down. Writers only, under the lock. */
#ifndef SC_WHEEL_H
#define SC_WHEEL_H

#include "../region/region.h"

void sc_wheel_link(sc_region *r, uint32_t slot);
void sc_wheel_unlink(sc_region *r, uint32_t slot);
/* Moves the wheel to `now`, calls `expire` for the entries that are due and returns their number.
 * What fell due within the current bucket waits for the next one unless `exact`: otherwise every put
 * of a second would look again at all that expires in that second. */
uint64_t sc_wheel_advance(sc_region *r, int64_t now, bool exact, void (*expire)(sc_region *, uint32_t slot));

#endif
