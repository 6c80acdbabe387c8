/* Stamps of blocks inside a run, where they are later than those of the blocks behind: depths rise, stamps fall.
 * A stamp that is not later than one behind it says nothing, as that one passes on to it in the end. */
#include "prefix.h"

void sc_step_last(sc_region *r, uint32_t run, uint64_t stamp) {
    sc_run *u = &r->prefix.runs[run];
    uint32_t *at = &u->steps, left = r->prefix.nnotes;
    u->stamp = stamp;
    while (sc_note_ok(r, at, &left) && r->prefix.notes[*at].what > stamp) at = &r->prefix.notes[*at].next;
    sc_notes_drop(r, at);
}

void sc_step_add(sc_region *r, uint32_t run, uint32_t depth, uint64_t stamp) {
    sc_run *u = &r->prefix.runs[run];
    uint32_t *at = &u->steps, left = r->prefix.nnotes;
    while (sc_note_ok(r, at, &left) && r->prefix.notes[*at].depth <= depth) {
        sc_note *note = &r->prefix.notes[*at];
        if (note->what <= stamp) sc_note_drop(r, at);
        else if (note->depth == depth) return;
        else at = &note->next;
    }
    uint64_t behind = *at != SC_NIL ? r->prefix.notes[*at].what : u->stamp;
    if (behind >= stamp) return;
    uint32_t note = sc_note_new(r, *at, depth, stamp);
    if (note != SC_NIL) *at = note;
    else sc_step_last(r, run, stamp); /* no room: the rest of the run stays as long */
}

uint64_t sc_step_stamp(sc_region *r, uint32_t run, uint32_t depth) {
    sc_run *u = &r->prefix.runs[run];
    uint32_t left = r->prefix.nnotes;
    for (uint32_t *at = &u->steps; sc_note_ok(r, at, &left); at = &r->prefix.notes[*at].next)
        if (r->prefix.notes[*at].depth >= depth) return r->prefix.notes[*at].what;
    return u->stamp;
}

uint32_t sc_step_deepest(sc_region *r, uint32_t run) {
    uint32_t depth = 0, left = r->prefix.nnotes;
    for (uint32_t *at = &r->prefix.runs[run].steps; sc_note_ok(r, at, &left); at = &r->prefix.notes[*at].next)
        depth = r->prefix.notes[*at].depth;
    return depth;
}

void sc_steps_cut(sc_region *r, uint32_t run, uint32_t end) {
    sc_run *u = &r->prefix.runs[run];
    uint32_t *at = &u->steps, left = r->prefix.nnotes;
    while (sc_note_ok(r, at, &left) && r->prefix.notes[*at].depth < end) at = &r->prefix.notes[*at].next;
    if (*at == SC_NIL) return;
    if (r->prefix.notes[*at].what > u->stamp) u->stamp = r->prefix.notes[*at].what;
    sc_notes_drop(r, at);
}
