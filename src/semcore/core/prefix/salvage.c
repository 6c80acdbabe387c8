/* After a writer died, or when asked to: what is whole stays.
 *
 * A run is whole if from its tail a chain of its own slots leads back, and ends at a block of its parent (or at nothing) whose
 * run is whole; the chain says how long it is. Of the notes of such a run those stay that a writer could have left there:
 * pins and steps in order and inside of it, holdings of a replica that holds what is in front of it. Stores of killed processes
 * are all there, in order, so that is proof.
 *
 * After a loss of power or in a copy old pages may lie beside new ones, and then the index starts empty: a line names its run by
 * a number that was another prompt's before, nothing on the page tells, and that prompt's values would be served. A checksum of each
 * run's tags would tell, and was left out: every block that comes or goes would change it. */
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

typedef struct finds {
    uint8_t *slots;            /* a bit: in use */
    uint8_t *runs, *notes;     /* 1: stays, 2: does not */
    uint32_t high, note_high, blocks, pins;
    uint8_t holders[SC_MAX_REPLICAS / 8]; /* of the run at hand, a bit each */
} finds;

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

/* ---- notes ---- */

/* before: the one in front of it in its list, or NULL. */
typedef bool sound(const sc_region *r, finds *f, const sc_run *u, const sc_note *n, const sc_note *before);

static bool step_sound(const sc_region *r, finds *f, const sc_run *u, const sc_note *n, const sc_note *before) {
    (void)r, (void)f;
    return n->depth > (before ? before->depth : u->start) && n->depth < sc_run_end(u) && n->what > u->stamp &&
           (!before || n->what < before->what);
}

static bool pin_sound(const sc_region *r, finds *f, const sc_run *u, const sc_note *n, const sc_note *before) {
    (void)r;
    if (n->depth <= u->start || n->depth > (before ? before->depth - 1 : sc_run_end(u))) return false;
    if (n->what == 0 || n->what > UINT32_MAX - f->pins) return false;
    f->pins += (uint32_t)n->what;
    return true;
}

/* Judged after those of the parent, whose list ends. */
static bool parent_holds(const sc_region *r, const sc_run *u, uint64_t replica) {
    if (u->parent == SC_NIL) return true;
    uint32_t at = r->prefix.runs[u->parent].holds;
    while (at != SC_NIL && r->prefix.notes[at].what != replica) at = r->prefix.notes[at].next;
    return at != SC_NIL && r->prefix.notes[at].depth >= u->start;
}

static bool hold_sound(const sc_region *r, finds *f, const sc_run *u, const sc_note *n, const sc_note *before) {
    (void)before;
    if (n->depth <= u->start || n->depth > sc_run_end(u) || n->what >= SC_MAX_REPLICAS) return false;
    if (bit(f->holders, (uint32_t)n->what) || !parent_holds(r, u, n->what)) return false;
    f->holders[n->what / 8] |= (uint8_t)(1 << (n->what % 8));
    return true;
}

/* A list ends before a note that is none, or another list's. */
static void keep_notes(const sc_region *r, finds *f, const sc_run *u, uint32_t *link, sound *is_sound) {
    const sc_note *before = NULL;
    while (*link < f->note_high && f->notes[*link] == 0) {
        sc_note *n = &r->prefix.notes[*link];
        bool stays = is_sound(r, f, u, n, before);
        f->notes[*link] = stays ? 1 : 2;
        if (stays) before = n, link = &n->next;
        else *link = n->next;
    }
    *link = SC_NIL;
}

static void keep_all_notes(const sc_region *r, finds *f, sc_run *u) {
    memset(f->holders, 0, sizeof f->holders);
    keep_notes(r, f, u, &u->steps, step_sound);
    keep_notes(r, f, u, &u->pins, pin_sound);
    keep_notes(r, f, u, &u->holds, hold_sound);
}

static void relist_notes(sc_region *r, const finds *f) {
    sc_prefix_state *s = &r->h->prefix;
    s->pins = f->pins;
    for (uint32_t note = f->note_high; note-- > 0;) {
        if (f->notes[note] == 1) {
            s->notes++;
            continue;
        }
        r->prefix.notes[note].next = s->free_note;
        s->free_note = note;
    }
}

