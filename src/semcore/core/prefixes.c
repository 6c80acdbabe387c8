/* The prefix index as callers see it: hashing and searching without the lock, everything else under it. */
#include <stdlib.h>

#include "engine.h"
#include "eviction/policy.h"
#include "prefix/prefix.h"
#include "region/platform.h"

#define GLANCES 4   /* of a reader that cannot lock, while writers are at work; */
#define PATIENCE 200 /* if it may wait: a pause before each */
#define RETRIES 8 /* a prompt whose end moved between search and lock; then the search is done under it */

sc_hash128 sc_prefix_root(const sc_cache *c, const void *ns, size_t len) { return sc_chain_root(&c->r, ns, len); }

sc_hash128 sc_prefix_unit(const sc_cache *c, sc_hash128 before, const void *head, size_t head_len, const void *text, size_t len) {
    return sc_chain_unit(&c->r, before, head, head_len, text, len);
}

sc_hash128 sc_prefix_key(const sc_cache *c, sc_hash128 root, uint64_t hash) { return sc_chain_key(&c->r, root, hash); }

void sc_prefix_roll(const sc_cache *c, const void *data, uint32_t blocks, uint64_t *out) {
    const sc_prefix *x = &c->r.prefix;
    size_t bytes = (size_t)4 * x->block;
    for (uint32_t i = 0; i < blocks; i++) {
        uint64_t local = sc_rolling_hash((const uint8_t *)data + bytes * i, bytes, x->seed);
        uint64_t both[2] = {i ? out[i - 1] : local, local};
        out[i] = i ? sc_rolling_hash(both, sizeof both, x->seed) : local;
    }
}

/* ---- match ---- */

/* Under the lock: where the prompt ends now, which is not always where the search saw it end. */
static int settle_end(sc_region *r, sc_prompt *p, uint32_t depth, sc_spot *at) {
    sc_hash128 key;
    *at = SC_FRONT;
    for (bool again = false;; again = true) {
        if (depth == 0) return SC_OK;
        if (sc_prompt_key(r, p, depth - 1, &key) != SC_OK) return SC_EARG;
        *at = sc_spot_at(r, key, depth);
        if (at->run != SC_NIL) return SC_OK;
        if (again || r->suspect) return SC_EREGION; /* the search under the lock saw it */
        if (sc_seek(r, p, &depth) != SC_OK) return SC_EARG;
    }
}

typedef struct wanted { int64_t now; void *to; size_t room; uint32_t *scores, replicas; } wanted;

/* Of the prompt's own block, by its hash: a run's parent, or the run of a line, may be damaged. */
static int found_value(sc_region *r, sc_prompt *p, sc_spot at, const wanted *w, sc_match *out) {
    sc_mark m;
    sc_hash128 key;
    uint32_t mark = sc_mark_find(r, at, w->now, &m);
    if (mark == SC_NIL) return SC_OK;
    if (sc_prompt_key(r, p, m.depth - 1, &key) != SC_OK) return SC_EARG;
    if (m.tag != sc_mark_tag(sc_tag_of(key)) || !sc_mark_sound(r, &m) || (m.len <= w->room && !sc_mark_read(r, &m, w->to))) {
        if (!r->read_only) sc_count(r, SC_DAMAGED, 1);
        r->suspect = true;
        return SC_OK;
    }
    if (!r->read_only) r->prefix.marks[mark].used = 1;
    out->value_at = m.depth, out->value_len = m.len, out->value_kind = m.kind;
    return SC_OK;
}

/* Where the prompt ends, and what hangs on it: at->run is SC_NIL if it is not there. What is damaged is a miss. */
static int look(sc_region *r, sc_prompt *p, uint32_t depth, const wanted *w, sc_match *out, sc_spot *at) {
    *out = (sc_match){0};
    if (w->scores) memset(w->scores, 0, 4 * (size_t)w->replicas);
    int rc = settle_end(r, p, depth, at);
    if (rc == SC_EREGION) r->suspect = true, rc = SC_OK;
    if (rc != SC_OK || at->run == SC_NIL) return rc;
    out->blocks = at->depth;
    if (w->scores) sc_hold_scores(r, *at, w->scores, w->replicas);
    return found_value(r, p, *at, w, out);
}

/* A handle that may not write cannot lock: it believes what it saw while no writer was at work, and misses if there is never
 * such a moment (a recovery, or a writer that died). */
static int look_unlocked(const sc_cache *c, sc_prompt *p, uint32_t depth, bool wait, const wanted *w, sc_match *out) {
    sc_spot at;
    uint32_t writing;
    for (int tries = 0; tries < (wait ? PATIENCE : GLANCES); tries++) {
        if (wait && tries) sc_os_pause();
        sc_region view = c->r; /* `suspect` is this look's own */
        if (!sc_region_still(&view, &writing)) continue;
        int rc = look(&view, p, depth, w, out, &at);
        if (sc_region_was_still(&view, writing)) return rc;
    }
    *out = (sc_match){0};
    if (w->scores) memset(w->scores, 0, 4 * (size_t)w->replicas);
    return wait ? SC_OK : SC_EBUSY;
}

