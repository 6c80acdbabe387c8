/* Small records in lists: one pool for steps, pins and holds.
 *
 * A note is whole before a list leads to it, and no list leads to it before it is among the free ones: so a list
 * that a killed writer left never goes on into those, and recovery can keep it. */
#include "prefix.h"

uint32_t sc_note_new(sc_region *r, uint32_t next, uint32_t depth, uint64_t what) {
    sc_prefix_state *s = &r->h->prefix;
    uint32_t note = s->free_note;
    if (note < r->prefix.nnotes) s->free_note = r->prefix.notes[note].next;
    else if (note == SC_NIL && s->note_high < r->prefix.nnotes) note = s->note_high++;
    else {
        if (note != SC_NIL) r->suspect = true;
        s->lost++;
        return SC_NIL;
    }
    s->notes++;
    r->prefix.notes[note] = (sc_note){next, depth, what};
    SC_IN_ORDER();
    return note;
}

void sc_note_drop(sc_region *r, uint32_t *link) {
    uint32_t note = *link;
    *link = r->prefix.notes[note].next;
    SC_IN_ORDER();
    r->prefix.notes[note].next = r->h->prefix.free_note;
    r->h->prefix.free_note = note;
    r->h->prefix.notes--;
}

void sc_notes_drop(sc_region *r, uint32_t *link) {
    for (uint32_t left = r->prefix.nnotes; sc_note_ok(r, link, &left);) sc_note_drop(r, link);
}
