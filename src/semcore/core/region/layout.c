/* Where each part of a region lies, as a function of its geometry alone. */
#include <stdio.h>

#include "region.h"

#define PAGE 4096
#define DEFAULT_ENTRIES 200000
#define LEAST_MOVED 64 /* rows that a search may see move until it has to start over: the more, the longer it takes */
#define MOST_MOVED 4096

static size_t vector_bytes(const sc_options *o) {
    size_t width[] = {2, 4, 0};
    return sc_align((size_t)o->dim * width[o->storage], 8);
}

/* Every list may have one block that is not full, and one row more while it goes from one to another. */
static void size_lanes(sc_region *r) {
    uint32_t n = r->max_entries;
    r->learns = n >= SC_LEARN_FROM && r->dim >= SC_LEAST_DIM;
    r->nlists = !r->learns ? 0 : n < SC_LIST_ROWS ? 1 : n / SC_LIST_ROWS;
    r->ncells = r->nlists / SC_SHELLS;
    r->ngroups = r->ncells < SC_MOST_GROUPS ? r->ncells : SC_MOST_GROUPS;
    r->lane_bytes = 1 + (r->learns ? SC_CODE_ROWS : 0);
    r->ncoded = r->dim ? n / SC_LANES + 2 * r->nlists + 2 : 0;
    r->moved_mask = LEAST_MOVED - 1;
    while (r->dim && r->moved_mask + 1 < MOST_MOVED && r->moved_mask + 1 < n / 16) r->moved_mask = 2 * r->moved_mask + 1;
}

#define RUNS_FOR_EACH 4096 /* so many runs before one has to serve several blocks, */
#define BLOCKS_OF_A_RUN 11 /* namely so many on average */

/* 27.8 bytes a block where there are many. */
static void size_prefix(sc_prefix *p) {
    uint32_t few = p->blocks < RUNS_FOR_EACH ? p->blocks : RUNS_FOR_EACH;
    p->nlines = p->blocks ? (uint32_t)((uint64_t)p->blocks * 6 / 5 / SC_LINE + SC_MOST_SHIFT + 2) : 0;
    p->nruns = p->blocks / BLOCKS_OF_A_RUN > few ? p->blocks / BLOCKS_OF_A_RUN : few;
    p->nnotes = p->nruns + (p->blocks ? 1024 : 0);
    p->nmarks = p->blocks / 64 + (p->blocks ? few : 0);
}

/* Sets the sizes that follow from the geometry in r, binds the parts to base and returns the
 * offset behind the last part; base may be NULL to measure only. */
static size_t place(sc_region *r, uint8_t *base) {
    size_t at = PAGE, n = r->max_entries;
    r->h = (sc_header *)base;
    r->ntagheads = r->max_entries / 4 + 1;
    r->sketch_lines = r->max_entries / 16 + 1;
    r->step = r->max_entries < 512 ? 1 : r->max_entries < 16384 ? r->max_entries / 256 : 64;
#define PART(field, type, bytes) \
    do { r->field = (type)(base + at); at = sc_align(at + (bytes), 64); } while (0)
    PART(hot, sc_a64 *, 8 * n);
    PART(entries, sc_entry *, sizeof(sc_entry) * n);
    r->exact.cap = r->partitions.cap = sc_table_capacity(r->max_entries);
    PART(exact.cells, sc_a64 *, (size_t)8 * r->exact.cap);
    PART(partitions.cells, sc_a64 *, (size_t)8 * r->partitions.cap);
    PART(links, sc_links *, sizeof(sc_links) * n);
    PART(sketch, sc_a8 *, (size_t)64 * r->sketch_lines);
    PART(wheel, sc_a32 *, 4 * 64 * SC_LEVELS);
    PART(tagheads, sc_a32 *, (size_t)4 * r->ntagheads);
    size_t before = at;
    PART(vectors, uint8_t *, r->vector_bytes * n);
    PART(scales, sc_scale *, r->dim ? sizeof(sc_scale) * n : 0);
    PART(high, uint8_t *, r->plane * n);
    PART(low, uint8_t *, r->plane * n);
    size_lanes(r);
    PART(leading, uint8_t *, r->learns ? (size_t)SC_LEADING_BYTES * n : 0);
    PART(place, sc_a32 *, r->dim ? 4 * n : 0);
    PART(lanes, uint8_t *, r->lane_bytes * SC_LANES * r->ncoded);
    PART(owner, sc_a32 *, (size_t)4 * SC_LANES * r->ncoded);
    PART(coded, sc_coded *, sizeof(sc_coded) * r->ncoded);
    PART(lists, sc_list *, sizeof(sc_list) * sc_lists_of(r));
    PART(moved, sc_a32 *, (size_t)4 * (r->moved_mask + 1));
    r->slot_bytes = (at - PAGE) / n;
    r->slot_vector_bytes = (at - before) / n;
    PART(models, uint8_t *, r->learns ? 2 * sc_model_bytes(r->dim) : 0);
    PART(centres, sc_centre *, 2 * sizeof(sc_centre) * (r->ncells + r->ngroups));
    size_prefix(&r->prefix);
    PART(prefix.lines, sc_line *, sizeof(sc_line) * r->prefix.nlines);
    PART(prefix.over, sc_a8 *, r->prefix.nlines);
    PART(prefix.runs, sc_run *, sizeof(sc_run) * r->prefix.nruns);
    PART(prefix.heap, uint32_t *, (size_t)4 * r->prefix.nruns);
    PART(prefix.notes, sc_note *, sizeof(sc_note) * r->prefix.nnotes);
    PART(prefix.marks, sc_mark *, sizeof(sc_mark) * r->prefix.nmarks);
    PART(chain, sc_a32 *, (size_t)4 * r->nblocks);
    at = sc_align(at, PAGE);
    PART(blocks, uint8_t *, (size_t)SC_BLOCK * r->nblocks);
#undef PART
    r->exact.moves = &r->h->state.exact_moves;
    r->partitions.moves = &r->h->state.partition_moves;
    return at;
}

