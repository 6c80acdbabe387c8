/* Proves that everything in the index agrees with everything else.
 *
 * It bears a writer at work, as a handle that cannot lock looks, too: records are copied, and numbers loaded once, before they are
 * compared with a bound. */
#include <stdlib.h>

#include "../region/values.h"
#include "prefix.h"

typedef struct census { uint64_t blocks, runs, in_heap, notes, marks, mark_blocks, pins; } census;

/* One more of so many that there can be; false: it is none of them, or they are a ring. */
static bool counted(uint32_t number, uint32_t most, uint64_t *n) { return number < most && (*n)++ < most; }

static sc_run run_at(const sc_region *r, uint32_t run) {
    sc_run u;
    sc_copy_racy(&u, &r->prefix.runs[run], sizeof u);
    return u;
}

static sc_note note_at(const sc_region *r, uint32_t note) {
    sc_note n;
    sc_copy_racy(&n, &r->prefix.notes[note], sizeof n);
    return n;
}

static const char *audit_chain(const sc_region *r, uint32_t run, const sc_run *u) {
    const sc_prefix *x = &r->prefix;
    uint32_t slot = u->tail;
    for (uint32_t i = 0; i < u->length; i++, slot = sc_line_prev(x, slot)) {
        if (slot >= sc_line_slots(x) || SC_LOAD(sc_line_tag(x, slot)) == 0) return "a run's block is not in the table";
        if (sc_line_run(x, slot) != run) return "a run's chain leads into another run";
    }
    if (u->parent == SC_NIL) return slot == SC_NIL && u->start == 0 ? NULL : "a first run does not start at the front";
    if (slot >= sc_line_slots(x) || u->parent >= x->nruns || sc_line_run(x, slot) != u->parent) return "a run does not go on from its parent";
    sc_run p = run_at(r, u->parent);
    if (!sc_run_fits(r, &p) || u->start <= p.start || u->start > sc_run_end(&p)) return "a run starts outside of its parent";
    return NULL;
}

static const char *audit_children(const sc_region *r, uint32_t run, const sc_run *parent) {
    uint32_t before = SC_NIL, start = UINT32_MAX;
    uint64_t n = 0;
    for (uint32_t c = parent->child; c != SC_NIL;) {
        if (!counted(c, r->prefix.nruns, &n)) return "a run's children are a ring, or no runs";
        sc_run u = run_at(r, c);
        if (u.parent != run || u.prev != before || u.length == 0) return "a run's children are not linked to it";
        if (start < u.start) return "a run's children are out of order";
        before = c, start = u.start, c = u.next;
    }
    return NULL;
}

static const char *audit_steps(const sc_region *r, const sc_run *u, census *n) {
    uint64_t stamp = UINT64_MAX;
    uint32_t depth = u->start;
    sc_note s;
    for (uint32_t at = u->steps; at != SC_NIL; at = s.next) {
        if (!counted(at, r->prefix.nnotes, &n->notes)) return "a list of notes is broken";
        s = note_at(r, at);
        if (s.depth <= depth || s.depth >= sc_run_end(u)) return "a step lies outside of its run or out of order";
        if (s.what >= stamp || s.what <= u->stamp) return "a step's stamp says nothing";
        depth = s.depth;
        stamp = s.what;
    }
    return NULL;
}

static const char *audit_pins(const sc_region *r, const sc_run *u, census *n) {
    uint32_t depth = sc_run_end(u) + 1;
    sc_note p;
    for (uint32_t at = u->pins; at != SC_NIL; at = p.next) {
        if (!counted(at, r->prefix.nnotes, &n->notes)) return "a list of notes is broken";
        p = note_at(r, at);
        if (p.depth <= u->start || p.depth >= depth || p.what == 0) return "a pin lies outside of its run or out of order";
        depth = p.depth;
        n->pins += p.what;
    }
    return NULL;
}

/* The parent's number is one: audit_chain saw it. */
static bool parent_holds(const sc_region *r, const sc_run *u, uint64_t replica) {
    uint64_t n = 0;
    if (u->parent == SC_NIL) return true;
    sc_note h;
    for (uint32_t at = run_at(r, u->parent).holds; counted(at, r->prefix.nnotes, &n); at = h.next) {
        h = note_at(r, at);
        if (h.what == replica) return h.depth >= u->start;
    }
    return false;
}

static const char *audit_holds(const sc_region *r, const sc_run *u, census *n) {
    sc_note h;
    for (uint32_t at = u->holds; at != SC_NIL; at = h.next) {
        if (!counted(at, r->prefix.nnotes, &n->notes)) return "a list of notes is broken";
        h = note_at(r, at);
        if (h.depth <= u->start || h.depth > sc_run_end(u)) return "a replica holds what is not there";
        if (!parent_holds(r, u, h.what)) return "a replica holds a block and not what is in front of it";
    }
    return NULL;
}

