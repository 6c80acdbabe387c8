#include "scan.h"

#include <stdlib.h>

#include "../simd/kernels.h"
#include "seek.h"
#include "thread.h"

#define CHUNK 32
#define WAVE 64              /* lists that are read side by side */
#define FEW 64               /* rows of a partition that are not worth the learnt tiers' preparation */
/* Walk a list when it holds at most 1/64 of the rows: a linked row is a jump in memory, a row that
 * its tag rules out in a scan is next to nothing. The share was chosen, not tuned. */
#define WALK_SHARE 64
#define BLOCKS_A_THREAD 2048 /* at least: starting one takes as long as to scan some ten thousand rows */
#define TRIES 8              /* to scan while rows move, before one that moved may be missed */

/* ---- some blocks ---- */

/* The rows of a block that are of our partition. */
static uint32_t ours(const sc_seek *s, uint32_t block) {
    uint32_t mask;
    sc_k->product(s->r->lanes, s->r->lane_bytes * SC_LANES, &block, 1, sc_part_tag8(s->part), NULL, 0, &mask);
    return mask;
}

/* Which rows of some blocks are of our partition and may reach the floor, as a mask each. */
static void possible(const sc_seek *s, const sc_view *v, const uint32_t *blocks, uint32_t n, uint32_t *masks) {
    const sc_region *r = s->r;
    bool coded = v && !v->product.idle && !sc_trial_useless(s->product);
    if (coded && v->product.nothing) memset(masks, 0, n * sizeof *masks);
    else
        sc_k->product(r->lanes, r->lane_bytes * SC_LANES, blocks, n, sc_part_tag8(s->part),
                      coded ? v->product.tables[0] : NULL, coded ? SC_CODE_ROWS : 0, masks);
    for (uint32_t i = 0; coded && i < n; i++) {
        uint32_t apart = SC_LOAD(&r->coded[blocks[i]].apart);
        if (apart) masks[i] |= apart & ours(s, blocks[i]);
    }
}

static uint32_t rows_of(const sc_region *r, const uint32_t *masks, const uint32_t *blocks, uint32_t n, uint32_t *ids) {
    uint32_t rows = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t mask = masks[i], first = blocks[i] * SC_LANES; mask; mask &= mask - 1) {
            uint32_t slot = SC_LOAD(&r->owner[first + sc_lowest_bit(mask)]);
            if (!sc_slot_ok(r, slot)) continue;
            if (r->learns) SC_PREFETCH(r->leading + (size_t)SC_LEADING_BYTES * slot);
            ids[rows++] = slot;
        }
    return rows;
}

/* At most SC_SPAN blocks, coded with the model of v. */
static void scan_some(sc_seek *s, sc_view *v, const uint32_t *blocks, uint32_t n) {
    uint32_t masks[SC_SPAN];
    sc_seek_turn(s, v);
    possible(s, v, blocks, n, masks);
    uint32_t found = rows_of(s->r, masks, blocks, n, s->ids + s->waiting);
    s->product.asked += v ? n * SC_LANES : 0;
    s->product.passed += v ? found : 0;
    s->waiting += found;
}

/* ---- all blocks ---- */

static uint32_t generation_of(const sc_region *r, uint32_t block) {
    return sc_list_generation(SC_LOAD_ACQ(&r->coded[block].list));
}

/* Blocks from `block` on, at most SC_SPAN, that are coded with the same model. */
static uint32_t run_of(const sc_region *r, uint32_t block, uint32_t blocks, uint32_t *generation) {
    uint32_t n = 1, most = blocks - block < SC_SPAN ? blocks - block : SC_SPAN;
    *generation = generation_of(r, block);
    while (n < most && generation_of(r, block + n) == *generation) n++;
    return n;
}

/* Those of a run whose lists may hold a row that reaches the floor. */
static uint32_t within_reach(const sc_seek *s, const sc_view *v, uint32_t block, uint32_t run, uint32_t *ids) {
    uint32_t n = 0, lists = v ? v->reach.cells * SC_SHELLS : 0;
    for (uint32_t i = 0; i < run; i++) {
        uint32_t number = lists ? sc_list_number(SC_LOAD(&s->r->coded[block + i].list)) : 0;
        ids[n] = block + i;
        n += !(number < lists && v->reach.skip[number]);
    }
    return n;
}

