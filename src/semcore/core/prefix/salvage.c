/* After a writer died, or when asked to: what is whole stays.
 *
 * A run is whole if from its tail a chain of its own slots leads back, and ends at a block of its parent (or at nothing) whose
 * run is whole; the chain says how long it is. Stores of killed processes are all there, in order, so that is proof; after
 * a loss of power or in a copy old pages may lie beside new ones, and then the index starts empty. */
#include <stdlib.h>

#include "../region/values.h"
#include "prefix.h"

void sc_prefix_reset(sc_region *r) {
    sc_prefix *x = &r->prefix;
    uint64_t tick = r->h->prefix.tick, evicted = r->h->prefix.evicted;
    for (uint32_t slot = 0; slot < sc_line_slots(x); slot++) SC_STORE(sc_line_tag(x, slot), 0);
    for (uint32_t i = 0; i < x->nlines; i++) SC_STORE(&x->over[i], 0);
    r->h->prefix = SC_NO_PREFIXES;
    r->h->prefix.tick = tick;
    r->h->prefix.evicted = evicted;
}

typedef struct finds { uint8_t *slots, *runs; uint32_t high, blocks; } finds; /* bits of slots in use; runs: 1 whole, 2 not */

static bool bit(const uint8_t *bits, uint32_t i) { return bits[i / 8] >> (i % 8) & 1; }

/* The chain of a run: its length, and the slot in front of it; false if it is broken. */
static bool measure(const sc_region *r, const finds *f, uint32_t run, uint32_t *length, uint32_t *front) {
    const sc_prefix *x = &r->prefix;
    uint32_t slot = x->runs[run].tail, n = 0;
    while (slot < sc_line_slots(x) && sc_line_run(x, slot) == run) {
        if (SC_LOAD(sc_line_tag(x, slot)) == 0 || bit(f->slots, slot) || ++n > x->blocks) return false;
        slot = sc_line_prev(x, slot);
    }
    *length = n;
    *front = slot;
    return n > 0 && (slot == SC_NIL || slot < sc_line_slots(x));
}

static void claim(const sc_region *r, finds *f, uint32_t run) {
    uint32_t slot = r->prefix.runs[run].tail;
    for (uint32_t i = 0; i < r->prefix.runs[run].length; i++, slot = sc_line_prev(&r->prefix, slot))
        f->slots[slot / 8] |= (uint8_t)(1 << (slot % 8));
}

/* Parents come first, and what a chain goes on from was claimed by its parent. */
static bool whole(sc_region *r, finds *f, uint32_t run) {
    sc_run *u = &r->prefix.runs[run];
    uint32_t length, front;
    if (!measure(r, f, run, &length, &front) || length > r->prefix.blocks - f->blocks) return false;
    if (u->parent == SC_NIL) {
        if (front != SC_NIL || u->start != 0) return false;
    } else {
        const sc_run *p = &r->prefix.runs[u->parent];
        if (front == SC_NIL || !bit(f->slots, front) || sc_line_run(&r->prefix, front) != u->parent) return false;
        if (u->start <= p->start || u->start > sc_run_end(p)) return false;
    }
    u->length = length;
    f->blocks += length;
    claim(r, f, run);
    return true;
}

/* Judges a run after its parents: climbs to the first that is judged, then comes back. */
static void judge(sc_region *r, finds *f, uint32_t run, uint32_t *path) {
    uint32_t n = 0, n_runs = f->high;
    for (; run < n_runs && f->runs[run] == 0; run = r->prefix.runs[run].parent) {
        f->runs[run] = 2; /* a ring ends here, and is not whole */
        path[n++] = run;
        if (r->prefix.runs[run].parent == SC_NIL) break;
    }
    while (n-- > 0) {
        uint32_t parent = r->prefix.runs[path[n]].parent;
        bool good = parent == SC_NIL || (parent < n_runs && f->runs[parent] == 1);
        if (good && whole(r, f, path[n])) f->runs[path[n]] = 1;
    }
}

