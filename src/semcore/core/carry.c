/* Runs of the prefix index, out of one region and into another with the same secret and as many blocks of prefixes.
 *
 * The table keeps 96 bits of a block's hash: its tag, and the line that it belongs to, which says the rest in a table of as many lines.
 * A run names the block in front of it by its hash, not by its run's number: while others write, numbers change hands. It is read
 * without the lock, at a moment when no writer is at work. What replicas hold is not carried: it is theirs to say. */
#include <stdlib.h>

#include "engine.h"
#include "prefix/prefix.h"
#include "region/platform.h"

#define PATIENCE 200 /* times that a run is read until no writer was at work meanwhile */

/* ---- out ---- */

void sc_carry_clock(const sc_cache *c, uint64_t out[3]) {
    const sc_prefix_state *s = &c->r.h->prefix;
    out[0] = s->tick, out[1] = s->age, out[2] = s->evicted;
}

uint32_t sc_carry_runs(const sc_cache *c) {
    uint32_t high = sc_once(&c->r.h->prefix.run_high);
    return high < c->r.prefix.nruns ? high : c->r.prefix.nruns;
}

uint32_t sc_carry_start(const sc_cache *c, uint32_t run) {
    const sc_run *u = &c->r.prefix.runs[run];
    return sc_once(&u->length) ? sc_once(&u->start) : SC_NIL;
}

void sc_carried_free(sc_carried *run) {
    free(run->keys), free(run->steps.at), free(run->pins.at), free(run->values), free(run->bytes);
    *run = (sc_carried){0};
}

/* From the last block to the first; then the slot leads to the block in front of them. */
static int take_keys(const sc_region *r, uint32_t run, uint32_t slot, sc_carried *out) {
    const sc_prefix *x = &r->prefix;
    out->keys = malloc(sizeof *out->keys * (size_t)out->length);
    if (!out->keys) return SC_ENOMEM;
    for (uint32_t i = out->length; i-- > 0; slot = sc_line_prev(x, slot)) {
        if (slot >= sc_line_slots(x) || sc_line_run(x, slot) != run) return SC_ENOTFOUND;
        out->keys[i] = sc_line_key(x, slot);
    }
    if (out->start == 0) return SC_OK;
    if (slot >= sc_line_slots(x)) return SC_ENOTFOUND;
    out->after = sc_line_key(x, slot);
    return SC_OK;
}

/* Room for one more element behind n, twice as much each time; NULL: there is none, and what was there stays. */
static void *more_room(void *at, uint32_t n, size_t size) {
    bool full = n == 0 || (n & (n - 1)) == 0; /* there is room for powers of two */
    return full ? realloc(at, size * (n ? 2 * (size_t)n : 1)) : at;
}

static int take_notes(sc_region *r, uint32_t link, sc_carried_notes *out) {
    sc_note n;
    for (uint32_t left = r->prefix.nnotes; sc_linked(r, link, r->prefix.nnotes, &left); link = n.next) {
        sc_copy_racy(&n, &r->prefix.notes[link], sizeof n);
        sc_carried_note *more = more_room(out->at, out->n, sizeof *more);
        if (!more) return SC_ENOMEM;
        out->at = more;
        out->at[out->n++] = (sc_carried_note){n.depth, n.what};
    }
    return SC_OK;
}

static int room_for_bytes(sc_carried *out, size_t n) {
    if (out->bytes && n <= out->bytes_room - out->nbytes) return SC_OK;
    size_t room = 2 * (out->nbytes + n) + 1;
    uint8_t *bytes = realloc(out->bytes, room);
    if (!bytes) return SC_ENOMEM;
    out->bytes = bytes;
    out->bytes_room = room;
    return SC_OK;
}

static int take_value(const sc_region *r, const sc_mark *m, sc_carried *out) {
    sc_carried_value *more = more_room(out->values, out->nvalues, sizeof *more);
    if (!more) return SC_ENOMEM;
    out->values = more;
    if (room_for_bytes(out, m->len) != SC_OK) return SC_ENOMEM;
    if (!sc_mark_read(r, m, out->bytes + out->nbytes)) return SC_OK; /* damaged: not one of them */
    out->values[out->nvalues++] = (sc_carried_value){m->depth, m->len, m->expires, m->kind};
    out->nbytes += m->len;
    return SC_OK;
}

static int take_values(sc_region *r, uint32_t run, uint32_t link, int64_t now, sc_carried *out) {
    int rc = SC_OK;
    sc_mark m;
    for (uint32_t left = r->prefix.nmarks; rc == SC_OK && sc_linked(r, link, r->prefix.nmarks, &left); link = m.next) {
        sc_copy_racy(&m, &r->prefix.marks[link], sizeof m);
        uint32_t at = m.depth - out->start - 1; /* in front of the run: more than any length */
        bool its = m.run == run && at < out->length && m.tag == sc_mark_tag(sc_tag_of(out->keys[at]));
        if (its && m.expires > now && sc_mark_sound(r, &m)) rc = take_value(r, &m, out);
    }
    return rc;
}

