#include "lanes.h"

#include <stdlib.h>

#include "../region/entry.h"
#include "../region/partition.h"

static bool block_ok(const sc_region *r, uint32_t block) { return block < r->ncoded; }
static bool lane_ok(const sc_region *r, uint32_t lane) { return lane / SC_LANES < r->ncoded; }

sc_list *sc_list_at(const sc_region *r, uint64_t word) {
    uint32_t generation = sc_list_generation(word), number = sc_list_number(word);
    if (!generation) return number ? NULL : r->lists;
    return number < r->nlists ? sc_lists_at(r, generation) + number : NULL;
}

/* ---- blocks ---- */

static void push(sc_a32 *head, sc_coded *c, uint32_t block) {
    SC_STORE(&c->next, SC_LOAD(head));
    SC_STORE_REL(head, block);
}

static uint32_t block_take(sc_region *r) {
    sc_state *s = &r->h->state;
    uint32_t block = SC_LOAD(&s->coded_free);
    if (block_ok(r, block)) SC_STORE(&s->coded_free, SC_LOAD(&r->coded[block].next));
    else block = SC_LOAD(&s->coded_high);
    if (!block_ok(r, block)) return SC_NIL;
    memset(sc_block_at(r, block), 0, SC_LANES); /* the tags */
    for (uint32_t l = 0; l < SC_LANES; l++) SC_STORE(&r->owner[block * SC_LANES + l], SC_NIL);
    SC_STORE(&r->coded[block].apart, 0);
    return block;
}

/* A new newest block of a list, or SC_NIL. */
static uint32_t grow(sc_region *r, sc_list *l, uint64_t list) {
    uint32_t block = block_take(r);
    if (block == SC_NIL) return SC_NIL;
    SC_BUMP(sc_coded_by(r, sc_list_generation(list)), 1);
    SC_STORE(&r->coded[block].next, SC_LOAD(&l->head));
    SC_STORE_REL(&r->coded[block].list, list); /* who reads this name reads that link */
    SC_STORE_REL(&l->head, block);
    if (block >= SC_LOAD(&r->h->state.coded_high)) SC_STORE_REL(&r->h->state.coded_high, block + 1);
    return block;
}

/* The newest block of a list leaves it. */
static void shrink(sc_region *r, sc_list *l, uint32_t block) {
    SC_STORE_REL(&l->head, SC_LOAD(&r->coded[block].next));
    if (SC_LOAD(&l->head) == SC_NIL) SC_STORE(&l->near, SC_NOT_NEAR);
    SC_BUMP(sc_coded_by(r, sc_list_generation(SC_LOAD(&r->coded[block].list))), -1u);
    SC_STORE(&r->coded[block].list, SC_NO_LIST);
    atomic_thread_fence(memory_order_release); /* before its link is another list's */
    push(&r->h->state.coded_free, &r->coded[block], block);
}

/* ---- lanes ---- */

static uint32_t rows_in(const sc_region *r, uint32_t block) {
    uint32_t n = SC_LANES;
    while (n > 0 && SC_LOAD(&r->owner[block * SC_LANES + n - 1]) == SC_NIL) n--;
    return n;
}

uint32_t sc_lane_take(sc_region *r, uint32_t slot, uint64_t list) {
    sc_list *l = sc_list_at(r, list);
    uint32_t block = l ? SC_LOAD(&l->head) : SC_NIL, n = block_ok(r, block) ? rows_in(r, block) : SC_LANES;
    if (n == SC_LANES) {
        n = 0;
        block = l ? grow(r, l, list) : SC_NIL;
    }
    SC_STORE(&r->place[slot], SC_NIL);
    if (block == SC_NIL) return SC_NIL;
    SC_STORE(&r->owner[block * SC_LANES + n], slot);
    SC_STORE(&r->place[slot], block * SC_LANES + n);
    return block * SC_LANES + n;
}

void sc_lane_show(sc_region *r, uint32_t lane) {
    sc_part part = r->entries[SC_LOAD(&r->owner[lane])].part;
    SC_STORE_REL(sc_lane_tag(r, lane), sc_part_tag8(part));
}

void sc_lane_note(sc_region *r, uint32_t slot) {
    uint32_t n = SC_LOAD(&r->h->state.moved);
    SC_STORE(&r->moved[n & r->moved_mask], slot);
    SC_STORE_REL(&r->h->state.moved, n + 1);
    atomic_thread_fence(memory_order_release);
}

static void copy(sc_region *r, uint32_t from, uint32_t to) {
    uint8_t *f = (uint8_t *)sc_lane_tag(r, from), *t = (uint8_t *)sc_lane_tag(r, to);
    uint32_t slot = SC_LOAD(&r->owner[from]);
    sc_a32 *apart = &r->coded[to / SC_LANES].apart;
    bool stray = SC_LOAD(&r->coded[from / SC_LANES].apart) >> from % SC_LANES & 1;
    for (size_t at = SC_LANES; at < r->lane_bytes * SC_LANES; at += SC_LANES) t[at] = f[at];
    SC_STORE(apart, (SC_LOAD(apart) & ~(1u << to % SC_LANES)) | (uint32_t)stray << to % SC_LANES);
    SC_STORE(&r->owner[to], slot);
    SC_STORE(&r->place[slot], to);
    SC_STORE_REL((sc_a8 *)t, SC_LOAD((sc_a8 *)f));
}

