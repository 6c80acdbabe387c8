/* Pins: a block that is pinned, and so all in front of it, is not evicted. */
#include "prefix.h"

/* The deepest pin that is not behind depth. */
static uint32_t *deepest(sc_region *r, uint32_t run, uint32_t depth) {
    uint32_t *note = &r->prefix.runs[run].pins, left = r->prefix.nnotes;
    while (sc_note_ok(r, note, &left) && r->prefix.notes[*note].depth > depth) note = &r->prefix.notes[*note].next;
    return note;
}

bool sc_pin_add(sc_region *r, sc_spot at, uint32_t count) {
    uint32_t *note = deepest(r, at.run, at.depth);
    if (*note != SC_NIL && r->prefix.notes[*note].depth == at.depth) {
        r->prefix.notes[*note].what += count;
    } else {
        uint32_t added = sc_note_new(r, *note, at.depth, count);
        if (added == SC_NIL) return false;
        *note = added;
    }
    r->h->prefix.pins += count;
    sc_run_settle(r, at.run);
    return true;
}

uint32_t sc_pin_remove(sc_region *r, sc_spot at) {
    while (at.run != SC_NIL) {
        uint32_t *note = deepest(r, at.run, at.depth);
        if (*note == SC_NIL) {
            at = sc_spot_up(r, at);
            continue;
        }
        at.depth = r->prefix.notes[*note].depth;
        if (--r->prefix.notes[*note].what == 0) sc_note_drop(r, note);
        r->h->prefix.pins--;
        sc_run_settle(r, at.run);
        return at.depth;
    }
    return 0;
}
