#include "partition.h"

static bool belongs(const sc_region *r, uint32_t slot, sc_part part) {
    sc_entry e;
    return sc_slot_ok(r, slot) && sc_entry_snapshot(r, slot, &e) && sc_entry_same_part(&e, part);
}

uint32_t sc_part_find(const sc_region *r, sc_part part, uint32_t *size) {
    uint32_t moves;
    int tries = 16;
    do { /* again when cells were moved past us */
        moves = SC_LOAD_ACQ(r->partitions.moves);
        for (sc_probe p = sc_table_probe(&r->partitions, sc_part_tag(part)); sc_probe_next(&r->partitions, &p);) {
            if (!belongs(r, p.number, part)) continue;
            *size = SC_LOAD(&r->links[p.number].part_prev);
            return p.number;
        }
        atomic_thread_fence(memory_order_acquire);
    } while (--tries > 0 && ((moves & 1) || SC_LOAD(r->partitions.moves) != moves));
    *size = 0;
    return SC_NIL;
}

/* Under the lock, where heads are exact and the record may still be busy. */
static uint32_t head_of(const sc_region *r, sc_part part) {
    for (sc_probe p = sc_table_probe(&r->partitions, sc_part_tag(part)); sc_probe_next(&r->partitions, &p);)
        if (sc_slot_ok(r, p.number) && sc_entry_same_part(&r->entries[p.number], part)) return p.number;
    return SC_NIL;
}

int sc_part_link(sc_region *r, uint32_t slot) {
    sc_part part = r->entries[slot].part;
    sc_links *l = &r->links[slot];
    uint32_t head = head_of(r, part);
    if (head == SC_NIL) {
        SC_STORE(&l->part_next, SC_NIL);
        SC_STORE(&l->part_prev, 1);
        return sc_table_insert(&r->partitions, sc_part_tag(part), slot);
    }
    SC_STORE(&l->part_next, head);
    SC_STORE(&l->part_prev, SC_LOAD(&r->links[head].part_prev) + 1);
    SC_STORE(&r->links[head].part_prev, slot);
    sc_table_replace(&r->partitions, sc_part_tag(part), head, slot);
    return SC_OK;
}

static void unlink_head(sc_region *r, uint32_t slot, uint32_t next, uint32_t tag) {
    if (!sc_slot_ok(r, next)) {
        sc_table_remove(&r->partitions, tag, slot);
        return;
    }
    SC_STORE(&r->links[next].part_prev, SC_LOAD(&r->links[slot].part_prev) - 1);
    sc_table_replace(&r->partitions, tag, slot, next);
}

void sc_part_unlink(sc_region *r, uint32_t slot) {
    sc_part part = r->entries[slot].part;
    uint32_t head = head_of(r, part), next = SC_LOAD(&r->links[slot].part_next);
    if (head == slot) {
        unlink_head(r, slot, next, sc_part_tag(part));
        return;
    }
    uint32_t prev = SC_LOAD(&r->links[slot].part_prev);
    if (!sc_slot_ok(r, prev) || head == SC_NIL) return; /* a damaged list; recovery rebuilds it */
    SC_STORE(&r->links[prev].part_next, next);
    if (sc_slot_ok(r, next)) SC_STORE(&r->links[next].part_prev, prev);
    SC_BUMP(&r->links[head].part_prev, -1u);
}
