#include "values.h"

#include <stdlib.h>

#include "entry.h"

static uint32_t take_one(sc_region *r) {
    sc_state *s = &r->h->state;
    uint32_t block = SC_LOAD(&s->free_block);
    if (block < r->nblocks) {
        SC_STORE(&s->free_block, SC_LOAD(&r->chain[block]));
    } else {
        block = SC_LOAD(&s->block_high);
        if (block >= r->nblocks) return SC_NIL; /* only a damaged region counts more free ones than it has */
        SC_STORE(&s->block_high, block + 1);
    }
    SC_BUMP(&s->free_blocks, -1u);
    return block;
}

uint32_t sc_blocks_take(sc_region *r, uint32_t n) {
    uint32_t head = SC_NIL;
    for (; n > 0; n--) {
        uint32_t block = take_one(r);
        if (block == SC_NIL) {
            sc_blocks_give(r, head);
            return SC_NIL;
        }
        SC_STORE(&r->chain[block], head);
        head = block;
    }
    return head;
}

void sc_blocks_give(sc_region *r, uint32_t head) {
    sc_state *s = &r->h->state;
    for (uint32_t left = r->nblocks; head < r->nblocks && left > 0; left--) {
        uint32_t next = SC_LOAD(&r->chain[head]);
        SC_STORE(&r->chain[head], SC_LOAD(&s->free_block));
        SC_STORE(&s->free_block, head);
        SC_BUMP(&s->free_blocks, 1);
        head = next;
    }
}

bool sc_chain_write(sc_region *r, sc_cursor *at, const void *from, size_t n) {
    const uint8_t *f = from;
    while (n > 0) {
        if (at->used == SC_BLOCK) *at = (sc_cursor){SC_LOAD(&r->chain[at->block]), 0};
        if (at->block >= r->nblocks) return false;
        size_t part = SC_BLOCK - at->used < n ? SC_BLOCK - at->used : n;
        memcpy(r->blocks + (size_t)SC_BLOCK * at->block + at->used, f, part);
        at->used += (uint32_t)part;
        f += part;
        n -= part;
    }
    return true;
}

bool sc_chain_read(const sc_region *r, uint32_t head, uint64_t skip, void *to, size_t n) {
    uint8_t *t = to;
    for (; skip >= SC_BLOCK && n > 0; skip -= SC_BLOCK) {
        if (head >= r->nblocks) return false;
        head = SC_LOAD(&r->chain[head]);
    }
    while (n > 0) {
        if (head >= r->nblocks) return false;
        size_t part = SC_BLOCK - skip < n ? SC_BLOCK - (size_t)skip : n;
        uint32_t next = SC_LOAD(&r->chain[head]);
        if (next < r->nblocks) SC_PREFETCH(r->blocks + (size_t)SC_BLOCK * next);
        sc_copy_racy(t, r->blocks + (size_t)SC_BLOCK * head + skip, part);
        t += part;
        n -= part;
        skip = 0;
        head = next;
    }
    return true;
}

bool sc_chain_matches(const sc_region *r, const sc_entry *e) {
    uint64_t bytes = sc_payload_bytes(e);
    if (bytes > (uint64_t)SC_BLOCK * r->nblocks) return false;
    uint8_t *copy = malloc(bytes ? bytes : 1);
    if (!copy) return false;
    uint64_t tags[SC_MAX_TAGS];
    bool ok = e->ntags <= SC_MAX_TAGS && sc_chain_read(r, e->block, 0, copy, bytes);
    if (ok) memcpy(tags, copy + e->value_len + e->text_len, 8u * e->ntags);
    ok = ok && e->value_sum == sc_checksum(r, copy, e->value_len) &&
         e->text_sum == sc_text_sum(r, copy + e->value_len, e->text_len, tags, e->ntags);
    free(copy);
    return ok;
}
