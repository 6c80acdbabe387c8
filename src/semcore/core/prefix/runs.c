/* Runs: blocks that were inserted together. A run goes on from a block of its parent, which may have more behind it.
 *
 * Blocks go from the end only, and not beyond where a child or a pin is. A new end of a run that nothing hangs on
 * takes more blocks, so a conversation is one run, not one a turn. */
#include "prefix.h"

#define AHEAD 16 /* lines on their way into the cache while one is written */

uint32_t sc_run_new(sc_region *r, uint32_t parent, uint32_t start) {
    sc_prefix_state *s = &r->h->prefix;
    uint32_t run = s->free_run;
    if (run < r->prefix.nruns && r->prefix.runs[run].length == 0) s->free_run = r->prefix.runs[run].parent;
    else if (run == SC_NIL && s->run_high < r->prefix.nruns) run = s->run_high++;
    else {
        r->suspect = true; /* the caller saw that there is one */
        return SC_NIL;
    }
    r->prefix.runs[run] = (sc_run){.parent = parent, .start = start, .tail = SC_NIL, .child = SC_NIL, .next = SC_NIL,
                                   .prev = SC_NIL, .steps = SC_NIL, .pins = SC_NIL, .holds = SC_NIL, .marks = SC_NIL, .heap_at = SC_NIL};
    s->runs++;
    return run;
}

/* Among the children of its parent, the deepest start first. */
void sc_run_link(sc_region *r, uint32_t run) {
    sc_run *runs = r->prefix.runs, *u = &runs[run];
    if (u->parent == SC_NIL) return;
    uint32_t before = SC_NIL, left = r->prefix.nruns, *link = &runs[u->parent].child;
    while (sc_link_ok(r, link, r->prefix.nruns, &left) && runs[*link].start > u->start) before = *link, link = &runs[*link].next;
    u->prev = before;
    u->next = *link;
    *link = run;
    if (u->next != SC_NIL) runs[u->next].prev = run;
}

static void unlink_run(sc_region *r, uint32_t run) {
    sc_run *runs = r->prefix.runs, *u = &runs[run];
    uint32_t n = r->prefix.nruns;
    if (u->parent == SC_NIL) return;
    uint32_t *link = u->prev < n ? &runs[u->prev].next : u->parent < n ? &runs[u->parent].child : NULL;
    if (!link || *link != run || (u->next != SC_NIL && u->next >= n)) {
        r->suspect = true;
        return;
    }
    *link = u->next;
    if (u->next != SC_NIL) runs[u->next].prev = u->prev;
}

uint32_t sc_run_limit(const sc_region *r, const sc_run *u) {
    uint32_t limit = u->start;
    if (u->child < r->prefix.nruns && r->prefix.runs[u->child].start > limit) limit = r->prefix.runs[u->child].start;
    if (u->pins < r->prefix.nnotes && r->prefix.notes[u->pins].depth > limit) limit = r->prefix.notes[u->pins].depth;
    return limit;
}

void sc_run_settle(sc_region *r, uint32_t run) {
    sc_run *u = &r->prefix.runs[run];
    bool can_go = sc_run_end(u) > sc_run_limit(r, u);
    if (can_go && u->heap_at == SC_NIL) sc_heap_add(r, run);
    if (!can_go && u->heap_at != SC_NIL) sc_heap_remove(r, run);
}

/* An empty run leaves its stamp to the block that it went on from. */
static void run_free(sc_region *r, uint32_t run) {
    sc_run *u = &r->prefix.runs[run];
    uint32_t parent = u->parent;
    uint64_t stamp = u->stamp;
    uint32_t start = u->start;
    if (u->heap_at != SC_NIL) sc_heap_remove(r, run);
    unlink_run(r, run);
    u->parent = r->h->prefix.free_run;
    r->h->prefix.free_run = run;
    r->h->prefix.runs--;
    if (parent == SC_NIL) return;
    if (!sc_run_ok(r, parent)) {
        r->suspect = true;
        return;
    }
    sc_run *p = &r->prefix.runs[parent];
    if (sc_run_end(p) > start) sc_step_add(r, parent, start, stamp);
    else if (p->stamp < stamp) sc_step_last(r, parent, stamp);
    sc_run_settle(r, parent);
}

/* False if the run's tail is not its own, as it is at the end of every chain that goes wrong. */
static bool cut_last(sc_region *r, uint32_t run) {
    sc_prefix *x = &r->prefix;
    sc_run *u = &x->runs[run];
    uint32_t slot = u->tail;
    if (slot >= sc_line_slots(x) || SC_LOAD(sc_line_tag(x, slot)) == 0 || sc_line_run(x, slot) != run) {
        r->suspect = true;
        return false;
    }
    u->tail = sc_line_prev(x, slot);
    u->length--;
    sc_line_drop(x, slot);
    return true;
}

uint32_t sc_run_cut(sc_region *r, uint32_t run, uint32_t end) {
    sc_run *u = &r->prefix.runs[run];
    if (end < u->start || end - u->start > u->length) {
        r->suspect = true;
        return 0;
    }
    uint32_t n = u->length - (end - u->start), done = 0;
    sc_marks_cut(r, run, end);
    sc_holds_cut(r, run, end);
    for (; done < n && cut_last(r, run); done++) {}
    r->h->prefix.blocks -= done;
    if (done < n) return done;
    sc_steps_cut(r, run, end);
    if (u->length == 0) run_free(r, run);
    else sc_run_settle(r, run);
    return n;
}

uint32_t sc_run_grow(sc_region *r, uint32_t run, uint32_t prev, const sc_hash128 *keys, uint32_t n, uint64_t stamp) {
    sc_run *u = &r->prefix.runs[run];
    uint32_t done = 0;
    for (; done < n; done++) {
        if (done + AHEAD < n) sc_line_fetch(&r->prefix, keys[done + AHEAD]);
        uint32_t slot = sc_line_put(&r->prefix, keys[done], run, prev);
        if (slot == SC_NIL) break;
        prev = slot;
    }
    bool longer = u->length > 0;
    uint64_t old = u->stamp;
    u->tail = done ? prev : u->tail;
    u->length += done;
    r->h->prefix.blocks += done;
    sc_step_last(r, run, stamp);
    if (u->heap_at != SC_NIL && stamp < u->key) sc_heap_remove(r, run); /* whoever settles it puts it back */
    if (longer && done && old > stamp) sc_step_add(r, run, sc_run_end(u) - done, old); /* only of lfu */
    return done;
}
