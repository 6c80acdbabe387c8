/* Where a row's codes lie.
 *
 * A lane holds a row's partition tag and product codes. 32 lanes are a block; blocks are linked to lists, newest
 * first: list 0 of generation 0 of the rows without codes, and lists of the rows that a model codes (cells.h). A list's
 * blocks are full but for the newest: a row comes into the newest one, and where one goes, the last row of the newest one takes its lane.
 *
 * `place` says which lane a row has, for writers; `owner` which row a lane has, for readers, who take it for a hint.
 * A reader that scans blocks in any order could miss a row that goes from a lane it has not seen to one that it has. So each
 * row that changes lanes is written into a ring, `moved`, after its new lane is shown and before its old one is cleared, and who has scanned asks for those that
 * were written since: they are scored again, one by one. All else is under the lock. */
#ifndef SC_LANES_H
#define SC_LANES_H

#include "../region/region.h"

#define SC_UNCODED 0ull                  /* the list of the rows without codes */
#define SC_NO_LIST ((uint64_t)SC_NIL)    /* of a free block */

static inline uint64_t sc_list_word(uint32_t generation, uint32_t number) { return (uint64_t)generation << 32 | number; }
static inline uint32_t sc_list_generation(uint64_t word) { return (uint32_t)(word >> 32); }
static inline uint32_t sc_list_number(uint64_t word) { return (uint32_t)word; }
/* How many blocks there are of rows without codes (0), or of a generation's model's. */
static inline sc_a32 *sc_coded_by(const sc_region *r, uint32_t generation) {
    return &r->h->state.coded_by[generation ? 1 + generation % 2 : 0];
}
/* The list of a word, or NULL; where the lists of a generation's place begin. */
sc_list *sc_list_at(const sc_region *r, uint64_t word);
static inline sc_list *sc_lists_at(const sc_region *r, uint32_t generation) {
    return r->lists + 1 + (size_t)(generation % 2) * r->nlists;
}

static inline uint8_t *sc_block_at(const sc_region *r, uint32_t block) {
    return r->lanes + r->lane_bytes * SC_LANES * block;
}
static inline sc_a8 *sc_lane_tag(const sc_region *r, uint32_t lane) {
    return (sc_a8 *)(sc_block_at(r, lane / SC_LANES) + lane % SC_LANES);
}

/* A lane of the list for a row, with no tag yet; SC_NIL if there is none, which only a damaged file has. */
uint32_t sc_lane_take(sc_region *r, uint32_t slot, uint64_t list);
/* What was written into the lane is complete: searches see it from now on. */
void sc_lane_show(sc_region *r, uint32_t lane);
/* Takes a row out of its lane, if it has one. */
void sc_lane_drop(sc_region *r, uint32_t slot);
/* The last row of a list and its lane; SC_NIL: the list is empty. */
uint32_t sc_lane_last(const sc_region *r, const sc_list *l, uint32_t *lane);
/* Tells searches under way that a row is in another lane: before it leaves the old one. */
void sc_lane_note(sc_region *r, uint32_t slot);
/* Empties the last lane of a list. */
void sc_lane_leave(sc_region *r, uint32_t lane);
/* NULL, or what is wrong; under the lock. */
const char *sc_lanes_validate(const sc_region *r);

#endif
