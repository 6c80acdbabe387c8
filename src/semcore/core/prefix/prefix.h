/* The prefix index: what of this prompt has been seen before.
 *
 * A flat table of chained block hashes, not a tree of pointers: the hash of a block stands for all
 * that is in front of it. Invariant: a block is present only while the block before it is, so
 * presence along a prompt is 1...10...0, and the end is found by galloping and bisecting, one
 * table line a look, without a lock.
 *
 * chain.c   hashes: groups of blocks, and single blocks inside the last group
 * lines.c   the table: 4 blocks of (tag, run, slot of the block before) in a cache line
 * runs.c    blocks that were inserted together, behind a parent run: what the rest hangs on
 * heap.c    runs by the stamp of their last block
 * steps.c   stamps of blocks inside a run
 * evict.c   the least recently used last block, until there is room
 * marks.c   values on blocks
 * holds.c   how far each replica has a run: one number, as what it has of a run is a prefix of it
 * seek.c    the longest present prefix
 * salvage.c after a writer died: the truth again, and all else from it
 *
 * What looks only (seek.c, audit.c, sc_mark_find, sc_mark_read, sc_hold_scores) writes nothing there, and bears a writer at work:
 * a handle without the lock believes it if the header's word says that none was.
 *
 * Only the deepest block of a match is stamped; a block that goes leaves its stamp to the one in front of it.
 * Evictions equal those of stamping the whole path (shown on 16 runs of production traces), at O(1) a hit.
 * Rejected: a record a block (20 bytes more, and a replica's share is no longer one number); moving blocks in
 * the table on deletion (`over` counts who lies behind a line, so nothing moves and slots are stable).
 */
#ifndef SC_PREFIX_H
#define SC_PREFIX_H

#include "../region/region.h"

typedef struct sc_spot { uint32_t run, slot, depth; } sc_spot; /* the block in front of depth; run SC_NIL: the front */
#define SC_FRONT ((sc_spot){SC_NIL, SC_NIL, 0})

/* Only a damaged file has numbers out of range, runs longer than the index, and lists that are rings. Each is seen where
 * it is used: it counts as the end, `suspect` is set, and unlocking recovers. `left`: of so many there can be more. */
static inline bool sc_link_ok(sc_region *r, uint32_t *link, uint32_t n, uint32_t *left) {
    if (*link < n && *left > 0) {
        --*left;
        return true;
    }
    if (*link != SC_NIL) r->suspect = true;
    *link = SC_NIL;
    return false;
}
/* The same for who only looks, with a number that was loaded once. */
static inline bool sc_linked(sc_region *r, uint32_t link, uint32_t n, uint32_t *left) {
    if (link < n && *left > 0) {
        --*left;
        return true;
    }
    if (link != SC_NIL) r->suspect = true;
    return false;
}
/* A number that a writer may be changing: what is compared with a bound is what is used. */
static inline uint32_t sc_once(const uint32_t *p) { return *(const volatile uint32_t *)p; }
/* Stores stay on their side of it, for whoever finds what a killed process stored. */
#define SC_IN_ORDER() atomic_signal_fence(memory_order_seq_cst)
static inline bool sc_note_ok(sc_region *r, uint32_t *link, uint32_t *left) { return sc_link_ok(r, link, r->prefix.nnotes, left); }
static inline bool sc_mark_ok(sc_region *r, uint32_t *link, uint32_t *left) { return sc_link_ok(r, link, r->prefix.nmarks, left); }
static inline bool sc_run_fits(const sc_region *r, const sc_run *u) {
    return u->length > 0 && u->length <= r->prefix.blocks && u->start <= r->prefix.blocks - u->length;
}
static inline bool sc_run_ok(const sc_region *r, uint32_t run) {
    return run < r->prefix.nruns && sc_run_fits(r, &r->prefix.runs[run]);
}
/* The block that a spot's run goes on from. Depths fall on the way to the front, so it is reached. */
static inline sc_spot sc_spot_up(const sc_region *r, sc_spot at) {
    const sc_run *u = &r->prefix.runs[at.run];
    uint32_t parent = sc_once(&u->parent), start = sc_once(&u->start);
    if (parent >= r->prefix.nruns || start >= at.depth) return SC_FRONT;
    return (sc_spot){parent, SC_NIL, start};
}

