/* Counting, and proving that every structure agrees with the entries. */
#include <stdlib.h>

#include "engine.h"
#include "prefix/prefix.h"
#include "region/partition.h"
#include "region/platform.h"
#include "semantic/lanes.h"
#include "tags/tags.h"

#define PATIENCE 20 /* times that all is looked at, until no writer was at work meanwhile */

void sc_stats_get(sc_cache *c, sc_stats *out) {
    const sc_region *r = &c->r;
    *out = (sc_stats){
        .entries = SC_LOAD(&r->h->state.entries), .max_entries = r->max_entries, .bytes = r->total,
        .blocks = r->nblocks, .free_blocks = SC_LOAD(&r->h->state.free_blocks), .block_bytes = SC_BLOCK,
        .bytes_per_entry = r->slot_bytes,
        .bytes_per_vector = r->slot_vector_bytes, .dim = r->dim, .storage = r->storage, .tick = SC_LOAD(&r->h->tick)};
    for (int i = 0; i < SC_COUNTERS; i++) out->counts[i] = sc_counted(r, (enum sc_counter)i);
}

void sc_counts_add(sc_cache *c, const uint64_t counts[SC_COUNTERS]) {
    for (int i = 0; i < SC_COUNTERS; i++) sc_count(&c->r, (enum sc_counter)i, counts[i]);
}

/* ---- validation ---- */

typedef struct census { uint32_t live, blocks, on_wheel; } census;

static uint32_t chain_length(const sc_region *r, uint32_t block) {
    uint32_t n = 0;
    for (; block < r->nblocks && n <= r->nblocks; n++) block = SC_LOAD(&r->chain[block]);
    return n;
}

/* Marks the slots that a partition's list holds; false if it does not hold as many as its head says, all its own. */
static bool mark_list(const sc_region *r, uint32_t head, uint8_t *listed) {
    uint32_t size = SC_LOAD(&r->links[head].part_prev), seen = 0;
    if (size > r->max_entries) return false; /* and the list may be a ring */
    for (uint32_t at = head; sc_slot_ok(r, at) && seen <= size; at = SC_LOAD(&r->links[at].part_next), seen++) {
        if (!sc_entry_live(r, at) || !sc_entry_same_part(&r->entries[at], r->entries[head].part)) return false;
        listed[at / 8] |= (uint8_t)(1 << (at % 8));
    }
    return seen == size;
}

static bool mark_lists(const sc_region *r, uint8_t *listed) {
    for (uint32_t i = 0; i < r->partitions.cap; i++) {
        uint64_t cell = SC_LOAD(&r->partitions.cells[i]);
        if (cell && (!sc_slot_ok(r, (uint32_t)cell - 1) || !mark_list(r, (uint32_t)cell - 1, listed))) return false;
    }
    return true;
}

static const char *check_tags(const sc_region *r, const sc_entry *e) {
    uint64_t tags[SC_MAX_TAGS];
    if (!sc_chain_read(r, e->block, (uint64_t)e->value_len + e->text_len, tags, 8u * e->ntags))
        return "an entry's tags cannot be read";
    for (uint32_t i = 0; i < e->ntags; i++)
        if (sc_tags_first(r, tags[i]) == SC_NIL) return "an entry's tag is not in the tag index";
    return NULL;
}

static const char *check_entry(const sc_region *r, uint32_t slot, census *n, const uint8_t *listed) {
    sc_entry copy, found;
    const sc_entry *e = &copy; /* a writer may be at work: what is compared with a bound is what is used */
    sc_copy_racy(&copy, &r->entries[slot], sizeof copy);
    if (e->ntags > SC_MAX_TAGS) return "an entry has too many tags";
    uint32_t blocks = sc_blocks_for(sc_payload_bytes(e)), tag_blocks = sc_tag_blocks(e->ntags);
    if (!sc_entry_whole(r, slot)) return "an entry's checksum does not match";
    if (sc_engine_find(r, e->key, &found) != slot) return "an entry is not in the exact table";
    if (!(listed[slot / 8] >> (slot % 8) & 1)) return "an entry is not in its partition's list";
    if (chain_length(r, e->block) != blocks) return "a value chain has the wrong length";
    if (chain_length(r, e->tag_block) != tag_blocks) return "a tag chain has the wrong length";
    if (r->dim && (SC_LOAD(&r->place[slot]) != SC_NIL) != e->has_vector) return "a row has no lane, or what is none has one";
    n->live++;
    n->blocks += blocks + tag_blocks;
    n->on_wheel += e->expires != SC_FOREVER;
    return check_tags(r, e);
}

