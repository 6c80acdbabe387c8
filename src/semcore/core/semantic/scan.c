#include "scan.h"

#include <stdlib.h>

#include "../simd/kernels.h"
#include "leading.h"
#include "product.h"
#include "thread.h"

#define CHUNK 32
#define SPAN 16              /* blocks that a kernel is asked of at once */
#define BATCH 128            /* rows that the second tier is asked of at once */
#define FEW 64               /* rows of a partition that are not worth the learnt tiers' preparation */
#define TRIAL 2048           /* rows after which a tier that lets most of them pass is left out */
/* Walk a list when it holds at most 1/64 of the rows: a linked row is a jump in memory, a row that
 * its tag rules out in a scan is next to nothing. The share was chosen, not tuned. */
#define WALK_SHARE 64
#define ROWS_A_THREAD 65536  /* at least: starting one takes as long as to scan some ten thousand */
#define RAISED 0.02          /* a better floor is worth new tables */

/* What one model's codes say of the query. */
typedef struct learnt {
    sc_leading x;
    sc_product_query product;
    sc_leading_query leading;
    double floor;            /* of the product tables */
} learnt;

typedef struct trial { uint32_t asked, passed; } trial;

typedef struct search {
    const sc_region *r;
    sc_part part;
    int64_t now;
    bool few;                /* rows: the learnt tiers are not worth their preparation */
    sc_query q;
    sc_top *top;
    trial product, leading;
    learnt models[2];        /* by generation % 2 */
    uint32_t waiting;        /* rows in ids, for the second tier */
    learnt *of;              /* what they are coded with, or NULL */
    uint32_t ids[BATCH + SPAN * SC_LANES];
} search;

static double least(const sc_top *t) {
    if (t->n < t->limit) return t->floor;
    double worst = t->best[t->n - 1].similarity;
    return worst > t->floor ? worst : t->floor;
}

static bool better(sc_found a, sc_found b) {
    return a.similarity > b.similarity || (a.similarity == b.similarity && a.slot < b.slot);
}

static void offer(sc_top *t, sc_found f) {
    if (t->n == t->limit && !better(f, t->best[t->n - 1])) return;
    for (uint32_t k = 0; k < t->n; k++)
        if (t->best[k].slot == f.slot) return; /* put again, and met again, under the walk */
    uint32_t i = t->n < t->limit ? t->n++ : t->n - 1;
    for (; i > 0 && better(f, t->best[i - 1]); i--) t->best[i] = t->best[i - 1];
    t->best[i] = f;
}

static bool useless(trial t) { return t.asked >= TRIAL && t.passed > t.asked / 2; }

/* ---- the learnt tiers ---- */

static void make_tables(search *s, const sc_model *m, learnt *l) {
    l->floor = least(s->top);
    sc_product_prepare(s->r, m, &l->x, (float)l->floor, &l->product);
}

/* A copy of a model without its rotation, and the query in its directions; false if there is no such model any more. */
static bool copy_model(search *s, uint32_t generation, sc_model *m, learnt *l, bool rotate) {
    const sc_model *shared = sc_model_at(s->r, generation);
    if (!generation || SC_LOAD_ACQ(&shared->generation) != generation) return false;
    sc_copy_racy(m, shared, sizeof *m);
    if (rotate) {
        float x[SC_MAX_DIM];
        double inverse = 1 / s->q.norm; /* a float does not hold that of every norm */
        for (uint32_t i = 0; i < s->r->dim; i++) x[i] = (float)(s->q.vector[i] * inverse);
        sc_model_rotate(shared, s->r->dim, x, l->x.y);
        l->x.rest = sc_model_rest(l->x.y, sc_model_slack(s->r->dim));
    }
    atomic_thread_fence(memory_order_acquire);
    return SC_LOAD(&shared->generation) == generation;
}

