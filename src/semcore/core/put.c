/* Writers: put, delete, invalidate, clear, expire. All hold the lock. */
#include "engine.h"
#include "eviction/policy.h"
#include "eviction/wheel.h"
#include "prefix/prefix.h"
#include "semantic/codes.h"
#include "tags/tags.h"

static void expire_one(sc_region *r, uint32_t slot) {
    sc_count(r, SC_EXPIRATIONS, 1);
    sc_engine_remove(r, slot);
}

static void evict_one(sc_cache *c, uint32_t slot) {
    sc_region *r = &c->r;
    sc_count(r, SC_EVICTIONS, 1);
    sc_engine_remove(r, slot);
}

/* ---- put ---- */

static uint64_t payload(const sc_put *p) {
    return (uint64_t)p->value_len + (p->keep_text ? p->text_len : 0) + 8u * p->ntags;
}

static uint32_t blocks_of(const sc_put *p) { return sc_blocks_for(payload(p)) + sc_tag_blocks(p->ntags); }

static int check_put(const sc_region *r, const sc_put *p) {
    if (p->ntags > SC_MAX_TAGS || (p->vector && r->dim == 0)) return SC_EARG;
    if (p->value_len > UINT32_MAX || p->text_len > UINT32_MAX || payload(p) > (uint64_t)SC_BLOCK * r->nblocks ||
        blocks_of(p) > r->nblocks)
        return SC_ETOOBIG;
    return SC_OK;
}

static bool has_room(const sc_region *r, uint32_t blocks, uint32_t slots) {
    const sc_state *s = &r->h->state;
    return SC_LOAD(&s->entries) + slots <= r->max_entries && SC_LOAD(&s->free_blocks) >= blocks;
}

/* Values of entries and those of prefixes share the blocks: prefixes give way when they have more than half. */
static bool victim_goes(sc_cache *c, uint32_t slots) {
    const sc_state *s = &c->r.h->state;
    bool full = SC_LOAD(&s->entries) + slots > c->r.max_entries; /* of slots: prefixes have none */
    if (!full && c->r.h->prefix.mark_blocks > c->r.nblocks / 2 && sc_mark_oldest(&c->r)) return true;
    uint32_t victim = sc_victim(&c->r, c->policy);
    if (victim == SC_NIL) return sc_mark_oldest(&c->r);
    evict_one(c, victim);
    return true;
}

int sc_engine_room(sc_cache *c, uint32_t blocks, uint32_t slots, int64_t now) {
    if (has_room(&c->r, blocks, slots)) return SC_OK;
    sc_wheel_advance(&c->r, now, true, expire_one);
    while (!has_room(&c->r, blocks, slots))
        if (!victim_goes(c, slots)) return SC_EREGION; /* nothing is live and still no room: damaged */
    return SC_OK;
}

static bool write_payload(sc_region *r, sc_entry *e, const sc_put *p) {
    e->block = sc_blocks_take(r, sc_blocks_for(payload(p)));
    e->tag_block = sc_blocks_take(r, sc_tag_blocks(p->ntags));
    if ((payload(p) && e->block == SC_NIL) || (p->ntags && e->tag_block == SC_NIL)) return false;
    sc_cursor at = {e->block, 0};
    return sc_chain_write(r, &at, p->value, p->value_len) && sc_chain_write(r, &at, p->text, e->text_len) &&
           sc_chain_write(r, &at, p->tags, 8u * p->ntags);
}

static int write_entry(sc_region *r, uint32_t slot, const sc_put *p, const sc_entry *sums, int64_t now) {
    sc_entry *e = &r->entries[slot];
    sc_entry_begin(r, slot);
    e->value_sum = sums->value_sum;
    e->text_sum = sums->text_sum;
    e->key[0] = sums->key[0];
    e->key[1] = sums->key[1];
    e->part = p->part;
    e->created = p->as ? p->as->created : now;
    e->expires = p->expires;
    e->text_len = p->keep_text ? (uint32_t)p->text_len : 0;
    e->value_len = (uint32_t)p->value_len;
    e->sliding_ms = p->sliding_ms;
    e->saving = p->saving;
    e->text_kind = p->text_kind;
    e->value_kind = p->value_kind;
    e->has_vector = p->vector != NULL;
    e->ntags = (uint8_t)p->ntags;
    e->vector_sum = 0;
    if (!write_payload(r, e, p)) {
        sc_entry_free(r, slot);
        return SC_EREGION;
    }
    if (p->vector) {
        sc_codes_store(r, slot, p->vector, p->as != NULL);
        e->vector_sum = sc_vector_sum(r, slot);
    }
    e->sum = sc_entry_sum(r, e);
    sc_entry_commit(r, slot);
    return SC_OK;
}

/* What a hit spares, in tokens or their equal: 1e-6 of cost, or four bytes of the answer. */
static int8_t density_of(const sc_put *p) {
    double saving = p->saving.cost > 0 ? p->saving.cost * 1e6 : p->saving.tokens > 0 ? p->saving.tokens
                                                              : p->value_len / 4.0;
    double bytes = (double)SC_BLOCK * blocks_of(p) + sizeof(sc_entry);
    return sc_density(saving > 0.25 ? saving : 0.25, bytes);
}

/* The hit count that a new entry starts with: what its key had before, where the policy keeps that. */
static uint16_t count_of(sc_cache *c, const sc_put *p, uint64_t key) {
    if (p->as) return p->as->count;
    if (c->policy != SC_POLICY_VALUE) return 0;
    sc_sketch_age(&c->r);
    sc_sketch_count(&c->r, key);
    return sc_hot_from(sc_sketch_estimate(&c->r, key));
}

