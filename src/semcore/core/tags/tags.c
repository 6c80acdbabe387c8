#include "tags.h"

#define PER_BLOCK 4

typedef struct node {      /* 32 bytes */
    uint64_t tag;
    uint32_t slot;
    uint32_t leader;       /* next leader in the bucket; of leaders only */
    uint32_t next, prev;   /* members of the same tag; prev SC_NIL marks the leader */
    uint64_t pad;
} node;

_Static_assert(sizeof(node) * PER_BLOCK == SC_BLOCK, "four tag nodes fill a block");

static node *at(const sc_region *r, uint32_t i) {
    return i / PER_BLOCK < r->nblocks ? (node *)(r->blocks + sizeof(node) * (size_t)i) : NULL;
}

static sc_a32 *bucket(const sc_region *r, uint64_t tag) { return &r->tagheads[tag % r->ntagheads]; }

/* The leader of a tag, and the leader before it in its bucket. */
static uint32_t leader(const sc_region *r, uint64_t tag, uint32_t *before) {
    uint32_t i = SC_LOAD(bucket(r, tag));
    *before = SC_NIL;
    uint32_t left = r->max_entries * 4u + 4u; /* a damaged chain may be a ring */
    for (node *n; (n = at(r, i)) && n->tag != tag && left > 0; i = n->leader, left--) *before = i;
    return at(r, i) && at(r, i)->tag == tag ? i : SC_NIL;
}

static void set_leader(sc_region *r, uint64_t tag, uint32_t before, uint32_t to) {
    if (before == SC_NIL) SC_STORE(bucket(r, tag), to);
    else at(r, before)->leader = to;
}

static void link_node(sc_region *r, uint32_t i, uint64_t tag, uint32_t slot) {
    uint32_t before, lead = leader(r, tag, &before);
    node *n = at(r, i);
    *n = (node){.tag = tag, .slot = slot, .leader = SC_NIL, .next = SC_NIL, .prev = SC_NIL};
    if (lead == SC_NIL) {
        n->leader = SC_LOAD(bucket(r, tag));
        SC_STORE(bucket(r, tag), i);
        return;
    }
    node *l = at(r, lead); /* second place, so that the bucket's chain stays as it is */
    n->prev = lead;
    n->next = l->next;
    if (at(r, l->next)) at(r, l->next)->prev = i;
    l->next = i;
}

static void unlink_leader(sc_region *r, node *n) {
    uint32_t before;
    leader(r, n->tag, &before);
    node *heir = at(r, n->next);
    set_leader(r, n->tag, before, heir ? n->next : n->leader);
    if (heir) {
        heir->prev = SC_NIL;
        heir->leader = n->leader;
    }
}

static void unlink_node(sc_region *r, uint32_t i) {
    node *n = at(r, i);
    if (!n) return;
    if (n->prev == SC_NIL) {
        unlink_leader(r, n);
        return;
    }
    if (at(r, n->prev)) at(r, n->prev)->next = n->next;
    if (at(r, n->next)) at(r, n->next)->prev = n->prev;
}

void sc_tags_link(sc_region *r, uint32_t slot, const uint64_t *tags, uint32_t n) {
    uint32_t block = r->entries[slot].tag_block;
    for (uint32_t i = 0; i < n; i++) {
        if (i && i % PER_BLOCK == 0) block = SC_LOAD(&r->chain[block]);
        link_node(r, block * PER_BLOCK + i % PER_BLOCK, tags[i], slot);
    }
}

void sc_tags_unlink(sc_region *r, uint32_t slot, uint32_t n) {
    uint32_t block = r->entries[slot].tag_block;
    for (uint32_t i = 0; i < n && block < r->nblocks; i++) {
        unlink_node(r, block * PER_BLOCK + i % PER_BLOCK);
        if (i % PER_BLOCK == PER_BLOCK - 1) block = SC_LOAD(&r->chain[block]);
    }
}

bool sc_tags_owned(const sc_region *r, uint32_t slot, uint32_t n) {
    uint32_t block = r->entries[slot].tag_block;
    for (uint32_t i = 0; i < n; i++) {
        const node *x = block < r->nblocks ? at(r, block * PER_BLOCK + i % PER_BLOCK) : NULL;
        if (!x || x->slot != slot) return false;
        if (i % PER_BLOCK == PER_BLOCK - 1) block = SC_LOAD(&r->chain[block]);
    }
    return n > 0 || block == SC_NIL;
}

uint32_t sc_tags_first(const sc_region *r, uint64_t tag) {
    uint32_t before, lead = leader(r, tag, &before);
    return lead == SC_NIL ? SC_NIL : at(r, lead)->slot;
}
