/* Chained hashes, all keyed with the region's secret: two prompts with a hash in common cannot be made.
 *
 * Group: g' = H(g || H(its bytes)), so that the bytes of the groups are hashed independently of each
 * other and only 32 bytes wait for the group before. Block inside a group: f' = H(f || its bytes), from the
 * hash of the group before on. The last block of a group is known by the group's hash.
 * Hashing every block in the chain costs three times as much: 80 bytes of latency each. */
#include "prefix.h"

#include "../exact/xxh3.h"

#define FINE 0x5bd1e9955bd1e995ull /* tells a block from a group */

static size_t block_bytes(const sc_region *r) { return (size_t)4 * r->prefix.block; }

sc_hash128 sc_chain_root(const sc_region *r, const void *ns, size_t len) { return sc_xxh3(ns, len, r->h->secret, 0); }

static sc_hash128 join(const sc_region *r, sc_hash128 before, sc_hash128 local) {
    uint64_t both[4] = {before.low, before.high, local.low, local.high};
    return sc_xxh3(both, sizeof both, r->h->secret, 0);
}

sc_hash128 sc_chain_unit(const sc_region *r, sc_hash128 before, const void *head, size_t head_len, const void *text, size_t len) {
    sc_hash128 three[3] = {before, sc_xxh3(head, head_len, r->h->secret, 0), sc_xxh3(text, len, r->h->secret, 0)};
    return sc_xxh3(three, sizeof three, r->h->secret, 0);
}

sc_hash128 sc_chain_key(const sc_region *r, sc_hash128 root, uint64_t hash) {
    uint64_t three[3] = {hash, root.low, root.high};
    return sc_xxh3(three, sizeof three, r->h->secret, 0);
}

#define ABREAST 16 /* tokens, in registers that do not wait for each other */

static bool negative(const int32_t *tokens, size_t n) {
    int32_t any[ABREAST] = {0};
    size_t i = 0;
    for (; i + ABREAST <= n; i += ABREAST)
        for (size_t k = 0; k < ABREAST; k++) any[k] |= tokens[i + k];
    for (; i < n; i++) any[0] |= tokens[i];
    for (size_t k = 1; k < ABREAST; k++) any[0] |= any[k];
    return any[0] < 0;
}

/* All hashes of bytes first: one that is chained at once waits for the end of its own. */
int sc_chain_groups(const sc_region *r, sc_prompt *p, uint32_t n) {
    size_t bytes = block_bytes(r) * p->group;
    const uint8_t *data = p->data;
    if (p->hashed >= n) return SC_OK;
    if (p->is_signed && negative((const int32_t *)(data + bytes * p->hashed), (n - p->hashed) * (bytes / 4))) return SC_EARG;
    for (uint32_t i = p->hashed; i < n; i++) p->hashes[i] = sc_xxh3(data + bytes * i, bytes, r->h->secret, 0);
    for (sc_hash128 before = p->hashed ? p->hashes[p->hashed - 1] : p->root; p->hashed < n; p->hashed++)
        before = p->hashes[p->hashed] = join(r, before, p->hashes[p->hashed]);
    return SC_OK;
}

bool sc_chain_valid(const sc_region *r, const sc_prompt *p, uint32_t block) {
    return !p->is_signed || !negative((const int32_t *)p->data + (size_t)r->prefix.block * block, r->prefix.block);
}

sc_hash128 sc_chain_fine(const sc_region *r, const sc_prompt *p, sc_hash128 before, uint32_t block) {
    uint8_t both[16 + 4 * SC_MAX_PREFIX_BLOCK];
    size_t n = block_bytes(r);
    before.high ^= FINE;
    memcpy(both, &before, 16);
    memcpy(both + 16, (const uint8_t *)p->data + n * block, n);
    return sc_xxh3(both, 16 + n, r->h->secret, 0);
}

int sc_chain_keys(const sc_region *r, sc_prompt *p, uint32_t from, uint32_t to, sc_hash128 *out) {
    uint32_t g = p->group;
    if (sc_chain_groups(r, p, to / g) != SC_OK) return SC_EARG;
    for (uint32_t group = from / g, at = group * g; at < to; group++) {
        sc_hash128 before = group ? p->hashes[group - 1] : p->root;
        for (uint32_t last = at + g - 1; at <= last && at < to; at++) {
            if (at == last) before = p->hashes[group];
            else if (group >= p->hashed && !sc_chain_valid(r, p, at)) return SC_EARG; /* its group's hash says so of the others */
            else before = sc_chain_fine(r, p, before, at);
            if (at < from) continue;
            out[at - from] = before;
        }
    }
    return SC_OK;
}
