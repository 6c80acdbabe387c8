/* Value blocks: fixed size, a value is a chain of them. Payload order: value, text, tags.
 *
 * A free list hands out any block, so nothing fragments and an eviction always makes room.
 * 128 bytes a block: at 850-byte payloads half a block is lost (64 bytes) and 7 links cost 28. */
#ifndef SC_VALUES_H
#define SC_VALUES_H

#include "region.h"

static inline uint64_t sc_payload_bytes(const sc_entry *e) {
    return (uint64_t)e->value_len + e->text_len + 8u * e->ntags;
}
static inline uint32_t sc_blocks_for(uint64_t bytes) { return (uint32_t)((bytes + SC_BLOCK - 1) / SC_BLOCK); }

static inline uint32_t sc_tag_blocks(uint32_t ntags) { return (ntags + 3) / 4; } /* of tag nodes: tags/ */

/* n free blocks as a chain; the caller saw that there are as many. SC_NIL for none, and in a damaged region. */
uint32_t sc_blocks_take(sc_region *r, uint32_t n);
void sc_blocks_give(sc_region *r, uint32_t head);

typedef struct sc_cursor { uint32_t block, used; } sc_cursor;
/* false in a damaged region, whose chain is too short. */
bool sc_chain_write(sc_region *r, sc_cursor *at, const void *from, size_t n);
/* Copies n bytes from offset `skip` of a chain; false when the chain ends before. */
bool sc_chain_read(const sc_region *r, uint32_t head, uint64_t skip, void *to, size_t n);
/* Does the payload under e match its checksums? */
bool sc_chain_matches(const sc_region *r, const sc_entry *e);

#endif
