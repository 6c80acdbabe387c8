/* Counting, and proving that every structure agrees with the entries. */
#include <stdlib.h>

#include "engine.h"
#include "region/partition.h"
#include "tags/tags.h"

void sc_stats_get(sc_cache *c, sc_stats *out) {
    const sc_region *r = &c->r;
    *out = (sc_stats){
        .entries = SC_LOAD(&r->h->state.entries), .max_entries = r->max_entries, .bytes = r->total,
        .blocks = r->nblocks, .free_blocks = SC_LOAD(&r->h->state.free_blocks), .block_bytes = SC_BLOCK,
        .bytes_per_entry = r->slot_bytes, .hits_exact = sc_counted(r, SC_HITS_EXACT),
        .hits_semantic = sc_counted(r, SC_HITS_SEMANTIC), .misses = sc_counted(r, SC_MISSES), .puts = sc_counted(r, SC_PUTS),
        .evictions = sc_counted(r, SC_EVICTIONS), .expirations = sc_counted(r, SC_EXPIRATIONS),
        .deletions = sc_counted(r, SC_DELETIONS), .damaged = sc_counted(r, SC_DAMAGED), .recoveries = sc_counted(r, SC_RECOVERIES), .tokens = sc_counted(r, SC_TOKENS),
        .cost_nano = sc_counted(r, SC_COST_NANO), .latency_us = sc_counted(r, SC_LATENCY_US), .dim = r->dim,
        .storage = r->storage, .tick = SC_LOAD(&r->h->tick)};
}

void sc_stats_add(sc_cache *c, const sc_stats *s) {
    const uint64_t counts[SC_COUNTERS] = {
        [SC_HITS_EXACT] = s->hits_exact, [SC_HITS_SEMANTIC] = s->hits_semantic, [SC_MISSES] = s->misses,
        [SC_PUTS] = s->puts, [SC_EVICTIONS] = s->evictions, [SC_EXPIRATIONS] = s->expirations,
        [SC_DELETIONS] = s->deletions, [SC_DAMAGED] = s->damaged, [SC_RECOVERIES] = s->recoveries,
        [SC_TOKENS] = s->tokens, [SC_COST_NANO] = s->cost_nano, [SC_LATENCY_US] = s->latency_us};
    for (int i = 0; i < SC_COUNTERS; i++) sc_count(&c->r, (enum sc_counter)i, counts[i]);
}

/* ---- validation ---- */

typedef struct census { uint32_t live, blocks, on_wheel; } census;

static uint32_t chain_length(const sc_region *r, uint32_t block) {
    uint32_t n = 0;
    for (; block < r->nblocks && n <= r->nblocks; n++) block = SC_LOAD(&r->chain[block]);
    return n;
}

static bool listed(const sc_region *r, uint32_t slot) {
    uint32_t size, at = sc_part_find(r, r->entries[slot].part, &size), seen = 0;
    bool found = false;
    for (; sc_slot_ok(r, at) && seen <= size; at = SC_LOAD(&r->links[at].part_next), seen++) found |= at == slot;
    return found && seen == size;
}

static const char *check_tags(const sc_region *r, const sc_entry *e) {
    uint64_t tags[SC_MAX_TAGS];
    if (!sc_chain_read(r, e->block, (uint64_t)e->value_len + e->text_len, tags, 8u * e->ntags))
        return "an entry's tags cannot be read";
    for (uint32_t i = 0; i < e->ntags; i++)
        if (sc_tags_first(r, tags[i]) == SC_NIL) return "an entry's tag is not in the tag index";
    return NULL;
}

static const char *check_entry(const sc_region *r, uint32_t slot, census *n) {
    const sc_entry *e = &r->entries[slot];
    sc_entry found;
    uint32_t blocks = sc_blocks_for(sc_payload_bytes(e)), tag_blocks = sc_tag_blocks(e->ntags);
    if (!sc_entry_whole(r, slot)) return "an entry's checksum does not match";
    if (sc_engine_find(r, e->key, &found) != slot) return "an entry is not in the exact table";
    if (!listed(r, slot)) return "a partition's list or size is wrong";
    if (chain_length(r, e->block) != blocks) return "a value chain has the wrong length";
    if (chain_length(r, e->tag_block) != tag_blocks) return "a tag chain has the wrong length";
    if (SC_LOAD(&r->ptags[slot]) != (e->has_vector ? sc_part_tag(e->part) : 0)) return "a row's partition tag is wrong";
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

static const char *validate(const sc_region *r) {
    census n = {0, 0, 0};
    const char *why = NULL;
    for (uint32_t slot = 0; slot < sc_slot_high(r) && !why; slot++)
        if (sc_entry_live(r, slot)) why = check_entry(r, slot, &n);
    if (!why && n.live != SC_LOAD(&r->h->state.entries)) why = "the count of entries is wrong";
    if (!why && sc_table_count(&r->exact) != n.live) why = "the exact table holds a dead cell";
    if (!why) why = check_wheel(r, n.on_wheel);
    return why ? why : check_free(r, &n);
}

const char *sc_validate(sc_cache *c) {
    if (c->r.read_only) return validate(&c->r); /* true if nobody writes meanwhile */
    int rc = sc_engine_lock(c);
    if (rc == SC_ELOST) return "the file was truncated, or its disk failed, while it was mapped";
    if (rc != SC_OK) return "out of memory while recovering";
    const char *why = validate(&c->r);
    sc_engine_unlock(c);
    return why;
}