/* Every row whose partition tag is theirs, some blocks at a time, for all searches while the blocks are near. */
static void scan_rows(sc_seek *s, uint32_t searches, uint32_t block, uint32_t blocks) {
    uint32_t run, generation, ids[SC_SPAN];
    for (; block < blocks; block += run) {
        run = run_of(s->r, block, blocks, &generation);
        for (uint32_t i = 0; i < searches; i++) {
            sc_view *v = sc_seek_view(&s[i], generation);
            uint32_t n = within_reach(&s[i], v, block, run, ids);
            if (n) scan_some(&s[i], v, ids, n);
        }
    }
    for (uint32_t i = 0; i < searches; i++) sc_seek_score_waiting(&s[i]);
}

/* ---- the nearest cells ---- */

/* Lists of one model that are read side by side: each link and each block is fetched while others are at work. */
typedef struct wave {
    uint32_t lists, blocks;
    uint64_t words[WAVE];
    uint32_t at[WAVE], ids[SC_SPAN];
} wave;

static void scan_blocks_of(sc_seek *s, sc_view *v, wave *w) {
    if (w->blocks) scan_some(s, v, w->ids, w->blocks);
    w->blocks = 0;
}

/* Where a list goes on; SC_NIL at its end. If a writer took it apart meanwhile, at its head. */
static uint32_t step(const sc_region *r, uint64_t word, uint32_t block, bool *there) {
    uint32_t next = SC_LOAD_ACQ(&r->coded[block].next);
    *there = SC_LOAD_ACQ(&r->coded[block].list) == word && SC_LOAD(&r->coded[block].next) == next;
    if (!*there) next = SC_LOAD_ACQ(&sc_list_at(r, word)->head);
    if (next >= r->ncoded) return SC_NIL;
    SC_PREFETCH(&r->coded[next]);
    return next;
}

static void fetch(const sc_region *r, uint32_t block) {
    for (size_t at = 0; at < r->lane_bytes * SC_LANES; at += 64) SC_PREFETCH(sc_block_at(r, block) + at);
}

static void scan_wave(sc_seek *s, sc_view *v, wave *w) {
    const sc_region *r = s->r;
    uint32_t left = r->ncoded; /* of a list that was forged to be a ring */
    bool there;
    for (uint32_t i = 0; i < w->lists; i++) {
        w->at[i] = SC_LOAD_ACQ(&sc_list_at(r, w->words[i])->head);
        if (w->at[i] < r->ncoded) SC_PREFETCH(&r->coded[w->at[i]]);
        else w->words[i] = w->words[--w->lists], i--;
    }
    for (uint32_t i = 0; w->lists > 0 && left > 0; i = i + 1 < w->lists ? i + 1 : 0, left--) {
        uint32_t block = w->at[i];
        w->at[i] = step(r, w->words[i], block, &there);
        if (there) fetch(r, w->ids[w->blocks++] = block);
        if (w->blocks == SC_SPAN) scan_blocks_of(s, v, w);
        if (w->at[i] != SC_NIL) continue;
        w->lists--;
        w->at[i] = w->at[w->lists], w->words[i] = w->words[w->lists];
    }
    w->lists = 0;
}

static void add_list(sc_seek *s, sc_view *v, wave *w, uint64_t word) {
    SC_PREFETCH(sc_list_at(s->r, word));
    w->words[w->lists++] = word;
    if (w->lists == WAVE) scan_wave(s, v, w);
}

static void add_cell(sc_seek *s, sc_view *v, wave *w, uint32_t generation, uint32_t cell) {
    for (uint32_t k = cell * SC_SHELLS; k < (cell + 1) * SC_SHELLS; k++)
        if (!sc_reach_passes(s->r, generation, &v->reach, k)) add_list(s, v, w, sc_list_word(generation, k));
}

static void end_wave(sc_seek *s, sc_view *v, wave *w) {
    scan_wave(s, v, w);
    scan_blocks_of(s, v, w);
}

/* What is found in the nearest cells raises the floor for all others. */
static void scan_nearest(sc_seek *s) {
    uint32_t generation = sc_model_current(s->r);
    sc_view *v = sc_seek_view(s, generation);
    wave w = {.lists = 0};
    if (!v || !v->reach.n) return;
    for (uint32_t i = 0; i < v->reach.n; i++) add_cell(s, v, &w, generation, v->reach.nearest[i]);
    end_wave(s, v, &w);
    sc_seek_score_waiting(s);
    sc_seek_turn(s, NULL);
    sc_seek_turn(s, v); /* sharper tables, fewer cells */
    s->product = s->leading = (sc_trial){0, 0}; /* what many of these rows pass, few others do */
}

