/* Which entries belong to a partition: a directory of heads and a doubly linked list a partition.
 *
 * The head's `part_prev` has no predecessor to name and holds the partition's size instead, so a
 * search knows beforehand whether walking the list or scanning all rows is cheaper. */
#ifndef SC_PARTITION_H
#define SC_PARTITION_H

#include "entry.h"

/* The directory's tag. */
static inline uint32_t sc_part_tag(sc_part part) {
    uint32_t tag = (uint32_t)(part.all ^ part.ns);
    return tag ? tag : 1;
}

/* The scan's tag; 0 means an empty row. */
static inline uint8_t sc_part_tag8(sc_part part) { return (uint8_t)(sc_part_tag(part) % 255 + 1); }

int sc_part_link(sc_region *r, uint32_t slot);
void sc_part_unlink(sc_region *r, uint32_t slot);
/* Its head and size, or SC_NIL. Lock-free: the size is a hint, a head is verified. */
uint32_t sc_part_find(const sc_region *r, sc_part part, uint32_t *size);

#endif
