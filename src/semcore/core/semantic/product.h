/* The first tier of a scan: product codes, 32 rows at once by table lookups in registers.
 *
 * A row's leading directions y = Vx are cut into groups of three, each coded as one of 16 centroids; c, the
 * centroids together, stands for y. With r = √(1 - |y|²), let
 *
 *   along = <c, y> / |y|,   stray = the norm of what c has beside y's direction,   margin = along - TILT stray.
 *
 * If <q, x> >= t then <Vq, y> >= t - r_q r (model.h), so the angle between Vq and y is at most arccos k with
 * k = (t - r_q r) / (|Vq| |y|), that between Vq and c at most it and atan2(stray, along), and for k, along >= 0
 *
 *   <Vq, c> >= |Vq| (k along - √(1 - k²) stray) = |Vq| (k margin + (k TILT - √(1 - k²)) stray).
 *
 * A row keeps its margin as a byte and r as one of 16 classes, of which the model knows between what bounds stray and
 * margin lie. With K the mean of k over the classes the right side is at least |Vq| (K margin + a number a class):
 * sums of table entries, as <Vq, c> is one. What a row's entries lose to the best ones is added as 8-bit
 * numbers, rounded down, with saturation; a row whose sum saturates cannot reach t. Rows that the classes do not hold are apart: never
 * dropped here.
 *
 * Blocks of 32 lanes: 32 bytes of partition tags, then SC_CODE_ROWS of 32 bytes, two half bytes a row of the
 * cache in each: margin, class and nothing, then the groups. The layout is the same for every ISA. */
#ifndef SC_PRODUCT_H
#define SC_PRODUCT_H

#include "model.h"

typedef struct sc_product_query {
    uint32_t generation;      /* the blocks that the tables are for; 0: none */
    bool nothing;             /* no row of them can reach the floor, but those apart */
    bool idle;                /* the floor is too low for these codes to say anything */
    _Alignas(32) uint8_t tables[2 * SC_CODE_ROWS][16]; /* losses */
} sc_product_query;

/* A row's vector with respect to a model; or a query's. */
typedef struct sc_leading {
    float y[SC_LEADING];
    float rest;               /* √(1 - |y|²), at least */
} sc_leading;

/* Codes a row into a lane; under the lock. Returns the loss, squared. */
float sc_product_store(sc_region *r, sc_model *m, uint32_t lane, const sc_leading *x);
/* q: of the query, in the model's directions. */
void sc_product_prepare(const sc_region *r, const sc_model *m, const sc_leading *x, float floor, sc_product_query *q);

#endif
