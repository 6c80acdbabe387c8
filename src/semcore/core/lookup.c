/* Lock-free lookups: find, search, read, and what a hit or a miss leaves behind. */
#include <math.h>
#include <stdlib.h>

#include "engine.h"
#include "eviction/policy.h"
#include "semantic/scan.h"
#include "simd/kernels.h"

#define RETRIES 16
#define LARGE 300000  /* entries: more are not all searched, unless the caller wants it, */
#define MISSED 0.001f /* at the price of so many hits */

static void fill(sc_ref *out, const sc_entry *e, uint32_t slot, float similarity) {
    *out = (sc_ref){.slot = slot, .seq = SC_LOAD(&e->seq), .text_len = e->text_len, .value_len = e->value_len,
                    .text_kind = e->text_kind, .value_kind = e->value_kind, .similarity = similarity,
                    .created = e->created, .expires = e->expires, .saving = e->saving, .block = e->block,
                    .value_sum = e->value_sum};
}

bool sc_is_ascii(const void *p, size_t n) { return sc_k->ascii(p, n); }

bool sc_vector_valid(const float *v, size_t n) {
    double s = 0; /* squares of floats cannot overflow a double */
    for (size_t i = 0; i < n; i++) s += (double)v[i] * v[i];
    return isfinite(s) && s > 0;
}

uint64_t sc_id(const sc_ref *ref) { return ((uint64_t)ref->seq << 32) | ref->slot; }

static bool record_whole(const sc_region *r, const sc_entry *e) {
    return !r->file || (e->sum == sc_entry_sum(r, e) && sc_payload_bytes(e) <= (uint64_t)SC_BLOCK * r->nblocks);
}

/* What a hit touches next lies far apart: in a large cache every place is a miss of memory or of its address. */
static void fetch_ahead(const sc_region *r, const sc_entry *e) {
    if (e->block < r->nblocks) {
        SC_PREFETCH(r->blocks + (size_t)SC_BLOCK * e->block);
        SC_PREFETCH(&r->chain[e->block]);
    }
    SC_PREFETCH(sc_sketch_line(r, e->key[1]));
}

/* The live entry of a key; of no other partition than the one that is asked for, if any is. */
static int find(sc_cache *c, const uint64_t key[2], const sc_part *part, int64_t now, sc_ref *out) {
    sc_entry e;
    uint32_t slot = sc_engine_find(&c->r, key, &e);
    if (slot == SC_NIL) return SC_ENOTFOUND;
    fetch_ahead(&c->r, &e);
    if (!record_whole(&c->r, &e)) {
        sc_engine_drop_damaged(c, slot);
        return SC_ENOTFOUND;
    }
    if (!sc_entry_alive(&e, now) || (part && !sc_entry_same_part(&e, *part))) return SC_ENOTFOUND;
    fill(out, &e, slot, 1.0f);
    return SC_OK;
}

int sc_find(sc_cache *c, sc_part part, const void *text, size_t len, uint8_t kind, int64_t now, sc_ref *out) {
    uint64_t key[2];
    sc_key(&c->r, part, text, len, kind, key);
    return find(c, key, &part, now, out);
}

/* What of the best is still what it was. */
static uint32_t fill_best(const sc_cache *c, const sc_top *t, sc_ref *out) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        sc_entry e;
        if (!sc_entry_snapshot(&c->r, t->best[i].slot, &e) || SC_LOAD(&e.seq) != t->best[i].seq) continue;
        fill(&out[n++], &e, t->best[i].slot, t->best[i].similarity);
    }
    return n;
}

static sc_effort effort_of(const sc_cache *c) {
    bool large = SC_LOAD(&c->r.h->state.entries) > LARGE;
    return (sc_effort){c->threads, c->recall > 0 ? 1 - c->recall : large ? MISSED : 0};
}

int sc_search(sc_cache *c, sc_part part, const float *query, float floor, uint32_t top, int64_t now,
              sc_ref *out, uint32_t *n) {
    sc_top t;
    *n = 0;
    if (c->r.dim == 0 || top == 0 || top > SC_MAX_TOP) return SC_EARG;
    for (int tries = 0; tries < RETRIES; tries++) {
        t = (sc_top){.limit = top, .floor = floor, .damaged = SC_NIL};
        sc_scan(&c->r, part, query, now, effort_of(c), &t);
        if (t.damaged == SC_NIL) break;
        if (!sc_engine_drop_damaged(c, t.damaged)) break;
    }
    *n = fill_best(c, &t, out);
    return SC_OK;
}

