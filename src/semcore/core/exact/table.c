/* Writers of the table; all of them run under the region's lock. */
#include "table.h"

static uint64_t cell_of(uint32_t tag, uint32_t number) { return ((uint64_t)tag << 32) | (number + 1u); }

static uint32_t position(const sc_table *t, uint32_t tag, uint32_t number) {
    for (sc_probe p = sc_table_probe(t, tag); sc_probe_next(t, &p);)
        if (p.number == number) return p.at;
    return SC_NIL;
}

int sc_table_insert(sc_table *t, uint32_t tag, uint32_t number) {
    uint32_t at = sc_table_home(t, tag);
    for (uint32_t left = t->cap; left > 0; left--, at = sc_table_next(t, at)) {
        if (SC_LOAD(&t->cells[at]) != 0) continue;
        SC_STORE_REL(&t->cells[at], cell_of(tag, number));
        return SC_OK;
    }
    return SC_EREGION; /* only a damaged region has more cells in use than entries */
}

void sc_table_replace(sc_table *t, uint32_t tag, uint32_t from, uint32_t to) {
    uint32_t at = position(t, tag, from);
    if (at != SC_NIL) SC_STORE_REL(&t->cells[at], cell_of(tag, to));
}

/* May the cell at `from` move back to the hole at `to`? Only if its home does not lie between. */
static bool may_move(const sc_table *t, uint32_t from, uint32_t to) {
    uint32_t home = sc_table_home(t, (uint32_t)(SC_LOAD(&t->cells[from]) >> 32));
    return to <= from ? (home <= to || home > from) : (home <= to && home > from);
}

void sc_table_remove(sc_table *t, uint32_t tag, uint32_t number) {
    uint32_t hole = position(t, tag, number);
    if (hole == SC_NIL) return;
    SC_BUMP(t->moves, 1);
    atomic_thread_fence(memory_order_release);
    uint32_t at = sc_table_next(t, hole);
    for (uint32_t left = t->cap; left > 0 && SC_LOAD(&t->cells[at]) != 0; left--, at = sc_table_next(t, at)) {
        if (!may_move(t, at, hole)) continue;
        SC_STORE_REL(&t->cells[hole], SC_LOAD(&t->cells[at]));
        hole = at;
    }
    SC_STORE_REL(&t->cells[hole], 0);
    SC_STORE_REL(t->moves, SC_LOAD(t->moves) + 1);
}

void sc_table_wipe(sc_table *t) {
    for (uint32_t i = 0; i < t->cap; i++) SC_STORE(&t->cells[i], 0);
}

uint64_t sc_table_count(const sc_table *t) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < t->cap; i++) n += SC_LOAD(&t->cells[i]) != 0;
    return n;
}
