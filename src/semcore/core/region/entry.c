#include "entry.h"

#include "../exact/xxh3.h"
#include "platform.h"
#include "values.h"

/* From so many entries on memory comes in large pages: a lookup touches six or more places, and
 * their address translations would cost more than they do. Small caches stay small. */
#define LARGE 4096

bool sc_entry_snapshot(const sc_region *r, uint32_t slot, sc_entry *out) {
    uint32_t seq = sc_entry_seq(r, slot);
    if (!sc_is_live(seq)) return false;
    sc_copy_racy((uint8_t *)out + 4, (const uint8_t *)&r->entries[slot] + 4, sizeof *out - 4);
    SC_STORE(&out->seq, seq);
    return sc_entry_unmoved(r, slot, seq);
}

static void set_state(sc_region *r, uint32_t slot, uint32_t state, uint32_t step) {
    uint32_t version = SC_LOAD(&r->entries[slot].seq) >> 2;
    SC_STORE_REL(&r->entries[slot].seq, ((version + step) << 2) | state);
}

void sc_entry_begin(sc_region *r, uint32_t slot) {
    set_state(r, slot, SC_BUSY, 1);
    atomic_thread_fence(memory_order_release);
}

void sc_entry_commit(sc_region *r, uint32_t slot) { set_state(r, slot, SC_LIVE, 0); }

void sc_entry_free(sc_region *r, uint32_t slot) {
    set_state(r, slot, SC_FREE, 1);
    atomic_thread_fence(memory_order_release);
}

uint32_t sc_checksum(const sc_region *r, const void *p, size_t n) {
    return (uint32_t)sc_xxh3_low(p, n, r->h->secret);
}

uint32_t sc_text_sum(const sc_region *r, const void *text, size_t n, const uint64_t *tags, uint32_t ntags) {
    return sc_checksum(r, text, n) + 31 * sc_checksum(r, tags, 8u * ntags);
}

uint32_t sc_entry_sum(const sc_region *r, const sc_entry *e) {
    sc_entry c;
    memcpy(&c, e, sizeof c);
    c.tag_block = 0;                 /* derived */
    if (c.sliding_ms) c.expires = 0; /* moves with every hit; bounded by now + sliding_ms instead */
    return sc_checksum(r, (const uint8_t *)&c + 8, sizeof c - 8);
}

uint32_t sc_vector_sum(const sc_region *r, uint32_t slot) {
    uint8_t copy[SC_MAX_DIM * 4];
    if (r->vector_bytes) {
        sc_copy_racy(copy, r->vectors + r->vector_bytes * slot, r->vector_bytes);
        return sc_checksum(r, copy, r->vector_bytes);
    }
    sc_copy_racy(copy, r->high + r->plane * slot, r->plane);
    sc_copy_racy(copy + r->plane, r->low + r->plane * slot, r->plane);
    return sc_checksum(r, copy, 2 * r->plane);
}

bool sc_entry_same_part(const sc_entry *e, sc_part part) {
    return e->part.all == part.all && e->part.ns == part.ns;
}

bool sc_entry_whole(const sc_region *r, uint32_t slot) {
    sc_entry copy; /* who looks without the lock may find it changing */
    const sc_entry *e = &copy;
    sc_copy_racy(&copy, &r->entries[slot], sizeof copy);
    if (e->sum != sc_entry_sum(r, e)) return false;
    if (e->has_vector > (r->dim != 0) || e->ntags > SC_MAX_TAGS) return false;
    if (!sc_chain_matches(r, e)) return false;
    return !e->has_vector || e->vector_sum == sc_vector_sum(r, slot);
}

uint32_t sc_slot_take(sc_region *r) {
    sc_state *s = &r->h->state;
    uint32_t slot = SC_LOAD(&s->free_slot);
    if (sc_slot_ok(r, slot)) {
        SC_STORE(&s->free_slot, SC_LOAD(&r->links[slot].part_next));
    } else {
        slot = SC_LOAD(&s->slot_high);
        if (slot >= r->max_entries) return SC_NIL;
        if (slot == LARGE) sc_os_large_pages(r->base, r->total);
        SC_STORE_REL(&s->slot_high, slot + 1);
    }
    if (r->dim) SC_STORE(&r->place[slot], SC_NIL);
    return slot;
}

void sc_slot_give(sc_region *r, uint32_t slot) {
    SC_STORE(&r->links[slot].part_next, SC_LOAD(&r->h->state.free_slot));
    SC_STORE(&r->h->state.free_slot, slot);
}