int sc_search_many(sc_cache *c, sc_part part, const float *queries, uint32_t nqueries, float floor, int64_t now,
                   sc_ref *out, uint8_t *found) {
    sc_top *tops = malloc(nqueries * sizeof *tops);
    if (!tops) return SC_ENOMEM;
    for (uint32_t i = 0; i < nqueries; i++) tops[i] = (sc_top){.limit = 1, .floor = floor, .damaged = SC_NIL};
    bool done = sc_scan_many(&c->r, part, queries, nqueries, now, effort_of(c), tops);
    for (uint32_t i = 0; i < nqueries && done; i++) {
        uint32_t n = 0;
        if (tops[i].damaged == SC_NIL) n = fill_best(c, &tops[i], &out[i]);
        else sc_search(c, part, queries + (size_t)c->r.dim * i, floor, 1, now, &out[i], &n);
        found[i] = n > 0;
    }
    free(tops);
    return done ? SC_OK : SC_ENOMEM;
}

int sc_at(sc_cache *c, uint64_t id, int64_t now, sc_ref *out) {
    uint32_t slot = (uint32_t)id;
    sc_entry e;
    if (slot >= sc_slot_high(&c->r) || !sc_entry_snapshot(&c->r, slot, &e)) return SC_ENOTFOUND;
    if (SC_LOAD(&e.seq) != (uint32_t)(id >> 32) || !sc_entry_alive(&e, now)) return SC_ENOTFOUND;
    if (!record_whole(&c->r, &e)) {
        sc_engine_drop_damaged(c, slot);
        return SC_ENOTFOUND;
    }
    fill(out, &e, slot, 1.0f);
    return SC_OK;
}

int sc_with_key(sc_cache *c, const uint64_t key[2], int64_t now, sc_ref *out) {
    return find(c, key, NULL, now, out);
}

uint32_t sc_next_live(sc_cache *c, uint32_t from, int64_t now, sc_ref *out) {
    sc_entry e;
    for (uint32_t slot = from; slot < sc_slot_high(&c->r); slot++) {
        if (!sc_entry_snapshot(&c->r, slot, &e) || !sc_entry_alive(&e, now) || !record_whole(&c->r, &e)) continue;
        fill(out, &e, slot, 1.0f);
        return slot;
    }
    return SC_NIL;
}

/* ---- reading what was found ---- */

static int settle(sc_cache *c, const sc_ref *ref, bool whole) {
    if (sc_region_lost(&c->r)) return SC_ELOST;
    if (!sc_entry_unmoved(&c->r, ref->slot, ref->seq)) return SC_EMOVED;
    if (whole || !c->r.file) return whole ? SC_OK : SC_EREGION;
    sc_engine_drop_damaged(c, ref->slot);
    return SC_EDAMAGED;
}

static bool same(const sc_cache *c, const sc_ref *ref, sc_entry *e) {
    return sc_slot_ok(&c->r, ref->slot) && sc_entry_snapshot(&c->r, ref->slot, e) && SC_LOAD(&e->seq) == ref->seq;
}

int sc_read_value(sc_cache *c, const sc_ref *ref, void *to) {
    bool whole = sc_chain_read(&c->r, ref->block, 0, to, ref->value_len);
    if (whole && c->r.file) whole = ref->value_sum == sc_checksum(&c->r, to, ref->value_len);
    return settle(c, ref, whole);
}

int sc_read_text(sc_cache *c, const sc_ref *ref, void *to) {
    sc_entry e;
    uint64_t tags[SC_MAX_TAGS];
    if (!same(c, ref, &e) || e.ntags > SC_MAX_TAGS) return SC_EMOVED;
    uint64_t at = e.value_len;
    bool whole = sc_chain_read(&c->r, e.block, at, to, ref->text_len) &&
                 sc_chain_read(&c->r, e.block, at + ref->text_len, tags, 8u * e.ntags);
    if (whole && c->r.file) whole = e.text_sum == sc_text_sum(&c->r, to, ref->text_len, tags, e.ntags);
    return settle(c, ref, whole);
}

int sc_read_vector(sc_cache *c, const sc_ref *ref, float *to) {
    sc_entry e;
    if (!sc_slot_ok(&c->r, ref->slot) || !sc_entry_snapshot(&c->r, ref->slot, &e) || !e.has_vector)
        return SC_ENOTFOUND;
    sc_codes_load(&c->r, ref->slot, to);
    return settle(c, ref, !c->r.file || e.vector_sum == sc_vector_sum(&c->r, ref->slot));
}

