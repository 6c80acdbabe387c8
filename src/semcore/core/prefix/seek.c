/* The longest present prefix. Groups are hashed as the search comes to them: it gallops from the front, so a miss at the
 * front costs two hashes however long the prompt is, and no step is longer than MOST groups, so little is hashed in vain. */
#include "prefix.h"

#define MOST 64

static bool has_group(const sc_region *r, const sc_prompt *p, uint32_t n) {
    return sc_line_find(&r->prefix, p->hashes[n - 1]) != SC_NIL;
}

static int seek_groups(const sc_region *r, sc_prompt *p, uint32_t *found) {
    uint32_t n = p->blocks / p->group, low = 0, high = n;
    for (uint32_t step = 1; low < n; step = step < MOST ? 2 * step : MOST) {
        uint32_t next = n - low > step ? low + step : n;
        if (sc_chain_groups(r, p, next) != SC_OK) return SC_EARG;
        if (!has_group(r, p, next)) {
            high = next - 1;
            break;
        }
        low = next;
    }
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (has_group(r, p, middle)) low = middle; else high = middle - 1;
    }
    *found = low;
    return SC_OK;
}

int sc_seek(const sc_region *r, sc_prompt *p, uint32_t *depth) {
    uint32_t groups = 0;
    int rc = seek_groups(r, p, &groups);
    uint32_t at = groups * p->group, end = at + p->group - 1 < p->blocks ? at + p->group - 1 : p->blocks;
    sc_hash128 key = groups ? p->hashes[groups - 1] : p->root;
    for (; rc == SC_OK && at < end; at++) {
        if (!sc_chain_valid(r, p, at)) return SC_EARG;
        key = sc_chain_fine(r, p, key, at);
        if (sc_line_find(&r->prefix, key) == SC_NIL) break;
    }
    *depth = at;
    return rc;
}

int sc_prompt_key(const sc_region *r, sc_prompt *p, uint32_t block, sc_hash128 *key) {
    if (block / p->group < p->hashed && block % p->group == p->group - 1) {
        *key = p->hashes[block / p->group];
        return SC_OK;
    }
    return sc_chain_keys(r, p, block, block + 1, key);
}

static sc_spot damaged(sc_region *r) {
    r->suspect = true;
    return SC_FRONT;
}

sc_spot sc_spot_at(sc_region *r, sc_hash128 key, uint32_t depth) {
    uint32_t slot = sc_line_find(&r->prefix, key);
    if (slot == SC_NIL) return SC_FRONT;
    uint32_t run = sc_line_run(&r->prefix, slot);
    if (!sc_run_ok(r, run)) return damaged(r);
    const sc_run *u = &r->prefix.runs[run];
    return depth > u->start && depth <= sc_run_end(u) ? (sc_spot){run, slot, depth} : damaged(r);
}

sc_spot sc_spot_find(sc_region *r, sc_hash128 key) {
    const sc_prefix *x = &r->prefix;
    uint32_t slot = sc_line_find(x, key);
    if (slot == SC_NIL) return SC_FRONT;
    uint32_t run = sc_line_run(x, slot);
    if (!sc_run_ok(r, run)) return damaged(r);
    uint32_t depth = sc_run_end(&x->runs[run]), at = x->runs[run].tail; /* from the end, where engines add and remove */
    for (; at != slot; at = sc_line_prev(x, at), depth--)
        if (at >= sc_line_slots(x) || depth <= x->runs[run].start + 1) return damaged(r);
    return (sc_spot){run, slot, depth};
}