/* The cells of a model that hold what is asked for, but for what may be missed; false: all of them do. */
static bool scan_probes(sc_seek *s, uint32_t generation) {
    if (SC_LOAD(sc_coded_by(s->r, generation)) == 0) return true;
    generation = SC_LOAD_ACQ(&sc_model_at(s->r, generation)->generation);
    sc_view *v = sc_seek_view(s, generation);
    wave w = {.lists = 0};
    if (!v || v->reach.probes >= v->reach.cells) return false;
    float least = sc_reach_cosine(&v->reach);
    for (uint32_t i = 0; i < v->reach.cells; i++)
        if (v->reach.cosines[i] >= least) add_cell(s, v, &w, generation, i);
    end_wave(s, v, &w);
    return true;
}

/* Instead of all blocks; false if that cannot be. */
static bool scan_some_cells(sc_seek *s) {
    uint32_t current = sc_model_current(s->r);
    if (!(s->missed > 0) || !current || !scan_probes(s, current + 1) || !scan_probes(s, current)) return false;
    wave w = {.lists = 0};
    if (SC_LOAD(sc_coded_by(s->r, 0))) add_list(s, NULL, &w, SC_UNCODED);
    end_wave(s, NULL, &w);
    sc_seek_score_waiting(s);
    return true;
}

/* The rows that changed lanes since the scan began, which it may not have met; false: they are too many to know them. */
static bool scan_moved(sc_seek *s, uint32_t searches, uint32_t from) {
    const sc_region *r = s->r;
    const sc_a32 *moved = &r->h->state.moved;
    atomic_thread_fence(memory_order_acquire);
    for (uint32_t to = SC_LOAD_ACQ(moved), n; from != to; from += n) {
        uint32_t ids[CHUNK], copy[CHUNK], kept = 0;
        if (to - from > r->moved_mask) return false;
        n = to - from < CHUNK ? to - from : CHUNK;
        for (uint32_t i = 0; i < n; i++) {
            ids[kept] = SC_LOAD(&r->moved[(from + i) & r->moved_mask]);
            kept += sc_slot_ok(r, ids[kept]);
        }
        for (uint32_t i = 0; i < searches; i++) {
            memcpy(copy, ids, sizeof copy);
            sc_seek_score(&s[i], NULL, copy, kept);
        }
        atomic_thread_fence(memory_order_acquire);
        if (SC_LOAD(moved) - from > r->moved_mask) return false; /* overwritten while they were read */
    }
    return true;
}

/* ---- a partition's list ---- */

/* Is it live, and of the partition? With a vector or without. */
SC_RACY_READ static bool belongs(const sc_seek *s, uint32_t slot) {
    const sc_entry *e = &s->r->entries[slot];
    return sc_entry_live(s->r, slot) && e->part.all == s->part.all && e->part.ns == s->part.ns;
}

/* False if a writer moved the list under the walk. */
static bool walk_list(sc_seek *s, uint32_t slot, uint32_t rows) {
    uint32_t ids[CHUNK], n = 0;
    const sc_view *v = rows > FEW ? sc_seek_view(s, sc_model_current(s->r)) : NULL;
    for (uint32_t left = rows; slot != SC_NIL && left > 0; left--) {
        if (!sc_slot_ok(s->r, slot)) return false;
        ids[n++] = slot;
        uint32_t next = SC_LOAD_ACQ(&s->r->links[slot].part_next);
        if (!belongs(s, slot)) return false; /* any more: the link may be another list's */
        slot = next;
        if (n == CHUNK || slot == SC_NIL) {
            sc_seek_score(s, v, ids, n);
            n = 0;
        }
    }
    return slot == SC_NIL;
}

static bool worth_walking(uint32_t size, uint32_t rows) { return (uint64_t)size * WALK_SHARE <= rows; }

/* ---- more than one thread ---- */

typedef struct share {
    sc_seek s;
    sc_top top;
    uint32_t block, blocks;  /* from and to */
    sc_thread thread;
    bool started;
} share;

static void scan_share(void *p) {
    share *x = p;
    scan_rows(&x->s, 1, x->block, x->blocks);
    sc_seek_end(&x->s);
}

