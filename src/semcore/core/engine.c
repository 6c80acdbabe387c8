/* The engine: composes region, exact, partition, tags, semantic and eviction. Opening, locking,
 * and the one way in and the one way out of the indexes. */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "eviction/policy.h"
#include "eviction/wheel.h"
#include "exact/xxh3.h"
#include "region/partition.h"
#include "region/platform.h"
#include "semantic/lanes.h"
#include "tags/tags.h"

int64_t sc_now(void) { return sc_os_now(); }

static void at_work(sc_region *r, bool yes) {
    uint32_t odd = SC_LOAD(&r->h->writing) | 1;
    SC_STORE_REL(&r->h->writing, yes ? odd : odd + 1);
    atomic_thread_fence(memory_order_release); /* before, and after, whatever the writer changes */
}

/* rc: of sc_lock. */
static int begin(sc_cache *c, int rc) {
    sc_region *r = &c->r;
    if (rc < 0) return rc;
    if (rc == SC_OWNER_DIED || sc_region_at_work(r)) r->suspect = true;
    at_work(r, true);
    rc = sc_engine_settle(c);
    if (rc != SC_OK) sc_unlock(r);
    return rc;
}

int sc_engine_lock(sc_cache *c) { return c->r.read_only ? SC_EREADONLY : begin(c, sc_lock(&c->r)); }

int sc_engine_try_lock(sc_cache *c) { return c->r.read_only ? SC_EREADONLY : begin(c, sc_try_lock(&c->r)); }

void sc_engine_unlock(sc_cache *c) {
    if (sc_engine_settle(c) == SC_OK) at_work(&c->r, false); /* else the next owner of the lock tries again */
    sc_unlock(&c->r);
}

int sc_engine_settle(sc_cache *c) {
    if (!c->r.suspect) return SC_OK;
    int rc = sc_engine_recover(c);
    if (rc == SC_OK) c->r.suspect = false;
    return rc;
}

/* ---- life ---- */

static int check_options(const sc_options *o, char *why, size_t n) {
    if (o->dim > SC_MAX_DIM) snprintf(why, n, "dim: %u is over %d", o->dim, SC_MAX_DIM);
    else if (o->storage > SC_I8) snprintf(why, n, "storage: %u is not a vector storage", o->storage);
    else if (o->threads > SC_MAX_THREADS) snprintf(why, n, "threads: expected at most %d, got %u", SC_MAX_THREADS, o->threads);
    else if (!(o->recall >= 0 && o->recall <= 1)) snprintf(why, n, "recall: expected 0 to 1, got %g", (double)o->recall);
    else if (!sc_prefix_possible(o->prefix_blocks, o->prefix_block, o->prefix_group, o->prefix_hash))
        snprintf(why, n, "prefix: %u blocks of %u tokens in groups of %u are out of range", o->prefix_blocks, o->prefix_block,
                 o->prefix_group);
    else if (o->policy > SC_POLICY_LFU) snprintf(why, n, "policy: %u is not a policy", o->policy);
    else if (o->max_entries > SC_MAX_ENTRIES) snprintf(why, n, "max_entries: %u is over 2^30", o->max_entries);
    else if (o->fingerprint && strlen(o->fingerprint) >= SC_FINGERPRINT)
        snprintf(why, n, "fingerprint: over %d bytes", SC_FINGERPRINT - 1);
    else return SC_OK;
    return SC_EARG;
}

static int recover_alone(sc_cache *c) {
    at_work(&c->r, true);
    int rc = sc_engine_recover(c);
    if (rc == SC_OK) at_work(&c->r, false);
    return rc;
}

static int failed(int rc, const char *path, const char *what, char *why, size_t n) {
    snprintf(why, n, "%s: %s", path, what);
    return rc;
}

#define OTHERS "is open in another container (PID namespace) or by a program of another C library, with which its lock " \
    "cannot be shared: let them share a PID namespace, or give each a file of its own"

/* Whoever opens a file alone makes its lock, checks it, and says that it is in use. */
static int adopt(sc_cache *c, const char *path, char *why, size_t n) {
    sc_region *r = &c->r;
    if (!r->alone) return sc_region_kin(r) ? SC_OK : failed(SC_EUNSUPPORTED, path, OTHERS, why, n);
    int rc = sc_lock_init(r);
    if (rc != SC_OK) return failed(rc, path, "cannot make the writers' lock", why, n);
    if (!r->created && !sc_region_sound(r) && recover_alone(c) != SC_OK)
        return failed(SC_ENOMEM, path, "not enough memory to recover it", why, n);
    sc_region_mark_open(r);
    sc_os_share(r->fd);
    return sc_region_still_there(r, path) ? SC_OK : SC_EMOVED; /* replaced while the lock went from one to the other */
}