static int take(sc_region *r, uint32_t run, int64_t now, sc_carried *out) {
    sc_run u;
    sc_copy_racy(&u, &r->prefix.runs[run], sizeof u);
    uint32_t most = r->prefix.blocks;
    if (u.length == 0 || u.length > most || u.start > most - u.length) return SC_ENOTFOUND;
    out->start = u.start, out->length = u.length, out->stamp = u.stamp;
    int rc = take_keys(r, run, u.tail, out);
    if (rc == SC_OK) rc = take_notes(r, u.steps, &out->steps);
    if (rc == SC_OK) rc = take_notes(r, u.pins, &out->pins);
    return rc == SC_OK ? take_values(r, run, u.marks, now, out) : rc;
}

int sc_carry_take(const sc_cache *c, uint32_t run, int64_t now, sc_carried *out) {
    uint32_t writing;
    *out = (sc_carried){0};
    for (int tries = 0; tries < PATIENCE; tries++) {
        if (tries) sc_os_pause();
        sc_region view = c->r; /* its `suspect` is ours */
        if (!sc_region_still(&view, &writing)) continue;
        int rc = take(&view, run, now, out);
        bool was_still = sc_region_was_still(&view, writing);
        if (rc == SC_OK && was_still) return SC_OK;
        sc_carried_free(out);
        if (rc == SC_ENOMEM || was_still) return rc;
    }
    return SC_ENOTFOUND;
}

/* ---- in ---- */

int sc_carry_wind(sc_cache *c, const uint64_t clock[3]) {
    sc_prefix_state *s = &c->r.h->prefix;
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    s->tick = clock[0], s->age = clock[1], s->evicted = clock[2];
    sc_engine_unlock(c);
    return SC_OK;
}

static int put_run(sc_region *r, const sc_hash128 *after, uint32_t start, const sc_hash128 *keys, uint32_t n, uint64_t stamp) {
    sc_prefix *x = &r->prefix;
    const sc_prefix_state *s = &r->h->prefix;
    sc_spot at = after ? sc_spot_at(r, *after, start) : SC_FRONT;
    if (n == 0 || at.depth != start || (after && at.run == SC_NIL)) return SC_ENOTFOUND;
    if (s->blocks > x->blocks || n > x->blocks - s->blocks || (s->free_run == SC_NIL && s->run_high >= x->nruns)) return SC_ETOOBIG;
    for (uint32_t i = 0; i < n; i++)
        if (sc_line_find(x, keys[i]) != SC_NIL) return SC_EARG;
    uint32_t run = sc_run_new(r, at.run, start);
    if (run == SC_NIL) return SC_EREGION;
    uint32_t done = sc_run_grow(r, run, at.slot, keys, n, stamp);
    sc_run_link(r, run);
    if (done == 0) sc_run_cut(r, run, start);
    else sc_run_settle(r, run);
    if (at.run != SC_NIL) sc_run_settle(r, at.run);
    return done == n ? SC_OK : SC_ETOOBIG;
}

int sc_carry_put(sc_cache *c, const sc_hash128 *after, uint32_t start, const sc_hash128 *keys, uint32_t n, uint64_t stamp) {
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    rc = put_run(&c->r, after, start, keys, n, stamp);
    sc_engine_unlock(c);
    return rc;
}

int sc_carry_step(sc_cache *c, sc_hash128 key, uint32_t depth, uint64_t stamp) {
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    sc_spot at = sc_spot_at(&c->r, key, depth);
    if (at.run == SC_NIL) rc = SC_ENOTFOUND;
    else if (at.depth < sc_run_end(&c->r.prefix.runs[at.run])) sc_step_add(&c->r, at.run, at.depth, stamp);
    sc_engine_unlock(c);
    return rc;
}

int sc_carry_pin(sc_cache *c, sc_hash128 key, uint32_t depth, uint32_t count) {
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    sc_spot at = sc_spot_at(&c->r, key, depth);
    if (at.run == SC_NIL) rc = SC_ENOTFOUND;
    else if (count == 0 || count > UINT32_MAX - c->r.h->prefix.pins) rc = SC_EARG;
    else if (!sc_pin_add(&c->r, at, count)) rc = SC_ETOOBIG;
    sc_engine_unlock(c);
    return rc;
}

int sc_carry_value(sc_cache *c, sc_hash128 key, uint32_t depth, const sc_attach *what, int64_t now) {
    if (what->value_len > UINT32_MAX || sc_blocks_for(what->value_len) > c->r.nblocks) return SC_ETOOBIG;
    uint32_t sum = sc_checksum(&c->r, what->value, what->value_len);
    int rc = sc_engine_lock(c);
    if (rc != SC_OK) return rc;
    sc_spot at = sc_spot_at(&c->r, key, depth);
    rc = at.run == SC_NIL ? SC_ENOTFOUND : sc_prefix_attach(c, at, what, now, sum);
    if (rc == SC_EREGION) c->r.suspect = true;
    sc_engine_unlock(c);
    return rc;
}
