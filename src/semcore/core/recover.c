/* Recovery: the committed entries that are whole stay; everything else (tables, lists, codes, free
 * lists) is made anew from them. Three passes over the slots, each in order; starting over is safe. */
#include <stdlib.h>

#include "engine.h"
#include "prefix/prefix.h"
#include "region/partition.h"
#include "semantic/codes.h"
#include "semantic/lanes.h"
#include "semantic/model.h"
#include "tags/tags.h"

typedef struct owners { uint8_t *bits; uint32_t high; } owners; /* blocks that entries hold */

static bool held(const owners *o, uint32_t b) { return o->bits[b / 8] >> (b % 8) & 1; }

static void hold(owners *o, uint32_t b) {
    o->bits[b / 8] |= (uint8_t)(1 << (b % 8));
    if (b >= o->high) o->high = b + 1;
}

static void let_go(owners *o, const sc_region *r, uint32_t block, uint32_t n) {
    for (; n > 0; n--, block = SC_LOAD(&r->chain[block])) o->bits[block / 8] &= (uint8_t)~(1 << (block % 8));
}

/* Claims a chain and ends it; false, and nothing is claimed, if it is broken or shares a block. */
static bool claim(const sc_region *r, owners *o, uint32_t head, uint64_t bytes) {
    uint32_t n = sc_blocks_for(bytes), block = head, last = SC_NIL, got = 0;
    for (; got < n && block < r->nblocks && !held(o, block); got++) {
        hold(o, block);
        last = block;
        block = SC_LOAD(&r->chain[block]);
    }
    if (got < n) let_go(o, r, head, got);
    else if (n > 0) SC_STORE(&r->chain[last], SC_NIL);
    return n > 0 ? got == n : block == SC_NIL;
}

/* A crash between a new entry and the removal of the one it replaces leaves both: the newer stays. */
static bool newest(sc_region *r, uint32_t slot) {
    sc_entry other;
    const sc_entry *e = &r->entries[slot];
    uint32_t rival = sc_engine_find(r, e->key, &other);
    if (rival == SC_NIL) {
        sc_table_insert(&r->exact, sc_key_tag(e->key), slot);
        return true;
    }
    if (other.created > e->created) return false;
    sc_table_replace(&r->exact, sc_key_tag(e->key), rival, slot);
    sc_entry_free(r, rival);
    return true;
}

#define PASSES 3

/* Others see in the header how far it is: PASSES times all slots. */
static void seen(sc_region *r, uint32_t pass, uint32_t slot) {
    if (slot % 1024 == 0) SC_STORE(&r->h->passed, (uint32_t)(((uint64_t)pass * r->max_entries + slot) / PASSES));
}

static void drop_torn(sc_region *r) {
    sc_table_wipe(&r->exact);
    for (uint32_t slot = 0; slot < r->max_entries; slot++) {
        seen(r, 0, slot);
        uint32_t state = sc_entry_seq(r, slot) & SC_STATE;
        if (state == SC_FREE) continue;
        bool whole = state == SC_LIVE && sc_entry_whole(r, slot);
        if (state == SC_LIVE && !whole) sc_count(r, SC_DAMAGED, 1);
        if (!whole || !newest(r, slot)) sc_entry_free(r, slot);
    }
}

static bool claim_entry(const sc_region *r, owners *o, uint32_t slot) {
    return claim(r, o, r->entries[slot].block, sc_payload_bytes(&r->entries[slot]));
}

/* Values of prefixes; one that shares a block goes without giving it back. */
static void claim_marks(sc_region *r, owners *o) {
    for (uint32_t i = 0; i < r->h->prefix.mark_high; i++) {
        sc_mark *m = &r->prefix.marks[i];
        if (m->run == SC_NIL || claim(r, o, m->block, m->len)) continue;
        r->h->prefix.mark_blocks -= sc_blocks_for(m->len);
        m->block = SC_NIL;
        m->len = 0;
        sc_mark_drop(r, i);
        sc_count(r, SC_DAMAGED, 1);
    }
}

static void claim_blocks(sc_region *r, owners *o) {
    for (uint32_t slot = 0; slot < r->max_entries; slot++) {
        seen(r, 1, slot);
        if (!sc_entry_live(r, slot) || claim_entry(r, o, slot)) continue;
        sc_count(r, SC_DAMAGED, 1);
        sc_entry_free(r, slot);
    }
}

static void free_the_rest(sc_region *r, const owners *o) {
    sc_state *s = &r->h->state;
    uint32_t high = 0;
    SC_STORE(&s->block_high, o->high);
    SC_STORE(&s->free_blocks, r->nblocks - o->high);
    for (uint32_t b = o->high; b-- > 0;) {
        if (held(o, b)) continue;
        SC_STORE(&r->chain[b], SC_NIL);
        sc_blocks_give(r, b);
    }
    for (uint32_t slot = 0; slot < r->max_entries; slot++)
        if (sc_entry_live(r, slot)) high = slot + 1;
    SC_STORE_REL(&s->slot_high, high);
    for (uint32_t slot = high; slot-- > 0;) {
        if (r->dim) SC_STORE(&r->place[slot], SC_NIL);
        if (!sc_entry_live(r, slot)) sc_slot_give(r, slot);
    }
}

static int index_again(sc_region *r, uint32_t slot) {
    sc_entry *e = &r->entries[slot];
    uint64_t tags[SC_MAX_TAGS];
    uint32_t blocks = sc_tag_blocks(e->ntags);
    if (SC_LOAD(&r->h->state.free_blocks) < blocks) return SC_ETOOBIG; /* only in a forged file */
    if (!sc_chain_read(r, e->block, (uint64_t)e->value_len + e->text_len, tags, 8u * e->ntags)) return SC_EREGION;
    e->tag_block = sc_blocks_take(r, blocks);
    if (blocks && e->tag_block == SC_NIL) return SC_ETOOBIG;
    if (e->has_vector) sc_codes_build(r, slot);
    return sc_engine_index(r, slot, tags);
}

int sc_engine_recover(sc_cache *c) {
    sc_region *r = &c->r;
    owners o = {calloc(r->nblocks / 8 + 1, 1), 0};
    if (!o.bits) return SC_ENOMEM;
    sc_count(r, SC_RECOVERIES, 1);
    SC_STORE(&r->h->to_pass, r->max_entries);
    SC_STORE(r->exact.moves, 0);
    SC_STORE(r->partitions.moves, 0);
    if (sc_prefix_salvage(r) != SC_OK) {
        free(o.bits);
        return SC_ENOMEM;
    }
    drop_torn(r);
    claim_blocks(r, &o);
    claim_marks(r, &o);
    sc_region_reset(r);
    sc_model_recover(r);
    free_the_rest(r, &o);
    free(o.bits);
    for (uint32_t slot = 0; slot < r->max_entries; slot++) {
        seen(r, 2, slot);
        if (!sc_entry_live(r, slot) || index_again(r, slot) == SC_OK) continue;
        sc_entry_free(r, slot);
        sc_count(r, SC_DAMAGED, 1);
        sc_lane_drop(r, slot);
        sc_blocks_give(r, r->entries[slot].block);
        sc_slot_give(r, slot);
    }
    SC_STORE(&r->h->passed, 0);
    SC_STORE(&r->h->to_pass, 0);
    return SC_OK;
}