/* Tables for the model of a generation, or NULL. */
static learnt *learn(search *s, uint32_t generation) {
    learnt *l = &s->models[generation % 2];
    sc_model m;
    if (generation && l->product.generation == generation) return l;
    if (!(s->top->floor > 0) || !copy_model(s, generation, &m, l, true)) return NULL;
    l->product.generation = generation;
    make_tables(s, &m, l);
    sc_leading_prepare(s->r, &m, &l->x, generation, &l->leading);
    return l;
}

/* What was found may have raised the floor far enough for sharper tables. */
static void sharpen(search *s, learnt *l) {
    sc_model m;
    if (least(s->top) < l->floor + RAISED) return;
    if (copy_model(s, l->product.generation, &m, l, false)) make_tables(s, &m, l);
}

/* ---- the last tiers ---- */

/* The stored vector, read between two looks at the sequence word. */
static void rescore(search *s, uint32_t slot) {
    const sc_region *r = s->r;
    sc_entry e;
    if (!sc_entry_snapshot(r, slot, &e)) return;
    if (!e.has_vector || !sc_entry_alive(&e, s->now) || !sc_entry_same_part(&e, s->part)) return;
    sc_found f = {sc_cosine(r, &s->q, slot), slot, SC_LOAD(&e.seq)};
    if (!(f.similarity >= least(s->top))) return;
    bool whole = !r->file || (e.sum == sc_entry_sum(r, &e) && e.vector_sum == sc_vector_sum(r, slot));
    if (!sc_entry_unmoved(r, slot, f.seq)) return;
    if (whole) offer(s->top, f);
    else s->top->damaged = slot;
}

/* Rows whose high plane cannot rule them out, moved to the front of ids and high; how many. */
SC_RACY_READ static uint32_t keep_possible(const search *s, uint32_t *ids, int32_t *high, uint32_t n) {
    float floor = (float)least(s->top);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool possible = !(sc_bound_high(&s->q, s->r->scales[ids[i]], high[i]) < floor);
        ids[kept] = ids[i];
        high[kept] = high[i];
        kept += possible;
    }
    return kept;
}

SC_RACY_READ static sc_scale scale_of(const sc_region *r, uint32_t slot) { return r->scales[slot]; }

static void score_codes(search *s, uint32_t *ids, uint32_t n) {
    const sc_region *r = s->r;
    int32_t high[CHUNK], low;
    sc_k->dot_u4(r->high, r->plane, ids, n, s->q.even, s->q.odd, high);
    n = keep_possible(s, ids, high, n);
    for (uint32_t i = 0; i < n; i++) {
        sc_k->dot_u4(r->low, r->plane, &ids[i], 1, s->q.even, s->q.odd, &low);
        if (sc_bound_full(&s->q, scale_of(r, ids[i]), high[i], low) < least(s->top)) continue;
        rescore(s, ids[i]);
    }
}

static void score(search *s, const learnt *l, uint32_t *ids, uint32_t n) {
    if (l && !useless(s->leading)) {
        s->leading.asked += n;
        n = sc_leading_keep(s->r, &l->leading, (float)least(s->top), ids, n);
        s->leading.passed += n;
    }
    for (uint32_t at = 0; at < n; at += CHUNK) score_codes(s, ids + at, n - at < CHUNK ? n - at : CHUNK);
}

/* ---- which rows ---- */

/* Blocks from `block` on, at most SPAN, that are coded with the same model. */
static uint32_t run_of(const sc_region *r, uint32_t block, uint32_t blocks, uint32_t *generation) {
    uint32_t n = 1, most = blocks - block < SPAN ? blocks - block : SPAN;
    *generation = 0;
    if (!r->learns) return most;
    *generation = SC_LOAD_ACQ(&r->coded[block].generation);
    while (n < most && SC_LOAD_ACQ(&r->coded[block + n].generation) == *generation) n++;
    return n;
}

/* The rows of a block that are of our partition. */
static uint32_t ours(const search *s, uint32_t block) {
    uint32_t mask;
    sc_k->product(sc_block_of(s->r, block * SC_LANES), 0, 1, sc_part_tag8(s->part), NULL, 0, &mask);
    return mask;
}

