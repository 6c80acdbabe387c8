/* One record a slot, committed by its sequence word; and what a reader may do with it.
 *
 * Writers: begin, fill, commit (or free). Readers: take a snapshot, use it and what it points to,
 * then ask `unmoved`: only then was what they saw whole. */
#ifndef SC_ENTRY_H
#define SC_ENTRY_H

#include "region.h"

static inline uint32_t sc_entry_seq(const sc_region *r, uint32_t slot) {
    return SC_LOAD_ACQ(&r->entries[slot].seq);
}
static inline bool sc_is_live(uint32_t seq) { return (seq & SC_STATE) == SC_LIVE; }
static inline bool sc_entry_live(const sc_region *r, uint32_t slot) { return sc_is_live(sc_entry_seq(r, slot)); }

static inline bool sc_entry_unmoved(const sc_region *r, uint32_t slot, uint32_t seq) {
    atomic_thread_fence(memory_order_acquire);
    return SC_LOAD(&r->entries[slot].seq) == seq;
}

/* A live entry's record as it was at one moment; its seq is in out->seq. */
bool sc_entry_snapshot(const sc_region *r, uint32_t slot, sc_entry *out);

void sc_entry_begin(sc_region *r, uint32_t slot);
void sc_entry_commit(sc_region *r, uint32_t slot);
void sc_entry_free(sc_region *r, uint32_t slot);

uint32_t sc_checksum(const sc_region *r, const void *p, size_t n);
uint32_t sc_entry_sum(const sc_region *r, const sc_entry *e); /* of the record's own fields */
/* Record, text, value and vector, as they lie now; under the lock or before any reader. */
bool sc_entry_whole(const sc_region *r, uint32_t slot);
uint32_t sc_vector_sum(const sc_region *r, uint32_t slot);     /* of the stored vector */
uint32_t sc_text_sum(const sc_region *r, const void *text, size_t n, const uint64_t *tags, uint32_t ntags);
/* Not expired. A sliding expiry lies outside of the checksum, but is never later than a hit now
 * would set it, give or take a clock that stepped back a little. */
#define SC_STEP_BACK (60 * 1000000ll)
static inline bool sc_entry_alive(const sc_entry *e, int64_t now) {
    if (e->sliding_ms && e->expires > now + (int64_t)e->sliding_ms * 1000 + SC_STEP_BACK) return false;
    return e->expires > now;
}
bool sc_entry_same_part(const sc_entry *e, sc_part part);

/* The free slots. */
uint32_t sc_slot_take(sc_region *r);  /* SC_NIL when there is none */
void sc_slot_give(sc_region *r, uint32_t slot);

#endif