uint32_t sc_lane_last(const sc_region *r, const sc_list *l, uint32_t *lane) {
    uint32_t block = l ? SC_LOAD(&l->head) : SC_NIL, n = block_ok(r, block) ? rows_in(r, block) : 0;
    *lane = block * SC_LANES + n - 1;
    return n ? SC_LOAD(&r->owner[*lane]) : SC_NIL;
}

void sc_lane_leave(sc_region *r, uint32_t lane) {
    uint32_t block = lane / SC_LANES;
    sc_list *l = sc_list_at(r, SC_LOAD(&r->coded[block].list));
    SC_STORE(sc_lane_tag(r, lane), 0);
    SC_STORE(&r->owner[lane], SC_NIL);
    if (lane % SC_LANES == 0 && l && SC_LOAD(&l->head) == block) shrink(r, l, block);
}

void sc_lane_drop(sc_region *r, uint32_t slot) {
    uint32_t lane = r->dim ? SC_LOAD(&r->place[slot]) : SC_NIL, last;
    if (lane == SC_NIL) return;
    bool ours = lane_ok(r, lane) && SC_LOAD(&r->owner[lane]) == slot;
    uint32_t other = ours ? sc_lane_last(r, sc_list_at(r, SC_LOAD(&r->coded[lane / SC_LANES].list)), &last) : SC_NIL;
    SC_STORE(&r->place[slot], SC_NIL);
    if (!sc_slot_ok(r, other)) { /* only in a damaged file */
        r->suspect = true;
        return;
    }
    SC_STORE(sc_lane_tag(r, lane), 0);
    if (last != lane) {
        copy(r, last, lane);
        sc_lane_note(r, other);
    }
    sc_lane_leave(r, last);
}

/* ---- validation ---- */

static const char *check_block(const sc_region *r, uint32_t block, bool newest) {
    uint32_t n = rows_in(r, block);
    if (n == 0) return "a list of blocks has an empty one";
    if (n < SC_LANES && !newest) return "a block that is not the newest of its list is not full";
    for (uint32_t lane = block * SC_LANES; lane < block * SC_LANES + n; lane++) {
        uint32_t slot = SC_LOAD(&r->owner[lane]);
        if (!sc_slot_ok(r, slot) || SC_LOAD(&r->place[slot]) != lane) return "a lane's row lies elsewhere";
        if (!sc_entry_live(r, slot) || !r->entries[slot].has_vector) return "a lane's row has no vector";
        if (SC_LOAD(sc_lane_tag(r, lane)) != sc_part_tag8(r->entries[slot].part)) return "a row's partition tag is wrong";
    }
    for (uint32_t l = n; l < SC_LANES; l++)
        if (SC_LOAD(sc_lane_tag(r, block * SC_LANES + l))) return "an empty lane has a tag";
    return NULL;
}

static const char *check_list(const sc_region *r, uint32_t i, uint32_t *seen) {
    uint32_t head = SC_LOAD(&r->lists[i].head);
    for (uint32_t block = head; block != SC_NIL; block = SC_LOAD(&r->coded[block].next)) {
        if (block >= sc_blocks_of_lanes(r) || ++*seen > r->ncoded) return "a list of blocks is broken";
        if (sc_list_at(r, SC_LOAD(&r->coded[block].list)) != &r->lists[i]) return "a block is in a list that it does not name";
        const char *why = check_block(r, block, block == head);
        if (why) return why;
    }
    return NULL;
}

static const char *check_free(const sc_region *r, uint32_t *seen) {
    for (uint32_t b = SC_LOAD(&r->h->state.coded_free); b != SC_NIL; b = SC_LOAD(&r->coded[b].next)) {
        if (b >= sc_blocks_of_lanes(r) || ++*seen > r->ncoded) return "the list of free blocks of lanes is broken";
        if (SC_LOAD(&r->coded[b].list) != SC_NO_LIST) return "a block of lanes that is free names a list";
    }
    return *seen == sc_blocks_of_lanes(r) ? NULL : "blocks of lanes leak";
}

const char *sc_lanes_validate(const sc_region *r) {
    const char *why = NULL;
    uint32_t seen = 0, before = 0;
    for (uint32_t kind = 0, i = 0; kind < 3 && r->dim && !why; kind++, before = seen) {
        for (uint32_t end = 1 + kind * r->nlists; i < end && !why; i++) why = check_list(r, i, &seen);
        if (!why && seen - before != SC_LOAD(&r->h->state.coded_by[kind])) why = "the count of a model's blocks is wrong";
    }
    return why || !r->dim ? why : check_free(r, &seen);
}
