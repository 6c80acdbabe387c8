/* The tag index: which entries carry a tag, so that invalidate() costs what it removes.
 *
 * Nodes live in value blocks, four a block. A bucket chains one leader a distinct tag; the
 * other entries of that tag hang off their leader in a ring-less doubly linked list.
 * Writers only, under the lock. Derived from the tag hashes in the entries' payloads. */
#ifndef SC_TAGS_H
#define SC_TAGS_H

#include "../region/values.h"

/* The entry's tag_block must hold sc_tag_blocks(n) blocks. */
void sc_tags_link(sc_region *r, uint32_t slot, const uint64_t *tags, uint32_t n);
void sc_tags_unlink(sc_region *r, uint32_t slot, uint32_t n);
bool sc_tags_owned(const sc_region *r, uint32_t slot, uint32_t n); /* are the nodes really this slot's? */
uint32_t sc_tags_first(const sc_region *r, uint64_t tag); /* a slot that carries it, or SC_NIL */

#endif
