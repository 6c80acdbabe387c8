#include "scan.h"

#include "../simd/kernels.h"
#include "signs.h"

#define CHUNK SC_LANES
/* Fewer rows of a block than this go straight to the 4-bit plane. */
#define FEW 6
/* Walk a list when it holds at most 1/64 of the rows: a linked row is a jump in memory, a row that
 * its tag rules out in a scan is next to nothing. The share was chosen, not tuned. */
#define WALK_SHARE 64

typedef struct search {
    const sc_region *r;
    sc_part part;
    int64_t now;
    sc_query q;
    sc_sign_query signs;
    sc_top *top;
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

/* The last tier: the stored vector, read between two looks at the sequence word. */
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
        bool possible = sc_bound_high(&s->q, s->r->scales[ids[i]], high[i]) >= floor;
        ids[kept] = ids[i];
        high[kept] = high[i];
        kept += possible;
    }
    return kept;
}

SC_RACY_READ static sc_scale scale_of(const sc_region *r, uint32_t slot) { return r->scales[slot]; }

static void score(search *s, uint32_t *ids, uint32_t n) {
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

/* Of n ids of one block, those that the signs cannot rule out. Below zero the bound says nothing. */
static uint32_t keep_by_signs(const search *s, uint32_t block, uint32_t *ids, uint32_t n) {
    float floor = (float)least(s->top);
    if (n < FEW || !(floor > 0)) return n;
    uint32_t mask = sc_signs_possible(s->r, &s->signs, block, floor), kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        ids[kept] = ids[i];
        kept += mask >> (ids[i] % SC_LANES) & 1;
    }
    return kept;
}

/* Every row whose partition tag is ours, a block at a time. */
static void scan_rows(search *s, uint32_t rows) {
    uint32_t ids[CHUNK + 1], tag = sc_part_tag(s->part); /* match() may write one past the last */
    sc_signs_prepare(s->r, s->q.vector, s->q.norm, &s->signs);
    for (uint32_t at = 0; at < rows; at += CHUNK) {
        uint32_t n = rows - at < CHUNK ? rows - at : CHUNK;
        n = sc_k->match((const uint32_t *)(s->r->ptags + at), n, tag, at, ids);
        if (n) n = keep_by_signs(s, at / CHUNK, ids, n);
        if (n) score(s, ids, n);
    }
}

/* The partition's list; false if a writer moved it under the walk. */
static bool walk_list(search *s, uint32_t slot, uint32_t rows) {
    uint32_t ids[CHUNK], n = 0, tag = sc_part_tag(s->part);
    for (uint32_t left = rows; slot != SC_NIL && left > 0; left--) {
        if (!sc_slot_ok(s->r, slot) || SC_LOAD(&s->r->ptags[slot]) != tag) return false;
        ids[n++] = slot;
        slot = SC_LOAD(&s->r->links[slot].part_next);
        if (n == CHUNK || slot == SC_NIL) {
            score(s, ids, n);
            n = 0;
        }
    }
    return slot == SC_NIL;
}

static bool worth_walking(uint32_t size, uint32_t rows) { return (uint64_t)size * WALK_SHARE <= rows; }

void sc_scan(const sc_region *r, sc_part part, const float *query, int64_t now, sc_top *top) {
    uint32_t size, head = sc_part_find(r, part, &size), rows = sc_slot_high(r);
    if (head == SC_NIL) return;
    search s;
    s.r = r, s.part = part, s.now = now, s.top = top; /* the tables are large: not zeroed */
    sc_query_prepare(r, query, &s.q);
    if (worth_walking(size, rows) && walk_list(&s, head, rows)) return;
    top->n = 0;
    scan_rows(&s, rows);
}

uint64_t sc_scan_bytes(const sc_region *r, sc_part part) {
    uint32_t size, rows = sc_slot_high(r);
    if (sc_part_find(r, part, &size) == SC_NIL) return 0;
    return (uint64_t)size * r->plane + (worth_walking(size, rows) ? 0 : (uint64_t)rows * 4);
}