/* A reader leaves no trace: neither does it recover, nor keep a lock that would tell the next opener that
 * somebody looks after the file. */
static int adopt_read_only(sc_cache *c, const char *path, char *why, size_t n) {
    bool sound = !sc_os_try_alone(c->r.fd) || sc_region_sound(&c->r);
    sc_os_release(c->r.fd);
    return sound ? SC_OK : failed(SC_EREGION, path, "has to be recovered first (its writer was killed, or it is a copy of a file "
                                  "in use): open it for writing, or run `semcore verify` on it", why, n);
}

static int open_once(const sc_options *o, sc_cache *c, char *why, size_t n) {
    int rc = sc_region_open(o, &c->r, why, n);
    if (rc != SC_OK || !o->path) return rc;
    rc = o->read_only ? adopt_read_only(c, o->path, why, n) : adopt(c, o->path, why, n);
    if (rc != SC_OK) sc_region_close(&c->r);
    return rc;
}

int sc_open(const sc_options *o, sc_cache **out, char *why, size_t why_len) {
    int rc = check_options(o, why, why_len);
    if (rc != SC_OK) return rc;
    sc_cache *c = calloc(1, sizeof *c);
    if (!c) return SC_ENOMEM;
    c->policy = (int)o->policy;
    c->threads = o->threads ? o->threads : 1;
    c->recall = o->recall;
    c->prefix_policy = o->policy == SC_POLICY_LFU ? SC_POLICY_LFU : SC_POLICY_LRU;
    for (int tries = 0; tries < 100 && (rc = open_once(o, c, why, why_len)) == SC_EMOVED; tries++) {}
    if (rc == SC_EMOVED) rc = failed(SC_EREGION, o->path, "is replaced again and again", why, why_len);
    if (rc != SC_OK) free(c);
    else *out = c;
    return rc;
}

void sc_close(sc_cache *c) {
    if (c->r.file && !c->r.read_only && !sc_region_lost(&c->r) && sc_os_try_alone(c->r.fd)) {
        sc_region_mark_clean(&c->r);
        sc_os_share(c->r.fd); /* a forked relative may hold the same lock and go on */
    }
    sc_region_close(&c->r);
    free(c);
}

/* A file's mutex is shared, and held by a thread of the parent that will let go of it. */
void sc_forked(sc_cache *c) {
    if (c->r.file) sc_os_reopen(c->r.fd, c->r.read_only);
    else sc_lock_init(&c->r);
}

int sc_flush(sc_cache *c) { return sc_region_flush(&c->r); }
bool sc_lost(const sc_cache *c) { return sc_region_lost(&c->r); }
bool sc_exclusive(sc_cache *c, const char *path) {
    if (!c->r.file || c->r.read_only) return false;
    if (sc_os_try_alone(c->r.fd)) return sc_region_still_there(&c->r, path);
    sc_os_share(c->r.fd);
    return false;
}
void sc_describe(const sc_cache *c, sc_options *o, char *fingerprint) {
    const sc_region *r = &c->r;
    *o = (sc_options){.dim = r->dim, .storage = r->storage, .max_entries = r->max_entries, .max_bytes = r->max_bytes,
                        .prefix_blocks = r->prefix.blocks, .prefix_block = r->prefix.block, .prefix_group = r->prefix.group,
                        .prefix_hash = r->prefix.hash, .prefix_seed = r->prefix.seed};
    memcpy(fingerprint, r->h->fingerprint, SC_FINGERPRINT);
}

int sc_repair(sc_cache *c) {
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    c->r.suspect = true;
    rc = sc_engine_settle(c);
    sc_engine_unlock(c);
    return rc;
}

void sc_secret(const sc_cache *c, uint8_t out[SC_SECRET]) { memcpy(out, c->r.h->secret, SC_SECRET); }

int sc_peek(const char *path, sc_options *o, char *fingerprint, int *recovering, char *why, size_t n) {
    return sc_region_peek(path, o, fingerprint, recovering, why, n);
}

/* ---- keys ---- */