int sc_read_record(sc_cache *c, const sc_ref *ref, sc_record *out) {
    sc_entry e;
    if (!same(c, ref, &e) || e.ntags > SC_MAX_TAGS) return SC_EMOVED;
    *out = (sc_record){.key = {e.key[0], e.key[1]}, .part = e.part, .created = e.created, .expires = e.expires,
                       .sliding_ms = e.sliding_ms, .count = sc_hot_count(&c->r, ref->slot),
                       .tick = sc_hot_unpack(SC_LOAD(&c->r.hot[ref->slot])).tick,
                       .has_vector = e.has_vector, .ntags = e.ntags};
    bool whole = sc_chain_read(&c->r, e.block, (uint64_t)e.value_len + e.text_len, out->tags, 8u * e.ntags);
    return settle(c, ref, whole);
}

static int read_row(sc_cache *c, sc_part part, int64_t now, uint32_t slot, uint64_t *id, float *to) {
    sc_entry e;
    if (!sc_entry_snapshot(&c->r, slot, &e) || !e.has_vector || !sc_entry_same_part(&e, part)) return SC_ENOTFOUND;
    if (!sc_entry_alive(&e, now) || !record_whole(&c->r, &e)) return SC_ENOTFOUND;
    sc_ref ref;
    fill(&ref, &e, slot, 1.0f);
    *id = sc_id(&ref);
    sc_codes_load(&c->r, slot, to);
    return settle(c, &ref, !c->r.file || e.vector_sum == sc_vector_sum(&c->r, slot));
}

uint32_t sc_rows(sc_cache *c, sc_part part, int64_t now, uint32_t *from, uint32_t most, uint64_t *ids, float *out) {
    uint32_t n = 0, slot = *from;
    for (; n < most && slot < sc_slot_high(&c->r); slot++) {
        int rc = SC_EMOVED;
        for (int tries = 0; tries < RETRIES && rc == SC_EMOVED; tries++)
            rc = read_row(c, part, now, slot, &ids[n], out + (size_t)c->r.dim * n);
        n += rc == SC_OK;
    }
    *from = slot < sc_slot_high(&c->r) ? slot : SC_NIL;
    return n;
}

/* ---- what is left behind ---- */

static void slide(sc_cache *c, const sc_ref *ref, int64_t now) {
    if (sc_engine_lock(c) != SC_OK) return;
    sc_entry *e = &c->r.entries[ref->slot];
    if (SC_LOAD(&e->seq) == ref->seq) e->expires = now + (int64_t)e->sliding_ms * 1000;
    sc_engine_unlock(c);
}

SC_RACY_READ static uint32_t sliding_of(const sc_cache *c, uint32_t slot) { return c->r.entries[slot].sliding_ms; }
SC_RACY_READ static uint64_t key_of(const sc_cache *c, uint32_t slot) { return c->r.entries[slot].key[1]; }

/* What no put stores, a forged record may hold. */
static uint64_t bounded(double x) { return x < 1e18 ? (uint64_t)x : 0; }

void sc_hit(sc_cache *c, const sc_ref *ref, int layer, int64_t now) {
    sc_region *r = &c->r;
    if (r->read_only) return;
    sc_hot_hit(r, ref->slot);
    if (c->policy == SC_POLICY_VALUE) sc_sketch_count(r, key_of(c, ref->slot));
    sc_a64 *counts = sc_shard_here(r)->counts;
    SC_ADD(&counts[layer == SC_LAYER_EXACT ? SC_HITS_EXACT : SC_HITS_SEMANTIC], 1);
    if (ref->saving.tokens) SC_ADD(&counts[SC_TOKENS], ref->saving.tokens);
    if (ref->saving.cost > 0) SC_ADD(&counts[SC_COST_NANO], bounded((double)ref->saving.cost * 1e9 + 0.5));
    if (ref->saving.latency_ms > 0) SC_ADD(&counts[SC_LATENCY_US], bounded((double)ref->saving.latency_ms * 1e3));
    if (ref->expires != SC_FOREVER && sliding_of(c, ref->slot)) slide(c, ref, now);
}

void sc_hit_prefix(sc_cache *c) {
    if (!c->r.read_only) sc_count(&c->r, SC_HITS_PREFIX, 1);
}

void sc_miss(sc_cache *c) {
    if (!c->r.read_only) sc_count(&c->r, SC_MISSES, 1);
}

uint64_t sc_work(const sc_cache *c, sc_part part) { return sc_scan_bytes(&c->r, part); }