static int put_locked(sc_cache *c, const sc_put *p, const sc_entry *sums, int64_t now, uint64_t *id) {
    sc_region *r = &c->r;
    sc_entry found;
    sc_wheel_advance(r, now, false, expire_one);
    uint32_t old = sc_engine_find(r, sums->key, &found);
    if (old != SC_NIL && !sc_entry_alive(&found, now)) {
        expire_one(r, old);
        old = SC_NIL;
    }
    uint16_t count = old == SC_NIL ? count_of(c, p, sums->key[1]) : sc_hot_count(r, old);
    if (old != SC_NIL && !has_room(r, blocks_of(p), 1)) {
        sc_engine_remove(r, old); /* no room for both */
        old = SC_NIL;
    }
    int rc = sc_engine_room(c, blocks_of(p), 1, now);
    uint32_t slot = rc == SC_OK ? sc_slot_take(r) : SC_NIL;
    if (slot == SC_NIL) return SC_EREGION;
    sc_hot_new(r, slot, count, density_of(p));
    rc = write_entry(r, slot, p, sums, now);
    if (rc != SC_OK) return rc;
    if (sc_engine_index(r, slot, p->tags) != SC_OK) r->suspect = true; /* committed: recovery indexes it */
    if (old != SC_NIL) sc_engine_remove(r, old); /* after: readers never see the key gone */
    *id = ((uint64_t)SC_LOAD(&r->entries[slot].seq) << 32) | slot;
    return SC_OK;
}

int sc_put_entry(sc_cache *c, const sc_put *p, int64_t now, uint64_t *id) {
    const sc_region *r = &c->r;
    int rc = check_put(r, p);
    if (rc != SC_OK) return rc;
    sc_entry sums = {.value_sum = sc_checksum(r, p->value, p->value_len),
                     .text_sum = sc_text_sum(r, p->text, p->keep_text ? p->text_len : 0, p->tags, p->ntags)};
    if (p->as) memcpy(sums.key, p->as->key, sizeof sums.key);
    else sc_key(r, p->part, p->text, p->text_len, p->text_kind, sums.key);
    rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    rc = put_locked(c, p, &sums, now, id);
    if (rc == SC_EREGION) { /* the indexes are damaged: made anew, there is room */
        c->r.suspect = true;
        rc = sc_engine_settle(c);
        if (rc == SC_OK) rc = put_locked(c, p, &sums, now, id);
    }
    sc_engine_unlock(c);
    if (sc_region_lost(r)) return SC_ELOST;
    if (rc == SC_OK && !p->as) sc_count(&c->r, SC_PUTS, 1);
    return rc;
}

/* ---- delete, invalidate, clear, expire ---- */

static void delete_one(sc_region *r, uint32_t slot) {
    sc_count(r, SC_DELETIONS, 1);
    sc_engine_remove(r, slot);
}

/* A live slot, or SC_NIL; what has expired goes, but was not there. */
static int delete_slot(sc_region *r, uint32_t slot, int64_t now) {
    if (slot == SC_NIL) return SC_ENOTFOUND;
    if (!sc_entry_alive(&r->entries[slot], now)) {
        expire_one(r, slot);
        return SC_ENOTFOUND;
    }
    delete_one(r, slot);
    return SC_OK;
}

int sc_delete(sc_cache *c, uint64_t id, int64_t now) {
    uint32_t slot = (uint32_t)id;
    if (slot >= sc_slot_high(&c->r)) return SC_ENOTFOUND;
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    uint32_t seq = sc_entry_seq(&c->r, slot);
    bool there = sc_is_live(seq) && seq == (uint32_t)(id >> 32);
    rc = delete_slot(&c->r, there ? slot : SC_NIL, now);
    sc_engine_unlock(c);
    return rc;
}

int sc_delete_text(sc_cache *c, sc_part part, const void *text, size_t len, uint8_t kind, int64_t now) {
    uint64_t key[2];
    sc_entry e;
    sc_key(&c->r, part, text, len, kind, key);
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    rc = delete_slot(&c->r, sc_engine_find(&c->r, key, &e), now);
    sc_engine_unlock(c);
    return rc;
}

int sc_invalidate(sc_cache *c, uint64_t tag, uint64_t *n) {
    *n = 0;
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    do { /* again when a damaged entry stood in the way of the others */
        uint32_t slot;
        while ((slot = sc_tags_first(&c->r, tag)) != SC_NIL && sc_slot_ok(&c->r, slot) &&
               sc_entry_live(&c->r, slot) && !c->r.suspect) {
            delete_one(&c->r, slot);
            ++*n;
        }
    } while (c->r.suspect && (rc = sc_engine_settle(c)) == SC_OK);
    sc_engine_unlock(c);
    return rc;
}

int sc_clear(sc_cache *c, const sc_part *ns, uint64_t *n) {
    *n = 0;
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    for (uint32_t slot = 0; slot < sc_slot_high(&c->r); slot++) {
        if (!sc_entry_live(&c->r, slot)) continue;
        if (ns && c->r.entries[slot].part.ns != ns->ns) continue;
        delete_one(&c->r, slot);
        ++*n;
    }
    sc_engine_unlock(c);
    return SC_OK;
}

int sc_expire(sc_cache *c, int64_t now, uint64_t *n) {
    *n = 0;
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    *n = sc_wheel_advance(&c->r, now, true, expire_one);
    sc_engine_unlock(c);
    return SC_OK;
}
