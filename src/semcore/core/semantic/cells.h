/* Cells: rows filed by the centre at whose angle they lie nearest, so that a search can pass over whole lists of them.
 *
 * A model may have centres c in its leading directions. A row y = Vx (model.h) is filed under one of the nearest: which is a matter of
 * speed alone. The rows of a cell are in SC_SHELLS lists by their angle to the centre, and a list knows its largest one, ρ. If
 * <q, x> >= t, the angle between Vq and y is at most κ with sin κ = √(1 - t²) / |Vq|, whatever the row: so a list has no such row
 * if the angle α between Vq and c is greater than κ + ρ, that is, for κ + ρ <= π, if
 *
 *   cos α < cos κ cos ρ - sin κ sin ρ.
 *
 * docs/design/semantic.md has the proof. Centres are 4-bit codes of 120 directions, a cache line each; a centre is what its codes say, exactly,
 * so coarse codes cost a little of the angles and nothing of the proof. New rows look for their centre by way of groups of centres. */
#ifndef SC_CELLS_H
#define SC_CELLS_H

#include "lanes.h"
#include "product.h"

#define SC_NEAREST 8          /* cells that a search begins with, so that its floor rises */

/* What a search knows of a model's cells. */
typedef struct sc_reach {
    uint32_t cells;           /* 0: nothing */
    float *cosines;           /* a cell: of the query's and the centre's angle, at most */
    uint8_t *skip;            /* a list: no row of it can reach the floor; once it is filled */
    float cosine, sine;       /* of κ, at least and at most; 0 and 1: nothing is out of reach */
    uint32_t nearest[SC_NEAREST], n; /* cells, nearest first */
    uint32_t probes;          /* so many of the nearest hold what is asked for, but for the share that may be missed */
} sc_reach;

/* The code of a direction. */
static inline uint8_t sc_centre_code(const sc_centre *c, int d) {
    return d < SC_LEADING / 2 ? c->codes[d] & 15 : c->codes[d - SC_LEADING / 2] >> 4;
}

/* The cells of the model, as far as there is room for them. */
uint32_t sc_cells_of(const sc_region *r, const sc_model *m);
sc_centre *sc_centres_at(const sc_region *r, uint32_t generation);
/* The list that a row of a model belongs to, whose angle takes it in; under the lock. */
uint32_t sc_cells_file(sc_region *r, const sc_model *m, const sc_leading *x, uint32_t generation);
/* Fills in what is known of a query: nothing if there is one cell, or no memory. m: a copy. */
void sc_reach_begin(const sc_region *r, const sc_model *m, const sc_leading *x, uint32_t generation, sc_reach *reach);
void sc_reach_aim(const sc_leading *x, float floor, sc_reach *reach);
/* Can no row of a list reach the floor? */
bool sc_reach_passes(const sc_region *r, uint32_t generation, const sc_reach *reach, uint32_t list);
/* The same of all lists. */
void sc_reach_fill(const sc_region *r, uint32_t generation, sc_reach *reach);
/* How many of the nearest cells a search has to read that may miss a share of its hits; all, if the model cannot say. */
uint32_t sc_cells_probes(const sc_region *r, const sc_model *m, float floor, float missed);
/* The cosine that the nearest `probes` cells have at least, and a few more. */
float sc_reach_cosine(const sc_reach *reach);
void sc_reach_end(sc_reach *reach);

#endif
