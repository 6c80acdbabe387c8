/* What open_fuzz.c asks of the prefix index: prompts that share some blocks with those before them. */
#define PREFIXES .prefix_blocks = 64, .prefix_block = 16, .prefix_group = 8
#define UNITS 20 /* blocks of a prompt */

static void prompt_of(const sc_cache *c, uint32_t i, int32_t *tokens, sc_hash128 *hashes, sc_prompt *p) {
    const sc_prefix *x = &c->r.prefix;
    uint32_t blocks = 4 + i * 5 % (UNITS - 3), most = UNITS * 16 / x->block; /* a forged block may be longer */
    for (uint32_t t = 0; t < UNITS * 16; t++) tokens[t] = (int32_t)(t < 32 * (i % 5) ? t + i % 2 : t * 7 + i);
    *p = (sc_prompt){.data = tokens, .hashes = hashes, .blocks = blocks < most ? blocks : most, .group = x->group,
                     .root = sc_prefix_root(c, "n", i % 7 == 6)};
}

static void insert(sc_cache *c, uint32_t i, int64_t now) {
    static uint8_t value[BYTES];
    int32_t tokens[UNITS * 16];
    sc_hash128 hashes[UNITS * 16];
    sc_prompt p;
    sc_inserted done;
    prompt_of(c, i, tokens, hashes, &p);
    if (p.blocks == 0) return;
    sc_attach what = {.replica = i % 3 ? i % 4 : SC_NIL, .value = i % 2 ? value : NULL, .value_len = i % 8 * 60,
                      .expires = i % 5 ? SC_FOREVER : now + 1000000};
    sc_prefix_insert(c, &p, &what, now, &done);
}

static void prompts(sc_cache *c, uint8_t script, int64_t now) {
    static uint8_t to[512];
    int32_t tokens[UNITS * 16];
    sc_hash128 hashes[UNITS * 16], keys[3] = {{script, 1}, {script, 2}, {script, 3}};
    uint32_t scores[4], pinned;
    uint64_t runs;
    sc_prefix_stats stats;
    sc_prompt p;
    sc_match m;
    if (c->r.prefix.blocks == 0 || c->r.prefix.block > 16 * UNITS) return;
    for (uint32_t i = 0; i < 24; i++) {
        uint32_t k = i + script % 5;
        prompt_of(c, k, tokens, hashes, &p);
        sc_prefix_match(c, &p, i % 2, i % 3, now, to, sizeof to, i % 2 ? scores : NULL, 4, &m);
        if (m.value_at && (m.value_at > m.blocks || m.value_len > (uint64_t)SC_BLOCK * c->r.nblocks)) abort();
        switch ((script >> 3) + i & 7) {
        case 0: sc_prefix_pin(c, &p, true, &pinned); break;
        case 1: sc_prefix_pin(c, &p, false, &pinned); break;
        case 2: sc_prefix_forget(c, i % 4, &runs); break;
        case 3: sc_prefix_stored(c, i % 2 ? &keys[2] : NULL, keys, 2 + i % 2, i % 4); break;
        case 4: sc_prefix_removed(c, keys, 3, i % 4); break;
        case 5: if (sc_chain_keys(&c->r, &p, 0, p.blocks < 3 ? p.blocks : 3, keys) == SC_OK) sc_prefix_removed(c, keys, 3, 1); break;
        default: insert(c, k + 7, now);
        }
    }
    sc_prefix_stats_get(c, &stats);
    sc_prefix_validate(c);
}
