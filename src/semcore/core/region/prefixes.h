/* The parts of the prefix index: prefix/prefix.h says how they work together. */
#ifndef SC_PREFIXES_H
#define SC_PREFIXES_H

#include "../common.h"

#define SC_LINE 4              /* blocks of a line of the table */
#define SC_MOST_SHIFT 63       /* full lines that a block may have passed */
#define SC_RUN_BITS 26         /* of a run's number; above it the shift */
#define SC_RUN_MASK ((1u << SC_RUN_BITS) - 1)

typedef struct sc_line {       /* 64 bytes, read without a lock */
    sc_a64 tag[SC_LINE];       /* half of the block's chained hash; 0 is empty */
    sc_a32 run[SC_LINE];       /* shift << SC_RUN_BITS | run */
    sc_a32 prev[SC_LINE];      /* the slot of the block before, or SC_NIL */
} sc_line;

typedef struct sc_run {        /* 64 bytes; changed only under the lock, as all below */
    uint32_t parent;           /* run, or SC_NIL; of a free one the next */
    uint32_t start, length;    /* blocks before it, and its own; length 0: free */
    uint32_t tail;             /* slot of its last block: the truth of a run is its tail and the chain behind */
    uint32_t child, next, prev; /* runs that go on from it, the deepest start first */
    uint32_t steps;            /* notes {depth, stamp}: blocks touched later than what lies behind; depth rises */
    uint32_t pins;             /* notes {depth, count}, the deepest first */
    uint32_t holds;            /* notes {depth, replica}: how far each replica has it */
    uint32_t marks;            /* values on its blocks, the deepest first */
    uint32_t heap_at;          /* SC_NIL: its last block cannot be evicted */
    uint64_t stamp;            /* of its last block */
    uint64_t key;              /* the stamp by which the heap has it: never later than the stamp */
} sc_run;

typedef struct sc_note { uint32_t next, depth; uint64_t what; } sc_note; /* what: stamp, count or replica */

typedef struct sc_mark {       /* a value at the end of a prefix */
    uint32_t next, depth, run; /* run SC_NIL: free */
    uint32_t block, len;       /* chain of value blocks */
    uint32_t value_sum;
    int64_t expires;
    uint32_t sum;              /* of what is kept of it: next and used left out */
    uint16_t tag;              /* high bits of its block's tag: whose value it is, whatever runs and lines say */
    uint8_t kind, used;        /* used: found since the hand passed */
} sc_mark;

typedef struct sc_prefix_state {
    uint32_t blocks, runs;     /* in use */
    uint32_t run_high, free_run, note_high, free_note, mark_high, free_mark;
    uint32_t heap, notes, marks, mark_blocks, hand, pins, lost; /* lost: notes that there was no room for */
    uint64_t tick, age;        /* age: of lfu, the count of the last victim */
    uint64_t evicted;          /* blocks, ever */
} sc_prefix_state;

typedef struct sc_prefix {
    sc_line *lines;
    sc_a8 *over;               /* blocks that passed a line because it was full */
    sc_run *runs;
    uint32_t *heap;            /* runs whose last block can be evicted, the least stamp first */
    sc_note *notes;
    sc_mark *marks;
    uint32_t blocks, nlines, nruns, nnotes, nmarks; /* room; blocks 0: the region has no prefix index */
    uint32_t block, group, hash;
    uint64_t seed;
} sc_prefix;

#define SC_NO_PREFIXES ((sc_prefix_state){.free_run = SC_NIL, .free_note = SC_NIL, .free_mark = SC_NIL})

static inline bool sc_prefix_possible(uint32_t blocks, uint32_t block, uint32_t group, uint32_t hash) {
    if (blocks == 0) return true;
    return blocks <= SC_MAX_PREFIX_BLOCKS && block >= 1 && block <= SC_MAX_PREFIX_BLOCK && group >= 1 &&
           group <= SC_MAX_PREFIX_GROUP && hash < SC_HASHES;
}

_Static_assert(sizeof(sc_line) == 64 && sizeof(sc_run) == 64, "one cache line");

#endif