static int lock(sc_cache *c, bool wait) { return wait ? sc_engine_lock(c) : sc_engine_try_lock(c); }

int sc_prefix_match(sc_cache *c, sc_prompt *p, bool touch, bool wait, int64_t now, void *to, size_t room,
                    uint32_t *scores, uint32_t replicas, sc_match *out) {
    sc_region *r = &c->r;
    const wanted w = {now, to, room, scores, replicas};
    uint32_t depth;
    sc_spot at;
    *out = (sc_match){0};
    if (scores) memset(scores, 0, 4 * (size_t)replicas);
    if (sc_seek(r, p, &depth) != SC_OK) return SC_EARG;
    if (depth == 0) return SC_OK;
    if (r->read_only) return look_unlocked(c, p, depth, wait, &w, out);
    int rc = lock(c, wait);
    if (rc != SC_OK) return rc;
    rc = look(r, p, depth, &w, out, &at);
    if (touch && at.run != SC_NIL) {
        r->h->prefix.tick++;
        sc_spot_touch(r, c->prefix_policy, at);
    }
    sc_engine_unlock(c);
    return rc;
}

/* ---- insert ---- */

/* n value blocks as a chain: of free ones, else of values that were not used, else of entries. */
static int value_blocks(sc_cache *c, uint32_t n, int64_t now, uint32_t *head) {
    int rc = sc_engine_room(c, n, 0, now);
    if (rc != SC_OK) return rc;
    *head = sc_blocks_take(&c->r, n);
    return n && *head == SC_NIL ? SC_EREGION : SC_OK;
}

int sc_prefix_attach(sc_cache *c, sc_spot at, const sc_attach *what, int64_t now, uint32_t sum) {
    uint32_t block, n = sc_blocks_for(what->value_len);
    int rc = value_blocks(c, n, now, &block);
    if (rc == SC_OK) rc = sc_mark_put(&c->r, at, block, what, sum);
    return rc;
}

/* Skips what is there meanwhile. */
static sc_spot pass_present(sc_region *r, sc_spot at, const sc_hash128 **keys, uint32_t *n) {
    for (; *n > 0; ++*keys, --*n) {
        sc_spot next = sc_spot_at(r, **keys, at.depth + 1);
        if (next.run == SC_NIL) break;
        at = next;
    }
    return at;
}

/* Under the lock: n blocks behind `at`, as many as there is room for. */
static sc_spot grow(sc_cache *c, sc_spot at, const sc_hash128 *keys, uint32_t n) {
    sc_region *r = &c->r;
    sc_prefix *x = &r->prefix;
    at = pass_present(r, at, &keys, &n);
    r->h->prefix.tick++;
    if (at.run != SC_NIL) sc_spot_touch(r, c->prefix_policy, at);
    if (n == 0) return at;
    if (r->h->prefix.blocks > x->blocks) r->suspect = true;
    if (r->suspect) return at;
    uint32_t room = x->blocks - r->h->prefix.blocks;
    if (n > room) room += sc_prefix_evict(r, c->prefix_policy, n - room, at);
    if (n > room) n = room;
    uint32_t run = at.run;
    bool extends = run != SC_NIL && sc_run_end(&x->runs[run]) == at.depth;
    if (n == 0 || r->suspect) return at;
    if (!extends) {
        if (!sc_prefix_free_run(r, c->prefix_policy, at)) return at;
        run = sc_run_new(r, at.run, at.depth);
        if (run == SC_NIL) return at;
    }
    uint32_t done = sc_run_grow(r, run, at.slot, keys, n, sc_stamp_next(r, c->prefix_policy, 0));
    if (!extends) sc_run_link(r, run);
    if (x->runs[run].length == 0) {
        sc_run_cut(r, run, x->runs[run].start);
        return at;
    }
    sc_run_settle(r, run);
    if (!extends && at.run != SC_NIL) sc_run_settle(r, at.run);
    return done ? (sc_spot){run, x->runs[run].tail, at.depth + done} : at;
}

static int insert_locked(sc_cache *c, sc_prompt *p, sc_spot at, const sc_hash128 *keys, const sc_attach *what,
                         int64_t now, uint32_t sum, sc_inserted *out) {
    out->known = at.depth;
    at = grow(c, at, keys, p->blocks - at.depth);
    out->blocks = at.depth;
    if (at.depth < p->blocks) return SC_OK;
    if (what->replica != SC_NIL) sc_hold(&c->r, at, what->replica);
    if (!what->value) return SC_OK;
    int rc = sc_prefix_attach(c, at, what, now, sum);
    out->stored = rc == SC_OK;
    return rc;
}