static const char *check_wheel(const sc_region *r, uint32_t expected) {
    uint32_t seen = 0;
    for (uint32_t b = 0; b < 64 * SC_LEVELS; b++) {
        uint32_t before = r->max_entries + b;
        for (uint32_t s = SC_LOAD(&r->wheel[b]); sc_slot_ok(r, s); s = SC_LOAD(&r->links[s].wheel_next)) {
            if (!sc_entry_live(r, s) || r->entries[s].expires == SC_FOREVER) return "the wheel holds a slot that cannot expire";
            if (SC_LOAD(&r->links[s].wheel_prev) != before) return "a wheel list is not doubly linked";
            before = s;
            if (++seen > r->max_entries) return "a wheel list is a ring";
        }
    }
    return seen == expected ? NULL : "an entry that expires is not on the wheel";
}

static const char *check_free(const sc_region *r, const census *n) {
    const sc_state *s = &r->h->state;
    uint32_t slots = 0, high = sc_slot_high(r);
    for (uint32_t f = SC_LOAD(&s->free_slot); sc_slot_ok(r, f) && slots <= high; f = SC_LOAD(&r->links[f].part_next)) {
        if (sc_entry_live(r, f)) return "a live slot is on the free list";
        slots++;
    }
    if (slots + n->live != high) return "slots leak";
    uint32_t unused = r->nblocks - SC_LOAD(&s->block_high);
    uint32_t free_blocks = chain_length(r, SC_LOAD(&s->free_block)) + unused;
    if (free_blocks != SC_LOAD(&s->free_blocks)) return "the count of free blocks is wrong";
    if (free_blocks + n->blocks != r->nblocks) return "blocks leak";
    return NULL;
}

static const char *audit(const sc_region *r, uint8_t *listed) {
    census n = {0, 0, 0};
    const char *why = sc_prefix_audit(r, &n.blocks);
    if (!why) why = mark_lists(r, listed) ? NULL : "a partition's list or size is wrong";
    for (uint32_t slot = 0; slot < sc_slot_high(r) && !why; slot++)
        if (sc_entry_live(r, slot)) why = check_entry(r, slot, &n, listed);
    if (!why && n.live != SC_LOAD(&r->h->state.entries)) why = "the count of entries is wrong";
    if (!why && sc_table_count(&r->exact) != n.live) why = "the exact table holds a dead cell";
    if (!why) why = sc_lanes_validate(r);
    if (!why) why = check_wheel(r, n.on_wheel);
    return why ? why : check_free(r, &n);
}

typedef const char *proof(const sc_region *r);

static const char *all(const sc_region *r) {
    uint8_t *listed = calloc(r->max_entries / 8 + 1, 1);
    if (!listed) return "out of memory";
    const char *why = audit(r, listed);
    free(listed);
    return why;
}

static const char *prefixes(const sc_region *r) {
    uint32_t blocks;
    return sc_prefix_audit(r, &blocks);
}

/* By a handle that may not write, so cannot lock: what it finds is true if no writer was at work meanwhile. */
static const char *unlocked(const sc_region *r, proof *what) {
    uint32_t writing;
    for (int tries = 0; tries < PATIENCE; tries++) {
        if (tries) sc_os_pause();
        if (!sc_region_still(r, &writing)) continue;
        const char *why = what(r);
        if (sc_region_was_still(r, writing)) return why;
    }
    return SC_AT_WORK;
}

static const char *validate(sc_cache *c, proof *what) {
    if (c->r.read_only) return unlocked(&c->r, what);
    int rc = sc_engine_lock(c);
    if (rc == SC_ELOST) return "the file was truncated, or its disk failed, while it was mapped";
    if (rc != SC_OK) return rc == SC_ENOMEM ? "out of memory while recovering" : "the lock is damaged";
    const char *why = what(&c->r);
    sc_engine_unlock(c);
    return why;
}

const char *sc_validate(sc_cache *c) { return validate(c, all); }

const char *sc_prefix_validate(sc_cache *c) { return validate(c, prefixes); }
