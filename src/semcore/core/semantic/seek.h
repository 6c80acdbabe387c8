/* One search: what it knows of the query and of the models, and the tiers that candidate rows pass, whose survivors it keeps. */
#ifndef SC_SEEK_H
#define SC_SEEK_H

#include "cells.h"
#include "codes.h"
#include "leading.h"
#include "scan.h"

#define SC_SPAN 32            /* blocks that a kernel is asked of at once */
#define SC_BATCH 128          /* rows that the second tier is asked of at once */

/* What one model's codes say of the query. */
typedef struct sc_view {
    sc_leading x;
    sc_product_query product;
    sc_leading_query leading;
    sc_reach reach;
    double floor;            /* of the product tables, and of what is passed over */
} sc_view;

typedef struct sc_trial { uint32_t asked, passed; } sc_trial;

typedef struct sc_seek {
    const sc_region *r;
    sc_part part;
    int64_t now;
    bool few;                /* rows: the learnt tiers are not worth their preparation */
    bool passes;             /* over lists: wants to know of the cells, */
    bool all;                /* and of each list */
    float missed;            /* share of hits that it may miss */
    sc_query q;
    sc_top *top;
    sc_trial product, leading;
    sc_view views[2];        /* by generation % 2 */
    uint32_t waiting;        /* rows in ids, for the second tier */
    sc_view *of;             /* what they are coded with, or NULL */
    uint32_t ids[SC_BATCH + SC_SPAN * SC_LANES];
} sc_seek;

void sc_seek_begin(sc_seek *s, const sc_region *r, sc_part part, const float *query, int64_t now, bool few, sc_top *top);
void sc_seek_end(sc_seek *s);
/* Least similarity that is still of interest. */
double sc_seek_floor(const sc_seek *s);
/* A candidate of which all is known; once for each slot. */
void sc_seek_offer(sc_top *t, sc_found f);
/* From now on it asks which of all lists it can pass over. */
void sc_seek_all(sc_seek *s);
/* What the model of a generation says, or NULL. */
sc_view *sc_seek_view(sc_seek *s, uint32_t generation);
/* Rows of that model are what follows; scores what waits if it is of another, or enough. */
void sc_seek_turn(sc_seek *s, sc_view *v);
/* Scores rows, coded with the model of v or by none (NULL). */
void sc_seek_score(sc_seek *s, const sc_view *v, uint32_t *ids, uint32_t n);
void sc_seek_score_waiting(sc_seek *s);

/* A tier that lets most rows pass is left out. */
static inline bool sc_trial_useless(sc_trial t) { return t.asked >= 2048 && t.passed > t.asked / 2; }

#endif