/* Bytes of a region without value blocks. */
static size_t bare(sc_region *r, uint32_t entries) {
    r->max_entries = entries;
    r->nblocks = 0;
    return place(r, (uint8_t *)64); /* any aligned non-null base: pointers are not followed */
}

static void set_prefix(const sc_options *o, sc_region *r) {
    r->prefix.blocks = o->prefix_blocks;
    r->prefix.block = o->prefix_block;
    r->prefix.group = o->prefix_group;
    r->prefix.hash = o->prefix_hash;
    r->prefix.seed = o->prefix_seed;
}

static uint32_t entries_for(sc_region *r, uint64_t max_bytes) {
    uint32_t low = 1, high = DEFAULT_ENTRIES;
    while (low < high) {
        uint32_t mid = low + (high - low + 1) / 2;
        if (bare(r, mid) <= max_bytes / 2) low = mid; else high = mid - 1;
    }
    return low;
}

int sc_layout_fit(const sc_options *o, sc_region *r, char *why, size_t why_len) {
    r->dim = o->dim;
    r->storage = o->storage;
    r->vector_bytes = vector_bytes(o);
    r->plane = o->dim ? sc_align((o->dim + 1) / 2, 32) : 0;
    r->max_bytes = o->max_bytes;
    set_prefix(o, r);
    uint32_t entries = o->max_entries ? o->max_entries : entries_for(r, o->max_bytes);
    size_t fixed = bare(r, entries) + PAGE;
    if (fixed + 16 * (SC_BLOCK + 4) > o->max_bytes) {
        snprintf(why, why_len,
                 "max_bytes: %llu bytes cannot hold max_entries=%u of dim=%u and prefix_blocks=%u, which take %llu before any value",
                 (unsigned long long)o->max_bytes, entries, o->dim, o->prefix_blocks, (unsigned long long)fixed);
        return SC_EARG;
    }
    uint64_t blocks = (o->max_bytes - fixed) / (SC_BLOCK + 4);
    r->nblocks = blocks > UINT32_MAX / 4 - 1 ? UINT32_MAX / 4 - 1 : (uint32_t)blocks;
    r->total = sc_align(place(r, (uint8_t *)64), PAGE) ;
    while (r->total > o->max_bytes) { /* alignment may cost a block or two */
        r->nblocks--;
        r->total = sc_align(place(r, (uint8_t *)64), PAGE);
    }
    return SC_OK;
}

uint64_t sc_bytes_for(const sc_options *o, uint64_t blocks) {
    sc_region r = {.dim = o->dim, .storage = o->storage, .vector_bytes = vector_bytes(o)};
    r.plane = o->dim ? sc_align((o->dim + 1) / 2, 32) : 0;
    set_prefix(o, &r);
    return sc_align(bare(&r, o->max_entries) + (blocks < 16 ? 16 : blocks) * (SC_BLOCK + 4), PAGE) + 2 * PAGE;
}

void sc_layout_bind(sc_region *r, void *base) {
    r->base = base;
    place(r, base);
}