/* Which rows of a run of blocks are of our partition and may reach the floor, as a mask each. */
static void possible(const search *s, const learnt *l, uint32_t block, uint32_t run, uint32_t *masks) {
    const sc_region *r = s->r;
    bool coded = l && !l->product.idle && !useless(s->product);
    if (coded && l->product.nothing) memset(masks, 0, run * sizeof *masks);
    else
        sc_k->product(sc_block_of(r, block * SC_LANES), r->lane_bytes * SC_LANES, run, sc_part_tag8(s->part),
                      coded ? l->product.tables[0] : NULL, coded ? SC_CODE_ROWS : 0, masks);
    if (!coded) return;
    uint32_t apart[SPAN];
    for (uint32_t i = 0; i < run; i++) apart[i] = SC_LOAD(&r->coded[block + i].apart);
    atomic_thread_fence(memory_order_acquire); /* a block that is recoded has lost its generation before */
    for (uint32_t i = 0; i < run; i++) {
        if (SC_LOAD(&r->coded[block + i].generation) != l->product.generation) apart[i] = UINT32_MAX;
        if (apart[i]) masks[i] |= apart[i] & ours(s, block + i);
    }
}

static uint32_t rows_of(const uint32_t *masks, uint32_t block, uint32_t run, uint32_t *ids) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < run; i++)
        for (uint32_t mask = masks[i], first = (block + i) * SC_LANES; mask; mask &= mask - 1)
            ids[n++] = first + sc_lowest_bit(mask);
    return n;
}

static void score_waiting(search *s) {
    score(s, s->of, s->ids, s->waiting);
    s->waiting = 0;
}

/* The rows of a run of blocks that are coded with the same model. */
static void scan_run(search *s, uint32_t block, uint32_t run, uint32_t generation, uint32_t last_mask) {
    uint32_t masks[SPAN];
    learnt *l = s->few ? NULL : learn(s, generation);
    if (l != s->of || s->waiting >= BATCH) {
        score_waiting(s);
        if (l) sharpen(s, l);
    }
    s->of = l;
    possible(s, l, block, run, masks);
    masks[run - 1] &= last_mask;
    uint32_t found = rows_of(masks, block, run, s->ids + s->waiting);
    s->product.asked += l ? run * SC_LANES : 0;
    s->product.passed += l ? found : 0;
    s->waiting += found;
}

/* Every row whose partition tag is theirs, some blocks at a time, for all searches while the blocks are near. */
static void scan_rows(search *s, uint32_t searches, uint32_t block, uint32_t rows) {
    uint32_t run, generation, blocks = (rows + SC_LANES - 1) / SC_LANES;
    for (; block < blocks; block += run) {
        run = run_of(s->r, block, blocks, &generation);
        bool cut = block + run == blocks && rows % SC_LANES;
        for (uint32_t i = 0; i < searches; i++)
            scan_run(&s[i], block, run, generation, cut ? (1u << rows % SC_LANES) - 1 : UINT32_MAX);
    }
    for (uint32_t i = 0; i < searches; i++) score_waiting(&s[i]);
}

/* The partition's list; false if a writer moved it under the walk. */
static bool walk_list(search *s, uint32_t slot, uint32_t rows) {
    uint32_t ids[CHUNK], n = 0;
    uint8_t tag = sc_part_tag8(s->part);
    const learnt *l = rows > FEW ? learn(s, sc_model_current(s->r)) : NULL;
    for (uint32_t left = rows; slot != SC_NIL && left > 0; left--) {
        if (!sc_slot_ok(s->r, slot) || SC_LOAD(sc_lane_tag(s->r, slot)) != tag) return false;
        ids[n++] = slot;
        slot = SC_LOAD(&s->r->links[slot].part_next);
        if (n == CHUNK || slot == SC_NIL) {
            score(s, l, ids, n);
            n = 0;
        }
    }
    return slot == SC_NIL;
}

static bool worth_walking(uint32_t size, uint32_t rows) { return (uint64_t)size * WALK_SHARE <= rows; }

