/* Small records in lists: one pool for steps, pins and holds. */
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
    return note;
}

uint32_t sc_note_free(sc_region *r, uint32_t note) {
    uint32_t next = r->prefix.notes[note].next;
    r->prefix.notes[note].next = r->h->prefix.free_note;
    r->h->prefix.free_note = note;
    r->h->prefix.notes--;
    return next;
}

void sc_notes_free(sc_region *r, uint32_t note) {
    for (uint32_t left = r->prefix.nnotes; sc_note_ok(r, &note, &left);) note = sc_note_free(r, note);
}
