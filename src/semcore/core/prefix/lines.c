/* The table of blocks. Home line by one half of the hash, equality by the other; then lines 1, 3, 6, 10... behind the home.
 *
 * `over[line]` counts the blocks that passed it full, so a search ends at the first line that nobody passed, a
 * block never moves, and its slot stays good as a name. Filled to 5/6 with lines of four. One line after
 * the other instead fills up in clusters: at 85 % blocks were refused after 31 full lines. */
#include "prefix.h"

static uint32_t home_of(const sc_prefix *x, sc_hash128 key) { return (uint32_t)(((key.low >> 32) * x->nlines) >> 32); }

/* The line after `shift` others were full, and back. There are more lines than steps. */
static uint32_t ahead(const sc_prefix *x, uint32_t line, uint32_t steps) {
    uint32_t at = line + steps;
    return at < x->nlines ? at : at - x->nlines;
}

static uint32_t back(const sc_prefix *x, uint32_t line, uint32_t steps) { return line >= steps ? line - steps : line + x->nlines - steps; }

void sc_line_fetch(const sc_prefix *x, sc_hash128 key) { SC_PREFETCH(&x->lines[home_of(x, key)]); }

uint32_t sc_line_find(const sc_prefix *x, sc_hash128 key) {
    uint64_t tag = sc_tag_of(key);
    uint32_t at = home_of(x, key);
    for (uint32_t shift = 0; shift <= SC_MOST_SHIFT; at = ahead(x, at, ++shift)) {
        const sc_line *line = &x->lines[at];
        for (uint32_t i = 0; i < SC_LINE; i++)
            if (SC_LOAD_ACQ(&line->tag[i]) == tag) return at * SC_LINE + i;
        if (SC_LOAD(&x->over[at]) == 0) return SC_NIL;
    }
    return SC_NIL;
}

/* One more, or one less, for the lines that a block passed on its way to `line`. */
void sc_line_passed(sc_prefix *x, uint32_t line, uint32_t shift, int more) {
    for (uint32_t at = line; shift > 0; shift--) {
        at = back(x, at, shift);
        SC_BUMP(&x->over[at], (uint8_t)more);
    }
}

uint32_t sc_line_put(sc_prefix *x, sc_hash128 key, uint32_t run, uint32_t prev) {
    uint32_t at = home_of(x, key);
    for (uint32_t shift = 0; shift <= SC_MOST_SHIFT; at = ahead(x, at, ++shift)) {
        sc_line *line = &x->lines[at];
        for (uint32_t i = 0; i < SC_LINE; i++) {
            if (SC_LOAD(&line->tag[i]) != 0) continue;
            sc_line_passed(x, at, shift, 1);
            SC_STORE(&line->run[i], shift << SC_RUN_BITS | run);
            SC_STORE(&line->prev[i], prev);
            SC_STORE_REL(&line->tag[i], sc_tag_of(key));
            return at * SC_LINE + i;
        }
        if (SC_LOAD(&x->over[at]) == UINT8_MAX) break;
    }
    return SC_NIL;
}

void sc_line_drop(sc_prefix *x, uint32_t slot) {
    SC_STORE(sc_line_tag(x, slot), 0);
    sc_line_passed(x, slot / SC_LINE, SC_LOAD(sc_line_word(x, slot)) >> SC_RUN_BITS, -1);
}

/* Of a table of as many lines: what is not known of the hash is 0, and no line asks for it. */
sc_hash128 sc_line_key(const sc_prefix *x, uint32_t slot) {
    uint32_t at = slot / SC_LINE;
    for (uint32_t shift = SC_LOAD(sc_line_word(x, slot)) >> SC_RUN_BITS; shift > 0; shift--) at = back(x, at, shift);
    uint64_t low = (((uint64_t)at << 32) + x->nlines - 1) / x->nlines;
    return (sc_hash128){low << 32, SC_LOAD(sc_line_tag(x, slot))};
}
