/* Values at the end of prefixes: chains of value blocks, as those of entries. When there is no room the hand passes over all of
 * them and takes the first that was not found since it last came (a clock).
 *
 * A mark is found by its run and depth, and keeps 16 bits of its block's hash, which are compared with the prompt's: of bits that rot
 * while the file is open and lead to another prompt's value, one in 65,536 is not seen. More would be 8 bytes a mark. */
#include "prefix.h"

#include <stddef.h>
#include <stdlib.h>

#include "../region/entry.h"
#include "../region/values.h"

uint32_t sc_mark_sum(const sc_region *r, const sc_mark *m) {
    sc_mark c;
    memset(&c, 0, sizeof c);
    c.depth = m->depth, c.run = m->run, c.block = m->block, c.len = m->len;
    c.value_sum = m->value_sum, c.expires = m->expires, c.tag = m->tag, c.kind = m->kind;
    return sc_checksum(r, &c, sizeof c);
}

uint32_t sc_mark_find(sc_region *r, sc_spot at, int64_t now, sc_mark *out) {
    for (uint32_t left = r->prefix.nmarks; at.run != SC_NIL; at = sc_spot_up(r, at))
        for (uint32_t m = sc_once(&r->prefix.runs[at.run].marks); sc_linked(r, m, r->prefix.nmarks, &left); m = out->next) {
            sc_copy_racy(out, &r->prefix.marks[m], sizeof *out);
            if (out->depth <= at.depth && out->depth > 0 && out->run == at.run && out->expires > now) return m;
        }
    return SC_NIL;
}

bool sc_mark_sound(const sc_region *r, const sc_mark *m) {
    return m->len <= (uint64_t)SC_BLOCK * r->nblocks && (!r->file || m->sum == sc_mark_sum(r, m));
}

bool sc_mark_read(const sc_region *r, const sc_mark *m, void *to) {
    return sc_chain_read(r, m->block, 0, to, m->len) && (!r->file || sc_checksum(r, to, m->len) == m->value_sum);
}

bool sc_mark_whole(const sc_region *r, const sc_mark *m) {
    if (m->sum != sc_mark_sum(r, m) || m->len > (uint64_t)SC_BLOCK * r->nblocks) return false;
    uint8_t *copy = malloc(m->len ? m->len : 1);
    bool ok = copy && sc_chain_read(r, m->block, 0, copy, m->len) && sc_checksum(r, copy, m->len) == m->value_sum;
    free(copy);
    return ok;
}

void sc_mark_drop(sc_region *r, uint32_t mark) {
    sc_mark *m = &r->prefix.marks[mark];
    uint32_t left = r->prefix.nmarks, run = m->run;
    bool believable = m->block == SC_NIL || sc_mark_sound(r, m); /* when it names the blocks to give back */
    uint32_t *at = run < r->prefix.nruns ? &r->prefix.runs[run].marks : NULL;
    while (at && sc_mark_ok(r, at, &left) && *at != mark) at = &r->prefix.marks[*at].next;
    if (at && *at == mark) *at = m->next;
    else r->suspect = true;
    m->run = SC_NIL;
    r->h->prefix.mark_blocks -= sc_blocks_for(m->len);
    if (believable) sc_blocks_give(r, m->block);
    else r->suspect = true;
    m->next = r->h->prefix.free_mark;
    r->h->prefix.free_mark = mark;
    r->h->prefix.marks--;
}

void sc_marks_cut(sc_region *r, uint32_t run, uint32_t end) {
    uint32_t left = r->prefix.nmarks, *first = &r->prefix.runs[run].marks;
    while (sc_mark_ok(r, first, &left) && r->prefix.marks[*first].depth > end) {
        uint32_t mark = *first;
        if (r->prefix.marks[mark].run != run) *first = SC_NIL, r->suspect = true;
        else sc_mark_drop(r, mark);
    }
}

bool sc_mark_oldest(sc_region *r) {
    sc_prefix_state *s = &r->h->prefix;
    if (s->marks == 0) return false;
    if (s->mark_high > r->prefix.nmarks) s->mark_high = 0;
    for (uint32_t left = 2 * s->mark_high; left > 0; left--, s->hand++) { /* once to clear `used` */
        if (s->hand >= s->mark_high) s->hand = 0;
        sc_mark *m = &r->prefix.marks[s->hand];
        if (m->run == SC_NIL) continue;
        if (m->used) {
            m->used = 0;
            continue;
        }
        sc_mark_drop(r, s->hand++);
        return true;
    }
    r->suspect = true;
    return false;
}

static uint32_t mark_new(sc_region *r) {
    sc_prefix_state *s = &r->h->prefix;
    if (s->free_mark == SC_NIL && s->mark_high >= r->prefix.nmarks) sc_mark_oldest(r);
    uint32_t mark = s->free_mark;
    if (mark < r->prefix.nmarks && r->prefix.marks[mark].run == SC_NIL) s->free_mark = r->prefix.marks[mark].next;
    else if (mark == SC_NIL && s->mark_high < r->prefix.nmarks) mark = s->mark_high++;
    else return SC_NIL;
    s->marks++;
    return mark;
}

static bool write_value(sc_region *r, uint32_t block, const sc_attach *what) {
    sc_cursor at = {block, 0};
    return sc_chain_write(r, &at, what->value, what->value_len);
}

/* Of a mark in its run's list. */
static uint32_t *place_of(sc_region *r, sc_spot at) {
    uint32_t *link = &r->prefix.runs[at.run].marks, left = r->prefix.nmarks;
    while (sc_mark_ok(r, link, &left) && r->prefix.marks[*link].depth > at.depth) link = &r->prefix.marks[*link].next;
    return link;
}

/* block: a chain that is long enough. */
int sc_mark_put(sc_region *r, sc_spot at, uint32_t block, const sc_attach *what, uint32_t sum) {
    uint32_t *link = place_of(r, at);
    if (*link != SC_NIL && r->prefix.marks[*link].depth == at.depth) sc_mark_drop(r, *link);
    if (!write_value(r, block, what)) return SC_EREGION;
    uint32_t mark = mark_new(r); /* may drop another one of this run */
    if (mark == SC_NIL) return SC_EREGION;
    link = place_of(r, at);
    sc_mark *m = &r->prefix.marks[mark];
    *m = (sc_mark){.next = *link, .depth = at.depth, .run = at.run, .block = block, .len = (uint32_t)what->value_len,
                   .value_sum = sum, .expires = what->expires,
                   .tag = sc_mark_tag(SC_LOAD(sc_line_tag(&r->prefix, at.slot))), .kind = what->value_kind};
    m->sum = sc_mark_sum(r, m);
    *link = mark;
    r->h->prefix.mark_blocks += sc_blocks_for(what->value_len);
    return SC_OK;
}