/* ---- runs ---- */

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
        if (!good || !whole(r, f, path[n])) continue;
        f->runs[path[n]] = 1;
        keep_all_notes(r, f, &r->prefix.runs[path[n]]);
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
static void relist_marks(sc_region *r) {
    sc_prefix_state *s = &r->h->prefix;
    for (uint32_t i = 0; i < s->mark_high; i++) {
        sc_mark *m = &r->prefix.marks[i];
        const sc_run *u = m->run < s->run_high ? &r->prefix.runs[m->run] : NULL;
        bool good = u && u->length && m->depth > u->start && m->depth <= sc_run_end(u) && sc_mark_whole(r, m);
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

/* Those that were put on another block while the index was damaged; the chain of a whole run leads to each of its depths. */
static void drop_strange_marks(sc_region *r, uint32_t run) {
    sc_prefix *x = &r->prefix;
    sc_prefix_state *s = &r->h->prefix;
    uint32_t slot = x->runs[run].tail, end = sc_run_end(&x->runs[run]), *link = &x->runs[run].marks;
    while (*link != SC_NIL) {
        uint32_t mark = *link;
        sc_mark *m = &x->marks[mark];
        for (; end > m->depth; end--) slot = sc_line_prev(x, slot);
        if (sc_mark_tag(SC_LOAD(sc_line_tag(x, slot))) == m->tag) {
            link = &m->next;
            continue;
        }
        *link = m->next;
        s->marks--;
        s->mark_blocks -= sc_blocks_for(m->len);
        m->run = SC_NIL;
        m->next = s->free_mark;
        s->free_mark = mark;
    }
}

static void relist_runs(sc_region *r, const finds *f) {
    sc_prefix_state *s = &r->h->prefix;
    uint32_t high = s->run_high;
    for (uint32_t run = 0; run < high; run++) {
        sc_run *u = &r->prefix.runs[run];
        u->child = u->next = u->prev = u->marks = u->heap_at = SC_NIL;
        if (f->runs[run] == 1) {
            s->runs++;
            s->blocks += u->length;
            if (u->stamp > s->tick && u->stamp < UINT32_MAX) s->tick = u->stamp;
            continue;
        }
        u->length = 0;
        u->steps = u->pins = u->holds = SC_NIL;
        u->parent = s->free_run;
        s->free_run = run;
    }
    for (uint32_t run = 0; run < high; run++)
        if (f->runs[run] == 1) sc_run_link(r, run);
    for (uint32_t run = 0; run < high; run++)
        if (f->runs[run] == 1) sc_run_settle(r, run);
}

static void salvage(sc_region *r, finds *f, uint32_t *path) {
    const sc_prefix_state was = r->h->prefix;
    for (uint32_t run = 0; run < f->high; run++) judge(r, f, run, path);
    sc_prefix_state is = SC_NO_PREFIXES; /* what is said of room holds all the time: who finds us dead can do it again */
    is.run_high = was.run_high, is.note_high = was.note_high, is.mark_high = was.mark_high;
    is.tick = was.tick, is.evicted = was.evicted, is.age = was.age;
    r->h->prefix = is;
    clear_lines(r, f);
    relist_notes(r, f);
    relist_runs(r, f);
    relist_marks(r);
    for (uint32_t run = 0; run < f->high; run++)
        if (f->runs[run] == 1) drop_strange_marks(r, run);
}

int sc_prefix_salvage(sc_region *r) {
    sc_prefix *x = &r->prefix;
    const sc_prefix_state *s = &r->h->prefix;
    if (x->blocks == 0) return SC_OK;
    if (!sc_region_at_home(r) || s->run_high > x->nruns || s->mark_high > x->nmarks || s->note_high > x->nnotes) {
        sc_prefix_reset(r);
        return SC_OK;
    }
    finds f = {.slots = calloc(sc_line_slots(x) / 8 + 1, 1), .runs = calloc((size_t)x->nruns + 1, 1),
               .notes = calloc((size_t)x->nnotes + 1, 1), .high = s->run_high, .note_high = s->note_high};
    uint32_t *path = malloc(4 * ((size_t)x->nruns + 1));
    bool room = f.slots && f.runs && f.notes && path;
    if (room) salvage(r, &f, path);
    free(f.slots), free(f.runs), free(f.notes), free(path);
    return room ? SC_OK : SC_ENOMEM;
}