/* Scans in `threads` shares; the first is this thread's. What cannot be started is done here. */
static void scan_shares(sc_seek *s, uint32_t blocks, uint32_t threads, const float *query) {
    share *more = malloc((threads - 1) * sizeof *more);
    if (!more) threads = 1;
    uint32_t each = blocks / threads;
    for (uint32_t i = 0; i + 1 < threads; i++) {
        share *x = &more[i];
        x->top = (sc_top){.limit = s->top->limit, .floor = sc_seek_floor(s), .damaged = SC_NIL};
        sc_seek_begin(&x->s, s->r, s->part, query, s->now, s->few, &x->top);
        x->s.passes = x->s.all = true;
        x->block = each * (i + 1);
        x->blocks = i + 2 < threads ? each * (i + 2) : blocks;
        x->started = sc_thread_start(&x->thread, scan_share, x);
    }
    scan_rows(s, 1, 0, threads > 1 ? each : blocks);
    for (uint32_t i = 0; i + 1 < threads; i++) {
        if (more[i].started) sc_thread_join(&more[i].thread);
        else scan_share(&more[i]);
        for (uint32_t k = 0; k < more[i].top.n; k++) sc_seek_offer(s->top, more[i].top.best[k]);
        if (more[i].top.damaged != SC_NIL) s->top->damaged = more[i].top.damaged;
    }
    free(more);
}

/* ---- the door ---- */

/* Scans what has to be read for all searches; false: so many rows moved meanwhile that some may have been missed. */
static bool scan(sc_seek *s, uint32_t searches, uint32_t threads, const float *query) {
    uint32_t moved = SC_LOAD_ACQ(&s->r->h->state.moved), blocks = sc_blocks_of_lanes(s->r);
    bool all = false;
    if (threads > blocks / BLOCKS_A_THREAD) threads = blocks / BLOCKS_A_THREAD;
    for (uint32_t i = 0; i < searches; i++) {
        scan_nearest(&s[i]);
        if (!all) all = !scan_some_cells(&s[i]);
    }
    for (uint32_t i = 0; all && i < searches; i++) sc_seek_all(&s[i]);
    if (all && threads > 1) scan_shares(s, blocks, threads, query);
    else if (all) scan_rows(s, searches, 0, blocks);
    return scan_moved(s, searches, moved);
}

/* What one partition may miss: of all hits that would be too many, as all the rows that are missed may be its own. */
static float may_miss(const sc_region *r, uint32_t size, float missed) {
    uint32_t entries = SC_LOAD(&r->h->state.entries);
    return size < entries ? missed * ((float)size / (float)entries) : missed;
}

void sc_scan(const sc_region *r, sc_part part, const float *query, int64_t now, sc_effort effort, sc_top *top) {
    uint32_t size, head = sc_part_find(r, part, &size), rows = sc_slot_high(r);
    sc_seek s;
    if (head == SC_NIL) return;
    sc_seek_begin(&s, r, part, query, now, size < FEW, top);
    if (!worth_walking(size, rows) || !walk_list(&s, head, rows)) {
        top->n = 0;
        s.passes = true, s.missed = may_miss(r, size, effort.missed);
        for (int tries = 0; tries < TRIES && !scan(&s, 1, effort.threads, query); tries++) {}
    }
    sc_seek_end(&s);
}

bool sc_scan_many(const sc_region *r, sc_part part, const float *queries, uint32_t n, int64_t now, sc_effort effort,
                  sc_top *tops) {
    uint32_t size, head = sc_part_find(r, part, &size), rows = sc_slot_high(r);
    if (head == SC_NIL) return true;
    if (worth_walking(size, rows)) {
        for (uint32_t i = 0; i < n; i++) sc_scan(r, part, queries + (size_t)r->dim * i, now, effort, &tops[i]);
        return true;
    }
    sc_seek *s = malloc(n * sizeof *s);
    if (!s) return false;
    for (uint32_t i = 0; i < n; i++) {
        sc_seek_begin(&s[i], r, part, queries + (size_t)r->dim * i, now, size < FEW, &tops[i]);
        s[i].passes = true, s[i].missed = may_miss(r, size, effort.missed);
    }
    for (int tries = 0; tries < TRIES && !scan(s, n, 1, NULL); tries++) {}
    for (uint32_t i = 0; i < n; i++) sc_seek_end(&s[i]);
    free(s);
    return true;
}

uint64_t sc_scan_bytes(const sc_region *r, sc_part part) {
    uint32_t size, rows = sc_slot_high(r);
    if (sc_part_find(r, part, &size) == SC_NIL) return 0;
    if (worth_walking(size, rows)) return (uint64_t)size * (r->learns ? SC_LEADING_BYTES : r->plane);
    return rows * r->lane_bytes + (r->learns ? 0 : (uint64_t)size * r->plane);
}