/* chain.c */
sc_hash128 sc_chain_root(const sc_region *r, const void *ns, size_t len);
sc_hash128 sc_chain_unit(const sc_region *r, sc_hash128 before, const void *head, size_t head_len, const void *text, size_t len);
sc_hash128 sc_chain_key(const sc_region *r, sc_hash128 root, uint64_t hash);
int sc_chain_groups(const sc_region *r, sc_prompt *p, uint32_t n); /* hashes at least n; SC_EARG: a negative token */
bool sc_chain_valid(const sc_region *r, const sc_prompt *p, uint32_t block); /* no token is negative */
sc_hash128 sc_chain_fine(const sc_region *r, const sc_prompt *p, sc_hash128 before, uint32_t block);
/* The keys of blocks from..to. */
int sc_chain_keys(const sc_region *r, sc_prompt *p, uint32_t from, uint32_t to, sc_hash128 *out);
/* interop.c */
uint64_t sc_rolling_hash(const void *data, size_t len, uint64_t seed);

/* lines.c */
uint32_t sc_line_find(const sc_prefix *x, sc_hash128 key); /* its slot, or SC_NIL; lock-free */
uint32_t sc_line_put(sc_prefix *x, sc_hash128 key, uint32_t run, uint32_t prev);
void sc_line_drop(sc_prefix *x, uint32_t slot);
void sc_line_passed(sc_prefix *x, uint32_t line, uint32_t shift, int more);
sc_hash128 sc_line_key(const sc_prefix *x, uint32_t slot); /* by which its block is found */
void sc_line_fetch(const sc_prefix *x, sc_hash128 key); /* into the cache */
static inline uint64_t sc_tag_of(sc_hash128 key) { return key.high ? key.high : 1; }
static inline uint16_t sc_mark_tag(uint64_t tag) { return (uint16_t)(tag >> 48); }
static inline sc_a32 *sc_line_word(const sc_prefix *x, uint32_t slot) { return &x->lines[slot / SC_LINE].run[slot % SC_LINE]; }
static inline sc_a64 *sc_line_tag(const sc_prefix *x, uint32_t slot) { return &x->lines[slot / SC_LINE].tag[slot % SC_LINE]; }
static inline uint32_t sc_line_run(const sc_prefix *x, uint32_t slot) { return SC_LOAD(sc_line_word(x, slot)) & SC_RUN_MASK; }
static inline uint32_t sc_line_prev(const sc_prefix *x, uint32_t slot) {
    return SC_LOAD(&x->lines[slot / SC_LINE].prev[slot % SC_LINE]);
}
static inline uint32_t sc_line_slots(const sc_prefix *x) { return x->nlines * SC_LINE; }

/* notes.c */
uint32_t sc_note_new(sc_region *r, uint32_t next, uint32_t depth, uint64_t what); /* SC_NIL: no room */
void sc_note_drop(sc_region *r, uint32_t *link); /* the note that it leads to; then it leads to the next one */
void sc_notes_drop(sc_region *r, uint32_t *link); /* and all behind it */

/* heap.c */
void sc_heap_add(sc_region *r, uint32_t run);
void sc_heap_remove(sc_region *r, uint32_t run);
uint32_t sc_heap_least(sc_region *r); /* SC_NIL: it is empty */