static void begin(search *s, const sc_region *r, sc_part part, const float *query, int64_t now, bool few, sc_top *top) {
    s->r = r, s->part = part, s->now = now, s->few = few, s->top = top; /* the tables are large: not zeroed */
    s->product = s->leading = (trial){0, 0};
    s->models[0].product.generation = s->models[1].product.generation = 0;
    s->waiting = 0, s->of = NULL;
    sc_query_prepare(r, query, &s->q);
}

/* ---- more than one thread ---- */

typedef struct share {
    search s;
    sc_top top;
    uint32_t block, rows;    /* from and to */
    sc_thread thread;
    bool started;
} share;

static void scan_share(void *p) {
    share *x = p;
    scan_rows(&x->s, 1, x->block, x->rows);
}

/* Scans in `threads` shares, each of whole blocks; the first is this thread's. What cannot be started is done here. */
static void scan_shares(search *s, uint32_t rows, uint32_t threads, const float *query) {
    share *more = malloc((threads - 1) * sizeof *more);
    if (!more) threads = 1;
    uint32_t each = rows / threads / SC_LANES * SC_LANES;
    for (uint32_t i = 0; i + 1 < threads; i++) {
        share *x = &more[i];
        x->top = (sc_top){.limit = s->top->limit, .floor = s->top->floor, .damaged = SC_NIL};
        begin(&x->s, s->r, s->part, query, s->now, s->few, &x->top);
        x->block = each * (i + 1) / SC_LANES;
        x->rows = i + 2 < threads ? each * (i + 2) : rows;
        x->started = sc_thread_start(&x->thread, scan_share, x);
    }
    scan_rows(s, 1, 0, threads > 1 ? each : rows);
    for (uint32_t i = 0; i + 1 < threads; i++) {
        if (more[i].started) sc_thread_join(&more[i].thread);
        else scan_share(&more[i]);
        for (uint32_t k = 0; k < more[i].top.n; k++) offer(s->top, more[i].top.best[k]);
        if (more[i].top.damaged != SC_NIL) s->top->damaged = more[i].top.damaged;
    }
    free(more);
}

void sc_scan(const sc_region *r, sc_part part, const float *query, int64_t now, uint32_t threads, sc_top *top) {
    uint32_t size, head = sc_part_find(r, part, &size), rows = sc_slot_high(r);
    search s;
    if (head == SC_NIL) return;
    begin(&s, r, part, query, now, size < FEW, top);
    if (worth_walking(size, rows) && walk_list(&s, head, rows)) return;
    top->n = 0;
    if (threads > rows / ROWS_A_THREAD) threads = rows / ROWS_A_THREAD;
    if (threads > 1) scan_shares(&s, rows, threads, query);
    else scan_rows(&s, 1, 0, rows);
}

bool sc_scan_many(const sc_region *r, sc_part part, const float *queries, uint32_t n, int64_t now, sc_top *tops) {
    uint32_t size, head = sc_part_find(r, part, &size), rows = sc_slot_high(r);
    if (head == SC_NIL) return true;
    if (worth_walking(size, rows)) {
        for (uint32_t i = 0; i < n; i++) sc_scan(r, part, queries + (size_t)r->dim * i, now, 1, &tops[i]);
        return true;
    }
    search *s = malloc(n * sizeof *s);
    if (!s) return false;
    for (uint32_t i = 0; i < n; i++) begin(&s[i], r, part, queries + (size_t)r->dim * i, now, size < FEW, &tops[i]);
    scan_rows(s, n, 0, rows);
    free(s);
    return true;
}

uint64_t sc_scan_bytes(const sc_region *r, sc_part part) {
    uint32_t size, rows = sc_slot_high(r);
    if (sc_part_find(r, part, &size) == SC_NIL) return 0;
    if (worth_walking(size, rows)) return (uint64_t)size * (r->learns ? SC_LEADING_BYTES : r->plane);
    return rows * r->lane_bytes + (r->learns ? 0 : (uint64_t)size * r->plane);
}