/* XXH3-128 of two length-prefixed strings. Short ones, which is nearly all, are joined on the stack. */
static sc_hash128 hash_pair(const sc_region *r, const void *a, uint64_t a_len, const void *b, uint64_t b_len) {
    uint8_t small[512], *joined = small;
    size_t total = 16 + (size_t)a_len + (size_t)b_len;
    if (total > sizeof small && !(joined = malloc(total))) { /* hash the parts' hashes instead of failing */
        sc_hash128 parts[2] = {sc_xxh3(a, a_len, r->h->secret, 0), sc_xxh3(b, b_len, r->h->secret, 0)};
        return sc_xxh3(parts, sizeof parts, r->h->secret, 0);
    }
    memcpy(joined, &a_len, 8);
    memcpy(joined + 8, &b_len, 8);
    if (a_len) memcpy(joined + 16, a, a_len);
    if (b_len) memcpy(joined + 16 + a_len, b, b_len);
    sc_hash128 h = sc_xxh3(joined, total, r->h->secret, 0);
    if (joined != small) free(joined);
    return h;
}

sc_part sc_partition(const sc_cache *c, const void *ns, size_t ns_len, const void *ctx, size_t ctx_len) {
    uint64_t tenant = hash_pair(&c->r, "namespace", 9, ns, ns_len).low;
    return (sc_part){tenant, hash_pair(&c->r, ns, ns_len, ctx, ctx_len).low};
}

uint64_t sc_tag(const sc_cache *c, sc_part part, const void *name, size_t len) {
    return hash_pair(&c->r, &part.ns, 8, name, len).low;
}

void sc_key(const sc_region *r, sc_part part, const void *text, size_t len, uint8_t kind, uint64_t key[2]) {
    uint8_t head[sizeof part + 1];
    memcpy(head, &part, sizeof part);
    head[sizeof part] = kind;
    sc_hash128 h = hash_pair(r, head, sizeof head, text, len);
    key[0] = h.low;
    key[1] = h.high;
}

/* ---- into and out of the indexes ---- */

uint32_t sc_engine_find(const sc_region *r, const uint64_t key[2], sc_entry *out) {
    for (int tries = 0; tries < 16; tries++) {
        uint32_t moves = SC_LOAD_ACQ(r->exact.moves);
        for (sc_probe p = sc_table_probe(&r->exact, sc_key_tag(key)); sc_probe_next(&r->exact, &p);) {
            if (!sc_slot_ok(r, p.number)) continue;
            SC_PREFETCH(&r->hot[p.number]);
            if (!sc_entry_snapshot(r, p.number, out)) continue;
            if (out->key[0] == key[0] && out->key[1] == key[1]) return p.number;
        }
        atomic_thread_fence(memory_order_acquire);
        if ((moves & 1) == 0 && SC_LOAD(r->exact.moves) == moves) break;
    }
    return SC_NIL;
}

int sc_engine_index(sc_region *r, uint32_t slot, const uint64_t *tags) {
    sc_entry *e = &r->entries[slot];
    int rc = sc_table_insert(&r->exact, sc_key_tag(e->key), slot);
    if (rc == SC_OK) rc = sc_part_link(r, slot);
    if (rc != SC_OK) return rc;
    sc_tags_link(r, slot, tags, e->ntags);
    sc_wheel_link(r, slot);
    SC_BUMP(&r->h->state.entries, 1);
    return SC_OK;
}

/* May the record be believed when it names the blocks, tags and partition to take it out of? */
static bool believable(const sc_region *r, uint32_t slot) {
    const sc_entry *e = &r->entries[slot];
    return !r->file || (e->sum == sc_entry_sum(r, e) && sc_tags_owned(r, slot, e->ntags));
}

void sc_engine_remove(sc_region *r, uint32_t slot) {
    sc_entry *e = &r->entries[slot];
    if (!believable(r, slot)) {
        sc_entry_free(r, slot);
        sc_count(r, SC_DAMAGED, 1);
        r->suspect = true;
        return;
    }
    sc_lane_drop(r, slot);
    sc_table_remove(&r->exact, sc_key_tag(e->key), slot);
    sc_part_unlink(r, slot);
    sc_tags_unlink(r, slot, e->ntags);
    sc_wheel_unlink(r, slot);
    sc_entry_free(r, slot);
    sc_blocks_give(r, e->block);
    sc_blocks_give(r, e->tag_block);
    sc_slot_give(r, slot);
    SC_BUMP(&r->h->state.entries, -1u);
}

bool sc_engine_drop_damaged(sc_cache *c, uint32_t slot) {
    if (sc_engine_lock(c) != SC_OK) return false;
    if (sc_entry_live(&c->r, slot) && !sc_entry_whole(&c->r, slot)) {
        /* What its record says of its place cannot be trusted: only recovery removes it safely. */
        sc_entry_free(&c->r, slot);
        sc_count(&c->r, SC_DAMAGED, 1);
        c->r.suspect = true;
    }
    sc_engine_unlock(c);
    return true;
}