/* steps.c; each stamp passes on to the blocks in front in the end */
void sc_step_last(sc_region *r, uint32_t run, uint64_t stamp); /* of the run's last block */
void sc_step_add(sc_region *r, uint32_t run, uint32_t depth, uint64_t stamp);
uint64_t sc_step_stamp(sc_region *r, uint32_t run, uint32_t depth); /* of the block in front of depth */
uint32_t sc_step_deepest(sc_region *r, uint32_t run); /* 0: none */
void sc_steps_cut(sc_region *r, uint32_t run, uint32_t end); /* into the run's stamp */

/* runs.c */
static inline uint32_t sc_run_end(const sc_run *u) { return u->start + u->length; }
uint32_t sc_run_new(sc_region *r, uint32_t parent, uint32_t start); /* SC_NIL: no room */
void sc_run_settle(sc_region *r, uint32_t run); /* in the heap or not */
uint32_t sc_run_limit(const sc_region *r, const sc_run *u); /* what may not be cut */
uint32_t sc_run_cut(sc_region *r, uint32_t run, uint32_t end); /* how many blocks went */
void sc_run_link(sc_region *r, uint32_t run);
uint32_t sc_run_grow(sc_region *r, uint32_t run, uint32_t prev, const sc_hash128 *keys, uint32_t n, uint64_t stamp);

/* evict.c */
uint64_t sc_stamp_next(sc_region *r, int policy, uint64_t before);
void sc_spot_touch(sc_region *r, int policy, sc_spot at);
uint32_t sc_prefix_evict(sc_region *r, int policy, uint32_t need, sc_spot guard);
bool sc_prefix_free_run(sc_region *r, int policy, sc_spot guard); /* makes sure that there is one */

/* seek.c */
int sc_seek(const sc_region *r, sc_prompt *p, uint32_t *depth);  /* lock-free */
/* Under the lock; depth 0 if it is not there, or damaged. */
sc_spot sc_spot_at(sc_region *r, sc_hash128 key, uint32_t depth);
sc_spot sc_spot_find(sc_region *r, sc_hash128 key); /* finds its depth, too */
int sc_prompt_key(const sc_region *r, sc_prompt *p, uint32_t block, sc_hash128 *key);

/* marks.c */
/* The deepest live one on the path, or SC_NIL; a copy of its record. */
uint32_t sc_mark_find(sc_region *r, sc_spot at, int64_t now, sc_mark *out);
uint32_t sc_mark_sum(const sc_region *r, const sc_mark *m);
bool sc_mark_sound(const sc_region *r, const sc_mark *m); /* its record, not the value */
bool sc_mark_read(const sc_region *r, const sc_mark *m, void *to);
int sc_mark_put(sc_region *r, sc_spot at, uint32_t block, const sc_attach *what, uint32_t sum);
void sc_mark_drop(sc_region *r, uint32_t mark);
void sc_marks_cut(sc_region *r, uint32_t run, uint32_t end);
bool sc_mark_oldest(sc_region *r); /* drops one that was not used lately; false: there is none */
bool sc_mark_whole(const sc_region *r, const sc_mark *m);

/* pins.c */
bool sc_pin_add(sc_region *r, sc_spot at, uint32_t count); /* false: no room */
uint32_t sc_pin_remove(sc_region *r, sc_spot at); /* its depth, or 0 */

/* holds.c */
void sc_hold(sc_region *r, sc_spot at, uint32_t replica);
void sc_holds_cut(sc_region *r, uint32_t run, uint32_t end);
/* What it has behind end, in later runs too; returns of how many runs. */
uint64_t sc_hold_drop(sc_region *r, uint32_t run, uint32_t replica, uint32_t end);
void sc_hold_scores(sc_region *r, sc_spot at, uint32_t *scores, uint32_t n);
uint64_t sc_hold_forget(sc_region *r, uint32_t replica);

/* salvage.c, audit.c */
void sc_prefix_reset(sc_region *r);
int sc_prefix_salvage(sc_region *r);
const char *sc_prefix_audit(const sc_region *r, uint32_t *value_blocks);

#endif
