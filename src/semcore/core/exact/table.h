/* Open-addressed table of (32-bit tag, number): the exact index and the partition directory.
 *
 * The tag decides both the home cell (multiply-shift) and most of equality; the caller compares
 * the full key in the entry. Linear probing, load at most 3/4, deletion by backward shift, so
 * there are no tombstones and a turned-over table is as fast as a new one. One 8-byte cell a
 * change, so a reader never sees half of one; `moves` tells it that a deletion moved cells past it.
 */
#ifndef SC_TABLE_H
#define SC_TABLE_H

#include "../common.h"

typedef struct sc_table {
    sc_a64 *cells;   /* tag << 32 | number + 1; 0 is empty */
    uint32_t cap;
    sc_a32 *moves;   /* odd while cells are being moved */
} sc_table;

static inline uint32_t sc_table_capacity(uint32_t entries) {
    uint64_t cap = (uint64_t)entries * 4 / 3 + 8;
    return cap > UINT32_MAX ? UINT32_MAX : (uint32_t)cap;
}

static inline uint32_t sc_table_home(const sc_table *t, uint32_t tag) {
    return (uint32_t)(((uint64_t)tag * t->cap) >> 32);
}

static inline uint32_t sc_table_next(const sc_table *t, uint32_t at) {
    return at + 1 == t->cap ? 0 : at + 1;
}

/* A walk over the numbers stored under a tag:
 *     for (sc_probe p = sc_table_probe(t, tag); sc_probe_next(t, &p);) use(p.number); */
typedef struct sc_probe { uint32_t tag, at, number, left; } sc_probe;

static inline sc_probe sc_table_probe(const sc_table *t, uint32_t tag) {
    uint32_t home = sc_table_home(t, tag);
    return (sc_probe){tag, home == 0 ? t->cap - 1 : home - 1, SC_NIL, t->cap};
}

static inline bool sc_probe_next(const sc_table *t, sc_probe *p) {
    while (p->left-- > 0) {
        p->at = sc_table_next(t, p->at);
        uint64_t cell = atomic_load_explicit(&t->cells[p->at], memory_order_acquire);
        if (cell == 0) return false;
        p->number = (uint32_t)cell - 1;
        if ((uint32_t)(cell >> 32) == p->tag) return true;
    }
    return false;
}

int sc_table_insert(sc_table *t, uint32_t tag, uint32_t number);
void sc_table_replace(sc_table *t, uint32_t tag, uint32_t from, uint32_t to);
void sc_table_remove(sc_table *t, uint32_t tag, uint32_t number);
void sc_table_wipe(sc_table *t);
uint64_t sc_table_count(const sc_table *t);

#endif