/* Hashes what is new before it takes the lock; again if what it goes on from went meanwhile. */
static int insert_from(sc_cache *c, sc_prompt *p, uint32_t depth, const sc_attach *what, int64_t now, uint32_t sum,
                       sc_inserted *out) {
    sc_hash128 *keys = malloc(sizeof *keys * (size_t)(p->blocks - depth + 1)), key;
    int rc = keys ? sc_chain_keys(&c->r, p, depth, p->blocks, keys) : SC_ENOMEM;
    if (rc == SC_OK && depth) rc = sc_prompt_key(&c->r, p, depth - 1, &key);
    if (rc == SC_OK) rc = sc_engine_lock(c);
    if (rc == SC_OK) {
        sc_spot at = depth ? sc_spot_at(&c->r, key, depth) : SC_FRONT;
        if (depth && at.run == SC_NIL) rc = SC_EMOVED;
        else rc = insert_locked(c, p, at, keys, what, now, sum, out);
        if (rc == SC_EREGION) c->r.suspect = true;
        sc_engine_unlock(c);
    }
    free(keys);
    return rc;
}

int sc_prefix_insert(sc_cache *c, sc_prompt *p, const sc_attach *what, int64_t now, sc_inserted *out) {
    const sc_region *r = &c->r;
    *out = (sc_inserted){0};
    if (r->read_only) return SC_EREADONLY;
    if (what->value && (what->value_len > UINT32_MAX || sc_blocks_for(what->value_len) > r->nblocks)) return SC_ETOOBIG;
    uint32_t sum = what->value ? sc_checksum(r, what->value, what->value_len) : 0, depth;
    int rc = SC_EMOVED;
    for (int tries = 0; rc == SC_EMOVED && tries < RETRIES; tries++) {
        if (sc_seek(r, p, &depth) != SC_OK) return SC_EARG;
        rc = insert_from(c, p, depth, what, now, sum, out);
    }
    if (rc == SC_EMOVED) rc = insert_from(c, p, 0, what, now, sum, out);
    return sc_region_lost(r) ? SC_ELOST : rc;
}

/* ---- pins and replicas ---- */

int sc_prefix_pin(sc_cache *c, sc_prompt *p, bool pin, uint32_t *blocks) {
    sc_region *r = &c->r;
    sc_spot at;
    *blocks = 0;
    if (sc_seek(r, p, blocks) != SC_OK) return SC_EARG;
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    rc = settle_end(r, p, *blocks, &at);
    if (rc == SC_EREGION) r->suspect = true, rc = SC_OK; /* what is damaged is a miss */
    *blocks = at.depth;
    if (rc == SC_OK && at.run != SC_NIL) {
        if (!pin) *blocks = sc_pin_remove(r, at);
        else if (!sc_pin_add(r, at, 1)) rc = SC_ETOOBIG;
    }
    sc_engine_unlock(c);
    return rc;
}

int sc_prefix_forget(sc_cache *c, uint32_t replica, uint64_t *runs) {
    *runs = 0;
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    *runs = sc_hold_forget(&c->r, replica);
    sc_engine_unlock(c);
    return SC_OK;
}

int sc_prefix_stored(sc_cache *c, const sc_hash128 *after, const sc_hash128 *keys, uint32_t n, uint32_t replica) {
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    sc_spot at = after ? sc_spot_find(&c->r, *after) : SC_FRONT;
    if (after && at.run == SC_NIL) rc = SC_ENOTFOUND;
    else if ((at = grow(c, at, keys, n)).run != SC_NIL) sc_hold(&c->r, at, replica);
    sc_engine_unlock(c);
    return rc;
}

int sc_prefix_removed(sc_cache *c, const sc_hash128 *keys, uint32_t n, uint32_t replica) {
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    for (uint32_t i = 0; i < n && !c->r.suspect; i++) {
        sc_spot at = sc_spot_find(&c->r, keys[i]);
        if (at.run != SC_NIL) sc_hold_drop(&c->r, at.run, replica, at.depth - 1);
    }
    sc_engine_unlock(c);
    return SC_OK;
}

int sc_prefix_clear(sc_cache *c) {
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    for (uint32_t i = 0; i < c->r.h->prefix.mark_high && i < c->r.prefix.nmarks && !c->r.suspect; i++)
        if (c->r.prefix.marks[i].run != SC_NIL) sc_mark_drop(&c->r, i);
    sc_prefix_reset(&c->r);
    sc_engine_unlock(c);
    return SC_OK;
}

/* ---- inspection ---- */

void sc_prefix_stats_get(sc_cache *c, sc_prefix_stats *out) {
    const sc_prefix *x = &c->r.prefix;
    const sc_prefix_state *s = &c->r.h->prefix;
    *out = (sc_prefix_stats){
        .blocks = s->blocks, .max_blocks = x->blocks, .runs = s->runs, .max_runs = x->nruns, .values = s->marks,
        .value_blocks = s->mark_blocks, .pins = s->pins, .notes = s->notes, .max_notes = x->nnotes, .lost = s->lost,
        .evicted = s->evicted,
        .bytes = (size_t)x->nlines * (sizeof(sc_line) + 1) + (size_t)x->nruns * (sizeof(sc_run) + 4) +
                 (size_t)x->nnotes * sizeof(sc_note) + (size_t)x->nmarks * sizeof(sc_mark)};
}
