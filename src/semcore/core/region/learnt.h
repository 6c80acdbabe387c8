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
    uint64_t sum;                         /* of all above from learnt_from on, and the rotation */
    sc_a32 recent;                        /* bits of a float: moving average of the loss of rows stored since */
    sc_a32 stored;                        /* rows stored since */
    _Alignas(64) uint16_t rotation[];     /* halves, SC_LEADING rows of dim */
} sc_model;

/* Of a block of 32 rows. */
typedef struct sc_coded {
    sc_a32 generation;                    /* of the model that it is coded with, or 0 */
    sc_a32 apart;                         /* rows that the model's classes do not hold, as a mask */
} sc_coded;

static inline size_t sc_model_bytes(uint32_t dim) {
    return sc_align(sizeof(sc_model) + (size_t)2 * SC_LEADING * dim, 64);
}

#endif
