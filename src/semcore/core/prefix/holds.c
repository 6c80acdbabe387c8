/* What replicas hold. Of a run a replica has the first blocks, so one depth says all; and if it has any of a run
 * then all in front of it. So a replica's share of a prompt is in the deepest run of the path that it has any of. */
#include "prefix.h"

static uint32_t *find(sc_region *r, uint32_t run, uint32_t replica) {
    uint32_t *note = &r->prefix.runs[run].holds, left = r->prefix.nnotes;
    while (sc_note_ok(r, note, &left) && r->prefix.notes[*note].what != replica) note = &r->prefix.notes[*note].next;
    return note;
}

/* How many runs of the path the replica has nothing of. */
static uint32_t missing(sc_region *r, sc_spot at, uint32_t replica) {
    uint32_t n = 0;
    for (; at.run != SC_NIL && *find(r, at.run, replica) == SC_NIL; at = sc_spot_up(r, at)) n++;
    return n;
}

void sc_hold(sc_region *r, sc_spot at, uint32_t replica) {
    uint32_t need = missing(r, at, replica);
    if (r->h->prefix.notes + need > r->prefix.nnotes) {
        r->h->prefix.lost += need;
        return;
    }
    while (at.run != SC_NIL) {
        uint32_t *note = find(r, at.run, replica);
        bool had = *note != SC_NIL && r->prefix.notes[*note].depth >= at.depth;
        if (had) return; /* and so all in front of it */
        if (*note != SC_NIL) r->prefix.notes[*note].depth = at.depth;
        else *note = sc_note_new(r, SC_NIL, at.depth, replica);
        at = sc_spot_up(r, at);
    }
}

void sc_holds_cut(sc_region *r, uint32_t run, uint32_t end) {
    sc_run *u = &r->prefix.runs[run];
    uint32_t *note = &u->holds, left = r->prefix.nnotes;
    while (sc_note_ok(r, note, &left)) {
        sc_note *n = &r->prefix.notes[*note];
        if (n->depth > end) n->depth = end;
        if (n->depth <= u->start) sc_note_drop(r, note);
        else note = &n->next;
    }
}

/* How far the replica had the run before; 0: not behind `end`. */
static uint32_t shorten(sc_region *r, uint32_t run, uint32_t replica, uint32_t end) {
    uint32_t *note = find(r, run, replica);
    uint32_t had = *note != SC_NIL ? r->prefix.notes[*note].depth : 0;
    if (had <= end) return 0;
    if (end > r->prefix.runs[run].start) r->prefix.notes[*note].depth = end;
    else sc_note_drop(r, note);
    return had;
}

/* Blocks at the end of a run that a replica had go when no other has them and nothing hangs on them. */
static void trim(sc_region *r, uint32_t run, uint32_t had) {
    sc_run *u = &r->prefix.runs[run];
    uint32_t end = sc_run_limit(r, u), left = r->prefix.nnotes;
    if (!sc_run_ok(r, run) || sc_run_end(u) > had) return;
    for (uint32_t *n = &u->holds; sc_note_ok(r, n, &left); n = &r->prefix.notes[*n].next)
        if (r->prefix.notes[*n].depth > end) end = r->prefix.notes[*n].depth;
    if (u->marks < r->prefix.nmarks && r->prefix.marks[u->marks].depth > end) end = r->prefix.marks[u->marks].depth;
    if (end < sc_run_end(u)) sc_run_cut(r, run, end);
}

/* A run that goes on from a block behind `end`, and that the replica has any of. */
static uint32_t held_child(sc_region *r, uint32_t run, uint32_t replica, uint32_t end) {
    sc_run *runs = r->prefix.runs;
    uint32_t left = r->prefix.nruns;
    for (uint32_t *at = &runs[run].child; sc_link_ok(r, at, r->prefix.nruns, &left) && runs[*at].start > end; at = &runs[*at].next)
        if (*find(r, *at, replica) != SC_NIL) return *at;
    return SC_NIL;
}

uint64_t sc_hold_drop(sc_region *r, uint32_t run, uint32_t replica, uint32_t end) {
    uint32_t first = shorten(r, run, replica, end);
    if (!first) return 0;
    uint64_t n = 1;
    for (uint32_t at = run, child; !r->suspect;) { /* children before their parents */
        child = held_child(r, at, replica, at == run ? end : r->prefix.runs[at].start);
        if (child != SC_NIL) {
            at = child;
            continue;
        }
        if (at == run) break;
        uint32_t parent = r->prefix.runs[at].parent;
        if (parent >= r->prefix.nruns || n > r->prefix.nruns) r->suspect = true;
        if (r->suspect) break;
        trim(r, at, shorten(r, at, replica, r->prefix.runs[at].start));
        at = parent;
        n++;
    }
    trim(r, run, first);
    return n;
}

void sc_hold_scores(sc_region *r, sc_spot at, uint32_t *scores, uint32_t n) {
    memset(scores, 0, 4 * (size_t)n);
    for (uint32_t left = r->prefix.nnotes; at.run != SC_NIL; at = sc_spot_up(r, at)) {
        sc_note h;
        for (uint32_t note = sc_once(&r->prefix.runs[at.run].holds); sc_linked(r, note, r->prefix.nnotes, &left); note = h.next) {
            sc_copy_racy(&h, &r->prefix.notes[note], sizeof h);
            uint32_t depth = h.depth < at.depth ? h.depth : at.depth;
            if (h.what < n && scores[h.what] < depth) scores[h.what] = depth;
        }
    }
}

uint64_t sc_hold_forget(sc_region *r, uint32_t replica) {
    uint64_t n = 0;
    for (uint32_t run = 0; run < r->h->prefix.run_high && run < r->prefix.nruns && !r->suspect; run++)
        if (r->prefix.runs[run].length && r->prefix.runs[run].parent == SC_NIL) n += sc_hold_drop(r, run, replica, 0);
    return n;
}