static const char *audit_marks(const sc_region *r, uint32_t run, const sc_run *u, census *n) {
    const sc_prefix *x = &r->prefix;
    uint32_t depth = sc_run_end(u) + 1, end = depth - 1, slot = u->tail;
    sc_mark m;
    for (uint32_t at = u->marks; at != SC_NIL; at = m.next) {
        if (!counted(at, r->prefix.nmarks, &n->marks)) return "a list of values is broken";
        sc_copy_racy(&m, &r->prefix.marks[at], sizeof m);
        if (m.run != run || m.depth <= u->start || m.depth >= depth) return "a value lies outside of its run or out of order";
        for (; end > m.depth && slot < sc_line_slots(x); end--) slot = sc_line_prev(x, slot);
        if (slot >= sc_line_slots(x) || sc_mark_tag(SC_LOAD(sc_line_tag(x, slot))) != m.tag) return "a value is another block's";
        if (!sc_mark_whole(r, &m)) return "a value's checksum does not match";
        depth = m.depth;
        n->mark_blocks += sc_blocks_for(m.len);
    }
    return NULL;
}

static const char *audit_heap(const sc_region *r, uint32_t run, const sc_run *u) {
    if (u->heap_at >= r->h->prefix.heap || u->heap_at >= r->prefix.nruns || r->prefix.heap[u->heap_at] != run) return "the heap and a run disagree";
    if (u->key > u->stamp) return "a run's key is later than its stamp";
    if (u->heap_at == 0) return NULL;
    uint32_t above = sc_once(&r->prefix.heap[(u->heap_at - 1) / 2]);
    return above < r->prefix.nruns && r->prefix.runs[above].key <= u->key ? NULL : "the heap is out of order";
}

static const char *audit_run(const sc_region *r, uint32_t run, const sc_run *u, census *n) {
    const char *why = sc_run_fits(r, u) ? audit_chain(r, run, u) : "a run is longer than the index";
    if (!why) why = audit_children(r, run, u);
    if (!why) why = audit_steps(r, u, n);
    if (!why) why = audit_pins(r, u, n);
    if (!why) why = audit_holds(r, u, n);
    if (!why) why = audit_marks(r, run, u, n);
    if (why) return why;
    n->runs++;
    n->blocks += u->length;
    bool can_go = sc_run_end(u) > sc_run_limit(r, u), in_heap = u->heap_at != SC_NIL;
    n->in_heap += in_heap;
    if (can_go != in_heap) return "a run that can be cut is not in the heap, or one that cannot is";
    return in_heap ? audit_heap(r, run, u) : NULL;
}

static const char *audit_lines(const sc_region *r, uint64_t *blocks) {
    sc_prefix copy = r->prefix, *x = &copy;
    copy.over = calloc(x->nlines, 1);
    if (!copy.over) return "out of memory";
    for (uint32_t slot = 0; slot < sc_line_slots(x); slot++) {
        if (SC_LOAD(sc_line_tag(x, slot)) == 0) continue;
        sc_line_passed(x, slot / SC_LINE, SC_LOAD(sc_line_word(x, slot)) >> SC_RUN_BITS, 1);
        ++*blocks;
    }
    bool same = memcmp((void *)copy.over, (void *)r->prefix.over, x->nlines) == 0;
    free((void *)copy.over);
    return same ? NULL : "a line does not know who lies behind it";
}

static uint64_t free_notes(const sc_region *r) {
    uint64_t n = 0;
    for (uint32_t at = sc_once(&r->h->prefix.free_note); counted(at, r->prefix.nnotes, &n);) at = sc_once(&r->prefix.notes[at].next);
    return n;
}

const char *sc_prefix_audit(const sc_region *r, uint32_t *value_blocks) {
    const sc_prefix_state *s = &r->h->prefix;
    census n = {0};
    uint64_t in_table = 0;
    *value_blocks = 0;
    if (r->prefix.blocks == 0) return NULL;
    uint32_t high = sc_once(&s->run_high);
    bool fits = high <= r->prefix.nruns && s->mark_high <= r->prefix.nmarks;
    const char *why = fits ? audit_lines(r, &in_table) : "there are more runs or values than there is room for";
    for (uint32_t run = 0; run < high && !why; run++) {
        sc_run u = run_at(r, run);
        if (u.length) why = audit_run(r, run, &u, &n);
    }
    if (why) return why;
    *value_blocks = (uint32_t)n.mark_blocks;
    if (n.blocks != s->blocks || in_table != n.blocks) return "the table holds blocks of no run";
    if (n.blocks > r->prefix.blocks) return "there are more blocks than there is room for";
    if (n.runs != s->runs || n.in_heap != s->heap) return "runs leak";
    if (n.notes != s->notes || n.notes + free_notes(r) != s->note_high) return "notes leak";
    if (n.marks != s->marks || n.mark_blocks != s->mark_blocks) return "values leak";
    return n.pins == s->pins ? NULL : "the count of pins is wrong";
}