static void clear_lines(sc_region *r, const finds *f) {
    sc_prefix *x = &r->prefix;
    for (uint32_t i = 0; i < x->nlines; i++) SC_STORE(&x->over[i], 0);
    for (uint32_t slot = 0; slot < sc_line_slots(x); slot++) {
        uint32_t shift = SC_LOAD(sc_line_word(x, slot)) >> SC_RUN_BITS;
        if (!bit(f->slots, slot)) SC_STORE(sc_line_tag(x, slot), 0);
        else sc_line_passed(x, slot / SC_LINE, shift, 1);
    }
}

/* Marks of whole runs that are whole themselves; the others are taken out. Their blocks are claimed later, by the engine. */
static void relist_marks(sc_region *r, uint32_t high) {
    sc_prefix_state *s = &r->h->prefix;
    s->mark_high = high;
    for (uint32_t i = 0; i < high; i++) {
        sc_mark *m = &r->prefix.marks[i];
        const sc_run *u = m->run < r->prefix.nruns ? &r->prefix.runs[m->run] : NULL;
        bool good = u && u->length && m->depth > u->start && m->depth <= sc_run_end(u) && sc_mark_whole(r, i);
        if (good) {
            uint32_t *at = &r->prefix.runs[m->run].marks;
            while (*at != SC_NIL && r->prefix.marks[*at].depth > m->depth) at = &r->prefix.marks[*at].next;
            good = *at == SC_NIL || r->prefix.marks[*at].depth != m->depth;
            if (good) {
                m->next = *at;
                *at = i;
                s->marks++;
                s->mark_blocks += sc_blocks_for(m->len);
                continue;
            }
        }
        m->run = SC_NIL;
        m->next = s->free_mark;
        s->free_mark = i;
    }
}

/* Steps, pins and holds are let go: stamps of whole runs say enough, pins and holdings are told again by who knows. */
static void relist_runs(sc_region *r, const finds *f, uint32_t high) {
    sc_prefix_state *s = &r->h->prefix;
    s->run_high = high;
    for (uint32_t run = 0; run < high; run++) {
        sc_run *u = &r->prefix.runs[run];
        u->child = u->next = u->prev = u->steps = u->pins = u->holds = u->marks = u->heap_at = SC_NIL;
        if (f->runs[run] == 1) {
            s->runs++;
            s->blocks += u->length;
            if (u->stamp > s->tick && u->stamp < UINT32_MAX) s->tick = u->stamp;
            continue;
        }
        u->length = 0;
        u->parent = s->free_run;
        s->free_run = run;
    }
    for (uint32_t run = 0; run < high; run++)
        if (f->runs[run] == 1) sc_run_link(r, run);
    for (uint32_t run = 0; run < high; run++)
        if (f->runs[run] == 1) sc_run_settle(r, run);
}

int sc_prefix_salvage(sc_region *r) {
    sc_prefix *x = &r->prefix;
    if (x->blocks == 0) return SC_OK;
    uint32_t high = r->h->prefix.run_high, marks = r->h->prefix.mark_high;
    if (!sc_region_at_home(r) || high > x->nruns || marks > x->nmarks) {
        sc_prefix_reset(r);
        return SC_OK;
    }
    finds f = {calloc(sc_line_slots(x) / 8 + 1, 1), calloc((size_t)x->nruns + 1, 1), high, 0};
    uint32_t *path = malloc(4 * ((size_t)x->nruns + 1));
    if (!f.slots || !f.runs || !path) {
        free(f.slots), free(f.runs), free(path);
        return SC_ENOMEM;
    }
    uint64_t tick = r->h->prefix.tick, evicted = r->h->prefix.evicted, age = r->h->prefix.age;
    for (uint32_t run = 0; run < high; run++) judge(r, &f, run, path);
    r->h->prefix = SC_NO_PREFIXES;
    r->h->prefix.tick = tick, r->h->prefix.evicted = evicted, r->h->prefix.age = age;
    clear_lines(r, &f);
    relist_runs(r, &f, high);
    relist_marks(r, marks);
    free(f.slots), free(f.runs), free(path);
    return SC_OK;
}
