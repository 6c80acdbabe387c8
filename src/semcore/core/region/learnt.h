/* Where a region keeps what is learnt from its vectors: semantic/model.h says what it means. */
#ifndef SC_LEARNT_H
#define SC_LEARNT_H

#include "../common.h"

#define SC_LEADING 120        /* directions */
#define SC_GROUPS 40          /* of three directions, each coded as one of 16 centroids */
#define SC_CLASSES 16
#define SC_LEAST_DIM 64       /* below, the 8-bit rows are as small */
#ifndef SC_LEARN_FROM         /* tests/fuzz has a smaller one */
#define SC_LEARN_FROM 1024    /* entries; fewer are searched by their 8-bit rows */
#endif
#define SC_LANES 32           /* rows of a block of product codes */
#ifndef SC_LIST_ROWS          /* tests/fuzz has fewer */
#define SC_LIST_ROWS 160      /* entries a list of blocks, where there are most lists */
#endif
#define SC_MOST_GROUPS 256    /* of cells */
#define SC_CODE_ROWS 22       /* of 32 bytes in a block, besides the partition tags: classes and codes */
#define SC_LEADING_BYTES 64   /* of a row's 4-bit codes */

typedef struct sc_range { float least, most; } sc_range;

typedef struct sc_model {
    sc_a32 generation;                    /* 0: none, or being written */
    uint32_t learnt_from;                 /* entries that the cache held */
    float loss;                           /* mean of what the product codes leave out of a vector, squared */
    float centroids[SC_LEADING][16];      /* a direction's component of each centroid of its group */
    float means[SC_LEADING], steps[SC_LEADING]; /* of the 4-bit codes: mean + step (code - 7.5) */
    float rests[SC_CLASSES];              /* ascending; the largest of each class */
    sc_range strays[SC_CLASSES], margins[SC_CLASSES]; /* of the rows of each class */
    float margin_least, margin_step;      /* margin byte m: from margin_least + m margin_step on */
    uint32_t cells, groups;               /* centres: of the cells, then of the groups; of one cell nothing is known */
    uint32_t first[SC_MOST_GROUPS + 1];   /* cell of each group */
    float bases[SC_LEADING], spreads[SC_LEADING]; /* centre: base + spread (code - 7.5) */
    float widest;                         /* largest norm of a centre's code - 7.5 */
    float shells[SC_SHELLS - 1];          /* falling cosines: where each but the first begins */
    uint32_t probes[SC_FLOORS][SC_SHARES]; /* how many of the nearest cells a search has to read */
    uint64_t sum;                         /* of all above from learnt_from on, the centres and the rotation */
    sc_a32 recent;                        /* bits of a float: moving average of the loss of rows stored since */
    sc_a32 stored;                        /* rows stored since */
    _Alignas(64) uint16_t rotation[];     /* halves, SC_LEADING rows of dim */
} sc_model;

/* Of a block of 32 lanes: semantic/lanes.h. */
typedef struct sc_coded {
    sc_a64 list;                          /* generation of its model (0: none) << 32 | number of its list in it */
    sc_a32 next;                          /* block of the list, or of the free ones */
    sc_a32 apart;                         /* rows that the model's classes do not hold, as a mask */
} sc_coded;

typedef struct sc_list {
    sc_a32 head;                          /* newest block: the only one that may not be full; SC_NIL: none */
    sc_a32 near;                          /* bits of a float: least cosine of its rows and their centre */
} sc_list;

#define SC_NOT_NEAR 0x40000000u           /* of a list without rows: 2 */

/* Of a cell, or of a group of cells. */
typedef struct sc_centre {
    uint8_t codes[SC_LEADING / 2];        /* 4 bits a direction, as in a row's leading codes */
    float inverse;                        /* of its length */
} sc_centre;

static inline size_t sc_model_bytes(uint32_t dim) {
    return sc_align(sizeof(sc_model) + (size_t)2 * SC_LEADING * dim, 64);
}

#endif
